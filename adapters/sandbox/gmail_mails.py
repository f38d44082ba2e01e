"""Drafts, messages and threads of the Gmail API.

Lives here: making, sending, finding and showing mails, and which thread a mail may join. Does not live here: labels
(`gmail_labels`), history (`gmail_history`), how mail travels (`mailworld`).
Source: reference apis 2.1 to 2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

from adapters.sandbox.gmail_errors import bad, not_found
from adapters.sandbox.gmail_labels import check_id, find_mail, find_thread
from adapters.sandbox.gmail_message import attachment, draft_ref, message_ref, show, snippet
from adapters.sandbox.gmail_quota import Quota
from adapters.sandbox.gmail_request import Call
from adapters.sandbox.gmail_search import searched
from adapters.sandbox.letter import bare_subject, head, is_deliverable, parse_head, with_headers
from adapters.sandbox.mailbox import Mailbox, Place, StoredMail
from adapters.sandbox.mailworld import MailWorld

#: People one mail may go to through the API (apis 2.7).
_MOST_RECIPIENTS = 500


class Mails:
    """Answers the methods about drafts, messages and threads."""

    def __init__(self, world: MailWorld, quota: Quota) -> None:
        """Answer for this world."""
        self._world = world
        self._quota = quota

    def answers(self) -> Mapping[str, Callable[[Call], dict[str, Any] | None]]:
        """Return method -> what answers it."""
        return {
            "users.getProfile": _profile,
            "users.drafts.create": self._create_draft,
            "users.drafts.update": self._update_draft,
            "users.drafts.get": _get_draft,
            "users.drafts.list": self._list_drafts,
            "users.drafts.send": self._send_draft,
            "users.drafts.delete": self._delete_draft,
            "users.messages.send": self._send_message,
            "users.messages.insert": self._insert,
            "users.messages.import": self._insert,
            "users.messages.list": self._list_messages,
            "users.messages.get": _get_message,
            "users.messages.attachments.get": _get_attachment,
            "users.messages.delete": self._delete_message,
            "users.threads.list": self._list_threads,
            "users.threads.get": _get_thread,
        }

    # ----------------------------------------------------------------------------------------- drafts

    def _create_draft(self, call: Call) -> dict[str, Any]:
        raw, thread = _written(call, call.body.get("message") or {}, "draft.message")
        return draft_ref(self._world.save_draft(call.box, raw, thread=thread))

    def _update_draft(self, call: Call) -> dict[str, Any]:
        draft = _draft(call.box, call.path["id"])
        raw, thread = _written(call, call.body.get("message") or {}, "draft.message")
        return draft_ref(self._world.rewrite(call.box, draft, raw, thread=thread))

    def _list_drafts(self, call: Call) -> dict[str, Any]:
        drafts = [mail for mail in _newest_first(call.box) if mail.place is Place.DRAFTS]
        found = self._search(call, drafts)
        page, following = call.page(found)
        ids = [{"id": one.second_id, "message": {"id": one.id, "threadId": one.thread}} for one in page]
        return _listed("drafts", ids, found, following)

    def _send_draft(self, call: Call) -> dict[str, Any]:
        draft_id = call.body.get("id")
        message = call.body.get("message") or {}
        if not draft_id:
            return self._send(call, message, "draft.message")
        draft = _draft(call.box, str(draft_id))
        if message.get("raw") or call.media is not None:
            message = {"threadId": draft.thread, **message}
            raw, thread = _written(call, message, "draft.message")
            _check_recipients(raw)
            self._quota.check_sending(call.box)
            draft = self._world.rewrite(call.box, draft, raw, thread=thread)
        _check_recipients(draft.raw)
        self._quota.check_sending(call.box)
        return message_ref(self._world.send(call.box, draft))

    def _delete_draft(self, call: Call) -> None:
        self._world.discard(call.box, _draft(call.box, call.path["id"]))

    # --------------------------------------------------------------------------------------- messages

    def _send_message(self, call: Call) -> dict[str, Any]:
        return self._send(call, call.body, "message")

    def _send(self, call: Call, message: Mapping[str, Any], where: str) -> dict[str, Any]:
        raw, thread = _written(call, message, where)
        _check_recipients(raw)
        self._quota.check_sending(call.box)
        return message_ref(self._world.post(call.box, raw, thread=thread))

    def _insert(self, call: Call) -> dict[str, Any]:
        """Put a mail in without sending it; without labels it lies in no place but All Mail."""
        raw = call.raw(call.body, "message")
        labels = frozenset(call.body.get("labelIds") or ())
        thread = _thread_for(call.box, call.body.get("threadId"), raw) or call.box.thread_of(head(raw).answers)
        mail = self._world.new_mail(call.box, Place.SENT if "SENT" in labels else Place.ARCHIVE, raw, thread=thread)
        if call.one("internalDateSource", "receivedTime") == "dateHeader":
            mail.sent = mail.received = _dated(raw, mail.created)
        call.box.put(mail)
        return message_ref(self._world.label(call.box, mail, labels))

    def _list_messages(self, call: Call) -> dict[str, Any]:
        found = self._labelled(call)
        page, following = call.page(found)
        return _listed("messages", [{"id": mail.id, "threadId": mail.thread} for mail in page], found, following)

    def _delete_message(self, call: Call) -> None:
        self._world.discard(call.box, find_mail(call.box, call.path["id"]))

    # ---------------------------------------------------------------------------------------- threads

    def _list_threads(self, call: Call) -> dict[str, Any]:
        found = list(dict.fromkeys(mail.thread for mail in self._labelled(call)))
        page, following = call.page(found)
        threads = []
        for thread in page:
            mails = call.box.in_thread(thread)
            shown = {} if call.headers_only else {"snippet": snippet(mails[-1].raw)}
            threads.append({"id": thread, **shown, "historyId": str(max(mail.serial for mail in mails))})
        return _listed("threads", threads, found, following)

    # ----------------------------------------------------------------------------------------- search

    def _labelled(self, call: Call) -> list[StoredMail]:
        wanted = set(call.query.get("labelIds", ()))
        mails = [mail for mail in _newest_first(call.box) if wanted <= set(mail.labels)]
        return self._search(call, mails, binned=bool(wanted & {"TRASH", "SPAM"}))

    def _search(self, call: Call, mails: Sequence[StoredMail], *, binned: bool = False) -> list[StoredMail]:
        query, now = call.search, self._world.clock.now()
        lag = timedelta(seconds=self._world.settings.gmail_search_lag)
        if query and lag:
            mails = [mail for mail in mails if mail.created + lag <= now]
        binned = binned or call.one("includeSpamTrash").lower() == "true"
        return searched(mails, query, box=call.box, now=now, binned=binned)


def _profile(call: Call) -> dict[str, Any]:
    return {
        "emailAddress": call.box.email,
        "messagesTotal": len(call.box.mails),
        "threadsTotal": len({mail.thread for mail in call.box.mails.values()}),
        "historyId": str(call.box.serial),
    }


def _get_draft(call: Call) -> dict[str, Any]:
    draft = _draft(call.box, call.path["id"])
    return {"id": draft.second_id, "message": show(draft, call.format, ())}


def _get_message(call: Call) -> dict[str, Any]:
    return show(find_mail(call.box, call.path["id"]), call.format, call.query.get("metadataHeaders", ()))


def _get_attachment(call: Call) -> dict[str, Any]:
    found = attachment(find_mail(call.box, call.path["messageId"]), call.path["id"])
    if found is None:
        raise bad("Invalid attachment token")
    return found


def _get_thread(call: Call) -> dict[str, Any]:
    mails = find_thread(call.box, call.path["id"])
    wanted = call.query.get("metadataHeaders", ())
    return {
        "id": call.path["id"],
        "historyId": str(max(mail.serial for mail in mails)),
        "messages": [show(mail, call.format, wanted) for mail in mails],
    }


def _draft(box: Mailbox, draft_id: str) -> StoredMail:
    for mail in box.mails.values():
        if mail.place is Place.DRAFTS and mail.second_id == draft_id:
            return mail
    raise not_found()


def _newest_first(box: Mailbox) -> list[StoredMail]:
    return sorted(box.mails.values(), key=lambda mail: (mail.at, mail.id), reverse=True)


def _listed(
    name: str, items: Sequence[Mapping[str, Any]], found: Sequence[Any], following: Mapping[str, str]
) -> dict[str, Any]:
    """Return a page; Google leaves the list out when nothing is in it."""
    return {**({name: list(items)} if items else {}), "resultSizeEstimate": len(found), **following}


# --------------------------------------------------------------------------------------------- a mail in a request


def _written(call: Call, message: Mapping[str, Any], where: str) -> tuple[bytes, str | None]:
    """Return a mail as Gmail takes it from its owner, and the thread it joins."""
    raw = call.raw(message, where)
    thread = _thread_for(call.box, message.get("threadId"), raw)
    return _from_owner(call.box, raw), thread


def _from_owner(box: Mailbox, raw: bytes) -> bytes:
    """Return the mail with a From of this mailbox: Gmail puts it there when it is missing or somebody else's."""
    if head(raw).sender[1].lower() in box.addresses:
        return raw
    return with_headers(raw, **{"from": f"{box.name} <{box.email}>" if box.name else box.email})


