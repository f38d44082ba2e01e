"""Drafts and sending: making a draft, answering and forwarding a mail, sending at once or later.

Lives here: `Drafts`. Does not live here: how a reply is worded (`graph_letters`), how mail travels (`mailworld`).
Source: reference apis 3.1, 3.2, 3.6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from adapters.sandbox.graph_errors import Answer, GraphError, bad, gone
from adapters.sandbox.graph_letters import Quote, letter_of, letter_of_mime, quoted
from adapters.sandbox.graph_limits import Limits
from adapters.sandbox.graph_messages import mark, properties_of
from adapters.sandbox.graph_request import Call
from adapters.sandbox.graph_shapes import FORWARD, MESSAGE, REPLY, SEND_MAIL
from adapters.sandbox.graph_view import shown
from adapters.sandbox.letter import Letter, Who, is_deliverable
from adapters.sandbox.mailbox import Mailbox, Place, StoredMail
from adapters.sandbox.mailworld import MailWorld
from adapters.sandbox.odata import property_key

#: Extended property that says when a sent draft is to go out (apis 3.6).
DEFERRED = "systemtime 0x3fef"

#: People one message may go to (apis 3.1).
MOST_RECIPIENTS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """A mail as a request gives it."""

    letter: Letter
    #: The message of the request as JSON; empty for MIME.
    beside: Mapping[str, Any]
    #: Conversation it belongs to; None starts one.
    thread: str | None = None


class Drafts:
    """Answers that make or send a mail."""

    def __init__(self, world: MailWorld, limits: Limits) -> None:
        """Answer for the mailboxes of this world."""
        self._world = world
        self._limits = limits

    def answers(self) -> Mapping[str, Callable[[Call], Answer]]:
        """Return them by the operation's name."""
        found: dict[str, Callable[[Call], Answer]] = {
            "create": self.create,
            "send": self.send,
            "sendMail": self.send_mail,
        }
        for quote in Quote:
            found[quote.value] = partial(self.answer, quote=quote)
            found[f"create{quote.value[0].upper()}{quote.value[1:]}"] = partial(self.draft_answer, quote=quote)
        return found

    def create(self, call: Call) -> Answer:
        """Make a draft; JSON cannot say what it answers, so it is a new conversation then (apis 3.1)."""
        call.place()
        return self._save(call, self._new(call))

    def draft_answer(self, call: Call, quote: Quote) -> Answer:
        """Make a draft that answers or forwards a mail, in its conversation."""
        return self._save(call, self._answering(call, quote))

    def answer(self, call: Call, quote: Quote) -> Answer:
        """Answer or forward a mail at once: 202, and no id."""
        return self._post(call, self._answering(call, quote), keep=True)

    def send(self, call: Call) -> Answer:
        """Send a draft: 202, accepted and no more; one with a time set waits in Drafts (apis 3.6)."""
        mail = call.mail()
        if mail.place is not Place.DRAFTS:
            # What a second /send answers is documented nowhere; 404 is what is reported (apis 3.5).
            raise gone()
        _check_sender(call.box, mail.head.sender)
        _check_recipients(mail.head.recipients)
        self._submit(call.box, mail)
        return Answer(status=202)

    def send_mail(self, call: Call) -> Answer:
        """Send a mail that was no draft: 202, and no id."""
        given = {} if call.is_mime else call.json(SEND_MAIL)
        message = given.get("message") or given.get("Message") or {}
        keep = given.get("saveToSentItems", given.get("SaveToSentItems", True)) is not False
        return self._post(call, self._new(call, message), keep=keep)

    # ------------------------------------------------------------------------------------------ what is written

    def _new(self, call: Call, message: Mapping[str, Any] | None = None) -> _Written:
        """Return the mail in a request; `message` is one read already."""
        if call.is_mime:
            letter = self._named(call.box, letter_of_mime(call.mime(), _owner(call.box)))
            # What it answers is written in it: In-Reply-To and References are kept (apis 3.1).
            answers = [one for one in (letter.in_reply_to, *reversed(letter.references)) if one]
            return _Written(letter=letter, beside={}, thread=call.box.thread_of(answers))
        written = call.json(MESSAGE) if message is None else message
        letter = letter_of(written, Letter(sender=_owner(call.box)))
        return _Written(letter=self._named(call.box, letter), beside=written)

    def _answering(self, call: Call, quote: Quote) -> _Written:
        answered = call.mail()
        if answered.place is Place.DRAFTS:
            raise bad("The operation can't be performed on a draft.", "ErrorInvalidReferenceItem")
        given = call.json(FORWARD if quote is Quote.FORWARD else REPLY) if call.body else {}
        written = dict(given.get("message") or given.get("Message") or {})
        comment = given.get("comment") or given.get("Comment")
        if comment is not None and "body" in written:
            raise bad("Comment and Message.Body cannot both be given.", "ErrorInvalidArgument")
        people = given.get("toRecipients") or given.get("ToRecipients")
        if people:
            if "toRecipients" in written:
                raise bad("ToRecipients and Message.ToRecipients cannot both be given.", "ErrorInvalidArgument")
            written["toRecipients"] = people
        letter = letter_of(written, quoted(answered, _owner(call.box), quote, comment=comment or ""))
        letter = replace(letter, message_id=self._world.new_message_id(call.box))
        return _Written(letter=letter, beside=written, thread=answered.thread)

    def _named(self, box: Mailbox, letter: Letter) -> Letter:
        return replace(letter, message_id=letter.message_id or self._world.new_message_id(box))

    # ---------------------------------------------------------------------------------------- saving and sending

    def _save(self, call: Call, written: _Written) -> Answer:
        raw = written.letter.raw(self._world.clock.now())
        properties = properties_of(written.beside)
        draft = self._world.save_draft(call.box, raw, thread=written.thread, properties=properties)
        mark(draft, written.beside)
        return shown(call, draft, 201)

    def _post(self, call: Call, written: _Written, *, keep: bool) -> Answer:
        letter, world = written.letter, self._world
        _check_sender(call.box, letter.sender)
        _check_recipients([address for _, address in (*letter.to, *letter.cc, *letter.bcc)])
        raw, properties = letter.raw(world.clock.now()), properties_of(written.beside)
        at = self._goes_at(call.box, properties)
        if at <= world.clock.now():
            world.post(call.box, raw, thread=written.thread, properties=properties, keep=keep)
        else:
            waiting = world.new_mail(call.box, Place.DRAFTS, raw, thread=written.thread, properties=properties)
            self._send_at(call.box, call.box.put(waiting), at)
        return Answer(status=202)

    def _submit(self, box: Mailbox, draft: StoredMail) -> None:
        at, now = self._goes_at(box, draft.properties), self._world.clock.now()
        if at <= now:
            self._world.send(box, draft)
        elif _deferred(draft.properties, now) > now:
            self._send_at(box, draft, at)
        else:
            self._send_at(box, self._world.move(box, draft, Place.SCHEDULED), at)

    def _goes_at(self, box: Mailbox, properties: Mapping[str, str]) -> datetime:
        now = self._world.clock.now()
        deferred = _deferred(properties, now)
        return deferred if deferred > now else self._limits.next_sending(box)

    def _send_at(self, box: Mailbox, waiting: StoredMail, at: datetime) -> None:
        """Send a mail later, unless it has gone, or was thrown away, by then."""

        def go() -> None:
            if box.mails.get(waiting.id) is waiting:
                self._world.send(box, waiting)

        self._world.later((at - self._world.clock.now()).total_seconds(), go)


