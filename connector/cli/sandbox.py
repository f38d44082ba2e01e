"""Commands about the sandbox: running it, and acting in a running one as the people outside.

Lives here: these commands. Does not live here: the servers (`adapters.sandbox`), which `connector.app` opens.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.app import CLOCK_VARIABLE, Project, find_folder, open_sandbox
from connector.campaigns.people_file import read_people
from connector.cli.output import Terminal, counted, moment, terminal_of
from connector.cli.project import PEOPLE_FILE
from connector.errors import BadInput

if TYPE_CHECKING:
    from adapters.sandbox import Sandbox

commands = typer.Typer()
sandbox = typer.Typer(help="Run local Salesforce, Gmail and Microsoft Graph servers, or act in running ones.")
commands.add_typer(sandbox, name="sandbox")

#: Port the example project expects the sandbox on.
PORT = 8025

_Port = Annotated[int | None, typer.Option(help=f"Port on 127.0.0.1; {PORT} by default.")]


@sandbox.callback(invoke_without_command=True)
def run_sandbox(
    context: typer.Context,
    *,
    port: _Port = None,
    hostile: Annotated[
        int | None,
        typer.Option(metavar="SEED", help="Let a quarter of the calls go wrong, the same ones for the same number."),
    ] = None,
    log_file: Annotated[
        Path | None,
        typer.Option("--log", metavar="FILE", help="Also write effects, faults and calls there, a JSON object a line."),
    ] = None,
) -> None:
    """Serve Salesforce, Gmail and Microsoft Graph on this machine for the project's people and reps, until Ctrl-C.

    The project folder is that of -C; the key and the client of the simulated Google project are written into it.
    """
    if context.invoked_subcommand is not None:
        return
    terminal = terminal_of(context)
    project = Project(folder=find_folder(terminal.folder))
    people_file = project.folder / PEOPLE_FILE
    people, bad_rows = read_people(people_file) if people_file.is_file() else ([], [])
    terminal.faults(bad_rows)
    servers = open_sandbox(hostile=hostile)
    if log_file is not None:
        _write_log(servers, log_file)
    try:
        servers.start(PORT if port is None else port)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise BadInput(f"port {port or PORT} cannot be used ({reason}): name another with --port") from error
    stopped = threading.Event()
    # Said explicitly: a process started in the background of a script inherits that Ctrl-C is ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stopped.set())
    try:
        servers.seed(people, project.settings.reps)
        _tell(terminal, servers, project, len(people))
        stopped.wait()
        terminal.say("the sandbox was stopped; what it held is gone")
    finally:
        servers.stop()


def _write_log(servers: Sandbox, file: Path) -> None:
    try:
        servers.log.write_to(file)
    except OSError as error:
        raise BadInput(f"'{file}' cannot be written ({os.strerror(error.errno or 0).lower()}): name another") from error


def _tell(terminal: Terminal, servers: Sandbox, project: Project, people: int) -> None:
    ready = servers.accounts(project.folder)
    client = servers.write_google_client(project.folder)
    environment = {**ready["environment"], CLOCK_VARIABLE: f"{servers.url}/sandbox/clock"}
    elsewhere = sorted(_names_elsewhere(project, servers.url))
    terminal.document({"url": servers.url, "environment": environment, "accounts": ready["accounts"], "people": people})
    terminal.say(f"Salesforce, Gmail and Microsoft Graph are served at {servers.url}")
    if servers.hostile is not None:
        terminal.say(f"it is hostile: a quarter of the calls go wrong, as seed {servers.hostile.seed} decides")
    terminal.say(f"{counted(people, 'person', 'people')} of {project.folder / PEOPLE_FILE} are in its Salesforce")
    terminal.say(f"the Google key was written to {ready['accounts']['google']['key_file']}")
    terminal.say(f"a client for 'auth: oauth' was written to {client}")
    terminal.say("in another terminal:")
    for name, value in environment.items():
        terminal.say(f"  export {name}={value}")
    for name in elsewhere:
        terminal.trouble(f"note: accounts.{name} of connector.yaml names another address than {servers.url}")
    command = "connector" if terminal.folder is None else f"connector -C {terminal.folder}"
    terminal.say(f"then '{command} sync', '{command} sandbox actions' and '{command} sandbox clock --advance 1d'")
    terminal.say("Ctrl-C stops it")
    terminal.out.file.flush()


def _names_elsewhere(project: Project, url: str) -> list[str]:
    """Return the account sections whose addresses are not this sandbox's."""
    return [
        name
        for name, account in project.settings.accounts.items()
        if not any(str(getattr(account, key)).startswith(url) for key in type(account).model_fields)
    ]


