"""A stored mail as Microsoft Graph's JSON.

Lives here: `show`, its properties for filters and orders. Does not live here: attached files
(`graph_attachments`), what a mail may be written with (`graph_shapes`, `graph_letters`), paths (`graph_operations`).
Source: reference apis 3.1 to 3.6 and the Graph mail OpenAPI.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from adapters.sandbox.graph_shapes import MESSAGE, folder_id
from adapters.sandbox.letter import Letter, Who, open_letter, parse, plain_text, quoted
from adapters.sandbox.mailbox import Place, StoredMail


def instant(at: datetime) -> str:
    """Write an instant as Graph does: UTC, whole seconds, Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_draft(mail: StoredMail) -> bool:
    """Tell whether it is a draft: it was not sent yet, wherever it lies (Graph's message resource)."""
    return mail.sent is None and mail.received is None


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _recipient(who: Who) -> dict[str, Any]:
    return {"emailAddress": {"name": who[0] or who[1], "address": who[1]}}


def _change_key(mail: StoredMail) -> str:
    return "CQAAABYAAAD" + base64.b64encode(f"{mail.id[:9]}{mail.serial}".encode()).decode().rstrip("=")


def html_of(letter: Letter) -> str:
    """Return the body as Graph shows it: a whole HTML page."""
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


def _meeting_kind(raw: bytes) -> str:
    """Return what Exchange makes of a mail with a calendar in it; "" for any other mail."""
    if b"BEGIN:VCALENDAR" not in raw:
        return ""
    for part in parse(raw).walk():
        if part.get_content_type() == "text/calendar":
            return "eventMessageResponse" if part.get_param("method") == "REPLY" else "eventMessageRequest"
    return ""


def show(mail: StoredMail, *, immutable: bool, as_text: bool = False) -> dict[str, Any]:
    """Return a mail as Graph shows it, every property; headers are there for `$select` alone."""
    letter = open_letter(mail.raw)
    shown_id = mail.second_id if immutable else mail.id
    key = _change_key(mail)
    text = letter.text or plain_text(letter.html)
    body = {"contentType": "text", "content": text} if as_text else {"contentType": "html", "content": html_of(letter)}
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
        "hasAttachments": any(not one.is_inline for one in letter.enclosures),
        "internetMessageId": letter.message_id,
        "subject": letter.subject,
        "bodyPreview": " ".join(text.split())[:255],
        "importance": mail.marks.get("importance", "normal"),
        "parentFolderId": folder_id(mail.place),
        "conversationId": mail.thread,
        "isDeliveryReceiptRequested": mail.marks.get("isDeliveryReceiptRequested", False),
        "isReadReceiptRequested": mail.marks.get("isReadReceiptRequested", False),
        "isRead": not mail.unread,
        "isDraft": _is_draft(mail),
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
    kind = _meeting_kind(mail.raw)
    if kind:
        shown = {"@odata.type": f"#microsoft.graph.{kind}"} | shown
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
    "isDraft": _is_draft,
    "isRead": lambda mail: not mail.unread,
    "createdDateTime": lambda mail: _whole(mail.created),
    "lastModifiedDateTime": lambda mail: _whole(mail.modified),
    "receivedDateTime": lambda mail: _whole(mail.at),
    "sentDateTime": lambda mail: _whole(mail.at),
    "from/emailAddress/address": lambda mail: mail.head.sender[1],
    "sender/emailAddress/address": lambda mail: mail.head.sender[1],
}
