"""What Gmail lets one user do in a minute, at once, and in a day.

Lives here: counting units, requests in flight and mails sent, and refusing what is over a limit that is set. Does not
live here: the limits (`MailSettings`), what a method costs (`gmail_methods`), the words (`gmail_errors`).
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from adapters.sandbox.gmail_errors import sending_limit, too_many_at_once, units_spent
from adapters.sandbox.mailbox import Mailbox
from adapters.sandbox.mailworld import MailWorld

_DAY = timedelta(hours=24)


class Quota:
    """Counts for every mailbox."""

    def __init__(self, world: MailWorld) -> None:
        """Start with nothing used."""
        self._world = world
        self._spent: Counter[tuple[str, int]] = Counter()
        #: User -> requests being answered now.
        self.flying: Counter[str] = Counter()

    def spend(self, box: Mailbox, units: int, *, beside: int = 0) -> None:
        """Count one call; `beside` calls of the same batch are under way with it."""
        settings = self._world.settings
        at_once = settings.gmail_concurrent_requests
        if at_once is not None and self.flying[box.email] + beside > at_once:
            raise too_many_at_once()
        minute = (box.email, int(self._world.clock.now().timestamp() // 60))
        limit = settings.gmail_units_per_minute
        if limit is not None and self._spent[minute] + units > limit:
            raise units_spent(settings.gmail_quota_status)
        self._spent[minute] += units

    def check_sending(self, box: Mailbox) -> None:
        """Refuse one more mail when the last 24 hours are full, whoever sent them: API or rep."""
        limit = self._world.settings.gmail_sends_per_day
        if limit is None:
            return
        now = self._world.clock.now()
        recent = sorted(one for one in box.sendings if one > now - _DAY)
        if len(recent) >= limit:
            raise sending_limit(recent[-limit] + _DAY if limit else now + _DAY)
