"""The small world behind the pages that the browser sees: a campaign that has gone on for a while.

Lives here: `Center`, its people and campaigns, and the table of its pages. Does not live here: the browser (`window`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from adapters.sandbox.server import Server
from connector.people import Person
from connector.store.intents import StoredIntent
from connector.unsubscribe import Tokens
from connector.vault import StoredVault
from connector.web.app import create_app
from connector.web.sign_in import Sessions, SignInLink
from connector.web.site import Site
from tests.browser.window import Window
from tests.web.issuer import CLIENT, SECRET, Issuer, serve_issuer
from tests.web.visitors import Visitors
from tests.world import ANA, BOB, CY, TEMPLATES, World

REP, OTHER_REP, ADMIN = ANA["email"], BOB["email"], "root@acme.example"

CAMPAIGN = """\
name: Autumn outreach
days:
  - day: 1
    steps:
      - email: {template: intro, send: task}
      - call: {name: "Call {{first_name}}", notes: "Ask about {{company}}"}
  - day: 2
    steps:
      - email: {template: nudge, send: task}
  - day: 4
    steps:
      - email: {template: last, send: task}
"""
AUTOMATIC = """\
name: Newsletter
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
  - day: 3
    steps:
      - email: {template: nudge, send: task}
"""

_NAMES = (
    ("Ada", "Berg", "Northwind"), ("Ben", "Cole", "Contoso"), ("Chloe", "Dubois", "Lumière"), ("Dai", "Evans", "Cambria"),
    ("Eve", "Fox", "Fabrikam"), ("Finn", "Gray", "Tailspin"), ("Gia", "Huang", "Litware"), ("Hugo", "Iversen", "Fjord"),
)  # fmt: skip

PEOPLE = tuple(
    Person(
        email=f"{first.lower()}@{last.lower()}.example",
        first_name=first,
        last_name=last,
        title="Head of Sales",
        company=company,
        phone="+46 8 123 456 00",
        time_zone="Europe/Madrid",
        linkedin_url="https://www.linkedin.com/in/somebody",
    )
    for first, last, company in _NAMES
)


@dataclass(kw_only=True)
class Center:
    """A command center, and browsers at it."""

    world: World
    visitors: Visitors
    issuer: Issuer
    browser: Browser

    @property
    def url(self) -> str:
        """Address of the app."""
        return self.visitors.url

    def window(self, user: str | None = REP, **options: Any) -> Window:
        """Open a window of somebody who is signed in; None: of somebody who is not."""
        cookies = {} if user is None else self.visitors.cookies(user)
        return Window.of(self.browser, self.url, cookies, **options)

    def cut_lines(self) -> None:
        """Reset every connection of browsers, as a network does that goes away for a moment."""
        serving = self.visitors.server._serving

        def cut() -> None:
            for connection in list(serving.server_state.connections):
                connection.transport.abort()

        self.visitors.server._loop.call_soon_threadsafe(cut)


@contextmanager
def open_center(
    browser: Browser,
    folder: Path,
    *,
    people: Sequence[Person] = PEOPLE,
    campaigns: Mapping[str, str] | None = None,
    templates: Mapping[str, str] = TEMPLATES,
    prepare: Callable[[World], None] | None = None,
) -> Iterator[Center]:
    """Serve the command center of a world in which these people are written to; `prepare` says what happened since."""
    issuer, provider = serve_issuer()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    sign_in = {"name": "Acme ID", "issuer": issuer.url, "client_id": CLIENT, "client_secret": "${env:OIDC_SECRET}"}
    web = {"url": f"http://127.0.0.1:{port}", "sign_in": {"oidc": sign_in}, "admins": [ADMIN]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OIDC_SECRET", SECRET)
        world = World.make(
            folder / "world",
            patch,
            campaign=campaigns or {"autumn": CAMPAIGN, "newsletter": AUTOMATIC},
            templates=templates,
            reps=(ANA, BOB, CY),
            web=web,
        )
        issuer.now = lambda: world.now
        if people:
            world.launch(people)
            assert world.sync().exit_status == 0
        if prepare is not None:
            prepare(world)
        clock = world.office.clock
        vault = StoredVault(world.database, clock, world.folder)
        site = Site(
            office=world.office,
            project=world.project,
            vault=vault,
            sessions=Sessions.kept_in(vault, clock),
            link=SignInLink(clock),
            tokens=Tokens.kept_in(vault),
        )
        visitors = Visitors(world=world, site=site, server=Server(create_app(site), port))
        try:
            yield Center(world=world, visitors=visitors, issuer=issuer, browser=browser)
        finally:
            visitors.leave()
            world.close()
            provider.stop()


def happened(world: World) -> None:
    """Let some time pass: a rep sends and calls, somebody replies, somebody's mail bounces."""
    ada, ben, chloe, *_ = PEOPLE
    for one in (ada, ben, chloe):
        world.act("rep_sends_draft", rep=REP, person=one.email)
    world.after(minutes=30)
    assert world.sync().exit_status == 0
    world.act("prospect_replies", person=ben.email)
    world.act("prospect_bounces", person=chloe.email)
    world.act("rep_closes_task", key=task_of(world, ada.email).intent.key)
    world.after(hours=2)
    assert world.sync().exit_status == 0


def task_of(world: World, person: str) -> StoredIntent:
    """Return a person's one open task."""
    (one,) = [task.stored for task in world.tasks if task.stored.intent.person == person]
    return one
