"""What a rep uploads lies in the database as long as a mail names it, for every process, on both databases."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from adapters.sandbox.letter import enclosures, parse
from connector.errors import BadInput
from connector.people import Person
from connector.store.blobs import forget_blobs
from connector.store.schema_compositions import blobs
from connector.sync.asking import deliver, save_as_draft, send
from connector.sync.composing import Text, look
from connector.sync.opening import open_task
from connector.sync.retention import plan_tidy, tidy
from connector.sync.uploads import Incoming, attach, detach, find_upload
from tests.web.site import key_of
from tests.world import ANA, World, WorldMaker

REP = ANA["email"]
CAMPAIGN = "name: Draft\ndays:\n  - day: 1\n    steps:\n      - email: {template: intro, send: task}\n"
PAT, QUE, RIO = (Person(email=f"{name}@client.example", first_name=name) for name in ("pat", "que", "rio"))
MINE = Text(subject="Mine", body="Words")
CONTENT = bytes(range(256)) * 8


def drafted(world: World) -> World:
    world.launch([PAT, QUE, RIO], rep=REP)
    assert world.sync().exit_status == 0
    world.after(minutes=10)
    return world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Each of these people has a draft in Ana's mailbox."""
    with pytest.MonkeyPatch.context() as patch:
        made = World.make(tmp_path_factory.mktemp("uploads") / "world", patch, campaign=CAMPAIGN, reps=[ANA])
        yield drafted(made)
        made.close()


def brought(world: World, key: str, name: str, content: bytes) -> str:
    """Attach a file and return its id."""
    assert attach(world.office, key, [Incoming(name=name, size=len(content), read=lambda: content)], by=REP) == ()
    return look(world.office, world.project.templates, key).written.uploads[-1].id


def kept(world: World) -> set[str]:
    with world.database.read() as tx:
        return set(tx.execute(select(blobs.c.hash)).scalars())


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_bytes_stay_while_a_mail_names_them_and_go_when_none_does(make_world: WorldMaker, database_url: str) -> None:
    world = drafted(make_world(campaign=CAMPAIGN, reps=[ANA], database_url=database_url))
    pat, que = key_of(world, PAT.email), key_of(world, QUE.email)
    brought(world, pat, "offer.pdf", CONTENT)
    named_twice = brought(world, que, "the same.pdf", CONTENT)
    dropped = brought(world, que, "draft.pdf", b"draft")
    save_as_draft(world.office, pat, MINE, version=None, by=REP)
    assert deliver(world.office, pat) == []
    assert kept(world) == {digest(CONTENT), digest(b"draft")}, "each content once"
    for one in (named_twice, dropped):
        detach(world.office, que, one, by=REP)
    assert tidy(world.office, world.now).rows["blobs"] == 0, "what was claimed before may be on its way"
    world.after(days=2)
    assert plan_tidy(world.office, world.now).rows["blobs"] == 1
    assert tidy(world.office, world.now).rows["blobs"] == 1
    assert kept(world) == {digest(CONTENT)}
    world.reopen()  # another process
    send(world.office, pat, MINE, at=None, version=None, by=REP)
    assert deliver(world.office, pat) == []
    (mail,) = [one for one in world.sandbox.world.box_of(REP).mails.values() if one.place == "sent"]
    assert [(one.name, one.content) for one in enclosures(parse(mail.raw))] == [("offer.pdf", CONTENT)]


def test_bytes_that_are_uploaded_again_are_kept_anew(world: World) -> None:
    pat = key_of(world, PAT.email)
    detach(world.office, pat, brought(world, pat, "offer.pdf", CONTENT), by=REP)
    world.after(days=2)
    again = brought(world, pat, "offer.pdf", CONTENT)
    with world.database.write() as tx:
        # Nobody named them when they were looked for, and somebody does by now.
        assert forget_blobs(tx, [digest(CONTENT)], world.now - timedelta(days=1)) == 0
    assert find_upload(world.office, pat, again).content == CONTENT


def test_a_mail_whose_bytes_are_gone_is_not_sent_without_them(world: World) -> None:
    que, content = key_of(world, QUE.email), b"to be gone"
    brought(world, que, "offer.pdf", content)
    with world.database.write() as tx:
        tx.execute(blobs.delete().where(blobs.c.hash == digest(content)))
    with pytest.raises(BadInput, match=r"'offer\.pdf' is not in the database any more"):
        send(world.office, que, MINE, at=None, version=None, by=REP)
    assert world.mails(REP, "sent") == []


def test_an_applied_file_is_named_where_a_compose_link_cannot_carry_it(world: World) -> None:
    rio = key_of(world, RIO.email)
    brought(world, rio, "offer.pdf", CONTENT)
    save_as_draft(world.office, rio, MINE, version=None, by=REP)
    opened = open_task(world.office, rio, client="outlook")
    assert any("attach offer.pdf yourself" in note for note in opened.notes)
