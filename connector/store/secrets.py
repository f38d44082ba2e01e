"""Rows of secrets, sealed before they come here.

Lives here: reading, saving and forgetting one. Does not live here: the key and the sealing (`connector.vault`).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, exists, select

from connector.store.database import Transaction
from connector.store.dialects import insert_or_update
from connector.store.schema import secrets


def read_secret(tx: Transaction, name: str) -> str | None:
    """Return a sealed secret; None when there is none."""
    sealed: str | None = tx.execute(select(secrets.c.secret).where(secrets.c.name == name)).scalar()
    return sealed


def save_secret(tx: Transaction, name: str, sealed: str, *, at: datetime) -> None:
    """Keep a sealed secret in the place of the one before."""
    row = {"name": name, "secret": sealed, "changed": at}
    tx.execute(insert_or_update(tx, secrets, ("secret", "changed")), [row])


def forget_secret(tx: Transaction, name: str) -> None:
    """Forget a secret; one that is not there is no error."""
    tx.execute(delete(secrets).where(secrets.c.name == name))


def has_secrets(tx: Transaction) -> bool:
    """Tell whether there is any secret."""
    return bool(tx.execute(select(exists().where(secrets.c.name.is_not(None)))).scalar())
