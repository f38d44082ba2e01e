"""Tasks of one org as one of its users writes them: the collection upsert, and what each item's result asks for.

Lives here: whether tasks can be written once each, `UserTasks.push`, which rows share a call. Does not live here: what
of a task the org can take (`task_fields`), what a code means (`codes`), whose session it is (`tasks`).

- A task is found by the external-id field alone, so a write can be repeated. A creation carries create-only fields;
  an update never does, and goes out with `updateOnly=true`, so that a task a user deleted is not made again.
- A collection answers 200 even when every item failed: each item is read, and the table of codes says what then.
- Nothing is written where the intent field is missing, hidden or not unique: a repeat would make a second task.
Source: spec delivery 1 to 3, reference apis 1.3 to 1.7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil
from typing import Any

from adapters.salesforce.account import SalesforceOptions
from adapters.salesforce.codes import Treatment, rule_for
from adapters.salesforce.describe import Shape, Shapes
from adapters.salesforce.errors import MissingField, fields_named, from_item, given_up, is_gone, rule_of_item
from adapters.salesforce.session import Org, chunks
from adapters.salesforce.task_fields import CREATE_ONLY, TaskFields, gaps, to_record
from adapters.salesforce.values import long_id
from connector.errors import AdapterError, Refused, Stale
from connector.ports import TaskWrite, Written

TASKS_PER_CALL = 200

#: Length of an intent key (spec interfaces 3).
_KEY_LENGTH = 32

_DEPLOY = "deploy the folder that 'connector salesforce setup' writes"
_GRANT = "give the user who signs in the permission set of 'connector salesforce setup'"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One write on its way."""

    place: int
    write: TaskWrite
    record: Mapping[str, Any]
    tries: int = 1
    #: The record was made anew after the org had said that its fields are others.
    reshaped: bool = False

    @property
    def group(self) -> str:
        """Rows of one group lock the same records."""
        return self.write.account or str(self.record.get("WhoId") or self.write.key)


