"""Undoing what was done in the queue: as far as the world has not gone on from it.

Lives here: `undo`, and when each deed can be undone no more. Does not live here: doing it (`bulk`), what the undone
end of a step makes of an enrollment (`sequencing.sequencer`). Source: decision 38.

A step that was ended is current again only while nothing of the next one was given to anybody. Nothing goes out because
of an undo: a send waits, held, and a draft that was taken away is made anew by the same way as any other.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from connector.errors import BadInput
from connector.events import EventKind
from connector.intents import IntentEvent, IntentState, Mode
from connector.sequencing.enrollment import END_CAUSES, Enrollment, EnrollmentState
from connector.store.database import Transaction
from connector.store.enrollments import read_enrollments, read_inside
from connector.store.intents import StoredIntent, delete_intents, move_intent, postpone_intent, read_intents
from connector.store.ledger import append
from connector.store.mails import MailAction, MailState, change_mail, read_mails
from connector.store.tasks import read_tasks
from connector.store.undos import take_undo
from connector.sync.assigning import assign_stored
from connector.sync.bulk import BATCH, UNDO_LASTS, Action, Done
from connector.sync.mirror import want
from connector.sync.office import Office
from connector.sync.record import intent_fact, record

#: The state that each deed leaves.
_ENDED = {Action.COMPLETE: IntentState.COMPLETED, Action.SKIP: IntentState.SKIPPED}

#: States in which a step was not given to anybody yet.
_NOT_BEGUN = (IntentState.DUE, IntentState.HELD, IntentState.BLOCKED)

#: States from which a send was skipped, or done by hand, without having gone out.
_NOT_SENT = (IntentState.BLOCKED, IntentState.HELD, IntentState.FAILED)

_UNDONE = "its skip or completion was undone: 'connector resume --person {person}' sends it, or skip it"


def undo(office: Office, user: str, batch: str, *, reps: frozenset[str] | None) -> Done:
    """Undo what a user did, as far as it can be; each task of it once. Say why it cannot, of those that cannot.

    Of tasks that are by now of none of these reps (None: of all) only giving them away can be undone.
    """
    done = Done(batch=batch)
    while True:
        with office.database.write() as tx:
            now = office.now()
            taken = take_undo(tx, batch, user, now - UNDO_LASTS, BATCH)
            present = read_intents(tx, list(taken))
            for key, before in taken.items():
                if not _is_theirs(present.get(key), before, reps):
                    done.refuse(f"the id '{key[:8]}' names no task")
                    continue
                try:
                    _undo(tx, office, present.get(key), before, now)
                except BadInput as error:
                    done.refuse(_about(present.get(key), str(error)))
                else:
                    done.keys.append(key)
        if not taken:
            return done


def _is_theirs(stored: StoredIntent | None, before: dict[str, Any], reps: frozenset[str] | None) -> bool:
    """Tell whether a task is, or was when it was given away, of one of these reps."""
    if reps is None or stored is None:
        return True
    return (before["rep"] if before["action"] == Action.ASSIGN else stored.intent.rep) in reps


def _about(stored: StoredIntent | None, why: str) -> str:
    if stored is None:
        return why
    return f"day {stored.intent.day}, step {stored.intent.step} for {stored.intent.person} stays as it is: {why}"


def _undo(tx: Transaction, office: Office, stored: StoredIntent | None, before: dict[str, Any], now: datetime) -> None:
    if stored is None:
        raise BadInput("its campaign ended long ago, and is not kept any more")
    action = Action(before["action"])
    match action:
        case Action.COMPLETE | Action.SKIP:
            _undo_end(tx, office, stored, before, now, action)
        case Action.SNOOZE:
            _undo_snooze(tx, stored, before, now)
        case Action.ASSIGN:
            _undo_assign(tx, office, stored, before, now)


def _undo_snooze(tx: Transaction, stored: StoredIntent, before: dict[str, Any], now: datetime) -> None:
    if stored.state is not IntentState.OPEN:
        raise BadInput(f"it is {stored.state} by now")
    if stored.intent.due_date.isoformat() != before["until"]:
        raise BadInput(f"it was moved to {stored.intent.due_date} since")
    key = stored.intent.key
    postpone_intent(tx, key, datetime.fromisoformat(before["due"]), date.fromisoformat(before["due_date"]))
    want(tx, key, now, changed=now, **before["task"])
    told = {"until": before["due_date"], "by": "by undoing"}
    append(tx, [intent_fact(stored, EventKind.SNOOZED, now, reason="the snooze was undone", **told)])


def _undo_assign(tx: Transaction, office: Office, stored: StoredIntent, before: dict[str, Any], now: datetime) -> None:
    former = office.reps.get(before["rep"])
    if stored.intent.rep != before["to"]:
        raise BadInput(f"it belongs to {stored.intent.rep} by now")
    if former is None:
        raise BadInput(f"{before['rep']} is not in connector.yaml any more")
    assign_stored(tx, office, stored, former, now)


def _undo_end(
    tx: Transaction, office: Office, stored: StoredIntent, before: dict[str, Any], now: datetime, action: Action
) -> None:
    was = IntentState(before["state"])
    enrollment = read_enrollments(tx, [stored.intent.enrollment])[stored.intent.enrollment]
    _check_intent(tx, stored, was, action)
    _check_campaign(tx, enrollment, before)
    _forget_next(tx, enrollment)
    key, intent = stored.intent.key, stored.intent
    held = intent.mode is Mode.SEND and was is not IntentState.OPEN
    event = IntentEvent.HOLD if held else IntentEvent.REOPEN
    problem = _UNDONE.format(person=intent.person) if held else before["problem"]
    told = {"before": before["before"], "what": _ENDED[action].value, "by": intent.rep}
    record(tx, office, [intent_fact(stored, EventKind.UNDONE, now, **told)], now)
    move_intent(tx, key, event, problem=problem)
    if before["task"]:
        want(tx, key, now, changed=now, **before["task"])
    if not held:
        _bring_draft_back(tx, office, key, before["mail"], now, paused=enrollment.state is EnrollmentState.PAUSED)


def _check_intent(tx: Transaction, stored: StoredIntent, was: IntentState, action: Action) -> None:
    if stored.state is not _ENDED[action]:
        raise BadInput(f"it is {stored.state} by now")
    mail = read_mails(tx, [stored.intent.key]).get(stored.intent.key)
    if mail is not None and mail.sent is not None:
        raise BadInput("its mail was sent")
    if was is IntentState.UNKNOWN or (was is not IntentState.OPEN and was not in _NOT_SENT):
        raise BadInput(f"it was {was} before, and somebody has to look at it")


def _check_campaign(tx: Transaction, enrollment: Enrollment, before: dict[str, Any]) -> None:
    """Raise `BadInput` when the campaign has gone on from the end of the step."""
    if enrollment.has_ended and enrollment.state is not EnrollmentState.FINISHED:
        raise BadInput(f"its campaign has ended: {END_CAUSES[enrollment.state]}")
    if enrollment.has_ended and read_inside(tx, enrollment.campaign, [enrollment.person]):
        raise BadInput(f"{enrollment.person} was put into '{enrollment.campaign}' again since")
    if enrollment.version != before["version"]:
        raise BadInput("its campaign was moved to another version since")
    if enrollment.position != before["before"]["position"] + 1:
        raise BadInput("the campaign has moved on: its next step is done already")


def _forget_next(tx: Transaction, enrollment: Enrollment) -> None:
    """Forget the next step, which is planned anew; raise `BadInput` when somebody was given it already."""
    if enrollment.intent is None:
        return
    following = read_intents(tx, [enrollment.intent]).get(enrollment.intent)
    if following is None:
        return
    mail, task = read_mails(tx, [enrollment.intent]).get(enrollment.intent), read_tasks(tx, [enrollment.intent])
    placed = mail is not None and (mail.state is not MailState.WANTED or mail.draft_id is not None)
    begun = following.state is not IntentState.OPEN and following.state not in _NOT_BEGUN
    if begun or task or placed:
        intent = following.intent
        where = f"day {intent.day}, step {intent.step} ({intent.type})"
        raise BadInput(f"the campaign has moved on: {where} is {following.state} already")
    if mail is not None:
        change_mail(tx, mail.key, state=MailState.CANCELLED)
    delete_intents(tx, [enrollment.intent])


def _bring_draft_back(
    tx: Transaction, office: Office, key: str, was: str | None, now: datetime, *, paused: bool
) -> None:
    """Let a draft that was taken away with its task be there again."""
    mail = read_mails(tx, [key]).get(key)
    if mail is None or was is None or mail.action is not MailAction.DRAFT:
        return
    if mail.state is MailState.UNWANTED:
        # Should it be on its way out this instant, `taking_back` makes it anew, as its task is open.
        change_mail(tx, key, state=MailState.PRESENT)
    elif (mail.state is MailState.CANCELLED and mail.draft_id is None and not paused) or (
        mail.state is MailState.DELETED
    ):
        ids = dict.fromkeys(("draft_id", "provider_id", "thread_id", "internet_message_id", "claimed", "token"))
        blank = {"attempts": 0, "edited": False, "missing": None, "draft_subject": None}
        change_mail(tx, key, state=MailState.WANTED, due=now, **ids, **blank)
        office.wake(tx, [mail.lane])
