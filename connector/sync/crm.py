"""The CRM lane: people are looked up, tasks and opt-outs are written, in the fewest calls.

Lives here: `push_tasks`, `resolve_people`, `ask_before_writing`, `push_people`. Does not live here: what is
wanted (`mirror`), reading tasks back (`pull`). Source: spec delivery 1 to 3.

Writes are upserts on the intent key, so a lost answer needs no look-up: the same values are written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from connector.errors import AdapterError, Reconnect, Refused, Retry, Stale
from connector.events import Event, EventKind
from connector.intents import CLOSED_STATES, IntentEvent, Mode, Priority, StepType
from connector.ports import Crm, CrmPerson, PersonWrite, TaskWrite
from connector.store.crm_people import mark_people_written, note_person_refused, read_dirty_people
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, move_intent, read_intents
from connector.store.lanes import FencedError, Lease, guard, read_pacing, release, save_pacing, take
from connector.store.ledger import append
from connector.store.people import StoredPerson, mark_person, read_people, save_crm_facts
from connector.store.tasks import Dirty, StoredTask, mark_written, read_dirty, read_tasks, save_tasks
from connector.sync.office import Office
from connector.sync.record import intent_fact
from connector.tasks.matching import match_person

#: Tasks read at a time: several full calls, little memory.
BATCH = 2000

#: How long an answer about a person is believed; asked again only for somebody who must be written to.
_BELIEVED = timedelta(hours=12)

#: Wait after a refusal that an administrator must mend, and when the CRM says "later" without saying when.
_REFUSED_WAIT = timedelta(hours=1)
_LATER = timedelta(minutes=1)


@dataclass(slots=True, kw_only=True)
class Pushed:
    """What one push came to."""

    written: int = 0
    deleted: int = 0
    attention: list[str] = field(default_factory=list)
    reconnect: Reconnect | None = None


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
        while _push_batch(office, office.crm, lease, pushed):
            pass
        if pushed.written or pushed.deleted:
            _note_problem(office, lease, None, None)
    except Retry as error:
        pushed.attention.append(f"{lane}: {error.sentence}")
        _note_problem(office, lease, error, office.now() + (error.after or _LATER))
    except Reconnect as error:
        pushed.attention.append(f"{lane}: {error.sentence}")
        pushed.reconnect = error
        _note_problem(office, lease, error, None)
    except Refused as error:
        pushed.attention.append(f"{lane}: {error.sentence}")
        _note_problem(office, lease, error, office.now() + _REFUSED_WAIT)
    except FencedError:
        pushed.attention.append(f"{lane}: another worker took over; what is left goes on there")
    finally:
        with office.database.write() as tx:
            release(tx, lease)
    return pushed


def resolve_people(office: Office, emails: Sequence[str], now: datetime, *, fields: Sequence[str] = ()) -> None:
    """Ask the CRM who these people are, in bulk: by id, else by exact address; several hits are listed, not guessed."""
    if office.crm is None or not emails:
        return
    with office.database.read() as tx:
        known = read_people(tx, sorted(set(emails)))
    ids = [stored.person.salesforce_id for stored in known.values() if stored.person.salesforce_id]
    addresses = [stored.person.email for stored in known.values() if not stored.person.salesforce_id]
    hits = office.crm.find_people(ids=ids, emails=addresses, fields=fields)
    facts, told = [], []
    for stored in known.values():
        match = match_person(stored.person, hits)
        facts.append(_facts(stored, match.found, match.ambiguous, now))
        if match.ambiguous and tuple(match.ambiguous) != stored.crm_ambiguous:
            records = ", ".join(match.ambiguous)
            told.append(
                Event(
                    at=now,
                    kind=EventKind.PERSON_AMBIGUOUS,
                    person=stored.person.email,
                    reason="nobody is guessed: put the right salesforce_id into the people file",
                    data={"records": records},
                )
            )
    with office.database.write() as tx:
        save_crm_facts(tx, facts)
        append(tx, told)
        for stored in known.values():
            person = match_person(stored.person, hits).found
            if person is not None and person.opted_out and stored.opted_out is None:
                # Opt-out on either side wins (spec delivery 6); the campaign ends at its next step.
                mark_person(tx, stored.person.email, opted_out=now)


def ask_before_writing(office: Office, due: Sequence[StoredIntent], now: datetime) -> None:
    """Ask the CRM, in bulk, about the people who are about to be written to; raise `AdapterError` when it cannot tell.

    For an automatic email: whether they opted out there. For any template: the `sfdc.` fields it reads.
    """
    if office.crm is None:
        return
    with office.database.read() as tx:
        wanted: dict[str, set[str]] = {}
        for stored in due:
            fields = crm_fields_wanted(office, tx, stored)
            if fields or stored.intent.mode is Mode.SEND:
                wanted.setdefault(stored.intent.person, set()).update(fields)
        people = read_people(tx, sorted(wanted))
    asked = [
        email
        for email, fields in wanted.items()
        if (person := people.get(email)) is not None and not (fields <= set(person.crm_fields) and _fresh(person, now))
    ]
    if asked:
        names = sorted(set().union(*(wanted[email] for email in asked)))
        resolve_people(office, asked, now, fields=names)


def crm_fields_wanted(office: Office, tx: Transaction, stored: StoredIntent) -> set[str]:
    """Return the CRM field names that an intent's campaign reads as `sfdc.<Field>`."""
    prefix = "sfdc."
    fields = office.book.pinned(tx, stored.intent.campaign, stored.intent.version).fields
    return {path.removeprefix(prefix) for path in fields if path.startswith(prefix)}


