"""Delivery reports: what a mail system says of a mail of ours.

Lives here: which mail is a report, and reading one, by its structure (RFC 3464, RFC 6533) or else by `flufl.bounce`,
which knows the texts of many mail systems. Does not live here: what kind of mail it makes (`classify`).
"""

from __future__ import annotations

import email
import email.policy
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from email.utils import getaddresses

from flufl.bounce import all_failures

from connector.inbox.headers import first, media_type, values
from connector.ports import MailReceived

# Broken mail is everyday here; a traceback of the library's for each would only alarm.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)

#: Local parts of the addresses that reports come from; the last is Exchange's own, with the number of the system.
_REPORTER = re.compile(r"mail(?:er)?[-_.]?daemon|postmaster|microsoftexchange[0-9a-f]{32}", re.IGNORECASE)

#: How reports begin their subjects, lower case; a colon, a dash, a bracket or the end follows. Some come from an
#: ordinary address and carry no other mark.
_SUBJECTS: tuple[str, ...] = (
    *("undeliverable", "undelivered", "undeliverable mail", "undelivered mail returned to sender", "non-delivery"),
    *("delivery failure", "delivery failed", "delivery failure notification", "permanent delivery failure"),
    *("mail delivery failed", "mail delivery failure", "mail delivery warning", "message delivery failure"),
    *("mail could not be delivered", "delivery status notification", "returned mail", "failure notice"),
    *("unzustellbar", "non remis", "no se puede entregar", "não é possível entregar", "recapito non riuscito"),
    *("onbestelbaar", "nie można dostarczyć", "недоставленное сообщение", "配信不能", "无法送达", "無法傳遞"),
)
_SUBJECT = re.compile(rf"(?:{'|'.join(re.escape(words) for words in _SUBJECTS)})\s?(?:[:\uff1a(]|-\s|$)", re.IGNORECASE)

#: Parts that hold the report itself; the second is that of internationalised mail (RFC 6533).
_STATUS_PARTS = frozenset({"message/delivery-status", "message/global-delivery-status"})
#: Parts that hold the whole mail a report is about, and its headers alone.
_ORIGINAL_PARTS = frozenset({"message/rfc822", "message/global"})
_ORIGINAL_HEADERS = frozenset({"text/rfc822-headers", "message/global-headers"})

#: RFC 3464 section 2.3.3.
_ACTIONS = frozenset({"failed", "delayed", "delivered", "relayed", "expanded"})

#: Not inside a longer number with dots, which is an IP address.
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?!\.?\d)")
#: "Other or undefined" (RFC 3463 section 3.1): the diagnostic text often knows more.
_UNDEFINED = re.compile(r"[245]\.0\.0")
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")
_COPIED_ID = re.compile(r"^[ \t>]*Message-ID:\s*(<[^<>\s]+>)", re.IGNORECASE | re.MULTILINE)
_BETWEEN_ADDRESSES = re.compile(r"[\s<>;,\"]+")
_ADDRESS = re.compile(r"[^@]+@[^@]+")

