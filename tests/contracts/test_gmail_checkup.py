"""What `connector doctor` says of a Gmail mailbox: a line for each thing that can be missing, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google_sign_in import ANA, BEN, BOTH, START, GoogleWorld

from adapters.gmail.account import COMPOSE_SCOPE, READ_SCOPE
from adapters.gmail.mailbox import GmailMailbox
from adapters.sandbox import Sandbox
from connector.ports import Check, Verdict

OK, WARNING, FAULT = Verdict.OK, Verdict.WARNING, Verdict.FAULT


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GoogleWorld]:
    with Sandbox(start=START) as sandbox:
        made = GoogleWorld(sandbox, tmp_path)
        yield made
        made.close()


def signed_in(world: GoogleWorld) -> GmailMailbox:
    account = world.account()
    world.sign_in(account)
    return world.open(account)


def delegated(world: GoogleWorld) -> GmailMailbox:
    return world.open(world.account("service_account"))


WAYS = pytest.mark.parametrize("way", [signed_in, delegated])


def faults(found: object) -> list[Check]:
    assert isinstance(found, tuple)
    return [check for check in found if check.verdict is FAULT]


@WAYS
def test_a_mailbox_that_can_be_used_has_a_line_for_reach_and_one_for_scopes(
    world: GoogleWorld, way: Callable[[GoogleWorld], GmailMailbox]
) -> None:
    mailbox = way(world)
    before = mailbox.calls
    assert [(check.area, check.verdict, check.sentence) for check in mailbox.check()] == [
        ("sign-in", OK, f"the mailbox of {ANA} can be reached"),
        ("setup", OK, "the token holds what is needed: gmail.compose and gmail.readonly"),
    ]
    assert mailbox.calls == before + 1


def revoke(world: GoogleWorld) -> None:
    world.sandbox.act("gmail_revokes_access", rep=ANA)


def forget(world: GoogleWorld) -> None:
    world.vault.secrets.clear()


def disable_api(world: GoogleWorld) -> None:
    world.sandbox.act("gmail_disables_api")


def forbid_apps(world: GoogleWorld) -> None:
    world.sandbox.act("gmail_forbids_apps")


def lose_licence(world: GoogleWorld) -> None:
    world.sandbox.act("rep_loses_mailbox", rep=ANA)


def forbid_delegation(world: GoogleWorld) -> None:
    world.sandbox.act("gmail_delegates", scopes=[])


def delegate_less(world: GoogleWorld) -> None:
    world.sandbox.act("gmail_delegates", scopes=[COMPOSE_SCOPE])


def change_key(world: GoogleWorld) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    world.login.register_service_account("connector@sandbox.iam.gserviceaccount.com", pem.decode())


@WAYS
@pytest.mark.parametrize(
    ("spoil", "area", "sentence", "mend"),
    [
        (disable_api, "setup", "Gmail API", "console.cloud.google.com/apis/library/gmail.googleapis.com"),
        (forbid_apps, "setup", "switched the Gmail API off", "App access control"),
        (lose_licence, "users", "Mail service not enabled", "Gmail, Service status"),
    ],
)
def test_what_an_administrator_switched_off_is_said_with_its_place(
    world: GoogleWorld,
    way: Callable[[GoogleWorld], GmailMailbox],
    spoil: Callable[[GoogleWorld], None],
    area: str,
    sentence: str,
    mend: str,
) -> None:
    mailbox = way(world)
    spoil(world)
    (fault,) = faults(mailbox.check())
    assert fault.area == area
    assert sentence in fault.sentence
    assert mend in fault.mend


@pytest.mark.parametrize(
    ("way", "spoil", "sentence", "mend"),
    [
        (signed_in, revoke, f"run 'connector auth google --rep {ANA}'", "more than 100 of them"),
        (signed_in, forget, f"{ANA} is not signed in to Gmail", ""),
        (delegated, forbid_delegation, "allow its client id 100000000000000000001 the scopes", "admin.google.com"),
        (delegated, delegate_less, ",".join(BOTH), "Manage domain-wide delegation, allow the client id"),
        (delegated, change_key, "make a new key and set key_file", ""),
    ],
)
def test_a_sign_in_that_gives_no_token_is_the_one_line_there_is(
    world: GoogleWorld,
    way: Callable[[GoogleWorld], GmailMailbox],
    spoil: Callable[[GoogleWorld], None],
    sentence: str,
    mend: str,
) -> None:
    mailbox = way(world)
    spoil(world)
    (line,) = mailbox.check()
    assert (line.area, line.verdict, line.reconnect) == ("sign-in", FAULT, True)
    assert sentence in line.sentence
    assert mend in line.mend


def test_a_rep_who_is_not_in_the_domain_is_told(world: GoogleWorld) -> None:
    (line,) = world.open(world.account("service_account"), "nobody@acme.example").check()
    assert "there is no such user in Google Workspace" in line.sentence


def test_reading_that_was_not_granted_is_named_with_its_cost(world: GoogleWorld) -> None:
    world.sandbox.act("gmail_consents", grants_only=[COMPOSE_SCOPE])
    (fault,) = faults(signed_in(world).check())
    assert fault.sentence.startswith(f"the token of {ANA} lacks gmail.readonly: no reply and no bounce is seen")
    assert (fault.reconnect, "tick every box" in fault.mend) == (True, True)


def test_reading_that_is_not_asked_for_is_a_warning_with_its_cost(world: GoogleWorld) -> None:
    world.sandbox.act("gmail_delegates", scopes=[COMPOSE_SCOPE])
    found = world.open(world.account("service_account", read_mail=False)).check()
    assert [check.verdict for check in found] == [OK, OK, WARNING]
    assert "a draft that was sent cannot be told from one that was deleted" in found[-1].sentence


@pytest.mark.parametrize(
    ("scopes", "lacking"),
    [
        (BOTH, []),
        (["https://mail.google.com/"], []),
        (["https://www.googleapis.com/auth/gmail.modify"], []),
        ([COMPOSE_SCOPE], ["gmail.readonly"]),
        ([READ_SCOPE], ["gmail.compose"]),
    ],
)
def test_google_is_asked_what_a_ready_token_may_do(
    world: GoogleWorld, monkeypatch: pytest.MonkeyPatch, scopes: list[str], lacking: list[str]
) -> None:
    monkeypatch.setenv("GMAIL_TOKEN", world.sandbox.token("gmail", ANA, scopes=scopes))
    mailbox = world.open(world.account("access_token", token="${env:GMAIL_TOKEN}"))
    told = [check.sentence for check in faults(mailbox.check())]
    assert [name for name in ("gmail.readonly", "gmail.compose") if f"lacks {name}" in " ".join(told)] == lacking
    assert len(told) == len(lacking)


def test_a_ready_token_is_not_shown_to_google_when_only_gmail_has_another_address(
    world: GoogleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GMAIL_TOKEN", world.sandbox.token("gmail", ANA))
    mailbox = world.open(world.account("access_token", token="${env:GMAIL_TOKEN}", token_url=None))
    assert [check.sentence for check in mailbox.check()] == [f"the mailbox of {ANA} can be reached"]
    assert world.token_calls() == 0


def test_a_ready_token_of_somebody_else_is_told(world: GoogleWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GMAIL_TOKEN", world.sandbox.token("gmail", BEN))
    mailbox = world.open(world.account("access_token", token="${env:GMAIL_TOKEN}"))
    (fault,) = faults(mailbox.check())
    told = f"the token given for {ANA} belongs to another mailbox: put a new token of {ANA} under accounts.google"
    assert fault.sentence == told


def test_a_ready_token_that_ended_is_told(world: GoogleWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GMAIL_TOKEN", "ended")
    (line,) = world.open(world.account("access_token", token="${env:GMAIL_TOKEN}")).check()
    assert (line.verdict, line.reconnect) == (FAULT, True)
    assert line.sentence.endswith(
        f"no longer accepts the sign-in of {ANA}: put a new token of {ANA} under accounts.google"
    )
    assert "connector auth" not in line.mend  # nobody signs in where tokens are given


@pytest.mark.parametrize("change", [{"token_url": "http://127.0.0.1:9/token"}, {"endpoint": "http://127.0.0.1:9"}])
def test_a_service_that_does_not_answer_is_a_fault_that_needs_nobody_to_sign_in(
    world: GoogleWorld, change: dict[str, str]
) -> None:
    (fault,) = faults(world.open(world.account("service_account", **change)).check())
    assert (fault.area, fault.reconnect) == ("sign-in", False)
