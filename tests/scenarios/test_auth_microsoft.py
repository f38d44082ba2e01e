"""`connector auth microsoft`: reps sign in to Outlook one by one, with a browser that an HTTP client plays."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from adapters.outlook.account import MicrosoftAccount
from adapters.outlook.signin import KeptSignIn
from connector.vault import KEY_FILE, StoredVault
from tests.command import Result, command_with_browser
from tests.world import ANA, BOB, World, WorldMaker, people

EVE = {"email": "eve@acme.example", "name": "Eve Roe", "time_zone": "UTC", "mailbox": "outlook"}

Connector = Callable[..., Result]


@pytest.fixture
def world(make_world: WorldMaker) -> World:
    world = make_world(reps=(BOB, EVE, ANA))
    world.seed([])
    use(world, "auth_code")
    return world


def use(world: World, auth: str) -> None:
    known = world.settings["accounts"]["microsoft"]
    section = {name: known[name] for name in ("tenant", "client_id", "endpoint", "authority")}
    world.configure(accounts={**world.settings["accounts"], "microsoft": {"auth": auth, **section}})


@pytest.fixture
def connector(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Connector:
    return command_with_browser(world, monkeypatch, capsys)


def sign_in(connector: Connector, rep: str) -> Result:
    return connector("auth", "microsoft", "--rep", rep, "--no-browser")


def placed(world: World) -> set[str]:
    """Return whose mailboxes hold something of ours."""
    return {rep for rep in (BOB["email"], EVE["email"]) if world.mails(rep, "drafts") or world.mails(rep, "sent")}


def test_who_has_not_signed_in_waits_alone(world: World, connector: Connector) -> None:
    ann, ben = people(2)
    world.launch([ann], rep=BOB["email"])
    world.launch([ben], rep=EVE["email"])
    signed = sign_in(connector, "Bob@acme.example")
    assert (signed.status, signed.out.strip()) == (0, f"signed in to Outlook as {BOB['email']}.")

    first = connector("sync")
    assert first.status == 4
    assert f"connector auth microsoft --rep {EVE['email']}" in first.out + first.err
    assert f"connector auth microsoft --rep {BOB['email']}" not in first.out + first.err
    assert placed(world) == {BOB["email"]}

    assert sign_in(connector, EVE["email"]).status == 0
    world.after(minutes=1)
    assert connector("sync").status == 0
    assert placed(world) == {BOB["email"], EVE["email"]}


def test_an_ended_sign_in_stops_one_rep_and_comes_back_by_signing_in_again(world: World, connector: Connector) -> None:
    for rep in (BOB, EVE):
        sign_in(connector, rep["email"])
    assert connector("sync").status == 0
    world.act("outlook_ends_sign_in", rep=BOB["email"], number=50173)
    ended = connector("sync")
    assert ended.status == 4
    assert f"run 'connector auth microsoft --rep {BOB['email']}'" in ended.out + ended.err
    assert EVE["email"] not in ended.out + ended.err
    sign_in(connector, BOB["email"])
    world.after(minutes=1)
    assert connector("sync").status == 0


def test_a_code_serves_where_there_is_no_browser_and_revoking_forgets(world: World, connector: Connector) -> None:
    use(world, "device_code")
    world.act("outlook_consents", account=EVE["email"])
    signed = sign_in(connector, EVE["email"])
    assert (signed.status, "enter the code" in signed.err) == (0, True)
    revoked = connector("auth", "revoke", "microsoft", "--rep", EVE["email"])
    assert (revoked.status, "is forgotten" in revoked.out) == (0, True)
    assert vault(world).read(f"microsoft:{EVE['email']}") is None


def vault(world: World) -> StoredVault:
    return StoredVault(world.database, world.sandbox.clock, world.folder)


@pytest.mark.parametrize(
    ("consent", "sentence"),
    [
        ({"account": EVE["email"]}, f"{EVE['email']} signed in, not {BOB['email']}: nothing was kept"),
        ({"denies": True}, "AADSTS65004"),
        ({"grants_only": ["Mail.Send"]}, "no draft can be placed, and no reply or bounce is seen: nothing was kept"),
    ],
)
def test_what_the_person_does_instead_is_told_and_nothing_is_kept(
    world: World, connector: Connector, consent: dict[str, Any], sentence: str
) -> None:
    world.act("outlook_consents", **consent)
    refused = sign_in(connector, BOB["email"])
    assert (refused.status, sentence in refused.err) == (1, True)
    assert vault(world).read(f"microsoft:{BOB['email']}") is None


def test_no_secret_is_printed_or_lies_in_the_clear(world: World, connector: Connector) -> None:
    world.configure(reps=[BOB])
    said = [sign_in(connector, BOB["email"]), connector("-v", "sync"), connector("-v", "doctor")]
    assert [one.status for one in said] == [0, 0, 0]
    kept = vault(world).read(f"microsoft:{BOB['email']}")
    assert kept
    shown = "".join(one.out + one.err for one in said)
    kinds = ("AccessToken", "RefreshToken", "IdToken")
    secrets = [one["secret"] for kind in kinds for one in json.loads(kept)[kind].values()]
    assert len(secrets) == len(kinds)
    assert [secret for secret in secrets if secret in shown] == []
    at_rest = b"".join(path.read_bytes() for path in world.folder.glob("connector.db*"))
    assert at_rest
    assert [secret for secret in secrets if secret.encode() in at_rest] == []
    assert (world.folder / KEY_FILE).stat().st_mode & 0o077 == 0


def test_processes_that_renew_at_once_use_the_refresh_token_once(world: World, connector: Connector) -> None:
    world.configure(reps=[BOB])
    sign_in(connector, BOB["email"])
    account = MicrosoftAccount.model_validate(world.settings["accounts"]["microsoft"])
    clock = BusyClock(world.sandbox.clock.now())
    doors = [KeptSignIn(account, BOB["email"], StoredVault(world.database, clock, world.folder)) for _ in range(4)]
    old = {door.token("outlook:bob") for door in doors}
    calls = world.sandbox.log.calls["graph:token"]
    for door in doors:
        assert door.renew()
    with ThreadPoolExecutor(len(doors)) as threads:
        new = set(threads.map(lambda door: door.token("outlook:bob"), doors))
    assert (len(old), len(new), old & new) == (1, 1, set())
    assert world.sandbox.log.calls["graph:token"] == calls + 2  # discovery and one refresh


class BusyClock:
    """Stands still, so that nobody gives up; who waits looks again at once."""

    def __init__(self, instant: datetime) -> None:
        self._instant = instant

    def now(self) -> datetime:
        return self._instant

    def sleep(self, _: float) -> None:
        os.sched_yield()
