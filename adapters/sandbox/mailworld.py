"""The mail of the simulated world: mailboxes, what lies in them, how mail travels, and what people do.

Lives here: `MailWorld`, `Mailbox`, `StoredMail`, the change log both services answer from, and the people outside
(reps at their mail client, prospects, mail servers that bounce). Does not live here: how a service speaks
(`gmail`, `graph`), how a mail is written (`letter`).

A mail is one value: its raw bytes and where it lies. Every change is one line in its mailbox's log, numbered from
`FIRST_SERIAL`; Gmail's history and Graph's delta are two readings of that log.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from functools import wraps
from typing import Any

from adapters.sandbox.letter import (
    Head,
    Letter,
    Who,
    bare_subject,
    delivery_report,
    head,
    is_deliverable,
    open_letter,
    quoted,
    with_headers,
    without_stamp,
)
from adapters.sandbox.service import SandboxClock, SandboxLog
from connector.ports import STAMP_PROPERTY

#: Number of the first line of every mailbox's change log.
FIRST_SERIAL = 1000

#: Extended property that Exchange sends as List-Unsubscribe (apis 3.6).
UNSUBSCRIBE = "string 0x1045"


class Kind(StrEnum):
    """Which service holds a mailbox."""

    GMAIL = "gmail"
    OUTLOOK = "outlook"


class Place(StrEnum):
    """Where a mail lies."""

    DRAFTS = "drafts"
    SENT = "sent"
    INBOX = "inbox"
    TRASH = "trash"
    #: Scheduled by the rep in the client: neither draft nor sent.
    SCHEDULED = "scheduled"


class What(StrEnum):
    """What happened to a mail, as the change log tells it."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    TRASHED = "trashed"


@dataclass(slots=True, kw_only=True)
class MailSettings:
    """Oddities of the real services that reports disagree about, and limits that are off until asked for."""

    #: Gmail's editor drops foreign headers when a rep edits a draft (apis 2.3).
    gmail_edit_drops_stamp: bool = False
    #: Gmail gives an edited draft another draft id (apis 2.3, reports conflict).
    gmail_edit_changes_draft_id: bool = False
    #: Quota units a minute for a mailbox (apis 2.7); None is without limit.
    gmail_units_per_minute: int | None = None
    #: "Immutable" ids change on send all the same (apis 3.2).
    outlook_immutable_ids_change: bool = False
    #: Seconds until a sent mail appears in Sent Items.
    outlook_sent_delay: float = 0
    #: Requests in ten minutes for a mailbox (apis 3.5); None is without limit.
    outlook_requests_per_10_minutes: int | None = None


@dataclass(slots=True, kw_only=True)
class StoredMail:
    """A mail in a mailbox."""

    id: str
    #: Outlook: the id that stays when the mail moves. Gmail: the draft id, "" for what is not a draft.
    second_id: str
    thread: str
    place: Place
    raw: bytes = field(repr=False)
    head: Head = field(repr=False)
    created: datetime
    modified: datetime
    sent: datetime | None = None
    received: datetime | None = None
    #: Extended properties: id as given -> value. They stay with the mail and are not delivered.
    properties: dict[str, str] = field(default_factory=dict)
    unread: bool = False
    #: What Outlook alone keeps with a mail: importance, categories, flag.
    marks: dict[str, Any] = field(default_factory=dict)
    #: Where it lay before it was thrown away.
    was: Place | None = None
    #: Number of the last change.
    serial: int = 0

    @property
    def at(self) -> datetime:
        """When it was sent or received, else made."""
        return self.sent or self.received or self.created

    @property
    def stamp(self) -> str:
        """Intent key on it, or ""."""
        for name, value in self.properties.items():
            if name.endswith(f" Name {STAMP_PROPERTY}"):
                return value
        return self.head.stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of a mailbox's change log."""

    serial: int
    what: What
    id: str
    second_id: str
    thread: str
    place: Place
    was: Place | None = None


