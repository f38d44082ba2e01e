"""Facts about people, written to their records: opt-out, bounce, and the roll-up of their campaign.

Lives here: which field takes which fact, in which form, and each record's result. Does not live here: which facts are
due (the core), what an error's code means (`errors`).

- A field that an object lacks, hides or does not let us write loses the field, not the record; only an opt-out that
  cannot be written is told, because nobody may believe that it arrived.
- What is meant for a converted lead goes to its contact, for a merged record to the one that stayed.
- A collection answers 200 even when every item failed: each item is read.
Source: spec delivery 6, reference apis 1.5, 1.7, 1.9 and 1.10, marketo 4 (roll-up fields).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from adapters.salesforce.describe import FieldShape, Shapes
from adapters.salesforce.errors import MissingField, from_item
from adapters.salesforce.records import BOUNCED_AT, BOUNCED_REASON, OPT_OUT, PEOPLE, Kind, Records
from adapters.salesforce.session import Org
from adapters.salesforce.values import cut, is_id, long_id, stamp
from connector.errors import AdapterError, Refused
from connector.ports import PersonWrite, RollupFact, Written

PEOPLE_PER_CALL = 200

#: Our field -> theirs, of those that need no mapping.
_STANDARD = {"opted_out": OPT_OUT, "bounced_at": BOUNCED_AT, "bounced_reason": BOUNCED_REASON}

_TEXTS = frozenset({"string", "textarea", "combobox", "picklist"})
_INSTANTS = frozenset({"date", "datetime", "string"})
#: Types of field that can hold a fact of the roll-up.
_HOLDS: Mapping[str, frozenset[str]] = {
    RollupFact.CURRENT_CAMPAIGN: _TEXTS,
    RollupFact.LAST_ACTIVITY: _INSTANTS,
    RollupFact.LAST_REPLIED: _INSTANTS,
}

#: Codes of an item that is worth another try at once.
_AT_ONCE = frozenset({"UNABLE_TO_LOCK_ROW"})
#: Codes of an item whose record may have a successor.
_MOVED = frozenset({"CANNOT_UPDATE_CONVERTED_LEAD", "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"})
#: Tries of one item within one push.
_TRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One write on its way."""

    place: int
    write: PersonWrite
    #: The record it goes to, and whether that stands for another.
    id: str
    moved: bool = False
    #: Their fields that the org did not take of this record.
    without: frozenset[str] = frozenset()

    @property
    def kind(self) -> Kind:
        return PEOPLE[self.id[:3]]


