"""Durable transactions, recorded as SQLAlchemy executed them and run again by the driver alone.

Lives here: `Recorder`, `bare_connection`, `replay`. Does not live here: what is recorded, and how it is timed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import psycopg
from sqlalchemy import Engine, event

#: A statement, what is bound to it, and whether that is many rows.
Statement = tuple[str, Any, bool]
#: Lane -> its durable transactions, in order.
Recording = dict[str, list[list[Statement]]]


class Recorder:
    """Keeps the statements of committed transactions, in one thread."""

    def __init__(self, engine: Engine) -> None:
        """Begin to listen."""
        self._open: list[Statement] = []
        self._committed: list[list[Statement]] = []
        #: Statements of transactions that only read.
        self.read = 0
        event.listen(engine, "before_cursor_execute", self._executes)
        event.listen(engine, "commit", self._commits)
        event.listen(engine, "rollback", self._rolls_back)

    def taken(self) -> list[list[Statement]]:
        """Return what was committed since it was asked last."""
        taken, self._committed = self._committed, []
        return taken

    def _executes(self, _c: Any, _cursor: Any, statement: str, bound: Any, _context: Any, many: bool) -> None:
        self._open.append((statement, bound, many))

    def _commits(self, _connection: Any) -> None:
        self._committed.append(self._open)
        self._open = []

    def _rolls_back(self, _connection: Any) -> None:
        self.read += len(self._open)
        self._open = []


def bare_connection(url: str) -> tuple[Any, Callable[[], Any]]:
    """Open a database with its driver; return the connection and what commits on it."""
    connection: Any
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536", "wal_autocheckpoint=10000"):
            connection.execute(f"PRAGMA {pragma}")
        return connection, partial(connection.execute, "COMMIT")
    connection = psycopg.connect(url.replace("+psycopg", ""))
    return connection, connection.commit


def replay(cursor: Any, commit: Callable[[], Any], lanes: Sequence[list[list[Statement]]]) -> None:
    """Run the transactions of lanes."""
    for transactions in lanes:
        for transaction in transactions:
            for statement, bound, many in transaction:
                if many:
                    cursor.executemany(statement, bound)
                    continue
                cursor.execute(statement, bound)
                if cursor.description is not None:
                    cursor.fetchall()
            commit()
