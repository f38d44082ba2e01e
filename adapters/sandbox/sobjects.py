"""What the simulated Salesforce org consists of: objects, their fields, ids.

Lives here: the tables of objects and fields, 15 and 18 character ids. Does not live here: how `describe` tells them
(`sobject_describe`), records and the rules for writing them (`org`), queries (`soql`), HTTP (`salesforce`).
Source: reference apis 1.3 and 1.4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

_ID = re.compile(r"^[a-zA-Z0-9]{15}([a-zA-Z0-9]{3})?$")
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

#: The external-id field this project asks an org to have (spec interfaces 1, `intent_field`).
INTENT_FIELD = "Connector_Intent_Id__c"

#: Text longer than this can neither be filtered nor sorted by.
LONGEST_FILTERABLE = 255

TEXT_TYPES = frozenset({"string", "textarea", "picklist", "combobox", "email", "phone", "url"})
ID_TYPES = frozenset({"id", "reference"})
NUMBER_TYPES = frozenset({"double", "currency", "percent"})

#: Length of a text field when nobody says otherwise.
_LENGTHS = {"string": 255, "picklist": 255, "email": 80, "phone": 40, "url": 255, "textarea": 255, "combobox": 255}


@lru_cache(maxsize=50_000)
def full_id(text: str) -> str | None:
    """Return the 18 character form of an id, or None when it is not one (a wrong check suffix included)."""
    if not _ID.match(text):
        return None
    short = text[:15]
    suffix = "".join(
        _SUFFIX[sum(1 << place for place, char in enumerate(short[start : start + 5]) if char.isupper())]
        for start in (0, 5, 10)
    )
    return short + suffix if text[15:].upper() in ("", suffix) else None


def new_id(prefix: str, number: int) -> str:
    """Make the 18 character id of the number-th record of an object."""
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return full_id(f"{prefix}5g00000{digits:0>5}") or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of an object."""

    name: str
    type: str
    label: str
    length: int = 0
    createable: bool = True
    updateable: bool = True
    nillable: bool = True
    #: Values of a picklist; enforced when `restricted`.
    values: tuple[str, ...] = ()
    restricted: bool = False
    default: Any = None
    refers_to: tuple[str, ...] = ()
    relationship: str | None = None
    external_id: bool = False
    unique: bool = False
    case_sensitive: bool = False

    @property
    def filterable(self) -> bool:
        """Whether a WHERE or ORDER BY may name it."""
        return not (self.type == "textarea" and self.length > LONGEST_FILTERABLE)

    @property
    def custom(self) -> bool:
        """Whether an administrator made it."""
        return self.name.endswith("__c")


