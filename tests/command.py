"""Running the `connector` command in a test, and what came of it."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.app import CLOCK_VARIABLE
from connector.cli import run
from tests.world import World


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one command said and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout; fails when there is anything else."""
        return json.loads(self.out)


@dataclass(frozen=True, kw_only=True)
class Command:
    """The command on one project folder."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Result:
        """Run it in this process."""
        self.capsys.readouterr()
        status = run(["-C", str(self.folder), *arguments])
        said = self.capsys.readouterr()
        return Result(status=status, out=said.out, err=said.err)


def command_in(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return the command on a world's project, its database and its clock."""
    monkeypatch.setenv("DATABASE_URL", world.database_url)
    monkeypatch.setenv("COLUMNS", "200")  # tables are as wide as the terminal
    monkeypatch.setenv(CLOCK_VARIABLE, f"{world.sandbox.url}/sandbox/clock")
    return Command(folder=world.folder, capsys=capsys)


class Screen(io.StringIO):
    """What a command says; when an address to sign in at appears, somebody opens it in a browser."""

    def write(self, text: str) -> int:
        """Note what is said, and go where it leads."""
        for line in text.splitlines():
            if line.strip().startswith("http") and "redirect_uri=" in line:
                threading.Thread(target=requests.get, args=(line.strip(),), kwargs={"timeout": 10}).start()
        return super().write(text)


def command_with_browser(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Return the command on a world's project, of a person who opens each address it shows."""
    command = command_in(world, monkeypatch, capsys)

    def run_and_look(*arguments: str) -> Result:
        screen = Screen()
        world.reopen()
        monkeypatch.setattr(sys, "stderr", screen)
        result = command(*arguments)
        return Result(status=result.status, out=result.out, err=screen.getvalue())

    return run_and_look
