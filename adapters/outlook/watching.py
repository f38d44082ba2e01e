"""What happened in a mailbox: by the deltas of its folders.

Lives here: `Watching` and its cursor. Does not live here: reading a message (`messages`), what a mail is
(`connector.inbox`). Source: reference apis 3.4; spec delivery 4 and 5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from adapters.outlook.messages import (
    EXPAND_STAMP,
    OURS,
    RECEIVED,
    draft_ref,
    instant,
    looks_like_report,
    received_mail,
    saved_at,
    sent_mail,
    stamp_of,
    was_edited,
)
from adapters.outlook.paths import folder_path, message_path
from adapters.outlook.session import CursorExpired, GraphSession, ItemGone, address
from connector.errors import AdapterError
from connector.ports import Clock, DraftGone, DraftSaved, MailChange, MailPull, MailReceived, MailSent

#: Folders that are watched, by their well-known names.
_WATCHED = ("drafts", "sentitems", "inbox")

#: How far two clocks may differ: the beginning of a watch is set back by it.
_OVERLAP = timedelta(minutes=5)


class Watching:
    """Sees what happens in one mailbox."""

    def __init__(self, session: GraphSession, *, clock: Clock) -> None:
        """Take the session."""
        self._session = session
        self._clock = clock

    def pull(self, cursor: str | None) -> MailPull:
        """Return what changed: the three folders' deltas in one batch, hence one call when nothing did.

        The cursor is JSON: the instant it was taken and a delta link per folder. A delta tells only which messages to
        look at; they are read `BATCH` to a call, because a delta gives no headers and may leave the stamp out.
        """
        now = self._clock.now()
        if cursor is None:
            _, links = self._round({folder: self._beginning(folder, now) for folder in _WATCHED})
            return MailPull(changes=(), cursor=_cursor(now, links))
        kept = json.loads(cursor)
        since = datetime.fromisoformat(kept["at"])
        entries, links = self._round(kept["links"])
        expired = [folder for folder in _WATCHED if folder not in links]
        if expired:
            # A new watch lists everything since its beginning, and so is the full look as well.
            fresh, new_links = self._round({folder: self._beginning(folder, since) for folder in expired})
            entries |= {folder: _changed_since(since - _OVERLAP, found) for folder, found in fresh.items()}
            links |= new_links
        return MailPull(changes=self._changes(entries), cursor=_cursor(now, links), resynced=bool(expired))

    def _beginning(self, folder: str, since: datetime) -> str:
        """Return the address that begins a watch of a folder.

        `$deltatoken=latest` does not work for messages (it is said to be flaky, and answers with pages of old mail), so
        the documented filter by time keeps the first round short. Drafts are watched whole: an old draft can be sent
        any day, and the folder is small. Only new mail counts elsewhere: reading a mail changes it too.
        """
        path = f"{folder_path(folder)}/delta"
        if folder == "drafts":
            return self._session.mailbox + address(path, select="id,lastModifiedDateTime")
        filtered = address(
            path, select="id,lastModifiedDateTime", filter=f"receivedDateTime ge {instant(since - _OVERLAP)}"
        )
        return f"{self._session.mailbox}{filtered}&changeType=created"

    def _round(self, links: Mapping[str, str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Follow each folder's link to its end.

        Returns folder -> id -> last entry for it, and folder -> link for the next round; a folder whose link has
        expired is in neither.
        """
        entries: dict[str, dict[str, Any]] = {}
        ends: dict[str, str] = {}
        pending = dict(links)
        while pending:
            answers = self._session.read_links(pending)
            pending = {}
            for folder, answer in answers.items():
                if isinstance(answer, CursorExpired):
                    entries.pop(folder, None)
                    continue
                if isinstance(answer, AdapterError):
                    raise answer
                entries.setdefault(folder, {}).update({entry["id"]: entry for entry in answer["value"]})
                if "@odata.nextLink" in answer:
                    pending[folder] = self._session.relative(answer["@odata.nextLink"])
                else:
                    ends[folder] = self._session.relative(answer["@odata.deltaLink"])
        return entries, ends

    def _changes(self, entries: Mapping[str, Mapping[str, Any]]) -> tuple[MailChange, ...]:
        """Read what changed and put it in order; what left Drafts comes last, when what was sent is known."""
        paths = {
            f"{folder} {id_}": address(message_path(id_), select=RECEIVED)
            if folder == "inbox"
            else address(message_path(id_), select=OURS, expand=EXPAND_STAMP)
            for folder, found in entries.items()
            for id_, entry in found.items()
            if "@removed" not in entry
        }
        answers = self._session.read_batch(paths) if paths else {}
        timed: list[tuple[datetime, MailChange]] = []
        for name, message in answers.items():
            if isinstance(message, ItemGone):
                continue
            if isinstance(message, AdapterError):
                raise message
            folder = name.partition(" ")[0]
            if folder == "drafts" and not message["isDraft"]:
                # Sent since the delta was taken: the next one tells it.
                continue
            timed.append(self._change(folder, message))
        timed.sort(key=lambda pair: pair[0])
        gone = tuple(
            DraftGone(provider_id=id_, thread_id=entry.get("conversationId"))
            for id_, entry in entries.get("drafts", {}).items()
            if "@removed" in entry
        )
        return (*(change for _, change in timed), *gone)

    def _change(self, folder: str, message: Mapping[str, Any]) -> tuple[datetime, MailChange]:
        if folder == "inbox":
            raw = (
                self._session.get_bytes(f"{message_path(message['id'])}/$value") if looks_like_report(message) else None
            )
            received: MailReceived = received_mail(message, raw)
            return received.at, received
        if folder == "drafts":
            return saved_at(message), DraftSaved(
                draft=draft_ref(message), key=stamp_of(message), edited=was_edited(message)
            )
        sent = sent_mail(message)
        return sent.at, MailSent(mail=sent)


def _changed_since(since: datetime, entries: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Leave out old drafts, which a new watch lists as well."""
    return {id_: entry for id_, entry in entries.items() if saved_at(entry) >= since}


def _cursor(at: datetime, links: Mapping[str, str]) -> str:
    return json.dumps({"at": instant(at), "links": dict(links)}, sort_keys=True)
