"""Gauges: how things stand, as numbers that a monitor can keep and warn about.

Lives here: `read_gauges`. Does not live here: how they are written (`web.metrics`), statements (`store.gauges`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.intents import IntentState
from connector.store import enrollments, gauges, lanes, mails, tasks
from connector.store.lanes import Pacing
from connector.store.mails import MailAction, MailState
from connector.sync.office import Office

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One number for each value of a label."""

    name: str
    #: A sentence.
    help: str
    label: str
    values: Mapping[str, float]


def read_gauges(office: Office) -> list[Gauge]:
    """Return how things stand now: only what is open, waits, or happened within a day is counted."""
    now = office.now()
    with office.database.read() as tx:
        waiting = mails.count_waiting(tx, now)
        crm, oldest_crm = tasks.count_dirty(tx, now)
        steps, next_step = enrollments.count_due(tx, now)
        with_people, drafts = gauges.count_tasks(tx), gauges.count_drafts(tx)
        sent, pacing = gauges.count_sent(tx, now - _DAY), lanes.list_lanes(tx)
    due = Counter({"crm": crm, "step": steps})
    oldest = {"crm": oldest_crm, "step": next_step}
    for action in MailAction:
        due[action.value] = sum(count for (_, what), (count, _) in waiting.items() if what == action)
        oldest[action.value] = min((at for (_, what), (_, at) in waiting.items() if what == action), default=None)
    return [
        Gauge(
            name="connector_due",
            help="What is due and not done: steps to decide, mails to send, drafts to place, CRM tasks to write.",
            label="work",
            values=dict(sorted(due.items())),
        ),
        Gauge(
            name="connector_oldest_due_seconds",
            help="How long the oldest of it has been due; 0 when nothing is.",
            label="work",
            values={work: _age(at, now) for work, at in sorted(oldest.items())},
        ),
        Gauge(
            name="connector_tasks",
            help="Tasks and troubles that wait for a person.",
            label="state",
            values={state.value: with_people.get(state.value, 0) for state in _WITH_PEOPLE},
        ),
        Gauge(
            name="connector_drafts",
            help="Drafts that reps have, and mails whose fate is open.",
            label="state",
            values={state.value: drafts.get(state.value, 0) for state in _OPEN},
        ),
        Gauge(
            name="connector_sent_last_day",
            help="Emails that went out within 24 hours, by who sent them.",
            label="by",
            values={"connector": sent.get(MailAction.SEND, 0), "rep": sent.get(MailAction.DRAFT, 0)},
        ),
        Gauge(
            name="connector_lanes",
            help="Mailboxes and CRMs: those at work, those that wait for their service, those with a problem.",
            label="state",
            values=dict.fromkeys(("free", "waiting", "blocked"), 0)
            | Counter(_standing(one, now) for one in pacing.values()),
        ),
    ]


_WITH_PEOPLE = (IntentState.OPEN, IntentState.BLOCKED, IntentState.HELD, IntentState.FAILED, IntentState.UNKNOWN)
_OPEN = (MailState.PRESENT, MailState.SCHEDULED, MailState.IN_FLIGHT, MailState.UNKNOWN, MailState.DISCARDED)


def _age(at: datetime | None, now: datetime) -> float:
    return 0.0 if at is None else max(0.0, (now - at).total_seconds())


def _standing(pacing: Pacing, now: datetime) -> str:
    if pacing.problem is not None:
        return "blocked"
    waits = (pacing.blocked_until, pacing.sends_blocked_until)
    return "waiting" if any(until is not None and until > now for until in waits) else "free"
