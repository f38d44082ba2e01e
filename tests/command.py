"""Running the `connector` command in a test, and what came of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

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