class UserTasks:
    """Tasks of one org as one of its users writes them."""

    def __init__(self, org: Org, shapes: Shapes, options: SalesforceOptions) -> None:
        """Take the session, what is remembered of its org, and what the configuration says of fields."""
        self._org = org
        self._shapes = shapes
        self._options = options
        #: The org was asked anew in this push.
        self._asked_anew = False
        #: Field -> why the org would not take it, although it had said that it does.
        self._refused: dict[str, str] = {}

    def ready(self) -> Shape:
        """Return the shape of Task; raise `Refused` with what to deploy when tasks could not be written once each.

        A bad answer is forgotten, so that the org is asked again by the next pass.
        """
        try:
            shape = self._shapes.of("Task")
        except Refused as error:
            if error.code not in ("NOT_FOUND", "INVALID_TYPE"):
                raise
            raise _unfit("the Salesforce user does not see tasks", _GRANT) from error
        trouble = _trouble(shape, self._options.intent_field)
        if trouble is not None:
            self._shapes.forget("Task")
            raise trouble
        return shape

    def left_out(self) -> Mapping[str, str]:
        """Return Salesforce field -> why tasks go without it."""
        return {**gaps(self._fields(with_statuses=False)), **self._refused}

    def _fields(self, *, with_statuses: bool) -> TaskFields:
        return TaskFields(
            intent_field=self._options.intent_field,
            mapped=self._options.activity_fields,
            shape=self.ready(),
            statuses=self._shapes.statuses() if with_statuses else None,
        )

    # -------------------------------------------------------------------------------------------- push

    def push(self, writes: Sequence[TaskWrite]) -> list[Written]:
        """Write tasks, 200 a call, creations apart from updates, rows of one account and person side by side."""
        self._asked_anew = False
        done: dict[int, Written] = {}
        rows: list[_Row] = []
        fields = self._fields(with_statuses=_say_closed(writes))
        for place, write in enumerate(writes):
            try:
                rows.append(_Row(place=place, write=write, record=to_record(write, fields).values))
            except Refused as error:
                done[place] = Written(key=write.key, error=error)
        stopped: AdapterError | None = None
        tried = bool(done)
        for create in (True, False):
            for call in _calls([row for row in rows if row.write.create is create]):
                try:
                    done |= self._push_call(call, create=create) if stopped is None else _failed(call, stopped)
                    tried = True
                except AdapterError as error:
                    if not tried:
                        raise
                    done |= _failed(call, error)
                    # Trouble with the org stops the rest too; a refusal speaks of this call only.
                    stopped = None if isinstance(error, Refused) else error
        return [done[place] for place in range(len(writes))]

    def _push_call(self, rows: Sequence[_Row], *, create: bool) -> dict[int, Written]:
        """Write up to 200 rows; write those again whose code asks for it."""
        done: dict[int, Written] = {}
        wait = 0.1
        while rows:
            try:
                results = self._upsert(rows, create=create)
            except AdapterError as error:
                if done:
                    break  # Each row has the outcome of its try before.
                rows = self._anew_call(rows, error)
                continue
            again: list[_Row] = []
            for row, result in zip(rows, results, strict=True):
                done[row.place], redo = self._read_result(row, result)
                again += [] if redo is None else [redo]
            rows = again
            if rows:
                wait *= 2
                self._org.wait(wait)
        return done

    def _upsert(self, rows: Sequence[_Row], *, create: bool) -> Sequence[Mapping[str, Any]]:
        return self._org.call_each(
            "PATCH",
            f"composite/sobjects/Task/{self._options.intent_field}",
            len(rows),
            params={} if create else {"updateOnly": "true"},
            json={"allOrNone": False, "records": [row.record for row in rows]},
        )

    def _read_result(self, row: _Row, result: Mapping[str, Any]) -> tuple[Written, _Row | None]:
        """Return the outcome of one item, and the row to write again if that is right."""
        key = row.write.key
        if result.get("success"):
            return self._read_success(row, long_id(str(result["id"])), created=bool(result.get("created"))), None
        error, rule, named = self._org.named(from_item(result)), rule_of_item(result), fields_named(result)
        if is_gone(error):
            if not row.write.create and not named:
                return Written(key=key, error=_gone()), None
            # What the task points at is gone: a person who was merged is found again under another id.
            stale = Stale(error.sentence, code=error.code, advice=error.advice, category=error.category)
            return Written(key=key, error=stale), None
        redo: _Row | None = None
        if error.code == "INVALID_FIELD_FOR_INSERT_UPDATE" and named & CREATE_ONLY & row.record.keys():
            # An earlier creation got through although its answer was lost, so this one is an update.
            redo = _as_update(row)
        elif rule.reshape:
            redo = self._anew(row, error, named)
        elif row.tries < rule.tries:
            redo = _as_update(row) if error.code == "DUPLICATE_VALUE" else replace(row, tries=row.tries + 1)
        elif rule.treatment is Treatment.FEW:
            error = given_up(error)
        return Written(key=key, error=error), redo

    def _read_success(self, row: _Row, remote_id: str, *, created: bool) -> Written:
        if created and not row.write.create:
            # `updateOnly` is documented for single upserts only. Where a collection ignores it, a task the user
            # deleted comes back: take it away again.
            delete_some(self._org, [remote_id])
            return Written(key=row.write.key, error=_gone())
        return Written(key=row.write.key, remote_id=remote_id, status=str(row.record.get("Status") or ""))

    # ------------------------------------------------------------------------- when the org has changed

    def _anew(self, row: _Row, error: AdapterError, named: set[str]) -> _Row | None:
        """Return the row as the org takes it now, once it was asked anew; None when that changes nothing."""
        if row.reshaped:
            return None
        try:
            fields = self._fields_anew([row.write])
        except AdapterError:
            return None  # It stays refused; the next pass asks again.
        record = dict(to_record(row.write, fields).values)
        if isinstance(error, MissingField):
            named = named | {error.field}
        for name in [name for name in record if name in CREATE_ONLY and name not in row.record]:
            del record[name]
        for name in named & record.keys():
            # The org says that it takes the field and yet does not: the field is lost, not the record.
            if record[name] == row.record.get(name) and not fields.is_needed(name):
                self._refused[name] = error.sentence
                del record[name]
        return None if record == row.record else replace(row, record=record, reshaped=True)

    def _fields_anew(self, writes: Sequence[TaskWrite]) -> TaskFields:
        if not self._asked_anew:
            self._shapes.forget("Task")
            self._asked_anew = True
        return self._fields(with_statuses=_say_closed(writes))

    def _anew_call(self, rows: Sequence[_Row], error: AdapterError) -> Sequence[_Row]:
        """Return the rows of a call that was refused as a whole, as the org takes them now; else raise the refusal."""
        if isinstance(error, MissingField) and error.field == self._options.intent_field:
            self._shapes.forget("Task")
            raise _missing(error.field) from error
        if not isinstance(error, Refused) or not rule_for(error.code).reshape:
            raise error
        anew = [self._anew(row, error, set()) for row in rows]
        if not any(anew):
            raise error
        return [new or row for new, row in zip(anew, rows, strict=True)]


