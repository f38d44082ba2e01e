"""A campaign's whole calendar for each of some people, before anybody is launched.

Lives here: `preview`, which joins the production sequencer's calendar with what each step will be called.
Does not live here: the calendar (`sequencing.simulate`), printing it (`cli`). Touches no account and no database.
Source: interfaces 2 (`simulate`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from connector.campaigns.model import Campaign, Step
from connector.content.compose import reply_subject
from connector.content.fields import Unresolved, fields_of
from connector.content.templates import Template, parse_text
from connector.intents import StepType
from connector.people import Person, Rep
from connector.sequencing.sequencer import zone_of
from connector.sequencing.simulate import PlannedStep, simulate_person
from connector.sync.views import zulu

#: Whom a calendar without people is planned for.
PLACEHOLDER = "placeholder"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewedStep:
    """One step of a person's calendar, and what it will be called."""

    planned: PlannedStep
    #: The subject of an email, the name of another task; fields without a value stand as `{{field}}`.
    subject: str

    def as_json(self) -> dict[str, Any]:
        """Return it as interfaces 2 says it."""
        step = self.planned.step
        return {
            "day": step.day,
            "step": step.step,
            "type": step.type.value,
            "mode": step.mode.value,
            "due": zulu(self.planned.due),
            "due_date": self.planned.due_date.isoformat(),
            "subject": self.subject,
            "template": step.template,
            "follow_up": step.follow_up,
            "reason": self.planned.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One person's calendar."""

    person: str
    #: IANA name in which its dates are local.
    time_zone: str
    steps: tuple[PreviewedStep, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as interfaces 2 says it."""
        return {
            "person": self.person,
            "time_zone": self.time_zone,
            "steps": [step.as_json() for step in self.steps],
        }


def preview(
    campaign: Campaign,
    templates: Mapping[str, Template],
    *,
    rep: Rep,
    people: Iterable[Person] | None,
    launched: datetime,
    start: datetime,
    overrides: Mapping[str, time],
    complete_tasks_after: timedelta,
) -> Iterator[Preview]:
    """Yield each person's calendar; without people, that of one placeholder in the rep's zone."""
    for person in people if people is not None else (None,):
        zone = zone_of(
            campaign.settings, sender=rep.time_zone, recipient=person.time_zone if person is not None else ""
        )
        planned = simulate_person(
            campaign,
            zone=zone,
            launched=launched,
            start=start,
            overrides=dict(overrides),
            complete_tasks_after=complete_tasks_after,
            person=person.email if person is not None else PLACEHOLDER,
            rep=rep.email,
        )
        fields = fields_of(person, rep) if person is not None else None
        subjects = _subjects(campaign, templates, fields)
        yield Preview(
            person=person.email if person is not None else PLACEHOLDER,
            time_zone=zone,
            steps=tuple(PreviewedStep(planned=step, subject=subjects[step.step.place]) for step in planned),
        )


def _subjects(
    campaign: Campaign, templates: Mapping[str, Template], fields: Mapping[str, Any] | None
) -> dict[str, str]:
    """Return what each step is called, by `DAY.STEP`."""
    subjects: dict[str, str] = {}
    previous = ""
    for step in campaign.steps:
        own = _own_subject(step, templates, fields)
        if step.type is StepType.EMAIL and not own and step.follow_up:
            own = reply_subject(previous)
        subjects[step.place] = previous = own
    return subjects


def _own_subject(step: Step, templates: Mapping[str, Template], fields: Mapping[str, Any] | None) -> str:
    source = templates[step.template].subject if step.template is not None else step.name
    if fields is None:
        return source
    try:
        return " ".join(parse_text(source).render(fields).split())
    except Unresolved:
        return source
