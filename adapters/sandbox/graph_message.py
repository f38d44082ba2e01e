"""A mail as Microsoft Graph's JSON, both ways.

Lives here: which properties a message has and of what type, how a stored mail is shown, how a written message
becomes a letter, replies that quote. Does not live here: paths and permissions (`graph`).
Source: reference apis 3.1 to 3.6 and the Graph mail OpenAPI.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote

from adapters.sandbox.letter import Enclosure, Letter, Who, open_letter, parse, plain_text, quoted
from adapters.sandbox.mailbox import Place, StoredMail


class ShapeError(ValueError):
    """The JSON is not what the property takes; `code` is Graph's."""

    def __init__(self, sentence: str, code: str = "RequestBodyRead") -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A JSON object: property -> str, bool, a tuple of allowed words, another `Shape`, or a list of one of them."""

    name: str
    properties: Mapping[str, Any]


_EMAIL = Shape(name="emailAddress", properties={"name": str, "address": str})
_RECIPIENT = Shape(name="recipient", properties={"emailAddress": _EMAIL})
_BODY = Shape(name="itemBody", properties={"contentType": ("text", "html"), "content": str})
_DATE = Shape(name="dateTimeTimeZone", properties={"dateTime": str, "timeZone": str})
_FLAG = Shape(
    name="followupFlag",
    properties={
        "flagStatus": ("notFlagged", "complete", "flagged"),
        "completedDateTime": _DATE,
        "dueDateTime": _DATE,
        "startDateTime": _DATE,
    },
)
_HEADER = Shape(name="internetMessageHeader", properties={"name": str, "value": str})
_PROPERTY = Shape(name="singleValueLegacyExtendedProperty", properties={"id": str, "value": str})
_ATTACHMENT = Shape(
    name="fileAttachment",
    properties={
        "name": str,
        "contentType": str,
        "contentBytes": str,
        "contentId": str,
        "isInline": bool,
        "size": int,
        "id": str,
    },
)

#: What a message may be written with. What a client cannot set (`id`, `webLink`, …) is taken and has no effect.
MESSAGE = Shape(
    name="message",
    properties={
        **dict.fromkeys(("id", "changeKey", "createdDateTime", "lastModifiedDateTime", "bodyPreview"), str),
        **dict.fromkeys(("conversationId", "conversationIndex", "parentFolderId", "webLink"), str),
        **dict.fromkeys(("receivedDateTime", "sentDateTime", "subject", "internetMessageId"), str),
        **dict.fromkeys(("hasAttachments", "isDraft", "isRead"), bool),
        **dict.fromkeys(("isDeliveryReceiptRequested", "isReadReceiptRequested"), bool),
        **{name: [_RECIPIENT] for name in ("toRecipients", "ccRecipients", "bccRecipients", "replyTo")},
        "from": _RECIPIENT,
        "sender": _RECIPIENT,
        "body": _BODY,
        "uniqueBody": _BODY,
        "categories": [str],
        "importance": ("low", "normal", "high"),
        "inferenceClassification": ("focused", "other"),
        "flag": _FLAG,
        "internetMessageHeaders": [_HEADER],
        "singleValueExtendedProperties": [_PROPERTY],
        "attachments": [_ATTACHMENT],
    },
)

_EDM = {str: "Edm.String", bool: "Edm.Boolean", int: "Edm.Int32"}
_PROPERTY_ID = re.compile(
    r"(String|Integer|Boolean|SystemTime|Binary|Double|Long|Short|CLSID) "
    r"(\{[0-9A-Fa-f-]{36}\} (Name \S.*|Id 0x[0-9A-Fa-f]+)|0x[0-9A-Fa-f]+)"
)


def check(value: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """Return the object without its annotations; raise `ShapeError` for what Graph's reader refuses."""
    for name, inner in value.items():
        if name.startswith("@odata."):
            continue
        if name not in shape.properties:
            raise ShapeError(
                f"The property '{name}' does not exist on type 'microsoft.graph.{shape.name}'. Make sure to only use "
                "property names that are defined by the type."
            )
        _check_value(inner, shape.properties[name])
    if shape is _PROPERTY and not _PROPERTY_ID.fullmatch(str(value.get("id", ""))):
        raise ShapeError(f"The extended property id '{value.get('id')}' is malformed.", "ErrorInvalidProperty")
    if shape is _ATTACHMENT and value.get("@odata.type") != "#microsoft.graph.fileAttachment":
        raise ShapeError(
            "A type named '@odata.type' must be given: '#microsoft.graph.fileAttachment'.", "ErrorInvalidArgument"
        )
    return dict(value)


