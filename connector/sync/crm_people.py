"""People in the CRM: looked up in bulk, believed for a while, and heard of.

Lives here: `resolve_people`, `address_tasks`, `ask_before_writing`, `take_people`. Does not live here: telling the CRM
of people (`push_people`), tasks (`crm`), the call that reads changes (`pull_crm`). Source: spec delivery 3 and 6.

An opt-out or a bounce counts on both sides whoever noted it first. What the CRM said is not told back to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from connector.errors import Refused, Retry
from connector.events import Event, EventKind
from connector.intents import Mode
from connector.ports import Crm, CrmPerson, RemotePerson
from connector.store.crm_people import tell_again
from connector.store.database import Transaction
from connector.store.enrollments import find_enrollments
from connector.store.intents import StoredIntent
from connector.store.ledger import append
from connector.store.people import StoredPerson, find_people_of, mark_person, read_people, save_crm_facts
from connector.store.tasks import DELETED, Dirty, read_tasks, save_tasks
from connector.sync.crm_lane import is_short, lane_waits
from connector.sync.office import Office
from connector.sync.pulled import Pulled
from connector.sync.record import enrollment_fact, record
from connector.tasks.matching import PersonMatch, match_person

#: How long an answer about a person is believed; asked again only for somebody who must be written to.
BELIEVED = timedelta(hours=12)

# -------------------------------------------------------------------------------------------------- ask


def resolve_people(office: Office, emails: Sequence[str], now: datetime, *, fields: Sequence[str] = ()) -> None:
    """Ask the CRM who these people are, in bulk: by id, else by exact address; several hits are listed, not guessed."""
    if office.crm is None or not emails:
        return
    with office.database.read() as tx:
        known = read_people(tx, sorted(set(emails)))
    matches, hits = _matches(office.crm, known, fields)
    with office.database.write() as tx:
        save_crm_facts(tx, [_facts(stored, matches[email], now) for email, stored in known.items()])
        # Read anew: somebody may have opted out while the CRM was asked.
        for email, stored in read_people(tx, list(known)).items():
            heard = _note_match(tx, office, known[email], stored, matches[email], now)
            # Whichever of several records is meant: what one says of the address is said of the person.
            for said in hits.get(email, ()):
                if said.email.lower() == email:
                    heard = hear_of(tx, office, heard, said, now)
        found = [email for email, match in matches.items() if match.found and not known[email].person.salesforce_id]
        address_tasks(tx, found, now)


def address_tasks(tx: Transaction, emails: Sequence[str], now: datetime) -> None:
    """Have the tasks before reps written again that were made while no record stood for their person."""
    keys = [one.intent for one in find_enrollments(tx, persons=list(emails)) if one.intent] if emails else []
    made = [task for task in read_tasks(tx, keys).values() if task.synced is not None and "who" not in task.wanted]
    waiting = [task for task in made if task.dirty is Dirty.CLEAN and task.status != DELETED]
    save_tasks(tx, [replace(task, dirty=Dirty.WRITE, due=now) for task in waiting])


def several_records(records: Sequence[str]) -> Refused:
    """Return why what concerns a person waits for whom several records stand."""
    return Refused(
        f"several CRM records match ({', '.join(records)}), and nobody is guessed",
        code="several_records",
        advice="Put the right salesforce_id into the people file, or merge the records in the CRM.",
    )


def _matches(
    crm: Crm, known: Mapping[str, StoredPerson], fields: Sequence[str]
) -> tuple[dict[str, PersonMatch], Mapping[str, Sequence[CrmPerson]]]:
    """Return address -> match, and id or address -> the records that were found."""
    ids = [stored.person.salesforce_id for stored in known.values() if stored.person.salesforce_id]
    addresses = [stored.person.email for stored in known.values() if not stored.person.salesforce_id]
    hits = dict(crm.find_people(ids=ids, emails=addresses, fields=fields))
    # An id that leads nowhere says less than the address: the record may have been deleted, the id mistyped.
    lost = [
        stored.person.email
        for stored in known.values()
        if stored.person.salesforce_id and not hits.get(stored.person.salesforce_id)
    ]
    if lost:
        hits |= crm.find_people(emails=lost, fields=fields)
    return {email: match_person(stored.person, hits) for email, stored in known.items()}, hits


def _note_match(
    tx: Transaction, office: Office, before: StoredPerson, stored: StoredPerson, match: PersonMatch, now: datetime
) -> StoredPerson:
    """Follow a look-up: who several records stand for is told, who another record stands for is told of there."""
    email = stored.person.email
    if match.ambiguous and tuple(match.ambiguous) != before.crm_ambiguous:
        reason = "nobody is guessed: put the right salesforce_id into the people file"
        data = {"records": ", ".join(match.ambiguous)}
        append(tx, [Event(at=now, kind=EventKind.PERSON_AMBIGUOUS, person=email, reason=reason, data=data)])
    if match.found is None:
        return stored
    if before.person.salesforce_id and not _is_record(before.person.salesforce_id, match.found.id):
        _told_elsewhere(tx, email, match.found.id, now)
    return hear_of(tx, office, stored, match.found, now)


def _facts(stored: StoredPerson, match: PersonMatch, now: datetime) -> dict[str, Any]:
    found = match.found
    return {
        "email": stored.person.email,
        "salesforce_id": found.id if found else stored.person.salesforce_id,
        "account": found.account_id if found else stored.account,
        "crm_fields": {**stored.crm_fields, **found.fields} if found else stored.crm_fields or None,
        "crm_asked": now,
        "crm_ambiguous": list(match.ambiguous) or None,
    }


def ask_before_writing(office: Office, due: Sequence[StoredIntent], now: datetime) -> None:
    """Ask the CRM, in bulk, about the people who are about to be written to; raise `AdapterError` when it cannot tell.

    For an automatic email: whether they opted out there. For any template: the `sfdc.` fields it reads. When calls
    run short, nobody is asked about again whose answer is merely old.
    """
    if office.crm is None:
        return
    if lane_waits(office):
        raise Retry("nobody is asked about before the CRM's pause is over: 'connector status' says until when and why")
    with office.database.read() as tx:
        wanted: dict[str, set[str]] = {}
        for stored in due:
            fields = crm_fields_wanted(office, tx, stored)
            if fields or stored.intent.mode is Mode.SEND:
                wanted.setdefault(stored.intent.person, set()).update(fields)
        people = read_people(tx, sorted(wanted))
    short = is_short(office)
    asked = [
        email
        for email, fields in wanted.items()
        if (person := people.get(email)) is not None
        and not (fields <= set(person.crm_fields) and (is_fresh(person, now) or (short and person.crm_asked)))
    ]
    if asked:
        names = sorted(set().union(*(wanted[email] for email in asked)))
        resolve_people(office, asked, now, fields=names)


def crm_fields_wanted(office: Office, tx: Transaction, stored: StoredIntent) -> set[str]:
    """Return the CRM field names that an intent's campaign reads as `sfdc.<Field>`."""
    prefix = "sfdc."
    try:
        fields = office.book.pinned(tx, stored.intent.campaign, stored.intent.version).fields
    except LookupError:
        return set()  # A version that is gone asks for nothing; its intents are blocked when they are composed.
    return {path.removeprefix(prefix) for path in fields if path.startswith(prefix)}


