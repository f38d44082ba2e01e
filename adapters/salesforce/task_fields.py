"""One task as a Salesforce record: our fields in theirs, as far as the org has them and lets the user write them.

Lives here: `to_record`, and `gaps`, what an org makes us leave out. Does not live here: writing (`tasks`), what the org
has (`describe`).

- A field that a task can do without is left out where the org lacks it, hides it, or has no such value: the field is
  lost, not the record. What a task is of no use without is always sent, so that the org says what is wrong with it.
- Texts are cut at the length the org's field has.
- What a task belongs to beside the person (WhatId) is left to the org: decision 0014.
Source: spec delivery 3 and 6, reference apis 1.3, marketo 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from adapters.salesforce.codes import rule_for
from adapters.salesforce.describe import FieldShape, Shape, Statuses
from adapters.salesforce.values import cut, is_id, stamp
from connector.errors import Refused
from connector.intents import Priority, StepType
from connector.ports import ActivityFact, ActivityKind, TaskWrite

#: As every org has them; a shorter field of the org counts.
SUBJECT_LENGTH = 255
DESCRIPTION_LENGTH = 31_000
CUT = "\n[...] (cut: too long for Salesforce)"

#: Part of a long text's field that stays free, for line ends, which some clients count twice.
_MARGIN = 32

_SUBTYPES = {StepType.EMAIL: "Email", StepType.CALL: "Call", StepType.INMAIL: "LinkedIn", StepType.CUSTOM: "Task"}
#: Any other is the org's own word, as it was pulled.
_PRIORITIES = {Priority.HIGH: "High", Priority.NORMAL: "Normal"}
_FACTS = frozenset(fact.value for fact in ActivityFact)
_TYPES = {ActivityKind.EMAIL: "Email", ActivityKind.CALL: "Call", ActivityKind.REPLY: "Reply"}

#: Fields that may only be given when a record is made.
CREATE_ONLY = frozenset({"TaskSubtype"})

#: Without these a task is not the task that was wanted.
_NEEDED = frozenset({"Subject", "Status", "OwnerId", "WhoId"})

#: One of these without the other means nothing.
_REMINDER = frozenset({"ReminderDateTime", "IsReminderSet"})

#: Standard picklists that are written only where they have the value, restricted or not: no stray values are made.
_LISTED = frozenset({"Priority", "TaskSubtype", "Type"})

#: Fields whose values are no texts, in the form Salesforce takes already.
_AS_IT_IS = frozenset({"ActivityDate", "ReminderDateTime", "WhoId", "OwnerId"})

#: Kinds of field, as `describe` says them, that can hold a text, and a number.
_TEXTS = frozenset({"string", "textarea", "picklist", "multipicklist", "combobox", "url", "email", "phone"})
_NUMBERS = frozenset({"int", "double", "currency", "percent", "long"})
_PICKLISTS = frozenset({"picklist", "multipicklist"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFields:
    """What one org has for our fields."""

    intent_field: str
    #: Fact -> the field that takes it, by configuration.
    mapped: Mapping[ActivityFact, str]
    shape: Shape
    #: None as long as no status is written.
    statuses: Statuses | None = None

    def is_needed(self, name: str) -> bool:
        """Tell whether a task is of no use without a field."""
        return name in _NEEDED or name == self.intent_field


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """A record as it is sent, and field -> why it was left out."""

    values: Mapping[str, Any]
    left_out: Mapping[str, str] = field(default_factory=dict)


class _Misfit(Exception):  # noqa: N818 - it is no fault: the field is left out
    pass


def to_record(write: TaskWrite, fields: TaskFields) -> TaskRecord:
    """Return the record of one write; raise `Refused` for a value Salesforce cannot hold."""
    given: dict[str, Any] = {}
    for name, value in write.fields.items():
        if name == "closed" and fields.statuses is not None:
            given["Status"] = fields.statuses.closed if value else fields.statuses.open
        elif name in _FIELDS:
            given |= _FIELDS[name](value)
        elif name in _FACTS:
            mapped = fields.mapped.get(ActivityFact(name))
            given |= {mapped: value} if mapped else {}
        else:
            raise Refused(f"a task in Salesforce has no field for '{name}'", code="unknown_field")
    if not write.create:
        given = {name: value for name, value in given.items() if name not in CREATE_ONLY}
    return _fitted(given, fields, create=write.create, key=write.key)


def _fitted(given: Mapping[str, Any], fields: TaskFields, *, create: bool, key: str) -> TaskRecord:
    values: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name, value in given.items():
        try:
            values[name] = _fit(name, fields.shape.get(name), value, create=create)
        except _Misfit as why:
            if fields.is_needed(name):
                values[name] = value
            else:
                left_out[name] = str(why)
    if _REMINDER & left_out.keys():
        values = {name: value for name, value in values.items() if name not in _REMINDER}
    attributes = {"attributes": {"type": "Task"}, fields.intent_field: key}
    return TaskRecord(values={**attributes, **values}, left_out=left_out)


def _fit(name: str, shape: FieldShape | None, value: Any, *, create: bool) -> Any:
    """Return a value as the org's field takes it; raise `_Misfit` with the reason when it does not."""
    if shape is None:
        raise _Misfit("the org has no such field, or hides it from the user")
    if not shape.writable(create=create):
        raise _Misfit("the user may not write it")
    if name in _AS_IT_IS:
        return value
    if shape.kind == "boolean":
        if value is not None and not isinstance(value, bool):
            raise _Misfit("it is a checkbox, which cannot hold this")
        return bool(value)  # A checkbox is never empty.
    if value is None:
        return None
    if shape.kind in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _Misfit("it is a number, which cannot hold this")
        return value
    if shape.kind in _TEXTS:
        return _fit_text(name, shape, value)
    raise _Misfit(f"it is of the kind '{shape.kind}', which cannot hold this")


