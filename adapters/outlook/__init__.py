"""Outlook mailboxes through Microsoft Graph.

`adapter` is what the entry point `outlook` gives; see `account` for the keys of `accounts.microsoft`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import ClassVar
from urllib.parse import quote

from adapters.outlook import authorize
from adapters.outlook.account import ACCOUNT, MicrosoftAccount, SignIn
from adapters.outlook.checkup import look
from adapters.outlook.mailbox import CAPABILITIES, OutlookMailbox
from adapters.outlook.session import GraphSession
from adapters.outlook.signin import Application, GivenToken, KeptSignIn
from connector.accounts import AccountModel
from connector.capabilities import MailboxCapabilities
from connector.errors import BadInput
from connector.ports import Clock, Conversation, MailIdentity, Vault

__all__ = ["MicrosoftAccount", "OutlookAdapter", "adapter"]


class OutlookAdapter:
    """Opens Outlook mailboxes, and signs reps in; mailboxes of one application share its tokens."""

    capabilities: ClassVar[MailboxCapabilities] = CAPABILITIES
    account_name: ClassVar[str] = ACCOUNT
    account_model: ClassVar[type[AccountModel] | None] = MicrosoftAccount

    def __init__(self) -> None:
        """Start with no application."""
        self._lock = threading.Lock()
        self._applications: dict[str, Application] = {}

    def open_mailbox(
        self, account: AccountModel | None, rep: MailIdentity, *, clock: Clock, vault: Vault
    ) -> OutlookMailbox:
        """Open one rep's mailbox; nothing is called until it is used.

        It is addressed as `/me` where the rep signed in, which was looked at then, else by its address: Graph itself
        refuses a ready token of somebody else (decision 0025).
        """
        known = _own(account)
        sign_in: SignIn
        if known.auth in known.by_person:
            sign_in = KeptSignIn(known, rep.email, vault)
        elif known.auth == "access_token":
            sign_in = GivenToken(known.tokens.get(rep.email.lower()) or known.token, rep)
        else:
            sign_in = self._application(known)
        session = GraphSession(
            endpoint=known.graph_address,
            mailbox="/me" if known.auth in known.by_person else f"/users/{quote(rep.email, safe='@')}",
            rep=rep.email,
            sign_in=sign_in,
            clock=clock,
        )
        return OutlookMailbox(rep=rep, session=session, clock=clock, checkup=partial(look, known, sign_in, rep, clock))

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
        """Sign a rep in and keep what that gave; return a sentence that says who is signed in."""
        return authorize.sign_in(_own(account), talk, rep=rep, aliases=aliases, clock=clock, vault=vault)

    def sign_out(self, account: AccountModel, *, rep: str | None, vault: Vault) -> str:
        """Forget a rep's sign-in."""
        return authorize.sign_out(_own(account), rep=rep, vault=vault)

    def _application(self, account: MicrosoftAccount) -> Application:
        # Its repr names the variables of secrets, and holds none.
        with self._lock:
            return self._applications.setdefault(repr(account), Application(account))


def _own(account: AccountModel | None) -> MicrosoftAccount:
    if not isinstance(account, MicrosoftAccount):
        raise BadInput("an Outlook mailbox needs accounts.microsoft in connector.yaml")
    return account


adapter = OutlookAdapter()
