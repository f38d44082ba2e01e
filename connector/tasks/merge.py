"""Three-way merge of a task with its twin in the CRM, field by field.

Lives here: `merge` and the policies for conflicts (spec delivery 3). Does not live here: reading and writing tasks
(adapters), what a completed or moved task means for the campaign (`sequencing`).

Each field is compared with the value both sides last agreed on. An answer that shows our own write is no change:
both sides changed to the same value. Values without a counterpart here are taken as they stand, shown, never coerced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from connector.intents import Priority
from connector.ports import RemoteTask


class Policy(StrEnum):
    """Who wins when both sides changed a field to different values."""

    #: Status only: a task closed on either side is closed.
    CLOSED_WINS = "closed_wins"
    SALESFORCE = "salesforce"
    CONNECTOR = "connector"
    #: The later change; the CRM when it is not known when ours was made.
    LATEST = "latest"


class Side(StrEnum):
    """The two sides of a merge."""

    SALESFORCE = "salesforce"
    CONNECTOR = "connector"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictPolicy:
    """The `conflict` setting; the defaults are the spec's."""

    status: Policy = Policy.CLOSED_WINS
    due_date: Policy = Policy.SALESFORCE
    priority: Policy = Policy.SALESFORCE
    comments: Policy = Policy.LATEST


_ANY_FIELD = frozenset({Policy.SALESFORCE, Policy.CONNECTOR, Policy.LATEST})

#: Setting -> policies it accepts, for the check of the configuration.
ALLOWED: Mapping[str, frozenset[Policy]] = {
    "status": _ANY_FIELD | {Policy.CLOSED_WINS},
    "due_date": _ANY_FIELD,
    "priority": _ANY_FIELD,
    "comments": _ANY_FIELD,
}

#: Field of a task -> the setting that decides about it.
_SETTINGS = {"closed": "status", "due_date": "due_date", "priority": "priority", "description": "comments"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskValues:
    """The fields that both sides may change. Names are those of `ports.TaskWrite`."""

    closed: bool
    due_date: date | None
    #: A `Priority`, or the org's own word where it has no counterpart here.
    priority: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Both sides changed a field to different values."""

    field: str
    ours: Any
    theirs: Any
    winner: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """What to write to the CRM, what to take from it, and what people should be told."""

    push: Mapping[str, Any] = field(default_factory=dict)
    take: Mapping[str, Any] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()


#: When the values differ: (we changed it, they changed it) -> whose value is taken; None: the policy decides.
_OUTCOMES: dict[tuple[bool, bool], Side | None] = {
    (False, True): Side.SALESFORCE,
    (True, False): Side.CONNECTOR,
    (True, True): None,
}


def values_of(task: RemoteTask) -> TaskValues:
    """Return the CRM's task in our words."""
    word = task.priority.lower()
    return TaskValues(
        closed=task.closed,
        due_date=task.due_date,
        priority=Priority(word) if word in tuple(Priority) else task.priority,
        description=_text(task.description),
    )


def merge(
    base: TaskValues | None,
    ours: TaskValues,
    theirs: RemoteTask,
    policy: ConflictPolicy,
    *,
    ours_at: datetime | None = None,
    status: str | None = None,
) -> MergeResult:
    """Return what each side must take from the other.

    `base` is what both last agreed on; None when they never met: then every difference is a conflict.
    `ours_at` is when a person last changed our side (aware), for the policy `latest`; `status` is the org's status word
    as last seen, so that one without a counterpart is a change too. A deleted task is not merged; afterwards the base
    is what the CRM has (`values_of`).
    """
    remote = values_of(theirs)
    push: dict[str, Any] = {}
    take: dict[str, Any] = {}
    conflicts: list[Conflict] = []
    for name, setting in _SETTINGS.items():
        mine, their = _value(ours, name), _value(remote, name)
        if mine == their or name in theirs.hidden:
            continue
        winner = _OUTCOMES[_changed(base, name, mine, their, reworded=status not in (None, theirs.status))]
        if winner is None:
            winner = _winner(getattr(policy, setting), ours, ours_at, theirs)
            conflicts.append(Conflict(field=name, ours=mine, theirs=their, winner=winner))
        if winner is Side.CONNECTOR:
            push[name] = mine
        else:
            take[name] = their
    return MergeResult(push=push, take=take, conflicts=tuple(conflicts))


def _changed(base: TaskValues | None, name: str, mine: Any, their: Any, *, reworded: bool) -> tuple[bool, bool]:
    """Tell whether we changed a field, and whether they did."""
    if base is None:
        return True, True
    before = _value(base, name)
    # An open status that reads otherwise than before ("In Progress") is their change, though it is as open as ours was.
    return mine != before, their != before or (name == "closed" and reworded)


def _value(values: TaskValues, name: str) -> Any:
    value = getattr(values, name)
    return _text(value) if name == "description" else value


def _text(text: str) -> str:
    # The CRM trims long text and may change how lines end; neither is an edit.
    return "\n".join(text.splitlines()).strip()


def _winner(policy: Policy, ours: TaskValues, ours_at: datetime | None, theirs: RemoteTask) -> Side:
    if policy is Policy.CLOSED_WINS:
        return Side.CONNECTOR if ours.closed else Side.SALESFORCE
    if policy is Policy.LATEST:
        # The CRM stamps whole seconds: within one, nobody was provably later.
        ours_later = ours_at is not None and ours_at.replace(microsecond=0) > theirs.modified_at
        return Side.CONNECTOR if ours_later else Side.SALESFORCE
    return Side(policy.value)
