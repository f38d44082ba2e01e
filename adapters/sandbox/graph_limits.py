"""What Graph lets one application do in one mailbox: in ten minutes, and at once.

Lives here: counting requests and refusing what is over a limit. Does not live here: the limits that can be set
(`MailSettings`). Source: reference apis 3.5.
"""

from __future__ import annotations

from collections import Counter

from adapters.sandbox.graph_errors import throttled
from adapters.sandbox.mailbox import Mailbox
from adapters.sandbox.mailworld import MailWorld

#: Requests of one mailbox that may run at once; further ones get 429.
CONCURRENCY = 4


class Limits:
    """Counts for every mailbox."""

    def __init__(self, world: MailWorld) -> None:
        """Start with nothing used."""
        self._world = world
        self._spent: Counter[tuple[str, int]] = Counter()

    def spend(self, box: Mailbox) -> None:
        """Count one request; raises `GraphError` when the ten minutes are used up."""
        limit = self._world.settings.outlook_requests_per_10_minutes
        now = int(self._world.clock.now().timestamp())
        span = (box.email, now // 600)
        if limit is not None and self._spent[span] >= limit:
            raise throttled("Application is over its limit of requests for this mailbox.", 600 - now % 600)
        self._spent[span] += 1
