"""Tasks in Salesforce, of whichever user writes them: written in bulk by the intent key, and deleted.

Lives here: `Tasks`, which gives each write to the session of its rep, and deleting. Does not live here: writing in one
session (`task_push`), which fields are written and who wins (the core), reading tasks back (`pull`).
Source: spec delivery 2 and 3, reference apis 1.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.salesforce.account import ACCOUNT, SalesforceOptions
from adapters.salesforce.describe import Shapes
from adapters.salesforce.errors import from_code
from adapters.salesforce.session import Org, Orgs, chunks
from adapters.salesforce.task_push import TASKS_PER_CALL, UserTasks, delete_some
from adapters.salesforce.values import is_id
from connector.errors import AdapterError, Reconnect
from connector.ports import Cache, TaskWrite, Written


class Tasks:
    """Tasks of one org, written by one user for all, or by each rep for themselves."""

    def __init__(self, orgs: Orgs, cache: Cache, options: SalesforceOptions) -> None:
        """Take the sessions, and what the configuration says of fields; nothing is called."""
        self._orgs = orgs
        self._cache = cache
        self._options = options
        self._users: dict[str, UserTasks] = {}

    def check_ready(self, rep: str = "") -> None:
        """Raise `Refused` with what to deploy when the intent field is missing, hidden or not unique.

        For the connector's own user, or for the user who writes a rep's tasks.
        """
        self._of(self._orgs.of(rep)).ready()

    def left_out(self) -> Mapping[str, str]:
        """Return Salesforce field -> why tasks go without it, in this org with this configuration."""
        return self._of(self._orgs.own).left_out()

    def push(self, writes: Sequence[TaskWrite]) -> list[Written]:
        """Write tasks, in the name of their reps where these sign in one by one.

        Raises only when nothing could be tried; what stops one user stops no other, so that a rep who must sign in is
        told of in each of their own writes.
        """
        done: dict[int, Written] = {}
        stopped: dict[int, AdapterError] = {}
        for user, places in self._by_user(writes):
            try:
                done |= zip(places, user.push([writes[place] for place in places]), strict=True)
            except AdapterError as error:
                stopped |= dict.fromkeys(places, error)
        common = [error for error in stopped.values() if not _is_of_one_rep(error)]
        if common and not done:
            raise common[0]
        done |= {place: Written(key=writes[place].key, error=error) for place, error in stopped.items()}
        return [done[place] for place in range(len(writes))]

    def _by_user(self, writes: Sequence[TaskWrite]) -> list[tuple[UserTasks, list[int]]]:
        places: dict[UserTasks, list[int]] = {}
        for place, write in enumerate(writes):
            places.setdefault(self._of(self._orgs.of(write.rep)), []).append(place)
        return list(places.items())

    def _of(self, org: Org) -> UserTasks:
        if org.scope not in self._users:
            self._users[org.scope] = UserTasks(org, Shapes(org, self._cache), self._options)
        return self._users[org.scope]

    # ------------------------------------------------------------------------------------------ delete

    def delete(self, remote_ids: Sequence[str]) -> list[Written]:
        """Delete tasks by id, 200 a call; one that is gone already is no error."""
        done: dict[str, Written] = {}
        stopped: AdapterError | None = None
        good = [remote_id for remote_id in dict.fromkeys(remote_ids) if is_id(remote_id)]
        for chunk in chunks(good, TASKS_PER_CALL):
            if stopped is None:
                try:
                    done |= delete_some(self._orgs.own, chunk)
                except AdapterError as error:
                    if not done:
                        raise
                    stopped = error
            done |= {one: Written(key=one, error=stopped) for one in chunk if one not in done}
        return [done.get(one) or Written(key=one, error=from_code("MALFORMED_ID")) for one in remote_ids]


def _is_of_one_rep(error: AdapterError) -> bool:
    return isinstance(error, Reconnect) and error.account != ACCOUNT
