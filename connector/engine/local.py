"""The engine of one process: threads, wakes kept in memory, a sweep every few seconds.

Lives here: `LocalEngine`. Does not live here: what is done in a lane (`sync.lanes`), schedules' slots (`schedules`).

One process runs per database, held by a lock that the system frees when it dies. Wakes are in memory alone: one that
another process makes (`connector launch` beside `connector run`) reaches nobody, and the sweep finds its lane, as it
finds everything after a crash.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from connector.engine.port import REST, Health, Schedule, Wheel
from connector.engine.schedules import (
    RUN_LEASE_SECONDS,
    check_schedule,
    newest_slot,
    next_slot,
    read_overdue,
    run_slot,
)
from connector.engine.signals import stopped_by_signals
from connector.errors import Busy
from connector.ports import Clock
from connector.store.database import Database, Transaction, after_commit

#: Name of the lock that lets one process run per database.
LOCK = "run"

#: Longest wait between two tries to reach a database that is gone, in seconds.
_LONGEST_WAIT = 30.0

#: Times in a row that the lock may be found taken before it is another process that has it.
_ASKED = 10

_LOG = logging.getLogger(__name__)


class LocalEngine:
    """Works lanes and schedules with a few threads of this process, on SQLite or PostgreSQL."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        owner: str,
        *,
        threads: int = 8,
        stop_within: float = 30.0,
        sweep_every: float = 5.0,
        again_after: float = 30.0,
        run_lease: float = RUN_LEASE_SECONDS,
    ) -> None:
        """Take the database, the clock of instants, and a name for the runs it begins; all times in seconds.

        `again_after` is how long a lane is left alone that raised; `run_lease` bounds how long a killed run of a
        schedule is held up.
        """
        self._database = database
        self._clock = clock
        self._owner = owner
        self._threads = threads
        self._stop_within = stop_within
        self._sweep_every = sweep_every
        self._again_after = again_after
        self._run_lease = run_lease
        self._schedules: list[Schedule] = []
        #: Guards what follows, and is told of every change.
        self._changed = threading.Condition()
        self._wakes: dict[str, datetime] = {}
        #: Lanes left alone, but by a wake, until a reading of the machine's own counter, which no clock can stop.
        self._resting: dict[str, float] = {}
        self._slots: list[tuple[Schedule, datetime]] = []
        self._at_work: set[str | tuple[str, datetime]] = set()
        self._runs = False
        #: Not below the condition: a signal may set it while this very thread holds that.
        self._stopped = threading.Event()

    def wake(self, tx: Transaction | None, lanes: Collection[str], at: datetime | None = None) -> None:
        """Have lanes worked by this process, now or at an instant; with a transaction, when it has been committed."""
        wanted = dict.fromkeys(lanes, at or self._clock.now())
        if tx is None:
            self._note(wanted)
        else:
            after_commit(tx, lambda: self._note(wanted))

    def _note(self, wakes: dict[str, datetime]) -> None:
        with self._changed:
            for lane, at in wakes.items():
                self._wakes[lane] = min(at, self._wakes.get(lane, at))
            self._changed.notify_all()

    def every(self, schedule: Schedule) -> None:
        """Have something done at each of its times; raise `BadInput` for times that cannot be read."""
        check_schedule(schedule)
        self._schedules.append(schedule)

    def run(self, wheel: Wheel) -> None:
        """Work until told to stop; raise `Busy` when another process runs on this database."""
        with stopped_by_signals(self._stopped.set):
            tries = busy = 0
            while not self._stopped.is_set():
                try:
                    with self._database.only_one(LOCK), self._working(wheel):
                        tries = busy = 0
                        self._look_after(wheel)
                except Busy:
                    # Whoever asks how it does has the lock for a moment, another process for good.
                    busy += 1
                    if busy > _ASKED:
                        raise
                    self._stopped.wait(0.1)
                except SQLAlchemyError:
                    # The lock went with the connection: whoever gets it first runs on.
                    wait = min(_LONGEST_WAIT, 2.0**tries)
                    tries += 1
                    _LOG.warning("the database is lost; tried again in %.0f s", wait, exc_info=True)
                    self._stopped.wait(wait)

    def stop(self) -> None:
        """End `run` gracefully, from any thread."""
        self._stopped.set()

    def health(self) -> Health:
        """Tell whether a process runs on this database; what waits is known in that process alone."""
        with self._changed:
            if self._runs:
                now = self._clock.now()
                waiting = sum(at <= now for at in self._wakes.values())
                return Health(is_well=True, sentence="all is well", waiting=waiting, workers=1)
        try:
            with self._database.only_one(LOCK):
                return Health(is_well=False, sentence="nothing is worked: start 'connector run'")
        except Busy:
            return Health(is_well=True, sentence="all is well", workers=1)
        except SQLAlchemyError:
            return Health(is_well=False, sentence="the database cannot be reached: check that it runs")

    # ------------------------------------------------------------------------------------------- the main thread

    @contextmanager
    def _working(self, wheel: Wheel) -> Iterator[None]:
        """Keep threads at work; then let them finish what is under way, within the time limit."""
        ended = threading.Event()
        # What is not finished in time goes with the process: it is as if it had been killed, which harms nothing.
        workers = [
            threading.Thread(target=self._work, args=(wheel, ended), name=f"connector-{number}", daemon=True)
            for number in range(self._threads)
        ]
        for worker in workers:
            worker.start()
        self._runs = True
        try:
            yield
        finally:
            self._runs = False
            until = monotonic() + self._stop_within
            with self._changed:
                ended.set()
                self._changed.notify_all()
            for worker in workers:
                worker.join(max(0.0, until - monotonic()))
            if left := sum(worker.is_alive() for worker in workers):
                _LOG.warning("%d at work were not finished in time, and are taken up again by the next run", left)

    def _look_after(self, wheel: Wheel) -> None:
        """Sweep, and offer the slots that have come, until told to stop; raise when the database is lost."""
        offered = {schedule.name: newest_slot(schedule, self._clock.now()) for schedule in self._schedules}
        self._offer([(schedule, offered[schedule.name]) for schedule in self._schedules])
        sweep_at = monotonic()
        while not self._stopped.is_set():
            if monotonic() >= sweep_at:
                self._sweep(wheel)
                sweep_at = monotonic() + self._sweep_every
            now = self._clock.now()
            for schedule in self._schedules:
                while (slot := next_slot(schedule, offered[schedule.name])) <= now:
                    offered[schedule.name] = slot
                    self._offer([(schedule, slot)])
            self._stopped.wait(min([sweep_at - monotonic(), *self._seconds_to_slots(now)]))

    def _seconds_to_slots(self, now: datetime) -> list[float]:
        return [(next_slot(schedule, now) - now).total_seconds() for schedule in self._schedules]

    def _offer(self, slots: Collection[tuple[Schedule, datetime]]) -> None:
        with self._changed:
            self._slots += [slot for slot in slots if slot not in self._slots and _key(slot) not in self._at_work]
            self._changed.notify_all()

    def _sweep(self, wheel: Wheel) -> None:
        """Wake what is due, but for lanes left alone for a while."""
        now = self._clock.now()
        self._offer(read_overdue(self._database, self._schedules, now))
        try:
            due = wheel.due()
        except SQLAlchemyError:
            raise
        except Exception:  # noqa: BLE001 - a fault of ours must not end the engine; the next sweep tries again
            _LOG.exception("what is due could not be told")
            return
        with self._changed:
            self._wakes |= {lane: now for lane in due if lane not in self._resting}
            self._changed.notify_all()

    # ------------------------------------------------------------------------------------------------- its threads

    def _work(self, wheel: Wheel, ended: threading.Event) -> None:
        while not (ended.is_set() or self._stopped.is_set()):
            try:
                taken = self._take(ended)
                if isinstance(taken, str):
                    self._work_lane(wheel, taken)
                elif taken is not None:
                    self._work_slot(*taken)
            except Exception:  # noqa: BLE001 - no fault may cost a thread; the sweep finds what was left
                _LOG.warning("something went wrong; it is tried again in a while", exc_info=True)
                ended.wait(1.0)

    def _take(self, ended: threading.Event) -> str | tuple[Schedule, datetime] | None:
        """Return a slot or lane, marked as at work; wait when there is none, and return None after a while."""
        now = self._clock.now()
        with self._changed:
            if ended.is_set() or self._stopped.is_set():
                return None
            if self._slots:
                slot = self._slots.pop(0)
                self._at_work.add(_key(slot))
                return slot
            for lane in [lane for lane, until in self._resting.items() if until <= monotonic()]:
                del self._resting[lane]
                self._wakes[lane] = now
            free = {lane: at for lane, at in self._wakes.items() if lane not in self._at_work}
            first = min(free, key=free.__getitem__, default=None)
            if first is not None and free[first] <= now:
                del self._wakes[first]
                self._resting.pop(first, None)
                self._at_work.add(first)
                return first
            waits = [until - monotonic() for until in self._resting.values()]
            if first is not None:
                waits.append((free[first] - now).total_seconds())
            self._changed.wait(max(0.0, min([self._sweep_every, *waits])))
        return None

    def _work_lane(self, wheel: Wheel, lane: str) -> None:
        rest, again = self._again_after, None
        try:
            again = wheel.work(lane)
        except Exception:  # noqa: BLE001 - one lane's fault must not stop another
            _LOG.exception("the lane %s went wrong; it is worked again in a while", lane)
        else:
            _LOG.info("worked %s%s", lane, f", again at {again.isoformat()}" if again else "")
            rest = 0.0 if again is None else REST.total_seconds()
        finally:
            self._let_go(lane)
        if again is not None and again > self._clock.now() + REST:
            self._note({lane: again})
        elif rest:
            with self._changed:
                self._resting[lane] = monotonic() + rest
                self._changed.notify_all()

    def _work_slot(self, schedule: Schedule, slot: datetime) -> None:
        try:
            run_slot(self._database, self._clock, schedule, slot, self._owner, lease_seconds=self._run_lease)
        finally:
            self._let_go((schedule.name, slot))

    def _let_go(self, what: str | tuple[str, datetime]) -> None:
        with self._changed:
            self._at_work.discard(what)
            self._changed.notify_all()


def _key(slot: tuple[Schedule, datetime]) -> tuple[str, datetime]:
    schedule, at = slot
    return schedule.name, at
