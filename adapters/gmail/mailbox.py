"""One rep's Gmail mailbox, as the core asks of it.

Lives here: `GmailMailbox`, which joins what the parts do, and what Gmail can do. Does not live here: the parts:
`drafting` (placing, opening, sending), `finding` (where is it), `watching` (what happened), and the calls (`session`).
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.clocks import clock_checks
from adapters.gmail.account import Grant
from adapters.gmail.checkup import look
from adapters.gmail.drafting import ATTACHMENT_BYTES, Drafting
from adapters.gmail.finding import Finding
from adapters.gmail.quota import UNITS_PER_MINUTE
from adapters.gmail.session import GmailSession
from adapters.gmail.watching import Watching
from connector.capabilities import MailboxCapabilities
from connector.errors import AdapterError
from connector.ports import Check, Clock, DraftRef, Found, Mail, MailIdentity, MailPull, SentMail, Trace

CAPABILITIES = MailboxCapabilities(
    name="gmail",
    title="Gmail",
    drafts=True,
    sends=True,
    incoming=True,
    threads=True,
    html=True,
    one_click_unsubscribe=True,
    attachment_bytes=ATTACHMENT_BYTES,
)


class GmailMailbox:
    """One rep's mailbox; one thread at a time."""

    def __init__(
        self,
        grant: Grant,
        rep: MailIdentity,
        *,
        user: str,
        clock: Clock,
        endpoint: str | None,
        capabilities: MailboxCapabilities = CAPABILITIES,
        units_per_minute: int = UNITS_PER_MINUTE,
    ) -> None:
        """Open without calling anyone.

        `user` is Gmail's userId: "me", or the rep's address. `capabilities` says less when it was given fewer scopes:
        without `incoming` drafts are placed, found and sent, and nothing else is seen.
        """
        #: What this mailbox can do.
        self.capabilities = capabilities
        self._rep = rep
        self._grant = grant
        self._session = GmailSession(
            grant, rep.email, user=user, clock=clock, endpoint=endpoint, units_per_minute=units_per_minute
        )
        reads = capabilities.incoming
        self._drafting = Drafting(self._session, reads=reads)
        self._finding = Finding(self._session, reads=reads)
        self._watching = Watching(self._session, reads=reads)

    @property
    def calls(self) -> int:
        """HTTP calls made to Gmail; those to the token service are not counted."""
        return self._session.calls

    def check(self) -> Sequence[Check]:
        """Look at sign-in, scopes and reach of this mailbox."""
        profile = self._session.api.users.getProfile(userId=self._session.user)
        found = look(self._grant, self._rep, self.capabilities, lambda: self._session.read(profile))
        costs = "mail goes out at the wrong time, and a send that its rep undid may be believed"
        return (*found, *clock_checks(self._session.api.base, self._session.clock, "Google", costs=costs))

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def create_draft(self, mail: Mail) -> DraftRef:
        """Place a draft; a lost answer raises `OutcomeUnknown(mail.key)`."""
        return self._drafting.create(mail)

    def create_drafts(self, mails: Sequence[Mail]) -> Sequence[DraftRef | AdapterError]:
        """Place one draft: parts of a batch run at once, and Gmail refuses a user's third or fourth."""
        answers: list[DraftRef | AdapterError] = []
        for mail in mails:
            try:
                answers.append(self.create_draft(mail))
            except AdapterError as error:
                answers.append(error)
        return answers

    def delete_draft(self, draft: DraftRef) -> None:
        """Delete a draft; one that is gone already is no error."""
        self._drafting.delete(draft)

    def draft_address(self, draft: DraftRef) -> str:
        """Return the address that opens the draft now; raise `Refused(code="draft_gone")` when there is none."""
        return self._drafting.address(draft)

    def send_draft(self, draft: DraftRef, key: str) -> SentMail:
        """Send an existing draft once, and read back the Message-ID it got."""
        return self._drafting.send(draft, key)

    def find(self, trace: Trace) -> Found:
        """Look a mail up by draft id, message id, stamp, Message-ID, then recipient, subject and time."""
        return self._finding.find(trace, scheduled=self._watching.scheduled)

    def pull_mail(self, cursor: str | None) -> MailPull:
        """Return changes since the cursor; one call when nothing changed. None means: start from now."""
        return self._watching.pull(cursor)
