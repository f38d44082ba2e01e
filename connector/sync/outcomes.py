"""What a rep did with a draft of ours, and what follows: sent, scheduled, taken back, discarded, written anew by hand.

Lives here: what each outcome means for the mail, its task, the CRM and the feed, and from when it is believed. Does not
live here: finding it out (`pull_mailbox`, `drain`), opening the draft (`opening`). Source: spec delivery 4.

What is said of an open task (`StoredIntent.problem`) is what its rep should know before touching it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from connector.events import EventKind
from connector.intents import IntentEvent, IntentState
from connector.ports import DraftRef, Found, SentMail, Whereabouts
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, read_intents, save_intents
from connector.store.ledger import append
from connector.store.mails import MailAction, MailState, StoredMail, change_mail, note_received
from connector.sync import activity
from connector.sync.mirror import sent_otherwise, want
from connector.sync.office import Office
from connector.sync.record import end_task, intent_fact

#: A mail program lets a rep take a send back for 30 seconds; as much again, because two clocks differ.
UNDO = timedelta(minutes=1)

#: What a mailbox took in is found by search after a while. Until then "nowhere" is no proof.
SHOWN = timedelta(minutes=2)

#: A draft that was nowhere for so long was discarded: if every place could be searched, and if not.
_NOWHERE = timedelta(minutes=5)
_GIVEN_UP = timedelta(hours=24)


def may_be_undone(mail: StoredMail, sent: SentMail, now: datetime) -> bool:
    """Tell whether its rep may still take the send back: it is believed at the next look."""
    by_hand = mail.action is MailAction.DRAFT and mail.state is not MailState.SCHEDULED
    return by_hand and now - sent.at < UNDO


def is_discarded(found: Found, missing: datetime | None, now: datetime) -> bool:
    """Tell whether a look-up proves that a draft was discarded; `missing` is since when it is not in Drafts.

    In the bin it was. Nowhere it may be on its way: a send that can be undone waits outside of Drafts and Sent, and
    a search does not find at once what has just come.
    """
    absent_for = timedelta(0) if missing is None else now - missing
    if found.where is Whereabouts.UNCLEAR:
        return absent_for > _GIVEN_UP
    nowhere = found.where is Whereabouts.ABSENT or not found.matched_by
    return found.where in (Whereabouts.DISCARDED, Whereabouts.ABSENT) and (not nowhere or absent_for >= _NOWHERE)


def note_sending(tx: Transaction, mail: StoredMail, sent: SentMail, now: datetime) -> None:
    """Keep what was seen in Sent and may yet be undone; its Message-ID finds it again."""
    known = {"internet_message_id": sent.internet_message_id} if sent.internet_message_id else {}
    change_mail(tx, mail.key, state=MailState.PRESENT, sent=sent.at, missing=mail.missing or now, **known)


def draft_sent(
    tx: Transaction, office: Office, mail: StoredMail, stored: StoredIntent, sent: SentMail, now: datetime
) -> None:
    """Complete the task of a draft that its rep sent, as it was or not, and keep what it really was."""
    others = [address for address in (*sent.to, *sent.cc) if address != mail.person.lower()]
    reached = mail.person.lower() in (*sent.to, *sent.cc) or not others
    subject = " ".join(sent.subject.split()) or mail.subject
    changes = {"recipient": mail.recipient if reached else others[0], "subject": subject}
    change_mail(tx, mail.key, **mail.with_sent(sent), **changes)
    at = min(max(min(sent.at, now), mail.claimed or sent.at), now)
    missed = "" if reached else f"{mail.person} did not get it"
    if stored.state is IntentState.OPEN:
        by = _how(mail, others, subject, reached=reached)
        end_task(tx, office, stored, IntentEvent.COMPLETE, now, at=at, by=by, sent=reached, reason=missed)
    elif reached:
        want(tx, mail.key, now, **activity.sent(office))
    if subject != mail.subject or missed:
        note = f"Sent to {', '.join(others)}; {missed}." if missed else ""
        sent_otherwise(tx, office, stored, now, subject=subject, note=note)


def _how(mail: StoredMail, others: Sequence[str], subject: str, *, reached: bool) -> str:
    """Return how a task was completed, as a clause for people."""
    clause = "by sending the draft"
    if mail.state is MailState.SCHEDULED:
        clause += " as it was scheduled"
    if subject != " ".join(mail.subject.split()):
        clause += f" with the subject '{subject}'"
    elif mail.edited:
        clause += " as the rep edited it"
    if others:
        clause += f", {'also' if reached else 'not to them but'} to {', '.join(others)}"
    return clause


def draft_scheduled(tx: Transaction, mail: StoredMail, stored: StoredIntent, now: datetime) -> None:
    """Note that the mail program sends a draft by itself later."""
    change_mail(tx, mail.key, state=MailState.SCHEDULED, missing=now, sent=None)
    append(tx, [intent_fact(stored, EventKind.DRAFT_SCHEDULED, now)])
    say(tx, stored, "the draft is scheduled in the mail program: it goes out by itself, and then the task is done")


def in_drafts(
    tx: Transaction, mail: StoredMail, stored: StoredIntent, found: Found, draft: DraftRef, now: datetime
) -> None:
    """Note where a draft lies now; it may be back there."""
    if mail.state in (MailState.SCHEDULED, MailState.DISCARDED) or mail.sent is not None:
        draft_back(tx, mail, stored, draft, now)
        return
    edited = mail.edited or found.edited or mail.provider_id not in (None, draft.provider_id)
    change_mail(tx, mail.key, state=MailState.PRESENT, missing=None, edited=edited, **mail.with_draft(draft))


def draft_back(tx: Transaction, mail: StoredMail, stored: StoredIntent, draft: DraftRef, now: datetime) -> None:
    """Note that a draft that was sent, scheduled or discarded lies in Drafts again: the rep's, as an edited one."""
    reason = {
        MailState.SCHEDULED: "its scheduling was undone",
        MailState.DISCARDED: "it had been discarded",
    }.get(mail.state, "its sending was undone")
    back = {"state": MailState.PRESENT, "edited": True, "missing": None, "sent": None}
    change_mail(tx, mail.key, **mail.with_draft(draft), **back)
    append(tx, [intent_fact(stored, EventKind.DRAFT_BACK, now, reason=reason)])
    say(tx, stored, None)


