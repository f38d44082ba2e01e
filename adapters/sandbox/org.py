"""The records of the simulated Salesforce org, and what it accepts, refuses and does by itself.

Lives here: create, update, upsert, delete with the platform's own rules and messages; rollback; the recycle bin;
archiving; what lead conversion and merging move; the people outside who act in it.
Does not live here: the tables of objects and fields (`sobjects`), queries (`soql`), HTTP (`salesforce`).
Not thread-safe: `salesforce` holds one lock around every request and action.
Source: reference apis 1.3 to 1.11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from adapters.sandbox.service import SandboxClock, SandboxLog
from adapters.sandbox.sobjects import (
    ID_TYPES,
    INTENT,
    INTENT_FIELD,
    TASK_PRIORITIES,
    TASK_STATUSES,
    TEXT_TYPES,
    Field,
    Record,
    SObject,
    full_id,
    new_id,
    standard_objects,
)
from connector.people import Person, Rep, is_address

#: How long a deleted record stays in the recycle bin.
RECYCLE_BIN = timedelta(days=15)

#: Age at which a closed task is archived.
ARCHIVED_AFTER = timedelta(days=365)

_SYSTEM_FIELDS = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp")


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault of this program
    """A write the org refuses, with Salesforce's code, message and fields."""

    def __init__(self, code: str, message: str, *fields: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = fields
        #: HTTP status when it is the whole answer.
        self.status = status


class Org:
    """One org: its objects, records and rules."""

    def __init__(self, clock: SandboxClock, log: SandboxLog) -> None:
        self.sobjects = standard_objects()
        self._clock = clock
        self._log = log
        self._tables: dict[str, dict[str, Record]] = {name: {} for name in self.sobjects}
        self._unique: dict[tuple[str, str], dict[str, str]] = {}
        self._numbers: dict[str, int] = {}
        self._undo: list[Callable[[], None]] = []
        self._effects: list[tuple[str, dict[str, Any]]] = []
        #: Who acts through the API when nobody else is named.
        self.integration_user = ""
        self.integration_user = self.add(
            "User",
            Username="integration@sandbox.example",
            FirstName="Integration",
            LastName="User",
            Email="integration@sandbox.example",
        )
        self.set_picklist("TaskStatus", TASK_STATUSES)
        self.set_picklist("TaskPriority", TASK_PRIORITIES)

    # ------------------------------------------------------------------------------------ configuring

    def set_picklist(self, name: str, values: Sequence[tuple[str, bool, bool]]) -> None:
        """Replace the values of TaskStatus or TaskPriority: (API name, is default, is closed or high)."""
        flag = {"TaskStatus": "IsClosed", "TaskPriority": "IsHighPriority"}[name]
        self._tables[name] = {}
        for order, (value, default, flagged) in enumerate(values, 1):
            fields = {"ApiName": value, "MasterLabel": value, "SortOrder": order, "IsDefault": default, flag: flagged}
            self.add(name, **fields)

    def set_intent_field(self, *, present: bool) -> None:
        """Put the external-id field on Task, or take it and its values away."""
        task = self.sobjects["Task"]
        self.sobjects["Task"] = task.with_field(INTENT) if present else task.without_field(INTENT_FIELD)
        if not present:
            self._unique.pop(("Task", INTENT_FIELD), None)
            for row in self._tables["Task"].values():
                row.values.pop(INTENT_FIELD, None)

    def add(self, name: str, **fields: Any) -> str:
        """Make a record as an administrator's import does: read-only fields and an `Id` may be given; return the id."""
        given = fields.pop("Id", None)
        record_id = full_id(str(given)) if given else None
        if given and record_id is None:
            raise Refusal("MALFORMED_ID", f"malformed id {given}")
        with self.writing():
            made = self._insert(self.sobject(name), fields, self.integration_user, record_id=record_id, free=True)
        self._effects.clear()  # nobody did it: the org is that way
        return made.id

    # ---------------------------------------------------------------------------------------- reading

    def sobject(self, name: str) -> SObject:
        """Find an object; names do not tell upper from lower case."""
        found = next((each for key, each in self.sobjects.items() if key.lower() == name.lower()), None)
        if found is None:
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        return found

    def rows(self, name: str) -> Iterable[Record]:
        """Return every record of an object, without those purged from the recycle bin."""
        purged = (self._clock.now() - RECYCLE_BIN).timestamp()
        return [row for row in self._tables[name].values() if row.deleted_at is None or row.deleted_at > purged]

    def record(self, record_id: str | None) -> Record | None:
        """Find a record of any object, a deleted one too."""
        if not record_id:
            return None
        return next((table[record_id] for table in self._tables.values() if record_id in table), None)

    def value(self, record: Record, field: str) -> Any:
        """Read a field, computed ones too; null for one the object does not have."""
        computed = _COMPUTED.get((record.object, field))
        return computed(self, record) if computed else record.values.get(field)

    def find_by(self, sobject: SObject, field: Field, value: str) -> Record | None:
        """Find the live record with a value of a unique field or of one that is looked up by (Email)."""
        if not field.unique:
            rows = [row for row in self._tables[sobject.name].values() if row.deleted_at is None]
            found = [row for row in rows if str(row.values.get(field.name) or "").lower() == value.lower()]
            if len(found) > 1:
                ids = ", ".join(row.id for row in found)
                message = f"{field.name}: more than one record found for external id field: [{ids}]"
                raise Refusal("DUPLICATE_EXTERNAL_ID", message, field.name)
            return found[0] if found else None
        index = self._unique.get((sobject.name, field.name), {})
        record_id = index.get(value if field.case_sensitive else value.lower())
        return self._tables[sobject.name][record_id] if record_id else None

    def live(self, sobject: SObject, record_id: str) -> Record:
        """Find a record that can be written; refuse a malformed, unknown or deleted id."""
        found_id = full_id(record_id)
        if found_id is None:
            raise Refusal("MALFORMED_ID", f"malformed id {record_id}")
        row = self._tables[sobject.name].get(found_id)
        if row is None:
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if row.deleted_at is not None:
            raise Refusal("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return row

    # ---------------------------------------------------------------------------------------- writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Do all or nothing of what happens inside; the log hears of it only when it has lasted."""
        outer_undo, outer_effects = self._undo, self._effects
        self._undo, self._effects = [], []
        try:
            yield
        except BaseException:
            for undo in reversed(self._undo):
                undo()
            self._undo, self._effects = outer_undo, outer_effects
            raise
        outer_undo.extend(self._undo)
        outer_effects.extend(self._effects)
        self._undo, self._effects = outer_undo, outer_effects

    def settle(self) -> None:
        """Tell the log what has lasted; called once at the end of a request or action."""
        for effect, details in self._effects:
            self._log.effect("salesforce", effect, **details)
        self._effects.clear()
        self._undo.clear()

    def create(self, name: str, values: Mapping[str, Any], *, user: str = "") -> Record:
        """Create a record through the API."""
        with self.writing():
            return self._insert(self.sobject(name), values, user or self.integration_user)

    def update(self, name: str, record_id: str, values: Mapping[str, Any], *, user: str = "") -> Record:
        """Change a record through the API."""
        sobject = self.sobject(name)
        with self.writing():
            row = self.live(sobject, record_id)
            self._change(sobject, row, values, user or self.integration_user)
            return row

    def delete(self, record_id: str, *, user: str = "", name: str = "") -> str:
        """Put a record into the recycle bin and return its id; its external id no longer matches anything."""
        found_id = full_id(record_id)
        if found_id is None:
            raise Refusal("MALFORMED_ID", f"malformed id {record_id}")
        found = self.record(found_id)
        if found is None or (name and found.object != name):
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        sobject = self.sobjects[found.object]
        row = self.live(sobject, found_id)
        with self.writing():
            self._forget_unique(sobject, row)
            deleted_at = self._clock.now().timestamp()
            self._set(row, {"IsDeleted": True, **self._stamps(user or self.integration_user)}, deleted_at=deleted_at)
            self._effect(row, "deleted", user=user)
        return row.id

    def upsert(
        self, name: str, field: Field, value: str, values: Mapping[str, Any], *, update_only: bool, user: str = ""
    ) -> tuple[Record, bool]:
        """Create or update by a unique value; return the record and whether it was created."""
        sobject = self.sobject(name)
        row = self.find_by(sobject, field, value)
        if row is not None:
            return self.update(name, row.id, values, user=user), False
        if update_only:
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        return self.create(name, {**values, field.name: value}, user=user), True

    def _insert(
        self,
        sobject: SObject,
        values: Mapping[str, Any],
        user: str,
        *,
        record_id: str | None = None,
        free: bool = False,
    ) -> Record:
        if not sobject.writable and not free:
            raise Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be inserted: {sobject.name}")
        checked = self._checked(sobject, values, creating=True, free=free)
        defaults = {f.name: f.default for f in sobject.fields.values() if f.default is not None}
        defaults |= self._defaults(sobject, user)
        stored = {**defaults, **{name: value for name, value in checked.items() if value is not None}}
        missing = [name for name in sobject.required if stored.get(name) is None]
        if missing:
            raise Refusal("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", *missing)
        number = self._numbers[sobject.name] = self._numbers.get(sobject.name, 0) + 1
        row = Record(object=sobject.name, id=record_id or new_id(sobject.prefix, number), values={})
        if row.id in self._tables[sobject.name]:
            raise Refusal("DUPLICATE_VALUE", f"duplicate value found: Id duplicates value on record with id: {row.id}")
        stamps = self._stamps(user)
        author = user or row.id  # the very first user made itself
        stamps |= {"CreatedDate": stamps["SystemModstamp"], "CreatedById": author, "LastModifiedById": author}
        self._rules(sobject, row, stored, before={})
        self._tables[sobject.name][row.id] = row

        def undo() -> None:
            del self._tables[sobject.name][row.id]

        self._undo.append(undo)
        self._set(row, {"Id": row.id, **stamps, **stored})
        self._effect(row, "created", user=user)
        return row

    def _change(self, sobject: SObject, row: Record, values: Mapping[str, Any], user: str) -> None:
        if not sobject.writable:
            raise Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be updated: {sobject.name}")
        if sobject.name == "Lead" and row.values.get("IsConverted"):
            raise Refusal("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
        changed = self._checked(sobject, values, creating=False)
        emptied = [n for n, v in changed.items() if v is None and not sobject.fields[n].nillable]
        if emptied:
            raise Refusal("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(emptied)}]", *emptied)
        before = dict(row.values)
        after = {**before, **changed}
        self._rules(sobject, row, after, before=before)
        written = {n: v for n, v in after.items() if n not in before or before[n] != v}
        self._set(row, {**written, **self._stamps(user)})
        self._effect(row, "updated", user=user, fields=sorted(changed))

    def _set(self, row: Record, values: Mapping[str, Any], *, deleted_at: float | None = None) -> None:
        """Store values and remember how to take it back."""
        before, deleted_before = dict(row.values), row.deleted_at
        sobject = self.sobjects[row.object]

        def undo() -> None:
            self._forget_unique(sobject, row)
            row.values, row.deleted_at = before, deleted_before
            if row.deleted_at is None:
                self._index_unique(sobject, row)

        self._undo.append(undo)
        self._forget_unique(sobject, row)
        row.values.update(values)
        row.deleted_at = deleted_at if deleted_at is not None else row.deleted_at
        if row.deleted_at is None:
            self._index_unique(sobject, row)

    def _unique_values(self, sobject: SObject, values: Mapping[str, Any]) -> Iterator[tuple[Field, str]]:
        for field in sobject.fields.values():
            value = values.get(field.name) if field.unique else None
            if value is not None:
                yield field, value if field.case_sensitive else str(value).lower()

    def _index_unique(self, sobject: SObject, row: Record) -> None:
        for field, value in self._unique_values(sobject, row.values):
            self._unique.setdefault((sobject.name, field.name), {})[value] = row.id

    def _forget_unique(self, sobject: SObject, row: Record) -> None:
        for field, value in self._unique_values(sobject, row.values):
            index = self._unique.get((sobject.name, field.name), {})
            if index.get(value) == row.id:
                del index[value]

    def _stamps(self, user: str) -> dict[str, Any]:
        now = self._clock.now().replace(microsecond=0)
        return {"LastModifiedDate": now, "LastModifiedById": user, "SystemModstamp": now}

    def _defaults(self, sobject: SObject, user: str) -> dict[str, Any]:
        found: dict[str, Any] = {"OwnerId": user} if "OwnerId" in sobject.fields else {}
        if sobject.name == "Task":
            found |= {"Status": self._default("TaskStatus"), "Priority": self._default("TaskPriority")}
        return found

    def _default(self, picklist: str) -> str | None:
        return next((r.values["ApiName"] for r in self._tables[picklist].values() if r.values["IsDefault"]), None)

    def _effect(self, row: Record, what: str, *, user: str, **details: Any) -> None:
        known = {"key": row.values.get(INTENT_FIELD), "subject": row.values.get("Subject")}
        shown = {name: value for name, value in known.items() if value is not None}
        self._effects.append((f"{row.object.lower()}_{what}", {"id": row.id, **shown, "by": user, **details}))

    # ----------------------------------------------------------------------------------------- checks

    def _checked(
        self, sobject: SObject, values: Mapping[str, Any], *, creating: bool, free: bool = False
    ) -> dict[str, Any]:
        """Check names, access and types of what is written, and return it as it is stored."""
        found: dict[str, Any] = {}
        forbidden: list[str] = []
        for name, value in values.items():
            field = sobject.field(name)
            if field is None:
                raise Refusal("INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
            if not (free or (field.createable if creating else field.updateable)):
                forbidden.append(field.name)
                continue
            found[field.name] = self._stored(field, value)
        if forbidden:
            names = ", ".join(forbidden)
            raise Refusal(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                f"Unable to create/update fields: {names}. Please check the security settings of this field and "
                "verify that it is read/write for your profile or permission set.",
                *forbidden,
            )
        return found

    def _stored(self, field: Field, value: Any) -> Any:
        if value is None or value == "":
            return None
        if field.type in TEXT_TYPES:
            return self._text(field, value)
        if field.type in ID_TYPES:
            return self._reference(field, value)
        readers: dict[str, Callable[[Any], Any]] = {
            "boolean": _boolean,
            "date": _date,
            "datetime": _datetime,
            "int": _integer,
        }
        try:
            return readers[field.type](value)
        except (ValueError, TypeError, OverflowError):
            raise cannot_read(field.type, value) from None

    def _text(self, field: Field, value: Any) -> str | None:
        if not isinstance(value, str):
            raise cannot_read("string", value)
        text = value.strip()
        if len(text) > field.length:
            shown = text if len(text) <= 255 else f"{text[:255]}..."
            message = f"{field.label}: data value too large: {shown} (max length={field.length})"
            raise Refusal("STRING_TOO_LONG", message, field.name)
        if field.type == "email" and text and not is_address(text):
            raise Refusal("INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {text}", field.name)
        return text or None

    def _reference(self, field: Field, value: Any) -> str:
        if not isinstance(value, str):
            raise cannot_read("id", value)
        found = full_id(value)
        prefixes = [self.sobjects[name].prefix for name in field.refers_to if name in self.sobjects]
        if found is None or not any(found.startswith(prefix) for prefix in prefixes):
            raise Refusal("MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", field.name)
        target = self.record(found)
        if target is None:
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", field.name)
        if target.deleted_at is not None:
            raise Refusal("ENTITY_IS_DELETED", "entity is deleted", field.name)
        return found

    def _rules(self, sobject: SObject, row: Record, after: dict[str, Any], before: Mapping[str, Any]) -> None:
        """Apply what the platform checks and fills in when a record is saved; changes `after`."""
        for field, key in self._unique_values(sobject, after):
            other = self._unique.get((sobject.name, field.name), {}).get(key)
            if other not in (None, row.id):
                message = f"duplicate value found: {field.name} duplicates value on record with id: {other}"
                raise Refusal("DUPLICATE_VALUE", message)
        for field in sobject.fields.values():
            value: Any = after.get(field.name)
            if field.restricted and value is not None and value != before.get(field.name):
                self._check_picklist(sobject, field, value)
        owner = self.record(after.get("OwnerId"))
        if owner is not None and after["OwnerId"] != before.get("OwnerId") and owner.values.get("IsActive") is False:
            message = f"operation performed with inactive user [{owner.id[:15]}] as owner of {sobject.name.lower()}"
            raise Refusal("INACTIVE_OWNER_OR_USER", message)
        if sobject.name == "Task":
            self._task_rules(after, before)

    def _check_picklist(self, sobject: SObject, field: Field, value: str) -> None:
        allowed = field.values
        if sobject.name == "Task" and field.name in ("Status", "Priority"):
            allowed = tuple(row.values["ApiName"] for row in self._tables[f"Task{field.name}"].values())
        if value not in allowed:
            message = f"{field.label}: bad value for restricted picklist field: {value}"
            raise Refusal("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, field.name)

    def _task_rules(self, after: dict[str, Any], before: Mapping[str, Any]) -> None:
        who, what = self.record(after.get("WhoId")), self.record(after.get("WhatId"))
        if who is not None and who.object == "Lead":
            if who.values.get("IsConverted"):
                raise Refusal("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
            if what is not None:
                message = "Related To ID: a task whose Name is a lead cannot be related to another record"
                raise Refusal("FIELD_INTEGRITY_EXCEPTION", message, "WhatId")
        after["AccountId"] = what.id if what is not None and what.object == "Account" else None
        if after["AccountId"] is None and who is not None:
            after["AccountId"] = who.values.get("AccountId")
        closed = self._is_closed(after.get("Status"))
        if closed and not self._is_closed(before.get("Status")):
            after["CompletedDateTime"] = self._clock.now().replace(microsecond=0)
        elif not closed:
            after["CompletedDateTime"] = None

    def _is_closed(self, status: str | None) -> bool:
        rows = self._tables["TaskStatus"].values()
        return any(row.values["ApiName"] == status and row.values["IsClosed"] for row in rows)

    # ---------------------------------------------------------------------------------- people outside

    def task(self, *, key: str = "", id: str = "", person: str = "") -> Record:  # noqa: A002 - the action's own word
        """Find a task by intent key, id, or the person it is about; raise `ValueError` with a sentence.

        Open ones before closed ones, those before deleted ones.
        """
        who = self.person(email=person).id if person else None
        found = [
            row
            for row in self._tables["Task"].values()
            if (key and row.values.get(INTENT_FIELD) == key)
            or (id and row.id == full_id(id))
            or (who and row.values.get("WhoId") == who)
        ]
        if not found:
            raise ValueError(f"there is no task of {key or id or person}; GET /sandbox/state lists them")
        return min(found, key=lambda row: (row.deleted_at is not None, self._closed(row)))

    def person(self, *, email: str = "", id: str = "") -> Record:  # noqa: A002 - the action's own word
        """Find a lead or contact by email or id, unconverted leads and contacts first; raise `ValueError`."""
        rows = [*self._tables["Contact"].values(), *self._tables["Lead"].values()]
        for row in sorted(rows, key=lambda each: bool(each.values.get("IsConverted"))):
            same = (row.values.get("Email") or "").lower() == email.lower() if email else row.id == full_id(id)
            if same and row.deleted_at is None:
                return row
        raise ValueError(f"there is no lead or contact {email or id}")

    def user(self, name: str) -> Record:
        """Find a user by user name, email or id; raise `ValueError` with a sentence."""
        wanted = name.lower()
        for row in self._tables["User"].values():
            if wanted in (row.values["Username"].lower(), row.values["Email"].lower()) or row.id == full_id(name):
                return row
        raise ValueError(f"there is no user {name}")

    def convert_lead(self, lead: Record) -> Record:
        """Convert a lead into an account and a contact; its tasks move to them. Return the contact."""
        if lead.object != "Lead" or lead.values.get("IsConverted"):
            raise ValueError(f"{lead.values.get('Email')} is not an unconverted lead")
        with self.writing():
            company = lead.values["Company"]
            named = (r for r in self._tables["Account"].values() if r.values["Name"] == company)
            account = next((r for r in named if r.deleted_at is None), None)
            user = lead.values["OwnerId"]
            if account is None:
                account = self._insert(self.sobjects["Account"], {"Name": company}, user)
            contact_fields = self.sobjects["Contact"].fields
            shared = {
                name: value
                for name, value in lead.values.items()
                if name in contact_fields and contact_fields[name].createable and value is not None
            }
            contact = self._insert(self.sobjects["Contact"], {**shared, "AccountId": account.id}, user, free=True)
            done = {
                "IsConverted": True,
                "Status": "Closed - Converted",
                "ConvertedDate": self._clock.now().date(),
                "ConvertedAccountId": account.id,
                "ConvertedContactId": contact.id,
            }
            self._set(lead, {**done, **self._stamps(user)})
            self._effect(lead, "converted", user=user, contact=contact.id)
            self._move_tasks(lead, contact, user)
        return contact

    def merge_people(self, winner: Record, loser: Record) -> None:
        """Merge two leads or two contacts: the loser is deleted, points to the winner, and its tasks move."""
        if winner.object != loser.object or winner.id == loser.id:
            raise ValueError("only two leads or two contacts can be merged")
        with self.writing():
            user = winner.values["OwnerId"]
            self._move_tasks(loser, winner, user)
            gone = {"IsDeleted": True, "MasterRecordId": winner.id, **self._stamps(user)}
            self._set(loser, gone, deleted_at=self._clock.now().timestamp())
            self._effect(loser, "merged", user=user, into=winner.id)

    def _move_tasks(self, old: Record, new: Record, user: str) -> None:
        for task in self._tables["Task"].values():
            if task.values.get("WhoId") == old.id and task.deleted_at is None:
                moved = {"WhoId": new.id, "AccountId": new.values.get("AccountId")}
                self._set(task, {**moved, **self._stamps(user)})

    def seed(self, people: Sequence[Person], reps: Sequence[Rep]) -> dict[str, str]:
        """Make a user for each rep, and a lead or (every third) a contact with an account for each person.

        A person's own `salesforce_id` decides which, and is kept. Returns lower-case email -> record id.
        """
        made: dict[str, str] = {}
        for rep in reps:
            first, _, last = rep.name.rpartition(" ")
            given = {"Id": rep.salesforce_user} if full_id(rep.salesforce_user) else {}
            name = rep.email if given else rep.salesforce_user or rep.email
            made[rep.email.lower()] = self.add(
                "User", Username=name, FirstName=first, LastName=last or rep.email, Email=rep.email, **given
            )
        accounts: dict[str, str] = {}
        for index, person in enumerate(people):
            fields: dict[str, Any] = {
                "FirstName": person.first_name,
                "LastName": person.last_name or person.email,
                "Title": person.title,
                "Phone": person.phone,
                "Email": person.email,
            }
            if person.salesforce_id:
                fields["Id"] = person.salesforce_id
            contact = person.salesforce_id.startswith("003") if person.salesforce_id else index % 3 == 2
            company = person.company or person.domain
            if contact:
                if company not in accounts:
                    accounts[company] = self.add("Account", Name=company)
                made[person.email.lower()] = self.add("Contact", AccountId=accounts[company], **fields)
            else:
                made[person.email.lower()] = self.add("Lead", Company=company, **fields)
        return made

    def shown(self) -> dict[str, list[dict[str, Any]]]:
        """Return every record as JSON values, by object; nulls left out."""
        return {
            name: [
                {
                    field: _plain(value)
                    for field in ("Id", *(f for f in self.sobjects[name].fields if f != "Id"))
                    if (value := self.value(row, field)) is not None and field not in _SYSTEM_FIELDS
                }
                for row in table.values()
            ]
            for name, table in self._tables.items()
            if self.sobjects[name].writable
        }

    # --------------------------------------------------------------------------------- computed fields

    def _closed(self, row: Record) -> bool:
        return self._is_closed(row.values.get("Status"))

    def _high(self, row: Record) -> bool:
        priority = row.values.get("Priority")
        rows = self._tables["TaskPriority"].values()
        return any(each.values["ApiName"] == priority and each.values["IsHighPriority"] for each in rows)

    def _archived(self, row: Record) -> bool:
        completed: datetime | None = row.values.get("CompletedDateTime")
        return completed is not None and completed + ARCHIVED_AFTER < self._clock.now()

    def _full_name(self, row: Record) -> str | None:
        names = (row.values.get("FirstName"), row.values.get("LastName"))
        return " ".join(name for name in names if name) or row.values.get("Name")

    def _bounced(self, row: Record) -> bool:
        return row.values.get("EmailBouncedDate") is not None

    def _type(self, row: Record) -> str:
        return row.object


_COMPUTED: Mapping[tuple[str, str], Callable[[Org, Record], Any]] = {
    ("Task", "IsClosed"): Org._closed,  # noqa: SLF001 - the table belongs to the class above
    ("Task", "IsHighPriority"): Org._high,  # noqa: SLF001
    ("Task", "IsArchived"): Org._archived,  # noqa: SLF001
    ("Contact", "IsEmailBounced"): Org._bounced,  # noqa: SLF001
    ("Lead", "Name"): Org._full_name,  # noqa: SLF001
    ("Contact", "Name"): Org._full_name,  # noqa: SLF001
    ("User", "Name"): Org._full_name,  # noqa: SLF001
    ("User", "Type"): Org._type,  # noqa: SLF001
    ("Lead", "Type"): Org._type,  # noqa: SLF001
    ("Contact", "Type"): Org._type,  # noqa: SLF001
}


def cannot_read(kind: str, value: Any) -> Refusal:
    """Return the refusal of a value of the wrong JSON type; it refuses the whole request, as the real one does."""
    names = {bool: "VALUE_TRUE" if value is True else "VALUE_FALSE", int: "VALUE_NUMBER_INT"}
    token = names.get(type(value), "VALUE_STRING")
    return Refusal(
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {kind} from {token} value {value} or request may be missing a required field "
        "at [line:1, column:1]",
    )


def _boolean(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise TypeError
    return value


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        raise TypeError
    return value if isinstance(value, date) else date.fromisoformat(value)


def _datetime(value: Any) -> datetime:
    instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if instant.tzinfo is None or (isinstance(value, str) and "T" not in value):
        raise ValueError
    return instant.astimezone(UTC)


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return int(value)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
