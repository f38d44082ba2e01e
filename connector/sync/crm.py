"""The CRM lane: tasks are addressed and written, in the fewest calls.

Lives here: `push_tasks`. Does not live here: what is wanted (`mirror`), people (`crm_people`), reading tasks back
(`pull_crm`). Source: spec delivery 1 to 3.

Writes are upserts on the intent key, so a lost answer needs no look-up: the same values are written again. The CRM
cannot be asked to refuse a write when somebody was faster, so what changed there is read directly before tasks that
exist are written to; only an edit between these two calls can still be written over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from connector.errors import AdapterError, Reconnect, Refused, Retry, Stale
from connector.events import Event, EventKind
from connector.intents import Priority, StepType
from connector.people import Rep
from connector.ports import ActivityKind, Crm, TaskWrite, Written
from connector.store.database import Transaction
from connector.store.lanes import FencedError, Lease, guard, read_pacing, release, save_pacing, take
from connector.store.ledger import append
from connector.store.people import StoredPerson, read_people, save_crm_facts
from connector.store.tasks import (
    DELETED,
    Dirty,
    StoredTask,
    mark_written,
    postpone_tasks,
    read_dirty,
    read_tasks,
    save_tasks,
)
from connector.sync.crm_lane import HELD_BACK, LATER, is_short, may_wait, wait_after
from connector.sync.crm_people import is_fresh, resolve_people, several_records
from connector.sync.office import Office, TaskSync
from connector.sync.pull_crm import not_ready, take_changes
from connector.sync.pulled import Pulled
from connector.sync.task_changes import note_task_deleted

#: Ends a description that is too long for the CRM.
_CUT = "\n[...] (cut: too long for the CRM)"

#: People named in one sentence.
_NAMED = 5

#: Tasks read at a time: several full calls, little memory.
BATCH = 2000


@dataclass(slots=True, kw_only=True)
class Pushed:
    """What one push came to."""

    written: int = 0
    deleted: int = 0
    #: What the look before the write brought.
    pulled: Pulled = field(default_factory=Pulled)
    #: User of a rep -> their id, asked for once a pass; None for one whom the CRM does not know.
    users: dict[str, str | None] = field(default_factory=dict)
    #: Tasks that were addressed anew, because what they had pointed at has changed.
    stale: set[str] = field(default_factory=set)
    #: People without a record, whose tasks were made without them.
    unknown: set[str] = field(default_factory=set)
    #: Whether a call was refused as a whole.
    refused: bool = False
    attention: list[str] = field(default_factory=list)
    #: Who must sign in again: the account, or reps who sign in one by one.
    reconnect: list[Reconnect] = field(default_factory=list)


def push_tasks(office: Office, *, owner: str = "sync") -> Pushed:
    """Write every dirty task that is due to be written."""
    pushed = Pushed()
    if office.crm is None or not office.mirrors_tasks:
        return pushed
    lane = office.crm.capabilities.name
    with office.database.write() as tx:
        lease = take(tx, lane, owner)
        pacing = read_pacing(tx, lane)
    if lease is None or (pacing.blocked_until is not None and pacing.blocked_until > office.now()):
        return pushed
    try:
        unready = not_ready(office.crm)
        if unready is not None:
            # Not blocked: once it is mended, the next pass goes on.
            pushed.attention.append(f"{lane}: {unready.sentence}")
            _note_problem(office, lease, unready, None)
            return pushed
        while _push_batch(office, office.crm, lease, pushed):
            pass
        if (pushed.written or pushed.deleted) and not pushed.refused:
            _note_problem(office, lease, None, None)
    except Retry as error:
        pushed.attention.append(f"{lane}: {error.sentence}")
        _note_problem(office, lease, error, office.now() + (error.after or LATER))
    except Reconnect as error:
        pushed.attention.append(f"{lane}: {error.sentence}")
        pushed.reconnect.append(error)
        _note_problem(office, lease, error, None)
    except FencedError:
        pushed.attention.append(f"{lane}: another worker took over; what is left goes on there")
    finally:
        with office.database.write() as tx:
            release(tx, lease)
    if pushed.unknown:
        pushed.attention.append(_nobody(lane, sorted(pushed.unknown)))
    return pushed


def _push_batch(office: Office, crm: Crm, lease: Lease, pushed: Pushed) -> bool:
    now = office.now()
    with office.database.read() as tx:
        batch = read_dirty(tx, now, BATCH)
    if not batch:
        return False
    held = [task for task in batch if is_short(office) and may_wait(task)]
    if held:
        with office.database.write() as tx:
            guard(tx, lease)
            postpone_tasks(tx, [task.key for task in held], now + HELD_BACK)
        return True
    try:
        _write_batch(office, crm, lease, batch, pushed)
    except Refused as error:
        # Refused as a whole, so each of them is: reading goes on, and they are tried again like any other.
        pushed.refused = True
        pushed.attention.append(f"{lease.lane}: {error.sentence}")
        _note_problem(office, lease, error, None)
        with office.database.write() as tx:
            guard(tx, lease)
            for task in read_tasks(tx, [task.key for task in batch]).values():
                if task.dirty is not Dirty.CLEAN:
                    _note_refusal(tx, task, error, now, pushed)
    return True


def _write_batch(office: Office, crm: Crm, lease: Lease, batch: Sequence[StoredTask], pushed: Pushed) -> None:
    now = office.now()
    deleted = [task for task in batch if task.dirty is Dirty.DELETE]
    if deleted:
        _delete(office, crm, lease, deleted, pushed)
    batch = _addressed(office, crm, [task for task in batch if task.dirty is Dirty.WRITE], now, pushed)
    if office.crm_rules.tasks is TaskSync.BOTH and any(task.synced is not None for task in batch):
        take_changes(office, crm, pushed.pulled, tasks=True)
        batch = _still_to_write(office, batch)
    if not batch:
        return
    with office.database.read() as tx:
        people = read_people(tx, sorted({task.person for task in batch}))
    writes = {task.key: _write(task, people.get(task.person)) for task in batch}
    # Written by halves to fill each call; the adapter keeps new and known tasks apart.
    results = crm.push_tasks([write for write in writes.values() if write.fields])
    errors = {result.key: result.error for result in results if result.error is not None}
    said = {result.key: result for result in results}
    with office.database.write() as tx:
        guard(tx, lease)
        done = [task for task in batch if task.key not in errors]
        mark_written(tx, [_as_written(task, said.get(task.key)) for task in done])
        # Read anew: a task may have been completed or moved while it was written.
        for key, task in read_tasks(tx, list(errors)).items():
            _note_refusal(tx, task, errors[key], now, pushed)
    pushed.written += sum(1 for task in done if writes[task.key].fields)
    pushed.unknown |= {task.person for task in done if task.synced is None and "who" not in task.wanted}


def _fitting(crm: Crm, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return fields with a description as long as the CRM takes it: what comes back is then what was written."""
    most = crm.capabilities.description_length
    units = (wanted.get("description") or "").encode("utf-16-le")
    if len(units) <= 2 * most:
        return wanted
    # Counted as the narrowest do, in UTF-16: a character outside the basic plane is two.
    kept = units[: 2 * (most - len(_CUT))].decode("utf-16-le", errors="ignore")
    return {**wanted, "description": kept + _CUT}


