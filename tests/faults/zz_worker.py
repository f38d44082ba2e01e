"""A worker of the chaos test, in a process of its own: as `connector worker` is, with a lease of a few seconds.

    python -m tests.faults.chaos_worker FOLDER DATABASE CLOCK [no_lease | no_two_phase | parted]

`no_lease` and `no_two_phase` take away what makes each effect happen once, to show that the test can tell. `parted` is
for workers that a network parts: a call is given half a second, not 15, as the lease is three, not 60; passes are long,
and waits are waited, so that there is a middle to cut into; a lane's owner begins with the process's id.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

from adapters import http
from connector.app import Project, RemoteClock, open_app
from connector.engine.jobs import ProcrastinateEngine
from connector.ports import Found, Whereabouts
from connector.store import lanes as leases
from connector.store.database import END_LOSS
from connector.store.lanes import Lease
from connector.sync import claiming, drain, lanes, lateness, pull_mailbox
from connector.sync.lanes import Lanes

#: Seconds a lease lasts here, so that a worker which stands still past it need not stand still for a minute.
LEASE = 3.0

#: How often a mailbox is read, by the sandbox's clock.
EVERY = timedelta(seconds=15)


def _without_lease() -> None:
    """Let everybody into every lane."""
    for module in (drain, pull_mailbox, claiming, lateness):
        module.guard = lambda tx, lease: leases.read_pacing(tx, lease.lane)  # type: ignore[attr-defined]
    for module in (drain, pull_mailbox):
        module.take = lambda _tx, lane, _owner: Lease(lane=lane, token=0)  # type: ignore[attr-defined]
        module.release = lambda _tx, _lease: None  # type: ignore[attr-defined]


def _without_two_phases() -> None:
    """Believe that a send whose answer was lost never went out, and make it anew at once."""
    drain._Worker._is_being_sent = lambda *_: False  # type: ignore[method-assign]
    drain.look_up = lambda *_: Found(where=Whereabouts.ABSENT)  # type: ignore[attr-defined]
    drain.believed_from = lambda _mail, _found, now: now  # type: ignore[attr-defined]


def _parted() -> None:
    """Let calls end as long before the lease does as they do with the product's times."""
    http.TIMEOUT = (0.5, 0.5)
    RemoteClock.sleep = lambda _clock, seconds: time.sleep(seconds / 10)  # type: ignore[method-assign]
    lanes.uuid4 = lambda: SimpleNamespace(hex=f"{os.getpid()} {uuid4().hex}")  # type: ignore[attr-defined]


WORDS = {"no_lease": _without_lease, "no_two_phase": _without_two_phases, "parted": _parted}


def main(folder: str, database: str, clock: str, *words: str) -> None:
    """Work until told to stop."""
    leases.LEASE_SECONDS = LEASE
    END_LOSS["idle_in_transaction_session_timeout"] = int(LEASE * 1000)
    drain.guard = lambda tx, lease: leases.read_pacing(tx, lease.lane)
    from connector.sync import claiming
    claiming.guard = drain.guard
    pull_mailbox.guard = drain.guard
    for word in words:
        WORDS[word]()
    with open_app(Project(folder=Path(folder)), clock=RemoteClock(clock), database_url=database) as app:
        engine = ProcrastinateEngine(
            app.database,
            app.office.clock,
            f"worker {os.getpid()}",
            concurrency=3,
            stop_within=5.0,
            sweep_every=1,
            again_after=1.0,
            heartbeat=1.0,
            stalled=3.0,
        )
        pass_seconds = 60.0 if "parted" in words else 2.0
        office = replace(app.office, wake=engine.wake, pass_seconds=pass_seconds)
        engine.run(Lanes(office=office, every=EVERY))


if __name__ == "__main__":
    main(*sys.argv[1:])
