"""Letting go on what waits for a person: blocked, failed, held.

Lives here: `release_all`, `release_mended`, `release_late`. Does not live here: what let it wait (`prepare`,
`withholding`, `lateness`), pauses (`actions`). Source: interfaces 2 (`resume`), spec sequencing 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from connector.events import EventKind
from connector.intents import IntentEvent, IntentState
from connector.sequencing.enrollment import Enrollment, EnrollmentState
from connector.store.database import Transaction
from connector.store.enrollments import read_enrollments
from connector.store.intents import StoredIntent, find_intents, move_intent, note_released, read_intents
from connector.store.ledger import append
from connector.store.people import read_people
from connector.sync.record import intent_fact

#: What mended data may set free; what is held waits for a decision.
_MENDED = (IntentState.BLOCKED, IntentState.FAILED)


def release_all(tx: Transaction, persons: Sequence[str], now: datetime) -> list[Enrollment]:
    """Let all that is stuck of people be tried again; return the enrollments that go on."""
    return _release(tx, persons, now, (*_MENDED, IntentState.HELD))


def release_mended(tx: Transaction, persons: Sequence[str], now: datetime) -> list[Enrollment]:
    """Let what lacked something, or failed, of people be tried again; return the enrollments that go on."""
    return _release(tx, persons, now, _MENDED)


def release_late(tx: Transaction, live: Sequence[Enrollment], now: datetime) -> list[Enrollment]:
    """Let go on what is held as too late: what else holds a send is a pause, or a mail of that person."""
    waiting = {one.intent: one for one in live if one.state is EnrollmentState.ACTIVE and one.intent is not None}
    held = [one for one in read_intents(tx, list(waiting)).values() if one.state is IntentState.HELD]
    people = read_people(tx, sorted({stored.intent.person for stored in held}))
    late = [stored for stored in held if people[stored.intent.person].held is None]
    let_go_on(tx, late, now)
    return [waiting[stored.intent.key] for stored in late]


def _release(tx: Transaction, persons: Sequence[str], now: datetime, states: Sequence[IntentState]) -> list[Enrollment]:
    stuck: list[StoredIntent] = []
    for start in range(0, len(persons), 500):
        stuck += find_intents(tx, states=states, persons=persons[start : start + 500])
    found = read_enrollments(tx, [stored.intent.enrollment for stored in stuck])
    of = {one.intent: one for one in found.values() if one.state is EnrollmentState.ACTIVE}
    current = [stored for stored in stuck if stored.intent.key in of]
    let_go_on(tx, current, now)
    return [of[stored.intent.key] for stored in current]


def let_go_on(tx: Transaction, stuck: Iterable[StoredIntent], now: datetime) -> None:
    """Have intents prepared again: however late they are, somebody has decided about them now."""
    for stored in stuck:
        move_intent(tx, stored.intent.key, IntentEvent.RELEASE)
        note_released(tx, stored.intent.key, now)
        append(tx, [intent_fact(stored, EventKind.RELEASED, now)])
