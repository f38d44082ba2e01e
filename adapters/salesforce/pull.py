"""What changed in Salesforce since a cursor: our tasks, and who opted out, bounced, was converted or merged.

Lives here: the questions of the pull, and how a row becomes a value. Does not live here: the cursor (`cursor`), what a
change means (the core).

One call when little changed. Deleted and archived records are read as well; that a task was archived is no change, and
one taken out of the bin is a live row again.
Source: spec delivery 2 and 3, reference apis 1.8 to 1.10.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from simple_salesforce.format import format_soql

from adapters.salesforce.cursor import Cursor
from adapters.salesforce.queries import Row
from adapters.salesforce.records import (
    BOUNCED_AT,
    BOUNCED_REASON,
    LEAD,
    OPT_OUT,
    PEOPLE,
    Ask,
    Kind,
    Records,
    successor,
)
from adapters.salesforce.session import Org
from adapters.salesforce.values import long_id, read_instant, stamp
from connector.ports import CrmPull, RemotePerson, RemoteTask

#: Our field -> theirs, of those that an administrator can hide.
_HIDEABLE = {
    "subject": "Subject",
    "due_date": "ActivityDate",
    "description": "Description",
    "who": "WhoId",
    "completed_at": "CompletedDateTime",
}
_NEEDED = ("Id", "Status", "IsClosed", "Priority", "OwnerId", "IsDeleted", "SystemModstamp")

_ORDER = "SystemModstamp, Id"


class Pull:
    """Changes in one org."""

    def __init__(self, org: Org, records: Records, intent_field: str) -> None:
        """Take the field that carries the intent key; its name was checked with the options."""
        self._org = org
        self._records = records
        self._intent_field = intent_field
        self._task = Kind(name="Task", prefix="00T", needed=(*_NEEDED, intent_field), wanted=tuple(_HIDEABLE.values()))

    def since(self, cursor: str | None, *, tasks: bool) -> CrmPull:
        """Return what changed since the cursor, oldest first; the first pull starts now and brings nothing old."""
        before = Cursor.read(cursor)
        if tasks:
            self._records.need(self._task)
        asked_at = self._org.now()
        asks = [self._people_since(kind, before.people.start(asked_at)) for kind in PEOPLE.values()]
        if tasks:
            asks.append(self._tasks_since(before.tasks.start(asked_at)))
        answers = self._records.select(asks)
        clock = self._clock(asked_at)
        people_rows = sorted((row for rows in answers[: len(PEOPLE)] for row in rows), key=_stamped)
        task_rows = answers[-1] if tasks else []
        after = Cursor(
            people=before.people.after(people_rows, clock),
            tasks=before.tasks.after(task_rows, clock) if tasks else before.tasks,
        )
        fresh = _live_first(before.tasks.fresh(task_rows), task_rows, self._intent_field)
        hidden = frozenset(name for name, theirs in _HIDEABLE.items() if not self._records.shows(self._task, theirs))
        return CrmPull(
            tasks=tuple(to_task(row, self._intent_field, hidden) for row in fresh),
            people=tuple(self._people(before.people.fresh(people_rows))),
            cursor=after.text(),
        )

    def _clock(self, asked_at: datetime) -> datetime:
        """Return when the question was asked: of the two clocks the one that is behind, so that none hides a change."""
        answered_at = self._org.answered_at
        if answered_at is None:
            return asked_at
        # The answer of the last page tells the org's time; the first one was given that much earlier.
        return min(asked_at, answered_at - (self._org.now() - asked_at))

    # ----------------------------------------------------------------------------------------- questions

    def _tasks_since(self, start: datetime) -> Ask:
        ours = format_soql(
            "{field:literal} != null AND SystemModstamp >= {start:literal}",
            field=self._intent_field,
            start=stamp(start),
        )
        # The head of a recurring series is no task that anybody does.
        return Ask(kind=self._task, where=ours, unless_hidden=("IsRecurrence = false",), order=_ORDER, deleted_too=True)

    def _people_since(self, kind: Kind, start: datetime) -> Ask:
        told = [f"{OPT_OUT} = true", f"{BOUNCED_AT} != null", "MasterRecordId != null"]
        if kind is LEAD:
            told.append("ConvertedContactId != null")
        return Ask(
            kind=kind,
            fields=("SystemModstamp",),
            where=format_soql("SystemModstamp >= {start:literal}", start=stamp(start)),
            one_of=tuple(told),
            order=_ORDER,
            deleted_too=True,
        )

    # -------------------------------------------------------------------------------------------- people

    def _people(self, rows: Sequence[Row]) -> Iterable[RemotePerson]:
        """Yield whom the rows speak of; those who were converted or merged as the record that stands for them now."""
        moved = [long_id(row["Id"]) for row in rows if successor(row) is not None]
        stands = self._records.standing(moved)[0] if moved else {}
        for row in rows:
            one = long_id(row["Id"])
            if successor(row) is None:
                if not row["IsDeleted"]:
                    yield to_person(row)
            elif one in stands:
                now = stands[one]
                yield to_person(row if now.row is None else now.row, id_=now.id, was=one)


def _stamped(row: Row) -> tuple[datetime, str]:
    return read_instant(row["SystemModstamp"]), long_id(row["Id"])


def _live_first(fresh: Iterable[Row], rows: Iterable[Row], intent_field: str) -> list[Row]:
    """Leave out a deleted task when a live one with the same key changed too: the live one is the task."""
    live = {row[intent_field] for row in rows if not row["IsDeleted"]}
    return [row for row in fresh if not row["IsDeleted"] or row[intent_field] not in live]


def to_task(row: Row, intent_field: str, hidden: frozenset[str]) -> RemoteTask:
    """Return a row of the pull as a value; what is hidden is named as such, and empty."""
    due, completed, who = row.get("ActivityDate"), row.get("CompletedDateTime"), row.get("WhoId")
    return RemoteTask(
        key=row[intent_field],
        remote_id=long_id(row["Id"]),
        subject=row.get("Subject") or "",
        status=row["Status"] or "",
        closed=bool(row["IsClosed"]),
        priority=row["Priority"] or "",
        due_date=date.fromisoformat(due) if due else None,
        description=row.get("Description") or "",
        owner=long_id(row["OwnerId"]) if row["OwnerId"] else None,
        who=long_id(who) if who else None,
        deleted=bool(row["IsDeleted"]),
        modified_at=read_instant(row["SystemModstamp"]),
        completed_at=read_instant(completed) if completed else None,
        hidden=hidden,
    )


def to_person(row: Row, *, id_: str = "", was: str = "") -> RemotePerson:
    """Return what a row says of a person; a hidden opt-out is no opt-out here, and nobody opts in by it."""
    bounced: str | None = row.get(BOUNCED_AT)
    return RemotePerson(
        id=id_ or long_id(row["Id"]),
        email=row.get("Email") or "",
        was=was,
        opted_out=bool(row.get(OPT_OUT)),
        bounced_at=read_instant(bounced) if bounced else None,
        bounced_reason=(row.get(BOUNCED_REASON) or "") if bounced else "",
    )
