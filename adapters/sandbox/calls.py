"""Who calls which service for which mailbox, and from when to when.

Lives here: `Seen`, what one HTTP call is by its address and token; `Spans`, which notes when each call began and ended;
`DateHeader`.
Does not live here: what is answered (the services), what goes wrong on the way (`hostile`).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.sandbox.service import SandboxClock, SandboxLog, Tokens

#: How a path begins -> the service it belongs to; the first that fits.
_SERVICES = (
    ("/services/data", "salesforce"),
    ("/gmail/", "gmail"),
    ("/upload/gmail/", "gmail"),
    ("/resumable/upload/gmail/", "gmail"),
    ("/batch", "gmail"),
    ("/v1.0/", "graph"),
    ("/api/v2.0/", "graph"),
)

#: Where tokens are handed out.
_TOKENS = (
    (re.compile(r"/services/oauth2/token"), "salesforce:token"),
    (re.compile(r"/services/Soap/u/[^/]+"), "salesforce:token"),
    (re.compile(r"/google/token"), "gmail:token"),
    (re.compile(r"/[^/]+/oauth2/v2\.0/token"), "graph:token"),
)

_GRAPH_BATCH = "/v1.0/$batch"
_GRAPH_USER = re.compile(r"(?:/v1\.0)?/users/([^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One HTTP call, by its address and token."""

    #: salesforce, gmail, graph; `<service>:token` where tokens are handed out.
    service: str
    #: Whose mailboxes it is about: several for a `$batch`, `salesforce` for the org, none at a sign-in.
    mailboxes: tuple[str, ...]
    method: str
    path: str
    #: Tells callers apart: a digest of the token, which no two processes that sign in share; "" without one.
    who: str


def service_of(path: str) -> str:
    """Return the service a path belongs to, `<service>:token` where tokens are handed out; "" for anything else."""
    found = next((name for start, name in _SERVICES if path.startswith(start)), "")
    return found or next((name for pattern, name in _TOKENS if pattern.fullmatch(path)), "")


def see(scope: Scope, body: bytes, tokens: Tokens) -> Seen:
    """Tell what an HTTP call is; its service is "" when it is to none (the control API, a browser's page)."""
    path, method = scope["path"], scope["method"]
    service = service_of(path)
    authorization = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"), "")
    who = hashlib.sha256(authorization.encode()).hexdigest()[:12] if authorization else ""
    mailboxes: tuple[str, ...] = ()
    if service == "salesforce":
        mailboxes = ("salesforce",)
    elif service in ("gmail", "graph"):
        grant = tokens.check(service, authorization)
        own = grant.subject.lower() if grant is not None else ""
        named = _batched(body) if path == _GRAPH_BATCH else [user_in(path)]
        mailboxes = tuple(sorted({one or own for one in named} - {""}))
    return Seen(service=service, mailboxes=mailboxes, method=method, path=path, who=who)


def user_in(path: str) -> str:
    """Return the user a Graph path names, in lower case; "" for the token's own."""
    match = _GRAPH_USER.match(unquote(path))
    return match[1].lower() if match else ""


def _batched(body: bytes) -> list[str]:
    """Return the user that each step of a `$batch` names; nothing of a body that is none."""
    try:
        return [user_in(step["url"]) for step in json.loads(body)["requests"]]
    except (ValueError, KeyError, TypeError):
        return []


class Spans:
    """Reads each call to a service whole, and notes for each of its mailboxes when it began and ended."""

    def __init__(self, app: ASGIApp, *, tokens: Tokens, log: SandboxLog) -> None:
        """Stand before `app`, which finds the `Seen` in `scope["seen"]`."""
        self._app = app
        self._tokens = tokens
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, read whole."""
        if scope["type"] != "http" or not service_of(scope["path"]):
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        body = await _whole(receive)
        seen = scope["seen"] = see(scope, body, self._tokens)
        try:
            await self._app(scope, _replayed(body, receive), send)
        finally:
            for mailbox in seen.mailboxes:
                self._log.span(_line(seen, mailbox), begun, time.monotonic())


def _line(seen: Seen, mailbox: str) -> Mapping[str, Any]:
    return {
        "service": seen.service,
        "mailbox": mailbox,
        "method": seen.method,
        "path": seen.path,
        "who": seen.who,
    }


async def _whole(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read, then what comes after it."""
    given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return given.pop() if given else await receive()

    return again


class DateHeader:
    """Puts the time of each service's own clock into the Date header."""

    def __init__(self, app: ASGIApp, *, clock_of: Callable[[str], SandboxClock]) -> None:
        self._app = app
        self._clock_of = clock_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, and date its answer."""

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self._clock_of(scope["path"]).now(), usegmt=True).encode()
                message["headers"] = [*message.get("headers", ()), (b"date", date)]
            await send(message)

        await self._app(scope, receive, dated)
