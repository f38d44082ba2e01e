"""When a step is due: the table of spec sequencing 3, and nothing else.

Lives here: `plan_due`. Does not live here: when a step becomes current and what then happens (`sequencer`).
Letters are the spec's: t, d, P, S, T, O, C.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time

from connector.campaigns.model import SendOption, SendWindow, Step
from connector.intents import Mode
from connector.sequencing.calendar import Calendar

_MIDNIGHT = time(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """When a step is due, on which local date of the campaign, and why."""

    at: datetime
    date: date
    reason: str


def plan_due(
    step: Step,
    *,
    t: datetime,
    start: datetime,
    anchor: tuple[int, date] | None,
    override: time | None,
    email_clocks: tuple[tuple[int, time], ...],
    window: SendWindow | None,
    calendar: Calendar,
) -> Due:
    """Return when a step that becomes current at `t` is due.

    `anchor` is None for the first step of the campaign. Instants are aware and UTC.
    """
    d = calendar.local(t).date()
    if anchor is None:
        p = calendar.roll(d)
    else:
        p = calendar.add(anchor[1], step.day - anchor[0])
        if p < d:
            p = calendar.roll(d)
    base = t if p == d else calendar.at(p, _MIDNIGHT)
    due, p, reason = _by_kind(step, p, d, base, start, override, email_clocks, calendar)
    if window is not None and step.mode is Mode.SEND:
        opens, closes = calendar.at(p, window.opens), calendar.at(p, window.closes)
        if due < opens:
            due, reason = opens, f"{reason}; moved to the opening of the send window"
        elif due >= closes:
            p = calendar.following(p)
            due, reason = calendar.at(p, window.opens), f"{reason}; moved to the next opening of the send window"
    return Due(at=due, date=p, reason=reason)


def _by_kind(
    step: Step,
    p: date,
    d: date,
    base: datetime,
    start: datetime,
    override: time | None,
    email_clocks: tuple[tuple[int, time], ...],
    calendar: Calendar,
) -> tuple[datetime, date, str]:
    """Return due, P and the reason by the kind of step (the table of spec sequencing 3, point 3)."""
    if step.mode is Mode.TASK:
        return base, p, "a task is due when its day has come and the step before it is done"
    if step.send is SendOption.CHOOSE_AT_LAUNCH:
        if p == d:
            return start, p, "at the start chosen at launch"
        return calendar.at(p, calendar.local(start).time()), p, "at the clock time of the start chosen at launch"
    if step.send is SendOption.FIXED_TIME:
        clock = override or step.at or _MIDNIGHT
        why = f"at {clock:%H:%M}, " + ("as chosen at launch" if override else "as the campaign says")
        due = calendar.at(p, clock)
        if due >= base:
            return due, p, why
        p = calendar.following(p)
        return calendar.at(p, clock), p, f"{why}; that time had passed, so on the next day that counts"
    if step.day == 1:
        if p == d:
            return base, p, "at once: there is no earlier day whose time it could take"
        return calendar.at(p, calendar.local(start).time()), p, "at the clock time of the start"
    earlier = next((clock for day, clock in reversed(email_clocks) if day < step.day), None)
    clock = earlier if earlier is not None else calendar.local(start).time()
    source = "the previous day's email" if earlier is not None else "the start"
    due = calendar.at(p, clock)
    if due >= base:
        return due, p, f"at {clock:%H:%M}, the time of {source}"
    return base, p, f"at once: {clock:%H:%M}, the time of {source}, had passed"