def _check_value(value: Any, kind: Any) -> None:
    if value is None:
        return
    if isinstance(kind, list):
        if not isinstance(value, list):
            raise ShapeError("When trying to read the start of an array, a node of another type was found.")
        for one in value:
            _check_value(one, kind[0])
    elif isinstance(kind, Shape):
        if not isinstance(value, dict):
            raise ShapeError(f"A node of type 'microsoft.graph.{kind.name}' was expected, an object.")
        check(value, kind)
    elif isinstance(kind, tuple):
        if not isinstance(value, str) or value.lower() not in (word.lower() for word in kind):
            raise ShapeError(f"Requested value '{value}' was not found: {', '.join(kind)}.")
    elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ShapeError(f"Cannot convert the literal '{value}' to the expected type '{_EDM[kind]}'.")


# ------------------------------------------------------------------------------------------------- folders

_FOLDERS: Mapping[str, Place] = {
    "drafts": Place.DRAFTS,
    "sentitems": Place.SENT,
    "inbox": Place.INBOX,
    "deleteditems": Place.TRASH,
    "outbox": Place.SCHEDULED,
}


def folder_id(place: Place) -> str:
    """Return the id of a folder."""
    return "AQMkAGI" + base64.urlsafe_b64encode(f"folder-{place.value}".encode()).decode().rstrip("=") + "AAAA="


def folder_of(name: str) -> Place | None:
    """Return the place a well-known name or a folder id means."""
    by_id = {folder_id(place): place for place in Place}
    return _FOLDERS.get(name.lower()) or by_id.get(name)


# ---------------------------------------------------------------------------------------------- shown mails


