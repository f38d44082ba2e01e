"""The tables. SQLite and PostgreSQL by one code path; changed only together with a migration.

Lives here: tables, their indexes and the column types. Does not live here: statements (beside their subject in this
room), migrations (`migrations/`).

Why integers for instants: SQLite compares a DATETIME column as text, a bound number as a number, and finds nothing.
Why literal states in partial indexes: SQLite ignores such an index when the query binds them.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


#: `json.dumps` with these options makes an encoder a call.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def microseconds(value: datetime | None) -> int | None:
    """Turn an aware instant into microseconds since 1970."""
    return None if value is None else (value - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=8192)
def instant(value: int | None) -> datetime | None:
    """Turn microseconds since 1970 into an aware UTC instant."""
    return None if value is None else _EPOCH + timedelta(microseconds=value)


def iso_date(value: date | None) -> str | None:
    """Turn a date into ISO text."""
    return None if value is None else value.isoformat()


@lru_cache(maxsize=8192)
def day(value: str | None) -> date | None:
    """Turn ISO text into a date."""
    return None if value is None else date.fromisoformat(value)


def json_text(value: Any) -> str | None:
    """Turn a value into JSON text; None stays NULL."""
    return None if value is None else _encode(value)


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant, kept as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - interface
        """Turn an aware instant into microseconds."""
        return microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn microseconds into an aware instant."""
        return instant(value)


class Day(TypeDecorator[date]):
    """A local date, kept as ISO text."""

    impl = String(10)
    cache_ok = True

    def process_bind_param(self, value: date | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Turn a date into text."""
        return iso_date(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> date | None:  # noqa: ARG002
        """Turn text into a date."""
        return day(value)


class Json(TypeDecorator[Any]):
    """A JSON value, kept as text; None stays NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Turn a value into JSON text."""
        return json_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Turn JSON text into a value."""
        return None if value is None else json.loads(value)


metadata = MetaData()

#: SQLite numbers rows by itself only for a column of the exact type INTEGER.
_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")

campaign_versions = Table(
    "campaign_versions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", String(32), primary_key=True),
    Column("document", Json, nullable=False),
    Column("created", Instant, nullable=False),
)

