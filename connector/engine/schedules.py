"""Schedules: which slots a cron has, running a slot once over all workers, finding slots that were lost.

Lives here: what every engine does alike about schedules. Does not live here: noticing that a slot has come (each
engine), the rows that let one worker in (`store.job_runs`).

An engine offers a slot to `run_slot` when it has come, and now and then what `read_overdue` finds: slots whose worker
died, and the newest slot of a schedule if nobody began it, because nobody worked or the engine lost its job. Older
slots that nobody began are not made up for: one look is enough to catch up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from croniter import croniter

from connector.engine.port import Schedule
from connector.errors import BadInput
from connector.ports import Clock
from connector.store.database import Database
from connector.store.job_runs import begin_run, end_run, is_begun_since, read_lost_runs, trim_runs

#: Seconds after which a run that has not ended is taken to be lost, and begun again.
RUN_LEASE_SECONDS = 300.0

#: A slot is made up for within this time, and then let go.
MAKE_UP_WITHIN = timedelta(days=1)

#: A slot is left this long to whoever begins it in time.
_GRACE = timedelta(seconds=15)

#: Runs that are done are remembered so long after their slot; longer than any of them could be offered.
_REMEMBER = timedelta(days=2)

#: Where a slot falls on this very instant, it has come.
_AN_INSTANT = timedelta(milliseconds=1)

_LOG = logging.getLogger(__name__)


def check_schedule(schedule: Schedule) -> None:
    """Raise `BadInput` for a cron that is none of five fields, or six with the seconds last."""
    if len(schedule.cron.split()) not in (5, 6) or not croniter.is_valid(schedule.cron):  # type: ignore[no-untyped-call]
        raise BadInput(
            f"the times of '{schedule.name}' cannot be read: '{schedule.cron}' is no cron of five fields, or of six "
            "with the seconds last"
        )


def newest_slot(schedule: Schedule, now: datetime) -> datetime:
    """Return the last slot that has come (aware, UTC)."""
    slot: datetime = croniter(schedule.cron, now + _AN_INSTANT).get_prev(datetime)  # type: ignore[no-untyped-call]
    return slot


def next_slot(schedule: Schedule, after: datetime) -> datetime:
    """Return the first slot after an instant (aware, UTC)."""
    slot: datetime = croniter(schedule.cron, after).get_next(datetime)  # type: ignore[no-untyped-call]
    return slot


def run_slot(
    database: Database, clock: Clock, schedule: Schedule, slot: datetime, owner: str, *, lease_seconds: float
) -> None:
    """Do what a slot is for, unless it is done or somebody is at it; what it raises is logged.

    A slot that raised is left begun: `read_overdue` finds it when the lease has ended.
    """
    with database.write() as tx:
        if not begin_run(tx, schedule.name, slot, owner, lease_seconds=lease_seconds):
            return
    try:
        schedule.work(slot)
    except Exception:  # noqa: BLE001 - one schedule's fault must not end the engine
        _LOG.exception("'%s' of %s went wrong; it is done again in a while", schedule.name, slot.isoformat())
        return
    with database.write() as tx:
        end_run(tx, schedule.name, slot, clock.now())
        trim_runs(tx, schedule.name, slot - _REMEMBER)
    _LOG.info("did '%s' of %s", schedule.name, slot.isoformat())


def read_overdue(
    database: Database, schedules: Iterable[Schedule], now: datetime
) -> Sequence[tuple[Schedule, datetime]]:
    """Return the slots to be made up for: those of dead workers, and the newest of each schedule if nobody began it."""
    known = {schedule.name: schedule for schedule in schedules}
    with database.read() as tx:
        lost = read_lost_runs(tx, now - MAKE_UP_WITHIN)
        found = [(known[name], slot) for name, slot in lost if name in known]
        for schedule in known.values():
            slot = newest_slot(schedule, now - _GRACE)
            if slot >= now - MAKE_UP_WITHIN and not is_begun_since(tx, schedule.name, slot):
                found.append((schedule, slot))
    return found
