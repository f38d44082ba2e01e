"""`connector auth google`: reps sign in to Gmail one by one, with a browser that an HTTP client plays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connector.vault import KEY_FILE, StoredVault
from tests.command import Result, command_with_browser
from tests.world import ANA, BOB, World, WorldMaker, people

ONE_TASK = """\
name: Outreach
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
"""

DEE = {"email": "dee@acme.example", "name": "Dee Roe", "time_zone": "UTC", "mailbox": "gmail"}


Connector = Callable[..., Result]


@pytest.fixture
def world(make_world: WorldMaker) -> World:
    world = make_world(reps=(ANA, DEE, BOB))
    world.seed([])
    use_oauth(world)
    return world


def use_oauth(world: World, **change: Any) -> None:
    section = {
        "auth": "oauth",
        "client_file": str(world.sandbox.write_google_client(world.folder)),
        "endpoint": world.sandbox.url,
        "token_url": f"{world.sandbox.url}/google/token",
        **change,
    }
    world.configure(accounts={**world.settings["accounts"], "google": section})


@pytest.fixture
def connector(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Connector:
    return command_with_browser(world, monkeypatch, capsys)


def sign_in(connector: Connector, rep: str) -> Result:
    return connector("auth", "google", "--rep", rep, "--no-browser")


def test_who_has_not_signed_in_waits_alone(world: World, connector: Connector) -> None:
    ann, ben = people(2)
    world.launch([ann], rep=ANA["email"])
    world.launch([ben], rep=DEE["email"])
    signed = sign_in(connector, "Ana@acme.example")
    assert (signed.status, signed.out.strip()) == (0, f"signed in to Gmail as {ANA['email']}.")
    assert "tick every box" in signed.err

    first = connector("sync")
    assert first.status == 4
    assert f"connector auth google --rep {DEE['email']}" in first.out + first.err
    assert f"connector auth google --rep {ANA['email']}" not in first.out + first.err
    assert placed(world) == {ANA["email"]}

    assert sign_in(connector, DEE["email"]).status == 0
    world.after(minutes=1)
    assert connector("sync").status == 0
    assert placed(world) == {ANA["email"], DEE["email"]}


def placed(world: World) -> set[str]:
    """Return whose mailboxes hold something of ours."""
    return {rep for rep in (ANA["email"], DEE["email"]) if world.mails(rep, "drafts") or world.mails(rep, "sent")}


def test_an_ended_sign_in_stops_one_rep_and_comes_back_by_signing_in_again(world: World, connector: Connector) -> None:
    for rep in (ANA, DEE):
        sign_in(connector, rep["email"])
    assert connector("sync").status == 0
    world.act("gmail_revokes_access", rep=ANA["email"])
    ended = connector("sync")
    assert ended.status == 4
    assert f"run 'connector auth google --rep {ANA['email']}'" in ended.out + ended.err
    assert DEE["email"] not in ended.out + ended.err
    sign_in(connector, ANA["email"])
    world.after(minutes=1)
    assert connector("sync").status == 0


def test_a_sole_rep_need_not_be_named(world: World, connector: Connector) -> None:
    several = connector("auth", "google", "--no-browser")
    assert (several.status, "run 'connector auth google --rep EMAIL'" in several.err) == (2, True)
    world.configure(reps=[ANA, BOB])
    signed = connector("auth", "google", "--no-browser", "--json").json
    assert (signed["account"], signed["rep"], signed["signed_in"]) == ("google", ANA["email"], True)
    revoked = connector("auth", "revoke", "google")
    assert (revoked.status, revoked.out.strip()) == (
        0,
        f"the sign-in of {ANA['email']} to Gmail is revoked and forgotten",
    )
    assert connector("sync").status == 4


@pytest.mark.parametrize(
    ("consent", "sentence"),
    [
        ({"account": DEE["email"]}, f"{DEE['email']} signed in in the browser, not {ANA['email']}: nothing was kept"),
        ({"denies": True}, "it was declined in the browser"),
        (
            {"grants_only": ["https://www.googleapis.com/auth/gmail.readonly"]},
            "no draft can be placed and nothing can be sent: nothing was kept",
        ),
    ],
)
def test_what_the_person_does_instead_is_told_and_nothing_is_kept(
    world: World, connector: Connector, consent: dict[str, Any], sentence: str
) -> None:
    world.act("gmail_consents", **consent)
    refused = sign_in(connector, ANA["email"])
    assert (refused.status, sentence in refused.err) == (1, True)
    assert StoredVault(world.database, world.sandbox.clock, world.folder).read(f"google:{ANA['email']}") is None


def test_fewer_scopes_are_told_at_sign_in_and_by_doctor(world: World, connector: Connector) -> None:
    world.configure(reps=[ANA])
    world.act("gmail_consents", grants_only=["https://www.googleapis.com/auth/gmail.compose"])
    signed = sign_in(connector, ANA["email"])
    assert (signed.status, "gmail.readonly was not granted: no reply" in signed.out) == (0, True)
    found = connector("doctor", "--json")
    assert found.status == 4
    (fault,) = [one for one in found.json if one["verdict"] == "fault"]
    assert (fault["account"], fault["area"]) == (f"gmail:{ANA['email']}", "setup")
    assert "lacks gmail.readonly" in fault["sentence"]
    assert f"connector auth google --rep {ANA['email']}" in fault["mend"]
    connector("sync")  # the first only marks where reading starts
    synced = connector("sync")
    assert (synced.status, "gmail.readonly" in synced.out + synced.err) == (4, True)


def test_with_composing_alone_drafts_are_placed_and_the_mailbox_is_not_read(world: World, connector: Connector) -> None:
    (world.folder / "campaigns" / "campaign.yaml").write_text(ONE_TASK)
    use_oauth(world, read_mail=False)
    world.configure(reps=[ANA])
    told = sign_in(connector, ANA["email"])
    assert "no reply and no bounce is seen" in told.out
    (ann,) = people(1)
    world.launch([ann], rep=ANA["email"])
    assert connector("sync").status == 0
    (draft,) = world.mails(ANA["email"], "drafts")
    assert draft

    # What was sent cannot be told from what was deleted, so the task waits for the rep.
    world.act("rep_sends_draft", rep=ANA["email"], person=ann.email)
    for _ in range(2):
        world.after(hours=1)
        assert connector("sync").status == 0
    (task,) = connector("tasks", "list", "--json").json
    assert task["person"] == ann.email
    read = [one["path"] for one in world.sandbox.log.requests if one["path"].endswith(("/history", "/messages"))]
    assert read == []


def test_no_secret_is_printed_or_lies_in_the_clear(world: World, connector: Connector) -> None:
    world.configure(reps=[ANA])
    said = [sign_in(connector, ANA["email"]), connector("-v", "sync"), connector("-v", "doctor")]
    assert [one.status for one in said] == [0, 0, 0]
    token = StoredVault(world.database, world.sandbox.clock, world.folder).read(f"google:{ANA['email']}")
    assert token
    shown = "".join(one.out + one.err for one in said)
    assert [secret for secret in (token, "ya29.", "sandbox-google-secret") if secret in shown] == []
    at_rest = b"".join(path.read_bytes() for path in world.folder.glob("connector.db*"))
    assert at_rest
    assert token.encode() not in at_rest
    assert (world.folder / KEY_FILE).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "the file '{path}' that client_file names is not there"),
        (
            '{"web": {}}',
            "client_file '{path}' is the JSON of a web application: make a client of the type 'Desktop app'",
        ),
    ],
)
def test_a_file_that_is_none_is_warned_of_at_its_line_and_stops_the_sync(
    world: World, connector: Connector, content: str | None, said: str
) -> None:
    path = world.folder / "other.json"
    if content is not None:
        path.write_text(content)
    use_oauth(world, client_file=str(path))
    told = connector("validate")
    assert told.status == 0
    assert f"connector.yaml:1: accounts.google: {said.format(path=path)}" in told.out
    assert connector("sync").status == 4
    refused = sign_in(connector, ANA["email"])
    assert (refused.status, f"client_file '{path}'" in refused.err) == (2, True)


def test_doctor_says_when_the_key_to_the_sign_ins_is_gone(world: World, connector: Connector) -> None:
    world.configure(reps=[ANA])
    sign_in(connector, ANA["email"])
    (world.folder / KEY_FILE).unlink()
    found = connector("doctor", "--json")
    (fault,) = [one for one in found.json if one["verdict"] == "fault"]
    assert (found.status, fault["account"]) == (1, f"gmail:{ANA['email']}")
    assert "there is no key to them: set CONNECTOR_KEY" in fault["sentence"]
