"""The mail outbox: drafts to place and mails to send, and what became of them.

Lives here: `StoredMail` and its life. Does not live here: calling a mailbox (`sync.drain`).

States of a mail: `wanted -> in_flight -> present` (a draft the rep has) `-> sent`, or `in_flight -> sent` (sent by
the connector); `present -> scheduled` (the rep lets the mail program send it later) and back; `unwanted -> deleted` (an
untouched draft of an ended campaign), or `-> wanted` (another takes its place, or the connector sends it);
`discarded`, `left`, `cancelled`, `failed`, `unknown` are told in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, bindparam, case, exists, func, or_, select, text, update

from connector.intents import IntentState
from connector.ports import DraftRef, SentMail, Trace
from connector.store.database import Transaction
from connector.store.dialects import any_of, insert_or_ignore, insert_or_update
from connector.store.schema import intents, mails, received

#: A copy in Sent, or a draft, can be no older than the claim by more than this (clocks differ).
_CLOCK_SKEW = timedelta(minutes=10)


class MailAction(StrEnum):
    """Who sends it in the end."""

    DRAFT = "draft"
    SEND = "send"


class MailState(StrEnum):
    """Where a mail stands; see the module's prose."""

    WANTED = "wanted"
    IN_FLIGHT = "in_flight"
    PRESENT = "present"
    SCHEDULED = "scheduled"
    SENT = "sent"
    UNWANTED = "unwanted"
    DELETED = "deleted"
    DISCARDED = "discarded"
    LEFT = "left"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMail:
    """One mail of one intent, with every id a service has told about it."""

    key: str
    lane: str
    action: MailAction
    state: MailState
    due: datetime
    person: str
    campaign: str
    recipient: str
    subject: str
    attempts: int = 0
    token: int | None = None
    claimed: datetime | None = None
    draft_id: str | None = None
    provider_id: str | None = None
    thread_id: str | None = None
    internet_message_id: str | None = None
    references: tuple[str, ...] = ()
    edited: bool = False
    #: The subject its rep gave the draft, when that is known and another; the mail may lose all but that on its way.
    draft_subject: str | None = None
    #: Since when it is neither in Drafts nor surely sent: looked for again. Of a scheduled one: its last look.
    missing: datetime | None = None
    #: When it was sent. Of a draft that is still `present`: it was seen in Sent, and its sending may yet be undone.
    sent: datetime | None = None

    @property
    def reached_person(self) -> bool:
        """Whether it went to its person: a rep may send a draft to somebody else."""
        return self.recipient.lower() == self.person.lower()

    @property
    def draft(self) -> DraftRef | None:
        """The draft as last known, or None before it was made."""
        if self.draft_id is None:
            return None
        return DraftRef(
            draft_id=self.draft_id,
            provider_id=self.provider_id,
            thread_id=self.thread_id,
            internet_message_id=self.internet_message_id,
        )

    @property
    def trace(self) -> Trace:
        """What is known of it, to find it again."""
        since = (self.claimed or self.due) - _CLOCK_SKEW
        subject = self.draft_subject or self.subject
        return Trace(key=self.key, draft=self.draft, to=self.recipient, subject=subject, since=since)

    def with_draft(self, draft: DraftRef) -> dict[str, Any]:
        """Return the fields that a draft's ids change."""
        return {
            "draft_id": draft.draft_id,
            "provider_id": draft.provider_id,
            "thread_id": draft.thread_id or self.thread_id,
            "internet_message_id": draft.internet_message_id or self.internet_message_id,
        }

    def with_sent(self, sent: SentMail) -> dict[str, Any]:
        """Return the fields that a confirmed send changes."""
        return {
            "state": MailState.SENT,
            "provider_id": sent.provider_id,
            "thread_id": sent.thread_id or self.thread_id,
            "internet_message_id": sent.internet_message_id or self.internet_message_id,
            "references": sent.references or self.references,
            "missing": None,
            "sent": sent.at,
        }


