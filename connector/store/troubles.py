"""What the CRM did not take, task or person, with why: read in one go for the list of diagnostics.

Lives here: `Trouble`, reading and making due. Does not live here: the outboxes themselves (`tasks`, `crm_people`).
A record that is taken after all, or that nobody wants written any more, is no trouble.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, select, text, update

from connector.store.database import Transaction
from connector.store.dialects import any_of
from connector.store.schema import crm_people, tasks


class Record(StrEnum):
    """What kind of record it is."""

    TASK = "task"
    PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One record that the CRM did not take."""

    #: Key of the task, or address of the person.
    id: str
    record: Record
    person: str
    #: Address; empty for what is told of a person.
    rep: str
    #: What was to be written.
    wanted: dict[str, Any]
    problem: str
    code: str
    category: str
    advice: str
    #: Since when it is refused, and when it is tried again.
    failed: datetime | None
    due: datetime


_TASKS = select(tasks).where(text("dirty > 0"), tasks.c.problem.is_not(None))
_PEOPLE = select(crm_people).where(text("dirty > 0"), crm_people.c.problem.is_not(None))


def read_troubles(tx: Transaction) -> list[Trouble]:
    """Return every record that the CRM did not take, those that wait longest first."""
    found = [_trouble(row, row.key, Record.TASK, row.person, row.rep) for row in tx.execute(_TASKS)]
    found += [_trouble(row, row.email, Record.PERSON, row.email, "") for row in tx.execute(_PEOPLE)]
    return sorted(found, key=lambda one: (one.failed or one.due, one.id))


def make_due(tx: Transaction, troubles: Sequence[Trouble], due: datetime) -> None:
    """Let records be tried again at `due`."""
    for record, column in ((Record.TASK, tasks.c.key), (Record.PERSON, crm_people.c.email)):
        ids = [one.id for one in troubles if one.record is record]
        if ids:
            tx.execute(update(column.table).where(any_of(column, "ids")).values(due=due), {"ids": ids})


def _trouble(row: Row[Any], id_: str, record: Record, person: str, rep: str) -> Trouble:
    return Trouble(
        id=id_,
        record=record,
        person=person,
        rep=rep,
        wanted=row.wanted,
        problem=row.problem,
        code=row.code or "",
        category=row.category or "",
        advice=row.advice or "",
        failed=row.failed,
        due=row.due,
    )
