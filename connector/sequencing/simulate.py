"""The whole calendar of a campaign before launch, by the production sequencer on a virtual clock.

Lives here: `simulate_person`, `simulate_rest`. Does not live here: printing it (`cli`), due times (`due`).
Source: interfaces 2 (`simulate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from connector.campaigns.model import Campaign, Step
from connector.events import Event, EventKind
from connector.intents import Mode
from connector.sequencing.enrollment import Enrollment, EnrollmentState
from connector.sequencing.sequencer import apply, decide, launch, plan_first


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One step of one person's calendar."""

    step: Step
    #: Aware, UTC.
    due: datetime
    due_date: date
    reason: str


def simulate_person(
    campaign: Campaign,
    *,
    zone: str,
    launched: datetime,
    start: datetime,
    overrides: dict[str, time],
    complete_tasks_after: timedelta,
    person: str = "",
    rep: str = "",
) -> tuple[PlannedStep, ...]:
    """Return every step with its due time, if mails go out at their due time and tasks take `complete_tasks_after`."""
    enrollment = launch(
        campaign,
        id="simulation",
        version="simulation",
        person=person,
        rep=rep,
        zone=zone,
        launched=launched,
        start=start,
        overrides=overrides,
        first=plan_first(campaign, zone=zone, start=start, overrides=overrides),
    ).enrollment
    return _play(campaign, enrollment, complete_tasks_after)


def simulate_rest(campaign: Campaign, enrollment: Enrollment, *, now: datetime) -> tuple[PlannedStep, ...]:
    """Return the steps still ahead of an enrollment, if tasks are done at once; none for one paused or ended.

    A step that waits for a person is taken as done at `now`; it is not repeated among the steps ahead.
    """
    if enrollment.state is not EnrollmentState.ACTIVE:
        return ()
    if enrollment.intent is not None:
        done = Event(at=now, kind=EventKind.COMPLETED, intent=enrollment.intent)
        enrollment = apply(campaign, enrollment, (done,)).enrollment
    return _play(campaign, enrollment, timedelta())


def _play(campaign: Campaign, enrollment: Enrollment, complete_tasks_after: timedelta) -> tuple[PlannedStep, ...]:
    planned: list[PlannedStep] = []
    while (now := enrollment.next_due) is not None:
        outcome = decide(campaign, enrollment, (), now)
        intent = outcome.intents[0]
        step = campaign.steps[outcome.enrollment.position]
        planned.append(
            PlannedStep(step=step, due=intent.due, due_date=intent.due_date, reason=outcome.enrollment.reason)
        )
        sent = intent.mode is Mode.SEND
        done = Event(
            at=now if sent else now + complete_tasks_after,
            kind=EventKind.SENT if sent else EventKind.COMPLETED,
            intent=intent.key,
        )
        enrollment = apply(campaign, outcome.enrollment, (done,)).enrollment
    return tuple(planned)
