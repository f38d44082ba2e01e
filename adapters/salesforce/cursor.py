"""How far a pull has come, as a text that the core stores with what the pull brought.

Lives here: `Cursor`, its text, and which rows are news. Does not live here: what is asked (`pull`).

Each of its two positions overlaps what was read before, because a change becomes visible when its transaction ends,
minutes after its stamp; what comes again is told by the mark of its row, since stamps have whole seconds and two
changes may carry the same one. Stored in the transaction that stores what it brought, it survives a crash anywhere.
Source: spec delivery 3, reference apis 1.8.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from adapters.salesforce.queries import Row
from adapters.salesforce.values import long_id, read_instant, stamp
from connector.errors import Refused

#: A transaction of the org lasts ten minutes at most, and what it wrote shows when it ends.
OVERLAP = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one kind of change was read: all that showed before `at - OVERLAP` is known."""

    #: None before the first pull.
    at: datetime | None = None
    #: id -> mark of the row, of what was delivered within the overlap.
    seen: Mapping[str, str] = field(default_factory=dict)

    def start(self, now: datetime) -> datetime:
        """Return the stamp to read from; the first pull starts now."""
        return now if self.at is None else self.at - OVERLAP

    def fresh(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows that were not delivered as they are."""
        return [row for row in rows if self.seen.get(long_id(row["Id"])) != _mark(row)]

    def after(self, rows: Sequence[Row], clock: datetime) -> Progress:
        """Move to the newest row, or on with the clock when nothing changes, so that the overlap empties."""
        newest = max((read_instant(row["SystemModstamp"]) for row in rows), default=clock)
        at = max(clock, newest, self.at or newest)
        kept = {
            long_id(row["Id"]): _mark(row)
            for row in rows
            if read_instant(row["SystemModstamp"]) >= at - OVERLAP - timedelta(seconds=1)
        }
        return Progress(at=at, seen=kept)

    def value(self) -> dict[str, Any] | None:
        """Return it for the text."""
        return None if self.at is None else {"stamp": stamp(self.at), "seen": dict(self.seen)}

    @classmethod
    def of(cls, kept: Any) -> Self:
        """Read it from the text."""
        if kept is None:
            return cls()
        return cls(at=read_instant(kept["stamp"]), seen={str(one): str(mark) for one, mark in kept["seen"].items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Both positions; the one of tasks stands still while tasks are not pulled."""

    people: Progress
    tasks: Progress

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Read a stored cursor, None before the first pull; raise `Refused` for one that is none."""
        if text is None:
            return cls(people=Progress(), tasks=Progress())
        try:
            kept = json.loads(text)
            if "stamp" in kept:
                # As release 2 wrote it, when only tasks were pulled: people are read from there on.
                before = Progress.of(kept)
                return cls(people=Progress(at=before.at), tasks=before)
            return cls(people=Progress.of(kept["people"]), tasks=Progress.of(kept["tasks"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refused("the stored Salesforce cursor cannot be read; it must be reset", code="cursor") from error

    def text(self) -> str:
        """Return it as the core stores it."""
        return json.dumps({"people": self.people.value(), "tasks": self.tasks.value()}, separators=(",", ":"))


def _mark(row: Row) -> str:
    """Return a short digest of a row."""
    values = json.dumps({name: row[name] for name in row if name != "attributes"}, sort_keys=True, default=str)
    return hashlib.blake2b(values.encode(), digest_size=8).hexdigest()
