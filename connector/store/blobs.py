"""The bytes of uploaded files, each content once, by its SHA-256: several mails may name the same.

Lives here: keeping, reading and forgetting them. Does not live here: which mail names them (`compositions`), what may
be uploaded (`sync.uploads`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import delete, select

from connector.store.database import Transaction
from connector.store.dialects import any_of, insert_or_update
from connector.store.schema_compositions import blobs, compositions

_CONTENT = select(blobs.c.hash, blobs.c.content).where(any_of(blobs.c.hash, "hashes"))
_NAMING = select(compositions.c.uploads).where(compositions.c.uploads.is_not(None))


def keep_blob(tx: Transaction, hash: str, content: bytes, now: datetime) -> None:  # noqa: A002 - the field's own word
    """Keep bytes under their SHA-256 in hexadecimal digits; those that are there already are kept anew from now."""
    tx.execute(insert_or_update(tx, blobs, ("kept",)), {"hash": hash, "kept": now, "content": content})


def read_blobs(tx: Transaction, hashes: Collection[str]) -> dict[str, bytes]:
    """Return bytes by hash; those that are not there are left out."""
    if not hashes:
        return {}
    return {row.hash: row.content for row in tx.execute(_CONTENT, {"hashes": list(hashes)})}


def find_unnamed(tx: Transaction, before: datetime) -> list[str]:
    """Return the hashes of bytes last kept before an instant that no composition names."""
    old = set(tx.execute(select(blobs.c.hash).where(blobs.c.kept < before)).scalars())
    if old:
        old -= {upload["hash"] for uploads in tx.execute(_NAMING).scalars() for upload in uploads}
    return sorted(old)


def forget_blobs(tx: Transaction, hashes: Iterable[str], before: datetime) -> int:
    """Forget bytes, but those kept anew since an instant; return how many."""
    statement = delete(blobs).where(any_of(blobs.c.hash, "hashes"), blobs.c.kept < before)
    return tx.execute(statement, {"hashes": list(hashes)}).rowcount
