"""Commands of those who turn the wheel without end: `run`, `worker`, `db upgrade`.

Lives here: these commands. Does not live here: the engines (`engine`), what they do in a lane (`sync.lanes`).
"""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import replace
from typing import Annotated

import typer

from connector.app import clock_from_environment, open_app, open_database
from connector.cli.output import Terminal, terminal_of
from connector.cli.serve import serving
from connector.engine import opening
from connector.engine.port import Health
from connector.engine.tables import require_postgresql, require_tables, upgrade_tables

commands = typer.Typer()
db = typer.Typer(help="Look after the database.", no_args_is_help=True)
commands.add_typer(db, name="db")

_StopWithin = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="How long what is under way may take when told to stop.")
]
_AskHealth = Annotated[bool, typer.Option("--health", help="Tell how it does, and start nothing: 0 well, 1 not well.")]


@commands.command()
def run(
    context: typer.Context,
    *,
    web: Annotated[bool, typer.Option(help="Serve the command center too, on this machine.")] = True,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve it at; 0 takes a free one.")] = 8000,
    stop_within: _StopWithin = 30.0,
    health: _AskHealth = False,
) -> int | None:
    """Do everything without end, in this process: read each service every `sync.every`, and send when it is time.

    The command center is served beside it, as `connector serve` does. One process runs per database. Ctrl-C or SIGTERM
    ends it, when what is under way is done.
    """
    terminal = terminal_of(context)
    project = terminal.project()
    if health:
        with closing(open_database(project)) as database:
            return _tell_health(terminal, opening.local_engine(database, clock_from_environment()).health())
    with open_app(project) as app:
        engine = opening.local_engine(app.database, app.office.clock, stop_within=stop_within)
        # What is done in a page is taken up at once, not at the next sweep.
        beside = serving(terminal, app, replace(app.office, wake=engine.wake), port=port) if web else nullcontext()
        with beside:
            if not web:
                terminal.say("Ctrl-C stops it")
                terminal.out.file.flush()
            opening.run(engine, app.office, every=project.settings.sync.every)
    terminal.say("stopped")
    return None


@commands.command()
def worker(
    context: typer.Context,
    *,
    concurrency: Annotated[int, typer.Option(min=1, max=32, help="How many lanes are worked at a time.")] = 8,
    stop_within: _StopWithin = 30.0,
    health: _AskHealth = False,
) -> int | None:
    """Do everything without end, beside any number of workers on this machine and others; needs PostgreSQL.

    Run 'connector db upgrade' once before. Ctrl-C or SIGTERM ends it, when what is under way is done.
    """
    terminal = terminal_of(context)
    project = terminal.project()
    with closing(open_database(project)) as database:
        require_postgresql(database)
        if health:
            return _tell_health(terminal, opening.shared_engine(database, clock_from_environment()).health())
    with open_app(project) as app:
        require_tables(app.database)
        engine = opening.shared_engine(app.database, app.office.clock, concurrency=concurrency, stop_within=stop_within)
        terminal.say(f"working {concurrency} lanes at a time; Ctrl-C stops it")
        terminal.out.file.flush()
        opening.run(engine, app.office, every=project.settings.sync.every)
    terminal.say("stopped")
    return None


def _tell_health(terminal: Terminal, health: Health) -> int:
    terminal.document(
        {"well": health.is_well, "text": health.sentence, "waiting": health.waiting, "workers": health.workers}
    )
    terminal.say(f"{health.sentence} (workers: {health.workers}, lanes that wait: {health.waiting})")
    return 0 if health.is_well else 1


@db.command()
def upgrade(context: typer.Context) -> None:
    """Bring the database's tables to the newest version; on PostgreSQL also those that workers need.

    Doing it again changes nothing. With tables of workers to bring forward, stop the workers first.
    """
    terminal = terminal_of(context)
    with closing(open_database(terminal.project())) as database:
        changed = [] if database.is_newest() else ["connector"]
        database.upgrade()
        if not database.is_sqlite and upgrade_tables(database):
            changed.append("workers")
    terminal.document({"upgraded": changed})
    terminal.say(
        f"the tables were brought to the newest version ({', '.join(changed)})" if changed else "nothing to do"
    )
