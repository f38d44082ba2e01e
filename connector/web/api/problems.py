"""What went wrong, as `application/problem+json` (RFC 9457), in the sentences that commands and pages say.

Lives here: `Problem`, each kind of trouble as a status, and the answers that any route may give. Does not live here:
trouble of pages (`web.errors`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from connector.errors import BadInput, ConnectorError
from connector.sync.asking import EditedThere
from connector.sync.composing import ChangedElsewhere
from connector.sync.launch_preview import PlanChanged
from connector.web.access import ForgedError, NotAllowedError, UnreadableError
from connector.web.errors import status_of
from connector.web.sign_in import NotSignedInError

_LOG = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class ScopeError(Exception):
    """A key is used for what it was not made for; the message is a sentence."""


class RequestError(Exception):
    """A request cannot be carried out as it is: a status and a sentence."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        """Take what is answered."""
        super().__init__(sentence)
        self.status = status
        self.headers = headers


class ProblemFault(BaseModel):
    """One thing that is wrong with the request, or with what it names."""

    sentence: str
    where: str | None = Field(default=None, description="Place in the request, such as `body.until`, or in a file.")
    file: str | None = None
    line: int | None = None


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(default="about:blank", description="Always `about:blank`: the status says what kind it is.")
    title: str
    status: int
    detail: str = Field(description="One sentence or more, for people.")
    faults: list[ProblemFault] = []


#: Status -> when it is answered. Routes name those that they can answer with.
MEANINGS: Mapping[int, str] = {
    400: "The request cannot be read.",
    401: "Neither a session nor a key that is valid.",
    403: "The role, the scopes of the key, or the missing form token do not allow it.",
    404: "There is no such thing, or it is not yours to see.",
    405: "This address does not take this method.",
    409: "It was changed elsewhere, an account must be signed in again, or the same request is being carried out.",
    411: "A body without a length.",
    413: "The body is too large.",
    422: "Something in the request is not as it must be; nothing was changed.",
    502: "Salesforce or the mailbox refused it.",
    503: "Somebody else is at it; try again.",
}

#: Seconds after which something that was busy may be asked for again.
_AGAIN = {"Retry-After": "10"}

#: Error -> status, what is said (nothing: what the error says), and headers; the first that fits counts.
_SAID: tuple[tuple[type[Exception], int, str, Mapping[str, str] | None], ...] = (
    (
        NotSignedInError,
        401,
        "send 'Authorization: Bearer sck_…' with a key of yours, or sign in",
        {"WWW-Authenticate": "Bearer"},
    ),
    (ForgedError, 403, "a session must send its token in X-CSRF-Token; programs use a key", None),
    (NotAllowedError, 403, "this takes another role: ask whoever keeps connector.yaml", None),
    (ScopeError, 403, "", None),
    (ChangedElsewhere, 409, "", None),
    (EditedThere, 409, "", None),
    (PlanChanged, 409, "", None),
    (UnreadableError, 400, "the address holds a NUL, which no text here has", None),
)


def answer(error: Exception, request: Request) -> Response:
    """Return what is answered to a request that raised."""
    for kind, status, sentence, headers in _SAID:
        if isinstance(error, kind):
            return _problem(status, sentence or str(error), headers=headers)
    match error:
        case RequestError():
            return _problem(error.status, str(error), headers=error.headers)
        case ConnectorError():
            status = status_of(error)
            return _problem(status, str(error), faults=_faults(error), headers=_AGAIN if status == 503 else None)
        case RequestValidationError():
            return _misread(error)
        case HTTPException(status_code=404):
            return _problem(404, "the address leads nowhere: /api/openapi.json lists those there are")
        case HTTPException(status_code=400):
            return _problem(400, "the body cannot be read: send JSON in UTF-8")
        case HTTPException():
            return _problem(error.status_code, f"{request.method} is not for this address", headers=error.headers)
    # As the pages' guard: the address and the message may quote what is nobody's business.
    _LOG.error("something unexpected went wrong (%s); start it with -v to see where", type(error).__name__)
    _LOG.info("where it went wrong:", exc_info=error)
    return _problem(500, "something unexpected went wrong: the terminal of 'connector serve' says more")


def _faults(error: ConnectorError) -> list[ProblemFault]:
    if not isinstance(error, BadInput):
        return []
    return [
        ProblemFault(sentence=fault.sentence, where=fault.where, file=fault.file, line=fault.line)
        for fault in error.faults
    ]


def _misread(error: RequestValidationError) -> Response:
    faults = [ProblemFault(sentence=str(one["msg"]), where=".".join(map(str, one["loc"]))) for one in error.errors()]
    # What cannot be taken apart as JSON is another matter than what is wrong in it.
    status = 400 if any(one["type"] == "json_invalid" for one in error.errors()) else 422
    return _problem(status, "; ".join(f"{fault.where}: {fault.sentence}" for fault in faults), faults=faults)


def _problem(
    status: int,
    detail: str,
    *,
    faults: list[ProblemFault] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    said = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, faults=faults or [])
    return Response(
        said.model_dump_json(exclude_none=True),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers=None if headers is None else dict(headers),
    )
