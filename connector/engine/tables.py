"""The tables of Procrastinate: laying them, bringing them forward, telling whether they are there.

Lives here: everything about their version. Does not live here: our own tables (`store`), what is written into these
(`wakes`, `jobs`).

Procrastinate ships its tables whole, and a folder of ordered steps from each version to the next; it keeps no record of
the version. We write the name of the last step into the comment of its table of jobs, where it goes and comes with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from connector.errors import BadInput
from connector.store.database import Database, Transaction

if TYPE_CHECKING:
    import psycopg

#: Begins the comment that holds the version.
_MARK = "connector: "

_STATE = text(
    "SELECT to_regclass('procrastinate_jobs') IS NOT NULL AS there,"
    " obj_description(to_regclass('procrastinate_jobs'), 'pg_class') AS comment"
)


def connection_of(tx: Transaction) -> psycopg.Connection[Any]:
    """Return the driver's own connection of a transaction, which Procrastinate takes."""
    driver: psycopg.Connection[Any] = tx.connection.driver_connection  # type: ignore[assignment]
    return driver


def are_there(tx: Transaction) -> bool:
    """Tell whether Procrastinate's tables are there, of whatever version."""
    return bool(tx.execute(_STATE).one().there)


def require_postgresql(database: Database) -> None:
    """Raise `BadInput` for a database that workers on many machines cannot share."""
    if database.is_sqlite:
        raise BadInput(
            "'connector worker' needs PostgreSQL: set 'database' in connector.yaml, or start 'connector run', which "
            "works in one process on SQLite too"
        )


def require_tables(database: Database) -> None:
    """Raise `BadInput` unless workers can run on the tables of this database."""
    require_postgresql(database)
    with database.read() as tx:
        found = _version(tx)
    if found is None or found < _steps()[-1].name:
        raise BadInput("the tables of the engine are missing or of an older version: run 'connector db upgrade' once")


def upgrade_tables(database: Database) -> bool:
    """Lay Procrastinate's tables, or bring them to the version installed here; return whether anything was done.

    Raises `BadInput` for tables that somebody else has laid, whose version nobody can tell.
    """
    from procrastinate.schema import SchemaManager  # noqa: PLC0415 - half a second, and SQLite never needs it

    steps = _steps()
    with database.write() as tx:
        found = _version(tx)
        if found is None:
            connection_of(tx).execute(SchemaManager.get_schema())
            _note_version(tx, steps[-1].name)
            return True
    newer = [step for step in steps if step.name > found]
    for step in newer:
        with database.write() as tx:
            connection_of(tx).execute(step.read_bytes())
            _note_version(tx, step.name)
    return bool(newer)


def _version(tx: Transaction) -> str | None:
    state = tx.execute(_STATE).one()
    if not state.there:
        return None
    if not (state.comment or "").startswith(_MARK):
        raise BadInput(
            "this database holds tables of Procrastinate that 'connector db upgrade' has not laid: give connector a "
            "database, or a schema, of its own"
        )
    return str(state.comment).removeprefix(_MARK)


def _note_version(tx: Transaction, name: str) -> None:
    tx.exec_driver_sql(f"COMMENT ON TABLE procrastinate_jobs IS '{_MARK}{name}'")


def _steps() -> list[Path]:
    """Return the steps of the version that is installed, in their order."""
    from procrastinate.schema import SchemaManager  # noqa: PLC0415

    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
