"""Folders, and lists of messages: $filter, $orderby, pages.

Lives here: `list_messages`, `list_folders`, `show_folder`. Does not live here: how a filter is read (`odata`), delta
(`graph_delta`). Source: reference apis 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.sandbox.graph_errors import Answer, bad
from adapters.sandbox.graph_message import PROPERTIES
from adapters.sandbox.graph_request import Call
from adapters.sandbox.graph_shapes import folder_id
from adapters.sandbox.graph_view import viewed
from adapters.sandbox.mailbox import Mailbox, Place, StoredMail
from adapters.sandbox.odata import Filter

_FOLDER_NAMES = {
    Place.TRASH: "Deleted Items",
    Place.SENT: "Sent Items",
    Place.SCHEDULED: "Outbox",
    Place.SPAM: "Junk Email",
}


def show_profile(call: Call) -> Answer:
    """Show whose mailbox it is."""
    box = call.box
    shown = {"id": box.guid, "displayName": box.name, "mail": box.email, "userPrincipalName": box.email}
    return Answer(body=shown)


def list_folders(call: Call) -> Answer:
    """List the folders."""
    return Answer(body={"value": [_folder(call.box, place) for place in Place]})


def show_folder(call: Call) -> Answer:
    """Show one folder."""
    return Answer(body=_folder(call.box, call.place() or Place.INBOX))


def _folder(box: Mailbox, place: Place) -> dict[str, Any]:
    mails = box.at(place)
    return {
        "id": folder_id(place),
        "displayName": _FOLDER_NAMES.get(place, place.value.title()),
        "childFolderCount": 0,
        "unreadItemCount": sum(mail.unread for mail in mails),
        "totalItemCount": len(mails),
        "isHidden": False,
    }


def list_messages(call: Call) -> Answer:
    """List messages, newest first unless an order is given."""
    place = call.place()
    mails = [mail for mail in call.box.mails.values() if place in (None, mail.place)]
    names: list[str] = []
    if call.query.get("$filter"):
        wanted = Filter(call.query["$filter"], PROPERTIES)
        names = wanted.names
        mails = [mail for mail in mails if wanted.test(mail)]
    mails = _ordered(mails, call.query.get("$orderby", ""), names)
    top, skip = call.page_size(), call.number("$skip", 0, 0, 1_000_000)
    body: dict[str, Any] = {}
    if call.query.get("$count") == "true":
        body["@odata.count"] = len(mails)
    body["value"] = [viewed(call, mail) for mail in mails[skip : skip + top]]
    if skip + top < len(mails):
        body["@odata.nextLink"] = call.link(dict(call.query) | {"$top": str(top), "$skip": str(skip + top)})
    return Answer(body=body)


def _ordered(mails: Sequence[StoredMail], orderby: str, filtered: Sequence[str]) -> list[StoredMail]:
    """Sort; an order that the filter does not begin with is refused (apis 3.4)."""
    if not orderby:
        return sorted(mails, key=lambda mail: (mail.at, mail.serial), reverse=True)
    terms = [term.split() for term in orderby.split(",")]
    names = [term[0] for term in terms]
    for name in names:
        if name not in PROPERTIES:
            raise bad(f"Could not find a property named '{name}' on type 'microsoft.graph.message'.")
    if filtered and list(dict.fromkeys(filtered))[: len(names)] != names:
        raise bad("The restriction or sort order is too complex for this operation.", "InefficientFilter")
    result = list(mails)
    for term in reversed(terms):
        getter = PROPERTIES[term[0]]
        result.sort(key=lambda mail, getter=getter: getter(mail), reverse=term[1:] == ["desc"])  # type: ignore[misc]
    return result
