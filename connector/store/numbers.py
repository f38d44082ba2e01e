"""Numbers: what was sent, answered, came back and was done in a range of time, counted by the database.

Lives here: the questions that are asked of ledger, mails and intents. Does not live here: what a range is and how
rows become tables (`sync.numbers`).

A reply, bounce or opt-out belongs to the last email that lay in Sent before it, of that person and campaign. A mail or
a task counts once in a range, at its first event there (`read_counts`); `count_events` counts every event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal,
    null,
    or_,
    select,
    text,
    type_coerce,
    union_all,
)

from connector.events import EventKind
from connector.intents import IntentState
from connector.store.database import Transaction
from connector.store.dialects import any_of, day_number
from connector.store.schema import campaign_versions, intents, ledger, mails, microseconds
from connector.store.schema_compositions import compositions

_MICROSECONDS = 1_000_000
_DAY = 86_400 * _MICROSECONDS
_EPOCH = date(1970, 1, 1).toordinal()


class Measure(StrEnum):
    """What is counted."""

    SENT = "sent"
    REPLIED = "replied"
    BOUNCED = "bounced"
    OPTED_OUT = "opted_out"
    DONE = "done"


#: Facts that are about a person and belong to a mail.
_OUTCOMES = (EventKind.REPLIED, EventKind.BOUNCED, EventKind.OPTED_OUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is counted: from `since` until before `until` (aware, UTC)."""

    since: datetime
    until: datetime
    #: Addresses of the reps whose work counts; None for everybody's, and for what is nobody's.
    reps: frozenset[str] | None
    #: Rep -> zone, of those who have one; by it a task is in time. Others are taken to be in UTC.
    zones: Mapping[str, ZoneInfo]
    campaign: str | None = None
    #: How the reason of a reply ends that somebody else wrote.
    not_theirs: str = ""

    @property
    def given(self) -> dict[str, Any]:
        """The parameters of every statement."""
        given = {"since": self.since, "until": self.until, "reps": sorted(self.reps or ()), "campaign": self.campaign}
        return given | {_in_zone(zone): reps for zone, reps in self.reps_by_zone.items()}

    @property
    def reps_by_zone(self) -> dict[str, list[str]]:
        """Name of a zone -> reps in it whose work counts."""
        found: dict[str, list[str]] = {}
        for rep, zone in sorted(self.zones.items()):
            if self.reps is None or rep in self.reps:
                found.setdefault(zone.key, []).append(rep)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceCount:
    """How often something happened at one step of a version, in the work of one rep."""

    measure: Measure
    #: Both None for an opt-out of somebody to whom nothing was sent.
    rep: str | None
    campaign: str | None
    #: None from here on when it belongs to no mail in Sent.
    version: str | None
    day: int | None
    step: int | None
    type: str | None
    #: The template that a rep chose in place of the step's; None when they chose none.
    template: str | None
    count: int
    #: Of tasks done: how many on their due date or before.
    in_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCount:
    """How often something happened on one local day, in the work of one rep."""

    measure: Measure
    rep: str | None
    day: date
    count: int
    in_time: int


def read_counts(tx: Transaction, asked: Asked, zone: ZoneInfo) -> tuple[list[PlaceCount], list[DayCount]]:
    """Return how many mails and tasks, each counted once: by campaign version and step, and by day in `zone`.

    Both by rep, and out of one look at the rows.
    """
    units = _units(asked).cte("units")
    local_day = _local_day(units.c.at, zone, asked)
    who = (units.c.measure, units.c.rep)
    place = (units.c.campaign, units.c.version, units.c.day, units.c.step, units.c.type, units.c.template)
    many = (func.count(), func.sum(units.c.in_time))
    nowhere = [null() for _ in place]
    by_place = select(*who, *place, literal(-1), *many).group_by(*who, *place)
    by_day = select(*who, *nowhere, local_day, *many).group_by(*who, local_day)
    places, days = [], []
    for measure, rep, campaign, version, day, step, type_, template, on, count, in_time in tx.execute(
        union_all(by_place, by_day), asked.given
    ):
        what, timely = Measure(measure), int(in_time)
        if on < 0:
            place_count = PlaceCount(
                measure=what,
                rep=rep,
                campaign=campaign,
                version=version,
                day=day,
                step=step,
                type=type_,
                template=template,
                count=count,
                in_time=timely,
            )
            places.append(place_count)
        else:
            on_day = date.fromordinal(_EPOCH + on)
            days.append(DayCount(measure=what, rep=rep, day=on_day, count=count, in_time=timely))
    return places, days


