"""What the sequencer wants done: intents, their identity and the life they lead.

Lives here: the names of steps and states, `intent_key`, the `Intent` value and its transition table.
Does not live here: when an intent arises (`sequencing`), how it is carried out (`sync`, adapters).
Source: spec interfaces 3, sequencing 3.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class StepType(StrEnum):
    """Kinds of step (spec sequencing 1)."""

    EMAIL = "email"
    CALL = "call"
    INMAIL = "inmail"
    CUSTOM = "custom"


class Mode(StrEnum):
    """Who acts: the connector sends, or the rep does a task."""

    SEND = "send"
    TASK = "task"


class Priority(StrEnum):
    """Priority of a task; other values of a CRM are shown, never coerced."""

    NORMAL = "normal"
    HIGH = "high"


class IntentState(StrEnum):
    """Where an intent stands (spec interfaces 3)."""

    #: Its step is current and its due instant is ahead. Kept as the enrollment's position, not as a row.
    PLANNED = "planned"
    #: Its instant has come; it waits for its lane.
    DUE = "due"
    #: A person must mend something first: a missing field, an unresolved address.
    BLOCKED = "blocked"
    #: Held by a pause, by an incoming mail nobody could classify, or because it is too late to go out by itself.
    HELD = "held"
    #: Committed before the service is called; after a crash it is looked up, never simply repeated.
    DELIVERING = "delivering"
    #: A task that the rep has before them.
    OPEN = "open"
    #: The mail is in Sent.
    SENT = "sent"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    FAILED = "failed"
    #: The service may have done it and cannot say; shown to the rep, never repeated by itself.
    UNKNOWN = "unknown"


class IntentEvent(StrEnum):
    """What can happen to an intent; the columns of `INTENT_TRANSITIONS`."""

    BLOCK = "block"
    HOLD = "hold"
    RELEASE = "release"
    CLAIM = "claim"
    DEFER = "defer"
    OPEN = "open"
    SEND = "send"
    COMPLETE = "complete"
    SKIP = "skip"
    CANCEL = "cancel"
    FAIL = "fail"
    LOSE = "lose"
    REOPEN = "reopen"


_S, _E = IntentState, IntentEvent

#: state -> event -> next state. A pair that is not listed is refused and changes nothing.
INTENT_TRANSITIONS: dict[IntentState, dict[IntentEvent, IntentState]] = {
    _S.PLANNED: {_E.RELEASE: _S.DUE, _E.CANCEL: _S.CANCELLED},
    _S.DUE: {
        _E.CLAIM: _S.DELIVERING,
        _E.BLOCK: _S.BLOCKED,
        _E.HOLD: _S.HELD,
        _E.COMPLETE: _S.COMPLETED,
        _E.SKIP: _S.SKIPPED,
        _E.CANCEL: _S.CANCELLED,
        _E.FAIL: _S.FAILED,
    },
    _S.BLOCKED: {
        _E.RELEASE: _S.DUE,
        _E.HOLD: _S.HELD,
        _E.COMPLETE: _S.COMPLETED,
        _E.SKIP: _S.SKIPPED,
        _E.CANCEL: _S.CANCELLED,
    },
    _S.HELD: {_E.RELEASE: _S.DUE, _E.COMPLETE: _S.COMPLETED, _E.SKIP: _S.SKIPPED, _E.CANCEL: _S.CANCELLED},
    _S.DELIVERING: {
        _E.CLAIM: _S.DELIVERING,
        _E.DEFER: _S.DUE,
        _E.BLOCK: _S.BLOCKED,
        _E.OPEN: _S.OPEN,
        _E.SEND: _S.SENT,
        _E.FAIL: _S.FAILED,
        _E.LOSE: _S.UNKNOWN,
        _E.CANCEL: _S.CANCELLED,
    },
    # Claimed when its rep has asked the connector to send its mail: it is open again before it is completed.
    _S.OPEN: {
        _E.CLAIM: _S.DELIVERING,
        _E.COMPLETE: _S.COMPLETED,
        _E.SKIP: _S.SKIPPED,
        _E.CANCEL: _S.CANCELLED,
    },
    _S.UNKNOWN: {_E.SEND: _S.SENT, _E.OPEN: _S.OPEN, _E.FAIL: _S.FAILED, _E.SKIP: _S.SKIPPED, _E.CANCEL: _S.CANCELLED},
    _S.SENT: {},
    # Reopened in the CRM, or undone, while its step is still the current one, or is so again; else the campaign has
    # moved on.
    # A send whose end is undone waits for somebody to let it go on: nothing goes out because of an undo.
    _S.COMPLETED: {_E.REOPEN: _S.OPEN, _E.HOLD: _S.HELD},
    _S.SKIPPED: {_E.REOPEN: _S.OPEN, _E.HOLD: _S.HELD},
    # A task deleted in the CRM is cancelled while its person waits for somebody to decide how to go on.
    _S.CANCELLED: {_E.COMPLETE: _S.COMPLETED, _E.SKIP: _S.SKIPPED, _E.REOPEN: _S.OPEN},
    _S.FAILED: {_E.RELEASE: _S.DUE, _E.SKIP: _S.SKIPPED, _E.CANCEL: _S.CANCELLED},
}

#: Nothing more will be done about it by itself.
CLOSED_STATES = frozenset({_S.SENT, _S.COMPLETED, _S.SKIPPED, _S.CANCELLED})


def next_state(state: IntentState, event: IntentEvent) -> IntentState:
    """Return the state after `event`; raise `ValueError` for a pair the table does not list."""
    try:
        return INTENT_TRANSITIONS[state][event]
    except KeyError:
        raise ValueError(f"an intent that is {state} cannot {event}") from None


def intent_key(enrollment: str, version: str, day: int, step: int) -> str:
    """Return the 32 lowercase hex digits that name an intent everywhere (spec interfaces 3).

    They come from the enrollment, the campaign version, the day and the step alone, never from an attempt.
    """
    identity = f"{enrollment}\n{version}\n{day}.{step}".encode()
    return hashlib.blake2b(identity, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One step that has become due for one person."""

    key: str
    enrollment: str
    campaign: str
    version: str
    person: str
    rep: str
    day: int
    #: Counts within its day from 1.
    step: int
    type: StepType
    mode: Mode
    #: When to act; aware, UTC.
    due: datetime
    #: The local date of the step in the enrollment's zone.
    due_date: date
