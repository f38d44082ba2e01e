"""Tasks in Salesforce: our fields in theirs, written in bulk by the intent key.

Lives here: the field mapping, the collection upsert with each item's result. Does not live here: which fields are
written and who wins (the core), reading them back (`pull`), what a code means (`errors`).

- A task is found by the external-id field alone, so a write can be repeated. A creation carries create-only fields;
  an update never does, and goes out with `updateOnly=true`, so that a task a user deleted is not made again.
- A collection answers 200 even when every item failed: each item is read.
- Only the closed values of `TaskStatus` say what closed is; every org may rename them.
Source: spec delivery 2 and 3, reference apis 1.3 to 1.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.salesforce.errors import from_item, is_gone
from adapters.salesforce.session import Org, chunks
from adapters.salesforce.values import cut, is_id, long_id, stamp
from connector.errors import AdapterError, Refused
from connector.intents import Priority, StepType
from connector.ports import TaskWrite, Written

TASKS_PER_CALL = 200
SUBJECT_LENGTH = 255
#: Salesforce takes 32,000; the margin is for line ends, which some clients count twice.
DESCRIPTION_LENGTH = 31_000
CUT = "\n[...] (cut: too long for Salesforce)"

_LEAD = "00Q"

_SUBTYPES = {StepType.EMAIL: "Email", StepType.CALL: "Call", StepType.INMAIL: "LinkedIn", StepType.CUSTOM: "Task"}
_PRIORITIES = {Priority.HIGH: "High", Priority.NORMAL: "Normal"}

#: Fields that may only be given when a record is made.
_CREATE_ONLY = frozenset({"TaskSubtype"})

#: Codes of an item that is worth another try at once: the row was locked, or another writer made the same task.
_AT_ONCE = frozenset({"UNABLE_TO_LOCK_ROW", "DUPLICATE_VALUE"})
#: Tries of one item within one push.
_TRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Statuses:
    """The values of `Task.Status` we write: one open, one closed."""

    open: str
    closed: str


def choose_statuses(rows: Iterable[Mapping[str, Any]]) -> Statuses:
    """Choose among the org's values: the customary names where they mean what they say, else the org's first."""
    rows = sorted(rows, key=lambda row: row.get("SortOrder") or 0)
    closed = [str(row["ApiName"]) for row in rows if row["IsClosed"]]
    still_open = [str(row["ApiName"]) for row in rows if not row["IsClosed"]]
    default = [str(row["ApiName"]) for row in rows if row.get("IsDefault") and not row["IsClosed"]]
    if not closed or not still_open:
        raise Refused("the Salesforce org has no open or no closed task status; ask the administrator", code="status")
    return Statuses(
        open="Not Started" if "Not Started" in still_open else (default or still_open)[0],
        closed="Completed" if "Completed" in closed else closed[0],
    )


def to_record(write: TaskWrite, intent_field: str, statuses: Statuses | None) -> dict[str, Any]:
    """Return the Salesforce record of one write; raise `Refused` for a value Salesforce cannot hold."""
    record: dict[str, Any] = {"attributes": {"type": "Task"}, intent_field: write.key}
    for name, value in write.fields.items():
        if name == "closed" and statuses is not None:
            record["Status"] = statuses.closed if value else statuses.open
        elif name in _FIELDS:
            record |= _FIELDS[name](value)
        else:
            raise Refused(f"a task in Salesforce has no field for '{name}'", code="unknown_field")
    if not write.create:
        record = {name: value for name, value in record.items() if name not in _CREATE_ONLY}
    if str(record.get("WhoId") or "").startswith(_LEAD):
        # A task of a lead cannot also belong to an account: FIELD_INTEGRITY_EXCEPTION.
        record.pop("WhatId", None)
    return record


def _checked_id(value: Any, what: str) -> str | None:
    if not value:
        return None
    if not is_id(str(value)):
        raise Refused(f"the {what} is not a Salesforce id: 15 or 18 letters and digits", code="MALFORMED_ID")
    return str(value)


def _named(names: Mapping[Any, str], value: Any, what: str) -> str | None:
    if value is None:
        return None
    if value not in names:
        raise Refused(f"Salesforce has no {what} for '{value}'", code="unknown_value")
    return names[value]


def _given(name: str, value: str | None) -> dict[str, Any]:
    """Return the field, or nothing: Salesforce fills these by itself and does not let them be cleared."""
    return {} if value is None else {name: value}


#: Our field -> theirs. `closed` is not here: its value is the org's own.
_FIELDS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "subject": lambda text: {"Subject": cut(" ".join((text or "").split()), SUBJECT_LENGTH)},
    "priority": lambda priority: _given("Priority", _named(_PRIORITIES, priority, "priority")),
    "due_date": lambda day: {"ActivityDate": day.isoformat() if day else None},
    "reminder_at": lambda at: {"ReminderDateTime": stamp(at) if at else None, "IsReminderSet": at is not None},
    "description": lambda text: {"Description": cut(text, DESCRIPTION_LENGTH, CUT) if text else None},
    "who": lambda one: {"WhoId": _checked_id(one, "person")},
    "what": lambda one: {"WhatId": _checked_id(one, "account")},
    "owner": lambda one: _given("OwnerId", _checked_id(one, "owner")),
    "subtype": lambda step: _given("TaskSubtype", _named(_SUBTYPES, step, "kind")),
}


@dataclass(slots=True, kw_only=True)
class _Row:
    """One write on its way."""

    place: int
    write: TaskWrite
    record: dict[str, Any]


class Tasks:
    """Tasks of one org."""

    def __init__(self, org: Org, intent_field: str) -> None:
        """Take the field that carries the intent key; its name was checked with the options."""
        self._org = org
        self._intent_field = intent_field
        self._statuses: Statuses | None = None

    # -------------------------------------------------------------------------------------------- push

    def push(self, writes: Sequence[TaskWrite]) -> list[Written]:
        """Write tasks, 200 a call, creations apart from updates, rows of one account and person side by side."""
        done: dict[int, Written] = {}
        rows: list[_Row] = []
        statuses = self._read_statuses() if any("closed" in write.fields for write in writes) else None
        for place, write in enumerate(writes):
            try:
                rows.append(_Row(place=place, write=write, record=to_record(write, self._intent_field, statuses)))
            except Refused as error:
                done[place] = Written(key=write.key, error=error)
        rows.sort(key=lambda row: (not row.write.create, row.write.account or "", row.record.get("WhoId") or ""))
        stopped: AdapterError | None = None
        tried = bool(done)
        for create in (True, False):
            for chunk in _without_twins([row for row in rows if row.write.create is create]):
                try:
                    done |= self._push_chunk(chunk, create=create) if stopped is None else _failed(chunk, stopped)
                    tried = True
                except AdapterError as error:
                    if not tried:
                        raise
                    done |= _failed(chunk, error)
                    # Trouble with the org stops the rest too; a refusal speaks of this call only.
                    stopped = None if isinstance(error, Refused) else error
        return [done[place] for place in range(len(writes))]

    def _push_chunk(self, rows: Sequence[_Row], *, create: bool) -> dict[int, Written]:
        """Write up to 200 rows; try those again that another writer held."""
        done: dict[int, Written] = {}
        for attempt in range(_TRIES):
            if attempt:
                self._org.wait(0.1 * 2**attempt)
            try:
                results = self._upsert(rows, create=create)
            except AdapterError:
                if not done:
                    raise
                break
            again: list[_Row] = []
            for row, result in zip(rows, results, strict=True):
                done[row.place], redo = self._read_result(row, result)
                if redo is not None:
                    again.append(redo)
            if not again:
                break
            rows = again
        return done

    def _upsert(self, rows: Sequence[_Row], *, create: bool) -> Sequence[Mapping[str, Any]]:
        return self._org.call_each(
            "PATCH",
            f"composite/sobjects/Task/{self._intent_field}",
            len(rows),
            params={} if create else {"updateOnly": "true"},
            json={"allOrNone": False, "records": [row.record for row in rows]},
        )

    def _read_result(self, row: _Row, result: Mapping[str, Any]) -> tuple[Written, _Row | None]:
        """Return the outcome of one item, and the row to try again if that is right."""
        key = row.write.key
        if result.get("success"):
            remote_id = long_id(str(result["id"]))
            if result.get("created") and not row.write.create:
                # `updateOnly` is documented for single upserts only. Where a collection ignores it, a task the user
                # deleted comes back: take it away again.
                self.delete([remote_id])
                return Written(key=key, error=_gone()), None
            return Written(key=key, remote_id=remote_id, status=str(row.record.get("Status") or "")), None
        error = from_item(result)
        if not row.write.create and is_gone(error) and not _fields_named(result):
            return Written(key=key, error=_gone()), None
        redo: _Row | None = None
        if error.code in _AT_ONCE:
            redo = row
        elif (
            error.code == "INVALID_FIELD_FOR_INSERT_UPDATE" and _fields_named(result) & _CREATE_ONLY & row.record.keys()
        ):
            # An earlier creation got through although its answer was lost, so this one is an update; or the field is
            # hidden. Either way the task is right without it.
            kept = {name: value for name, value in row.record.items() if name not in _CREATE_ONLY}
            redo = _Row(place=row.place, write=row.write, record=kept)
        return Written(key=key, error=error), redo

    def _read_statuses(self) -> Statuses:
        if self._statuses is None:
            soql = "SELECT ApiName, IsClosed, IsDefault, SortOrder FROM TaskStatus"
            self._statuses = choose_statuses(self._org.query(soql))
        return self._statuses

    # ------------------------------------------------------------------------------------------ delete

    def delete(self, remote_ids: Sequence[str]) -> list[Written]:
        """Delete tasks by id, 200 a call."""
        done: dict[str, Written] = {}
        good = [remote_id for remote_id in dict.fromkeys(remote_ids) if is_id(remote_id)]
        for chunk in chunks(good, TASKS_PER_CALL):
            try:
                params = {"ids": ",".join(chunk), "allOrNone": "false"}
                results = self._org.call_each("DELETE", "composite/sobjects", len(chunk), params=params)
            except AdapterError as error:
                if not done:
                    raise
                done |= {remote_id: Written(key=remote_id, error=error) for remote_id in chunk}
                continue
            for remote_id, result in zip(chunk, results, strict=True):
                trouble = None if result.get("success") else from_item(result)
                if trouble is not None and (is_gone(trouble) or trouble.code == "INVALID_CROSS_REFERENCE_KEY"):
                    trouble = None
                done[remote_id] = Written(key=remote_id, remote_id=long_id(remote_id), error=trouble)
        for remote_id in remote_ids:
            wrong = Refused("that is not a Salesforce id: 15 or 18 letters and digits", code="MALFORMED_ID")
            done.setdefault(remote_id, Written(key=remote_id, error=wrong))
        return [done[remote_id] for remote_id in remote_ids]


def _gone() -> Refused:
    return Refused("the task was deleted in Salesforce", code="gone")


def _failed(rows: Sequence[_Row], error: AdapterError) -> dict[int, Written]:
    return {row.place: Written(key=row.write.key, error=error) for row in rows}


def _fields_named(result: Mapping[str, Any]) -> set[str]:
    """Return the fields an item's errors name; a deleted record that a field points at is not the task itself."""
    return {str(name) for error in result.get("errors") or () for name in error.get("fields") or ()}


def _without_twins(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Cut into calls; a key comes once in a call, because Salesforce fails both rows otherwise."""
    found: list[list[_Row]] = []
    keys: set[str] = set()
    for row in rows:
        if not found or len(found[-1]) == TASKS_PER_CALL or row.write.key in keys:
            found.append([])
            keys = set()
        found[-1].append(row)
        keys.add(row.write.key)
    return found
