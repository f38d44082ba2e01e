"""Durable transactions, recorded as the product executed them and run again with nothing of the product around them.

Lives here: `Recorder`; replaying `by_library`, SQLAlchemy, as the product speaks to its database, and `by_driver`. Does
not live here: what is recorded, and how it is timed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
from sqlalchemy import Engine, Executable, event

from connector.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement as it was given to SQLAlchemy, and as that gave it to the driver."""

    #: None where the product says the driver's SQL itself.
    core: Executable | None
    #: What was given with it: one row or many.
    given: Any
    sql: str
    bound: Any
    many: bool


#: Lane -> its durable transactions, in order.
Recording = dict[str, list[list[Statement]]]

#: Runs the transactions of lanes.
Replay = Callable[[Sequence[list[list[Statement]]]], None]


class Recorder:
    """Keeps the statements of committed transactions, in one thread."""

    def __init__(self, engine: Engine) -> None:
        """Begin to listen."""
        self._core: tuple[Executable, Any] | None = None
        self._open: list[Statement] = []
        self._committed: list[list[Statement]] = []
        #: Statements of transactions that only read.
        self.read = 0
        event.listen(engine, "before_execute", self._is_given)
        event.listen(engine, "before_cursor_execute", self._executes)
        event.listen(engine, "commit", self._commits)
        event.listen(engine, "rollback", self._rolls_back)

    def taken(self) -> list[list[Statement]]:
        """Return what was committed since it was asked last."""
        taken, self._committed = self._committed, []
        return taken

    def _is_given(self, _c: Any, core: Executable, many: Any, one: Any, _options: Any) -> None:
        self._core = core, many or one

    def _executes(self, _c: Any, _cursor: Any, sql: str, bound: Any, _context: Any, many: bool) -> None:
        core, given = self._core or (None, bound)
        self._core = None
        self._open.append(Statement(core=core, given=given, sql=sql, bound=bound, many=many))

    def _commits(self, _connection: Any) -> None:
        self._committed.append(self._open)
        self._open = []

    def _rolls_back(self, _connection: Any) -> None:
        self.read += len(self._open)
        self._open = []


def by_library(url: str) -> Replay:
    """Open a database with SQLAlchemy, as the product does; return what runs transactions on it."""
    engine = Database(url).engine.execution_options(connector_writes=True)

    def run(lanes: Sequence[list[list[Statement]]]) -> None:
        for transaction in (one for transactions in lanes for one in transactions):
            with engine.begin() as tx:
                for said in transaction:
                    if said.core is not None:
                        result = tx.execute(said.core, said.given)
                    elif said.sql.startswith("BEGIN"):
                        continue  # it was said by `Database`, and is again
                    else:
                        result = tx.exec_driver_sql(said.sql, said.bound)
                    if result.returns_rows:
                        result.all()

    return run


def by_driver(url: str) -> Replay:
    """Open a database with its driver; return what runs transactions on it."""
    connection: Any
    commit: Callable[[], Any]
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536", "wal_autocheckpoint=10000"):
            connection.execute(f"PRAGMA {pragma}")
        commit = partial(connection.execute, "COMMIT")
    else:
        connection = psycopg.connect(url.replace("+psycopg", ""))
        commit = connection.commit
    cursor = connection.cursor()

    def run(lanes: Sequence[list[list[Statement]]]) -> None:
        for transaction in (one for transactions in lanes for one in transactions):
            for said in transaction:
                if said.many:
                    cursor.executemany(said.sql, said.bound)
                    continue
                cursor.execute(said.sql, said.bound)
                if cursor.description is not None:
                    cursor.fetchall()
            commit()

    return run
