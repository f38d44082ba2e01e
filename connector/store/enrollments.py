"""Enrollments: rows to values and back, and finding those that are due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, time
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, func, insert, select, update

from connector.sequencing.enrollment import Enrollment, EnrollmentState
from connector.store.database import Transaction
from connector.store.schema import enrollments

_LIVE = enrollments.c.state.in_(["active", "paused"])
_INSERT = insert(enrollments)
_MOVING = (
    "version",
    "state",
    "position",
    "due",
    "due_date",
    "reason",
    "intent",
    "anchor_day",
    "anchor_date",
    "email_clocks",
    "next_due",
    "rep",
)
_UPDATE = (
    update(enrollments)
    .where(enrollments.c.id == bindparam("of_id"))
    .values({name: bindparam(f"new_{name}") for name in _MOVING})
)
_DUE = (
    select(enrollments)
    .where(enrollments.c.next_due <= bindparam("now"))
    .order_by(enrollments.c.next_due)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_BY_ID = select(enrollments).where(enrollments.c.id.in_(bindparam("ids", expanding=True))).with_for_update()


def insert_enrollments(tx: Transaction, new: Iterable[Enrollment]) -> None:
    """Insert in bulk; a second live enrollment of a person in a campaign breaks the transaction."""
    rows = [_row(enrollment) for enrollment in new]
    if rows:
        tx.execute(_INSERT, rows)


def update_enrollments(tx: Transaction, changed: Iterable[Enrollment]) -> None:
    """Write what can move, in bulk."""
    rows = []
    for enrollment in changed:
        row = {f"new_{name}": value for name, value in _moving(enrollment).items()}
        row["of_id"] = enrollment.id
        rows.append(row)
    if rows:
        tx.execute(_UPDATE, rows)


def read_due(tx: Transaction, now: datetime, most: int) -> list[Enrollment]:
    """Return at most `most` enrollments that are due, earliest first, locked for this transaction."""
    return [_enrollment(row) for row in tx.execute(_DUE, {"now": now, "most": most})]


def read_enrollments(tx: Transaction, ids: Sequence[str]) -> dict[str, Enrollment]:
    """Return enrollments by id, locked for this transaction."""
    if not ids:
        return {}
    return {row.id: _enrollment(row) for row in tx.execute(_BY_ID, {"ids": list(ids)})}


def find_enrollments(
    tx: Transaction,
    *,
    persons: Sequence[str] | None = None,
    campaign: str | None = None,
    rep: str | None = None,
    live: bool = True,
) -> list[Enrollment]:
    """Return enrollments by what is given, in order of launch; only those that have not ended unless `live` is off."""
    conditions: list[ColumnElement[bool]] = [_LIVE] if live else []
    if persons is not None:
        conditions.append(enrollments.c.person.in_(list(persons)))
    if campaign is not None:
        conditions.append(enrollments.c.campaign == campaign)
    if rep is not None:
        conditions.append(enrollments.c.rep == rep)
    query = select(enrollments).where(*conditions).order_by(enrollments.c.launched, enrollments.c.id)
    return [_enrollment(row) for row in tx.execute(query)]


def count_by_state(tx: Transaction, campaign: str | None = None) -> dict[tuple[str, str], int]:
    """Return (campaign, state) -> number of enrollments."""
    query = select(enrollments.c.campaign, enrollments.c.state, func.count()).group_by(
        enrollments.c.campaign, enrollments.c.state
    )
    if campaign is not None:
        query = query.where(enrollments.c.campaign == campaign)
    return {(row[0], row[1]): row[2] for row in tx.execute(query)}


def count_due(tx: Transaction, now: datetime) -> tuple[int, datetime | None]:
    """Return how many are due at `now`, and the earliest next due instant of all."""
    due = tx.execute(select(func.count()).select_from(enrollments).where(enrollments.c.next_due <= now)).scalar_one()
    earliest = select(func.min(enrollments.c.next_due)).where(enrollments.c.next_due.is_not(None))
    return due, tx.execute(earliest).scalar()


def _moving(enrollment: Enrollment) -> dict[str, Any]:
    clocks = enrollment.email_clocks
    return {
        "version": enrollment.version,
        "state": enrollment.state.value,
        "position": enrollment.position,
        "due": enrollment.due,
        "due_date": enrollment.due_date,
        "reason": enrollment.reason,
        "intent": enrollment.intent,
        "anchor_day": enrollment.anchor_day,
        "anchor_date": enrollment.anchor_date,
        "email_clocks": [[day, clock.isoformat()] for day, clock in clocks] if clocks else None,
        "next_due": enrollment.next_due,
        "rep": enrollment.rep,
    }


def _row(enrollment: Enrollment) -> dict[str, Any]:
    overrides = enrollment.overrides
    return {
        "id": enrollment.id,
        "campaign": enrollment.campaign,
        "person": enrollment.person,
        "zone": enrollment.zone,
        "launched": enrollment.launched,
        "start": enrollment.start,
        "overrides": {place: clock.isoformat() for place, clock in overrides.items()} if overrides else None,
        **_moving(enrollment),
    }


def _enrollment(row: Row[Any]) -> Enrollment:
    return Enrollment(
        id=row.id,
        campaign=row.campaign,
        version=row.version,
        person=row.person,
        rep=row.rep,
        zone=row.zone,
        launched=row.launched,
        start=row.start,
        overrides={place: time.fromisoformat(clock) for place, clock in (row.overrides or {}).items()},
        state=EnrollmentState(row.state),
        position=row.position,
        due=row.due,
        due_date=row.due_date,
        reason=row.reason,
        intent=row.intent,
        anchor_day=row.anchor_day,
        anchor_date=row.anchor_date,
        email_clocks=tuple((day, time.fromisoformat(clock)) for day, clock in row.email_clocks or ()),
    )
