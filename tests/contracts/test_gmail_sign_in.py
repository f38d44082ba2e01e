"""Signing in to Gmail by every way there is, against the sandbox's Google over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from google_sign_in import ANA, BEN, BOTH, START, Browser, GoogleWorld

from adapters.gmail import adapter
from adapters.gmail.account import COMPOSE_SCOPE, READ_SCOPE
from adapters.gmail.signin import open_grant
from adapters.sandbox import Sandbox
from connector.errors import AdapterError, BadInput, Reconnect, Refused, Retry
from tests.doubles import MemoryVault

TOKEN = "google:ana@acme.example"
DEAD = "http://127.0.0.1:9"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GoogleWorld]:
    with Sandbox(start=START) as sandbox:
        made = GoogleWorld(sandbox, tmp_path)
        yield made
        made.close()


# ------------------------------------------------------------------------------------------ in the browser


def test_a_rep_signs_in_and_their_mailbox_opens(world: GoogleWorld) -> None:
    account, browser = world.account(), Browser()
    assert world.sign_in(account, browser=browser) == f"signed in to Gmail as {ANA}."
    asked = dict(parse_qsl(urlsplit(browser.addresses[0]).query))
    assert {name: asked[name] for name in ("access_type", "prompt", "login_hint", "code_challenge_method", "scope")} == {
        "access_type": "offline", "prompt": "consent", "login_hint": ANA, "code_challenge_method": "S256",
        "scope": " ".join(BOTH),
    }  # fmt: skip
    assert "You may close this page" in browser.page
    assert list(world.vault.secrets) == [TOKEN]
    assert world.open(account).pull_mail(None).cursor


def test_without_reading_only_composing_is_asked_for(world: GoogleWorld) -> None:
    account, browser = world.account(read_mail=False), Browser()
    told = world.sign_in(account, browser=browser)
    assert dict(parse_qsl(urlsplit(browser.addresses[0]).query))["scope"] == COMPOSE_SCOPE
    assert "no reply and no bounce is seen" in told
    assert world.open(account).capabilities.incoming is False
    assert world.open(world.account()).capabilities.incoming is True


def test_somebody_else_at_the_browser_is_refused_and_nothing_is_kept(world: GoogleWorld) -> None:
    world.sign_in(world.account(), BEN)
    kept = dict(world.vault.secrets)
    world.sandbox.act("gmail_consents", account=BEN)
    with pytest.raises(Refused, match=rf"{BEN} signed in in the browser, not {ANA}: nothing was kept"):
        world.sign_in(world.account())
    assert world.vault.secrets == kept
    world.open(world.account(), BEN).pull_mail(None)  # and Ben's own sign-in is as good as before


def test_a_mailbox_known_by_an_alias_is_the_reps_own(world: GoogleWorld) -> None:
    world.sandbox.act("gmail_consents", account=BEN)
    assert world.sign_in(world.account(), ANA, BEN) == f"signed in to Gmail as {BEN} for rep {ANA}."
    assert [one.verdict for one in world.open(world.account(), ANA, BEN).check()] == ["ok", "ok"]


def test_fewer_scopes_than_asked_for_are_named_with_their_cost(world: GoogleWorld) -> None:
    world.sandbox.act("gmail_consents", grants_only=[COMPOSE_SCOPE])
    told = world.sign_in(world.account())
    assert "gmail.readonly was not granted: no reply and no bounce is seen" in told
    assert "write read_mail: false" in told
    assert TOKEN in world.vault.secrets


def test_without_composing_nobody_is_signed_in(world: GoogleWorld) -> None:
    world.sandbox.act("gmail_consents", grants_only=[READ_SCOPE])
    with pytest.raises(Refused, match=r"gmail\.compose was not granted.*nothing was kept"):
        world.sign_in(world.account())
    assert world.vault.secrets == {}


def deny(world: GoogleWorld) -> None:
    world.sandbox.act("gmail_consents", denies=True)


def disable_api(world: GoogleWorld) -> None:
    world.sandbox.act("gmail_disables_api")


def lose_licence(world: GoogleWorld) -> None:
    world.sandbox.act("rep_loses_mailbox", rep=ANA)


def change_secret(world: GoogleWorld) -> None:
    world.login.register_client("sandbox-connector", "another")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (deny, "it was declined in the browser"),
        (disable_api, "Gmail API"),
        (lose_licence, "Mail service not enabled"),
        (change_secret, "download its JSON anew"),
    ],
)
def test_a_sign_in_that_fails_says_why_and_keeps_nothing(
    world: GoogleWorld, spoil: Callable[[GoogleWorld], None], sentence: str
) -> None:
    account = world.account()
    spoil(world)
    with pytest.raises(AdapterError, match=sentence):
        world.sign_in(account)
    assert world.vault.secrets == {}


def test_a_code_that_was_asked_for_by_another_sign_in_is_worth_nothing(world: GoogleWorld) -> None:
    def with_another_challenge(address: str) -> str:
        challenge = dict(parse_qsl(urlsplit(address).query))["code_challenge"]
        return address.replace(challenge, "A" * 43)

    with pytest.raises(Reconnect, match="was not made for this sign-in"):
        world.sign_in(world.account(), browser=Browser(with_another_challenge))


@pytest.mark.parametrize("auth", ["service_account", "access_token"])
def test_where_no_person_signs_in_that_is_said(world: GoogleWorld, monkeypatch: pytest.MonkeyPatch, auth: str) -> None:
    monkeypatch.setenv("GMAIL_TOKEN", "token")
    account = world.account(auth, token="${env:GMAIL_TOKEN}")
    for act in (lambda: world.sign_in(account), lambda: adapter.sign_out(account, rep=ANA, vault=world.vault)):
        with pytest.raises(BadInput, match=f"auth: {auth} of accounts.google needs no person"):
            act()


def test_reps_sign_in_one_by_one(world: GoogleWorld) -> None:
    with pytest.raises(BadInput, match="run 'connector auth google --rep EMAIL'"):
        world.sign_in(world.account(), None)


# --------------------------------------------------------------------------------------------- revoking


def test_a_revoked_sign_in_is_gone_at_google_and_here(world: GoogleWorld) -> None:
    account = world.account()
    world.sign_in(account)
    mailbox = world.open(account)
    mailbox.pull_mail(None)
    revoked = adapter.sign_out(account, rep=ANA, vault=world.vault)
    assert revoked == f"the sign-in of {ANA} to Gmail is revoked and forgotten"
    assert world.vault.secrets == {}
    with pytest.raises(Reconnect, match=f"{ANA} is not signed in to Gmail: run 'connector auth google --rep {ANA}'"):
        mailbox.pull_mail(None)
    assert "there is no sign-in" in adapter.sign_out(account, rep=ANA, vault=world.vault)


def test_a_sign_in_that_had_ended_is_forgotten_all_the_same(world: GoogleWorld) -> None:
    account = world.account()
    world.sign_in(account)
    world.sandbox.act("gmail_revokes_access", rep=ANA)
    assert "it had ended already" in adapter.sign_out(account, rep=ANA, vault=world.vault)
    assert world.vault.secrets == {}


def test_nothing_is_forgotten_while_google_does_not_answer(world: GoogleWorld) -> None:
    world.sign_in(world.account())
    with pytest.raises(Retry):
        adapter.sign_out(world.account(token_url=f"{DEAD}/token"), rep=ANA, vault=world.vault)
    assert TOKEN in world.vault.secrets


# --------------------------------------------------------------------------------------------- renewing


@pytest.mark.parametrize("auth", ["oauth", "service_account"])
def test_a_token_is_fetched_once_and_anew_before_it_runs_out(world: GoogleWorld, auth: str) -> None:
    account = world.account(auth)
    if auth == "oauth":
        world.sign_in(account)
    mailbox, before = world.open(account), world.token_calls()
    assert world.token_calls() == before  # opening calls nobody
    for _ in range(3):
        mailbox.pull_mail(None)
    assert world.token_calls() == before + 1
    world.sandbox.clock.sleep(3590)
    mailbox.pull_mail(None)
    assert (world.token_calls(), mailbox.calls) == (before + 2, 4)


@pytest.mark.parametrize("auth", ["oauth", "service_account"])
def test_a_token_that_google_ended_early_is_fetched_anew(world: GoogleWorld, auth: str) -> None:
    account = world.account(auth)
    if auth == "oauth":
        world.sign_in(account)
    mailbox = world.open(account)
    mailbox.pull_mail(None)
    world.sandbox.tokens.revoke_all("gmail")
    assert mailbox.pull_mail(None).cursor


def test_a_sign_in_that_ended_stops_that_rep_alone(world: GoogleWorld) -> None:
    account = world.account()
    for rep in (ANA, BEN):
        world.sign_in(account, rep)
    mailboxes = {rep: world.open(account, rep) for rep in (ANA, BEN)}
    world.sandbox.act("gmail_revokes_access", rep=ANA)
    with pytest.raises(Reconnect) as ended:
        mailboxes[ANA].pull_mail(None)
    assert ended.value.account == f"gmail:{ANA}"
    assert ended.value.code == "invalid_grant"
    assert f"run 'connector auth google --rep {ANA}'" in ended.value.sentence
    assert "7 days while the consent screen is in Testing" in ended.value.advice
    assert mailboxes[BEN].pull_mail(None).cursor


def test_a_refresh_token_for_one_use_is_kept_each_time(world: GoogleWorld) -> None:
    account = world.account()
    world.sandbox.write_google_client(world.folder, rotate=True)
    world.sign_in(account)
    first = world.vault.secrets[TOKEN]
    world.open(account).pull_mail(None)
    second = world.vault.secrets[TOKEN]
    assert second != first
    world.open(account).pull_mail(None)  # another process, with what the first one kept
    assert world.vault.secrets[TOKEN] not in (first, second)


class _Beaten(MemoryVault):
    """A vault in which another process has just renewed the secret."""

    def __init__(self, secrets: dict[str, str], newer: Callable[[], str]) -> None:
        super().__init__(**secrets)
        self.newer = newer
        self.turns = 0

    def renew(self, name: str, seen: str | None, renewed: Callable[[str | None], str]) -> str:
        self.turns += 1
        if self.turns == 1:
            self.secrets[name] = self.newer()
        return super().renew(name, seen, renewed)


def test_who_comes_second_uses_the_refresh_token_that_counts(world: GoogleWorld) -> None:
    account = world.account()
    world.sandbox.write_google_client(world.folder, rotate=True)
    world.sign_in(account)

    def renewed_elsewhere() -> str:
        other = MemoryVault(**world.vault.secrets)
        open_grant(account, ANA, clock=world.sandbox.clock, vault=other).token()
        return other.secrets[TOKEN]

    vault = _Beaten(world.vault.secrets, renewed_elsewhere)
    assert open_grant(account, ANA, clock=world.sandbox.clock, vault=vault).token()
    assert vault.turns == 2


def test_the_key_is_read_once_for_all_mailboxes_that_start_together(
    world: GoogleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.account("service_account")
    for number in range(8):
        world.sandbox.world.add_mailbox("gmail", f"rep{number}@acme.example", "Rep")
    mailboxes = [world.open(account, f"rep{number}@acme.example") for number in range(8)]
    read, reading = [], Path.read_text

    def counted(path: Path, *args: object, **options: object) -> str:
        if path == account.key_file:
            read.append(path)
        return reading(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", counted)
    threads = [threading.Thread(target=mailbox.pull_mail, args=(None,)) for mailbox in mailboxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [mailbox.calls for mailbox in mailboxes] == [1] * 8
    assert len(read) == 1


def test_no_token_shows_in_errors_or_representations(world: GoogleWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    account = world.account()
    world.sign_in(account)
    grant = open_grant(account, ANA, clock=world.sandbox.clock, vault=world.vault)
    secrets = [grant.token(), world.vault.secrets[TOKEN], "sandbox-google-secret"]
    world.sandbox.act("gmail_revokes_access")
    with pytest.raises(Reconnect) as ended:
        grant.renew()
    causes = f"{ended.value!r} {ended.value.__cause__!r} {ended.value.advice} {grant!r} {account!r} {caplog.text}"
    assert [secret for secret in secrets if secret in causes] == []
