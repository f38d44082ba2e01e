"""Databases for tests, brought to the newest version once a process and copied from then on."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from connector.store.database import Database


def lay_sqlite(path: Path) -> str:
    """Lay an empty SQLite database of the newest version there, and return its address."""
    path.write_bytes(_migrated())
    return f"sqlite:///{path}"


@functools.cache
def _migrated() -> bytes:
    """The file that the migrations leave: they take longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        database = Database(f"sqlite:///{path}")
        database.upgrade()
        database.close()
        return path.read_bytes()
