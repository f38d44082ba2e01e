"""Users of a small world's web app, each signed in, without a sign-in, over real HTTP."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import requests
from starlette.requests import Request
from starlette.responses import Response

from adapters.sandbox.server import Server
from connector.unsubscribe import Tokens
from connector.vault import StoredVault
from connector.web.app import create_app
from connector.web.sign_in import Sessions, SignInLink
from connector.web.site import Site
from tests.world import World

ANA, BOB, CY = "ana@acme.example", "bob@acme.example", "cy@acme.example"
#: Ana's manager, and an administrator; neither is a rep.
MAY, ROOT = "may@acme.example", "root@acme.example"

#: What connector.yaml says of them.
WEB = {"admins": [ROOT], "managers": {MAY: [ANA]}}


@dataclass(kw_only=True)
class Browser:
    """The browser of one user."""

    url: str
    cookies: dict[str, str]

    def get(self, path: str, **query: str) -> requests.Response:
        """Ask for a page; where it redirects to is not followed."""
        return requests.get(self.url + path, params=query, cookies=self.cookies, allow_redirects=False, timeout=30)

    def post(self, path: str, **fields: Any) -> requests.Response:
        """Send a form of ours, with the secret that our pages carry."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get("/feed").text)
        assert found is not None
        return requests.post(
            self.url + path,
            data={"csrf": found[1], **fields},
            cookies=self.cookies,
            allow_redirects=False,
            timeout=30,
        )


@dataclass(kw_only=True)
class Visitors:
    """The web app of a world, served by uvicorn, and who comes to it."""

    world: World
    site: Site
    server: Server

    @classmethod
    def of(cls, world: World) -> Visitors:
        """Serve the app of a world's office as it is now."""
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
        return cls(world=world, site=site, server=Server(create_app(site)))

    @property
    def url(self) -> str:
        """Address of the app."""
        return self.server.url

    def cookies(self, user: str) -> dict[str, str]:
        """Return the cookies of somebody who has signed in just now."""
        port = int(self.url.rpartition(":")[2])
        asked = Request({"type": "http", "scheme": "http", "path": "/", "headers": [], "server": ("127.0.0.1", port)})
        answer = Response()
        self.site.sessions.begin(asked, answer, user)
        name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
        return {name: value}

    def browser(self, user: str) -> Browser:
        """Return the browser of somebody who is signed in."""
        return Browser(url=self.url, cookies=self.cookies(user))

    def leave(self) -> None:
        """Stop serving."""
        self.site.ending.set()
        self.server.stop()
