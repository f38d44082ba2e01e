"""Mails that must not go out: why, and what becomes of the mail and its intent.

Lives here: `stop_of`, and taking a mail out of the outbox that is not sent. Does not live here: finding out whether it
was sent (`drain`), a draft that lies in the mailbox already (`taking_back`). Source: spec sequencing 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connector.events import Event, EventKind
from connector.intents import IntentEvent, IntentState
from connector.sequencing.enrollment import ENDED_STATES, EnrollmentState
from connector.store.database import Transaction
from connector.store.enrollments import read_enrollments
from connector.store.intents import StoredIntent, move_intent, read_intents
from connector.store.ledger import append
from connector.store.mails import MailAction, MailState, StoredMail, change_mail, read_mails
from connector.sync.giving_back import give_back, is_tasks
from connector.sync.lateness import too_late
from connector.sync.letters import Situation
from connector.sync.office import Office
from connector.sync.prepare import stop_fact, unclassified
from connector.sync.record import cancel_intent, hold_intent, intent_fact, record, withdraw_intent


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A send that is too late to go out by itself; `problem` says so to people."""

    problem: str


#: Why a mail must not go out: the fact that ends its campaign, the state that holds it, or that it is late.
Stop = Event | EnrollmentState | Late


def stop_of(office: Office, situation: Situation, stored: StoredIntent, mail: StoredMail, now: datetime) -> Stop | None:
    """Return why a mail must not go out: its campaign has ended, ends now, or is paused, or it is late."""
    intent = stored.intent
    state = situation.enrollments[intent.enrollment].state
    if state in ENDED_STATES:
        return state
    fact = stop_fact(office, situation, intent, situation.people[intent.person], now)
    # A pause holds a send; a task's draft is with the rep already.
    paused = state is EnrollmentState.PAUSED and mail.action is MailAction.SEND
    if fact is not None or paused:
        return fact or state
    begun = mail.action is MailAction.SEND and mail.state is MailState.IN_FLIGHT
    problem = too_late(office, stored, now, mail) if begun else None  # The others were held before (`lateness`).
    return None if problem is None else Late(problem=problem)


def withhold(
    tx: Transaction, office: Office, mail: StoredMail, stored: StoredIntent, stopped: Stop | None, now: datetime
) -> None:
    """Take a mail that is not sent, and must not be, out of the outbox, and its intent with it."""
    key = mail.key
    if mail.action is MailAction.SEND and is_tasks(stored):
        _withhold_tasks(tx, office, stored, stopped, now)
        return
    change_mail(tx, key, state=MailState.CANCELLED)
    if stored.state is IntentState.DELIVERING:
        stored = move_intent(tx, key, IntentEvent.DEFER)
    match stopped:
        case Event() as fact:
            record(tx, office, [fact], now)
            if read_intents(tx, [key])[key].state is IntentState.DUE:
                # The campaign's settings do not let this end it: somebody must decide.
                block(tx, stored, fact.reason, now)
        case EnrollmentState.PAUSED:
            hold_intent(tx, key, now)
        case Late(problem=problem):
            _hold(tx, stored, problem, now)
        case EnrollmentState() as ended if mail.action is MailAction.SEND:
            cancel_intent(tx, stored, ended, now)
        case _:
            pass  # A task's intent was cancelled with its campaign.


def _withhold_tasks(tx: Transaction, office: Office, stored: StoredIntent, stopped: Stop | None, now: datetime) -> None:
    """Give a mail that its rep asked to be sent back to them, or withdraw it with its task if the campaign is over."""
    match stopped:
        case Event() as fact:
            give_back(tx, stored, now, fact.reason, state=MailState.CANCELLED)
            record(tx, office, [fact], now)
        case EnrollmentState.PAUSED:
            # Placed as a draft when the campaign goes on (`pausing`).
            problem = "the campaign is paused, so it was not sent: schedule it again when it goes on"
            give_back(tx, stored, now, problem, state=MailState.CANCELLED)
        case Late(problem=problem):
            give_back(tx, stored, now, problem)
        case EnrollmentState():
            give_back(tx, stored, now, "its campaign has ended", state=MailState.CANCELLED)
            withdraw_intent(tx, office, read_enrollments(tx, [stored.intent.enrollment])[stored.intent.enrollment], now)


def hold_unclassified(tx: Transaction, stored: StoredIntent, now: datetime) -> None:
    """Hold a send for a mail that came in since it was prepared and that nobody could classify."""
    if is_tasks(stored):
        give_back(tx, stored, now, unclassified(stored.intent.person))
        return
    change_mail(tx, stored.intent.key, state=MailState.CANCELLED)
    _hold(tx, stored, unclassified(stored.intent.person), now)


def _hold(tx: Transaction, stored: StoredIntent, problem: str, now: datetime) -> None:
    move_intent(tx, stored.intent.key, IntentEvent.HOLD, problem=problem)
    append(tx, [intent_fact(stored, EventKind.HELD, now, reason=problem)])


def block(tx: Transaction, stored: StoredIntent, problem: str, now: datetime) -> None:
    """Let a mail wait until somebody has mended what it lacks."""
    key = stored.intent.key
    if is_tasks(stored) and read_mails(tx, [key])[key].action is MailAction.SEND:
        give_back(tx, stored, now, problem, state=MailState.CANCELLED)
        return
    change_mail(tx, key, state=MailState.CANCELLED)
    if stored.state in (IntentState.DUE, IntentState.DELIVERING):
        move_intent(tx, key, IntentEvent.BLOCK, problem=problem)
    append(tx, [intent_fact(stored, EventKind.BLOCKED, now, reason=problem)])
