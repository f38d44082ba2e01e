"""Lanes: one row a mailbox and a CRM org, with the lease of whoever works it and its pacing.

Lives here: taking, renewing, guarding and releasing a lease, and the pacing state that follows the lane to any
machine. Does not live here: what is done under the lease (`sync`). Source: spec delivery 1.

The lease runs on the database's own clock; its fencing token grows at each taking, so that a holder that was frozen
past its lease finds out at its next write and stops.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date, datetime

from sqlalchemy import Float, bindparam, or_, select, update

from connector.store.database import Transaction
from connector.store.dialects import database_seconds, insert_or_ignore
from connector.store.schema import lanes

#: Seconds a lease lasts; more than three times the longest HTTP call, and renewed at each step.
LEASE_SECONDS = 60.0

#: Beginnings of the names of lanes that only let one in at a time, to renew a secret or to take a turn at what is no
#: mailbox: nothing is paced there, and nobody sees them.
RENEWALS = "secret:"
TURNS = "turn:"

_NOW = database_seconds()
_TAKE = (
    update(lanes)
    .where(lanes.c.key == bindparam("of_key"), or_(lanes.c.until < _NOW, lanes.c.owner == bindparam("of_owner")))
    .values(token=lanes.c.token + 1, owner=bindparam("of_owner"), until=_NOW + bindparam("seconds", type_=Float()))
    .returning(lanes.c.token)
)
_RELEASE = (
    update(lanes).where(lanes.c.key == bindparam("of_key"), lanes.c.token == bindparam("of_token")).values(until=0.0)
)


class FencedError(Exception):
    """Somebody else has taken the lane since; the holder must stop and change nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lane that is ours until the lease ends."""

    lane: str
    token: int


@dataclass(frozen=True, slots=True)
class Pacing:
    """How far a lane's pacing stands; instants aware, UTC."""

    next_at: datetime | None = None
    day: date | None = None
    day_count: int = 0
    #: Nothing is asked of the service before.
    blocked_until: datetime | None = None
    #: No mail is sent before, as the service said when one was; drafts are placed.
    sends_blocked_until: datetime | None = None
    #: What it said then; kept by itself, because whatever else goes well or wrong in the mailbox says nothing of it.
    sends_problem: str | None = None
    problem: str | None = None


_LOOKED = update(lanes).where(lanes.c.key == bindparam("of_key")).values(looked=bindparam("at"))
_PACING_NAMES = tuple(field.name for field in fields(Pacing))
_PACING = tuple(lanes.c[name] for name in _PACING_NAMES)
_SAVE = (
    update(lanes)
    .where(lanes.c.key == bindparam("of_key"))
    .values({column.name: bindparam(f"new_{column.name}", type_=column.type) for column in _PACING})
)
_RENEW = (
    update(lanes)
    .where(lanes.c.key == bindparam("of_key"), lanes.c.token == bindparam("of_token"))
    .values(until=_NOW + bindparam("seconds", type_=Float()))
    .returning(*_PACING)
)
_RENEW_AND_SAVE = _RENEW.values({column.name: bindparam(f"new_{column.name}", type_=column.type) for column in _PACING})
_OF_LANE = select(*_PACING).where(lanes.c.key == bindparam("of_key"))


def take(tx: Transaction, lane: str, owner: str) -> Lease | None:
    """Take the lane if nobody holds it, or a former holder of the same name does; None if somebody else does.

    `owner` is "sync" for the one sync that may run at a time: what a killed one left is taken over at once.
    """
    taking = {"of_key": lane, "of_owner": owner, "seconds": LEASE_SECONDS}
    token = tx.execute(_TAKE, taking).scalar()
    if token is None and _make(tx, lane):
        token = tx.execute(_TAKE, taking).scalar()
    return None if token is None else Lease(lane=lane, token=token)


def _make(tx: Transaction, lane: str) -> bool:
    """Make the row of a lane never used; False when it is there."""
    fresh = {"key": lane, "token": 0, "owner": "", "until": 0.0, "day_count": 0}
    # What comes back tells; PostgreSQL counts no rows of such a statement.
    return tx.execute(insert_or_ignore(tx, lanes).returning(lanes.c.key), fresh).first() is not None


def guard(tx: Transaction, lease: Lease, pacing: Pacing | None = None) -> Pacing:
    """Renew the lease, in the transaction that relies on it, and return the lane's pacing: `pacing`, if that is given.

    Raises `FencedError` when the lease was lost.
    """
    renewal = {"of_key": lease.lane, "of_token": lease.token, "seconds": LEASE_SECONDS}
    if pacing is None:
        row = tx.execute(_RENEW, renewal).first()
    else:
        row = tx.execute(_RENEW_AND_SAVE, renewal | _new(pacing)).first()
    if row is None:
        raise FencedError(lease.lane)
    return Pacing(*row)


def release(tx: Transaction, lease: Lease) -> None:
    """Give the lane back, if it is still ours."""
    tx.execute(_RELEASE, {"of_key": lease.lane, "of_token": lease.token})


def read_pacing(tx: Transaction, lane: str) -> Pacing:
    """Return the pacing of a lane; a lane never used has none."""
    row = tx.execute(_OF_LANE, {"of_key": lane}).first()
    return Pacing() if row is None else Pacing(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def save_pacing(tx: Transaction, lane: str, pacing: Pacing) -> None:
    """Write the pacing of a lane."""
    said = {"of_key": lane, **_new(pacing)}
    if tx.execute(_SAVE, said).rowcount != 1:
        _make(tx, lane)
        tx.execute(_SAVE, said)


def _new(pacing: Pacing) -> dict[str, object]:
    return {f"new_{name}": getattr(pacing, name) for name in _PACING_NAMES}


def list_lanes(tx: Transaction, only: str | None = None) -> dict[str, Pacing]:
    """Return every mailbox and CRM lane that was ever used, or `only` one, with its pacing."""
    hidden = or_(lanes.c.key.startswith(RENEWALS), lanes.c.key.startswith(TURNS))
    query = select(lanes.c.key, *_PACING).where(~hidden).order_by(lanes.c.key)
    if only is not None:
        query = query.where(lanes.c.key == only)
    return {key: Pacing(*pacing) for key, *pacing in tx.execute(query)}


def note_looked(tx: Transaction, lane: str, at: datetime) -> None:
    """Note that a lane was read to the end, or could not be."""
    tx.execute(_LOOKED, {"of_key": lane, "at": at})


def read_looked(tx: Transaction, only: str | None = None) -> dict[str, datetime]:
    """Return lane -> when it was last looked at, of all or of `only` one."""
    query = select(lanes.c.key, lanes.c.looked).where(lanes.c.looked.is_not(None))
    if only is not None:
        query = query.where(lanes.c.key == only)
    return {row.key: row.looked for row in tx.execute(query)}
