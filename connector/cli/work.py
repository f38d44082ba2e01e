"""Commands of the daily work: sync, tasks, the feed, explanations, status.

Lives here: these commands. Does not live here: what they do (`sync.wheel`, `sync.actions`, `sync.opening`) and what
they show (`sync.views`).
"""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated

import typer

from connector.app import open_app
from connector.cli.options import read_address, read_date
from connector.cli.output import Terminal, counted, moment, short_moment, terminal_of
from connector.cli.people import campaign_name
from connector.errors import BadInput
from connector.events import Event, sentence
from connector.intents import IntentEvent, Priority
from connector.store.enrollments import count_due
from connector.store.lanes import Pacing
from connector.store.ledger import read_events
from connector.store.people import read_people
from connector.sync import actions, views
from connector.sync.opening import Client as MailProgram
from connector.sync.opening import open_task
from connector.sync.views import DueRange, Explanation, NextStep, Status, TaskView, event_json, zulu
from connector.sync.wheel import Turn, plan_turn, turn

commands = typer.Typer()
tasks = typer.Typer(help="See and do what waits for reps.", no_args_is_help=True)
commands.add_typer(tasks, name="tasks")

#: Characters of a task's id that tables show; any command takes as few as tell it apart.
_ID = 8

#: Seconds between two looks of `feed --follow`.
_LOOK_EVERY = 1.0


class Service(StrEnum):
    """What `--only` can name."""

    SALESFORCE = "salesforce"
    GMAIL = "gmail"
    OUTLOOK = "outlook"


# -------------------------------------------------------------------------------------------------- sync


@commands.command()
def sync(
    context: typer.Context,
    *,
    only: Annotated[Service | None, typer.Option(help="Talk to this service alone.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what a pass would do, and do nothing.")] = False,
) -> int:
    """Do one pass: read what happened, decide what is due, deliver it. The scheduled job."""
    terminal = terminal_of(context)
    with open_app(terminal.project(), services=not dry_run) as app:
        if dry_run:
            planned = plan_turn(app.office)
            terminal.document(planned.as_json())
            _tell_plan(terminal, planned)
            return 0
        with terminal.progress() as progress:
            done = turn(app.office, only=only.value if only else None, progress=progress)
        with app.database.read() as tx:
            _, ahead = count_due(tx, app.office.now())
    terminal.document(done.as_json())
    _tell_turn(terminal, done)
    if ahead is not None:
        terminal.say(f"next step  due {moment(ahead)} UTC")
    return done.exit_status


def _tell_plan(terminal: Terminal, planned: Turn) -> None:
    made = planned.made
    terminal.say(f"would make {counted(made['send'], 'send')} and {counted(made['task'], 'task')}")
    for what, count in sorted(planned.delivered.items()):
        terminal.say(f"would deliver {count} ({what})")
    terminal.say("nothing was called or changed")


def _tell_turn(terminal: Terminal, done: Turn) -> None:
    terminal.say(f"read       {_tally(done.pulled.items())}")
    terminal.say(f"decided    {counted(done.made['send'], 'send')}, {counted(done.made['task'], 'task')}")
    terminal.say(f"delivered  {_tally(done.delivered.items())}")
    terminal.say(f"API calls  {_tally(done.as_json()['api_calls'].items(), zero=True)}")
    for line in done.needs_attention:
        terminal.trouble(f"needs attention: {line}")


def _tally(counts: Iterable[tuple[str, int]], *, zero: bool = False) -> str:
    shown = [f"{name.replace('_', ' ')} {count}" for name, count in sorted(counts) if count or zero]
    return ", ".join(shown) or "nothing new"


# ------------------------------------------------------------------------------------------------- tasks


