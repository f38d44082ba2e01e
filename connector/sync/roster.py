"""People out of the CRM: a query, list view, report or campaign becomes people here.

Lives here: `pull_people`. Does not live here: reading the CRM (adapters), people files (`campaigns.people_file`).
Source: interfaces 2 (`people pull`), delivery 6 (opt-out on either side wins).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from connector.errors import BadInput, Refused
from connector.people import Person, is_address
from connector.ports import CrmPerson, PeopleSource
from connector.store.people import StoredPerson, read_people
from connector.sync.actions import import_people
from connector.sync.crm_people import hear_of
from connector.sync.office import Office


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What a pull of people came to."""

    people: tuple[Person, ...]
    #: Addresses of those who opted out in the CRM.
    opted_out: tuple[str, ...] = ()
    #: (who, why) of those who cannot be people here.
    left_out: tuple[tuple[str, str], ...] = ()


def pull_people(office: Office, source: PeopleSource, *, dry_run: bool = False) -> Pulled:
    """Store the people of a source; raise `BadInput` without a CRM, or when it refuses the source."""
    if office.crm is None:
        raise BadInput("there is no CRM in connector.yaml to pull people from: add its section under 'accounts'")
    people: dict[str, Person] = {}
    said: list[tuple[str, CrmPerson]] = []
    left_out = []
    try:
        records = office.crm.list_people(source)
    except Refused as error:
        raise BadInput(f"{error}; nothing was pulled") from error
    for record in records:
        email = record.email.strip().lower()
        if not is_address(email):
            name = f"{record.first_name} {record.last_name}".strip() or record.id
            left_out.append((name, "the record has no mail address" if not email else f"'{email}' is no mail address"))
            continue
        # An opt-out holds for the address, whichever of several records says so.
        said.append((email, record))
        if email in people:
            left_out.append((email, f"several records have this address, and {people[email].salesforce_id} came first"))
        else:
            people[email] = _person(record, email)
    with office.database.read() as tx:
        known = read_people(tx, list(people))
    merged = [_merged(person, known.get(email)) for email, person in people.items()]
    if not dry_run:
        import_people(office, merged)
        with office.database.write() as tx:
            stored = read_people(tx, list(people))
            for email, record in said:
                stored[email] = hear_of(tx, office, stored[email], record, office.now())
    opted_out = tuple(dict.fromkeys(email for email, record in said if record.opted_out))
    return Pulled(people=tuple(merged), opted_out=opted_out, left_out=tuple(left_out))


def _merged(person: Person, known: StoredPerson | None) -> Person:
    """Keep what a file said and the CRM does not know, such as the time zone and columns of one's own."""
    if known is None:
        return person
    kept = {item.name: getattr(known.person, item.name) for item in fields(Person) if not getattr(person, item.name)}
    return replace(person, **kept)


def _person(record: CrmPerson, email: str) -> Person:
    return Person(
        email=email,
        first_name=record.first_name,
        last_name=record.last_name,
        title=record.title,
        company=record.company,
        phone=record.phone,
        salesforce_id=record.id,
    )
