"""Who holds the token of an org's session, and how it is renewed.

Lives here: `Grant` by each way of `accounts.salesforce.auth`, and what the vault keeps of a sign-in by a person.
Does not live here: the requests (`oauth`, `soap_login`), the browser (`authorize`), when a session has ended
(`session`).

A refresh token may be good for one use only. So the access token is shared: every process uses the one in the vault
until Salesforce rejects it, and renewing happens under the vault's lock, where whoever comes second finds the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Protocol

from adapters.salesforce.account import SalesforceAccount
from adapters.salesforce.oauth import (
    Granted,
    by_client_credentials,
    by_jwt,
    by_password,
    by_refresh_token,
    failed,
    sign_in_command,
    sign_in_name,
)
from adapters.salesforce.soap_login import by_soap_login
from connector.errors import BadInput, Reconnect
from connector.ports import Clock, Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A token and where it is good."""

    token: str = field(repr=False)
    instance_url: str
    #: Just given: when Salesforce rejects this one, another will be no better.
    fresh: bool


class Grant(Protocol):
    """Gives sessions of one user."""

    def session(self, *, rejected: str | None) -> Session:
        """Return a session whose token is not the rejected one; raise `Reconnect` when only a person can help."""
        ...


class _GivenToken:
    """A ready token, which nobody here can renew."""

    def __init__(self, account: SalesforceAccount) -> None:
        self._account = account

    def session(self, *, rejected: str | None) -> Session:
        account = self._account
        if rejected is not None or account.token is None or account.instance_url is None:
            raise failed("Salesforce does not accept the session: set a token that is valid", code="INVALID_SESSION_ID")
        return Session(token=account.token.reveal().strip(), instance_url=account.instance_url, fresh=False)


class _AskedToken:
    """A token that is there for the asking: no person, nothing to keep."""

    def __init__(self, ask: Callable[[], Granted]) -> None:
        self._ask = ask

    def session(self, *, rejected: str | None) -> Session:  # noqa: ARG002 - each is new
        granted = self._ask()
        return Session(token=granted.access_token, instance_url=granted.instance_url, fresh=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the vault keeps of a sign-in by a person."""

    refresh_token: str = field(repr=False)
    #: Empty when it is known to be of no use.
    access_token: str = field(default="", repr=False)
    instance_url: str = ""
    #: Id of the user.
    user: str = ""
    #: When the access token was given; ISO 8601, UTC.
    issued_at: str = ""
    #: Print of the configured refresh token that was current then: another one configured since is newer than this.
    seed: str = ""

    @classmethod
    def read(cls, text: str) -> Kept:
        """Read what `text` wrote."""
        return cls(**json.loads(text))

    @property
    def text(self) -> str:
        """As the vault keeps it."""
        return json.dumps(asdict(self))

    def after(self, granted: Granted, now: datetime) -> Kept:
        """Return what is to be kept once a token was given; one without a new refresh token leaves the old one good."""
        return replace(
            self,
            refresh_token=granted.refresh_token or self.refresh_token,
            access_token=granted.access_token,
            instance_url=granted.instance_url,
            user=granted.user_id or self.user,
            issued_at=now.isoformat(),
        )


class _KeptToken:
    """The tokens of a person's sign-in, shared by all processes through the vault."""

    def __init__(self, account: SalesforceAccount, *, clock: Clock, vault: Vault, rep: str) -> None:
        self._account = account
        self._clock = clock
        self._vault = vault
        self._rep = rep
        self._name = sign_in_name(rep)

    def session(self, *, rejected: str | None) -> Session:
        seen = self._vault.read(self._name)
        kept = self._current(seen)
        usable = kept.access_token if kept.access_token != rejected else ""
        if usable:
            return Session(token=usable, instance_url=kept.instance_url, fresh=False)
        renewed = Kept.read(self._vault.renew(self._name, seen, self._renewed))
        return Session(token=renewed.access_token, instance_url=renewed.instance_url, fresh=True)

    def _current(self, seen: str | None) -> Kept:
        """Return what counts now: what is kept, unless the configuration has been given another token since."""
        kept = Kept.read(seen) if seen is not None else None
        seed, print_ = configured_seed(self._account) if not self._rep else ("", "")
        if seed and (kept is None or kept.seed != print_):
            return Kept(refresh_token=seed, seed=print_)
        if kept is None:
            raise _nobody(self._rep)
        return kept

    def _renewed(self, seen: str | None) -> str:
        kept = self._current(seen)
        granted = by_refresh_token(self._account, kept.refresh_token, rep=self._rep)
        return kept.after(granted, self._clock.now()).text


def _nobody(rep: str) -> Reconnect:
    whose = f"rep {rep} is" if rep else "nobody is"
    return Reconnect(
        f"{whose} {'not ' if rep else ''}signed in to Salesforce: run '{sign_in_command(rep)}'",
        account=sign_in_name(rep),
        code="not_signed_in",
    )


def configured_seed(account: SalesforceAccount) -> tuple[str, str]:
    """Return the refresh token that the configuration names and its print; two empty texts when there is none."""
    try:
        seed = account.refresh_token.reveal().strip() if account.refresh_token else ""
    except BadInput:
        seed = ""  # the variable is not set any more: what came of it lies in the vault
    return seed, hashlib.sha256(seed.encode()).hexdigest() if seed else ""


def open_grant(account: SalesforceAccount, *, clock: Clock, vault: Vault, rep: str = "") -> Grant:
    """Return the grant of the org's own sign-in, or of a rep's; nothing is called and no secret is read."""
    match account.auth:
        case "access_token":
            return _GivenToken(account)
        case "refresh_token":
            return _KeptToken(account, clock=clock, vault=vault, rep=rep)
        case "jwt":
            return _AskedToken(lambda: by_jwt(account, clock))
        case "client_credentials":
            return _AskedToken(lambda: by_client_credentials(account))
        case "password":
            return _AskedToken(lambda: (by_password if account.client_id else by_soap_login)(account))
