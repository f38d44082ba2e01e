"""Signing in to an account by a person, and ending that.

Lives here: the command `auth`, and how a sign-in speaks with the person at the terminal. Does not live here: what a
sign-in does (each adapter, found by `AccountSignIn`).
"""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from connector.app import open_app
from connector.cli.output import Terminal, terminal_of
from connector.errors import BadInput

commands = typer.Typer()

_REVOKE = "revoke"


class _Talk:
    """A sign-in's words on stderr, so that with --json stdout stays one document."""

    def __init__(self, terminal: Terminal, *, browser: bool) -> None:
        self._terminal = terminal
        self._browser = browser

    def show(self, sentence: str) -> None:
        """Show a sentence."""
        self._terminal.trouble(sentence)

    def open(self, address: str) -> None:
        """Show an address, and open it in a browser where there is one."""
        self._terminal.trouble(f"If no browser opens, open this address on this machine:\n{address}")
        if self._browser:
            try:
                webbrowser.open(address)
            except webbrowser.Error:
                return  # the address is on the screen


@commands.command()
def auth(
    context: typer.Context,
    words: Annotated[
        list[str], typer.Argument(metavar="[revoke] ACCOUNT", help="salesforce, google or microsoft; revoke ends it.")
    ],
    rep: Annotated[
        str | None,
        typer.Option(
            "--rep",
            metavar="EMAIL",
            help="Sign in as this rep, where reps sign in one by one; one alone need not be named.",
        ),
    ] = None,
    *,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address; open no browser.")] = False,
) -> None:
    """Sign in to an account in the browser and keep its tokens encrypted, or revoke and forget them."""
    terminal = terminal_of(context)
    revoking = words[0] == _REVOKE
    if len(words) != 1 + revoking:
        raise BadInput("name one account: 'connector auth salesforce', or 'connector auth revoke salesforce'")
    name = words[-1]
    project = terminal.project()
    adapter, account = project.sign_in_of(name)
    who = project.rep_signing_in(name, rep)
    whose = who.email if who is not None else None
    with open_app(project, services=False) as app:
        if revoking:
            told = adapter.sign_out(account, rep=whose, vault=app.vault)
        else:
            talk = _Talk(terminal, browser=not no_browser)
            aliases = who.aliases if who is not None else ()
            told = adapter.sign_in(account, talk, rep=whose, aliases=aliases, clock=app.office.clock, vault=app.vault)
    terminal.say(told)
    terminal.document({"account": name, "rep": whose, "signed_in": not revoking, "text": told})