def _still_to_write(office: Office, batch: Sequence[StoredTask]) -> list[StoredTask]:
    with office.database.read() as tx:
        present = read_tasks(tx, [task.key for task in batch])
    return [task for task in present.values() if task.dirty is Dirty.WRITE]


def _as_written(task: StoredTask, said: Written | None) -> tuple[str, Mapping[str, Any], str | None, str | None]:
    remote_id, status = (None, "") if said is None else (said.remote_id, said.status)
    return task.key, task.wanted, remote_id, status or None


def _addressed(
    office: Office, crm: Crm, batch: Sequence[StoredTask], now: datetime, pushed: Pushed
) -> list[StoredTask]:
    """Return tasks with the CRM ids of their person and owner filled in, saved as wanted.

    Left out and noted: those whose rep names a user that the CRM does not know, and those for whose person several
    records stand. A task in the wrong hands, or on the wrong record, is worse than one that waits.
    """
    users = pushed.users
    with office.database.read() as tx:
        people = read_people(tx, sorted({task.person for task in batch}))
    unasked = [
        email
        for email, stored in people.items()
        if stored.crm_asked is None
        or (not stored.person.salesforce_id and (stored.crm_ambiguous or not is_fresh(stored, now)))
    ]
    resolve_people(office, unasked, now)
    with office.database.read() as tx:
        people = read_people(tx, sorted({task.person for task in batch}))
    owned = [rep for task in batch if "owner" not in task.wanted and (rep := office.reps.get(task.rep)) is not None]
    names = sorted({rep.salesforce_user for rep in owned} - users.keys() - {""})
    if names:
        found = crm.find_users(names)
        users |= {name: found.get(name) for name in names}
    filled: dict[str, dict[str, Any]] = {}
    waits: dict[str, Refused] = {}
    for task in batch:
        wanted = dict(task.wanted)
        rep = office.reps.get(task.rep)
        owner = users.get(rep.salesforce_user) if rep is not None else None
        if "owner" not in wanted and owner is not None:
            wanted["owner"] = owner
        elif "owner" not in wanted and rep is not None and rep.salesforce_user:
            waits[task.key] = _no_user(rep)
        person = people.get(task.person)
        if "who" not in wanted and person is not None:
            if person.person.salesforce_id:
                wanted["who"] = person.person.salesforce_id
            elif person.crm_ambiguous and task.synced is None:
                waits[task.key] = several_records(person.crm_ambiguous)
        filled[task.key] = {name: value for name, value in wanted.items() if name not in task.wanted}
    with office.database.write() as tx:
        # Read anew: a task may have been completed or moved while the CRM was asked.
        present = read_tasks(tx, list(filled))
        addressed = [
            replace(task, wanted={**filled[key], **_fitting(crm, task.wanted)}) for key, task in present.items()
        ]
        save_tasks(tx, [task for task in addressed if task.wanted != present[task.key].wanted])
        for task in addressed:
            if task.key in waits:
                _note_refusal(tx, task, waits[task.key], now, pushed)
    return [task for task in addressed if task.dirty is Dirty.WRITE and task.key not in waits]


