"""What a planned launch would come to, and carrying out exactly that.

Lives here: `show`, everything a page shows of a plan, with a digest of it; `confirm`, which launches only what has this
digest. Does not live here: who may be in a campaign and the launch (`launch`), the calendar (`preview`), the plan
(`launch_plans`).

The digest is of all that decides what happens: the campaign's version (with the text of its templates), the rep, the
start, each person as they are known now, what was written for them, who is left out, and the dates of the calendar.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from connector.campaigns.model import Campaign
from connector.content.compose import Rendered, render
from connector.content.fields import Unresolved, check_lengths, fields_of
from connector.content.templates import Template
from connector.content.written import Written, render_written, write_out
from connector.errors import BadInput
from connector.intents import Mode, StepType, intent_key
from connector.people import Person, Rep
from connector.sequencing.enrollment import Enrollment
from connector.sequencing.sequencer import zone_of
from connector.store.campaign_numbers import Reps, read_whose
from connector.store.compositions import Composition, save_compositions
from connector.store.database import Transaction
from connector.store.launch_plans import close_plan
from connector.store.people import StoredPerson, read_people
from connector.sync.launch import Launched, LeftOut, launch
from connector.sync.launch_plans import LaunchPlan, Outcome, is_as_kept, outcome_json
from connector.sync.office import Office
from connector.sync.preview import Preview, preview

#: How a field begins that is read from the CRM when a mail is composed.
_OF_CRM = "sfdc."


class PlanChanged(BadInput):
    """What was shown is not what would happen now."""


class LaunchedAlready(BadInput):
    """A plan was launched before: by another click, or in another window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstEmail:
    """The first email of one person."""

    #: As it would go out; None when it cannot be composed.
    rendered: Rendered | None
    #: As it may be edited; None when it cannot be rendered at all.
    written: Written | None
    edited: bool
    #: Why it would wait for somebody, or "".
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPerson:
    """Somebody who would be put into the campaign."""

    person: Person
    #: IANA name in which their calendar is local.
    zone: str
    #: None when the campaign does not begin with an email.
    first: FirstEmail | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """All that a plan would come to."""

    plan: LaunchPlan
    campaign: Campaign
    rep: Rep
    version: str
    #: S of spec sequencing 3; aware, UTC.
    start: datetime
    people: Sequence[PlannedPerson]
    left_out: Sequence[LeftOut]
    warnings: Sequence[str]
    #: Zone -> the calendar of everybody whose dates are local to it.
    calendars: Mapping[str, Preview]
    digest: str

    @property
    def in_need(self) -> int:
        """How many first emails would wait for somebody."""
        return sum(1 for one in self.people if one.first is not None and one.first.problem)

    def person(self, email: str) -> PlannedPerson:
        """Return one of the people; raise `BadInput` for anybody else."""
        for one in self.people:
            if one.person.email == email:
                return one
        raise BadInput(f"{email} is not among those who would be launched")


def show(
    office: Office, campaign: Campaign, templates: Mapping[str, Template], plan: LaunchPlan, *, reps: Reps
) -> Shown:
    """Return what a plan would come to now; nothing is changed. Raise `BadInput` when it cannot be launched at all."""
    rep = _rep_of(office, plan, reps)
    persons, crm_fields, others = _people_of(office, plan, reps)
    start = plan.start or office.now()
    tried = launch(
        office, campaign, templates, rep=rep, people=persons, start=start, overrides=plan.overrides, dry_run=True
    )
    out = {one.person for one in tried.left_out}
    going = [person for person in persons if person.email not in out]
    calendars = _calendars(campaign, templates, plan, rep, going, tried.start)
    left_out = [*plan.left_out, *others, *tried.left_out]
    return Shown(
        plan=plan,
        campaign=campaign,
        rep=rep,
        version=tried.version,
        start=tried.start,
        people=[
            PlannedPerson(
                person=person,
                zone=_zone(campaign, rep, person),
                first=_first_email(office, campaign, templates, plan, rep, person, crm_fields[person.email]),
            )
            for person in going
        ],
        left_out=left_out,
        warnings=tried.warnings,
        calendars=calendars,
        digest=_digest(plan, rep, tried, [(person, crm_fields[person.email]) for person in going], left_out, calendars),
    )


