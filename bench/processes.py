"""What the benches of the services share: a slow sandbox and each measurement in a process of its own.

Lives here: `slow_sandbox`, `in_own_process`, `in_turns`, `work_in_slices`, `project_office` and `seconds`. Does not
live here: what is measured.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A piece of work that processes did at the same time: how much, in how many seconds."""

    done: float
    seconds: float

    @property
    def rate(self) -> float:
        """How much a second."""
        return self.done / self.seconds


def in_turns(bench: str, groups: Mapping[str, Sequence[Sequence[str]]], rounds: int) -> dict[str, list[Slice]]:
    """Have groups of measurements of a bench (its file) work by turns, a slice each; those of a group together.

    Each measurement runs in a process of its own, with `work_in_slices`. What else the machine does meanwhile falls on
    neighbours alike, so the ratio of two groups is steadier than their rates.
    """
    with ExitStack() as stack:
        started = {name: [stack.enter_context(_started(bench, one)) for one in each] for name, each in groups.items()}
        for process in chain.from_iterable(started.values()):
            _said(process)
        found: dict[str, list[Slice]] = {name: [] for name in groups}
        for _ in range(rounds):
            for name, together in started.items():
                for process in together:
                    assert process.stdin is not None
                    process.stdin.write("go\n")
                    process.stdin.flush()
                told = [json.loads(_said(process)) for process in together]
                taken = max(one["ended"] for one in told) - min(one["began"] for one in told)
                found[name].append(Slice(done=sum(one["done"] for one in told), seconds=taken))
        return found


@contextmanager
def _started(bench: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, bench, "--measure", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a measurement ended too early: see what it said above")
    return line


def work_in_slices(work: Iterable[Callable[[], float]]) -> None:
    """Do a piece of work each time that `in_turns` says so, and tell when, and how much it was."""
    print("ready", flush=True)
    for piece in work:
        if not sys.stdin.readline():
            return
        began = time.monotonic()
        done = piece()
        print(json.dumps({"began": began, "ended": time.monotonic(), "done": done}), flush=True)


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
