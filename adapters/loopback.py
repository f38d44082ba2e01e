"""The listener a browser comes back to after a sign-in: one answer, on this machine only (RFC 8252).

Lives here: `Loopback`, which takes an authorization code to whoever waits for it. Does not live here: the address the
browser is sent to, and what the code is traded for (each adapter's own sign-in).

It binds 127.0.0.1, believes only an answer that carries the `state` of this sign-in, and shows a page without anything
that came in. Browsers open spare connections and ask for icons: only the callback's path counts.
"""

from __future__ import annotations

import hmac
import queue
import secrets
import threading
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from connector.errors import Refused

#: Path of the callback URL.
CALLBACK = "/callback"

#: Seconds a person has in the browser.
PATIENCE = 300.0

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<body style="font: 1.1em sans-serif; margin: 4em auto; max-width: 36em"><h1>{title}</h1><p>{sentence}</p></body></html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the browser brought back: a code, or the word of an error."""

    code: str = field(default="", repr=False)
    error: str = ""
    #: What was said of the error; not ours, so it is never shown as it came.
    description: str = field(default="", repr=False)


class Loopback:
    """A listener for one answer; use it as a context manager."""

    def __init__(self, service: str, *, port: int = 0, setting: str = "") -> None:
        """Take the service's name for people.

        `port` and the name of the setting that changes it are for services that compare the callback URL letter by
        letter; 0 takes a free one.
        """
        self._service = service
        self._port = port
        self._setting = setting
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._answered = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        #: What the answer must carry, so that nobody can slip in an answer of their own.
        self.state = secrets.token_urlsafe(32)

    @property
    def redirect_uri(self) -> str:
        """Address the browser comes back to; known once it listens."""
        return f"http://localhost:{self._port}{CALLBACK}"

    def __enter__(self) -> Self:
        """Listen; raise `Refused` when the port is taken."""
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler())
        except OSError as error:
            raise Refused(
                f"port {self._port} of this machine is in use: end the program that uses it, or set {self._setting} "
                "to another and add its callback URL to the app",
                code="port",
            ) from error
        self._server.daemon_threads = True
        self._port = int(self._server.server_address[1])
        # It looks up twenty times a second whether it is over: whoever signed in waits no longer than that.
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="loopback", daemon=True
        ).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def wait(self, patience: float = PATIENCE) -> Answer:
        """Return what the browser brought back; raise `Refused` when nobody came within that many seconds."""
        try:
            return self._answers.get(timeout=patience)
        except queue.Empty:
            raise Refused(
                f"nobody came back from the browser within {patience:.0f} seconds: run the command again, and sign in "
                f"to {self._service} on this machine",
                code="timeout",
            ) from None

    def _take(self, path: str, host: str | None) -> tuple[int, str]:
        """Return the status and the sentence for a request, and hand on the answer that counts."""
        address = urlsplit(path)
        # A page elsewhere may point a name of its own at this machine.
        if address.path != CALLBACK or host not in (f"localhost:{self._port}", f"127.0.0.1:{self._port}"):
            return 404, "There is nothing here."
        said = {name: values[0] for name, values in parse_qs(address.query).items()}
        if not hmac.compare_digest(said.get("state", "").encode(), self.state.encode()):
            return 400, "This is not the answer to the sign-in that was started. Start it again from the terminal."
        if not (said.get("code") or said.get("error")):
            return 400, f"{self._service} sent no answer. Start the sign-in again from the terminal."
        if not self._answered.acquire(blocking=False):
            return 400, "This sign-in has had its answer. Go back to the terminal."
        self._answers.put(
            Answer(
                code=said.get("code", ""),
                error=said.get("error", ""),
                description=said.get("error_description", "")[:2000],
            )
        )
        if said.get("error"):
            return 200, f"{self._service} did not sign you in. Go back to the terminal: it says what to do."
        return 200, f"{self._service} has answered. You may close this page: the terminal says who is signed in."

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            # A connection that sends nothing is dropped.
            timeout = 10

            def do_GET(self) -> None:
                status, sentence = listener._take(self.path, self.headers.get("Host"))
                title = f"Sign-in to {listener._service}"
                page = _PAGE.format(title=escape(title), sentence=escape(sentence)).encode()
                self.send_response(status)
                for name, value in _HEADERS.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: Any) -> None:
                """Log nothing: the address holds the code."""

        return Handler


_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Connection": "close",
}