@tasks.command("list")
def list_(
    context: typer.Context,
    *,
    rep: Annotated[str | None, typer.Option(metavar="EMAIL", help="Only this rep's.")] = None,
    due: Annotated[DueRange | None, typer.Option(help="Only those due then, by the rep's own date.")] = None,
) -> None:
    """List what waits for reps, earliest due first."""
    terminal = terminal_of(context)
    project = terminal.project()
    sender = None if rep is None else project.rep(rep).email
    with open_app(project, services=False) as app:
        found = views.list_tasks(app.office, rep=sender, due=due)
        zones = {rep.email: rep.time_zone for rep in app.office.reps.values()}
    terminal.document([task.as_json() for task in found])
    terminal.table(
        "Tasks",
        ("id", "due (rep's time)", "rep", "person", "type", "subject", "state", "draft"),
        [_task_row(task, zones) for task in found],
    )
    terminal.say(counted(len(found), "task"))
    for task in found:
        if task.stored.problem:
            terminal.say(f"{task.stored.intent.key[:_ID]}: {task.stored.problem}")


def _task_row(task: TaskView, zones: dict[str, str]) -> tuple[object, ...]:
    intent = task.stored.intent
    draft = f"{task.mail.state.value} in {task.mailbox}" if task.mail is not None else ""
    return (
        intent.key[:_ID],
        short_moment(intent.due, zones.get(intent.rep, "UTC")),
        intent.rep,
        intent.person,
        intent.type.value,
        task.stored.subject or "",
        task.stored.state.value,
        draft,
    )


class Client(StrEnum):
    """Where `tasks open` opens an email."""

    GMAIL = "gmail"
    OUTLOOK = "outlook"
    WEB = "web"


_CLIENTS: Mapping[Client, MailProgram] = {Client.GMAIL: "gmail", Client.OUTLOOK: "outlook"}

_Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the task, or its first characters.")]


@tasks.command("open")
def open_(
    context: typer.Context,
    id: _Id,  # noqa: A002 - the command's own word
    *,
    client: Annotated[
        Client | None, typer.Option("--in", help="Mail program to open it in; the rep's own by default.")
    ] = None,
) -> None:
    """Make or find the prefilled draft of an email task, print its address and open it."""
    terminal = terminal_of(context)
    if client is Client.WEB:
        raise BadInput(
            "--in web needs the command center's compose window, which comes with a later release: leave --in out, or "
            "open the task at /open/ID of 'connector serve'"
        )
    chosen = _CLIENTS[client] if client is not None else None
    with open_app(terminal.project()) as app:
        opened = open_task(app.office, id, client=chosen)
    notes = [*opened.notes, *([opened.beside] if opened.beside else [])]
    terminal.document(
        {
            "id": opened.stored.intent.key,
            "address": opened.address,
            "kind": "draft" if opened.is_draft else "compose",
            "notes": notes,
        }
    )
    for note in notes:
        terminal.trouble(f"note: {note}")
    terminal.say(opened.address)
    if terminal.out.is_terminal and not terminal.json:
        webbrowser.open(opened.address)


@tasks.command()
def complete(
    context: typer.Context,
    id: _Id,  # noqa: A002 - the command's own word
    *,
    outcome: Annotated[str, typer.Option(metavar="TEXT", help="What came of a call.")] = "",
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why there was a call.")] = "",
) -> None:
    """Mark a task as done; the campaign goes on."""
    _end(context, id, IntentEvent.COMPLETE, "completed", outcome=outcome, call_reason=reason)


@tasks.command()
def skip(context: typer.Context, id: _Id) -> None:  # noqa: A002 - the command's own word
    """Go on without doing a task."""
    _end(context, id, IntentEvent.SKIP, "skipped")


def _end(context: typer.Context, id: str, event: IntentEvent, done: str, **call: str) -> None:  # noqa: A002
    terminal = terminal_of(context)
    with open_app(terminal.project(), services=False) as app:
        stored = actions.end_by_hand(app.office, id, event, by="by hand", **call)
    intent = stored.intent
    terminal.document({"id": intent.key, "state": done, "person": intent.person, "campaign": intent.campaign})
    terminal.say(f"{done}: the {intent.type} of day {intent.day}, step {intent.step} for {intent.person}")


