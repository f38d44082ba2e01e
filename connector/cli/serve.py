"""`connector serve`: the web app by itself.

Lives here: the command, and `serving` beside other work for `run` and `demo`; what both say. Does not live here: the
pages (`connector.web`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from connector.app import App, open_app
from connector.cli.output import Terminal, terminal_of
from connector.sync.office import Office

if TYPE_CHECKING:
    from connector.web.site import Site

commands = typer.Typer()


@commands.command()
def serve(
    context: typer.Context,
    *,
    host: Annotated[str, typer.Option(help="Address to serve at; others need web.sign_in and web.url.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve at; 0 takes a free one.")] = 8000,
) -> None:
    """Serve the command center, until Ctrl-C: tasks, emails, feed, campaigns, people and numbers in the browser.

    It prints a link that signs you in: once, within ten minutes, then for twelve hours. Start it anew for a new link.
    """
    # Web servers are slow to import, and no other command needs one.
    from connector.web.app import create_app  # noqa: PLC0415
    from connector.web.serving import listen  # noqa: PLC0415
    from connector.web.serving import serve as serve_app  # noqa: PLC0415

    terminal = terminal_of(context)
    project = terminal.project()
    with listen(host, port, project.settings.web) as listening, open_app(project) as app:
        site = _site(app, app.office)
        url = _address(host, listening)
        serve_app(create_app(site), listening, announce=lambda: _tell(terminal, url, site), ending=site.ending)
    terminal.say("the web app was stopped")


@contextmanager
def serving(terminal: Terminal, app: App, office: Office, *, host: str = "127.0.0.1", port: int) -> Iterator[None]:
    """Serve the web app of an office for as long as something else is done, and say where.

    Raises `BadInput` when the port cannot be used.
    """
    from connector.web.app import create_app  # noqa: PLC0415
    from connector.web.serving import listen  # noqa: PLC0415
    from connector.web.serving import serving as serving_app  # noqa: PLC0415

    site = _site(app, office)
    with listen(host, port) as listening, serving_app(create_app(site), listening, ending=site.ending):
        _tell(terminal, _address(host, listening), site)
        yield


def _address(host: str, listening: socket) -> str:
    shown = f"[{host.strip('[]')}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}"


def _site(app: App, office: Office) -> Site:
    from connector.unsubscribe import Tokens  # noqa: PLC0415
    from connector.web.sign_in import Sessions, SignInLink  # noqa: PLC0415
    from connector.web.site import Site  # noqa: PLC0415

    clock, vault = office.clock, app.vault
    return Site(
        office=office,
        project=app.project,
        vault=vault,
        sessions=Sessions.kept_in(vault, clock),
        link=SignInLink(clock),
        tokens=Tokens.kept_in(vault),
    )


def _tell(terminal: Terminal, url: str, site: Site) -> None:
    from connector.web.guard import is_this_machine  # noqa: PLC0415

    others, at = site.project.settings.web.url, urlsplit(url).hostname or ""
    # The link is for this machine's user: under another name it would be no good.
    link = f"{url}{site.link.path}" if is_this_machine(at) else f"{others}/sign-in"
    terminal.document({"url": url, "sign_in": link})
    terminal.say(f"the web app is served at {url}")
    if others is not None:
        terminal.say(f"others reach it at {others}, and sign in there")
    if is_this_machine(at):
        terminal.say(f"sign in, once and within ten minutes: {link}")
    terminal.say("Ctrl-C stops it")
    terminal.out.file.flush()
