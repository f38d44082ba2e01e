"""Outlook mailboxes through Microsoft Graph.

Lives here: `adapter`, how a mailbox is opened. See `account` (keys, tokens), `session` (HTTP, errors), `messages`
(JSON), `mailbox` (what is asked of Graph).
"""

from __future__ import annotations

import threading
from typing import ClassVar
from urllib.parse import quote

from adapters.outlook.account import Application, GivenToken, MicrosoftAccount, SignIn
from adapters.outlook.mailbox import CAPABILITIES, OutlookMailbox
from adapters.outlook.session import GraphSession
from connector.accounts import AccountModel
from connector.capabilities import MailboxCapabilities
from connector.ports import Clock, MailIdentity, Vault

__all__ = ["MicrosoftAccount", "OutlookAdapter", "adapter"]


class OutlookAdapter:
    """Opens Outlook mailboxes; those of one application share one msal application and its tokens."""

    capabilities: ClassVar[MailboxCapabilities] = CAPABILITIES
    account_name: ClassVar[str | None] = "microsoft"
    account_model: ClassVar[type[AccountModel] | None] = MicrosoftAccount

    def __init__(self) -> None:
        """Start with no application."""
        self._lock = threading.Lock()
        self._applications: dict[tuple[str, ...], Application] = {}

    def open_mailbox(
        self,
        account: AccountModel | None,
        rep: MailIdentity,
        *,
        sole: bool,
        clock: Clock,
        vault: Vault,  # noqa: ARG002 - for each rep's own sign-in (issue 5)
    ) -> OutlookMailbox:
        """Open one rep's mailbox; nothing is called until it is used.

        It is addressed as `/me` when the token is the rep's own, else as `/users/<rep>`.
        """
        if not isinstance(account, MicrosoftAccount):
            raise TypeError("an Outlook mailbox is opened with accounts.microsoft")
        own = account.tokens.get(rep.email.lower())
        given = account.auth == "access_token"
        is_me = given and (own is not None or sole)
        session = GraphSession(
            endpoint=account.endpoint,
            mailbox="/me" if is_me else f"/users/{quote(rep.email, safe='@')}",
            account=f"outlook:{rep.email}",
            sign_in=GivenToken(own or account.token) if given else self._application(account),
        )
        return OutlookMailbox(rep=rep, session=session, clock=clock)

    def _application(self, account: MicrosoftAccount) -> SignIn:
        identity = (account.authority, account.tenant, account.client_id, str(account.client_secret))
        with self._lock:
            return self._applications.setdefault(identity, Application(account))


adapter = OutlookAdapter()
