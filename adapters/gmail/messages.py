"""Gmail's Message resource, read into the core's values. Pure.

Lives here: headers, addresses, labels, which mail looks like a delivery report, and which of several candidates is
the mail that is looked for. Does not live here: calls (`mailbox`), classifying a mail (`connector.inbox`).
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import getaddresses
from typing import Any

from connector.ports import STAMP_HEADER, Address, DraftRef, MailReceived, SentMail, Trace

#: Answer and forward marks in front of a subject, in the languages the clients write them in.
_MARKS = re.compile(r"^\s*(?:(?:re|aw|sv|antw|rv|res|fwd?|wg|tr)\s*(?:\[\d+\])?\s*:\s*)+", re.IGNORECASE)
_MESSAGE_IDS = re.compile(r"<[^<>\s]+>")
_STAMP = STAMP_HEADER.lower()

#: Message as decoded JSON.
Message = Mapping[str, Any]

#: Headers that tell which mail it is.
SEEN_HEADERS = ["To", "Cc", "Bcc", "Subject", "Date", "Message-ID", "In-Reply-To", "References", STAMP_HEADER]
#: What is asked for of a mail that is looked for: never its body.
MESSAGE_FIELDS = "id,threadId,labelIds,internalDate,payload(headers)"
DRAFT_FIELDS = f"id,message({MESSAGE_FIELDS})"
#: What is asked for of a mail that is news: its headers, its first words and which kinds of parts it has, of
#: `format=full`; the parts themselves stay with Google, whatever their size.
NEWS_FIELDS = (
    "id,threadId,labelIds,internalDate,snippet,sizeEstimate,"
    "payload(mimeType,headers,parts(mimeType,parts(mimeType,parts(mimeType))))"
)
#: Parts whose content the core reads.
_TOLD_IN_PARTS = frozenset({"message/delivery-status", "message/disposition-notification", "text/calendar"})


def headers_of(message: Message) -> dict[str, tuple[str, ...]]:
    """Return lower-case header name -> values in order."""
    found: dict[str, tuple[str, ...]] = {}
    for header in (message.get("payload") or {}).get("headers") or ():
        name = str(header.get("name", "")).lower()
        found[name] = (*found.get(name, ()), str(header.get("value", "")))
    return found


def labels_of(message: Message) -> frozenset[str]:
    """Return the label ids."""
    return frozenset(message.get("labelIds") or ())


def instant_of(message: Message, otherwise: datetime) -> datetime:
    """Return when Gmail took the message in, UTC; `otherwise` when it does not say."""
    try:
        return datetime.fromtimestamp(int(message["internalDate"]) / 1000, UTC)
    except (KeyError, TypeError, ValueError):
        return otherwise


def first(headers: Mapping[str, tuple[str, ...]], name: str) -> str:
    """Return the first value of a header, decoded for people; "" when absent."""
    return _decoded(headers.get(name, ("",))[0])


def _decoded(value: str) -> str:
    try:
        return str(make_header(decode_header(value)))
    except (LookupError, ValueError, HeaderParseError):
        return value


def addresses(headers: Mapping[str, tuple[str, ...]], name: str) -> tuple[Address, ...]:
    """Return the addresses of a header, lower case.

    Names are decoded once they are told from the addresses: an encoded one may hold a comma ("Bolt, Ann"), or an
    address of its own.
    """
    pairs = getaddresses(headers.get(name, ("",))[:1])
    return tuple(Address(email=email.lower(), name=_decoded(shown)) for shown, email in pairs if "@" in email)


def message_ids(text: str) -> tuple[str, ...]:
    """Return the Message-IDs in a header value, with angle brackets, in order."""
    return tuple(_MESSAGE_IDS.findall(text))


def message_id_of(headers: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return the Message-ID with angle brackets."""
    return next(iter(message_ids(headers.get("message-id", ("",))[0])), None)


