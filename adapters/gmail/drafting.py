"""Placing, opening, deleting and sending drafts.

Lives here: `Drafting`. Does not live here: finding a draft again (`finding`), how a mail becomes bytes
(`connector.mime`), what may be repeated (`session`).

A draft is never changed after it is made: Gmail replaces the whole mail and knows no condition, so a change would wipe
out what the rep is writing. A draft keeps its id while its message gets a new one at each save; sending makes a new
message and a new Message-ID. Source: reference apis 2.1 to 2.4; spec delivery 1 and 4.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from adapters.gmail.codes import BAD_RECIPIENT, NO_SUCH_THREAD, NOT_FOUND, TOO_LARGE
from adapters.gmail.messages import DRAFT_FIELDS, MESSAGE_FIELDS, SEEN_HEADERS, addresses, headers_of, sent_mail
from adapters.gmail.session import GmailSession
from adapters.gmail.upload import LARGEST
from connector.errors import AdapterError, Refused, Unsupported
from connector.mime import to_bytes
from connector.ports import DraftRef, Mail, SentMail

#: Largest sum of attachments; Gmail's own limit (25 MB), which as base64 fits into its limit for a whole mail.
ATTACHMENT_BYTES = 25_000_000


class Drafting:
    """The drafts of one mailbox, and sending them."""

    def __init__(self, session: GmailSession, *, reads: bool) -> None:
        """Take the session; `reads` tells whether messages may be read with its scopes."""
        self._session = session
        self._api = session.api
        self._user = session.user
        self._reads = reads

    def create(self, mail: Mail) -> DraftRef:
        """Place a draft; a lost answer raises `OutcomeUnknown(mail.key)`."""
        _check_attachments(mail)
        raw = to_bytes(mail, date=self._session.clock.now())
        if len(raw) > LARGEST:
            raise _too_large(mail)
        thread = self._thread_here(mail)
        try:
            made = self._session.place_draft(raw, {"threadId": thread} if thread else {}, mail.key)
        except Refused as refused:
            if refused.code == BAD_RECIPIENT:
                raise _bad_recipient(refused, mail.to.email) from refused
            if refused.code not in (NOT_FOUND, NO_SUCH_THREAD) or thread is None:
                raise
            # The rep deleted the conversation. Nothing was made; the References still join it for the recipient.
            made = self._session.place_draft(raw, {}, mail.key)
        inside = made.get("message", {})
        return DraftRef(draft_id=str(made["id"]), provider_id=inside.get("id"), thread_id=inside.get("threadId"))

    def _thread_here(self, mail: Mail) -> str | None:
        """Return the thread to join; an id from another rep's mailbox means nothing here, References must do."""
        if mail.thread is None or (mail.thread.mailbox or "").lower() != self._session.mailbox.lower():
            return None
        return mail.thread.thread_id

    def delete(self, draft: DraftRef) -> None:
        """Delete a draft; one that is gone already is no error."""
        self._session.read_if_there(self._api.drafts.delete(userId=self._user, id=draft.draft_id))

    def address(self, draft: DraftRef) -> str:
        """Return the address that opens the draft now, in the rep's account.

        It holds the message id, which is new at each save, so it is asked for at this moment.
        Raises `Refused(code="draft_gone")` when there is no such draft.
        """
        wanted = self._api.drafts.get(userId=self._user, id=draft.draft_id, format="minimal", fields="id,message(id)")
        found = self._session.read_if_there(wanted)
        if found is None:
            raise _draft_gone()
        account = quote(self._session.mailbox, safe="@")
        return f"https://mail.google.com/mail/u/?authuser={account}#drafts/{found['message']['id']}"

    def send(self, draft: DraftRef, key: str) -> SentMail:
        """Send an existing draft once, and read back the Message-ID it got."""
        request = self._api.drafts.send(userId=self._user, body={"id": draft.draft_id})
        try:
            sent = self._session.once(request, key)
        except Refused as refused:
            if refused.code == NOT_FOUND:
                raise _draft_gone() from refused
            if refused.code == BAD_RECIPIENT:
                raise _bad_recipient(refused, self._recipient(draft)) from refused
            raise
        now = self._session.clock.now()
        message = self._read_back(str(sent["id"]))
        if message is None:
            return SentMail(provider_id=str(sent["id"]), at=now, thread_id=sent.get("threadId"), key=key)
        return sent_mail(message, now)

    def _read_back(self, message_id: str) -> dict[str, Any] | None:
        if not self._reads:
            return None
        wanted = self._api.messages.get(
            userId=self._user, id=message_id, format="metadata", metadataHeaders=SEEN_HEADERS, fields=MESSAGE_FIELDS
        )
        try:
            return self._session.read_if_there(wanted)
        except AdapterError:
            # It is sent; only what Gmail wrote on it stays unknown until the next pull.
            return None

    def _recipient(self, draft: DraftRef) -> str:
        """Return whom a draft is to, for a sentence; "" when that cannot be read."""
        wanted = self._api.drafts.get(userId=self._user, id=draft.draft_id, format="metadata", fields=DRAFT_FIELDS)
        try:
            found = self._session.read_if_there(wanted)
        except AdapterError:
            return ""
        headers = headers_of(found["message"]) if found else {}
        return ", ".join(address.email for address in addresses(headers, "to"))


def _check_attachments(mail: Mail) -> None:
    if sum(len(attachment.content) for attachment in mail.attachments) > ATTACHMENT_BYTES:
        raise _too_large(mail)


def _too_large(mail: Mail) -> Unsupported:
    limit = ATTACHMENT_BYTES // 1_000_000
    return Unsupported(
        f"the mail '{mail.subject}' with its attachments is larger than the {limit} MB that Gmail takes: "
        "make them smaller, or link to them",
        code=TOO_LARGE,
    )


def _bad_recipient(refused: Refused, recipient: str) -> Refused:
    who = f"'{recipient}'" if recipient else "the recipient's address"
    return Refused(
        f"Gmail sends no mail to {who}: correct the person's address",
        code=refused.code,
        advice=refused.advice,
        category=refused.category,
    )


def _draft_gone() -> Refused:
    return Refused("there is no such draft in Gmail any more; it may have been sent or discarded", code="draft_gone")
