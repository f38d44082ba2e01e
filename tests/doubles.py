"""Stand-ins that keep what they are given in memory, for tests of adapters without a database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol


class _Clock(Protocol):
    def now(self) -> datetime: ...


class MemoryVault:
    """A `ports.Vault` of one process."""

    def __init__(self, **secrets: str) -> None:
        self.secrets = dict(secrets)

    def read(self, name: str) -> str | None:
        return self.secrets.get(name)

    def save(self, name: str, secret: str) -> None:
        self.secrets[name] = secret

    def forget(self, name: str) -> None:
        self.secrets.pop(name, None)

    def renew(self, name: str, seen: str | None, renewed: Callable[[str | None], str]) -> str:
        if self.secrets.get(name) == seen:
            self.secrets[name] = renewed(seen)
        return self.secrets[name]


class MemoryCache:
    """A `ports.Cache` of one process, whose ages are told by a clock."""

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock
        self.texts: dict[str, tuple[datetime, str]] = {}

    def read(self, name: str, *, younger_than: timedelta) -> str | None:
        at, text = self.texts.get(name, (None, None))
        return text if at is not None and at > self._clock.now() - younger_than else None

    def save(self, name: str, text: str) -> None:
        self.texts[name] = (self._clock.now(), text)

    def forget(self, name: str) -> None:
        self.texts.pop(name, None)
