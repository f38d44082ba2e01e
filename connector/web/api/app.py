"""The application below `/api`, and its OpenAPI document.

Lives here: `mount_api`, which joins the subjects. Does not live here: the routes, what each request goes through
(`once`), what went wrong (`problems`).
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from connector import __version__
from connector.web.api import (
    bulk,
    campaigns,
    emails,
    feed,
    keys,
    launches,
    mail,
    mail_files,
    numbers,
    people,
    preferences,
    standing,
    tasks,
    webhooks,
)
from connector.web.api.once import HEADER, ApiRoute
from connector.web.api.problems import MEANINGS, MEDIA_TYPE, Problem, answer
from connector.web.site import Site

_SUBJECTS = (
    tasks,
    bulk,
    mail,
    mail_files,
    emails,
    campaigns,
    launches,
    people,
    feed,
    numbers,
    standing,
    preferences,
    keys,
    webhooks,
)

#: Statuses that a route of a method may answer with, whatever it does.
_ANY = (400, 401, 403, 404, 409, 422, 502, 503)
_WITH_BODY = (411, 413)

_ONCE: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Any text of yours: the same request with the same key is carried out once, within a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def mount_api(app: FastAPI, site: Site) -> None:
    """Put the API of one office below `/api` of its application."""
    mount = Mount("/api", create_api(site))
    # An address may hold line breaks: what is wrong with it is the API's to say too.
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)
    app.router.routes.append(mount)


def create_api(site: Site) -> FastAPI:
    """Return the API of one office."""
    api = _Api(
        title="Sales campaign connector",
        version=__version__,
        description="What commands and pages do, for programs. Begin with docs/api.md.",
        openapi_url="/openapi.json",
        docs_url=None,  # pages about pages would load scripts from elsewhere
        redoc_url=None,
        servers=[{"url": "/api"}],
        root_path_in_servers=False,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    api.state.site, api.state.routes = site, []
    api.add_exception_handler(HTTPException, _nothing_here)
    for subject in _SUBJECTS:
        routes = APIRouter(prefix="/v1", route_class=ApiRoute, tags=[subject.__name__.rpartition(".")[2]])
        subject.add_routes(routes, site)
        api.include_router(routes)
        api.state.routes += routes.routes
    return api


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Return the document: what the routes say, and what every one of them may answer."""
        if self.openapi_schema is None:
            document = super().openapi()
            _complete(document)
        return self.openapi_schema or {}


def _complete(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key of yours, `sck_…`; see docs/api.md."}
    }
    document["security"] = [{"key": []}]
    for path in document["paths"].values():
        for method, operation in path.items():
            changes = method != "get"
            for status in (*_ANY, *(_WITH_BODY if changes else ())):
                operation["responses"][str(status)] = {
                    "description": MEANINGS[status],
                    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            if changes:
                operation.setdefault("parameters", []).append(_ONCE)


async def _nothing_here(request: Request, error: Exception) -> Response:
    """Answer an address or a method that no route takes, naming the methods that the address does take."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        routes = [route for route in request.app.state.routes if route.matches(request.scope)[0] is not Match.NONE]
        methods = sorted({method for route in routes for method in getattr(route, "methods", None) or ()})
        error = HTTPException(405, headers={"Allow": ", ".join(methods)})
    return answer(error, request)
