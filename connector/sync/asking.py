"""What a rep asks of an email they have written: to be placed as a draft, to be sent now or later, or not after all.

Lives here: `save_as_draft`, `send`, `call_off`, and `deliver`, which does at once what can be done. Does not live here:
the text (`composing`), the calls (`drain`), what keeps a mail from going out (`withholding`, `giving_back`).
Source: issue 7, decision 39.

Nothing is called here: the wish is written down in one transaction, and the outbox follows it. A draft that lies in the
mailbox is `unwanted` first; `taking_back` removes it and puts the mail back into the outbox, as a draft or as a send.
So there are never two, and a crash in between is replayed by the same code.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from connector.content.written import Written
from connector.errors import BadInput, ConnectorError
from connector.events import EventKind
from connector.intents import IntentState, Mode
from connector.people import Rep
from connector.ports import Mailbox
from connector.sequencing.enrollment import EnrollmentState
from connector.store.blobs import read_blobs
from connector.store.compositions import Composition, change_wish, save_composition
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, note_released, read_intents
from connector.store.ledger import append
from connector.store.mails import MailAction, MailState, StoredMail, change_mail, insert_mails, read_mails
from connector.sync import outcomes
from connector.sync.carried import too_heavy
from connector.sync.composing import Standing, Text, letters_of, standing_of, take_down
from connector.sync.drain import drain
from connector.sync.giving_back import give_back, is_tasks
from connector.sync.letters import Letter, Letters
from connector.sync.office import Office
from connector.sync.record import intent_fact
from connector.sync.releasing import let_go_on

#: How far ahead a mail may be scheduled.
FARTHEST = timedelta(days=366)

#: Longest that somebody waits for a mailbox's pace when they ask for a mail to be sent, in seconds.
_PATIENCE = 3.0

#: Turns of a mailbox in which what can be done at once is done: the draft is taken away, then the mail is sent.
_TURNS = 3

#: States of a mail that was never placed, or surely lies in the mailbox no more.
_NOT_THERE = frozenset({MailState.WANTED, MailState.DISCARDED, MailState.CANCELLED, MailState.DELETED})

#: What intents are let go on when what they lacked was written.
_LACKED = (IntentState.BLOCKED, IntentState.FAILED)


class EditedThere(BadInput):
    """The draft was edited in the mail program, and nobody has said yet which of the two is to be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """What an action is about."""

    tx: Transaction
    office: Office
    stored: StoredIntent
    letters: Letters
    mail: StoredMail | None
    rep: Rep
    mailbox: Mailbox | None
    now: datetime

    @property
    def key(self) -> str:
        return self.stored.intent.key

    @property
    def state(self) -> EnrollmentState:
        return self.letters.enrollments[self.stored.intent.enrollment].state


def save_as_draft(
    office: Office, key: str, text: Text, *, version: int | None, by: str, over_edits: bool = False
) -> StoredIntent:
    """Let the email say this: the draft in the mailbox, when it is a task's; a send when its time comes.

    What lacked something goes on. `over_edits`: it takes the place of a draft that was edited in the mail program.
    Raises `ChangedElsewhere`, `EditedThere`, and `BadInput` for an email without a subject.
    """
    with office.database.write() as tx:
        desk = _desk(tx, office, key)
        composition = _applied(desk, text, version=version, by=by, over_edits=over_edits)
        if not composition.written.subject:
            raise BadInput("a draft needs a subject: write one")
        if heavy := too_heavy(office, desk.rep, composition.written):
            raise BadInput(heavy)
        save_composition(tx, composition)
        stored = desk.stored
        if stored.state in _LACKED:
            if desk.state is EnrollmentState.ACTIVE:
                let_go_on(tx, [stored], desk.now)
        elif stored.state is IntentState.OPEN and is_tasks(stored):
            _put_out(desk, MailAction.DRAFT, desk.now)
        return stored


