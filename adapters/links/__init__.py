"""No mailbox at all: the rep writes in their own client, and the task carries its compose address.

Lives here: what such a mailbox can do (next to nothing) and how it says so. Does not live here: the compose
addresses (`connector.content.links`), which the core puts into the task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from connector.accounts import AccountModel
from connector.capabilities import MailboxCapabilities
from connector.errors import AdapterError, Unsupported
from connector.ports import (
    Check,
    Clock,
    DraftRef,
    Found,
    Mail,
    MailIdentity,
    MailPull,
    SentMail,
    Trace,
    Vault,
    Verdict,
    Whereabouts,
)

__all__ = ["adapter"]

CAPABILITIES = MailboxCapabilities(
    name="links",
    title="Compose link",
    drafts=False,
    sends=False,
    incoming=False,
    threads=False,
    html=False,
    one_click_unsubscribe=False,
    attachment_bytes=0,
    # No client publishes a limit; beyond this some cut the address (reference apis 2.4).
    address_length=2000,
)


class LinksMailbox:
    """A rep without a connected mailbox."""

    capabilities: ClassVar[MailboxCapabilities] = CAPABILITIES

    def __init__(self, rep: MailIdentity) -> None:
        self._rep = rep

    def close(self) -> None:
        """Close nothing: there is no connection."""

    @property
    def calls(self) -> int:
        """None are ever made."""
        return 0

    def check(self) -> Sequence[Check]:
        """Say that there is nothing to look at."""
        sentence = f"{self._rep.email} has no connected mailbox: tasks carry an address that opens the mail client"
        return (Check(area="sign-in", verdict=Verdict.OK, sentence=sentence),)

    def create_draft(self, mail: Mail) -> DraftRef:
        """Refuse: there is nowhere to place it."""
        raise self._unsupported(f"no draft to {mail.to.email} can be placed")

    def create_drafts(self, mails: Sequence[Mail]) -> Sequence[DraftRef | AdapterError]:
        """Refuse, as for one."""
        return [self.create_draft(mail) for mail in mails]

    def delete_draft(self, draft: DraftRef) -> None:
        """Refuse: there are no drafts."""
        raise self._unsupported(f"draft {draft.draft_id} cannot be deleted")

    def draft_address(self, draft: DraftRef) -> str:
        """Refuse: there are no drafts; the task carries the compose address."""
        raise self._unsupported(f"draft {draft.draft_id} cannot be opened")

    def send_draft(self, draft: DraftRef, key: str) -> SentMail:
        """Refuse: only the rep can send."""
        raise self._unsupported(f"draft {draft.draft_id} of {key} cannot be sent")

    def find(self, trace: Trace) -> Found:  # noqa: ARG002 - the port's shape
        """Tell that it cannot be known."""
        return Found(where=Whereabouts.UNCLEAR)

    def pull_mail(self, cursor: str | None) -> MailPull:
        """Return nothing, without a call."""
        return MailPull(changes=(), cursor=cursor or "")

    def _unsupported(self, what: str) -> Unsupported:
        return Unsupported(
            f"{what}: the mailbox of {self._rep.email} is not connected; the rep sends from the link in the task",
            code="links",
        )


class LinksAdapter:
    """Opens the mailbox of a rep who has none connected."""

    capabilities: ClassVar[MailboxCapabilities] = CAPABILITIES
    account_name: ClassVar[str | None] = None
    account_model: ClassVar[type[AccountModel] | None] = None

    def open_mailbox(
        self,
        account: AccountModel | None,  # noqa: ARG002 - the port's shape; there is no account
        rep: MailIdentity,
        *,
        clock: Clock,  # noqa: ARG002 - same
        vault: Vault,  # noqa: ARG002 - same
    ) -> LinksMailbox:
        """Open it; nothing is ever called."""
        return LinksMailbox(rep)


adapter = LinksAdapter()
