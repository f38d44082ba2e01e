"""Campaigns: how they stand, what they would come to, and who is in them.

Lives here: looking at campaigns and their people, pausing, resuming, removing and moving people. Does not live here:
simulating and launching (`launches`), what the numbers mean (`sync.campaign_views`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, NoReturn

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from connector.errors import BadInput
from connector.intents import Mode, StepType
from connector.sequencing.enrollment import EnrollmentState
from connector.store.campaign_numbers import Place
from connector.store.enrollments import find_enrollments
from connector.sync.campaign_views import (
    CampaignLine,
    CampaignView,
    StepView,
    list_campaigns,
    meant,
    page_of_members,
    view_campaign,
)
from connector.sync.enrollment_actions import CONCERNS, EnrollmentAction, act, choose
from connector.sync.migration import Move, migrate, plan_migration
from connector.web.api.callers import Reading, Running
from connector.web.api.lists import Cursor, Listed, cursor_of, place_of
from connector.web.api.models import Email, Enrollment, Given, PlaceName
from connector.web.campaign_files import FilesNow, name_of
from connector.web.dates import LAST_DAY
from connector.web.site import Site
from connector.web.users import User


class Line(BaseModel):
    """A campaign in the list."""

    name: str
    file: str | None = Field(description="Null when people are in it still and its file is gone, or has faults.")
    category: str
    days: int
    steps: int
    people: dict[EnrollmentState, int]
    drifted: int = Field(description="People in another version than the file's.")

    @classmethod
    def of(cls, line: CampaignLine) -> Line:
        """Return a campaign as it is listed."""
        names = ("name", "file", "category", "days", "steps", "drifted")
        return cls(**{name: getattr(line, name) for name in names}, people=dict(line.counts))


class Step(BaseModel):
    """A step, and how it stands."""

    day: int
    step: int
    type: StepType
    mode: Mode
    template: str | None
    name: str
    waiting: int = Field(description="People whose time has not come, or who are paused before it.")
    due: int = Field(description="It has come: with the rep, on its way, or in need of somebody.")
    done: int
    skipped: int
    replied: int
    bounced: int

    @classmethod
    def of(cls, view: StepView) -> Step:
        """Return a step of the calendar."""
        step, numbers = view.step, view.numbers
        said = {name: getattr(step, name) for name in ("day", "step", "type", "mode", "template", "name")}
        counts = ("waiting", "due", "done", "skipped", "replied", "bounced")
        return cls(**said, **{name: getattr(numbers, name) for name in counts})


class Version(BaseModel):
    """A version that people are in, or that the file is."""

    version: str
    since: datetime | None
    live: int
    present: bool


class Campaign(Line):
    """A campaign as a calendar, with numbers at each step."""

    calendar: list[Step]
    elsewhere: int = Field(description="People at a step that the calendar does not have.")
    versions: list[Version]

    @classmethod
    def of_view(cls, view: CampaignView) -> Campaign:
        """Return a campaign as it is looked at."""
        uses = [
            Version(version=one.version, since=one.since, live=one.live, present=one.present) for one in view.versions
        ]
        steps = [Step.of(step) for _, day in view.days for step in day]
        return cls(**Line.of(view.line).model_dump(), calendar=steps, elsewhere=view.elsewhere, versions=uses)


class Chosen(Given):
    """To whom in a campaign something is done."""

    people: list[Email] | None = Field(
        default=None, min_length=1, max_length=10_000, description="Everybody whom you may see when it is left out."
    )
    step: PlaceName | None = Field(default=None, description="Those of them alone who are at this `DAY.STEP`.")


class Pause(Chosen):
    """Who is paused, and until when."""

    until: date | None = Field(default=None, le=LAST_DAY, description="Resumed on that date by itself.")


class Done(BaseModel):
    """To how many people it was done."""

    people: int


class Moved(BaseModel):
    """Somebody who moves to the present version."""

    person: str
    rep: str
    version: str = Field(description="The version they are in, or were.")
    next_step: str

    @classmethod
    def of(cls, move: Move) -> Moved:
        """Return a move."""
        one = move.enrollment
        return cls(person=one.person, rep=one.rep, version=one.version, next_step=move.next_step)


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""
    office, now = site.office, FilesNow(site)

    @routes.get("/campaigns")
    def list_all_campaigns(user: Reading) -> Listed[Line]:
        """Return every campaign of a file, or with people of yours, by name."""
        return Listed(items=[Line.of(line) for line in list_campaigns(office, now.read().files, user.reps)])

    @routes.get("/campaigns/{name}")
    def get_campaign(
        user: Reading,
        name: str,
        version: Annotated[
            str | None, Query(max_length=32, description="The one that is shown and counted; all when it is left out.")
        ] = None,
    ) -> Campaign:
        """Return a campaign, by its name or that of its file, with the numbers of your people."""
        files = now.read().files
        return Campaign.of_view(view_campaign(office, files, name_of(name, files), user.reps, version=version or None))

    @routes.get("/campaigns/{name}/people")
    def list_members(
        user: Reading,
        name: str,
        state: EnrollmentState = EnrollmentState.ACTIVE,
        step: PlaceName | None = None,
        cursor: Cursor = None,
    ) -> Listed[Enrollment]:
        """Return the people in a campaign who are in this state, and at this step (`DAY.STEP`)."""
        at = place_of(cursor, str, int, str)
        after = None if at is None else Place(rep=at[0], position=at[1], id=at[2])
        members = meant(office, name_of(name, now.read().files), user.reps, [state], _place(step))
        page = page_of_members(office, members, after=after)
        last = page.after
        following = None if last is None else cursor_of(last.rep, last.position, last.id)
        return Listed(items=[Enrollment.of(one.enrollment) for one in page.members], next=following)

    def do(action: EnrollmentAction, user: User, name: str, chosen: Chosen, until: date | None = None) -> Done:
        campaign = name_of(name, now.read().files)
        ids = None if chosen.people is None else _ids(site, campaign, chosen.people)
        members = meant(office, campaign, user.reps, CONCERNS[action], _place(chosen.step))
        by = user.name or "hand"
        return Done(people=act(office, action, choose(office, members, ids=ids), by=by, until=until))

    @routes.post("/campaigns/{name}/pause")
    def pause_people(user: Running, name: str, chosen: Pause) -> Done:
        """Pause people in a campaign; what is due for them waits."""
        return do(EnrollmentAction.PAUSE, user, name, chosen, chosen.until)

    @routes.post("/campaigns/{name}/resume")
    def resume_people(user: Running, name: str, chosen: Chosen) -> Done:
        """Let people in a campaign go on."""
        return do(EnrollmentAction.RESUME, user, name, chosen)

    @routes.post("/campaigns/{name}/remove")
    def remove_people(user: Running, name: str, chosen: Chosen) -> Done:
        """End a campaign for people."""
        return do(EnrollmentAction.REMOVE, user, name, chosen)

    @routes.get("/campaigns/{name}/migration")
    def read_migration(user: Reading, name: str) -> Listed[Moved]:
        """Return who would move to the present version of a campaign, and where they would go on."""
        files = now.read().files
        campaign = files.campaigns.get(name_of(name, files)) or _without_file(site, user, name)
        moves = plan_migration(office, campaign, files.templates, reps=user.reps)
        return Listed(items=[Moved.of(move) for move in moves])

    @routes.post("/campaigns/{name}/migrate")
    def migrate_people(user: Running, name: str) -> Listed[Moved]:
        """Move people to the present version of a campaign."""
        files = now.read().files
        campaign = files.campaigns.get(name_of(name, files)) or _without_file(site, user, name)
        moves = migrate(office, campaign, files.templates, reps=user.reps)
        return Listed(items=[Moved.of(move) for move in moves])


def _without_file(site: Site, user: User, name: str) -> NoReturn:
    """Raise what there is to say about a campaign that has no file."""
    view_campaign(site.office, FilesNow(site).read().files, name, user.reps)
    raise BadInput(f"the file of '{name}' is gone or has faults: there is nothing to move people to")


def _place(step: str | None) -> tuple[int, int] | None:
    if step is None:
        return None
    day, _, number = step.partition(".")
    return int(day), int(number)


def _ids(site: Site, campaign: str, people: Sequence[str]) -> list[str]:
    with site.office.database.read() as tx:
        return [one.id for one in find_enrollments(tx, persons=people, campaign=campaign)]
