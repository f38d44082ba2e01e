"""Deciding: turn what is due into intents, in batches. Reads only what is due; memory does not grow with the rest.

Lives here: `tick`. Does not live here: what is due (`sequencing`), carrying it out (`prepare`, `drain`, `crm`).
"""

from __future__ import annotations

from datetime import datetime

from connector.events import Event
from connector.intents import Intent
from connector.sequencing.enrollment import Enrollment
from connector.store.enrollments import read_due, update_enrollments
from connector.store.intents import insert_intents
from connector.store.ledger import append
from connector.sync.office import Office
from connector.sync.record import decided

#: Enrollments a transaction; large enough for bulk writes, small enough for memory.
BATCH = 5000


def tick(office: Office, now: datetime) -> int:
    """Make an intent of every step that is due at `now`; return how many."""
    made = 0
    while count := _tick_batch(office, now):
        made += count
    return made


def _tick_batch(office: Office, now: datetime) -> int:
    intents: list[Intent] = []
    lines: list[Event] = []
    changed: list[Enrollment] = []
    with office.database.write() as tx:
        for enrollment in read_due(tx, now, BATCH):
            outcome = decided(tx, office, enrollment, (), now)
            intents += outcome.intents
            lines += outcome.decisions
            changed.append(outcome.enrollment)
        insert_intents(tx, intents)
        append(tx, lines)
        update_enrollments(tx, changed, now)
    return len(changed)
