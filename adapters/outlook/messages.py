"""Graph's message resource and our values, both ways. Pure.

Lives here: the stamp, the bodies we send, the properties we read, and `$filter` texts. Does not live here: HTTP
(`session`), in which order things are asked (`mailbox`).

The stamp is a named extended property: x- headers are not returned for items in Sent Items, and the web editor
rewrites bodies. It does not leave the mailbox. Exchange makes the plain-text alternative from the HTML itself.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connector.ports import (
    STAMP_PROPERTY,
    Address,
    Attachment,
    DraftRef,
    Mail,
    MailReceived,
    SentMail,
)

#: The id of our extended property; the GUID names our property set and never changes.
STAMP = f"String {{f16ba6a9-2c07-453e-a761-9535c45ec249}} Name {STAMP_PROPERTY}"

#: PidTagListUnsubscribe: Graph refuses the header itself, because its name does not begin with x-.
LIST_UNSUBSCRIBE = "String 0x1045"

#: What is read of a message that is ours or may be.
OURS = (
    "id,isDraft,parentFolderId,subject,toRecipients,ccRecipients,bccRecipients,internetMessageId,conversationId,createdDateTime,"
    "lastModifiedDateTime,sentDateTime,webLink"
)

#: What is read of a message that arrived.
RECEIVED = (
    "id,subject,from,toRecipients,ccRecipients,internetMessageId,conversationId,receivedDateTime,bodyPreview,"
    "internetMessageHeaders"
)

#: Brings the stamp along.
EXPAND_STAMP = f"singleValueExtendedProperties($filter=id eq '{STAMP}')"

_MESSAGE_ID = re.compile(r"<[^<>\s]+>")

#: A draft that was changed later than this after it was made, was changed by the rep.
_MAKING = timedelta(seconds=10)

#: Local parts that delivery reports come from; Exchange's own has a number behind it.
_REPORTERS = ("mailer-daemon", "postmaster", "microsoftexchange")


# ------------------------------------------------------------------------------------------------ out


def message_body(mail: Mail, *, mailbox: str) -> dict[str, Any]:
    """Return the JSON of the draft, stamped, without attachments. `mailbox` is the rep's own address."""
    return {**editable_body(mail, mailbox=mailbox), "singleValueExtendedProperties": _properties(mail)}


def editable_body(mail: Mail, *, mailbox: str) -> dict[str, Any]:
    """Return what a reply that Graph began must be set to: subject, recipients and the whole body."""
    body: dict[str, Any] = {
        "subject": mail.subject,
        "body": {"contentType": "html", "content": mail.html},
        "toRecipients": [_recipient(mail.to)],
        "ccRecipients": [],
        "bccRecipients": [],
    }
    if mail.sender.email.lower() != mailbox.lower():
        body["from"] = _recipient(mail.sender)
    return body


def attachment_body(attachment: Attachment) -> dict[str, Any]:
    """Return the JSON of a file to attach, or of an image that the HTML shows."""
    shown = {} if attachment.content_id is None else {"isInline": True, "contentId": attachment.content_id}
    return {
        **shown,
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": attachment.name,
        "contentType": attachment.media_type,
        "contentBytes": base64.b64encode(attachment.content).decode(),
    }


def _properties(mail: Mail) -> list[dict[str, str]]:
    properties = [{"id": STAMP, "value": mail.key}]
    if mail.unsubscribe:
        properties.append({"id": LIST_UNSUBSCRIBE, "value": f"<{mail.unsubscribe}>"})
    return properties


def _recipient(address: Address) -> dict[str, Any]:
    named = {"name": address.name} if address.name else {}
    return {"emailAddress": {"address": address.email, **named}}


# ------------------------------------------------------------------------------------------------ filters


def quoted(text: str) -> str:
    """Return the text as an OData string: a quote inside is doubled."""
    return "'" + text.replace("'", "''") + "'"


def stamped_with(key: str) -> str:
    """Return the filter for messages that carry the stamp."""
    return f"singleValueExtendedProperties/Any(ep: ep/id eq {quoted(STAMP)} and ep/value eq {quoted(key)})"


