"""What the simulated org checks and fills in by itself when a record is saved.

Lives here: triggers and validation rules an administrator made, picklists, owners, what tasks obey, which rows a write
locks. Does not live here: single values (`org_values`), storing (`org`).
Source: reference apis 1.3 to 1.9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from adapters.sandbox.org_values import Refusal
from adapters.sandbox.sobjects import Record, SObject

#: Whether a record about to be saved breaks a rule; rewrites of one, by field.
Predicate = Callable[[Mapping[str, Any]], bool]
Trigger = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ValidationRule:
    field: str
    broken: Predicate
    message: str


class Records(Protocol):
    """What the rules ask the org."""

    def found(self, record_id: str | None) -> Record | None:
        """Find a record of any object, whoever may see it."""
        ...

    def is_closed(self, status: str | None) -> bool:
        """Whether a status of a task means that it is done."""
        ...

    def now(self) -> datetime:
        """Return the present instant."""
        ...


class Rules:
    """The rules of one org."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._triggers: dict[str, list[Trigger]] = {}
        self._validations: dict[str, list[_ValidationRule]] = {}

    def add_trigger(self, name: str, rewrite: Trigger) -> None:
        """Let what `rewrite` returns be written over each record of an object before it is saved."""
        self._triggers.setdefault(name, []).append(rewrite)

    def add_validation(self, name: str, field: str, broken: Predicate, message: str) -> None:
        """Refuse records of an object that a rule says are broken."""
        self._validations.setdefault(name, []).append(_ValidationRule(field=field, broken=broken, message=message))

    def apply(self, sobject: SObject, after: dict[str, Any], before: Mapping[str, Any]) -> None:
        """Check what is about to be saved and fill in what the platform does; changes `after`."""
        for trigger in self._triggers.get(sobject.name, ()):
            after.update(trigger(after))
        for field in sobject.restricted:
            value = after.get(field.name)
            if value is not None and value != before.get(field.name) and value not in field.values:
                message = f"{field.label}: bad value for restricted picklist field: {value}"
                raise Refusal("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, field.name)
        self._check_owner(sobject, after, before)
        if sobject.name == "Task":
            self._apply_to_task(after, before)
        if sobject.name == "CampaignMember":
            _apply_to_member(after)
        for rule in self._validations.get(sobject.name, ()):
            if rule.broken(after):
                raise Refusal("FIELD_CUSTOM_VALIDATION_EXCEPTION", rule.message, rule.field)

    def locked_rows(
        self, sobject: SObject, row_id: str, after: Mapping[str, Any], before: Mapping[str, Any]
    ) -> set[str]:
        """Return the rows a write holds until its call is answered.

        A new task takes its account and the records it is about only when it is open and due; a change always does.
        """
        if sobject.name != "Task":
            return {row_id}
        due = after.get("ActivityDate") is not None and not self._records.is_closed(after.get("Status"))
        if not before and not due:
            return set()
        rows = {values.get(name) for values in (before, after) for name in ("AccountId", "WhoId", "WhatId")}
        return {row for row in rows if row} | ({row_id} if before else set())

    def _check_owner(self, sobject: SObject, after: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        owner = self._records.found(after.get("OwnerId"))
        if owner is not None and after["OwnerId"] != before.get("OwnerId") and owner.values.get("IsActive") is False:
            message = f"operation performed with inactive user [{owner.id[:15]}] as owner of {sobject.name.lower()}"
            raise Refusal("INACTIVE_OWNER_OR_USER", message)

    def _apply_to_task(self, after: dict[str, Any], before: Mapping[str, Any]) -> None:
        who, what = self._records.found(after.get("WhoId")), self._records.found(after.get("WhatId"))
        if who is not None and who.object == "Lead":
            if who.values.get("IsConverted"):
                raise Refusal("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
            if what is not None:
                message = "Related To ID: a task whose Name is a lead cannot be related to another record"
                raise Refusal("FIELD_INTEGRITY_EXCEPTION", message, "WhatId")
        if after.get("TaskSubtype") == "Cadence" and before.get("TaskSubtype") != "Cadence":
            message = "Task Subtype: bad value for restricted picklist field: Cadence"
            raise Refusal("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, "TaskSubtype")
        if after.get("IsReminderSet") and after.get("ReminderDateTime") is None:
            raise Refusal(
                "REQUIRED_FIELD_MISSING", "Required fields are missing: [ReminderDateTime]", "ReminderDateTime"
            )
        after["AccountId"] = what.id if what is not None and what.object == "Account" else None
        if after["AccountId"] is None and who is not None:
            after["AccountId"] = who.values.get("AccountId")
        closed = self._records.is_closed(after.get("Status"))
        if closed and not self._records.is_closed(before.get("Status")):
            after["CompletedDateTime"] = self._records.now().replace(microsecond=0)
        elif not closed:
            after["CompletedDateTime"] = None


def _apply_to_member(after: dict[str, Any]) -> None:
    if not after.get("LeadId") and not after.get("ContactId"):
        raise Refusal("REQUIRED_FIELD_MISSING", "Required fields are missing: [LeadId or ContactId]")
    after["LeadOrContactId"] = after.get("ContactId") or after.get("LeadId")
    after["Type"] = "Contact" if after.get("ContactId") else "Lead"
