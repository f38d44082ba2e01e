"""What the tests of signing in to Gmail begin with: a sandbox with two reps, and a browser that an HTTP client plays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from adapters.gmail import adapter
from adapters.gmail.account import COMPOSE_SCOPE, READ_SCOPE, GoogleAccount
from adapters.gmail.mailbox import GmailMailbox
from adapters.sandbox import Sandbox
from connector.ports import MailIdentity
from tests.doubles import MemoryVault

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ANA, BEN = "ana@acme.example", "ben@acme.example"
BOTH = [READ_SCOPE, COMPOSE_SCOPE]


class Browser:
    """A `ports.Conversation` whose person opens every address at once."""

    def __init__(self, change: Callable[[str], str] = lambda address: address) -> None:
        self.change = change
        self.shown: list[str] = []
        self.addresses: list[str] = []
        self.page = ""

    def show(self, sentence: str) -> None:
        self.shown.append(sentence)

    def open(self, address: str) -> None:
        self.addresses.append(address)
        answer = requests.get(self.change(address), timeout=10, allow_redirects=False)
        assert answer.status_code == 302, answer.text  # else nobody would come back
        self.page = requests.get(answer.headers["Location"], timeout=10).text


class GoogleWorld:
    """A sandbox with two Gmail reps, one vault, and accounts of every kind in it."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.login = sandbox.gmail.login
        self.vault = MemoryVault()
        self.folder = folder
        self.addresses = {"endpoint": sandbox.url, "token_url": f"{sandbox.url}/google/token"}
        self._opened: list[GmailMailbox] = []
        for email in (ANA, BEN):
            sandbox.world.add_mailbox("gmail", email, email[:3].title())

    def account(self, auth: str = "oauth", **change: Any) -> GoogleAccount:
        files = {
            "oauth": lambda: {"client_file": str(self.sandbox.write_google_client(self.folder))},
            "service_account": lambda: {
                "key_file": self.sandbox.accounts(self.folder)["accounts"]["google"]["key_file"]
            },
            "access_token": dict,
        }
        return GoogleAccount.model_validate({"auth": auth, **files[auth](), **self.addresses, **change})

    def open(self, account: GoogleAccount, email: str = ANA, *aliases: str) -> GmailMailbox:
        rep = MailIdentity(email=email, name=email[:3].title(), aliases=aliases)
        self._opened.append(adapter.open_mailbox(account, rep, clock=self.sandbox.clock, vault=self.vault))
        return self._opened[-1]

    def sign_in(
        self, account: GoogleAccount, rep: str | None = ANA, *aliases: str, browser: Browser | None = None
    ) -> str:
        return adapter.sign_in(
            account, browser or Browser(), rep=rep, aliases=aliases, clock=self.sandbox.clock, vault=self.vault
        )

    def token_calls(self) -> int:
        return self.sandbox.log.calls["gmail:token"]

    def close(self) -> None:
        for mailbox in self._opened:
            mailbox.close()
