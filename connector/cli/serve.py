"""`connector serve`: the web app on this machine.

Lives here: the command, and what it says. Does not live here: the pages (`connector.web`).
"""

from __future__ import annotations

from typing import Annotated

import typer

from connector.app import open_app
from connector.cli.output import Terminal, terminal_of

commands = typer.Typer()


@commands.command()
def serve(
    context: typer.Context,
    *,
    host: Annotated[str, typer.Option(help="Loopback address to serve at; no other is taken yet.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve at; 0 takes a free one.")] = 8000,
) -> None:
    """Serve the web app on this machine, until Ctrl-C: /open/ID opens the draft of a task in the browser.

    It prints a link that signs you in: once, within ten minutes, then for twelve hours. Start it anew for a new link.
    """
    # Web servers are slow to import, and no other command needs one.
    from connector.web.app import create_app  # noqa: PLC0415
    from connector.web.serving import listen  # noqa: PLC0415
    from connector.web.serving import serve as serve_app  # noqa: PLC0415
    from connector.web.sign_in import Sessions, SignInLink  # noqa: PLC0415

    terminal = terminal_of(context)
    project = terminal.project()
    with listen(host, port) as listening, open_app(project) as app:
        link = SignInLink(app.office.clock)
        web = create_app(app.office, link=link, sessions=Sessions.kept_in(app.vault, app.office.clock))
        shown = f"[{host.strip('[]')}]" if ":" in host else host
        url = f"http://{shown}:{listening.getsockname()[1]}"
        serve_app(web, listening, announce=lambda: _tell(terminal, url, link.path))
    terminal.say("the web app was stopped")


def _tell(terminal: Terminal, url: str, sign_in: str) -> None:
    terminal.document({"url": url, "sign_in": f"{url}{sign_in}"})
    terminal.say(f"the web app is served at {url}")
    terminal.say(f"sign in, once and within ten minutes: {url}{sign_in}")
    terminal.say("Ctrl-C stops it")
    terminal.out.file.flush()
