"""Cursors: how far each service has been read. Moved only together with what was read."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from connector.store.database import Transaction
from connector.store.dialects import insert_or_update
from connector.store.schema import cursors


def read_cursor(tx: Transaction, name: str) -> str | None:
    """Return a cursor's value, or None before the first pull."""
    return tx.execute(select(cursors.c.value).where(cursors.c.name == name)).scalar()


def save_cursor(tx: Transaction, name: str, value: str, now: datetime) -> None:
    """Move a cursor, in the transaction that stores everything before it."""
    row = {"name": name, "value": value, "moved": now}
    tx.execute(insert_or_update(tx, cursors, ("value", "moved")), [row])


def last_moved(tx: Transaction) -> dict[str, datetime]:
    """Return cursor -> when it last moved."""
    return {row[0]: row[1] for row in tx.execute(select(cursors.c.name, cursors.c.moved))}
