"""One mail as bytes and as its parts: RFC 5322 in, RFC 5322 out.

Lives here: `Head` (what is asked of a stored mail again and again), `Letter` (a mail being written), and changing a
header of raw bytes. Does not live here: where a mail lies and who may see it (`mailworld`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from email import message_from_bytes, policy
from email.headerregistry import Address, BaseHeader, HeaderRegistry
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import format_datetime, getaddresses
from functools import cache, lru_cache
from html import escape, unescape
from typing import Any

from connector.ports import STAMP_HEADER


class _Headers(HeaderRegistry):
    """Makes headers as the standard library does, but each of them once, and its class once: both are slow to make."""

    def __init__(self) -> None:
        super().__init__()
        self._class = cache(super().__getitem__)
        self._header = lru_cache(maxsize=8192)(super().__call__)

    def __getitem__(self, name: str) -> type[BaseHeader]:
        return self._class(name.lower() if name.lower() in self.registry else "")

    def __call__(self, name: str, value: Any) -> BaseHeader:
        return self._header(name, value)


#: Hardly any folding: Python 3.11 folds a long Message-ID into an encoded word, which no server understands.
POLICY = policy.SMTP.clone(max_line_length=998, header_factory=_Headers())

#: Bytes of the largest mail that is remembered as it was read; a larger one is read anew each time.
_REMEMBERED = 100_000

#: The empty line between headers and body.
_BODY = re.compile(rb"\r?\n\r?\n")
_LINE_END = re.compile(rb"\r?\n")

_ADDRESS = re.compile(r"^[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s<>,;]+$")
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")

#: Headers that `Letter` has fields for.
_OWN = frozenset(
    (
        *("from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "in-reply-to"),
        *("references", "mime-version", "content-type", "content-transfer-encoding", "content-disposition"),
    )
)

#: Display name (may be empty) and address.
Who = tuple[str, str]


def parse(raw: bytes) -> EmailMessage:
    """Parse raw bytes."""
    return message_from_bytes(raw, _class=EmailMessage, policy=POLICY)


def is_deliverable(address: str) -> bool:
    """Tell whether a mail server would take the address."""
    return _ADDRESS.match(address) is not None


def addresses(message: EmailMessage, name: str) -> tuple[Who, ...]:
    """Return the people of an address header, as written; what cannot be an address keeps its place."""
    values = [str(value) for value in message.get_all(name, [])]
    return tuple((who, address) for who, address in getaddresses(values) if who or address)


def message_ids(value: str) -> tuple[str, ...]:
    """Return the ids of a Message-ID, In-Reply-To or References header, with their angle brackets."""
    return tuple(_MESSAGE_ID.findall(value))


def split_raw(raw: bytes) -> tuple[bytes, bytes]:
    """Return the headers of raw bytes, without the empty line after them, and the body."""
    match = _BODY.search(raw)
    return (raw[: match.start()], raw[match.end() :]) if match else (raw, b"")


def parse_head(raw: bytes) -> EmailMessage:
    """Parse the headers alone, which is much faster than all of a mail."""
    top, _ = split_raw(raw)
    return BytesParser(EmailMessage, policy=POLICY).parsebytes(top, headersonly=True)


def with_headers(raw: bytes, **headers: str | None) -> bytes:
    """Return the mail with headers set (None takes one away); `in_reply_to` names In-Reply-To.

    The body stays as it is, but for its line ends: they are CRLF, as servers send it.
    """
    message = parse_head(raw)
    for name, value in headers.items():
        header = name.replace("_", "-")
        del message[header]
        if value is not None:
            message[{"message-id": "Message-ID"}.get(header, header.title())] = value
    top = b"".join(POLICY.fold_binary(name, value) for name, value in message.raw_items())
    _, body = split_raw(raw)
    if body.count(b"\n") != body.count(b"\r\n"):
        body = _LINE_END.sub(b"\r\n", body)
    return top + b"\r\n" + body


def without_foreign_headers(raw: bytes) -> bytes:
    """Return the mail without its x- headers, as a client sends it that writes it anew."""
    foreign = {name.replace("-", "_"): None for name in parse_head(raw) if name.lower().startswith("x-")}
    return with_headers(raw, **foreign) if foreign else raw


def plain_text(html: str) -> str:
    """Return the words of an HTML text, a line for each block."""
    text = re.sub(r"(?is)<(style|script|head)\b.*?</\1>|<!--.*?-->", "", html)
    text = re.sub(r"(?i)<br\s*/?>|</(p|div|tr|h[1-6]|li|blockquote)>", "\n", text)
    text = unescape(re.sub(r"(?s)<[^>]+>", "", text)).replace("\xa0", " ")
    return re.sub(r"\n\s*\n+", "\n\n", text).strip()


def bare_subject(subject: str) -> str:
    """Return the subject without its Re:, Fwd: and spare spaces, lower case: what threads are matched by."""
    return " ".join(re.sub(r"(?i)^(\s*(re|fwd?|aw|wg)\s*:)+", "", subject).split()).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The headers of a stored mail that look-ups need."""

    subject: str
    message_id: str
    sender: Who
    to: tuple[Who, ...]
    cc: tuple[Who, ...]
    bcc: tuple[Who, ...]
    reply_to: tuple[Who, ...]
    in_reply_to: str
    references: tuple[str, ...]
    #: Intent key in the stamp header, or "".
    stamp: str

    @property
    def recipients(self) -> tuple[str, ...]:
        """Every address it goes to, lower case."""
        return tuple(address.lower() for _, address in (*self.to, *self.cc, *self.bcc) if address)

    @property
    def answers(self) -> tuple[str, ...]:
        """Message-IDs it answers, nearest first."""
        nearest = message_ids(self.in_reply_to)
        return (*nearest, *(one for one in reversed(self.references) if one not in nearest))


