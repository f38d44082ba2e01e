"""Messages one by one: reading, changing, moving, deleting them.

Lives here: `Messages`, and what of a written message stays with the stored one. Does not live here: making and sending
drafts (`graph_drafts`), attached files (`graph_attachments`), lists (`graph_lists`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adapters.sandbox.graph_errors import Answer, GraphError, bad, no_folder
from adapters.sandbox.graph_letters import letter_of
from adapters.sandbox.graph_message import show
from adapters.sandbox.graph_request import Call
from adapters.sandbox.graph_shapes import MESSAGE, MOVE, folder_of
from adapters.sandbox.graph_view import shown
from adapters.sandbox.letter import open_letter
from adapters.sandbox.mailbox import Place, StoredMail
from adapters.sandbox.mailworld import MailWorld

#: What a PATCH may change only while the message is a draft (apis 3.1).
_DRAFT_ONLY = frozenset(
    (
        *("subject", "body", "toRecipients", "ccRecipients", "bccRecipients", "replyTo", "from", "sender"),
        *("internetMessageId", "internetMessageHeaders", "isDeliveryReceiptRequested", "isReadReceiptRequested"),
    )
)

#: What Outlook keeps beside the mail.
_MARKS = ("importance", "categories", "flag", "isDeliveryReceiptRequested", "isReadReceiptRequested")


class Messages:
    """Answers about one message."""

    def __init__(self, world: MailWorld) -> None:
        """Answer for the mailboxes of this world."""
        self._world = world

    def answers(self) -> Mapping[str, Callable[[Call], Answer]]:
        """Return them by the operation's name."""
        return {
            "get": self.get,
            "update": self.update,
            "delete": self.delete,
            "value": self.value,
            "move": self.move,
            "permanentDelete": self.delete_for_good,
        }

    def get(self, call: Call) -> Answer:
        """Show a message."""
        return shown(call, call.mail(), 200)

    def update(self, call: Call) -> Answer:
        """Change a message: what the mail says only while it is a draft."""
        mail = call.mail()
        _check_etag(call, mail)
        written = call.json(MESSAGE)
        if mail.place is not Place.DRAFTS:
            fixed = sorted(_DRAFT_ONLY & set(written))
            if fixed:
                raise bad(f"Property '{fixed[0]}' is read-only and cannot be set.", "ErrorInvalidPropertySet")
        elif "internetMessageHeaders" in written:
            # Headers can be given at creation only (apis 3.2).
            raise bad("Property 'internetMessageHeaders' cannot be set.", "ErrorInvalidPropertySet")
        raw = mail.raw
        if _DRAFT_ONLY & set(written):
            raw = letter_of(written, open_letter(mail.raw)).raw(self._world.clock.now())
        mail.properties |= properties_of(written)
        mark(mail, written)
        return shown(call, self._world.rewrite(call.box, mail, raw), 200)

    def delete(self, call: Call) -> Answer:
        """Delete a message: into Deleted Items, from there for good."""
        mail = call.mail()
        _check_etag(call, mail)
        self._world.discard(call.box, mail)
        return Answer(status=204)

    def delete_for_good(self, call: Call) -> Answer:
        """Delete a message from wherever it lies, past every bin that a user can open."""
        mail = call.mail()
        self._world.note_effect(call.box, "draft_purged" if mail.place is Place.DRAFTS else "mail_purged", mail)
        call.box.take_out(mail)
        return Answer(status=204)

    def value(self, call: Call) -> Answer:
        """Return the mail as RFC 5322."""
        return Answer(body=call.mail().raw, headers={"Content-Type": "text/plain"})

    def move(self, call: Call) -> Answer:
        """Move a message to another folder; it has another id then."""
        mail = call.mail()
        place = folder_of(str(call.json(MOVE).get("destinationId")))
        if place is None:
            raise no_folder()
        return shown(call, self._world.move(call.box, mail, place), 201)


def _check_etag(call: Call, mail: StoredMail) -> None:
    given = call.headers.get("if-match", "*")
    if given not in ("*", f'W/"{show(mail, immutable=False)["changeKey"]}"'):
        raise GraphError(
            412,
            "ErrorIrresolvableConflict",
            "The send or update operation could not be performed because the change key passed in the request "
            "does not match the current change key for the item.",
        )


def properties_of(written: Mapping[str, Any]) -> dict[str, str]:
    """Return the extended properties of a written message."""
    return {one["id"]: str(one["value"]) for one in written.get("singleValueExtendedProperties") or []}


def mark(mail: StoredMail, written: Mapping[str, Any]) -> None:
    """Keep with a mail what Outlook keeps beside it."""
    for name in _MARKS:
        if written.get(name) is not None:
            mail.marks[name] = written[name]
    if written.get("isRead") is not None:
        mail.unread = not written["isRead"]
