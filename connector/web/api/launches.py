"""Launching: the whole calendar before anybody is put into a campaign, and putting them in.

Lives here: these routes. Does not live here: who may be in a campaign (`sync.launch`), the calendar (`sync.preview`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from connector import people
from connector.errors import BadInput
from connector.intents import Mode, StepType
from connector.people import Rep
from connector.store.people import read_people
from connector.sync.launch import check_launch, launch
from connector.sync.preview import Preview, preview
from connector.web.api.callers import Reading, Running
from connector.web.api.lists import Listed
from connector.web.api.models import Email, Given, Instant
from connector.web.api.people import LeftOut, of_others
from connector.web.campaign_files import FilesNow, name_of
from connector.web.site import Site
from connector.web.users import User

#: `DAY.STEP`.
_Place = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,3}\.[1-9][0-9]{0,3}$")]


class Wanted(Given):
    """What is launched, or simulated."""

    rep: Email = Field(description="The rep in whose name it runs.")
    start: Instant | None = Field(default=None, description="With an offset or Z; at once when it is left out.")
    send_at: dict[_Place, time] = Field(
        default={}, max_length=100, description="Other clock times of steps with a fixed time, by `DAY.STEP`."
    )


class Simulation(Wanted):
    """Whose calendar is asked for."""

    people: list[Email] = Field(
        default=[], max_length=200, description="One placeholder in the rep's zone without any."
    )
    complete_tasks_after: int = Field(default=0, ge=0, le=100_000, description="Minutes a task is open.")


class Launch(Wanted):
    """Who is put into a campaign."""

    people: list[Email] = Field(min_length=1, max_length=10_000)
    dry_run: bool = Field(default=False, description="Say what would happen, and change nothing.")


class CalendarStep(BaseModel):
    """A step of somebody's calendar."""

    day: int
    step: int
    type: StepType
    mode: Mode
    due: datetime
    due_date: date
    subject: str
    template: str | None
    follow_up: bool
    reason: str


class Calendar(BaseModel):
    """What is ahead of somebody."""

    person: str
    time_zone: str
    steps: list[CalendarStep]

    @classmethod
    def of(cls, found: Preview) -> Calendar:
        """Return a calendar."""
        return cls.model_validate(found.as_json())


class Launched(BaseModel):
    """What a launch came to."""

    campaign: str
    version: str
    rep: str
    start: datetime
    enrolled: int
    left_out: list[LeftOut]
    warnings: list[str]
    dry_run: bool


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""
    office, now = site.office, FilesNow(site)

    def read(name: str) -> tuple[Any, Any]:
        files = now.read().files
        campaign = files.campaigns.get(name_of(name, files))
        return campaign or site.fresh_project().campaign(name), files.templates

    @routes.post("/campaigns/{name}/simulate")
    def simulate(user: Reading, name: str, asked: Simulation) -> Listed[Calendar]:
        """Return the whole calendar of people in a campaign; nothing is changed."""
        rep = _rep(site, user, asked.rep)
        campaign, templates = read(name)
        launched = site.now()
        start = check_launch(campaign, start=asked.start or launched, overrides=asked.send_at, now=launched)
        calendars = preview(
            campaign,
            templates,
            rep=rep,
            people=_known(site, user, asked.people)[0] if asked.people else None,
            launched=launched,
            start=start,
            overrides=asked.send_at,
            complete_tasks_after=timedelta(minutes=asked.complete_tasks_after),
        )
        return Listed(items=[Calendar.of(one) for one in calendars])

    @routes.post("/campaigns/{name}/launch")
    def launch_people(user: Running, name: str, asked: Launch) -> Launched:
        """Put people into a campaign; those who may not be in it are left out, and told."""
        rep = _rep(site, user, asked.rep)
        campaign, templates = read(name)
        persons, others = _known(site, user, asked.people)
        done = launch(
            office,
            campaign,
            templates,
            rep=rep,
            people=persons,
            start=asked.start or site.now(),
            overrides=asked.send_at,
            dry_run=asked.dry_run,
        )
        left = [LeftOut(person=one.person, reason=one.reason) for one in done.left_out]
        return Launched(
            campaign=done.campaign,
            version=done.version,
            rep=done.rep,
            start=done.start,
            enrolled=done.enrolled,
            left_out=others + left,
            warnings=done.warnings,
            dry_run=asked.dry_run,
        )


def _rep(site: Site, user: User, email: str) -> Rep:
    """Return a rep for whom a user may launch; raise `BadInput` for any other."""
    rep = site.project.settings.rep(email)
    if rep is None or not user.may_see(rep.email):
        raise BadInput(f"there is no rep '{email}' for whom you may launch")
    return rep


def _known(site: Site, user: User, emails: Iterable[str]) -> tuple[list[people.Person], list[LeftOut]]:
    """Return people as they are known, or by their bare address, and those who are other reps' to write to."""
    wanted = list(emails)
    others = of_others(site, user, wanted)
    mine = [email for email in wanted if email not in others]
    with site.office.database.read() as tx:
        known = read_people(tx, mine)
    persons = [known[email].person if email in known else people.Person(email=email) for email in mine]
    reason = "is in campaigns of other reps"
    return persons, [LeftOut(person=email, reason=reason) for email in sorted(others)]