class Mailbox:
    """One person's mailbox: its mails, in the order they were made, and its change log."""

    def __init__(self, kind: Kind, email: str, name: str) -> None:
        self.kind = kind
        self.email = email.lower()
        self.name = name
        self.guid = str(uuid.uuid5(uuid.NAMESPACE_DNS, self.email))
        self.licensed = True
        self.mails: dict[str, StoredMail] = {}
        self.changes: list[Change] = []
        #: Changes up to this number can no longer be asked for.
        self.forgotten = 0

    @property
    def serial(self) -> int:
        """Number of the last change."""
        return FIRST_SERIAL + len(self.changes)

    def note(self, what: What, mail: StoredMail, *, place: Place | None = None, was: Place | None = None) -> None:
        """Write one line into the change log."""
        mail.serial = self.serial + 1
        self.changes.append(
            Change(
                serial=mail.serial,
                what=what,
                id=mail.id,
                second_id=mail.second_id,
                thread=mail.thread,
                place=place or mail.place,
                was=was,
            )
        )

    def since(self, serial: int) -> list[Change]:
        """Return the changes after a number."""
        return self.changes[max(0, serial - FIRST_SERIAL) :]

    def put(self, mail: StoredMail) -> StoredMail:
        """Take a mail in."""
        self.mails[mail.id] = mail
        self.note(What.ADDED, mail)
        return mail

    def take_out(self, mail: StoredMail) -> None:
        """Let a mail go for good."""
        del self.mails[mail.id]
        self.note(What.REMOVED, mail)

    def at(self, place: Place) -> list[StoredMail]:
        """Return what lies in a place, oldest first."""
        return [mail for mail in self.mails.values() if mail.place is place]

    def thread_of(self, message_ids: Sequence[str]) -> str | None:
        """Return the thread of the first of these Message-IDs that is known here."""
        known = {mail.head.message_id: mail.thread for mail in self.mails.values()} if message_ids else {}
        return next((known[one] for one in message_ids if one in known), None)

    def owns(self, address: str) -> bool:
        """Tell whether the address is this mailbox's."""
        return address.lower() == self.email


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
        draft = box.put(self._new_mail(box, Place.DRAFTS, raw, thread=thread, properties=properties))
        self._effect(box, "draft_created", draft)
        return draft

    def send(self, box: Mailbox, draft: StoredMail, *, by: str = "api", new_message_id: bool = False) -> StoredMail:
        """Send a draft: it leaves Drafts, the sent mail gets another id, and copies go out.

        Gmail overwrites the Message-ID (apis 2.3); Outlook keeps it unless `new_message_id` (classic Outlook, 3.2).
        """
        properties = dict(draft.properties)
        if box.kind is Kind.GMAIL:
            box.take_out(draft)
            raw = self._as_sent(box, draft.raw)
            sent = self._new_mail(box, Place.SENT, raw, thread=draft.thread, properties=properties)
            box.put(sent)
        else:
            raw = with_headers(draft.raw, date=format_datetime(self.clock.now()))
            unsubscribe = next((value for name, value in properties.items() if name.lower() == UNSUBSCRIBE), None)
            if unsubscribe is not None:
                raw = with_headers(raw, list_unsubscribe=unsubscribe)
            if new_message_id:
                raw = with_headers(raw, message_id=self.new_message_id(box))
            box.take_out(draft)
            sent = self._new_mail(box, Place.SENT, raw, thread=draft.thread, properties=properties)
            sent.created, sent.marks = draft.created, draft.marks
            if not self.settings.outlook_immutable_ids_change:
                sent.second_id = draft.second_id
            self._appear(box, sent)
        self._effect(box, "mail_sent", sent, by=by)
        self._deliver(sent)
        return sent

    def post(
        self,
        box: Mailbox,
        raw: bytes,
        *,
        thread: str | None = None,
        properties: Mapping[str, str] | None = None,
        keep: bool = True,
        by: str = "api",
    ) -> StoredMail:
        """Send a mail that was no draft; `keep` puts it into Sent."""
        raw = self._as_sent(box, raw) if box.kind is Kind.GMAIL else raw
        sent = self._new_mail(box, Place.SENT, raw, thread=thread, properties=properties)
        if keep:
            self._appear(box, sent)
        self._effect(box, "mail_sent", sent, by=by)
        self._deliver(sent)
        return sent

    def receive(self, box: Mailbox, raw: bytes) -> StoredMail:
        """Put a mail into the inbox, in the thread of the mail it answers."""
        received = self._new_mail(box, Place.INBOX, raw, thread=box.thread_of(head(raw).answers))
        received.unread = True
        self._effect(box, "mail_received", received)
        return box.put(received)

    def rewrite(self, box: Mailbox, draft: StoredMail, raw: bytes, *, thread: str | None = None) -> StoredMail:
        """Save a draft anew: another message id in Gmail, the same id in Outlook."""
        if box.kind is Kind.OUTLOOK:
            draft.raw, draft.head, draft.modified = raw, head(raw), self.clock.now()
            draft.thread = thread or draft.thread
            box.note(What.CHANGED, draft)
            return draft
        box.take_out(draft)
        saved = self._new_mail(box, Place.DRAFTS, raw, thread=thread, properties=draft.properties)
        saved.second_id = draft.second_id
        return box.put(saved)

    def discard(self, box: Mailbox, mail: StoredMail) -> StoredMail | None:
        """Throw a mail away: gone from Gmail's drafts for good, into Deleted Items in Outlook (once)."""
        self._effect(box, "draft_deleted" if mail.place is Place.DRAFTS else "mail_deleted", mail)
        if box.kind is Kind.GMAIL or mail.place is Place.TRASH:
            box.take_out(mail)
            return None
        return self.move(box, mail, Place.TRASH)

    def move(self, box: Mailbox, mail: StoredMail, place: Place) -> StoredMail:
        """Move a mail in Outlook: another id, the same immutable id."""
        box.take_out(mail)
        moved = replace(mail, id=self.new_id(box.kind), place=place, was=mail.place, modified=self.clock.now())
        return box.put(moved)

    def trash(self, box: Mailbox, mail: StoredMail) -> StoredMail:
        """Put a mail into Gmail's bin; it keeps its id."""
        if mail.place is not Place.TRASH:
            mail.was, mail.place = mail.place, Place.TRASH
            box.note(What.TRASHED, mail, was=mail.was)
        return mail

    def _new_mail(
        self,
        box: Mailbox,
        place: Place,
        raw: bytes,
        *,
        thread: str | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> StoredMail:
        now = self.clock.now()
        new = self.new_id(box.kind)
        is_draft = place is Place.DRAFTS
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

    def _as_sent(self, box: Mailbox, raw: bytes) -> bytes:
        return with_headers(raw, message_id=self.new_message_id(box), date=format_datetime(self.clock.now()))

    def _appear(self, box: Mailbox, sent: StoredMail) -> None:
        delay = self.settings.outlook_sent_delay if box.kind is Kind.OUTLOOK else 0
        if delay:
            self._waiting.append((self.clock.now() + timedelta(seconds=delay), lambda: _put(box, sent)))
        else:
            box.put(sent)

    def _deliver(self, sent: StoredMail) -> None:
        raw = with_headers(sent.raw, bcc=None)
        for address in dict.fromkeys(sent.head.recipients):
            box = self.boxes.get(address)
            if box is not None:
                self.receive(box, raw)

    def _effect(self, box: Mailbox, effect: str, mail: StoredMail, **details: Any) -> None:
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

    # ------------------------------------------------------------------------------ the people outside

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what people outside can do with mail: name -> function of keyword arguments.

        A mail is named by its intent `key`, or by `rep` and `person`. Nothing found raises `LookupError`.
        """
        acts: tuple[Callable[..., dict[str, Any]], ...] = (
            self.add_mail_account,
            self.mail_settings,
            self.rep_sends_draft,
            self.rep_schedules_draft,
            self.rep_edits_draft,
            self.rep_deletes_draft,
            self.rep_writes_mail,
            self.rep_loses_mailbox,
            self.prospect_replies,
            self.prospect_writes,
            self.prospect_out_of_office,
            self.prospect_bounces,
        )
        return {act.__name__: self._alone(act) for act in acts}

    def _alone(self, act: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        @wraps(act)
        def alone(**arguments: Any) -> dict[str, Any]:
            with self.lock:
                self.settle()
                return act(**arguments)

        return alone

    def add_mail_account(self, *, kind: str, email: str, name: str = "") -> dict[str, Any]:
        """Give a person a mailbox: kind is gmail or outlook."""
        box = self.add_mailbox(kind, email, name)
        return {"mailbox": box.email, "kind": box.kind.value}

    def mail_settings(self, **settings: Any) -> dict[str, Any]:
        """Change how the services behave where the real ones are said to differ; returns all settings."""
        for name, value in settings.items():
            if name not in MailSettings.__slots__:
                raise ValueError(f"there is no mail setting '{name}': {', '.join(MailSettings.__slots__)}")
            setattr(self.settings, name, value)
        return {name: getattr(self.settings, name) for name in MailSettings.__slots__}

    def rep_sends_draft(self, *, key: str = "", rep: str = "", person: str = "", via: str = "web") -> dict[str, Any]:
        """Send a draft by the rep's hand; via is web, phone or desktop (classic Outlook: another Message-ID)."""
        if via not in ("web", "phone", "desktop"):
            raise ValueError(f"via is web, phone or desktop, not '{via}'")
        box, draft = self._one(Place.DRAFTS, key, rep, person)
        if not draft.head.recipients:
            raise ValueError(f"the draft '{draft.head.subject}' has no recipient: nobody can send it")
        sent = self.send(box, draft, by=f"rep:{via}", new_message_id=via == "desktop")
        return _told(box, sent)

    def rep_schedules_draft(
        self, *, key: str = "", rep: str = "", person: str = "", minutes: float = 60
    ) -> dict[str, Any]:
        """Let the client send a draft later: meanwhile it is neither in Drafts nor in Sent."""
        box, draft = self._one(Place.DRAFTS, key, rep, person)
        box.take_out(draft)
        waiting = self._new_mail(box, Place.SCHEDULED, draft.raw, thread=draft.thread, properties=draft.properties)
        box.put(waiting)

        def go() -> None:
            if waiting.id in box.mails:
                self.send(box, waiting, by="rep:scheduled")

        self._waiting.append((self.clock.now() + timedelta(minutes=minutes), go))
        return _told(box, waiting)

    def rep_edits_draft(
        self,
        *,
        key: str = "",
        rep: str = "",
        person: str = "",
        subject: str | None = None,
        body: str | None = None,
        to: str | None = None,
    ) -> dict[str, Any]:
        """Change a draft in the client; `body` is HTML, None leaves a part as it is."""
        box, draft = self._one(Place.DRAFTS, key, rep, person)
        letter = open_letter(draft.raw)
        thread: str | None = draft.thread
        if subject is not None:
            if bare_subject(subject) != bare_subject(letter.subject):
                # Both services start another thread when the subject is edited (apis 2.3, 3.2).
                thread = None if box.kind is Kind.GMAIL else self.new_thread(box, "")
            letter = replace(letter, subject=subject)
        if to is not None:
            letter = replace(letter, to=(("", to),))
        html = letter.html if body is None else body
        if box.kind is Kind.GMAIL:
            html = f'<div dir="ltr">{html or quoted(letter.text)}</div>'
            if self.settings.gmail_edit_drops_stamp:
                letter = without_stamp(letter)
        letter = replace(letter, html=html, text="")
        edited = self.rewrite(box, draft, letter.raw(self.clock.now()), thread=thread)
        if box.kind is Kind.GMAIL and self.settings.gmail_edit_changes_draft_id:
            edited.second_id = self.new_second_id(box.kind)
        return _told(box, edited)

    def rep_deletes_draft(self, *, key: str = "", rep: str = "", person: str = "") -> dict[str, Any]:
        """Discard a draft in the client."""
        box, draft = self._one(Place.DRAFTS, key, rep, person)
        self.discard(box, draft)
        return _told(box, draft)

    def rep_writes_mail(self, *, rep: str, person: str, subject: str, text: str = "") -> dict[str, Any]:
        """Write and send a mail by hand, without any draft of ours."""
        box = self._box(rep)
        letter = Letter(sender=(box.name, box.email), to=(("", person),), subject=subject, text=text, html=quoted(text))
        letter = replace(letter, message_id=self.new_message_id(box))
        return _told(box, self.post(box, letter.raw(self.clock.now()), by="rep:hand"))

    def rep_loses_mailbox(self, *, rep: str) -> dict[str, Any]:
        """Take the mailbox's licence away."""
        box = self._box(rep)
        box.licensed = False
        return {"mailbox": box.email}

    def prospect_replies(
        self,
        *,
        person: str = "",
        text: str = "Thanks, let us talk.",
        key: str = "",
        rep: str = "",
        from_: str | None = None,
        cc: str | None = None,
    ) -> dict[str, Any]:
        """Answer the last mail the person got; `from_` answers from another address."""
        box, sent = self._one(Place.SENT, key, rep, person)
        sender = from_ or person or sent.head.recipients[0]
        reply = self._answer(sent, sender, text=text, subject=_reply_subject(sent.head.subject))
        if cc:
            reply = replace(reply, cc=(("", cc),))
            copy = self.boxes.get(cc.lower())
            if copy is not None and copy is not box:
                self.receive(copy, reply.raw(self.clock.now()))
        return _told(box, self.receive(box, reply.raw(self.clock.now())))

    def prospect_writes(self, *, person: str, rep: str, subject: str, text: str = "") -> dict[str, Any]:
        """Write to the rep out of the blue: no reference to any mail."""
        box = self._box(rep)
        letter = Letter(
            sender=("", person),
            to=((box.name, box.email),),
            subject=subject,
            text=text or "Hello",
            message_id=_outside_id(person),
        )
        return _told(box, self.receive(box, letter.raw(self.clock.now())))

    def prospect_out_of_office(
        self, *, person: str = "", key: str = "", rep: str = "", text: str = "I am out of office.", marked: bool = True
    ) -> dict[str, Any]:
        """Answer automatically; `marked=False` leaves out every sign of it, as some servers do."""
        box, sent = self._one(Place.SENT, key, rep, person)
        sender = person or sent.head.recipients[0]
        subject = f"Automatic reply: {sent.head.subject}" if marked else _reply_subject(sent.head.subject)
        letter = self._answer(sent, sender, text=text, subject=subject)
        if marked:
            letter = replace(letter, headers=(("Auto-Submitted", "auto-replied"), ("X-Auto-Response-Suppress", "All")))
        return _told(box, self.receive(box, letter.raw(self.clock.now())))

    def prospect_bounces(
        self, *, person: str = "", key: str = "", rep: str = "", outcome: str = "failed", status: str = ""
    ) -> dict[str, Any]:
        """Let the mail server report on the last mail to the person: outcome is failed or delayed (RFC 3464)."""
        if outcome not in ("failed", "delayed"):
            raise ValueError(f"outcome is failed or delayed, not '{outcome}'")
        status = status or {"failed": "5.1.1", "delayed": "4.4.1"}[outcome]
        box, sent = self._one(Place.SENT, key, rep, person)
        failed = person or sent.head.recipients[0]
        words = {"failed": "550 5.1.1 the address does not exist", "delayed": "the server does not answer; retrying"}
        gmail = box.kind is Kind.GMAIL
        domain = box.email.partition("@")[2]
        kind = "Failure" if outcome == "failed" else "Delay"
        undelivered = "Undeliverable" if outcome == "failed" else "Delivery delayed"
        report = delivery_report(
            original=sent.raw,
            failed=failed,
            sender=("Mail Delivery Subsystem", "mailer-daemon@googlemail.com")
            if gmail
            else ("Microsoft Outlook", f"postmaster@{domain}"),
            # Graph names the failed recipient as the report's recipient (apis 3.10, 11).
            to=(box.name, box.email) if gmail else ("", failed),
            subject=f"Delivery Status Notification ({kind})" if gmail else f"{undelivered}: {sent.head.subject}",
            message_id=_outside_id("mailer-daemon@googlemail.com" if gmail else f"postmaster@{domain}"),
            reporter="googlemail.com" if gmail else "AM0PR01MB0001.eurprd01.prod.outlook.com",
            action=outcome,
            status=status,
            diagnostic=words[outcome].replace("5.1.1", status),
            at=self.clock.now(),
        )
        return _told(box, self.receive(box, report))

    def _answer(self, sent: StoredMail, sender: str, *, text: str, subject: str) -> Letter:
        quote = "".join(f"> {line}\n" for line in (open_letter(sent.raw).text or "").splitlines())
        references = (*sent.head.references, sent.head.message_id)
        return Letter(
            sender=(_name_in(sent.head.to, sender), sender),
            to=(sent.head.reply_to or (sent.head.sender,)),
            subject=subject,
            text=f"{text}\n\nOn {format_datetime(sent.at)}, {sent.head.sender[1]} wrote:\n{quote}",
            message_id=_outside_id(sender),
            in_reply_to=sent.head.message_id,
            references=references,
        )

    def _box(self, rep: str) -> Mailbox:
        box = self.boxes.get(rep.lower())
        if box is None:
            raise LookupError(f"{rep} has no mailbox in the sandbox")
        return box

    def _one(self, place: Place, key: str, rep: str, person: str) -> tuple[Mailbox, StoredMail]:
        if not (key or person):
            raise ValueError("name the mail: key, or person (and rep)")
        boxes = [self._box(rep)] if rep else list(self.boxes.values())
        found = [(box, mail) for box in boxes for mail in _named(box.at(place), key, person)]
        if not found:
            raise LookupError(
                f"no mail {f'with key {key}' if key else f'to {person}'} lies in the {place} of {rep or 'any mailbox'}"
            )
        return max(found, key=lambda one: (one[1].at, one[1].serial))

    def state(self, kind: Kind) -> dict[str, Any]:
        """Return every mailbox of a service as JSON."""
        with self.lock:
            self.settle()
            return {
                box.email: {"name": box.name, "mails": [_told(box, mail) for mail in box.mails.values()]}
                for box in self.boxes.values()
                if box.kind is kind
            }


def _put(box: Mailbox, mail: StoredMail) -> None:
    box.put(mail)


def _named(mails: Sequence[StoredMail], key: str, person: str) -> Iterator[StoredMail]:
    for mail in mails:
        if (not key or mail.stamp == key) and (not person or person.lower() in mail.head.recipients):
            yield mail


def _told(box: Mailbox, mail: StoredMail) -> dict[str, Any]:
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


def _name_in(people: Sequence[Who], address: str) -> str:
    return next((name for name, one in people if one.lower() == address.lower()), "")


def _reply_subject(subject: str) -> str:
    return subject if subject.lower().startswith("re:") else f"Re: {subject}"


def _outside_id(address: str) -> str:
    domain = address.partition("@")[2]
    return f"<{uuid.uuid4().hex}@{domain if is_deliverable(address) else 'outside.example'}>"
