"""What Graph's reader of JSON takes: which properties a message has and of what type, and the names of folders.

Lives here: `Shape`, `check`, `MESSAGE`, folder ids. Does not live here: what a property does (`graph_message`,
`graph_letters`). Source: reference apis 3.1 to 3.6 and the Graph mail OpenAPI.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.sandbox.mailbox import Place


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
ATTACHMENT = Shape(
    name="fileAttachment",
    properties={
        "name": str,
        "contentType": str,
        "contentBytes": str,
        "contentId": str,
        "contentLocation": str,
        "lastModifiedDateTime": str,
        "isInline": bool,
        "size": int,
        "id": str,
    },
)

_ITEM = Shape(
    name="attachmentItem",
    properties={
        "attachmentType": ("file", "item", "reference"),
        "name": str,
        "size": int,
        "contentType": str,
        "contentId": str,
        "isInline": bool,
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
        "attachments": [ATTACHMENT],
    },
)

_WRITTEN = {"message": MESSAGE, "Message": MESSAGE}

#: Bodies of the actions on messages; Graph's own document writes the names with a capital letter, clients without.
MOVE = Shape(name="move", properties={"destinationId": str})
REPLY = Shape(name="createReply", properties={"comment": str, "Comment": str, **_WRITTEN})
FORWARD = Shape(
    name="createForward", properties={**REPLY.properties, "toRecipients": [_RECIPIENT], "ToRecipients": [_RECIPIENT]}
)
UPLOAD_SESSION = Shape(name="createUploadSession", properties={"AttachmentItem": _ITEM, "attachmentItem": _ITEM})
SEND_MAIL = Shape(name="sendMail", properties={"saveToSentItems": bool, "SaveToSentItems": bool, **_WRITTEN})

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
    if shape is ATTACHMENT and value.get("@odata.type") != "#microsoft.graph.fileAttachment":
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
    "archive": Place.ARCHIVE,
    "junkemail": Place.SPAM,
}


def folder_id(place: Place) -> str:
    """Return the id of a folder."""
    return "AQMkAGI" + base64.urlsafe_b64encode(f"folder-{place.value}".encode()).decode().rstrip("=") + "AAAA="


def folder_of(name: str) -> Place | None:
    """Return the place a well-known name or a folder id means."""
    by_id = {folder_id(place): place for place in Place}
    return _FOLDERS.get(name.lower()) or by_id.get(name)
