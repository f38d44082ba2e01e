"""Placing, opening, deleting and sending drafts.

Lives here: `Drafting`. Does not live here: how much goes into one request (`parcels`), finding a draft again
(`finding`), JSON (`messages`), what may be repeated (`session`).

A plain mail is one request, and several such go together. A follow-up is begun with createReply, because JSON cannot
carry In-Reply-To, and a mail with large files takes an upload for each: such a draft is addressed by its last request,
so that what was begun and never finished reaches nobody, and is known by its mark when it is looked up.
A send is answered 202 without a body, so the mail is looked up afterwards. Source: reference apis 3.1 to 3.3; spec
delivery 1 and 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from adapters.http import retrying
from adapters.outlook.errors import ItemGone
from adapters.outlook.finding import Finding
from adapters.outlook.messages import (
    EXPAND_STAMP,
    attachment_body,
    begun_body,
    begun_reply_body,
    draft_ref,
    finished_body,
    is_begun,
    message_body,
    quoted,
    sent_mail,
    stamped_with,
)
from adapters.outlook.parcels import ATTACHMENT_BYTES, fitting, groups, is_whole, needs_upload
from adapters.outlook.paths import folder_path, listing, message_path, messages_in, ours
from adapters.outlook.session import GraphSession, address
from connector.errors import AdapterError, OutcomeUnknown, Reconnect, Refused, Retry, Unsupported
from connector.ports import Attachment, Clock, DraftRef, Mail, MailIdentity, SentMail, Whereabouts


class Drafting:
    """The drafts of one mailbox, and sending them."""

    def __init__(self, session: GraphSession, finding: Finding, *, rep: MailIdentity, clock: Clock) -> None:
        """Take the session, and who tells where a message lies."""
        self._session = session
        self._finding = finding
        self._rep = rep
        self._clock = clock

    # ------------------------------------------------------------------------------------------ placing

    def create(self, mail: Mail) -> DraftRef:
        """Place a draft, stamped as it is made; a lost answer raises `OutcomeUnknown(mail.key)`.

        A follow-up to a mail that is no longer in this mailbox is a new mail.
        """
        _check_size(mail)
        for previous in self._previous(mail):
            begun = self._begin_reply(previous, mail)
            if begun is not None:
                return self._finish(begun, mail, mail.attachments, is_reply=True)
        body = message_body(mail, mailbox=self._rep.email)
        inside, beside = fitting(mail, body)
        files = {"attachments": [attachment_body(one) for one in inside]} if inside else {}
        if not beside:
            return draft_ref(self._session.post_once("/messages", body | files, key=mail.key))
        begun = self._session.post_once("/messages", begun_body(mail) | files, key=mail.key)
        return self._finish(begun, mail, beside, is_reply=False)

    def create_together(self, mails: Sequence[Mail]) -> list[DraftRef | AdapterError]:
        """Place several drafts: those of one request each go together, the others one by one.

        Nothing is raised, or what was placed before would be lost. Once the mailbox must wait, or be signed in to, the
        rest is not tried.
        """
        made: dict[str, DraftRef | AdapterError] = {}
        plain = {mail.key: self._plain_body(mail) for mail in mails if self._is_plain(mail)}
        halted: AdapterError | None = None
        for bodies in groups(plain):
            answers = dict.fromkeys(bodies, halted) if halted else self._made_together(bodies)
            made |= answers
            halted = halted or _halting(answers.values())
        for mail in mails:
            if mail.key not in made:
                made[mail.key] = answer = halted or self._made_alone(mail)
                halted = halted or _halting([answer])
        return [made[mail.key] for mail in mails]

    def _is_plain(self, mail: Mail) -> bool:
        """Tell whether one request makes a draft."""
        answers = mail.thread is not None and (mail.thread.provider_id or mail.thread.internet_message_id)
        return not answers and is_whole(mail, message_body(mail, mailbox=self._rep.email))

    def _plain_body(self, mail: Mail) -> dict[str, Any]:
        files = [attachment_body(attachment) for attachment in mail.attachments]
        return message_body(mail, mailbox=self._rep.email) | ({"attachments": files} if files else {})

    def _made_together(self, bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, DraftRef | AdapterError]:
        try:
            answers = self._session.create_together(bodies)
        except AdapterError as error:
            return dict.fromkeys(bodies, error)
        return {
            key: answer if isinstance(answer, AdapterError) else draft_ref(answer) for key, answer in answers.items()
        }

    def _made_alone(self, mail: Mail) -> DraftRef | AdapterError:
        try:
            return self.create(mail)
        except AdapterError as error:
            return error

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

    def _begin_reply(self, previous: str, mail: Mail) -> dict[str, Any] | None:
        """Begin a reply; None when there is no such mail to reply to."""
        path = f"{message_path(previous)}/createReply"
        try:
            begun: dict[str, Any] = self._session.post_once(path, begun_reply_body(mail), key=mail.key)
        except ItemGone:
            return None
        return begun

    def _finish(self, begun: Mapping[str, Any], mail: Mail, files: Sequence[Attachment], *, is_reply: bool) -> DraftRef:
        """Make a begun draft ours: with our files alone, then with our words and recipient."""
        path, start = message_path(begun["id"]), self._clock.now()
        try:
            if is_reply and "cid:" in (begun.get("body") or {}).get("content", ""):
                self._drop_quoted_images(path)
            for attachment in files:
                self._attach(path, attachment, mail.key)
            finished = finished_body(mail, mailbox=self._rep.email, took=self._clock.now() - start)
        except AdapterError as error:
            raise self._unmade(path, mail.key, error) from error
        try:
            mended = self._session.patch(path, finished)
        except Retry as error:
            # It may be whole by now, and its rep may be sending it: it is looked up, like any lost answer.
            raise OutcomeUnknown(error.sentence, key=mail.key, code=error.code) from error
        except AdapterError as error:
            raise self._unmade(path, mail.key, error) from error
        return draft_ref({**begun, **mended})

    def _drop_quoted_images(self, path: str) -> None:
        """Take away the images that Graph put into a reply with the mail it quotes: our own quote brings its own."""
        listed = self._session.get(address(f"{path}/attachments", select="id"))
        for image in listed["value"]:
            self._session.delete(f"{path}/attachments/{image['id']}")

    def _attach(self, path: str, attachment: Attachment, key: str) -> None:
        if needs_upload(attachment):
            self._session.upload(path, attachment, key=key)
            return
        # Refused for now, nothing was attached: that may be tried again here, rather than all files later.
        attach = partial(self._session.post_once, f"{path}/attachments", attachment_body(attachment), key=key)
        retrying(attach, sleep=self._clock.sleep)

    def _unmade(self, path: str, key: str, cause: AdapterError) -> AdapterError:
        """Remove a draft that could not be finished, and return what that comes to.

        For good: in Deleted Items it would look discarded by the rep. Once it is gone nothing is unknown any more.
        """
        try:
            self._remove(path)
        except ItemGone:
            pass
        except AdapterError:
            return OutcomeUnknown(
                f"a draft in the mailbox of {self._rep.email} was begun and could not be finished or removed",
                key=key,
                code=cause.code,
            )
        if isinstance(cause, OutcomeUnknown | ItemGone):
            return Retry(f"a draft of {self._rep.email} could not be finished; it is made anew", code=cause.code)
        return cause

    def _remove(self, path: str) -> None:
        """Delete for good what was begun; into Deleted Items where Graph refuses that."""
        try:
            self._session.purge(path)
        except ItemGone:
            raise
        except Refused:
            self._session.delete(path)

    # --------------------------------------------------------------------------------- deleting and opening

    def delete(self, draft: DraftRef) -> None:
        """Delete a draft: into Deleted Items, or for good when it was never made whole.

        One that is gone, or was sent under the same id, is left.
        """
        path = message_path(draft.draft_id)
        try:
            found = self._session.get(address(path, select="id,isDraft", expand=EXPAND_STAMP))
            if is_begun(found):
                self._remove(path)
            elif found["isDraft"]:
                self._session.delete(path)
        except ItemGone:
            return

    def address(self, draft: DraftRef) -> str:
        """Return the draft's webLink as it is now: it dies when the id changes."""
        gone = Refused(f"the draft is no longer in the Drafts of {self._rep.email}", code="draft_gone")
        try:
            message = self._session.get(ours(draft.draft_id))
        except ItemGone as error:
            raise gone from error
        if self._finding.where(message) is not Whereabouts.DRAFT:
            raise gone
        return str(message["webLink"])

    # ------------------------------------------------------------------------------------------- sending

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


def _halting(answers: Iterable[DraftRef | AdapterError]) -> AdapterError | None:
    """Return the answer after which nothing more is tried."""
    return next((answer for answer in answers if isinstance(answer, Retry | Reconnect)), None)


def _check_size(mail: Mail) -> None:
    size = sum(len(attachment.content) for attachment in mail.attachments)
    if size > ATTACHMENT_BYTES:
        raise Unsupported(
            f"the attachments of '{mail.subject}' to {mail.to.email} come to {size / 1_000_000:.1f} MB, and Outlook "
            f"takes {ATTACHMENT_BYTES // 1_000_000} MB: make them smaller, or link to them",
            code="attachments_too_large",
        )
