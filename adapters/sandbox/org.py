"""The records of the simulated Salesforce org: written all or nothing, deleted into a recycle bin, found again.

Lives here: create, update, upsert, delete with the platform's own refusals; rollback; unique values; who may see and
write what; the recycle bin; archiving. Does not live here: the tables of objects and fields (`sobjects`), single values
(`org_values`), rules over a record (`org_rules`), who sees which field
(`org_schema`), what people do (`org_people`), queries (`soql`), HTTP (`salesforce`).
Not thread-safe: `salesforce` holds one lock around every request and action.
Source: reference apis 1.3 to 1.11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from adapters.sandbox.org_rules import Rules
from adapters.sandbox.org_schema import Schema
from adapters.sandbox.org_values import Refusal, cannot_read, read_value
from adapters.sandbox.service import SandboxClock, SandboxLog
from adapters.sandbox.sobjects import (
    ID_TYPES,
    INTENT_FIELD,
    TASK_PRIORITIES,
    TASK_STATUSES,
    Field,
    Record,
    SObject,
    full_id,
    new_id,
)

#: How long a deleted record stays in the recycle bin.
RECYCLE_BIN = timedelta(days=15)

#: Age at which a closed task is archived.
ARCHIVED_AFTER = timedelta(days=365)

#: Id of the org.
ORG = "00D5g00000SandbEAB"

_NOT_ALLOWED = (
    "Unable to create/update fields: {}. Please check the security settings of this field and verify that it is "
    "read/write for your profile or permission set."
)


class Org(Schema):
    """One org: its objects, records and rules."""

    def __init__(self, clock: SandboxClock, log: SandboxLog) -> None:
        super().__init__()
        self.rules = Rules(self)
        #: Rows that somebody else's transaction holds, and those this one has written.
        self.held: set[str] = set()
        self.touched: set[str] = set()
        self._clock = clock
        self._log = log
        self._tables: dict[str, dict[str, Record]] = {name: {} for name in self.sobjects}
        self._by_prefix = {each.prefix: self._tables[each.name] for each in self.sobjects.values()}
        self._unique: dict[tuple[str, str], dict[str, str]] = {}
        self._private: set[str] = set()
        self._frozen: set[str] = set()
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
        self.add("Organization", Id=ORG, Name="Sandbox", InstanceName="SBX1")
        self.set_task_picklist("Status", TASK_STATUSES)
        self.set_task_picklist("Priority", TASK_PRIORITIES)

    # ------------------------------------------------------------------------------------ configuring

    def set_task_picklist(self, name: str, values: Sequence[tuple[str, bool, bool]]) -> None:
        """Replace the values of Task.Status or Task.Priority: (API name, is default, is closed or high)."""
        table = f"Task{name}"
        flag = {"Status": "IsClosed", "Priority": "IsHighPriority"}[name]
        self._tables[table].clear()
        for order, (value, default, flagged) in enumerate(values, 1):
            fields = {"ApiName": value, "MasterLabel": value, "SortOrder": order, "IsDefault": default, flag: flagged}
            self.add(table, **fields)
        self.change_field("Task", name, values=tuple(value for value, _, _ in values))

    def set_access(self, record_id: str, *, seen: bool = True, writable: bool = True) -> None:
        """Say what the API's user may do with a record."""
        row = self.found(full_id(record_id))
        if row is None:
            raise ValueError(f"there is no record {record_id}")
        for rows, barred in ((self._private, not seen), (self._frozen, not writable)):
            (rows.add if barred else rows.discard)(row.id)

    def add(self, name: str, **fields: Any) -> str:
        """Make a record as an administrator's import does: read-only fields and an `Id` may be given; return the id."""
        given = fields.pop("Id", None)
        record_id = full_id(str(given)) if given else None
        if given and record_id is None:
            raise Refusal("MALFORMED_ID", f"malformed id {given}")
        with self.writing():
            made = self.insert(self.whole_object(name), fields, self.integration_user, record_id=record_id, free=True)
        self._effects.clear()  # nobody did it: the org is that way
        self.touched.clear()
        return made.id

    def reindexed(self, name: str) -> None:
        """Take up what changed in the fields of an object: values of those that went, and what is unique."""
        whole = self.whole[name]
        for key in [key for key in self._unique if key[0] == name]:
            del self._unique[key]
        for row in self._tables[name].values():
            for field in [field for field in row.values if field not in whole.fields]:
                del row.values[field]
            if row.deleted_at is None:
                self._index_unique(whole, row)

    # ---------------------------------------------------------------------------------------- reading

    def rows(self, name: str) -> Sequence[Record]:
        """Return every record of an object that the API's user may see, without those purged."""
        return [row for row in self.table(name) if row.id not in self._private]

    def table(self, name: str) -> Sequence[Record]:
        """Return every record of an object, whoever may see it."""
        since = self._kept_since()
        return [row for row in self._tables[name].values() if row.deleted_at is None or row.deleted_at > since]

    def record(self, record_id: str | None) -> Record | None:
        """Find a record of any object that the API's user may see, a deleted one too."""
        return None if record_id in self._private else self.found(record_id)

    def found(self, record_id: str | None) -> Record | None:
        """Find a record of any object, whoever may see it."""
        row = self._by_prefix.get(record_id[:3], {}).get(record_id) if record_id else None
        return None if row is None or self._purged(row) else row

    def value(self, record: Record, field: str) -> Any:
        """Read a field, computed ones too; null for one the object does not have."""
        computed = _COMPUTED.get((record.object, field))
        return computed(self, record) if computed else record.values.get(field)

    def find_by(self, sobject: SObject, field: Field, value: str) -> Record | None:
        """Find the live record with a value of a unique field or of one that is looked up by (Email)."""
        if not field.unique:
            found = self.all_by(sobject, field, value)
            if len(found) > 1:
                ids = ", ".join(row.id for row in found)
                message = f"{field.name}: more than one record found for external id field: [{ids}]"
                raise Refusal("DUPLICATE_EXTERNAL_ID", message, field.name)
            return found[0] if found else None
        index = self._unique.get((sobject.name, field.name), {})
        record_id = index.get(value if field.case_sensitive else value.lower())
        return self._tables[sobject.name][record_id] if record_id else None

    def all_by(self, sobject: SObject, field: Field, value: str) -> Sequence[Record]:
        """Find the live records with a value of a field, its case aside unless the field tells it."""
        if field.unique:
            row = self.find_by(sobject, field, value)
            return () if row is None else (row,)
        wanted = value if field.case_sensitive else value.lower()
        rows = [row for row in self._tables[sobject.name].values() if row.deleted_at is None]
        values = ((row, str(row.values.get(field.name) or "")) for row in rows)
        return [row for row, have in values if (have if field.case_sensitive else have.lower()) == wanted]

    def live(self, sobject: SObject, record_id: str, *, inside: bool = False) -> Record:
        """Find a record that can be written; refuse a malformed, unknown, deleted or forbidden id."""
        found_id = full_id(record_id)
        if found_id is None:
            raise Refusal("MALFORMED_ID", f"malformed id {record_id}")
        row = self._tables[sobject.name].get(found_id)
        if row is None or self._purged(row) or (not inside and found_id in self._private):
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if row.deleted_at is not None:
            raise Refusal("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return row

    def now(self) -> datetime:
        """Return the present instant."""
        return self._clock.now()

    def is_closed(self, status: str | None) -> bool:
        """Whether a status of a task means that it is done."""
        rows = self._tables["TaskStatus"].values()
        return any(row.values["ApiName"] == status and row.values["IsClosed"] for row in rows)

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

    def settle(self) -> set[str]:
        """Tell the log what has lasted and return the rows written; called once at the end of a request or action."""
        for effect, details in self._effects:
            self._log.effect("salesforce", effect, **details)
        self._effects.clear()
        self._undo.clear()
        touched, self.touched = self.touched, set()
        return touched

    def create(self, name: str, values: Mapping[str, Any], *, user: str = "") -> Record:
        """Create a record through the API."""
        with self.writing():
            return self.insert(self.sobject(name), values, user or self.integration_user)

    def update(
        self, name: str, record_id: str, values: Mapping[str, Any], *, user: str = "", inside: bool = False
    ) -> Record:
        """Change a record through the API; or, `inside`, as somebody who may see and write everything."""
        sobject = self.whole_object(name) if inside else self.sobject(name)
        with self.writing():
            row = self.live(sobject, record_id, inside=inside)
            if not inside:
                self._check_writable(row)
            self._change(sobject, row, values, user or self.integration_user)
            return row

    def delete(self, record_id: str, *, user: str = "", inside: bool = False) -> str:
        """Put a record into the recycle bin and return its id; its external id no longer matches anything."""
        found_id = full_id(record_id)
        if found_id is None:
            raise Refusal("MALFORMED_ID", f"malformed id {record_id}")
        found = self.found(found_id)
        if found is None:
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        row = self.live(self.whole[found.object], found_id, inside=inside)
        if not inside:
            self._check_writable(row)
        with self.writing():
            self._lock(self.whole[row.object], row.id, row.values, row.values)
            self.bury(row, user or self.integration_user)
        return row.id

    def bury(self, row: Record, user: str, **more: Any) -> None:
        """Put a record into the recycle bin, and with a person the tasks that are about nothing else."""
        self.put(row, {"IsDeleted": True, **more, **self.stamps(user)}, deleted_at=self._clock.now().timestamp())
        self.tell(row, "deleted", user=user)
        if row.object in ("Lead", "Contact"):
            tasks = [task for task in self._tables["Task"].values() if task.values.get("WhoId") == row.id]
            for task in tasks:
                if task.deleted_at is None and task.values.get("WhatId") is None:
                    self.bury(task, user)

    def upsert(
        self, name: str, field: Field, value: str, values: Mapping[str, Any], *, update_only: bool, user: str = ""
    ) -> tuple[Record, bool]:
        """Create or update by a unique value; return the record and whether it was created."""
        row = self.find_by(self.whole_object(name), field, value)
        if row is not None:
            return self.update(name, row.id, values, user=user), False
        if update_only:
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        return self.create(name, {**values, field.name: value}, user=user), True

    def insert(
        self,
        sobject: SObject,
        values: Mapping[str, Any],
        user: str,
        *,
        record_id: str | None = None,
        free: bool = False,
    ) -> Record:
        """Make a record; `free` may write what the API's user may not."""
        if not sobject.writable and not free:
            raise Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be inserted: {sobject.name}")
        checked = self._checked(sobject, values, creating=True, free=free)
        whole = self.whole[sobject.name]
        stored = self._defaults(whole, user) | {name: value for name, value in checked.items() if value is not None}
        missing = [name for name in whole.required if stored.get(name) is None]
        if missing:
            raise Refusal("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", *missing)
        number = self._numbers[sobject.name] = self._numbers.get(sobject.name, 0) + 1
        row = Record(object=sobject.name, id=record_id or new_id(sobject.prefix, number), values={})
        if row.id in self._tables[sobject.name]:
            raise Refusal("DUPLICATE_VALUE", f"duplicate value found: Id duplicates value on record with id: {row.id}")
        stamps = self.stamps(user)
        author = user or row.id  # the very first user made itself
        stamps |= {"CreatedDate": stamps["SystemModstamp"], "CreatedById": author, "LastModifiedById": author}
        self._check_unique(whole, row, stored)
        self.rules.apply(whole, stored, {})
        self._lock(whole, row.id, stored, {})
        self._tables[sobject.name][row.id] = row

        def undo() -> None:
            del self._tables[sobject.name][row.id]

        self._undo.append(undo)
        self.put(row, {"Id": row.id, **stamps, **stored})
        self.tell(row, "created", user=user)
        return row

    def _change(self, sobject: SObject, row: Record, values: Mapping[str, Any], user: str) -> None:
        if not sobject.writable:
            raise Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be updated: {sobject.name}")
        if sobject.name == "Lead" and row.values.get("IsConverted"):
            raise Refusal("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
        changed = self._checked(sobject, values, creating=False)
        whole = self.whole[sobject.name]
        needed = {name for name, field in whole.fields.items() if not field.nillable} | set(whole.required)
        emptied = [name for name, value in changed.items() if value is None and name in needed]
        if emptied:
            raise Refusal("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(emptied)}]", *emptied)
        before = dict(row.values)
        after = {**before, **changed}
        self._check_unique(whole, row, after)
        self.rules.apply(whole, after, before)
        self._lock(whole, row.id, after, before)
        written = {n: v for n, v in after.items() if n not in before or before[n] != v}
        self.put(row, {**written, **self.stamps(user)})
        self.tell(row, "updated", user=user, fields=sorted(changed))

    def put(self, row: Record, values: Mapping[str, Any], *, deleted_at: float | None = None) -> None:
        """Store values and remember how to take it back; a record is live unless `deleted_at` is given."""
        before, deleted_before = dict(row.values), row.deleted_at

        def undo() -> None:
            self._forget_unique(self.whole[row.object], row)
            row.values, row.deleted_at = before, deleted_before
            if row.deleted_at is None:
                self._index_unique(self.whole[row.object], row)

        self._undo.append(undo)
        self._forget_unique(self.whole[row.object], row)
        row.values.update(values)
        row.deleted_at = deleted_at
        if row.deleted_at is None:
            self._index_unique(self.whole[row.object], row)

    def restore(self, row: Record, user: str) -> None:
        """Take a record out of the recycle bin; refused when another has its unique value by now."""
        with self.writing():
            self._check_unique(self.whole[row.object], row, row.values)
            self.put(row, {"IsDeleted": False, **self.stamps(user)})
            self.tell(row, "undeleted", user=user)

    def stamps(self, user: str) -> dict[str, Any]:
        """Return what every write leaves."""
        now = self._clock.now().replace(microsecond=0)
        return {"LastModifiedDate": now, "LastModifiedById": user, "SystemModstamp": now}

    def tell(self, row: Record, what: str, *, user: str, **details: Any) -> None:
        """Note an effect, to be told when it has lasted."""
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
                hidden = self.whole[sobject.name].field(name)
                if hidden is None:
                    raise Refusal("INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
                forbidden.append(hidden.name)
            elif not (free or (field.createable if creating else field.updateable)):
                forbidden.append(field.name)
            else:
                found[field.name] = self._stored(field, value)
        if forbidden:
            raise Refusal("INVALID_FIELD_FOR_INSERT_UPDATE", _NOT_ALLOWED.format(", ".join(forbidden)), *forbidden)
        return found

    def _stored(self, field: Field, value: Any) -> Any:
        if field.type not in ID_TYPES or value is None or value == "":
            return read_value(field, value)
        if not isinstance(value, str):
            raise cannot_read("id", value)
        found = full_id(value)
        prefixes = [self.sobjects[name].prefix for name in field.refers_to if name in self.sobjects]
        if found is None or not any(found.startswith(prefix) for prefix in prefixes):
            raise Refusal("MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", field.name)
        target = self.found(found)
        if target is None:
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", field.name)
        if target.deleted_at is not None:
            raise Refusal("ENTITY_IS_DELETED", "entity is deleted", field.name)
        if found in self._private:
            message = f"insufficient access rights on cross-reference id: {found[:15]}"
            raise Refusal("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", message)
        return found

    def _check_writable(self, row: Record) -> None:
        if row.id in self._frozen:
            raise Refusal("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")

    def _check_unique(self, whole: SObject, row: Record, values: Mapping[str, Any]) -> None:
        for field, key in _unique_values(whole, values):
            other = self._unique.get((whole.name, field.name), {}).get(key)
            if other not in (None, row.id):
                message = f"duplicate value found: {field.name} duplicates value on record with id: {other}"
                raise Refusal("DUPLICATE_VALUE", message)

    def _index_unique(self, whole: SObject, row: Record) -> None:
        for field, value in _unique_values(whole, row.values):
            self._unique.setdefault((whole.name, field.name), {})[value] = row.id

    def _forget_unique(self, whole: SObject, row: Record) -> None:
        for field, value in _unique_values(whole, row.values):
            index = self._unique.get((whole.name, field.name), {})
            if index.get(value) == row.id:
                del index[value]

    def _lock(self, whole: SObject, row_id: str, after: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        rows = self.rules.locked_rows(whole, row_id, after, before)
        busy = sorted(rows & self.held)
        if busy:
            message = f"unable to obtain exclusive access to this record or {len(busy)} records: {','.join(busy)}"
            raise Refusal("UNABLE_TO_LOCK_ROW", message)
        self.touched |= rows

    def _defaults(self, whole: SObject, user: str) -> dict[str, Any]:
        found: dict[str, Any] = dict(whole.defaults)
        if "OwnerId" in whole.fields:
            found["OwnerId"] = user
        if whole.name == "Task":
            found |= {"Status": self._default("TaskStatus"), "Priority": self._default("TaskPriority")}
        return found

    def _default(self, picklist: str) -> str | None:
        return next((r.values["ApiName"] for r in self._tables[picklist].values() if r.values["IsDefault"]), None)

    def _purged(self, row: Record) -> bool:
        return row.deleted_at is not None and row.deleted_at <= self._kept_since()

    def _kept_since(self) -> float:
        return (self._clock.now() - RECYCLE_BIN).timestamp()

    # --------------------------------------------------------------------------------- computed fields

    def _closed(self, row: Record) -> bool:
        return self.is_closed(row.values.get("Status"))

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


def _unique_values(whole: SObject, values: Mapping[str, Any]) -> Iterator[tuple[Field, str]]:
    for field in whole.unique:
        value = values.get(field.name)
        if value is not None:
            yield field, value if field.case_sensitive else str(value).lower()


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
