"""The feed: what happened, line by line, for those who may see it.

Lives here: what kind of line a fact is, which lines somebody asked for, and who the person of a line is. Does not live
here: reading the ledger (`store.feed`), sending lines to browsers (`web.broadcast`), printing (`cli`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from connector.events import Event, EventKind, sentence
from connector.people import Person
from connector.store import feed as store
from connector.store.database import Transaction
from connector.store.intents import StoredIntent
from connector.store.people import read_people
from connector.sync.office import Office


class Topic(StrEnum):
    """What a line is about; one may ask for the lines of one topic."""

    SENT = "sent"
    REPLIED = "replied"
    BOUNCED = "bounced"
    OPTED_OUT = "opted_out"
    TASKS = "tasks"
    PROBLEMS = "problems"
    CAMPAIGNS = "campaigns"
    #: What is due is told again by what comes of it, so that these lines are only shown to who asks for them.
    STEPS = "steps"


#: Digits of the shortest number that is called.
_SHORTEST_NUMBER = 5

#: Every kind of fact has its topic.
TOPICS: Mapping[EventKind, Topic] = {
    EventKind.LAUNCHED: Topic.CAMPAIGNS,
    EventKind.STEP_DUE: Topic.STEPS,
    EventKind.SENT: Topic.SENT,
    EventKind.COMPLETED: Topic.TASKS,
    EventKind.SKIPPED: Topic.TASKS,
    EventKind.REPLIED: Topic.REPLIED,
    EventKind.BOUNCED: Topic.BOUNCED,
    EventKind.OPTED_OUT: Topic.OPTED_OUT,
    EventKind.REMOVED: Topic.CAMPAIGNS,
    EventKind.PAUSED: Topic.CAMPAIGNS,
    EventKind.RESUMED: Topic.CAMPAIGNS,
    EventKind.FAILED: Topic.PROBLEMS,
    EventKind.FINISHED: Topic.CAMPAIGNS,
    EventKind.MIGRATED: Topic.CAMPAIGNS,
    EventKind.UNDONE: Topic.TASKS,
    EventKind.TASK_OPENED: Topic.TASKS,
    EventKind.DRAFT_CREATED: Topic.TASKS,
    EventKind.BLOCKED: Topic.PROBLEMS,
    EventKind.RELEASED: Topic.PROBLEMS,
    EventKind.HELD: Topic.PROBLEMS,
    EventKind.CANCELLED: Topic.CAMPAIGNS,
    EventKind.OUTCOME_UNKNOWN: Topic.PROBLEMS,
    EventKind.SNOOZED: Topic.TASKS,
    EventKind.RESCHEDULED: Topic.TASKS,
    EventKind.SEND_ASKED: Topic.TASKS,
    EventKind.SEND_CALLED_OFF: Topic.TASKS,
    EventKind.DRAFT_EDITED: Topic.TASKS,
    EventKind.DRAFT_DISCARDED: Topic.TASKS,
    EventKind.DRAFT_DELETED: Topic.TASKS,
    EventKind.DRAFT_LEFT: Topic.TASKS,
    EventKind.DRAFT_SCHEDULED: Topic.TASKS,
    EventKind.DRAFT_BACK: Topic.TASKS,
    EventKind.WRITTEN_BY_HAND: Topic.SENT,
    EventKind.TASK_DELETED: Topic.PROBLEMS,
    EventKind.TASK_REOPENED: Topic.TASKS,
    EventKind.TASK_REASSIGNED: Topic.TASKS,
    EventKind.TASK_CHANGED: Topic.TASKS,
    EventKind.TASK_RESTORED: Topic.TASKS,
    EventKind.TASK_EDITED: Topic.TASKS,
    EventKind.CONFLICT: Topic.TASKS,
    EventKind.OUT_OF_OFFICE: Topic.REPLIED,
    EventKind.DELAYED: Topic.BOUNCED,
    EventKind.UNCLASSIFIED: Topic.PROBLEMS,
    EventKind.OPT_OUT_UNDONE: Topic.OPTED_OUT,
    EventKind.PERSON_REPOINTED: Topic.CAMPAIGNS,
    EventKind.PERSON_AMBIGUOUS: Topic.PROBLEMS,
    EventKind.LEFT_OUT: Topic.CAMPAIGNS,
    EventKind.CRM_REFUSED: Topic.PROBLEMS,
    EventKind.PERSON_REFUSED: Topic.PROBLEMS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedLine:
    """One fact as a line."""

    #: Its number in the ledger: later facts have higher ones.
    seq: int
    event: Event
    #: None for somebody nobody knows more of than the address.
    person: Person | None

    @property
    def topic(self) -> Topic:
        """What it is about."""
        return topic_of(self.event)

    @property
    def text(self) -> str:
        """What happened, without its reason."""
        return sentence(self.event)

    @property
    def shown(self) -> str:
        """What happened, as a sentence that stands by itself; an address it begins with stays as it is."""
        begun = self.text.startswith(tuple(name for name in (self.event.person, self.event.rep) if name))
        said = self.text if begun else self.text[:1].upper() + self.text[1:]
        return said if said.endswith((".", "!", "?")) else f"{said}."

    @property
    def name(self) -> str:
        """The person's name, or the address of somebody without one; empty when it concerns nobody."""
        return name_of(self.person, self.event.person or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTask:
    """A task that stands beside the feed, to be done at once."""

    stored: StoredIntent
    person: Person | None

    @property
    def name(self) -> str:
        """The person's name, or their address."""
        return name_of(self.person, self.stored.intent.person)

    @property
    def call_address(self) -> str | None:
        """Where a click calls the person; None without a number."""
        return None if self.person is None else call_address(self.person.phone)

    @property
    def profile_address(self) -> str | None:
        """The person's profile, if its address is one that leads there over TLS."""
        return None if self.person is None else safe_address(self.person.linkedin_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedFilter:
    """Which lines somebody wants to see; None means any, without those about steps that became due."""

    topic: Topic | None = None
    campaign: str | None = None
    rep: str | None = None

    @property
    def kinds(self) -> list[EventKind]:
        """What facts may be among them."""
        return [kind for kind, topic in TOPICS.items() if self._takes(topic)]

    def matches(self, event: Event) -> bool:
        """Tell whether it is one of them."""
        return (
            self._takes(topic_of(event))
            and (self.campaign is None or event.campaign == self.campaign)
            and (self.rep is None or event.rep == self.rep)
        )

    def _takes(self, topic: Topic) -> bool:
        return topic is self.topic or (self.topic is None and topic is not Topic.STEPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """Some lines, newest first."""

    lines: list[FeedLine]
    #: Number to read on before; None when there is nothing older.
    older: int | None
    #: Number of the newest line of the whole ledger: what comes after it is not on this page.
    newest: int

    @property
    def groups(self) -> list[list[FeedLine]]:
        """The lines by person, whom something happened with last first; what concerns nobody stands by itself."""
        by_person: dict[str, list[FeedLine]] = {}
        for line in self.lines:
            by_person.setdefault(line.event.person or f"#{line.seq}", []).append(line)
        return list(by_person.values())


def topic_of(event: Event) -> Topic:
    """Return what a fact is about; a skipped, changed or cancelled one too."""
    return TOPICS[event.kind]


def may_see(event: Event, reps: Collection[str] | None) -> bool:
    """Tell whether a fact is of the work of one of these reps; None means all, and what is nobody's."""
    return reps is None or event.rep in reps


def touches_task_of(event: Event, reps: Collection[str] | None) -> bool:
    """Tell whether a fact may change what one of these reps has in the queue: a task given to them does, too."""
    if event.intent is None:
        return False
    return may_see(event, reps) or (event.kind is EventKind.TASK_REASSIGNED and event.data.get("owner") in (reps or ()))


def read_page(
    office: Office,
    *,
    reps: Collection[str] | None,
    wanted: FeedFilter,
    before: int | None = None,
    most: int = 50,
) -> FeedPage:
    """Return the newest lines that one may see and wants to, or those before a line."""
    if wanted.rep is not None:
        reps = [wanted.rep] if reps is None or wanted.rep in reps else []
    with office.database.read() as tx:
        newest = store.read_newest(tx)
        read = store.read_lines(tx, most=most, before=before, reps=reps, kinds=wanted.kinds, campaign=wanted.campaign)
        return FeedPage(lines=_lines(tx, read.found), older=read.older, newest=newest)


def read_after(office: Office, after: int, most: int) -> tuple[list[FeedLine] | None, int]:
    """Return every line after a number, of all reps, in order, and the newest number.

    None stands for more lines than `most`, or a number that never was: who has it reads the page anew.
    """
    with office.database.read() as tx:
        newest = store.read_newest(tx)
        if not after <= newest <= after + most:
            return None, newest
        lines = _lines(tx, store.read_since(tx, after, most))
    # On PostgreSQL more may have come between the two looks.
    return lines, lines[-1].seq if lines else newest


def read_newest(office: Office) -> int:
    """Return the number of the newest line; 0 before the first."""
    with office.database.read() as tx:
        return store.read_newest(tx)


def read_due(office: Office, reps: Iterable[str], most: int) -> list[DueTask]:
    """Return the tasks of reps that are due now, those first that wait longest."""
    with office.database.read() as tx:
        found = [one for rep in reps for one in store.read_due_tasks(tx, rep, office.now(), most)]
        due = sorted(found, key=lambda one: (one.intent.due_date, one.intent.due, one.intent.key))[:most]
        known = read_people(tx, {stored.intent.person for stored in due})
    persons = {email: stored.person for email, stored in known.items()}
    return [DueTask(stored=stored, person=persons.get(stored.intent.person)) for stored in due]


def name_of(person: Person | None, email: str) -> str:
    """Return a person's name, or the address of somebody without one."""
    return ("" if person is None else f"{person.first_name} {person.last_name}".strip()) or email


def call_address(phone: str) -> str | None:
    """Return the address by which a click calls a number (RFC 3966), extensions and words left out; None for none."""
    number = phone.lower().partition("x")[0]
    digits = re.sub(r"[^0-9]", "", number)
    return f"tel:{'+' if number.strip().startswith('+') else ''}{digits}" if len(digits) >= _SHORTEST_NUMBER else None


def safe_address(address: str) -> str | None:
    """Return an address of other people's making if it is an https one of a host, else None."""
    try:
        parts = urlsplit(address)
        good = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return None
    return address if good and address.isprintable() and not set(address) & set(' "<>\\') else None


def _lines(tx: Transaction, found: Iterable[tuple[int, Event]]) -> list[FeedLine]:
    found = list(found)
    known = read_people(tx, {event.person for _, event in found if event.person})
    persons = {email: stored.person for email, stored in known.items()}
    return [FeedLine(seq=seq, event=event, person=persons.get(event.person or "")) for seq, event in found]
