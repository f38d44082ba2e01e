"""`kill -9` at any moment, then sync again: nothing twice, nothing missing, in all three services (issue 2, must show 4).

A process of its own turns the wheel against the sandbox over HTTP and is killed, again and again, at seeded moments
spread over its work. Two kinds of moment cover every line that matters:

- from outside, while a service has just been called or has just acted and its answer is not yet back;
- from inside, before the Nth statement or commit on the database.

The judge is the sandbox: its log of effects and what lies in it, never our own tables.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
from collections import Counter
from functools import partial
from typing import Any

import sqlalchemy

from adapters.sandbox.service import SandboxLog
from connector.app import Project
from connector.events import EventKind
from connector.sync.launch import launch
from connector.sync.office import Office
from tests.faults.failpoints import KILLED, Nursery, sync
from tests.world import WorldMaker, people

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


def _die_at(office: Office, *, moment: int) -> Office:
    """Kill this very process before its `moment`th statement or commit."""
    moments = itertools.count(1)

    def one_more(*_: Any) -> None:
        if next(moments) >= moment:
            os.kill(os.getpid(), signal.SIGKILL)

    sqlalchemy.event.listen(office.database.engine, "before_cursor_execute", one_more)
    sqlalchemy.event.listen(office.database.engine, "commit", one_more)
    return office


def _launch(project: Project, office: Office) -> None:
    """Launch the campaign for everybody."""
    launch(
        office,
        project.campaign("campaign"),
        project.templates,
        rep=project.rep(REPS[0]),
        people=people(300),
        start=office.now(),
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


def test_killed_during_delivery(make_world: WorldMaker, database_url: str) -> None:
    world = make_world(database_url=database_url, campaign={"campaign": SENDS, "drafts": DRAFTS}, pacing=UNPACED)
    for number, rep in enumerate(REPS):
        world.launch(people(5, domain=f"send{number}x"), rep=rep, campaign="Sends")
        world.launch(people(5, domain=f"draft{number}x"), rep=rep, campaign="Drafts")
    killer = _Killer(world.sandbox.log)
    dice = random.Random(1)
    killed = 0
    with Nursery(world) as nursery:
        for attempt in range(12):
            if attempt % 2:
                status = nursery.run(sync, danger=partial(_die_at, moment=dice.randint(1, 220)))
            else:
                status = nursery.run(sync, started=partial(killer.aim, moments=dice.randint(1, 50)))
                killer.rest()
            killed += status == KILLED
            world.after(seconds=20)  # so that what waits for a second look comes round while it is still being killed
        assert killed >= 6, "hardly any process was killed: the moments lie after the work"
        assert nursery.run(sync) == 0
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
    with Nursery(world) as nursery:
        while (status := nursery.run(_launch, danger=partial(_die_at, moment=killed + 1))) == KILLED:
            killed += 1
            assert world.enrollments == {}, "a killed launch left somebody behind"
            assert world.facts(*EventKind) == []
    assert status == 0
    assert killed >= 5, "a launch is more statements than that"
    assert len(world.enrollments) == 300
