"""What people do in the simulated Salesforce beside the API: reps with tasks, others with leads and contacts.

Lives here: the actions of `sandbox act`. Does not live here: what the org makes of them (`org`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from adapters.sandbox.org import Org, Refusal
from adapters.sandbox.sobjects import Record


class SalesforceActs:
    """The people outside; each function is an action with the words of the control API."""

    def __init__(self, org: Org, lock: threading.RLock) -> None:
        self._org = org
        self._lock = lock

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what people outside can do in it."""
        return {
            "rep_closes_task": self.rep_closes_task,
            "rep_reopens_task": self.rep_reopens_task,
            "rep_deletes_task": self.rep_deletes_task,
            "rep_reassigns_task": self.rep_reassigns_task,
            "rep_changes_task": self.rep_changes_task,
            "lead_is_converted": self.lead_is_converted,
            "people_are_merged": self.people_are_merged,
            "person_opts_out": self.person_opts_out,
            "user_is_deactivated": self.user_is_deactivated,
        }

    def _act(self, do: Callable[[], Record], **told: Any) -> dict[str, Any]:
        with self._lock, said():
            row = do()
            self._org.settle()
            return {"id": row.id, **told}

    def _rep_writes(self, task: Mapping[str, str], **values: Any) -> dict[str, Any]:
        def write() -> Record:
            row = self._org.task(**task)
            return self._org.update("Task", row.id, values, user=row.values["OwnerId"])

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
        return self._rep_writes(_task(key, id, person), OwnerId=self._org.user(user).id)

    def rep_changes_task(self, field: str, value: Any, key: str = "", id: str = "", person: str = "") -> dict[str, Any]:  # noqa: A002
        """The rep changes one field of a task, by its Salesforce name."""
        return self._rep_writes(_task(key, id, person), **{field: value})

    def rep_deletes_task(self, key: str = "", id: str = "", person: str = "") -> dict[str, Any]:  # noqa: A002
        """The rep puts a task into the recycle bin."""

        def delete() -> Record:
            row = self._org.task(key=key, id=id, person=person)
            self._org.delete(row.id, user=row.values["OwnerId"])
            return row

        return self._act(delete)

    def lead_is_converted(self, email: str = "", id: str = "") -> dict[str, Any]:  # noqa: A002
        """Somebody converts a lead; answers with the id of the new contact."""
        return self._act(lambda: self._org.convert_lead(self._org.person(email=email, id=id)))

    def people_are_merged(self, winner: str, loser: str) -> dict[str, Any]:
        """Somebody merges two leads or two contacts, by id; the loser is deleted and points to the winner."""

        def merge() -> Record:
            kept = self._org.person(id=winner)
            self._org.merge_people(kept, self._org.person(id=loser))
            return kept

        return self._act(merge)

    def person_opts_out(self, email: str = "", id: str = "") -> dict[str, Any]:  # noqa: A002
        """Somebody marks a lead or contact as opted out of email."""

        def opt_out() -> Record:
            row = self._org.person(email=email, id=id)
            return self._org.update(row.object, row.id, {"HasOptedOutOfEmail": True}, user=row.values["OwnerId"])

        return self._act(opt_out)

    def user_is_deactivated(self, user: str) -> dict[str, Any]:
        """An administrator deactivates a user (user name, email or id); what they own stays theirs."""

        def deactivate() -> Record:
            return self._org.update("User", self._org.user(user).id, {"IsActive": False})

        return self._act(deactivate)


def _task(key: str, record_id: str, person: str) -> dict[str, str]:
    return {"key": key, "id": record_id, "person": person}


@contextmanager
def said() -> Iterator[None]:
    """Say a refusal as a sentence for the control API."""
    try:
        yield
    except Refusal as refusal:
        raise ValueError(f"Salesforce refuses it: {refusal.code}: {refusal.message}") from refusal