def draft_discarded(tx: Transaction, mail: StoredMail, stored: StoredIntent, now: datetime) -> None:
    """Note that a draft was thrown away: its task stays open until the rep says how to go on."""
    change_mail(tx, mail.key, state=MailState.DISCARDED, missing=None, sent=None)
    append(tx, [intent_fact(stored, EventKind.DRAFT_DISCARDED, now)])
    id_ = stored.intent.key[:8]
    say(
        tx,
        stored,
        f"the draft was discarded: 'connector tasks open {id_}' makes it anew; 'connector tasks complete {id_}' if it "
        f"was written by hand, or 'connector tasks skip {id_}'",
    )


def draft_left(tx: Transaction, mail: StoredMail, stored: StoredIntent, now: datetime, why: str) -> None:
    """Leave a draft that is not wanted any more to the rep, because they have touched it."""
    reason = f"{stored.problem}; {why}" if stored.problem else why
    change_mail(tx, mail.key, state=MailState.LEFT)
    append(tx, [intent_fact(stored, EventKind.DRAFT_LEFT, now, reason=reason)])


def written_by_hand(
    tx: Transaction, lane: str, sent: SentMail, written_to: Sequence[tuple[StoredMail, StoredIntent]], now: datetime
) -> None:
    """Say that a rep wrote by hand to people who have an open task: whether that was the task, the rep must say."""
    message = sent.internet_message_id or sent.provider_id
    if not written_to or not note_received(tx, lane, f"sent {message}", now):
        return
    for mail, stored in written_to:
        id_ = mail.key[:8]
        reason = f"the task stays open: 'connector tasks complete {id_}' if that was it"
        told = intent_fact(stored, EventKind.WRITTEN_BY_HAND, min(sent.at, now), reason=reason, subject=sent.subject)
        append(tx, [told])


def say(tx: Transaction, stored: StoredIntent, sentence: str | None) -> None:
    """Say something of an open task where tasks are listed; None takes it back."""
    current = read_intents(tx, [stored.intent.key])[stored.intent.key]
    if current.state is IntentState.OPEN:
        save_intents(tx, [replace(current, problem=sentence)])
