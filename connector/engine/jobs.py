"""The engine of many machines: Procrastinate on PostgreSQL.

Lives here: `ProcrastinateEngine`. Does not live here: its tables (`tables`), what is written into them (`wakes`), what
is done in a lane (`sync.lanes`). Source: reference engine 2 and 3.2, decision 29.

Truth is in our own tables. Each of Procrastinate's jobs says no more than "look at this lane": losing all of them costs
the time until the next sweep, and doing one twice a look. What this module is for is the traps around that:

- The worker of the library ends, without an error, when it loses the database: `run` starts it again.
- A job whose worker died is `doing` for ever: the sweep drops it, and wakes its lane. The library could put the job
  back, but not where the lane was woken again meanwhile: of waiting jobs there is one a lane.
- For the same reason it cannot retry a job that failed: work here never fails, it wakes its lane again.
- The library cannot stop a thread: ours are left when the time to stop is over.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Status
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from connector.engine.port import REST, Health, Schedule, Wheel
from connector.engine.schedules import (
    MAKE_UP_WITHIN,
    RUN_LEASE_SECONDS,
    check_schedule,
    read_overdue,
    run_slot,
)
from connector.engine.signals import stopped_by_signals
from connector.engine.tables import are_there
from connector.engine.threads import in_thread
from connector.engine.wakes import LANE, PRIORITY, QUEUE, SLOT, SWEEP, Wanted, enqueue, wanted_lane, wanted_slot
from connector.ports import Clock
from connector.store.database import END_LOSS, NOTICE_LOSS, Database, Transaction

#: Longest wait between two tries to reach a database that is gone, in seconds.
_LONGEST_WAIT = 30.0

#: Connections of the library's own; work in lanes uses the store's.
_POOL: dict[str, Any] = {"min_size": 1, "max_size": 4, "timeout": 10.0}

_AT_ONCE = timedelta(0)

_WORKERS = text(
    "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :seconds)"
)
_WAITING = text(
    "SELECT count(*) FROM procrastinate_jobs"
    " WHERE queue_name = :queue AND status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now())"
)

_LOG = logging.getLogger(__name__)


class ProcrastinateEngine:
    """Works lanes and schedules on as many machines as start it, on one PostgreSQL database."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        owner: str,
        *,
        concurrency: int = 8,
        stop_within: float = 30.0,
        sweep_every: int = 10,
        again_after: float = 30.0,
        heartbeat: float = 10.0,
        stalled: float = 30.0,
        run_lease: float = RUN_LEASE_SECONDS,
    ) -> None:
        """Take the database, the clock of instants, and a name for the runs it begins; all times in seconds.

        `sweep_every` is a divisor of 60. `again_after` is how long a lane is left alone that raised; a worker without
        a `heartbeat` for `stalled` is dead; `run_lease` bounds how long a killed run of a schedule is held up.
        """
        self._database = database
        self._clock = clock
        self._owner = owner
        self._concurrency = concurrency
        self._stop_within = stop_within
        self._sweep_every = sweep_every
        self._again_after = timedelta(seconds=again_after)
        self._heartbeat = heartbeat
        self._stalled = stalled
        self._run_lease = run_lease
        self._schedules: dict[str, Schedule] = {}
        self._has_tables = False
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wish = asyncio.Event()
        #: Guards what follows: lanes that threads of this process work, and those woken meanwhile.
        self._lock = threading.Lock()
        self._at_work: set[str] = set()
        self._again: set[str] = set()

    def wake(self, tx: Transaction, lanes: Collection[str], at: datetime | None = None) -> None:
        """Have lanes worked by any worker, now or at an instant, if the transaction is committed.

        Where Procrastinate's tables are not there, nobody works: nothing happens.
        """
        try:
            self._has_tables = self._has_tables or are_there(tx)
            if self._has_tables and lanes:
                enqueue(tx, [wanted_lane(lane) for lane in lanes], after=self._until(at))
        except (SQLAlchemyError, ConnectorException):
            # A wake is a hint, and what asked for it is not to fail for it: the sweep finds these lanes.
            _LOG.warning("%d lanes could not be woken", len(lanes), exc_info=True)

    def _until(self, at: datetime | None) -> timedelta:
        return _AT_ONCE if at is None else max(_AT_ONCE, at - self._clock.now())

    def every(self, schedule: Schedule) -> None:
        """Have something done at each of its times; raise `BadInput` for times that cannot be read."""
        check_schedule(schedule)
        self._schedules[schedule.name] = schedule

    def run(self, wheel: Wheel) -> None:
        """Work until told to stop."""
        with stopped_by_signals(self.stop):
            asyncio.run(self._serve(wheel))

    def stop(self) -> None:
        """End `run` gracefully, from any thread."""
        self._stopped.set()
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._wish.set)

    def health(self) -> Health:
        """Tell whether workers give signs of life, and how many wakes wait for them."""
        try:
            with self._database.read() as tx:
                if not are_there(tx):
                    return Health(is_well=False, sentence="the engine's tables are missing: run 'connector db upgrade'")
                workers = int(tx.execute(_WORKERS, {"seconds": self._stalled}).scalar_one())
                waiting = int(tx.execute(_WAITING, {"queue": QUEUE}).scalar_one())
        except SQLAlchemyError:
            return Health(is_well=False, sentence="the database cannot be reached: check that it runs")
        if not workers:
            sentence = f"no worker has given a sign of life for {self._stalled:.0f} s: start 'connector worker'"
            return Health(is_well=False, sentence=sentence, waiting=waiting)
        return Health(is_well=True, sentence="all is well", waiting=waiting, workers=workers)

    # ---------------------------------------------------------------------------------------- keeping a worker alive

    async def _serve(self, wheel: Wheel) -> None:
        """Run one worker of the library after another, until told to stop."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_note_lost_job)
        if self._stopped.is_set():
            return
        tries = 0
        while not self._wish.is_set():
            begun = self._loop.time()
            life = asyncio.create_task(self._live(wheel))
            wish = asyncio.create_task(self._wish.wait())
            await asyncio.wait({life, wish}, return_when=asyncio.FIRST_COMPLETED)
            life.cancel()
            wish.cancel()
            try:
                await life
                why = ""
            except asyncio.CancelledError:
                return
            except Exception as error:  # noqa: BLE001 - whatever ended it, this process is here to work
                why = f" ({error or type(error).__name__})"
            tries = 0 if self._loop.time() - begun > _LONGEST_WAIT else tries + 1
            wait = min(_LONGEST_WAIT, 2.0 ** (tries - 1))
            _LOG.warning("the worker stopped%s: is the database there? It starts again in %.0f s", why, wait)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wish.wait(), wait)

    async def _live(self, wheel: Wheel) -> None:
        """Run the library's worker; it returns when it has lost the database, and when this is cancelled."""
        app = self._app(wheel)
        try:
            await app.open_async()
            await app.run_worker_async(
                queues=[QUEUE],
                concurrency=self._concurrency,
                delete_jobs="successful",
                install_signal_handlers=False,
                shutdown_graceful_timeout=self._stop_within,
                update_heartbeat_interval=self._heartbeat,
                stalled_worker_timeout=self._stalled,
                # Jobs for a later instant are found by looking: nobody tells when it has come.
                fetch_job_polling_interval=1.0,
            )
        finally:
            await app.close_async()

    def _app(self, wheel: Wheel) -> App:
        app = App(
            connector=PsycopgConnector(conninfo=_conninfo(self._database), configure=_configure, **_POOL),
            periodic_defaults={"max_delay": MAKE_UP_WITHIN.total_seconds()},
        )

        @app.task(name=LANE, queue=QUEUE)
        async def work_lane(lane: str) -> None:
            await self._leaving(lambda: self._work_lane(wheel, lane), lane)

        @app.task(name=SLOT, queue=QUEUE, priority=PRIORITY[SLOT])
        async def work_slot(timestamp: int, schedule: str) -> None:
            slot = datetime.fromtimestamp(timestamp, UTC)
            await self._leaving(lambda: self._work_slot(schedule, slot), schedule)

        @app.task(name=SWEEP, queue=QUEUE, priority=PRIORITY[SWEEP], queueing_lock=SWEEP)
        async def sweep(timestamp: int) -> None:  # noqa: ARG001 - the library passes it
            await self._free_stalled(app)
            await self._leaving(lambda: self._sweep(wheel), SWEEP)

        app.periodic(cron=f"* * * * * */{self._sweep_every}", periodic_id=SWEEP)(sweep)
        for schedule in self._schedules.values():
            task_kwargs: dict[str, Any] = {"schedule": schedule.name}
            app.periodic(cron=schedule.cron, periodic_id=schedule.name, task_kwargs=task_kwargs)(work_slot)
        return app

    async def _leaving(self, work: Callable[[], None], name: str) -> None:
        """Do something in a thread, and leave it there when the time to stop is over."""
        try:
            await in_thread(work, name)
        except asyncio.CancelledError:
            _LOG.warning("%s was not finished in time, and is taken up again by another worker", name)
        except Exception:  # noqa: BLE001 - a job that failed would lie about; the sweep finds what was left
            _LOG.warning("%s waits for the next sweep", name, exc_info=True)

    # -------------------------------------------------------------------------------------------------------- the work

    def _work_lane(self, wheel: Wheel, lane: str) -> None:
        with self._lock:
            if lane in self._at_work:
                self._again.add(lane)
                return
            self._at_work.add(lane)
        is_woken = True
        again: datetime | None = None
        while is_woken:
            try:
                again = wheel.work(lane)
            except Exception:  # noqa: BLE001 - one lane's fault must not stop another
                _LOG.exception("the lane %s went wrong; it is worked again in a while", lane)
                again = self._clock.now() + self._again_after
            else:
                _LOG.info("worked %s%s", lane, f", again at {again.isoformat()}" if again else "")
            with self._lock:
                is_woken = lane in self._again and not self._stopped.is_set()
                self._again.discard(lane)
                if not is_woken:
                    self._at_work.discard(lane)
        if again is not None:
            self._enqueue([wanted_lane(lane)], after=max(REST, self._until(again)))

    def _work_slot(self, name: str, slot: datetime) -> None:
        schedule = self._schedules.get(name)
        if schedule is not None:  # else a worker of another version made it, and one of that version makes up for it
            run_slot(self._database, self._clock, schedule, slot, self._owner, lease_seconds=self._run_lease)

    def _sweep(self, wheel: Wheel) -> None:
        """Wake what is due and has no wake within the time that a lane which raised is left alone."""
        overdue = read_overdue(self._database, self._schedules.values(), self._clock.now())
        self._enqueue([wanted_slot(one.name, int(slot.timestamp())) for one, slot in overdue])
        self._enqueue([wanted_lane(lane) for lane in wheel.due()], within=self._again_after)

    def _enqueue(
        self, wanted: Collection[Wanted], *, after: timedelta = _AT_ONCE, within: timedelta = _AT_ONCE
    ) -> None:
        with self._database.engine.begin() as tx:
            enqueue(tx, wanted, after=after, within=within)

    async def _free_stalled(self, app: App) -> None:
        """Do again what workers died over."""
        stalled = list(await app.job_manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=self._stalled))
        for job in stalled:
            _LOG.warning("a worker died over %s %s; it is done again", job.task_name, job.task_kwargs)
            with suppress(ConnectorException):  # another worker's sweep was faster
                await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)
        again = [_wanted_again(job.task_name, job.task_kwargs) for job in stalled if job.task_name != SWEEP]
        await in_thread(lambda: self._enqueue(again), SWEEP)


def _wanted_again(task: str, arguments: Mapping[str, Any]) -> Wanted:
    if task == LANE:
        return wanted_lane(arguments["lane"])
    return wanted_slot(arguments["schedule"], arguments["timestamp"])


def _conninfo(database: Database) -> str:
    """Return the database's address as the driver takes it, from the one that SQLAlchemy takes."""
    _, named = database.engine.dialect.create_connect_args(database.url)
    return make_conninfo(**NOTICE_LOSS | {name: value for name, value in named.items() if name != "context"})


async def _configure(connection: AsyncConnection[Any]) -> None:
    """Have the server end what this process leaves open when it stands still, as on the store's connections."""
    before = connection.autocommit
    await connection.set_autocommit(True)
    for name, value in END_LOSS.items():
        await connection.execute(f"SET {name} = {value}".encode())
    await connection.set_autocommit(before)


def _note_lost_job(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if isinstance(context.get("exception"), ConnectorException):
        # The row of a job that was done is gone, or the database is: neither matters.
        _LOG.info("a job could not be marked as done", exc_info=context["exception"])
    else:
        loop.default_exception_handler(context)
