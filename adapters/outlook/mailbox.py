"""One rep's Outlook mailbox: drafts, sending, looking up, seeing what changed.

Lives here: `OutlookMailbox`, in the order things are asked of Graph. Does not live here: JSON (`messages`), HTTP and
errors (`session`), what a change means for a campaign (the core).

What to know of the service: a send is answered 202 without a body, so the mail is looked up afterwards; an id may
change on send whatever is asked, so several keys are tried; a draft that left Drafts may have been sent or discarded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from adapters.outlook.messages import (
    EXPAND_STAMP,
    OURS,
    RECEIVED,
    attachment_body,
    draft_ref,
    editable_body,
    instant,
    looks_like_report,
    message_body,
    quoted,
    received_mail,
    saved_at,
    sent_mail,
    stamp_of,
    stamped_with,
    was_edited,
    was_never_sent,
)
from adapters.outlook.session import CursorExpired, GraphSession, ItemGone, address
from adapters.outlook.sightings import Sighting, judged, resembles
from connector.capabilities import MailboxCapabilities
from connector.errors import AdapterError, OutcomeUnknown, Refused, Unsupported
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

#: Sum of attachments that fits into one request: with base64 and the body it stays below Graph's 4 MB.
ATTACHMENT_BYTES = 3_000_000

CAPABILITIES = MailboxCapabilities(
    name="outlook",
    title="Outlook",
    drafts=True,
    sends=True,
    incoming=True,
    threads=True,
    html=True,
    # List-Unsubscribe-Post has no extended property, and Graph drops it from MIME (RFC 8058 needs it).
    one_click_unsubscribe=False,
    attachment_bytes=ATTACHMENT_BYTES,
)

#: Folders that are watched, by their well-known names.
_WATCHED = ("drafts", "sentitems", "inbox")

#: Folders whose ids tell that a message is neither draft nor sent.
_TELLING = ("deleteditems", "outbox")

#: Where Outlook keeps what was deleted for good or from the bin, for some weeks.
_PURGED = "/mailFolders/recoverableitemsdeletions/messages"

#: The look-up that lists Sent Items, and how many further pages of it are read.
_SENT_SINCE = "sent since"
_PAGES = 5

#: How far two clocks may differ: the beginning of a watch is set back by it.
_OVERLAP = timedelta(minutes=5)


class OutlookMailbox:
    """One rep's mailbox in Microsoft 365."""

    capabilities: ClassVar[MailboxCapabilities] = CAPABILITIES

    def __init__(
        self,
        *,
        rep: MailIdentity,
        session: GraphSession,
        clock: Clock,
        checkup: Callable[[Callable[[], object]], Sequence[Check]],
    ) -> None:
        """Open; nothing is called. `checkup` looks at everything, given something that reads the mailbox."""
        self._checkup = checkup
        self._rep = rep
        self._session = session
        self._clock = clock
        self._folders: dict[str, str] = {}

    @property
    def calls(self) -> int:
        """HTTP calls made to Graph (a batch is one; token calls not counted)."""
        return self._session.calls

    def check(self) -> Sequence[Check]:
        """Look at sign-in, permissions and reach."""
        return self._checkup(lambda: self.pull_mail(None))  # from now on: one look, nothing is taken

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    # -------------------------------------------------------------------------------------------- drafts

    def create_draft(self, mail: Mail) -> DraftRef:
        """Place a draft, stamped as it is made.

        A follow-up is begun with createReply on the mail it answers, because JSON cannot carry In-Reply-To; if that
        mail is no longer in this mailbox the follow-up is a new mail. Source: apis 3.1.
        """
        size = sum(len(attachment.content) for attachment in mail.attachments)
        if size > ATTACHMENT_BYTES:
            raise Unsupported(
                f"the attachments of '{mail.subject}' to {mail.to.email} come to {size:,} bytes; "
                f"Outlook takes {ATTACHMENT_BYTES:,} in one request: send a link instead",
                code="attachments_too_large",
            )
        for previous in self._previous(mail):
            try:
                return self._reply(previous, mail)
            except ItemGone:
                continue
        body = message_body(mail, mailbox=self._rep.email)
        if mail.attachments:
            body["attachments"] = [attachment_body(attachment) for attachment in mail.attachments]
        return draft_ref(self._session.post_once("/messages", body, key=mail.key))

    def create_drafts(self, mails: Sequence[Mail]) -> Sequence[DraftRef | AdapterError]:
        """Place drafts one by one."""
        return [self.create_draft(mail) for mail in mails]

    def delete_draft(self, draft: DraftRef) -> None:
        """Delete a draft (it goes to Deleted Items). One that is gone, or was sent under the same id, is left."""
        path = _message(draft.draft_id)
        try:
            if self._session.get(address(path, select="id,isDraft"))["isDraft"]:
                self._session.delete(path)
        except ItemGone:
            return

    def draft_address(self, draft: DraftRef) -> str:
        """Return the draft's webLink as it is now: it dies when the id changes."""
        gone = Refused(f"the draft is no longer in the Drafts of {self._rep.email}", code="draft_gone")
        try:
            message = self._session.get(address(_message(draft.draft_id), select=OURS))
        except ItemGone as error:
            raise gone from error
        if self._where(message) is not Whereabouts.DRAFT:
            raise gone
        return str(message["webLink"])

    def _previous(self, mail: Mail) -> Iterable[str]:
        """Give ids of the mail that is answered, as long as they are asked for: the stored one, then by Message-ID."""
        thread = mail.thread
        if thread is None:
            return
        own = {self._rep.email.lower(), *self._rep.aliases}
        if thread.provider_id and (thread.mailbox or "").lower() in own:
            yield thread.provider_id
        if thread.internet_message_id:
            same = f"internetMessageId eq {quoted(thread.internet_message_id)}"
            answer = self._session.get(address("/messages", filter=same, select="id,isDraft"))
            yield from (message["id"] for message in answer["value"] if not message["isDraft"])

    def _reply(self, previous: str, mail: Mail) -> DraftRef:
        """Begin a reply and make it ours. All of it is given at once, so that hardly a half-made draft can be left.

        The second request is still needed: Graph addresses the reply to the sender, who is the rep, and puts the old
        mail below the body.
        """
        body = {"message": message_body(mail, mailbox=self._rep.email)}
        draft = self._session.post_once(f"{_message(previous)}/createReply", body, key=mail.key)
        path = _message(draft["id"])
        try:
            mended = self._session.patch(path, editable_body(mail, mailbox=self._rep.email))
            for attachment in mail.attachments:
                self._session.post_once(f"{path}/attachments", attachment_body(attachment), key=mail.key)
        except AdapterError as error:
            self._unmake(path, mail.key, error)
            raise
        return draft_ref({**draft, **mended})

    def _unmake(self, path: str, key: str, cause: AdapterError) -> None:
        """Remove a draft that could not be finished, for good: in Deleted Items it would look discarded by the rep."""
        try:
            self._session.post_once(f"{path}/permanentDelete", None, key=key)
        except ItemGone:
            return
        except AdapterError:
            raise OutcomeUnknown(
                f"a draft in the mailbox of {self._rep.email} was begun and could not be finished or removed",
                key=key,
                code=cause.code,
            ) from cause

    # -------------------------------------------------------------------------------------------- outgoing

    def send_draft(self, draft: DraftRef, key: str) -> SentMail:
        """Send a draft, once, and say where it lies now.

        202 is Graph's whole answer, with or without Retry-After: the mail is accepted. If its copy is not in Sent Items
        yet, what the draft told is returned.
        """
        try:
            self._session.post_once(f"{_message(draft.draft_id)}/send", None, key=key)
        except ItemGone as error:
            raise Refused(
                f"the draft is no longer in the Drafts of {self._rep.email}: it was sent, moved or discarded",
                code="draft_gone",
            ) from error
        return self._sent_copy(draft, key) or SentMail(
            provider_id=draft.draft_id,
            at=self._clock.now(),
            thread_id=draft.thread_id,
            internet_message_id=draft.internet_message_id,
            key=key,
        )

    def _sent_copy(self, draft: DraftRef, key: str) -> SentMail | None:
        wanted = {"stored id": _stored(draft), "stamp": _stamped("sentitems", key)}
        try:
            answers = self._session.read_batch(wanted)
        except AdapterError:
            # The mail is accepted; that it cannot be looked at now changes nothing.
            return None
        found = [message for name in wanted for message in _messages(answers[name]) if not message["isDraft"]]
        return sent_mail(found[0]) if found else None

    def find(self, trace: Trace) -> Found:
        """Look a mail up: by stored id and stamp in one call; only if it is not there, by weaker keys in more.

        Source: apis 3.2, the order of keys.
        """
        strong = {
            "stamp in Drafts": _stamped("drafts", trace.key),
            "stamp in Sent Items": _stamped("sentitems", trace.key),
            "stamp in Deleted Items": _stamped("deleteditems", trace.key),
        }
        if trace.draft is not None:
            strong = {"stored id": _stored(trace.draft), **strong}
        answers = self._session.read_batch(strong)
        seen = self._sightings(answers, strong)
        found = judged(seen, trace)
        if found and found.where is not Whereabouts.DISCARDED:
            return found
        weak = self._weak(trace)
        answers = self._session.read_batch(weak)
        listed, searched = self._resembling(answers.pop(_SENT_SINCE), trace)
        seen += self._sightings(answers, weak) + listed
        if found := judged(seen, trace):
            return found
        searched = searched and not any(_unread(answer) for answer in answers.values())
        # A draft that was there leaves Drafts for Sent Items or for the bins. In neither it is most likely on its way
        # to Sent Items, where it may take seconds to appear: that is no proof that it was discarded.
        return Found(where=Whereabouts.ABSENT if searched and trace.draft is None else Whereabouts.UNCLEAR)

    def _weak(self, trace: Trace) -> dict[str, str]:
        stamped = stamped_with(trace.key)
        weak = {
            "stamp anywhere": _list("/messages", stamped),
            "stamp in the second bin": _list(_PURGED, stamped),
            _SENT_SINCE: _list(_folder("sentitems"), f"receivedDateTime ge {instant(trace.since)}"),
        }
        if trace.draft and trace.draft.internet_message_id:
            same = f"internetMessageId eq {quoted(trace.draft.internet_message_id)}"
            weak["Message-ID"] = _list("/messages", same)
        return weak

    def _resembling(self, answer: Any, trace: Trace) -> tuple[list[Sighting], bool]:
        """Return what was sent to this person in the conversation or under this subject, without another's stamp.

        It is compared here, because Graph cannot filter by recipient, and a filter by conversation bears no order.
        The second value is false when not all of it could be read.
        """
        messages = list(_messages(answer))
        for _ in range(_PAGES):
            if "@odata.nextLink" not in _body(answer):
                break
            (answer,) = self._session.read_links({"": self._session.relative(answer["@odata.nextLink"])}).values()
            messages += _messages(answer)
        messages.sort(key=lambda message: sent_mail(message).at)
        found = [
            Sighting(where=Whereabouts.SENT, message=message, matched_by=matched_by)
            for message in messages
            if (matched_by := resembles(message, trace))
        ]
        return found, not isinstance(answer, AdapterError) and "@odata.nextLink" not in answer

    def _sightings(self, answers: Mapping[str, Any], asked: Mapping[str, str]) -> list[Sighting]:
        return [
            Sighting(where=self._where(message, purged=_PURGED in asked[name]), message=message, matched_by=name)
            for name in asked
            if name in answers
            for message in sorted(_messages(answers[name]), key=lambda message: str(message.get("sentDateTime")))
        ]

    def _where(self, message: Mapping[str, Any], *, purged: bool = False) -> Whereabouts:
        """Tell by its folder where a message is: a draft in the bin or in Outbox may still call itself a draft.

        A mail that was sent and then thrown away is sent.
        """
        if purged:
            return Whereabouts.DISCARDED if was_never_sent(message) else Whereabouts.SENT
        if not self._folders:
            paths = {name: address(f"/mailFolders/{name}", select="id") for name in _TELLING}
            answers = self._session.read_batch(paths)
            self._folders = {answer["id"]: name for name, answer in answers.items() if "id" in _body(answer)}
        match self._folders.get(message["parentFolderId"]):
            case "outbox":
                return Whereabouts.SCHEDULED
            case "deleteditems" if was_never_sent(message):
                return Whereabouts.DISCARDED
            case _:
                return Whereabouts.DRAFT if message["isDraft"] else Whereabouts.SENT

    # -------------------------------------------------------------------------------------------- incoming

    def pull_mail(self, cursor: str | None) -> MailPull:
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
        path = f"{_folder(folder)}/delta"
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
            f"{folder} {id_}": address(_message(id_), select=RECEIVED)
            if folder == "inbox"
            else address(_message(id_), select=OURS, expand=EXPAND_STAMP)
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
            raw = self._session.get_bytes(f"{_message(message['id'])}/$value") if looks_like_report(message) else None
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


