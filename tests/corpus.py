"""The corpus of incoming mail in tests/data/mail, read as an adapter hands it over.

Lives here: its table, and a raw message as Gmail's resource. Does not live here: what must come out (tests/unit).
"""

from __future__ import annotations

import email
import email.policy
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from adapters.gmail.messages import looks_like_report, received_mail
from adapters.outlook import messages as outlook
from connector.inbox.classify import Classified, MailKind, classify
from connector.ports import MailReceived

FOLDER = Path(__file__).parent / "data" / "mail"
OWN = frozenset({"ana@acme.example", "ana.diaz@acme.example"})
AT = datetime(2026, 11, 24, 9, 13, tzinfo=UTC)

#: Characters of a mail that Gmail shows beside its subject.
_SNIPPET = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A message of the corpus and what is true of it."""

    file: str
    #: What it is, whether or not that can be told: bounce, delayed, answer, notice, calendar, receipt, person, own.
    is_: str
    said: MailKind
    #: The kind when the adapter hands over the headers alone.
    headers_only: MailKind
    failed: tuple[str, ...]
    status: str
    original: str | None
    system: str
    language: str
    source: str
    undecidable: bool
    why: str

    @property
    def raw(self) -> bytes:
        """The message, to the byte."""
        return (FOLDER / self.file).read_bytes()


@cache
def entries() -> tuple[Entry, ...]:
    """Return the corpus in the order of its table."""
    return tuple(_entry(row) for row in YAML(typ="safe").load(FOLDER / "table.yaml"))


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(
        file=row["file"],
        is_=row["is"],
        said=MailKind(row["said"]),
        headers_only=MailKind(row.get("headers_only", row["said"])),
        failed=tuple(row.get("failed", ())),
        status=row.get("status", ""),
        original=row.get("original"),
        system=row["system"],
        language=row.get("language", ""),
        source=row["source"],
        undecidable=row.get("undecidable", False),
        why=row.get("why", ""),
    )


def gmail_resource(raw: bytes) -> dict[str, Any]:
    """Return a raw message as Gmail's Message in the form `full`: headers, parts without content, and a snippet."""
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    return {"id": "m1", "threadId": "t1", "snippet": _snippet(message), "payload": _part(message)}


def _part(message: Message) -> dict[str, Any]:
    payload = message.get_payload()
    return {
        "mimeType": message.get_content_type(),
        "headers": [{"name": name, "value": _readable(str(value))} for name, value in message.raw_items()],
        "parts": [_part(part) for part in payload if isinstance(part, Message)] if isinstance(payload, list) else [],
    }


def _readable(value: str) -> str:
    """Return a header value unfolded, with its raw bytes read as UTF-8."""
    return " ".join(value.encode("utf-8", "surrogateescape").decode("utf-8", "replace").split())


def as_received(raw: bytes, *, whole: bool | None = None) -> MailReceived:
    """Return a raw message as Gmail's adapter hands it over; `whole` overrules what it would fetch."""
    resource = gmail_resource(raw)
    fetched = looks_like_report(resource) if whole is None else whole
    return received_mail(resource, raw if fetched else None, AT)


def as_graph_gives(raw: bytes) -> MailReceived:
    """Return a raw message as Outlook's adapter hands it over."""
    mail = as_received(raw, whole=False)
    resource = {
        **_calendar_type(raw),
        "id": "m1",
        "conversationId": "t1",
        "subject": mail.subject,
        "from": {"emailAddress": {"address": mail.sender.email, "name": mail.sender.name}},
        "toRecipients": [{"emailAddress": {"address": address}} for address in mail.to],
        "internetMessageId": mail.internet_message_id,
        "receivedDateTime": AT.isoformat(),
        "bodyPreview": mail.text,
        "internetMessageHeaders": [
            {"name": name, "value": value} for name, values in mail.headers.items() for value in values
        ],
    }
    return outlook.received_mail(resource, raw if outlook.looks_like_report(resource) else None)


def _calendar_type(raw: bytes) -> dict[str, str]:
    """Return what Graph says of a mail in which an attendee answers."""
    parts = email.message_from_bytes(raw, policy=email.policy.compat32).walk()
    methods = {str(part.get_param("method")).upper() for part in parts if part.get_content_type() == "text/calendar"}
    return {"@odata.type": "#microsoft.graph.eventMessageResponse"} if methods & {"REPLY", "COUNTER"} else {}


def classified(raw: bytes, *, whole: bool | None = None) -> Classified:
    """Return what the classifier says of a raw message."""
    return classify(as_received(raw, whole=whole), own=OWN)


def _snippet(message: Message) -> str:
    part = next((part for part in message.walk() if part.get_content_type() == "text/plain"), None)
    try:
        content = part.get_payload(decode=True) if part is not None else b""
    except ValueError:
        content = b""
    return " ".join(content.decode("utf-8", "replace").split())[:_SNIPPET] if isinstance(content, bytes) else ""


#: What a mail truly is, in the order of the table in docs/incoming-mail.md, and how people call it.
TRUTHS: tuple[tuple[str, str], ...] = (
    ("own", "own mail"),
    ("bounce", "report: failed"),
    ("delayed", "report: late, delivered, relayed"),
    ("answer", "automatic answer"),
    ("notice", "notice, mailing"),
    ("calendar", "answer to an invitation"),
    ("receipt", "read receipt"),
    ("person", "written by a person"),
)


def counted() -> str:
    """Return how the corpus is classified as a Markdown table; `python -m tests.corpus` prints it for the docs."""
    kinds = list(MailKind)
    lines = [f"| It is | {' | '.join(kind.value for kind in kinds)} | of these undecidable |"]
    lines.append("|---|" + "---:|" * (len(kinds) + 1))
    for truth, words in TRUTHS:
        these = [entry for entry in entries() if entry.is_ == truth]
        said = [classified(entry.raw).kind for entry in these]
        cells = [str(said.count(kind) or "") for kind in kinds]
        lines.append(f"| {words} | {' | '.join(cells)} | {sum(entry.undecidable for entry in these) or ''} |")
    answers = sorted({entry.language for entry in entries() if entry.is_ == "answer"})
    reports = {entry.system for entry in entries() if entry.is_ in ("bounce", "delayed")}
    lines.append("")
    lines.append(
        f"{len(entries())} messages; reports of {len(reports)} mail systems;"
        f" automatic answers in {len(answers)} languages: {', '.join(answers)}."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    print(counted())
