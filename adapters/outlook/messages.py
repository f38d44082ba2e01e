"""Graph's message resource and our values, both ways. Pure.

Lives here: the stamp and the mark, the bodies we send, the properties we read, and `$filter` texts. Does not live
here: HTTP (`session`), in which order things are asked (`drafting`, `finding`, `watching`).

The stamp is a named extended property: x- headers are not returned for items in Sent Items, and the web editor
rewrites bodies. It does not leave the mailbox. Exchange makes the plain-text alternative from the HTML itself.

A draft that takes several requests bears a mark beside the stamp: `begun` as it is made, and with the last request how
long the making took. Until then it is addressed to nobody else, so that nobody gets it without its files.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
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

#: The GUID names our property set and never changes.
_OURS = "String {f16ba6a9-2c07-453e-a761-9535c45ec249} Name"

#: The id of the extended property that holds the intent key.
STAMP = f"{_OURS} {STAMP_PROPERTY}"

#: The id of the one that tells how far a draft of several requests has come, and its value until it is whole.
MARK = f"{_OURS} ConnectorDraft"
_BEGUN = "begun"

#: PidTagListUnsubscribe: Graph refuses the header itself, because its name does not begin with x-.
LIST_UNSUBSCRIBE = "String 0x1045"

#: PidTagDeferredSendTime: a mail that its rep scheduled lies in Drafts with it until its hour comes.
DEFERRED = "SystemTime 0x3FEF"
#: How much later than its hour such a mail may go out.
_LEAVES_LATE = timedelta(minutes=15)

#: What is read of a message that is ours or may be.
OURS = (
    "id,isDraft,parentFolderId,subject,toRecipients,ccRecipients,bccRecipients,internetMessageId,conversationId,createdDateTime,"
    "lastModifiedDateTime,sentDateTime,webLink"
)

#: What is read of a message that arrived, beside what is read of ours.
_OF_RECEIVED = "from,receivedDateTime,bodyPreview,internetMessageHeaders"

#: What is read of a message of which it is not known yet.
EITHER = f"{OURS},{_OF_RECEIVED}"

#: Brings the stamp, the mark and the hour along.
EXPAND_STAMP = f"singleValueExtendedProperties($filter=id eq '{STAMP}' or id eq '{MARK}' or id eq '{DEFERRED}')"

_MESSAGE_ID = re.compile(r"<[^<>\s]+>")

#: A draft that was changed later than this after it was made, was changed by the rep.
_MAKING = timedelta(seconds=10)

#: Type of an answer to an invitation.
_MEETING_ANSWER = "#microsoft.graph.eventMessageResponse"

#: Local parts that delivery reports come from; Exchange's own has a number behind it.
_REPORTERS = ("mailer-daemon", "postmaster", "microsoftexchange")


# ------------------------------------------------------------------------------------------------ out


def message_body(mail: Mail, *, mailbox: str) -> dict[str, Any]:
    """Return the JSON of a draft made by one request, stamped; files are put in beside. `mailbox` is the rep's own."""
    return {**_editable(mail, mailbox=mailbox), "singleValueExtendedProperties": _properties(mail)}


def begun_body(mail: Mail) -> dict[str, Any]:
    """Return the JSON that begins a draft of several requests: stamped and marked, addressed to nobody yet."""
    return {
        "subject": mail.subject,
        "body": {"contentType": "html", "content": mail.html},
        "singleValueExtendedProperties": _properties(mail, mark=_BEGUN),
    }


def begun_reply_body(mail: Mail) -> dict[str, Any]:
    """Return the JSON that begins a reply: Graph addresses it, to the rep who sent the mail before, and quotes that."""
    return {"message": {"singleValueExtendedProperties": _properties(mail, mark=_BEGUN)}}


def finished_body(mail: Mail, *, mailbox: str, took: timedelta) -> dict[str, Any]:
    """Return what makes a begun draft whole: subject, body, recipients, and how long the making took."""
    mark = str(max(0, round(took.total_seconds())))
    return {**_editable(mail, mailbox=mailbox), "singleValueExtendedProperties": _properties(mail, mark=mark)}


def _editable(mail: Mail, *, mailbox: str) -> dict[str, Any]:
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