def _message(id_: str) -> str:
    return f"/messages/{quote(id_, safe='')}"


def _folder(name: str) -> str:
    return f"/mailFolders/{name}/messages"


def _list(path: str, filter_: str) -> str:
    return address(path, filter=filter_, select=OURS, expand=EXPAND_STAMP, top="200")


def _stored(draft: DraftRef) -> str:
    return address(_message(draft.draft_id), select=OURS, expand=EXPAND_STAMP)


def _stamped(folder: str, key: str) -> str:
    return _list(_folder(folder), stamped_with(key))


def _body(answer: Any) -> Mapping[str, Any]:
    """Return an answer of a batch, or nothing for an error."""
    return {} if isinstance(answer, AdapterError) else answer


def _messages(answer: Any) -> Sequence[Mapping[str, Any]]:
    """Return the messages of an answer: of a list, the one message itself, none for an error."""
    body = _body(answer)
    if "value" in body:
        messages: Sequence[Mapping[str, Any]] = body["value"]
        return messages
    return (body,) if "id" in body else ()


def _unread(answer: Any) -> bool:
    """Tell whether a look-up could not be made; that there is no such item is an answer."""
    return isinstance(answer, AdapterError) and not isinstance(answer, ItemGone)


def _cursor(at: datetime, links: Mapping[str, str]) -> str:
    return json.dumps({"at": instant(at), "links": dict(links)}, sort_keys=True)
