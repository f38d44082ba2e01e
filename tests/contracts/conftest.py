"""What the contract tests share: a line to sandboxes, and the rep's Gmail mailbox as the adapter opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gmail_world import delegating, gmail_sandbox, opening
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
