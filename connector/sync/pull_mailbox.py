"""Pulling a mailbox: what became of drafts, and what came in, is stored together with the cursor.

Lives here: `pull_mailbox`, and following drafts through one pull's changes. Does not live here: incoming mail
(`incoming`), what follows from a fact (`record`). Source: spec delivery 4 and 5.

A cursor moves in the transaction that stores everything before it; a crash reads the same changes again, and each of
them is recognised by what it already did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from connector.errors import AdapterError
from connector.events import EventKind
from connector.inbox.match import OpenDraft, match_sent
from connector.intents import IntentEvent, IntentState
from connector.people import Rep
from connector.ports import DraftGone, DraftSaved, Found, Mailbox, MailReceived, MailSent, Whereabouts
from connector.store.cursors import read_cursor, save_cursor
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, read_intents
from connector.store.ledger import append
from connector.store.mails import (
    MailAction,
    MailState,
    StoredMail,
    change_mail,
    read_mails,
    read_open,
)
from connector.sync import activity
from connector.sync.drain import confirm_sent, trace_of
from connector.sync.incoming import take_mail
from connector.sync.mirror import want
from connector.sync.office import Office
from connector.sync.pulled import Pulled, note_lane_problem
from connector.sync.record import end_task, intent_fact

#: A draft that was nowhere for so long was discarded.
_GIVEN_UP = timedelta(hours=24)


def pull_mailbox(office: Office, rep: Rep) -> Pulled:
    """Read what changed in a rep's mailbox: drafts sent, edited or discarded; replies, bounces, out-of-office."""
    pulled = Pulled()
    lane, mailbox = office.lane_of(rep), office.mailboxes[rep.email]
    with office.database.read() as tx:
        cursor = read_cursor(tx, lane)
    try:
        pull = mailbox.pull_mail(cursor)
        with office.database.read() as tx:
            drafts = _OpenDrafts(read_open(tx, lane))
        for change in pull.changes:
            if isinstance(change, DraftSaved):
                drafts.saved(change)
        for change in pull.changes:
            if isinstance(change, MailSent):
                drafts.was_sent(change)
        gone = [change for change in pull.changes if isinstance(change, DraftGone)]
        drafts.look_up(gone, mailbox, everything=pull.resynced)
    except AdapterError as error:
        note_lane_problem(office, lane, error.sentence)
        return pulled.stop(lane, error)
    now = office.now()
    with office.database.write() as tx:
        drafts.store(tx, office, rep, now, pulled)
        for change in pull.changes:
            if isinstance(change, MailReceived):
                take_mail(tx, office, rep, change, now, pulled)
        if pull.cursor != cursor:
            save_cursor(tx, lane, pull.cursor, now)
    note_lane_problem(office, lane, None)
    return pulled