class Facts:
    """Facts about the leads and contacts of one org."""

    def __init__(self, org: Org, records: Records, shapes: Shapes, rollup: Mapping[RollupFact, str]) -> None:
        """Take where the roll-up goes: fact -> field; the names were checked with the options."""
        self._org = org
        self._records = records
        self._shapes = shapes
        self._targets: Mapping[str, str] = {**_STANDARD, **{str(fact): field for fact, field in rollup.items()}}
        #: Object -> fields that the org refused although its description shows them.
        self._refused: dict[str, set[str]] = {kind.name: set() for kind in PEOPLE.values()}

    def left_out(self) -> dict[str, str]:
        """Return field, such as `Contact.EmailBouncedDate` -> why nothing is written to it."""
        found = {}
        for kind in PEOPLE.values():
            for ours, theirs in self._targets.items():
                trouble = self._trouble(kind, ours)
                if trouble is not None:
                    found[f"{kind.name}.{theirs}"] = trouble.sentence
        return found

    def push(self, writes: Sequence[PersonWrite]) -> list[Written]:
        """Write facts about people, 200 a call and object, rows of one account side by side."""
        done: dict[int, Written] = {}
        rows: list[_Row] = []
        for place, write in enumerate(writes):
            try:
                rows.append(_Row(place=place, write=write, id=self._checked(write)))
            except Refused as error:
                done[place] = Written(key=write.id, error=error)
        for attempt in range(_TRIES):
            again = self._push_all(rows, done)
            if not again or attempt == _TRIES - 1:
                break
            if any(_code(done, row) in _AT_ONCE for row in again):
                self._org.wait(0.1 * 2 ** (attempt + 1))
            rows = self._followed(again, done)
        return [done[place] for place in range(len(writes))]

    def _checked(self, write: PersonWrite) -> str:
        if not is_id(write.id) or write.id[:3] not in PEOPLE:
            raise Refused("that is not the id of a lead or contact", code="MALFORMED_ID")
        for name in write.fields:
            if name not in self._targets and name not in set(RollupFact):
                raise Refused(f"a person in Salesforce has no field for '{name}'", code="unknown_field")
        return long_id(write.id)

    # --------------------------------------------------------------------------------------------- write

    def _push_all(self, rows: Sequence[_Row], done: dict[int, Written]) -> list[_Row]:
        """Write rows and note their outcome; return those that are right to write again."""
        again: list[_Row] = []
        stopped: AdapterError | None = None
        for chunk in _calls(rows):
            if stopped is None:
                try:
                    again += self._push_chunk(chunk, done)
                    continue
                except AdapterError as error:
                    if not done:
                        raise
                    # Trouble with the org stops the rest too.
                    stopped = error
            self._note_all(chunk, stopped, done)
        return [] if stopped is not None else again

    def _push_chunk(self, rows: Sequence[_Row], done: dict[int, Written]) -> list[_Row]:
        """Write up to 200 rows of one object."""
        records = {row.place: self._record(row) for row in rows}
        for row in rows:
            if not records[row.place]:
                # Nothing is left of it.
                self._note(row, None, done)
        rows = [row for row in rows if records[row.place]]
        if not rows:
            return []
        sent = [{"attributes": {"type": row.kind.name}, "id": row.id, **records[row.place]} for row in rows]
        body = {"allOrNone": False, "records": sent}
        try:
            results = self._org.call_each("PATCH", "composite/sobjects", len(sent), json=body)
        except MissingField as error:
            # The description is older than the org: what it lacks is lost, and only that.
            kind = rows[0].kind
            self._note_all(rows, error, done)
            if error.field in self._refused[kind.name] or not any(error.field in one for one in sent):
                return []
            self._refused[kind.name].add(error.field)
            self._shapes.forget(kind.name)
            return list(rows)
        except Refused as error:
            # It speaks of this call only.
            self._note_all(rows, error, done)
            return []
        return [again for row, result in zip(rows, results, strict=True) if (again := self._read(row, result, done))]

    def _read(self, row: _Row, result: Mapping[str, Any], done: dict[int, Written]) -> _Row | None:
        """Note the outcome of one item; return the row if it is right to write it again."""
        if result.get("success"):
            self._note(row, None, done)
            return None
        error = from_item(result)
        self._note(row, error, done)
        named = {str(name) for one in result.get("errors") or () for name in one.get("fields") or ()}
        unwritable = named & set(self._targets.values())
        if error.code == "INVALID_FIELD_FOR_INSERT_UPDATE" and unwritable - row.without:
            return replace(row, without=row.without | unwritable)
        follows = error.code in _MOVED and not row.moved
        return row if follows or error.code in _AT_ONCE else None

    def _followed(self, rows: Sequence[_Row], done: Mapping[int, Written]) -> list[_Row]:
        """Point the rows whose record was converted or merged at the one that stands for it; leave out the lost."""
        moved = {row.place for row in rows if _code(done, row) in _MOVED}
        stands = self._standing([row.id for row in rows if row.place in moved])
        found = []
        for row in rows:
            if row.place not in moved:
                found.append(row)
            elif row.id in stands and stands[row.id] != row.id:
                found.append(replace(row, id=stands[row.id], moved=True))
        return found

    def _standing(self, ids: Sequence[str]) -> dict[str, str]:
        if not ids:
            return {}
        try:
            return {one: now.id for one, now in self._records.standing(ids)[0].items()}
        except AdapterError:
            # The rows keep the error they have, and are written again by a later pass.
            return {}

    def _note_all(self, rows: Iterable[_Row], error: AdapterError, done: dict[int, Written]) -> None:
        for row in rows:
            self._note(row, error, done)

    def _note(self, row: _Row, error: AdapterError | None, done: dict[int, Written]) -> None:
        """Note an outcome; what was written without the opt-out that was due counts as not written."""
        if error is None and "opted_out" in row.write.fields:
            error = self._trouble(row.kind, "opted_out", without=row.without)
        done[row.place] = Written(key=row.write.id, remote_id=None if error else row.id, error=error)

    # ------------------------------------------------------------------------------------------- records

    def _record(self, row: _Row) -> dict[str, Any]:
        """Return what is written of a row: their field -> value."""
        record: dict[str, Any] = {}
        for ours, value in row.write.fields.items():
            if ours not in self._targets or self._trouble(row.kind, ours, without=row.without) is not None:
                continue
            shape = self._shapes.of(row.kind.name).get(self._targets[ours])
            if shape is not None and not (shape.restricted and value is not None and value not in shape.picklist):
                record[shape.name] = _value(value, shape)
        return record

    def _trouble(self, kind: Kind, ours: str, *, without: frozenset[str] = frozenset()) -> Refused | None:
        """Return why a fact cannot be written to an object; None when it can."""
        theirs = self._targets[ours]
        whole = self._records.shape(kind)
        if whole is None:
            return Refused(f"the user sees no {kind.name} in Salesforce: grant access to it", code="INVALID_TYPE")
        shape = whole.get(theirs)
        refused = {name.lower() for name in (*self._refused[kind.name], *without)}
        if shape is None:
            return MissingField(f"{kind.name}.{theirs}")
        if not shape.updateable or theirs.lower() in refused:
            return Refused(
                f"the Salesforce user may not write the field {kind.name}.{theirs}: grant edit access to it",
                code="INVALID_FIELD_FOR_INSERT_UPDATE",
            )
        if ours in _HOLDS and shape.kind not in _HOLDS[ours]:
            return Refused(
                f"the field {kind.name}.{theirs} is of the type {shape.kind}, which cannot hold {ours}: map another",
                code="INVALID_FIELD",
            )
        return None


def _value(value: Any, shape: FieldShape) -> Any:
    """Return a fact in the form of its field; a day is the one in UTC, for an instant says nothing of its place."""
    if isinstance(value, datetime):
        return stamp(value)[:10] if shape.kind == "date" else stamp(value)
    if isinstance(value, str) and shape.length:
        return cut(value, shape.length)
    return value


def _code(done: Mapping[int, Written], row: _Row) -> str:
    error = done[row.place].error
    return error.code if error is not None else ""


def _calls(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Cut into calls of one object; a record comes once in a call, because Salesforce refuses it twice."""
    some: list[_Row] = []
    ids: set[str] = set()
    for row in sorted(rows, key=lambda row: (row.kind.name, row.write.account or "", row.id)):
        if some and (len(some) == PEOPLE_PER_CALL or row.id in ids or row.kind is not some[0].kind):
            yield some
            some, ids = [], set()
        some.append(row)
        ids.add(row.id)
    if some:
        yield some