def calendar_of(shown: Shown, templates: Mapping[str, Template], person: Person) -> Preview:
    """Return the whole calendar of one person, with what each step is called for them."""
    (found,) = preview(
        shown.campaign,
        templates,
        rep=shown.rep,
        people=[person],
        launched=shown.start,
        start=shown.start,
        overrides=shown.plan.overrides,
        complete_tasks_after=timedelta(),
    )
    return found


def confirm(
    office: Office,
    campaign: Campaign,
    templates: Mapping[str, Template],
    plan: LaunchPlan,
    *,
    reps: Reps,
    digest: str,
) -> Launched:
    """Launch what was shown with this digest, once.

    Raises `LaunchedAlready` when it was launched before, `PlanChanged` when it would come to something else now, and
    `BadInput` when nobody would be launched.
    """
    if plan.outcome is not None:
        raise LaunchedAlready("this was launched already: nothing was done again")
    shown = show(office, campaign, templates, plan, reps=reps)
    if shown.digest != digest:
        raise PlanChanged("something has changed since this was shown: look at it again, then launch it")
    if not shown.people:
        raise BadInput("nobody would be put into the campaign: everybody is left out")
    expected = {one.person.email for one in shown.people}

    def along(tx: Transaction, launched: Launched, new: Sequence[Enrollment]) -> None:
        if {one.person for one in new} != expected:
            raise PlanChanged("somebody's standing has changed since this was shown: look at it again, then launch it")
        outcome = Outcome(enrolled=launched.enrolled, left_out=tuple(shown.left_out), start=launched.start)
        if not close_plan(tx, plan.id, outcome_json(outcome)):
            raise LaunchedAlready("this was launched already: nothing was done again")
        if not is_as_kept(tx, plan):
            raise PlanChanged("it was changed in another window meanwhile: look at it again, then launch it")
        save_compositions(
            tx, [_composition(campaign, plan, one, office.now()) for one in new if one.person in plan.written]
        )

    return launch(
        office,
        campaign,
        templates,
        rep=shown.rep,
        people=[one.person for one in shown.people],
        start=plan.start or office.now(),
        overrides=plan.overrides,
        along=along,
    )


# ----------------------------------------------------------------------------------------------- who, and when


def _rep_of(office: Office, plan: LaunchPlan, reps: Reps) -> Rep:
    rep = office.reps.get(plan.rep)
    if rep is None or (reps is not None and rep.email not in reps):
        raise BadInput(f"there is no rep '{plan.rep}' whom you may launch for: choose another")
    return rep


def _people_of(
    office: Office, plan: LaunchPlan, reps: Reps
) -> tuple[list[Person], Mapping[str, Mapping[str, Any]], list[LeftOut]]:
    """Return the people as they are known now, what the CRM said of each, and those who are other reps'."""
    emails = [one.email for one in plan.people]
    with office.database.read() as tx:
        known = read_people(tx, emails)
        whose = {} if reps is None else read_whose(tx, emails)
    others = [
        LeftOut(
            person=email, reason="is in the hands of another rep: a manager of both, or an administrator, may do it"
        )
        for email, theirs in whose.items()
        if reps is not None and theirs.isdisjoint(reps)
    ]
    foreign = {one.person for one in others}
    persons = [_person(one.email, one.given, known.get(one.email)) for one in plan.people if one.email not in foreign]
    return persons, {email: _crm_fields(known.get(email)) for email in emails}, others


def _person(email: str, given: Person | None, known: StoredPerson | None) -> Person:
    if given is not None:
        return given
    return Person(email=email) if known is None else known.person


def _crm_fields(known: StoredPerson | None) -> Mapping[str, Any]:
    return {} if known is None else known.crm_fields


def _zone(campaign: Campaign, rep: Rep, person: Person) -> str:
    return zone_of(campaign.settings, sender=rep.time_zone, recipient=person.time_zone)


