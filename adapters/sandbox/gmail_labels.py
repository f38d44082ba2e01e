"""Gmail's labels, what they move, and the addresses a person sends as.

Lives here: `labels`, `modify`, `trash` and `untrash` of messages and threads, `settings.sendAs`. Does not live here:
which labels a mail has (`mailbox`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.sandbox.gmail_errors import GoogleError, bad, not_found
from adapters.sandbox.gmail_message import message_ref
from adapters.sandbox.gmail_request import Call
from adapters.sandbox.mailbox import Mailbox, Place, StoredMail
from adapters.sandbox.mailworld import MailWorld

_SYSTEM = ("INBOX", "SENT", "DRAFT", "TRASH", "UNREAD", "SPAM", "STARRED", "IMPORTANT", "CHAT", "SCHEDULED")

#: System labels that a client can neither give nor take.
_FIXED = frozenset(("SENT", "DRAFT", "CHAT", "SCHEDULED"))

#: Labels in one request.
_MOST = 100


class Labels:
    """Answers the methods about labels and sending addresses."""

    def __init__(self, world: MailWorld) -> None:
        """Answer for this world."""
        self._world = world

    def answers(self) -> Mapping[str, Callable[[Call], dict[str, Any] | None]]:
        """Return method -> what answers it."""
        return {
            "users.labels.list": self._list,
            "users.labels.get": self._get,
            "users.labels.create": self._create,
            "users.messages.modify": self._modify_message,
            "users.messages.trash": self._trash,
            "users.messages.untrash": self._untrash,
            "users.threads.modify": self._modify_thread,
            "users.settings.sendAs.list": self._list_send_as,
            "users.settings.sendAs.get": self._get_send_as,
        }

    def _list(self, call: Call) -> dict[str, Any]:
        return {"labels": [_label(call.box, name) for name in (*_SYSTEM, *call.box.made_labels)]}

    def _get(self, call: Call) -> dict[str, Any]:
        name = call.path["id"]
        if name not in (*_SYSTEM, *call.box.made_labels):
            raise not_found()
        mails = [mail for mail in call.box.mails.values() if name in mail.labels]
        unread = [mail for mail in mails if mail.unread]
        return _label(call.box, name) | {
            "messagesTotal": len(mails),
            "messagesUnread": len(unread),
            "threadsTotal": len({mail.thread for mail in mails}),
            "threadsUnread": len({mail.thread for mail in unread}),
        }

    def _create(self, call: Call) -> dict[str, Any]:
        name = str(call.body.get("name") or "").strip()
        if not name:
            raise bad("Invalid label name")
        if name.upper() in _SYSTEM or name.lower() in (one.lower() for one in call.box.made_labels.values()):
            raise GoogleError(409, "Label name exists or conflicts", reason="aborted", status="ABORTED")
        made = f"Label_{len(call.box.made_labels) + 1}"
        call.box.made_labels[made] = name
        return _label(call.box, made)

    # ------------------------------------------------------------------------------- labels on a mail

    def _modify_message(self, call: Call) -> dict[str, Any]:
        mail = find_mail(call.box, call.path["id"])
        self._change(call, [mail])
        return message_ref(mail)

    def _modify_thread(self, call: Call) -> dict[str, Any]:
        mails = find_thread(call.box, call.path["id"])
        self._change(call, mails)
        return {"id": call.path["id"], "messages": [message_ref(mail) for mail in mails]}

    def _change(self, call: Call, mails: Sequence[StoredMail]) -> None:
        add, remove = (frozenset(call.body.get(name) or ()) for name in ("addLabelIds", "removeLabelIds"))
        if not add | remove:
            raise bad("No label add or removes specified")
        if max(len(add), len(remove)) > _MOST:
            raise bad("Too many labels specified")
        for name in sorted(add | remove):
            if name in _FIXED or name not in (*_SYSTEM, *call.box.made_labels):
                raise bad(f"Invalid label: {name}")
        if add & remove:
            raise bad(f"Cannot both add and remove the same label: {min(add & remove)}")
        for mail in mails:
            # A draft carries no label but its own (apis 2.1).
            if mail.place not in (Place.DRAFTS, Place.SCHEDULED):
                self._world.label(call.box, mail, frozenset(mail.labels) - remove | add)

    def _trash(self, call: Call) -> dict[str, Any]:
        return message_ref(self._world.trash(call.box, find_mail(call.box, call.path["id"])))

    def _untrash(self, call: Call) -> dict[str, Any]:
        mail = find_mail(call.box, call.path["id"])
        if mail.place is not Place.TRASH:
            return message_ref(mail)
        back = {"INBOX"} if mail.was is Place.INBOX else set()
        return message_ref(self._world.label(call.box, mail, frozenset(mail.labels) - {"TRASH"} | back))

    # -------------------------------------------------------------------------------- sending as others

    def _list_send_as(self, call: Call) -> dict[str, Any]:
        return {"sendAs": [_send_as(call.box, address) for address in call.box.addresses]}

    def _get_send_as(self, call: Call) -> dict[str, Any]:
        address = call.path["sendAsEmail"].lower()
        if address not in call.box.addresses:
            raise not_found()
        return _send_as(call.box, address)


def _label(box: Mailbox, id_: str) -> dict[str, Any]:
    if id_ in _SYSTEM:
        return {"id": id_, "name": id_, "type": "system"}
    return {
        "id": id_,
        "name": box.made_labels[id_],
        "type": "user",
        "messageListVisibility": "show",
        "labelListVisibility": "labelShow",
    }


def _send_as(box: Mailbox, address: str) -> dict[str, Any]:
    if address == box.email:
        return {
            "sendAsEmail": address,
            "displayName": box.name,
            "replyToAddress": "",
            "signature": "",
            "isPrimary": True,
            "isDefault": True,
        }
    return {
        "sendAsEmail": address,
        "displayName": box.aliases[address],
        "replyToAddress": "",
        "signature": "",
        "isDefault": False,
        "treatAsAlias": True,
        "verificationStatus": "accepted",
    }


def find_mail(box: Mailbox, message_id: str) -> StoredMail:
    """Return a mail by its message id; raise Google's 400 or 404."""
    check_id(message_id)
    mail = box.mails.get(message_id)
    if mail is None:
        raise not_found()
    return mail


def find_thread(box: Mailbox, thread: str) -> list[StoredMail]:
    """Return the mails of a thread, oldest first; raise Google's 400 or 404."""
    check_id(thread)
    mails = box.in_thread(thread)
    if not mails:
        raise not_found()
    return mails


def check_id(text: str, what: str = "id") -> None:
    """Refuse what cannot be an id of Gmail."""
    if not 1 <= len(text) <= 16 or set(text) - set("0123456789abcdef"):
        raise bad(f"Invalid {what} value")