@dataclass(frozen=True, slots=True, kw_only=True)
class SObject:
    """An object of the org."""

    name: str
    prefix: str
    fields: Mapping[str, Field]
    required: tuple[str, ...] = ()
    #: Records can be made and changed through the API.
    writable: bool = True
    #: What is looked up again and again: fields by lower-case name, unique and restricted ones, defaults.
    by_lower: Mapping[str, Field] = field(init=False, repr=False)
    unique: Sequence[Field] = field(init=False, repr=False)
    restricted: Sequence[Field] = field(init=False, repr=False)
    defaults: Mapping[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fields = self.fields.values()
        found: dict[str, Any] = {
            "by_lower": {each.name.lower(): each for each in fields},
            "unique": tuple(each for each in fields if each.unique),
            "restricted": tuple(each for each in fields if each.restricted),
            "defaults": {each.name: each.default for each in fields if each.default is not None},
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def field(self, name: str) -> Field | None:
        """Find a field; names do not tell upper from lower case."""
        return self.by_lower.get(name.lower())

    def relationship(self, name: str) -> Field | None:
        """Find the reference field behind a relationship name such as `Who`."""
        return next((f for f in self.fields.values() if (f.relationship or "").lower() == name.lower()), None)

    def with_field(self, extra: Field) -> SObject:
        """Return it with one field more."""
        return replace(self, fields={**self.fields, extra.name: extra})

    def without_field(self, name: str) -> SObject:
        """Return it without a field."""
        return replace(self, fields={each: f for each, f in self.fields.items() if each != name})


def _f(name: str, kind: str, length: int = 0, access: str = "cu", *, label: str = "", **more: Any) -> Field:
    """Make a field; `access` holds c (createable) and u (updateable)."""
    words = label or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("__c")).replace("_", " ")
    if kind in ID_TYPES:
        length = 18
        words = label or re.sub(r" ?Id$", " ID", words).strip()
    return Field(
        **{
            "name": name,
            "type": kind,
            "label": words,
            "length": length,
            "createable": "c" in access,
            "updateable": "u" in access,
            **more,
        }
    )


def _ref(name: str, *refers_to: str, access: str = "cu", label: str = "", nillable: bool = True) -> Field:
    return _f(
        name,
        "reference",
        access=access,
        label=label,
        refers_to=refers_to,
        relationship=name.removesuffix("Id"),
        nillable=nillable,
    )


_SYSTEM: tuple[Field, ...] = (
    _f("Id", "id", access="", nillable=False),
    _f("IsDeleted", "boolean", access="", nillable=False, default=False),
    _f("CreatedDate", "datetime", access="", nillable=False),
    _ref("CreatedById", "User", access="", nillable=False),
    _f("LastModifiedDate", "datetime", access="", nillable=False),
    _ref("LastModifiedById", "User", access="", nillable=False),
    _f("SystemModstamp", "datetime", access="", nillable=False),
)

_PERSON: tuple[Field, ...] = (
    _f("LastName", "string", 80, nillable=False),
    _f("FirstName", "string", 40),
    _f("Salutation", "picklist", 40, values=("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.")),
    _f("Name", "string", 121, "", nillable=False),
    _f("Title", "string", 128),
    _f("Phone", "phone", 40),
    _f("MobilePhone", "phone", 40),
    _f("Email", "email", 80),
    _f("HasOptedOutOfEmail", "boolean", nillable=False, default=False, label="Email Opt Out"),
    _f("EmailBouncedReason", "string", 255),
    _f("EmailBouncedDate", "datetime"),
    _f("LeadSource", "picklist", 255, values=("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")),
    _f("Description", "textarea", 32000),
)


def custom_field(name: str, kind: str, **facets: Any) -> Field:
    """Make a field as an administrator does; raise `ValueError` with a sentence for a kind or facet there is not."""
    if kind not in TEXT_TYPES | NUMBER_TYPES | {"boolean", "date", "datetime", "int", "reference"}:
        raise ValueError(f"there is no kind of field '{kind}'")
    if kind == "boolean":
        facets = {"default": False, "nillable": False, **facets}
    unknown = set(facets) - set(Field.__dataclass_fields__)
    if unknown:
        raise ValueError(f"a field has no facet '{min(unknown)}'")
    length = facets.pop("length", _LENGTHS.get(kind, 0))
    return _f(name, kind, length, **facets)


def _sobject(name: str, prefix: str, *fields: Field, required: tuple[str, ...] = (), writable: bool = True) -> SObject:
    return SObject(
        name=name,
        prefix=prefix,
        fields={each.name: each for each in (*_SYSTEM, *fields)},
        required=required,
        writable=writable,
    )


_LEAD_STATUSES = ("Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted")
_RECURRENCES = (
    "RecursDaily", "RecursEveryWeekday", "RecursMonthly", "RecursMonthlyNth", "RecursWeekly", "RecursYearly",
    "RecursYearlyNth",
)  # fmt: skip
_SUBTYPES = ("Task", "Email", "ListEmail", "Call", "Cadence", "LinkedIn")

#: As a new org has them: API name, is default, is closed.
TASK_STATUSES: Sequence[tuple[str, bool, bool]] = (
    ("Not Started", True, False),
    ("In Progress", False, False),
    ("Completed", False, True),
    ("Waiting on someone else", False, False),
    ("Deferred", False, False),
)
#: API name, is default, is high priority.
TASK_PRIORITIES: Sequence[tuple[str, bool, bool]] = (
    ("High", False, True),
    ("Normal", True, False),
    ("Low", False, False),
)


def _names(values: Sequence[tuple[str, bool, bool]]) -> tuple[str, ...]:
    return tuple(name for name, _, _ in values)


INTENT = _f(INTENT_FIELD, "string", 64, external_id=True, unique=True, case_sensitive=True)


def standard_objects() -> dict[str, SObject]:
    """Return the objects of a new org, with the intent field on Task."""
    objects = (
        _sobject(
            "Account",
            "001",
            _f("Name", "string", 255, nillable=False),
            _f("AccountNumber", "string", 40),
            _f("Website", "url", 255),
            _f("Phone", "phone", 40),
            _f("BillingStreet", "textarea", 255),
            _f("Description", "textarea", 32000),
            _f("NumberOfEmployees", "int"),
            _ref("OwnerId", "User", nillable=False),
            required=("Name",),
        ),
        _sobject(
            "Contact",
            "003",
            *_PERSON,
            _ref("MasterRecordId", "Contact", access=""),
            _ref("AccountId", "Account"),
            _ref("OwnerId", "User", nillable=False),
            _f("Department", "string", 80),
            _f("IsEmailBounced", "boolean", access="", nillable=False, default=False),
            required=("LastName",),
        ),
        _sobject(
            "Lead",
            "00Q",
            *_PERSON,
            _ref("MasterRecordId", "Lead", access=""),
            _f("Company", "string", 255, nillable=False),
            _f("Website", "url", 255),
            _f("Status", "picklist", 255, nillable=False, values=_LEAD_STATUSES, default=_LEAD_STATUSES[0]),
            _ref("OwnerId", "User", "Group", nillable=False),
            _f("IsConverted", "boolean", access="c", nillable=False, default=False),
            _f("ConvertedDate", "date", access=""),
            _ref("ConvertedAccountId", "Account", access=""),
            _ref("ConvertedContactId", "Contact", access=""),
            required=("LastName", "Company"),
        ),
        _sobject(
            "User",
            "005",
            _f("Username", "string", 80, nillable=False, unique=True),
            _f("LastName", "string", 80, nillable=False),
            _f("FirstName", "string", 40),
            _f("Name", "string", 121, ""),
            _f("Email", "email", 128, nillable=False),
            _f("Title", "string", 80),
            _f("IsActive", "boolean", nillable=False, default=True),
            _f("TimeZoneSidKey", "picklist", 40, default="GMT"),
            _f("UserType", "picklist", 40, "", default="Standard"),
            required=("Username", "LastName", "Email"),
        ),
        _sobject(
            "Task",
            "00T",
            _ref("WhoId", "Contact", "Lead", label="Name ID"),
            _ref("WhatId", "Account", "Campaign", label="Related To ID"),
            _f("Subject", "combobox", 255, values=("Call", "Email", "Send Letter", "Send Quote", "Other")),
            _f("ActivityDate", "date", label="Due Date Only"),
            _f("Status", "picklist", 40, nillable=False, restricted=True, values=_names(TASK_STATUSES)),
            _f("Priority", "picklist", 40, nillable=False, restricted=True, values=_names(TASK_PRIORITIES)),
            _f("IsHighPriority", "boolean", access="", nillable=False, default=False),
            _ref("OwnerId", "User", "Group", label="Assigned To ID", nillable=False),
            _f("Description", "textarea", 32000),
            _f("Type", "picklist", 40, values=("Call", "Email", "Meeting", "Other")),
            _f("CallType", "picklist", 40, values=("Internal", "Inbound", "Outbound"), restricted=True),
            _f("CallDurationInSeconds", "int"),
            _f("CallDisposition", "string", 255),
            _ref("AccountId", "Account", access=""),
            _f("IsClosed", "boolean", access="", nillable=False, default=False),
            _f("IsArchived", "boolean", access="", nillable=False, default=False),
            _f("IsRecurrence", "boolean", access="c", nillable=False, default=False),
            _ref("RecurrenceActivityId", "Task", access=""),
            _f("RecurrenceStartDateOnly", "date", access="c"),
            _f("RecurrenceEndDateOnly", "date"),
            _f("RecurrenceType", "picklist", 40, "c", values=_RECURRENCES, restricted=True),
            _f("RecurrenceInterval", "int", access="c"),
            _f("ReminderDateTime", "datetime", label="Reminder Date/Time"),
            _f("IsReminderSet", "boolean", nillable=False, default=False),
            _f("TaskSubtype", "picklist", 40, "c", values=_SUBTYPES, restricted=True, default="Task"),
            _f("CompletedDateTime", "datetime", access=""),
            INTENT,
        ),
        _sobject(
            "Campaign",
            "701",
            _f("Name", "string", 80, nillable=False),
            _f("IsActive", "boolean", nillable=False, default=False),
            _ref("OwnerId", "User", nillable=False),
            required=("Name",),
        ),
        _sobject(
            "CampaignMember",
            "00v",
            _ref("CampaignId", "Campaign", access="c", nillable=False),
            _ref("LeadId", "Lead", access="c"),
            _ref("ContactId", "Contact", access="c"),
            _f("Status", "picklist", 40, values=("Sent", "Responded"), default="Sent"),
            _ref("LeadOrContactId", "Contact", "Lead", access=""),
            _f("Type", "picklist", 40, ""),
            required=("CampaignId",),
        ),
        _sobject(
            "Group",
            "00G",
            _f("Name", "string", 40, nillable=False),
            _f("Type", "picklist", 40, "c", nillable=False, values=("Queue", "Regular"), default="Queue"),
            required=("Name",),
        ),
        _sobject(
            "Organization",
            "00D",
            _f("Name", "string", 80, "u", nillable=False),
            _f("IsSandbox", "boolean", access="", nillable=False, default=False),
            _f("OrganizationType", "picklist", 40, "", default="Enterprise Edition"),
            _f("InstanceName", "string", 5, ""),
            _f("TimeZoneSidKey", "picklist", 40, "u", default="GMT"),
            writable=False,
        ),
        _sobject(
            "TaskStatus",
            "01W",
            _f("ApiName", "string", 255, ""),
            _f("MasterLabel", "string", 255, ""),
            _f("SortOrder", "int", access=""),
            _f("IsDefault", "boolean", access="", default=False),
            _f("IsClosed", "boolean", access="", default=False),
            writable=False,
        ),
        _sobject(
            "TaskPriority",
            "01V",
            _f("ApiName", "string", 255, ""),
            _f("MasterLabel", "string", 255, ""),
            _f("SortOrder", "int", access=""),
            _f("IsDefault", "boolean", access="", default=False),
            _f("IsHighPriority", "boolean", access="", default=False),
            writable=False,
        ),
    )
    return {each.name: each for each in objects}


#: What every record behind a reference to several objects can be asked for (`Who.Name`).
NAME = _sobject(
    "Name",
    "",
    _f("Name", "string", 255, ""),
    _f("FirstName", "string", 40, ""),
    _f("LastName", "string", 80, ""),
    _f("Title", "string", 128, ""),
    _f("Phone", "phone", 40, ""),
    _f("Email", "email", 80, ""),
    _f("Username", "string", 80, ""),
    _f("IsActive", "boolean", access=""),
    _f("Type", "string", 40, ""),
    writable=False,
)


@dataclass(slots=True)
class Record:
    """A record of the org: stored values by field name; what is not there is null."""

    object: str
    id: str
    values: dict[str, Any]
    #: When it went into the recycle bin, as seconds since 1970.
    deleted_at: float | None = None
