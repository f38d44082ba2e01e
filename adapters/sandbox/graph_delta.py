"""Delta: what changed in a folder since the last look.

Lives here: `Delta`, the tokens in its links, and what an expired one gets. Does not live here: the change log
(`mailbox`). Source: reference apis 3.4.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from adapters.sandbox.graph_errors import Answer, GraphError, bad
from adapters.sandbox.graph_message import PROPERTIES
from adapters.sandbox.graph_request import Call
from adapters.sandbox.graph_view import viewed
from adapters.sandbox.mailbox import FIRST_SERIAL, Place, StoredMail, What
from adapters.sandbox.mailworld import MailWorld
from adapters.sandbox.odata import Filter


class Delta:
    """Answers of delta."""

    def __init__(self, world: MailWorld) -> None:
        """Answer for the mailboxes of this world."""
        self._world = world

    def answers(self) -> Mapping[str, Callable[[Call], Answer]]:
        """Return them by the operation's name."""
        return {"delta": lambda call: _list_changes(call, self._world.settings.outlook_expired_delta)}


def _list_changes(call: Call, expired: str) -> Answer:
    """List what changed in a folder, in pages; a mail that left it, deleted or moved, is `@removed`."""
    place = call.place()
    if place is None:
        raise bad("Change tracking is not supported against 'microsoft.graph.message' without a folder.")
    token = call.query.get("$deltatoken") or call.query.get("$skiptoken")
    state: dict[str, Any] = _read_token(token) if token else {"query": dict(call.query), "since": 0, "skip": 0}
    if token is not None and (state["forgotten"] != call.box.forgotten or state["place"] != place.value):
        raise GraphError(
            410,
            expired,
            "The sync state generation is not found; the full sync must be started anew.",
            {"Location": call.link(state["query"])},
        )
    call = replace(call, query=state["query"])
    test = _filter(call.query.get("$filter", ""))
    until = state.get("until", call.box.serial)
    items = _changes(call, place, state["since"], until, test)
    size, skip = call.page_size(), state["skip"]
    page = [
        viewed(call, item) if isinstance(item, StoredMail) else {"@removed": {"reason": "deleted"}, "id": item}
        for item in items[skip : skip + size]
    ]
    body: dict[str, Any] = {"value": page}
    state = state | {"forgotten": call.box.forgotten, "place": place.value}
    if skip + size < len(items):
        following = state | {"skip": skip + size, "until": until}
        body["@odata.nextLink"] = call.link({"$skiptoken": _write_token(following)})
    else:
        following = {**state, "since": until, "skip": 0}
        following.pop("until", None)
        body["@odata.deltaLink"] = call.link({"$deltatoken": _write_token(following)})
    return Answer(body=body)


def _changes(
    call: Call, place: Place, since: int, until: int, test: Callable[[StoredMail], bool]
) -> list[StoredMail | str]:
    """Return what changed in a folder, oldest first: a mail that lies there, or the id of one that left."""
    if since < FIRST_SERIAL:
        return [mail for mail in call.box.at(place) if test(mail)]
    kind = call.query.get("changeType", "")
    here = {(mail.second_id if call.immutable else mail.id) for mail in call.box.at(place)}
    items: dict[str, StoredMail | str] = {}
    for change in call.box.since(since):
        if change.place is not place or change.serial > until:
            continue
        shown_id = change.second_id if call.immutable else change.id
        mail = call.box.mails.get(change.id)
        items.pop(shown_id, None)
        if mail is not None and mail.place is place:
            kinds = "created" if change.what is What.ADDED else "updated"
            if test(mail) and kind in ("", kinds):
                items[shown_id] = mail
        elif shown_id not in here and kind in ("", "deleted"):
            items[shown_id] = shown_id
    return list(items.values())


def _filter(text: str) -> Callable[[StoredMail], bool]:
    if not text:
        return lambda _mail: True
    if not re.fullmatch(r"receivedDateTime\s+g[et]\s+\S+", text.strip()):
        raise bad(
            "The change tracking query supports filters on receivedDateTime with ge or gt only.", "ErrorInvalidUrlQuery"
        )
    return Filter(text, PROPERTIES).test


def _write_token(state: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(state).encode()).decode().rstrip("=")


def _read_token(text: str) -> dict[str, Any]:
    try:
        state = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        raise bad("Badly formed token.") from None
    if not isinstance(state, dict):
        raise bad("Badly formed token.")
    return state
