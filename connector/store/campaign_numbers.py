"""Campaigns counted, and the people in one by pages: each statement reads one index, whatever else is kept.

Lives here: counts of enrollments by state, version and step, counts of intents by step and state, pages of enrollments.
Does not live here: what the numbers mean (`sync.campaign_views`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, false, func, or_, select, tuple_

from connector.intents import IntentState
from connector.sequencing.enrollment import Enrollment, EnrollmentState
from connector.store.database import Transaction
from connector.store.dialects import any_of
from connector.store.enrollments import read_enrollments
from connector.store.schema import enrollments, intents

#: Addresses of the reps whose people are meant; None for everybody's.
Reps = Collection[str] | None

#: (version, index among its steps): where an enrollment stands.
Position = tuple[str, int]

LIVE = (EnrollmentState.ACTIVE, EnrollmentState.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingCount:
    """How many enrollments of a campaign stand at one step of one version, in one state."""

    state: EnrollmentState
    version: str
    position: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCount:
    """How many intents of one step of one version are in one state."""

    version: str
    day: int
    step: int
    state: IntentState
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where reading the people of a campaign stands: the last one read."""

    rep: str
    position: int
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Which enrollments of a campaign are meant."""

    campaign: str
    reps: Reps
    states: Sequence[EnrollmentState]
    #: None for every step.
    at: Sequence[Position] | None = None


_RANK = (enrollments.c.rep, enrollments.c.position, enrollments.c.id)


def count_states(tx: Transaction, reps: Reps) -> dict[tuple[str, EnrollmentState], int]:
    """Return (campaign, state) -> number of enrollments."""
    columns = (enrollments.c.campaign, enrollments.c.state)
    query = select(*columns, func.count()).where(*_of(enrollments.c.rep, reps)).group_by(*columns)
    return {(row[0], EnrollmentState(row[1])): row[2] for row in tx.execute(query, _given(reps))}


def count_versions(tx: Transaction, reps: Reps) -> dict[tuple[str, str], int]:
    """Return (campaign, version) -> number of enrollments that have not ended."""
    columns = (enrollments.c.campaign, enrollments.c.version)
    live = enrollments.c.state.in_([state.value for state in LIVE])
    query = select(*columns, func.count()).where(live, *_of(enrollments.c.rep, reps)).group_by(*columns)
    return {(row[0], row[1]): row[2] for row in tx.execute(query, _given(reps))}


def count_standings(tx: Transaction, campaign: str, reps: Reps) -> list[StandingCount]:
    """Return how many enrollments of a campaign stand where, in which state."""
    columns = (enrollments.c.state, enrollments.c.version, enrollments.c.position)
    inside = (enrollments.c.campaign == campaign, *_of(enrollments.c.rep, reps))
    query = select(*columns, func.count()).where(*inside).group_by(*columns)
    return [
        StandingCount(state=EnrollmentState(state), version=version, position=position, count=count)
        for state, version, position, count in tx.execute(query, _given(reps))
    ]


def count_steps(tx: Transaction, campaign: str, reps: Reps) -> list[StepCount]:
    """Return how many intents of a campaign are in which state, by version and step."""
    columns = (intents.c.version, intents.c.day, intents.c.step, intents.c.state)
    inside = (intents.c.campaign == campaign, *_of(intents.c.rep, reps))
    query = select(*columns, func.count()).where(*inside).group_by(*columns)
    return [
        StepCount(version=version, day=day, step=step, state=IntentState(state), count=count)
        for version, day, step, state, count in tx.execute(query, _given(reps))
    ]


def read_members(tx: Transaction, members: Members, *, most: int, after: Place | None = None) -> list[Enrollment]:
    """Return at most `most` enrollments of one state by rep, step and launch, those behind `after`."""
    (state,) = members.states
    conditions = [enrollments.c.state == state.value, *_conditions(members)]
    if after is not None:
        conditions.append(tuple_(*_RANK) > (after.rep, after.position, after.id))
    query = select(enrollments.c.id).where(*conditions).order_by(*_RANK).limit(most)
    ids = list(tx.execute(query, _given(members.reps)).scalars())
    found = read_enrollments(tx, ids)
    return [found[one] for one in ids]


def find_member_ids(tx: Transaction, members: Members, *, ids: Collection[str] | None = None) -> list[str]:
    """Return the ids of all who are meant, or of those among `ids`, in order of launch."""
    conditions = [enrollments.c.state.in_([state.value for state in members.states]), *_conditions(members)]
    given = _given(members.reps)
    if ids is not None:
        conditions.append(any_of(enrollments.c.id, "ids"))
        given["ids"] = sorted(ids)
    # Sorted here: to have them in this order, SQLite would read the whole table by its key.
    return sorted(tx.execute(select(enrollments.c.id).where(*conditions), given).scalars())


def read_whose(tx: Transaction, persons: Collection[str]) -> dict[str, set[str]]:
    """Return person -> the reps in whose campaigns they are or were; who was in none is left out."""
    query = select(enrollments.c.person, enrollments.c.rep).where(any_of(enrollments.c.person, "persons")).distinct()
    found: dict[str, set[str]] = {}
    for person, rep in tx.execute(query, {"persons": sorted(persons)}):
        found.setdefault(person, set()).add(rep)
    return found


def _conditions(members: Members) -> list[ColumnElement[bool]]:
    conditions = [enrollments.c.campaign == members.campaign, *_of(enrollments.c.rep, members.reps)]
    if members.at is not None:
        here = [(enrollments.c.version == version) & (enrollments.c.position == at) for version, at in members.at]
        conditions.append(or_(false(), *here))
    return conditions


def _of(column: Column[Any], reps: Reps) -> list[ColumnElement[bool]]:
    return [] if reps is None else [any_of(column, "reps")]


def _given(reps: Reps) -> dict[str, Any]:
    return {} if reps is None else {"reps": sorted(reps)}
