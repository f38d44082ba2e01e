"""Enrollments: rows to values and back, and finding those that are due."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time
from typing import Any

from sqlalchemy import ColumnElement, TextClause, TypeDecorator, bindparam, func, select, text, type_coerce, update

from connector.events import EventKind
from connector.sequencing.enrollment import Enrollment, EnrollmentState
from connector.store.bulk import BulkStatement
from connector.store.database import Transaction
from connector.store.dialects import any_of
from connector.store.schema import day, enrollments, instant, iso_date, json_text, ledger, microseconds

_STATES = {state.value: state for state in EnrollmentState}
_NEVER = datetime.max.replace(tzinfo=UTC)
_LIVE = text("state IN ('active', 'paused')")  # a literal, so that the partial index is used
_FIXED = ("id", "campaign", "person", "zone", "launched", "start", "overrides")
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
    "ended",
)
_INSERT = BulkStatement(enrollments, (*_FIXED, *_MOVING))
_UPDATE = BulkStatement(enrollments, (*_MOVING, "id"), where="id")
#: As stored: turning every column into its type costs more than the sequencer.
_RAW = tuple(
    type_coerce(column, column.type.impl) if isinstance(column.type, TypeDecorator) else column
    for column in enrollments.columns
    if column.name not in ("next_due", "paused_until", "ended")
)
_DUE = (
    select(*_RAW)
    .where(enrollments.c.next_due <= bindparam("now"))
    .order_by(enrollments.c.next_due)
    .limit(bindparam("most"))
)
_BY_ID = select(*_RAW).where(any_of(enrollments.c.id, "ids"))
_PAUSED_FOR = (
    select(ledger.c.reason)
    .where(
        ledger.c.person == enrollments.c.person,
        ledger.c.enrollment == enrollments.c.id,
        ledger.c.kind == EventKind.PAUSED.value,
    )
    .order_by(ledger.c.seq.desc())
    .limit(1)
    .correlate(enrollments)
    .scalar_subquery()
)
_INSIDE = select(enrollments.c.person).where(
    text("state IN ('active', 'paused')"),
    enrollments.c.campaign == bindparam("of_campaign"),
    any_of(enrollments.c.person, "persons"),
)
_CURRENT = (
    select(enrollments.c.person, enrollments.c.campaign)
    .where(text("state IN ('active', 'paused')"), any_of(enrollments.c.person, "persons"))
    .order_by(enrollments.c.launched, enrollments.c.id)
)


def insert_enrollments(tx: Transaction, new: Iterable[Enrollment]) -> None:
    """Insert in bulk; a second live enrollment of a person in a campaign breaks the transaction."""
    _INSERT.execute(tx, [(*_fixed(enrollment), *_moving(enrollment, None)) for enrollment in new])


def update_enrollments(tx: Transaction, changed: Iterable[Enrollment], now: datetime) -> None:
    """Write what can move, in bulk; those that have ended did so at `now`."""
    _UPDATE.execute(tx, [(*_moving(enrollment, now), enrollment.id) for enrollment in changed])


def read_due(tx: Transaction, now: datetime, most: int) -> list[Enrollment]:
    """Return at most `most` enrollments that are due, earliest first, locked for this transaction."""
    return [_enrollment(row) for row in tx.execute(_DUE, {"now": now, "most": most})]


def read_enrollments(tx: Transaction, ids: Sequence[str]) -> dict[str, Enrollment]:
    """Return enrollments by id, locked for this transaction."""
    if not ids:
        return {}
    return {row[0]: _enrollment(row) for row in tx.execute(_BY_ID, {"ids": list(ids)})}


def read_inside(tx: Transaction, campaign: str, persons: Sequence[str]) -> set[str]:
    """Return those of the people who are in the campaign and have not ended."""
    return set(tx.execute(_INSIDE, {"of_campaign": campaign, "persons": list(persons)}).scalars())


def read_current_campaigns(tx: Transaction, persons: Sequence[str]) -> dict[str, str]:
    """Return person -> the campaign they are in, the one launched last of several; who is in none is left out."""
    if not persons:
        return {}
    return {row.person: row.campaign for row in tx.execute(_CURRENT, {"persons": list(persons)})}


def pause_until(tx: Transaction, ids: Sequence[str], until: datetime | None) -> None:
    """Let the pause of enrollments end by itself at an instant, or not."""
    tx.execute(
        update(enrollments).where(any_of(enrollments.c.id, "ids")).values(paused_until=until), {"ids": list(ids)}
    )


def read_expired_pauses(tx: Transaction, now: datetime) -> list[Enrollment]:
    """Return paused enrollments whose pause has ended by itself."""
    query = select(*_RAW).where(enrollments.c.paused_until <= now, enrollments.c.state == "paused")
    return [_enrollment(row) for row in tx.execute(query)]


def read_paused_for(tx: Transaction, beginning: str) -> list[tuple[Enrollment, str]]:
    """Return paused enrollments, by person, with the reason of their last pause, where it begins so."""
    query = (
        select(*_RAW, _PAUSED_FOR)
        .where(text("state = 'paused'"), _PAUSED_FOR.startswith(beginning, autoescape=True))
        .order_by(enrollments.c.person, enrollments.c.id)
    )
    return [(_enrollment(row[:-1]), row[-1]) for row in tx.execute(query)]


def find_enrollments(
    tx: Transaction,
    *,
    persons: Sequence[str] | None = None,
    campaign: str | None = None,
    rep: str | None = None,
    live: bool = True,
) -> list[Enrollment]:
    """Return enrollments by what is given, in order of launch; only those that have not ended unless `live` is off."""
    conditions: list[ColumnElement[bool] | TextClause] = [_LIVE] if live else []
    if persons is not None:
        conditions.append(enrollments.c.person.in_(list(persons)))
    if campaign is not None:
        conditions.append(enrollments.c.campaign == campaign)
    if rep is not None:
        conditions.append(enrollments.c.rep == rep)
    query = select(*_RAW).where(*conditions).order_by(enrollments.c.launched, enrollments.c.id)
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


def _moving(enrollment: Enrollment, now: datetime | None) -> tuple[Any, ...]:
    clocks = enrollment.email_clocks
    return (
        enrollment.version,
        enrollment.state.value,
        enrollment.position,
        microseconds(enrollment.due),
        iso_date(enrollment.due_date),
        enrollment.reason,
        enrollment.intent,
        enrollment.anchor_day,
        iso_date(enrollment.anchor_date),
        json_text([[number, clock.isoformat()] for number, clock in clocks]) if clocks else None,
        microseconds(enrollment.next_due),
        enrollment.rep,
        microseconds(now) if enrollment.has_ended else None,
    )


def _fixed(enrollment: Enrollment) -> tuple[Any, ...]:
    overrides = enrollment.overrides
    return (
        enrollment.id,
        enrollment.campaign,
        enrollment.person,
        enrollment.zone,
        microseconds(enrollment.launched),
        microseconds(enrollment.start),
        json_text({place: clock.isoformat() for place, clock in overrides.items()}) if overrides else None,
    )


def _enrollment(row: Sequence[Any]) -> Enrollment:
    (
        id_,
        campaign,
        version,
        person,
        rep,
        zone,
        launched,
        start,
        overrides,
        state,
        position,
        due,
        due_date,
        reason,
        intent,
        anchor_day,
        anchor_date,
        email_clocks,
    ) = tuple(row)
    return Enrollment(
        id=id_,
        campaign=campaign,
        version=version,
        person=person,
        rep=rep,
        zone=zone,
        launched=instant(launched) or _NEVER,
        start=instant(start) or _NEVER,
        overrides=(
            {place: time.fromisoformat(clock) for place, clock in json.loads(overrides).items()} if overrides else {}
        ),
        state=_STATES[state],
        position=position,
        due=instant(due),
        due_date=day(due_date),
        reason=reason,
        intent=intent,
        anchor_day=anchor_day,
        anchor_date=day(anchor_date),
        email_clocks=_clocks(email_clocks) if email_clocks else (),
    )


def _clocks(text: str) -> tuple[tuple[int, time], ...]:
    return tuple((number, time.fromisoformat(clock)) for number, clock in json.loads(text))
