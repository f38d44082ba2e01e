"""Engines under test, and the wheel they turn: one that writes down what was worked, and does as it is told."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from connector.app import SystemClock
from connector.engine.jobs import ProcrastinateEngine
from connector.engine.local import LocalEngine
from connector.engine.port import Engine, Wheel
from connector.engine.tables import upgrade_tables
from connector.store.database import Database

#: Longest wait for anything that must come, in seconds; on a busy machine the seconds of others count too.
PATIENCE = 60.0

#: Every time that an engine can be given, as short as the library can do.
SOON = {"stop_within": 5.0, "again_after": 0.5, "run_lease": 2.0}


def open_engine(kind: str, database: Database, **options: float) -> Engine:
    """Return an engine of the kind on a database, with its tables."""
    given = SOON | options
    if kind == "local":
        return LocalEngine(database, SystemClock(), "test", **({"sweep_every": 0.2} | given))  # type: ignore[arg-type]
    upgrade_tables(database)
    fast = {"sweep_every": 1, "heartbeat": 0.5, "stalled": 1.5}
    return ProcrastinateEngine(database, SystemClock(), "test", **(fast | given))  # type: ignore[arg-type]


@contextlib.contextmanager
def running(engine: Engine, wheel: Wheel) -> Iterator[threading.Thread]:
    """Run an engine in a thread, and see it end."""
    thread = threading.Thread(target=engine.run, args=(wheel,))
    thread.start()
    try:
        yield thread
    finally:
        engine.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


class RecordingWheel:
    """Notes what is worked; what is in its fields decides what that comes to."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.begun: list[tuple[str, datetime]] = []
        self.ended: list[str] = []
        #: Lanes that `due` tells, until they are worked.
        self.dues: set[str] = set()
        #: How often `due` fails yet, and with what.
        self.failures: list[Exception] = []
        #: Lane -> how often its work raises yet.
        self.raising: dict[str, int] = {}
        #: Lane -> what its work waits for.
        self.holding: dict[str, threading.Event] = {}
        #: Lane -> in how many seconds it wants to be worked again, once.
        self.wishes: dict[str, float] = {}
        self.most_at_once = 0

    def work(self, lane: str) -> datetime | None:
        with self._changed:
            self.begun.append((lane, datetime.now(UTC)))
            self.dues.discard(lane)
            at_work = [one for one, _ in self.begun].count(lane) - self.ended.count(lane)
            self.most_at_once = max(self.most_at_once, at_work)
            self._changed.notify_all()
        if lane in self.holding:
            self.holding[lane].wait(PATIENCE)
        with self._changed:
            self.ended.append(lane)
            self._changed.notify_all()
            if self.raising.get(lane, 0):
                self.raising[lane] -= 1
                raise ValueError(lane)
            wish = self.wishes.pop(lane, None)
        return None if wish is None else datetime.now(UTC) + timedelta(seconds=wish)

    def due(self) -> list[str]:
        with self._changed:
            if self.failures:
                raise self.failures.pop()
            return sorted(self.dues)

    def times(self, lane: str) -> int:
        return self.ended.count(lane)

    def began(self, lane: str) -> datetime:
        return next(at for one, at in reversed(self.begun) if one == lane)

    def wait_for(self, condition: Callable[[], bool], within: float = PATIENCE) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, within), f"worked: {self.begun}, ended: {self.ended}"

    def wait_until_worked(self, lane: str, times: int = 1) -> None:
        self.wait_for(lambda: self.times(lane) >= times)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody tells of."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it did not come in time"
        time.sleep(0.05)
