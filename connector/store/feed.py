"""The ledger as a feed: the newest lines first, and what came after a line.

Lives here: reading lines for pages and for those who listen, and the tasks that stand beside them. Does not live here:
writing facts (`ledger`), what a line is called and who may see it (`sync.feed`).

Nothing but the number orders the ledger, and it is written too often to keep more indexes for those who look: a page
looks through so many lines and says where it stopped.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, text

from connector.events import Event, EventKind
from connector.intents import IntentState
from connector.store.database import Transaction
from connector.store.dialects import any_of
from connector.store.intents import StoredIntent, read_intents
from connector.store.ledger import as_event
from connector.store.schema import campaign_versions, intents, ledger

#: Lines that one page looks through at most: some hundredths of a second.
LOOKED_THROUGH = 100_000

_WITH_PEOPLE = text("state IN ('open', 'blocked', 'held', 'failed', 'unknown')")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Numbered facts, newest first."""

    found: list[tuple[int, Event]]
    #: Give it as `before` to read on; None when there is nothing older.
    older: int | None


def read_lines(
    tx: Transaction,
    *,
    most: int,
    before: int | None = None,
    reps: Collection[str] | None = None,
    kinds: Collection[EventKind] | None = None,
    campaign: str | None = None,
    person: str | None = None,
) -> Lines:
    """Return at most `most` facts, newest first; None as `reps` takes those of all, and those of nobody.

    There may be fewer though older ones are left, when `LOOKED_THROUGH` lines hold no more. Of one person all are
    looked through.
    """
    top = read_newest(tx) + 1 if before is None else before
    bottom = 0 if person is not None else max(0, top - LOOKED_THROUGH)
    conditions: list[ColumnElement[bool]] = [ledger.c.seq < top, ledger.c.seq >= bottom]
    given: dict[str, list[str]] = {}
    if reps is not None:
        conditions.append(any_of(ledger.c.rep, "reps"))
        given["reps"] = sorted(reps)
    if kinds is not None:
        conditions.append(any_of(ledger.c.kind, "kinds"))
        given["kinds"] = sorted(kind.value for kind in kinds)
    if campaign is not None:
        conditions.append(ledger.c.campaign == campaign)
    if person is not None:
        conditions.append(ledger.c.person == person)
    query = select(ledger).where(*conditions).order_by(ledger.c.seq.desc()).limit(most + 1)
    found = [(row.seq, as_event(row)) for row in tx.execute(query, given)]
    if len(found) > most:
        return Lines(found=found[:most], older=found[most - 1][0])
    return Lines(found=found, older=bottom if bottom > 1 else None)


def read_since(tx: Transaction, after: int, most: int) -> list[tuple[int, Event]]:
    """Return the first `most` facts after a line, in order."""
    query = select(ledger).where(ledger.c.seq > after).order_by(ledger.c.seq).limit(most)
    return [(row.seq, as_event(row)) for row in tx.execute(query)]


def read_newest(tx: Transaction) -> int:
    """Return the number of the newest line; 0 before the first."""
    return tx.execute(select(func.max(ledger.c.seq))).scalar() or 0


def read_campaign_names(tx: Transaction) -> list[str]:
    """Return the names of all campaigns that were ever launched."""
    return list(tx.execute(select(campaign_versions.c.name).distinct().order_by(campaign_versions.c.name)).scalars())


def read_due_tasks(tx: Transaction, rep: str, now: datetime, most: int) -> list[StoredIntent]:
    """Return a rep's open tasks that are due, those first that wait longest."""
    query = (
        select(intents.c.key)
        # The condition stands as a literal so that the partial index is used.
        .where(_WITH_PEOPLE, intents.c.rep == rep, intents.c.state == IntentState.OPEN.value, intents.c.due <= now)
        .order_by(intents.c.due_date, intents.c.due, intents.c.key)
        .limit(most)
    )
    keys = list(tx.execute(query).scalars())
    found = read_intents(tx, keys)
    return [found[key] for key in keys if key in found]