def _properties(mail: Mail, *, mark: str = "") -> list[dict[str, str]]:
    properties = [{"id": STAMP, "value": mail.key}]
    if mark:
        properties.append({"id": MARK, "value": mark})
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
    return _property_of(message, STAMP)


def is_begun(message: Mapping[str, Any]) -> bool:
    """Tell whether a draft was begun and never made whole."""
    return _property_of(message, MARK) == _BEGUN


def is_scheduled(message: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether a draft goes out by itself, at an hour that its rep has set."""
    hour = _property_of(message, DEFERRED)
    return bool(message["isDraft"]) and hour is not None and _when(hour) + _LEAVES_LATE > now


def _property_of(message: Mapping[str, Any], id_: str) -> str | None:
    for entry in message.get("singleValueExtendedProperties") or ():
        # Graph may write the GUID in another case than it was given.
        if str(entry.get("id", "")).lower() == id_.lower():
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


def received_at(message: Mapping[str, Any]) -> datetime:
    """Return when a message was received, or sent; it says so by Microsoft's clock."""
    return _when(message["receivedDateTime"])


def was_edited(message: Mapping[str, Any]) -> bool:
    """Tell whether a draft was changed after it was made: its id stays, so only the two times tell.

    Exchange's own finishing takes a moment, and files take the time that the mark tells.
    """
    mark = _property_of(message, MARK) or ""
    took = timedelta(seconds=int(mark)) if mark.isdecimal() else timedelta(0)
    return saved_at(message) - _when(message["createdDateTime"]) > took + _MAKING


def recipients(message: Mapping[str, Any], field: str = "toRecipients") -> tuple[str, ...]:
    """Return the addresses of a message, lower case."""
    return tuple(_address(entry).email.lower() for entry in message.get(field) or ())


def received_mail(message: Mapping[str, Any], raw: bytes | None = None) -> MailReceived:
    """Return a message that arrived. `raw` is its MIME, when it looks like a delivery report."""
    headers = headers_of(message)
    in_reply_to = _MESSAGE_ID.findall(" ".join(headers.get("in-reply-to", ())))
    return MailReceived(
        provider_id=message["id"],
        at=received_at(message),
        sender=_address(message.get("from") or {}),
        to=recipients(message),
        subject=message.get("subject") or "",
        thread_id=message.get("conversationId"),
        internet_message_id=message.get("internetMessageId"),
        in_reply_to=in_reply_to[0] if in_reply_to else None,
        references=tuple(_MESSAGE_ID.findall(" ".join(headers.get("references", ())))),
        headers=_with_calendar_mark(message, headers),
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


def _with_calendar_mark(
    message: Mapping[str, Any], headers: dict[str, tuple[str, ...]]
) -> Mapping[str, tuple[str, ...]]:
    """Say by header what Graph says by type: an answer from the own organisation has not come by any server."""
    if message.get("@odata.type") != _MEETING_ANSWER:
        return headers
    return {"content-class": ("urn:content-classes:calendarmessage",), **headers}


def was_written_here(message: Mapping[str, Any], own: Collection[str]) -> bool:
    """Tell whether a message that lies anywhere was written in this mailbox; `own` are the rep's addresses, lower case.

    It has not come by any server, so it has no headers; a copy to oneself has.
    """
    is_own = stamp_of(message) is not None or _address(message.get("from") or {}).email.lower() in own
    return is_own and not message.get("internetMessageHeaders")


def looks_like_report(message: Mapping[str, Any]) -> bool:
    """Tell whether a message may be a report or an answer to an invitation, so that its MIME is worth a call."""
    headers = headers_of(message)
    kind = " ".join(headers.get("content-type", ())).strip().lower()
    return (
        kind.startswith(("multipart/report", "text/calendar"))
        or any(value.replace(" ", "") == "<>" for value in headers.get("return-path", ()))
        or "x-failed-recipients" in headers
        or message.get("@odata.type") == _MEETING_ANSWER
        or _address(message.get("from") or {}).email.lower().startswith(_REPORTERS)
    )


def _address(recipient: Mapping[str, Any]) -> Address:
    entry = recipient.get("emailAddress") or {}
    return Address(email=entry.get("address") or "", name=entry.get("name") or "")


def _when(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
