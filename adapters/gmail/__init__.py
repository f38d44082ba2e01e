"""Gmail through Google's own API.

`adapter` is what the entry point `gmail` gives; see `account` for the keys of `accounts.google`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from adapters.gmail import authorize
from adapters.gmail.account import ACCOUNT, GoogleAccount
from adapters.gmail.mailbox import CAPABILITIES, GmailMailbox
from adapters.gmail.signin import open_grant
from connector.accounts import AccountModel
from connector.capabilities import MailboxCapabilities
from connector.errors import BadInput
from connector.ports import Clock, Conversation, MailIdentity, Vault

__all__ = ["adapter"]


class GmailAdapter:
    """Opens the Gmail mailbox of a rep, and signs reps in."""

    capabilities: ClassVar[MailboxCapabilities] = CAPABILITIES
    account_name: ClassVar[str] = ACCOUNT
    account_model: ClassVar[type[AccountModel] | None] = GoogleAccount

    def open_mailbox(
        self, account: AccountModel | None, rep: MailIdentity, *, clock: Clock, vault: Vault
    ) -> GmailMailbox:
        """Open one rep's mailbox without calling anyone; raise `BadInput` when its credentials are missing."""
        if not isinstance(account, GoogleAccount):
            raise BadInput(f"{rep.email} has a Gmail mailbox: connector.yaml needs accounts.google")
        return GmailMailbox(
            open_grant(account, rep.email, clock=clock, vault=vault),
            rep,
            # A ready token says of nobody whose it is: by the address, Gmail refuses one of another mailbox.
            user=rep.email if account.auth == "access_token" else "me",
            clock=clock,
            endpoint=account.endpoint,
            capabilities=replace(CAPABILITIES, incoming=account.read_mail),
            units_per_minute=account.units_per_minute,
        )

    def sign_in(
        self,
        account: AccountModel,
        talk: Conversation,
        *,
        rep: str | None,
        aliases: Sequence[str] = (),
        clock: Clock,
        vault: Vault,
    ) -> str:
        """Sign a rep in by the browser and keep the refresh token; return a sentence that says who is signed in."""
        return authorize.sign_in(_own(account), talk, rep=rep, aliases=aliases, clock=clock, vault=vault)

    def sign_out(self, account: AccountModel, *, rep: str | None, vault: Vault) -> str:
        """Revoke a rep's sign-in and forget it."""
        return authorize.sign_out(_own(account), rep=rep, vault=vault)


def _own(account: AccountModel) -> GoogleAccount:
    if not isinstance(account, GoogleAccount):
        raise BadInput("connector.yaml needs accounts.google to sign in to Gmail")
    return account


adapter = GmailAdapter()
