"""Looking: tasks, status and explanations, as commands and pages show them. Reads only.

Lives here: what is shown and how it is put together. Does not live here: printing (`cli`), changing (`actions`).
Source: interfaces 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from connector.campaigns.model import Step
from connector.events import Event, sentence
from connector.intents import IntentState, intent_key
from connector.sequencing.enrollment import END_CAUSES, Enrollment, EnrollmentState
from connector.sequencing.simulate import PlannedStep, simulate_rest
from connector.store import cursors, enrollments, intents, lanes, ledger, mails, tasks
from connector.store.intents import StoredIntent, find_intents
from connector.store.mails import StoredMail, read_mails
from connector.store.tasks import StoredTask, read_tasks
from connector.sync.crm_lane import runs_short
from connector.sync.office import Office

#: Intents that a person can see as tasks.
TASK_STATES = (
    IntentState.OPEN,
    IntentState.BLOCKED,
    IntentState.HELD,
    IntentState.FAILED,
    IntentState.UNKNOWN,
)


class DueRange(StrEnum):
    """Which tasks `tasks list --due` shows, by the rep's own date."""

    TODAY = "today"
    OVERDUE = "overdue"
    WEEK = "week"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """One task as it is shown."""

    stored: StoredIntent
    mail: StoredMail | None
    task: StoredTask | None
    #: Kind of mailbox of the rep.
    mailbox: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it as interfaces 2 says it."""
        intent = self.stored.intent
        draft = {"state": self.mail.state.value, "mailbox": self.mailbox} if self.mail is not None else None
        return {
            "id": intent.key,
            "rep": intent.rep,
            "person": intent.person,
            "type": intent.type.value,
            "campaign": intent.campaign,
            "day": intent.day,
            "step": intent.step,
            "due": zulu(intent.due),
            "due_date": intent.due_date.isoformat(),
            "state": self.stored.state.value,
            "subject": self.stored.subject,
            "salesforce_id": self.task.remote_id if self.task is not None else None,
            "draft": draft,
            "problem": self.stored.problem,
        }


def list_tasks(office: Office, *, rep: str | None = None, due: DueRange | None = None) -> list[TaskView]:
    """Return what waits for reps, earliest due first."""
    with office.database.read() as tx:
        found = [stored for stored in find_intents(tx, states=TASK_STATES, rep=rep) if _in_range(office, stored, due)]
    return view_tasks(office, found)


def view_tasks(office: Office, found: Sequence[StoredIntent]) -> list[TaskView]:
    """Return intents as tasks are shown, in the order given."""
    keys = [stored.intent.key for stored in found]
    with office.database.read() as tx:
        placed, mirrored = read_mails(tx, keys), read_tasks(tx, keys)
    return [
        TaskView(
            stored=stored,
            mail=placed.get(stored.intent.key),
            task=mirrored.get(stored.intent.key),
            mailbox=office.reps[stored.intent.rep].mailbox if stored.intent.rep in office.reps else None,
        )
        for stored in found
    ]


def _in_range(office: Office, stored: StoredIntent, due: DueRange | None) -> bool:
    rep = office.reps.get(stored.intent.rep)
    zone = rep.zone if rep is not None else UTC
    today = office.now().astimezone(zone).date()
    match due:
        case None:
            return True
        case DueRange.TODAY:
            return stored.intent.due_date == today
        case DueRange.OVERDUE:
            return stored.intent.due_date < today
        case DueRange.WEEK:
            return stored.intent.due_date <= today + timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """What is ahead for one enrollment, if all goes on as it is."""

    enrollment: Enrollment
    step: Step
    key: str
    #: Aware, UTC.
    due: datetime
    #: In the person's zone.
    due_date: date
    reason: str
    #: False for the steps after the current one: they are worked out, not decided.
    decided: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What happened to a person and what is next, each with its reason."""

    past: Sequence[Event]
    next: Sequence[NextStep]
    enrollments: Sequence[Enrollment]
    #: How each of them stands: a sentence.
    standing: Sequence[str]


def explain(office: Office, person: str, *, campaign: str | None = None) -> Explanation:
    """Return a person's history from the ledger, and their calendar from here on by the production sequencer."""
    with office.database.read() as tx:
        past = [event for _, event in ledger.read_events(tx, person=person, campaign=campaign)]
        all_of_person = enrollments.find_enrollments(tx, persons=[person], campaign=campaign, live=False)
        pinned = {one.id: office.book.pinned(tx, one.campaign, one.version).campaign for one in all_of_person}
        waiting = intents.read_intents(tx, [one.intent for one in all_of_person if one.intent])
    ahead: list[NextStep] = []
    standing: list[str] = []
    for one in all_of_person:
        definition = pinned[one.id]
        standing.append(_standing(one, waiting.get(one.intent or "")))
        for index, planned in enumerate(simulate_rest(definition, one, now=office.now())):
            ahead.append(_next(one, planned, decided=index == 0))
    return Explanation(past=past, next=ahead, enrollments=all_of_person, standing=standing)


def _next(enrollment: Enrollment, planned: PlannedStep, *, decided: bool) -> NextStep:
    step = planned.step
    return NextStep(
        enrollment=enrollment,
        step=step,
        key=intent_key(enrollment.id, enrollment.version, step.day, step.step),
        due=planned.due,
        due_date=planned.due_date,
        reason=planned.reason,
        decided=decided,
    )


