"""The web app of a small world, served over real HTTP by uvicorn on a free port."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import requests

from adapters.sandbox.server import Server
from connector.intents import IntentState
from connector.people import Person
from connector.store.intents import find_intents
from connector.sync.office import Office
from connector.unsubscribe import Tokens
from connector.vault import StoredVault
from connector.web.app import create_app
from connector.web.sign_in import Sessions, SignInLink
from connector.web.site import Site as WebSite
from tests.world import ANA, BOB, World, WorldMaker

GMAIL, OUTLOOK = ANA["email"], BOB["email"]

CAMPAIGN = """\
name: Draft
days:
  - day: 1
    steps:
      - email: {template: intro, send: task}
"""
CALL = """\
name: Call
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}"}
"""


@dataclass(kw_only=True)
class Site:
    """An office's web app, and a browser at it."""

    world: World
    url: str
    link: SignInLink
    sessions: Sessions
    browser: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str, **options: Any) -> requests.Response:
        """Ask for a page as the browser does; where it redirects to is not followed."""
        return self.browser.get(self.url + path, allow_redirects=False, timeout=30, **options)

    def sign_in(self) -> Site:
        """Use the link."""
        assert self.get(self.link.path).status_code == 303
        return self

    @property
    def port(self) -> int:
        """The port it is served at."""
        return int(self.url.rpartition(":")[2])


class Sites:
    """Serves web apps, and stops them all at the end."""

    def __init__(self) -> None:
        self._servers: list[Server] = []

    def __call__(self, world: World, office: Office | None = None) -> Site:
        """Serve the app of a world, or of another office in it; each time with a new link."""
        office = office or world.office
        clock = office.clock
        vault = StoredVault(world.database, clock, world.folder)
        link, sessions = SignInLink(clock), Sessions.kept_in(vault, clock)
        app = create_app(
            WebSite(
                office=office,
                project=world.project,
                vault=vault,
                sessions=sessions,
                link=link,
                tokens=Tokens.kept_in(vault),
            )
        )
        server = Server(app)
        self._servers.append(server)
        return Site(world=world, url=server.url, link=link, sessions=sessions)

    def stop(self) -> None:
        """Stop all."""
        for server in self._servers:
            server.stop()


def drafts_out(make_world: WorldMaker, people: dict[str, Person], **options: Any) -> World:
    """Return a world with one draft for each rep -> person, placed ten minutes ago."""
    world = make_world(campaign={"draft": CAMPAIGN, "call": CALL}, **options)
    for rep, person in people.items():
        world.launch([person], rep=rep, campaign="draft")
    assert world.sync().exit_status == 0
    world.after(minutes=10)
    return world


def key_of(world: World, person: str, campaign: str = "Draft") -> str:
    """Return the key of a person's task."""
    with world.database.read() as tx:
        found = [one.intent for one in find_intents(tx, states=list(IntentState))]
    (key,) = [intent.key for intent in found if (intent.person, intent.campaign) == (person, campaign)]
    return key