def delete_some(org: Org, ids: Sequence[str]) -> dict[str, Written]:
    """Delete up to 200 tasks in one call; return id -> outcome. One that is gone already is no error."""
    done: dict[str, Written] = {}
    tries, wait = 1, 0.1
    while ids:
        params = {"ids": ",".join(ids), "allOrNone": "false"}
        try:
            results = org.call_each("DELETE", "composite/sobjects", len(ids), params=params)
        except AdapterError:
            if not done:
                raise
            break  # Each has the outcome of its try before.
        again: list[str] = []
        for one, result in zip(ids, results, strict=True):
            trouble = None if result.get("success") else from_item(result)
            if trouble is not None and (is_gone(trouble) or trouble.code == "INVALID_CROSS_REFERENCE_KEY"):
                trouble = None
            elif trouble is not None and tries < rule_of_item(result).tries:
                again.append(one)
            done[one] = Written(key=one, remote_id=long_id(one), error=trouble)
        ids = again
        if ids:
            tries, wait = tries + 1, wait * 2
            org.wait(wait)
    return done


# ------------------------------------------------------------------------------------------ the intent field


def _trouble(shape: Shape, name: str) -> Refused | None:
    """Return why a key could not be trusted to be there once; None when it can."""
    found = shape.get(name)
    if found is None:
        return _missing(name)
    if not found.external_id or not found.unique:
        lacking = " and ".join(
            word for word, there in (("an external id", found.external_id), ("unique", found.unique)) if not there
        )
        return _unfit(f"the field {name} of Task is not {lacking}, so a task could be made twice", _DEPLOY)
    if not found.createable or not found.updateable:
        return _unfit(f"the Salesforce user may not write the field {name} of Task", _GRANT)
    if found.length < _KEY_LENGTH:
        return _unfit(f"the field {name} of Task holds {found.length} characters, and a key has {_KEY_LENGTH}", _DEPLOY)
    return None


def _missing(name: str) -> Refused:
    # `describe` cannot tell the two apart.
    return _unfit(
        f"the field {name} of Task is missing in the Salesforce org, or hidden from its user", f"{_DEPLOY}, or {_GRANT}"
    )


def _unfit(what: str, move: str) -> Refused:
    return Refused(f"{what}: no task is written there; {move}", code="intent_field", advice=move)


# --------------------------------------------------------------------------------------------------- rows


def _say_closed(writes: Sequence[TaskWrite]) -> bool:
    return any("closed" in write.fields for write in writes)


def _as_update(row: _Row) -> _Row:
    record = {name: value for name, value in row.record.items() if name not in CREATE_ONLY}
    return replace(row, record=record, tries=row.tries + 1)


def _gone() -> Refused:
    return Refused("the task was deleted in Salesforce", code="gone", advice=rule_for("ENTITY_IS_DELETED").advice)


def _failed(rows: Sequence[_Row], error: AdapterError) -> dict[int, Written]:
    return {row.place: Written(key=row.write.key, error=error) for row in rows}


def _calls(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Cut rows into calls; a key comes once in a call, because Salesforce fails both rows otherwise."""
    calls: list[list[_Row]] = []
    while rows:
        first = {row.write.key: row for row in reversed(rows)}
        calls += _packed(
            sorted(first.values(), key=lambda row: (row.group, str(row.record.get("WhoId") or ""), row.place))
        )
        rows = [row for row in rows if first[row.write.key] is not row]
    return calls


def _packed(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Cut sorted rows into the fewest calls, with the rows of a group in one call wherever that costs no call more.

    Two calls that lock the same account may wait for each other; a group is split only at the edge of two neighbours.
    """
    fewest = ceil(len(rows) / TASKS_PER_CALL)
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row.group)]
    calls: list[list[_Row]] = []
    for group in sorted(groups, key=len, reverse=True):
        room = next((call for call in calls if len(call) + len(group) <= TASKS_PER_CALL), None)
        if room is None:
            calls.append(group)
        else:
            room += group
    if len(calls) > fewest or any(len(call) > TASKS_PER_CALL for call in calls):
        return [list(call) for call in chunks(rows, TASKS_PER_CALL)]
    return calls
