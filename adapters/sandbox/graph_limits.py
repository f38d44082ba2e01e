"""What Graph lets one application do in one mailbox: in ten minutes, at once, and how fast mails go out.

Lives here: counting requests and refusing what is over a limit, the pace of sending. Does not live here: the limits
that can be set (`MailSettings`). Source: reference apis 3.1, 3.5.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from adapters.sandbox.graph_errors import throttled
from adapters.sandbox.mailbox import Mailbox
from adapters.sandbox.mailworld import MailWorld

#: Requests of one mailbox that may run at once; further ones get 429.
CONCURRENCY = 4

_MINUTE = timedelta(minutes=1)


def owner_of(path: str, authorization: str) -> str:
    """Return whose mailbox a path after /v1.0 means: the user in it, else whose token it is."""
    parts = path.lower().split("/")
    return parts[2] if parts[1] == "users" and len(parts) > 2 else authorization


class Limits:
    """Counts for every mailbox."""

    def __init__(self, world: MailWorld) -> None:
        """Start with nothing used."""
        self._world = world
        self._spent: Counter[tuple[str, int]] = Counter()
        self._running: Counter[str] = Counter()
        self._slots: defaultdict[str, list[datetime]] = defaultdict(list)

    @contextmanager
    def running(self, owners: Sequence[str]) -> Iterator[Mapping[str, int]]:
        """Count requests as running until the block ends; gives how many ran already, for each owner."""
        before = dict(self._running)
        self._running.update(owners)
        try:
            yield Counter(before)
        finally:
            self._running.subtract(owners)

    def spend(self, box: Mailbox) -> None:
        """Count one request; raises `GraphError` when the ten minutes are used up."""
        limit = self._world.settings.outlook_requests_per_10_minutes
        now = int(self._world.clock.now().timestamp())
        span = (box.email, now // 600)
        if limit is not None and self._spent[span] >= limit:
            raise throttled("Application is over its limit of requests for this mailbox.", 600 - now % 600)
        self._spent[span] += 1

    def next_sending(self, box: Mailbox) -> datetime:
        """Take the next time a mail may go out: Exchange holds back what is over its pace, and refuses nothing."""
        now, limit = self._world.clock.now(), self._world.settings.outlook_sends_per_minute
        slots = self._slots[box.email]
        full = limit is not None and len(slots) >= limit
        slots.append(max(now, slots[-(limit or 0)] + _MINUTE) if full else now)
        return slots[-1]
