"""People by pages, as somebody looks for them.

Lives here: `find_people` and what one may look by. Does not live here: reading and changing people (`people`).

Looking for a part of a name reads everybody in the order of their addresses until a page is full.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, exists, select

from connector.sequencing.enrollment import ENDED_STATES, EnrollmentState
from connector.store.database import Transaction
from connector.store.dialects import any_of
from connector.store.people import StoredPerson, read_people
from connector.store.schema import enrollments, people

#: Words of a search that count.
_MOST_WORDS = 6

_LIVE = (EnrollmentState.ACTIVE, EnrollmentState.PAUSED)
_TEXT = people.c.first_name + " " + people.c.last_name + " " + people.c.company + " " + people.c.email


class Standing(StrEnum):
    """How people stand."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"
    IN_NONE = "in_none"
    OPTED_OUT = "opted_out"
    BOUNCED = "bounced"


#: Those of them that are about a campaign -> its enrollment's states.
_STATES = {
    Standing.ACTIVE: (EnrollmentState.ACTIVE,),
    Standing.PAUSED: (EnrollmentState.PAUSED,),
    Standing.ENDED: tuple(ENDED_STATES),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleFilter:
    """Whom somebody looks for; empty means anybody."""

    #: Parts of names, companies and addresses, all of which must occur.
    search: str = ""
    campaign: str = ""
    standing: Standing | None = None


def find_people(
    tx: Transaction, wanted: PeopleFilter, *, reps: Collection[str] | None, after: str = "", most: int
) -> list[StoredPerson]:
    """Return at most `most` people by address, from after one on.

    With `reps`, those who are or were in a campaign of theirs, and those who never were in any.
    """
    conditions = [people.c.email > after, *_conditions(wanted, reps)]
    query = select(people.c.email).where(*conditions).order_by(people.c.email).limit(most)
    given: dict[str, Any] = {} if reps is None else {"reps": sorted(reps)}
    emails = list(tx.execute(query, given).scalars())
    found = read_people(tx, emails)
    return [found[email] for email in emails if email in found]


def _conditions(wanted: PeopleFilter, reps: Collection[str] | None) -> list[ColumnElement[bool]]:
    conditions = [_TEXT.icontains(word, autoescape=True) for word in wanted.search.split()[:_MOST_WORDS]]
    about_campaign = bool(wanted.campaign) or wanted.standing in _STATES
    if reps is not None and not about_campaign:
        conditions.append(_enrolled(_of(reps)) | ~_enrolled([]))
    inside = _of(reps)
    if wanted.campaign:
        inside.append(enrollments.c.campaign == wanted.campaign)
    if wanted.standing in _STATES:
        inside.append(enrollments.c.state.in_([state.value for state in _STATES[wanted.standing]]))
    if about_campaign:
        conditions.append(_enrolled(inside))
    match wanted.standing:
        case Standing.IN_NONE:
            conditions.append(~_enrolled([enrollments.c.state.in_([state.value for state in _LIVE])]))
        case Standing.OPTED_OUT:
            conditions.append(people.c.opted_out.is_not(None))
        case Standing.BOUNCED:
            conditions.append(people.c.bounced.is_not(None))
    return conditions


def _of(reps: Collection[str] | None) -> list[ColumnElement[bool]]:
    return [] if reps is None else [any_of(enrollments.c.rep, "reps")]


def _enrolled(conditions: list[ColumnElement[bool]]) -> ColumnElement[bool]:
    return exists().where(enrollments.c.person == people.c.email, *conditions)
