"""Opening a task's email: the prefilled draft where it lies now, or a compose window with the same text.

Lives here: `open_task`, for commands and pages alike. Does not live here: placing drafts (`drain`), compose
addresses (`content.links`). Source: spec delivery 4 ("Opening").

The address of a draft changes when the rep saves it, so the service is asked at the moment of opening.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Literal

from connector.content.links import compose_link
from connector.errors import AdapterError, BadInput, Busy, Refused
from connector.intents import IntentState, StepType
from connector.people import Rep
from connector.ports import Mailbox, Whereabouts
from connector.store.intents import StoredIntent
from connector.store.lanes import read_pacing
from connector.store.mails import MailAction, MailState, StoredMail, change_mail, read_mails
from connector.sync import outcomes
from connector.sync.actions import find_task
from connector.sync.drain import drain
from connector.sync.letters import Letters
from connector.sync.office import Office

#: A mail program with a compose address.
Client = Literal["gmail", "outlook"]

#: Mails whose draft may still have to be placed.
_NOT_PLACED = frozenset({MailState.WANTED, MailState.IN_FLIGHT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Where the rep finds the mail."""

    stored: StoredIntent
    address: str
    #: True for a draft in the mailbox, False for a compose window.
    is_draft: bool
    #: Sentences about what is different from what one may expect: made anew, left out, not reachable.
    notes: tuple[str, ...] = ()
    #: Says that the draft still lies in the mailbox, beside a compose window that was asked for. The web redirects to
    #: the window all the same (spec interfaces 4).
    beside: str = ""


def open_task(office: Office, id: str, *, client: Client | None = None) -> Opened:  # noqa: A002 - the command's own word
    """Return the address of a task's draft, making the draft first if it is not there.

    `client` asks for a mail program other than the rep's own. Without a mailbox that holds drafts, or when it cannot
    be reached, the address opens a compose window. Raises `BadInput` for a task that is no open email, `Busy` when
    another worker is in the mailbox.
    """
    with office.database.read() as tx:
        stored = find_task(tx, id)
        mail = read_mails(tx, [stored.intent.key]).get(stored.intent.key)
    rep = _checked(office, stored, mail)
    holder = _holder(office, rep, mail)
    mailbox = None if holder is None else office.mailboxes.get(holder.email)
    usable = mailbox is not None and mailbox.capabilities.drafts and client in (None, rep.mailbox)
    if holder is None or mailbox is None or mail is None or not usable:
        return replace(_compose(office, stored, rep, client), beside=_still_there(holder, mail))
    try:
        if mail.state is MailState.UNWANTED:
            return _moved(office, stored, holder, rep, mail)
        return _draft(office, stored, holder, mailbox, mail)
    except Refused as error:
        reason = error.sentence
    except AdapterError as error:
        reason = f"the mailbox cannot be reached ({error.sentence})"
    return _compose(office, stored, rep, client, f"{reason}; this opens a compose window instead")


def _checked(office: Office, stored: StoredIntent, mail: StoredMail | None) -> Rep:
    intent = stored.intent
    what = f"the {intent.type} of day {intent.day}, step {intent.step} for {intent.person}"
    if intent.type is not StepType.EMAIL:
        raise BadInput(f"{what} has no email to open: do it, then 'connector tasks complete {intent.key[:8]}'")
    if mail is not None and mail.state is MailState.SENT:
        raise BadInput(_was_sent(stored, mail))
    if stored.state is not IntentState.OPEN:
        why = f": {stored.problem}" if stored.problem else ""
        raise BadInput(f"{what} is {stored.state}, so there is no draft to open{why}")
    if mail is not None and mail.action is MailAction.SEND and mail.state in (*_NOT_PLACED, MailState.UNWANTED):
        raise BadInput("the mail waits to be sent by the connector: call that off first, and it is a draft again")
    rep = office.reps.get(intent.rep)
    if rep is None:
        raise BadInput(f"rep {intent.rep} is not in connector.yaml any more: add them, or remove {intent.person}")
    return rep


def _was_sent(stored: StoredIntent, mail: StoredMail) -> str:
    when = f" on {mail.sent:%a %d %b %Y at %H:%M} UTC" if mail.sent is not None else ""
    open_again = stored.state is IntentState.OPEN
    next_move = f": 'connector tasks complete {mail.key[:8]}' if nothing is left to do" if open_again else ""
    return f"the mail to {mail.recipient} was sent{when}{next_move}"


def _holder(office: Office, rep: Rep, mail: StoredMail | None) -> Rep | None:
    """Return the rep whose mailbox holds the draft: the former one, while a task that went to another has it there."""
    if mail is None or mail.lane == office.lane_of(rep):
        return rep
    return next((one for one in office.reps.values() if office.lane_of(one) == mail.lane), None)


def _still_there(holder: Rep | None, mail: StoredMail | None) -> str:
    """Say that a draft lies in the mailbox, when a compose window is opened beside it."""
    if holder is None or mail is None or mail.state is not MailState.PRESENT:
        return ""
    where = f"the {holder.mailbox} mailbox of {holder.name}"
    return f"the draft is still in {where}: if you send from this window, discard the draft, or they get two mails"