def send(
    office: Office,
    key: str,
    text: Text,
    *,
    at: datetime | None,
    version: int | None,
    by: str,
    over_edits: bool = False,
) -> StoredIntent:
    """Have an email sent by the connector: at an instant (aware), or as soon as may be.

    Raises `ChangedElsewhere`, `EditedThere`, and `BadInput` with all that stands in the way.
    """
    with office.database.write() as tx:
        desk = _desk(tx, office, key)
        due = _instant(at, desk.now)
        composition = replace(_applied(desk, text, version=version, by=by, over_edits=over_edits), send_at=due)
        letter = _check_sendable(desk, composition.written)
        save_composition(tx, composition)
        if desk.stored.intent.mode is Mode.SEND:
            change_mail(tx, key, due=due)
            change_wish(tx, key, send_at=None)
        else:
            _put_out(desk, MailAction.SEND, due)
        # From then on it is late, if it is.
        note_released(tx, key, due)
        when = f"{due.astimezone(desk.rep.zone):%d %b %Y at %H:%M}"
        told = intent_fact(desk.stored, EventKind.SEND_ASKED, desk.now, by=by, when=when, subject=letter.subject)
        append(tx, [told])
        return desk.stored


def call_off(office: Office, key: str, *, by: str) -> StoredIntent:
    """Have a task's mail not sent after all: it is a draft again; raise `BadInput` when it does not wait to be sent."""
    with office.database.write() as tx:
        desk = _desk(tx, office, key)
        mail = desk.mail
        waits = mail is not None and mail.action is MailAction.SEND
        if mail is None or not waits or not is_tasks(desk.stored) or desk.stored.state is not IntentState.OPEN:
            raise BadInput(f"no mail to {desk.stored.intent.person} waits to be sent because somebody asked for it")
        if mail.state is MailState.UNWANTED:
            change_mail(tx, key, action=MailAction.DRAFT)
            change_wish(tx, key, send_at=None)
            append(tx, [intent_fact(desk.stored, EventKind.SEND_CALLED_OFF, desk.now, reason=f"{by} called it off")])
        elif mail.state is MailState.WANTED:
            give_back(tx, desk.stored, desk.now, f"{by} called it off")
            outcomes.say(tx, desk.stored, None)
        else:
            raise BadInput(f"the mail to {mail.recipient} is on its way already")
        office.wake(tx, [mail.lane])
        return desk.stored


def deliver(office: Office, key: str) -> Sequence[str]:
    """Do at once what was asked for, as far as the mailbox and its pace let; return what is in the way.

    What is left is done by whoever turns the wheel.
    """
    hasty = replace(office, pass_seconds=_PATIENCE)
    attention: dict[str, None] = {}
    for _ in range(_TURNS):
        with office.database.read() as tx:
            mail = read_mails(tx, [key]).get(key)
        if mail is None or mail.state not in (MailState.WANTED, MailState.UNWANTED) or mail.due > office.now():
            break
        rep = next((one for one in office.reps.values() if office.lane_of(one) == mail.lane), None)
        if rep is None or rep.email not in office.mailboxes:
            break
        try:
            drained = drain(hasty, rep, owner=f"compose:{os.getpid()}", only=key)
        except ConnectorError as error:
            return [str(error)]
        attention |= dict.fromkeys(drained.attention)
        if drained.reconnect is not None:
            attention[drained.reconnect.sentence] = None
            break
    return list(attention)


def _desk(tx: Transaction, office: Office, key: str) -> _Desk:
    stored, letters = letters_of(tx, office, key)
    rep = office.reps[stored.intent.rep]
    return _Desk(
        tx=tx,
        office=office,
        stored=stored,
        letters=letters,
        mail=read_mails(tx, [key]).get(key),
        rep=rep,
        mailbox=office.mailboxes.get(rep.email),
        now=office.now(),
    )