def _check_recipients(raw: bytes) -> None:
    top = parse_head(raw)
    count = 0
    for header in ("To", "Cc", "Bcc"):
        for value in top.get_all(header, []):
            for _, address in getaddresses([str(value)]):
                if not is_deliverable(address):
                    raise bad(f"Invalid {header} header")
                count += 1
    if not count:
        raise bad("Recipient address required")
    if count > _MOST_RECIPIENTS:
        raise bad("Too many recipients")


def _thread_for(box: Mailbox, wanted: Any, raw: bytes) -> str | None:
    """Return the thread a mail may join, None for a thread of its own.

    All must hold (apis 2.2): the thread exists here, References or In-Reply-To name a mail in it, the subject is
    its subject. A mail that fails the last two is taken, in a new thread.
    """
    if not wanted:
        return None
    check_id(str(wanted), "thread_id")
    mails = find_thread(box, str(wanted))
    top = head(raw)
    known = {mail.head.message_id for mail in mails}
    subjects = {bare_subject(mail.head.subject) for mail in mails}
    unsent = all(mail.place is Place.DRAFTS for mail in mails)
    if bare_subject(top.subject) in subjects and (unsent or known & set(top.answers)):
        return str(wanted)
    return None


def _dated(raw: bytes, otherwise: datetime) -> datetime:
    try:
        at = parsedate_to_datetime(str(parse_head(raw).get("Date", "")))
    except ValueError:
        return otherwise
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
