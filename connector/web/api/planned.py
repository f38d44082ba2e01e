"""A launch that is shown before: from the CRM, with first emails in other words, confirmed by a digest of all that.

Lives here: what such a request says, and carrying it out as the page of a launch does. Does not live here: the route
(`launches`), what it would come to (`sync.launch_preview`), reading people of the CRM (`sync.launch_people`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connector.campaigns.model import Campaign
from connector.content.templates import Template
from connector.content.written import LONGEST_BODY, LONGEST_SUBJECT
from connector.errors import BadInput
from connector.ports import PeopleSource
from connector.sync.launch import Launched
from connector.sync.launch_people import MOST, gather
from connector.sync.launch_plans import LaunchPlan, keep
from connector.sync.launch_preview import PlannedPerson, Shown, confirm, show
from connector.web.access import NotAllowedError
from connector.web.api.models import Given
from connector.web.site import Site
from connector.web.users import Role, User

_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Record = Annotated[str, Field(pattern=r"^[a-zA-Z0-9]{15}([a-zA-Z0-9]{3})?$")]


class Source(Given):
    """What people of the CRM are taken from: exactly one of these; whom it names is stored, as a pull stores them."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    list_view: _Name | None = None
    report: _Name | None = None
    campaign: _Name | None = None
    ids: list[_Record] | None = Field(default=None, min_length=1, max_length=MOST, description="Leads and contacts.")
    soql: Annotated[str, Field(min_length=1, max_length=20_000)] | None = Field(
        default=None, description="For managers and admins."
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if len(self.model_fields_set) != 1 or None in self.model_dump(exclude_unset=True).values():
            raise ValueError("name one source: list_view, report, campaign, ids or soql")
        return self

    def of(self, user: User) -> PeopleSource:
        """Return what is read; raise `NotAllowedError` for a query of somebody who may see only some of the people."""
        if self.soql is not None and user.role is Role.REP:
            raise NotAllowedError
        return PeopleSource(
            soql=self.soql,
            list_view=self.list_view,
            report=self.report,
            campaign=self.campaign,
            ids=tuple(self.ids or ()),
        )


class OtherWords(Given):
    """What somebody's first email says in place of its template."""

    subject: str = Field(max_length=LONGEST_SUBJECT)
    body: str = Field(max_length=LONGEST_BODY, description="In the `format` of the email as it was shown.")


class FirstEmail(BaseModel):
    """The first email of somebody who would be launched."""

    person: str
    time_zone: str = Field(description="In which their calendar is local.")
    subject: str | None = Field(description="As it may be edited; null when it cannot be written out.")
    body: str | None
    format: str | None
    edited: bool = Field(description="It says what the request says, not what its template does.")
    html: str | None = Field(description="As it would go out; null when it cannot be composed yet.")
    problem: str | None = Field(description="Why it would wait for somebody.")

    @classmethod
    def of(cls, planned: PlannedPerson) -> FirstEmail | None:
        """Return somebody's; None when their campaign does not begin with an email."""
        first = planned.first
        if first is None:
            return None
        said = first.written
        return cls(
            person=planned.person.email,
            time_zone=planned.zone,
            subject=None if said is None else said.subject,
            body=None if said is None else said.body,
            format=None if said is None else said.format,
            edited=first.edited,
            html=None if first.rendered is None else first.rendered.html,
            problem=first.problem or None,
        )


def lay_out(
    site: Site,
    user: User,
    campaign: Campaign,
    templates: Mapping[str, Template],
    plan: LaunchPlan,
    *,
    source: Source | None = None,
    first_emails: Mapping[str, OtherWords] | None = None,
) -> Shown:
    """Return what a plan comes to, with the people of a source and with first emails in other words.

    Raises `BadInput` for too many people, and for the first email of somebody who would not be launched or has none.
    """
    if source is not None:
        wanted = source.of(user)
        found = gather(site.office, known=[one.email for one in plan.people], source=wanted)
        plan = replace(plan, people=list(found.candidates.values()), left_out=[*plan.left_out, *found.left_out])
    shown = show(site.office, campaign, templates, plan, reps=user.reps)
    if not first_emails:
        return shown
    for email, words in first_emails.items():
        first = shown.person(email).first
        if first is None or first.written is None:
            raise BadInput(f"there is no first email of {email} to write in other words")
        subject, body = " ".join(words.subject.split()), words.body.replace("\r\n", "\n")
        plan = plan.saying(email, replace(first.written, subject=subject, body=body))
    return show(site.office, campaign, templates, plan, reps=user.reps)


def carry_out(
    site: Site, user: User, campaign: Campaign, templates: Mapping[str, Template], shown: Shown, *, digest: str | None
) -> Launched:
    """Launch what is shown now, if it has this digest; raise `PlanChanged` if not, `BadInput` when nobody would be."""
    keep(site.office, shown.plan)
    wanted = shown.digest if digest is None else digest
    done = confirm(site.office, campaign, templates, shown.plan, reps=user.reps, digest=wanted)
    return replace(done, left_out=list(shown.left_out))
