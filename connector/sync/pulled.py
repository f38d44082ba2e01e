"""What a pull came to, from whatever service."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from connector.errors import AdapterError, Reconnect


@dataclass(slots=True, kw_only=True)
class Pulled:
    """What one pull came to."""

    counts: Counter[str] = field(default_factory=Counter)
    attention: list[str] = field(default_factory=list)
    reconnect: Reconnect | None = None

    def stop(self, lane: str, error: AdapterError) -> Pulled:
        """Note that the service could not be read; nothing was stored, and the next pass reads from the same place."""
        self.attention.append(f"{lane}: {error.sentence}")
        if isinstance(error, Reconnect):
            self.reconnect = error
        return self