@tasks.command()
def snooze(
    context: typer.Context,
    id: _Id,  # noqa: A002 - the command's own word
    *,
    until: Annotated[str, typer.Option(metavar="DATE", help="The new due date, such as 2026-11-30.")],
) -> None:
    """Move a task to a later date."""
    terminal = terminal_of(context)
    day = read_date(until, option="--until")
    with open_app(terminal.project(), services=False) as app:
        stored = actions.snooze(app.office, id, day)
    intent = stored.intent
    terminal.document({"id": intent.key, "due_date": day.isoformat(), "person": intent.person})
    terminal.say(f"moved to {day:%a %d %b %Y}: the {intent.type} for {intent.person}")


@tasks.command()
def edit(
    context: typer.Context,
    id: _Id,  # noqa: A002 - the command's own word
    *,
    priority: Annotated[Priority | None, typer.Option(help="The new priority.")] = None,
    comments: Annotated[str | None, typer.Option(metavar="TEXT", help="The new comments; blank clears them.")] = None,
) -> None:
    """Change a task's priority or comments; Salesforce hears of it with the next pass."""
    terminal = terminal_of(context)
    with open_app(terminal.project(), services=False) as app:
        stored = actions.edit(app.office, id, priority=priority, comments=comments)
    intent = stored.intent
    given = {"priority": priority, "comments": comments}
    changed = {name: str(value) for name, value in given.items() if value is not None}
    terminal.document({"id": intent.key, "person": intent.person, **changed})
    terminal.say(f"{' and '.join(changed)} changed: the {intent.type} for {intent.person}")


# ------------------------------------------------------------------------------------- looking at what was


@commands.command()
def feed(
    context: typer.Context,
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Go on printing what happens, until Ctrl-C.")] = False,
    person: Annotated[str | None, typer.Option(metavar="EMAIL", help="Only what concerns this person.")] = None,
    last: Annotated[int, typer.Option(min=1, metavar="N", help="How many of the newest lines to begin with.")] = 50,
) -> None:
    """Show what happened, in the order it was learned.

    A line's time is when it happened: what a mailbox or the CRM tells late stands below what was known before.
    """
    terminal = terminal_of(context)
    if follow and terminal.json:
        raise BadInput("--follow never ends, and --json prints one document: use one of the two")
    address = None if person is None else read_address(person)
    with open_app(terminal.project(), services=False) as app:
        seen = 0
        with app.database.read() as tx:
            lines = read_events(tx, person=address, last=last)
        terminal.document([event_json(event) for _, event in lines])
        if not lines and not follow:
            terminal.say("nothing has happened yet" if address is None else f"nothing has happened with {address}")
        while True:
            for seen, event in lines:  # noqa: B007 - the last number is where the next look begins
                terminal.say(_line(event))
            if not follow or terminal.json:
                return
            try:
                threading.Event().wait(_LOOK_EVERY)
            except KeyboardInterrupt:
                return
            with app.database.read() as tx:
                lines = read_events(tx, person=address, after=seen)


def _line(event: Event, zone: str = "UTC") -> str:
    why = f" ({event.reason})" if event.reason else ""
    clock = f"{moment(event.at, zone)} {'UTC' if zone == 'UTC' else ''}".rstrip()
    return f"{clock}  {sentence(event)}{why}"


@commands.command()
def explain(
    context: typer.Context,
    email: Annotated[str, typer.Argument(help="Address of the person.")],
    *,
    campaign: Annotated[str | None, typer.Option(metavar="NAME", help="Only this campaign.")] = None,
) -> None:
    """Say what happened with a person and what is next, each with its reason."""
    terminal = terminal_of(context)
    address = read_address(email)
    project = terminal.project()
    with open_app(project, services=False) as app:
        with app.database.read() as tx:
            if address not in read_people(tx, [address]):
                raise BadInput(f"{address} is not known: 'connector people list' shows who is")
        name = None if campaign is None else campaign_name(project, app, campaign)
        told = views.explain(app.office, address, campaign=name)
    terminal.document([event_json(event) for event in told.past] + [_ahead_json(step) for step in told.next])
    _tell_explanation(terminal, address, told)


