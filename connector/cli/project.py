"""Commands about the project's files: validate, schema, simulate, campaigns.

Lives here: these commands. Does not live here: the rules (`campaigns`, `sequencing`, `sync`).
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from icalendar import Calendar, Event

from connector import __version__
from connector.app import Project, clock_from_environment, copy_example, load_adapters, open_app
from connector.campaigns.model import Campaign
from connector.campaigns.people_file import read_people
from connector.campaigns.schema import campaign_schema
from connector.campaigns.versions import to_document, version_of
from connector.cli.options import NOW, read_instant, read_send_at, rep_or_first
from connector.cli.output import Terminal, counted, fault_json, in_words, marked, moment, terminal_of
from connector.errors import BadInput, Fault, Severity
from connector.people import Rep
from connector.settings import config_schema
from connector.spreadsheets import as_cell
from connector.store.enrollments import count_by_state
from connector.sync.drift import Drift, drifts
from connector.sync.launch import check_launch
from connector.sync.migration import migrate, plan_migration
from connector.sync.preview import Preview, preview

commands = typer.Typer()
campaigns = typer.Typer(help="Look at campaigns, and move people to a changed one.", no_args_is_help=True)
commands.add_typer(campaigns, name="campaign")

#: The people file a project has by default.
PEOPLE_FILE = "people.csv"


# ------------------------------------------------------------------------------------------- validate


@commands.command()
def validate(context: typer.Context) -> int:
    """Check every file of the project and print each fault with its file and line."""
    terminal = terminal_of(context)
    faults = faults_of(terminal.project())
    errors = [fault for fault in faults if fault.severity is Severity.ERROR]
    if terminal.json:
        terminal.document([fault_json(fault) for fault in faults])
    else:
        for fault in faults:
            terminal.say(marked(fault))
        warnings = len(faults) - len(errors)
        terminal.say(
            f"{counted(len(errors), 'error')}, {counted(warnings, 'warning')}" if faults else "every file is in order"
        )
    return BadInput.exit_status if errors else 0


def faults_of(project: Project) -> list[Fault]:
    """Return every fault and warning of connector.yaml, templates, campaigns and people.csv."""
    faults: list[Fault] = []
    try:
        faults += [*project.settings.warnings, *project.subject_warnings, *project.attachment_faults]
    except BadInput as error:
        faults += error.faults
    faults += project.faults
    people = project.folder / PEOPLE_FILE
    if people.is_file():
        try:
            faults += read_people(people)[1]
        except BadInput as error:
            faults += error.faults
    return faults


class Of(StrEnum):
    """Which file a schema describes."""

    CAMPAIGN = "campaign"
    CONFIG = "config"


@commands.command()
def schema(context: typer.Context, of: Annotated[Of, typer.Argument(help="Which file it describes.")]) -> None:
    """Print the JSON Schema of a campaign file or of connector.yaml, for editors."""
    schemas: dict[Of, Callable[[], dict[str, Any]]] = {
        Of.CAMPAIGN: campaign_schema,
        Of.CONFIG: lambda: config_schema(load_adapters()),
    }
    terminal_of(context).write(schemas[of]())


@commands.command()
def init(
    context: typer.Context, folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]
) -> None:
    """Write a working example project into a folder."""
    terminal = terminal_of(context)
    written = copy_example(folder)
    terminal.document({"folder": str(folder), "files": written})
    for name in written:
        terminal.say(f"wrote {folder / name}")
    terminal.say(f"next: 'connector -C {folder} validate', or 'connector demo' to see it run")


# ------------------------------------------------------------------------------------------ campaigns


@campaigns.command("list")
def list_(context: typer.Context) -> int:
    """List the campaigns of the project, and how many people are in each."""
    terminal = terminal_of(context)
    project = terminal.project()
    with open_app(project, services=False) as app, app.database.read() as tx:
        counts = count_by_state(tx)
    listed = [_campaign_json(project, one, counts) for one in project.loaded.campaigns.values()]
    terminal.document(listed)
    terminal.table(
        "Campaigns",
        ("name", "file", "category", "days", "steps", "people"),
        [
            (one["name"], one["file"], one["category"], one["days"], one["steps"], _in_words(one["people"]))
            for one in listed
        ],
    )
    errors = [fault for fault in project.faults if fault.severity is Severity.ERROR]
    terminal.faults(errors)
    return 1 if errors else 0


def _campaign_json(project: Project, campaign: Campaign, counts: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    return {
        "name": campaign.name,
        "file": str(project.loaded.files[campaign.name]),
        "category": campaign.category,
        "days": campaign.steps[-1].day,
        "steps": len(campaign.steps),
        "version": version_of(to_document(campaign, project.templates)),
        "people": {state: count for (name, state), count in sorted(counts.items()) if name == campaign.name},
    }


def _in_words(people: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in people.items()) or "nobody"


_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the campaign, or of its file.")]


@campaigns.command()
def show(context: typer.Context, name: _Name) -> None:
    """Show a campaign: its settings and its steps."""
    terminal = terminal_of(context)
    project = terminal.project()
    definition = project.campaign(name)
    document = to_document(definition, project.templates)
    terminal.document({**document, "version": version_of(document)})
    settings = [(key, in_words(value)) for key, value in document["settings"].items()]
    terminal.table(f"{definition.name} (version {version_of(document)})", ("setting", "value"), settings)
    terminal.table(
        "Steps",
        ("step", "type", "send", "what", "follow-up", "priority"),
        [
            (
                step.place,
                step.type.value,
                (f"{step.at:%H:%M}" if step.at else step.send.value) if step.send else "",
                step.template or step.name,
                "yes" if step.follow_up else "",
                step.priority.value if step.template is None else "",
            )
            for step in definition.steps
        ],
    )


@campaigns.command("diff")
def diff_(context: typer.Context, name: _Name) -> None:
    """Show what changed in a campaign since people were launched into it, and who is affected."""
    terminal = terminal_of(context)
    project = terminal.project()
    definition = project.campaign(name)
    with open_app(project, services=False) as app:
        found = drifts(app.office, definition, project.templates)
    terminal.document(
        {
            "campaign": definition.name,
            "version": version_of(to_document(definition, project.templates)),
            "versions": [
                {
                    "version": drift.version,
                    "changes": [
                        {"kind": change.kind.value, "subject": change.subject, "sentence": change.sentence}
                        for change in drift.changes
                    ],
                    "people": [one.person for one in drift.enrollments],
                }
                for drift in found
            ],
        }
    )
    _tell_drifts(terminal, definition.name, found)


def _tell_drifts(terminal: Terminal, name: str, found: Sequence[Drift]) -> None:
    for drift in found:
        who = counted(len(drift.enrollments), "person", "people")
        terminal.say(f"{who} in version {drift.version} of '{name}':", style="bold")
        for change in drift.changes:
            terminal.say(f"  {change.sentence}")
        for one in drift.enrollments:
            terminal.say(f"  affected: {one.person} (rep {one.rep}, {one.state})")
    if not found:
        terminal.say(f"everybody in '{name}' is in its present version")


@campaigns.command("migrate")
def migrate_(
    context: typer.Context,
    name: _Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this nothing is changed.")] = False,
) -> None:
    """Move the people in a campaign to its present version, after showing what changes for whom."""
    terminal = terminal_of(context)
    project = terminal.project()
    definition = project.campaign(name)
    with open_app(project, services=False) as app:
        found = drifts(app.office, definition, project.templates)
        plan = plan_migration if not yes else migrate
        moves = plan(app.office, definition, project.templates)
    terminal.document(
        {
            "campaign": definition.name,
            "migrated": yes,
            "moves": [
                {"person": move.enrollment.person, "from": move.enrollment.version, "next": move.next_step}
                for move in moves
            ],
        }
    )
    _tell_drifts(terminal, definition.name, found)
    for move in moves:
        verb = "goes on" if yes else "would go on"
        terminal.say(f"  {move.enrollment.person} {verb} with {move.next_step}")
    if moves and not yes:
        terminal.say("nothing was changed: give --yes to do it")


# ------------------------------------------------------------------------------------------- simulate


class Format(StrEnum):
    """How a calendar is written."""

    TABLE = "table"
    JSON = "json"
    ICS = "ics"
    CSV = "csv"


@commands.command()
def simulate(
    context: typer.Context,
    campaign: Annotated[str, typer.Argument(help="Name of the campaign, or of its file.")],
    *,
    people: Annotated[Path | None, typer.Option(help="People file; without it one placeholder is planned.")] = None,
    rep: Annotated[str | None, typer.Option(help="Address of the rep; the first of connector.yaml by default.")] = None,
    launched: Annotated[str, typer.Option(metavar="T|now", help="When it would be launched.")] = "now",
    start: Annotated[
        str | None, typer.Option(metavar="T|now", help="When it would start; at its launch by default.")
    ] = None,
    send_at: Annotated[
        list[str] | None,
        typer.Option(metavar="DAY.STEP=HH:MM", help="Another clock time for a fixed-time step; may be repeated."),
    ] = None,
    complete_tasks_after: Annotated[
        float, typer.Option(min=0, metavar="MINUTES", help="How long reps take to complete each task.")
    ] = 0,
    format: Annotated[Format, typer.Option(help="How the calendar is written.")] = Format.TABLE,  # noqa: A002 - the option's word
) -> int:
    """Show the whole calendar of a campaign, by the production sequencer; nothing is called or stored."""
    terminal = terminal_of(context)
    project = terminal.project()
    definition, sender = project.campaign(campaign), rep_or_first(project, rep)
    at = _launched(launched, sender)
    wanted = at if start == NOW else None if start is None else read_instant(start, sender, option="--start")
    overrides = read_send_at(send_at or ())
    begins = check_launch(definition, start=wanted, overrides=overrides, now=at)
    persons, bad_rows = (None, []) if people is None else read_people(people)
    calendars = preview(
        definition,
        project.templates,
        rep=sender,
        people=persons,
        launched=at,
        start=begins,
        overrides=overrides,
        complete_tasks_after=timedelta(minutes=complete_tasks_after),
    )
    _WRITERS[Format.JSON if terminal.json else format](terminal, definition.name, list(calendars))
    terminal.faults(bad_rows)
    return 1 if bad_rows else 0


def _launched(text: str, rep: Rep) -> datetime:
    if text == NOW:
        return clock_from_environment().now().replace(microsecond=0)
    return read_instant(text, rep, option="--launched")


def _write_table(terminal: Terminal, campaign: str, calendars: Sequence[Preview]) -> None:
    for calendar in calendars:
        rows = [
            (
                step.planned.step.place,
                moment(step.planned.due, calendar.time_zone),
                step.planned.step.type,
                "sent by itself" if step.planned.step.mode == "send" else "task for the rep",
                step.subject,
                step.planned.reason,
            )
            for step in calendar.steps
        ]
        title = f"{campaign}: {calendar.person} (times in {calendar.time_zone})"
        terminal.table(title, ("step", "due", "type", "who acts", "subject", "why then"), rows)


def _write_json(terminal: Terminal, _campaign: str, calendars: Sequence[Preview]) -> None:
    terminal.write([calendar.as_json() for calendar in calendars])


def _write_csv(_terminal: Terminal, _campaign: str, calendars: Sequence[Preview]) -> None:
    rows = [_flat(calendar, step) for calendar in calendars for step in calendar.as_json()["steps"]]
    writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _flat(calendar: Preview, step: dict[str, Any]) -> dict[str, Any]:
    said = {"person": calendar.person, "time_zone": calendar.time_zone, **step}
    return {name: as_cell(value) for name, value in said.items()}


def _write_ics(_terminal: Terminal, campaign: str, calendars: Sequence[Preview]) -> None:
    page = Calendar()
    page.add("prodid", f"-//sales-campaign-connector//{__version__}//EN")
    page.add("version", "2.0")
    page.add("x-wr-calname", campaign)
    for calendar in calendars:
        for step in calendar.steps:
            place = f"{campaign}\n{calendar.person}\n{step.planned.step.place}"
            entry = Event()
            entry.add("uid", f"{hashlib.blake2b(place.encode(), digest_size=16).hexdigest()}@connector")
            entry.add("dtstamp", calendar.steps[0].planned.due)
            entry.add("dtstart", step.planned.due)
            entry.add("duration", timedelta(minutes=15))
            entry.add("summary", f"{step.planned.step.type}: {step.subject} ({calendar.person})")
            entry.add("description", step.planned.reason)
            page.add_component(entry)
    typer.echo(page.to_ical(), nl=False)  # as bytes: RFC 5545 wants CRLF at the end of every line, on any system


_WRITERS: dict[Format, Callable[[Terminal, str, Sequence[Preview]], None]] = {
    Format.TABLE: _write_table,
    Format.JSON: _write_json,
    Format.CSV: _write_csv,
    Format.ICS: _write_ics,
}
