"""Which pages there are: found by following the links of the pages themselves.

Lives here: `find_places`, and the routes that are no pages. Does not live here: what a page must be (the tests).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from fastapi.routing import APIRoute
from starlette.routing import Match

from tests.browser.center import Center

#: Where a crawl begins: the navigation leads to all else.
BEGIN = ("/tasks", "/emails", "/feed", "/campaigns", "/people", "/numbers", "/settings")

#: GET routes that are no page of their own -> why.
NO_PAGES = {
    "/": "leads to the tasks",
    "/healthz": "a line of text",
    "/readyz": "a line of text",
    "/sign-in": "for who is not signed in: tried by itself",
    "/sign-in/{token}": "leads on",
    "/sign-in/with/{name}": "leads to a provider",
    "/sign-in/with/{name}/callback": "leads on",
    "/open/{key}": "leads to a mail program",
    "/feed/stream": "a stream",
    "/feed/tasks": "a part of the feed's page",
    "/metrics": "for monitors",
    "/numbers/{table}.csv": "a file",
    "/tasks/{key}/compose/files/{upload}": "a file",
    "/tasks/{key}/preview": "stands in a frame of the compose window",
    "/campaigns/{campaign}/launch/search": "a part of the page of a launch",
    "/campaigns/{campaign}/launch/{plan}": "comes of a form: looked at in the walk",
    "/campaigns/{campaign}/launch/{plan}/people/{email:path}": "comes of a form: looked at in the walk",
    "/campaigns/{campaign}/launch/{plan}/people/{email:path}/preview": "stands in a frame of the page of a person",
    "/u/{token}": "for recipients, by a link in their mail",
}

#: As many pages of one route are looked at.
_OF_A_ROUTE = 2

_LINK = re.compile(r"""<a\b[^>]*\bhref="([^"]+)\"""")


def page_routes(center: Center) -> list[APIRoute]:
    """Return the GET routes of the web app (the API has no pages)."""
    app: Any = center.visitors.server._serving.config.app
    return [route for route in _walk(app.routes) if "GET" in (route.methods or ())]


def _walk(routes: Iterable[Any]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from _walk(route.original_router.routes)


@dataclass(kw_only=True)
class Places:
    """What a crawl came to."""

    #: Route -> addresses of pages, a few of each route.
    pages: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    #: Address -> what it answers, where a link leads to nothing.
    dead: dict[str, int] = field(default_factory=dict)

    @property
    def all(self) -> list[str]:
        """Every address, those of a route together."""
        return [path for paths in self.pages.values() for path in paths]

    @property
    def one_each(self) -> list[str]:
        """One address of each route."""
        return [paths[0] for paths in self.pages.values()]


def find_places(center: Center, user: str) -> Places:
    """Follow the links that a user sees."""
    routes = page_routes(center)
    cookies = center.visitors.cookies(user)
    found, seen, todo = Places(), set(NO_PAGES), list(BEGIN)
    while todo:
        path = todo.pop(0)
        route = _route_of(routes, path)
        if path in seen or route in NO_PAGES or len(found.pages.get(route, ())) >= _OF_A_ROUTE:
            continue
        seen.add(path)
        answer = requests.get(center.url + path, cookies=cookies, allow_redirects=False, timeout=30)
        if answer.status_code not in (200, 303):
            found.dead[path] = answer.status_code
        elif "html" in answer.headers.get("content-type", ""):
            found.pages[route].append(path)
            links = [urljoin(path, unescape(link)).partition("#")[0] for link in _LINK.findall(answer.text)]
            todo += [link for link in links if link.startswith("/") and not urlsplit(link).netloc]
    return found


def _route_of(routes: list[APIRoute], path: str) -> str:
    scope = {"type": "http", "method": "GET", "path": urlsplit(path).path, "headers": []}
    return next((route.path for route in routes if route.matches(scope)[0] is Match.FULL), "")