def _owner(box: Mailbox) -> Who:
    return (box.name, box.email)


def _deferred(properties: Mapping[str, str], now: datetime) -> datetime:
    """Return when a mail is to go out; `now` when nothing is said."""
    given = next((value for name, value in properties.items() if property_key(name) == DEFERRED), None)
    if given is None:
        return now
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise bad(f"The value '{given}' of the extended property is no instant.", "ErrorInvalidProperty") from None
    if at.tzinfo is None:
        raise bad(f"The time zone is missing in '{given}'.", "ErrorInvalidProperty")
    return at


def _check_sender(box: Mailbox, sender: Who) -> None:
    if sender[1].lower() not in box.addresses:
        raise GraphError(
            403,
            "ErrorSendAsDenied",
            "The user account which was used to submit this request does not have the right to send mail on behalf of "
            "the specified sending account.",
        )


def _check_recipients(recipients: tuple[str, ...] | list[str]) -> None:
    if not recipients or not all(is_deliverable(one) for one in recipients):
        raise bad("At least one recipient isn't valid.", "ErrorInvalidRecipients")
    if len(recipients) > MOST_RECIPIENTS:
        # The number is documented, the code is not: it is the one for people who cannot be written to.
        raise bad(f"A message can have at most {MOST_RECIPIENTS} recipients.", "ErrorInvalidRecipients")
