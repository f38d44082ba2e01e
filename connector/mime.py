"""A mail as bytes: RFC 5322, made from data that nobody has checked.

Lives here: headers, encoding, the parts and how they are nested, threading and unsubscribe headers.
Does not live here: what the mail says (`content`), how it reaches a mailbox (adapters).

    mixed                       only with files
     +- related                 only with images that the HTML shows
     |   +- alternative: plain, html
     |   +- images
     +- files

The header classes of the standard library read encoded words in a value: `=?utf-8?q?=0ABcc: ...?=` becomes a line
break and a header of somebody else's (seen in Python 3.11), and a file named `=?utf-8?q?a?=` another file. They also
encode a Message-ID that is longer than a line, which breaks threads. So the headers that carry data are made ready
here and written as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from email.header import Header
from email.headerregistry import BaseHeader
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP, Policy
from email.utils import format_datetime
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlsplit

from connector.errors import Refused
from connector.ports import STAMP_HEADER, Address, Attachment, Mail

_LINE = 78
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
#: Half of a character that UTF-16 writes as two; JSON can carry one, and no encoding of text can.
_HALF = re.compile("[\ud800-\udfff]")
_NOT_IN_TOKEN = re.compile(r"[^\x21-\x7e]")
_MEDIA_TYPE = re.compile(r"(application|audio|font|image|model|text|video)/([A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*)")
#: A file name that may stand in quotes as it is: words with one space between them.
_PLAIN_NAME = re.compile(r"[\w!#$&'()+,.@^`{}~-]+( [\w!#$&'()+,.@^`{}~-]+)*", re.ASCII)
#: Most characters of a file name in one piece, so that a piece and its name fit a line.
_PIECE = 50
#: Most characters of a display name in quotes: a longer one would be folded there, which not every reader joins again.
_QUOTED = 60

#: Nothing inside a container holds `=_`: text is quoted-printable, everything else base64 (RFC 2045 6.7).
_CONTAINERS = {
    "mixed": 'multipart/mixed; boundary="=_mixed_connector"',
    "related": 'multipart/related; type="multipart/alternative"; boundary="=_related_connector"',
    "alternative": 'multipart/alternative; boundary="=_alternative_connector"',
}


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


class _AllReady:
    """Makes headers: the standard library's registry makes a class for each, which takes longer than the header."""

    def __call__(self, name: str, value: str) -> _Ready:
        return _Ready(name, value)

    def __getitem__(self, name: str) -> type[_Ready]:
        return _Ready


#: Every header is made ready here: reading each of them into a tree and back took half of the time of a mail.
_POLICY = SMTP.clone(header_factory=_AllReady())


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
    message["MIME-Version"] = "1.0"
    _fill(message, mail)
    return message.as_bytes()


def _fill(message: EmailMessage, mail: Mail) -> None:
    """Put the parts into the message, each kind of container only where it is needed."""
    images = [attachment for attachment in mail.attachments if attachment.content_id is not None]
    files = [attachment for attachment in mail.attachments if attachment.content_id is None]
    kinds = [*(["mixed"] if files else []), *(["related"] if images else []), "alternative"]
    # The outermost container is the message itself.
    made: list[MIMEPart] = [message, *(MIMEPart(policy=_POLICY) for _ in kinds[1:])]
    for outer, inner in pairwise(made):
        outer.attach(inner)
    containers = dict(zip(kinds, made, strict=True))
    for kind, container in containers.items():
        container["Content-Type"] = _CONTAINERS[kind]
    for subtype, text in (("plain", mail.text), ("html", mail.html)):
        part = MIMEPart(policy=_POLICY)
        part.set_content(_whole(text), subtype=subtype, cte="quoted-printable")
        containers["alternative"].attach(part)
    # A container's own parts come after the container inside it.
    for kind, attachments in (("related", images), ("mixed", files)):
        for attachment in attachments:
            containers[kind].attach(_part(attachment))


def _part(attachment: Attachment) -> MIMEPart:
    known = _MEDIA_TYPE.fullmatch(attachment.media_type)
    maintype, subtype = known.groups() if known else ("application", "octet-stream")
    part = MIMEPart(policy=_POLICY)
    part.set_content(attachment.content, maintype=maintype, subtype=subtype)
    shown = "attachment" if attachment.content_id is None else "inline"
    part["Content-Disposition"] = "; ".join([shown, *_file_name(_CONTROL.sub(" ", attachment.name))])
    if attachment.content_id is not None:
        content_id = _token(attachment.content_id, "image name")
        if set(content_id) & set("<>"):
            raise _refused("image name")
        part["Content-ID"] = f"<{content_id}>"
    return part


def _file_name(name: str) -> Iterator[str]:
    """Yield the parameters that say a file's name: in quotes when it is plain, else by RFC 2231, in pieces."""
    if len(name) <= _PIECE and _PLAIN_NAME.fullmatch(name):
        yield f'filename="{name}"'
        return
    pieces = ["utf-8''"]
    for character in _whole(name):
        encoded = quote(character, safe="")
        if len(pieces[-1]) + len(encoded) > _PIECE:
            pieces.append("")
        pieces[-1] += encoded
    if len(pieces) == 1:
        yield f"filename*={pieces[0]}"
        return
    yield from (f"filename*{number}*={piece}" for number, piece in enumerate(pieces))


def _refused(what: str) -> Refused:
    return Refused(f"the mail's {what} holds characters that do not belong in it", code="header_injection")


def _token(text: str, what: str) -> str:
    if not text or _NOT_IN_TOKEN.search(text):
        raise _refused(what)
    return text


def _address(address: Address) -> str:
    email = _token(address.email, "address")
    if email.count("@") != 1 or set(email) & set('<>,;:"()[]\\') or "=?" in email:
        raise _refused("address")
    name = " ".join(_CONTROL.sub(" ", address.name).split())
    if not name:
        return email
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    if len(quoted) <= _QUOTED and _words(name) == name:
        return f'"{quoted}" <{email}>'
    return f"{_encoded(name)} <{email}>"


def _whole(text: str) -> str:
    """Return the text with each half of a character shown as one that could not be read."""
    return _HALF.sub("\ufffd", text)


def _words(text: str) -> str:
    """Return the text as it is when it is plain, else as encoded words."""
    text = _whole(text)
    plain = text.isascii() and "=?" not in text and text == " ".join(text.split())
    if plain and all(len(word) < _LINE for word in text.split(" ")):
        return text
    return _encoded(text)


def _encoded(text: str) -> str:
    """Return the text as encoded words."""
    return " ".join(Header(_whole(text), "utf-8", maxlinelen=75, header_name="").encode().split())
