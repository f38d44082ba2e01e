"""What the sandbox's services share: its clock, its tokens, its log, and the shape of a service.

Lives here: `SandboxClock`, `Tokens`, `SandboxLog`, `Service`. Does not live here: what a service answers
(`salesforce`, `gmail`, `graph`), the process and the control API (`app`).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TextIO

from starlette.routing import BaseRoute


@asynccontextmanager
async def taking(seconds: float) -> AsyncIterator[None]:
    """Let what is done inside take so long in all, by the machine's clock."""
    until = time.monotonic() + seconds
    yield
    if seconds:
        await asyncio.sleep(until - time.monotonic())


class SandboxClock:
    """Time inside the sandbox: the machine's own, plus how far it was moved; or frozen at a given instant."""

    def __init__(self, start: datetime | None = None) -> None:
        """Freeze at `start` (aware); without it follow the machine's clock."""
        self._lock = threading.Lock()
        self._frozen = start
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return the present instant, aware, UTC."""
        with self._lock:
            return self._frozen if self._frozen is not None else datetime.now(UTC) + self._ahead

    def off(self, by: timedelta) -> SandboxClock:
        """Return the same clock as somebody has it whose clock is off by so much: it moves with this one."""
        return _OffClock(self, by) if by else self

    def sleep(self, seconds: float) -> None:
        """Move forward instead of waiting."""
        self.advance(timedelta(seconds=seconds))

    def advance(self, by: timedelta) -> datetime:
        """Move forward; never back."""
        with self._lock:
            by = max(by, timedelta())
            if self._frozen is not None:
                self._frozen += by
            else:
                self._ahead += by
        return self.now()

    def advance_to(self, instant: datetime) -> datetime:
        """Move forward to an instant; one that has passed changes nothing."""
        return self.advance(instant - self.now())


class _OffClock(SandboxClock):
    """A clock that is off by a fixed span."""

    def __init__(self, right: SandboxClock, by: timedelta) -> None:
        super().__init__()
        self._right = right
        self._by = by

    def now(self) -> datetime:
        return self._right.now() + self._by

    def advance(self, by: timedelta) -> datetime:
        return self._right.advance(by) + self._by


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token allows."""

    service: str
    #: The user it stands for; "" for an application that may act for everyone.
    subject: str
    scopes: frozenset[str]
    expires: datetime


class Tokens:
    """Bearer tokens the sandbox has handed out."""

    def __init__(self, clock: SandboxClock) -> None:
        """Start with no token."""
        self._clock = clock
        self._grants: dict[str, Grant] = {}

    def issue(
        self, service: str, *, subject: str = "", scopes: Sequence[str] = (), hours: float = 1, token: str = ""
    ) -> str:
        """Hand out a token (a given one, or a new one) and return it."""
        token = token or secrets.token_urlsafe(24)
        expires = self._clock.now() + timedelta(hours=hours)
        self._grants[token] = Grant(service=service, subject=subject, scopes=frozenset(scopes), expires=expires)
        return token

    def check(self, service: str, authorization: str) -> Grant | None:
        """Return what an Authorization header allows, or None when it is missing, unknown, foreign or expired."""
        scheme, _, token = authorization.partition(" ")
        grant = self._grants.get(token) if scheme.lower() == "bearer" else None
        if grant is None or grant.service != service or grant.expires <= self._clock.now():
            return None
        return grant

    def revoke(self, service: str, token: str) -> None:
        """Make one token invalid; one that is not of this service stays."""
        if token in self._grants and self._grants[token].service == service:
            del self._grants[token]

    def revoke_all(self, service: str, *, subject: str = "") -> None:
        """Make every token of a service invalid, as an administrator can; of one user, when `subject` names them."""
        self._grants = {
            token: grant
            for token, grant in self._grants.items()
            if grant.service != service or (subject and grant.subject.lower() != subject)
        }


class SandboxLog:
    """Every call, every lasting effect and every fault that was made, for tests to judge by.

    `write_to` also writes effects, faults and spans into a file, a JSON object a line, as they happen.
    """

    def __init__(self, clock: SandboxClock) -> None:
        """Start empty."""
        self._clock = clock
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.effects: list[dict[str, Any]] = []
        self.faults: list[dict[str, Any]] = []
        self.spans: list[dict[str, Any]] = []
        self._file: TextIO | None = None

    def write_to(self, path: Path) -> None:
        """Write what happens from now on to the end of a file as well; raises `OSError`."""
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def close(self) -> None:
        """Write into no file any more."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None

    def _note(self, kind: str, entries: list[dict[str, Any]], entry: dict[str, Any]) -> None:
        with self._lock:
            entries.append(entry)
            if self._file is not None:
                self._file.write(json.dumps({"log": kind, **entry}) + "\n")

    def call(self, service: str, method: str, path: str) -> None:
        """Note one HTTP call to a service (token calls go under `<service>:token`)."""
        with self._lock:
            self.calls[service] += 1
            self.requests.append({"service": service, "method": method, "path": path})

    def effect(self, service: str, effect: str, **details: Any) -> None:
        """Note one lasting effect: `task_created`, `task_updated`, `draft_created`, `mail_sent`, ..."""
        entry = {"at": self._clock.now().isoformat(), "service": service, "effect": effect, **details}
        self._note("effect", self.effects, entry)

    def fault(self, service: str, trouble: str, **details: Any) -> None:
        """Note one trouble that struck a call (`Trouble`), and whether the call was done all the same (`acted`)."""
        entry = {"at": self._clock.now().isoformat(), "service": service, "trouble": trouble, **details}
        self._note("fault", self.faults, entry)

    def span(self, call: Mapping[str, Any], begun: float, ended: float) -> None:
        """Note from when to when one call was with a service for one mailbox, in seconds of the machine's clock."""
        self._note("span", self.spans, {**call, "begun": begun, "ended": ended})


class Service(Protocol):
    """One simulated service."""

    def routes(self) -> Sequence[BaseRoute]:
        """Return its HTTP routes, with absolute paths."""
        ...

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what people outside can do in it: name -> function of keyword arguments, returning JSON."""
        ...

    def state(self) -> dict[str, Any]:
        """Return all it holds as JSON, to look at."""
        ...
