"""The JSON messages of the Gmail API: their names and kinds, as Google's discovery document has them.

Lives here: `SHAPES`, for each message of a request or an answer. Does not live here: which method takes or gives which
(`gmail_methods`), what is done with a wrong one (`gmail_request`, `gmail_fields`).
A kind is a JSON type, a format (`int64` travels as a string), another message, or a list of one of these (`[]`).
"""

from __future__ import annotations

from collections.abc import Mapping

SHAPES: Mapping[str, Mapping[str, str]] = {
    "Message": {
        "classificationLabelValues": "[]ClassificationLabelValue",
        "historyId": "uint64",
        "id": "string",
        "internalDate": "int64",
        "labelIds": "[]string",
        "payload": "MessagePart",
        "raw": "byte",
        "sizeEstimate": "int32",
        "snippet": "string",
        "threadId": "string",
    },
    "MessagePart": {
        "body": "MessagePartBody",
        "filename": "string",
        "headers": "[]MessagePartHeader",
        "mimeType": "string",
        "partId": "string",
        "parts": "[]MessagePart",
    },
    "MessagePartBody": {
        "attachmentId": "string",
        "data": "byte",
        "size": "int32",
    },
    "MessagePartHeader": {
        "name": "string",
        "value": "string",
    },
    "ClassificationLabelValue": {
        "fields": "[]ClassificationLabelFieldValue",
        "labelId": "string",
    },
    "ClassificationLabelFieldValue": {
        "fieldId": "string",
        "selection": "string",
    },
    "Draft": {
        "id": "string",
        "message": "Message",
    },
    "Profile": {
        "emailAddress": "string",
        "historyId": "uint64",
        "messagesTotal": "int32",
        "threadsTotal": "int32",
    },
    "ListDraftsResponse": {
        "drafts": "[]Draft",
        "nextPageToken": "string",
        "resultSizeEstimate": "uint32",
    },
    "ListMessagesResponse": {
        "messages": "[]Message",
        "nextPageToken": "string",
        "resultSizeEstimate": "uint32",
    },
    "Thread": {
        "historyId": "uint64",
        "id": "string",
        "messages": "[]Message",
        "snippet": "string",
    },
    "ListThreadsResponse": {
        "nextPageToken": "string",
        "resultSizeEstimate": "uint32",
        "threads": "[]Thread",
    },
    "History": {
        "id": "uint64",
        "labelsAdded": "[]HistoryLabelAdded",
        "labelsRemoved": "[]HistoryLabelRemoved",
        "messages": "[]Message",
        "messagesAdded": "[]HistoryMessageAdded",
        "messagesDeleted": "[]HistoryMessageDeleted",
    },
    "HistoryMessageAdded": {
        "message": "Message",
    },
    "HistoryMessageDeleted": {
        "message": "Message",
    },
    "HistoryLabelAdded": {
        "labelIds": "[]string",
        "message": "Message",
    },
    "HistoryLabelRemoved": {
        "labelIds": "[]string",
        "message": "Message",
    },
    "ListHistoryResponse": {
        "history": "[]History",
        "historyId": "uint64",
        "nextPageToken": "string",
    },
    "Label": {
        "color": "LabelColor",
        "id": "string",
        "labelListVisibility": "string",
        "messageListVisibility": "string",
        "messagesTotal": "int32",
        "messagesUnread": "int32",
        "name": "string",
        "threadsTotal": "int32",
        "threadsUnread": "int32",
        "type": "string",
    },
    "LabelColor": {
        "backgroundColor": "string",
        "textColor": "string",
    },
    "ListLabelsResponse": {
        "labels": "[]Label",
    },
    "SendAs": {
        "displayName": "string",
        "isDefault": "boolean",
        "isPrimary": "boolean",
        "replyToAddress": "string",
        "sendAsEmail": "string",
        "signature": "string",
        "smtpMsa": "SmtpMsa",
        "treatAsAlias": "boolean",
        "verificationStatus": "string",
    },
    "SmtpMsa": {
        "host": "string",
        "password": "string",
        "port": "int32",
        "securityMode": "string",
        "username": "string",
    },
    "ListSendAsResponse": {
        "sendAs": "[]SendAs",
    },
    "ModifyMessageRequest": {
        "addClassificationLabels": "[]ClassificationLabelValue",
        "addLabelIds": "[]string",
        "removeClassificationLabelIds": "[]string",
        "removeLabelIds": "[]string",
    },
    "ModifyThreadRequest": {
        "addLabelIds": "[]string",
        "removeLabelIds": "[]string",
    },
}
