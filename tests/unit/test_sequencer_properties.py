"""What holds for every campaign and every course of events (issue 2, must show 2).

Campaigns and events are made up; `Player` does with them what the wheel does: facts are written to a ledger, decided
on at once, and what is due is turned into intents.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connector.campaigns.model import (
    Campaign,
    CampaignSettings,
    OnReply,
    SendOption,
    SendWindow,
    Step,
)
from connector.events import Event, EventKind
from connector.intents import Intent, Mode, StepType
from connector.sequencing.calendar import calendar_for
from connector.sequencing.enrollment import Enrollment
from connector.sequencing.sequencer import apply, decide, launch, plan_first
from connector.sequencing.simulate import simulate_person, simulate_rest

ZONES = ["UTC", "Europe/Madrid", "America/New_York", "America/St_Johns", "Asia/Tokyo", "Australia/Lord_Howe"]

#: Around both changes of the clock, the end of the year and a leap day.
SEASONS = ["2026-03-06", "2026-03-27", "2026-10-02", "2026-10-23", "2026-12-22", "2028-02-25"]

clock_times = st.times().map(lambda clock: clock.replace(second=0, microsecond=0))
later = st.timedeltas(timedelta(0), timedelta(days=6))

windows = st.none() | st.tuples(st.integers(0, 11), st.integers(12, 23)).map(
    lambda hours: SendWindow(opens=time(hours[0]), closes=time(hours[1]))
)


@st.composite
def campaigns(draw: st.DrawFn) -> Campaign:
    days = [1, *sorted(draw(st.sets(st.integers(2, 9), max_size=3)))]
    steps: list[Step] = []
    for day in days:
        for number in range(1, draw(st.integers(1, 3)) + 1):
            steps.append(draw(step(day, number, first=not steps)))
    return Campaign(
        name="C",
        steps=tuple(steps),
        settings=CampaignSettings(
            skip_weekends=draw(st.booleans()),
            holidays=draw(st.sampled_from([(), ("US",), ("2026-03-29", "2026-12-24", "2028-02-29")])),
            send_window=draw(windows),
            on_reply=draw(st.sampled_from(OnReply)),
            ignore_out_of_office=draw(st.booleans()),
            remove_on_bounce=draw(st.booleans()),
        ),
    )


@st.composite
def step(draw: st.DrawFn, day: int, number: int, *, first: bool) -> Step:
    kind = draw(st.sampled_from(StepType))
    if kind is not StepType.EMAIL:
        return Step(day=day, step=number, type=kind, name="x")
    others = [SendOption.TASK, SendOption.FIXED_TIME]
    send = draw(st.sampled_from([*others, SendOption.CHOOSE_AT_LAUNCH if first else SendOption.SAME_TIME_AS_PREVIOUS]))
    clock = draw(clock_times) if send is SendOption.FIXED_TIME else None
    return Step(day=day, step=number, type=kind, template="t", send=send, at=clock)


@st.composite
def launches(draw: st.DrawFn) -> tuple[Campaign, Enrollment]:
    campaign = draw(campaigns())
    launched = datetime.combine(date.fromisoformat(draw(st.sampled_from(SEASONS))), draw(clock_times), tzinfo=UTC)
    fixed = [one.place for one in campaign.steps if one.send is SendOption.FIXED_TIME]
    chosen = draw(st.sets(st.sampled_from(fixed))) if fixed else set()
    overrides = {place: draw(clock_times) for place in sorted(chosen)}
    return campaign, enrolled(campaign, draw(st.sampled_from(ZONES)), launched, launched + draw(later), overrides)


def enrolled(
    campaign: Campaign, zone: str, launched: datetime, start: datetime, overrides: dict[str, time]
) -> Enrollment:
    return launch(
        campaign,
        id="0" * 32,
        version="v",
        person="ann@bolt.example",
        rep="ana@acme.example",
        zone=zone,
        launched=launched,
        start=start,
        overrides=overrides,
        first=plan_first(campaign, zone=zone, start=start, overrides=overrides),
    ).enrollment


class Player:
    """One enrollment played as the wheel plays it, with its ledger."""

    def __init__(self, campaign: Campaign, enrollment: Enrollment) -> None:
        self.campaign = campaign
        self.first = enrollment
        self.enrollment = enrollment
        self.now = enrollment.launched
        self.ledger: list[Event] = []
        self.intents: list[Intent] = []

    def tick(self) -> None:
        self._take((), self.now)

    def wait(self, span: timedelta) -> None:
        self.now += span
        self.tick()

    def wait_until_due(self) -> None:
        if self.enrollment.next_due is not None:
            self.now = max(self.now, self.enrollment.next_due)
        self.tick()

    def happens(self, kind: EventKind, **data: Any) -> None:
        event = Event(at=self.now, kind=kind, intent=self.enrollment.intent, data=data)
        self._take((event,), self.now)

    def _take(self, events: tuple[Event, ...], now: datetime) -> None:
        outcome = decide(self.campaign, self.enrollment, events, now)
        self.ledger += [*events, *outcome.decisions]
        self.intents += outcome.intents
        self.enrollment = outcome.enrollment


WITHOUT_END = [EventKind.PAUSED, EventKind.RESUMED, EventKind.OUT_OF_OFFICE, EventKind.SNOOZED, EventKind.DELAYED]
ENDS = [EventKind.REPLIED, EventKind.BOUNCED, EventKind.OPTED_OUT, EventKind.REMOVED, EventKind.FAILED]

#: What happens next; `done` is listed often, so that most courses come far.
happenings = st.one_of(
    st.just("done"),
    st.just("done"),
    st.just("due"),
    later,
    st.just(EventKind.SKIPPED),
    st.sampled_from(WITHOUT_END),
    st.sampled_from(ENDS),
)


def play(player: Player, happening: Any) -> None:
    match happening:
        case timedelta():
            player.wait(happening)
        case "due":
            player.wait_until_due()
        case "done":
            player.wait_until_due()
            if player.enrollment.intent is not None:
                step = player.campaign.steps[player.enrollment.position]
                player.happens(EventKind.SENT if step.mode is Mode.SEND else EventKind.COMPLETED)
        case EventKind.SKIPPED:
            if player.enrollment.intent is not None:
                player.happens(EventKind.SKIPPED)
        case EventKind.RESUMED:
            player.happens(EventKind.RESUMED, carried_out=player.enrollment.intent is not None)
        case _:
            player.happens(happening)


courses = st.lists(happenings, max_size=14)


@given(launched=launches(), course=courses)
@settings(max_examples=150)
def test_planning_twice_changes_nothing(launched: tuple[Campaign, Enrollment], course: list[Any]) -> None:
    player = Player(*launched)
    for happening in course:
        play(player, happening)
        again = decide(player.campaign, player.enrollment, (), player.now)
        assert (again.enrollment, again.intents, again.decisions) == (player.enrollment, (), ())
    keys = [intent.key for intent in player.intents]
    assert len(keys) == len(set(keys)), "a step became an intent twice"


@given(launched=launches(), course=courses, end=st.sampled_from(ENDS), after=courses)
@settings(max_examples=150)
def test_an_ended_enrollment_yields_nothing(
    launched: tuple[Campaign, Enrollment], course: list[Any], end: EventKind, after: list[Any]
) -> None:
    player = Player(*launched)
    for happening in course:
        play(player, happening)
    player.happens(end)
    player.happens(EventKind.REMOVED)  # a reply or a bounce need not end it
    ended, intents = player.enrollment, list(player.intents)
    assert ended.has_ended
    for happening in after:
        play(player, happening)
    player.wait(timedelta(days=400))
    assert player.enrollment == ended
    assert player.intents == intents


@given(launched=launches(), course=courses)
@settings(max_examples=150)
def test_replaying_the_ledger_gives_the_same_intents(launched: tuple[Campaign, Enrollment], course: list[Any]) -> None:
    player = Player(*launched)
    for happening in course:
        play(player, happening)
    replayed = player.first
    intents: list[Intent] = []
    for event in player.ledger:
        if event.kind is EventKind.STEP_DUE:
            outcome = decide(player.campaign, replayed, (), event.at)
            intents += outcome.intents
        else:
            outcome = apply(player.campaign, replayed, (event,))
        replayed = outcome.enrollment
    assert intents == player.intents
    assert replayed == player.enrollment


@given(launched=launches(), pauses=st.lists(later, max_size=8))
@settings(max_examples=150)
def test_steps_keep_their_order_and_their_rules(launched: tuple[Campaign, Enrollment], pauses: list[timedelta]) -> None:
    """Undisturbed but for late reps: every step once, in order, never early, on dates that count, in the window."""
    campaign, enrollment = launched
    calendar = calendar_for(campaign.settings, enrollment.zone)
    player = Player(campaign, enrollment)
    for number in range(len(campaign.steps)):
        current_since = max(player.now, enrollment.start)
        play(player, "due")
        intent = player.intents[-1]
        assert intent.due >= current_since or number == 0
        assert calendar.is_eligible(intent.due_date)
        assert calendar.local(intent.due).date() == intent.due_date
        window = campaign.settings.send_window
        if intent.mode is Mode.SEND and window is not None:
            clock = calendar.local(intent.due).time()
            opens = calendar.local(calendar.at(intent.due_date, window.opens)).time()
            assert opens <= clock
            assert clock < window.closes or opens >= window.closes
        if intent.mode is Mode.TASK and number < len(pauses):
            player.now += pauses[number]
        play(player, "done")
    assert [(one.day, one.step) for one in player.intents] == [(one.day, one.step) for one in campaign.steps]
    dates = [one.due_date for one in player.intents]
    assert dates == sorted(dates)
    assert player.enrollment.state.value == "finished"


@given(launched=launches(), minutes=st.integers(0, 3000))
@settings(max_examples=100)
def test_simulate_is_the_same_play(launched: tuple[Campaign, Enrollment], minutes: int) -> None:
    campaign, enrollment = launched
    said = simulate_person(
        campaign,
        zone=enrollment.zone,
        launched=enrollment.launched,
        start=enrollment.start,
        overrides=dict(enrollment.overrides),
        complete_tasks_after=timedelta(minutes=minutes),
    )
    player = Player(campaign, enrollment)
    for _ in campaign.steps:
        player.now = player.enrollment.next_due or player.now
        player.tick()
        if player.intents[-1].mode is Mode.TASK:
            player.now += timedelta(minutes=minutes)
        play(player, "done")
    assert [(one.due, one.due_date) for one in said] == [(one.due, one.due_date) for one in player.intents]
    ahead = simulate_rest(campaign, enrollment, now=enrollment.launched)
    assert [one.step for one in ahead] == list(campaign.steps)


@given(launched=launches(), course=courses)
@settings(max_examples=100)
def test_a_snooze_or_a_delay_moves_nothing(launched: tuple[Campaign, Enrollment], course: list[Any]) -> None:
    player = Player(*launched)
    for happening in course:
        play(player, happening)
    for kind in (EventKind.SNOOZED, EventKind.DELAYED, EventKind.DRAFT_EDITED, EventKind.TASK_CHANGED):
        event = Event(at=player.now, kind=kind, intent=player.enrollment.intent)
        assert apply(player.campaign, player.enrollment, (event,)).enrollment == player.enrollment


def test_the_end_of_a_step_that_is_not_current_moves_nothing() -> None:
    campaign = Campaign(name="C", steps=tuple(Step(day=day, step=1, type=StepType.CALL, name="x") for day in (1, 2)))
    start = datetime(2026, 11, 23, 9, tzinfo=UTC)
    enrollment = enrolled(campaign, "UTC", start, start, {})
    current = decide(campaign, enrollment, (), start).enrollment
    stale = Event(at=start, kind=EventKind.COMPLETED, intent="another")
    assert apply(campaign, current, (stale,)).enrollment == current
    assert apply(campaign, current, (replace(stale, intent=current.intent),)).enrollment.position == 1
