"""The thread that serves the sandbox's application on 127.0.0.1.

Lives here: `Server`. Does not live here: the application (`app`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading

import uvicorn
from starlette.types import ASGIApp

#: Seconds that calls under way are given to end when the server stops.
_GRACE = 3


class Server:
    """An application being served by a background thread from the moment this is made until `stop`."""

    def __init__(self, app: ASGIApp, port: int = 0) -> None:
        """Serve on this port; 0 takes a free one."""
        self._socket = socket.create_server(("127.0.0.1", port), backlog=256)
        # asyncio leaves this out for sockets made elsewhere; without it every answer waits 40 ms.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_level="error",
            access_log=False,
            date_header=False,
            timeout_keep_alive=300,
        )
        self._loop = asyncio.new_event_loop()
        self._serving = _Serving(config)
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and wait until the thread has ended."""
        self._loop.call_soon_threadsafe(self._serving.told.set)
        self._thread.join(timeout=10)
        self._socket.close()

    def cut(self, client: tuple[str, int], reset: bool) -> None:  # noqa: FBT001 - as the line calls it
        """End the connection of a caller behind what was sent, or reset it; only while the application answers."""
        for connection in self._serving.server_state.connections:
            if getattr(connection, "client", None) != tuple(client):
                continue
            if reset:
                own = connection.transport.get_extra_info("socket")
                # Without lingering, the end is a reset.
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.transport.abort()
            else:
                connection.transport.close()
            return

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serving.serve(sockets=[self._socket]))


class _Serving(uvicorn.Server):
    """Ends as soon as it is told and every call is answered: uvicorn itself looks each tenth of a second only."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait until it is told to end."""
        await self.told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - of uvicorn's making
        """Take no new connection, and close each as soon as its call is answered."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.002)
