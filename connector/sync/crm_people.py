"""People in the CRM: looked up in bulk, believed for a while, and told of there.

Lives here: `resolve_people`, `ask_before_writing`, `push_people`. Does not live here: tasks (`crm`), reading changes
back (`pull_crm`). Source: spec delivery 3 and 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from connector.errors import AdapterError, Retry
from connector.events import Event, EventKind
from connector.intents import Mode
from connector.ports import CrmPerson, PersonWrite
from connector.store.crm_people import mark_people_written, note_person_refused, read_dirty_people
from connector.store.database import Transaction
from connector.store.intents import StoredIntent
from connector.store.ledger import append
from connector.store.people import StoredPerson, mark_person, read_people, save_crm_facts
from connector.sync.office import Office
from connector.tasks.matching import match_person

#: People told of at a time.
BATCH = 2000

#: How long an answer about a person is believed; asked again only for somebody who must be written to.
_BELIEVED = timedelta(hours=12)

#: Wait after a refusal that an administrator must mend, and when the CRM says "later" without saying when.
REFUSED_WAIT = timedelta(hours=1)
LATER = timedelta(minutes=1)


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
        if (person := people.get(email)) is not None
        and not (fields <= set(person.crm_fields) and is_fresh(person, now))
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


def push_people(office: Office, now: datetime) -> list[str]:
    """Tell the CRM what it must know of people; return sentences about those it could not be told of.

    What it cannot be told stays due and is tried again by a later pass.
    """
    with office.database.read() as tx:
        due = {one.email: one for one in read_dirty_people(tx, now, BATCH)}
    if office.crm is None or not due:
        return []
    later = now + REFUSED_WAIT
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
        later = now + (error.after or LATER) if isinstance(error, Retry) else later
        problems = dict.fromkeys(due, error)
    with office.database.write() as tx:
        mark_people_written(tx, [(email, one.wanted) for email, one in due.items() if email not in problems])
        for email, problem in problems.items():
            note_person_refused(tx, email, problem, now, due=later)
    return [
        f"the CRM does not know yet that {email} opted out, and will be told again: {problem.sentence}"
        for email, problem in problems.items()
    ]


def is_fresh(person: StoredPerson, now: datetime) -> bool:
    """Tell whether what the CRM said of a person is still believed."""
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
