"""How tasks are written in the queue: each as one line, ready to be shown.

Lives here: `Line`, `lines_of` and the names of ranges, types, states and deeds. Does not live here: routes (`queue`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from connector.intents import IntentState, Mode, StepType
from connector.store.mails import MailAction, MailState
from connector.sync.bulk import Action
from connector.sync.queue import Range, Row
from connector.web.i18n import day, ngettext, viewing, when
from connector.web.i18n import gettext as _
from connector.web.site import Site
from connector.web.words import type_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One task, written for the one who looks."""

    key: str
    person: str
    name: str
    company: str
    what: str
    campaign: str
    place: str
    type: str
    type_name: str
    due: str
    due_iso: str
    overdue: bool
    #: Text and kind of chip; text is empty where there is nothing to say.
    state: tuple[str, str]
    draft: tuple[str, str]
    crm: tuple[str, str]
    problem: str
    rep: str
    #: Whether it is open, and whether there is an email to open.
    open: bool
    opens: bool
    #: What the rep's own mailbox is: its key is the first.
    mailbox: str
    after: str
    #: What its checkbox and its menu are called.
    choose: str
    more: str


def lines_of(site: Site, rows: Sequence[Row]) -> list[Line]:
    """Return tasks as lines."""
    types, names = type_names(), {rep.email: rep.name for rep in site.office.reps.values()}
    return [_line(row, types, names) for row in rows]


def _line(row: Row, types: dict[StepType, str], names: dict[str, str]) -> Line:
    intent, stored, person = row.stored.intent, row.stored, row.person
    name = "" if person is None else f"{person.first_name} {person.last_name}".strip()
    zone = viewing().zone
    # A task is due on a day, wherever one looks from; what the connector sends goes out at an instant.
    exact = intent.mode is Mode.SEND
    return Line(
        key=intent.key,
        person=intent.person,
        name=name or intent.person,
        company="" if person is None else person.company,
        what=stored.subject or types[intent.type],
        campaign=intent.campaign,
        place=_("Day %(day)s, step %(step)s", day=intent.day, step=intent.step),
        type=intent.type.value,
        type_name=types[intent.type],
        due=_due(viewing().locale, zone.key if hasattr(zone, "key") else "", intent.due if exact else intent.due_date),
        due_iso=(intent.due if exact else intent.due_date).isoformat(),
        overdue=row.overdue,
        state=("", "") if stored.state is IntentState.OPEN else _STATES[stored.state](),
        draft=_draft(row),
        crm=_crm(row),
        problem=stored.problem or (row.task.problem if row.task is not None and row.task.problem else ""),
        rep=names.get(intent.rep, intent.rep),
        open=stored.state is IntentState.OPEN,
        opens=row.draft_opens,
        mailbox=row.mailbox or "",
        after=row.place,
        choose=_("Choose %(name)s", name=name or intent.person),
        more=_("More for %(name)s", name=name or intent.person),
    )


@lru_cache(maxsize=4096)
def _due(locale: str, zone: str, value: date | datetime) -> str:
    """Write when a task is due; kept, because many are due at once and writing dates is slow."""
    del locale, zone  # as the one who looks is known to read
    return when(value) if isinstance(value, datetime) else day(value)


_STATES: dict[IntentState, Callable[[], tuple[str, str]]] = {
    IntentState.BLOCKED: lambda: (_("Blocked"), "bad"),
    IntentState.HELD: lambda: (_("Held"), "warn"),
    IntentState.FAILED: lambda: (_("Failed"), "bad"),
    IntentState.UNKNOWN: lambda: (_("Not known"), "bad"),
    IntentState.COMPLETED: lambda: (_("Completed"), "good"),
    IntentState.SKIPPED: lambda: (_("Skipped"), ""),
    IntentState.CANCELLED: lambda: (_("Cancelled"), ""),
    IntentState.SENT: lambda: (_("Sent"), "good"),
    IntentState.DUE: lambda: (_("Being prepared"), ""),
    IntentState.DELIVERING: lambda: (_("Being sent"), ""),
    IntentState.PLANNED: lambda: (_("Planned"), ""),
}


