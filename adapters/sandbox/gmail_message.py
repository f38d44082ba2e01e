"""A mail as the Gmail API's JSON.

Lives here: labels, the formats minimal, metadata, full and raw. Does not live here: paths and scopes (`gmail`).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from typing import Any

from adapters.sandbox.letter import parse, plain_text
from adapters.sandbox.mailworld import Place, StoredMail

#: Labels that come with a place.
PLACE_LABELS: Mapping[Place, tuple[str, ...]] = {
    Place.DRAFTS: ("DRAFT",),
    Place.SENT: ("SENT",),
    Place.INBOX: ("INBOX",),
    Place.SCHEDULED: ("SCHEDULED",),
    Place.TRASH: (),
}


def labels_of(mail: StoredMail) -> list[str]:
    """Return the labels of a mail."""
    unread = ["UNREAD"] if mail.unread else []
    if mail.place is Place.TRASH:
        return [*unread, "TRASH", *(["SENT"] if mail.was is Place.SENT else [])]
    return [*unread, *PLACE_LABELS[mail.place]]


def message_ref(mail: StoredMail) -> dict[str, Any]:
    """Return a mail as lists and answers name it."""
    return {"id": mail.id, "threadId": mail.thread, "labelIds": labels_of(mail)}


def draft_ref(mail: StoredMail) -> dict[str, Any]:
    """Return a draft as answers name it."""
    return {"id": mail.second_id, "message": message_ref(mail)}


def show(mail: StoredMail, kind: str, wanted: Sequence[str]) -> dict[str, Any]:
    """Return a mail in a format: minimal, metadata (the `wanted` headers, or all), full or raw."""
    parsed = parse(mail.raw)
    answer = message_ref(mail) | {
        "snippet": snippet(parsed),
        "sizeEstimate": len(mail.raw),
        "historyId": str(mail.serial),
        "internalDate": str(int(mail.at.timestamp() * 1000)),
    }
    if kind == "raw":
        answer["raw"] = base64.urlsafe_b64encode(mail.raw).decode()
    elif kind == "full":
        answer["payload"] = _part(parsed, "")
    elif kind == "metadata":
        names = {name.lower() for name in wanted}
        headers = [one for one in _headers(parsed) if not names or one["name"].lower() in names]
        answer["payload"] = {"mimeType": parsed.get_content_type(), "headers": headers}
    return answer


def _headers(part: EmailMessage) -> list[dict[str, str]]:
    return [{"name": name, "value": str(value)} for name, value in part.items()]


def _part(part: EmailMessage, number: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "partId": number,
        "mimeType": part.get_content_type(),
        "filename": part.get_filename() or "",
        "headers": _headers(part),
    }
    if part.is_multipart():
        inner = part.get_payload()
        prefix = f"{number}." if number else ""
        parts = [one for one in inner if isinstance(one, EmailMessage)] if isinstance(inner, list) else []
        shown["body"] = {"size": 0}
        shown["parts"] = [_part(one, f"{prefix}{count}") for count, one in enumerate(parts)]
        return shown
    content = part.get_payload(decode=True)
    data = content if isinstance(content, bytes) else b""
    if shown["filename"]:
        name = base64.urlsafe_b64encode(f"{number}/{shown['filename']}".encode()).decode()
        shown["body"] = {"attachmentId": name, "size": len(data)}
    else:
        shown["body"] = {"size": len(data)} | ({"data": base64.urlsafe_b64encode(data).decode()} if data else {})
    return shown


def snippet(message: EmailMessage) -> str:
    """Return the beginning of what a mail says."""
    body = message.get_body(("plain", "html"))
    if body is None:
        return ""
    text = str(body.get_content())
    return " ".join((plain_text(text) if body.get_content_subtype() == "html" else text).split())[:200]
