"""Numbers: what was sent, answered, came back and was done in a range of days, by campaign, step, template and rep.

Lives here: ranges and their presets, the tables, and what is counted once or each time. Does not live here: counting
(`store.numbers`), pictures and files (`web`). Source: issue 7, reference marketo 16, decision 42.

Two rules: `events` counts every event, so two replies to one email are two; all else counts each email once, on the day
of its first reply (bounce, opt-out) in the range, so that the rows of every table come to the same total.

To count a year of a large team takes seconds. What was so much is kept for a minute, for whoever asks for the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from threading import Lock
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from connector.errors import BadInput
from connector.intents import StepType
from connector.store import numbers as store
from connector.store.database import Database, Transaction
from connector.store.numbers import Asked, DayCount, Measure, PlaceCount
from connector.sync.incoming import OF_ACCOUNT
from connector.sync.office import Office

#: Days in the longest range.
LONGEST = 366

#: From so many mails and tasks on, what was counted is kept, for so long, and so many of it.
MANY, _KEPT_FOR, _KEPT_MOST = 1_000, timedelta(minutes=1), 32

#: From so many days on, pictures have a bar a week.
_WEEKLY_FROM = 63


class Preset(StrEnum):
    """Ranges that have a name."""

    TODAY = "today"
    DAYS_7 = "7d"
    DAYS_30 = "30d"
    DAYS_90 = "90d"
    THIS_MONTH = "month"
    LAST_MONTH = "last_month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Days in the viewer's zone, from `first` to `last`, both of them included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        """Raise `BadInput` for a range that ends before it begins, or is too long."""
        if self.last < self.first:
            raise BadInput("the range ends before it begins: change one of its two dates")
        if (self.last - self.first).days >= LONGEST:
            raise BadInput(f"the range is longer than {LONGEST} days: choose a shorter one")

    @property
    def days(self) -> Sequence[date]:
        """Every day of it."""
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    def instants(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """Return when it begins and when it is over, aware, UTC."""
        begins, over = (datetime.combine(day, time(), tzinfo=zone) for day in (self.first, self.last + _DAY))
        return begins.astimezone(UTC), over.astimezone(UTC)


_DAY = timedelta(days=1)


def range_of(preset: Preset, today: date) -> Range:
    """Return the range that has this name today."""
    this_month = today.replace(day=1)
    match preset:
        case Preset.TODAY:
            return Range(first=today, last=today)
        case Preset.DAYS_7:
            return Range(first=today - 6 * _DAY, last=today)
        case Preset.DAYS_30:
            return Range(first=today - 29 * _DAY, last=today)
        case Preset.DAYS_90:
            return Range(first=today - 89 * _DAY, last=today)
        case Preset.THIS_MONTH:
            return Range(first=this_month, last=today)
        case Preset.LAST_MONTH:
            return Range(first=(this_month - _DAY).replace(day=1), last=this_month - _DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much of each."""

    #: Emails in Sent, whoever sent them.
    sent: int = 0
    replied: int = 0
    bounced: int = 0
    opted_out: int = 0
    #: Tasks completed, and of these how many on their due date or before, where the rep is.
    done: int = 0
    in_time: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Return both together."""
        return Counts(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(Counts)})

    @property
    def reply_share(self) -> float | None:
        """Emails answered to emails sent; None when none was sent."""
        return self.replied / self.sent if self.sent else None

    @property
    def in_time_share(self) -> float | None:
        """Tasks done in time to tasks done; None when none was done."""
        return self.in_time / self.done if self.done else None


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class StepPlace:
    """A step of a campaign, in whatever version."""

    campaign: str
    day: int
    step: int
    type: StepType


Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Generic[Key]):
    """One row of a table; a `key` of None is what belongs to nothing that is known."""

    key: Key
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """All tables of a range."""

    #: Every event counts; a task that is done counts once here too.
    events: Counts
    total: Counts
    #: Every day of the range, in order.
    days: Sequence[Row[date]]
    campaigns: Sequence[Row[str | None]]
    steps: Sequence[Row[StepPlace | None]]
    #: Emails only.
    templates: Sequence[Row[str | None]]
    #: Those with the most replies first.
    reps: Sequence[Row[str | None]]
    #: Rep -> every day of the range, in order.
    rep_days: dict[str | None, Sequence[Row[date]]]


#: By database, what was asked for -> when it was counted, and what came of it.
_KEPT: WeakKeyDictionary[Database, dict[Hashable, tuple[datetime, Numbers]]] = WeakKeyDictionary()
_TURN = Lock()


def count(
    office: Office, reps: frozenset[str] | None, within: Range, zone: ZoneInfo, *, campaign: str | None = None
) -> Numbers:
    """Count what happened in the work of these reps, None for everybody's; `zone` says where the days begin."""
    asked, now = (reps, within, zone.key, campaign), office.now()
    with _TURN:
        kept = _KEPT.setdefault(office.database, {})
        at, known = kept.get(asked, (now, None))
    if known is not None and timedelta(0) <= now - at < _KEPT_FOR:
        return known
    counted = _count(office, reps, within, zone, campaign)
    total = counted.total
    if total.sent + total.replied + total.bounced + total.opted_out + total.done >= MANY:
        with _TURN:
            kept.pop(asked, None)
            kept[asked] = now, counted
            for other in [one for one, (at, _) in kept.items() if now - at >= _KEPT_FOR] or list(kept)[:-_KEPT_MOST]:
                del kept[other]
    return counted


