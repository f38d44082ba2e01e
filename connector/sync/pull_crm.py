"""Pulling the CRM: what people did to our tasks there becomes facts, stored together with the cursor.

Lives here: `pull_crm`. Does not live here: merging both sides (`tasks.merge`), what follows from a fact (`record`),
writing tasks (`crm`). Source: spec delivery 3.

A cursor moves in the transaction that stores everything before it; a crash reads the same changes again, and each of
them is recognised by what it already did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from connector.errors import AdapterError
from connector.events import Event, EventKind
from connector.intents import IntentEvent, IntentState, Priority
from connector.people import Rep
from connector.ports import Crm, RemoteTask
from connector.store.cursors import read_cursor, save_cursor
from connector.store.database import Transaction
from connector.store.enrollments import read_enrollments
from connector.store.intents import StoredIntent, read_intents, reassign_intent
from connector.store.ledger import append
from connector.store.people import read_people, save_crm_facts
from connector.store.tasks import Dirty, StoredTask, read_tasks, save_tasks
from connector.sync.actions import move_task
from connector.sync.crm import note_task_deleted
from connector.sync.office import Office, TaskSync
from connector.sync.pulled import Pulled, note_lane_problem
from connector.sync.record import end_task, intent_fact
from connector.tasks.merge import MergeResult, TaskValues, merge


def pull_crm(office: Office) -> Pulled:
    """Read changed tasks and take over what people did to them."""
    pulled = Pulled()
    if office.crm is None or office.crm_rules.tasks is not TaskSync.BOTH:
        return pulled
    name = office.crm.capabilities.name
    with office.database.read() as tx:
        cursor = read_cursor(tx, name)
    try:
        pull = office.crm.pull(cursor, tasks=True)
        owners = _owners(office, office.crm, pull.tasks)
    except AdapterError as error:
        note_lane_problem(office, name, error.sentence)
        return pulled.stop(name, error)
    now = office.now()
    with office.database.write() as tx:
        known = read_tasks(tx, [task.key for task in pull.tasks])
        for remote in pull.tasks:
            task = known.get(remote.key)
            if task is not None:
                _take_task(tx, office, task, remote, owners, now, pulled)
        if pull.cursor != cursor:
            save_cursor(tx, name, pull.cursor, now)
    note_lane_problem(office, name, None)
    return pulled


def _owners(office: Office, crm: Crm, tasks: Sequence[RemoteTask]) -> Mapping[str, Rep]:
    """Return the CRM user id of each rep, if some task has another owner than before; asked for only then."""
    with office.database.read() as tx:
        known = read_tasks(tx, [task.key for task in tasks])
    moved = any(
        task.owner not in (None, (known[task.key].synced or {}).get("owner")) for task in tasks if task.key in known
    )
    users = {rep.salesforce_user: rep for rep in office.reps.values() if rep.salesforce_user}
    ids = crm.find_users(sorted(users)) if moved and users else {}
    return {id_: users[name] for name, id_ in ids.items() if name in users}


def _take_task(
    tx: Transaction,
    office: Office,
    task: StoredTask,
    remote: RemoteTask,
    owners: Mapping[str, Rep],
    now: datetime,
    pulled: Pulled,
) -> None:
    if remote.deleted:
        if task.dirty is not Dirty.DELETE:
            pulled.counts["tasks_deleted"] += 1
            save_tasks(tx, [replace(task, remote_id=remote.remote_id, dirty=Dirty.CLEAN, status="deleted")])
            note_task_deleted(tx, task, now)
        return
    if task.dirty is Dirty.DELETE:
        return  # It goes away in this pass; what the CRM still shows of it must not keep it.
    merged = merge(_values(task.synced), _wanted_values(task), remote, office.crm_rules.conflict, ours_at=None)
    taken = _taken(task, remote, merged)
    save_tasks(tx, [taken])
    if taken.wanted.get("who") != task.wanted.get("who"):
        _repoint(tx, task, remote.who or "", now, pulled)
    stored = read_intents(tx, [task.intent or ""]).get(task.intent or "")
    if stored is None:
        return
    for conflict in merged.conflicts:
        pulled.counts["conflicts"] += 1
        data = {"field": conflict.field, "winner": conflict.winner.value, "ours": _plain(conflict.ours)}
        append(tx, [intent_fact(stored, EventKind.CONFLICT, now, theirs=_plain(conflict.theirs), **data)])
    if taken.wanted.get("owner") != task.wanted.get("owner"):
        stored = _reassign(tx, stored, remote.owner or "", owners, now, pulled)
    _follow(tx, office, stored, task, remote, merged.take, now, pulled)


def _taken(task: StoredTask, remote: RemoteTask, merged: MergeResult) -> StoredTask:
    """Return the task once both sides are merged: what is wanted now, and what both hold."""
    wanted, synced = dict(task.wanted), dict(task.synced or {})
    for name in ("closed", "due_date", "priority", "description"):
        value = _plain(merged.take[name]) if name in merged.take else wanted.get(name)
        wanted[name] = value
        if name not in merged.push:
            synced[name] = value
    # A converted lead's tasks hang on its contact, a merged record's on the one that stayed; an owner may have changed.
    for name, theirs in (("who", remote.who), ("owner", remote.owner)):
        if theirs is not None and name in synced and theirs != synced[name]:
            wanted[name] = synced[name] = theirs
    base = synced if task.synced is not None else None
    dirty = task.dirty if wanted != base else Dirty.CLEAN
    return replace(task, wanted=wanted, synced=base, remote_id=remote.remote_id, status=remote.status, dirty=dirty)


def _follow(
    tx: Transaction,
    office: Office,
    stored: StoredIntent,
    task: StoredTask,
    remote: RemoteTask,
    take: Any,
    now: datetime,
    pulled: Pulled,
) -> None:
    """Do what a change in the CRM means for the intent."""
    is_open = stored.state is IntentState.OPEN
    if take.get("closed") is True and is_open:
        pulled.counts["tasks_completed"] += 1
        at = min(remote.completed_at or remote.modified_at, now)
        # The step's own due time, not the task's: one that was snoozed is due later than it was done.
        due = read_enrollments(tx, [stored.intent.enrollment])[stored.intent.enrollment].due
        at = max(at, min(due or at, now))
        end_task(tx, office, stored, IntentEvent.COMPLETE, now, at=at, by="in the CRM")
        return
    if take.get("closed") is False and not is_open:
        # The campaign has moved on: the reopened task is shown, its step is not done a second time.
        append(tx, [intent_fact(stored, EventKind.TASK_REOPENED, now, reason="the campaign has moved on already")])
    if "due_date" in take and is_open and isinstance(take["due_date"], date):
        pulled.counts["tasks_moved"] += 1
        move_task(tx, stored, take["due_date"])
        until = take["due_date"].isoformat()
        append(
            tx, [intent_fact(stored, EventKind.SNOOZED, now, until=until, reason="its due date was moved in the CRM")]
        )
    changed = [(name, take[name]) for name in ("priority", "description") if name in take]
    if remote.status != task.status and not remote.closed and task.status is not None:
        changed.append(("status", remote.status))
    for name, value in changed:
        pulled.counts["tasks_changed"] += 1
        append(tx, [intent_fact(stored, EventKind.TASK_CHANGED, now, field=name, value=str(_plain(value))[:200])])


def _repoint(tx: Transaction, task: StoredTask, record: str, now: datetime, pulled: Pulled) -> None:
    """Follow a person to the CRM record that stands for them now."""
    person = read_people(tx, [task.person]).get(task.person)
    if person is None or person.person.salesforce_id == record:
        return
    pulled.counts["people_repointed"] += 1
    save_crm_facts(tx, [{"email": task.person, "salesforce_id": record, "crm_asked": None}])
    reason = "their lead was converted or merged in the CRM"
    told = Event(at=now, kind=EventKind.PERSON_REPOINTED, person=task.person, reason=reason, data={"record": record})
    append(tx, [told])


def _reassign(
    tx: Transaction, stored: StoredIntent, owner: str, owners: Mapping[str, Rep], now: datetime, pulled: Pulled
) -> StoredIntent:
    """Move a task to the rep that owns it now, if they are known."""
    rep = owners.get(owner)
    pulled.counts["tasks_reassigned"] += 1
    if rep is None or rep.email == stored.intent.rep:
        append(
            tx, [intent_fact(stored, EventKind.TASK_REASSIGNED, now, owner=owner, reason="no rep here has that user")]
        )
        return stored
    append(tx, [intent_fact(stored, EventKind.TASK_REASSIGNED, now, owner=rep.email)])
    reassign_intent(tx, stored.intent.key, rep.email)
    return replace(stored, intent=replace(stored.intent, rep=rep.email))


def _values(fields: Any) -> TaskValues | None:
    if fields is None:
        return None
    due, priority = fields.get("due_date"), fields.get("priority")
    return TaskValues(
        closed=bool(fields.get("closed")),
        due_date=date.fromisoformat(due) if due else None,
        priority=Priority(priority) if priority else None,
        description=fields.get("description") or "",
    )


def _wanted_values(task: StoredTask) -> TaskValues:
    values = _values(task.wanted)
    if values is None:
        raise ValueError(f"task {task.key} wants nothing")
    return values


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