def instant(at: datetime) -> str:
    """Return an instant as Graph writes it, in whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ------------------------------------------------------------------------------------------------ in


def stamp_of(message: Mapping[str, Any]) -> str | None:
    """Return the intent key a message carries, if it was asked for and is there."""
    for entry in message.get("singleValueExtendedProperties") or ():
        # Graph may write the GUID in another case than it was given.
        if str(entry.get("id", "")).lower() == STAMP.lower():
            return str(entry["value"])
    return None


def draft_ref(message: Mapping[str, Any]) -> DraftRef:
    """Return all that may help to find this draft again."""
    return DraftRef(
        draft_id=message["id"],
        provider_id=message["id"],
        thread_id=message.get("conversationId"),
        internet_message_id=message.get("internetMessageId"),
    )


def sent_mail(message: Mapping[str, Any]) -> SentMail:
    """Return a message of Sent Items. Its References are not given there."""
    return SentMail(
        provider_id=message["id"],
        at=_when(message.get("sentDateTime") or message["createdDateTime"]),
        thread_id=message.get("conversationId"),
        internet_message_id=message.get("internetMessageId"),
        key=stamp_of(message),
        to=recipients(message),
        cc=(*recipients(message, "ccRecipients"), *recipients(message, "bccRecipients")),
        subject=message.get("subject") or "",
    )


def saved_at(message: Mapping[str, Any]) -> datetime:
    """Return when a message was last changed."""
    return _when(message["lastModifiedDateTime"])


def was_edited(message: Mapping[str, Any]) -> bool:
    """Tell whether a draft was changed after it was made: its id stays, so only the two times tell.

    Making one takes up to three requests and Exchange's own finishing, hence the allowance.
    """
    return saved_at(message) - _when(message["createdDateTime"]) > _MAKING


def was_never_sent(message: Mapping[str, Any]) -> bool:
    """Tell whether a thrown-away message was a draft: `isDraft` says so, or its sent time is that of its making."""
    return bool(message["isDraft"]) or sent_mail(message).at <= _when(message["createdDateTime"])


def recipients(message: Mapping[str, Any], field: str = "toRecipients") -> tuple[str, ...]:
    """Return the addresses of a message, lower case."""
    return tuple(_address(entry).email.lower() for entry in message.get(field) or ())


def received_mail(message: Mapping[str, Any], raw: bytes | None = None) -> MailReceived:
    """Return a message that arrived. `raw` is its MIME, when it looks like a delivery report."""
    headers = headers_of(message)
    in_reply_to = _MESSAGE_ID.findall(" ".join(headers.get("in-reply-to", ())))
    return MailReceived(
        provider_id=message["id"],
        at=_when(message["receivedDateTime"]),
        sender=_address(message.get("from") or {}),
        to=recipients(message),
        subject=message.get("subject") or "",
        thread_id=message.get("conversationId"),
        internet_message_id=message.get("internetMessageId"),
        in_reply_to=in_reply_to[0] if in_reply_to else None,
        references=tuple(_MESSAGE_ID.findall(" ".join(headers.get("references", ())))),
        headers=headers,
        text=message.get("bodyPreview") or "",
        raw=raw,
    )


def headers_of(message: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return lower-case header name -> values in order."""
    headers: dict[str, tuple[str, ...]] = {}
    for entry in message.get("internetMessageHeaders") or ():
        name = str(entry.get("name", "")).lower()
        headers[name] = (*headers.get(name, ()), str(entry.get("value", "")))
    return headers


def looks_like_report(message: Mapping[str, Any]) -> bool:
    """Tell whether a message may be a delivery report, so that its MIME is worth a call."""
    headers = headers_of(message)
    if any("multipart/report" in value.lower() for value in headers.get("content-type", ())):
        return True
    if any(value.strip() == "<>" for value in headers.get("return-path", ())):
        return True
    return _address(message.get("from") or {}).email.lower().startswith(_REPORTERS)


def _address(recipient: Mapping[str, Any]) -> Address:
    entry = recipient.get("emailAddress") or {}
    return Address(email=entry.get("address") or "", name=entry.get("name") or "")


def _when(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
