"""The store on both databases: migrations, locks, lanes, and the indexes that keep a tick cheap."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from connector.errors import BadInput, Busy
from connector.store import schema_web  # noqa: F401 - its tables are among the metadata
from connector.store.cursors import read_cursor, save_cursor
from connector.store.database import Database, Transaction
from connector.store.dialects import insert_or_ignore, insert_or_update
from connector.store.enrollments import read_due
from connector.store.intents import read_unprepared
from connector.store.lanes import FencedError, guard, read_pacing, release, take
from connector.store.mails import read_waiting
from connector.store.schema import cursors, lanes, metadata
from connector.store.tasks import read_dirty

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


def test_the_migrations_make_exactly_the_tables(database: Database) -> None:
    with database.read() as tx:
        assert compare_metadata(MigrationContext.configure(tx), metadata) == []


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    with database.write() as tx:
        save_cursor(tx, "gmail:ana", "7", NOW)
    database.upgrade()
    with database.read() as tx:
        assert read_cursor(tx, "gmail:ana") == "7"


@pytest.mark.parametrize("url", ["mysql://host/name", "nonsense"])
def test_an_address_that_is_no_database_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="database"):
        Database(url).upgrade()


def test_an_error_rolls_everything_back(database: Database) -> None:
    def fail(tx: Transaction) -> None:
        save_cursor(tx, "gmail:ana", "7", NOW)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"), database.write() as tx:
        fail(tx)
    with database.read() as tx:
        assert read_cursor(tx, "gmail:ana") is None


def test_only_one_holds_a_name(database_url: str) -> None:
    """Two openings of one database are two processes to it."""
    first, second = Database(database_url), Database(database_url)
    first.upgrade()
    try:
        with first.only_one("sync"):
            with pytest.raises(Busy, match="another sync is running"), second.only_one("sync"):
                pytest.fail("both hold it")
            with second.only_one("other"):
                pass
        with second.only_one("sync"):
            pass
    finally:
        first.close()
        second.close()


def test_a_lane_has_one_holder(database: Database) -> None:
    with database.write() as tx:
        lease = take(tx, "gmail:ana", "one")
        assert lease is not None
        assert take(tx, "gmail:ana", "two") is None
        assert take(tx, "gmail:bob", "two") is not None
        guard(tx, lease)
        release(tx, lease)
        taken = take(tx, "gmail:ana", "two")
        assert taken is not None
        assert taken.token > lease.token
        with pytest.raises(FencedError):
            guard(tx, lease)
        release(tx, lease)  # a stale holder frees nothing
        assert take(tx, "gmail:ana", "one") is None


def test_a_lease_that_ran_out_is_taken_over_and_its_holder_fenced(database: Database) -> None:
    with database.write() as tx:
        lease = take(tx, "gmail:ana", "one")
        assert lease is not None
        tx.execute(sqlalchemy.update(lanes).values(until=1.0))
        over = take(tx, "gmail:ana", "two")
        assert over is not None
        with pytest.raises(FencedError):
            guard(tx, lease)
        guard(tx, over)


def test_what_a_killed_sync_left_is_taken_over_at_once(database: Database) -> None:
    with database.write() as tx:
        killed = take(tx, "gmail:ana", "sync")
    with database.write() as tx:
        again = take(tx, "gmail:ana", "sync")
        assert killed is not None
        assert again is not None
        with pytest.raises(FencedError):
            guard(tx, killed)


def test_inserts_that_meet_a_row(database: Database) -> None:
    rows = [{"name": "a", "value": "1", "moved": NOW}]
    with database.write() as tx:
        tx.execute(insert_or_ignore(tx, cursors), rows)
        tx.execute(insert_or_ignore(tx, cursors), [{**rows[0], "value": "2"}])
        assert read_cursor(tx, "a") == "1"
        tx.execute(insert_or_update(tx, cursors, ("value",)), [{**rows[0], "value": "3"}])
        assert read_cursor(tx, "a") == "3"


@pytest.mark.parametrize(
    ("read", "index"),
    [
        (lambda tx: read_due(tx, NOW, 10), "enrollments_due"),
        (lambda tx: read_unprepared(tx, NOW, 10), "intents_unprepared"),
        (lambda tx: read_waiting(tx, "gmail:ana", NOW, 10), "mails_waiting"),
        (lambda tx: read_dirty(tx, NOW, 10), "tasks_dirty"),
    ],
)
def test_what_a_tick_reads_goes_through_its_index(
    tmp_path: Any, read: Callable[[Transaction], object], index: str
) -> None:
    """SQLite ignores a partial index when its condition is bound; then a tick would read every row there is."""
    database = Database(f"sqlite:///{tmp_path / 'plan.db'}")
    database.upgrade()
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    try:
        with database.read() as tx:
            sqlalchemy.event.listen(tx, "before_cursor_execute", note)
            read(tx)
            sqlalchemy.event.remove(tx, "before_cursor_execute", note)
            ((statement, parameters),) = asked
            plan = [row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        assert any(f"USING INDEX {index}" in line for line in plan), plan
        assert {line for line in plan if line.startswith("SCAN") and line.split()[1] in metadata.tables} == set(), plan
    finally:
        database.close()


def test_reading_keeps_the_statements_that_are_prepared(database: Database) -> None:
    """A rollback would make PostgreSQL's driver forget them all: every write after a read was planned anew."""
    if database.is_sqlite:
        pytest.skip("SQLite's driver forgets nothing")
    lane = "gmail:ana@acme.example"
    for _ in range(10):
        with database.write_in_lane() as tx:
            take(tx, lane, "sync")
        with database.read() as tx:
            read_pacing(tx, lane)
    with database.read() as tx:
        kept = tx.exec_driver_sql("SELECT statement FROM pg_prepared_statements").scalars().all()
    assert any("UPDATE lanes" in one for one in kept)
    assert any("FROM lanes" in one for one in kept)
