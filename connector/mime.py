"""A mail as bytes: RFC 5322, made from data that nobody has checked.

Lives here: headers, encoding, the alternative parts, attachments, threading and unsubscribe headers.
Does not live here: what the mail says (`content`), how it reaches a mailbox (adapters).

The header classes of the standard library read encoded words in a value (`=?utf-8?q?=0A?=` becomes a line break) and
encode a Message-ID that is longer than a line, which breaks threads. So the headers that carry data are made ready
here and written as they are.
"""

from __future__ import annotations

import re
from datetime import datetime
from email.header import Header
from email.headerregistry import BaseHeader, HeaderRegistry
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy, Policy
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from connector.errors import Refused
from connector.ports import STAMP_HEADER, Address, Mail

_LINE = 78
_CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]+")
_NOT_IN_TOKEN = re.compile(r"[^\x21-\x7e]")
_MEDIA_TYPE = re.compile(r"(application|audio|font|image|model|text|video)/([A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*)")


class _Ready(BaseHeader):
    """A header whose value is already as it goes over the wire; folded between words only."""

    #: Read by `EmailMessage`: each of these headers stands at most once.
    max_count = 1

    @classmethod
    def parse(cls, value: str, kwds: dict[str, Any]) -> None:
        kwds["parse_tree"] = None
        kwds["decoded"] = value

    def fold(self, *, policy: Policy) -> str:
        lines = [f"{self.name}:"]
        for word in str(self).split(" "):
            if len(lines[-1]) + 1 + len(word) > _LINE and lines[-1] != f"{self.name}:":
                lines.append("")
            lines[-1] += f" {word}"
        return policy.linesep.join(lines) + policy.linesep


_READY = ("from", "to", "subject", "date", "in-reply-to", "references", "list-unsubscribe", STAMP_HEADER.lower())


def _policy() -> EmailPolicy[EmailMessage]:
    registry = HeaderRegistry()
    for name in _READY:
        registry.map_to_type(name, _Ready)
    return SMTP.clone(header_factory=registry)


_POLICY = _policy()


def to_bytes(mail: Mail, *, date: datetime | None = None) -> bytes:
    """Return the mail as RFC 5322 bytes with CRLF lines.

    There is no Message-ID: Gmail writes its own over any other. `date` (aware) is left out when None.
    Raises `Refused(code="header_injection")` when an address, id or key holds a line break or what does not belong.
    """
    message = EmailMessage(policy=_POLICY)
    message["From"] = _address(mail.sender)
    message["To"] = _address(mail.to)
    message["Subject"] = _words(_CONTROL.sub(" ", mail.subject))
    if date is not None:
        message["Date"] = format_datetime(date)
    if mail.thread is not None and mail.thread.internet_message_id:
        last = _token(mail.thread.internet_message_id, "Message-ID")
        chain = [_token(reference, "Message-ID") for reference in mail.thread.references]
        message["In-Reply-To"] = last
        message["References"] = " ".join(dict.fromkeys([*(r for r in chain if r != last), last]))
    if mail.unsubscribe and urlsplit(mail.unsubscribe).scheme == "https":
        address = _token(mail.unsubscribe, "unsubscribe address")
        if "<" in address or ">" in address:
            raise _refused("unsubscribe address")
        message["List-Unsubscribe"] = f"<{address}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message[STAMP_HEADER] = _token(mail.key, "key")
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    for attachment in mail.attachments:
        known = _MEDIA_TYPE.fullmatch(attachment.media_type)
        maintype, subtype = known.groups() if known else ("application", "octet-stream")
        name = _CONTROL.sub(" ", attachment.name)
        message.add_attachment(attachment.content, maintype=maintype, subtype=subtype, filename=name)
    return message.as_bytes()


def _refused(what: str) -> Refused:
    return Refused(f"the mail's {what} holds characters that do not belong in it", code="header_injection")


def _token(text: str, what: str) -> str:
    if not text or _NOT_IN_TOKEN.search(text):
        raise _refused(what)
    return text


def _address(address: Address) -> str:
    email = _token(address.email, "address")
    if email.count("@") != 1 or set(email) & set('<>,;:"()[]\\'):
        raise _refused("address")
    name = " ".join(_CONTROL.sub(" ", address.name).split())
    if not name:
        return email
    words = _words(name)
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f"{words} <{email}>" if words != name else f'"{quoted}" <{email}>'


def _words(text: str) -> str:
    """Return the text as it is when it is plain, else as encoded words."""
    plain = text.isascii() and "=?" not in text and text == " ".join(text.split())
    if plain and all(len(word) < _LINE for word in text.split(" ")):
        return text
    return " ".join(Header(text, "utf-8", maxlinelen=75, header_name="").encode().split())
