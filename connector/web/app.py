"""The web application of one office.

Lives here: `create_app`, which joins the routes, and the pages of what went wrong. Does not live here: what every
answer has in common (`guard`), the routes themselves, serving them (`serving`).
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from connector.sync.office import Office
from connector.web.guard import Guard
from connector.web.health import health_routes
from connector.web.opening import open_routes
from connector.web.pages import error_page, page
from connector.web.sign_in import NotSignedInError, Sessions, SignInLink, remember, sign_in_routes

_STATIC = Path(__file__).parent / "static"


def create_app(office: Office, *, link: SignInLink, sessions: Sessions) -> FastAPI:
    """Return the application of one office; it calls nobody until somebody asks for a page."""
    # No pages about the pages: they would load scripts from elsewhere.
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Guard)
    app.add_exception_handler(NotSignedInError, _not_signed_in)
    app.add_exception_handler(RequestValidationError, _misread)
    app.add_exception_handler(HTTPException, _nothing_here)
    signed_in = [Depends(sessions.check)]
    app.include_router(health_routes(office.database))
    app.include_router(sign_in_routes(link, sessions))
    app.include_router(open_routes(office), dependencies=signed_in)
    app.add_api_route("/", _front, methods=["GET"], dependencies=signed_in, response_class=Response)
    app.mount("/static", StaticFiles(directory=_STATIC))
    return app


def _front() -> Response:
    return page("front.html", title="Signed in")


async def _not_signed_in(request: Request, _error: Exception) -> Response:
    answer = page("sign_in.html", status=HTTPStatus.UNAUTHORIZED, title="Sign in first")
    remember(request, answer)
    return answer


async def _misread(_request: Request, _error: Exception) -> Response:
    sentence = "the address is not one of ours: it is /open/ID, with ?in=gmail or ?in=outlook for another mail program"
    return error_page(HTTPStatus.BAD_REQUEST, "This address cannot be read", sentence)


async def _nothing_here(_request: Request, error: Exception) -> Response:
    """Say that there is no such page; other refusals of the framework (405) have no more to say."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    answer = error_page(status, "There is nothing here", "the address leads to no page of the connector")
    answer.headers.update(headers or {})
    return answer
