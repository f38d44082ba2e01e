"""Servers that misbehave on the line, for the tests of every adapter."""

from __future__ import annotations

import socket
import struct
from threading import Thread


class RawServer:
    """Takes connections, reads one whole request of each, and answers with `reply` (None: a reset)."""

    def __init__(self, reply: bytes | None) -> None:
        self.requests: list[bytes] = []
        self._reply = reply
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            with line:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += line.recv(65536)
                head, _, body = request.partition(b"\r\n\r\n")
                length = next(
                    (int(row[15:]) for row in head.split(b"\r\n") if row.lower().startswith(b"content-length:")), 0
                )
                while len(body) < length:
                    body += line.recv(65536)
                self.requests.append(head)
                if self._reply is None:
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    line.sendall(self._reply)

    def close(self) -> None:
        # A blocked accept() ends only when somebody calls.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


LOST_ANSWERS = {
    "closed without a word": b"",
    "reset": None,
    "cut off in the head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "cut off in the body": b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id"',
    "not JSON": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwell",
    "not what was asked for": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]",
    "failed after acting": b"HTTP/1.1 503 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
}
