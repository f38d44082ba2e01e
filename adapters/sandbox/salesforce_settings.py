"""What a test sets up in the simulated Salesforce org: fields and who sees them, picklists, rules, records.

Lives here: the methods for that, each under the org's lock. Does not live here: what they change (`org`), calls and
how they fail (`salesforce`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.sandbox.org import Org
from adapters.sandbox.org_people import seed
from adapters.sandbox.salesforce_acts import said
from adapters.sandbox.sobjects import custom_field
from connector.people import Person, Rep


class OrgSettings:
    """An org as its administrator sees it. `org` holds the records."""

    def __init__(self, org: Org, lock: threading.RLock) -> None:
        self.org = org
        self._lock = lock

    def set_intent_field(
        self,
        *,
        present: bool,
        unique: bool = True,
        external_id: bool = True,
        case_sensitive: bool = True,
        length: int = 64,
    ) -> None:
        """Put the external-id field on Task as described, or take it and its values away."""
        with self._lock:
            self.org.set_intent_field(
                present=present,
                unique=unique,
                external_id=external_id,
                case_sensitive=case_sensitive,
                length=length,
            )

    def add_field(self, object: str, name: str, kind: str, *, required: bool = False, **facets: Any) -> None:  # noqa: A002 - Salesforce's word
        """Put a field on an object: kind as describe says it; facets as `sobjects.Field` names them, such as length."""
        with self._lock:
            self.org.add_field(object, custom_field(name, kind, **facets), required=required)

    def remove_field(self, object: str, name: str) -> None:  # noqa: A002
        """Take a field and its values away."""
        with self._lock:
            self.org.remove_field(object, name)

    def hide_field(self, object: str, name: str) -> None:  # noqa: A002
        """Hide a field from the API's user, as field-level security does."""
        with self._lock:
            self.org.hide_field(object, name)

    def readonly_field(self, object: str, name: str) -> None:  # noqa: A002
        """Let the API's user read a field, not write it."""
        with self._lock:
            self.org.show_field(object, name, writable=False)

    def show_field(self, object: str, name: str) -> None:  # noqa: A002
        """Let the API's user read and write a field again."""
        with self._lock:
            self.org.show_field(object, name)

    def set_picklist(self, object: str, field: str, *values: str, restricted: bool | None = None) -> None:  # noqa: A002
        """Replace the values of a picklist; `set_task_statuses` is for those of Task.Status."""
        if (object, field) in (("Task", "Status"), ("Task", "Priority")):
            raise ValueError("Task.Status and Task.Priority have flags: use set_task_statuses or set_task_priorities")
        facets: dict[str, Any] = {"values": values} | ({} if restricted is None else {"restricted": restricted})
        with self._lock:
            self.org.change_field(object, field, **facets)

    def set_task_statuses(self, *statuses: tuple[str, bool, bool]) -> None:
        """Replace the values of Task.Status: (API name, is default, is closed)."""
        with self._lock:
            self.org.set_task_picklist("Status", statuses)

    def set_task_priorities(self, *priorities: tuple[str, bool, bool]) -> None:
        """Replace the values of Task.Priority: (API name, is default, is high)."""
        with self._lock:
            self.org.set_task_picklist("Priority", priorities)

    def hide_record(self, record_id: str) -> None:
        """Make a record one that the API's user may not see."""
        with self._lock:
            self.org.set_access(record_id, seen=False)

    def readonly_record(self, record_id: str) -> None:
        """Make a record one that the API's user may see, not write."""
        with self._lock:
            self.org.set_access(record_id, writable=False)

    def share_record(self, record_id: str) -> None:
        """Let the API's user see and write a record again."""
        with self._lock:
            self.org.set_access(record_id)

    def add_validation_rule(
        self,
        object: str,  # noqa: A002
        field: str,
        predicate: Callable[[Mapping[str, Any]], bool],
        message: str,
    ) -> None:
        """Refuse records of an object for whose values `predicate` holds, as a validation rule's formula does."""
        with self._lock:
            self.org.rules.add_validation(object, field, predicate, message)

    def add_trigger(self, object: str, rewrite: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:  # noqa: A002
        """Write what `rewrite` returns over each record of an object when it is saved."""
        with self._lock:
            self.org.rules.add_trigger(object, rewrite)

    def hold_rows(self, *record_ids: str) -> None:
        """Let somebody else's transaction hold rows: writes that need them get UNABLE_TO_LOCK_ROW."""
        with self._lock:
            self.org.held.update(record_ids)

    def release_rows(self) -> None:
        """End that transaction."""
        with self._lock:
            self.org.held.clear()

    # ------------------------------------------------------------------------------------------- seeding

    def add_account(self, **fields: Any) -> str:
        """Add an account by Salesforce field names; return its id."""
        return self._add("Account", fields)

    def add_user(self, **fields: Any) -> str:
        """Add a user by Salesforce field names (`Username`, `LastName`, `Email`); return the id."""
        return self._add("User", fields)

    def add_lead(self, **fields: Any) -> str:
        """Add a lead by Salesforce field names (`LastName`, `Company`, ...); return the id."""
        return self._add("Lead", fields)

    def add_contact(self, **fields: Any) -> str:
        """Add a contact by Salesforce field names (`LastName`, ...); return the id."""
        return self._add("Contact", fields)

    def add_campaign(self, name: str, members: Sequence[str]) -> str:
        """Add a Salesforce campaign with leads and contacts by id; return its id."""
        campaign = self._add("Campaign", {"Name": name})
        for member in members:
            kind = "LeadId" if member.startswith("00Q") else "ContactId"
            self._add("CampaignMember", {"CampaignId": campaign, kind: member})
        return campaign

    def seed(self, people: Sequence[Person], reps: Sequence[Rep] = ()) -> dict[str, str]:
        """Make users of the reps, leads and contacts of the people; return lower-case email -> record id."""
        with self._lock, said():
            return seed(self.org, people, reps)

    def _add(self, name: str, fields: Mapping[str, Any]) -> str:
        with self._lock, said():
            return self.org.add(name, **fields)
