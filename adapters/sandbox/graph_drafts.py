"""Drafts and sending: making a draft, answering a mail, sending.

Lives here: `Drafts`. Does not live here: how a reply is worded (`graph_letters`), how mail travels (`mailworld`).
Source: reference apis 3.1, 3.2, 3.6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from adapters.sandbox.graph_errors import Answer, bad, gone
from adapters.sandbox.graph_letters import letter_of, letter_of_mime, quoted_reply
from adapters.sandbox.graph_messages import mark, properties_of
from adapters.sandbox.graph_request import Call
from adapters.sandbox.graph_shapes import MESSAGE, REPLY, SEND_MAIL
from adapters.sandbox.graph_view import shown
from adapters.sandbox.letter import Letter, Who, is_deliverable
from adapters.sandbox.mailbox import Mailbox, Place, StoredMail
from adapters.sandbox.mailworld import MailWorld


class Drafts:
    """Answers that make or send a mail."""

    def __init__(self, world: MailWorld) -> None:
        """Answer for the mailboxes of this world."""
        self._world = world

    def answers(self) -> Mapping[str, Callable[[Call], Answer]]:
        """Return them by the operation's name."""
        return {
            "create": self.create,
            "createReply": lambda call: self.reply(call, everyone=False),
            "createReplyAll": lambda call: self.reply(call, everyone=True),
            "send": self.send,
            "sendMail": self.send_mail,
        }

    def create(self, call: Call) -> Answer:
        """Make a draft; threading headers cannot be given, so it is always a new conversation (apis 3.1)."""
        call.place()
        letter, written = self._written(call)
        raw = letter.raw(self._world.clock.now())
        draft = self._world.save_draft(call.box, raw, properties=properties_of(written))
        mark(draft, written)
        return shown(call, draft, 201)

    def reply(self, call: Call, *, everyone: bool) -> Answer:
        """Make a draft that answers a mail, in its conversation."""
        answered = call.mail()
        if answered.place is Place.DRAFTS:
            raise bad("The operation can't be performed on a draft.", "ErrorInvalidReferenceItem")
        given = call.json(REPLY) if call.body else {}
        written = given.get("message") or given.get("Message") or {}
        comment = given.get("comment") or given.get("Comment")
        if comment is not None and "body" in written:
            raise bad("Comment and Message.Body cannot both be given.", "ErrorInvalidArgument")
        letter = quoted_reply(answered, _owner(call.box), comment=comment or "", everyone=everyone)
        letter = replace(letter_of(written, letter), message_id=self._world.new_message_id(call.box))
        raw = letter.raw(self._world.clock.now())
        draft = self._world.save_draft(call.box, raw, thread=answered.thread, properties=properties_of(written))
        mark(draft, written)
        return shown(call, draft, 201)

    def send(self, call: Call) -> Answer:
        """Send a draft: 202, accepted and no more."""
        mail = call.mail()
        if mail.place is not Place.DRAFTS:
            # What a second /send answers is documented nowhere; 404 is what is reported (apis 3.5).
            raise gone()
        _check_recipients(mail)
        self._world.send(call.box, mail)
        return Answer(status=202)

    def send_mail(self, call: Call) -> Answer:
        """Send a mail that was no draft: 202, and no id."""
        given = {} if call.is_mime else call.json(SEND_MAIL)
        message = given.get("message") or given.get("Message") or {}
        keep = given.get("saveToSentItems", given.get("SaveToSentItems", True)) is not False
        letter, written = self._written(call, message)
        if not (letter.to or letter.cc or letter.bcc):
            raise bad("At least one recipient is needed.", "ErrorInvalidRecipients")
        raw = letter.raw(self._world.clock.now())
        self._world.post(call.box, raw, properties=properties_of(written), keep=keep)
        return Answer(status=202)

    def _written(self, call: Call, message: Mapping[str, Any] | None = None) -> tuple[Letter, Mapping[str, Any]]:
        """Return the mail in a request, and what was written beside it; `message` is one read already."""
        if call.is_mime:
            letter, written = letter_of_mime(call.mime(), _owner(call.box)), {}
        else:
            written = call.json(MESSAGE) if message is None else dict(message)
            letter = letter_of(written, Letter(sender=_owner(call.box)))
        return replace(letter, message_id=letter.message_id or self._world.new_message_id(call.box)), written


def _owner(box: Mailbox) -> Who:
    return (box.name, box.email)


def _check_recipients(mail: StoredMail) -> None:
    if not mail.head.recipients or not all(is_deliverable(one) for one in mail.head.recipients):
        raise bad("At least one recipient isn't valid.", "ErrorInvalidRecipients")
