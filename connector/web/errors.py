"""What went wrong, as a page or as a line for the page that asked.

Lives here: each kind of trouble as a status, a title and what it says. Does not live here: trouble nobody foresaw
(`guard`), the API's answers (`api`).
"""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from connector.errors import BadInput, Busy, ConnectorError, Reconnect, Retry
from connector.sync.actions import UnknownTask
from connector.sync.api_keys import UnknownKey
from connector.sync.campaign_views import UnknownCampaign
from connector.sync.launch_plans import UnknownPlan
from connector.sync.uploads import UnknownUpload
from connector.sync.webhooks import UnknownWebhook
from connector.web.access import ForgedError, NotAllowedError, UnknownPerson, UnreadableError
from connector.web.i18n import gettext as _
from connector.web.pages import error_page, is_htmx
from connector.web.sign_in import NotSignedInError, remember
from connector.web.sign_in_pages import sign_in_page

#: Error -> status; the first that fits counts.
STATUSES: tuple[tuple[type[ConnectorError], int], ...] = (
    (UnknownTask, 404),
    (UnknownPerson, 404),
    (UnknownCampaign, 404),
    (UnknownPlan, 404),
    (UnknownUpload, 404),
    (UnknownKey, 404),
    (UnknownWebhook, 404),
    (BadInput, 422),
    (Busy, 503),
    (Retry, 503),
    (Reconnect, 409),
    (ConnectorError, 502),
)

#: Seconds after which something that was busy may be asked for again.
_AGAIN = "10"


def handle_errors(app: FastAPI) -> None:
    """Have an application answer trouble with these pages."""
    app.add_exception_handler(NotSignedInError, _not_signed_in)
    app.add_exception_handler(NotAllowedError, _not_allowed)
    app.add_exception_handler(ForgedError, _forged)
    app.add_exception_handler(ConnectorError, _trouble)
    app.add_exception_handler(RequestValidationError, _misread)
    app.add_exception_handler(UnreadableError, _misread)
    app.add_exception_handler(HTTPException, _nothing_here)


def status_of(error: ConnectorError) -> int:
    """Return the status that an error of ours is answered with."""
    return next(status for kind, status in STATUSES if isinstance(error, kind))


def _answer(request: Request, status: int, title: str, *sentences: str) -> Response:
    if is_htmx(request):
        return PlainTextResponse("\n".join(sentences) or title, status_code=status)
    return error_page(status, title, *sentences, request=request)


async def _not_signed_in(request: Request, _error: Exception) -> Response:
    if is_htmx(request):
        return PlainTextResponse(_("You are not signed in any more: load the page again."), status_code=401)
    answer = sign_in_page(request, title=_("Sign in"), status=401)
    remember(request, answer)
    return answer


async def _not_allowed(request: Request, _error: Exception) -> Response:
    sentence = _("This takes another role: ask whoever keeps connector.yaml.")
    return _answer(request, 403, _("This is not yours to do"), sentence)


async def _forged(request: Request, _error: Exception) -> Response:
    sentence = _("The form is too old, or did not come from here: load the page again and repeat it.")
    return _answer(request, 403, _("Nothing was done"), sentence)


async def _trouble(request: Request, error: Exception) -> Response:
    status = status_of(error) if isinstance(error, ConnectorError) else 500
    title = {404: _("There is nothing here"), 503: _("Not just now")}.get(status, _("This did not work"))
    answer = _answer(request, status, title, *str(error).splitlines())
    if status == 503:
        answer.headers["Retry-After"] = _AGAIN
    return answer


async def _misread(request: Request, _error: Exception) -> Response:
    sentence = _("Something in the address or the form is not as expected: go back, look at it and try again.")
    return _answer(request, 400, _("This cannot be read"), sentence)


async def _nothing_here(request: Request, error: Exception) -> Response:
    """Say that there is no such page; other refusals of the framework (405) have no more to say."""
    if isinstance(error, HTTPException) and error.status_code == 400:  # a form with too many fields, or broken off
        return await _misread(request, error)
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    sentence = _("The address leads to no page of the connector.")
    answer = _answer(request, status, _("There is nothing here"), sentence)
    answer.headers.update(headers or {})
    return answer
