"""One rep's Gmail mailbox: drafts, sending, finding, and what happened since.

Lives here: which calls are made, in which order, and which of them may be repeated. Does not live here: the line
(`transport`), what an error means (`errors`), reading a message (`messages`), what a reply is (`connector.inbox`).

What is odd about Gmail: a draft's id stays while its message id is new at each save; sending makes a new message and
a new Message-ID; search knows no custom header, so the stamp is looked for among a few likely mails.
Source: reference apis 2; spec delivery 1, 4 and 5.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import requests
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from googleapiclient.http import HttpRequest

from adapters.gmail.account import Grant
from adapters.gmail.checkup import look
from adapters.gmail.errors import NOT_FOUND, answered, garbled, unanswered
from adapters.gmail.messages import (
    Message,
    decode_raw,
    encode_raw,
    headers_of,
    labels_of,
    looks_like_report,
    matching,
    message_id_of,
    received_mail,
    sent_mail,
    stamp_of,
)
from adapters.gmail.transport import Transport
from adapters.http import retrying
from connector.capabilities import MailboxCapabilities
from connector.errors import AdapterError, Refused, Unsupported
from connector.mime import to_bytes
from connector.ports import (
    Check,
    Clock,
    DraftGone,
    DraftRef,
    DraftSaved,
    Found,
    Mail,
    MailChange,
    MailIdentity,
    MailPull,
    MailReceived,
    MailSent,
    SentMail,
    Trace,
    Whereabouts,
)

CAPABILITIES = MailboxCapabilities(
    name="gmail",
    title="Gmail",
    drafts=True,
    sends=True,
    incoming=True,
    threads=True,
    html=True,
    one_click_unsubscribe=True,
    # A draft travels as base64 of base64 in JSON, which Gmail takes up to about 5 MB (reference apis 2.1).
    attachment_bytes=3_500_000,
)

#: Likely mails looked at for a stamp, in Drafts and in Sent each.
_CANDIDATES = 10
#: Messages read in one pull of a full look; the cursor remembers the rest.
_LOOK_PAGE = 100
#: How far before the last pull a full look starts: more than the clocks of two machines may differ.
_LOOK_MARGIN = timedelta(hours=1)
#: Mail under these labels is nobody's business here.
_PASSED_OVER = frozenset({"CHAT", "SPAM", "TRASH", "SCHEDULED"})
#: A label that makes an older message news: it was sent late, or rescued from spam.
_NEWS = frozenset({"SENT", "INBOX"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cursor:
    """Where the next pull starts; stored as JSON."""

    history: str
    #: When the pull that gave `history` began.
    at: datetime
    #: A full look that is not finished: its query and the next page.
    query: str = ""
    page: str = ""

    @classmethod
    def read(cls, text: str) -> _Cursor:
        """Read from JSON; raise `Refused` when it is not ours."""
        try:
            values = json.loads(text)
            values["at"] = datetime.fromisoformat(values["at"])
            return cls(**values)
        except (ValueError, KeyError, TypeError) as error:
            raise Refused("the stored Gmail cursor cannot be read: forget it to start anew", code="cursor") from error

    def written(self) -> str:
        """Return as JSON."""
        page = {"query": self.query, "page": self.page} if self.page else {}
        return json.dumps({"history": self.history, "at": self.at.isoformat(), **page})


class GmailMailbox:
    """One rep's mailbox; one thread at a time."""

    def __init__(
        self,
        grant: Grant,
        rep: MailIdentity,
        *,
        user: str,
        clock: Clock,
        endpoint: str | None,
        capabilities: MailboxCapabilities = CAPABILITIES,
    ) -> None:
        """Open without calling anyone.

        `user` is Gmail's userId: "me", or the rep's address. `capabilities` says less when it was given fewer scopes.
        """
        #: What this mailbox can do.
        self.capabilities = capabilities
        self._rep = rep
        self._user = user
        self._clock = clock
        self._grant = grant
        self._transport = Transport(grant)
        service = build(
            "gmail",
            "v1",
            http=self._transport,
            static_discovery=True,
            cache_discovery=False,
            client_options={"api_endpoint": endpoint} if endpoint else None,
        )
        self._drafts = service.users().drafts()
        self._messages = service.users().messages()
        self._history = service.users().history()
        self._users = service.users()

    @property
    def calls(self) -> int:
        """HTTP calls made to Gmail; those to the token service are not counted."""
        return self._transport.calls

    def check(self) -> Sequence[Check]:
        """Look at sign-in, scopes and reach of this mailbox."""
        return look(self._grant, self._rep, lambda: self._read(lambda: self._users.getProfile(userId=self._user)))

    def close(self) -> None:
        """Close its connections."""
        self._transport.close()

    # ------------------------------------------------------------------------------------------ drafts

    def create_draft(self, mail: Mail) -> DraftRef:
        """Place a draft; a lost answer raises `OutcomeUnknown(mail.key)`."""
        size = sum(len(attachment.content) for attachment in mail.attachments)
        if size > CAPABILITIES.attachment_bytes:
            limit = CAPABILITIES.attachment_bytes // 1_000_000
            raise Unsupported(
                f"the attachments of '{mail.subject}' are larger than the {limit} MB a Gmail draft may carry here",
                code="attachments_too_large",
            )
        message = {"raw": encode_raw(to_bytes(mail, date=self._clock.now()))}
        thread = self._thread_here(mail)
        try:
            made = self._create(message | ({"threadId": thread} if thread else {}), mail.key)
        except Refused as refused:
            if refused.code != NOT_FOUND or thread is None:
                raise
            # The rep deleted the conversation. Nothing was made; the References still join it for the recipient.
            made = self._create(message, mail.key)
        inside = made.get("message", {})
        return DraftRef(
            draft_id=str(made["id"]),
            provider_id=inside.get("id"),
            thread_id=inside.get("threadId"),
        )

    def _create(self, message: Mapping[str, str], key: str) -> dict[str, Any]:
        return self._once(self._drafts.create(userId=self._user, body={"message": message}), key)

    def _thread_here(self, mail: Mail) -> str | None:
        """Return the thread to join; an id from another rep's mailbox means nothing here, References must do."""
        if mail.thread is None or (mail.thread.mailbox or "").lower() != self._rep.email.lower():
            return None
        return mail.thread.thread_id

    def delete_draft(self, draft: DraftRef) -> None:
        """Delete a draft; one that is gone already is no error."""
        self._if_there(lambda: self._drafts.delete(userId=self._user, id=draft.draft_id))

    def draft_address(self, draft: DraftRef) -> str:
        """Return the address that opens the draft now, in the rep's account.

        It holds the message id, which is new at each save, so it is asked for at this moment.
        Raises `Refused(code="draft_gone")` when there is no such draft.
        """
        found = self._if_there(lambda: self._drafts.get(userId=self._user, id=draft.draft_id, format="minimal"))
        if found is None:
            raise _draft_gone()
        account = quote(self._rep.email, safe="@")
        return f"https://mail.google.com/mail/u/?authuser={account}#drafts/{found['message']['id']}"

    # ---------------------------------------------------------------------------------------- outgoing

    def send_draft(self, draft: DraftRef, key: str) -> SentMail:
        """Send an existing draft once, and read back the Message-ID it got."""
        try:
            sent = self._once(self._drafts.send(userId=self._user, body={"id": draft.draft_id}), key)
        except Refused as refused:
            raise (_draft_gone() if refused.code == NOT_FOUND else refused) from refused
        now = self._clock.now()
        try:
            message = self._message(str(sent["id"]))
        except AdapterError:
            # It is sent; only what Gmail wrote on it stays unknown until the next pull.
            message = None
        if message is None:
            return SentMail(provider_id=str(sent["id"]), at=now, thread_id=sent.get("threadId"), key=key)
        return sent_mail(message, now)

    def find(self, trace: Trace) -> Found:
        """Look a mail up by draft id, stamp, Message-ID, then recipient, subject and time.

        Drafts are read before Sent: a mail that is sent in between is then seen at least once.
        """
        if trace.draft is not None:
            kept = self._draft(trace.draft.draft_id)
            if kept is not None:
                return Found(
                    where=Whereabouts.DRAFT, draft=_draft_ref(kept["id"], kept["message"]), matched_by="draft_id"
                )
        drafts, all_drafts = self._likely_drafts(trace)
        sent, all_sent = self._likely_messages(f"in:sent to:{trace.to} after:{_epoch(trace.since)}")
        matched_by, hits = matching(trace, [*drafts.values(), *sent])
        if hits:
            refs = [_draft_ref(draft_id, message) for draft_id, message in drafts.items() if message in hits]
            extra = refs if matched_by == "stamp" else []
            mail = next((sent_mail(message, trace.since) for message in sent if message in hits), None)
            if mail is not None:
                return Found(where=Whereabouts.SENT, sent=mail, matched_by=matched_by, extra=tuple(extra))
            return Found(where=Whereabouts.DRAFT, draft=refs[0], matched_by=matched_by, extra=tuple(extra[1:]))
        if trace.draft is None:
            complete = all_drafts and all_sent
            return Found(where=Whereabouts.ABSENT if complete else Whereabouts.UNCLEAR)
        return self._find_elsewhere(trace, complete=all_drafts and all_sent)

    def _find_elsewhere(self, trace: Trace, *, complete: bool) -> Found:
        """Look for a draft that was seen before and is neither draft nor sent to its recipient."""
        known = trace.draft.internet_message_id if trace.draft else None
        messages = self._likely_messages(f"rfc822msgid:{known.strip('<>')}")[0] if known else []
        for message in messages:
            if "SENT" in labels_of(message):
                return Found(where=Whereabouts.SENT, sent=sent_mail(message, trace.since), matched_by="message_id")
            draft_id = self._draft_ids().get(str(message["id"]))
            if draft_id is not None:
                return Found(where=Whereabouts.DRAFT, draft=_draft_ref(draft_id, message), matched_by="message_id")
        scheduled, _ = self._likely_messages(f"in:scheduled to:{trace.to}")
        matched_by, hits = matching(trace, scheduled)
        if hits:
            return Found(where=Whereabouts.SCHEDULED, matched_by=matched_by)
        return Found(where=Whereabouts.DISCARDED if complete else Whereabouts.UNCLEAR)

    def _likely_drafts(self, trace: Trace) -> tuple[dict[str, Message], bool]:
        """Return draft id -> message of the newest drafts to the recipient, and whether these are all."""
        listed = self._read(lambda: self._drafts.list(userId=self._user, q=f"to:{trace.to}", maxResults=_CANDIDATES))
        drafts = [self._draft(str(row["id"])) for row in listed.get("drafts", ())]
        found = {str(draft["id"]): draft["message"] for draft in drafts if draft is not None}
        return found, "nextPageToken" not in listed

    def _likely_messages(self, query: str) -> tuple[list[Message], bool]:
        """Return the newest messages of a search, and whether these are all."""
        listed = self._read(lambda: self._messages.list(userId=self._user, q=query, maxResults=_CANDIDATES))
        found = [self._message(str(row["id"])) for row in listed.get("messages", ())]
        return [message for message in found if message is not None], "nextPageToken" not in listed

    # ---------------------------------------------------------------------------------------- incoming

    def pull_mail(self, cursor: str | None) -> MailPull:
        """Return changes since the cursor; one call when nothing changed. None means: start from now."""
        now = self._clock.now()
        if cursor is None:
            return MailPull(changes=(), cursor=self._present(now).written())
        start = _Cursor.read(cursor)
        if start.page:
            return self._look(start)
        try:
            return self._pull_history(start, now)
        except Refused as refused:
            if refused.code != NOT_FOUND:
                raise
        # The history this cursor points into is gone. The new place is taken first: what happens during the look
        # is then seen twice rather than never.
        present = self._present(now)
        query = f"after:{_epoch(start.at - _LOOK_MARGIN)}"
        return self._look(_Cursor(history=present.history, at=now, query=query))

    def _present(self, now: datetime) -> _Cursor:
        profile = self._read(lambda: self._users.getProfile(userId=self._user))
        return _Cursor(history=str(profile["historyId"]), at=now)

    def _pull_history(self, start: _Cursor, now: datetime) -> MailPull:
        news: dict[str, frozenset[str]] = {}
        gone: dict[str, DraftGone] = {}
        history, page = start.history, None
        while True:
            answer = self._history_page(start.history, page)
            for record in answer.get("history", ()):
                _note(record, news, gone)
            history, page = str(answer.get("historyId", history)), answer.get("nextPageToken")
            if page is None:
                break
        wanted = [
            message_id for message_id, labels in news.items() if message_id not in gone and not labels & _PASSED_OVER
        ]
        drafts = self._draft_ids() if any("DRAFT" in news[message_id] for message_id in wanted) else {}
        # An autosave leaves a trail of messages; only the one its draft holds now is still there.
        wanted = [message_id for message_id in wanted if "DRAFT" not in news[message_id] or message_id in drafts]
        # What left Drafts comes last: a mail seen in Sent, or a draft seen under its new id, answers it already.
        changes = (*self._changes(wanted, drafts), *gone.values())
        return MailPull(changes=changes, cursor=_Cursor(history=history, at=now).written())

    def _history_page(self, start: str, page: str | None) -> dict[str, Any]:
        return self._read(
            lambda: self._history.list(
                userId=self._user,
                startHistoryId=start,
                historyTypes=["messageAdded", "messageDeleted", "labelAdded"],
                pageToken=page,
            )
        )

    def _look(self, start: _Cursor) -> MailPull:
        """Read one page of everything since an instant; the cursor remembers the next page."""
        listed = self._read(
            lambda: self._messages.list(
                userId=self._user, q=start.query, maxResults=_LOOK_PAGE, pageToken=start.page or None
            )
        )
        ids = [str(row["id"]) for row in reversed(listed.get("messages", ()))]
        changes = self._changes(ids, self._draft_ids() if ids else {})
        page = listed.get("nextPageToken", "")
        cursor = _Cursor(history=start.history, at=start.at, query=start.query if page else "", page=page)
        return MailPull(changes=tuple(changes), cursor=cursor.written(), resynced=True)

    def _changes(self, message_ids: Iterable[str], drafts: Mapping[str, str]) -> list[MailChange]:
        read = (self._change(message_id, drafts) for message_id in message_ids)
        return [change for change in read if change is not None]

    def _change(self, message_id: str, drafts: Mapping[str, str]) -> MailChange | None:
        """Read one message as a change; None when it has vanished or is nobody's business."""
        message = self._message(message_id)
        if message is None or labels_of(message) & _PASSED_OVER:
            return None
        labels = labels_of(message)
        if "DRAFT" in labels:
            draft_id = drafts.get(message_id)
            if draft_id is None:
                return None
            return DraftSaved(draft=_draft_ref(draft_id, message), key=stamp_of(headers_of(message)))
        if "SENT" in labels:
            return MailSent(mail=sent_mail(message, self._clock.now()))
        return self._received(message)

    def _received(self, message: Message) -> MailReceived:
        raw = None
        if looks_like_report(headers_of(message)):
            whole = self._message(str(message["id"]), form="raw")
            raw = decode_raw(whole) if whole is not None else None
        return received_mail(message, raw, self._clock.now())

    # ------------------------------------------------------------------------------------------- calls

    def _draft_ids(self) -> dict[str, str]:
        """Return message id -> draft id of the newest 500 drafts."""
        listed = self._read(lambda: self._drafts.list(userId=self._user, maxResults=500))
        return {str(row["message"]["id"]): str(row["id"]) for row in listed.get("drafts", ())}

    def _draft(self, draft_id: str) -> dict[str, Any] | None:
        return self._if_there(lambda: self._drafts.get(userId=self._user, id=draft_id, format="metadata"))

    def _message(self, message_id: str, form: str = "metadata") -> Message | None:
        return self._if_there(lambda: self._messages.get(userId=self._user, id=message_id, format=form))

    def _if_there(self, request: Callable[[], HttpRequest]) -> dict[str, Any] | None:
        try:
            return self._read(request)
        except Refused as refused:
            if refused.code == NOT_FOUND:
                return None
            raise

    def _read(self, request: Callable[[], HttpRequest]) -> dict[str, Any]:
        """Make a call that may be repeated: a read, or the deletion of a draft."""
        return retrying(lambda: self._call(request(), key=None), sleep=self._clock.sleep)

    def _once(self, request: HttpRequest, key: str) -> dict[str, Any]:
        """Make a call whose effect must happen once; what it made is named by an id, or it is not known."""
        made = self._call(request, key=key)
        if not made.get("id"):
            raise garbled(mailbox=self._rep.email, key=key)
        return made

    def _call(self, request: HttpRequest, *, key: str | None) -> dict[str, Any]:
        """Send once and return the JSON; `key` is the intent whose effect it has, None if it may be repeated."""
        mailbox = self._rep.email
        try:
            answer = request.execute(num_retries=0)
        except HttpError as error:
            raise answered(error, method=request.method, mailbox=mailbox, key=key) from error
        except requests.RequestException as error:
            raise unanswered(error, mailbox=mailbox, key=key) from error
        if request.method == "DELETE":
            return {}
        if not isinstance(answer, dict):
            raise garbled(mailbox=mailbox, key=key)
        return answer


