"""Machines of their own on this one: network namespaces, on lines that can be cut without a word to either end.

Lives here: `Machine`, its lines, and what carries HTTP over them to a service that listens on 127.0.0.1 only. Does not
live here: who works there, and what comes of a cut (`test_namespaces`).

Made with `ip` and `tc` of iproute2, by root. A cut line loses what it is given, as a cable pulled between two switches
does: nobody is refused, connections stand still, and go on when it is mended.

    python -m tests.faults.namespaces LISTEN=TARGET...

carries connections on, from one address to another (`127.0.0.1:8000=198.18.0.1:8000`), and says `ready`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Any

#: For trying out networks, says RFC 2544: nobody else's. Thirty-two addresses a test process, four a line.
_ADDRESSES, _SLOTS = IPv4Address("198.18.0.0"), 2**12

#: What runs over lines of its own, so that each can be cut by itself. The clock's is never cut: it stands for the
#: machine's own.
LINES = ("database", "services", "clock")


class CannotPartError(Exception):
    """Network namespaces cannot be made here."""


def _run(*command: str, given: Sequence[str] = ()) -> None:
    try:
        subprocess.run(command, input="\n".join(given), check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise CannotPartError(f"there is no '{command[0]}': install iproute2") from error
    except subprocess.CalledProcessError as error:
        raise CannotPartError(f"{' '.join(command)}: {error.stderr.strip()}") from error


class Line:
    """A pair of network devices: one here, one on the machine."""

    def __init__(self, namespace: str, purpose: str, number: int) -> None:
        """Name its two ends; `number` tells lines of one test process apart."""
        slot = os.getpid() % _SLOTS * 32 + number * 4
        self.here, self.there = str(_ADDRESSES + slot + 1), str(_ADDRESSES + slot + 2)
        self._namespace = namespace
        self._here, self._there = f"c{number}-{os.getpid()}", purpose
        self._hardware = [f"02:00:{end}:{number:02x}:00:01" for end in ("00", "01")]

    def lay(self) -> None:
        """Connect the machine with this one."""
        here, there = self._hardware
        # Each end knows the other's hardware: asking for it would fail on a cut line, and whoever sends would be told.
        commands = {
            (): [
                f"link add {self._here} address {here} type veth"
                f" peer name {self._there} address {there} netns {self._namespace}",
                f"address add {self.here}/30 dev {self._here}",
                f"link set {self._here} up",
                f"neighbour add {self.there} lladdr {there} dev {self._here} nud permanent",
            ],
            ("-n", self._namespace): [
                f"address add {self.there}/30 dev {self._there}",
                f"link set {self._there} up",
                f"neighbour add {self.here} lladdr {here} dev {self._there} nud permanent",
            ],
        }
        for where, given in commands.items():
            _run("ip", *where, "-batch", "-", given=given)

    def remove(self) -> None:
        """Disconnect it, if it was connected."""
        with suppress(CannotPartError):
            _run("ip", "link", "delete", self._here)

    def cut(self) -> None:
        """Lose everything, both ways."""
        _run("tc", "-n", self._namespace, "qdisc", "replace", "dev", self._there, "root", "blackhole")
        _run("tc", "qdisc", "replace", "dev", self._here, "root", "blackhole")

    def mend(self) -> None:
        """Carry everything again."""
        _run("tc", "qdisc", "delete", "dev", self._here, "root")
        _run("tc", "-n", self._namespace, "qdisc", "delete", "dev", self._there, "root")


class Machine:
    """A network namespace and the processes in it; use as a context manager."""

    def __init__(self, number: int) -> None:
        """Name it; `number`, 0 or 1, tells machines of one test process apart."""
        self.name = f"connector-{os.getpid()}-{number}"
        self._lines = [Line(self.name, purpose, number * len(LINES) + place) for place, purpose in enumerate(LINES)]
        self.database, self.services, self.clock = self._lines
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Machine:
        """Make it; raise `CannotPartError` where that cannot be, with nothing left behind."""
        _run("ip", "netns", "add", self.name)
        try:
            _run("ip", "-n", self.name, "link", "set", "lo", "up")
            for line in self._lines:
                line.lay()
            self.services.cut()
            self.services.mend()
        except CannotPartError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all that runs there, and remove it with its lines."""
        for process in self._processes:
            process.kill()
            process.communicate()
        for line in self._lines:
            line.remove()
        _run("ip", "netns", "delete", self.name)

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start a process there; the options are those of `subprocess.Popen`."""
        process = subprocess.Popen(["ip", "netns", "exec", self.name, *command], text=True, **options)
        self._processes.append(process)
        return process


def carrying(*pairs: str) -> list[str]:
    """Return the command that carries connections on: `LISTEN=TARGET`, each `host:port`."""
    return [sys.executable, "-m", "tests.faults.namespaces", *pairs]


class _Far(asyncio.Protocol):
    """The connection to where things are carried."""

    def __init__(self, near: asyncio.Transport) -> None:
        self._near = near

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Once the caller has given up, nothing of its call arrives any more: a system would go on trying for a minute
        # or two, less than a mailbox takes to show what it took in. Here that time flies, and the system's does not.
        own = transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def data_received(self, data: bytes) -> None:
        self._near.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._near.close()


class _Near(asyncio.Protocol):
    """A caller's connection."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._waiting: list[bytes] = []
        self._far: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self._near: asyncio.Transport = transport
        self._connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        host, _, port = self._target.rpartition(":")
        try:
            loop = asyncio.get_running_loop()
            self._far, _ = await loop.create_connection(lambda: _Far(self._near), host, int(port))
        except OSError:
            self._near.abort()
        else:
            self._far.writelines(self._waiting)

    def data_received(self, data: bytes) -> None:
        if self._far is None:
            self._waiting.append(data)
        else:
            self._far.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._connecting.cancel()
        if self._far is not None:
            self._far.abort()


async def _carry(pairs: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    for listen, target in (pair.split("=") for pair in pairs):
        host, _, port = listen.rpartition(":")
        await loop.create_server(lambda target=target: _Near(target), host, int(port))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_carry(sys.argv[1:]))
