"""What people do in the simulated Salesforce beside the API: reps with tasks, others with leads and contacts.

Lives here: the actions of `sandbox act`, and what each answers with. Does not live here: what the org makes of them
(`org`, `org_people`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict

from adapters.sandbox.org import Org
from adapters.sandbox.org_people import convert_lead, find_person, find_task, find_user, merge_people
from adapters.sandbox.org_values import Refusal
from adapters.sandbox.sobjects import INTENT_FIELD, Record


class _TaskName(TypedDict):
    key: str
    id: str
    person: str


class SalesforceActs:
    """The people outside; each function is an action with the words of the control API.

    `key` may be the beginning of an intent key. People see and write every field, unlike the API's user.
    """

    def __init__(self, org: Org, lock: threading.RLock) -> None:
        self._org = org
        self._lock = lock

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what people outside can do in it."""
        return {
            "rep_closes_task": self.rep_closes_task,
            "rep_reopens_task": self.rep_reopens_task,
            "rep_deletes_task": self.rep_deletes_task,
            "rep_undeletes_task": self.rep_undeletes_task,
            "rep_reassigns_task": self.rep_reassigns_task,
            "rep_changes_task": self.rep_changes_task,
            "lead_is_converted": self.lead_is_converted,
            "people_are_merged": self.people_are_merged,
            "person_changes": self.person_changes,
            "person_is_deleted": self.person_is_deleted,
            "person_opts_out": self.person_opts_out,
            "user_is_deactivated": self.user_is_deactivated,
        }

    def _act(self, do: Callable[[], Record], **told: Any) -> dict[str, Any]:
        with self._lock, said():
            row = do()
            self._org.settle()
            names = {"object": row.object, "key": row.values.get(INTENT_FIELD), "subject": row.values.get("Subject")}
            return {"id": row.id, **{name: value for name, value in names.items() if value is not None}, **told}

    def _rep_writes(self, task: _TaskName, **values: Any) -> dict[str, Any]:
        def write() -> Record:
            row = find_task(self._org, **task)
            return self._org.update("Task", row.id, values, user=row.values["OwnerId"], inside=True)

        return self._act(write, **values)

    def _person_writes(self, email: str, record_id: str, **values: Any) -> dict[str, Any]:
        def write() -> Record:
            row = find_person(self._org, email=email, id=record_id)
            return self._org.update(row.object, row.id, values, user=row.values["OwnerId"], inside=True)

        return self._act(write, **values)

    def rep_closes_task(
        self,
        key: str = "",
        id: str = "",  # noqa: A002 - the control API's word
        person: str = "",
        status: str = "Completed",
    ) -> dict[str, Any]:
        """The rep sets a task to a closed status."""
        return self._rep_writes(_task(key, id, person), Status=status)

    def rep_reopens_task(
        self,
        key: str = "",
        id: str = "",  # noqa: A002 - the control API's word
        person: str = "",
        status: str = "Not Started",
    ) -> dict[str, Any]:
        """The rep sets a closed task back to an open status."""
        return self._rep_writes(_task(key, id, person), Status=status)

    def rep_reassigns_task(self, user: str, key: str = "", id: str = "", person: str = "") -> dict[str, Any]:  # noqa: A002
        """The rep gives a task to another user (user name, email or id)."""
        return self._rep_writes(_task(key, id, person), OwnerId=find_user(self._org, user).id)

    def rep_changes_task(self, field: str, value: Any, key: str = "", id: str = "", person: str = "") -> dict[str, Any]:  # noqa: A002
        """The rep changes one field of a task, by its Salesforce name."""
        return self._rep_writes(_task(key, id, person), **{field: value})

    def rep_deletes_task(self, key: str = "", id: str = "", person: str = "") -> dict[str, Any]:  # noqa: A002
        """The rep puts a task into the recycle bin."""

        def delete() -> Record:
            row = find_task(self._org, key=key, id=id, person=person)
            self._org.delete(row.id, user=row.values["OwnerId"], inside=True)
            return row

        return self._act(delete)

    def rep_undeletes_task(self, key: str = "", id: str = "", person: str = "") -> dict[str, Any]:  # noqa: A002
        """The rep takes a task out of the recycle bin, where it stays for 15 days."""

        def restore() -> Record:
            row = find_task(self._org, key=key, id=id, person=person, deleted=True)
            self._org.restore(row, row.values["OwnerId"])
            return row

        return self._act(restore)

    def lead_is_converted(self, email: str = "", id: str = "") -> dict[str, Any]:  # noqa: A002
        """Somebody converts a lead; answers with the id of the new contact."""
        return self._act(lambda: convert_lead(self._org, find_person(self._org, email=email, id=id)))

    def people_are_merged(self, winner: str, loser: str) -> dict[str, Any]:
        """Somebody merges two leads or two contacts, by id; the loser is deleted and points to the winner."""

        def merge() -> Record:
            kept = find_person(self._org, id=winner)
            merge_people(self._org, kept, find_person(self._org, id=loser))
            return kept

        return self._act(merge)

    def person_changes(self, field: str, value: Any, email: str = "", id: str = "") -> dict[str, Any]:  # noqa: A002
        """Somebody changes one field of a lead or contact, by its Salesforce name."""
        return self._person_writes(email, id, **{field: value})

    def person_is_deleted(self, email: str = "", id: str = "") -> dict[str, Any]:  # noqa: A002
        """Somebody deletes a lead or contact; the tasks about nothing else go with it."""

        def delete() -> Record:
            row = find_person(self._org, email=email, id=id)
            self._org.delete(row.id, user=row.values["OwnerId"], inside=True)
            return row

        return self._act(delete)

    def person_opts_out(self, email: str = "", id: str = "") -> dict[str, Any]:  # noqa: A002
        """Somebody marks a lead or contact as opted out of email."""
        return self._person_writes(email, id, HasOptedOutOfEmail=True)

    def user_is_deactivated(self, user: str) -> dict[str, Any]:
        """An administrator deactivates a user (user name, email or id); what they own stays theirs."""

        def deactivate() -> Record:
            return self._org.update("User", find_user(self._org, user).id, {"IsActive": False}, inside=True)

        return self._act(deactivate, IsActive=False)


def _task(key: str, record_id: str, person: str) -> _TaskName:
    return {"key": key, "id": record_id, "person": person}


@contextmanager
def said() -> Iterator[None]:
    """Say a refusal as a sentence for the control API."""
    try:
        yield
    except Refusal as refusal:
        raise ValueError(f"Salesforce refuses it: {refusal.code}: {refusal.message}") from refusal