def instant(at: datetime) -> str:
    """Write an instant as Graph does: UTC, whole seconds, Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _recipient(who: Who) -> dict[str, Any]:
    return {"emailAddress": {"name": who[0] or who[1], "address": who[1]}}


def _change_key(mail: StoredMail) -> str:
    return "CQAAABYAAAD" + base64.b64encode(f"{mail.id[:9]}{mail.serial}".encode()).decode().rstrip("=")


def _html(letter: Letter) -> str:
    inner = letter.html or f'<div class="PlainText">{quoted(letter.text)}</div>'
    if "<html" in inner.lower():
        return inner
    meta = '<meta http-equiv="Content-Type" content="text/html; charset=utf-8">'
    return f"<html><head>\r\n{meta}</head><body>{inner}</body></html>"


def _shown_headers(mail: StoredMail) -> list[dict[str, str]] | None:
    """Return the headers Graph tells: all of a received mail, the x- ones of a draft, none in Sent Items (apis 3.2)."""
    if mail.place is Place.SENT or mail.sent is not None:
        return None
    items = [{"name": name, "value": str(value)} for name, value in parse(mail.raw).items()]
    if mail.received is None:
        items = [one for one in items if one["name"].lower().startswith("x-")]
    return items or None


def show(mail: StoredMail, *, immutable: bool, as_text: bool = False) -> dict[str, Any]:
    """Return a mail as Graph shows it, every property; headers are there for `$select` alone."""
    letter = open_letter(mail.raw)
    shown_id = mail.second_id if immutable else mail.id
    key = _change_key(mail)
    text = letter.text or plain_text(letter.html)
    body = {"contentType": "text", "content": text} if as_text else {"contentType": "html", "content": _html(letter)}
    sender = _recipient(letter.sender)
    shown: dict[str, Any] = {
        "@odata.etag": f'W/"{key}"',
        "id": shown_id,
        "createdDateTime": instant(mail.created),
        "lastModifiedDateTime": instant(mail.modified),
        "changeKey": key,
        "categories": mail.marks.get("categories", []),
        "receivedDateTime": instant(mail.at),
        "sentDateTime": instant(mail.at),
        "hasAttachments": bool(letter.enclosures),
        "internetMessageId": letter.message_id,
        "subject": letter.subject,
        "bodyPreview": " ".join(text.split())[:255],
        "importance": mail.marks.get("importance", "normal"),
        "parentFolderId": folder_id(mail.place),
        "conversationId": mail.thread,
        "isDeliveryReceiptRequested": mail.marks.get("isDeliveryReceiptRequested", False),
        "isReadReceiptRequested": mail.marks.get("isReadReceiptRequested", False),
        "isRead": not mail.unread,
        "isDraft": mail.place is Place.DRAFTS,
        "webLink": f"https://outlook.office365.com/owa/?ItemID={quote(shown_id, safe='')}&exvsurl=1"
        "&viewmodel=ReadMessageItem",
        "inferenceClassification": "focused",
        "body": body,
        "sender": sender,
        "from": sender,
        "toRecipients": [_recipient(who) for who in letter.to],
        "ccRecipients": [_recipient(who) for who in letter.cc],
        "bccRecipients": [_recipient(who) for who in letter.bcc],
        "replyTo": [_recipient(who) for who in letter.reply_to],
        "flag": mail.marks.get("flag", {"flagStatus": "notFlagged"}),
    }
    headers = _shown_headers(mail)
    return shown | ({"internetMessageHeaders": headers} if headers else {})


def _property(name: str) -> Callable[[StoredMail], Any]:
    return lambda mail: show(mail, immutable=False).get(name)


#: Property -> its value, for $filter, $orderby and $select.
PROPERTIES: Mapping[str, Callable[[StoredMail], Any]] = {
    **{name: _property(name) for name in MESSAGE.properties},
    "conversationId": lambda mail: mail.thread,
    "internetMessageId": lambda mail: mail.head.message_id,
    "subject": lambda mail: mail.head.subject,
    "isDraft": lambda mail: mail.place is Place.DRAFTS,
    "isRead": lambda mail: not mail.unread,
    "createdDateTime": lambda mail: _whole(mail.created),
    "lastModifiedDateTime": lambda mail: _whole(mail.modified),
    "receivedDateTime": lambda mail: _whole(mail.at),
    "sentDateTime": lambda mail: _whole(mail.at),
    "from/emailAddress/address": lambda mail: mail.head.sender[1],
    "sender/emailAddress/address": lambda mail: mail.head.sender[1],
}


def attachment(enclosure: Enclosure, number: int) -> dict[str, Any]:
    """Return an attached file as Graph shows it."""
    return {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "id": f"AAMkAttachment{number:04d}=",
        "name": enclosure.name,
        "contentType": enclosure.media_type,
        "size": len(enclosure.content),
        "isInline": False,
        "contentBytes": base64.b64encode(enclosure.content).decode(),
    }


# -------------------------------------------------------------------------------------------- written mails


def read_enclosure(written: Mapping[str, Any]) -> Enclosure:
    """Read an attachment of a written message."""
    try:
        content = base64.b64decode(written.get("contentBytes") or "", validate=True)
    except (binascii.Error, ValueError):
        raise ShapeError("Cannot convert the literal of 'contentBytes' to the expected type 'Edm.Binary'.") from None
    if not written.get("name"):
        raise ShapeError("The attachment's name is missing.", "ErrorInvalidArgument")
    media_type = written.get("contentType") or "application/octet-stream"
    return Enclosure(name=written["name"], media_type=media_type, content=content)


def _read_recipients(written: list[Mapping[str, Any]]) -> tuple[Who, ...]:
    found = []
    for one in written:
        email = one.get("emailAddress") or {}
        if not email.get("address"):
            raise ShapeError("At least one recipient isn't valid.", "ErrorInvalidRecipients")
        found.append((email.get("name") or "", email["address"]))
    return tuple(found)


def _read_headers(written: list[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    if not 1 <= len(written) <= 5:
        raise ShapeError(
            "The number of internet message headers in one message must be between 1 and 5.",
            "InvalidInternetMessageHeaderCollection",
        )
    for one in written:
        if not str(one.get("name", "")).lower().startswith("x-"):
            raise ShapeError(
                f"The internet message header name '{one.get('name')}' should start with 'x-' or 'X-'.",
                "InvalidInternetMessageHeader",
            )
    return tuple((str(one["name"]), str(one.get("value") or "")) for one in written)


def letter_of(written: Mapping[str, Any], letter: Letter) -> Letter:
    """Return the letter with what was written put into it; raise `ShapeError` for what Graph refuses."""
    changed: dict[str, Any] = {}
    fields = {"toRecipients": "to", "ccRecipients": "cc", "bccRecipients": "bcc", "replyTo": "reply_to"}
    for name, own in fields.items():
        if written.get(name) is not None:
            changed[own] = _read_recipients(written[name])
    if written.get("subject") is not None:
        changed["subject"] = written["subject"]
    if written.get("internetMessageId"):
        changed["message_id"] = written["internetMessageId"]
    if written.get("body") is not None:
        content = written["body"].get("content") or ""
        is_html = str(written["body"].get("contentType")).lower() == "html"
        changed |= {"html": content, "text": ""} if is_html else {"html": "", "text": content}
    if written.get("internetMessageHeaders") is not None:
        changed["headers"] = (*letter.headers, *_read_headers(written["internetMessageHeaders"]))
    if written.get("attachments"):
        changed["enclosures"] = (*letter.enclosures, *(read_enclosure(one) for one in written["attachments"]))
    return replace(letter, **changed)


def quoted_reply(answered: StoredMail, owner: Who, *, comment: str, everyone: bool) -> Letter:
    """Return the reply Graph drafts: the original's sender as recipient (oneself, for one's own mail), and a quote.

    `comment` loses its line breaks (apis 3.1).
    """
    original = open_letter(answered.raw)
    to = original.reply_to or (original.sender,)
    cc: tuple[Who, ...] = ()
    if everyone:
        own = owner[1].lower()
        to = tuple(who for who in (*to, *original.to) if who[1].lower() != own) or to
        cc = tuple(who for who in original.cc if who[1].lower() != own)
    body = re.sub(r"(?is)^.*<body[^>]*>|</body>.*$", "", _html(original))
    lines = (
        ("From", _line((original.sender,))),
        ("Sent", answered.at.strftime("%A, %B %d, %Y %I:%M:%S %p")),
        ("To", _line(original.to)),
        ("Subject", escape(original.subject)),
    )
    head = "<br>".join(f"<b>{name}:</b> {value}" for name, value in lines)
    html = (
        f"<html><head></head><body>{escape(' '.join(comment.split()))}"
        '<hr tabindex="-1" style="display:inline-block; width:98%">'
        f'<div id="divRplyFwdMsg" dir="ltr"><font face="Calibri, sans-serif">{head}</font><div>&nbsp;</div></div>'
        f"{body}</body></html>"
    )
    subject = original.subject
    return Letter(
        sender=owner,
        to=to,
        cc=cc,
        subject=subject if subject.lower().startswith("re:") else f"RE: {subject}",
        html=html,
        in_reply_to=original.message_id,
        references=(*original.references, original.message_id),
    )


def _line(people: tuple[Who, ...]) -> str:
    return "; ".join(escape(f"{name} <{address}>" if name else address) for name, address in people)