_FIELDS = tuple(field.name for field in fields(StoredMail))
# A campaign with thousands must not fill what is read at a time.
_TURNS = (
    select(
        mails.c.key,
        func.row_number().over(partition_by=mails.c.campaign, order_by=(mails.c.due, mails.c.key)).label("turn"),
    )
    .where(text("state IN ('wanted', 'in_flight', 'unwanted')"), mails.c.lane == bindparam("of_lane"))
    .where(mails.c.due <= bindparam("now"))
    .subquery()
)
_WAITING = (
    select(mails)
    .join(_TURNS, _TURNS.c.key == mails.c.key)
    .order_by(_TURNS.c.turn, mails.c.due, mails.c.key)
    .limit(bindparam("most"))
)
_LANES = select(mails.c.lane).where(text("state IN ('wanted', 'in_flight', 'unwanted')")).distinct()
_LANE_WORK = (
    select(
        mails.c.lane,
        func.min(mails.c.due),
        func.min(case((or_(mails.c.action != "send", mails.c.state != "wanted"), mails.c.due))),
    )
    .where(text("state IN ('wanted', 'in_flight', 'unwanted')"))
    .group_by(mails.c.lane)
)
# As the index `mails_open` says it, so that it is used.
_OPEN = (
    select(mails)
    .where(
        mails.c.lane == bindparam("of_lane"),
        text("mails.state IN ('present', 'scheduled', 'in_flight', 'unknown', 'discarded')"),
    )
    .where(
        or_(
            mails.c.state != MailState.DISCARDED.value,
            exists().where(intents.c.key == mails.c.key, intents.c.state == IntentState.OPEN.value),
        )
    )
)
_DUE_BEFORE = (
    select(mails.c.key)
    .join(intents, intents.c.key == mails.c.key)
    .where(
        text("mails.state IN ('wanted', 'in_flight', 'unwanted')"),
        mails.c.lane == bindparam("of_lane"),
        mails.c.due < bindparam("limit"),
        mails.c.state == MailState.WANTED.value,
        mails.c.action == MailAction.SEND.value,
        or_(intents.c.released.is_(None), intents.c.released < bindparam("limit")),
    )
    .order_by(mails.c.due, mails.c.key)
    .limit(bindparam("most"))
)
_LAST_SENT = select(func.max(mails.c.sent)).where(
    text("action = 'send' AND sent IS NOT NULL"), mails.c.lane == bindparam("of_lane")
)
_BY_KEY = select(mails).where(any_of(mails.c.key, "keys"))


def insert_mails(tx: Transaction, new: Iterable[StoredMail]) -> None:
    """Put mails into the outbox, in bulk; one of the same intent that was cancelled before starts anew."""
    rows = [_row(mail) for mail in new]
    if rows:
        tx.execute(insert_or_update(tx, mails, tuple(name for name in _FIELDS if name != "key")), rows)


#: What is set is told by the names of what is given; made once, as it is executed twice for each mail.
_CHANGE = update(mails).where(mails.c.key == bindparam("of_key"))
_CHANGE_IN_FLIGHT = _CHANGE.where(mails.c.state == MailState.IN_FLIGHT.value)


def change_mail(tx: Transaction, key: str, **changes: Any) -> None:
    """Write some fields of one mail."""
    tx.execute(_CHANGE, {"of_key": key, **_stored_values(changes)})


def change_mail_in_flight(tx: Transaction, key: str, **changes: Any) -> bool:
    """Write some fields of one mail that is in flight; False, and nothing written, when it is not any more."""
    return tx.execute(_CHANGE_IN_FLIGHT, {"of_key": key, **_stored_values(changes)}).rowcount == 1


