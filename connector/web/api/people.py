"""People: who is known, and whether they may be written to.

Lives here: looking at people, bringing them in, opting out and taking that back. Does not live here: what follows from
it (`sync.actions`). A person whom only other reps' campaigns have is not there for anybody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field

from connector import people
from connector.events import EventKind
from connector.people import time_zones
from connector.store.enrollments import find_enrollments
from connector.store.people import StoredPerson
from connector.store.people_pages import PeopleFilter, Standing
from connector.sync import actions
from connector.sync.people_views import PersonPage, is_own, list_people, look_at_person
from connector.sync.views import NextStep
from connector.web.access import NotAllowedError, UnknownPerson, own_person
from connector.web.api.callers import Minding, Reading
from connector.web.api.lists import Cursor, Listed, Most, cursor_of, place_of
from connector.web.api.models import Changed, Email, Enrollment, Event, Given, Line
from connector.web.site import Site
from connector.web.users import User


def _zone(name: str) -> str:
    if name and name not in time_zones():
        raise ValueError("that is no IANA name of a time zone: write one such as Europe/Madrid")
    return name


class Details(Given):
    """What a people file says of somebody."""

    email: Email
    first_name: Line = ""
    last_name: Line = ""
    title: Line = ""
    company: Line = ""
    phone: Line = ""
    time_zone: Annotated[str, Field(max_length=64), AfterValidator(_zone)] = ""
    salesforce_id: Annotated[str, Field(pattern=r"^([a-zA-Z0-9]{15}([a-zA-Z0-9]{3})?)?$")] = ""
    linkedin_url: Annotated[str, Field(max_length=500, pattern=r"^(https?://\S+)?$")] = ""
    custom: dict[Line, Line] = Field(default={}, max_length=100)


class Person(BaseModel):
    """Somebody, and what is known about writing to them."""

    email: str
    first_name: str
    last_name: str
    title: str
    company: str
    phone: str
    time_zone: str
    salesforce_id: str
    linkedin_url: str
    custom: dict[str, str]
    opted_out: datetime | None
    bounced: datetime | None
    bounce_reason: str
    held: datetime | None = Field(description="Since when an incoming mail that nobody could classify holds sends.")

    @classmethod
    def of(cls, stored: StoredPerson) -> Person:
        """Return somebody as stored."""
        said = {name: getattr(stored.person, name) for name in Details.model_fields}
        marks = {name: getattr(stored, name) for name in ("opted_out", "bounced", "bounce_reason", "held")}
        return cls(**said, **marks)


class InCampaign(BaseModel):
    """Somebody in one campaign."""

    enrollment: Enrollment
    standing: str = Field(description="How it stands, as a sentence.")
    next: list[Event] = Field(description="What comes, if all goes on as it is; of the kind `step_due`.")


class Explanation(BaseModel):
    """What happened with somebody, and what is next."""

    past: list[Event]
    campaigns: list[InCampaign]

    @classmethod
    def of(cls, page: PersonPage) -> Explanation:
        """Return what is known, as somebody may see it."""
        return cls(
            past=[Event.of(line.event) for line in reversed(page.history)],
            campaigns=[
                InCampaign(
                    enrollment=Enrollment.of(one.enrollment),
                    standing=one.standing,
                    next=[_ahead(step) for step in one.next],
                )
                for one in page.campaigns
            ],
        )


def _ahead(ahead: NextStep) -> Event:
    step, enrollment = ahead.step, ahead.enrollment
    return Event(
        at=ahead.due,
        kind=EventKind.STEP_DUE,
        person=enrollment.person,
        rep=enrollment.rep,
        campaign=enrollment.campaign,
        intent=ahead.key,
        text=f"day {step.day}, step {step.step} ({step.type}) will be due for {enrollment.person}",
        reason=ahead.reason,
    )


class Import(Given):
    """People to be stored, as a people file would say it."""

    people: list[Details] = Field(min_length=1, max_length=10_000)


class LeftOut(BaseModel):
    """Somebody who was left out."""

    person: str
    reason: str


class Imported(BaseModel):
    """What an import came to."""

    imported: int
    left_out: list[LeftOut]


class Reason(Given):
    """Why somebody is opted out, or is no longer."""

    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""
    office = site.office

    @routes.post("/people")
    def import_people(user: Minding, given: Import) -> Imported:
        """Store people, overwriting what files said of them; those of other reps' campaigns are left out."""
        others = of_others(site, user, [one.email for one in given.people])
        mine = {one.email: one for one in given.people if one.email not in others}
        count = actions.import_people(office, [people.Person(**one.model_dump()) for one in mine.values()])
        reason = "is in campaigns of other reps"
        left = [LeftOut(person=email, reason=reason) for email in sorted(others)]
        return Imported(imported=count, left_out=left)

    @routes.get("/people")
    def list_all_people(
        user: Reading,
        search: Annotated[str, Query(max_length=200, description="Parts of names, companies, addresses.")] = "",
        campaign: Annotated[str, Query(max_length=200)] = "",
        standing: Standing | None = None,
        cursor: Cursor = None,
        limit: Most = 50,
    ) -> Listed[Person]:
        """Return people by address: of your campaigns, or of nobody's."""
        place = place_of(cursor, str)
        wanted = PeopleFilter(search=search, campaign=campaign, standing=standing)
        page = list_people(office, wanted, reps=user.reps, after="" if place is None else place[0], most=limit)
        following = None if page.next is None else cursor_of(page.next)
        return Listed(items=[Person.of(line.stored) for line in page.lines], next=following)

    @routes.get("/people/{email}")
    def get_person(user: Reading, email: Email) -> Person:
        """Return somebody."""
        return Person.of(own_person(site, user, email))

    @routes.get("/people/{email}/explanation")
    def explain(user: Reading, email: Email) -> Explanation:
        """Return what happened with somebody and what is next, each with its reason."""
        own_person(site, user, email)
        return Explanation.of(look_at_person(office, email, reps=user.reps))

    @routes.post("/people/{email}/opt-out")
    def opt_out(user: Minding, email: Email, why: Reason) -> Changed:
        """Opt somebody out, known or not: every campaign of theirs ends at once. Return those of yours that ended."""
        if of_others(site, user, [email]):
            raise UnknownPerson(f"there is nobody with the address '{email}': look in the list of people")
        ended = actions.opt_out(office, email, reason=why.reason)
        return Changed.of([one for one in ended if user.may_see(one.rep)])

    @routes.post("/people/{email}/opt-out/undo")
    def undo_opt_out(user: Minding, email: Email, why: Reason) -> Person:
        """Take an opt-out back, of your own people or as an admin; campaigns that ended stay ended."""
        own_person(site, user, email)
        if not is_own(office, email, reps=user.reps):
            raise NotAllowedError
        actions.undo_opt_out(office, email, reason=why.reason)
        return Person.of(own_person(site, user, email))


def of_others(site: Site, user: User, emails: Sequence[str]) -> set[str]:
    """Return those who are or were in campaigns, and in none of a user's reps'."""
    if user.reps is None:
        return set()
    with site.office.database.read() as tx:
        found = find_enrollments(tx, persons=emails, live=False)
    return {one.person for one in found} - {one.person for one in found if one.rep in user.reps}