def push_people(office: Office, now: datetime) -> list[str]:
    """Tell the CRM what it must know of people; return sentences about those it could not be told of.

    What it cannot be told stays due and is tried again by a later pass.
    """
    with office.database.read() as tx:
        due = {one.email: one for one in read_dirty_people(tx, now, BATCH)}
    if office.crm is None or not due:
        return []
    later = now + _REFUSED_WAIT
    problems: dict[str, AdapterError] = {}
    try:
        resolve_people(office, list(due), now)
        with office.database.read() as tx:
            people = read_people(tx, list(due))
        ids = {stored.person.salesforce_id: email for email, stored in people.items()}
        ids.pop("", None)
        results = office.crm.push_people([PersonWrite(id=id_, fields=due[email].wanted) for id_, email in ids.items()])
        problems = {
            ids[result.key]: result.error for result in results if result.error is not None and result.key in ids
        }
    except AdapterError as error:
        later = now + (error.after or _LATER) if isinstance(error, Retry) else later
        problems = dict.fromkeys(due, error)
    with office.database.write() as tx:
        mark_people_written(tx, [(email, one.wanted) for email, one in due.items() if email not in problems])
        for email, problem in problems.items():
            note_person_refused(tx, email, problem, now, due=later)
    return [
        f"the CRM does not know yet that {email} opted out, and will be told again: {problem.sentence}"
        for email, problem in problems.items()
    ]


def _fresh(person: StoredPerson, now: datetime) -> bool:
    return person.crm_asked is not None and now - person.crm_asked < _BELIEVED


def _facts(stored: StoredPerson, found: CrmPerson | None, ambiguous: Sequence[str], now: datetime) -> dict[str, Any]:
    return {
        "email": stored.person.email,
        "salesforce_id": found.id if found else stored.person.salesforce_id,
        "account": found.account_id if found else stored.account,
        "crm_fields": {**stored.crm_fields, **found.fields} if found else None,
        "crm_asked": now,
        "crm_ambiguous": list(ambiguous) or None,
    }


def _push_batch(office: Office, crm: Crm, lease: Lease, pushed: Pushed) -> bool:
    now = office.now()
    with office.database.read() as tx:
        batch = read_dirty(tx, now, BATCH)
    if not batch:
        return False
    deleted = [task for task in batch if task.dirty is Dirty.DELETE]
    if deleted:
        _delete(office, crm, lease, deleted, pushed)
    batch = _addressed(office, crm, [task for task in batch if task.dirty is Dirty.WRITE], now)
    if not batch:
        return True
    with office.database.read() as tx:
        people = read_people(tx, sorted({task.person for task in batch}))
    writes = {task.key: _write(task, people.get(task.person)) for task in batch}
    # Written by halves to fill each call; the adapter keeps new and known tasks apart.
    results = crm.push_tasks([write for write in writes.values() if write.fields])
    errors = {result.key: result.error for result in results if result.error is not None}
    remote = {result.key: result.remote_id for result in results}
    with office.database.write() as tx:
        guard(tx, lease)
        done = [task for task in batch if task.key not in errors]
        mark_written(tx, [(task.key, task.wanted, remote.get(task.key)) for task in done])
        # Read anew: a task may have been completed or moved while it was written.
        for key, task in read_tasks(tx, list(errors)).items():
            _note_refusal(tx, task, errors[key], now)
    pushed.written += sum(1 for task in done if writes[task.key].fields)
    return True


