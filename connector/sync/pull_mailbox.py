"""Pulling a mailbox: what became of drafts, and what came in, is stored together with the cursor.

Lives here: `pull_mailbox`, and following drafts through one pull's changes. Does not live here: incoming mail
(`incoming`), what the fate of a draft means (`outcomes`), what follows from a fact (`record`). Source: spec delivery 4
and 5.

A cursor moves in the transaction that stores everything before it; a crash reads the same changes again, and each of
them is recognised by what it already did.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from connector.errors import AdapterError, Retry
from connector.events import EventKind
from connector.inbox.match import OpenDraft, match_sent
from connector.intents import IntentState
from connector.people import Rep
from connector.ports import (
    DraftGone,
    DraftSaved,
    Found,
    Mailbox,
    MailChange,
    MailPull,
    MailReceived,
    MailSent,
    SentMail,
    Whereabouts,
)
from connector.store.cursors import read_cursor, save_cursor
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, read_intents
from connector.store.lanes import FencedError, Lease, guard, note_looked, release, take
from connector.store.ledger import append
from connector.store.mails import (
    MailAction,
    MailState,
    StoredMail,
    change_mail,
    read_mails,
    read_open,
    read_sent_about,
)
from connector.sync import outcomes
from connector.sync.incoming import take_mail
from connector.sync.office import Office
from connector.sync.pulled import Pulled, note_lane_problem
from connector.sync.record import intent_fact
from connector.sync.sent import confirm_sent

#: A scheduled draft is looked at when something happened to drafts, and at least so often.
_SCHEDULED_LOOK = timedelta(hours=24)

#: Drafts whose fate is open: those of tasks. A send whose answer was lost is `drain`'s to look up.
_WITH_REP = frozenset({MailState.PRESENT, MailState.SCHEDULED, MailState.DISCARDED})


def pull_mailbox(office: Office, rep: Rep, *, owner: str = "sync") -> Pulled:
    """Read what changed in a rep's mailbox: drafts sent, edited or discarded; replies, bounces, out-of-office.

    A look too large for one pull goes on as long as a pass lasts; the next pass reads on from there. Nothing is read
    while another worker is in the mailbox.
    """
    pulled = Pulled()
    lane, until = office.lane_of(rep), office.now() + timedelta(seconds=office.pass_seconds)
    with office.database.write_in_lane() as tx:
        lease = take(tx, lane, owner)
    if lease is None:
        return pulled
    try:
        while _pull_once(office, rep, lease, pulled) and office.now() < until:
            pass
        note_lane_problem(office, lane, None)
    except AdapterError as error:
        note_lane_problem(office, lane, error.sentence)
        pulled.stop(lane, error)
    except FencedError:
        pulled.attention.append(f"{lane}: another worker took over; what is left is read there")
    finally:
        with office.database.write_in_lane() as tx:
            note_looked(tx, lane, office.now())
            release(tx, lease)
    return pulled


def _pull_once(office: Office, rep: Rep, lease: Lease, pulled: Pulled) -> bool:
    """Read and store one pull; tell whether there is more to read at once."""
    lane, mailbox = lease.lane, office.mailboxes[rep.email]
    with office.database.read() as tx:
        cursor = read_cursor(tx, lane)
    pull = mailbox.pull_mail(cursor)
    with office.database.read() as tx:
        drafts = _OpenDrafts(tx, lane, pull.changes)
    later = drafts.look_up(mailbox, office.now(), pull)
    now = office.now()
    if not pull.changes and not drafts.has_news and pull.cursor == cursor:
        return pull.more
    with office.database.write() as tx:
        guard(tx, lease)
        drafts.store(tx, office, rep, now, pulled)
        for change in pull.changes:
            if isinstance(change, MailReceived):
                take_mail(tx, office, rep, change, now, pulled)
        if pull.cursor != cursor:
            save_cursor(tx, lane, pull.cursor, now)
    if later is not None:
        raise later  # What was read is stored; the next pass asks for the other drafts.
    return pull.more


class _OpenDrafts:
    """The drafts a rep may still send, followed through one pull's changes."""

    def __init__(self, tx: Transaction, lane: str, changes: Sequence[MailChange]) -> None:
        """Follow the drafts of a lane through what changed, in the order in which it can be told: saved, sent, gone."""
        self._lane = lane
        self._mails = {mail.key: mail for mail in read_open(tx, lane)}
        self._edited: set[str] = set()
        #: Drafts that were saved although they had been scheduled or discarded.
        self._returned: set[str] = set()
        self._sent: dict[str, SentMail] = {}
        #: Mails in Sent that look like a draft, which may lie there still.
        self._likely: dict[str, SentMail] = {}
        self._by_hand: list[SentMail] = []
        #: Mails in Sent that bear the stamp of a mail that is no open draft.
        self._ours: dict[str, SentMail] = {}
        self._found: dict[str, Found] = {}
        #: Drafts that could not be asked for this time.
        self._later: frozenset[str] = frozenset()
        for change in changes:
            if isinstance(change, DraftSaved):
                self._saved(change)
        sent = [change.mail for change in changes if isinstance(change, MailSent)]
        # What is sent in a thread in which a mail was sent before need not be the draft.
        threads = [mail.thread_id for mail in sent if mail.thread_id]
        earlier = {mail.thread_id for mail in read_sent_about(tx, message_ids=[], thread_ids=threads, persons=[])}
        for mail in sent:
            self._was_sent(mail, earlier)
        self._gone = {change.provider_id for change in changes if isinstance(change, DraftGone)}
        self._stirred = any(not isinstance(change, MailReceived) for change in changes)
        came = [change for change in changes if isinstance(change, MailReceived)]
        self._answered = {one for mail in came for one in (mail.thread_id, mail.in_reply_to, *mail.references) if one}
        self._writers = {mail.sender.email.lower() for mail in came}
        self._reports = [mail.raw.lower() for mail in came if mail.raw is not None]

    @property
    def has_news(self) -> bool:
        """Whether something is to be written of a draft."""
        return bool(self._sent or self._found or self._later)

    def _saved(self, change: DraftSaved) -> None:
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
                elif mail.state in (MailState.SCHEDULED, MailState.DISCARDED):
                    self._returned.add(key)
                called = change.subject or mail.draft_subject
                now_at = mail.with_draft(replace(change.draft, draft_id=mail.draft_id or ""))
                self._mails[key] = replace(mail, **now_at, draft_subject=None if called == mail.subject else called)

    def _was_sent(self, sent: SentMail, old_threads: Collection[str | None]) -> None:
        """Match a mail in Sent to the draft it was."""
        waiting = [mail for key, mail in self._mails.items() if key not in self._sent]
        match = match_sent(sent, [_open_draft(mail, old_threads) for mail in waiting])
        if match is None and sent.key is not None:
            self._ours[sent.key] = sent
        elif match is None or (not match.is_certain and match.key in self._likely):
            self._by_hand.append(sent)
        elif not match.is_certain:
            self._likely[match.key] = sent
        else:
            self._sent[match.key] = sent
            if match.key in self._likely:
                self._by_hand.append(self._likely.pop(match.key))

    def look_up(self, mailbox: Mailbox, now: datetime, pull: MailPull) -> Retry | None:
        """Ask where a draft is that left Drafts without a mail in Sent that told; nearly all of them after a resync.

        What came in cannot be told without the drafts it may be about, so they come first, and no `Retry` is taken for
        an answer. One that comes after them is returned: the other drafts are asked for by the next pulls, and what was
        found is kept, or so many drafts that one pull cannot ask for all would be asked for again and again.
        """
        keys = [key for key, mail in self._mails.items() if key not in self._sent and self._asks(mail, now, pull)]
        keys.sort(key=lambda key: (not self._is_urgent(key), self._mails[key].missing or now))
        for place, key in enumerate(keys):
            try:
                found = mailbox.find(self._mails[key].trace)
            except Retry as error:
                if self._is_urgent(key):
                    raise
                self._later = frozenset(keys[place:])
                return error
            self._was_found(key, found)
        return None

    def _asks(self, mail: StoredMail, now: datetime, pull: MailPull) -> bool:
        match mail.state:
            case MailState.PRESENT:
                unseen = pull.resynced and mail.provider_id not in pull.in_drafts
                ask = unseen or mail.missing is not None or mail.provider_id in self._gone
            case MailState.SCHEDULED:
                looked = mail.missing or now - _SCHEDULED_LOOK
                ask = pull.resynced or self._stirred or now - looked >= _SCHEDULED_LOOK
            case _:
                ask = mail.key in self._returned
        return ask or mail.key in self._likely

    def _is_urgent(self, key: str) -> bool:
        mail, person = self._mails[key], self._mails[key].person.lower()
        return (
            key in self._returned
            or key in self._likely
            or bool({mail.internet_message_id, mail.thread_id} & self._answered)
            or person in self._writers
            or any(person.encode() in report for report in self._reports)
        )

    def _was_found(self, key: str, found: Found) -> None:
        """Take an answer; a draft that lies there still is not the mail in Sent that looks like it."""
        likely = self._likely.get(key)
        if likely is not None and found.where not in (Whereabouts.DRAFT, Whereabouts.SCHEDULED):
            self._sent[key] = likely
            return
        if likely is not None:
            self._by_hand.append(likely)
        if self._mails[key].state in _WITH_REP:
            self._found[key] = found

    def store(self, tx: Transaction, office: Office, rep: Rep, now: datetime, pulled: Pulled) -> None:
        """Write down what became of each draft."""
        current = read_mails(tx, sorted(self._mails))
        stored = read_intents(tx, sorted(self._mails))
        for key, mail in self._mails.items():
            if current[key].state is not mail.state:
                continue  # A drain was faster.
            found = self._found.get(key)
            sent = self._sent.get(key) or (found.sent if found is not None else None)
            if sent is not None:
                believed = self._is_answered(mail, sent) or not outcomes.may_be_undone(mail, sent, now)
                _sent(tx, office, rep, mail, stored[key], sent, now, pulled, believed=believed)
            elif found is not None:
                _looked_up(tx, mail, stored[key], found, now, pulled)
            elif key in self._edited:
                change_mail(tx, key, edited=1, provider_id=mail.provider_id, thread_id=mail.thread_id)
                if not current[key].edited:
                    pulled.counts["drafts_edited"] += 1
                    append(tx, [intent_fact(stored[key], EventKind.DRAFT_EDITED, now)])
            if mail.draft_subject != current[key].draft_subject:
                change_mail(tx, key, draft_subject=mail.draft_subject)
            if key in self._later:
                # A scheduled one has no time of its last look then: it is asked for next time.
                missing = None if mail.state is MailState.SCHEDULED else mail.missing or now
                change_mail(tx, key, missing=missing)
        self._keep_ids(tx)
        self._tell_by_hand(tx, stored, now)

    def _tell_by_hand(self, tx: Transaction, stored: Mapping[str, StoredIntent], now: datetime) -> None:
        ids = [sent.internet_message_id for sent in self._by_hand if sent.internet_message_id]
        ours = {mail.internet_message_id for mail in read_sent_about(tx, message_ids=ids, thread_ids=[], persons=[])}
        for sent in self._by_hand:
            if sent.internet_message_id in ours:
                continue  # A full look shows again what was a draft of ours.
            outcomes.written_by_hand(tx, self._lane, sent, self._written_to(sent, stored), now)

    def _keep_ids(self, tx: Transaction) -> None:
        """Keep what a mail of ours is really called, where that could not be read back when it was sent."""
        for key, mail in read_mails(tx, sorted(self._ours)).items():
            sent = self._ours[key]
            same = mail.state is MailState.SENT and mail.provider_id == sent.provider_id
            if same and sent.internet_message_id not in (None, mail.internet_message_id):
                ids = {"internet_message_id": sent.internet_message_id, "references": sent.references}
                change_mail(tx, key, thread_id=sent.thread_id or mail.thread_id, **ids)

    def _is_answered(self, mail: StoredMail, sent: SentMail) -> bool:
        """Tell whether an answer came in: nobody gives one to a mail whose sending was undone."""
        ids = {sent.internet_message_id, sent.thread_id}
        return bool(ids & self._answered) or mail.person.lower() in self._writers

    def _written_to(self, sent: SentMail, stored: Mapping[str, StoredIntent]) -> list[tuple[StoredMail, StoredIntent]]:
        """Return the open tasks that a mail written by hand may have been meant for."""
        return [
            (mail, stored[key])
            for key, mail in self._mails.items()
            if mail.state in _WITH_REP
            and stored[key].state is IntentState.OPEN
            and mail.person.lower() in (*sent.to, *sent.cc)
            and sent.at >= (mail.claimed or mail.due)
        ]


