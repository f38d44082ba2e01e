"""The queue as pages and the API show it: the rep's own today, a page at a time, counted as far as it matters.

Lives here: `QueueFilter`, `read_queue_page`, `count_ranges`, `read_rows`. Does not live here: SQL (`store.queue`),
acting on tasks (`bulk`).
Source: issue 7, interfaces 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from connector.errors import BadInput
from connector.intents import IntentState, StepType
from connector.people import Person
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, read_intents
from connector.store.mails import MailState, StoredMail, read_mails
from connector.store.people import read_people
from connector.store.queue import Days, Place, Wanted, count_queue, read_queue, read_queue_back
from connector.store.tasks import StoredTask, read_tasks
from connector.store.words import words_in
from connector.sync.office import Office
from connector.sync.views import TASK_STATES

#: Tasks a page, and how many are counted: "1,000+" tells as much as a number.
PAGE = 50
COUNTED = 1_000

#: Words of a search that count.
_WORDS = 5


class Range(StrEnum):
    """Tasks by their date of due, as their rep's own date is."""

    TODAY = "today"
    OVERDUE = "overdue"
    UPCOMING = "upcoming"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFilter:
    """Which tasks are asked for."""

    range: Range = Range.ALL
    type: StepType | None = None
    campaign: str | None = None
    #: Address.
    rep: str | None = None
    #: Beginnings of words: of the person's name, address and company, and of the subject.
    search: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One task as the queue shows it."""

    stored: StoredIntent
    person: Person | None
    mail: StoredMail | None
    #: Its task in the CRM, if it is there or will be.
    task: StoredTask | None
    overdue: bool
    #: Kind of mailbox of the rep; None for one who is not in connector.yaml any more.
    mailbox: str | None

    @property
    def place(self) -> str:
        """Where it stands in the queue's order, as an address says it."""
        return _place_of(self.stored)

    @property
    def draft_opens(self) -> bool:
        """Whether there is a mail to open."""
        opens = self.stored.intent.type is StepType.EMAIL and self.stored.state is IntentState.OPEN
        return opens and (self.mail is None or self.mail.state is not MailState.SENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePage:
    """Some tasks in the queue's order."""

    rows: Sequence[Row]
    #: Give it as `after` to read on; None at the end.
    next: str | None


def wanted(office: Office, asked: QueueFilter, reps: frozenset[str] | None) -> Wanted:
    """Return what a filter means for somebody who may see the tasks of these reps (None: of all)."""
    seen = reps
    if asked.rep is not None:
        seen = frozenset({asked.rep}) if reps is None or asked.rep in reps else frozenset()
    return Wanted(
        reps=seen,
        days=_days(office, asked.range, seen),
        type=None if asked.type is None else asked.type.value,
        campaign=asked.campaign,
        words=tuple(words_in(asked.search)[:_WORDS]),
    )


def read_queue_page(
    office: Office, asked: QueueFilter, *, reps: frozenset[str] | None, after: str | None = None, most: int = PAGE
) -> QueuePage:
    """Return a page of the queue; `after` is `next` of the one before. Raise `BadInput` for another."""
    with office.database.read() as tx:
        found = read_queue(tx, wanted(office, asked, reps), most + 1, after=_place(after))
        rows = rows_of(office, tx, found[:most])
    return QueuePage(rows=rows, next=rows[-1].place if len(found) > most else None)


def read_place_before(office: Office, asked: QueueFilter, *, reps: frozenset[str] | None, after: str) -> str | None:
    """Return the `after` of the task before the one after a place; None where there is none."""
    place = _place(after)
    if place is None:
        return None
    with office.database.read() as tx:
        found = read_queue_back(tx, wanted(office, asked, reps), 2, upto=place)
    return None if not found else "" if len(found) == 1 else _place_of(found[1])


def count_ranges(office: Office, asked: QueueFilter, *, reps: frozenset[str] | None) -> dict[Range, int]:
    """Return how many tasks each range has under the filter without its search; `COUNTED + 1` stands for more."""
    with office.database.read() as tx:
        return {
            one: count_queue(tx, wanted(office, replace(asked, range=one, search=""), reps), COUNTED + 1)
            for one in Range
        }


def count_exactly(office: Office, asked: QueueFilter, *, reps: frozenset[str] | None) -> int:
    """Return how many tasks a filter lets through."""
    with office.database.read() as tx:
        return count_queue(tx, wanted(office, asked, reps))


def read_rows(office: Office, keys: Sequence[str], *, reps: frozenset[str] | None) -> list[Row]:
    """Return tasks by key as the queue shows them, in the order given; what nobody of these reps has is left out."""
    with office.database.read() as tx:
        found = read_intents(tx, keys)
        theirs = [found[key] for key in keys if key in found]
        return rows_of(office, tx, [one for one in theirs if reps is None or one.intent.rep in reps])


def rows_of(office: Office, tx: Transaction, found: Sequence[StoredIntent]) -> list[Row]:
    """Return tasks with all that is shown of them."""
    keys = [stored.intent.key for stored in found]
    people = read_people(tx, sorted({stored.intent.person for stored in found}))
    mails, tasks = read_mails(tx, keys), read_tasks(tx, keys) if office.mirrors_tasks else {}
    today = _Today(office)
    rows = []
    for stored in found:
        intent, rep = stored.intent, office.reps.get(stored.intent.rep)
        known = people.get(intent.person)
        rows.append(
            Row(
                stored=stored,
                person=None if known is None else known.person,
                mail=mails.get(intent.key),
                task=tasks.get(intent.key),
                overdue=intent.due_date < today.of(intent.rep),
                mailbox=None if rep is None else rep.mailbox,
            )
        )
    return rows


def lets_through(office: Office, asked: QueueFilter, row: Row) -> bool:
    """Tell whether a task is among those that a filter's range, type, campaign and rep ask for, and still waits."""
    intent, today = row.stored.intent, _Today(office).of(row.stored.intent.rep)
    span = _range(asked.range, today, None)
    return (
        row.stored.state in TASK_STATES
        and (span.first is None or intent.due_date >= span.first)
        and (span.before is None or intent.due_date < span.before)
        and asked.type in (None, intent.type)
        and asked.campaign in (None, intent.campaign)
        and asked.rep in (None, intent.rep)
    )


class _Today:
    """The date that it is for each rep."""

    def __init__(self, office: Office) -> None:
        now = office.now()
        self.known = {rep.email: now.astimezone(rep.zone).date() for rep in office.reps.values()}
        self.elsewhere = now.astimezone(UTC).date()

    def of(self, rep: str) -> date:
        return self.known.get(rep, self.elsewhere)


def _days(office: Office, asked: Range, reps: frozenset[str] | None) -> tuple[Days, ...]:
    """Return which dates a range means; the reps of one date together."""
    if asked is Range.ALL:
        return (Days(),)
    today = _Today(office)
    shown = {rep: day for rep, day in today.known.items() if reps is None or rep in reps}
    strangers = reps is None or not reps <= today.known.keys()
    dates = set(shown.values()) | ({today.elsewhere} if strangers or not shown else set())
    if len(dates) == 1:
        return (_range(asked, dates.pop(), None),)
    by_date = [
        _range(asked, one, frozenset(rep for rep, day in shown.items() if day == one)) for one in set(shown.values())
    ]
    return (*by_date, *([_range(asked, today.elsewhere, None)] if strangers else []))


def _range(asked: Range, today: date, reps: frozenset[str] | None) -> Days:
    tomorrow = today + timedelta(days=1)
    first, before = {
        Range.TODAY: (today, tomorrow),
        Range.OVERDUE: (None, today),
        Range.UPCOMING: (tomorrow, None),
        Range.ALL: (None, None),
    }[asked]
    return Days(first=first, before=before, reps=reps)


def _place_of(stored: StoredIntent) -> str:
    intent = stored.intent
    return f"{intent.due_date.isoformat()}~{intent.due.astimezone(UTC):%Y%m%dT%H%M%S%f}~{intent.key}"


def _place(text: str | None) -> Place | None:
    if not text:
        return None
    try:
        day, instant, key = text.split("~")
        due = datetime.strptime(instant, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
        return Place(due_date=date.fromisoformat(day), due=due, key=key)
    except ValueError:
        raise BadInput("the page's place in the queue cannot be read: begin at the first page") from None
