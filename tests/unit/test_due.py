"""When a step is due: every row of the table of spec sequencing 3, with its border cases."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from connector.campaigns.model import SendOption, SendWindow, Step
from connector.intents import StepType
from connector.sequencing.calendar import Calendar
from connector.sequencing.due import plan_due

MADRID = ZoneInfo("Europe/Madrid")

#: No Saturday, Sunday or Monday the 30th counts.
CALENDAR = Calendar(zone=MADRID, skip_weekends=True, dates=frozenset({date(2026, 11, 30)}))

#: A Monday; all local, as the letters of the spec: t, S, P.
MON, TUE, WED, THU, FRI, SAT = (f"2026-11-{day}" for day in (23, 24, 25, 26, 27, 28))
NEXT_TUE = "2026-12-01"


def at(text: str) -> datetime:
    """Return a local date and clock time as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=MADRID)


def task(day: int, kind: StepType = StepType.CALL) -> Step:
    send = SendOption.TASK if kind is StepType.EMAIL else None
    return Step(day=day, step=1, type=kind, send=send)


def launch_email(day: int = 1) -> Step:
    return Step(day=day, step=1, type=StepType.EMAIL, send=SendOption.CHOOSE_AT_LAUNCH)


def fixed(day: int, clock: str) -> Step:
    return Step(day=day, step=1, type=StepType.EMAIL, send=SendOption.FIXED_TIME, at=time.fromisoformat(clock))


def same(day: int) -> Step:
    return Step(day=day, step=1, type=StepType.EMAIL, send=SendOption.SAME_TIME_AS_PREVIOUS)


def clocks(*entries: tuple[int, str]) -> tuple[tuple[int, time], ...]:
    return tuple((day, time.fromisoformat(clock)) for day, clock in entries)


FIRST = None
S = f"{MON} 10:15"