def _applied(desk: _Desk, text: Text, *, version: int | None, by: str, over_edits: bool) -> Composition:
    """Return what is written as what the mail is to say; raise `EditedThere` where that needs a decision."""
    mail = desk.mail
    kept = take_down(desk.tx, desk.office, desk.letters, desk.stored, text, version=version, by=by, now=desk.now)
    if text.uploads is not None and set(text.uploads) != {upload.id for upload in kept.written.uploads}:
        raise BadInput("files were attached or taken out in another window: look at them here, then ask again")
    if mail is not None and mail.state is MailState.PRESENT and mail.edited and not over_edits:
        raise EditedThere("the draft was edited in the mail program: go on there, or say that this takes its place")
    return replace(kept, over_edits=over_edits)


def _instant(at: datetime | None, now: datetime) -> datetime:
    if at is None:
        return now
    if at < now - timedelta(minutes=1):
        raise BadInput("that time has passed: give a later one, or send it now")
    if at > now + FARTHEST:
        raise BadInput("that is more than a year ahead: give an earlier time")
    return at


def _check_sendable(desk: _Desk, written: Written) -> Letter:
    """Return the mail that is to be sent; raise `BadInput` with all that stands in the way."""
    stored, intent = desk.stored, desk.stored.intent
    standing, faults = standing_of(stored, desk.mail), list[str]()
    if standing is Standing.WAITS:
        faults.append(f"it waits: {stored.problem or 'it is being prepared'}; save it, and it goes on")
    if desk.state is not EnrollmentState.ACTIVE:
        faults.append(f"'{intent.campaign}' is {desk.state.value} for {intent.person}")
    if desk.mailbox is None or not desk.mailbox.capabilities.sends:
        faults.append(f"the mailbox of {desk.rep.name} cannot send by itself")
    if intent.mode is Mode.SEND and stored.state is IntentState.OPEN:
        faults.append("it became a task because the mailbox could not send by itself: send the draft there")
    if desk.mail is not None and desk.mail.lane != desk.office.lane_of(desk.rep):
        faults.append("its draft still lies in the mailbox of the rep who had the task before")
    if not written.subject:
        faults.append("it has no subject")
    faults += [f"the field prompt '{prompt}' was not replaced" for prompt in written.prompts]
    faults += [f"the field '{name}' has no value" for name in written.missing]
    letter = desk.letters.compose(intent, saying=written)
    if desk.mailbox is not None:
        letter.mail(intent.key, desk.office.folder, read_blobs(desk.tx, letter.hashes))  # it is whole
        if heavy := too_heavy(desk.office, desk.rep, written, images=letter.images):
            faults.append(heavy)
    if faults:
        raise BadInput(*faults)
    return letter


def _put_out(desk: _Desk, action: MailAction, due: datetime) -> None:
    """Write into the outbox what a task's rep wants of its mail; a draft that is there goes first."""
    tx, mail, lane = desk.tx, desk.mail, desk.office.lane_of(desk.rep)
    if mail is None:
        if desk.mailbox is not None and desk.mailbox.capabilities.drafts:
            insert_mails(tx, [_new(desk, action, due)])
    elif mail.state in _NOT_THERE or (mail.draft_id is None and mail.state is MailState.FAILED):
        ids = dict.fromkeys(("draft_id", "provider_id", "thread_id", "internet_message_id", "claimed"))
        blank: dict[str, Any] = {"attempts": 0, "edited": False, "missing": None, "sent": None, "draft_subject": None}
        # What a pause keeps back stays so (`pausing`).
        state = MailState.WANTED if desk.state is EnrollmentState.ACTIVE else mail.state
        change_mail(tx, desk.key, action=action, state=state, due=due, **ids, **blank)
    else:
        change_mail(tx, desk.key, action=action, state=MailState.UNWANTED, due=desk.now)
    outcomes.say(tx, read_intents(tx, [desk.key])[desk.key], None)
    desk.office.wake(tx, [lane if mail is None else mail.lane])


def _new(desk: _Desk, action: MailAction, due: datetime) -> StoredMail:
    intent = desk.stored.intent
    return StoredMail(
        key=intent.key,
        lane=desk.office.lane_of(desk.rep),
        action=action,
        state=MailState.WANTED,
        due=due,
        person=intent.person,
        campaign=intent.campaign,
        recipient=intent.person,
        subject=desk.stored.subject or "",
    )
