"""Late sends: what may still go out by itself, and what waits for somebody's decision.

Lives here: `too_late`, `hold_late`. Does not live here: what a decision brings about (`actions.resume`), what else must
not go out (`withholding`). Source: issue 6, decision 33.

A send is late from the instant at which it was due, or was last let go on by somebody. It is not late by what it waited
for its turn: while its mailbox was sending, or was at its limit, its place in the queue was its due time.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from connector.events import EventKind
from connector.intents import IntentEvent, IntentState
from connector.store.intents import StoredIntent, move_intent, read_intents
from connector.store.lanes import Lease, Pacing, guard, read_pacing
from connector.store.ledger import append
from connector.store.mails import MailState, StoredMail, change_mail, last_sent, read_sends_due_before
from connector.sync.giving_back import give_back, is_tasks
from connector.sync.office import Office, PacingRule
from connector.sync.record import intent_fact

#: Mails a transaction: nobody waits long for it.
BATCH = 500

#: The longest that a service has a send wait that was begun (a mailbox's limit on sending lasts a day).
_LONGEST_BLOCK = timedelta(hours=24)

_DAY = timedelta(days=1)


def too_late(office: Office, stored: StoredIntent, now: datetime, mail: StoredMail | None = None) -> str | None:
    """Return why a send is too late to go out by itself and what to do about it, or None.

    `mail` is one that is on its way already: since its claim it was being worked on.
    """
    if office.hold_after is None:
        return None
    since = stored.intent.due if stored.released is None else max(stored.intent.due, stored.released)
    if mail is not None:
        since = max(since, (mail.claimed or since) + _LONGEST_BLOCK)
    return _sentence(stored, now) if now - since > office.hold_after else None


def _sentence(stored: StoredIntent, now: datetime) -> str:
    intent = stored.intent
    if is_tasks(stored):
        return "it was to be sent long ago, and nothing could be sent since then: read it, and schedule it again"
    late = now - intent.due
    age = f"{late // _DAY} days" if late >= 2 * _DAY else f"{late // timedelta(hours=1)} hours"
    return (
        f"it is {age} late (it was due on {intent.due:%d %b %Y at %H:%M} UTC; since then the connector did not run, or "
        f"the mailbox or the CRM could not be used): 'connector resume --person {intent.person}' or '--campaign' sends "
        f"it now, 'connector tasks skip {intent.key[:8]}' goes on without it, 'connector remove' ends the campaign"
    )


def hold_late(office: Office, lease: Lease, rule: PacingRule) -> None:
    """Hold the sends of a lane that are too late, before any of them is begun.

    All at once, because the first that goes out makes the lane one that is at work. Raises `FencedError` when the lane
    was lost.
    """
    if office.hold_after is None:
        return
    now = office.now()
    limit = now - office.hold_after
    with office.database.read() as tx:
        worked = _at_work_until(read_pacing(tx, lease.lane), rule, last_sent(tx, lease.lane))
        if (worked is not None and worked >= limit) or not read_sends_due_before(tx, lease.lane, limit, 1):
            return
    while _hold_some(office, lease, limit, now):
        pass


def _hold_some(office: Office, lease: Lease, limit: datetime, now: datetime) -> bool:
    with office.database.write() as tx:
        guard(tx, lease)
        keys = read_sends_due_before(tx, lease.lane, limit, BATCH)
        told = []
        for stored in read_intents(tx, keys).values():
            if is_tasks(stored):
                give_back(tx, stored, now, _sentence(stored, now))
                continue
            change_mail(tx, stored.intent.key, state=MailState.CANCELLED)
            if stored.state is IntentState.DUE:
                problem = _sentence(stored, now)
                move_intent(tx, stored.intent.key, IntentEvent.HOLD, problem=problem)
                told.append(intent_fact(stored, EventKind.HELD, now, reason=problem))
        append(tx, told)
    return len(keys) == BATCH


def _at_work_until(pacing: Pacing, rule: PacingRule, sent: datetime | None) -> datetime | None:
    """Return until when a lane sent as fast as it may, or None if it never did."""
    until = [sent, pacing.sends_blocked_until]
    if rule.per_day is not None and pacing.day is not None and pacing.day_count >= rule.per_day:
        until.append(datetime.combine(pacing.day + _DAY, time(), tzinfo=UTC))
    return max((one for one in until if one is not None), default=None)
