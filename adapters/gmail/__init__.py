"""Gmail through Google's own API.

`adapter` is what the entry point `gmail` gives; see `account` for the keys of `accounts.google`.
"""

from __future__ import annotations

from typing import ClassVar

from adapters.gmail.account import GoogleAccount, open_grant
from adapters.gmail.mailbox import CAPABILITIES, GmailMailbox
from connector.accounts import AccountModel
from connector.capabilities import MailboxCapabilities
from connector.errors import BadInput
from connector.ports import Clock, MailIdentity, Vault

__all__ = ["adapter"]


class GmailAdapter:
    """Opens the Gmail mailbox of a rep."""

    capabilities: ClassVar[MailboxCapabilities] = CAPABILITIES
    account_name: ClassVar[str | None] = "google"
    account_model: ClassVar[type[AccountModel] | None] = GoogleAccount

    def open_mailbox(
        self,
        account: AccountModel | None,
        rep: MailIdentity,
        *,
        sole: bool,
        clock: Clock,
        vault: Vault,  # noqa: ARG002 - for each rep's own sign-in, which comes next
    ) -> GmailMailbox:
        """Open one rep's mailbox without calling anyone; raise `BadInput` when its credentials are missing."""
        if not isinstance(account, GoogleAccount):
            raise BadInput(f"{rep.email} has a Gmail mailbox: connector.yaml needs accounts.google")
        own = account.auth == "service_account" or rep.email.lower() in account.tokens or sole
        return GmailMailbox(
            open_grant(account, rep.email),
            rep,
            user="me" if own else rep.email,
            clock=clock,
            endpoint=account.endpoint,
        )


adapter = GmailAdapter()
