"""What changed in Salesforce since a cursor: our tasks, so far.

Lives here: the questions of the pull, its cursor, and how a row becomes a value. Does not live here: what a change
means (the core).

The cursor overlaps: what comes again is told by the mark of its row, and stamps have whole seconds, so two changes may
carry the same one. Whoever stores it stores what it brought in the same transaction; then a crash loses nothing.
Source: spec delivery 3, reference apis 1.8.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from simple_salesforce.format import format_soql

from adapters.salesforce.session import Org
from adapters.salesforce.values import long_id, read_instant, stamp
from connector.errors import Refused
from connector.ports import CrmPull, RemoteTask

#: A change becomes visible when its transaction ends, which may be minutes after its stamp (reference apis 1.8).
OVERLAP = timedelta(minutes=5)

_PULLED = (
    "Id", "Subject", "Status", "IsClosed", "Priority", "ActivityDate", "Description", "OwnerId", "WhoId", "IsDeleted",
    "IsArchived", "SystemModstamp", "CompletedDateTime",
)  # fmt: skip


class Pull:
    """Changes in one org."""

    def __init__(self, org: Org, intent_field: str) -> None:
        """Take the field that carries the intent key; its name was checked with the options."""
        self._org = org
        self._intent_field = intent_field

    def since(self, cursor: str | None) -> CrmPull:
        """Return our tasks changed since the cursor; the first pull starts now."""
        asked_at = self._org.now()
        since = _Cursor.read(cursor) if cursor is not None else None
        rows = list(self._org.query(self._changed_since(since.start if since else asked_at), deleted_too=True))
        seen = dict(since.seen) if since else {}
        fresh = [row for row in rows if seen.get(long_id(row["Id"])) != _mark(row)]
        return CrmPull(
            tasks=tuple(to_task(row, self._intent_field) for row in _live_first(fresh, self._intent_field)),
            cursor=_Cursor.after(rows, since, asked_at=asked_at, answered_at=self._org.answered_at).text(),
        )

    def _changed_since(self, start: datetime) -> str:
        return format_soql(
            "SELECT {fields:literal} FROM Task WHERE {field:literal} != null AND SystemModstamp >= {start:literal} "
            "ORDER BY SystemModstamp, Id",
            fields=", ".join((*_PULLED, self._intent_field)),
            field=self._intent_field,
            start=stamp(start),
        )


def _mark(row: Mapping[str, Any]) -> str:
    """Return a short digest of a row: stamps have whole seconds, so two changes may carry the same one."""
    values = json.dumps({name: row[name] for name in row if name != "attributes"}, sort_keys=True, default=str)
    return hashlib.blake2b(values.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cursor:
    """How far the pull has come: everything before `start` is known; `seen` is what was delivered after it."""

    at: datetime
    #: id -> mark of the row, for tasks that changed within the overlap.
    seen: Mapping[str, str]

    @property
    def start(self) -> datetime:
        return self.at - OVERLAP

    @classmethod
    def read(cls, text: str) -> _Cursor:
        try:
            kept = json.loads(text)
            return cls(at=read_instant(kept["stamp"]), seen=dict(kept["seen"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Refused("the stored Salesforce cursor cannot be read; it must be reset", code="cursor") from error

    def text(self) -> str:
        return json.dumps({"stamp": stamp(self.at), "seen": dict(self.seen)}, separators=(",", ":"))

    @classmethod
    def after(
        cls,
        rows: Sequence[Mapping[str, Any]],
        before: _Cursor | None,
        *,
        asked_at: datetime,
        answered_at: datetime | None,
    ) -> _Cursor:
        """Move to the newest row, or on with the clocks when nothing changes, so that the overlap empties.

        Of the two clocks the one that is behind counts: a clock that is ahead must not hide a change.
        """
        clocks = min(asked_at, answered_at or asked_at)
        newest = max((read_instant(row["SystemModstamp"]) for row in rows), default=clocks)
        cursor = cls(at=max(clocks, newest, before.at if before else newest), seen={})
        kept = {
            long_id(row["Id"]): _mark(row)
            for row in rows
            if read_instant(row["SystemModstamp"]) >= cursor.start - timedelta(seconds=1)
        }
        return replace(cursor, seen=kept)


def _live_first(rows: Sequence[Mapping[str, Any]], intent_field: str) -> list[Mapping[str, Any]]:
    """Leave out a deleted task when a live one with the same key changed too: the live one is the task."""
    live = {row[intent_field] for row in rows if not row["IsDeleted"]}
    return [row for row in rows if not row["IsDeleted"] or row[intent_field] not in live]


def to_task(row: Mapping[str, Any], intent_field: str) -> RemoteTask:
    """Return a row of the pull as a value."""
    return RemoteTask(
        key=row[intent_field],
        remote_id=long_id(row["Id"]),
        subject=row["Subject"] or "",
        status=row["Status"] or "",
        closed=bool(row["IsClosed"]),
        priority=row["Priority"] or "",
        due_date=date.fromisoformat(row["ActivityDate"]) if row["ActivityDate"] else None,
        description=row["Description"] or "",
        owner=long_id(row["OwnerId"]) if row["OwnerId"] else None,
        who=long_id(row["WhoId"]) if row["WhoId"] else None,
        deleted=bool(row["IsDeleted"]),
        modified_at=read_instant(row["SystemModstamp"]),
        completed_at=read_instant(row["CompletedDateTime"]) if row["CompletedDateTime"] else None,
    )
