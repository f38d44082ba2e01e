"""Failpoints: a process is killed at each commit and each call of its work, wherever the product makes one.

Lives here: processes of their own that work and are killed, and the failpoints that the tests switch on in them. Does
not live here: any list of failpoints, and any code in the product: what is killed runs as it is delivered.

A failpoint is a moment around one transaction that writes or one call of a port, named by who makes it:
`drain._Worker._send:300: after gmail.send_draft`, `launch.launch:114: before commit`. Such a process dies at the first
failpoint at which none died before, so that one that is started again and again dies at each, and then lives.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from adapters.sandbox.service import SandboxClock
from connector.app import Project, open_office
from connector.errors import Busy
from connector.ports import Crm, Mailbox
from connector.store.database import Database
from connector.sync.office import Office
from connector.sync.wheel import turn
from tests.world import World

#: What a process does.
Work = Callable[[Project, Office], Any]

#: What is done to a process before it works: the office it is to work with.
Danger = Callable[[Office], Office]

KILLED = -signal.SIGKILL

#: Kills by which the work of any scenario must have come to its end.
_MOST = 300

#: Seconds in which the database sees that a killed process is gone.
_SEEN = 20

#: Nurseries are forked from a process that has everything imported.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    ["pytest", "tests.world", "adapters.gmail", "adapters.links", "adapters.outlook", "adapters.salesforce"]
)


# ------------------------------------------------------------------------------------------ processes


def sync(_project: Project, office: Office) -> None:
    """Turn the wheel once."""
    turn(office)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What a process is to do, and when."""

    now: datetime
    work: Work
    danger: Danger | None = None


class Nursery:
    """Bears processes that work on one project.

    Each is forked from a process that has read the project's files and built the statements, and that holds nothing
    else: no connection, no mailbox, no token. A process is then a tenth of what one from nothing would cost.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._line, end = _processes.Pipe()
        environment = {name: os.environ[name] for name in os.environ if name.startswith("SANDBOX_")}
        given = (end, world.folder, world.database_url, environment)
        self._process = _processes.Process(target=_bear, args=given, daemon=True)
        self._process.start()
        end.close()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        self._process.join()

    def warm(self, work: Work) -> None:
        """Do undisturbed work in the nursery itself, so that its statements are built already in who comes after."""
        self._line.send((_Order(now=self._world.now, work=work), False))
        assert self._line.recv() == 0, "the work failed: see what it wrote to its standard error"

    def run(self, work: Work, *, danger: Danger | None = None, started: Callable[[int], object] | None = None) -> int:
        """Work in a process, which is told the present instant; return its exit status, `KILLED` when it was killed."""
        self._line.send((_Order(now=self._world.now, work=work, danger=danger), True))
        pid = self._line.recv()
        if started is not None:
            started(pid)
        status: int = self._line.recv()
        return status


def _bear(line: Connection, folder: Path, database_url: str, environment: dict[str, str]) -> None:
    """Be a nursery, until nobody listens any more."""
    os.environ.update(environment)
    project, database = Project(folder=folder), Database(database_url)
    with suppress(EOFError):
        while True:
            order, forked = line.recv()
            if not forked:
                line.send(_live(project, database, order))
                database.close()
                gc.freeze()
                continue
            pid = os.fork()
            if pid == 0:
                os._exit(_live(project, database, order))
            line.send(pid)
            line.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _live(project: Project, database: Database, order: _Order) -> int:
    """Work; return an exit status."""
    office = open_office(project, database, SandboxClock(order.now))
    until = time.monotonic() + _SEEN
    try:
        worked_with = office if order.danger is None else order.danger(office)
        while True:
            try:
                order.work(project, worked_with)
                return 0
            except Busy:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)  # until the database sees that a killed process is gone
    except Exception:  # noqa: BLE001 - whatever it was, the test shall see it
        traceback.print_exc()
        return 1
    finally:
        for port in (*office.mailboxes.values(), office.crm):
            if port is not None:
                port.close()


# ----------------------------------------------------------------------------------------- failpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One process's end."""

    failpoint: str
    #: How often this process had come by until it died there.
    passes: int


