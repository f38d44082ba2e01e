"""`connector web key`: keys of the REST API, for programs.

Lives here: these commands. Does not live here: what they do (`sync.api_keys`), the page that does the same
(`web.api_settings`). Who runs a command has the project's folder, and so is this machine's user, who minds all keys.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from connector.app import open_app
from connector.audience import known_as
from connector.cli.options import read_address
from connector.cli.output import counted, moment, terminal_of
from connector.errors import BadInput
from connector.store.api_keys import ApiKey
from connector.sync.api_keys import Scope, add_key, keys_of
from connector.sync.api_keys import revoke as revoke_key
from connector.sync.views import zulu

commands = typer.Typer()
web = typer.Typer(help="Look after the web app: keys of its API.", no_args_is_help=True)
key = typer.Typer(help="Make keys of the API for programs, list them, revoke them.", no_args_is_help=True)
commands.add_typer(web, name="web")
web.add_typer(key, name="key")

#: The user of this machine, who may do everything.
_THIS_MACHINE = ""

#: Characters of an id that tell one key from others, as the page shows them.
_SHORT = 8


@key.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="By which you find it again, such as 'nightly export'.")],
    scope: Annotated[
        list[Scope] | None, typer.Option("--scope", help="What it may be used for; may be repeated.")
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="EMAIL",
            help="It sees and does what this rep, manager or admin may; by default all, as you do on this machine.",
        ),
    ] = None,
) -> None:
    """Make a key and show it, this once."""
    terminal = terminal_of(context)
    project = terminal.project()
    address = _THIS_MACHINE if user is None else known_as(project.settings, read_address(user))
    if address is None:
        raise BadInput(
            f"nobody is known by '{user}' in {project.settings.file}: add the address to a rep, or under web.admins or "
            "web.managers"
        )
    with open_app(project, services=False) as app:
        new = add_key(app.office, user=address, name=name, scopes=scope or [])
    terminal.document({**_key_json(new.key), "secret": new.secret})
    terminal.say(f"'{new.key.name}' acts for {_whose(new.key)}, as far as {', '.join(new.key.scopes)}")
    terminal.say("copy the key now, it is not shown again:")
    terminal.say(new.secret)
    terminal.say(f"'connector web key revoke {new.key.id[:_SHORT]}' ends it")


@key.command("list")
def list_(
    context: typer.Context,
    *,
    user: Annotated[str | None, typer.Option("--for", metavar="EMAIL", help="Only those that act for them.")] = None,
) -> None:
    """List the keys that open something; what opens is not among it."""
    terminal = terminal_of(context)
    project = terminal.project()
    wanted = None if user is None else read_address(user)
    # Those of somebody who is in the file no more are found by the address they were made for.
    wanted = wanted and (known_as(project.settings, wanted) or wanted)
    with open_app(project, services=False) as app:
        found = [one for one in keys_of(app.office, _THIS_MACHINE) if wanted in (None, one.user)]
    terminal.document([_key_json(one) for one in found])
    terminal.table(
        "Keys",
        ("id", "name", "acts for", "scopes", "made (UTC)", "last used (UTC)"),
        [
            (
                one.id[:_SHORT],
                one.name,
                _whose(one),
                ", ".join(one.scopes),
                moment(one.created),
                moment(one.used) or "never",
            )
            for one in found
        ],
    )
    terminal.say(counted(len(found), "key"))


@key.command()
def revoke(
    context: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="The first characters of its id; see 'web key list'.")],
) -> None:
    """Let a key open nothing from now on."""
    terminal = terminal_of(context)
    with open_app(terminal.project(), services=False) as app:
        gone = revoke_key(app.office, _THIS_MACHINE, id_)
    terminal.document(_key_json(gone))
    terminal.say(f"the key '{gone.name}' of {_whose(gone)} opens nothing any more")


def _whose(one: ApiKey) -> str:
    return one.user or "this machine's user"


def _key_json(one: ApiKey) -> dict[str, Any]:
    """Return a key as the API lists it."""
    return {
        "id": one.id,
        "name": one.name,
        "user": one.user,
        "scopes": list(one.scopes),
        "created": zulu(one.created),
        "used": zulu(one.used),
    }
