"""The tables of what reps write and upload in the compose window; changed only together with a migration.

Lives here: `compositions`, `blobs`. Does not live here: the wheel's other tables (`schema`).
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, SmallInteger, String, Table, Text

from connector.store.schema import Instant, Json, metadata

# What reps wrote in the compose window, by intent; of intents that are still ahead, too.
compositions = Table(
    "compositions",
    metadata,
    Column("key", String(32), primary_key=True),
    # 1: what the mail says, in place of its template. 0: what is being written, and counts for nothing yet.
    Column("applied", SmallInteger, primary_key=True),
    Column("enrollment", String(32), nullable=False),
    Column("template", Text, nullable=False),
    Column("format", String(4), nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("attachments", Json),
    # Files of the rep's own: [{"id", "name", "hash", "size"}].
    Column("uploads", Json),
    Column("version", Integer, nullable=False),
    Column("updated", Instant, nullable=False),
    Column("by", Text, nullable=False),
    # Of a task's mail that the rep lets the connector send: when.
    Column("send_at", Instant),
    # 1: the rep has said that it takes the place of a draft they edited in the mail program.
    Column("over_edits", SmallInteger, nullable=False),
)
Index("compositions_enrollment", compositions.c.enrollment)

# The bytes of what was uploaded, each content once. What no composition names any more is forgotten.
blobs = Table(
    "blobs",
    metadata,
    # SHA-256 of the content, in hexadecimal digits.
    Column("hash", String(64), primary_key=True),
    # When it was last uploaded.
    Column("kept", Instant, nullable=False),
    # The last column: SQLite reads past it to whatever stands behind.
    Column("content", LargeBinary, nullable=False),
)
