"""Writing many rows at the driver's speed.

Lives here: `BulkStatement`. SQLAlchemy builds a dictionary a row and looks every name up again, which costs more than
the write itself; here a statement is compiled once a dialect and rows are plain tuples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from connector.store.database import Transaction

_DIALECTS: dict[str, Dialect] = {
    "sqlite": sqlite.dialect(),
    "postgresql": postgresql.dialect(),  # type: ignore[no-untyped-call]
}
_MARKS = {"sqlite": "?", "postgresql": "%s"}


class BulkStatement:
    """An INSERT or UPDATE of a table, for rows given as tuples of stored values in the order of `columns`."""

    def __init__(self, table: Table, columns: Sequence[str], *, where: str | None = None, suffix: str = "") -> None:
        """Insert `columns`; or, with `where`, update all but the last, which must be `where`.

        `suffix` follows an INSERT (`ON CONFLICT ...`).
        """
        self._table = table
        self._columns = tuple(columns)
        self._where = where
        self._suffix = suffix
        self._sql: dict[str, str] = {}

    def execute(self, tx: Transaction, rows: list[tuple[Any, ...]]) -> None:
        """Write every row; instants, dates and JSON are given as `schema.microseconds` and its like store them."""
        if rows:
            tx.exec_driver_sql(self._for(tx.dialect.name), rows)

    def _for(self, name: str) -> str:
        if name not in self._sql:
            dialect = _DIALECTS[name]
            quote = dialect.identifier_preparer.quote
            mark = _MARKS[name]
            table = quote(self._table.name)
            names = [quote(column) for column in self._columns]
            if self._where is None:
                marks = ", ".join([mark] * len(names))
                sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}){self._suffix}"  # noqa: S608 - our own names
            else:
                changes = ", ".join(f"{column} = {mark}" for column in names[:-1])
                sql = f"UPDATE {table} SET {changes} WHERE {quote(self._where)} = {mark}"  # noqa: S608 - our own names
            self._sql[name] = sql
        return self._sql[name]
