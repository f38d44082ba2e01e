"""Recording facts: append them to the ledger, let the sequencer decide, and carry the consequences, in one transaction.

Lives here: `record`, the only way an enrollment ever changes after its launch, and what an end or a pause does to an
intent that was not carried out. Does not live here: where facts come from (`pull`, `drain`, `actions`).
Source: spec sequencing 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby

from connector.events import Event, EventKind
from connector.intents import CLOSED_STATES, IntentEvent, IntentState
from connector.sequencing.enrollment import END_CAUSES, ENROLLMENT_TRANSITIONS, Enrollment, EnrollmentState
from connector.sequencing.sequencer import Outcome, decide
from connector.store.database import Transaction
from connector.store.enrollments import read_enrollments, update_enrollments
from connector.store.intents import StoredIntent, insert_intents, move_intent, read_intents
from connector.store.ledger import append
from connector.store.mails import MailState, change_mail, read_mails
from connector.sync import activity
from connector.sync.activity import CallResult
from connector.sync.mirror import closed_task, want, withdraw
from connector.sync.office import DECIDE, Office
from connector.sync.pausing import keep_back
from connector.sync.rollup import roll_up

#: How the reason begins of a pause that nobody asked for: something must be mended first.
CANNOT_GO_ON = "it cannot go on: "

#: Facts that end an enrollment whose campaign can no longer be asked: they always do, or do by default.
_ENDS_UNASKED = (EventKind.REMOVED, EventKind.OPTED_OUT, EventKind.REPLIED, EventKind.BOUNCED)


#: How a task ends that a person closed in the CRM.
IN_CRM = "in the CRM"


def record(tx: Transaction, office: Office, events: Sequence[Event], now: datetime) -> None:
    """Write facts down and do all that follows from them."""
    append(tx, events)
    of_enrollment = sorted((event for event in events if event.enrollment), key=lambda event: event.enrollment or "")
    grouped = {key: list(group) for key, group in groupby(of_enrollment, key=lambda event: event.enrollment or "")}
    before = read_enrollments(tx, list(grouped))
    changed: list[Enrollment] = []
    for key, old in before.items():
        if old.has_ended and all(event.kind is not EventKind.UNDONE for event in grouped[key]):
            continue
        outcome = decided(tx, office, old, grouped[key], now)
        insert_intents(tx, outcome.intents)
        append(tx, outcome.decisions)
        if outcome.enrollment != old:
            changed.append(outcome.enrollment)
    update_enrollments(tx, changed, now)
    if any(one.next_due is not None and one.next_due <= now for one in changed):
        office.wake(tx, [DECIDE])
    if of_enrollment and office.mirrors_tasks:
        office.wake(tx, [office.crm_rules.name])
    roll_up(
        tx,
        office,
        now,
        facts=events,
        moved=[one.person for one in changed if one.has_ended or before[one.id].has_ended],
    )
    for enrollment in changed:
        if enrollment.intent is None:
            continue
        if enrollment.has_ended:
            withdraw_intent(tx, office, enrollment, now)
        elif enrollment.state is EnrollmentState.PAUSED and before[enrollment.id].state is not EnrollmentState.PAUSED:
            hold_intent(tx, enrollment.intent, now)


def decided(tx: Transaction, office: Office, enrollment: Enrollment, events: Sequence[Event], now: datetime) -> Outcome:
    """Let the sequencer decide; an enrollment it cannot decide about is paused with the reason, and stops no other."""
    version = next(
        (str(event.data["version"]) for event in events if event.kind is EventKind.MIGRATED), enrollment.version
    )
    try:
        return decide(office.book.pinned(tx, enrollment.campaign, version).campaign, enrollment, events, now)
    except (LookupError, ValueError, NotImplementedError) as error:
        # A version that is not kept, a holiday calendar that a new release dropped, no date that counts.
        for event in events:
            if event.kind in _ENDS_UNASKED:
                ended = ENROLLMENT_TRANSITIONS[enrollment.state][event.kind]
                return Outcome(enrollment=replace(enrollment, state=ended))
        reason = f"{CANNOT_GO_ON}{error}; mend that, then 'connector resume --person {enrollment.person}'"
        paused = replace(enrollment, state=EnrollmentState.PAUSED)
        line = enrollment_fact(enrollment, EventKind.PAUSED, now, reason=reason)
        return Outcome(enrollment=paused, decisions=(line,))


def end_task(
    tx: Transaction,
    office: Office,
    stored: StoredIntent,
    event: IntentEvent,
    now: datetime,
    *,
    at: datetime,
    by: str,
    sent: bool = False,
    reason: str = "",
    call: CallResult | None = None,
) -> None:
    """Complete or skip what a person had before them: the campaign moves on, the CRM task closes.

    `at` is when it was done, `by` how ("by sending it", "in the CRM"), `sent` whether its mail was seen in Sent on
    its way to the person, `reason` what else there is to say, `call` what came of a call. Raises `ValueError` if it is
    closed already.
    """
    move_intent(tx, stored.intent.key, event)
    kind = EventKind.COMPLETED if event is IntentEvent.COMPLETE else EventKind.SKIPPED
    closing = activity.sent(office) if sent else closed_task(office, stored, event, call)
    if by == IN_CRM:
        # The rep closed it there: saying what kind it was is not worth a write of its own.
        closing.pop("kind", None)
    want(tx, stored.intent.key, now, changed=at, closed=True, **closing)
    told = {"by": by} if call is None else {"by": by, "outcome": call.outcome, "call_reason": call.reason}
    record(tx, office, [intent_fact(stored, kind, at, reason=str(call or reason), **told)], now)


def intent_fact(stored: StoredIntent, kind: EventKind, at: datetime, *, reason: str = "", **data: object) -> Event:
    """Return a fact about an intent, with its place in the campaign for the sentence."""
    intent = stored.intent
    return Event(
        at=at,
        kind=kind,
        enrollment=intent.enrollment,
        person=intent.person,
        rep=intent.rep,
        campaign=intent.campaign,
        intent=intent.key,
        reason=reason,
        data={"day": intent.day, "step": intent.step, "type": intent.type.value, **data},
    )


def enrollment_fact(
    enrollment: Enrollment, kind: EventKind, at: datetime, *, reason: str = "", **data: object
) -> Event:
    """Return a fact about an enrollment."""
    return Event(
        at=at,
        kind=kind,
        enrollment=enrollment.id,
        person=enrollment.person,
        rep=enrollment.rep,
        campaign=enrollment.campaign,
        reason=reason,
        data=data,
    )


def withdraw_intent(tx: Transaction, office: Office, enrollment: Enrollment, now: datetime) -> None:
    """Cancel what an ended enrollment has not carried out; a mail being sent this instant is left to `drain`."""
    key = enrollment.intent or ""
    stored = read_intents(tx, [key]).get(key)
    if stored is None or stored.state in CLOSED_STATES or stored.state is IntentState.DELIVERING:
        return
    reason = cancel_intent(tx, stored, enrollment.state, now)
    facts: list[Event] = []
    mail = read_mails(tx, [key]).get(key)
    if mail is not None and mail.state is MailState.WANTED:
        change_mail(tx, key, state=MailState.CANCELLED)
    elif mail is not None and mail.state is MailState.PRESENT and mail.edited:
        change_mail(tx, key, state=MailState.LEFT)
        facts.append(intent_fact(stored, EventKind.DRAFT_LEFT, now, reason=f"{reason}; they have edited it"))
    elif mail is not None and mail.state is MailState.SCHEDULED:
        change_mail(tx, key, state=MailState.LEFT)
        why = "it is scheduled in the mail program and goes out by itself, unless they take it back there"
        facts.append(intent_fact(stored, EventKind.DRAFT_LEFT, now, reason=f"{reason}; {why}"))
    elif mail is not None and mail.state is MailState.PRESENT:
        change_mail(tx, key, state=MailState.UNWANTED, due=now)
    append(tx, facts)
    want(tx, key, now, **activity.ended(office, stored.intent, IntentEvent.CANCEL))
    withdraw(tx, office, key, now)


def cancel_intent(tx: Transaction, stored: StoredIntent, ended: EnrollmentState, now: datetime) -> str:
    """Cancel an intent that was not carried out when its campaign ended; return the reason."""
    reason = f"campaign has ended: {END_CAUSES[ended]}"
    move_intent(tx, stored.intent.key, IntentEvent.CANCEL, problem=reason)
    append(tx, [intent_fact(stored, EventKind.CANCELLED, now, reason=reason)])
    return reason


def hold_intent(tx: Transaction, key: str, now: datetime) -> None:
    """Hold what a pause caught before it was carried out; a task the rep has already stays with them."""
    stored = read_intents(tx, [key]).get(key)
    if stored is not None and stored.state is IntentState.OPEN:
        keep_back(tx, key)
    if stored is None or stored.state not in (IntentState.DUE, IntentState.BLOCKED):
        return
    move_intent(tx, key, IntentEvent.HOLD, problem="the campaign is paused")
    mail = read_mails(tx, [key]).get(key)
    if mail is not None and mail.state is MailState.WANTED:
        change_mail(tx, key, state=MailState.CANCELLED)
    append(tx, [intent_fact(stored, EventKind.HELD, now, reason="the campaign is paused")])
