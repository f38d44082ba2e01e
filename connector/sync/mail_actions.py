"""What can be done about an email of the lists: send it at another time, do not send it, try it again.

Lives here: `reschedule`, `cancel`, `retry`, each one transaction. Does not live here: which emails there are
(`mail_lists`), emails that their rep asked to have sent (`asking`), writing them (`composing`). Source: issue 7.

An email is named by its intent's key, or, while it is still ahead, by its enrollment. What is on its way, or may be,
is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from connector.errors import BadInput
from connector.events import EventKind
from connector.intents import IntentEvent, IntentState, Mode, StepType
from connector.sequencing.enrollment import Enrollment, EnrollmentState
from connector.store.compositions import change_wish
from connector.store.database import Transaction
from connector.store.enrollments import read_enrollments
from connector.store.intents import StoredIntent, delete_intents, read_intents
from connector.store.mails import MailAction, MailState, StoredMail, change_mail, read_mails
from connector.sync.actions import UnknownTask, end_stored
from connector.sync.asking import FARTHEST, call_off
from connector.sync.office import Office
from connector.sync.outcomes import say
from connector.sync.record import enrollment_fact, record
from connector.sync.releasing import let_go_on

#: States in which a send has not left.
_NOT_LEFT = (IntentState.DUE, IntentState.HELD, IntentState.BLOCKED)
_RETRIED = (IntentState.BLOCKED, IntentState.HELD, IntentState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """What an action is about."""

    enrollment: Enrollment
    #: None while its step is still ahead.
    stored: StoredIntent | None
    mail: StoredMail | None


def rep_of(office: Office, id: str) -> str:  # noqa: A002 - the lists' own word
    """Return whose email it is; raise `UnknownTask` when there is none."""
    with office.database.read() as tx:
        named = _named(tx, id)
    return named.enrollment.rep if named.stored is None else named.stored.intent.rep


def reschedule(office: Office, id: str, at: datetime, *, by: str) -> None:  # noqa: A002
    """Send an email at another instant (aware), still ahead; raise `BadInput` for one that cannot be moved any more."""
    now = office.now()
    if at <= now:
        raise BadInput("this time has passed: choose a later one")
    if at > now + FARTHEST:
        raise BadInput("that is more than a year ahead: give an earlier time")
    with office.database.write() as tx:
        named = _named(tx, id)
        if _asked_for(named):
            change_mail(tx, id, due=at)
            change_wish(tx, id, send_at=at)
            return
        _move(tx, office, named, at, now, by=by)


def cancel(office: Office, id: str, *, by: str) -> None:  # noqa: A002
    """Do not send an email: its campaign goes on without it; one that a rep asked to have sent is a draft again."""
    now = office.now()
    with office.database.read() as tx:
        asked = _asked_for(_named(tx, id))
    if asked:
        call_off(office, id, by=by)
        return
    with office.database.write() as tx:
        named = _named(tx, id)
        stored = named.stored
        if stored is None:
            # Made due at once, so that what is skipped is an email like any other.
            _move(tx, office, named, now, now, by=by)
            enrollment = read_enrollments(tx, [named.enrollment.id])[named.enrollment.id]
            stored = read_intents(tx, [enrollment.intent or ""]).get(enrollment.intent or "")
        if stored is None or stored.intent.mode is not Mode.SEND:
            raise BadInput("this email is not one that the connector sends by itself")
        end_stored(tx, office, stored, IntentEvent.SKIP, now, by=f"by {by}")


def retry(office: Office, id: str) -> None:  # noqa: A002
    """Try an email again that is blocked, held or failed, or a draft that was refused; raise `BadInput` for others."""
    with office.database.write() as tx:
        named = _named(tx, id)
        stored, mail = named.stored, named.mail
        places = stored is not None and mail is not None and may_place_again(stored, mail)
        if stored is None or not (places or stored.state in _RETRIED):
            raise BadInput("this email does not wait for anybody: there is nothing to try again")
        if named.enrollment.intent != stored.intent.key or named.enrollment.state is not EnrollmentState.ACTIVE:
            raise BadInput(f"the campaign of {stored.intent.person} is paused or has ended: resume it first")
        if mail is None or not places:
            let_go_on(tx, [stored], office.now())
            return
        change_mail(tx, mail.key, state=MailState.WANTED, due=office.now(), attempts=0, claimed=None)
        say(tx, stored, None)
        office.wake(tx, [mail.lane])


def may_place_again(stored: StoredIntent, mail: StoredMail) -> bool:
    """Tell whether it is an open task's draft that its mailbox refused, and of which nothing lies there."""
    refused = mail.action is MailAction.DRAFT and mail.state is MailState.FAILED and mail.draft_id is None
    return refused and stored.state is IntentState.OPEN


def _named(tx: Transaction, id_: str) -> _Named:
    stored = read_intents(tx, [id_]).get(id_)
    of = id_ if stored is None else stored.intent.enrollment
    enrollment = read_enrollments(tx, [of]).get(of)
    if enrollment is None:
        raise UnknownTask(f"the id '{id_[:8]}' names no email: look in the lists of emails")
    return _Named(enrollment=enrollment, stored=stored, mail=read_mails(tx, [id_]).get(id_))


def _asked_for(named: _Named) -> bool:
    """Tell whether a task's rep has asked to have its mail sent, and it waits for that."""
    stored, mail = named.stored, named.mail
    waits = stored is not None and mail is not None and mail.state is MailState.WANTED
    return waits and stored.state is IntentState.OPEN and mail.action is MailAction.SEND  # type: ignore[union-attr]


def _move(tx: Transaction, office: Office, named: _Named, at: datetime, now: datetime, *, by: str) -> None:
    """Let the current step, of which nothing has left, be due at another instant."""
    enrollment, stored = named.enrollment, named.stored
    campaign = office.book.pinned(tx, enrollment.campaign, enrollment.version).campaign
    step = campaign.steps[enrollment.position] if enrollment.position < len(campaign.steps) else None
    if enrollment.has_ended or step is None or step.type is not StepType.EMAIL or step.mode is not Mode.SEND:
        raise BadInput("this email is not one that the connector sends by itself, or its campaign has ended")
    if enrollment.due is None:
        raise BadInput(f"the campaign of {enrollment.person} is paused: resume it first")
    if enrollment.intent is not None:
        left = named.mail is not None and named.mail.state not in (MailState.WANTED, MailState.CANCELLED)
        if stored is None or stored.intent.key != enrollment.intent or stored.state not in _NOT_LEFT or left:
            raise BadInput(f"the email to {enrollment.person} is on its way, or another one is by now: look again")
        if named.mail is not None:
            change_mail(tx, named.mail.key, state=MailState.CANCELLED)
        delete_intents(tx, [enrollment.intent])
    local = at.astimezone(_zone(enrollment))
    told = {
        "day": step.day,
        "step": step.step,
        "type": step.type.value,
        "due": at.isoformat(),
        "due_date": local.date().isoformat(),
        "until": f"{local:%Y-%m-%d %H:%M} ({enrollment.zone})",
        "by": by,
    }
    reason = "somebody chose its time"
    record(tx, office, [enrollment_fact(enrollment, EventKind.RESCHEDULED, now, reason=reason, **told)], now)


def _zone(enrollment: Enrollment) -> ZoneInfo:
    return ZoneInfo(enrollment.zone)