# ----------------------------------------------------------------------------------- in a running sandbox


@sandbox.command()
def act(
    context: typer.Context,
    action: Annotated[str, typer.Argument(help="What somebody does; 'sandbox actions' lists it.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=TEXT", help="Arguments; NAME:=JSON for numbers and true/false.")
    ] = None,
    *,
    port: _Port = None,
) -> None:
    """Do what a person outside would do: send a draft, reply, bounce, close a task."""
    body = {"action": action}
    for argument in arguments or ():
        name, value = _argument(argument)
        body[name] = value
    terminal_of(context).write(_ask(context, port, "act", body))


def _argument(text: str) -> tuple[str, Any]:
    name, mark, value = text.partition("=")
    if not mark or not name.strip(":"):
        raise BadInput(f"'{text}' is not NAME=TEXT, such as person=ann@acme.example")
    if not name.endswith(":"):
        return name, value
    try:
        return name.removesuffix(":"), json.loads(value)
    except ValueError:
        raise BadInput(f"'{text}' is not NAME:=JSON, such as minutes:=60") from None


@sandbox.command()
def clock(
    context: typer.Context,
    *,
    advance: Annotated[str | None, typer.Option(metavar="SPAN", help="How far: 3d, '1d 2h', 90m.")] = None,
    to: Annotated[str | None, typer.Option(metavar="T", help="Until when: 2026-11-24T09:00:00Z.")] = None,
    port: _Port = None,
) -> None:
    """Show the sandbox's time, or move it forward."""
    if advance is not None and to is not None:
        raise BadInput("give --advance or --to, not both")
    body = {"advance": advance} if advance is not None else {"to": to} if to is not None else None
    terminal = terminal_of(context)
    answer = _ask(context, port, "clock", body)
    terminal.document(answer)
    terminal.say(f"in the sandbox it is {moment(datetime.fromisoformat(answer['now']))} UTC")


@sandbox.command()
def state(context: typer.Context, *, port: _Port = None) -> None:
    """Print all that the services hold."""
    terminal_of(context).write(_ask(context, port, "state"))


@sandbox.command()
def log(context: typer.Context, *, port: _Port = None) -> None:
    """Print every call the services had, and every lasting effect."""
    terminal_of(context).write(_ask(context, port, "log"))


@sandbox.command()
def actions(context: typer.Context, *, port: _Port = None) -> None:
    """List what people outside can do, for 'sandbox act'."""
    terminal = terminal_of(context)
    known = _ask(context, port, "actions")["actions"]
    terminal.document(known)
    terminal.table(
        "Actions",
        ("action", "arguments", "does"),
        [
            (
                one["action"],
                " ".join(part["name"] if part["required"] else f"[{part['name']}]" for part in one["arguments"]),
                one["does"].partition("\n")[0],
            )
            for one in known
        ],
    )


def _ask(context: typer.Context, port: int | None, path: str, body: Any = None) -> dict[str, Any]:
    """Ask the control API of a running sandbox; raise `BadInput` with its sentence when it refuses."""
    given = port or (context.parent.params.get("port") if context.parent is not None else None) or PORT
    address = f"http://127.0.0.1:{given}/sandbox/{path}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        with error:
            raise BadInput(_sentence(error.read(), error.code)) from error
    except OSError as error:
        raise BadInput(
            f"no sandbox answers on port {given}: start one with 'connector sandbox', "
            "or say with --port where another listens"
        ) from error


def _sentence(raw: bytes, code: int) -> str:
    try:
        return str(json.loads(raw)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the sandbox answered {code}"
