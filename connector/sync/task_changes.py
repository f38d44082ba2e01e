"""What people did to our tasks in the CRM becomes facts here.

Lives here: `TaskChanges`, what each change of a task means for its intent, and `note_task_deleted`. Does not live here:
reading the CRM (`pull_crm`), who wins a conflict (`tasks.merge`), what follows from a fact (`record`).
Source: spec delivery 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from connector.events import EventKind
from connector.intents import CLOSED_STATES, IntentEvent, IntentState, Priority
from connector.people import Rep
from connector.ports import RemoteTask
from connector.store.database import Transaction
from connector.store.enrollments import read_enrollments
from connector.store.intents import StoredIntent, move_intent, read_intents, reassign_intent
from connector.store.ledger import append
from connector.store.people import read_people, save_crm_facts
from connector.store.tasks import DELETED, Dirty, StoredTask, save_tasks
from connector.sync.actions import move_task
from connector.sync.assigning import move_draft
from connector.sync.office import Office
from connector.sync.pulled import Pulled
from connector.sync.record import IN_CRM, end_task, intent_fact
from connector.tasks.merge import MergeResult, TaskValues, merge, values_of

#: Fields of a task that both sides may change; the others are ours alone, or follow the CRM.
_SHARED = ("closed", "due_date", "priority", "description")

#: States that a reopened or undeleted task's step comes back from, while it is still the current one.
_MAY_COME_BACK = (IntentState.COMPLETED, IntentState.SKIPPED, IntentState.CANCELLED)

_MOVED_ON = "the campaign has moved on already"
_OPEN_AGAIN = "its step is still the current one, so it is open again"

#: Characters of a value that a line of the feed holds.
_SHOWN = 200


def note_task_deleted(tx: Transaction, task: StoredTask, now: datetime) -> None:
    """Cancel the intent of a task that a user deleted; its person waits for a decision."""
    save_tasks(tx, [replace(task.settled(), status=DELETED)])
    stored = read_intents(tx, [task.intent or ""]).get(task.intent or "")
    if stored is None or stored.state in CLOSED_STATES:
        return
    reason = f"its task was deleted in the CRM: 'connector tasks skip {stored.intent.key[:8]}' goes on without it"
    move_intent(tx, stored.intent.key, IntentEvent.CANCEL, problem=reason)
    append(tx, [intent_fact(stored, EventKind.TASK_DELETED, now, reason=reason)])


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChanges:
    """Takes over what one pull brought, in the transaction that moves its cursor."""

    tx: Transaction
    office: Office
    #: CRM user id -> rep; asked for only when a task has another owner than before.
    owners: Mapping[str, Rep]
    now: datetime
    pulled: Pulled

    def take(self, task: StoredTask, remote: RemoteTask) -> None:
        """Take one task over as the CRM has it now."""
        if task.dirty is Dirty.DELETE:
            return  # It goes away in this pass; what the CRM still shows of it must not keep it.
        if remote.deleted:
            if task.status != DELETED:
                self.pulled.counts["tasks_deleted"] += 1
                note_task_deleted(self.tx, replace(task, remote_id=remote.remote_id), self.now)
            return
        stored = read_intents(self.tx, [task.intent or ""]).get(task.intent or "")
        if task.status == DELETED:
            stored = self._restored(stored)
            task = replace(task, status=None)
        merged = merge(
            _values(task.synced),
            _wanted_values(task),
            remote,
            self.office.crm_rules.conflict,
            ours_at=task.changed,
            status=task.status,
        )
        taken = _taken(task, remote, merged)
        owner = task.wanted.get("owner")
        moved_to = self.owners.get(taken.wanted.get("owner") or "")
        if owner not in (None, taken.wanted.get("owner")) and moved_to is not None:
            taken = replace(taken, rep=moved_to.email)
        save_tasks(self.tx, [taken])
        self._follow_person(task, remote, stored)
        if stored is None:
            return
        self._tell_conflicts(stored, merged)
        if owner not in (None, taken.wanted.get("owner")):
            stored = self._reassigned(stored, taken.wanted["owner"], moved_to)
        self._follow(stored, task, remote, merged.take)

    def _restored(self, stored: StoredIntent | None) -> StoredIntent | None:
        """Say that a task was undeleted; its step is open again unless the campaign has moved on."""
        self.pulled.counts["tasks_restored"] += 1
        if stored is None:
            return None
        stored, reason = self._brought_back(stored)
        append(self.tx, [intent_fact(stored, EventKind.TASK_RESTORED, self.now, reason=reason)])
        return stored

    def _brought_back(self, stored: StoredIntent) -> tuple[StoredIntent, str]:
        enrollment = read_enrollments(self.tx, [stored.intent.enrollment])[stored.intent.enrollment]
        waits = not enrollment.has_ended and enrollment.intent == stored.intent.key
        if waits and stored.state in _MAY_COME_BACK:
            return move_intent(self.tx, stored.intent.key, IntentEvent.REOPEN), _OPEN_AGAIN
        return stored, _MOVED_ON

    def _tell_conflicts(self, stored: StoredIntent, merged: MergeResult) -> None:
        for conflict in merged.conflicts:
            self.pulled.counts["conflicts"] += 1
            data = {"field": conflict.field, "winner": conflict.winner.value, "ours": _plain(conflict.ours)}
            told = intent_fact(stored, EventKind.CONFLICT, self.now, theirs=_plain(conflict.theirs), **data)
            append(self.tx, [told])

    def _follow(self, stored: StoredIntent, task: StoredTask, remote: RemoteTask, take: Mapping[str, Any]) -> None:
        """Do what a change in the CRM means for the intent."""
        is_open = stored.state is IntentState.OPEN
        completes = take.get("closed") is True and is_open
        due = take.get("due_date")
        moves = is_open and not completes
        if isinstance(due, date) and moves:
            self.pulled.counts["tasks_moved"] += 1
            move_task(self.tx, stored, due)
            reason = "its due date was moved in the CRM"
            append(self.tx, [intent_fact(stored, EventKind.SNOOZED, self.now, until=due.isoformat(), reason=reason)])
        shown = [name for name in ("due_date", "priority", "description") if name in take]
        changed = [(name, take[name]) for name in shown if not (moves and name == "due_date" and due is not None)]
        if _is_reworded(task, remote, take, is_open=is_open):
            changed.append(("status", remote.status))
        for name, value in changed:
            self._tell_changed(stored, name, value)
        if completes:
            self._complete(stored, remote)
        elif take.get("closed") is False and not is_open:
            self.pulled.counts["tasks_reopened"] += 1
            stored, reason = self._brought_back(stored)
            append(self.tx, [intent_fact(stored, EventKind.TASK_REOPENED, self.now, reason=reason)])

    def _tell_changed(self, stored: StoredIntent, name: str, value: Any) -> None:
        self.pulled.counts["tasks_changed"] += 1
        said = "blank" if value in (None, "") else str(_plain(value))[:_SHOWN]
        append(self.tx, [intent_fact(stored, EventKind.TASK_CHANGED, self.now, field=name, value=said)])

    def _complete(self, stored: StoredIntent, remote: RemoteTask) -> None:
        self.pulled.counts["tasks_completed"] += 1
        at = min(remote.completed_at or remote.modified_at, self.now)
        # The step's own due time, not the task's: one that was snoozed is due later than it was done.
        due = read_enrollments(self.tx, [stored.intent.enrollment])[stored.intent.enrollment].due
        at = max(at, min(due or at, self.now))
        end_task(self.tx, self.office, stored, IntentEvent.COMPLETE, self.now, at=at, by=IN_CRM)

    # ------------------------------------------------------------------------------- whom it concerns

    def _follow_person(self, task: StoredTask, remote: RemoteTask, stored: StoredIntent | None) -> None:
        """Say that a task points at somebody else; where a person stands now is what the pull says of people."""
        if remote.who is None or task.wanted.get("who") in (None, remote.who):
            return
        person = read_people(self.tx, [task.person]).get(task.person)
        if person is None or person.person.salesforce_id == remote.who:
            return
        # Converted or merged, perhaps, where nobody told us: the CRM is asked before the person's next write.
        save_crm_facts(self.tx, [{"email": task.person, "crm_asked": None}])
        if stored is not None:
            self._tell_changed(stored, "person", remote.who)

    def _reassigned(self, stored: StoredIntent, owner: str, rep: Rep | None) -> StoredIntent:
        """Move a task to the rep that owns it now, if they are known."""
        self.pulled.counts["tasks_reassigned"] += 1
        if rep is None:
            reason = "no rep here has that user"
            append(self.tx, [intent_fact(stored, EventKind.TASK_REASSIGNED, self.now, owner=owner, reason=reason)])
            return stored
        reason = "" if rep.email == stored.intent.rep else move_draft(self.tx, self.office, stored, rep, self.now)
        append(self.tx, [intent_fact(stored, EventKind.TASK_REASSIGNED, self.now, owner=rep.email, reason=reason)])
        reassign_intent(self.tx, stored.intent.key, rep.email)
        return replace(stored, intent=replace(stored.intent, rep=rep.email))


def _is_reworded(task: StoredTask, remote: RemoteTask, take: Mapping[str, Any], *, is_open: bool) -> bool:
    """Tell whether the org's status word is news that no other line tells."""
    if "closed" in take:
        return take["closed"] is True and not is_open
    return task.status not in (None, remote.status) and not remote.closed