def _fit_text(name: str, shape: FieldShape, value: Any) -> str | None:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    listed = name in _LISTED or (shape.kind in _PICKLISTS and shape.restricted)
    if text and listed and name != "Status" and text not in shape.picklist:
        raise _Misfit(f"its picklist has no active value '{text}'")
    if name == "Description":
        return cut(text, shape.length - shape.length // _MARGIN, CUT)
    return cut(text, shape.length) or None if shape.length else text


def gaps(fields: TaskFields) -> dict[str, str]:
    """Return field -> why it would be left out, over every value that can come to be written."""
    found: dict[str, list[str]] = {}
    for write in _samples():
        for name, why in to_record(write, fields).left_out.items():
            reasons = found.setdefault(name, [])
            if why not in reasons:
                reasons.append(why)
    return {name: "; ".join(reasons) for name, reasons in found.items()}


def _samples() -> list[TaskWrite]:
    """Return writes that carry every optional value at least once."""
    facts: dict[str, Any] = dict.fromkeys(_FACTS, "")
    facts |= {ActivityFact.DAY: 1, ActivityFact.STEP: 1, ActivityFact.REPLIED: True}
    statuses = ("In progress", "Sent", "Bounced")
    day = datetime(2000, 1, 1, tzinfo=UTC)
    whole = {**facts, "due_date": day.date(), "reminder_at": day, "description": "-"}
    values: list[dict[str, Any]] = [
        whole,
        *({"subtype": step} for step in StepType),
        *({"priority": priority} for priority in Priority),
        *({"kind": kind} for kind in ActivityKind),
        *({"email_status": status} for status in statuses),
    ]
    return [TaskWrite(key="", create=create, fields=fields) for fields in values for create in (True, False)]


def _checked_id(value: Any, what: str) -> str | None:
    if not value:
        return None
    if not is_id(str(value)):
        code = "MALFORMED_ID"
        sentence = f"the {what} is not a Salesforce id: 15 or 18 letters and digits"
        raise Refused(sentence, code=code, advice=rule_for(code).advice)
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
    "subject": lambda text: {"Subject": " ".join((text or "").split())},
    "priority": lambda priority: _given("Priority", _PRIORITIES.get(priority, priority)),
    "due_date": lambda day: {"ActivityDate": day.isoformat() if day else None},
    "reminder_at": lambda at: {"ReminderDateTime": stamp(at) if at else None, "IsReminderSet": at is not None},
    "description": lambda text: {"Description": text or None},
    "who": lambda one: {"WhoId": _checked_id(one, "person")},
    "owner": lambda one: _given("OwnerId", _checked_id(one, "owner")),
    "subtype": lambda step: _given("TaskSubtype", _named(_SUBTYPES, step, "kind")),
    "kind": lambda kind: {"Type": _named(_TYPES, kind, "type")},
}
