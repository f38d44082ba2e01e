"""Serving the web app until it is told to end.

Lives here: `listen`, `serve`, and `serving` beside other work. Does not live here: the application (`app`), what is
said about it (`cli.serve`).
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from connector.errors import BadInput
from connector.web.guard import is_this_machine
from connector.web_settings import WebRules

#: Seconds that answers under way are given when the server is told to end.
_GRACE = 10


def listen(host: str, port: int, rules: WebRules | None = None) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    Raises `BadInput` for a host that others can reach while these rules let nobody sign in over TLS, and for a port
    that cannot be used.
    """
    if not is_this_machine(host) and (rules is None or not rules.is_for_others):
        raise BadInput(
            f"--host {host} would let other machines in: that takes a sign-in (web.sign_in in connector.yaml) and an "
            "https address that a proxy serves (web.url); use 127.0.0.1 without"
        )
    address = host.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.create_server((address, port), family=family)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise BadInput(f"port {port} of {host} cannot be used ({reason}): name another with --port") from error
    # asyncio leaves this out for sockets made elsewhere; without it every answer waits 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def serve(app: ASGIApp, listening: socket.socket, *, announce: Callable[[], None], ending: Event) -> None:
    """Serve until SIGTERM or Ctrl-C; what is being answered by then is answered. Call it in the main thread.

    `ending` is set when it is told to end, for answers that would go on for ever.
    `announce` is called as soon as either of them ends it in peace; browsers that come before it serves wait in line.
    """
    server = _server(app)

    def end(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True
        ending.set()

    # Ours lie below uvicorn's own, which raises each signal again when it has ended: it must not kill us then.
    # A process started in the background of a script inherits that Ctrl-C is ignored, so it is said explicitly.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    announce()
    server.run(sockets=[listening])


@contextmanager
def serving(app: ASGIApp, listening: socket.socket, *, ending: Event) -> Iterator[None]:
    """Serve for as long as something else is done in this thread, which looks after signals."""
    server = _server(app)
    thread = Thread(target=server.run, kwargs={"sockets": [listening]}, name="connector-web", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        ending.set()
        thread.join()


def _server(app: ASGIApp) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,  # an address may hold a sign-in link
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
    )