def stamp_of(headers: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return the intent key on the mail."""
    return first(headers, _STAMP).strip() or None


def bare_subject(subject: str) -> str:
    """Return a subject without answer marks, case and spacing, to compare by."""
    return " ".join(_MARKS.sub("", subject).split()).casefold()


def sent_mail(message: Message, otherwise: datetime) -> SentMail:
    """Read a message that lies in Sent."""
    headers = headers_of(message)
    return SentMail(
        provider_id=str(message["id"]),
        at=instant_of(message, otherwise),
        thread_id=message.get("threadId"),
        internet_message_id=message_id_of(headers),
        references=message_ids(" ".join(headers.get("references", ()))),
        key=stamp_of(headers),
        to=tuple(address.email for address in addresses(headers, "to")),
        cc=tuple(address.email for name in ("cc", "bcc") for address in addresses(headers, name)),
        subject=first(headers, "subject"),
    )


def received_mail(message: Message, raw: bytes | None, otherwise: datetime) -> MailReceived:
    """Read a message that came in."""
    headers = headers_of(message)
    return MailReceived(
        provider_id=str(message["id"]),
        at=instant_of(message, otherwise),
        sender=next(iter(addresses(headers, "from")), Address(email="")),
        to=tuple(address.email for address in addresses(headers, "to")),
        subject=first(headers, "subject"),
        thread_id=message.get("threadId"),
        internet_message_id=message_id_of(headers),
        in_reply_to=next(iter(message_ids(first(headers, "in-reply-to"))), None),
        references=message_ids(" ".join(headers.get("references", ()))),
        headers=headers,
        # The snippet comes escaped for a web page.
        text=html.unescape(str(message.get("snippet", ""))),
        raw=raw,
    )


def looks_like_report(message: Message) -> bool:
    """Tell whether a mail may be a delivery report or an answer to an invitation, which the core reads whole."""
    headers = headers_of(message)
    kind = first(headers, "content-type").strip().lower()
    sender = next(iter(addresses(headers, "from")), Address(email="")).email.partition("@")[0]
    return (
        kind.startswith(("multipart/report", "text/calendar"))
        or first(headers, "return-path").strip() == "<>"
        or "x-failed-recipients" in headers
        or sender in ("mailer-daemon", "postmaster")
        or bool(_kinds(message.get("payload") or {}) & _TOLD_IN_PARTS)
    )


def _kinds(part: Mapping[str, Any]) -> frozenset[str]:
    """Return the media types of a part and all parts in it."""
    inner = (_kinds(one) for one in part.get("parts") or ())
    return frozenset({str(part.get("mimeType", "")).lower()}).union(*inner)


def draft_ref(draft_id: str, message: Message) -> DraftRef:
    """Return everything a draft's message tells about it."""
    return DraftRef(
        draft_id=draft_id,
        provider_id=str(message["id"]),
        thread_id=message.get("threadId"),
        internet_message_id=message_id_of(headers_of(message)),
    )


def encode_raw(content: bytes) -> str:
    """Write an RFC 5322 message as Gmail's `raw`."""
    return base64.urlsafe_b64encode(content).decode("ascii")


def decode_raw(message: Message) -> bytes:
    """Read Gmail's `raw`, which comes without padding at times."""
    raw = str(message.get("raw", ""))
    return base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4))


def matching(trace: Trace, candidates: Iterable[Message]) -> tuple[str, list[Message]]:
    """Return by which key candidates match, and all that match by it.

    The stamp comes first, then the Message-ID, then recipient, subject and time together.
    A mail with the stamp of another intent never matches: two steps may share a recipient and a subject.
    """
    known = trace.draft.internet_message_id if trace.draft else None
    read = [(message, headers_of(message)) for message in candidates]
    stamped = [message for message, headers in read if stamp_of(headers) == trace.key]
    if stamped:
        return "stamp", stamped
    free = [(message, headers) for message, headers in read if stamp_of(headers) is None]
    same_id = [message for message, headers in free if known is not None and message_id_of(headers) == known]
    if same_id:
        return "message_id", same_id
    alike = [
        message
        for message, headers in free
        if trace.to.lower() in (address.email for address in addresses(headers, "to"))
        and bare_subject(first(headers, "subject")) == bare_subject(trace.subject)
        and instant_of(message, trace.since) >= trace.since.replace(microsecond=0)
    ]
    return "recipient_subject_time" if alike else "", alike
