"""Keys of the REST API: of whom they are, and what they may.

Lives here: their rows. Does not live here: making one (`sync.api_keys`). The key itself is nowhere: what is kept is its
SHA-256, which is enough for something random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from connector.store.database import Transaction
from connector.store.schema_web import api_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key, without what opens anything; instants aware, UTC."""

    id: str
    name: str
    #: Address of the user it acts for.
    user: str
    scopes: tuple[str, ...]
    created: datetime
    #: When it was last used, about.
    used: datetime | None = None
    revoked: datetime | None = None


def insert_key(tx: Transaction, key: ApiKey, digest: str) -> None:
    """Keep a new key by the digest of its secret."""
    row = {"id": key.id, "hash": digest, "name": key.name, "user": key.user, "scopes": list(key.scopes)}
    tx.execute(insert(api_keys), {**row, "created": key.created})


def find_key(tx: Transaction, digest: str) -> ApiKey | None:
    """Return the key with this digest, revoked or not; None when there is none."""
    row = tx.execute(select(api_keys).where(api_keys.c.hash == digest)).first()
    return None if row is None else _key(row)


def list_keys(tx: Transaction, *, user: str | None = None) -> list[ApiKey]:
    """Return the keys that are not revoked, of all users or of one, oldest first."""
    query = select(api_keys).where(api_keys.c.revoked.is_(None)).order_by(api_keys.c.created, api_keys.c.id)
    if user is not None:
        query = query.where(api_keys.c.user == user)
    return [_key(row) for row in tx.execute(query)]


def find_by_beginning(tx: Transaction, beginning: str) -> Sequence[ApiKey]:
    """Return the keys that are not revoked and whose id begins so."""
    return [key for key in list_keys(tx) if key.id.startswith(beginning)]


def note_used(tx: Transaction, id_: str, at: datetime) -> None:
    """Note that a key was used."""
    tx.execute(update(api_keys).where(api_keys.c.id == id_).values(used=at))


def revoke_key(tx: Transaction, id_: str, at: datetime) -> None:
    """Let a key open nothing from now on."""
    tx.execute(update(api_keys).where(api_keys.c.id == id_, api_keys.c.revoked.is_(None)).values(revoked=at))


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        user=row.user,
        scopes=tuple(row.scopes),
        created=row.created,
        used=row.used,
        revoked=row.revoked,
    )
