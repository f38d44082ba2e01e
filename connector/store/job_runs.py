"""Runs of schedules: which slot was begun by whom, and which are done.

Lives here: beginning and ending a run, runs whose worker died, trimming. Does not live here: when a slot comes, and who
offers it (`engine.schedules`). Source: reference engine 3.1, 3.4.

Any number of workers may offer a slot any number of times; the row lets one of them run it. Who has begun it holds it
for a lease by the database's own clock; a run whose lease has ended and that is not done may be begun again.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, delete, select, update

from connector.store.database import Transaction
from connector.store.dialects import database_seconds, insert_or_ignore
from connector.store.schema import job_runs

#: Runs of dead workers that are taken up at one look.
_AT_A_LOOK = 100

_NOW = database_seconds()
_OF_SLOT = (job_runs.c.name == bindparam("of_name"), job_runs.c.slot == bindparam("of_slot"))
_BEGIN = (
    update(job_runs)
    .where(*_OF_SLOT, job_runs.c.done.is_(None), job_runs.c.until < _NOW)
    .values(owner=bindparam("by"), until=_NOW + bindparam("seconds"))
)
_END = update(job_runs).where(*_OF_SLOT).values(done=bindparam("at"))
_LOST = (
    select(job_runs.c.name, job_runs.c.slot)
    .where(job_runs.c.slot >= bindparam("since"), job_runs.c.done.is_(None), job_runs.c.until < _NOW)
    .order_by(job_runs.c.slot, job_runs.c.name)
    .limit(_AT_A_LOOK)
)
_NEWER = (
    select(job_runs.c.name)
    .where(job_runs.c.name == bindparam("of_name"), job_runs.c.slot >= bindparam("since"))
    .limit(1)
)
_TRIM = delete(job_runs).where(
    job_runs.c.name == bindparam("of_name"), job_runs.c.slot < bindparam("before"), job_runs.c.done.is_not(None)
)


def begin_run(tx: Transaction, name: str, slot: datetime, owner: str, *, lease_seconds: float) -> bool:
    """Begin the run of a slot (aware, UTC) for a lease; return whether it is ours to do.

    It is not when it is done, or when somebody has begun it and their lease has not ended.
    """
    tx.execute(insert_or_ignore(tx, job_runs), [{"name": name, "slot": slot, "owner": owner, "until": 0.0}])
    begun = tx.execute(_BEGIN, {"of_name": name, "of_slot": slot, "by": owner, "seconds": lease_seconds})
    return begun.rowcount == 1


def end_run(tx: Transaction, name: str, slot: datetime, now: datetime) -> None:
    """Write down that a slot was done, so that nobody begins it again."""
    tx.execute(_END, {"of_name": name, "of_slot": slot, "at": now})


def is_begun_since(tx: Transaction, name: str, slot: datetime) -> bool:
    """Tell whether anybody has ever begun a slot, or a later one of the schedule."""
    return tx.execute(_NEWER, {"of_name": name, "since": slot}).scalar() is not None


def read_lost_runs(tx: Transaction, since: datetime) -> list[tuple[str, datetime]]:
    """Return name and slot of runs that were begun and whose lease ended without an end, oldest first."""
    return [(name, slot) for name, slot in tx.execute(_LOST, {"since": since})]


def trim_runs(tx: Transaction, name: str, before: datetime) -> None:
    """Forget the runs of a schedule that were done for slots before an instant."""
    tx.execute(_TRIM, {"of_name": name, "before": before})