def _nobody(lane: str, emails: Sequence[str]) -> str:
    more = f" and {len(emails) - _NAMED} more" if len(emails) > _NAMED else ""
    named = ", ".join(emails[:_NAMED])
    return f"{lane}: no record has the address of {named}{more}: their tasks say nobody until a look-up finds one"


def _no_user(rep: Rep) -> Refused:
    return Refused(
        f"the CRM knows no active user '{rep.salesforce_user}' for rep {rep.email}: check salesforce_user of the rep",
        code="unknown_owner",
        advice="Put the right user into connector.yaml or activate them, then 'connector diagnostics retry --all'.",
    )


def _write(task: StoredTask, person: StoredPerson | None) -> TaskWrite:
    synced = task.synced or {}
    create = task.synced is None
    names = [name for name, value in task.wanted.items() if create or (name not in synced or synced[name] != value)]
    values = {name: _neutral(name, task.wanted[name]) for name in names if create or name != "subtype"}
    return TaskWrite(
        key=task.key, rep=task.rep, create=create, fields=values, account=person.account if person else None
    )


def _neutral(name: str, value: Any) -> Any:
    """Turn a stored value into the port's type."""
    if value is None:
        return None
    match name:
        case "due_date":
            return date.fromisoformat(value)
        case "reminder_at":
            return datetime.fromisoformat(value)
        case "priority":
            return Priority(value) if value in tuple(Priority) else value
        case "subtype":
            return StepType(value)
        case "kind":
            return ActivityKind(value)
        case _:
            return value


def _delete(office: Office, crm: Crm, lease: Lease, tasks: Sequence[StoredTask], pushed: Pushed) -> None:
    results = crm.delete_tasks([task.remote_id for task in tasks if task.remote_id])
    failed = {result.key: result.error for result in results if result.error is not None}
    with office.database.write() as tx:
        guard(tx, lease)
        for task in read_tasks(tx, [task.key for task in tasks]).values():
            error = failed.get(task.remote_id or "")
            if error is None:
                save_tasks(tx, [replace(task.settled(), status=DELETED)])
            else:
                _note_refusal(tx, task, error, office.now(), pushed)
            pushed.deleted += error is None


def _note_refusal(tx: Transaction, task: StoredTask, error: AdapterError, now: datetime, pushed: Pushed) -> None:
    """Note one task the CRM did not take; the others go on."""
    if isinstance(error, Refused) and error.code == "gone":
        note_task_deleted(tx, task, now)
        return
    if isinstance(error, Stale) and task.key not in pushed.stale:
        # Their lead was converted since we asked, say: ask again, and address the task anew in this pass.
        pushed.stale.add(task.key)
        save_crm_facts(tx, [{"email": task.person, "crm_asked": None}])
        # Whose task it is stays: somebody there may have given it to another than our rep.
        ours = ("who", "owner") if task.synced is None else ("who",)
        wanted = {name: value for name, value in task.wanted.items() if name not in ours}
        save_tasks(tx, [replace(task, wanted=wanted)])
        return
    if isinstance(error, Reconnect) and all(known.account != error.account for known in pushed.reconnect):
        pushed.reconnect.append(error)
        pushed.attention.append(f"{error.account}: {error.sentence}")
    save_tasks(tx, [task.refused(error, now, due=now + wait_after(error))])
    if isinstance(error, Refused) and task.problem != error.sentence:
        refused = Event(
            at=now,
            kind=EventKind.CRM_REFUSED,
            person=task.person,
            rep=task.rep,
            intent=task.intent,
            reason=error.code,
            data={"message": error.sentence},
        )
        append(tx, [refused])


def _note_problem(office: Office, lease: Lease, error: AdapterError | None, blocked_until: datetime | None) -> None:
    with office.database.write() as tx:
        pacing = read_pacing(tx, lease.lane)
        sentence = None if error is None else error.sentence
        if (pacing.problem, pacing.blocked_until) != (sentence, blocked_until):
            save_pacing(tx, lease.lane, replace(pacing, problem=sentence, blocked_until=blocked_until))