def head(raw: bytes) -> Head:
    """Read the headers of a mail."""
    top, _ = split_raw(raw)
    return _read_head(top)


@lru_cache(maxsize=4096)
def _read_head(top: bytes) -> Head:
    message = parse_head(top)
    senders = addresses(message, "From")
    return Head(
        subject=str(message.get("Subject", "")),
        message_id=str(message.get("Message-ID", "")).strip(),
        sender=senders[0] if senders else ("", ""),
        to=addresses(message, "To"),
        cc=addresses(message, "Cc"),
        bcc=addresses(message, "Bcc"),
        reply_to=addresses(message, "Reply-To"),
        in_reply_to=str(message.get("In-Reply-To", "")).strip(),
        references=message_ids(str(message.get("References", ""))),
        stamp=str(message.get(STAMP_HEADER, "")).strip(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosure:
    """An attached file."""

    name: str
    media_type: str
    content: bytes = field(repr=False)
    #: By this the HTML shows it, without angle brackets; "" for a file it does not show.
    content_id: str = ""
    #: Shown in the body, and not listed as a file.
    is_inline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail being written."""

    sender: Who
    to: tuple[Who, ...] = ()
    cc: tuple[Who, ...] = ()
    bcc: tuple[Who, ...] = ()
    reply_to: tuple[Who, ...] = ()
    subject: str = ""
    #: HTML body, or "" for a mail of plain text alone.
    html: str = ""
    text: str = ""
    enclosures: tuple[Enclosure, ...] = ()
    message_id: str = ""
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    #: Further headers, in order.
    headers: tuple[tuple[str, str], ...] = ()

    def raw(self, at: datetime) -> bytes:
        """Return it as RFC 5322 bytes, dated `at`."""
        message = EmailMessage(policy=POLICY)
        message["From"] = header_of(self.sender)
        for name, people in (("To", self.to), ("Cc", self.cc), ("Bcc", self.bcc), ("Reply-To", self.reply_to)):
            if people:
                message[name] = ", ".join(header_of(who) for who in people)
        message["Subject"] = " ".join(self.subject.splitlines())
        message["Date"] = format_datetime(at)
        if self.message_id:
            message["Message-ID"] = self.message_id
        if self.in_reply_to:
            message["In-Reply-To"] = self.in_reply_to
        if self.references:
            message["References"] = " ".join(self.references)
        for name, value in self.headers:
            message[name] = value
        message.set_content(self.text or plain_text(self.html))
        if self.html:
            message.add_alternative(self.html, subtype="html")
        for enclosure in sorted(self.enclosures, key=lambda one: not one.is_inline):
            _enclose(message, enclosure)
        return message.as_bytes()


def _enclose(message: EmailMessage, enclosure: Enclosure) -> None:
    """Add a file: beside the HTML that shows it, else beside the whole body."""
    kind, _, subtype = enclosure.media_type.partition("/")
    about: dict[str, Any] = {"maintype": kind, "subtype": subtype or "octet-stream", "filename": enclosure.name}
    if enclosure.content_id:
        about["cid"] = f"<{enclosure.content_id}>"
    if not enclosure.is_inline:
        message.add_attachment(enclosure.content, **about)
        return
    html = message.get_body(("related", "html"))
    if html is None:
        message.add_attachment(enclosure.content, **about, disposition="inline")
    else:
        html.add_related(enclosure.content, **about, disposition="inline")


def header_of(who: Who) -> str:
    """Return a person as address headers write them."""
    name, address = who
    if not is_deliverable(address):
        return f'"{name}" <{address}>' if name else address
    try:
        return str(Address(name, addr_spec=address))
    except (ValueError, IndexError):
        return address


def open_letter(raw: bytes) -> Letter:
    """Read a mail back into a letter that can be changed; the parts of a delivery report are lost."""
    return _open_letter(raw) if len(raw) > _REMEMBERED else _remember_letter(raw)


def _open_letter(raw: bytes) -> Letter:
    message = parse(raw)
    top = head(raw)
    html = message.get_body(("html",))
    text = message.get_body(("plain",))
    return Letter(
        sender=top.sender,
        to=top.to,
        cc=top.cc,
        bcc=top.bcc,
        reply_to=top.reply_to,
        subject=top.subject,
        html=_lines(str(html.get_content())).rstrip("\n") if html else "",
        text=_lines(str(text.get_content())) if text else "",
        enclosures=enclosures(message),
        message_id=top.message_id,
        in_reply_to=top.in_reply_to,
        references=top.references,
        headers=tuple((name, str(value)) for name, value in message.items() if name.lower() not in _OWN),
    )


_remember_letter = lru_cache(maxsize=1024)(_open_letter)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")


def enclosures(message: EmailMessage) -> tuple[Enclosure, ...]:
    """Return the files attached to a mail."""
    found = []
    for part in message.walk():
        content_id = str(part.get("Content-ID", "")).strip().strip("<>")
        shown = bool(content_id) and part.get_content_maintype() not in ("multipart", "text")
        if part.get_content_disposition() == "attachment" or part.get_filename() or shown:
            content = part.get_payload(decode=True)
            found.append(
                Enclosure(
                    name=part.get_filename() or "attachment",
                    media_type=part.get_content_type(),
                    content=content if isinstance(content, bytes) else b"",
                    content_id=content_id,
                    is_inline=shown and part.get_content_disposition() != "attachment",
                )
            )
    return tuple(found)


def without_stamp(letter: Letter) -> Letter:
    """Return the letter as a client that keeps no foreign headers would save it."""
    kept = tuple((name, value) for name, value in letter.headers if name.lower() != STAMP_HEADER.lower())
    return replace(letter, headers=kept)


def quoted(text: str) -> str:
    """Return text as HTML, one paragraph a block."""
    return "".join(f"<div>{escape(line) or '<br>'}</div>" for line in text.splitlines())