def count_events(tx: Transaction, asked: Asked) -> dict[Measure, int]:
    """Return how often replies, bounces and opt-outs happened, however many campaigns of a person each concerned."""
    found = _outcomes(asked).subquery()
    once = select(found.c.measure, found.c.person, found.c.at).distinct().subquery()
    query = select(once.c.measure, func.count()).group_by(once.c.measure)
    return {Measure(row[0]): row[1] for row in tx.execute(query, asked.given)}


def list_campaigns(tx: Transaction) -> list[str]:
    """Return the names of all campaigns that were ever launched."""
    query = select(campaign_versions.c.name).distinct().order_by(campaign_versions.c.name)
    return list(tx.execute(query).scalars())


_SINCE, _UNTIL = bindparam("since", type_=mails.c.sent.type), bindparam("until", type_=mails.c.sent.type)
_AT = type_coerce(ledger.c.at, BigInteger)
_PLACE = (intents.c.version, intents.c.day, intents.c.step, intents.c.type, compositions.c.template)
#: What a rep wrote from another template than their step's.
_COMPOSED = and_(compositions.c.key == intents.c.key, text("compositions.applied = 1"))
# As the index `ledger_counted` says it, so that it is used.
_COUNTED = text("ledger.kind IN ('completed', 'replied', 'bounced', 'opted_out')")


def _units(asked: Asked) -> Any:
    """Return each mail sent, each mail with an outcome, and each task done, once, at its first event."""
    found = _outcomes(asked).subquery()
    # One with no mail in Sent counts once for its campaign.
    unit = func.coalesce(found.c.mail, found.c.enrollment, found.c.person)
    where = (found.c.campaign, found.c.version, found.c.day, found.c.step, found.c.type, found.c.template)
    who = (found.c.measure, found.c.rep, *where)
    outcomes = select(*who, func.min(found.c.at).label("at"), literal(0).label("in_time")).group_by(*who, unit)
    return union_all(_sent(asked), outcomes, _done(asked))


def _sent(asked: Asked) -> Select[Any]:
    # As the index `mails_counted` says it, so that it is used.
    return (
        select(
            literal(Measure.SENT.value).label("measure"),
            intents.c.rep,
            intents.c.campaign,
            *_PLACE,
            type_coerce(mails.c.sent, BigInteger).label("at"),
            literal(0).label("in_time"),
        )
        .join_from(mails, intents, intents.c.key == mails.c.key)
        .join(compositions, _COMPOSED, isouter=True)
        .where(text("mails.state = 'sent'"), mails.c.sent >= _SINCE, mails.c.sent < _UNTIL)
        .where(*_asked_for(asked, intents.c.rep, intents.c.campaign))
    )


def _outcomes(asked: Asked) -> Select[Any]:
    """Return what came of mails, each fact with the mail it belongs to."""
    before = (
        select(mails.c.key)
        .where(mails.c.person == ledger.c.person, mails.c.state == "sent", mails.c.sent <= ledger.c.at)
        .where(or_(ledger.c.campaign.is_(None), mails.c.campaign == ledger.c.campaign))
        .order_by(mails.c.sent.desc(), mails.c.key)
        .limit(1)
        .correlate(ledger)
        .scalar_subquery()
    )
    facts = (
        select(
            ledger.c.kind,
            _AT.label("at"),
            ledger.c.person,
            ledger.c.enrollment,
            ledger.c.rep,
            ledger.c.campaign,
            before.label("mail"),
        )
        .where(_COUNTED, ledger.c.kind.in_([kind.value for kind in _OUTCOMES]))
        .where(ledger.c.at >= _SINCE, ledger.c.at < _UNTIL)
        .where(*[ledger.c.reason.not_like(f"%{asked.not_theirs}")] if asked.not_theirs else [])
        .subquery()
    )
    rep, campaign = func.coalesce(facts.c.rep, intents.c.rep), func.coalesce(facts.c.campaign, intents.c.campaign)
    return (
        select(
            facts.c.kind.label("measure"),
            rep.label("rep"),
            campaign.label("campaign"),
            *_PLACE,
            facts.c.at,
            facts.c.person,
            facts.c.enrollment,
            facts.c.mail,
        )
        .join_from(facts, intents, intents.c.key == facts.c.mail, isouter=True)
        .join(compositions, _COMPOSED, isouter=True)
        .where(*_asked_for(asked, rep, campaign))
    )


