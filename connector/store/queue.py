"""The queue: what waits for reps, filtered, counted and a page at a time.

Lives here: `Wanted`, `Place`, `read_queue`, `read_queue_back`, `count_queue`, `read_queue_keys`. Does not live here:
which dates "today" stands for, what is shown of a task (`sync.queue`), the words tasks are found by (`words`).

Each statement is told by an index in the queue's own order, so that a page costs what a page shows: that of a rep, of a
campaign, of a type, or of everybody. A search begins with the rarest of its words: what few tasks have is looked up by
it, what many have is soon found in the queue's order. So are the tasks of several reps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    TextClause,
    Tuple,
    and_,
    bindparam,
    exists,
    false,
    func,
    or_,
    select,
    text,
    tuple_,
)

from connector.store.database import Transaction
from connector.store.dialects import one_of
from connector.store.intents import StoredIntent, as_stored
from connector.store.schema import intents, task_words

#: As the indexes of the queue say it, so that they are used.
_WITH_PEOPLE = "intents.state IN ('open', 'blocked', 'held', 'failed', 'unknown')"
_ORDER = (intents.c.due_date, intents.c.due, intents.c.key)

#: A word that more tasks have than this is looked for in the queue's order; so are reps who have more together.
_FEW = 1_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: No date of a task is earlier.
FIRST_DAY = date(1970, 1, 1)

_HAVING = (
    select(task_words.c.key)
    .where(task_words.c.word >= bindparam("from_word"), task_words.c.word < bindparam("before_word"))
    .limit(_FEW + 1)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the queue's order a task stands; a page begins after one."""

    due_date: date
    due: datetime
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Dates of due, for the reps who have them: the first that counts, and the first that does not any more."""

    first: date | None = None
    before: date | None = None
    #: Addresses; None for all whom no other entry names.
    reps: frozenset[str] | None = None

    @property
    def until(self) -> date:
        """The last date that counts, for ever if there is none."""
        return date.max if self.before is None else self.before - timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which tasks are asked for."""

    #: Addresses; None for everybody.
    reps: frozenset[str] | None = None
    #: Dates of due, by rep; several where it is not the same day everywhere.
    days: tuple[Days, ...] = (Days(),)
    type: str | None = None
    campaign: str | None = None
    #: As `words.words_in` writes them; each must begin a word of the task.
    words: tuple[str, ...] = field(default=())


def read_queue(tx: Transaction, wanted: Wanted, most: int, *, after: Place | None = None) -> list[StoredIntent]:
    """Return at most `most` tasks, those due first first; `after` is where the page before ended."""
    conditions = _conditions(tx, wanted, after)
    query = select(intents).where(*conditions).order_by(*_ORDER).limit(most)
    return [as_stored(row) for row in tx.execute(query)]


def read_queue_back(tx: Transaction, wanted: Wanted, most: int, *, upto: Place) -> list[StoredIntent]:
    """Return at most `most` tasks up to a place in the queue's order, the last of them first."""
    conditions = [*_conditions(tx, wanted, None), tuple_(*_ORDER) <= _bound(upto)]
    query = select(intents).where(*conditions).order_by(*(column.desc() for column in _ORDER)).limit(most)
    return [as_stored(row) for row in tx.execute(query)]


def read_queue_keys(tx: Transaction, wanted: Wanted, most: int) -> list[str]:
    """Return the keys of at most `most` tasks, those due first first."""
    query = select(intents.c.key).where(*_conditions(tx, wanted, None)).order_by(*_ORDER).limit(most)
    return list(tx.execute(query).scalars())


def count_queue(tx: Transaction, wanted: Wanted, most: int | None = None) -> int:
    """Return how many tasks there are; with `most`, no more than that are counted."""
    inner = select(intents.c.key).where(*_conditions(tx, wanted, None))
    if most is not None:
        # In the queue's order: then no database thinks of reading them all first.
        inner = inner.order_by(*_ORDER).limit(most)
    return int(tx.execute(select(func.count()).select_from(inner.subquery())).scalar_one())


