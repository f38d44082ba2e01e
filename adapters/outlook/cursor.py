"""Where the next pull of a mailbox begins. Pure.

Lives here: `Cursor`, how it is written, and how it moves on. Does not live here: asking (`watching`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from adapters.outlook.messages import instant, received_at
from connector.errors import Refused

#: Folders that are watched by their deltas, by their well-known names.
WATCHED = ("drafts", "sentitems", "inbox")

#: How far before the newest mail seen the next list begins: so much later than its time a mail may show.
_LATE = timedelta(minutes=5)


def digest(id_: str) -> str:
    """Return a short stand-in for an id: ids of Outlook have 150 characters."""
    return hashlib.blake2b(id_.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where the next pull begins; stored as JSON."""

    #: When the pull began after which every delta was at its end, by our clock.
    at: datetime
    #: Folder -> link to its next changes, or to the next page of these.
    links: Mapping[str, str]
    #: From when on mail of the whole mailbox is listed, by Microsoft's clock.
    since: datetime
    #: Digests of what the last list held from then on.
    seen: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Read from JSON; raise `Refused` when it is not ours."""
        try:
            values = json.loads(text)
            at = datetime.fromisoformat(values["at"])
            links = {folder: str(values["links"][folder]) for folder in WATCHED}
            # The first version listed nothing.
            since = datetime.fromisoformat(values["since"]) if "since" in values else at - _LATE
            return cls(at=at, links=links, since=since, seen=frozenset(values.get("seen", ())))
        except (ValueError, KeyError, TypeError) as error:
            raise Refused("the stored Outlook cursor cannot be read: forget it to start anew", code="cursor") from error

    def written(self) -> str:
        """Return as JSON."""
        return json.dumps(
            {
                "at": instant(self.at),
                "links": dict(self.links),
                "since": instant(self.since),
                "seen": sorted(self.seen),
            },
            sort_keys=True,
        )

    def following(
        self,
        now: datetime,
        *,
        links: Mapping[str, str],
        unfinished: bool,
        lately: Sequence[Mapping[str, Any]],
        more_lately: bool,
        unread: Collection[str] = (),
    ) -> Cursor:
        """Return the next cursor, after a pull that began `now` and was given these links and this list.

        A list that goes on is gone on with at its last row. After its end the next one begins some minutes before the
        newest mail, and never before this one did; a mail dated ahead of all clocks moves it no further than `now`.
        `unread` are ids that were passed over.
        """
        since = self.since
        if lately:
            newest = received_at(lately[-1])
            since = newest if more_lately else max(since, min(newest, now) - _LATE)
        # A draft that is sent may keep its id: it is another matter then.
        kept = (row for row in lately if received_at(row) >= since and not row["isDraft"] and row["id"] not in unread)
        seen = frozenset(digest(str(row["id"])) for row in kept)
        return Cursor(at=self.at if unfinished else now, links=links, since=since, seen=seen)
