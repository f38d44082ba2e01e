"""What the CRM must know of people: opt-out, bounce, roll-up; what we want there and what is there.

Lives here: `CrmPersonRow`. Does not live here: writing to the CRM (`sync.crm`).

As with `tasks`, a row is dirty while `wanted` differs from `synced`, so a crash between a write and its note only
writes the same values again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, case, func, literal, select, text, update

from connector.errors import AdapterError
from connector.store.bulk import BulkStatement
from connector.store.database import Transaction
from connector.store.dialects import any_of
from connector.store.schema import crm_people, json_text, microseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmPersonRow:
    """One person's facts. `wanted` and `synced` hold the fields of `ports.PersonWrite`, instants as ISO text."""

    email: str
    wanted: Mapping[str, Any]
    synced: Mapping[str, Any] | None
    due: datetime
    problem: str | None

    @property
    def changes(self) -> dict[str, Any]:
        """The facts that the CRM does not hold yet."""
        told = self.synced or {}
        return {name: value for name, value in self.wanted.items() if name not in told or told[name] != value}


_DIRTY = (
    select(crm_people)
    .where(text("dirty > 0"), crm_people.c.due <= bindparam("now"))
    .order_by(crm_people.c.due, crm_people.c.email)
    .limit(bindparam("most"))
)
_SAVE = BulkStatement(
    crm_people,
    ("email", "wanted", "dirty", "due"),
    suffix=" ON CONFLICT (email) DO UPDATE SET wanted = excluded.wanted, dirty = excluded.dirty, due = excluded.due",
)
_BY_EMAIL = select(crm_people).where(any_of(crm_people.c.email, "emails"))
_WRITTEN = (
    update(crm_people)
    .where(crm_people.c.email == bindparam("of_email"))
    .values(
        synced=bindparam("new_synced", type_=crm_people.c.synced.type),
        problem=None,
        code=None,
        category=None,
        advice=None,
        failed=None,
        # What is wanted may have changed while it was written: then the row stays dirty.
        dirty=case((crm_people.c.wanted == bindparam("new_synced", type_=crm_people.c.wanted.type), 0), else_=1),
    )
)


def want_person(tx: Transaction, email: str, now: datetime, **facts: Any) -> None:
    """Change what the CRM must know of a person."""
    want_people(tx, {email: facts}, now)


def want_people(tx: Transaction, facts: Mapping[str, Mapping[str, Any]], now: datetime) -> None:
    """Change what the CRM must know of people, in bulk: address -> the facts that change."""
    known = read_crm_people(tx, list(facts))
    rows = []
    for email, changes in facts.items():
        row = known.get(email)
        wanted = {**(row.wanted if row else {}), **changes}
        if row is None or wanted != row.wanted:
            dirty = int(row is None or wanted != row.synced)
            rows.append((email, json_text(wanted), dirty, microseconds(now)))
    _SAVE.execute(tx, rows)


def unwant_person(tx: Transaction, email: str, *names: str) -> None:
    """Forget facts that the CRM need not know any more; what it knows already stays there."""
    row = read_crm_people(tx, [email]).get(email)
    if row is not None:
        wanted = {name: value for name, value in row.wanted.items() if name not in names}
        synced = {name: value for name, value in (row.synced or {}).items() if name not in names}
        dirty = int(wanted != synced)
        tx.execute(
            update(crm_people).where(crm_people.c.email == email).values(wanted=wanted, synced=synced, dirty=dirty)
        )


def tell_again(tx: Transaction, email: str, now: datetime) -> None:
    """Have everything wanted of a person written once more: another record stands for them now."""
    tx.execute(update(crm_people).where(crm_people.c.email == email).values(synced=None, dirty=1, due=now))


def read_crm_people(tx: Transaction, emails: Sequence[str]) -> dict[str, CrmPersonRow]:
    """Return rows by lower-case address; unknown ones are left out."""
    if not emails:
        return {}
    return {row.email: _stored(row) for row in tx.execute(_BY_EMAIL, {"emails": list(emails)})}


def read_dirty_people(tx: Transaction, now: datetime, most: int) -> list[CrmPersonRow]:
    """Return at most `most` people the CRM must hear of, earliest due first."""
    return [_stored(row) for row in tx.execute(_DIRTY, {"now": now, "most": most})]


def mark_people_written(tx: Transaction, written: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Note writes as (address, what was written), in bulk."""
    if written:
        tx.execute(_WRITTEN, [{"of_email": email, "new_synced": dict(synced)} for email, synced in written])


def postpone_people(tx: Transaction, emails: Sequence[str], due: datetime) -> None:
    """Leave people's facts for later, without trouble."""
    if emails:
        tx.execute(
            update(crm_people).where(any_of(crm_people.c.email, "emails")).values(due=due), {"emails": [*emails]}
        )


def note_person_refused(tx: Transaction, email: str, error: AdapterError, now: datetime, *, due: datetime) -> None:
    """Note why the CRM did not take a person's facts, and when to try again."""
    tx.execute(
        update(crm_people)
        .where(crm_people.c.email == email)
        .values(
            due=due,
            problem=error.sentence,
            code=error.code,
            category=error.category.value,
            advice=error.advice,
            failed=func.coalesce(crm_people.c.failed, literal(now, crm_people.c.failed.type)),
        )
    )


def _stored(row: Row[Any]) -> CrmPersonRow:
    return CrmPersonRow(email=row.email, wanted=row.wanted, synced=row.synced, due=row.due, problem=row.problem)