class _OpenDrafts:
    """The drafts a rep may still send, followed through one pull's changes."""

    def __init__(self, mails: Iterable[StoredMail]) -> None:
        self._mails = {mail.key: mail for mail in mails}
        self._edited: set[str] = set()
        self._sent: dict[str, MailSent] = {}
        self._found: dict[str, Found] = {}

    def saved(self, change: DraftSaved) -> None:
        """Follow a draft to its new ids; a save that is not our own is an edit."""
        for key, mail in self._mails.items():
            ids = {mail.draft_id, mail.provider_id} - {None}
            same_message = change.draft.internet_message_id and (
                change.draft.internet_message_id == mail.internet_message_id
            )
            if change.key == key or change.draft.draft_id in ids or same_message:
                known = mail.provider_id == change.draft.provider_id
                if mail.state is MailState.PRESENT and (change.edited or not known):
                    self._edited.add(key)
                self._mails[key] = replace(mail, **mail.with_draft(replace(change.draft, draft_id=mail.draft_id or "")))

    def was_sent(self, change: MailSent) -> None:
        """Match a mail in Sent to the draft it was."""
        waiting = [mail for key, mail in self._mails.items() if key not in self._sent]
        match = match_sent(change.mail, [_open_draft(mail) for mail in waiting])
        if match is not None:
            self._sent[match.key] = change

    def look_up(self, gone: Sequence[DraftGone], mailbox: Mailbox, *, everything: bool) -> None:
        """Ask where a draft went that left Drafts without a mail in Sent that told; all of them after a resync."""
        ids = {change.provider_id for change in gone}
        for key, mail in self._mails.items():
            lost = everything or mail.missing is not None or mail.provider_id in ids
            if mail.state is MailState.PRESENT and key not in self._sent and lost:
                self._found[key] = mailbox.find(trace_of(mail))

    def store(self, tx: Transaction, office: Office, rep: Rep, now: datetime, pulled: Pulled) -> None:
        """Write down what became of each draft."""
        current = read_mails(tx, sorted(self._mails))
        stored = read_intents(tx, sorted(self._mails))
        for key, mail in self._mails.items():
            found = self._found.get(key)
            if current[key].state is not mail.state:
                continue  # A drain was faster.
            if key in self._sent:
                _draft_sent(tx, office, rep, mail, stored[key], self._sent[key].mail, now, pulled)
            elif found is not None and found.where is Whereabouts.SENT and found.sent is not None:
                _draft_sent(tx, office, rep, mail, stored[key], found.sent, now, pulled)
            elif found is not None and _is_discarded(found, mail, now):
                pulled.counts["drafts_discarded"] += 1
                change_mail(tx, key, state=MailState.DISCARDED, missing=None)
                append(tx, [intent_fact(stored[key], EventKind.DRAFT_DISCARDED, now)])
            elif found is not None and found.where is not Whereabouts.DRAFT:
                # Scheduled in the client, undone, or on its way to Sent: neither sent nor discarded yet.
                change_mail(tx, key, missing=mail.missing or now)
            elif found is not None and found.draft is not None:
                edited = mail.edited or found.draft.provider_id != mail.provider_id
                change_mail(tx, key, missing=None, edited=int(edited), **mail.with_draft(found.draft))
            elif key in self._edited:
                change_mail(tx, key, edited=1, provider_id=mail.provider_id, thread_id=mail.thread_id)
                if not current[key].edited:
                    pulled.counts["drafts_edited"] += 1
                    append(tx, [intent_fact(stored[key], EventKind.DRAFT_EDITED, now)])


def _is_discarded(found: Found, mail: StoredMail, now: datetime) -> bool:
    if found.where is Whereabouts.UNCLEAR:
        return mail.missing is not None and now - mail.missing > _GIVEN_UP
    return found.where in (Whereabouts.DISCARDED, Whereabouts.ABSENT)


def _open_draft(mail: StoredMail) -> OpenDraft:
    return OpenDraft(
        key=mail.key,
        to=mail.recipient,
        subject=mail.subject,
        since=mail.claimed or mail.due,
        draft_id=mail.draft_id,
        provider_id=mail.provider_id,
        thread_id=mail.thread_id,
        internet_message_id=mail.internet_message_id,
    )


def _draft_sent(
    tx: Transaction,
    office: Office,
    rep: Rep,
    mail: StoredMail,
    stored: StoredIntent,
    sent: Any,
    now: datetime,
    pulled: Pulled,
) -> None:
    """The mail is in Sent: a task is completed, a send whose answer was lost is confirmed."""
    if mail.action is MailAction.SEND and stored.state in (IntentState.DELIVERING, IntentState.UNKNOWN):
        # The cursor passes it only once: what is not written down now may never be seen again.
        pulled.counts["sends_confirmed"] += 1
        confirm_sent(tx, office, rep, mail, sent, now)
        return
    at = max(min(sent.at, now), mail.claimed or sent.at)
    change_mail(tx, mail.key, **mail.with_sent(sent))
    pulled.counts["drafts_sent"] += 1
    if stored.state is IntentState.OPEN:
        by = "by sending the draft"
        end_task(tx, office, stored, IntentEvent.COMPLETE, now, at=min(at, now), by=by, sent=True)
    else:
        want(tx, mail.key, now, **activity.sent(office))
