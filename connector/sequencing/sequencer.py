"""The sequencer: (campaign, enrollment, events, now) -> (enrollment, intents, decisions). Pure.

Lives here: what each event does to an enrollment, and when its current step becomes an intent.
Does not live here: due times (`due`), states (`enrollment`), carrying intents out (`sync`).
Source: spec sequencing 3 to 6.

Rules, in the order they are applied:
1. An enrollment that has ended is never changed, unless the end of its last step is undone.
2. An event that ends it, ends it; whatever its intent was, is cancelled by the caller with the end's reason.
3. The end of the current intent (sent, completed, skipped) makes the next step current at that instant.
4. A step that is current and due, while the enrollment is active, becomes one intent, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import lru_cache

from connector.campaigns.model import RECIPIENT_ZONE, SENDER_ZONE, Campaign, CampaignSettings, OnReply, SendOption, Step
from connector.events import Event, EventKind
from connector.intents import Intent, Mode, StepType, intent_key
from connector.sequencing.calendar import Calendar, calendar_for
from connector.sequencing.due import Due, plan_due
from connector.sequencing.enrollment import ENROLLMENT_TRANSITIONS, Enrollment, EnrollmentState

_STEP_ENDS = frozenset({EventKind.SENT, EventKind.COMPLETED, EventKind.SKIPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the sequencer decided: the enrollment as it is now, new intents, and the decisions for the ledger."""

    enrollment: Enrollment
    intents: tuple[Intent, ...] = ()
    decisions: tuple[Event, ...] = ()


def zone_of(settings: CampaignSettings, *, sender: str, recipient: str) -> str:
    """Return the IANA zone an enrollment's dates are local to (spec sequencing 2)."""
    if settings.time_zone == SENDER_ZONE:
        return sender
    if settings.time_zone == RECIPIENT_ZONE:
        return recipient or sender
    return settings.time_zone


def plan_first(campaign: Campaign, *, zone: str, start: datetime, overrides: Mapping[str, time]) -> Due:
    """Return when the first step is due; the same for everybody who starts at one instant in one zone."""
    calendar = calendar_for(campaign.settings, zone)
    first = campaign.steps[0]
    return _due(
        campaign, first, start, start=start, anchor=None, overrides=overrides, email_clocks=(), calendar=calendar
    )


def launch(
    campaign: Campaign,
    *,
    id: str,  # noqa: A002 - the field's name
    version: str,
    person: str,
    rep: str,
    zone: str,
    launched: datetime,
    start: datetime,
    overrides: Mapping[str, time],
    first: Due,
) -> Outcome:
    """Return a new enrollment with its first step planned, and the ledger line of the launch.

    The caller has checked that `start` is not before `launched` and that overrides name fixed-time steps; `first` is
    `plan_first` of the same zone, start and overrides.
    """
    enrollment = Enrollment(
        id=id,
        campaign=campaign.name,
        version=version,
        person=person,
        rep=rep,
        zone=zone,
        launched=launched,
        start=start,
        overrides=overrides,
        due=first.at,
        due_date=first.date,
        reason=first.reason,
        anchor_day=campaign.steps[0].day,
        anchor_date=first.date,
    )
    data = {"start": _minute(start), "version": version}
    return Outcome(enrollment=enrollment, decisions=(_line(enrollment, EventKind.LAUNCHED, launched, **data),))


def decide(campaign: Campaign, enrollment: Enrollment, events: Sequence[Event], now: datetime) -> Outcome:
    """Apply events in order, then turn the current step into an intent if it is due at `now`.

    Decisions hold what follows from the events (finished, step due), not the events themselves.
    """
    applied = apply(campaign, enrollment, events) if events else Outcome(enrollment=enrollment)
    enrollment = applied.enrollment
    due = enrollment.next_due
    if due is None or due > now:
        return applied
    intent = _intent(campaign, enrollment, due)
    enrollment = enrollment.waiting_for(intent.key)
    where = {"day": intent.day, "step": intent.step, "type": intent.type.value}
    line = _line(enrollment, EventKind.STEP_DUE, now, reason=enrollment.reason, intent=intent.key, **where)
    return Outcome(enrollment=enrollment, intents=(intent,), decisions=(*applied.decisions, line))