#: step, t, anchor (d0, D0), clock times of emails by day, -> due, P
CASES = {
    # --- the date P
    "first step: the date of t": (task(1), f"{MON} 10:15", FIRST, (), f"{MON} 10:15", MON),
    "first step: rolled to a date that counts": (task(1), f"{SAT} 10:15", FIRST, (), f"{NEXT_TUE} 00:00", NEXT_TUE),
    "another step of the same day": (task(1), f"{MON} 11:00", (1, MON), (), f"{MON} 11:00", MON),
    "days are positions": (task(3), f"{MON} 11:00", (1, MON), (), f"{WED} 00:00", WED),
    "dates that do not count are not counted": (task(3), f"{FRI} 11:00", (1, FRI), (), "2026-12-02 00:00", "2026-12-02"),
    "counted from the day of the anchor": (task(8), f"{WED} 11:00", (6, TUE), (), f"{THU} 00:00", THU),
    "a late task moves what follows only past its date": (task(3), f"{TUE} 23:00", (1, MON), (), f"{WED} 00:00", WED),
    "late on the very date": (task(3), f"{WED} 23:00", (1, MON), (), f"{WED} 23:00", WED),
    "late past the date: the date of t": (task(3), f"{THU} 09:00", (1, MON), (), f"{THU} 09:00", THU),
    "late past the date on a weekend: rolled": (task(3), f"{SAT} 09:00", (1, MON), (), f"{NEXT_TUE} 00:00", NEXT_TUE),
    # --- by kind: tasks, whatever they are
    "email task": (task(1, StepType.EMAIL), f"{MON} 10:15", FIRST, (), f"{MON} 10:15", MON),
    "inmail": (task(2, StepType.INMAIL), f"{MON} 10:15", (1, MON), (), f"{TUE} 00:00", TUE),
    "custom": (task(2, StepType.CUSTOM), f"{MON} 10:15", (1, MON), (), f"{TUE} 00:00", TUE),
    # --- choose_at_launch
    "at the start": (launch_email(), S, FIRST, (), S, MON),
    "start on a date that does not count": (launch_email(), f"{SAT} 10:15", FIRST, (), f"{NEXT_TUE} 10:15", NEXT_TUE),
    # --- a fixed time
    "fixed, ahead on the same day": (fixed(1, "14:00"), f"{MON} 11:00", (1, MON), (), f"{MON} 14:00", MON),
    "fixed, at this very instant": (fixed(1, "11:00"), f"{MON} 11:00", (1, MON), (), f"{MON} 11:00", MON),
    "fixed, passed: the next date that counts": (fixed(1, "10:59"), f"{MON} 11:00", (1, MON), (), f"{TUE} 10:59", TUE),
    "fixed, passed on a Friday": (fixed(5, "10:59"), f"{FRI} 11:00", (1, MON), (), f"{NEXT_TUE} 10:59", NEXT_TUE),
    "fixed, a later day": (fixed(3, "00:00"), f"{MON} 11:00", (1, MON), (), f"{WED} 00:00", WED),
    "fixed, as the first step": (fixed(1, "09:00"), f"{MON} 10:15", FIRST, (), f"{TUE} 09:00", TUE),
    "fixed, late past its date": (fixed(2, "09:00"), f"{THU} 08:00", (1, MON), (), f"{THU} 09:00", THU),
    # --- same_time_as_previous
    "same, on day 1: at once": (same(1), f"{MON} 12:00", (1, MON), clocks((1, "10:15")), f"{MON} 12:00", MON),
    "same, on day 1 that had to wait": (same(1), f"{SAT} 12:00", (1, MON), (), f"{NEXT_TUE} 10:15", NEXT_TUE),
    "same, later: the time of the earlier day": (same(3), f"{MON} 12:00", (1, MON), clocks((1, "10:20")), f"{WED} 10:20", WED),
    "same: the nearest earlier day": (same(4), f"{WED} 9:00", (3, WED), clocks((1, "10:20"), (3, "15:40")), f"{THU} 15:40", THU),
    "same: not the step's own day": (same(3), f"{WED} 09:00", (3, WED), clocks((1, "10:20"), (3, "08:30")), f"{WED} 10:20", WED),
    "same, passed: at once, not tomorrow": (same(3), f"{WED} 12:00", (3, WED), clocks((1, "10:20")), f"{WED} 12:00", WED),
    "same, no email before: the time of the start": (same(3), f"{MON} 12:00", (1, MON), (), f"{WED} 10:15", WED),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_due(case: tuple[Step, str, tuple[int, str] | None, tuple[tuple[int, time], ...], str, str]) -> None:
    step, t, anchor, email_clocks, due, p = case
    planned = plan_due(
        step,
        t=at(t.replace(" 9:", " 09:")),
        start=at(S) if anchor is not None else at(t),
        anchor=None if anchor is None else (anchor[0], date.fromisoformat(anchor[1])),
        override=None,
        email_clocks=email_clocks,
        window=None,
        calendar=CALENDAR,
    )
    assert (planned.at, planned.date) == (at(due), date.fromisoformat(p))
    assert planned.reason


def test_an_override_replaces_the_fixed_time() -> None:
    planned = plan_due(
        fixed(3, "09:00"),
        t=at(f"{MON} 11:00"),
        start=at(S),
        anchor=(1, date.fromisoformat(MON)),
        override=time(0, 0),
        email_clocks=(),
        window=None,
        calendar=CALENDAR,
    )
    assert planned.at == at(f"{WED} 00:00")
    assert "as chosen at launch" in planned.reason


WINDOW = SendWindow(opens=time(8, 0), closes=time(18, 0))


@pytest.mark.parametrize(
    ("step", "t", "due", "p"),
    [
        (same(1), f"{MON} 07:59", f"{MON} 08:00", MON),
        (same(1), f"{MON} 08:00", f"{MON} 08:00", MON),
        (same(1), f"{MON} 17:59", f"{MON} 17:59", MON),
        (same(1), f"{MON} 18:00", f"{TUE} 08:00", TUE),  # closed at C, not after it
        (same(5), f"{FRI} 19:00", f"{NEXT_TUE} 08:00", NEXT_TUE),
        (task(1), f"{MON} 07:00", f"{MON} 07:00", MON),  # automatic emails only
        (task(1, StepType.EMAIL), f"{MON} 22:00", f"{MON} 22:00", MON),
    ],
)
def test_the_send_window(step: Step, t: str, due: str, p: str) -> None:
    planned = plan_due(
        step,
        t=at(t),
        start=at(S),
        anchor=(1, date.fromisoformat(MON)),
        override=None,
        email_clocks=(),
        window=WINDOW,
        calendar=CALENDAR,
    )
    assert (planned.at, planned.date) == (at(due), date.fromisoformat(p))


def test_the_window_follows_the_clock_when_it_changes() -> None:
    """08:00 on the Sunday the clocks go back is an hour later than the day before."""
    every_day = Calendar(zone=MADRID)
    planned = [
        plan_due(
            same(1),
            t=at(f"{day} 05:00"),
            start=at(f"{day} 05:00"),
            anchor=None,
            override=None,
            email_clocks=(),
            window=WINDOW,
            calendar=every_day,
        ).at.astimezone(ZoneInfo("UTC"))
        for day in ("2026-10-24", "2026-10-25")
    ]
    assert [one.hour for one in planned] == [6, 7]
