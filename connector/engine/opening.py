"""Which engine turns a database, and joining it with the lanes of an office.

Lives here: `wake_workers`, `LocalEngine` and `ProcrastinateEngine` made ready to run. Does not live here: what they do.
"""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING
from uuid import uuid4

from connector.engine.local import LocalEngine
from connector.engine.port import Engine, Schedule
from connector.engine.tables import are_there
from connector.ports import Clock
from connector.store.database import Database, Transaction
from connector.sync.lanes import Lanes
from connector.sync.office import Office, Wake, no_wake
from connector.sync.retention import tidy

if TYPE_CHECKING:
    from collections.abc import Collection

    from connector.engine.jobs import ProcrastinateEngine


#: When what ended long ago is forgotten: 03:17 UTC, a minute at which little else is begun.
_EACH_NIGHT = "17 3 * * *"


def wake_workers(database: Database, clock: Clock) -> Wake:
    """Return how lanes are woken in workers on other machines: on PostgreSQL, once the engine's tables are there."""
    if database.is_sqlite:
        return no_wake

    @cache
    def engine() -> ProcrastinateEngine:
        return shared_engine(database, clock)

    def wake(tx: Transaction, lanes: Collection[str]) -> None:
        if lanes and are_there(tx):
            engine().wake(tx, lanes)

    return wake


def local_engine(database: Database, clock: Clock, *, stop_within: float = 30.0) -> LocalEngine:
    """Return the engine of one process."""
    return LocalEngine(database, clock, _owner(), stop_within=stop_within)


def shared_engine(
    database: Database, clock: Clock, *, concurrency: int = 8, stop_within: float = 30.0
) -> ProcrastinateEngine:
    """Return the engine of many machines; it needs PostgreSQL, and to run its tables."""
    # Half a second to import, which most commands need not spend.
    from connector.engine.jobs import ProcrastinateEngine  # noqa: PLC0415

    return ProcrastinateEngine(database, clock, _owner(), concurrency=concurrency, stop_within=stop_within)


def run(engine: Engine, office: Office, *, every: timedelta) -> None:
    """Work the lanes of an office until told to stop; `every` is how often each service is read."""
    if office.keep_ended is not None:
        engine.every(Schedule(name="tidy", cron=_EACH_NIGHT, work=lambda _slot: _tidy(office)))
    engine.run(Lanes(office=replace(office, wake=engine.wake), every=every))


def _tidy(office: Office) -> None:
    tidy(office, office.now())


def _owner() -> str:
    """Return a name for this process that no other has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
