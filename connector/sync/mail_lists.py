"""Emails by how they stand, as pages and the API show them.

Lives here: `Standing`, `Email`, `list_emails`, `count_emails`. Does not live here: SQL (`store.mail_lists`), what can
be done about them (`mail_actions`). Source: issue 7, reference marketo 13.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum

from connector.errors import BadInput
from connector.intents import IntentState, Mode, StepType, intent_key
from connector.sequencing.enrollment import Enrollment
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, read_intents
from connector.store.lanes import list_lanes
from connector.store.mail_lists import (
    Mark,
    count_placed,
    read_ahead,
    read_bounces,
    read_called_off,
    read_failed_drafts,
    read_placed,
    read_stuck_mails,
    read_versions,
    read_waiting_mails,
)
from connector.store.mails import MailAction, MailState, StoredMail, read_mails
from connector.store.people import read_people
from connector.sync.mail_actions import may_place_again
from connector.sync.office import Office

_NO_PLACE = "the page's place in the list cannot be read: begin at the first page"

#: Emails a page, and how many are counted.
PAGE = 50
COUNTED = 1_000


class Standing(StrEnum):
    """The lists of emails."""

    SCHEDULED = "scheduled"
    DRAFTS = "drafts"
    IN_PROGRESS = "in_progress"
    SENT = "sent"
    FAILED = "failed"
    BOUNCED = "bounced"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """One email of a list."""

    #: Names it: the intent's key, also of one that is still ahead.
    key: str
    #: Names what can be done something about: the key, or the enrollment of an email that is still ahead.
    id: str
    person: str
    name: str = ""
    subject: str = ""
    campaign: str
    place: tuple[int, int] | None = None
    rep: str
    #: When it is due, was sent, or came back; aware, UTC.
    at: datetime
    #: The day of its task, which is all that a task is due on; None for what goes out at an instant.
    day: date | None = None
    #: A value of `IntentState`, `planned` for one that is ahead.
    state: IntentState | None = None
    mail: MailState | None = None
    reason: str = ""
    #: What may be done about it.
    edits: bool = False
    moves: bool = False
    cancels: bool = False
    retries: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailPage:
    """Some emails of a list."""

    emails: Sequence[Email]
    #: Give it as `after` to read on; None at the end.
    next: str | None


def list_emails(
    office: Office, standing: Standing, *, reps: frozenset[str] | None, after: str | None = None, most: int = PAGE
) -> EmailPage:
    """Return a page of a list; `after` is `next` of the one before. Raise `BadInput` for another."""
    with office.database.read() as tx:
        found = _read(office, tx, standing, reps, most + 1, after or None)
        people = read_people(tx, sorted({one.person for one in found[:most]}))
    emails = []
    for one in found[:most]:
        known = people.get(one.person)
        name = "" if known is None else f"{known.person.first_name} {known.person.last_name}".strip()
        emails.append(replace(one, name=name or one.person))
    if len(found) <= most:
        return EmailPage(emails=emails, next=None)
    last = found[most - 1]
    return EmailPage(emails=emails, next=f"{last.at.astimezone(UTC):%Y%m%dT%H%M%S%f}~{last.id}")


def count_emails(office: Office, *, reps: frozenset[str] | None) -> dict[Standing, int]:
    """Return how many emails each list has; `COUNTED + 1` stands for more."""
    most = COUNTED + 1
    with office.database.read() as tx:
        lanes, now = _lanes(office, tx, reps), office.now()
        ahead = len(read_ahead(tx, reps, _sends_ahead(office, tx), most, None))
        ahead += len(read_waiting_mails(tx, lanes, most, None, now=now, later=True))
        return {
            Standing.SCHEDULED: min(most, ahead),
            Standing.DRAFTS: count_placed(tx, lanes, _DRAFTS, most),
            Standing.IN_PROGRESS: len(read_waiting_mails(tx, lanes, most, None, now=now, later=False)),
            Standing.SENT: count_placed(tx, lanes, _SENT, most),
            Standing.FAILED: min(
                most, len(read_stuck_mails(tx, reps, most, None)) + len(read_failed_drafts(tx, lanes, most, None))
            ),
            Standing.BOUNCED: len(read_bounces(tx, reps, most, None)),
            Standing.CANCELLED: len(read_called_off(tx, reps, most, None)),
        }


_DRAFTS = (MailState.PRESENT.value, MailState.SCHEDULED.value)
_SENT = (MailState.SENT.value,)


def _read(
    office: Office, tx: Transaction, standing: Standing, reps: frozenset[str] | None, most: int, after: str | None
) -> list[Email]:
    mark = None if after is None else _mark(after)
    lanes, now = _lanes(office, tx, reps), office.now()
    match standing:
        case Standing.SCHEDULED:
            ahead = [_ahead(office, tx, one) for one in read_ahead(tx, reps, _sends_ahead(office, tx), most, mark)]
            later = _of_mails(tx, read_waiting_mails(tx, lanes, most, mark, now=now, later=True))
            return sorted([*ahead, *later], key=lambda one: (one.at, one.id))[:most]
        case Standing.DRAFTS:
            return _of_mails(tx, read_placed(tx, lanes, _DRAFTS, most, mark))
        case Standing.IN_PROGRESS:
            return _of_mails(tx, read_waiting_mails(tx, lanes, most, mark, now=now, later=False))
        case Standing.SENT:
            return _of_mails(tx, read_placed(tx, lanes, _SENT, most, mark))
        case Standing.FAILED:
            stuck = [_of_intent(one, None) for one in read_stuck_mails(tx, reps, most, mark)]
            drafts = _of_mails(tx, read_failed_drafts(tx, lanes, most, mark))
            return sorted([*stuck, *drafts], key=lambda one: (one.at, one.id), reverse=True)[:most]
        case Standing.CANCELLED:
            return [_of_intent(one, None) for one in read_called_off(tx, reps, most, mark)]
        case Standing.BOUNCED:
            before = None if mark is None else _number(mark)
            return [
                Email(
                    key=str(seq),
                    id=str(seq),
                    person=event.person or "",
                    campaign=event.campaign or "",
                    rep=event.rep or "",
                    at=event.at,
                    reason=event.reason or str(event.data.get("status", "")),
                )
                for seq, event in read_bounces(tx, reps, most, before)
            ]


def _lanes(office: Office, tx: Transaction, reps: frozenset[str] | None) -> list[str]:
    known = {office.lane_of(rep) for rep in office.reps.values() if reps is None or rep.email in reps}
    # The mailboxes of reps who are in connector.yaml no more, or have another kind of mailbox by now.
    for lane in list_lanes(tx):
        kind, _, owner = lane.partition(":")
        if owner and "@" in owner and kind and (reps is None or owner in reps):
            known.add(lane)
    return sorted(known)


def _sends_ahead(office: Office, tx: Transaction) -> list[str]:
    """Return which steps are emails that the connector sends: version:position."""
    places = []
    for name, version in read_versions(tx):
        steps = office.book.pinned(tx, name, version).campaign.steps
        places += [
            f"{version}:{index}"
            for index, step in enumerate(steps)
            if step.type is StepType.EMAIL and step.mode is Mode.SEND
        ]
    return places


def _ahead(office: Office, tx: Transaction, one: Enrollment) -> Email:
    pinned = office.book.pinned(tx, one.campaign, one.version)
    step = pinned.campaign.steps[one.position]
    if one.due is None:
        raise ValueError("a step that lies ahead has an instant")
    return Email(
        key=intent_key(one.id, one.version, step.day, step.step),
        id=one.id,
        person=one.person,
        subject=step.template or "",
        campaign=one.campaign,
        place=(step.day, step.step),
        rep=one.rep,
        at=one.due,
        state=IntentState.PLANNED,
        reason=one.reason,
        edits=True,
        moves=True,
        cancels=True,
    )


def _of_mails(tx: Transaction, keys: Sequence[str]) -> list[Email]:
    stored, mails = read_intents(tx, keys), read_mails(tx, keys)
    return [_of_intent(stored[key], mails[key]) for key in keys if key in stored and key in mails]


#: What can be cancelled: it has not gone out, and is not on its way.
_CANCELS = (IntentState.DUE, IntentState.BLOCKED, IntentState.HELD, IntentState.FAILED, IntentState.UNKNOWN)
_MOVES = (IntentState.DUE, IntentState.BLOCKED, IntentState.HELD)
_RETRIES = (IntentState.BLOCKED, IntentState.HELD, IntentState.FAILED)


def _of_intent(stored: StoredIntent, mail: StoredMail | None) -> Email:
    intent = stored.intent
    asked = mail is not None and mail.action is MailAction.SEND and mail.state is MailState.WANTED
    waits = stored.state is IntentState.OPEN and asked
    send = intent.mode is Mode.SEND
    sent = mail is not None and mail.state is MailState.SENT
    return Email(
        key=intent.key,
        id=intent.key,
        person=intent.person,
        subject=(mail.subject if mail is not None else stored.subject) or "",
        campaign=intent.campaign,
        place=(intent.day, intent.step),
        rep=intent.rep,
        at=intent.due if mail is None else mail.due,
        state=stored.state,
        mail=None if mail is None else mail.state,
        reason=stored.problem or "",
        edits=not sent and stored.state in (*_MOVES, IntentState.OPEN),
        moves=waits or (send and stored.state in _MOVES and (mail is None or mail.state is not MailState.IN_FLIGHT)),
        cancels=waits or (send and stored.state in _CANCELS),
        retries=stored.state in _RETRIES or (mail is not None and may_place_again(stored, mail)),
        day=intent.due_date if stored.state is IntentState.OPEN and not waits else None,
    )


def _mark(text: str) -> Mark:
    try:
        instant, key = text.split("~")
        return datetime.strptime(instant, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC), key
    except ValueError:
        raise BadInput(_NO_PLACE) from None


def _number(mark: Mark) -> int:
    """Return the number of the line that a place in the list of bounces names."""
    if not re.fullmatch(r"[0-9]{1,18}", mark[1]):
        raise BadInput(_NO_PLACE)
    return int(mark[1])
