"""Dates that count, and local clock times as instants (spec sequencing 2)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.campaigns.model import CampaignSettings
from connector.sequencing.calendar import Calendar, NoEligibleDateError, calendar_for, instant_of

D = date.fromisoformat


def calendar(zone: str = "UTC", **settings: object) -> Calendar:
    return calendar_for(CampaignSettings(**settings), zone)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "day", "eligible"),
    [
        ({}, "2026-11-28", True),
        ({"skip_weekends": True}, "2026-11-27", True),
        ({"skip_weekends": True}, "2026-11-28", False),
        ({"skip_weekends": True}, "2026-11-29", False),
        ({"skip_weekends": True}, "2026-11-30", True),
        ({"holidays": ("2026-12-24",)}, "2026-12-24", False),
        ({"holidays": ("2026-12-24",)}, "2027-12-24", True),
        ({"holidays": ("US",)}, "2026-11-26", False),  # Thanksgiving
        ({"holidays": ("US",)}, "2026-11-27", True),
        ({"holidays": ("US",)}, "2027-11-25", False),
        ({"holidays": ("DE",)}, "2026-10-03", False),
        ({"holidays": ("DE",)}, "2026-11-26", True),
        ({"holidays": ("DE",)}, "2026-01-06", True),
        ({"holidays": ("DE-BY",)}, "2026-01-06", False),  # Epiphany is one in Bavaria
        ({"holidays": ("US", "DE", "2026-06-01")}, "2026-07-04", False),
        ({"holidays": ("US", "DE", "2026-06-01")}, "2026-10-03", False),
        ({"holidays": ("US", "DE", "2026-06-01")}, "2026-06-01", False),
        ({"holidays": ("US", "DE", "2026-06-01")}, "2026-06-02", True),
    ],
)
def test_which_dates_count(settings: dict[str, object], day: str, eligible: bool) -> None:
    assert calendar(**settings).is_eligible(D(day)) is eligible


WEEKDAYS = {"skip_weekends": True}
CLOSED_MONDAY = {"skip_weekends": True, "holidays": ("2026-11-30",)}


@pytest.mark.parametrize(
    ("settings", "day", "rolled"),
    [
        ({}, "2026-11-28", "2026-11-28"),
        (WEEKDAYS, "2026-11-27", "2026-11-27"),
        (WEEKDAYS, "2026-11-28", "2026-11-30"),
        (WEEKDAYS, "2026-11-29", "2026-11-30"),
        (CLOSED_MONDAY, "2026-11-28", "2026-12-01"),
    ],
)
def test_roll_keeps_a_date_that_counts(settings: dict[str, object], day: str, rolled: str) -> None:
    assert calendar(**settings).roll(D(day)) == D(rolled)


@pytest.mark.parametrize(
    ("settings", "day", "count", "later"),
    [
        ({}, "2026-11-28", 0, "2026-11-28"),
        ({}, "2026-11-28", 3, "2026-12-01"),
        ({}, "2028-02-28", 1, "2028-02-29"),
        ({}, "2028-02-28", 2, "2028-03-01"),
        ({}, "2027-02-28", 1, "2027-03-01"),
        ({"holidays": ("2028-02-29",)}, "2028-02-28", 1, "2028-03-01"),
        (WEEKDAYS, "2026-11-27", 1, "2026-11-30"),
        (WEEKDAYS, "2026-11-27", 6, "2026-12-07"),
        (WEEKDAYS, "2026-11-28", 1, "2026-11-30"),  # counted from a date that itself does not count
        (WEEKDAYS, "2026-11-28", 0, "2026-11-28"),
        (CLOSED_MONDAY, "2026-11-27", 1, "2026-12-01"),
    ],
)
def test_add_counts_only_dates_that_count(settings: dict[str, object], day: str, count: int, later: str) -> None:
    assert calendar(**settings).add(D(day), count) == D(later)


def test_following_never_stays() -> None:
    assert calendar().following(D("2026-11-28")) == D("2026-11-29")
    assert calendar(**WEEKDAYS).following(D("2026-11-26")) == D("2026-11-27")
    assert calendar(**WEEKDAYS).following(D("2026-11-27")) == D("2026-11-30")


def test_a_calendar_without_any_date_is_refused() -> None:
    every = frozenset(D("2026-01-01") + timedelta(days=number) for number in range(4000))
    with pytest.raises(NoEligibleDateError, match="2026-01-01"):
        Calendar(zone=ZoneInfo("UTC"), dates=every).following(D("2026-01-01"))


@pytest.mark.parametrize(
    ("zone", "day", "clock", "instant"),
    [
        # One hour is skipped: 02:30 is read with the offset before, and so becomes 03:30.
        ("Europe/Madrid", "2026-03-29", "02:30", "2026-03-29T01:30+00:00"),
        ("Europe/Madrid", "2026-03-29", "01:59", "2026-03-29T00:59+00:00"),
        ("Europe/Madrid", "2026-03-29", "03:00", "2026-03-29T01:00+00:00"),
        ("America/New_York", "2026-03-08", "02:30", "2026-03-08T07:30+00:00"),
        # One hour comes twice: the first.
        ("Europe/Madrid", "2026-10-25", "02:30", "2026-10-25T00:30+00:00"),
        ("America/New_York", "2026-11-01", "01:30", "2026-11-01T05:30+00:00"),
        # Half an hour, and a whole day that Samoa left out.
        ("Australia/Lord_Howe", "2026-10-04", "02:15", "2026-10-03T15:45+00:00"),
        ("Pacific/Apia", "2011-12-30", "12:00", "2011-12-30T22:00+00:00"),
        # The clock changes at midnight: the date has no 00:00.
        ("Africa/Cairo", "2026-04-24", "00:00", "2026-04-23T22:00+00:00"),
        ("Asia/Kathmandu", "2028-02-29", "09:00", "2028-02-29T03:15+00:00"),
    ],
)
def test_local_clock_times(zone: str, day: str, clock: str, instant: str) -> None:
    assert instant_of(ZoneInfo(zone), D(day), time.fromisoformat(clock)) == datetime.fromisoformat(instant)


ZONES = [
    "UTC", "Europe/Madrid", "Europe/London", "America/New_York", "America/St_Johns", "America/Sao_Paulo",
    "Australia/Lord_Howe", "Asia/Tokyo", "Asia/Tehran", "Africa/Casablanca", "Africa/Cairo", "Pacific/Apia",
]  # fmt: skip

HOUR = timedelta(hours=1)


@given(
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    day=st.dates(date(2000, 1, 1), date(2037, 12, 31)),
    clock=st.times().map(lambda clock: clock.replace(microsecond=0)),
)
def test_a_clock_time_is_the_first_instant_that_shows_it(zone: ZoneInfo, day: date, clock: time) -> None:
    """By search, without Python's own reading of local times: from offsets of instants alone."""
    shown = datetime.combine(day, clock)
    around = shown.replace(tzinfo=UTC)
    offsets = {
        (around + hours * HOUR).astimezone(zone).utcoffset() or timedelta() for hours in (-26, -12, -2, 0, 2, 12, 26)
    }
    candidates = sorted(around - offset for offset in offsets)
    showing = [one for one in candidates if one.astimezone(zone).replace(tzinfo=None) == shown]
    before = (around - 26 * HOUR).astimezone(zone).utcoffset() or timedelta()
    assert instant_of(zone, day, clock) == (showing[0] if showing else around - before)
