"""`kill -9` at any moment, then sync again: nothing twice, nothing missing, in all three services (issue 2, must show 4).

A process of its own turns the wheel against the sandbox over HTTP and is killed, again and again, at seeded moments
spread over its work. Two kinds of moment cover every line that matters:

- from outside, while a service has just been called or has just acted and its answer is not yet back;
- from inside, before the Nth statement or commit on the database.

The judge is the sandbox: its log of effects and what lies in it, never our own tables.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from adapters.sandbox.service import SandboxLog
from connector.app import Project, RemoteClock, open_app
from connector.errors import Busy
from connector.events import EventKind
from connector.store.database import Database
from connector.sync.launch import launch
from connector.sync.wheel import turn
from tests.world import World, WorldMaker, people

SENDS = """\
name: Sends
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
      - call: {name: "Call {{first_name}}"}
"""

DRAFTS = """\
name: Drafts
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
"""

#: Nothing waits for its pace here: every moment of a pass is work that a kill can interrupt.
UNPACED = {"gmail": {"per_second": None, "per_day": None}, "outlook": {"per_minute": None, "per_day": None}}

REPS = ("ana@acme.example", "bob@acme.example")

#: Processes are forked from one that has everything imported and does nothing else.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    ["pytest", "tests.world", "adapters.gmail", "adapters.links", "adapters.outlook", "adapters.salesforce"]
)

_BUSY = 3


def _die_at(database: Database, moment: int) -> None:
    """Kill this very process before its `moment`th statement or commit."""
    moments = itertools.count(1)

    def one_more(*_: Any) -> None:
        if next(moments) >= moment:
            os.kill(os.getpid(), signal.SIGKILL)

    sqlalchemy.event.listen(database.engine, "before_cursor_execute", one_more)
    sqlalchemy.event.listen(database.engine, "commit", one_more)


def _sync(folder: Path, database_url: str, clock: str, environment: dict[str, str], die_at: int | None) -> None:
    """Turn the wheel once, in a process of its own."""
    os.environ.update(environment)
    with open_app(Project(folder=folder), clock=RemoteClock(clock), database_url=database_url) as app:
        if die_at is not None:
            _die_at(app.database, die_at)
        try:
            turn(app.office)
        except Busy:
            raise SystemExit(_BUSY) from None


def _launch(folder: Path, database_url: str, clock: str, environment: dict[str, str], die_at: int | None) -> None:
    """Launch the campaign for everybody, in a process of its own."""
    os.environ.update(environment)
    project = Project(folder=folder)
    with open_app(project, clock=RemoteClock(clock), database_url=database_url) as app:
        if die_at is not None:
            _die_at(app.database, die_at)
        launch(
            app.office,
            project.campaign("campaign"),
            project.templates,
            rep=project.rep(REPS[0]),
            people=people(300),
            start=app.office.now(),
            overrides={},
        )


class _Killer:
    """Kills a process when the sandbox has seen so many calls and effects, inside the call, before its answer."""

    def __init__(self, log: SandboxLog) -> None:
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._left: int | None = None
        self._call, self._effect = log.call, log.effect
        log.call = self._on_call  # type: ignore[method-assign]
        log.effect = self._on_effect  # type: ignore[method-assign]

    def aim(self, pid: int, moments: int) -> None:
        with self._lock:
            self._pid, self._left = pid, moments

    def rest(self) -> None:
        with self._lock:
            self._pid = self._left = None

    def _on_call(self, *arguments: Any) -> None:
        self._one_more()
        self._call(*arguments)

    def _on_effect(self, *arguments: Any, **details: Any) -> None:
        self._effect(*arguments, **details)
        self._one_more()

    def _one_more(self) -> None:
        with self._lock:
            if self._left is None or self._pid is None:
                return
            self._left -= 1
            if self._left == 0:
                os.kill(self._pid, signal.SIGKILL)


def run(world: World, work: Any, *, die_at: int | None = None, killer: _Killer | None = None, after: int = 0) -> int:
    """Run work in a process; return its exit status, -9 when it was killed."""
    environment = {name: os.environ[name] for name in os.environ if name.startswith("SANDBOX_")}
    clock = f"{world.sandbox.url}/sandbox/clock"
    process = _processes.Process(target=work, args=(world.folder, world.database_url, clock, environment, die_at))
    process.start()
    if killer is not None and process.pid is not None:
        killer.aim(process.pid, after)
    process.join()
    if killer is not None:
        killer.rest()
    status = process.exitcode
    process.close()
    assert status is not None
    return status


def run_to_the_end(world: World) -> None:
    """Sync until a pass is not refused: the database may take a moment to see that a killed process is gone."""
    for _ in range(20):
        status = run(world, _sync)
        if status != _BUSY:
            assert status == 0
            return
    pytest.fail("the lock of a killed process was never freed")


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_during_delivery(make_world: WorldMaker, database_url: str, seed: int) -> None:
    world = make_world(database_url=database_url, campaign={"campaign": SENDS, "drafts": DRAFTS}, pacing=UNPACED)
    for number, rep in enumerate(REPS):
        world.launch(people(5, domain=f"send{number}x"), rep=rep, campaign="Sends")
        world.launch(people(5, domain=f"draft{number}x"), rep=rep, campaign="Drafts")
    killer = _Killer(world.sandbox.log)
    dice = random.Random(seed)
    killed = 0
    for attempt in range(12):
        if attempt % 2:
            status = run(world, _sync, die_at=dice.randint(1, 220))
        else:
            status = run(world, _sync, killer=killer, after=dice.randint(1, 50))
        killed += status == -signal.SIGKILL
        world.after(seconds=20)  # so that what waits for a second look comes round while it is still being killed
    assert killed >= 6, "hardly any process was killed: the moments lie after the work"
    run_to_the_end(world)
    for _ in range(3):
        world.after(minutes=2)
        assert world.sync().exit_status == 0
    assert world.judge() == {"sends": 10, "drafts": 10, "tasks": 30, "all": 30}
    assert {task.stored.state.value for task in world.tasks} == {"open"}
    assert Counter(task["Status"] for task in world.records("Task")) == {"Completed": 10, "Not Started": 20}


def test_killed_during_launch(make_world: WorldMaker, database_url: str) -> None:
    world = make_world(database_url=database_url, campaign=SENDS)
    world.database.upgrade()
    killed = 0
    while (status := run(world, _launch, die_at=killed + 1)) == -signal.SIGKILL:
        killed += 1
        assert world.enrollments == {}, "a killed launch left somebody behind"
        assert world.facts(*EventKind) == []
    assert status == 0
    assert killed >= 5, "a launch is more statements than that"
    assert len(world.enrollments) == 300
