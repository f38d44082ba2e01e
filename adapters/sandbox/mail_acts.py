"""What everybody who acts in mailboxes needs: the world to themselves, and finding the mail that is meant.

Lives here: `Acts`. Does not live here: what reps do (`rep_acts`) and what arrives (`arrivals`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any

from adapters.sandbox.letter import is_deliverable
from adapters.sandbox.mailbox import Mailbox, Place, StoredMail
from adapters.sandbox.mailworld import MailWorld


class Acts:
    """People acting in the mail of a world.

    A mail is named by its intent `key`, or by `rep` and `person`. Nothing found raises `LookupError`.
    """

    def __init__(self, world: MailWorld) -> None:
        """Act in this world."""
        self.world = world

    def alone(self, *acts: Callable[..., dict[str, Any]]) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return these acts by name, each done while nothing else happens."""
        return {act.__name__: self._alone(act) for act in acts}

    def _alone(self, act: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        @wraps(act)
        def alone(**arguments: Any) -> dict[str, Any]:
            with self.world.lock:
                self.world.settle()
                return act(**arguments)

        return alone

    def find(self, place: Place, key: str, rep: str, person: str) -> tuple[Mailbox, StoredMail]:
        """Return the newest mail in a place, and its mailbox; a draft that Gmail's pages hide is not found."""
        if not (key or person):
            raise ValueError("name the mail: key, or person (and rep)")
        boxes = [self.world.box_of(rep)] if rep else list(self.world.boxes.values())
        found = [(box, mail) for box in boxes for mail in _named(box.at(place), key, person) if not box.is_ghost(mail)]
        if not found:
            raise LookupError(
                f"no mail {f'with key {key}' if key else f'to {person}'} lies in the {place} of {rep or 'any mailbox'}"
            )
        return max(found, key=lambda one: (one[1].at, one[1].serial))


def _named(mails: Sequence[StoredMail], key: str, person: str) -> Iterator[StoredMail]:
    for mail in mails:
        if (not key or mail.stamp == key) and (not person or person.lower() in mail.head.recipients):
            yield mail


def reply_subject(subject: str) -> str:
    """Return the subject of an answer."""
    return subject if subject.lower().startswith("re:") else f"Re: {subject}"


def outside_id(address: str) -> str:
    """Return a Message-ID as the mail program of an address makes them."""
    domain = address.partition("@")[2]
    return f"<{uuid.uuid4().hex}@{domain if is_deliverable(address) else 'outside.example'}>"
