"""Users of an org: who owns the tasks of a rep.

Lives here: `Users`. Does not live here: which rep has which user name (the configuration).
Source: spec delivery 3, reference apis 1.3 (an inactive user owns nothing new).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from adapters.salesforce.queries import Query, in_lists, rows_of, run_together
from adapters.salesforce.session import Org
from adapters.salesforce.values import is_id, long_id
from connector.ports import Cache

#: How long an answer counts. A user who leaves is refused as an owner by the org itself meanwhile.
EXPIRY = timedelta(hours=1)

_PREFIX = "005"


class Users:
    """Active users of one org, asked for once an hour."""

    def __init__(self, org: Org, cache: Cache) -> None:
        """Take the org, and where its answers are kept."""
        self._org = org
        self._cache = cache

    def find(self, names: Sequence[str]) -> dict[str, str]:
        """Return user name or 005 id, as asked -> id of the active user; others are left out."""
        asked = {name: _key(name) for name in names if name}
        known = self._known()
        wanted = sorted({key for key in asked.values() if key not in known})
        if wanted:
            # Each has an age of its own: asking for one does not make the others younger.
            now = self._org.now().isoformat()
            known |= {key: (user, now) for key, user in self._ask(wanted).items()}
            self._cache.save(self._entry, json.dumps(known))
        return {name: known[key][0] for name, key in asked.items() if key in known}

    def forget(self) -> None:
        """Forget who was found: somebody wants to know how it is now."""
        self._cache.forget(self._entry)

    def _ask(self, keys: Sequence[str]) -> dict[str, str]:
        conditions = [
            *in_lists("Username IN {values}", [key for key in keys if not _is_user(key)]),
            *in_lists("Id IN {values}", [key for key in keys if _is_user(key)]),
        ]
        head = "SELECT Id, Username FROM User WHERE IsActive = true AND "
        found: dict[str, str] = {}
        for answer in run_together(self._org, [Query(head + condition) for condition in conditions]):
            for row in rows_of(answer):
                user = long_id(row["Id"])
                found |= {user: user, str(row["Username"]).lower(): user}
        return found

    def _known(self) -> dict[str, tuple[str, str]]:
        """Return key -> id and when it was asked for, of those asked for within the hour."""
        kept = self._cache.read(self._entry, younger_than=EXPIRY)
        since = self._org.now() - EXPIRY
        known = json.loads(kept) if kept else {}
        return {key: (user, at) for key, (user, at) in known.items() if datetime.fromisoformat(at) > since}

    @property
    def _entry(self) -> str:
        return f"salesforce {self._org.scope} users"


def _is_user(name: str) -> bool:
    return is_id(name) and name.startswith(_PREFIX)


def _key(name: str) -> str:
    """Return what is asked for: a user's id in its long form, or a user name, which knows no case."""
    return long_id(name) if _is_user(name) else name.lower()
