"""Acting on tasks of the queue, one or many, in a way that can be undone.

Lives here: `Deed`, `act`, `act_on_all`. Does not live here: what each deed does (`actions`, `assigning`), undoing
(`undoing`), which tasks are meant by a filter (`store.queue`).

Each task is read, checked and acted on in one transaction, some tasks a transaction, so that nobody waits long for it.
What cannot be done of one is said, and stops no other.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from connector.errors import BadInput
from connector.intents import IntentEvent
from connector.sequencing.sequencer import before_end
from connector.store.database import Transaction
from connector.store.enrollments import read_enrollments
from connector.store.intents import StoredIntent, read_intents
from connector.store.mails import read_mails
from connector.store.queue import Wanted, read_queue_keys
from connector.store.tasks import read_tasks
from connector.store.undos import forget_undos, note_undo
from connector.sync.actions import end_stored, snooze_stored
from connector.sync.assigning import assign_stored
from connector.sync.office import Office

#: Tasks a transaction, and tasks at once: more are for another time.
BATCH = 50
MOST = 2_000

#: How long something can be undone.
UNDO_LASTS = timedelta(hours=1)

#: Sentences about what could not be done that are kept.
_SAID = 5


class Action(StrEnum):
    """What can be done with tasks of the queue."""

    COMPLETE = "complete"
    SKIP = "skip"
    SNOOZE = "snooze"
    ASSIGN = "assign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What is to be done."""

    action: Action
    #: How it was done, as a clause: "by hand".
    by: str = "by hand"
    #: Of a call that is completed.
    outcome: str = ""
    call_reason: str = ""
    #: Of a snooze.
    until: date | None = None
    #: Address of the rep who is given the tasks.
    rep: str = ""


@dataclass(slots=True, kw_only=True)
class Done:
    """What became of it."""

    #: Names it, to undo it.
    batch: str
    keys: list[str] = field(default_factory=list)
    #: How many could not be, and some of the sentences that say why.
    refused: int = 0
    why: list[str] = field(default_factory=list)

    def refuse(self, sentence: str) -> None:
        """Note one that could not be done."""
        self.refused += 1
        if len(self.why) < _SAID and sentence not in self.why:
            self.why.append(sentence)


def act(
    office: Office, user: str, deed: Deed, keys: Sequence[str], *, reps: frozenset[str] | None, strict: bool = False
) -> Done:
    """Do something with tasks of these reps (None: of all); `user` may undo it for an hour.

    With `strict` the first that cannot be done raises its `BadInput`, and nothing is done in its transaction.
    """
    _check(office, deed)
    done = Done(batch=secrets.token_hex(16))
    for start in range(0, len(keys), BATCH):
        with office.database.write() as tx:
            now = office.now()
            forget_undos(tx, now - UNDO_LASTS)
            before: dict[str, dict[str, Any]] = {}
            found = read_intents(tx, keys[start : start + BATCH])
            for key in dict.fromkeys(keys[start : start + BATCH]):
                stored = found.get(key)
                if stored is None or (reps is not None and stored.intent.rep not in reps):
                    done.refuse(f"the id '{key[:8]}' names no task")
                    continue
                try:
                    before[key] = _do(tx, office, stored, deed, now)
                except BadInput as error:
                    if strict:
                        raise
                    done.refuse(str(error))
            note_undo(tx, done.batch, user, now, before)
        done.keys += before
    return done


def act_on_all(office: Office, user: str, deed: Deed, wanted: Wanted) -> Done:
    """Do something with all tasks that a filter lets through, `MOST` at most."""
    with office.database.read() as tx:
        keys = read_queue_keys(tx, wanted, MOST)
    return act(office, user, deed, keys, reps=wanted.reps)


def _check(office: Office, deed: Deed) -> None:
    if deed.action is Action.ASSIGN and deed.rep not in office.reps:
        raise BadInput(f"'{deed.rep}' is no rep of connector.yaml: choose one of its reps")
    if deed.action is Action.SNOOZE and deed.until is None:
        raise BadInput("say until when to snooze: today or a later date")


def _do(tx: Transaction, office: Office, stored: StoredIntent, deed: Deed, now: datetime) -> dict[str, Any]:
    """Do it with one task; return what is needed to undo it. Raise `BadInput` before anything is written."""
    intent = stored.intent
    wanted = _wanted_of(tx, intent.key)
    noted: dict[str, Any] = {"action": deed.action.value}
    match deed.action:
        case Action.COMPLETE | Action.SKIP:
            event = IntentEvent.COMPLETE if deed.action is Action.COMPLETE else IntentEvent.SKIP
            noted |= _as_it_was(tx, stored)
            said = {"outcome": deed.outcome, "call_reason": deed.call_reason}
            end_stored(tx, office, stored, event, now, by=deed.by, **said)
        case Action.SNOOZE:
            if deed.until is None:
                raise ValueError("a snooze without a date")
            noted |= {"due": intent.due.isoformat(), "due_date": intent.due_date.isoformat()}
            noted["until"] = deed.until.isoformat()
            snooze_stored(tx, office, stored, deed.until, now)
        case Action.ASSIGN:
            noted |= {"rep": intent.rep, "to": deed.rep}
            assign_stored(tx, office, stored, office.reps[deed.rep], now)
    after = _wanted_of(tx, intent.key)
    noted["task"] = {name: wanted.get(name) for name, value in after.items() if wanted.get(name) != value}
    return noted


def _as_it_was(tx: Transaction, stored: StoredIntent) -> dict[str, Any]:
    enrollment = read_enrollments(tx, [stored.intent.enrollment])[stored.intent.enrollment]
    mail = read_mails(tx, [stored.intent.key]).get(stored.intent.key)
    return {
        "state": stored.state.value,
        "problem": stored.problem,
        "version": enrollment.version,
        "before": before_end(enrollment),
        "mail": None if mail is None else mail.state.value,
    }


def _wanted_of(tx: Transaction, key: str) -> Mapping[str, Any]:
    task = read_tasks(tx, [key]).get(key)
    return {} if task is None else task.wanted
