"""How much of something may be used in a span of time that moves along with the clock.

Lives here: `Window`. Does not live here: what a call costs and what is said when it is used up; each adapter knows its
own. Shared by the adapters of Gmail and Outlook.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta


class Window:
    """What was used in the last while, in one process; one thread at a time."""

    def __init__(self, *, limit: int, span: timedelta) -> None:
        """Begin with nothing used."""
        self._limit = limit
        self._span = span
        self._used: deque[tuple[datetime, int]] = deque()
        self._sum = 0

    def wait(self, amount: int, now: datetime) -> timedelta:
        """Return how long it takes until so much more may be used."""
        # What lies ahead by more than a wait was used before the clock was set back: it is forgotten, too.
        while self._used and abs(self._used[0][0] - now) >= self._span:
            self._sum -= self._used.popleft()[1]
        over = self._sum + amount - self._limit
        if over <= 0:
            return timedelta()
        for at, used in self._used:
            over -= used
            if over <= 0:
                return at + self._span - now
        return timedelta()  # More than a whole span's worth at once: it must go some time.

    def take(self, amount: int, now: datetime) -> None:
        """Use so much."""
        self._used.append((now, amount))
        self._sum += amount
