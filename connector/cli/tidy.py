"""`connector tidy`: forgetting what ended long ago.

Lives here: the command. Does not live here: what is forgotten (`sync.retention`).
"""

from __future__ import annotations

from typing import Annotated

import typer

from connector.app import open_app
from connector.cli.output import counted, moment, terminal_of
from connector.sync.retention import plan_tidy
from connector.sync.retention import tidy as tidy_office

commands = typer.Typer()


@commands.command()
def tidy(
    context: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be forgotten; change nothing.")] = False,
) -> None:
    """Forget campaigns that ended for a person longer ago than `retention` says. People and opt-outs stay."""
    terminal = terminal_of(context)
    with open_app(terminal.project(), services=False) as app:
        done = (plan_tidy if dry_run else tidy_office)(app.office, app.office.now())
    terminal.document(done.as_json() | {"dry_run": dry_run})
    verb = "would be forgotten" if dry_run else "forgotten"
    if done.rows["blobs"]:
        terminal.say(f"{verb}: {counted(done.rows['blobs'], 'uploaded file', 'uploaded files')} that no mail names")
    if done.before is None:
        terminal.say("all is kept: write how long it should be into connector.yaml, such as 'retention: {ended: 400d}'")
        return
    ended = counted(done.rows["enrollments"], "campaign of a person", "campaigns of people")
    terminal.say(f"{verb}: {ended} that ended before {moment(done.before)} UTC")
    rows = [
        f"{table} {count}"
        for table, count in sorted(done.rows.items())
        if count and table not in ("enrollments", "blobs")
    ]
    if rows:
        terminal.say(f"with them: {', '.join(rows)}")
    if done.kept:
        terminal.say(f"kept: {done.kept} of which Salesforce or a mailbox must hear still ('connector diagnostics')")
