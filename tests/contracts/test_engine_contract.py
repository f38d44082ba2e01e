"""What every engine promises (`connector.engine.port`), on every database it runs on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import OperationalError

from connector.engine.port import REST, Engine, Schedule
from connector.errors import BadInput
from connector.store.database import Database
from tests.engines import PATIENCE, RecordingWheel, open_engine, running, wait_until

#: Which engine runs on which database; a new engine is added here.
KINDS = [
    pytest.param("local", "sqlite", id="local-sqlite"),
    pytest.param("local", "postgresql", id="local-postgresql", marks=pytest.mark.postgres),
    pytest.param("procrastinate", "postgresql", id="procrastinate", marks=pytest.mark.postgres),
]

pytestmark = pytest.mark.parametrize(("kind", "database_url"), KINDS, indirect=["database_url"])


@pytest.fixture
def wheel() -> RecordingWheel:
    return RecordingWheel()


@pytest.fixture
def engine(kind: str, database: Database) -> Engine:
    return open_engine(kind, database)


def wake(database: Database, engine: Engine, *lanes: str, seconds: float | None = None) -> datetime | None:
    at = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
    with database.write() as tx:
        engine.wake(tx, lanes, at)
    return at


def test_wakes_are_worked_once_each_when_it_is_time_and_only_if_they_are_committed(
    database: Database, engine: Engine, wheel: RecordingWheel
) -> None:
    with running(engine, wheel):
        wake(database, engine, "now", "beside")
        wheel.wait_until_worked("now")
        wheel.wait_until_worked("beside")

        held = threading.Event()
        wheel.holding["twice"] = held
        with database.write() as tx:
            engine.wake(tx, ["twice", "twice"])
            engine.wake(tx, ["twice"])
        wheel.wait_for(lambda: "twice" in dict(wheel.begun))
        wake(database, engine, "twice")  # while it is worked: once more, and not beside
        wake(database, engine, "twice")
        wake(database, engine, "other")
        wheel.wait_until_worked("other")
        held.set()
        wheel.wait_until_worked("twice", 2)
        assert wheel.most_at_once == 1

        with contextlib.suppress(ZeroDivisionError), database.write() as tx:
            engine.wake(tx, ["rolled back"])
            raise ZeroDivisionError
        wake(database, engine, "committed")
        wheel.wait_until_worked("committed")

        at = wake(database, engine, "later", seconds=1.2)
        wake(database, engine, "later", seconds=1000)  # it is woken sooner: that is enough
        wake(database, engine, "sooner", seconds=1000)
        wake(database, engine, "sooner")
        wheel.wishes["again"] = -1.0  # it has found somebody else at it, and must not be worked without a pause
        wake(database, engine, "again")
        wheel.wait_until_worked("sooner")
        wheel.wait_until_worked("later")
        wheel.wait_until_worked("again", 2)
        assert wheel.began("later") >= at
        first, again = (began for lane, began in wheel.begun if lane == "again")
        assert again - first >= REST
    assert (wheel.times("twice"), wheel.times("rolled back"), wheel.times("later")) == (2, 0, 1)


def test_what_is_due_is_found_without_a_wake_and_a_lane_that_raises_stops_no_other(
    database: Database, engine: Engine, wheel: RecordingWheel
) -> None:
    wheel.raising["broken"] = 1
    wheel.dues = {"broken", "asleep", "due"}
    wheel.failures = [ValueError("a fault of ours"), OperationalError("SELECT", {}, Exception("the database is lost"))]
    with running(engine, wheel):
        wake(database, engine, "asleep", seconds=1000)  # a wake that is too late hides nothing
        for lane in ("due", "asleep", "broken"):
            wheel.wait_until_worked(lane)
        wheel.wait_until_worked("broken", 2)
        first, again = (at for lane, at in wheel.begun if lane == "broken")
        assert again - first >= timedelta(seconds=0.5)


def test_it_stops_when_what_is_under_way_is_done_and_begins_nothing_more(
    database: Database, engine: Engine, wheel: RecordingWheel
) -> None:
    held = wheel.holding["under way"] = threading.Event()
    with running(engine, wheel) as thread:
        wake(database, engine, "under way")
        wheel.wait_for(lambda: bool(wheel.begun))
        engine.stop()
        wake(database, engine, "after")
        thread.join(0.5)
        assert thread.is_alive()
        held.set()
    assert wheel.ended == ["under way"]


def test_it_stops_within_its_time_even_if_work_does_not_end(
    kind: str, database: Database, wheel: RecordingWheel
) -> None:
    held = wheel.holding["endless"] = threading.Event()
    engine = open_engine(kind, database, stop_within=0.3)
    with running(engine, wheel) as thread:
        wake(database, engine, "endless")
        wheel.wait_for(lambda: bool(wheel.begun))
        engine.stop()
        thread.join(PATIENCE / 3)
        assert not thread.is_alive()
    assert wheel.ended == []
    held.set()


def test_a_schedule_runs_once_a_slot_and_again_when_it_went_wrong(
    database: Database, engine: Engine, wheel: RecordingWheel
) -> None:
    slots: list[datetime] = []

    def work(slot: datetime) -> None:
        slots.append(slot)
        if len(slots) == 3:
            raise ValueError(slot)

    engine.every(Schedule(name="tick", cron="* * * * * *", work=work))
    began = datetime.now(UTC)
    with running(engine, wheel):
        wait_until(lambda: len(slots) > len(set(slots)))
    assert sorted(slots) == sorted([*set(slots), slots[2]])
    here = sorted({slot for slot in slots if slot > began})
    assert here == [here[0] + timedelta(seconds=count) for count in range(len(here))]


def test_times_that_cannot_be_read_are_refused(engine: Engine) -> None:
    with pytest.raises(BadInput, match="'nightly' cannot be read: '3 o'clock' is no cron"):
        engine.every(Schedule(name="nightly", cron="3 o'clock", work=lambda _: None))


def test_its_health_is_told_here_and_in_other_processes(kind: str, database_url: str, wheel: RecordingWheel) -> None:
    database, elsewhere = Database(database_url), Database(database_url)
    engine, other = open_engine(kind, database), open_engine(kind, elsewhere)
    assert not other.health().is_well
    with running(engine, wheel):
        wait_until(lambda: engine.health().is_well and other.health().is_well)
        assert other.health().workers == 1
    assert not engine.health().is_well
    database.close()
    elsewhere.close()


@pytest.fixture(autouse=True)
def _nothing_lies_about(kind: str, database: Database, request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if kind == "procrastinate":
        with database.read() as tx:
            left = tx.exec_driver_sql("SELECT task_name, args, status FROM procrastinate_jobs WHERE status <> 'todo'")
            assert left.all() == []
