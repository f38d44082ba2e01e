"""One mailbox of the simulated world: its mails, and its change log.

Lives here: `Mailbox`, `StoredMail`, `Change`, and the labels Gmail shows for a mail. Does not live here: how mail
travels (`mailworld`), how a service speaks (`gmail`, `graph`).

A mail is one value: its raw bytes and where it lies. Every change is one line in its mailbox's log, numbered from
`FIRST_SERIAL`; Gmail's history and Graph's delta are two readings of that log.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from adapters.sandbox.letter import Head
from connector.ports import STAMP_PROPERTY

#: Number of the first line of every mailbox's change log.
FIRST_SERIAL = 1000


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
    #: Gmail alone: taken out of the inbox, and kept.
    ARCHIVE = "archive"
    #: Gmail alone.
    SPAM = "spam"


#: Gmail's labels that come with a place.
PLACE_LABELS: Mapping[Place, tuple[str, ...]] = {
    Place.DRAFTS: ("DRAFT",),
    Place.SENT: ("SENT",),
    Place.INBOX: ("INBOX",),
    Place.SCHEDULED: ("SCHEDULED",),
    Place.ARCHIVE: (),
    Place.SPAM: ("SPAM",),
    Place.TRASH: ("TRASH",),
}


class What(StrEnum):
    """What happened to a mail, as the change log tells it."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    #: Gmail alone: only its labels are others.
    LABELS = "labels"


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
    #: Gmail's labels that say nothing about its place: STARRED, those the user made, INBOX on a sent mail.
    tags: frozenset[str] = frozenset()
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
    def labels(self) -> tuple[str, ...]:
        """Gmail's labels on it."""
        kept = ("SENT",) if self.place is Place.TRASH and self.was is Place.SENT else ()
        return (*(("UNREAD",) if self.unread else ()), *PLACE_LABELS[self.place], *kept, *sorted(self.tags))

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
    #: Gmail's labels after it, and those that came and went.
    labels: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


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
        #: Other addresses the person sends and gets mail as -> name shown with it.
        self.aliases: dict[str, str] = {}
        #: Labels the user made: id -> name.
        self.made_labels: dict[str, str] = {}
        #: The user's rules, in order: sender ("" for anybody) -> where what arrives is put.
        self.rules: dict[str, Place] = {}
        #: When a mail was sent from here, by whatever hand.
        self.sendings: list[datetime] = []

    @property
    def serial(self) -> int:
        """Number of the last change."""
        return FIRST_SERIAL + len(self.changes)

    def note(self, what: What, mail: StoredMail, *, before: Sequence[str] | None = None) -> None:
        """Write one line into the change log; `before` are the labels a mail had whose labels changed."""
        now = mail.labels
        had = now if before is None else tuple(before)
        mail.serial = self.serial + 1
        self.changes.append(
            Change(
                serial=mail.serial,
                what=what,
                id=mail.id,
                second_id=mail.second_id,
                thread=mail.thread,
                place=mail.place,
                labels=now,
                added=tuple(one for one in now if one not in had),
                removed=tuple(one for one in had if one not in now),
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

    def in_thread(self, thread: str) -> list[StoredMail]:
        """Return the mails of a thread, oldest first."""
        return sorted((mail for mail in self.mails.values() if mail.thread == thread), key=lambda mail: mail.at)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address of the person, the mailbox's own first."""
        return (self.email, *self.aliases)

    def landing(self, sender: str) -> Place:
        """Return where a mail of this sender lands: in the inbox, unless a rule moves it."""
        return next((place for who, place in self.rules.items() if who in ("", sender.lower())), Place.INBOX)

    def owns(self, address: str) -> bool:
        """Tell whether the address is this mailbox's."""
        return address.lower() == self.email

    def is_ghost(self, mail: StoredMail) -> bool:
        """Tell whether Gmail's pages do not show a draft: it answers a thread that lies in the bin (apis 2.2)."""
        others = [one for one in self.in_thread(mail.thread) if one is not mail and one.place is not Place.DRAFTS]
        return mail.place is Place.DRAFTS and bool(others) and all(one.place is Place.TRASH for one in others)
