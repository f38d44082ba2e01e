"""`connector run`, `connector worker`, `connector db upgrade`: starting, refusing, stopping, telling how it does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from procrastinate.schema import SchemaManager

from connector.app import SystemClock
from connector.engine.opening import local_engine, shared_engine
from connector.engine.tables import connection_of, require_tables, upgrade_tables
from connector.errors import BadInput
from connector.store.database import Database
from tests.command import Command
from tests.engines import wait_until

PROJECT = """\
reps:
  - {email: ana@acme.example, name: Ana Diaz, time_zone: Europe/Madrid, mailbox: links}
"""


@pytest.fixture
def command(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command on a project whose one rep has no mailbox that could be reached: it needs no service."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "connector.yaml").write_text(PROJECT)
    monkeypatch.setenv("DATABASE_URL", database_url)
    return Command(folder=folder, capsys=capsys)


def signalled_when(is_well: Callable[[], bool]) -> threading.Thread:
    """Send this very process SIGTERM, as soon as it is ready for it."""

    def body() -> None:
        wait_until(is_well)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=body)
    thread.start()
    return thread


def test_run_works_one_process_a_database_until_it_is_told_to_stop(command: Command, database: Database) -> None:
    health = command("run", "--health")
    assert (health.status, health.out) == (
        1,
        "nothing is worked: start 'connector run' (workers: 0, lanes that wait: 0)\n",
    )
    with database.only_one("run"):
        assert command("run", "--health").status == 0
        busy = command("run", "--no-web")
        assert (busy.status, busy.err) == (
            3,
            "another run is running on this database; try again when it has finished\n",
        )
    watching = signalled_when(lambda: local_engine(database, SystemClock()).health().is_well)
    ran = command("run", "--port", "0")
    assert (ran.status, "the web app is served at http://127.0.0.1:" in ran.out) == (0, True)
    watching.join()


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_worker_wants_its_tables_first_and_then_works_until_it_is_told_to_stop(
    command: Command, database: Database
) -> None:
    without = command("worker")
    assert (without.status, without.err) == (
        2,
        "the tables of the engine are missing or of an older version: run 'connector db upgrade' once\n",
    )
    assert command("worker", "--health", "--json").json == {
        "well": False,
        "text": "the engine's tables are missing: run 'connector db upgrade'",
        "waiting": 0,
        "workers": 0,
    }
    assert command("db", "upgrade", "--json").json == {"upgraded": ["workers"]}
    assert command("db", "upgrade").out == "nothing to do\n"
    assert command("worker", "--health").status == 1
    watching = signalled_when(lambda: shared_engine(database, SystemClock()).health().is_well)
    assert command("worker", "--stop-within", "5").status == 0
    watching.join()
    assert command("worker", "--health").status == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_workers_are_refused_on_sqlite_where_the_tables_are_those_of_connector_alone(command: Command) -> None:
    refused = command("worker")
    assert refused.status == 2
    assert refused.err.startswith("'connector worker' needs PostgreSQL")
    assert command("db", "upgrade").out == "nothing to do\n"


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_tables_of_an_older_version_are_brought_forward_step_by_step(database: Database) -> None:
    steps = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    older = [step for step in steps if step.name < "03.03"]
    with database.write() as tx:
        for step in older:
            connection_of(tx).execute(step.read_bytes())
        connection_of(tx).execute(f"COMMENT ON TABLE procrastinate_jobs IS 'connector: {older[-1].name}'")
    with pytest.raises(BadInput, match="older version"):
        require_tables(database)
    assert upgrade_tables(database)
    require_tables(database)
    assert not upgrade_tables(database)
    with database.read() as tx:  # a function of each later version
        assert connection_of(tx).execute(
            "SELECT count(*) FROM pg_proc WHERE proname IN ('procrastinate_fetch_job_v2', 'procrastinate_retry_job_v2')"
        ).fetchone() == (2,)


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_tables_that_somebody_else_has_laid_are_left_alone(command: Command, database: Database) -> None:
    with database.write() as tx:
        connection_of(tx).execute(SchemaManager.get_schema())
    refused = command("db", "upgrade")
    assert refused.status == 2
    assert refused.err.startswith(
        "this database holds tables of Procrastinate that 'connector db upgrade' has not laid"
    )
