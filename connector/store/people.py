"""People as stored: what files and the CRM say of them, and whether they may be written to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, select, text, update

from connector.people import Person
from connector.store.bulk import BulkStatement
from connector.store.database import Transaction
from connector.store.dialects import any_of
from connector.store.people_words import note_people
from connector.store.schema import json_text, people

_OWN = ("first_name", "last_name", "title", "company", "phone", "time_zone", "salesforce_id", "linkedin_url")
_INSERTED = ("email", *_OWN, "custom")
_KEEP = BulkStatement(people, _INSERTED, suffix=" ON CONFLICT DO NOTHING")
_OVERWRITE = BulkStatement(
    people,
    _INSERTED,
    # An id that the CRM told is not forgotten because a file does not name it, or names it in its shorter form.
    suffix=" ON CONFLICT (email) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _INSERTED[1:] if name != "salesforce_id")
    + ", salesforce_id = CASE substr(people.salesforce_id, 1, length(excluded.salesforce_id))"
    + " WHEN excluded.salesforce_id THEN people.salesforce_id ELSE excluded.salesforce_id END",
)
_BY_EMAIL = select(people).where(any_of(people.c.email, "emails"))
# In one order, so that two lanes cannot wait for each other.
_LOCKED = _BY_EMAIL.order_by(people.c.email).with_for_update()
_LOCK = select(people.c.email).where(any_of(people.c.email, "emails")).order_by(people.c.email).with_for_update()
# The condition stands as a literal so that SQLite uses the partial index.
_BY_RECORD = select(people).where(text("salesforce_id <> ''"), any_of(people.c.salesforce_id, "ids"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPerson:
    """A person and what is known about writing to them."""

    person: Person
    account: str | None = None
    crm_fields: Mapping[str, Any] = field(default_factory=dict)
    crm_asked: datetime | None = None
    #: Record ids, when several CRM records match.
    crm_ambiguous: tuple[str, ...] = ()
    opted_out: datetime | None = None
    bounced: datetime | None = None
    bounce_reason: str = ""
    held: datetime | None = None


def save_people(tx: Transaction, persons: Iterable[Person], *, overwrite: bool = True) -> None:
    """Insert people, or overwrite what files say of them; opt-out, bounce and CRM facts stay."""
    persons = list(persons)
    note_people(tx, persons, overwrite=overwrite)
    statement = _OVERWRITE if overwrite else _KEEP
    statement.execute(
        tx,
        [
            (
                person.email,
                person.first_name,
                person.last_name,
                person.title,
                person.company,
                person.phone,
                person.time_zone,
                person.salesforce_id,
                person.linkedin_url,
                json_text(dict(person.custom)) if person.custom else None,
            )
            for person in persons
        ],
    )


def lock_people(tx: Transaction, emails: Collection[str]) -> None:
    """Let other lanes wait with what they write of these people until this transaction ends."""
    if tx.dialect.name != "sqlite":  # which has one writer
        tx.execute(_LOCK, {"emails": sorted(emails)})


def read_people(tx: Transaction, emails: Collection[str], *, lock: bool = False) -> dict[str, StoredPerson]:
    """Return people by lower-case address, as `lock_people` keeps them if wanted; unknown ones are left out."""
    if not emails:
        return {}
    query = _LOCKED if lock and tx.dialect.name != "sqlite" else _BY_EMAIL
    return {row.email: _stored(row) for row in tx.execute(query, {"emails": list(emails)})}


def find_people_of(tx: Transaction, ids: Sequence[str]) -> list[StoredPerson]:
    """Return the people that one of these CRM records stands for."""
    wanted = [one for one in ids if one]
    return [_stored(row) for row in tx.execute(_BY_RECORD, {"ids": wanted})] if wanted else []


def list_people(tx: Transaction, *, account: str | None = None) -> list[StoredPerson]:
    """Return all people, or those of one CRM account, by address."""
    query = select(people).order_by(people.c.email)
    if account is not None:
        query = query.where(people.c.account == account)
    return [_stored(row) for row in tx.execute(query)]


def mark_person(tx: Transaction, email: str, **marks: Any) -> None:
    """Set what happened to a person: `opted_out`, `bounced`, `held` (instants or None), `bounce_reason`."""
    tx.execute(update(people).where(people.c.email == email).values(**marks))


def save_crm_facts(tx: Transaction, facts: Sequence[Mapping[str, Any]]) -> None:
    """Write what the CRM said: mappings with `email` and columns of the CRM, the same in each."""
    if not facts:
        return
    names = [name for name in facts[0] if name != "email"]
    statement = (
        update(people)
        .where(people.c.email == bindparam("of_email"))
        .values({name: bindparam(f"new_{name}") for name in names})
    )
    tx.execute(
        statement, [{"of_email": fact["email"], **{f"new_{name}": fact[name] for name in names}} for fact in facts]
    )


def _stored(row: Row[Any]) -> StoredPerson:
    person = Person(email=row.email, **{name: getattr(row, name) for name in _OWN}, custom=row.custom or {})
    return StoredPerson(
        person=person,
        account=row.account,
        crm_fields=row.crm_fields or {},
        crm_asked=row.crm_asked,
        crm_ambiguous=tuple(row.crm_ambiguous or ()),
        opted_out=row.opted_out,
        bounced=row.bounced,
        bounce_reason=row.bounce_reason or "",
        held=row.held,
    )
