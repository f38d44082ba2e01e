"""Numbers: what was sent, answered, came back and was done in a range of days."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from connector.errors import BadInput
from connector.intents import StepType
from connector.people import time_zones
from connector.sync import numbers
from connector.web.api.callers import Reading
from connector.web.api.models import Email
from connector.web.dates import FIRST_DAY, LAST_DAY
from connector.web.site import Site

_Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY)]


class Counts(BaseModel):
    """How much of each."""

    sent: int
    replied: int
    bounced: int
    opted_out: int
    done: int
    in_time: int = Field(description="Of the tasks that are done, those done on their due date or before.")

    @classmethod
    def of(cls, counts: numbers.Counts) -> Counts:
        """Return counts."""
        return cls(**{name: getattr(counts, name) for name in cls.model_fields})


class Named(Counts):
    """Counts of a campaign, template or rep; a name of null stands for what belongs to nothing that is known."""

    name: str | None


class OfDay(Counts):
    """Counts of a day."""

    day: date


class OfStep(Counts):
    """Counts of a step."""

    campaign: str | None
    day: int | None
    step: int | None
    type: StepType | None


class Numbers(BaseModel):
    """All tables of a range; each email counts once, but in `events`, where every event does."""

    first: date
    last: date
    time_zone: str
    events: Counts
    total: Counts
    days: list[OfDay]
    campaigns: list[Named]
    steps: list[OfStep]
    templates: list[Named]
    reps: list[Named]


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""

    @routes.get("/numbers")
    def read_numbers(
        user: Reading,
        first: _Day | None = None,
        last: _Day | None = None,
        time_zone: Annotated[str | None, Query(max_length=64)] = None,
        campaign: Annotated[str | None, Query(max_length=200)] = None,
        rep: Email | None = None,
    ) -> Numbers:
        """Return what happened in a range of days, both of them included; in the last thirty without dates."""
        if time_zone is not None and time_zone not in time_zones():
            raise BadInput(f"there is no time zone '{time_zone}': write one such as Europe/Madrid")
        zone = user.zone if time_zone is None else ZoneInfo(time_zone)
        end = last or max(site.now().astimezone(zone).date(), first or FIRST_DAY)
        within = numbers.Range(first=first or max(FIRST_DAY, end - timedelta(days=29)), last=end)
        reps = user.reps
        if rep is not None:
            reps = frozenset({rep} if user.may_see(rep) else ())
        return _numbers(numbers.count(site.office, reps, within, zone, campaign=campaign), within, zone)


def _numbers(found: numbers.Numbers, within: numbers.Range, zone: ZoneInfo) -> Numbers:
    return Numbers(
        first=within.first,
        last=within.last,
        time_zone=zone.key,
        events=Counts.of(found.events),
        total=Counts.of(found.total),
        days=[OfDay(**_said(row.counts), day=row.key) for row in found.days],
        campaigns=[Named(**_said(row.counts), name=row.key) for row in found.campaigns],
        steps=[
            OfStep(**_said(row.counts), **{name: getattr(row.key, name, None) for name in _PLACE})
            for row in found.steps
        ],
        templates=[Named(**_said(row.counts), name=row.key) for row in found.templates],
        reps=[Named(**_said(row.counts), name=row.key) for row in found.reps],
    )


_PLACE = ("campaign", "day", "step", "type")


def _said(counts: numbers.Counts) -> dict[str, int]:
    return Counts.of(counts).model_dump()
