"""What a pull came to, from whatever service."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from connector.errors import AdapterError, Reconnect
from connector.store.lanes import read_pacing, save_pacing
from connector.sync.office import Office


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


def note_lane_problem(office: Office, lane: str, problem: str | None) -> None:
    """Keep the problem of a lane for `status`; written only when it changes."""
    with office.database.read() as tx:
        pacing = read_pacing(tx, lane)
    waits = pacing.blocked_until is not None and pacing.blocked_until > office.now()
    if pacing.problem != problem and not waits:
        with office.database.write() as tx:
            save_pacing(tx, lane, replace(pacing, problem=problem))
