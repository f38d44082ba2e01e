"""Launching: the whole calendar before anybody is put into a campaign, and putting them in.

Lives here: these routes. Does not live here: launches that are shown before (`planned`), who may be in a campaign
(`sync.launch`), the calendar (`sync.preview`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from connector import people
from connector.campaigns.model import Campaign
from connector.errors import BadInput
from connector.intents import Mode, StepType
from connector.people import Rep
from connector.store.people import read_people
from connector.sync import launch
from connector.sync.launch_people import MOST, Candidate
from connector.sync.launch_plans import LaunchPlan, new_id
from connector.sync.launch_preview import Shown
from connector.sync.preview import Preview, preview
from connector.web.api.callers import Reading, Running
from connector.web.api.lists import Listed
from connector.web.api.models import Email, Given, Instant, PlaceName
from connector.web.api.people import LeftOut, of_others
from connector.web.api.planned import FirstEmail, OtherWords, Source, carry_out, lay_out
from connector.web.campaign_files import FilesNow, name_of
from connector.web.site import Site
from connector.web.users import User


class Wanted(Given):
    """What is launched, or simulated."""

    rep: Email = Field(description="The rep in whose name it runs.")
    start: Instant | None = Field(default=None, description="With an offset or Z; at once when it is left out.")
    send_at: dict[PlaceName, time] = Field(
        default={}, max_length=100, description="Other clock times of steps with a fixed time, by `DAY.STEP`."
    )


class Simulation(Wanted):
    """Whose calendar is asked for."""

    people: list[Email] = Field(
        default=[], max_length=200, description="One placeholder in the rep's zone without any."
    )
    complete_tasks_after: int = Field(default=0, ge=0, le=100_000, description="Minutes a task is open.")


class Launch(Wanted):
    """Who is put into a campaign; with a source, first emails or a digest at most 1,000 people."""

    people: list[Email] = Field(default=[], max_length=10_000)
    source: Source | None = Field(default=None, description="More people, out of Salesforce.")
    first_emails: dict[Email, OtherWords] = Field(
        default={}, max_length=MOST, description="First emails in other words than their template's, by person."
    )
    dry_run: bool = Field(default=False, description="Say what would happen, and put nobody into anything.")
    digest: str | None = Field(
        default=None,
        max_length=64,
        description="Of the dry run you looked at: 409 if it would come to something else now.",
    )

    @property
    def is_planned(self) -> bool:
        """Whether it takes what a page of a launch offers."""
        return self.source is not None or bool(self.first_emails) or self.digest is not None


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
    digest: str | None = Field(default=None, description="Of a dry run of at most 1,000 people: all that it shows.")
    first_emails: list[FirstEmail] = Field(default=[], description="Of a dry run of at most 1,000 people.")

    @classmethod
    def of(cls, done: launch.Launched, others: Sequence[launch.LeftOut] = ()) -> Launched:
        """Return what was done; `others` were left out before."""
        left_out = [LeftOut(person=one.person, reason=one.reason) for one in (*others, *done.left_out)]
        same = ("campaign", "version", "rep", "start", "enrolled", "warnings")
        return cls(**{name: getattr(done, name) for name in same}, left_out=left_out, dry_run=False)

    @classmethod
    def of_shown(cls, shown: Shown) -> Launched:
        """Return what would be done."""
        return cls(
            campaign=shown.campaign.name,
            version=shown.version,
            rep=shown.rep.email,
            start=shown.start,
            enrolled=len(shown.people),
            left_out=[LeftOut(person=one.person, reason=one.reason) for one in shown.left_out],
            warnings=list(shown.warnings),
            dry_run=True,
            digest=shown.digest,
            first_emails=[email for one in shown.people if (email := FirstEmail.of(one)) is not None],
        )


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
        start = launch.check_launch(campaign, start=asked.start or launched, overrides=asked.send_at, now=launched)
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
        if not asked.people and asked.source is None:
            raise BadInput("nobody was named: give people, or a source of them")
        persons, others = _known(site, user, asked.people)
        many = len(asked.people) > MOST
        if many and asked.is_planned:
            raise BadInput(f"with a source, first emails or a digest a launch takes {MOST:,} people: launch in parts")
        if asked.is_planned or (asked.dry_run and not many):
            plan = _plan(user, campaign, rep, asked, persons, others)
            shown = lay_out(site, user, campaign, templates, plan, source=asked.source, first_emails=asked.first_emails)
            if asked.dry_run:
                return Launched.of_shown(shown)
            return Launched.of(carry_out(site, user, campaign, templates, shown, digest=asked.digest))
        done = launch.launch(
            office,
            campaign,
            templates,
            rep=rep,
            people=persons,
            start=asked.start or site.now(),
            overrides=asked.send_at,
            dry_run=asked.dry_run,
        )
        return Launched.of(done, others).model_copy(update={"dry_run": asked.dry_run})


def _plan(
    user: User,
    campaign: Campaign,
    rep: Rep,
    asked: Launch,
    persons: Sequence[people.Person],
    others: Sequence[launch.LeftOut],
) -> LaunchPlan:
    return LaunchPlan(
        id=new_id(),
        user=user.email,
        campaign=campaign.name,
        rep=rep.email,
        start=asked.start,
        zone=user.zone.key,
        overrides=asked.send_at,
        people=[Candidate(email=email) for email in dict.fromkeys(one.email for one in persons)],
        left_out=others,
    )


def _rep(site: Site, user: User, email: str) -> Rep:
    """Return a rep for whom a user may launch; raise `BadInput` for any other."""
    rep = site.project.settings.rep(email)
    if rep is None or not user.may_see(rep.email):
        raise BadInput(f"there is no rep '{email}' for whom you may launch")
    return rep


def _known(site: Site, user: User, emails: Iterable[str]) -> tuple[list[people.Person], list[launch.LeftOut]]:
    """Return people as they are known, or by their bare address, and those who are other reps' to write to."""
    wanted = list(emails)
    others = of_others(site, user, wanted)
    mine = [email for email in wanted if email not in others]
    with site.office.database.read() as tx:
        known = read_people(tx, mine)
    persons = [known[email].person if email in known else people.Person(email=email) for email in mine]
    reason = "is in campaigns of other reps"
    return persons, [launch.LeftOut(person=email, reason=reason) for email in sorted(others)]
