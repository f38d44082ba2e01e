"""HTTP for google-api-python-client, on our own `requests` session.

Lives here: `Transport`, shaped like `httplib2.Http` as far as that library asks, the bearer token on each call, and
how long a large body may take. Does not live here: what an answer means (`errors`).

Why: httplib2 sends a POST again by itself when the connection closes without an answer, whatever `num_retries`
says, so that one lost answer becomes two mails (reference apis 2.8). Here each request leaves once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httplib2
import requests

from adapters.gmail.account import Grant
from adapters.http import AT_ONCE, LONGEST_UPLOAD, ServiceSession, TimedBody

#: Seconds a mail may take to leave.
_LONGEST_UPLOAD = LONGEST_UPLOAD


class Transport:
    """Carries the calls of one mailbox; one thread at a time."""

    #: Read by google-api-python-client, which otherwise writes the Authorization header itself.
    credentials = None

    def __init__(self, grant: Grant) -> None:
        self._grant = grant
        self._session = ServiceSession()

    @property
    def calls(self) -> int:
        """HTTP calls made to Gmail; those to the token service are not counted."""
        return self._session.calls

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        redirections: int = 0,  # noqa: ARG002 - part of httplib2's shape; the session decides about redirects
        connection_type: Any = None,  # noqa: ARG002 - same
    ) -> tuple[httplib2.Response, bytes]:
        """Send once and return status with headers, and the body.

        After a 401, which means that nothing was done, the token is renewed and the request sent once more.
        Raises the errors of `requests` when the line fails.
        """
        answer = self._send(uri, method, body, headers)
        if answer.status_code == 401 and self._grant.renew():
            answer = self._send(uri, method, body, headers)
        meta = httplib2.Response({**answer.headers, "status": str(answer.status_code)})  # type: ignore[no-untyped-call]
        meta.reason = answer.reason
        return meta, answer.content

    def _send(
        self, uri: str, method: str, body: str | bytes | None, headers: Mapping[str, str] | None
    ) -> requests.Response:
        # Always last: a caller's own Authorization header never wins over the mailbox's.
        sent = {**(headers or {}), "authorization": f"Bearer {self._grant.token()}"}
        content = body.encode() if isinstance(body, str) else body
        data: bytes | TimedBody | None = content
        if content is not None and len(content) > AT_ONCE:
            data = TimedBody(content, until=time.monotonic() + _LONGEST_UPLOAD)
        return self._session.request(method, uri, data=data, headers=sent)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
        self._grant.close()
