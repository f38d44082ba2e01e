"""Commands of the daily work: sync, tasks, the feed, explanations, status.

Lives here: these commands. Does not live here: what they do (`sync.wheel`, `sync.actions`, `sync.opening`) and what
they show (`sync.views`).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import typer

from connector.app import open_app
from connector.cli.output import Terminal, counted, moment, terminal_of
from connector.sync import views
from connector.sync.views import DueRange, TaskView
from connector.sync.wheel import Turn, plan_turn, turn

commands = typer.Typer()
tasks = typer.Typer(help="See and do what waits for reps.", no_args_is_help=True)
commands.add_typer(tasks, name="tasks")

#: Characters of a task's id that tables show; any command takes as few as tell it apart.
_ID = 8


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
    with open_app(terminal.project()) as app:
        if dry_run:
            planned = plan_turn(app.office)
            terminal.document(planned.as_json())
            _tell_plan(terminal, planned)
            return 0
        with terminal.progress() as progress:
            done = turn(app.office, only=only.value if only else None, progress=progress)
    terminal.document(done.as_json())
    _tell_turn(terminal, done)
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
    with open_app(project) as app:
        found = views.list_tasks(app.office, rep=sender, due=due)
        zones = {rep.email: rep.time_zone for rep in app.office.reps.values()}
    terminal.document([task.as_json() for task in found])
    terminal.table(
        "Tasks",
        ("id", "due (rep's time)", "rep", "person", "type", "subject", "state", "draft", "Salesforce"),
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
        moment(intent.due, zones.get(intent.rep, "UTC")),
        intent.rep,
        intent.person,
        intent.type.value,
        task.stored.subject or "",
        task.stored.state.value,
        draft,
        (task.task.remote_id if task.task is not None else None) or "",
    )