def _note(record: Mapping[str, Any], news: dict[str, frozenset[str]], gone: dict[str, DraftGone]) -> None:
    """Sort one history record: message ids worth reading with their labels, and drafts that went."""
    for entry in record.get("messagesAdded", ()):
        news[str(entry["message"]["id"])] = labels_of(entry["message"])
    for entry in record.get("labelsAdded", ()):
        message, added = entry["message"], frozenset(entry.get("labelIds", ()))
        if added & _NEWS:
            news[str(message["id"])] = labels_of(message)
        elif "TRASH" in added and "DRAFT" in labels_of(message):
            gone[str(message["id"])] = _gone(message)
    for entry in record.get("messagesDeleted", ()):
        labels = labels_of(entry["message"])
        # Gmail does not always say what a deleted message was; a gone id nobody knows does no harm.
        if not labels or "DRAFT" in labels:
            gone[str(entry["message"]["id"])] = _gone(entry["message"])


def _gone(message: Message) -> DraftGone:
    return DraftGone(provider_id=str(message["id"]), thread_id=message.get("threadId"))


def _draft_gone() -> Refused:
    return Refused("there is no such draft in Gmail any more; it may have been sent or discarded", code="draft_gone")


def _draft_ref(draft_id: str, message: Message) -> DraftRef:
    return DraftRef(
        draft_id=draft_id,
        provider_id=str(message["id"]),
        thread_id=message.get("threadId"),
        internet_message_id=message_id_of(headers_of(message)),
    )


def _epoch(instant: datetime) -> int:
    """Return the second before an instant: `after:` leaves its own second out."""
    return int(instant.timestamp()) - 1
