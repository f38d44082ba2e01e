"""CRM tasks: what we want there, what is there, and which must be written.

Lives here: `StoredTask`. Does not live here: writing to the CRM (`sync.crm`), merging both sides (`tasks.merge`).

A task is dirty while `wanted` differs from `synced`; writing makes `synced` what was written. There is no queue of
operations, so a crash between a write and its note only writes the same values again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import Any

from sqlalchemy import Row, bindparam, case, func, select, text, update

from connector.errors import AdapterError
from connector.store.database import Transaction
from connector.store.dialects import any_of, insert_or_update
from connector.store.schema import intents, tasks


class Dirty(IntEnum):
    """Whether the CRM must hear of a task."""

    CLEAN = 0
    WRITE = 1
    DELETE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTask:
    """One CRM task. `wanted` and `synced` hold the neutral fields of `ports.TaskWrite`, dates as ISO text."""

    key: str
    person: str
    rep: str
    wanted: Mapping[str, Any]
    due: datetime
    intent: str | None = None
    remote_id: str | None = None
    synced: Mapping[str, Any] | None = None
    status: str | None = None
    dirty: Dirty = Dirty.WRITE
    #: When a person here last changed a field that both sides may change.
    changed: datetime | None = None
    #: Why the CRM did not take it: for the rep, the CRM's code, its class, for the administrator, and since when.
    problem: str | None = None
    code: str | None = None
    category: str | None = None
    advice: str | None = None
    failed: datetime | None = None

    def refused(self, error: AdapterError, now: datetime, *, due: datetime) -> StoredTask:
        """Return it with why the CRM did not take it, to be tried again at `due`."""
        return replace(
            self,
            due=due,
            problem=error.sentence,
            code=error.code,
            category=error.category.value,
            advice=error.advice,
            failed=self.failed or now,
        )

    def settled(self) -> StoredTask:
        """Return it as one about which the CRM has nothing to hear."""
        return replace(self, dirty=Dirty.CLEAN, problem=None, code=None, category=None, advice=None, failed=None)


#: Status of a task that is in the CRM's recycle bin; no word an org could have.
DELETED = "(deleted)"

_TROUBLE = ("problem", "code", "category", "advice", "failed")
_COLUMNS = (
    "intent",
    "person",
    "rep",
    "remote_id",
    "wanted",
    "synced",
    "status",
    "dirty",
    "due",
    "changed",
    *_TROUBLE,
)
# Reps take turns, and each rep's campaigns: what has piled up in one must not keep the others waiting.
_TURNS = (
    select(
        tasks.c.key,
        func.row_number()
        .over(partition_by=(tasks.c.rep, intents.c.campaign), order_by=(tasks.c.due, tasks.c.key))
        .label("turn"),
    )
    .outerjoin(intents, intents.c.key == tasks.c.key)
    .where(text("dirty > 0"), tasks.c.due <= bindparam("now"))
    .subquery()
)
_DIRTY = (
    select(tasks)
    .join(_TURNS, _TURNS.c.key == tasks.c.key)
    .order_by(_TURNS.c.turn, tasks.c.due, tasks.c.key)
    .limit(bindparam("most"))
)
_BY_KEY = select(tasks).where(any_of(tasks.c.key, "keys"))
#: What was wanted may have changed while it was written: then the task stays dirty.
_WRITTEN = (
    update(tasks)
    .where(tasks.c.key == bindparam("of_key"))
    .values(
        synced=bindparam("new_synced", type_=tasks.c.synced.type),
        remote_id=func.coalesce(bindparam("new_remote_id"), tasks.c.remote_id),
        status=func.coalesce(bindparam("new_status"), tasks.c.status),
        **dict.fromkeys(_TROUBLE),
        dirty=case(
            (tasks.c.wanted == bindparam("new_synced", type_=tasks.c.wanted.type), 0),
            else_=case((tasks.c.dirty == 2, 2), else_=1),
        ),
    )
)


def save_tasks(tx: Transaction, changed: Iterable[StoredTask]) -> None:
    """Insert or overwrite tasks, in bulk."""
    rows = [
        {
            "key": task.key,
            "intent": task.intent,
            "person": task.person,
            "rep": task.rep,
            "remote_id": task.remote_id,
            "wanted": dict(task.wanted),
            "synced": None if task.synced is None else dict(task.synced),
            "status": task.status,
            "dirty": int(task.dirty),
            "due": task.due,
            "changed": task.changed,
            "problem": task.problem,
            "code": task.code,
            "category": task.category,
            "advice": task.advice,
            "failed": task.failed,
        }
        for task in changed
    ]
    if rows:
        tx.execute(insert_or_update(tx, tasks, _COLUMNS), rows)


def read_dirty(tx: Transaction, now: datetime, most: int) -> list[StoredTask]:
    """Return at most `most` tasks the CRM must hear of: reps and campaigns by turns, each by due."""
    return [_stored(row) for row in tx.execute(_DIRTY, {"now": now, "most": most})]


def read_tasks(tx: Transaction, keys: Sequence[str]) -> dict[str, StoredTask]:
    """Return tasks by key; unknown keys are left out."""
    if not keys:
        return {}
    return {row.key: _stored(row) for row in tx.execute(_BY_KEY, {"keys": list(keys)})}


def mark_written(tx: Transaction, written: Sequence[tuple[str, Mapping[str, Any], str | None, str | None]]) -> None:
    """Note writes as (key, what was written, remote id, status word if one was written), in bulk."""
    rows = [
        {"of_key": key, "new_synced": dict(synced), "new_remote_id": remote, "new_status": status}
        for key, synced, remote, status in written
    ]
    if rows:
        tx.execute(_WRITTEN, rows)


def postpone_tasks(tx: Transaction, keys: Sequence[str], due: datetime) -> None:
    """Leave writes for later, without trouble."""
    tx.execute(update(tasks).where(any_of(tasks.c.key, "keys")).values(due=due), {"keys": list(keys)})


def count_dirty(tx: Transaction, now: datetime) -> tuple[int, datetime | None]:
    """Return how many tasks the CRM must hear of at `now`, and the oldest due instant."""
    query = select(func.count(), func.min(tasks.c.due)).where(text("dirty > 0"), tasks.c.due <= now)
    row = tx.execute(query).one()
    return row[0], row[1]


def _stored(row: Row[Any]) -> StoredTask:
    return StoredTask(
        key=row.key,
        intent=row.intent,
        person=row.person,
        rep=row.rep,
        remote_id=row.remote_id,
        wanted=row.wanted,
        synced=row.synced,
        status=row.status,
        dirty=Dirty(row.dirty),
        due=row.due,
        changed=row.changed,
        problem=row.problem,
        code=row.code,
        category=row.category,
        advice=row.advice,
        failed=row.failed,
    )
