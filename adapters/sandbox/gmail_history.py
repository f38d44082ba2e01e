"""Gmail's history: a mailbox's change log as `history.list` tells it.

Lives here: which records an old historyId gets, and their shape. Does not live here: the log itself (`mailbox`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.sandbox.gmail_errors import bad, bad_json, not_found
from adapters.sandbox.gmail_request import Call
from adapters.sandbox.mailbox import Change, Mailbox, What

#: Value of `historyTypes` -> key of the record.
_KEYS: Mapping[str, str] = {
    "messageAdded": "messagesAdded",
    "messageDeleted": "messagesDeleted",
    "labelAdded": "labelsAdded",
    "labelRemoved": "labelsRemoved",
}


def list_history(call: Call) -> dict[str, Any]:
    """Answer `history.list`; a historyId that was forgotten, or never was, is 404."""
    start = call.one("startHistoryId")
    if not start:
        raise bad("Missing/invalid startHistoryId")
    if not start.isdigit():
        raise bad_json(f"Invalid value at 'start_history_id' (TYPE_UINT64), \"{start}\"", "start_history_id")
    if not call.box.forgotten <= int(start) <= call.box.serial:
        raise not_found()
    kinds = frozenset(call.query.get("historyTypes", ()))
    for kind in kinds - frozenset(_KEYS):
        raise bad_json(f"Invalid value at 'history_types' (type.googleapis.com/gmail.HistoryType), \"{kind}\"", "")
    label = call.one("labelId")
    records = (_record(change, call.box, kinds, label) for change in call.box.since(int(start)))
    page, following = call.page([record for record in records if record is not None])
    answer: dict[str, Any] = {"historyId": str(call.box.serial)}
    if page:
        answer["history"] = page
    return answer | following


def _record(change: Change, box: Mailbox, kinds: frozenset[str], label: str) -> dict[str, Any] | None:
    present = box.mails.get(change.id)
    # What came is told with its present labels, when it is still there.
    labels = present.labels if present and change.what is What.ADDED else change.labels
    ref: dict[str, Any] = {"id": change.id, "threadId": change.thread}
    one = {"message": ref | ({"labelIds": list(labels)} if labels else {})}
    events: dict[str, list[dict[str, Any]]] = {}
    if change.what is What.ADDED:
        events["messageAdded"] = [one]
    elif change.what is What.REMOVED:
        events["messageDeleted"] = [one]
    if change.added:
        events["labelAdded"] = [one | {"labelIds": list(change.added)}]
    if change.removed:
        events["labelRemoved"] = [one | {"labelIds": list(change.removed)}]
    events = {kind: items for kind, items in events.items() if not kinds or kind in kinds}
    if not events or (label and label not in (*labels, *change.removed)):
        return None
    record: dict[str, Any] = {"id": str(change.serial), "messages": [ref]}
    return record | {_KEYS[kind]: items for kind, items in events.items()}
