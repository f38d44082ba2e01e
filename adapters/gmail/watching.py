"""What happened in a mailbox: by its history, or by a bounded look at everything when that is of no use.

Lives here: `Watching` and its cursor. Does not live here: reading a message (`messages`), what a mail is
(`connector.inbox`).

The history is asked first: one cheap call when nothing changed. It is of no use when it was forgotten (after a week,
at times after hours), and when it tells more than is read at a time; then everything of the last days is read, page by
page, newest first, and the cursor remembers the page: a crash in between goes on where the last stored page ended.
Source: reference apis 2.5 and 2.7; spec delivery 4 and 5.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from adapters.gmail.codes import NOT_FOUND
from adapters.gmail.messages import (
    NEWS_FIELDS,
    Message,
    decode_raw,
    draft_ref,
    first,
    headers_of,
    labels_of,
    looks_like_report,
    received_mail,
    sent_mail,
    stamp_of,
)
from adapters.gmail.session import GmailSession
from connector.errors import Refused
from connector.ports import DraftGone, DraftSaved, MailChange, MailPull, MailSent

#: Messages read in one pull of a full look, and newest ones that are read whatever its search says.
_LOOK_PAGE = 100
_LOOK_NEWEST = 20
#: How far before the last pull a full look starts: more than the clocks of two machines may differ.
_LOOK_MARGIN = timedelta(hours=1)
#: How far back it goes at most, and how many pages.
_LOOK_SPAN = timedelta(days=30)
_LOOK_PAGES = 100
#: Messages read in one pull by history; when it tells of more, a full look is made, which remembers its place.
_MOST_NEWS = 200
#: History records a page, and pages of one pull.
_HISTORY_PAGE = 500
_HISTORY_PAGES = 20
#: Drafts a page, and pages read to learn in which draft a message is.
_DRAFTS_PAGE = 500
_DRAFTS_PAGES = 4
#: Largest report that is read whole, and how much of several is read in one call, in bytes.
_LARGEST_REPORT = 5_000_000
#: Messages seen to be scheduled that are remembered.
_SCHEDULED_KEPT = 50

#: Mail under these labels is nobody's business here. The bin is not among them: a reply that the rep read and deleted
#: is a reply.
_PASSED_OVER = frozenset({"CHAT", "SPAM", "SCHEDULED"})
#: A label that makes an older message news: it was sent late, or rescued from spam.
_NEWS = frozenset({"SENT", "INBOX"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where the next pull starts; stored as JSON."""

    #: "" when the history could not be read at the time: then a full look tells what happened since `at`.
    history: str
    #: When the pull that gave `history` began.
    at: datetime
    #: A full look that is not finished: its query, the next page, and how many were read.
    query: str = ""
    page: str = ""
    pages: int = 0

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Read from JSON; raise `Refused` when it is not ours."""
        try:
            values = json.loads(text)
            values["at"] = datetime.fromisoformat(values["at"])
            return cls(**values)
        except (ValueError, KeyError, TypeError) as error:
            raise Refused("the stored Gmail cursor cannot be read: forget it to start anew", code="cursor") from error

    def written(self) -> str:
        """Return as JSON."""
        look = {"query": self.query, "page": self.page, "pages": self.pages} if self.page else {}
        return json.dumps({"history": self.history, "at": self.at.isoformat(), **look})


class Watching:
    """Sees what happens in one mailbox."""

    def __init__(self, session: GmailSession, *, reads: bool) -> None:
        """Take the session; `reads` tells whether messages may be read with its scopes."""
        self._session = session
        self._api = session.api
        self._user = session.user
        self._reads = reads
        #: Ids of messages that the rep scheduled, which a search may not know yet.
        self.scheduled: deque[str] = deque(maxlen=_SCHEDULED_KEPT)

    def pull(self, cursor: str | None) -> MailPull:
        """Return changes since the cursor; one call when nothing changed. None means: start from now."""
        now = self._session.clock.now()
        if not self._reads:
            # Seeing nothing takes no call; the time is kept for the day on which reading is allowed.
            return MailPull(changes=(), cursor=cursor or Cursor(history="", at=now).written())
        if cursor is None:
            return MailPull(changes=(), cursor=self._present(now).written())
        start = Cursor.read(cursor)
        if start.page:
            return self._look(start)
        try:
            pull = self._by_history(start, now) if start.history else None
        except Refused as refused:
            if refused.code != NOT_FOUND:
                raise
            pull = None
        return pull or self._first_look(start, now)

    def _present(self, now: datetime) -> Cursor:
        profile = self._session.read(self._api.users.getProfile(userId=self._user, fields="historyId"))
        return Cursor(history=str(profile["historyId"]), at=now)

    # ----------------------------------------------------------------------------------------- history

    def _by_history(self, start: Cursor, now: datetime) -> MailPull | None:
        """Read the history since a cursor, to its last page; None when it tells more than is read at a time."""
        news: dict[str, frozenset[str]] = {}
        gone: dict[str, DraftGone] = {}
        history, page = start.history, None
        for _ in range(_HISTORY_PAGES):
            answer = self._session.read(
                self._api.history.list(
                    userId=self._user,
                    startHistoryId=start.history,
                    historyTypes=["messageAdded", "messageDeleted", "labelAdded"],
                    maxResults=_HISTORY_PAGE,
                    pageToken=page,
                )
            )
            for record in answer.get("history", ()):
                _note(record, news, gone)
            # Only that of the last page counts: a crash before it reads the same pages again.
            history, page = str(answer.get("historyId", history)), answer.get("nextPageToken")
            if page is None:
                break
        else:
            return None
        self.scheduled.extend(one for one, labels in news.items() if "SCHEDULED" in labels)
        wanted = [
            one for one, labels in news.items() if not labels & _PASSED_OVER and not (one in gone and "DRAFT" in labels)
        ]
        in_drafts = [one for one in wanted if "DRAFT" in news[one]]
        drafts = self._drafts_of(in_drafts)
        # An autosave leaves a trail of messages; only the one its draft holds now is still there.
        wanted = [one for one in wanted if one not in in_drafts or one in drafts]
        if len(wanted) > _MOST_NEWS:
            return None
        # What left Drafts comes last: a mail seen in Sent, or a draft seen under its new id, answers it already.
        changes = (*self._changes(wanted, drafts), *gone.values())
        return MailPull(changes=changes, cursor=Cursor(history=history, at=now).written())

    def _drafts_of(self, message_ids: Sequence[str]) -> dict[str, str]:
        """Return message id -> draft id of these messages, as far as drafts hold them."""
        missing, found = set(message_ids), dict[str, str]()
        pages = self._draft_pages() if missing else ()
        for rows in pages:
            found |= {one: rows[one] for one in missing & rows.keys()}
            missing -= rows.keys()
            if not missing:
                break
        return found

    def _draft_pages(self) -> Iterator[dict[str, str]]:
        """Yield message id -> draft id of the drafts there are, a page at a time, newest first."""
        page = None
        for _ in range(_DRAFTS_PAGES):
            listed = self._session.read(
                self._api.drafts.list(
                    userId=self._user,
                    maxResults=_DRAFTS_PAGE,
                    pageToken=page,
                    fields="nextPageToken,drafts(id,message(id))",
                )
            )
            yield {str(row["message"]["id"]): str(row["id"]) for row in listed.get("drafts", ())}
            page = listed.get("nextPageToken")
            if page is None:
                return

    # ---------------------------------------------------------------------------------------- full look

    def _first_look(self, start: Cursor, now: datetime) -> MailPull:
        """Begin a full look at what happened since a cursor whose history cannot be followed.

        The new place in the history is taken first: what happens during the look is then seen twice rather than
        never. The core is told to ask where each draft is that does not lie in Drafts as it was: what left shows in no
        list.
        """
        present = self._present(now)
        since = max(start.at - _LOOK_MARGIN, now - _LOOK_SPAN)
        query = f"after:{int(since.timestamp())} -in:spam -in:chats"
        pull = self._look(replace(present, query=query))
        there = frozenset(message_id for rows in self._draft_pages() for message_id in rows)
        return replace(pull, resynced=True, in_drafts=there)

    def _look(self, start: Cursor) -> MailPull:
        """Read one page of everything since an instant, the bin included; the cursor remembers the next page."""
        listed = self._session.read(
            self._api.messages.list(
                userId=self._user,
                q=start.query,
                includeSpamTrash=True,
                maxResults=_LOOK_PAGE,
                pageToken=start.page or None,
                fields="nextPageToken,messages(id)",
            )
        )
        ids = [str(row["id"]) for row in listed.get("messages", ())]
        if not start.page:
            # The search may not know the newest yet, and the history is followed from now on only.
            newest = self._api.messages.list(userId=self._user, maxResults=_LOOK_NEWEST, fields="messages(id)")
            ids = [str(row["id"]) for row in self._session.read(newest).get("messages", ())] + ids
        ids = list(dict.fromkeys(ids))[::-1]
        page = listed.get("nextPageToken", "") if start.pages + 1 < _LOOK_PAGES else ""
        cursor = replace(start, query=start.query if page else "", page=page, pages=start.pages + 1 if page else 0)
        return MailPull(changes=tuple(self._changes(ids, None)), cursor=cursor.written(), more=bool(page))

    # -------------------------------------------------------------------------------- messages as changes

    def _changes(self, message_ids: Sequence[str], drafts: Mapping[str, str] | None) -> Iterable[MailChange]:
        """Read messages as changes, without what has vanished or is nobody's business.

        `drafts` is message id -> draft id; None when that must be found out.
        """
        answers = self._session.read_all([self._message(one, "full", NEWS_FIELDS) for one in message_ids])
        messages = [one for one in answers if one is not None and not labels_of(one) & _PASSED_OVER]
        if drafts is None:
            drafts = self._drafts_of([str(one["id"]) for one in messages if "DRAFT" in labels_of(one)])
        raws = self._raws([one for one in messages if _is_received(one) and looks_like_report(one)])
        changes = (self._change(message, drafts, raws) for message in messages)
        return [change for change in changes if change is not None]

    def _change(self, message: Message, drafts: Mapping[str, str], raws: Mapping[str, bytes]) -> MailChange | None:
        """Return a message as a change; None for a draft that is none any more."""
        now = self._session.clock.now()
        labels = labels_of(message)
        if "SENT" in labels:
            return MailSent(mail=sent_mail(message, now))
        if "DRAFT" not in labels:
            return received_mail(message, raws.get(str(message["id"])), now)
        draft_id = drafts.get(str(message["id"]))
        if draft_id is None:
            return None
        headers = headers_of(message)
        return DraftSaved(draft=draft_ref(draft_id, message), key=stamp_of(headers), subject=first(headers, "subject"))

    def _raws(self, reports: Sequence[Message]) -> dict[str, bytes]:
        """Return message id -> the whole mail of those that are not too large, a few at a time."""
        sizes = {str(one["id"]): int(one.get("sizeEstimate", 0)) for one in reports}
        found: dict[str, bytes] = {}
        together: list[str] = []
        for one, size in sizes.items():
            if size > _LARGEST_REPORT:
                continue
            if sum(sizes[other] for other in together) + size > _LARGEST_REPORT:
                found |= self._read_raws(together)
                together = []
            together.append(one)
        return found | self._read_raws(together)

    def _read_raws(self, message_ids: Sequence[str]) -> dict[str, bytes]:
        answers = self._session.read_all([self._message(one, "raw", "id,raw") for one in message_ids])
        return {str(one["id"]): decode_raw(one) for one in answers if one is not None}

    def _message(self, message_id: str, form: str, fields: str) -> Any:
        return self._api.messages.get(userId=self._user, id=message_id, format=form, fields=fields)


def _is_received(message: Message) -> bool:
    return not labels_of(message) & {"SENT", "DRAFT"}


def _note(record: Mapping[str, Any], news: dict[str, frozenset[str]], gone: dict[str, DraftGone]) -> None:
    """Sort one history record: message ids worth reading with their labels, and drafts that went."""
    for entry in record.get("messagesAdded", ()):
        news[str(entry["message"]["id"])] = labels_of(entry["message"])
    for entry in record.get("labelsAdded", ()):
        message, added = entry["message"], frozenset(entry.get("labelIds", ()))
        if added & _NEWS:
            news[str(message["id"])] = labels_of(message) - _PASSED_OVER
        elif "SCHEDULED" in added:
            news[str(message["id"])] = labels_of(message) | added
        elif "TRASH" in added and "SENT" not in labels_of(message):
            # In the bin it may bear the label of a draft no more.
            gone[str(message["id"])] = _gone(message)
    for entry in record.get("messagesDeleted", ()):
        labels = labels_of(entry["message"])
        # Gmail does not always say what a deleted message was; a gone id nobody knows does no harm.
        if not labels or labels & {"DRAFT", "TRASH"}:
            gone[str(entry["message"]["id"])] = _gone(entry["message"])


def _gone(message: Message) -> DraftGone:
    return DraftGone(provider_id=str(message["id"]), thread_id=message.get("threadId"))