def _tell_explanation(terminal: Terminal, address: str, told: Explanation) -> None:
    terminal.say(f"What happened with {address} (times in UTC)", style="bold")
    for event in told.past:
        terminal.say(f"  {_line(event)}")
    if not told.past:
        terminal.say("  nothing yet")
    terminal.say("How it stands", style="bold")
    for line in told.standing or ("in no campaign",):
        terminal.say(f"  {line}")
    if told.next:
        zones = sorted({step.enrollment.zone for step in told.next})
        terminal.say(f"What is next, if mails go out on time and tasks are done at once (times in {', '.join(zones)})")
    for step in told.next:
        certain = "" if step.decided else "then "
        terminal.say(
            f"  {moment(step.due, step.enrollment.zone)}  {certain}the {step.step.type} of day {step.step.day}, "
            f"step {step.step.step} of '{step.enrollment.campaign}' ({step.reason})"
        )


def _ahead_json(ahead: NextStep) -> dict[str, object]:
    """Return a step ahead in the shape of a feed line; its kind is `planned`."""
    step, enrollment = ahead.step, ahead.enrollment
    return {
        "at": zulu(ahead.due),
        "kind": "planned",
        "person": enrollment.person,
        "rep": enrollment.rep,
        "campaign": enrollment.campaign,
        "intent": ahead.key,
        "text": f"day {step.day}, step {step.step} ({step.type}) will be due for {enrollment.person}",
        "reason": ahead.reason,
    }


@commands.command()
def status(context: typer.Context) -> None:
    """Show how things stand: campaigns, accounts, queues, the API budget."""
    terminal = terminal_of(context)
    with open_app(terminal.project(), services=False) as app:
        standing = views.status(app.office)
    terminal.document(standing.as_json())
    _tell_status(terminal, standing)


def _waits(lane: Pacing) -> str:
    if lane.sends_blocked_until is None:
        return moment(lane.blocked_until)
    return f"{moment(lane.blocked_until)} sends: {moment(lane.sends_blocked_until)}".strip()


def _tell_status(terminal: Terminal, standing: Status) -> None:
    terminal.table(
        "Campaigns",
        ("campaign", "state", "people"),
        [(campaign, state, count) for (campaign, state), count in sorted(standing.enrollments.items())],
    )
    terminal.table("Steps that became due", ("state", "number"), sorted(standing.intents.items()))
    terminal.table(
        "Accounts (times in UTC)",
        ("account", "last read", "sent today", "waits until", "problem"),
        [
            (name, moment(standing.pulled.get(name)), lane.day_count, _waits(lane), lane.problem)
            for name, lane in standing.lanes.items()
        ],
    )
    terminal.table(
        "Waiting to be delivered (times in UTC)",
        ("account", "what", "number", "oldest due"),
        [(lane, action, count, moment(oldest)) for (lane, action), (count, oldest) in sorted(standing.mails.items())],
    )
    terminal.say(f"CRM tasks to be written: {standing.tasks_waiting}")
    if standing.oldest_undelivered is not None:
        terminal.say(f"oldest undelivered: {moment(standing.oldest_undelivered)} UTC")
    ahead = f"; the next step is due {moment(standing.next_due)} UTC" if standing.next_due is not None else ""
    terminal.say(f"steps due now: {standing.due_now}{ahead}")
    if standing.budget is not None:
        used, allowed = standing.budget
        held = ": only what is due now is sent" if standing.only_due else ""
        terminal.say(f"Salesforce calls in 24 hours: {used} of {allowed} ({standing.budget_percent or 0} %){held}")
