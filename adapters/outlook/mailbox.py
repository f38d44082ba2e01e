"""One rep's Outlook mailbox, as the core asks of it.

Lives here: `OutlookMailbox`, which joins what the parts do, and what Outlook can do. Does not live here: the parts:
`drafting` (placing, opening, sending), `finding` (where is it), `watching` (what happened), and the calls (`session`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from adapters.outlook.drafting import Drafting
from adapters.outlook.finding import Finding
from adapters.outlook.folders import Folders
from adapters.outlook.parcels import AT_ONCE, ATTACHMENT_BYTES
from adapters.outlook.session import GraphSession
from adapters.outlook.watching import Watching
from connector.capabilities import MailboxCapabilities
from connector.errors import AdapterError
from connector.ports import Check, Clock, DraftRef, Found, Mail, MailIdentity, MailPull, SentMail, Trace

CAPABILITIES = MailboxCapabilities(
    name="outlook",
    title="Outlook",
    drafts=True,
    sends=True,
    incoming=True,
    threads=True,
    html=True,
    # List-Unsubscribe-Post has no extended property, and Graph drops it from MIME (RFC 8058 needs it).
    one_click_unsubscribe=False,
    attachment_bytes=ATTACHMENT_BYTES,
    drafts_at_once=AT_ONCE,
)


class OutlookMailbox:
    """One rep's mailbox in Microsoft 365; one thread at a time."""

    capabilities: ClassVar[MailboxCapabilities] = CAPABILITIES

    def __init__(
        self,
        *,
        rep: MailIdentity,
        session: GraphSession,
        clock: Clock,
        checkup: Callable[[Callable[[], object]], Sequence[Check]],
    ) -> None:
        """Open; nothing is called. `checkup` looks at everything, given something that reads the mailbox."""
        self._checkup = checkup
        self._session = session
        folders = Folders(session)
        self._finding = Finding(session, folders, clock=clock)
        self._drafting = Drafting(session, self._finding, rep=rep, clock=clock)
        own = frozenset({rep.email.lower(), *rep.aliases})
        self._watching = Watching(session, self._finding, folders, own=own, clock=clock)

    @property
    def calls(self) -> int:
        """HTTP calls made to Graph (a batch is one; token calls not counted)."""
        return self._session.calls

    def check(self) -> Sequence[Check]:
        """Look at sign-in, permissions and reach."""
        return self._checkup(lambda: self.pull_mail(None))  # from now on: one look, nothing is taken

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def create_draft(self, mail: Mail) -> DraftRef:
        """Place a draft; a lost answer raises `OutcomeUnknown(mail.key)`."""
        return self._drafting.create(mail)

    def create_drafts(self, mails: Sequence[Mail]) -> Sequence[DraftRef | AdapterError]:
        """Place drafts: plain ones in one call, follow-ups and those with large files one by one."""
        return self._drafting.create_together(mails)

    def delete_draft(self, draft: DraftRef) -> None:
        """Delete a draft; one that is gone already is no error."""
        self._drafting.delete(draft)

    def draft_address(self, draft: DraftRef) -> str:
        """Return the address that opens the draft now; raise `Refused(code="draft_gone")` when there is none."""
        return self._drafting.address(draft)

    def send_draft(self, draft: DraftRef, key: str) -> SentMail:
        """Send an existing draft once, and say where it lies now."""
        return self._drafting.send(draft, key)

    def find(self, trace: Trace) -> Found:
        """Look a mail up by stored id and stamp, then by weaker keys."""
        return self._finding.find(trace)

    def pull_mail(self, cursor: str | None) -> MailPull:
        """Return changes since the cursor; one call when nothing changed. None means: start from now."""
        return self._watching.pull(cursor)