def _count(office: Office, reps: frozenset[str] | None, within: Range, zone: ZoneInfo, campaign: str | None) -> Numbers:
    since, until = within.instants(zone)
    zones = {rep.email: rep.zone for rep in office.reps.values()}
    asked = Asked(since=since, until=until, reps=reps, zones=zones, campaign=campaign, not_theirs=OF_ACCOUNT)
    with office.database.read() as tx:
        places, days = store.read_counts(tx, asked, zone)
        events = store.count_events(tx, asked)
        template_of = _Templates(tx, office)
        templates = _table((one for one in places if one.type == StepType.EMAIL), template_of)
    total = _counts(places)
    by_rep: dict[str | None, list[DayCount]] = defaultdict(list)
    for one in days:
        by_rep[one.rep].append(one)
    return Numbers(
        events=Counts(
            sent=total.sent,
            replied=events.get(Measure.REPLIED, 0),
            bounced=events.get(Measure.BOUNCED, 0),
            opted_out=events.get(Measure.OPTED_OUT, 0),
            done=total.done,
            in_time=total.in_time,
        ),
        total=total,
        days=_by_day(days, within),
        campaigns=_ordered(_table(places, lambda one: one.campaign)),
        steps=_ordered(_table(places, _place_of)),
        templates=_ordered(templates),
        reps=sorted(_table(places, lambda one: one.rep), key=_by_replies),
        rep_days={rep: _by_day(by_rep[rep], within) for rep in sorted(by_rep, key=str)},
    )


def list_campaigns(office: Office) -> list[str]:
    """Return the names of all campaigns there are numbers of."""
    with office.database.read() as tx:
        return store.list_campaigns(tx)


def in_periods(days: Sequence[Row[date]]) -> Sequence[Row[date]]:
    """Return the rows of a picture: the days, or of many days the weeks, each by its first day in the range."""
    if len(days) < _WEEKLY_FROM:
        return days
    weeks: dict[date, Row[date]] = {}
    for row in days:
        monday = row.key - row.key.weekday() * _DAY
        before = weeks.get(monday)
        weeks[monday] = row if before is None else Row(key=before.key, counts=before.counts + row.counts)
    return list(weeks.values())


class _Templates:
    """Which template the email of a step was written with."""

    def __init__(self, tx: Transaction, office: Office) -> None:
        self._tx = tx
        self._book = office.book

    def __call__(self, place: PlaceCount) -> str | None:
        """Return the template, the rep's choice before the step's; None when the version is not kept any more."""
        if place.template:
            return place.template
        if place.campaign is None or place.version is None or place.day is None or place.step is None:
            return None
        try:
            campaign = self._book.pinned(self._tx, place.campaign, place.version).campaign
        except (LookupError, ValueError):
            return None
        index = campaign.index_of(place.day, place.step)
        return None if index is None else campaign.steps[index].template


def _place_of(one: PlaceCount) -> StepPlace | None:
    if one.campaign is None or one.day is None or one.step is None or one.type is None:
        return None
    return StepPlace(campaign=one.campaign, day=one.day, step=one.step, type=StepType(one.type))


def _table(places: Iterable[PlaceCount], key_of: Callable[[PlaceCount], Key]) -> list[Row[Key]]:
    groups: dict[Key, list[PlaceCount]] = defaultdict(list)
    for one in places:
        groups[key_of(one)].append(one)
    return [Row(key=key, counts=_counts(group)) for key, group in groups.items()]


def _by_day(days: Iterable[DayCount], within: Range) -> list[Row[date]]:
    groups: dict[date, list[DayCount]] = {day: [] for day in within.days}
    for one in days:
        groups[one.day].append(one)
    return [Row(key=day, counts=_counts(group)) for day, group in groups.items()]


def _counts(group: Iterable[PlaceCount] | Iterable[DayCount]) -> Counts:
    sums = dict.fromkeys(Measure, 0)
    in_time = 0
    for one in group:
        sums[one.measure] += one.count
        in_time += one.in_time
    return Counts(**{measure.value: number for measure, number in sums.items()}, in_time=in_time)


def _ordered(rows: Iterable[Row[Key]]) -> list[Row[Key]]:
    """Return rows by their keys, what belongs to nothing last."""
    return sorted(rows, key=lambda row: (row.key is None, row.key or ""))


def _by_replies(row: Row[str | None]) -> tuple[int, float, str]:
    """Order reps by what came of their work, not by how much of it there was."""
    return -row.counts.replied, -(row.counts.in_time_share or 0.0), row.key or ""
