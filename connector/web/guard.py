"""What every answer has in common: it goes to a name of ours alone, carries the same headers, and is a calm page.

Lives here: `Guard`, the outermost layer, and `is_this_machine`. Does not live here: who is signed in (`sign_in`).

The name a request came for is checked because a page elsewhere may point a name of its own at this machine (DNS
rebinding), and would then be of one origin with us. An address in digits cannot be pointed anywhere.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from datetime import UTC
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector.web.i18n import gettext as _
from connector.web.i18n import preferred, view_as
from connector.web.pages import error_page

_log = logging.getLogger(__name__)

#: Headers of every answer, pages and files alike.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

#: Most bytes of a request: of a form with as many files as the largest mailbox takes, and some more.
LARGEST_REQUEST = 170_000_000

#: Of answers under the name of `web.url`, which are never to be asked for in the clear.
HSTS = {"Strict-Transport-Security": "max-age=31536000"}

#: What lies under an address that names the release may be kept.
_KEPT = {"Cache-Control": "private, max-age=31536000, immutable"}

#: A Host header: a name or an address, and perhaps a port. Nothing that a reader of URLs might take apart otherwise.
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?")


class _TooLargeError(Exception):
    """A request is larger than any that a page of ours makes."""


class _Bounded:
    """Lets nobody fill this machine's disk: what comes in is written down before anybody looks whose it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared, taken, begun = int(Headers(scope=scope).get("content-length", "0")), 0, False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if max(declared, taken) > LARGEST_REQUEST:
                raise _TooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except _TooLargeError:
            if begun:
                raise
            sentence = _("A request holds %(number)s MB at most.", number=LARGEST_REQUEST // 1_000_000)
            await error_page(413, _("This is too large"), sentence)(scope, receive, send)


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, url: str | None = None) -> None:
        """Take the application to be guarded, and the address by which others than this machine's user reach it."""
        self._app = _Bounded(app)
        parts = urlsplit(url or "")
        self._host, self._scheme = parts.hostname, parts.scheme

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False
        headers = Headers(scope=scope)
        view_as(preferred(headers.get("accept-language", "")), UTC)

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                said = MutableHeaders(scope=message)
                kept = _KEPT if scope["path"].startswith("/static/") and message["status"] == 200 else {}
                for name, value in (HEADERS | kept | (HSTS if over_tls else {})).items():
                    said.setdefault(name, value)  # a page may have a stricter policy of its own
            await send(message)

        name = _name_in(headers)
        over_tls = name is not None and name == self._host and self._scheme == "https"
        if over_tls:
            # Under this name browsers speak TLS, whatever is said by the proxy that ends it.
            scope = {**scope, "scheme": "https"}
        if name is None or not (is_this_machine(name) or name == self._host):
            sentence = _("Open this page by the address that 'connector serve' printed.")
            await error_page(421, _("Not under this name"), sentence)(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            # The address is not logged: it may hold a sign-in link. Nor is the message: it may quote a mail.
            _log.error("something unexpected went wrong (%s); start it with -v to see where", type(error).__name__)
            _log.info("where it went wrong:", exc_info=error)
            if begun:
                raise
            sentence = _("Something unexpected went wrong: the terminal of 'connector serve' says more.")
            await error_page(500, _("This did not work"), sentence)(scope, receive, send_with_headers)


def _name_in(headers: Headers) -> str | None:
    found = _HOST.fullmatch(headers.get("host", ""))
    return None if found is None else found["name"].lower()


def is_this_machine(name: str) -> bool:
    """Tell whether a host's name or address, IPv6 with or without brackets, can only mean this machine."""
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
