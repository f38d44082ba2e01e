"""`/open/<key>`: one click, and the rep is in the draft, wherever it lies now.

Lives here: the route, what each error is as a status, and where it may lead. Does not live here: finding or making the
draft (`sync.opening`). Source: spec interfaces 4, delivery 4 ("Opening").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from connector.errors import BadInput, Busy, ConnectorError, Reconnect, Retry
from connector.sync.actions import UnknownTask
from connector.sync.opening import Client, Opened, open_task
from connector.web.access import Viewer, own_task
from connector.web.i18n import gettext as _
from connector.web.pages import error_page, page
from connector.web.site import Site

#: Hosts of mail programs in the browser that an address of ours leads to without asking (reference apis 2.4, 3.3).
MAIL_HOSTS = frozenset({"mail.google.com", "outlook.office.com", "outlook.office365.com", "outlook.live.com"})


#: Error -> status and title; the first that fits counts.
def _statuses() -> tuple[tuple[type[ConnectorError], int, str], ...]:
    return (
        (UnknownTask, 404, _("There is no such task")),
        (BadInput, 409, _("There is nothing to open")),
        (Busy, 503, _("Not just now")),
        (Retry, 503, _("Not just now")),
        (Reconnect, 409, _("The mailbox must be signed in to again")),
        (ConnectorError, 502, _("The mailbox did not do this")),
    )


#: Seconds one click waits for another: longer than a service usually takes, shorter than a browser's patience.
_PATIENCE = 30.0

#: Clicks that wait at most: each takes one of the forty threads that all pages have together.
_WAITING = 10


def open_routes(site: Site) -> APIRouter:
    """Return `/open/<key>`."""
    routes = APIRouter()
    office = site.office
    # A mailbox is worked by one thread at a time.
    turn, line = Lock(), BoundedSemaphore(_WAITING)

    @routes.get("/open/{key}")
    def open_(
        request: Request, user: Viewer, key: str, client: Annotated[Client | None, Query(alias="in")] = None
    ) -> Response:
        """Find or make the draft of a task, and lead to it."""
        task = own_task(site, user, key)
        try:
            with _stand_in(line, turn):
                opened = open_task(office, task.intent.key, client=client)
        except ConnectorError as error:
            return answer_to(request, error)
        return lead_to(request, opened)

    return routes


@contextmanager
def _stand_in(line: BoundedSemaphore, turn: Lock) -> Iterator[None]:
    """Wait in line for one's turn; raise `Busy` when the line is full, or it lasts too long."""
    busy = Busy("another draft is being opened: try again in a moment")
    if not line.acquire(blocking=False):
        raise busy
    try:
        if not turn.acquire(timeout=_PATIENCE):
            raise busy
        try:
            yield
        finally:
            turn.release()
    finally:
        line.release()


def lead_to(request: Request, opened: Opened) -> Response:
    """Return the way to what was opened: at once, or by a page when there is something the rep must know."""
    host = _host_of(opened.address)
    if host is None:
        sentence = _("The mailbox gave an address that is not one to open: look for the draft in the mail program.")
        return error_page(502, _("The draft cannot be opened from here"), sentence, request=request)
    known = host in MAIL_HOSTS
    if known and not opened.notes:
        return RedirectResponse(opened.address, status_code=303)
    return page(request, "opened.html", title=_("Before you go on"), opened=opened, host=host, known=known)


def _host_of(address: str) -> str | None:
    """Return the host, and port if there is one, of an address that a browser can only take to lead there over TLS."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return parts.netloc if parts.scheme == "https" and parts.netloc and "@" not in parts.netloc else None


def answer_to(request: Request, error: ConnectorError) -> Response:
    """Return the page that says what is wrong."""
    status, title = next((status, title) for kind, status, title in _statuses() if isinstance(error, kind))
    answer = error_page(status, title, *str(error).splitlines(), request=request)
    if status == 503:
        answer.headers["Retry-After"] = "10"
    return answer