def apply(campaign: Campaign, enrollment: Enrollment, events: Sequence[Event]) -> Outcome:
    """Apply events in order, without looking at what is due."""
    calendar = calendar_for(campaign.settings, enrollment.zone)
    decisions: list[Event] = []
    for event in events:
        enrollment = _apply(campaign, enrollment, event, calendar)
        if enrollment.position == len(campaign.steps) and not enrollment.has_ended:
            enrollment = replace(enrollment, state=EnrollmentState.FINISHED, due=None, due_date=None, reason="")
            decisions.append(_line(enrollment, EventKind.FINISHED, event.at, reason="every step is done"))
    return Outcome(enrollment=enrollment, decisions=tuple(decisions))


def _apply(campaign: Campaign, enrollment: Enrollment, event: Event, calendar: Calendar) -> Enrollment:
    if event.kind is EventKind.UNDONE:
        return _step_back(enrollment, event)
    if enrollment.has_ended:
        return enrollment
    if event.kind is EventKind.RESCHEDULED:
        return _reschedule(enrollment, event)
    if event.kind in _STEP_ENDS:
        return _advance(campaign, enrollment, event, calendar) if event.intent == enrollment.intent else enrollment
    if event.kind is EventKind.MIGRATED:
        return _migrate(campaign, enrollment, event, calendar)
    if not _counts(event, campaign.settings):
        return enrollment
    kind = EventKind.REPLIED if event.kind is EventKind.OUT_OF_OFFICE else event.kind
    state = ENROLLMENT_TRANSITIONS[enrollment.state].get(kind)
    if state is None:
        return enrollment
    if state is EnrollmentState.REPLIED and campaign.settings.on_reply is OnReply.END_AS_SUCCESS:
        state = EnrollmentState.SUCCEEDED
    enrollment = replace(enrollment, state=state)
    if state is EnrollmentState.ACTIVE:
        carried_out = bool(event.data.get("carried_out"))
        return enrollment if carried_out else _plan(campaign, enrollment, event.at, calendar)
    return enrollment


def _counts(event: Event, settings: CampaignSettings) -> bool:
    """Tell whether the campaign's settings let an event move the enrollment."""
    match event.kind:
        case EventKind.REPLIED:
            return settings.on_reply is not OnReply.CONTINUE
        case EventKind.OUT_OF_OFFICE:
            return not settings.ignore_out_of_office and settings.on_reply is not OnReply.CONTINUE
        case EventKind.BOUNCED:
            return settings.remove_on_bounce
        case _:
            return True


def _advance(campaign: Campaign, enrollment: Enrollment, event: Event, calendar: Calendar) -> Enrollment:
    step = campaign.steps[enrollment.position]
    clocks = enrollment.email_clocks
    if step.type is StepType.EMAIL:
        # An automatic email counts with its due time, not the moment the mailbox let it out (spec sequencing 3).
        told = enrollment.due if step.mode is Mode.SEND and enrollment.due is not None else event.at
        clock = calendar.local(told).time().replace(tzinfo=None)
        clocks = (*(entry for entry in clocks if entry[0] != step.day), (step.day, clock))[-2:]
    enrollment = replace(enrollment, position=enrollment.position + 1, intent=None, email_clocks=clocks)
    if enrollment.state is EnrollmentState.PAUSED or enrollment.position == len(campaign.steps):
        return replace(enrollment, due=None, due_date=None, reason="")
    return _plan(campaign, enrollment, event.at, calendar)


def _step_back(enrollment: Enrollment, event: Event) -> Enrollment:
    """Make the step that was ended last the current one again, as it was; only while the next one was not begun."""
    state = enrollment.state
    if state is EnrollmentState.FINISHED:
        state = ENROLLMENT_TRANSITIONS[state][event.kind]
    before = event.data["before"]
    if state not in (EnrollmentState.ACTIVE, EnrollmentState.PAUSED) or enrollment.position != before["position"] + 1:
        return enrollment
    return replace(
        enrollment,
        state=state,
        position=before["position"],
        intent=event.intent,
        due=_instant(before["due"]),
        due_date=_date(before["due_date"]),
        reason=before["reason"],
        anchor_day=before["anchor_day"],
        anchor_date=_date(before["anchor_date"]),
        email_clocks=tuple((day, time.fromisoformat(clock)) for day, clock in before["email_clocks"]),
    )


