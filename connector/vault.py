"""Secrets of accounts, encrypted at rest.

Lives here: the key, the encryption, and `StoredVault`, the `ports.Vault` of the database. Does not live here: the rows
(`store.secrets`), what the secrets are for (adapters).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from connector.ports import Clock
from connector.store.database import Database


class StoredVault:
    """A vault in the database."""

    def __init__(self, database: Database, clock: Clock, folder: Path) -> None:
        """Take the database, and the project's folder, where the key lies unless the environment names one."""
        self._database = database
        self._clock = clock
        self._folder = folder

    def read(self, name: str) -> str | None:
        """Return a secret; None when there is none."""
        raise NotImplementedError

    def save(self, name: str, secret: str) -> None:
        """Keep a secret."""
        raise NotImplementedError

    def forget(self, name: str) -> None:
        """Forget a secret; one that is not there is no error."""
        raise NotImplementedError

    def renew(self, name: str, seen: str | None, renewed: Callable[[str | None], str]) -> str:
        """Replace a secret under a lock across processes, and return the one that counts now."""
        raise NotImplementedError
