"""Which CRM record a person is.

Lives here: the order of the keys (spec delivery 3). Does not live here: asking the CRM (`ports.People`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connector.people import Person
from connector.ports import CrmPerson


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonMatch:
    """The record found, or the ids of several that fit equally well, or neither."""

    found: CrmPerson | None = None
    ambiguous: tuple[str, ...] = ()


def match_person(person: Person, hits: Mapping[str, Sequence[CrmPerson]]) -> PersonMatch:
    """Return the record of a person: by Salesforce id, else by exact email, contacts before leads; never a guess.

    `hits` is what `People.find_people` gave: id or lower-case email -> matches. A record reached by id may carry
    another id, as a converted lead gives its contact.
    """
    by_id = _one(hits.get(person.salesforce_id, ())) if person.salesforce_id else PersonMatch()
    if by_id != PersonMatch():
        return by_id
    email = person.email.lower()
    by_email = [hit for hit in hits.get(email, ()) if hit.email.lower() == email]
    contacts = [hit for hit in by_email if hit.kind.lower() == "contact"]
    leads = [hit for hit in by_email if hit.kind.lower() != "contact"]
    return _one(contacts or leads)


def _one(records: Sequence[CrmPerson]) -> PersonMatch:
    distinct = {record.id: record for record in records}
    if len(distinct) == 1:
        return PersonMatch(found=next(iter(distinct.values())))
    return PersonMatch(ambiguous=tuple(distinct))
