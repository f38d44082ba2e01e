"""Written messages as letters: what JSON or MIME a client sends becomes, and answers that quote.

Lives here: `letter_of`, `letter_of_mime`, `quoted`. Does not live here: how a stored mail is shown
(`graph_message`). Source: reference apis 3.1, 3.2, 3.6.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from html import escape
from typing import Any

from adapters.sandbox.graph_message import html_of
from adapters.sandbox.graph_shapes import ShapeError
from adapters.sandbox.letter import Enclosure, Letter, Who, open_letter
from adapters.sandbox.mailbox import StoredMail


def read_enclosure(written: Mapping[str, Any]) -> Enclosure:
    """Read an attachment of a written message."""
    try:
        content = base64.b64decode(written.get("contentBytes") or "", validate=True)
    except (binascii.Error, ValueError):
        raise ShapeError("Cannot convert the literal of 'contentBytes' to the expected type 'Edm.Binary'.") from None
    if not written.get("name"):
        raise ShapeError("The attachment's name is missing.", "ErrorInvalidArgument")
    media_type = written.get("contentType") or "application/octet-stream"
    return Enclosure(
        name=written["name"],
        media_type=media_type,
        content=content,
        content_id=(written.get("contentId") or "").strip("<>"),
        is_inline=written.get("isInline") is True,
    )


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
    if written.get("from") is not None:
        changed["sender"] = _read_recipients([written["from"]])[0]
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


def letter_of_mime(raw: bytes, owner: Who) -> Letter:
    """Return the letter of a MIME body.

    Headers that Graph has no property for and that do not start with x- are lost (apis 3.6).
    """
    letter = open_letter(raw)
    kept = tuple((name, value) for name, value in letter.headers if name.lower().startswith("x-"))
    return replace(letter, sender=owner, headers=kept)


class Quote(StrEnum):
    """A mail that quotes another one, by the name of Graph's action."""

    REPLY = "reply"
    REPLY_ALL = "replyAll"
    FORWARD = "forward"


def quoted(answered: StoredMail, owner: Who, quote: Quote, *, comment: str) -> Letter:
    """Return what Graph drafts: to the original's sender (oneself, for one's own mail), all of them, or nobody yet.

    `comment` loses its line breaks (apis 3.1).
    """
    original = open_letter(answered.raw)
    is_forward = quote is Quote.FORWARD
    to, cc = ((), ()) if is_forward else _answered_people(original, owner, everyone=quote is Quote.REPLY_ALL)
    prefix = "FW:" if is_forward else "RE:"
    subject = original.subject
    return Letter(
        sender=owner,
        to=to,
        cc=cc,
        subject=subject if subject.upper().startswith(prefix) else f"{prefix} {subject}",
        html=_quoting(answered, original, comment),
        # A forward takes the files along, an answer only what its quote shows.
        enclosures=tuple(one for one in original.enclosures if is_forward or one.is_inline),
        in_reply_to=original.message_id,
        references=(*original.references, original.message_id),
    )


def _answered_people(original: Letter, owner: Who, *, everyone: bool) -> tuple[tuple[Who, ...], tuple[Who, ...]]:
    to = original.reply_to or (original.sender,)
    if not everyone:
        return to, ()
    own = owner[1].lower()
    others = tuple(who for who in (*to, *original.to) if who[1].lower() != own)
    return others or to, tuple(who for who in original.cc if who[1].lower() != own)


def _quoting(answered: StoredMail, original: Letter, comment: str) -> str:
    body = re.sub(r"(?is)^.*<body[^>]*>|</body>.*$", "", html_of(original))
    lines = (
        ("From", _line((original.sender,))),
        ("Sent", answered.at.strftime("%A, %B %d, %Y %I:%M:%S %p")),
        ("To", _line(original.to)),
        ("Subject", escape(original.subject)),
    )
    head = "<br>".join(f"<b>{name}:</b> {value}" for name, value in lines)
    return (
        f"<html><head></head><body>{escape(' '.join(comment.split()))}"
        '<hr tabindex="-1" style="display:inline-block; width:98%">'
        f'<div id="divRplyFwdMsg" dir="ltr"><font face="Calibri, sans-serif">{head}</font><div>&nbsp;</div></div>'
        f"{body}</body></html>"
    )


def _line(people: tuple[Who, ...]) -> str:
    return "; ".join(escape(f"{name} <{address}>" if name else address) for name, address in people)
