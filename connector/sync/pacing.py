"""Pacing: how fast one mailbox may send, whatever process sends. Pure.

Lives here: `seconds_to_wait`, `after_send`, `leaving`, `before_send`, `fairly`. Does not live here: the state
(`store.lanes`).
Source: spec delivery 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from connector.store.lanes import Pacing
from connector.store.mails import StoredMail
from connector.sync.office import PacingRule


def seconds_to_wait(pacing: Pacing, rule: PacingRule, now: datetime, *, counted: bool = False) -> float | None:
    """Return how long the next send must wait, or None when the mailbox may send no more today (UTC).

    One that was started before is `counted` among the day's already.
    """
    if not counted and rule.per_day is not None and pacing.day == now.date() and pacing.day_count >= rule.per_day:
        return None
    spaced = 0.0 if pacing.next_at is None else (pacing.next_at - now).total_seconds()
    blocked = 0.0 if pacing.blocked_until is None else (pacing.blocked_until - now).total_seconds()
    # A clock that was set back must not hold the mailbox longer than its spacing.
    return max(0.0, min(spaced, rule.spacing), blocked)


def after_send(pacing: Pacing, rule: PacingRule, now: datetime) -> Pacing:
    """Return the pacing once a send has been started at `now`."""
    count = pacing.day_count + 1 if pacing.day == now.date() else 1
    return replace(leaving(pacing, rule, now), day=now.date(), day_count=count)


def leaving(pacing: Pacing, rule: PacingRule, now: datetime) -> Pacing:
    """Return the pacing as a send leaves that was counted before: making its draft may have taken a while."""
    return replace(pacing, next_at=now + timedelta(seconds=rule.spacing))


def before_send(pacing: Pacing) -> Pacing:
    """Return the pacing without the send that was started last and did not happen."""
    return replace(pacing, next_at=None, day_count=max(0, pacing.day_count - 1))


def fairly(mails: Iterable[StoredMail]) -> list[StoredMail]:
    """Return mails so that campaigns take turns, each campaign's in order of due time."""
    turns: Counter[str] = Counter()
    ranked: list[tuple[int, datetime, str, StoredMail]] = []
    for mail in sorted(mails, key=lambda mail: (mail.due, mail.key)):
        ranked.append((turns[mail.campaign], mail.due, mail.key, mail))
        turns[mail.campaign] += 1
    return [mail for *_, mail in sorted(ranked, key=lambda entry: entry[:3])]
