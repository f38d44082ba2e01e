"""Placing, opening, deleting and sending drafts.

Lives here: `Drafting`. Does not live here: finding a draft again (`finding`), JSON (`messages`), what may be repeated
(`session`).

A send is answered 202 without a body, so the mail is looked up afterwards. Source: reference apis 3.1 to 3.3; spec
delivery 1 and 4.
"""

from __future__ import annotations

from collections.abc import Iterable

from adapters.outlook.finding import Finding
from adapters.outlook.messages import (
    OURS,
    attachment_body,
    draft_ref,
    editable_body,
    message_body,
    quoted,
    sent_mail,
    stamped_with,
)
from adapters.outlook.paths import folder_path, listing, message_path, messages_in, ours
from adapters.outlook.session import GraphSession, ItemGone, address
from connector.errors import AdapterError, OutcomeUnknown, Refused, Unsupported
from connector.ports import Clock, DraftRef, Mail, MailIdentity, SentMail, Whereabouts

#: Sum of attachments that fits into one request: with base64 and the body it stays below Graph's 4 MB.
ATTACHMENT_BYTES = 3_000_000


class Drafting:
    """The drafts of one mailbox, and sending them."""

    def __init__(self, session: GraphSession, finding: Finding, *, rep: MailIdentity, clock: Clock) -> None:
        """Take the session, and who tells where a message lies."""
        self._session = session
        self._finding = finding
        self._rep = rep
        self._clock = clock

    def create(self, mail: Mail) -> DraftRef:
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

    def delete(self, draft: DraftRef) -> None:
        """Delete a draft (it goes to Deleted Items). One that is gone, or was sent under the same id, is left."""
        path = message_path(draft.draft_id)
        try:
            if self._session.get(address(path, select="id,isDraft"))["isDraft"]:
                self._session.delete(path)
        except ItemGone:
            return

    def address(self, draft: DraftRef) -> str:
        """Return the draft's webLink as it is now: it dies when the id changes."""
        gone = Refused(f"the draft is no longer in the Drafts of {self._rep.email}", code="draft_gone")
        try:
            message = self._session.get(address(message_path(draft.draft_id), select=OURS))
        except ItemGone as error:
            raise gone from error
        if self._finding.where(message) is not Whereabouts.DRAFT:
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
        draft = self._session.post_once(f"{message_path(previous)}/createReply", body, key=mail.key)
        path = message_path(draft["id"])
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

    def send(self, draft: DraftRef, key: str) -> SentMail:
        """Send a draft, once, and say where it lies now.

        202 is Graph's whole answer, with or without Retry-After: the mail is accepted. If its copy is not in Sent Items
        yet, what the draft told is returned.
        """
        try:
            self._session.post_once(f"{message_path(draft.draft_id)}/send", None, key=key)
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
        wanted = {"stored id": ours(draft.draft_id), "stamp": listing(folder_path("sentitems"), stamped_with(key))}
        try:
            answers = self._session.read_batch(wanted)
        except AdapterError:
            # The mail is accepted; that it cannot be looked at now changes nothing.
            return None
        found = [message for name in wanted for message in messages_in(answers[name]) if not message["isDraft"]]
        return sent_mail(found[0]) if found else None
