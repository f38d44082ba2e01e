"""Google's own description of the Gmail API, read once in a process.

Lives here: `Api`, the methods that make requests, for one address. Does not live here: sending them (`transport`), what
may be repeated (`session`).

Reading the description takes some 5 ms, which 50 mailboxes would pay 50 times. What is shared holds no line and no
token and is only read after it is made: each request is given the transport of its mailbox when it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any, NoReturn

from googleapiclient.discovery import build

#: Where Gmail answers, unless the account names another server.
GOOGLE = "https://gmail.googleapis.com"


class _NoLine:
    """Stands where google-api-python-client wants a line; a request that is sent without its mailbox's own fails."""

    #: Read by the library, which otherwise looks for credentials of its own.
    credentials = None

    def request(self, *_args: Any, **_keywords: Any) -> NoReturn:
        raise AssertionError("a request to Gmail was sent without the transport of its mailbox")


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The methods of the Gmail API at one address."""

    #: Address without a path.
    base: str
    #: Collections of google-api-python-client, whose methods return an `HttpRequest`.
    users: Any
    drafts: Any
    messages: Any
    history: Any


_made: dict[str, Api] = {}
_lock = Lock()


def api_at(endpoint: str | None) -> Api:
    """Return the API at an address, None for Google's; made once for each address, by whichever thread is first."""
    base = (endpoint or GOOGLE).rstrip("/")
    with _lock:
        if base not in _made:
            service = build(
                "gmail",
                "v1",
                http=_NoLine(),
                static_discovery=True,
                cache_discovery=False,
                client_options={"api_endpoint": base},
            )
            users = service.users()
            _made[base] = Api(
                base=base,
                users=users,
                drafts=users.drafts(),
                messages=users.messages(),
                history=users.history(),
            )
        return _made[base]