def _calendars(
    campaign: Campaign,
    templates: Mapping[str, Template],
    plan: LaunchPlan,
    rep: Rep,
    going: Sequence[Person],
    start: datetime,
) -> dict[str, Preview]:
    """Return the calendar of one person of each zone: zone, start and clock times alone decide about dates."""
    one_of = {_zone(campaign, rep, person): person for person in reversed(going)}
    planned = preview(
        campaign,
        templates,
        rep=rep,
        people=one_of.values(),
        launched=start,
        start=start,
        overrides=plan.overrides,
        complete_tasks_after=timedelta(),
    )
    return dict(zip(one_of, planned, strict=True))


# ------------------------------------------------------------------------------------------- the first email


def _first_email(
    office: Office,
    campaign: Campaign,
    templates: Mapping[str, Template],
    plan: LaunchPlan,
    rep: Rep,
    person: Person,
    crm_fields: Mapping[str, Any],
) -> FirstEmail | None:
    step = campaign.steps[0]
    if step.type is not StepType.EMAIL:
        return None
    template, fields = templates[step.template or ""], fields_of(person, rep, crm_fields)
    unsubscribe = office.unsubscribe
    no_more = "" if unsubscribe is None else unsubscribe.html_of(person.email)
    own = plan.written.get(person.email)
    rendered, problem = None, ""
    try:
        check_lengths(fields, template.fields, f"person {person.email}")
        if own is None:
            rendered = render(template, fields, signature=rep.signature, unsubscribe_html=no_more)
        else:
            rendered = render_written(own, signature=rep.signature, unsubscribe_html=no_more)
    except Unresolved as error:
        # What the CRM keeps is read from there when the mail is composed.
        problem = "" if all(name.startswith(_OF_CRM) for name in error.fields) else str(error)
    except BadInput as error:
        problem = str(error)
    if rendered is not None and not rendered.subject:
        problem = f"the mail to {person.email} has no subject: write one"
    elif rendered is not None and rendered.prompts and step.mode is Mode.SEND:
        problem = f"the field prompt '{rendered.prompts[0]}' was not replaced, and nobody reads it first"
    written = own or _written_out(template, fields, rep, unsubscribes=bool(no_more))
    return FirstEmail(rendered=rendered, written=written, edited=own is not None, problem=problem)


def _written_out(template: Template, fields: Mapping[str, Any], rep: Rep, *, unsubscribes: bool) -> Written | None:
    try:
        return write_out(template, fields, signature=rep.signature, unsubscribes=unsubscribes)
    except BadInput:
        return None


def _composition(campaign: Campaign, plan: LaunchPlan, enrollment: Enrollment, now: datetime) -> Composition:
    step = campaign.steps[0]
    return Composition(
        key=intent_key(enrollment.id, enrollment.version, step.day, step.step),
        enrollment=enrollment.id,
        template=step.template or "",
        written=plan.written[enrollment.person],
        version=1,
        updated=now,
        by=plan.user,
    )


# --------------------------------------------------------------------------------------------------- the digest


def _digest(
    plan: LaunchPlan,
    rep: Rep,
    tried: Launched,
    going: Sequence[tuple[Person, Mapping[str, Any]]],
    left_out: Sequence[LeftOut],
    calendars: Mapping[str, Preview],
) -> str:
    """Return what stands for all that was shown. A start at once is a little later at each look: its dates count."""
    at_once = plan.start is None
    said = {
        "version": tried.version,
        "rep": asdict(rep),
        "start": None if plan.start is None else plan.start.isoformat(),
        "overrides": {place: clock.isoformat() for place, clock in plan.overrides.items()},
        "people": [[{**asdict(person), "custom": dict(person.custom)}, dict(fields)] for person, fields in going],
        "written": {email: asdict(said) for email, said in plan.written.items()},
        "left_out": [[one.person, one.reason] for one in left_out],
        "calendars": {
            zone: [
                [one.planned.due_date if at_once else one.planned.due, one.planned.step.place] for one in found.steps
            ]
            for zone, found in calendars.items()
        },
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()
