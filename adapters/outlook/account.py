"""The `microsoft` account: its keys, and where a bearer token comes from.

Lives here: `MicrosoftAccount` and what each `auth` mode needs, `GivenTokens`, `Application` (msal, client
credentials). Does not live here: how a token is used (`session`).

Why `_PlainRequests`: msal refuses an http authority and http endpoints in the discovery document, and its own
session repeats calls. Each token call opens and closes a session of ours: they are one an hour.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import urlsplit

import requests
from msal.application import ConfidentialClientApplication
from msal.exceptions import MsalServiceError
from pydantic import AfterValidator, Field, model_validator

from adapters.http import ServiceSession
from connector.accounts import AccountModel, Secret, ServiceAddress
from connector.errors import Reconnect, Retry

#: What client credentials may ask for: whatever the administrator granted.
_SCOPES = ["https://graph.microsoft.com/.default"]

#: Tenants that name no organisation; client credentials need one.
_SHARED_TENANTS = frozenset({"common", "organizations", "consumers"})

#: OAuth errors that pass by themselves; every other one needs a person.
_PASSING = frozenset({"temporarily_unavailable", "server_error", "service_unavailable", "request_timeout"})


def _lower_keys(tokens: dict[str, Secret]) -> dict[str, Secret]:
    return {address.lower(): token for address, token in tokens.items()}


class MicrosoftAccount(AccountModel):
    """Section `accounts.microsoft` of `connector.yaml`."""

    auth: Literal["client_credentials", "access_token", "device_code", "auth_code"]
    #: Tenant id or domain.
    tenant: str = ""
    client_id: str = ""
    client_secret: Secret | None = None
    #: A ready token: of the only Outlook rep, or of an application.
    token: Secret | None = None
    #: Ready tokens of several reps, by address.
    tokens: Annotated[dict[str, Secret], AfterValidator(_lower_keys)] = Field(default_factory=dict)
    endpoint: ServiceAddress = "https://graph.microsoft.com/v1.0"
    authority: ServiceAddress = "https://login.microsoftonline.com"

    @model_validator(mode="after")
    def _complete(self) -> MicrosoftAccount:
        """Check that the keys its mode needs are there."""
        if self.auth in ("device_code", "auth_code"):
            raise ValueError(
                f"auth: {self.auth} comes with a later release: use client_credentials or access_token until then"
            )
        if self.auth == "access_token" and self.token is None and not self.tokens:
            raise ValueError('auth: access_token needs token: "${env:NAME}", or tokens: with one for each rep')
        if self.auth == "client_credentials":
            needed = {"tenant": self.tenant, "client_id": self.client_id, "client_secret": self.client_secret}
            missing = [name for name, value in needed.items() if not value]
            if missing:
                raise ValueError(f"auth: client_credentials needs {', '.join(missing)} as well")
            if self.tenant.lower() in _SHARED_TENANTS:
                raise ValueError(
                    f"tenant: {self.tenant} names no organisation: client_credentials needs your own tenant's id"
                )
        return self


class SignIn(Protocol):
    """Where the bearer token of a call comes from. `account` names the mailbox in errors: `outlook:<rep>`."""

    def token(self, account: str) -> str:
        """Return a token that is thought to be good; raise `Reconnect` or `Retry`."""
        ...

    def renew(self) -> bool:
        """Forget a token the service refused; tell whether another can be had without a person."""
        ...


class GivenToken:
    """A token from the environment; nothing can renew it."""

    def __init__(self, secret: Secret | None) -> None:
        """Take the token of this rep, or None when the file names none for them."""
        self._secret = secret

    def token(self, account: str) -> str:
        """Return it."""
        if self._secret is None:
            raise Reconnect(
                f"{account} has no token: name one for it under accounts.microsoft.tokens",
                account=account,
                code="no_token",
            )
        return self._secret.reveal()

    def renew(self) -> bool:
        """Return false: only a person can bring a new one."""
        return False


class Application:
    """Client credentials of one registered application, shared by every mailbox and thread."""

    def __init__(self, account: MicrosoftAccount) -> None:
        """Keep the account; msal is built on first use, because building it calls the network."""
        self._account = account
        self._lock = threading.Lock()
        self._msal: Any = None

    def token(self, account: str) -> str:
        """Return a token from msal's cache, or a new one."""
        with self._lock:
            answer = _asked(self._acquire, account)
        if "access_token" in answer:
            return str(answer["access_token"])
        code = str(answer.get("error", ""))
        said = str(answer.get("error_description", "")).splitlines()[:1]
        sentence = f"Microsoft did not sign {account} in: {said[0] if said else code}"
        if code in _PASSING:
            raise Retry(sentence, code=code)
        raise Reconnect(
            f"{sentence}. Check tenant, client_id and client_secret of accounts.microsoft", account=account, code=code
        )

    def renew(self) -> bool:
        """Drop the cached token, so that the next call asks for another."""
        with self._lock:
            if self._msal is not None:
                self._msal.remove_tokens_for_client()
        return True

    def _acquire(self) -> dict[str, Any]:
        if self._msal is None:
            self._msal = self._built()
        answer: dict[str, Any] = self._msal.acquire_token_for_client(scopes=_SCOPES)
        return answer

    def _built(self) -> Any:
        account = self._account
        parts = urlsplit(account.authority)
        secret = account.client_secret.reveal() if account.client_secret else None
        return ConfidentialClientApplication(  # type: ignore[no-untyped-call]
            account.client_id,
            client_credential=secret,
            authority=f"https://{parts.netloc}{parts.path}/{account.tenant}",
            # The authority is what the file says. Microsoft's directory of clouds knows no other host, and asking it
            # would put a call into every renewal.
            instance_discovery=False,
            http_client=_PlainRequests(account.authority),
            http_cache={},
        )


def _asked(acquire: Callable[[], dict[str, Any]], account: str) -> dict[str, Any]:
    """Ask for a token, and translate what msal raises instead of answering."""
    try:
        return acquire()
    except (MsalServiceError, requests.RequestException, RuntimeError) as error:
        raise Retry(f"Microsoft's sign-in service did not answer for {account}", code="token_service") from error
    except ValueError as error:
        raise Reconnect(
            f"Microsoft does not know the tenant that {account} signs in to: check accounts.microsoft.tenant",
            account=account,
            code="unknown_tenant",
        ) from error


class _PlainRequests:
    """The HTTP client msal is given: our timeouts, no repeats, and plain http for a loopback authority."""

    def __init__(self, authority: str) -> None:
        self._plain_base = authority if urlsplit(authority).scheme == "http" else None

    def post(self, url: str, **kwargs: Any) -> requests.Response:
        with ServiceSession(plain_base=self._plain_base) as session:
            return session.post(url, **kwargs)

    def get(self, url: str, **kwargs: Any) -> requests.Response:
        with ServiceSession(plain_base=self._plain_base) as session:
            return session.get(url, **kwargs)

    def close(self) -> None:
        """Do nothing: each call closed its own session."""