def _done(asked: Asked) -> Select[Any]:
    """Return the tasks that are done, each at its first completion."""
    first = func.min(_AT)
    who = (ledger.c.rep, ledger.c.campaign, *_PLACE)
    local = _rep_day(first, asked)
    in_time = case((local <= day_number(intents.c.due_date), 1), else_=0)
    return (
        select(literal(Measure.DONE.value).label("measure"), *who, first.label("at"), in_time.label("in_time"))
        .join_from(ledger, intents, intents.c.key == ledger.c.intent)
        .join(compositions, _COMPOSED, isouter=True)
        .where(_COUNTED, ledger.c.kind == EventKind.COMPLETED.value, ledger.c.at >= _SINCE, ledger.c.at < _UNTIL)
        # One that was reopened is not done.
        .where(intents.c.state == IntentState.COMPLETED.value, *_asked_for(asked, ledger.c.rep, ledger.c.campaign))
        .group_by(*who, intents.c.due_date, intents.c.key)
    )


def _asked_for(asked: Asked, rep: ColumnElement[Any], campaign: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
    if asked.reps is not None:
        yield any_of(rep, "reps")
    if asked.campaign is not None:
        yield campaign == bindparam("campaign")


def _rep_day(at: ColumnElement[Any], asked: Asked) -> ColumnElement[int]:
    """Return the local day of an instant where the rep of the ledger's line is, as days since 1970."""
    elsewhere = _local_day(at, ZoneInfo("UTC"), asked)
    branches = [
        (any_of(ledger.c.rep, _in_zone(zone)), _local_day(at, ZoneInfo(zone), asked)) for zone in asked.reps_by_zone
    ]
    return case(*branches, else_=elsewhere) if branches else elsewhere


def _in_zone(zone: str) -> str:
    """Return the name of the parameter that holds the reps of a zone."""
    return f"reps_in_{zone}"


def _local_day(at: ColumnElement[Any], zone: ZoneInfo, asked: Asked) -> ColumnElement[int]:
    """Return the local day of microseconds since 1970, as days since 1970."""
    *spans, (_, last) = _offsets(zone, asked.since, asked.until)
    shift: ColumnElement[int] = literal(last * _MICROSECONDS, BigInteger)
    if spans:
        steps = [(at < microseconds(until), literal(offset * _MICROSECONDS, BigInteger)) for until, offset in spans]
        shift = case(*steps, else_=shift)
    return (at + shift) // literal(_DAY, BigInteger)


def _offsets(zone: ZoneInfo, since: datetime, until: datetime) -> list[tuple[datetime, int]]:
    """Return (until when, seconds ahead of UTC), in order, for a range of time: the databases know no zones."""
    found: list[tuple[datetime, int]] = []
    while since < until:
        end, offset = min(since + timedelta(days=1), until), _ahead(zone, since)
        if _ahead(zone, end) != offset:
            # Its clocks change that day: from which second on, is found by halving.
            same, other = 0, int((end - since).total_seconds())
            while other - same > 1:
                middle = (same + other) // 2
                unchanged = _ahead(zone, since + timedelta(seconds=middle)) == offset
                same, other = (middle, other) if unchanged else (same, middle)
            end = since + timedelta(seconds=other)
        if found and found[-1][1] == offset:
            found.pop()
        found.append((end, offset))
        since = end
    return found


def _ahead(zone: ZoneInfo, instant: datetime) -> int:
    return int((instant.astimezone(zone).utcoffset() or timedelta(0)).total_seconds())
