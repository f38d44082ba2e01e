"""Addresses of messages and lists of them in a mailbox, relative to it.

Lives here: paths and what is asked of a message that may be ours. Does not live here: `$filter` texts and properties
(`messages`), calling them (`session`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from adapters.outlook.errors import ItemGone
from adapters.outlook.messages import EXPAND_STAMP, OURS
from adapters.outlook.session import address
from connector.errors import AdapterError


def message_path(id_: str) -> str:
    """Return the path of a message."""
    return f"/messages/{quote(id_, safe='')}"


def folder_path(name: str) -> str:
    """Return the path of the messages in a folder."""
    return f"/mailFolders/{name}/messages"


def listing(path: str, filter_: str) -> str:
    """Return the address of a list of messages that may be ours."""
    return address(path, filter=filter_, select=OURS, expand=EXPAND_STAMP, top="200")


def ours(id_: str) -> str:
    """Return the address of one message that may be ours."""
    return address(message_path(id_), select=OURS, expand=EXPAND_STAMP)


def body_of(answer: Any) -> Mapping[str, Any]:
    """Return an answer of a batch, or nothing for an error."""
    return {} if isinstance(answer, AdapterError) else answer


def messages_in(answer: Any) -> Sequence[Mapping[str, Any]]:
    """Return the messages of an answer: of a list, the one message itself, none for an error."""
    body = body_of(answer)
    if "value" in body:
        messages: Sequence[Mapping[str, Any]] = body["value"]
        return messages
    return (body,) if "id" in body else ()


def is_unread(answer: Any) -> bool:
    """Tell whether a look-up could not be made; that there is no such item is an answer."""
    return isinstance(answer, AdapterError) and not isinstance(answer, ItemGone)
