"""A slot of a schedule: begun by one worker at a time, done once, remembered as long as it could be offered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connector.app import SystemClock
from connector.engine.port import Schedule
from connector.engine.schedules import newest_slot, next_slot, read_overdue, run_slot
from connector.store.database import Database
from connector.store.job_runs import begin_run, end_run, is_begun_since, read_lost_runs

SLOT = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_slot_is_begun_by_one_and_again_only_when_its_lease_has_ended_without_an_end(database: Database) -> None:
    with database.write() as tx:
        assert begin_run(tx, "nightly", SLOT, "one", lease_seconds=60)
        assert not begin_run(tx, "nightly", SLOT, "two", lease_seconds=60)
        assert not begin_run(tx, "nightly", SLOT, "one", lease_seconds=60)
        assert begin_run(tx, "nightly", SLOT + DAY, "two", lease_seconds=-1)
        assert begin_run(tx, "hourly", SLOT, "two", lease_seconds=60)
        assert read_lost_runs(tx, SLOT) == [("nightly", SLOT + DAY)]
        assert read_lost_runs(tx, SLOT + 2 * DAY) == []
        assert begin_run(tx, "nightly", SLOT + DAY, "three", lease_seconds=-1)
        end_run(tx, "nightly", SLOT + DAY, SLOT + DAY)
        assert read_lost_runs(tx, SLOT) == []
        assert not begin_run(tx, "nightly", SLOT + DAY, "four", lease_seconds=60)


@pytest.mark.parametrize(
    ("cron", "now", "newest", "next_one"),
    [
        ("0 3 * * *", SLOT, SLOT, SLOT + DAY),
        ("0 3 * * *", SLOT - timedelta(seconds=1), SLOT - DAY, SLOT),
        ("0 3 * * *", SLOT + timedelta(hours=9), SLOT, SLOT + DAY),
        ("*/5 * * * *", SLOT + timedelta(minutes=4, seconds=59.9), SLOT, SLOT + timedelta(minutes=5)),
        ("* * * * * */10", SLOT + timedelta(seconds=19), SLOT + timedelta(seconds=10), SLOT + timedelta(seconds=20)),
    ],
)
def test_slots_are_told_by_cron_in_utc(cron: str, now: datetime, newest: datetime, next_one: datetime) -> None:
    schedule = Schedule(name="it", cron=cron, work=lambda _: None)
    assert (newest_slot(schedule, now), next_slot(schedule, now)) == (newest, next_one)


def test_the_newest_slot_is_made_up_for_within_a_day_and_old_ones_are_forgotten(database: Database) -> None:
    done: list[datetime] = []
    nightly = Schedule(name="nightly", cron="0 3 * * *", work=done.append)
    yearly = Schedule(name="yearly", cron="0 3 1 1 *", work=done.append)
    for morning in (SLOT + day * DAY + timedelta(hours=5) for day in range(4)):
        overdue = read_overdue(database, [nightly, yearly], morning)
        assert [schedule.name for schedule, _ in overdue] == ["nightly"]
        for schedule, slot in overdue * 2:
            run_slot(database, SystemClock(), schedule, slot, "me", lease_seconds=60)
        assert read_overdue(database, [nightly, yearly], morning) == []
    assert done == [SLOT + day * DAY for day in range(4)]
    with database.write() as tx:  # the oldest could be begun again, for it is forgotten
        assert [begin_run(tx, "nightly", slot, "me", lease_seconds=60) for slot in done] == [True, False, False, False]
        assert [is_begun_since(tx, "nightly", done[-1] + late) for late in (timedelta(0), DAY)] == [True, False]
