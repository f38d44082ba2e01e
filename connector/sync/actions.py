"""What people do from the command line or the web: complete, skip, snooze, pause, resume, remove, opt out.

Lives here: these actions, each one transaction. Does not live here: what follows from a fact (`record`).
Source: spec sequencing 4 to 6, interfaces 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

from connector.errors import BadInput
from connector.events import Event, EventKind
from connector.intents import IntentEvent, IntentState, Priority, StepType, next_state
from connector.people import Person
from connector.sequencing.enrollment import Enrollment, EnrollmentState
from connector.store.crm_people import unwant_person, want_person
from connector.store.database import Transaction
from connector.store.enrollments import find_enrollments, pause_until, read_enrollments, read_expired_pauses
from connector.store.intents import (
    StoredIntent,
    delete_intents,
    find_by_prefix,
    postpone_intent,
    read_intents,
)
from connector.store.ledger import append
from connector.store.mails import MailState, change_mail, read_mails
from connector.store.people import mark_person, read_people, save_people
from connector.store.tasks import read_tasks
from connector.store.words import note_words_of
from connector.sync.activity import CallResult
from connector.sync.crm_people import address_tasks
from connector.sync.mirror import want
from connector.sync.office import Office
from connector.sync.pausing import bring_forward
from connector.sync.record import end_task, enrollment_fact, intent_fact, record
from connector.sync.releasing import release_all, release_late, release_mended

#: States from which a person may complete or skip.
_WITH_PEOPLE = (
    IntentState.OPEN,
    IntentState.BLOCKED,
    IntentState.HELD,
    IntentState.UNKNOWN,
    IntentState.FAILED,
    IntentState.CANCELLED,
    IntentState.DUE,
)

#: State of an intent that is done -> the fact that says so.
_STEP_ENDED = {
    IntentState.SENT: EventKind.SENT,
    IntentState.COMPLETED: EventKind.COMPLETED,
    IntentState.SKIPPED: EventKind.SKIPPED,
}

#: How far ahead a task may be left: beyond some dates no zone has an instant any more.
FARTHEST = timedelta(days=3660)

#: Characters of an edited value that a line of the feed holds.
_SHOWN = 200

#: Why something was paused or ended that somebody asked for.
BY_HAND = "by hand"

#: Not carried out yet: planned anew after a pause or a migration.
_NOT_CARRIED_OUT = (IntentState.DUE, IntentState.HELD, IntentState.BLOCKED)


class UnknownTask(BadInput):
    """An id names no task."""


def find_task(tx: Transaction, id: str) -> StoredIntent:  # noqa: A002 - the command's own word
    """Return the intent whose key starts with `id`; raise `UnknownTask` when there is none, `BadInput` for several."""
    hits = find_by_prefix(tx, id.lower()) if id.isalnum() and len(id) >= 4 else []
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise BadInput(f"the id '{id}' names several tasks: give more of it")
    raise UnknownTask(f"the id '{id}' names no task: 'connector tasks list' shows them")


def end_by_hand(
    office: Office,
    id: str,  # noqa: A002 - the command's own word
    event: IntentEvent,
    *,
    by: str,
    outcome: str = "",
    call_reason: str = "",
) -> StoredIntent:
    """Complete or skip a task, a call with what came of it.

    Raises `BadInput` when it is closed already, its campaign has ended, or it is no call that has an outcome.
    """
    with office.database.write() as tx:
        stored = find_task(tx, id)
        end_stored(tx, office, stored, event, office.now(), by=by, outcome=outcome, call_reason=call_reason)
    return stored


def end_stored(
    tx: Transaction,
    office: Office,
    stored: StoredIntent,
    event: IntentEvent,
    now: datetime,
    *,
    by: str,
    outcome: str = "",
    call_reason: str = "",
) -> None:
    """Complete or skip a task that this transaction has read; raise `BadInput` before anything is written."""
    intent = stored.intent
    enrollment = read_enrollments(tx, [intent.enrollment])[intent.enrollment]
    what = f"day {intent.day}, step {intent.step} for {intent.person}"
    call = _call_result(stored, what, outcome, call_reason)
    if enrollment.has_ended or enrollment.intent != intent.key or stored.state not in _WITH_PEOPLE:
        raise BadInput(f"{what} is {stored.state} ({stored.problem or 'done'}): there is nothing to {event}")
    try:
        next_state(stored.state, event)
    except ValueError:
        raise BadInput(f"{what} is {stored.state}: skip it, or 'connector resume' its person") from None
    _drop_waiting_mail(tx, intent.key, unwanted=event is IntentEvent.SKIP, now=now)
    end_task(tx, office, stored, event, now, at=now, by=by, call=call)


def _call_result(stored: StoredIntent, what: str, outcome: str, reason: str) -> CallResult | None:
    """Return what came of a call as one line each; None when nothing is said."""
    call = CallResult(outcome=" ".join(outcome.split()), reason=" ".join(reason.split()))
    if not str(call):
        return None
    if stored.intent.type is not StepType.CALL:
        raise BadInput(f"{what} is of type {stored.intent.type}: only a call has an outcome or a reason")
    return call


def snooze(office: Office, id: str, until: date) -> StoredIntent:  # noqa: A002
    """Move an open task to a later date; raise `BadInput` for a date that has passed or a task that is not open."""
    with office.database.write() as tx:
        stored = find_task(tx, id)
        snooze_stored(tx, office, stored, until, office.now())
    return stored


def snooze_stored(tx: Transaction, office: Office, stored: StoredIntent, until: date, now: datetime) -> None:
    """Move a task that this transaction has read to a later date; raise `BadInput` before anything is written."""
    if stored.state is not IntentState.OPEN:
        raise BadInput(f"the task '{stored.intent.key[:8]}' is {stored.state}, so it cannot be snoozed")
    # Who is not in connector.yaml any more has no zone there.
    rep = office.reps.get(stored.intent.rep)
    if until < now.astimezone(rep.zone if rep is not None else UTC).date():
        raise BadInput(f"{until} has passed: give today or a later date")
    if until > (now + FARTHEST).date():
        raise BadInput(f"{until} is more than ten years ahead: give an earlier date")
    move_task(tx, stored, until)
    want(tx, stored.intent.key, now, changed=now, due_date=until.isoformat(), reminder_at=None)
    append(tx, [intent_fact(stored, EventKind.SNOOZED, now, until=until.isoformat(), by="by the rep")])


def edit(office: Office, id: str, *, priority: Priority | None, comments: str | None) -> StoredIntent:  # noqa: A002
    """Change the priority or the comments of an open task, here and, with the next pass, in the CRM.

    Raises `BadInput` for a task that is not open, or that no CRM keeps.
    """
    now = office.now()
    if priority is None and comments is None:
        raise BadInput("say what to change: --priority, --comments or both")
    with office.database.write() as tx:
        stored = find_task(tx, id)
        if stored.state is not IntentState.OPEN:
            raise BadInput(f"the task '{id}' is {stored.state}, so it cannot be edited")
        task = read_tasks(tx, [stored.intent.key]).get(stored.intent.key)
        if task is None:
            raise BadInput(
                f"the task '{id}' is in no CRM, so it has neither priority nor comments: see salesforce.tasks"
            )
        said = {"priority": priority, "description": None if comments is None else comments.strip()}
        fields = {name: str(value) for name, value in said.items() if value is not None}
        for name, value in fields.items():
            if task.wanted.get(name) != value:
                shown = value[:_SHOWN] or "blank"
                append(tx, [intent_fact(stored, EventKind.TASK_EDITED, now, field=name, value=shown)])
        want(tx, stored.intent.key, now, changed=now, **fields)
    return stored


def move_task(tx: Transaction, stored: StoredIntent, until: date) -> None:
    """Give an open task another due date, keeping its clock time."""
    moved = stored.intent.due + (until - stored.intent.due_date)
    postpone_intent(tx, stored.intent.key, moved, until)


def pause(
    office: Office, *, person: str | None, campaign: str | None, rep: str | None, until: date | None = None
) -> list[Enrollment]:
    """Pause what the filters name; return the enrollments that were paused.

    With `until` they are resumed by the first pass of that date, in the rep's zone.
    """
    with office.database.write() as tx:
        live = find_enrollments(tx, persons=_persons(person), campaign=campaign, rep=rep)
        return pause_these(tx, office, live, until=until)


def pause_these(
    tx: Transaction, office: Office, live: Sequence[Enrollment], *, until: date | None, reason: str = BY_HAND
) -> list[Enrollment]:
    """Pause those of these enrollments that are active; return them. Raise `BadInput` for a date that has come."""
    zones = {office.reps[one.rep].zone for one in live if one.rep in office.reps}
    if until is not None and any(until <= office.now().astimezone(zone).date() for zone in zones):
        raise BadInput(f"--until {until} has come already: give a later date")
    active = [enrollment for enrollment in live if enrollment.state is EnrollmentState.ACTIVE]
    paused = _record_each(tx, office, EventKind.PAUSED, active, reason)
    for owner in {enrollment.rep for enrollment in paused}:
        zone = office.reps[owner].zone if owner in office.reps else UTC
        ends = None if until is None else datetime.combine(until, time(), tzinfo=zone).astimezone(UTC)
        pause_until(tx, [enrollment.id for enrollment in paused if enrollment.rep == owner], ends)
    return paused


def resume_expired(office: Office) -> list[Enrollment]:
    """Resume what was paused until now; return the enrollments."""
    now = office.now()
    with office.database.write() as tx:
        return resume_these(tx, office, read_expired_pauses(tx, now), now)


def remove(office: Office, *, person: str | None, campaign: str | None, rep: str | None) -> list[Enrollment]:
    """End what the filters name; return the enrollments that were ended."""
    with office.database.write() as tx:
        return remove_these(tx, office, find_enrollments(tx, persons=_persons(person), campaign=campaign, rep=rep))


def remove_these(
    tx: Transaction, office: Office, live: Sequence[Enrollment], *, reason: str = BY_HAND
) -> list[Enrollment]:
    """End these enrollments; return them."""
    return _record_each(tx, office, EventKind.REMOVED, live, reason)


def resume(office: Office, *, person: str | None, campaign: str | None, rep: str | None) -> list[Enrollment]:
    """Resume what the filters name, send what was held as too late, and, of a person, try again all that is stuck.

    Return the enrollments that go on.
    """
    now = office.now()
    with office.database.write() as tx:
        live = find_enrollments(tx, persons=_persons(person), campaign=campaign, rep=rep)
        released = resume_these(tx, office, live, now)
        if person is not None:
            mark_person(tx, person, held=None)
            return released + release_all(tx, [person], now)
        return released + release_late(tx, live, now)


def resume_these(
    tx: Transaction, office: Office, live: Sequence[Enrollment], now: datetime, *, reason: str = ""
) -> list[Enrollment]:
    """Resume those of these enrollments that are paused; return them."""
    paused = [enrollment for enrollment in live if enrollment.state is EnrollmentState.PAUSED]
    facts = []
    for enrollment in paused:
        carried_out = forget_not_carried_out(tx, enrollment)
        facts.append(enrollment_fact(enrollment, EventKind.RESUMED, now, reason=reason, carried_out=carried_out))
    # A step that ended when its campaign could not be worked out: the campaign goes on from it now.
    facts += [
        intent_fact(stored, _STEP_ENDED[stored.state], now, by="before it was resumed")
        for stored in read_intents(tx, [one.intent for one in paused if one.intent is not None]).values()
        if stored.state in _STEP_ENDED
    ]
    record(tx, office, facts, now)
    if paused:
        pause_until(tx, [enrollment.id for enrollment in paused], None)
        bring_forward(tx, [one.intent for one in paused if one.intent is not None], now)
    return paused


def opt_out(office: Office, email: str, *, reason: str, at: datetime | None = None) -> list[Enrollment]:
    """Opt a person out: every campaign of theirs ends at once. `crm.push_people` tells the CRM, now or later.

    Of one who has opted out already and is in no campaign there is nothing more to tell.
    """
    now = office.now()
    with office.database.write() as tx:
        save_people(tx, [Person(email=email)], overwrite=False)
        stored = read_people(tx, [email])[email]
        if stored.opted_out is None:
            mark_person(tx, email, opted_out=at or now)
            want_person(tx, email, now, opted_out=True)
        live = find_enrollments(tx, persons=[email])
        facts = [enrollment_fact(enrollment, EventKind.OPTED_OUT, now, reason=reason) for enrollment in live]
        if not facts and stored.opted_out is None:
            facts = [Event(at=now, kind=EventKind.OPTED_OUT, person=email, reason=reason)]
        record(tx, office, facts, now)
    return live


def undo_opt_out(office: Office, email: str, *, reason: str) -> None:
    """Take an opt-out back, with its reason; campaigns that ended stay ended."""
    now = office.now()
    with office.database.write() as tx:
        stored = read_people(tx, [email]).get(email)
        if stored is None or stored.opted_out is None:
            raise BadInput(f"{email} has not opted out, so there is nothing to undo")
        mark_person(tx, email, opted_out=None)
        unwant_person(tx, email, "opted_out")
        append(tx, [Event(at=now, kind=EventKind.OPT_OUT_UNDONE, person=email, reason=reason)])


def import_people(office: Office, people: Iterable[Person]) -> int:
    """Store people, overwriting what files said before; what waited for a missing field is tried again."""
    people = list(people)
    now = office.now()
    with office.database.write() as tx:
        save_people(tx, people)
        address_tasks(tx, [person.email for person in people if person.salesforce_id], now)
        release_mended(tx, [person.email for person in people], now)
        note_words_of(tx, [person.email for person in people])
    return len(people)


def _record_each(
    tx: Transaction, office: Office, kind: EventKind, chosen: Sequence[Enrollment], reason: str
) -> list[Enrollment]:
    now = office.now()
    record(tx, office, [enrollment_fact(enrollment, kind, now, reason=reason) for enrollment in chosen], now)
    return list(chosen)


def _persons(person: str | None) -> Sequence[str] | None:
    return None if person is None else [person]


def forget_not_carried_out(tx: Transaction, enrollment: Enrollment) -> bool:
    """Forget an intent that was not carried out, so that its step is planned anew; tell whether it was."""
    if enrollment.intent is None:
        return False
    if is_carried_out(tx, enrollment.intent):
        return True
    _drop_waiting_mail(tx, enrollment.intent, unwanted=False, now=enrollment.launched)
    delete_intents(tx, [enrollment.intent])
    return False


def is_carried_out(tx: Transaction, key: str) -> bool:
    """Tell whether the step of an intent was given to its rep, or sent."""
    stored = read_intents(tx, [key]).get(key)
    return stored is not None and stored.state not in _NOT_CARRIED_OUT


def _drop_waiting_mail(tx: Transaction, key: str, *, unwanted: bool, now: datetime) -> None:
    """Take a mail back that has not left the outbox; a placed, untouched draft too, if it is unwanted."""
    mail = read_mails(tx, [key]).get(key)
    if mail is None:
        return
    if mail.state is MailState.WANTED:
        change_mail(tx, key, state=MailState.CANCELLED)
    elif unwanted and mail.state is MailState.PRESENT and not mail.edited:
        change_mail(tx, key, state=MailState.UNWANTED, due=now)
