"""The operations Graph's mail has here: where each answers, and which permission and query it takes.

Lives here: the table, and finding an operation by its path. Does not live here: what they do (`graph_messages`,
`graph_drafts`, `graph_lists`, `graph_delta`). Source: reference apis 3.1 to 3.4, 3.7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from adapters.sandbox.graph_errors import GraphError, bad

_READ = frozenset(("Mail.ReadBasic", "Mail.ReadBasic.All", "Mail.Read", "Mail.ReadWrite"))
_WRITE = frozenset(("Mail.ReadWrite",))
_SEND = frozenset(("Mail.Send",))
_PROFILE = frozenset(("User.Read", "User.Read.All", "User.ReadWrite.All", "User.ReadBasic.All"))

_NONE: frozenset[str] = frozenset()
_ONE = frozenset(("$select", "$expand"))
_LIST = frozenset(("$filter", "$select", "$expand", "$top", "$skip", "$orderby", "$count"))
_DELTA = frozenset(("$filter", "$select", "$top", "$expand", "changeType", "$deltatoken", "$skiptoken"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: its name here, where it answers, and what it takes."""

    name: str
    http: str
    path: re.Pattern[str]
    #: Permissions; one of them is enough.
    roles: frozenset[str]
    query: frozenset[str]


#: Name, HTTP method, path after the user, permissions, OData options.
_USER = (
    ("profile", "GET", "/", _PROFILE | _READ, frozenset(("$select",))),
    ("sendMail", "POST", "/sendMail", _SEND, _NONE),
    ("folders", "GET", "/mailFolders", _READ, frozenset(("$top", "$select"))),
    ("folder", "GET", "/mailFolders/{folder}", _READ, frozenset(("$select",))),
)

#: The same under /messages and under /mailFolders/{folder}/messages; literal paths before those with a variable.
_MESSAGES = (
    ("delta", "GET", "/delta", _READ, _DELTA),
    ("list", "GET", "", _READ, _LIST),
    ("create", "POST", "", _WRITE, _NONE),
    ("get", "GET", "/{id}", _READ, _ONE),
    ("update", "PATCH", "/{id}", _WRITE, _NONE),
    ("delete", "DELETE", "/{id}", _WRITE, _NONE),
    ("value", "GET", "/{id}/$value", _READ, _NONE),
    ("createReply", "POST", "/{id}/createReply", _WRITE, _NONE),
    ("createReplyAll", "POST", "/{id}/createReplyAll", _WRITE, _NONE),
    ("createForward", "POST", "/{id}/createForward", _WRITE, _NONE),
    ("reply", "POST", "/{id}/reply", _SEND, _NONE),
    ("replyAll", "POST", "/{id}/replyAll", _SEND, _NONE),
    ("forward", "POST", "/{id}/forward", _SEND, _NONE),
    ("send", "POST", "/{id}/send", _SEND, _NONE),
    ("move", "POST", "/{id}/move", _WRITE, _NONE),
    ("permanentDelete", "POST", "/{id}/permanentDelete", _WRITE, _NONE),
    ("attachments", "GET", "/{id}/attachments", _READ, _ONE),
    ("attach", "POST", "/{id}/attachments", _WRITE, _NONE),
    ("createUploadSession", "POST", "/{id}/attachments/createUploadSession", _WRITE, _NONE),
    ("attachment", "GET", "/{id}/attachments/{attachment}", _READ, _ONE),
    ("detach", "DELETE", "/{id}/attachments/{attachment}", _WRITE, _NONE),
    ("attachmentValue", "GET", "/{id}/attachments/{attachment}/$value", _READ, _NONE),
)


def _operation(name: str, http: str, path: str, roles: frozenset[str], query: frozenset[str]) -> Operation:
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path.replace("$", r"\$")))
    return Operation(name=name, http=http, path=pattern, roles=roles, query=query)


OPERATIONS: tuple[Operation, ...] = (
    *(_operation(*row) for row in _USER),
    *(
        _operation(name, http, f"{prefix}/messages{path}", roles, query)
        for prefix in ("", "/mailFolders/{folder}")
        for name, http, path, roles, query in _MESSAGES
    ),
)


def find_operation(http: str, path: str) -> tuple[Operation, Mapping[str, str]]:
    """Return the operation of a path after the user, and the path's variables; raises `GraphError`."""
    there = [(one, match) for one in OPERATIONS if (match := one.path.fullmatch(path))]
    for operation, match in there:
        if operation.http == http:
            return operation, match.groupdict()
    if there:
        raise GraphError(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
    raise bad(f"Resource not found for the segment '{path.strip('/').split('/')[-1]}'.")