def _sent(
    tx: Transaction,
    office: Office,
    rep: Rep,
    mail: StoredMail,
    stored: StoredIntent,
    sent: SentMail,
    now: datetime,
    pulled: Pulled,
    *,
    believed: bool,
) -> None:
    """The mail is in Sent: a task is completed, a send whose answer was lost is confirmed."""
    if mail.action is MailAction.SEND and stored.state in (IntentState.DELIVERING, IntentState.UNKNOWN):
        # The cursor passes it only once: what is not written down now may never be seen again.
        pulled.counts["sends_confirmed"] += 1
        change_mail(tx, mail.key, **mail.with_sent(sent))
        confirm_sent(tx, office, rep, mail, stored, sent, now)
    elif not believed:
        outcomes.note_sending(tx, mail, sent, now)
    else:
        pulled.counts["drafts_sent"] += 1
        outcomes.draft_sent(tx, office, mail, stored, sent, now)


def _looked_up(
    tx: Transaction, mail: StoredMail, stored: StoredIntent, found: Found, now: datetime, pulled: Pulled
) -> None:
    """Write down where a draft was found that is not in Sent."""
    match found.where:
        case Whereabouts.DRAFT if found.draft is not None:
            outcomes.in_drafts(tx, mail, stored, found, found.draft, now)
        case Whereabouts.SCHEDULED if mail.state is MailState.SCHEDULED:
            change_mail(tx, mail.key, missing=now)
        case Whereabouts.SCHEDULED:
            pulled.counts["drafts_scheduled"] += 1
            outcomes.draft_scheduled(tx, mail, stored, now)
        case _ if mail.state is MailState.SCHEDULED:
            # No longer scheduled, and not yet anywhere else: on its way to Sent or back to Drafts.
            change_mail(tx, mail.key, state=MailState.PRESENT, edited=True, missing=now)
            outcomes.say(tx, stored, None)
        case _ if mail.state is MailState.PRESENT and outcomes.is_discarded(found, mail.missing, now):
            pulled.counts["drafts_discarded"] += 1
            outcomes.draft_discarded(tx, mail, stored, now)
        case _:
            # A send that may be undone, or on its way to Sent: neither sent nor discarded yet.
            change_mail(tx, mail.key, missing=mail.missing or now)


def _open_draft(mail: StoredMail, old_threads: Collection[str | None]) -> OpenDraft:
    return OpenDraft(
        key=mail.key,
        to=mail.recipient,
        subject=mail.draft_subject or mail.subject,
        since=mail.claimed or mail.due,
        draft_id=mail.draft_id,
        provider_id=mail.provider_id,
        thread_id=mail.thread_id,
        internet_message_id=mail.internet_message_id,
        own_thread=mail.thread_id not in old_threads,
    )
