"""What people have chosen for themselves in the web app."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from connector.store.database import Transaction
from connector.store.dialects import insert_or_update
from connector.store.schema_web import preferences


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """A person's choices; None leaves it to their browser, or to connector.yaml."""

    locale: str | None = None
    #: IANA name.
    zone: str | None = None


def read_preferences(tx: Transaction, user: str) -> Preferences:
    """Return what a user has chosen."""
    query = select(preferences.c.locale, preferences.c.zone).where(preferences.c.user == user)
    row = tx.execute(query).first()
    return Preferences() if row is None else Preferences(locale=row.locale, zone=row.zone)


def save_preferences(tx: Transaction, user: str, chosen: Preferences) -> None:
    """Keep what a user has chosen."""
    row = {"user": user, "locale": chosen.locale, "zone": chosen.zone}
    tx.execute(insert_or_update(tx, preferences, ("locale", "zone")), row)
