"""A line between the program and the sandbox on which things go wrong: answers are lost, or others come back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

#: Beginning of a path -> the service it belongs to; anything else is signing in.
_SERVICES = {
    "/services/data": "salesforce",
    "/gmail/": "gmail",
    "/upload/gmail": "gmail",
    "/batch/gmail": "gmail",
    "/v1.0/": "graph",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request on the line; `number` counts the service's requests from 1 since the last `Line.count_anew`."""

    service: str
    number: int
    method: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that comes instead of the service's own; the service never sees the request."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


class Lost:
    """The service acts, and its answer is lost."""


#: What happens to a request: None lets it through.
Fault = Callable[[Asked], Answer | Lost | None]


class Line:
    """Forwards to the sandbox; `fault` decides about each request."""

    def __init__(self, target: str) -> None:
        line = self
        self.fault: Fault = lambda _: None
        self.asked: list[Asked] = []
        self.struck: list[Asked] = []
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()
        self._session = requests.Session()
        self._session.trust_env = False

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = line._note(self.command, self.path)
                fault = line.fault(asked)
                if fault is not None:
                    line.struck.append(asked)
                if isinstance(fault, Answer):
                    content = b"" if fault.body is None else json.dumps(fault.body).encode()
                    self._answer(fault.status, {"Content-Type": "application/json", **fault.headers}, content)
                    return
                # The services put their own address into answers: the line's, so that all goes over the line.
                headers = dict(self.headers.items())
                answer = line._session.request(
                    self.command, target + self.path, data=body, headers=headers, allow_redirects=False
                )
                if fault is not None:
                    self.close_connection = True
                    return
                kept = {
                    name: value
                    for name, value in answer.headers.items()
                    if name.lower() not in ("content-length", "transfer-encoding", "connection", "content-encoding")
                }
                self._answer(answer.status_code, kept, answer.content)

            def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _forward  # noqa: N815 - http.server's names

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def count_anew(self) -> None:
        """Number requests from 1 again, and forget what was asked and struck."""
        with self._lock:
            self._numbers.clear()
            self.asked.clear()
            self.struck.clear()

    def _note(self, method: str, path: str) -> Asked:
        service = next((name for start, name in _SERVICES.items() if path.startswith(start)), "sign-in")
        with self._lock:
            number = self._numbers[service] = self._numbers.get(service, 0) + 1
            asked = Asked(service=service, number=number, method=method, path=path)
            self.asked.append(asked)
        return asked

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._session.close()
