"""Fixtures: Chromium, and a command center in which a campaign has gone on for a while."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.center import Center, happened, open_center
from tests.browser.window import Window, chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def center(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    """The command center of eight people; nothing that a test does in it may matter to another."""
    with open_center(browser, tmp_path_factory.mktemp("center"), prepare=happened) as opened:
        yield opened


@pytest.fixture
def windows() -> Iterator[list[Window]]:
    """Windows to close at the end; each must have seen nothing that no page may do."""
    opened: list[Window] = []
    yield opened
    for window in opened:
        window.close()
    assert [wrong for window in opened for wrong in window.wrong] == []
