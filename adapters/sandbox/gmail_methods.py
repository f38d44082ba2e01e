"""The methods of the Gmail API that the sandbox serves: one line each.

Lives here: `METHODS` with address, scopes, quota units, query parameters, messages and upload limit of each. Does not
live here: what a method does (`gmail_mails`, `gmail_labels`, `gmail_history`).
Source: Google's discovery document, against which a test holds every line; units: reference apis 2.7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_AUTH = "https://www.googleapis.com/auth/gmail."
_FULL = "https://mail.google.com/"

#: Largest message that `/upload` takes where mail is drafted or sent, in bytes.
UPLOAD_LIMIT = 36_700_160
#: Largest message that `/upload` takes where mail is brought in from elsewhere, in bytes.
IMPORT_LIMIT = 157_286_400

#: Query parameters every method takes.
COMMON = frozenset(
    (
        *("$.xgafv", "access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint", "quotaUser"),
        *("uploadType", "upload_protocol"),
    )
)


def scopes(*names: str) -> frozenset[str]:
    """Return the scopes of these short names, and the one that allows all."""
    return frozenset((_FULL, *(_AUTH + name for name in names)))


_WRITE = scopes("addons.current.action.compose", "compose", "modify")
_READ_DRAFTS = scopes("compose", "modify", "readonly")
_READ = scopes("metadata", "modify", "readonly")
_SETTINGS = scopes("modify", "readonly", "settings.basic")

#: Scopes that show more of a mail than headers and labels.
SHOWS_BODIES = scopes("modify", "readonly", "compose")


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One method of the API."""

    #: As in the discovery document, without "gmail.".
    id: str
    #: Name of the procedure behind it, which errors tell.
    rpc: str
    http: str
    #: Below /gmail/v1/.
    path: str
    scopes: frozenset[str]
    units: int
    query: frozenset[str]
    #: Shape of the JSON in the request and in the answer; "" is none.
    takes: str
    gives: str
    #: Largest upload in bytes; 0 takes none.
    upload: int

    @property
    def pattern(self) -> re.Pattern[str]:
        """The path with a group for each variable."""
        return re.compile("/gmail/v1/" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))

    @property
    def root(self) -> str:
        """How Google calls the message in the request when it finds fault with it."""
        return {"Draft": "draft", "Message": "message", "Label": "label"}.get(self.takes, "")


def _method(
    id_: str,
    rpc: str,
    http: str,
    path: str,
    units: int,
    allowed: frozenset[str],
    *,
    takes: str = "",
    gives: str = "",
    query: str = "",
    upload: int = 0,
) -> Method:
    return Method(
        id=f"users.{id_}",
        rpc=rpc,
        http=http,
        path=f"users/{{userId}}/{path}",
        scopes=allowed,
        units=units,
        query=COMMON | frozenset(query.split()),
        takes=takes,
        gives=gives,
        upload=upload,
    )


def _mail(id_: str, rpc: str, http: str, path: str, units: int, *, takes: str, gives: str, more: str = "") -> Method:
    """Return a method that takes a mail, as JSON or as an upload."""
    allowed = _WRITE | scopes(*more.split())
    return _method(id_, rpc, http, path, units, allowed, takes=takes, gives=gives, upload=UPLOAD_LIMIT)


def _bring(id_: str, rpc: str, path: str, query: str) -> Method:
    """Return a method that puts a mail into the mailbox without sending it."""
    query += " deleted internalDateSource"
    return _method(
        id_,
        rpc,
        "POST",
        path,
        25,
        scopes("insert", "modify"),
        takes="Message",
        gives="Message",
        query=query,
        upload=IMPORT_LIMIT,
    )


_LIST = "includeSpamTrash maxResults pageToken q"
_SHOW = "format metadataHeaders"
_HISTORY = "historyTypes labelId maxResults pageToken startHistoryId"
_LABELS = _READ | scopes("labels")
_EDITS_LABELS = scopes("labels", "modify")
_MODIFY = scopes("modify")
_ATTACHED = scopes("modify", "readonly")
_MESSAGE, _THREAD = "ModifyMessageRequest", "ModifyThreadRequest"

