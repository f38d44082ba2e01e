"""The few statements that SQLite and PostgreSQL say alike but SQLAlchemy keeps apart."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Executable, Float, Integer, Table, TextClause, bindparam, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from connector.store.database import Transaction
from connector.store.schema import Json, json_text


class database_seconds(FunctionElement[float]):  # noqa: N801 - reads as an SQL function
    """The database's own clock in seconds since 1970: one clock for all machines on PostgreSQL."""

    type = Float()
    inherit_cache = True


@compiles(database_seconds, "sqlite")
def _sqlite_seconds(_element: database_seconds, _compiler: SQLCompiler, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_seconds, "postgresql")
def _postgresql_seconds(_element: database_seconds, _compiler: SQLCompiler, **_: Any) -> str:
    return "extract(epoch from clock_timestamp())::float8"


class json_items(FunctionElement[str]):  # noqa: N801 - reads as an SQL function
    """The texts of a JSON list, as a sub-query: one parameter however many there are."""

    inherit_cache = True


@compiles(json_items, "sqlite")
def _sqlite_items(element: json_items, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT value FROM json_each({compiler.process(element.clauses, **options)}))"  # noqa: S608 - bound


@compiles(json_items, "postgresql")
def _postgresql_items(element: json_items, compiler: SQLCompiler, **options: Any) -> str:
    items = compiler.process(element.clauses, **options)
    return f"(SELECT jsonb_array_elements_text(CAST({items} AS jsonb)))"


class day_number(FunctionElement[int]):  # noqa: N801 - reads as an SQL function
    """The days from 1970-01-01 to a date kept as ISO text."""

    type = Integer()
    inherit_cache = True


@compiles(day_number, "sqlite")
def _sqlite_day_number(element: day_number, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(julianday({compiler.process(element.clauses, **options)}) - 2440587.5 AS INTEGER)"


@compiles(day_number, "postgresql")
def _postgresql_day_number(element: day_number, compiler: SQLCompiler, **options: Any) -> str:
    return f"(CAST({compiler.process(element.clauses, **options)} AS date) - DATE '1970-01-01')"


#: How a JSON object of lists is taken apart.
_LISTS = {
    "sqlite": "json_each(:lists) AS one, json_each(one.value) AS each",
    "postgresql": "jsonb_each(CAST(:lists AS jsonb)) AS one, jsonb_array_elements_text(one.value) AS each(value)",
}


def insert_lists(tx: Transaction, table: Table, lists: Mapping[str, Sequence[str]]) -> None:
    """Insert a row of two texts, name and item, for each item of each list: one parameter however many there are."""
    names = ", ".join(column.name for column in table.columns)
    tx.execute(_insert_lists(tx.dialect.name, table.name, names), {"lists": json_text(lists)})


@cache
def _insert_lists(dialect: str, table: str, names: str) -> TextClause:
    return text(f"INSERT INTO {table} ({names}) SELECT one.key, each.value FROM {_LISTS[dialect]}")  # noqa: S608 - ours


def any_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return the condition that a text column is one of a list, which is bound to `name` as a Python list."""
    return column.op("IN", is_comparison=True)(json_items(bindparam(name, type_=Json)))


def one_of(column: ColumnElement[Any], values: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a text column is one of some values: one parameter however many there are."""
    return column.op("IN", is_comparison=True)(json_items(bindparam(None, sorted(values), type_=Json, unique=True)))


def _insert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def insert_or_ignore(tx: Transaction, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that leaves an existing row as it is."""
    return _or_ignore(tx.dialect.name, table)


def insert_or_update(tx: Transaction, table: Table, changing: tuple[str, ...]) -> Executable:
    """Return an INSERT that overwrites the named columns of an existing row."""
    return _or_update(tx.dialect.name, table, changing)


@cache
def _or_ignore(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    return _insert(dialect, table).on_conflict_do_nothing()


@cache
def _or_update(dialect: str, table: Table, changing: tuple[str, ...]) -> Executable:
    statement = _insert(dialect, table)
    key = [column.name for column in table.primary_key.columns]
    return statement.on_conflict_do_update(
        index_elements=key, set_={name: statement.excluded[name] for name in changing}
    )
