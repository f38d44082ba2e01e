"""How many requests Graph takes from one application for one mailbox, and how many were made.

Lives here: `Quota`. Does not live here: what Microsoft answers when it is used up (`codes`), that calls follow each
other (`transport`), the pace of sending (`connector.sync.pacing`).

Each mailbox counts for itself, in one process: each part of a batch, each range of an upload. Another process, or
another program under the same application, is seen only through Microsoft's answers. Source: reference apis 3.5.
"""

from __future__ import annotations

from datetime import timedelta

from adapters.quota import Window
from connector.errors import Retry
from connector.ports import Clock

#: What Microsoft takes in the span.
REQUESTS = 10_000
SPAN = timedelta(minutes=10)


class Quota:
    """The requests one mailbox had in the last ten minutes."""

    def __init__(self, clock: Clock, *, mailbox: str, requests: int = REQUESTS) -> None:
        """Begin with none."""
        self._clock = clock
        self._mailbox = mailbox
        self._requests = requests
        self._window = Window(limit=requests, span=SPAN)

    def take(self, requests: int) -> None:
        """Count requests before they are made; raise `Retry` with the time it takes when they would be too many."""
        now = self._clock.now()
        wait = self._window.wait(requests, now)
        if wait:
            raise Retry(
                f"the {self._requests:,} requests in ten minutes that Outlook takes for {self._mailbox} are used up; "
                f"it goes on in {wait.total_seconds():.0f} s",
                code="requests_per_10_minutes",
                after=wait,
                advice="lower pacing.outlook, or let sync run less often",
            )
        self._window.take(requests, now)
