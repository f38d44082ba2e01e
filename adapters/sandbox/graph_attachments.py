"""Files attached to messages: listing, reading, adding and taking them away.

Lives here: `Attachments`, and how a file looks in JSON. Does not live here: files too large for one request
(`graph_upload`), how they lie in the mail (`letter`). Source: the Graph mail OpenAPI.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from adapters.sandbox.graph_errors import Answer, bad, gone, too_large
from adapters.sandbox.graph_letters import read_enclosure
from adapters.sandbox.graph_message import instant
from adapters.sandbox.graph_request import Call
from adapters.sandbox.graph_shapes import ATTACHMENT
from adapters.sandbox.letter import Enclosure, enclosures, open_letter, parse
from adapters.sandbox.mailbox import Mailbox, Place, StoredMail
from adapters.sandbox.mailworld import MailWorld

_PROPERTIES = frozenset(
    (
        *("id", "name", "contentType", "size", "isInline", "lastModifiedDateTime"),
        *("contentId", "contentLocation", "contentBytes"),
    )
)


def attachments_of(mail: StoredMail) -> dict[str, Enclosure]:
    """Return the files of a mail by their ids, in order; an id stays when another file comes or goes."""
    found: dict[str, Enclosure] = {}
    same: Counter[bytes] = Counter()
    for one in enclosures(parse(mail.raw)):
        digest = hashlib.sha256(f"{one.name}\n{one.content_id}\n".encode() + one.content).digest()[:18]
        same[digest] += 1
        found[f"AAMkAGIBEgAQA{base64.urlsafe_b64encode(digest).decode()}{same[digest]:03d}="] = one
    return found


def show_attachments(mail: StoredMail) -> list[dict[str, Any]]:
    """Return the files of a mail as Graph shows them."""
    return [_show(mail, name, one) for name, one in attachments_of(mail).items()]


def _show(mail: StoredMail, attachment_id: str, enclosure: Enclosure) -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "@odata.mediaContentType": enclosure.media_type,
        "id": attachment_id,
        "lastModifiedDateTime": instant(mail.modified),
        "name": enclosure.name,
        "contentType": enclosure.media_type,
        "size": len(enclosure.content),
        "isInline": enclosure.is_inline,
        "contentId": enclosure.content_id or None,
        "contentLocation": None,
        "contentBytes": base64.b64encode(enclosure.content).decode(),
    }


def _selected(call: Call, shown: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    select = {name.strip() for name in call.query.get("$select", "").split(",") if name.strip()}
    for name in sorted(select - _PROPERTIES):
        # The type before the derived one is asked: contentBytes is no property of every attachment.
        raise bad(f"Could not find a property named '{name}' on type 'microsoft.graph.attachment'.")
    if not select:
        return list(shown)
    return [{name: one[name] for name in one if name in select | {"id"} or name.startswith("@")} for one in shown]


class Attachments:
    """Answers about the files of one message."""

    def __init__(self, world: MailWorld) -> None:
        """Answer for the mailboxes of this world."""
        self._world = world

    def answers(self) -> Mapping[str, Callable[[Call], Answer]]:
        """Return them by the operation's name."""
        return {
            "attachments": self.list,
            "attach": self.attach,
            "attachment": self.get,
            "attachmentValue": self.value,
            "detach": self.detach,
        }

    def list(self, call: Call) -> Answer:
        """List the files, each with its content."""
        return Answer(body={"value": _selected(call, show_attachments(call.mail()))})

    def get(self, call: Call) -> Answer:
        """Show one file."""
        mail = call.mail()
        name, enclosure = _wanted(call, mail)
        return Answer(body=_selected(call, [_show(mail, name, enclosure)])[0])

    def value(self, call: Call) -> Answer:
        """Return the bytes of a file."""
        _, enclosure = _wanted(call, call.mail())
        return Answer(body=enclosure.content, headers={"Content-Type": enclosure.media_type})

    def attach(self, call: Call) -> Answer:
        """Attach a file to a draft."""
        mail = draft_of(call)
        enclosure = read_enclosure(call.json(ATTACHMENT))
        name = self.add(call.box, mail, enclosure)
        return Answer(status=201, body=_show(mail, name, enclosure))

    def detach(self, call: Call) -> Answer:
        """Take a file away from a draft."""
        mail = draft_of(call)
        gone_id, _ = _wanted(call, mail)
        kept = tuple(one for name, one in attachments_of(mail).items() if name != gone_id)
        self._rewrite(call.box, mail, kept)
        return Answer(status=204)

    def add(self, box: Mailbox, mail: StoredMail, enclosure: Enclosure) -> str:
        """Attach a file and return its id."""
        before = attachments_of(mail)
        self._rewrite(box, mail, (*before.values(), enclosure))
        return next(name for name in attachments_of(mail) if name not in before)

    def _rewrite(self, box: Mailbox, mail: StoredMail, files: Sequence[Enclosure]) -> None:
        letter = replace(open_letter(mail.raw), enclosures=tuple(files))
        raw, limit = letter.raw(self._world.clock.now()), self._world.settings.outlook_message_bytes
        if limit is not None and len(raw) > limit:
            raise too_large()
        self._world.rewrite(box, mail, raw)


def draft_of(call: Call) -> StoredMail:
    """Return the draft in the path; raises `GraphError` when it is none."""
    mail = call.mail()
    if mail.place is not Place.DRAFTS:
        raise bad("The message is no draft.", "ErrorInvalidPropertySet")
    return mail


def _wanted(call: Call, mail: StoredMail) -> tuple[str, Enclosure]:
    wanted = unquote(call.keys["attachment"])
    enclosure = attachments_of(mail).get(wanted)
    if enclosure is None:
        raise gone()
    return wanted, enclosure
