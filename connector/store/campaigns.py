"""Campaign versions: the content enrollments are pinned to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select

from connector.store.database import Transaction
from connector.store.dialects import insert_or_ignore
from connector.store.schema import campaign_versions


def save_version(tx: Transaction, name: str, version: str, document: dict[str, Any], now: datetime) -> None:
    """Keep a version; one that is kept already stays as it is."""
    row = {"name": name, "version": version, "document": document, "created": now}
    tx.execute(insert_or_ignore(tx, campaign_versions), [row])


def read_version(tx: Transaction, name: str, version: str) -> dict[str, Any] | None:
    """Return the document of a version, or None."""
    query = select(campaign_versions.c.document).where(
        campaign_versions.c.name == name, campaign_versions.c.version == version
    )
    document: dict[str, Any] | None = tx.execute(query).scalar()
    return document


def read_versions(tx: Transaction, name: str) -> list[tuple[str, datetime]]:
    """Return the versions of a campaign that were ever launched, oldest first."""
    query = (
        select(campaign_versions.c.version, campaign_versions.c.created)
        .where(campaign_versions.c.name == name)
        .order_by(campaign_versions.c.created, campaign_versions.c.version)
    )
    return [(row[0], row[1]) for row in tx.execute(query)]