def _draft(row: Row) -> tuple[str, str]:
    if row.mail is None or row.stored.intent.type is not StepType.EMAIL:
        return "", ""
    if row.mail.state is MailState.PRESENT and row.mail.edited:
        return _("Draft edited"), "good"
    if row.mail.action is MailAction.SEND and row.mail.state is MailState.WANTED:
        return _("Scheduled"), "good"
    return _DRAFTS[row.mail.state]() if row.mail.state in _DRAFTS else ("", "")


_DRAFTS: dict[MailState, Callable[[], tuple[str, str]]] = {
    MailState.WANTED: lambda: (_("Draft on its way"), ""),
    MailState.IN_FLIGHT: lambda: (_("Draft on its way"), ""),
    MailState.PRESENT: lambda: (_("Draft ready"), "good"),
    MailState.SCHEDULED: lambda: (_("Draft scheduled"), "good"),
    MailState.SENT: lambda: (_("Sent"), "good"),
    MailState.DISCARDED: lambda: (_("Draft discarded"), "warn"),
    MailState.FAILED: lambda: (_("Draft failed"), "bad"),
    MailState.UNKNOWN: lambda: (_("Draft not known"), "bad"),
}


def draft_names() -> dict[MailState, tuple[str, str]]:
    """Return the states of a mail as its task's draft: what they are called, and the kind of chip."""
    return {state: written() for state, written in _DRAFTS.items()}


def _crm(row: Row) -> tuple[str, str]:
    if row.task is None:
        return "", ""
    if row.task.problem:
        return _("Not in Salesforce"), "bad"
    if row.task.remote_id is None and row.task.synced is None:
        return _("To Salesforce"), ""
    if not row.task.status:
        return _("In Salesforce"), "good"
    return _("Salesforce: %(status)s", status=row.task.status), ""


def range_names() -> dict[Range, str]:
    """Return the ranges by what they are called."""
    return {
        Range.TODAY: _("Today"),
        Range.OVERDUE: _("Overdue"),
        Range.UPCOMING: _("Upcoming"),
        Range.ALL: _("All"),
    }


def actions_of() -> dict[Action, str]:
    """Return what can be done by what a button says."""
    return {
        Action.COMPLETE: _("Complete"),
        Action.SKIP: _("Skip"),
        Action.SNOOZE: _("Snooze"),
        Action.ASSIGN: _("Assign"),
    }


def done_sentence(action: Action | None, many: int, *, person: str = "") -> str:
    """Return what was done; of an undo when `action` is None."""
    if person and action is not None:
        return {
            Action.COMPLETE: lambda: _("The task for %(person)s is completed.", person=person),
            Action.SKIP: lambda: _("The task for %(person)s is skipped.", person=person),
            Action.SNOOZE: lambda: _("The task for %(person)s is snoozed.", person=person),
            Action.ASSIGN: lambda: _("The task for %(person)s was given away.", person=person),
        }[action]()
    match action:
        case Action.COMPLETE:
            return ngettext("%(num)s task is completed.", "%(num)s tasks are completed.", many)
        case Action.SKIP:
            return ngettext("%(num)s task is skipped.", "%(num)s tasks are skipped.", many)
        case Action.SNOOZE:
            return ngettext("%(num)s task is snoozed.", "%(num)s tasks are snoozed.", many)
        case Action.ASSIGN:
            return ngettext("%(num)s task was given away.", "%(num)s tasks were given away.", many)
        case None:
            return ngettext("%(num)s task is as it was.", "%(num)s tasks are as they were.", many)


def state_names() -> dict[IntentState, tuple[str, str]]:
    """Return the states of an intent: what they are called, and the kind of chip."""
    return {state: written() for state, written in _STATES.items()}


def row_words() -> dict[str, str]:
    """Return the words of a row, looked up once for all rows of a page."""
    return {
        "Assign": _("Assign"),
        "Campaign": _("Campaign"),
        "Choose": _("Choose"),
        "Complete": _("Complete"),
        "Due": _("Due"),
        "Open": _("Open"),
        "Open in Gmail": _("Open in Gmail"),
        "Open in Outlook": _("Open in Outlook"),
        "Overdue": _("Overdue"),
        "Skip": _("Skip"),
        "Snooze": _("Snooze"),
        "Write here": _("Write here"),
    }