def _moved(office: Office, stored: StoredIntent, holder: Rep, rep: Rep, mail: StoredMail) -> Opened:
    """Take the draft back from the former rep's mailbox first: there are never two."""
    drained = drain(office, holder, owner=f"open:{os.getpid()}", only=mail.key)
    if drained.reconnect is not None:
        raise drained.reconnect
    with office.database.read() as tx:
        mail = read_mails(tx, [mail.key])[mail.key]
    now_at = _holder(office, rep, mail)
    mailbox = None if now_at is None else office.mailboxes.get(now_at.email)
    if mail.state is MailState.UNWANTED or now_at is None or mailbox is None:
        raise Busy(f"the draft is still on its way from the mailbox of {holder.name}: try again in a moment")
    return _draft(office, stored, now_at, mailbox, mail)


def _draft(office: Office, stored: StoredIntent, rep: Rep, mailbox: Mailbox, mail: StoredMail) -> Opened:
    """Find the draft where it is now; make it, or make it anew, if it is not there."""
    notes: list[str] = []
    if rep.email != stored.intent.rep:
        notes.append(f"the draft lies in the mailbox of {rep.name}, who had the task before")
    if mail.state not in _NOT_PLACED:
        there = _look(office, mailbox, stored, mail, notes)
        if there is not None:
            return Opened(stored=stored, address=there, is_draft=True, notes=tuple(notes))
        with office.database.write() as tx:
            if read_mails(tx, [mail.key])[mail.key].state is not mail.state:
                raise Busy(f"the mail to {mail.recipient} has just changed: try again in a moment")
            blank = {"draft_id": None, "provider_id": None, "thread_id": None, "internet_message_id": None}
            fresh = {"attempts": 0, "claimed": None, "edited": False, "missing": None, "sent": None}
            change_mail(
                tx, mail.key, action=MailAction.DRAFT, state=MailState.WANTED, draft_subject=None, **fresh, **blank
            )
            outcomes.say(tx, stored, None)
    drained = drain(office, rep, owner=f"open:{os.getpid()}", only=mail.key)
    with office.database.read() as tx:
        mail = read_mails(tx, [mail.key])[mail.key]
        problem = read_pacing(tx, mail.lane).problem
    if mail.state is MailState.PRESENT and mail.draft is not None:
        return Opened(stored=stored, address=mailbox.draft_address(mail.draft), is_draft=True, notes=tuple(notes))
    if drained.reconnect is not None:
        raise drained.reconnect
    if drained.attention or problem:
        raise Refused(f"the draft could not be placed ({'; '.join(drained.attention) or problem})")
    if mail.state is MailState.SENT:
        raise BadInput(f"the mail to {mail.recipient} was sent already: 'connector sync' takes note of it")
    if mail.state is MailState.CANCELLED:
        raise BadInput(f"the draft could not be made: 'connector explain {stored.intent.person}' says why")
    raise Busy(f"the mailbox of {rep.name} is being worked on by another sync; try again in a moment")


def _look(office: Office, mailbox: Mailbox, stored: StoredIntent, mail: StoredMail, notes: list[str]) -> str | None:
    """Return the address of a draft that was placed before; None when it must be made anew."""
    if mail.state is MailState.PRESENT and mail.draft is not None:
        try:
            return mailbox.draft_address(mail.draft)
        except Refused as error:
            if error.code != "draft_gone":
                raise
    found = mailbox.find(mail.trace)
    match found.where:
        case Whereabouts.DRAFT if found.draft is not None:
            with office.database.write() as tx:
                outcomes.in_drafts(tx, mail, stored, found, found.draft, office.now())
            return mailbox.draft_address(found.draft)
        case Whereabouts.SENT:
            raise BadInput(f"the mail to {mail.recipient} was sent already: 'connector sync' takes note of it")
        case Whereabouts.SCHEDULED:
            raise BadInput(f"the mail to {mail.recipient} is scheduled in the mail program: it goes out by itself")
        case _ if not mailbox.capabilities.incoming:
            raise Refused(
                "the draft is no longer in Drafts, and this mailbox may not be read, so nobody can tell whether it was "
                f"sent: 'connector tasks complete {mail.key[:8]}' if it was"
            )
        case _ if mail.state is MailState.DISCARDED or outcomes.is_discarded(found, mail.missing, office.now()):
            notes.append("the draft had been discarded: it was made anew")
            return None
        case Whereabouts.UNCLEAR:
            raise Refused("the mailbox cannot tell where the draft is")
        case _:
            with office.database.write() as tx:
                change_mail(tx, mail.key, missing=mail.missing or office.now())
            raise Busy(
                f"the draft to {mail.recipient} left Drafts a moment ago and may be on its way to Sent: try again in "
                "five minutes, and it is made anew if it was discarded"
            )


def _compose(office: Office, stored: StoredIntent, rep: Rep, client: Client | None, *notes: str) -> Opened:
    with office.database.read() as tx:
        letter = Letters(tx, office, [stored.intent]).compose(stored.intent)
    used: Client = client or ("outlook" if rep.mailbox == "outlook" else "gmail")
    link = compose_link(used, rep_email=rep.email, to=stored.intent.person, subject=letter.subject, text=letter.text)
    missing = [link.note] if link.left_out else []
    files = [*letter.attachments, *(upload.name for upload in letter.uploads)]
    if files:
        missing.append(f"a compose window takes no files: attach {', '.join(files)} yourself")
    return Opened(stored=stored, address=link.address, is_draft=False, notes=(*notes, *missing))