def _addressed(office: Office, crm: Crm, batch: Sequence[StoredTask], now: datetime) -> list[StoredTask]:
    """Return tasks with the CRM ids of their person and owner filled in, saved as wanted."""
    with office.database.read() as tx:
        people = read_people(tx, sorted({task.person for task in batch}))
    unasked = [
        email
        for email, stored in people.items()
        if not _fresh(stored, now) and (not stored.person.salesforce_id or stored.crm_asked is None)
    ]
    resolve_people(office, unasked, now)
    with office.database.read() as tx:
        people = read_people(tx, sorted({task.person for task in batch}))
    names = sorted({user for task in batch if (rep := office.reps.get(task.rep)) and (user := rep.salesforce_user)})
    users = crm.find_users(names) if names else {}
    filled: dict[str, dict[str, Any]] = {}
    for task in batch:
        wanted = dict(task.wanted)
        rep = office.reps.get(task.rep)
        if "owner" not in wanted and rep is not None and rep.salesforce_user in users:
            wanted["owner"] = users[rep.salesforce_user]
        person = people.get(task.person)
        if "who" not in wanted and person is not None and person.person.salesforce_id:
            wanted["who"] = person.person.salesforce_id
        filled[task.key] = {name: value for name, value in wanted.items() if name not in task.wanted}
    with office.database.write() as tx:
        # Read anew: a task may have been completed or moved while the CRM was asked.
        present = read_tasks(tx, list(filled))
        addressed = [replace(task, wanted={**filled[key], **task.wanted}) for key, task in present.items()]
        save_tasks(tx, [task for task in addressed if task.wanted != present[task.key].wanted])
    return [task for task in addressed if task.dirty is Dirty.WRITE]


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
            return Priority(value)
        case "subtype":
            return StepType(value)
        case _:
            return value


def _delete(office: Office, crm: Crm, lease: Lease, tasks: Sequence[StoredTask], pushed: Pushed) -> None:
    results = crm.delete_tasks([task.remote_id for task in tasks if task.remote_id])
    failed = {result.key: result.error for result in results if result.error is not None}
    with office.database.write() as tx:
        guard(tx, lease)
        for task in read_tasks(tx, [task.key for task in tasks]).values():
            error = failed.get(task.remote_id or "")
            dirty = Dirty.CLEAN if error is None else Dirty.DELETE
            later = task.due if error is None else office.now() + _REFUSED_WAIT
            save_tasks(tx, [replace(task, dirty=dirty, due=later, problem=error.sentence if error else None)])
            pushed.deleted += error is None


def _note_refusal(tx: Transaction, task: StoredTask, error: AdapterError, now: datetime) -> None:
    """Note one task the CRM did not take; the others go on."""
    if isinstance(error, Refused) and error.code == "gone":
        save_tasks(tx, [replace(task, dirty=Dirty.CLEAN, problem="deleted in the CRM")])
        note_task_deleted(tx, task, now)
        return
    if isinstance(error, Stale) and task.problem != error.sentence:
        # Their lead was converted since we asked, say: ask again, and address the task anew in this pass.
        save_crm_facts(tx, [{"email": task.person, "crm_asked": None}])
        wanted = {name: value for name, value in task.wanted.items() if name not in ("who", "owner")}
        save_tasks(tx, [replace(task, wanted=wanted, problem=error.sentence)])
        return
    wait = (error.after or _LATER) if isinstance(error, Retry) else _REFUSED_WAIT
    save_tasks(tx, [replace(task, due=now + wait, problem=error.sentence)])
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


def note_task_deleted(tx: Transaction, task: StoredTask, now: datetime) -> None:
    """Cancel the intent of a task that a user deleted; its person waits for a decision (spec delivery 3)."""
    stored = read_intents(tx, [task.intent or ""]).get(task.intent or "")
    if stored is None or stored.state in CLOSED_STATES:
        return
    reason = f"its task was deleted in the CRM: 'connector tasks skip {stored.intent.key[:8]}' goes on without it"
    move_intent(tx, stored.intent.key, IntentEvent.CANCEL, problem=reason)
    append(tx, [intent_fact(stored, EventKind.TASK_DELETED, now, reason=reason)])


def _note_problem(office: Office, lease: Lease, error: AdapterError | None, blocked_until: datetime | None) -> None:
    with office.database.write() as tx:
        pacing = read_pacing(tx, lease.lane)
        sentence = None if error is None else error.sentence
        if (pacing.problem, pacing.blocked_until) != (sentence, blocked_until):
            save_pacing(tx, lease.lane, replace(pacing, problem=sentence, blocked_until=blocked_until))
