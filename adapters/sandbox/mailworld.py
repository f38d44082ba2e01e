"""The mail of the simulated world: mailboxes, what lies in them, and how mail travels.

Lives here: `MailWorld`, and `settle`, which does what has been waiting for its time. Does not live here: one mailbox
and its change log (`mailbox`), what people do (`rep_acts`, `arrivals`), how a service speaks (`gmail`, `graph`), how a
mail is written (`letter`).
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

from adapters.sandbox.letter import bare_subject, head, with_headers, without_foreign_headers
from adapters.sandbox.mailbox import PLACE_LABELS, Kind, Mailbox, Place, StoredMail, What
from adapters.sandbox.service import SandboxClock, SandboxLog

#: Extended property that Exchange sends as List-Unsubscribe (apis 3.6).
UNSUBSCRIBE = "string 0x1045"


@dataclass(slots=True, kw_only=True)
class MailSettings:
    """Oddities of the real services that reports disagree about, and limits that are off until asked for."""

    #: Gmail's editor drops foreign headers when a rep edits a draft (apis 2.3).
    gmail_edit_drops_stamp: bool = False
    #: Gmail gives an edited draft another draft id (apis 2.3, reports conflict).
    gmail_edit_changes_draft_id: bool = False
    #: Gmail moves a draft with an edited subject into another thread (apis 2.3, reports conflict).
    gmail_edit_changes_thread: bool = True
    #: Gmail's editor gives the draft a Message-ID of its own (apis 2.3: one live test says it does not).
    gmail_edit_changes_message_id: bool = False
    #: A draft discarded in Gmail lies in the bin; otherwise it is gone at once.
    gmail_discard_bins: bool = False
    #: Seconds between the rep's click and the SENT message, as Undo Send delays it by up to 30 (apis 2.5).
    gmail_send_delay: float = 0
    #: Seconds until Gmail's search finds a new or changed mail; lists by label show it at once.
    gmail_search_lag: float = 0
    #: Quota units a minute for a mailbox (apis 2.7); None is without limit.
    gmail_units_per_minute: int | None = None
    #: How a spent quota is refused: 429 or 403, both are seen.
    gmail_quota_status: int = 429
    #: Requests of one user answered at the same time, parts of a batch included; None is without limit.
    gmail_concurrent_requests: int | None = None
    #: Mails one user may send in 24 hours, by API or by hand (apis 2.7); None is without limit.
    gmail_sends_per_day: int | None = None
    #: Seconds each HTTP call to Gmail really takes, by the machine's clock.
    gmail_delay: float = 0
    #: "Immutable" ids change on send all the same (apis 3.2).
    outlook_immutable_ids_change: bool = False
    #: Seconds until a sent mail appears in Sent Items.
    outlook_sent_delay: float = 0
    #: Mails with the same subject share a conversation, though they have nothing to do with each other (apis 3.2).
    outlook_shares_conversations: bool = False
    #: What a rep schedules stays in Drafts with its hour (apis 3.4); otherwise it waits in the Outbox.
    outlook_schedules_in_drafts: bool = False
    #: Requests in ten minutes for a mailbox (apis 3.5); None is without limit.
    outlook_requests_per_10_minutes: int | None = None
    #: Mails a minute that go out of a mailbox, the others wait in the Outbox (apis 3.1); None is without limit.
    outlook_sends_per_minute: int | None = None
    #: Bytes a mail may have with its files, as an administrator sets it (35 MB at first); None is without limit.
    outlook_message_bytes: int | None = None
    #: Refusals that ask to wait say how long (apis 3.5: it may be absent).
    outlook_retry_after: bool = True
    #: What an expired delta link gets: syncStateNotFound or resyncRequired (apis 3.4).
    outlook_expired_delta: str = "syncStateNotFound"
    #: Seconds each HTTP call to Graph really takes, by the machine's clock.
    outlook_delay: float = 0


class MailWorld:
    """Every mailbox, and the people outside."""

    def __init__(self, clock: SandboxClock, log: SandboxLog) -> None:
        self.clock = clock
        self.log = log
        self.settings = MailSettings()
        #: Held while a request is answered or somebody acts.
        self.lock = threading.RLock()
        self.boxes: dict[str, Mailbox] = {}
        self._waiting: list[tuple[datetime, Callable[[], None]]] = []
        self._numbers = itertools.count(1)

    def add_mailbox(self, kind: str, email: str, name: str = "") -> Mailbox:
        """Give a person a mailbox, `gmail` or `outlook`; one that exists already is returned."""
        with self.lock:
            box = self.boxes.get(email.lower())
            if box is None:
                box = self.boxes[email.lower()] = Mailbox(Kind(kind), email, name)
            return box

    def mailbox(self, kind: Kind, email: str) -> Mailbox | None:
        """Return the mailbox of an address at a service."""
        box = self.boxes.get(email.lower())
        return box if box is not None and box.kind is kind else None

    def box_of(self, address: str) -> Mailbox:
        """Return the mailbox of an address; raise `LookupError` when nobody has it."""
        box = self.boxes.get(address.lower())
        if box is None:
            raise LookupError(f"{address} has no mailbox in the sandbox")
        return box

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something when the sandbox's clock has moved on that far."""
        self._waiting.append((self.clock.now() + timedelta(seconds=seconds), act))

    def settle(self) -> None:
        """Do what has been waiting for its time."""
        now = self.clock.now()
        due = sorted((one for one in self._waiting if one[0] <= now), key=lambda one: one[0])
        self._waiting = [one for one in self._waiting if one[0] > now]
        for _, act in due:
            act()

    # ---------------------------------------------------------------------------------------- the post

    def new_id(self, kind: Kind) -> str:
        """Return an id in the service's own style."""
        number = next(self._numbers)
        if kind is Kind.GMAIL:
            return f"{0x19A9_0000_0000_0000 + number * 0x1_0001:016x}"
        return f"AAMkAGI{number:06d}{uuid.uuid4().hex}BGAAAAAAD="

    def new_second_id(self, kind: Kind) -> str:
        """Return a draft id (Gmail) or an immutable id (Outlook)."""
        number = next(self._numbers)
        if kind is Kind.GMAIL:
            return f"r{7_000_000_000_000_000_000 + number * 104_729}"
        return f"AAkALgAA{number:06d}{uuid.uuid4().hex}Ab="

    def new_message_id(self, box: Mailbox) -> str:
        """Return a Message-ID as the service makes them."""
        if box.kind is Kind.GMAIL:
            return f"<CA+{uuid.uuid4().hex}@mail.gmail.com>"
        return f"<AM0PR{uuid.uuid4().hex.upper()}@AM0PR01MB0001.eurprd01.prod.outlook.com>"

    def new_thread(self, box: Mailbox, first_id: str) -> str:
        """Return a thread id: Gmail names a thread after its first message."""
        return first_id if box.kind is Kind.GMAIL else f"AAQkAGI{uuid.uuid4().hex}="

    def save_draft(
        self, box: Mailbox, raw: bytes, *, thread: str | None = None, properties: Mapping[str, str] | None = None
    ) -> StoredMail:
        """Place a draft."""
        draft = box.put(self.new_mail(box, Place.DRAFTS, raw, thread=thread, properties=properties))
        self.note_effect(box, "draft_created", draft)
        return draft

    def send(self, box: Mailbox, draft: StoredMail, *, by: str = "api", new_message_id: bool = False) -> StoredMail:
        """Send a draft: it leaves Drafts, the sent mail gets another id, and copies go out.

        Gmail overwrites the Message-ID (apis 2.3); Outlook keeps it unless `new_message_id`: classic Outlook writes the
        mail anew, without the x- headers (3.2).
        """
        properties = dict(draft.properties)
        if box.kind is Kind.GMAIL:
            box.take_out(draft)
            raw = self.as_sent(box, draft.raw)
            sent = self.new_mail(box, Place.SENT, raw, thread=draft.thread, properties=properties)
            box.put(sent)
        else:
            raw = with_headers(draft.raw, date=format_datetime(self.clock.now()))
            raw = _with_unsubscribe(raw, properties)
            if new_message_id:
                raw = without_foreign_headers(with_headers(raw, message_id=self.new_message_id(box)))
            box.take_out(draft)
            sent = self.new_mail(box, Place.SENT, raw, thread=draft.thread, properties=properties)
            sent.created, sent.marks = draft.created, draft.marks
            if not self.settings.outlook_immutable_ids_change:
                sent.second_id = draft.second_id
            self._appear(box, sent)
        self._go_out(box, sent, by)
        return sent

    def post(
        self,
        box: Mailbox,
        raw: bytes,
        *,
        thread: str | None = None,
        properties: Mapping[str, str] | None = None,
        keep: bool = True,
        keep_message_id: bool = False,
        by: str = "api",
    ) -> StoredMail:
        """Send a mail that was no draft; `keep` puts it into Sent.

        Gmail overwrites the Message-ID but that of a mail program over SMTP, `keep_message_id` (apis 2.3).
        """
        if box.kind is Kind.OUTLOOK:
            raw = _with_unsubscribe(raw, properties or {})
        elif not keep_message_id:
            raw = self.as_sent(box, raw)
        sent = self.new_mail(box, Place.SENT, raw, thread=thread, properties=properties)
        if keep:
            self._appear(box, sent)
        self._go_out(box, sent, by)
        return sent

    def _go_out(self, box: Mailbox, sent: StoredMail, by: str) -> None:
        box.sendings.append(self.clock.now())
        self.note_effect(box, "mail_sent", sent, by=by)
        self._deliver(sent)

    def receive(self, box: Mailbox, raw: bytes, *, place: Place | None = None) -> StoredMail:
        """Put a mail where it lands by the user's rules (or into a place), in the thread of the mail it answers."""
        top = head(raw)
        received = self.new_mail(box, place or box.landing(top.sender[1]), raw, thread=box.thread_of(top.answers))
        received.received = self.clock.now()
        received.unread = True
        self.note_effect(box, "mail_received", received)
        return box.put(received)

    def rewrite(
        self, box: Mailbox, draft: StoredMail, raw: bytes, *, thread: str | None = None, draft_id: str = ""
    ) -> StoredMail:
        """Save a draft anew: another message id in Gmail (the draft id stays, unless one is given), none in Outlook."""
        if box.kind is Kind.OUTLOOK:
            draft.raw, draft.head, draft.modified = raw, head(raw), self.clock.now()
            draft.thread = thread or draft.thread
            box.note(What.CHANGED, draft)
            return draft
        box.take_out(draft)
        saved = self.new_mail(box, Place.DRAFTS, raw, thread=thread, properties=draft.properties)
        saved.second_id = draft_id or draft.second_id
        return box.put(saved)

    def discard(self, box: Mailbox, mail: StoredMail) -> StoredMail | None:
        """Throw a mail away: gone from Gmail's drafts for good, into Deleted Items in Outlook (once)."""
        self.note_effect(box, "draft_deleted" if mail.place is Place.DRAFTS else "mail_deleted", mail)
        if box.kind is Kind.GMAIL or mail.place is Place.TRASH:
            box.take_out(mail)
            return None
        return self.move(box, mail, Place.TRASH)

    def move(self, box: Mailbox, mail: StoredMail, place: Place) -> StoredMail:
        """Move a mail in Outlook: another id, the same immutable id."""
        box.take_out(mail)
        moved = replace(mail, id=self.new_id(box.kind), place=place, was=mail.place, modified=self.clock.now())
        return box.put(moved)

    def label(self, box: Mailbox, mail: StoredMail, labels: frozenset[str]) -> StoredMail:
        """Give a Gmail mail exactly these labels; it keeps its id, and moves where they say."""
        before, sent = mail.labels, "SENT" in mail.labels
        mail.unread = "UNREAD" in labels
        if "TRASH" in labels:
            if mail.place is not Place.TRASH:
                mail.was, mail.place = mail.place, Place.TRASH
        elif "SPAM" in labels:
            mail.place = Place.SPAM
        elif sent:
            mail.place = Place.SENT
        else:
            mail.place = Place.INBOX if "INBOX" in labels else Place.ARCHIVE
        mail.tags = labels - {"UNREAD", "SENT", "DRAFT", "SCHEDULED", *PLACE_LABELS[mail.place]}
        if set(before) != set(mail.labels):
            box.note(What.LABELS, mail, before=before)
        return mail

    def trash(self, box: Mailbox, mail: StoredMail) -> StoredMail:
        """Put a mail into Gmail's bin; it keeps its id and leaves the inbox."""
        return self.label(box, mail, frozenset(mail.labels) - {"INBOX"} | {"TRASH"})

    def new_mail(
        self,
        box: Mailbox,
        place: Place,
        raw: bytes,
        *,
        thread: str | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> StoredMail:
        """Make a mail that lies nowhere yet: `Mailbox.put` takes it in."""
        now = self.clock.now()
        new = self.new_id(box.kind)
        is_draft = place is Place.DRAFTS
        if thread is None and self.settings.outlook_shares_conversations:
            thread = self._thread_by_subject(box, head(raw).subject)
        return StoredMail(
            id=new,
            second_id=self.new_second_id(box.kind) if is_draft or box.kind is Kind.OUTLOOK else "",
            thread=thread or self.new_thread(box, new),
            place=place,
            raw=raw,
            head=head(raw),
            created=now,
            modified=now,
            sent=now if place is Place.SENT else None,
            received=now if place is Place.INBOX else None,
            properties=dict(properties or {}),
        )

    def _thread_by_subject(self, box: Mailbox, subject: str) -> str | None:
        """Return the conversation Exchange takes a mail into by its subject alone; None in Gmail."""
        if box.kind is Kind.GMAIL:
            return None
        topic = bare_subject(subject)
        return next((one.thread for one in box.mails.values() if bare_subject(one.head.subject) == topic), None)

    def as_sent(self, box: Mailbox, raw: bytes) -> bytes:
        """Return a mail as Gmail sends it: dated now, with a Message-ID of its own."""
        return with_headers(raw, message_id=self.new_message_id(box), date=format_datetime(self.clock.now()))

    def _appear(self, box: Mailbox, sent: StoredMail) -> None:
        delay = self.settings.outlook_sent_delay if box.kind is Kind.OUTLOOK else 0
        if delay:
            self.later(delay, partial(_put, box, sent))
        else:
            box.put(sent)

    def _deliver(self, sent: StoredMail) -> None:
        raw = with_headers(sent.raw, bcc=None)
        named = set(sent.head.recipients)
        for box in self.boxes.values():
            if named & set(box.addresses):
                self.receive(box, raw)

    def note_effect(self, box: Mailbox, effect: str, mail: StoredMail, **details: Any) -> None:
        """Note a lasting effect on a mail."""
        self.log.effect(
            "gmail" if box.kind is Kind.GMAIL else "graph",
            effect,
            mailbox=box.email,
            key=mail.stamp,
            to=list(mail.head.recipients),
            subject=mail.head.subject,
            message_id=mail.head.message_id,
            id=mail.id,
            **details,
        )

    def state(self, kind: Kind) -> dict[str, Any]:
        """Return every mailbox of a service as JSON."""
        with self.lock:
            self.settle()
            return {
                box.email: {"name": box.name, "mails": [told(box, mail) for mail in box.mails.values()]}
                for box in self.boxes.values()
                if box.kind is kind
            }


def _with_unsubscribe(raw: bytes, properties: Mapping[str, str]) -> bytes:
    """Return a mail with the List-Unsubscribe header that Exchange makes of its property (apis 3.6)."""
    value = next((value for name, value in properties.items() if name.lower() == UNSUBSCRIBE), None)
    return raw if value is None else with_headers(raw, list_unsubscribe=value)


def _put(box: Mailbox, mail: StoredMail) -> None:
    box.put(mail)


def told(box: Mailbox, mail: StoredMail) -> dict[str, Any]:
    """Return a mail as actions and the state tell it."""
    return {
        "mailbox": box.email,
        "id": mail.id,
        "second_id": mail.second_id,
        "thread": mail.thread,
        "place": mail.place.value,
        "key": mail.stamp,
        "from": mail.head.sender[1],
        "to": list(mail.head.recipients),
        "subject": mail.head.subject,
        "message_id": mail.head.message_id,
        "in_reply_to": mail.head.in_reply_to,
        "at": mail.at.isoformat(),
    }