class _Failpoints:
    """The failpoints of this process: it writes down where it is, and kills itself, where none died before."""

    def __init__(self, record: Path, only: Collection[str], twice: Collection[str]) -> None:
        self._record = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._before = frozenset(kills_in(record))
        self._only, self._twice = only, twice
        self._passed: Counter[str] = Counter()
        self._lock = threading.Lock()

    def come_by(self, failpoint: str) -> None:
        with self._lock:
            self._passed[failpoint] += 1
            here = Kill(failpoint=failpoint, passes=self._passed[failpoint])
            wanted = _is_one_of(failpoint, self._only if here.passes == 1 else self._twice)
            if here in self._before or here.passes > 2 or not wanted:
                return
            os.write(self._record, f"{here.passes} {failpoint}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def around_commits(self, way: str) -> None:
        """Come by before and after each commit of the transactions that are opened this way."""
        begin = getattr(Database, way)

        @contextmanager
        def begun(database: Database) -> Iterator[Any]:
            who = _who()
            with begin(database) as tx:
                yield tx
                self.come_by(f"{who}: before commit")
            self.come_by(f"{who}: after commit")

        setattr(Database, way, begun)


class _Port:
    """A mailbox or a CRM, with a failpoint before and after each call."""

    def __init__(self, port: Any, failpoints: _Failpoints) -> None:
        self._port = port
        self._failpoints = failpoints

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        return partial(self._call, found, name) if name in _CALLS else found

    def _call(self, method: Callable[..., Any], name: str, /, *arguments: Any, **options: Any) -> Any:
        who, what = _who(), f"{self._port.capabilities.name}.{name}"
        self._failpoints.come_by(f"{who}: before {what}")
        answer = method(*arguments, **options)
        self._failpoints.come_by(f"{who}: after {what}")
        return answer


#: What of a port calls the service.
_CALLS = {name for port in (Mailbox, Crm) for name in dir(port) if callable(getattr(port, name)) and name[0] != "_"}


def _who() -> str:
    """Name the function, and its line, that opened this transaction or made this call."""
    frame = sys._getframe(1)
    assert frame.f_back is not None
    if frame.f_back.f_code.co_name != "__enter__":
        frame = frame.f_back
    # A context manager around a transaction is none of its own: who enters it makes it.
    while (back := frame.f_back) is not None and back.f_code.co_name == "__enter__" and back.f_back is not None:
        frame = back.f_back
    module = frame.f_globals["__name__"].removeprefix("connector.").removeprefix("sync.")
    return f"{module}.{frame.f_code.co_qualname}:{frame.f_lineno}"


def _is_one_of(failpoint: str, words: Collection[str]) -> bool:
    return any(word in failpoint for word in words)


def _switch_on(
    office: Office,
    *,
    record: Path,
    only: Collection[str],
    twice: Collection[str],
    fault: Callable[[], object] | None,
) -> Office:
    """Put failpoints into this process; `fault` breaks the product in it."""
    if fault is not None:
        fault()
    failpoints = _Failpoints(record, only, twice)
    for way in ("write", "write_in_lane"):
        failpoints.around_commits(way)
    mailboxes: Any = {rep: _Port(mailbox, failpoints) for rep, mailbox in office.mailboxes.items()}
    crm: Any = None if office.crm is None else _Port(office.crm, failpoints)
    return replace(office, mailboxes=mailboxes, crm=crm)


def kills_in(record: Path) -> list[Kill]:
    """Return the ends that processes wrote down before they died, in order."""
    lines = [line.split(" ", 1) for line in record.read_text().splitlines()] if record.exists() else []
    return [Kill(failpoint=failpoint, passes=int(passes)) for passes, failpoint in lines]


def kill_everywhere(
    world: World,
    nursery: Nursery,
    work: Work,
    *,
    then: Callable[[Kill], object] | None = None,
    only: Collection[str] = ("",),
    twice: Collection[str] = (),
    fault: Callable[[], object] | None = None,
) -> list[Kill]:
    """Work in one process after another until one comes to the end without a new failpoint; return all kills.

    After each kill 20 s pass, and what `then` does. `only` limits the failpoints to those with one of these words in
    their name; those with a word of `twice` kill again, in another process, when it comes by there the second time.
    `fault` breaks the product in each process.
    """
    record = world.folder / "kills"
    danger = partial(_switch_on, record=record, only=only, twice=twice, fault=fault)
    killed = 0
    while (status := nursery.run(work, danger=danger)) == KILLED:
        killed += 1
        kills = kills_in(record)
        assert len(kills) == len(set(kills)) == killed, "a process was killed elsewhere than it wrote down"
        assert killed < _MOST, "the work comes to no end"
        world.after(seconds=20)
        if then is not None:
            then(kills[-1])
    assert status == 0
    return kills_in(record)
