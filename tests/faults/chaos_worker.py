"""A worker of the chaos test, in a process of its own: as `connector worker` is, with a lease of a few seconds.

    python -m tests.faults.chaos_worker FOLDER DATABASE CLOCK [no_lease | no_two_phase]

The last word takes away what makes each effect happen once, to show that the test can tell.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from connector.app import Project, RemoteClock, open_app
from connector.engine.jobs import ProcrastinateEngine
from connector.ports import Found, Whereabouts
from connector.store import lanes as leases
from connector.store.lanes import Lease
from connector.sync import drain, pull_mailbox
from connector.sync.lanes import Lanes

#: Seconds a lease lasts here, so that a worker which stands still past it need not stand still for a minute.
LEASE = 3.0

#: How often a mailbox is read, by the sandbox's clock.
EVERY = timedelta(seconds=15)


def _without_lease() -> None:
    """Let everybody into every lane."""
    for module in (drain, pull_mailbox):
        module.take = lambda _tx, lane, _owner: Lease(lane=lane, token=0)  # type: ignore[attr-defined]
        module.guard = lambda _tx, _lease: None  # type: ignore[attr-defined]
        module.release = lambda _tx, _lease: None  # type: ignore[attr-defined]
    from connector.sync import claiming  # noqa: PLC0415 - only here

    claiming.guard = lambda _tx, _lease: None  # type: ignore[attr-defined]


def _without_two_phases() -> None:
    """Believe that what was in flight never went out, and make it anew."""
    drain.look_up = lambda *_: Found(where=Whereabouts.ABSENT)  # type: ignore[attr-defined]
    drain.believed_from = lambda _mail, _found, now: now  # type: ignore[attr-defined]


ABLATIONS = {"no_lease": _without_lease, "no_two_phase": _without_two_phases}


def main(folder: str, database: str, clock: str, *ablations: str) -> None:
    """Work until told to stop."""
    leases.LEASE_SECONDS = LEASE
    for ablation in ablations:
        ABLATIONS[ablation]()
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
        office = replace(app.office, wake=engine.wake, pass_seconds=2.0)
        engine.run(Lanes(office=office, every=EVERY))


if __name__ == "__main__":
    main(*sys.argv[1:])
