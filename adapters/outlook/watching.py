"""What happened in a mailbox: by the deltas of three folders, and by a list of all that came lately, in one call.

Lives here: `Watching`. Does not live here: its cursor (`cursor`), reading a message (`messages`), what a mail is
(`connector.inbox`).

The deltas of Drafts, Sent Items and the inbox tell what came to lie there, whenever it was written. Rules put mail
elsewhere, and a delta is of one folder: so the newest mail of the whole mailbox is listed beside them, in the same
batch. The list begins at the newest mail seen before, by Microsoft's clock, less some minutes; what was seen is known
by its id. A delta that Graph has forgotten is begun anew from now: what came meanwhile is in the list, which forgets
nothing. A pull reads some hundreds of messages; the cursor remembers where it was.
Source: reference apis 3.4; spec delivery 4 and 5; docs/decisions/0001 and 0023.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from adapters.outlook.batch import BATCH
from adapters.outlook.cursor import WATCHED, Cursor, digest
from adapters.outlook.errors import CursorExpired, ItemGone
from adapters.outlook.finding import Finding
from adapters.outlook.folders import Folder, Folders
from adapters.outlook.messages import (
    EITHER,
    EXPAND_STAMP,
    OURS,
    draft_ref,
    instant,
    is_scheduled,
    looks_like_report,
    received_at,
    received_mail,
    saved_at,
    sent_mail,
    stamp_of,
    was_edited,
    was_written_here,
)
from adapters.outlook.paths import folder_path, listing, message_path, messages_in
from adapters.outlook.session import GraphSession, address
from connector.errors import AdapterError, Refused, Retry
from connector.ports import Clock, DraftGone, DraftSaved, MailChange, MailPull, MailSent, Whereabouts

#: How far two clocks may differ, and how much later than its time a mail may show.
_OVERLAP = timedelta(minutes=5)

#: When so much is to be read, the rest is left to the next pull; and how many pages are read of what is not.
_MOST_NEWS = 200
_MOST_PAGES = 25

#: The list of the whole mailbox, beside the folders.
_LATELY = "lately"

#: Mail in these folders is nobody's business here. Deleted Items is none of them: a reply that the rep read and
#: deleted, or had a rule delete, is a reply.
_PASSED_OVER = frozenset({Folder.JUNK, Folder.OUTBOX})

#: Message as decoded JSON.
_Message = Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class _News:
    """What one pull was told, before any of it is read."""

    #: Folder -> id -> last entry for it.
    entries: dict[str, dict[str, _Message]] = field(default_factory=dict)
    #: Where each link leads next.
    links: dict[str, str] = field(default_factory=dict)
    #: Links that are the next page of something.
    unfinished: set[str] = field(default_factory=set)
    #: Folders whose delta was forgotten.
    expired: set[str] = field(default_factory=set)
    #: What came lately anywhere, oldest first, and whether there is more.
    lately: list[_Message] = field(default_factory=list)
    more_lately: bool = False

    @property
    def size(self) -> int:
        return sum(len(found) for found in self.entries.values()) + len(self.lately)


class Watching:
    """Sees what happens in one mailbox."""

    def __init__(
        self, session: GraphSession, finding: Finding, folders: Folders, *, own: frozenset[str], clock: Clock
    ) -> None:
        """Take the session; `own` are the rep's addresses, lower case."""
        self._session = session
        self._finding = finding
        self._folders = folders
        self._own = own
        self._clock = clock

    def pull(self, cursor: str | None) -> MailPull:
        """Return changes since the cursor; one call when nothing changed. None means: start from now."""
        now = self._clock.now()
        if cursor is None:
            return self._first(now)
        start = Cursor.read(cursor)
        news = self._read({**start.links, _LATELY: self._lately(start.since)}, most=_MOST_NEWS)
        drafts: frozenset[str] = frozenset()
        if news.expired:
            drafts = self._begin_anew(news, start, now)
        # Drafts tells of what left only that it left; it may keep its id wherever it went.
        elsewhere = [found for folder, found in news.entries.items() if folder != "drafts"]
        told = {id_ for found in elsewhere for id_, entry in found.items() if "@removed" not in entry}
        unseen = [
            one
            for one in news.lately
            if not one["isDraft"] and one["id"] not in told and digest(one["id"]) not in start.seen
        ]
        wanted = [one for one in unseen if self._folders.which(one["parentFolderId"]) not in _PASSED_OVER]
        changes = self._changes(news.entries, wanted)
        following = start.following(
            now,
            links=news.links,
            unfinished=bool(news.unfinished),
            lately=news.lately,
            more_lately=news.more_lately,
            # What is passed over may yet come to lie elsewhere.
            unread=[one["id"] for one in unseen if one not in wanted],
        )
        return MailPull(
            changes=changes,
            cursor=following.written(),
            # Only a draft that left is told by nothing else than its own folder's delta.
            resynced="drafts" in news.expired,
            in_drafts=drafts,
            more=bool(news.unfinished) or news.more_lately,
        )

    def _first(self, now: datetime) -> MailPull:
        """Begin to watch: what is there already is no news."""
        since = now - _OVERLAP
        links = {folder: self._beginning(folder, since) for folder in WATCHED}
        news = self._read({**links, _LATELY: self._lately(since)}, most=None)
        start = Cursor(at=now, links=links, since=since)
        following = start.following(now, links=news.links, unfinished=False, lately=news.lately, more_lately=False)
        return MailPull(changes=(), cursor=following.written())

    def _begin_anew(self, news: _News, start: Cursor, now: datetime) -> frozenset[str]:
        """Watch folders anew whose delta was forgotten; return what lies in Drafts, if it is one of them.

        A new watch of Drafts lists all of it: those that were saved since the last pull are news.
        """
        links = {folder: self._beginning(folder, now - _OVERLAP) for folder in sorted(news.expired)}
        fresh = self._read(links, most=None)
        # What leaves while the pages are read is told by `resynced`; any other property may be missing.
        lying = {
            folder: {id_: one for id_, one in found.items() if "@removed" not in one}
            for folder, found in fresh.entries.items()
        }
        drafts = lying.get("drafts", {})
        news.entries |= {
            folder: {
                id_: one
                for id_, one in found.items()
                if "lastModifiedDateTime" not in one or saved_at(one) >= start.at - _OVERLAP
            }
            for folder, found in lying.items()
        }
        news.links |= fresh.links
        news.unfinished |= fresh.unfinished
        return frozenset(drafts)

    # ------------------------------------------------------------------------------------------ asking

    def _beginning(self, folder: str, since: datetime) -> str:
        """Return the link that begins a watch of a folder.

        `$deltatoken=latest` does not work for messages (it is said to be flaky, and answers with pages of old mail), so
        the documented filter by time keeps the first round short. Drafts are watched whole: an old draft can be sent
        any day, and the folder is small. Only new mail counts elsewhere: reading a mail changes it too.
        """
        path = f"{folder_path(folder)}/delta"
        if folder == "drafts":
            return self._session.mailbox + address(path, select="id,lastModifiedDateTime")
        filtered = address(path, select="id,lastModifiedDateTime", filter=f"receivedDateTime ge {instant(since)}")
        return f"{self._session.mailbox}{filtered}&changeType=created"

    def _lately(self, since: datetime) -> str:
        """Return the link to what came since an instant into any folder.

        Nothing else is filtered by, or Graph may find it too complex to sort: drafts are among it.
        """
        return self._session.mailbox + address(
            "/messages",
            filter=f"receivedDateTime ge {instant(since)}",
            orderby="receivedDateTime",
            select="id,isDraft,receivedDateTime,parentFolderId",
            top=str(_MOST_NEWS),
        )

    def _read(self, links: Mapping[str, str], *, most: int | None) -> _News:
        """Follow links page by page: to their ends, or until there is enough to read."""
        news = _News()
        pending = dict(links)
        for _ in range(_MOST_PAGES):
            answers = self._session.read_links(pending)
            pending = {}
            for name, answer in answers.items():
                if isinstance(answer, CursorExpired) and name != _LATELY:
                    news.expired.add(name)
                    news.entries.pop(name, None)
                    news.links.pop(name, None)
                elif isinstance(answer, AdapterError):
                    raise answer
                elif name == _LATELY:
                    news.lately += answer["value"]
                    news.more_lately = "@odata.nextLink" in answer
                    if news.more_lately and not _moves_on(news.lately):
                        pending[name] = self._session.relative(answer["@odata.nextLink"])
                else:
                    self._note(news, name, answer, pending)
            if not pending or (most is not None and news.size >= most and _LATELY not in pending):
                break
        news.unfinished = set(pending) - {_LATELY}
        if most is None and news.expired:
            raise Retry("Outlook has forgotten a watch that has just begun; it is begun again", code="watch")
        return news

    def _note(self, news: _News, folder: str, answer: Any, pending: dict[str, str]) -> None:
        """Take one page of a delta."""
        news.entries.setdefault(folder, {}).update({entry["id"]: entry for entry in answer["value"]})
        if "@odata.nextLink" in answer:
            news.links[folder] = pending[folder] = self._session.relative(answer["@odata.nextLink"])
        else:
            news.links[folder] = self._session.relative(answer["@odata.deltaLink"])

    # --------------------------------------------------------------------------------- messages as changes

    def _changes(
        self, entries: Mapping[str, Mapping[str, _Message]], lately: Iterable[_Message]
    ) -> tuple[MailChange, ...]:
        """Read what changed and put it in order; what left Drafts comes last, when what was sent is known.

        Each message is read, because a delta may leave properties out, and gives no headers.
        """
        wanted = {
            f"{folder} {id_}": _whole(id_, EITHER if folder == "inbox" else OURS)
            for folder, found in entries.items()
            for id_, entry in found.items()
            if "@removed" not in entry
        }
        wanted |= {f"{_LATELY} {one['id']}": _whole(one["id"], EITHER) for one in lately}
        timed: list[tuple[datetime, MailChange]] = []
        for name, message in self._whole_messages(wanted, entries).items():
            if isinstance(message, ItemGone):
                continue
            if isinstance(message, AdapterError):
                raise message
            change = self._change(name.partition(" ")[0], message)
            if change is not None:
                timed.append(change)
        timed.sort(key=lambda pair: pair[0])
        gone = tuple(
            DraftGone(provider_id=id_, thread_id=entry.get("conversationId"))
            for id_, entry in entries.get("drafts", {}).items()
            if "@removed" in entry
        )
        return (*(change for _, change in timed), *gone)

    def _whole_messages(
        self, wanted: Mapping[str, str], entries: Mapping[str, Mapping[str, _Message]]
    ) -> dict[str, Any]:
        """Read messages by name: many of ours in a folder from one list of it, all others by themselves.

        After a pass that placed or sent many mails their echo is read so, in a call or two.
        """
        lists = {
            folder: listing(folder_path(folder), f"lastModifiedDateTime ge {instant(min(map(saved_at, found)))}")
            for folder in ("drafts", "sentitems")
            if len(found := [one for one in entries.get(folder, {}).values() if "@removed" not in one]) > BATCH
            and all("lastModifiedDateTime" in one for one in found)
        }
        read: dict[str, Any] = {}
        for folder, answer in self._session.read_batch(lists).items():
            listed = {f"{folder} {message['id']}": message for message in messages_in(answer)}
            read |= {name: listed[name] for name in listed.keys() & wanted.keys()}
        return read | self._session.read_batch({name: wanted[name] for name in wanted if name not in read})

    def _change(self, where: str, message: _Message) -> tuple[datetime, MailChange] | None:
        """Return a message as a change, with its time; None when it tells nothing, or the next pull will."""
        match where:
            case "inbox" if not was_written_here(message, self._own):
                return self._received(message)
            case "sentitems":
                return _sent(message)
            case "drafts" if is_scheduled(message, self._clock.now()):
                # It lies there still, and is no draft to its rep: the core asks what it is.
                return saved_at(message), DraftGone(provider_id=message["id"], thread_id=message.get("conversationId"))
            case "drafts" if message["isDraft"]:
                return saved_at(message), DraftSaved(
                    draft=draft_ref(message),
                    key=stamp_of(message),
                    edited=was_edited(message),
                    subject=message.get("subject") or "",
                )
            case "drafts":
                return None
        if message["isDraft"]:
            return None
        folder = self._folders.which(message["parentFolderId"])
        if folder is not Folder.SENT and not was_written_here(message, self._own):
            return self._received(message)
        return _sent(message) if self._finding.where(message) is Whereabouts.SENT else None

    def _received(self, message: _Message) -> tuple[datetime, MailChange]:
        raw = None
        if looks_like_report(message):
            try:
                raw = self._session.get_bytes(f"{message_path(message['id'])}/$value")
            except Retry:
                raise
            except Refused:
                raw = None  # It has vanished, or cannot be written out: what was read of it must do.
        return received_at(message), received_mail(message, raw)


def _moves_on(rows: list[_Message]) -> bool:
    """Tell whether a list that begins at its last row would begin later: a second may hold more than a page."""
    return received_at(rows[0]) != received_at(rows[-1])


def _whole(id_: str, properties: str) -> str:
    return address(message_path(id_), select=properties, expand=EXPAND_STAMP)


def _sent(message: _Message) -> tuple[datetime, MailChange]:
    sent = sent_mail(message)
    return sent.at, MailSent(mail=sent)