#: Characters of the report's own text that are searched for a status.
_TEXT_SEARCHED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a delivery report says; without an action it cannot be read."""

    #: One of RFC 3464's actions, or "".
    action: str = ""
    #: Status (RFC 3463), such as 5.1.1, or "".
    status: str = ""
    #: Addresses it is about, as given by the sender and as resolved on the way, lower case.
    recipients: tuple[str, ...] = ()
    #: Message-ID of the mail it is about, with angle brackets.
    original: str | None = None


def is_report(mail: MailReceived) -> bool:
    """Tell whether a mail says that it is a delivery report: by type, sender, subject, or Gmail's and Exim's header."""
    kind, parameters = media_type(mail)
    structured = kind == "multipart/report" and parameters.get("report-type", "delivery-status") == "delivery-status"
    return (
        structured
        or "x-failed-recipients" in mail.headers
        or _REPORTER.fullmatch(mail.sender.email.partition("@")[0]) is not None
        or _SUBJECT.match(" ".join(mail.subject.split())) is not None
    )


def read_report(mail: MailReceived) -> Report:
    """Read a delivery report. Never raises: anyone can write such a mail, and it must not stop the mailbox."""
    try:
        message = email.message_from_bytes(mail.raw, policy=email.policy.compat32) if mail.raw else None
        said = _structured(message) if message else Report()
        guessed = _guessed(message) if message and not said.action else Report()
        shown = _STATUS.search(f"{mail.text}\n{_text(message)}" if message else mail.text)
        copied = _copied_id(mail.raw) if mail.raw else None
    except Exception:  # noqa: BLE001 - the parsers of the standard library and of flufl raise much on broken mail
        said, guessed, shown, copied = Report(), Report(), _STATUS.search(mail.text), None
    named = tuple(address.lower() for value in values(mail, "x-failed-recipients") for address in _addresses(value))
    status = said.status or (shown[1] if shown else "")
    return Report(
        action=said.action or _action_by_header(mail, status, guessed.action),
        status=status,
        recipients=said.recipients or named or guessed.recipients,
        original=said.original or _named_id(mail) or copied,
    )


def _action_by_header(mail: MailReceived, status: str, guessed: str) -> str:
    """Return what `X-Failed-Recipients` means: Gmail names those of a late mail there too, flufl takes it for failed.

    A temporary status alone does not make it late: Exim repeats the last one when it has given up.
    """
    if "x-failed-recipients" not in mail.headers:
        return guessed
    if "delay" in mail.subject.lower():
        return "delayed"
    return guessed or ("delayed" if status.startswith("4.") else "failed")


def _structured(message: Message) -> Report:
    blocks = [
        (action, block)
        for part in message.walk()
        if part.get_content_type() in _STATUS_PARTS
        for block in _blocks(part)
        if (action := _action(block))
    ]
    # One recipient that failed makes it a bounce; the report may speak of several.
    about = [row for row in blocks if row[0] == "failed"] or blocks
    return Report(
        action=about[0][0] if about else "",
        status=next((status for _, block in about if (status := _status(block))), ""),
        recipients=tuple(
            dict.fromkeys(
                address.lower()
                for _, block in about
                for name in ("original-recipient", "final-recipient")
                for address in _addresses(_field(block, name))
            )
        ),
        original=_original(message),
    )


def _blocks(part: Message) -> Iterator[Message]:
    """Yield the header blocks of a status part; the standard library splits only the older type."""
    payload = part.get_payload()
    if part.get_content_type() == "message/delivery-status" and isinstance(payload, list):
        yield from (block for block in payload if isinstance(block, Message))
        return
    inner = payload[0] if isinstance(payload, list) and payload else part
    content = inner.get_payload(decode=True) if isinstance(inner, Message) else None
    if isinstance(content, bytes):
        yield from (email.message_from_bytes(block) for block in re.split(rb"\r?\n\r?\n", content.strip()))


def _action(block: Message) -> str:
    """Return the action of a block; of a word that the standard does not know (OpenSMTPD: error) by the status."""
    words = _field(block, "action").lower().split()
    if not words or words[0] in _ACTIONS:
        return words[0] if words else ""
    return {"5": "failed", "4": "delayed"}.get(_field(block, "status")[:1], "")


def _status(block: Message) -> str:
    found = _STATUS.search(_field(block, "status"))
    status = found[1] if found else ""
    if not status or _UNDEFINED.fullmatch(status):
        said = _STATUS.search(_field(block, "diagnostic-code"))
        return said[1] if said else status
    return status


def _field(block: Message, name: str) -> str:
    """Return a field of a block; `name` in lower case. Raw bytes are UTF-8 (RFC 6533)."""
    value = next((str(value) for key, value in block.raw_items() if key.lower() == name), "")
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip()


def _original(message: Message) -> str | None:
    for part in message.walk():
        payload = part.get_payload()
        if part.get_content_type() in _ORIGINAL_PARTS:
            inner = payload[0] if isinstance(payload, list) and payload else None
        elif part.get_content_type() in _ORIGINAL_HEADERS:
            inner = payload[0] if isinstance(payload, list) and payload else _parsed(part)
        else:
            continue
        if isinstance(inner, Message) and (found := _first_id(str(inner["Message-ID"] or ""))):
            return found
    return _first_id(str(message["X-Original-Message-ID"] or ""))


def _parsed(part: Message) -> Message | None:
    content = part.get_payload(decode=True)
    return email.message_from_bytes(content) if isinstance(content, bytes) else None


def _guessed(message: Message) -> Report:
    if not getaddresses([str(message["From"] or "")]):
        # One of flufl's detectors fails where nobody is named, and takes the others with it.
        del message["From"]
        message["From"] = "<>"
    temporary, permanent = all_failures(message)
    found: Iterable[bytes] = permanent or temporary
    return Report(
        action="failed" if permanent else "delayed" if temporary else "",
        recipients=tuple(sorted(address.decode("utf-8", "replace").lower() for address in found)),
    )


def _text(message: Message) -> str:
    """Return the report's own words, without the mail it is about."""
    return "\n".join(_texts(message))[:_TEXT_SEARCHED]


def _texts(message: Message) -> Iterator[str]:
    payload = message.get_payload()
    if message.get_content_maintype() == "multipart" and isinstance(payload, list):
        for part in payload:
            yield from _texts(part) if isinstance(part, Message) else ()
    elif message.get_content_type() == "text/plain":
        content = message.get_payload(decode=True)
        yield content.decode("utf-8", "replace") if isinstance(content, bytes) else ""


def _named_id(mail: MailReceived) -> str | None:
    return _first_id(first(mail, "x-original-message-id")) or mail.in_reply_to


def _copied_id(raw: bytes) -> str | None:
    """Return the Message-ID of a copy that stands in the text, as qmail and Exim put it there."""
    body = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[-1]
    found = _COPIED_ID.search(body.decode("utf-8", "replace"))
    return found[1] if found else None


def _first_id(text: str) -> str | None:
    found = _MESSAGE_ID.search(text)
    return found[0] if found else None


def _addresses(value: str) -> list[str]:
    return [word for word in _BETWEEN_ADDRESSES.split(value) if _ADDRESS.fullmatch(word)]
