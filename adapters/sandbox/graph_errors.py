"""What Graph answers: a body, or an error in its own words.

Lives here: `Answer`, `GraphError`, and the refusals that more than one operation gives. Does not live here: when they
are given. Source: reference apis 3.5.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back."""

    status: int = 200
    body: dict[str, Any] | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class GraphError(Exception):
    """An error as Graph says it."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def answer(self, at: datetime, client_request_id: str = "") -> Answer:
        """Return it as Graph sends it, with the id the client gave the request, if it gave one."""
        request_id = str(uuid.uuid4())
        inner = {
            "date": at.strftime("%Y-%m-%dT%H:%M:%S"),
            "request-id": request_id,
            "client-request-id": client_request_id or request_id,
        }
        body = {"error": {"code": self.code, "message": self.message, "innerError": inner}}
        return Answer(status=self.status, body=body, headers=self.headers)


def bad(message: str, code: str = "BadRequest") -> GraphError:
    """Refuse a request that is wrong in itself."""
    return GraphError(400, code, message)


def gone() -> GraphError:
    """Say that there is no such item."""
    return GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")


def no_folder() -> GraphError:
    """Say that there is no such folder."""
    return GraphError(404, "ErrorFolderNotFound", "The specified folder could not be found in the store.")


def denied() -> GraphError:
    """Refuse who may not do this here."""
    return GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")


def too_large() -> GraphError:
    """Refuse a message of too many bytes."""
    return GraphError(413, "ErrorMessageSizeExceeded", "The message exceeds the maximum supported size.")


def throttled(sentence: str, seconds: int) -> GraphError:
    """Ask the client to wait."""
    return GraphError(429, "ApplicationThrottled", sentence, {"Retry-After": str(seconds)})