people = Table(
    "people",
    metadata,
    Column("email", Text, primary_key=True),
    Column("first_name", Text, nullable=False),
    Column("last_name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("company", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("salesforce_id", Text, nullable=False),
    Column("linkedin_url", Text, nullable=False),
    Column("custom", Json),
    # What the CRM said of the person: its account, the fields templates read, and when it was asked.
    Column("account", Text),
    Column("crm_fields", Json),
    Column("crm_asked", Instant),
    # JSON list of record ids when several match: never guessed.
    Column("crm_ambiguous", Json),
    Column("opted_out", Instant),
    Column("bounced", Instant),
    Column("bounce_reason", Text),
    # An incoming mail that nobody could classify holds the next automatic send until somebody decides.
    Column("held", Instant),
)
Index(
    "people_account",
    people.c.account,
    sqlite_where=text("account IS NOT NULL"),
    postgresql_where=text("account IS NOT NULL"),
)
Index(
    "people_record",
    people.c.salesforce_id,
    sqlite_where=text("salesforce_id <> ''"),
    postgresql_where=text("salesforce_id <> ''"),
)

# Those whom nobody writes to, in the order of the pages of people.
for _mark in ("opted_out", "bounced"):
    Index(
        f"people_{_mark}",
        people.c.email,
        sqlite_where=text(f"{_mark} IS NOT NULL"),
        postgresql_where=text(f"{_mark} IS NOT NULL"),
    )

# The words by which a person is found: of their name, address and company. Compared by bytes, whatever the language of
# the database, so that the beginning of a word is a range.
people_words = Table(
    "people_words",
    metadata,
    Column("email", Text, primary_key=True),
    Column("word", Text().with_variant(Text(collation="C"), "postgresql"), primary_key=True),
    sqlite_with_rowid=False,
)
Index("people_words_word", people_words.c.word, people_words.c.email)

# What the CRM must know of a person: opt-out, bounce, roll-up. Like `tasks`, a row is dirty while both sides differ.
crm_people = Table(
    "crm_people",
    metadata,
    Column("email", Text, primary_key=True),
    Column("wanted", Json, nullable=False),
    Column("synced", Json),
    Column("dirty", SmallInteger, nullable=False),
    Column("due", Instant, nullable=False),
    Column("problem", Text),
    Column("code", Text),
    Column("category", Text),
    Column("advice", Text),
    Column("failed", Instant),
)
Index("crm_people_dirty", crm_people.c.due, sqlite_where=text("dirty > 0"), postgresql_where=text("dirty > 0"))

enrollments = Table(
    "enrollments",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("campaign", Text, nullable=False),
    Column("version", String(32), nullable=False),
    Column("person", Text, nullable=False),
    Column("rep", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("launched", Instant, nullable=False),
    Column("start", Instant, nullable=False),
    Column("overrides", Json),
    Column("state", String(12), nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("due", Instant),
    Column("due_date", Day),
    Column("reason", Text, nullable=False),
    Column("intent", String(32)),
    Column("anchor_day", SmallInteger),
    Column("anchor_date", Day),
    Column("email_clocks", Json),
    # When the sequencer must look again; NULL while there is nothing to look at.
    Column("next_due", Instant),
    # A pause that ends by itself.
    Column("paused_until", Instant),
    # When it ended, for retention.
    Column("ended", Instant),
)
Index(
    "enrollments_ended",
    enrollments.c.ended,
    sqlite_where=text("ended IS NOT NULL"),
    postgresql_where=text("ended IS NOT NULL"),
)
Index(
    "enrollments_due",
    enrollments.c.next_due,
    sqlite_where=text("next_due IS NOT NULL"),
    postgresql_where=text("next_due IS NOT NULL"),
)
Index(
    "enrollments_pausing",
    enrollments.c.paused_until,
    sqlite_where=text("paused_until IS NOT NULL"),
    postgresql_where=text("paused_until IS NOT NULL"),
)
_PAUSED = text("state = 'paused'")
Index("enrollments_paused", enrollments.c.person, sqlite_where=_PAUSED, postgresql_where=_PAUSED)
# The emails to come of a rep.
_AHEAD = text("next_due IS NOT NULL")
Index(
    "enrollments_ahead",
    enrollments.c.rep,
    enrollments.c.next_due,
    enrollments.c.id,
    sqlite_where=_AHEAD,
    postgresql_where=_AHEAD,
)
# A campaign's numbers, and the people in it by pages.
Index(
    "enrollments_campaign",
    enrollments.c.campaign,
    enrollments.c.state,
    enrollments.c.rep,
    enrollments.c.position,
    enrollments.c.id,
    enrollments.c.version,
)
# Whose somebody is or was.
Index("enrollments_person", enrollments.c.person, enrollments.c.rep)
#: The same person can be in one campaign only once at a time (spec sequencing 3).
Index(
    "enrollments_live",
    enrollments.c.person,
    enrollments.c.campaign,
    unique=True,
    sqlite_where=text("state IN ('active', 'paused')"),
    postgresql_where=text("state IN ('active', 'paused')"),
)

ledger = Table(
    "ledger",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("enrollment", String(32)),
    Column("person", Text),
    Column("rep", Text),
    Column("campaign", Text),
    Column("intent", String(32)),
    Column("reason", Text, nullable=False),
    Column("data", Json),
)
Index("ledger_person", ledger.c.person, ledger.c.seq)
# What else happened in a range of time, for the numbers.
_NUMBERED = text("kind IN ('completed', 'replied', 'bounced', 'opted_out')")
Index("ledger_counted", ledger.c.kind, ledger.c.at, sqlite_where=_NUMBERED, postgresql_where=_NUMBERED)
_BOUNCES = text("kind = 'bounced'")
Index("ledger_bounces", ledger.c.rep, ledger.c.seq, sqlite_where=_BOUNCES, postgresql_where=_BOUNCES)
Index("ledger_all_bounces", ledger.c.seq, ledger.c.rep, sqlite_where=_BOUNCES, postgresql_where=_BOUNCES)

intents = Table(
    "intents",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("enrollment", String(32), nullable=False),
    Column("campaign", Text, nullable=False),
    Column("version", String(32), nullable=False),
    Column("person", Text, nullable=False),
    Column("rep", Text, nullable=False),
    Column("day", SmallInteger, nullable=False),
    Column("step", SmallInteger, nullable=False),
    Column("type", String(8), nullable=False),
    Column("mode", String(4), nullable=False),
    Column("due", Instant, nullable=False),
    Column("due_date", Day, nullable=False),
    Column("state", String(12), nullable=False),
    # 0 until it has been rendered and put into an outbox (`mails`, `tasks`).
    Column("prepared", SmallInteger, nullable=False),
    # As rendered when prepared; NULL before.
    Column("subject", Text),
    # Why it is blocked, held, cancelled, failed or unknown.
    Column("problem", Text),
    # When somebody last let it go on: from then on it is late, if it is.
    Column("released", Instant),
)
Index(
    "intents_unprepared",
    intents.c.due,
    intents.c.key,
    sqlite_where=text("state = 'due' AND prepared = 0"),
    postgresql_where=text("state = 'due' AND prepared = 0"),
)
# The numbers of each step of a campaign.
Index(
    "intents_campaign",
    intents.c.campaign,
    intents.c.version,
    intents.c.day,
    intents.c.step,
    intents.c.state,
    intents.c.rep,
)
# What waits for people, in the order of the queue: one rep's, and everybody's. The last columns are only filtered by.
_WITH_PEOPLE = text("state IN ('open', 'blocked', 'held', 'failed', 'unknown')")
_IN_QUEUE = (intents.c.due_date, intents.c.due, intents.c.key)
Index(
    "intents_of_rep",
    intents.c.rep,
    *_IN_QUEUE,
    intents.c.type,
    intents.c.campaign,
    sqlite_where=_WITH_PEOPLE,
    postgresql_where=_WITH_PEOPLE,
)
Index(
    "intents_in_queue",
    *_IN_QUEUE,
    intents.c.rep,
    intents.c.type,
    intents.c.campaign,
    sqlite_where=_WITH_PEOPLE,
    postgresql_where=_WITH_PEOPLE,
)
# And of one campaign, and of one type.
for _column in (intents.c.campaign, intents.c.type):
    Index(
        f"intents_of_{_column.name}",
        _column,
        *_IN_QUEUE,
        intents.c.rep,
        sqlite_where=_WITH_PEOPLE,
        postgresql_where=_WITH_PEOPLE,
    )
Index("intents_about", intents.c.person, sqlite_where=_WITH_PEOPLE, postgresql_where=_WITH_PEOPLE)
# Emails that did not go out because somebody, or the end of their campaign, took them out.
_CALLED_OFF = text("type = 'email' AND state IN ('cancelled', 'skipped')")
Index(
    "intents_called_off",
    intents.c.rep,
    intents.c.due,
    intents.c.key,
    sqlite_where=_CALLED_OFF,
    postgresql_where=_CALLED_OFF,
)
Index(
    "intents_all_called_off",
    intents.c.due,
    intents.c.key,
    intents.c.rep,
    sqlite_where=_CALLED_OFF,
    postgresql_where=_CALLED_OFF,
)

# The words by which a task in the queue is found: of its person's name, address and company, and of its subject.
# Written in hex digits, which every database puts into one order.
task_words = Table(
    "task_words",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("word", String(48), primary_key=True),
    sqlite_with_rowid=False,
)
Index("task_words_word", task_words.c.word, task_words.c.key)

# What somebody did in the queue and may still undo: a row a task, gone once it is undone.
undos = Table(
    "undos",
    metadata,
    Column("batch", String(32), primary_key=True),
    Column("key", String(32), primary_key=True),
    Column("user", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("before", Json, nullable=False),
)
Index("undos_at", undos.c.at)

# Those that are looked at in every pass: open tasks, of which there are many more, are not among them.
_STUCK = text("state IN ('blocked', 'held', 'failed', 'unknown')")
Index("intents_stuck", intents.c.due, intents.c.key, sqlite_where=_STUCK, postgresql_where=_STUCK)

mails = Table(
    "mails",
    metadata,
    Column("key", String(32), primary_key=True),
    # Mailbox, e.g. gmail:ana@acme.example.
    Column("lane", Text, nullable=False),
    # draft: the rep sends it; send: the connector does.
    Column("action", String(5), nullable=False),
    Column("state", String(10), nullable=False),
    Column("due", Instant, nullable=False),
    Column("person", Text, nullable=False),
    Column("campaign", Text, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    # Fencing token of the lease under which it was last claimed, and when that was.
    Column("token", BigInteger),
    Column("claimed", Instant),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("draft_id", Text),
    Column("provider_id", Text),
    Column("thread_id", Text),
    Column("internet_message_id", Text),
    Column("references", Json),
    Column("edited", SmallInteger, nullable=False),
    Column("draft_subject", Text),
    # Since when it is neither in Drafts nor surely sent; looked for again until found or given up. Of a scheduled
    # one: when it was last looked at.
    Column("missing", Instant),
    Column("sent", Instant),
)
Index(
    "mails_waiting",
    mails.c.lane,
    mails.c.due,
    sqlite_where=text("state IN ('wanted', 'in_flight', 'unwanted')"),
    postgresql_where=text("state IN ('wanted', 'in_flight', 'unwanted')"),
)
_OPEN = text("state IN ('present', 'scheduled', 'in_flight', 'unknown', 'discarded')")
Index("mails_open", mails.c.lane, sqlite_where=_OPEN, postgresql_where=_OPEN)
# The lists of emails.
_PLACED = text("state IN ('present', 'scheduled', 'sent', 'failed', 'unknown')")
Index(
    "mails_placed",
    mails.c.lane,
    mails.c.state,
    mails.c.due,
    mails.c.key,
    sqlite_where=_PLACED,
    postgresql_where=_PLACED,
)
# What was sent in a range of time, for the numbers.
_SENT = text("state = 'sent'")
Index("mails_counted", mails.c.sent, mails.c.key, sqlite_where=_SENT, postgresql_where=_SENT)
# What the connector sent last from a mailbox.
_OURS = text("action = 'send' AND sent IS NOT NULL")
Index("mails_sent", mails.c.lane, mails.c.sent, sqlite_where=_OURS, postgresql_where=_OURS)
Index("mails_message", mails.c.internet_message_id)
Index("mails_thread", mails.c.thread_id)
Index("mails_person", mails.c.person)

# Incoming mails that were acted on, so that a second look after an expired cursor does not act again.
received = Table(
    "received",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("message", Text, primary_key=True),
    Column("at", Instant, nullable=False),
)
Index("received_at", received.c.at)

tasks = Table(
    "tasks",
    metadata,
    Column("key", String(32), primary_key=True),
    # Intent it mirrors; NULL for a logged reply.
    Column("intent", String(32)),
    Column("person", Text, nullable=False),
    Column("rep", Text, nullable=False),
    Column("remote_id", Text),
    # Fields as we want them, and as last seen on both sides (NULL before the first write).
    Column("wanted", Json, nullable=False),
    Column("synced", Json),
    # The CRM's own status word, shown as it is.
    Column("status", Text),
    # 1 while `wanted` differs from `synced`; 2 while it is to be deleted.
    Column("dirty", SmallInteger, nullable=False),
    Column("due", Instant, nullable=False),
    # When a person here last changed a field that both sides may change.
    Column("changed", Instant),
    # Why the CRM did not take it: for the rep, the CRM's code, its class, for the administrator, and since when.
    Column("problem", Text),
    Column("code", Text),
    Column("category", Text),
    Column("advice", Text),
    Column("failed", Instant),
)
Index("tasks_dirty", tasks.c.due, sqlite_where=text("dirty > 0"), postgresql_where=text("dirty > 0"))
# Logged replies, by person.
_LOGS = text("intent IS NULL")
Index("tasks_logs", tasks.c.person, sqlite_where=_LOGS, postgresql_where=_LOGS)

lanes = Table(
    "lanes",
    metadata,
    Column("key", Text, primary_key=True),
    # Lease, in seconds of the database's own clock.
    Column("token", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("until", Float(53), nullable=False),
    # Pacing: when the next effect may happen, how many happened on `day`, and a service's own wish to wait.
    Column("next_at", Instant),
    Column("day", Day),
    Column("day_count", Integer, nullable=False),
    Column("blocked_until", Instant),
    Column("sends_blocked_until", Instant),
    Column("sends_problem", Text),
    # Why it stands still, for `status`; "reconnect" accounts wait for a person.
    Column("problem", Text),
    # When it was last read to the end.
    Column("looked", Instant),
)

# Each slot of a schedule that was begun, by whom, until when it is theirs (the database's own clock), and its end.
job_runs = Table(
    "job_runs",
    metadata,
    Column("name", Text, primary_key=True),
    Column("slot", Instant, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until", Float(53), nullable=False),
    Column("done", Instant),
)

cursors = Table(
    "cursors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("moved", Instant, nullable=False),
)

# Encrypted before they come here; see `connector.vault`.
secrets = Table(
    "secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("secret", Text, nullable=False),
    Column("changed", Instant, nullable=False),
)

# What a service said of itself and would say again.
cache = Table(
    "cache",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("saved", Instant, nullable=False),
)
