"""What the benches of the services share: a slow sandbox and each measurement in a process of its own.

Lives here: `slow_sandbox`, `in_own_process`, `side_by_side`, `project_office` and `seconds`. Does not live here: what
is measured.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connector.app import Project, open_app
from connector.sync.office import Office

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@contextmanager
def slow_sandbox(bench: str, *arguments: str) -> Iterator[dict[str, Any]]:
    """Run `serve` of a bench (its file) in a process of its own and yield what it says."""
    command = [sys.executable, bench, "--serve", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready: dict[str, Any] = json.loads(process.stdout.readline())
            yield ready
        finally:
            process.terminate()


def in_own_process(bench: str, arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Run one measurement of a bench (its file) in a new process and return what it says."""
    command = [sys.executable, bench, "--measure", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def side_by_side(bench: str, each: Sequence[Sequence[str]]) -> list[dict[str, float]]:
    """Run measurements of a bench (its file) at the same time, a process each; they begin together.

    Each says a line when it is ready and begins when it is sent one; returns what they say last.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, bench, "--measure", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for arguments in each
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise SystemExit("a measurement ended before it began: see what it said above")
        said = []
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            output, _ = process.communicate()
            if process.returncode != 0:
                raise SystemExit("a measurement failed: see what it said above")
            said.append(json.loads(output.splitlines()[-1]))
        return said
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def project_office(folder: Path) -> Iterator[tuple[Project, Office]]:
    """Open the project that a sandbox wrote, on SQLite, with a clock that stands still."""
    gc.freeze()  # as the command does
    project = Project(folder=folder)
    with open_app(project, clock=_Still(), database_url=f"sqlite:///{folder / 'bench.db'}") as app:
        yield project, app.office


def seconds(work: Callable[[], Any]) -> float:
    """Return how long something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class _Still:
    def now(self) -> datetime:
        return START

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