def _standing(enrollment: Enrollment, stored: StoredIntent | None) -> str:
    name = f"'{enrollment.campaign}' (rep {enrollment.rep})"
    if enrollment.has_ended:
        return f"{name} has ended: {END_CAUSES[enrollment.state]}"
    if enrollment.state is EnrollmentState.PAUSED:
        return f"{name} is paused: 'connector resume' goes on"
    if stored is None:
        return f"{name} is active"
    intent = stored.intent
    why = f": {stored.problem}" if stored.problem else ""
    return f"{name} waits for day {intent.day}, step {intent.step} ({intent.type}), which is {stored.state}{why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How things stand."""

    #: When they stood so; aware, UTC.
    at: datetime
    #: (campaign, state) -> enrollments.
    enrollments: dict[tuple[str, str], int]
    #: State -> intents.
    intents: dict[str, int]
    #: Lane -> pacing and problem.
    lanes: dict[str, lanes.Pacing]
    #: (lane, action) -> how many wait, and the oldest due instant.
    mails: dict[tuple[str, str], tuple[int, datetime]]
    tasks_waiting: int
    oldest_undelivered: datetime | None
    due_now: int
    next_due: datetime | None
    #: Lane -> when it was last read.
    pulled: dict[str, datetime]
    #: CRM calls used and allowed a day, as last said; None before it has said.
    budget: tuple[int, int] | None

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        campaigns: dict[str, dict[str, int]] = {}
        for (campaign, state), count in sorted(self.enrollments.items()):
            campaigns.setdefault(campaign, {})[state] = count
        return {
            "campaigns": campaigns,
            "intents": dict(sorted(self.intents.items())),
            "accounts": {
                name: {
                    "problem": pacing.problem,
                    "blocked_until": zulu(pacing.blocked_until),
                    "sends_blocked_until": zulu(pacing.sends_blocked_until),
                    "sent_today": pacing.day_count,
                    "last_read": zulu(self.pulled.get(name)),
                }
                for name, pacing in self.lanes.items()
            },
            "queues": [
                {"lane": lane, "action": action, "waiting": count, "oldest": zulu(oldest)}
                for (lane, action), (count, oldest) in sorted(self.mails.items())
            ],
            "tasks_waiting": self.tasks_waiting,
            "oldest_undelivered": zulu(self.oldest_undelivered),
            "due_now": self.due_now,
            "next_due": zulu(self.next_due),
            "api_budget": self._budget_json(),
        }

    def _budget_json(self) -> dict[str, Any] | None:
        if self.budget is None:
            return None
        used, allowed = self.budget
        return {"used": used, "allowed": allowed, "percent": self.budget_percent, "only_due": self.only_due}

    @property
    def budget_percent(self) -> int | None:
        """Part of the day's CRM calls that is used, in percent, rounded down."""
        return None if self.budget is None or self.budget[1] <= 0 else 100 * self.budget[0] // self.budget[1]

    @property
    def only_due(self) -> bool:
        """Whether so many calls are used that only what is due now goes to the CRM."""
        return runs_short(self.budget)


def status(office: Office) -> Status:
    """Return how things stand now, without calling any service."""
    now = office.now()
    with office.database.read() as tx:
        waiting = mails.count_waiting(tx, now)
        tasks_waiting, oldest_task = tasks.count_dirty(tx, now)
        due_now, next_due = enrollments.count_due(tx, now)
        oldest = [moment for _, moment in waiting.values()] + ([oldest_task] if oldest_task else [])
        budget = cursors.read_cursor(tx, "budget")
        return Status(
            at=now,
            enrollments=enrollments.count_by_state(tx),
            intents=dict(intents.count_by_state(tx)),
            lanes=_known_lanes(office) | {name: as_of(one, now) for name, one in lanes.list_lanes(tx).items()},
            mails=waiting,
            tasks_waiting=tasks_waiting,
            oldest_undelivered=min(oldest, default=None),
            due_now=due_now,
            next_due=next_due,
            pulled=cursors.last_moved(tx),
            budget=budget_of(budget),
        )


def as_of(pacing: lanes.Pacing, now: datetime) -> lanes.Pacing:
    """Return a lane as it stands now: a wait that is over is none, and nothing sent before today was sent today."""
    blocked = pacing.blocked_until if pacing.blocked_until is not None and pacing.blocked_until > now else None
    sends = pacing.sends_blocked_until
    sends = sends if sends is not None and sends > now else None
    problem = pacing.problem or (None if sends is None else pacing.sends_problem)
    today = pacing.day_count if pacing.day == now.date() else 0
    return replace(pacing, blocked_until=blocked, sends_blocked_until=sends, problem=problem, day_count=today)


def _known_lanes(office: Office) -> dict[str, lanes.Pacing]:
    """Return the lanes of connector.yaml, so that an account shows before it was ever used."""
    names = [office.lane_of(rep) for rep in office.reps.values()]
    return dict.fromkeys(names, lanes.Pacing())


def budget_of(text: str | None) -> tuple[int, int] | None:
    """Return calls used and allowed a day out of what was kept of them; None before the CRM has said."""
    if text is None:
        return None
    used, _, allowed = text.partition("/")
    return int(used), int(allowed)


def event_json(event: Event) -> dict[str, Any]:
    """Return a fact as `feed --json` and `explain --json` say it."""
    return {
        "at": zulu(event.at),
        "kind": event.kind.value,
        "person": event.person,
        "rep": event.rep,
        "campaign": event.campaign,
        "intent": event.intent,
        "text": sentence(event),
        "reason": event.reason,
    }


def zulu(instant: datetime | None) -> str | None:
    """Return an instant as UTC with Z, to the second; None stays None."""
    return None if instant is None else f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