def change_mails(tx: Transaction, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the same fields of several mails: key -> field -> value."""
    if changes:
        tx.execute(_CHANGE, [{"of_key": key, **values} for key, values in changes.items()])


def read_waiting(tx: Transaction, lane: str, now: datetime, most: int) -> list[StoredMail]:
    """Return mails of a lane that must be placed, sent, looked up or deleted: campaigns by turns, each by due."""
    return [_stored(row) for row in tx.execute(_WAITING, {"of_lane": lane, "now": now, "most": most})]


def read_lane_work(tx: Transaction, only: str | None = None) -> dict[str, tuple[datetime, datetime | None]]:
    """Return lane -> when its earliest mail is due, and its earliest that is not merely to be sent; `only` of one."""
    query = _LANE_WORK if only is None else _LANE_WORK.where(mails.c.lane == only)
    return {row[0]: (row[1], row[2]) for row in tx.execute(query)}


def read_sends_due_before(tx: Transaction, lane: str, limit: datetime, most: int) -> list[str]:
    """Return the keys of sends that wait in a lane, were due and last let go on before `limit`, earliest first."""
    return list(tx.execute(_DUE_BEFORE, {"of_lane": lane, "limit": limit, "most": most}).scalars())


def last_sent(tx: Transaction, lane: str) -> datetime | None:
    """Return when the connector last sent from a mailbox; None before it ever did."""
    return tx.execute(_LAST_SENT, {"of_lane": lane}).scalar()


def lanes_waiting(tx: Transaction, now: datetime) -> list[str]:
    """Return the lanes that have work at `now`."""
    return sorted(tx.execute(_LANES.where(mails.c.due <= now)).scalars())


def read_mails(tx: Transaction, keys: Sequence[str]) -> dict[str, StoredMail]:
    """Return mails by intent key; unknown keys are left out."""
    if not keys:
        return {}
    return {row.key: _stored(row) for row in tx.execute(_BY_KEY, {"keys": list(keys)})}


def read_open(tx: Transaction, lane: str) -> list[StoredMail]:
    """Return the drafts of a lane that a rep may still send, and sends whose answer was lost.

    A discarded draft may be taken out of the bin and sent while its task is open; after that it is of no matter.
    """
    return [_stored(row) for row in tx.execute(_OPEN, {"of_lane": lane})]


def read_sent_about(
    tx: Transaction, *, message_ids: Sequence[str], thread_ids: Sequence[str], persons: Sequence[str]
) -> list[StoredMail]:
    """Return mails in Sent that an incoming mail may answer: by Message-ID, by thread, or to these people."""
    conditions = []
    if message_ids:
        conditions.append(mails.c.internet_message_id.in_(list(message_ids)))
    if thread_ids:
        conditions.append(mails.c.thread_id.in_(list(thread_ids)))
    if persons:
        conditions.append(mails.c.person.in_(list(persons)))
    if not conditions:
        return []
    query = select(mails).where(or_(*conditions), mails.c.sent.is_not(None)).order_by(mails.c.sent)
    return [_stored(row) for row in tx.execute(query)]


def note_received(tx: Transaction, lane: str, message: str, at: datetime) -> bool:
    """Note an incoming mail that is acted on; False when it was acted on before."""
    row = {"lane": lane, "message": message, "at": at}
    # What comes back tells; PostgreSQL counts no rows of such a statement.
    return tx.execute(insert_or_ignore(tx, received).returning(received.c.message), row).first() is not None


def count_waiting(tx: Transaction, now: datetime) -> dict[tuple[str, str], tuple[int, datetime]]:
    """Return (lane, action) -> how many wait at `now`, and the oldest due instant."""
    query = (
        select(mails.c.lane, mails.c.action, func.count(), func.min(mails.c.due))
        .where(text("state IN ('wanted', 'in_flight', 'unwanted')"), mails.c.due <= now)
        .group_by(mails.c.lane, mails.c.action)
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in tx.execute(query)}


def _stored_values(changes: dict[str, Any]) -> dict[str, Any]:
    if "references" in changes:
        changes["references"] = list(changes["references"]) or None
    if "edited" in changes:
        changes["edited"] = int(changes["edited"])
    return changes


def _row(mail: StoredMail) -> dict[str, Any]:
    row = {name: getattr(mail, name) for name in _FIELDS}
    return row | {
        "action": mail.action.value,
        "state": mail.state.value,
        "references": list(mail.references) or None,
        "edited": int(mail.edited),
    }


def _stored(row: Row[Any]) -> StoredMail:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    values["action"] = MailAction(values["action"])
    values["state"] = MailState(values["state"])
    values["references"] = tuple(values["references"] or ())
    values["edited"] = bool(values["edited"])
    return StoredMail(**values)
