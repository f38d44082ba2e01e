"""Gmail's quota: what each method costs, and how much of it one mailbox has used in the last minute.

Lives here: the table of units and `Quota`. Does not live here: what Google answers when the quota is used up
(`errors`), the pace of sending (`connector.sync.pacing`).

Each mailbox counts for itself, in one process. Another process, or another program under the same Google project, is
seen only through Google's answers. Source: reference apis 2.7 (Google's table since 1 May 2026).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from adapters.quota import Window
from connector.errors import Retry
from connector.ports import Clock

#: Units a call costs, by the method's name in Google's description of the API.
UNITS: Mapping[str, int] = {
    "gmail.users.drafts.send": 100,
    "gmail.users.messages.get": 20,
    "gmail.users.drafts.get": 20,
    "gmail.users.drafts.create": 10,
    "gmail.users.drafts.delete": 10,
    "gmail.users.drafts.list": 5,
    "gmail.users.messages.list": 5,
    "gmail.users.history.list": 2,
    "gmail.users.getProfile": 1,
}

#: What Google allows one user of a new project in a minute; older projects have 15,000.
UNITS_PER_MINUTE = 6_000
#: Fewer would not even cover one send and its reading back.
FEWEST_UNITS = 200

_MINUTE = timedelta(minutes=1)
#: Longest wait inside a call; anything longer goes up to the lane, which leaves the mailbox alone till then.
_SHORT = timedelta(seconds=15)


def units_of(methods: Iterable[str]) -> int:
    """Return what calls of these methods cost together."""
    return sum(UNITS[method] for method in methods)


class Quota:
    """The units one mailbox used in the last minute."""

    def __init__(self, clock: Clock, *, mailbox: str, per_minute: int = UNITS_PER_MINUTE) -> None:
        """Begin with nothing used."""
        self.per_minute = per_minute
        self._clock = clock
        self._mailbox = mailbox
        self._window = Window(limit=per_minute, span=_MINUTE)

    def take(self, units: int) -> None:
        """Take units before a call; waits a little for them, raises `Retry` when that would be long."""
        now = self._clock.now()
        wait = self._window.wait(units, now)
        if wait > _SHORT:
            raise Retry(
                f"the {self.per_minute:,} quota units a minute of {self._mailbox} at Gmail are used up; "
                f"it goes on in {wait.total_seconds():.0f} s",
                code="units_per_minute",
                after=wait,
                advice="accounts.google.units_per_minute says how many your Google project allows one user",
            )
        if wait:
            self._clock.sleep(wait.total_seconds())
            now += wait
        self._window.take(units, now)
