"""What the contract tests share: a line to sandboxes, and a rep's Gmail and Outlook mailboxes as adapters open them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import responses
from gmail_world import delegating, gmail_sandbox, opening
from mailbox_contract import MAILBOXES, MailboxHarness, Relay, open_harness, open_line
from outlook_world import give_secrets, mocked_line, open_outlook, opening_in
from sandbox_front import open_front

from adapters.sandbox import Sandbox


@pytest.fixture(scope="module")
def front() -> Iterator[Any]:
    """Serve one address behind which each test puts a sandbox of its own."""
    with open_front() as running:
        yield running


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Give a way to open the rep's Gmail mailbox with a ready token."""
    with opening(monkeypatch) as way:
        yield way


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run a sandbox that holds the rep's Gmail mailbox; tests of other services bring their own."""
    with gmail_sandbox() as running:
        yield running


@pytest.fixture
def delegated(sandbox: Sandbox, tmp_path: Path) -> Iterator[Any]:
    """Open that mailbox by the service account."""
    with delegating(sandbox, tmp_path) as mailbox:
        yield mailbox


@pytest.fixture
def microsoft_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the secrets into the environment that an account of Microsoft's names."""
    give_secrets(monkeypatch)


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    """Answer calls to Graph as the test says."""
    with mocked_line() as line:
        yield line


@pytest.fixture
def outlook(microsoft_secrets: None, wire: responses.RequestsMock) -> Iterator[Any]:
    """Open the rep's Outlook mailbox with a ready token, on that line."""
    mailbox = open_outlook()
    yield mailbox
    mailbox.close()


@pytest.fixture
def office(sandbox: Sandbox, microsoft_secrets: None) -> Iterator[Callable[..., Any]]:
    """Give a way to open Outlook mailboxes of reps in the test's own sandbox."""
    with opening_in(sandbox) as way:
        yield way


@pytest.fixture(scope="module")
def contract_line() -> Iterator[tuple[Sandbox, Relay]]:
    """Run the sandbox that the mailbox contract is held against."""
    with open_line() as line:
        yield line


@pytest.fixture(params=MAILBOXES)
def harness(request: pytest.FixtureRequest, contract_line: tuple[Sandbox, Relay]) -> Iterator[MailboxHarness]:
    """Open a new rep's mailbox, by each adapter in turn."""
    with open_harness(request.param, *contract_line) as opened_one:
        yield opened_one