def _taken(task: StoredTask, remote: RemoteTask, merged: MergeResult) -> StoredTask:
    """Return the task once both sides are merged: what is wanted now, and what the CRM has."""
    wanted, synced = dict(task.wanted), dict(task.synced or {})
    theirs = values_of(remote)
    for name in _SHARED:
        if name in remote.hidden:
            continue
        if name in merged.take:
            wanted[name] = _plain(merged.take[name])
        # Equal by rule is equal: their line ends are not ours to correct.
        settled = name in merged.push
        synced[name] = _plain(getattr(theirs, name)) if settled else wanted.get(name)
    # A converted lead's tasks hang on its contact, a merged record's on the one that stayed; an owner may have changed.
    for name, now_there in (("who", remote.who), ("owner", remote.owner)):
        if now_there is not None and synced.get(name) != now_there:
            wanted[name] = synced[name] = now_there
    if wanted.get("kind") is not None and not wanted.get("closed"):
        wanted["kind"] = None  # It stands for something done, and it is to be done again.
    taken = replace(task, wanted=wanted, synced=synced, remote_id=remote.remote_id, status=remote.status)
    # Without an owner it was given to another rep here, whose user is filled in before it is written.
    given = "owner" in synced and "owner" not in wanted
    differs = given or any(name not in synced or synced[name] != value for name, value in wanted.items())
    return replace(taken, dirty=Dirty.WRITE) if differs else taken.settled()


def _values(fields: Mapping[str, Any] | None) -> TaskValues | None:
    if fields is None:
        return None
    due = fields.get("due_date")
    return TaskValues(
        closed=bool(fields.get("closed")),
        due_date=date.fromisoformat(due) if due else None,
        priority=fields.get("priority") or Priority.NORMAL,
        description=fields.get("description") or "",
    )


def _wanted_values(task: StoredTask) -> TaskValues:
    values = _values(task.wanted)
    if values is None:
        raise ValueError(f"task {task.key} wants nothing")
    return values


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
