"""What reps write in the compose window: what a mail says in place of its template, and what is being written.

Lives here: `Composition` and its two copies. Does not live here: what may be saved and when it counts
(`sync.composing`), what is made of it (`content.written`, `sync.letters`).

The working copy is saved while a rep types, and counts for nothing. What is applied is what the mail says from then on;
a composition may be applied to an intent that is still ahead (a launch does, for the first email of each person).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, select, text, update

from connector.content.written import Upload, Written
from connector.store.database import Transaction
from connector.store.dialects import any_of, insert_or_update
from connector.store.schema_compositions import compositions


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """What the mail of one intent says, in its rep's words."""

    key: str
    enrollment: str
    #: Name of the template it was begun with.
    template: str
    written: Written
    #: Counts from 1, one more with each save by anybody.
    version: int
    updated: datetime
    #: Address of whoever saved it.
    by: str
    #: When the connector is to send a task's mail, if its rep has asked for that; aware, UTC.
    send_at: datetime | None = None
    #: It takes the place of a draft that its rep has edited in the mail program.
    over_edits: bool = False


_COLUMNS = (
    "enrollment",
    "template",
    "format",
    "subject",
    "body",
    "attachments",
    "uploads",
    "version",
    "updated",
    "by",
    "send_at",
    "over_edits",
)
_APPLIED = select(compositions).where(any_of(compositions.c.key, "keys"), text("applied = 1"))
_WORKING = select(compositions).where(compositions.c.key == bindparam("of_key"), text("applied = 0"))
_WISH = update(compositions).where(compositions.c.key == bindparam("of_key"), text("applied = 1"))


def read_compositions(tx: Transaction, keys: Sequence[str]) -> dict[str, Composition]:
    """Return what mails say in place of their templates, by intent key; the others are left out."""
    if not keys:
        return {}
    return {row.key: _composition(row) for row in tx.execute(_APPLIED, {"keys": list(keys)})}


def read_working(tx: Transaction, key: str) -> Composition | None:
    """Return what is being written for an intent; None when nobody has begun."""
    row = tx.execute(_WORKING, {"of_key": key}).first()
    return None if row is None else _composition(row)


def save_working(tx: Transaction, composition: Composition) -> None:
    """Keep what is being written; it counts for nothing yet."""
    tx.execute(insert_or_update(tx, compositions, _COLUMNS), [_row(composition, applied=0)])


def save_composition(tx: Transaction, composition: Composition) -> None:
    """Let the mail of an intent, which may be still ahead, say this from now on; it is what is being written, too."""
    save_compositions(tx, [composition])


def save_compositions(tx: Transaction, new: Iterable[Composition]) -> None:
    """Let mails say this from now on, in bulk."""
    rows = [_row(one, applied=applied) for one in new for applied in (0, 1)]
    if rows:
        tx.execute(insert_or_update(tx, compositions, _COLUMNS), rows)


def change_wish(tx: Transaction, key: str, *, send_at: datetime | None) -> None:
    """Change when the connector is to send a mail; None when it is not to. What was edited before is settled."""
    tx.execute(_WISH, {"of_key": key, "send_at": send_at, "over_edits": 0})


def withdraw_composition(tx: Transaction, key: str) -> None:
    """Let a mail say what its template says again; what is being written stays."""
    tx.execute(delete(compositions).where(compositions.c.key == key, text("applied = 1")))


def forget_compositions(tx: Transaction, enrollments: Collection[str]) -> int:
    """Forget what was written for enrollments, of intents that never came too; return how many rows."""
    statement = delete(compositions).where(any_of(compositions.c.enrollment, "ids"))
    return tx.execute(statement, {"ids": list(enrollments)}).rowcount


def _row(one: Composition, *, applied: int) -> dict[str, Any]:
    return {
        "key": one.key,
        "applied": applied,
        "enrollment": one.enrollment,
        "template": one.template,
        "format": one.written.format,
        "subject": one.written.subject,
        "body": one.written.body,
        "attachments": list(one.written.attachments) or None,
        "uploads": [asdict(upload) for upload in one.written.uploads] or None,
        "version": one.version,
        "updated": one.updated,
        "by": one.by,
        "send_at": one.send_at if applied else None,
        "over_edits": int(one.over_edits) if applied else 0,
    }


def _composition(row: Row[Any]) -> Composition:
    written = Written(
        format=row.format,
        subject=row.subject,
        body=row.body,
        attachments=tuple(row.attachments or ()),
        uploads=tuple(Upload(**upload) for upload in row.uploads or ()),
    )
    return Composition(
        key=row.key,
        enrollment=row.enrollment,
        template=row.template,
        written=written,
        version=row.version,
        updated=row.updated,
        by=row.by,
        send_at=row.send_at,
        over_edits=bool(row.over_edits),
    )
