"""Which folder is which: Graph names a message's folder by an id of the mailbox's own.

Lives here: `Folders`. Does not live here: what a folder means for a message (`finding`, `watching`).
"""

from __future__ import annotations

from enum import StrEnum

from adapters.outlook.paths import body_of
from adapters.outlook.session import GraphSession, address


class Folder(StrEnum):
    """Folders that tell something of what lies in them, by their well-known names."""

    DELETED = "deleteditems"
    OUTBOX = "outbox"
    JUNK = "junkemail"
    SENT = "sentitems"


class Folders:
    """The telling folders of one mailbox, asked for once."""

    def __init__(self, session: GraphSession) -> None:
        """Take the session; nothing is called before it must be known."""
        self._session = session
        self._known: dict[str, Folder] = {}

    def which(self, folder_id: str) -> Folder | None:
        """Return the folder with this id; None for Drafts, the inbox, and those of the rep's own."""
        if not self._known:
            asked = {folder.value: address(f"/mailFolders/{folder.value}", select="id") for folder in Folder}
            answers = self._session.read_batch(asked)
            self._known = {answer["id"]: Folder(name) for name, answer in answers.items() if "id" in body_of(answer)}
        return self._known.get(folder_id)
