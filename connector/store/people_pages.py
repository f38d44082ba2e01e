"""People by pages, as somebody looks for them.

Lives here: `find_people` and what one may look by. Does not live here: reading and changing people (`people`).

A page is read in the order of addresses until it is full, by what few have in common if there is something such.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, exists, select

from connector.sequencing.enrollment import ENDED_STATES, EnrollmentState
from connector.store.database import Transaction
from connector.store.dialects import one_of
from connector.store.feed import read_campaign_names
from connector.store.people import StoredPerson, read_people
from connector.store.people_words import find_by_words, words_of
from connector.store.schema import enrollments, people

#: Words of a search that count.
_MOST_WORDS = 6

#: Of a campaign, or a state, with more people than this, a page is soon full.
_FEW = 1_000

_LIVE = (EnrollmentState.ACTIVE, EnrollmentState.PAUSED)


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

    #: Beginnings of words of names, companies and addresses, each of which must occur.
    search: str = ""
    campaign: str = ""
    standing: Standing | None = None


def find_people(
    tx: Transaction, wanted: PeopleFilter, *, reps: Collection[str] | None, after: str = "", most: int
) -> list[StoredPerson]:
    """Return at most `most` people by address, from after one on.

    With `reps`, those who are or were in a campaign of theirs, and those who never were in any.
    """
    conditions = [people.c.email > after, *_standing(wanted)]
    conditions += find_by_words(tx, sorted(words_of(wanted.search))[:_MOST_WORDS])
    emails = _find(tx, [*conditions, *_theirs(tx, wanted, reps)], most)
    if reps is not None and not _is_of_campaign(wanted):
        # For itself: of "theirs or nobody's" databases find neither by an index.
        before = [people.c.email < emails[-1]] if len(emails) == most else []
        emails += _find(tx, [*conditions, *before, ~_enrolled([])], most)
        emails = _find(tx, [one_of(people.c.email, emails)], most)
    known = read_people(tx, emails)
    return [known[email] for email in emails if email in known]


def _find(tx: Transaction, conditions: list[ColumnElement[bool]], most: int) -> list[str]:
    query = select(people.c.email).where(*conditions).order_by(people.c.email).limit(most)
    return list(tx.execute(query).scalars())


def _is_of_campaign(wanted: PeopleFilter) -> bool:
    return bool(wanted.campaign) or wanted.standing in _STATES


def _standing(wanted: PeopleFilter) -> list[ColumnElement[bool]]:
    """Return the conditions of a standing that is about no campaign."""
    match wanted.standing:
        case Standing.IN_NONE:
            return [~_enrolled([enrollments.c.state.in_([state.value for state in _LIVE])])]
        case Standing.OPTED_OUT:
            return [people.c.opted_out.is_not(None)]
        case Standing.BOUNCED:
            return [people.c.bounced.is_not(None)]
        case _:
            return []


def _theirs(tx: Transaction, wanted: PeopleFilter, reps: Collection[str] | None) -> list[ColumnElement[bool]]:
    """Return the conditions that somebody is or was in a campaign and state, of these reps: few by their addresses."""
    if reps is None and not _is_of_campaign(wanted):
        return []
    inside = [] if reps is None else [enrollments.c.rep.in_(sorted(reps))]
    if wanted.standing in _STATES:
        inside.append(enrollments.c.state.in_([state.value for state in _STATES[wanted.standing]]))
    few = _few_enrolled(tx, wanted, reps)
    if few is not None:
        return [one_of(people.c.email, few)]
    return [_enrolled([*inside, *([enrollments.c.campaign == wanted.campaign] if wanted.campaign else [])])]


def _few_enrolled(tx: Transaction, wanted: PeopleFilter, reps: Collection[str] | None) -> set[str] | None:
    """Return who is, or was, in the campaign and state; None when they are many."""
    states = _STATES[wanted.standing] if wanted.standing in _STATES else tuple(EnrollmentState)
    # All that the index `enrollments_campaign` begins with, so that it is used.
    inside = [enrollments.c.state.in_([state.value for state in states])]
    inside += [] if reps is None else [enrollments.c.rep.in_(sorted(reps))]
    found: list[str] = []
    for campaign in [wanted.campaign] if wanted.campaign else read_campaign_names(tx):
        query = select(enrollments.c.person).where(enrollments.c.campaign == campaign, *inside)
        found += tx.execute(query.limit(_FEW + 1 - len(found))).scalars()
        if len(found) > _FEW:
            return None
    return set(found)


def _enrolled(conditions: list[ColumnElement[bool]]) -> ColumnElement[bool]:
    return exists().where(enrollments.c.person == people.c.email, *conditions)
