"""The line to Graph of one mailbox.

Lives here: `Transport`: the bearer token on each call to Graph and on no other, one call after the other, what is
counted, how long a large body may take. Does not live here: what an answer means (`errors`), what may be repeated
(`session`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

import requests

from adapters.http import AT_ONCE, LONGEST_UPLOAD, ServiceSession, TimedBody
from adapters.outlook.errors import Owner
from adapters.outlook.quota import Quota

#: Ids that stay when a message moves. Wanted on every request, relied on by none: reports say they change on send.
PREFER = 'IdType="ImmutableId", odata.maxpagesize=200'


class Transport:
    """Carries the calls of one mailbox, each sent once.

    Calls of several threads wait for each other: a batch of four is all that Graph takes at a time for a mailbox.
    """

    def __init__(self, owner: Owner, quota: Quota) -> None:
        self._owner = owner
        self._quota = quota
        self._http = ServiceSession()
        self._line = threading.Lock()

    @property
    def calls(self) -> int:
        """HTTP calls made; those to the token service are not counted."""
        return self._http.calls

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(
        self, method: str, url: str, body: Mapping[str, Any] | None = None, *, parts: int = 1
    ) -> requests.Response:
        """Call Graph with the token; after a 401, which does nothing, once more with a new one.

        `parts` is how many requests it counts for. Raises the errors of `requests`, `TooSlow`, and `Retry` when the
        quota is used up.
        """
        content = None if body is None else json.dumps(body).encode()
        answer = self._send(method, url, self._headers(), content, parts)
        if answer.status_code == 401 and self.renew():
            answer = self._send(method, url, self._headers(), content, parts)
        return answer

    def bare(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | TimedBody | None = None
    ) -> requests.Response:
        """Call an address that carries its own permission: no token goes there."""
        return self._send(method, url, headers, content, 1)

    def renew(self) -> bool:
        """Forget a token that was refused; tell whether another can be had without a person."""
        return self._owner.sign_in.renew()

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | TimedBody | None, parts: int
    ) -> requests.Response:
        with self._line:
            self._quota.take(parts)
            data = content
            if isinstance(content, bytes) and len(content) > AT_ONCE:
                data = TimedBody(content, until=time.monotonic() + LONGEST_UPLOAD)
            return self._http.request(method, url, headers=dict(headers), data=data, allow_redirects=False)

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._owner.sign_in.token(self._owner.account)}",
            "Prefer": PREFER,
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
