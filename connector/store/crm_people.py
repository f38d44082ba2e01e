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

from sqlalchemy import Row, bindparam, case, select, text, update

from connector.errors import AdapterError
from connector.store.database import Transaction
from connector.store.dialects import any_of, insert_or_update
from connector.store.schema import crm_people


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmPersonRow:
    """One person's facts. `wanted` and `synced` hold the fields of `ports.PersonWrite`, instants as ISO text."""

    email: str
    wanted: Mapping[str, Any]
    synced: Mapping[str, Any] | None
    due: datetime
    problem: str | None


_DIRTY = (
    select(crm_people)
    .where(text("dirty > 0"), crm_people.c.due <= bindparam("now"))
    .order_by(crm_people.c.due, crm_people.c.email)
    .limit(bindparam("most"))
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
    row = read_crm_people(tx, [email]).get(email)
    wanted = {**(row.wanted if row else {}), **facts}
    if row is None or wanted != row.wanted:
        _save(tx, email, wanted, now, row)


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


def _save(tx: Transaction, email: str, wanted: Mapping[str, Any], now: datetime, row: CrmPersonRow | None) -> None:
    dirty = int(row is None or wanted != row.synced)
    values = {"email": email, "wanted": dict(wanted), "dirty": dirty, "due": now}
    tx.execute(insert_or_update(tx, crm_people, ("wanted", "dirty", "due")), [values])


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
            failed=now,
        )
    )


def _stored(row: Row[Any]) -> CrmPersonRow:
    return CrmPersonRow(email=row.email, wanted=row.wanted, synced=row.synced, due=row.due, problem=row.problem)
