"""The command line: `connector COMMAND`.

Lives here: the global options, and turning every error into sentences and an exit status. Does not live here: the
commands (one module a kind of work). Source: interfaces 2.

A command returns its exit status (None is 0). Global options are taken wherever they stand: `connector sync --json`.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from connector import __version__
from connector.cli import auth, demo, doctor, engine, people, project, salesforce, sandbox, serve, tidy, web, work
from connector.cli.output import Terminal, marked
from connector.errors import BadInput, ConnectorError

#: Global options: name -> whether a value follows.
_EVERYWHERE = {"-C": True, "--json": False, "-v": False, "--verbose": False}

#: Ended by the person at the keyboard, as a shell says it.
_INTERRUPTED = 130


class _Commands(TyperGroup):
    """The group of all commands; moves global options to the front, where its parser expects them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _global_first(args))


def _global_first(arguments: Sequence[str]) -> list[str]:
    first: list[str] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            rest += [argument, *remaining]
        elif argument in _EVERYWHERE:
            first.append(argument)
            if _EVERYWHERE[argument]:
                first += [value for value in [next(remaining, None)] if value is not None]
        elif argument.startswith("-C"):
            first.append(argument)
        else:
            rest.append(argument)
    return first + rest


app = typer.Typer(
    cls=_Commands,
    name="connector",
    help="Sales campaigns as files: tasks in Salesforce, drafts and mails in Gmail and Outlook, each exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _commands in (demo, project, people, auth, work, engine, tidy, serve, web, doctor, salesforce, sandbox):
    app.add_typer(_commands.commands)


def _version(asked: bool) -> None:  # noqa: FBT001 - the option's value, as the library hands it over
    if asked:
        typer.echo(f"connector {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option("-C", metavar="DIR", help="Folder that holds connector.yaml (default: ./config, then .)."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show what goes on, and where errors arise.")
    ] = False,
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options every command shares."""
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    context.obj = Terminal(folder=folder, json=as_json, verbose=verbose)


@cache
def _built() -> Callable[..., Any]:
    """Build the commands from their functions, once a process."""
    return get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; every error ends in a sentence on stderr."""
    try:
        status = _built()(list(arguments), prog_name="connector", standalone_mode=False)
    except typer.TyperException as error:
        # Without a command the help was printed, and the message is empty.
        if message := error.format_message().replace("Value error, ", "").rstrip("."):
            _say(f"{message} ('connector --help' and 'connector COMMAND --help' say what there is)")
        return error.exit_code
    except BadInput as error:
        _say(*(marked(fault) for fault in error.faults))
        return error.exit_status
    except ConnectorError as error:
        _say(str(error))
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has gone; there is nobody to tell
        return 1
    except Exception as error:  # noqa: BLE001 - the last resort: nobody should have to read a traceback
        if "-v" in arguments or "--verbose" in arguments:
            traceback.print_exc()
        # The first line is enough; a database's further lines would quote what was to be written.
        said = (str(error).splitlines() or [""])[0]
        _say(f"something unexpected went wrong ({type(error).__name__}: {said}); run it again with -v to see where")
        return 1
    return status if isinstance(status, int) else 0


def _say(*sentences: str) -> None:
    for sentence in sentences:
        print(sentence, file=sys.stderr)


def main() -> None:
    """Run the command of the process's arguments."""
    sys.exit(run(sys.argv[1:]))