_ALL: Sequence[Method] = (
    _method("getProfile", "GetProfile", "GET", "profile", 1, _READ | _READ_DRAFTS, gives="Profile"),
    _mail("drafts.create", "CreateDraft", "POST", "drafts", 10, takes="Draft", gives="Draft"),
    _mail("drafts.send", "SendDraft", "POST", "drafts/send", 100, takes="Draft", gives="Message"),
    _mail("drafts.update", "UpdateDraft", "PUT", "drafts/{id}", 15, takes="Draft", gives="Draft"),
    _method("drafts.list", "ListDrafts", "GET", "drafts", 5, _READ_DRAFTS, gives="ListDraftsResponse", query=_LIST),
    _method("drafts.get", "GetDraft", "GET", "drafts/{id}", 20, _READ_DRAFTS, gives="Draft", query="format"),
    _method("drafts.delete", "DeleteDraft", "DELETE", "drafts/{id}", 10, _WRITE),
    _mail("messages.send", "SendMessage", "POST", "messages/send", 100, takes="Message", gives="Message", more="send"),
    _bring("messages.import", "ImportMessage", "messages/import", "neverMarkSpam processForCalendar"),
    _bring("messages.insert", "InsertMessage", "messages", ""),
    _method(
        *("messages.list", "ListMessages", "GET", "messages", 5, _READ),
        gives="ListMessagesResponse",
        query=f"{_LIST} labelIds",
    ),
    _method("messages.get", "GetMessage", "GET", "messages/{id}", 20, _READ, gives="Message", query=_SHOW),
    _method("messages.trash", "TrashMessage", "POST", "messages/{id}/trash", 5, _MODIFY, gives="Message"),
    _method("messages.untrash", "UntrashMessage", "POST", "messages/{id}/untrash", 5, _MODIFY, gives="Message"),
    _method(
        *("messages.modify", "ModifyMessage", "POST", "messages/{id}/modify", 5, _MODIFY),
        takes=_MESSAGE,
        gives="Message",
    ),
    _method("messages.delete", "DeleteMessage", "DELETE", "messages/{id}", 10, scopes()),
    _method(
        *("messages.attachments.get", "GetAttachment", "GET", "messages/{messageId}/attachments/{id}", 20, _ATTACHED),
        gives="MessagePartBody",
    ),
    _method(
        *("threads.list", "ListThreads", "GET", "threads", 10, _READ),
        gives="ListThreadsResponse",
        query=f"{_LIST} labelIds",
    ),
    _method("threads.get", "GetThread", "GET", "threads/{id}", 40, _READ, gives="Thread", query=_SHOW),
    _method(
        *("threads.modify", "ModifyThread", "POST", "threads/{id}/modify", 10, _MODIFY), takes=_THREAD, gives="Thread"
    ),
    _method("history.list", "ListHistory", "GET", "history", 2, _READ, gives="ListHistoryResponse", query=_HISTORY),
    _method("labels.list", "ListLabels", "GET", "labels", 1, _LABELS, gives="ListLabelsResponse"),
    _method("labels.get", "GetLabel", "GET", "labels/{id}", 1, _LABELS, gives="Label"),
    _method("labels.create", "CreateLabel", "POST", "labels", 5, _EDITS_LABELS, takes="Label", gives="Label"),
    _method("settings.sendAs.list", "ListSendAs", "GET", "settings/sendAs", 1, _SETTINGS, gives="ListSendAsResponse"),
    _method("settings.sendAs.get", "GetSendAs", "GET", "settings/sendAs/{sendAsEmail}", 1, _SETTINGS, gives="SendAs"),
)

METHODS: Mapping[str, Method] = {method.id: method for method in _ALL}

# `drafts/send` comes before `drafts/{id}` because the first match answers.
_PATTERNS: Sequence[tuple[Method, re.Pattern[str]]] = tuple((method, method.pattern) for method in _ALL)


def find_method(http: str, path: str) -> tuple[Method, Mapping[str, str]] | None:
    """Return the method at an address and the variables in it, None when there is none."""
    for method, pattern in _PATTERNS:
        match = pattern.fullmatch(path) if method.http == http else None
        if match:
            return method, match.groupdict()
    return None
