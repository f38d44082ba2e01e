"""Waking over PostgreSQL: a job in Procrastinate's table, at most one a lane, in the transaction that has work for it.

Lives here: `enqueue` and the names of what is enqueued. Does not live here: working the jobs (`jobs`).
Source: reference engine 3.2.

There is one waiting job a lane (`queueing_lock`), and no `lock`: the lane's lease keeps two workers apart, and a lock
would be held by a dead worker. A lane that waits for a later instant than it is woken for is woken earlier instead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from procrastinate import SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.jobs import Job
from procrastinate.manager import JobManager

from connector.engine.tables import connection_of
from connector.store.database import Transaction

#: Our queue: others may use the same tables.
QUEUE = "connector"

LANE = "connector.lane"
SLOT = "connector.slot"
SWEEP = "connector.sweep"

#: A slot that has come goes before lanes, and the sweep before all.
PRIORITY: Mapping[str, int] = {LANE: 0, SLOT: 10, SWEEP: 20}

_AT_ONCE = timedelta(0)

#: By the database's clock, as whoever fetches a job will judge it.
_NOW_AND_SOON = """
SELECT clock_timestamp(), ARRAY(
    SELECT queueing_lock FROM procrastinate_jobs
    WHERE status = 'todo' AND queueing_lock = ANY(%s)
    AND (scheduled_at IS NULL OR scheduled_at <= clock_timestamp() + %s))
"""
_FORGET_LATER = "DELETE FROM procrastinate_jobs WHERE status = 'todo' AND queueing_lock = ANY(%s) AND scheduled_at > %s"

#: Never opened: it writes over connections it is given.
_jobs = JobManager(SyncPsycopgConnector())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A job to be done once, however often it is wanted before it is begun."""

    #: Two with the same key are one.
    key: str
    task: str
    arguments: Mapping[str, str | int] = field(default_factory=dict)


def wanted_lane(lane: str) -> Wanted:
    """Return the job that works a lane."""
    return Wanted(key=f"drain:{lane}", task=LANE, arguments={"lane": lane})


def wanted_slot(schedule: str, timestamp: int) -> Wanted:
    """Return the job that does what a slot is for, which is named by seconds since 1970."""
    arguments: dict[str, str | int] = {"schedule": schedule, "timestamp": timestamp}
    return Wanted(key=f"slot:{schedule}:{timestamp}", task=SLOT, arguments=arguments)


def enqueue(
    tx: Transaction, wanted: Collection[Wanted], *, after: timedelta = _AT_ONCE, within: timedelta = _AT_ONCE
) -> None:
    """Have jobs done that much after now, if the transaction is committed.

    A job that waits for an earlier instant stays, also if it is up to `within` later; one that waits for a later one
    is done earlier. What fails is rolled back to where it began, so that the transaction goes on.
    """
    by_key = {one.key: one for one in sorted(wanted, key=lambda one: one.key)}
    driver = connection_of(tx)
    with tx.begin_nested():
        [(now, soon)] = driver.execute(_NOW_AND_SOON, (list(by_key), after + within)).fetchall()
        missing = [one for key, one in by_key.items() if key not in set(soon)]
        if not missing:
            return
        at = now + after
        driver.execute(_FORGET_LATER, ([one.key for one in missing], at))
        jobs = [
            Job(
                id=None,
                queue=QUEUE,
                task_name=one.task,
                task_kwargs=dict(one.arguments),
                lock=None,
                queueing_lock=one.key,
                priority=PRIORITY[one.task],
                scheduled_at=at if after else None,
            )
            for one in missing
        ]
        try:
            with tx.begin_nested():
                _jobs.batch_defer_jobs(jobs, connection=driver)
        except AlreadyEnqueued:
            # Somebody was faster with one of them.
            for job in jobs:
                with suppress(AlreadyEnqueued), tx.begin_nested():
                    _jobs.defer_job(job, connection=driver)