def _conditions(tx: Transaction, wanted: Wanted, after: Place | None) -> list[ColumnElement[bool] | TextClause]:
    conditions: list[ColumnElement[bool] | TextClause] = [text(_WITH_PEOPLE)]
    if wanted.reps is not None:
        conditions.append(_of_reps(tx, wanted.reps))
    conditions += _within(wanted.days, after)
    of_one = wanted.reps is not None and len(wanted.reps) == 1
    for column, value in ((intents.c.type, wanted.type), (intents.c.campaign, wanted.campaign)):
        if value is not None:
            # Not the bare column where one rep's index counts: all of a campaign are more than all of a rep.
            conditions.append((column.concat("") if of_one else column) == value)
    return conditions + _saying(tx, wanted.words)


def _of_reps(tx: Transaction, reps: frozenset[str]) -> ColumnElement[bool]:
    if len(reps) == 1:
        return intents.c.rep == next(iter(reps))
    theirs = select(intents.c.key).where(text(_WITH_PEOPLE), intents.c.rep.in_(sorted(reps)))
    keys = list(tx.execute(theirs.limit(_FEW + 1)).scalars())
    if len(keys) <= _FEW:
        return one_of(intents.c.key, keys)
    # Not the bare column: of so many tasks the queue's order counts, not the index of each rep.
    return one_of(intents.c.rep.concat(""), reps)


def _within(days: Sequence[Days], after: Place | None) -> list[ColumnElement[bool]]:
    """Return the dates as one range of the order, and, where reps have different dates, what is left out of it."""
    first = min((one.first or FIRST_DAY for one in days), default=FIRST_DAY)
    begin = Place(due_date=first, due=_EPOCH, key="")
    if after is not None and (after.due_date, after.due, after.key) > (begin.due_date, begin.due, begin.key):
        begin = after
    inside: list[ColumnElement[bool]] = [tuple_(*_ORDER) > _bound(begin)]
    if all(one.before is not None for one in days):
        inside.append(intents.c.due_date <= max(one.until for one in days))
    if len(days) > 1:
        named = frozenset().union(*(one.reps or frozenset() for one in days))
        inside.append(or_(false(), *(_of_these(one, named) for one in days)))
    return inside


def _bound(place: Place) -> Tuple:
    values = (place.due_date, place.due, place.key)
    return tuple_(
        *(bindparam(None, value, type_=column.type, unique=True) for value, column in zip(values, _ORDER, strict=True))
    )


def _of_these(days: Days, named: frozenset[str]) -> ColumnElement[bool]:
    whose = one_of(intents.c.rep, named)
    parts = [~whose if days.reps is None else one_of(intents.c.rep, days.reps)]
    if days.first is not None:
        parts.append(intents.c.due_date >= days.first)
    if days.before is not None:
        parts.append(intents.c.due_date < days.before)
    return and_(*parts)


def _saying(tx: Transaction, words: Sequence[str]) -> list[ColumnElement[bool]]:
    """Return the conditions of a search: few tasks by their keys, the other words looked for in each of them."""
    found: list[tuple[int, list[str], str]] = []
    for word in words:
        keys = list(dict.fromkeys(tx.execute(_HAVING, {"from_word": word, "before_word": f"{word}g"}).scalars()))
        if len(keys) <= _FEW:
            found.append((len(keys), keys, word))
    rarest = min(found, default=None, key=lambda one: one[0])
    conditions = [_has(word) for word in words if rarest is None or word != rarest[2]]
    if rarest is not None:
        conditions.insert(0, one_of(intents.c.key, rarest[1]))
    return conditions


def _has(word: str) -> ColumnElement[bool]:
    begins = (task_words.c.word >= word, task_words.c.word < f"{word}g")
    return exists().where(task_words.c.key == intents.c.key, *begins)
