"""Telling the CRM what it must know of people: opt-outs, bounces, and what rolls up onto their records.

Lives here: `push_people`. Does not live here: which facts there are (`rollup`, and where an opt-out or a bounce is
noted), hearing of people (`crm_people`), tasks (`crm`). Source: spec delivery 3 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connector.errors import AdapterError, Reconnect, Refused, Stale
from connector.events import Event, EventKind
from connector.ports import Crm, PersonWrite, RollupFact
from connector.store.crm_people import (
    CrmPersonRow,
    mark_people_written,
    note_person_refused,
    postpone_people,
    read_crm_people,
    read_dirty_people,
)
from connector.store.database import Transaction
from connector.store.ledger import append
from connector.store.people import StoredPerson, read_people, save_crm_facts
from connector.sync.crm_lane import HELD_BACK, is_short, lane_waits, stop_lane, wait_after
from connector.sync.crm_people import BELIEVED, is_fresh, resolve_people, several_records
from connector.sync.office import Office

#: People told of at a time.
BATCH = 2000

#: Facts that are instants.
_INSTANTS = frozenset({"bounced_at", RollupFact.LAST_ACTIVITY.value, RollupFact.LAST_REPLIED.value})
_ROLLUP = frozenset(fact.value for fact in RollupFact)


@dataclass(slots=True, kw_only=True)
class Told:
    """What telling the CRM of people came to."""

    written: int = 0
    #: Sentences about those it could not be told of.
    attention: list[str] = field(default_factory=list)
    #: The account that must be signed in again.
    reconnect: list[Reconnect] = field(default_factory=list)


def not_told(email: str) -> str:
    """Return the clause that says of whom the CRM was not told."""
    return f"the CRM does not know yet what happened with {email}"


def push_people(office: Office, now: datetime, *, only: str | None = None) -> Told:
    """Tell the CRM what it must know of people, or `only` of one: changed facts, in bulk.

    Who has no record there yet is told of once they have one. What the CRM does not take stays due for a later pass.
    For one person the CRM is asked even while the lane waits: an opt-out goes there at once, or is said not to have.
    """
    told = Told()
    if office.crm is None or (only is None and lane_waits(office)):
        return told
    stale: set[str] = set()
    try:
        while rows := _due(office, now, only):
            _push_batch(office, office.crm, rows, now, told, stale)
    except AdapterError as error:
        told.reconnect += [error] if isinstance(error, Reconnect) else []
        trouble = f"{office.crm.capabilities.name}: {error.sentence}"
        told.attention.append(trouble if only is None else f"{not_told(only)}, and is told later: {trouble}")
        if not isinstance(error, Refused):
            stop_lane(office, error)  # a refusal may concern people alone: tasks go on
    return told


def _due(office: Office, now: datetime, only: str | None) -> list[CrmPersonRow]:
    with office.database.read() as tx:
        if only is None:
            return read_dirty_people(tx, now, BATCH)
        return [row for row in read_crm_people(tx, [only]).values() if row.changes and row.due <= now]


def _push_batch(
    office: Office, crm: Crm, rows: Sequence[CrmPersonRow], now: datetime, told: Told, stale: set[str]
) -> None:
    short = is_short(office)
    held = {row.email for row in rows if short and row.changes.keys() <= _ROLLUP}
    due = {row.email: row for row in rows if row.email not in held}
    people = _with_records(office, sorted(due), now)
    writes = _writes(due, people)
    results = crm.push_people(list(writes.values())) if writes else ()
    errors = {one.key: one.error for one in results if one.error is not None}
    told.written += len(writes) - len(errors)
    with office.database.write() as tx:
        postpone_people(tx, sorted(held), now + HELD_BACK)
        mark_people_written(tx, [(email, row.wanted) for email, row in due.items() if not row.changes])
        for email, write in writes.items():
            if write.id in errors:
                _note_refusal(tx, due[email], errors[write.id], now, told, stale)
        mark_people_written(
            tx, [(email, due[email].wanted) for email, write in writes.items() if write.id not in errors]
        )
        nowhere = [email for email in due if not (email in people and people[email].person.salesforce_id)]
        # Who has no record is no trouble: the facts wait until there is one.
        postpone_people(tx, nowhere, now + BELIEVED)
        for email in nowhere:
            if email in people and (records := people[email].crm_ambiguous):
                _note_refusal(tx, due[email], several_records(records), now, told, stale)


def _with_records(office: Office, emails: Sequence[str], now: datetime) -> dict[str, StoredPerson]:
    """Return the people, asked about first where no record is known and nobody asked lately."""
    with office.database.read() as tx:
        people = read_people(tx, emails)
    unasked = [
        email
        for email, stored in people.items()
        if stored.crm_asked is None or (not stored.person.salesforce_id and not is_fresh(stored, now))
    ]
    if unasked:
        resolve_people(office, unasked, now)
        with office.database.read() as tx:
            people = read_people(tx, emails)
    return people


def _writes(due: Mapping[str, CrmPersonRow], people: Mapping[str, StoredPerson]) -> dict[str, PersonWrite]:
    """Return address -> write, one a record: a second address of a record has its turn in the next batch."""
    writes: dict[str, PersonWrite] = {}
    taken: set[str] = set()
    for email, row in due.items():
        stored = people.get(email)
        id_ = stored.person.salesforce_id if stored is not None else ""
        if id_ and id_ not in taken and row.changes:
            taken.add(id_)
            fields = {name: _neutral(name, value) for name, value in row.changes.items()}
            writes[email] = PersonWrite(id=id_, fields=fields, account=stored.account if stored else None)
    return writes


def _neutral(name: str, value: Any) -> Any:
    """Turn a stored value into the port's type."""
    return datetime.fromisoformat(value) if value is not None and name in _INSTANTS else value


def _note_refusal(
    tx: Transaction, row: CrmPersonRow, error: AdapterError, now: datetime, told: Told, stale: set[str]
) -> None:
    """Note one person the CRM was not told of; the others go on."""
    email = row.email
    if isinstance(error, Stale) and email not in stale:
        # Their lead was converted since we asked, say: ask again, and tell the record that stands for them now.
        stale.add(email)
        save_crm_facts(tx, [{"email": email, "crm_asked": None}])
        return
    if isinstance(error, Reconnect) and not told.reconnect:
        told.reconnect.append(error)
    note_person_refused(tx, email, error, now, due=now + wait_after(error))
    told.attention.append(f"{not_told(email)}: {error.sentence}")
    if isinstance(error, Refused) and row.problem != error.sentence:
        data = {"message": error.sentence}
        append(tx, [Event(at=now, kind=EventKind.PERSON_REFUSED, person=email, reason=error.code, data=data)])
