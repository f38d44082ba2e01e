"""What ended long ago is forgotten; what is alive, and whom nobody may write to, is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from connector.events import EventKind
from connector.intents import IntentEvent
from connector.store import schema
from connector.store.people import read_people
from connector.store.retention import forget
from connector.store.tasks import Dirty, read_tasks, save_tasks
from connector.sync import retention
from connector.sync.actions import end_by_hand, opt_out, remove
from connector.sync.retention import Tidied, tidy
from tests.command import command_in
from tests.world import ANA, World, WorldMaker, people

SEND = "name: Send\ndays:\n  - day: 1\n    steps:\n      - email: {template: intro, send: choose_at_launch}\n"
CALL = 'name: Call\ndays:\n  - day: 1\n    steps:\n      - call: {name: "Call {{first_name}}"}\n'
SENT, REPLIED, OUT, OPEN, UNHEARD, CALLED = people(6)
TABLES = (schema.enrollments, schema.intents, schema.mails, schema.tasks, schema.received)


def rows(world: World) -> dict[str, int]:
    with world.database.read() as tx:
        return {one.name: tx.execute(select(func.count()).select_from(one)).scalar_one() for one in TABLES}


def written_to(world: World) -> set[str]:
    """Return who is in the ledger."""
    with world.database.read() as tx:
        return set(tx.execute(select(schema.ledger.c.person).distinct()).scalars()) - {None}


@pytest.fixture
def world(make_world: WorldMaker, database_url: str) -> World:
    """Five campaigns that have ended, and one that has not; one end is yet to be told to the CRM."""
    made = make_world(
        campaign={"send": SEND, "call": CALL}, reps=[ANA], database_url=database_url, retention={"ended": "60d"}
    )
    made.launch([SENT, REPLIED, OUT], campaign="Send")
    made.launch([OPEN, UNHEARD, CALLED], campaign="Call")
    made.sync()
    made.act("prospect_replies", person=REPLIED.email)
    made.after(minutes=1)
    opt_out(made.office, OUT.email, reason="they called")
    remove(made.office, person=UNHEARD.email, campaign=None, rep=None)
    (done,) = [task for task in made.tasks if task.stored.intent.person == CALLED.email]
    end_by_hand(made.office, done.stored.intent.key, IntentEvent.COMPLETE, by="by hand")
    made.sync()
    with made.database.write() as tx:
        key = made.enrollments[UNHEARD.email].intent or ""
        save_tasks(tx, [replace(read_tasks(tx, [key])[key], dirty=Dirty.WRITE)])
    return made


def test_what_ended_is_forgotten_as_a_whole_and_the_rest_can_be_replayed(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    everyone = {one.email for one in (SENT, REPLIED, OUT, OPEN, UNHEARD, CALLED)}
    before = rows(world)
    world.after(days=59)
    assert tidy(world.office, world.now).rows.total() == 0
    world.after(days=2)
    command = command_in(world, monkeypatch, capsys)
    assert command("tidy", "--dry-run", "--json").json["forgotten"] == {"enrollments": 4}
    assert rows(world) == before
    assert written_to(world) == everyone

    # It dies after the second batch, and is begun anew.
    calls: list[tuple[Any, ...]] = []

    def dying(*arguments: Any) -> dict[str, int]:
        calls.append(arguments)
        if len(calls) == 3:
            raise RuntimeError("killed")
        return forget(*arguments)

    monkeypatch.setattr(retention, "BATCH", 1)
    monkeypatch.setattr(retention, "forget", dying)
    with pytest.raises(RuntimeError, match="killed"):
        tidy(world.office, world.now)
    world.replay()
    assert rows(world)["enrollments"] == before["enrollments"] - 2
    said = command("tidy")
    assert "forgotten: 2 campaigns of people" in said.err + said.out
    assert "kept: 1 " in said.err + said.out
    again = tidy(world.office, world.now)
    assert (again.rows.total(), again.kept) == (0, 1)

    assert rows(world) == {"enrollments": 2, "intents": 2, "mails": 0, "tasks": 2, "received": 0}
    assert written_to(world) == {OPEN.email, UNHEARD.email, OUT.email}
    assert [event.kind for event in world.facts(*EventKind, person=OUT.email)] == [EventKind.OPTED_OUT]
    with world.database.read() as tx:
        assert set(read_people(tx, sorted(everyone))) == everyone
        assert read_people(tx, [OUT.email])[OUT.email].opted_out is not None
    world.replay()

    # Nobody knows the mail any more that is answered now; the person may be written to again.
    world.act("prospect_replies", person=SENT.email)
    world.after(minutes=1)
    assert world.sync().pulled["replies"] == 0
    assert world.launch([SENT], campaign="Send").enrolled == 1
    assert world.launch([OUT], campaign="Send").enrolled == 0
    world.sync()
    assert [one["to"][0] for one in world.effects("mail_sent")].count(SENT.email) == 2
    world.replay()


def test_without_a_word_all_is_kept(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make_world(campaign=SEND, reps=[ANA])
    world.launch([SENT])
    world.sync()
    assert tidy(world.office, world.now + timedelta(days=4000)) == Tidied()
    said = command_in(world, monkeypatch, capsys)("tidy")
    assert (said.status, "all is kept" in said.err + said.out) == (0, True)
