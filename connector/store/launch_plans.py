"""Launches being put together on a page: what somebody chose so far, and what became of it.

Lives here: keeping, reading and closing plans. Does not live here: what a plan says (`sync.launch_plans`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from connector.store.database import Transaction
from connector.store.schema_web import launch_plans


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    """One plan as it is kept."""

    id: str
    #: Whose plan it is.
    user: str
    campaign: str
    content: Mapping[str, Any]
    #: What the launch came to; None before it.
    launched: Mapping[str, Any] | None = None


def insert_plan(tx: Transaction, plan: StoredPlan, now: datetime) -> None:
    """Keep a new plan."""
    row = {"id": plan.id, "user": plan.user, "campaign": plan.campaign, "content": plan.content, "made": now}
    tx.execute(insert(launch_plans).values(**row))


def read_plan(tx: Transaction, id: str) -> StoredPlan | None:  # noqa: A002 - the field's name
    """Return a plan, or None."""
    row = tx.execute(select(launch_plans).where(launch_plans.c.id == id)).first()
    if row is None:
        return None
    return StoredPlan(id=row.id, user=row.user, campaign=row.campaign, content=row.content, launched=row.launched)


def change_plan(tx: Transaction, id: str, content: Mapping[str, Any]) -> None:  # noqa: A002
    """Put other content into a plan."""
    tx.execute(update(launch_plans).where(launch_plans.c.id == id).values(content=content))


def close_plan(tx: Transaction, id: str, launched: Mapping[str, Any]) -> bool:  # noqa: A002
    """Note what the launch of a plan came to; tell whether it was the first launch of it."""
    first = (launch_plans.c.id == id, launch_plans.c.launched.is_(None))
    return tx.execute(update(launch_plans).where(*first).values(launched=launched)).rowcount == 1


def forget_plans(tx: Transaction, before: datetime) -> None:
    """Forget plans made before an instant."""
    tx.execute(delete(launch_plans).where(launch_plans.c.made < before))
