"""The tables of the web app; changed only together with a migration.

Lives here: what is kept for people who use pages and the API. Does not live here: the wheel's tables (`schema`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from connector.store.schema import Instant, Json, metadata

preferences = Table(
    "preferences",
    metadata,
    Column("user", Text, primary_key=True),
    # NULL: as the browser, or the rep's entry in connector.yaml, says.
    Column("locale", String(16)),
    Column("zone", Text),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    # SHA-256 of the key, which is random: nothing slower is needed, and the key itself is nowhere.
    Column("hash", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("created", Instant, nullable=False),
    Column("used", Instant),
    Column("revoked", Instant),
)
Index("api_keys_hash", api_keys.c.hash, unique=True)

# Requests that change something, by the key their sender gave them; without a status while one is being carried out.
idempotency = Table(
    "idempotency",
    metadata,
    Column("user", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request", String(64), nullable=False),
    Column("status", Integer),
    Column("answer", Text),
    Column("at", Instant, nullable=False),
)
Index("idempotency_at", idempotency.c.at)

# Who is told of lines of the ledger, and up to which one they were; the secret that signs lies in `secrets`.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("url", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("kinds", Json, nullable=False),
    Column("created", Instant, nullable=False),
    Column("position", BigInteger, nullable=False),
    # NULL when nothing more is tried: somebody must look.
    Column("due", Instant),
    Column("attempts", Integer, nullable=False),
    Column("problem", Text),
)

# Launches being put together on a page.
launch_plans = Table(
    "launch_plans",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user", Text, nullable=False),
    Column("campaign", Text, nullable=False),
    Column("made", Instant, nullable=False),
    Column("content", Json, nullable=False),
    # What the launch came to; NULL before it, so that there is one.
    Column("launched", Json),
)
Index("launch_plans_made", launch_plans.c.made)
