"""Counts for whoever watches the connector: only of what is open, waits, or happened of late.

Lives here: statements that partial indexes hold small, however much was done before. Does not live here: what the
counts are called (`sync.gauges`).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, text

from connector.intents import IntentState
from connector.store.database import Transaction
from connector.store.schema import intents, mails

# Each condition as the index that it uses says it.
_TASKS = (
    select(func.count()).select_from(intents).where(text("state IN ('open', 'blocked', 'held', 'failed', 'unknown')"))
)
_STUCK = (
    select(intents.c.state, func.count())
    .where(text("state IN ('blocked', 'held', 'failed', 'unknown')"))
    .group_by(intents.c.state)
)
_DRAFTS = (
    select(mails.c.state, func.count())
    .where(text("state IN ('present', 'scheduled', 'in_flight', 'unknown', 'discarded')"))
    .group_by(mails.c.state)
)
_SENT = select(mails.c.action, func.count()).where(text("state = 'sent'")).group_by(mails.c.action)


def count_tasks(tx: Transaction) -> dict[str, int]:
    """Return state -> intents that wait for a person."""
    stuck = {row[0]: row[1] for row in tx.execute(_STUCK)}
    # All are counted in an index; to tell their states apart, each of them would be read.
    return stuck | {IntentState.OPEN.value: tx.execute(_TASKS).scalar_one() - sum(stuck.values())}


def count_drafts(tx: Transaction) -> dict[str, int]:
    """Return state -> mails whose fate is open."""
    return {row[0]: row[1] for row in tx.execute(_DRAFTS)}


def count_sent(tx: Transaction, since: datetime) -> dict[str, int]:
    """Return action -> mails that went into Sent since an instant."""
    return {row[0]: row[1] for row in tx.execute(_SENT.where(mails.c.sent >= since))}