def before_end(enrollment: Enrollment) -> dict[str, object]:
    """Return what `UNDONE` must say in `before` to undo the end of an enrollment's current step."""
    return {
        "position": enrollment.position,
        "due": None if enrollment.due is None else enrollment.due.isoformat(),
        "due_date": None if enrollment.due_date is None else enrollment.due_date.isoformat(),
        "reason": enrollment.reason,
        "anchor_day": enrollment.anchor_day,
        "anchor_date": None if enrollment.anchor_date is None else enrollment.anchor_date.isoformat(),
        "email_clocks": [[day, clock.isoformat()] for day, clock in enrollment.email_clocks],
    }


def _reschedule(enrollment: Enrollment, event: Event) -> Enrollment:
    """Move the current step, which is not carried out, to another instant; the steps after it follow its date."""
    if enrollment.due is None:
        return enrollment  # Paused before it was planned: it is planned when that ends.
    day_ = _date(event.data["due_date"])
    return replace(
        enrollment,
        due=_instant(event.data["due"]),
        due_date=day_,
        reason=event.reason,
        intent=None,
        anchor_date=day_,
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _migrate(campaign: Campaign, enrollment: Enrollment, event: Event, calendar: Calendar) -> Enrollment:
    """Move to another version of the campaign at the position the event names; an intent carried out stays."""
    version, position = str(event.data["version"]), int(event.data["position"])
    intent = enrollment.intent if event.data.get("carried_out") else None
    enrollment = replace(enrollment, version=version, position=position, intent=intent)
    if enrollment.intent is not None or enrollment.state is EnrollmentState.PAUSED or position == len(campaign.steps):
        return enrollment
    return _plan(campaign, enrollment, event.at, calendar)


def _plan(campaign: Campaign, enrollment: Enrollment, t: datetime, calendar: Calendar) -> Enrollment:
    """Make the step at the enrollment's position current at `t`."""
    step = campaign.steps[enrollment.position]
    due = _due(
        campaign,
        step,
        t,
        start=enrollment.start,
        anchor=None if enrollment.anchor_date is None else (enrollment.anchor_day or 1, enrollment.anchor_date),
        overrides=enrollment.overrides,
        email_clocks=enrollment.email_clocks,
        calendar=calendar,
    )
    return replace(
        enrollment,
        due=due.at,
        due_date=due.date,
        reason=due.reason,
        intent=None,
        anchor_day=step.day,
        anchor_date=due.date,
    )


def _due(
    campaign: Campaign,
    step: Step,
    t: datetime,
    *,
    start: datetime,
    anchor: tuple[int, date] | None,
    overrides: Mapping[str, time],
    email_clocks: tuple[tuple[int, time], ...],
    calendar: Calendar,
) -> Due:
    return plan_due(
        step,
        t=t,
        start=start,
        anchor=anchor,
        override=overrides.get(step.place) if overrides and step.send is SendOption.FIXED_TIME else None,
        email_clocks=email_clocks,
        window=campaign.settings.send_window,
        calendar=calendar,
    )


def _intent(campaign: Campaign, enrollment: Enrollment, due: datetime) -> Intent:
    step = campaign.steps[enrollment.position]
    return Intent(
        key=intent_key(enrollment.id, enrollment.version, step.day, step.step),
        enrollment=enrollment.id,
        campaign=campaign.name,
        version=enrollment.version,
        person=enrollment.person,
        rep=enrollment.rep,
        day=step.day,
        step=step.step,
        type=step.type,
        mode=step.mode,
        due=due,
        due_date=enrollment.due_date or due.date(),
    )


def _line(
    enrollment: Enrollment,
    kind: EventKind,
    at: datetime,
    *,
    reason: str = "",
    intent: str | None = None,
    **data: object,
) -> Event:
    return Event(
        at=at,
        kind=kind,
        enrollment=enrollment.id,
        person=enrollment.person,
        rep=enrollment.rep,
        campaign=enrollment.campaign,
        intent=intent,
        reason=reason,
        data=data,
    )


@lru_cache(maxsize=256)
def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
