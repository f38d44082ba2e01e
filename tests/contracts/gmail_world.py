"""What the tests of the Gmail adapter begin with: a clock that stands still, a rep's mailbox, Google's errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.gmail import adapter
from adapters.gmail.account import GoogleAccount
from adapters.sandbox import Sandbox
from connector.ports import Address, DraftRef, Mail, MailIdentity, Trace
from tests.doubles import MemoryVault

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
REP = MailIdentity(email="ana@acme.example", name="Ana Diaz")
KEY = "0f" * 16
ME = "https://gmail.googleapis.com/gmail/v1/users/ana%40acme.example"


class FrozenClock:
    """Stands still; remembers how long it was asked to wait."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return START

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def a_mail(**fields: Any) -> Mail:
    return Mail(
        **{
            "key": KEY,
            "sender": Address(email=REP.email, name=REP.name),
            "to": Address(email="ann@bolt.example"),
            "subject": "Hello",
            "html": "<p>Hi</p>",
            "text": "Hi",
            **fields,
        }
    )


@contextmanager
def opening(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Give a way to open the rep's mailbox with a given token; all that was opened is closed at the end."""
    monkeypatch.setenv("GMAIL_TOKEN", "the-token")
    made = []

    def open_one(*, rep: MailIdentity = REP, clock: Any = None, **section: Any) -> Any:
        account = GoogleAccount.model_validate({"auth": "access_token", "token": "${env:GMAIL_TOKEN}", **section})
        made.append(adapter.open_mailbox(account, rep, clock=clock or FrozenClock(), vault=MemoryVault()))
        return made[-1]

    yield open_one
    for mailbox in made:
        mailbox.close()


@contextmanager
def gmail_sandbox() -> Iterator[Sandbox]:
    """Start a sandbox with the rep's mailbox in it."""
    with Sandbox(start=START) as running:
        running.act("add_mail_account", kind="gmail", email=REP.email, name=REP.name)
        yield running


@contextmanager
def delegating(sandbox: Sandbox, folder: Path, **change: Any) -> Iterator[Any]:
    """Open a mailbox by a service account in the name of the rep."""
    section = sandbox.accounts(folder)["accounts"]["google"] | change
    mailbox = adapter.open_mailbox(GoogleAccount.model_validate(section), REP, clock=sandbox.clock, vault=MemoryVault())
    yield mailbox
    mailbox.close()


def trace(mail: Mail, draft: DraftRef | None) -> Trace:
    return Trace(key=mail.key, draft=draft, to=mail.to.email, subject=mail.subject, since=START - timedelta(minutes=1))


def google_error(status: int, reason: str, message: str = "In Google's words.") -> dict[str, Any]:
    item = {"domain": "global", "reason": reason, "message": message}
    return {"error": {"code": status, "message": message, "errors": [item], "status": "X"}}
