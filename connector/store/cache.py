"""What services said of themselves: kept for a while, shared by processes, lost without harm.

Lives here: `StoredCache`, the `ports.Cache` of the database. Does not live here: what is kept, and for how long.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select

from connector.ports import Clock
from connector.store.database import Database
from connector.store.dialects import insert_or_update
from connector.store.schema import cache


class StoredCache:
    """A cache in the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Take the database and the clock that ages are told by."""
        self._database = database
        self._clock = clock

    def read(self, name: str, *, younger_than: timedelta) -> str | None:
        """Return a text saved less than that long ago; else None."""
        since = self._clock.now() - younger_than
        with self._database.read() as tx:
            query = select(cache.c.value).where(cache.c.name == name, cache.c.saved > since)
            value: str | None = tx.execute(query).scalar()
        return value

    def save(self, name: str, text: str) -> None:
        """Keep a text."""
        row = {"name": name, "value": text, "saved": self._clock.now()}
        with self._database.write() as tx:
            tx.execute(insert_or_update(tx, cache, ("value", "saved")), [row])

    def forget(self, name: str) -> None:
        """Forget a text."""
        with self._database.write() as tx:
            tx.execute(delete(cache).where(cache.c.name == name))
