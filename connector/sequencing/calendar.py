"""Dates and clock times of one campaign in one time zone.

Lives here: which dates count (`Calendar`), and turning a local date and clock time into an instant (`instant_of`).
Does not live here: when a step is due (`due`). Source: spec sequencing 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays as holiday_calendars

from connector.campaigns.model import CampaignSettings

_DAY = timedelta(days=1)
_ISO_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")

#: A campaign whose settings leave no eligible date for this long is refused rather than searched for ever.
_LONGEST_CLOSURE = timedelta(days=3660)


@lru_cache(maxsize=65536)
def instant_of(zone: ZoneInfo, day: date, clock: time) -> datetime:
    """Return the UTC instant of a local date and clock time, as RFC 5545 reads it.

    A time skipped by a clock change is read with the offset before it; one that occurs twice is the first.
    """
    return datetime.combine(day, clock.replace(fold=0), tzinfo=zone).astimezone(UTC)


class NoEligibleDateError(ValueError):
    """The settings leave no date on which a step could fall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The dates that count for a campaign in a time zone."""

    zone: ZoneInfo
    skip_weekends: bool = False
    dates: frozenset[date] = frozenset()
    countries: tuple[holiday_calendars.HolidayBase, ...] = field(default=(), compare=False)

    def is_eligible(self, day: date) -> bool:
        """Tell whether a step may fall on the date."""
        if self.skip_weekends and day.weekday() >= 5:
            return False
        if day in self.dates:
            return False
        return not self.countries or not any(day in country for country in self.countries)

    def following(self, day: date) -> date:
        """Return the next eligible date after `day`; raise `NoEligibleDateError` if there is none for ten years."""
        first, last = day, day + _LONGEST_CLOSURE
        day += _DAY
        while not self.is_eligible(day):
            day += _DAY
            if day > last:
                raise NoEligibleDateError(f"no eligible date follows {first}: check the holidays")
        return day

    def roll(self, day: date) -> date:
        """Return `day` if it is eligible, else the next eligible date."""
        return day if self.is_eligible(day) else self.following(day)

    def add(self, day: date, count: int) -> date:
        """Return the `count`-th eligible date after `day`; `day` itself for 0."""
        for _ in range(count):
            day = self.following(day)
        return day

    def at(self, day: date, clock: time) -> datetime:
        """Return the UTC instant of a local date and clock time."""
        return instant_of(self.zone, day, clock)

    def local(self, instant: datetime) -> datetime:
        """Return the instant on the wall clock of the zone."""
        return instant.astimezone(self.zone)


@lru_cache(maxsize=4096)
def calendar_for(settings: CampaignSettings, zone: str) -> Calendar:
    """Return the calendar of a campaign's settings in an IANA zone."""
    dates = frozenset(date.fromisoformat(item) for item in settings.holidays if _ISO_DATE.match(item))
    codes = [item for item in settings.holidays if not _ISO_DATE.match(item)]
    countries = tuple(_country(code) for code in codes)
    return Calendar(zone=ZoneInfo(zone), skip_weekends=settings.skip_weekends, dates=dates, countries=countries)


def _country(code: str) -> holiday_calendars.HolidayBase:
    country, _, subdivision = code.partition("-")
    return holiday_calendars.country_holidays(country, subdiv=subdivision or None)
