"""The port of an engine, and what an engine is given to turn.

Lives here: `Engine`, `Wheel`, `Schedule`, `Health`. Does not live here: any engine (`local`, `jobs`), what is done
in a lane (`sync.lanes`). Source: spec delivery 1.

To write another engine, write a class with these five methods; `tests/contracts/test_engine_contract.py` tells
whether it keeps what they promise. What it may rely on:

- A wake is a hint. Losing it costs time (`sweep` finds what is due), repeating it costs a look: the lane's lease lets
  one worker in, and finds nothing to do for the second.
- `work` may be killed at any instruction and called again by anybody.
- A schedule's slot may be offered any number of times, by any number of workers; `store.job_runs` lets it run once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from connector.store.database import Transaction

#: A lane that wants to be worked again is left alone for this long at least, unless somebody else wakes it: the wish
#: may come of having found another worker at it.
REST = timedelta(seconds=1)


class Wheel(Protocol):
    """What an engine turns; it knows no engine."""

    def work(self, lane: str) -> datetime | None:
        """Do what a lane has to do now; return when it wants to be worked again (aware, UTC), None for no wish.

        What has passed means soon: after `REST`.

        It takes the lane's lease, and returns at once when somebody else has it. What a lane cannot do is noted for
        people and not raised; what is raised is a fault of ours, and the lane is worked again later.
        """
        ...

    def due(self) -> Sequence[str]:
        """Return the lanes that have something to do now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Something done at fixed times."""

    name: str
    #: Five fields, or six with the seconds last, in UTC.
    cron: str
    #: Called with the slot's instant (aware, UTC); it may be killed and called again for the same slot.
    work: Callable[[datetime], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an engine does."""

    is_well: bool
    #: For people: what is wrong and what to do, or that all is well.
    sentence: str
    #: Wakes that wait to be worked.
    waiting: int = 0
    #: Workers that gave a sign of life lately.
    workers: int = 0


class Engine(Protocol):
    """Works lanes when they are woken, and schedules when it is time."""

    def wake(self, tx: Transaction, lanes: Collection[str], at: datetime | None = None) -> None:
        """Have lanes worked soon, or at an instant (aware, UTC); with `tx`, only if it is committed, where that can be.

        One wake a lane is enough: more of them for the same time are one. Never fails the transaction.
        """
        ...

    def every(self, schedule: Schedule) -> None:
        """Have something done at each of its times, once over all workers; to be said before `run`."""
        ...

    def run(self, wheel: Wheel) -> None:
        """Work until told to stop (SIGTERM, SIGINT or `stop`), then finish what is under way within the time limit.

        Survives the loss of the database. Every few seconds it wakes what is due and was not woken, or was woken and
        its worker died.
        """
        ...

    def stop(self) -> None:
        """End `run` gracefully, from any thread."""
        ...

    def health(self) -> Health:
        """Tell how it does; from any process that has the same database."""
        ...
