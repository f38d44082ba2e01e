"""How each service says what goes wrong on a hostile sandbox: status, headers and body in its own words.

Lives here: `refusal`, the answer a trouble is told by. Does not live here: which call meets it (`hostile`), lines that
break (`hostile_line`). Sources: reference apis 1.6, 2.7, 3.5; the words are those of the services' own tables here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from adapters.sandbox import gmail_errors, graph_faults
from adapters.sandbox.graph_errors import GraphError
from adapters.sandbox.hostile import Draw, Trouble
from adapters.sandbox.salesforce_wire import errors

_JSON = "application/json;charset=UTF-8"
_HTML = "text/html; charset=UTF-8"

#: The message of Salesforce for too many long calls at once (as `SalesforceService.limit_concurrent` says it).
_CONCURRENT = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
_GATEWAY_PAGE = b"<html><head><title>504 Gateway Time-out</title></head><body></body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An HTTP answer that comes instead of the service's own."""

    status: int
    content: bytes
    media_type: str = _JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(service: str, draw: Draw, at: datetime) -> Refusal | None:
    """Return how a service tells a trouble; None for one that is not told by an answer of its own."""
    kind, form = draw.trouble, draw.form // 3
    if service.endswith(":token"):
        return _SIGN_IN if kind is Trouble.UNAVAILABLE else None
    tell = _TELL[service].get(kind)
    return None if tell is None else tell(form, at)


# ---------------------------------------------------------------------------------------------- Salesforce


def _salesforce(status: int, code: str, message: str) -> Callable[[int, datetime], Refusal]:
    body = json.dumps(errors(code, message)).encode()
    return lambda _form, _at: Refusal(status=status, content=body)


def _page(status: int, content: bytes) -> Callable[[int, datetime], Refusal]:
    return lambda _form, _at: Refusal(status=status, content=content, media_type=_HTML)


# --------------------------------------------------------------------------------------------------- Gmail


def google_error(trouble: Trouble, form: int) -> gmail_errors.GoogleError:
    """Return Gmail's error; 403 and 429 are both seen for a spent rate, with and without a time to wait."""
    match trouble:
        case Trouble.THROTTLED:
            error = gmail_errors.too_many_at_once() if form % 3 == 0 else gmail_errors.units_spent((403, 429)[form % 2])
            if form % 4 == 1:
                error.headers["Retry-After"] = "1"
            return error
        case Trouble.EXPIRED:
            return gmail_errors.unauthenticated()
        case Trouble.GATEWAY_TIMEOUT:
            message, status = "Deadline expired before operation could complete.", "DEADLINE_EXCEEDED"
            return gmail_errors.GoogleError(504, message, reason="backendError", status=status)
        case _:
            message = "The service is currently unavailable."
            return gmail_errors.GoogleError(503, message, reason="backendError", status="UNAVAILABLE")


def _gmail(trouble: Trouble) -> Callable[[int, datetime], Refusal]:
    def tell(form: int, _at: datetime) -> Refusal:
        answer = google_error(trouble, form).answer()
        return Refusal(status=answer.status, content=answer.content, headers=answer.headers)

    return tell


# --------------------------------------------------------------------------------------------------- Graph

#: Trouble -> the faults of `graph_faults` it takes the form of.
_GRAPH_FAULTS: Mapping[Trouble, tuple[str, ...]] = {
    Trouble.THROTTLED: ("throttled_for_a_second", "too_many_requests", "throttled"),
    Trouble.UNAVAILABLE: ("store_unavailable", "resource_unhealthy", "server_busy"),
    Trouble.GATEWAY_TIMEOUT: ("gateway_timeout_after_acting",),
}


def graph_error(trouble: Trouble, form: int) -> GraphError:
    """Return Graph's error; a throttled call may go without its Retry-After (apis 3.5)."""
    if trouble is Trouble.EXPIRED:
        sentence = "Lifetime validation failed, the token is expired."
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        return GraphError(401, "InvalidAuthenticationToken", sentence, challenge)
    names = _GRAPH_FAULTS[trouble]
    fault = graph_faults.FAULTS[names[form % len(names)]]
    headers = {} if form % 4 == 0 else fault.headers
    return GraphError(fault.status, fault.code, fault.message, headers)


def _graph(trouble: Trouble) -> Callable[[int, datetime], Refusal]:
    def tell(form: int, at: datetime) -> Refusal:
        answer = graph_error(trouble, form).answer(at)
        return Refusal(status=answer.status, content=json.dumps(answer.body).encode(), headers=answer.headers)

    return tell


#: At sign-in: what stands before the service answers, which none of the clients takes for its own.
_SIGN_IN = Refusal(status=503, content=b"<html><body>503 Service Unavailable</body></html>", media_type=_HTML)

_TELL: Mapping[str, Mapping[Trouble, Callable[[int, datetime], Refusal]]] = {
    "salesforce": {
        Trouble.THROTTLED: _salesforce(403, "REQUEST_LIMIT_EXCEEDED", _CONCURRENT),
        Trouble.UNAVAILABLE: _salesforce(503, "SERVER_UNAVAILABLE", "Too many requests waiting for connections"),
        Trouble.GATEWAY_TIMEOUT: _page(504, _GATEWAY_PAGE),
        Trouble.EXPIRED: _salesforce(401, "INVALID_SESSION_ID", "Session expired or invalid"),
    },
    **{
        service: {
            trouble: tell(trouble)
            for trouble in (Trouble.THROTTLED, Trouble.UNAVAILABLE, Trouble.GATEWAY_TIMEOUT, Trouble.EXPIRED)
        }
        for service, tell in (("gmail", _gmail), ("graph", _graph))
    },
}