def is_fresh(person: StoredPerson, now: datetime) -> bool:
    """Tell whether what the CRM said of a person is still believed."""
    return person.crm_asked is not None and now - person.crm_asked < BELIEVED


# ------------------------------------------------------------------------------------------------- hear


def take_people(tx: Transaction, office: Office, people: Sequence[RemotePerson], now: datetime, pulled: Pulled) -> None:
    """Take over what a pull says of people: opt-outs, bounces, conversions and merges; strangers are nobody's."""
    ids = sorted({one for said in people for one in (said.id, said.was) if one})
    known = {stored.person.email: stored for stored in find_people_of(tx, ids)}
    known |= read_people(tx, sorted({said.email.lower() for said in people if said.email}))
    of_record: dict[str, list[str]] = {}
    for email, stored in known.items():
        of_record.setdefault(stored.person.salesforce_id, []).append(email)
    for said in people:
        by_id = [*of_record.get(said.was, ()), *of_record.get(said.id, ())] if said.id else []
        for email in by_id or [said.email.lower()]:
            if email not in known:
                continue
            stored = known[email]
            if said.was and _is_record(stored.person.salesforce_id, said.was):
                pulled.counts["people_repointed"] += repoint_person(tx, email, said.id, now)
            heard = hear_of(tx, office, stored, said, now)
            pulled.counts["opt_outs"] += heard.opted_out != stored.opted_out
            pulled.counts["bounces"] += heard.bounced != stored.bounced
            known[email] = heard


def repoint_person(tx: Transaction, email: str, record_id: str, now: datetime) -> bool:
    """Follow a person to the CRM record that stands for them now; False when that was done before."""
    stored = read_people(tx, [email]).get(email)
    if stored is None or _is_record(stored.person.salesforce_id, record_id):
        return False
    save_crm_facts(tx, [{"email": email, "salesforce_id": record_id, "crm_asked": None}])
    _told_elsewhere(tx, email, record_id, now)
    return True


def _told_elsewhere(tx: Transaction, email: str, record_id: str, now: datetime) -> None:
    """Say that another record stands for a person now, and tell it all that the one before was told."""
    reason = "their record was converted, merged or replaced in the CRM"
    append(
        tx,
        [Event(at=now, kind=EventKind.PERSON_REPOINTED, person=email, reason=reason, data={"record": record_id})],
    )
    tell_again(tx, email, now)


def hear_of(
    tx: Transaction, office: Office, stored: StoredPerson, said: CrmPerson | RemotePerson, now: datetime
) -> StoredPerson:
    """Take over an opt-out or a bounce that a record says of a person, and end their campaigns; return them as now."""
    email = stored.person.email
    marks: dict[str, Any] = {}
    told: list[tuple[EventKind, str, dict[str, object]]] = []
    if said.opted_out and stored.opted_out is None:
        marks["opted_out"] = now
        told.append((EventKind.OPTED_OUT, "opted out in the CRM", {}))
    # The record may have another address than the person here: then it is not theirs that bounced.
    if said.bounced_at is not None and stored.bounced is None and said.email.lower() in ("", email):
        marks |= {"bounced": min(said.bounced_at, now), "bounce_reason": said.bounced_reason}
        told.append((EventKind.BOUNCED, said.bounced_reason or "noted in the CRM", {"status": "noted in the CRM"}))
    if not marks:
        return stored
    mark_person(tx, email, **marks)
    live = find_enrollments(tx, persons=[email])
    facts = [enrollment_fact(one, kind, now, reason=reason, **data) for kind, reason, data in told for one in live] or [
        Event(at=now, kind=kind, person=email, reason=reason, data=data) for kind, reason, data in told
    ]
    record(tx, office, facts, now)
    return replace(stored, **marks)


def _is_record(id_: str, other: str) -> bool:
    """Tell whether two ids name one record; the shorter form of an id is the beginning of the longer."""
    return bool(id_) and bool(other) and (other.startswith(id_) or id_.startswith(other))
