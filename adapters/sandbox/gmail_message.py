"""A mail as the Gmail API's JSON.

Lives here: the formats minimal, metadata, full and raw, and attachments. Does not live here: labels (`mailbox`), paths
and scopes (`gmail_methods`).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from functools import lru_cache
from typing import Any

from adapters.sandbox.letter import parse, parse_head, plain_text
from adapters.sandbox.mailbox import StoredMail


def message_ref(mail: StoredMail) -> dict[str, Any]:
    """Return a mail as lists and answers name it."""
    return {"id": mail.id, "threadId": mail.thread, "labelIds": list(mail.labels)}


def draft_ref(mail: StoredMail) -> dict[str, Any]:
    """Return a draft as answers name it."""
    return {"id": mail.second_id, "message": message_ref(mail)}


def show(mail: StoredMail, kind: str, wanted: Sequence[str]) -> dict[str, Any]:
    """Return a mail in a format: minimal, metadata (the `wanted` headers, or all), full or raw."""
    answer = message_ref(mail) | {
        "snippet": snippet(mail.raw),
        "sizeEstimate": len(mail.raw),
        "historyId": str(mail.serial),
        "internalDate": str(int(mail.at.timestamp() * 1000)),
    }
    if kind == "raw":
        answer["raw"] = base64.urlsafe_b64encode(mail.raw).decode()
    elif kind == "full":
        answer["payload"] = _part(parse(mail.raw), "")
    elif kind == "metadata":
        top = parse_head(mail.raw)
        answer["payload"] = {"mimeType": top.get_content_type(), "headers": _headers(top, wanted)}
    return answer


def _headers(part: EmailMessage, wanted: Sequence[str] = ()) -> list[dict[str, str]]:
    """Return the headers of these names, or all; those that nobody wants are not even read, as reading is slow."""
    names = {name.lower() for name in wanted}
    for name in {name for name in part if names and name.lower() not in names}:
        del part[name]
    return [{"name": name, "value": str(value)} for name, value in part.items()]


def _part(part: EmailMessage, number: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "partId": number,
        "mimeType": part.get_content_type(),
        "filename": part.get_filename() or "",
        "headers": _headers(part),
    }
    if part.is_multipart():
        prefix = f"{number}." if number else ""
        shown["body"] = {"size": 0}
        shown["parts"] = [_part(one, f"{prefix}{count}") for count, one in enumerate(_inside(part))]
        return shown
    content = part.get_payload(decode=True)
    data = content if isinstance(content, bytes) else b""
    if shown["filename"]:
        shown["body"] = {"attachmentId": _attachment_id(number, shown["filename"]), "size": len(data)}
    else:
        shown["body"] = {"size": len(data)} | ({"data": base64.urlsafe_b64encode(data).decode()} if data else {})
    return shown


def _attachment_id(number: str, name: str) -> str:
    return base64.urlsafe_b64encode(f"{number}/{name}".encode()).decode().rstrip("=")


def attachment(mail: StoredMail, attachment_id: str) -> dict[str, Any] | None:
    """Return an attached file by the id that the full format names; None when there is none."""
    for number, part in _numbered(parse(mail.raw), ""):
        name = part.get_filename() or ""
        content = part.get_payload(decode=True)
        if name and isinstance(content, bytes) and _attachment_id(number, name) == attachment_id:
            return {"size": len(content), "data": base64.urlsafe_b64encode(content).decode()}
    return None


def _numbered(part: EmailMessage, number: str) -> Iterator[tuple[str, EmailMessage]]:
    yield number, part
    prefix = f"{number}." if number else ""
    for count, one in enumerate(_inside(part)):
        yield from _numbered(one, f"{prefix}{count}")


def _inside(part: EmailMessage) -> list[EmailMessage]:
    inner = part.get_payload() if part.is_multipart() else []
    return [one for one in inner if isinstance(one, EmailMessage)] if isinstance(inner, list) else []


@lru_cache(maxsize=256)
def snippet(raw: bytes) -> str:
    """Return the beginning of what a mail says."""
    body = parse(raw).get_body(("plain", "html"))
    if body is None:
        return ""
    text = str(body.get_content())
    return " ".join((plain_text(text) if body.get_content_subtype() == "html" else text).split())[:200]
