"""Retention: what ended long ago is forgotten, a little at a time, so that nobody waits for it.

Lives here: `tidy`, `plan_tidy`. Does not live here: what goes with an enrollment (`store.retention`). Source: issue 6,
decision 34.

A campaign that has ended for a person goes as a whole: its enrollment, intents, mails, tasks and lines of the ledger,
so that what is left can still be replayed. A reply that comes later than that is one to a mail nobody knows.
Bytes of uploaded files that no mail names any more go a day later, whatever is kept otherwise: what is claimed by then
has gone out.
Each transaction leaves nothing half forgotten; one that is lost is done again the next time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connector.store.blobs import find_unnamed, forget_blobs
from connector.store.database import Transaction
from connector.store.retention import FIRST, Ended, forget, forget_received, read_ahead, read_ended, read_intent_keys
from connector.sync.office import Office

#: Enrollments, and received mails, a transaction: few, so that nobody waits long for it.
BATCH = 100

#: Uploaded files a transaction: each may be large.
_BLOBS = 5

#: How long the bytes of an uploaded file stay that no mail names.
UNNAMED = timedelta(days=1)


@dataclass(slots=True, kw_only=True)
class Tidied:
    """What was forgotten."""

    #: What is older is forgotten; None when all is kept.
    before: datetime | None = None
    #: Table -> rows.
    rows: Counter[str] = field(default_factory=Counter)
    #: Enrollments that are old enough and stay, because a mailbox or the CRM must hear of them still.
    kept: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        before = None if self.before is None else f"{self.before:%Y-%m-%dT%H:%M:%SZ}"
        return {"before": before, "forgotten": dict(sorted(self.rows.items())), "kept": self.kept}


def tidy(office: Office, now: datetime) -> Tidied:
    """Forget what ended longer ago than `retention.ended` says, in many small transactions."""
    tidied = Tidied(before=_before(office, now))
    if tidied.before is not None:
        _tidy_ended(office, tidied, tidied.before)
    _tidy_blobs(office, tidied, now - UNNAMED)
    return tidied


def _tidy_ended(office: Office, tidied: Tidied, before: datetime) -> None:
    after: Ended | None = FIRST
    while after is not None:
        with office.database.write() as tx:
            after = _tidy_batch(tx, tidied, before, after)
    count = BATCH
    while count == BATCH:
        with office.database.write() as tx:
            count = forget_received(tx, before, BATCH)
        tidied.rows["received"] += count


def _tidy_blobs(office: Office, tidied: Tidied, before: datetime) -> None:
    with office.database.read() as tx:
        unnamed = find_unnamed(tx, before)
    for at in range(0, len(unnamed), _BLOBS):
        with office.database.write() as tx:
            tidied.rows["blobs"] += forget_blobs(tx, unnamed[at : at + _BLOBS], before)


def plan_tidy(office: Office, now: datetime) -> Tidied:
    """Return how many enrollments and uploaded files `tidy` would forget, changing nothing."""
    tidied = Tidied(before=_before(office, now))
    after = FIRST
    while tidied.before is not None:
        with office.database.read() as tx:
            ended = read_ended(tx, tidied.before, BATCH, after=after)
            go, _ = _may_go(tx, ended)
        tidied.rows["enrollments"] += len(go)
        tidied.kept += len(ended) - len(go)
        if len(ended) < BATCH:
            break
        after = ended[-1]
    with office.database.read() as tx:
        unnamed = find_unnamed(tx, now - UNNAMED)
    if unnamed:
        tidied.rows["blobs"] = len(unnamed)
    return tidied


def _before(office: Office, now: datetime) -> datetime | None:
    kept: timedelta | None = office.keep_ended
    return None if kept is None else now - kept


def _tidy_batch(tx: Transaction, tidied: Tidied, before: datetime, after: Ended) -> Ended | None:
    """Forget some; return where to read on, None at the end."""
    ended = read_ended(tx, before, BATCH, after=after)
    go, keys = _may_go(tx, ended)
    if go:
        tidied.rows.update(forget(tx, go, keys, before))
    tidied.kept += len(ended) - len(go)
    return ended[-1] if len(ended) == BATCH else None


def _may_go(tx: Transaction, ended: list[Ended]) -> tuple[list[Ended], list[str]]:
    """Return those of which no service must hear any more, and the keys of their intents."""
    keys = read_intent_keys(tx, ended) if ended else {}
    ahead = read_ahead(tx, [key for one in keys.values() for key in one]) if ended else set()
    go = [one for one in ended if not ahead.intersection(keys[one.id])]
    return go, [key for one in go for key in keys[one.id]]
