"""msal, as it is used here: applications made for one purpose, and what they raise in our words.

Lives here: how msal reaches the sign-in, and what became of a call. Does not live here: who keeps a token (`signin`),
the person (`authorize`), refusals in words (`aadsts`).

Why `_PlainRequests`: msal refuses an http authority and http endpoints in the discovery document, and its own session
repeats calls. Making an application asks for the discovery document, so each is made when it is first needed. Each has
an `http_cache` of its own: msal answers a refused request from it for a minute, also in a later sign-in.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from msal.application import ConfidentialClientApplication, PublicClientApplication
from msal.exceptions import MsalServiceError
from msal.token_cache import SerializableTokenCache

from adapters.http import ServiceSession
from adapters.outlook.account import MicrosoftAccount, read_certificate
from connector.errors import BadInput, Reconnect, Retry

T = TypeVar("T")


def confidential_application(account: MicrosoftAccount) -> Any:
    """Make the application that acts by itself, with its secret or its certificate; raise `BadInput` for a bad file."""
    credential: Any = None
    if account.certificate_file is not None:
        certificate = read_certificate(account.certificate_file)
        credential = {"private_key": certificate.private_key, "public_certificate": certificate.public}
    elif account.client_secret is not None:
        credential = account.client_secret.reveal()
    return ConfidentialClientApplication(  # type: ignore[no-untyped-call]
        account.client_id, client_credential=credential, **_common(account)
    )


def public_application(account: MicrosoftAccount, cache: SerializableTokenCache) -> Any:
    """Make the application by which a person signs in; what it gets goes into the cache."""
    return PublicClientApplication(  # type: ignore[no-untyped-call]
        account.client_id, token_cache=cache, **_common(account)
    )


def _common(account: MicrosoftAccount) -> dict[str, Any]:
    parts = urlsplit(account.login_address)
    return {
        "authority": f"https://{parts.netloc}{parts.path}/{account.tenant}",
        # The authority is what the file says. Microsoft's directory of clouds knows no other host, and asking it would
        # put a call into every renewal.
        "instance_discovery": False,
        "http_client": _PlainRequests(account.login_address),
        "http_cache": {},
    }


def asked(ask: Callable[[], T], account: str) -> T:
    """Ask msal, and translate what it raises instead of answering; `account` is `outlook:<rep>`."""
    try:
        return ask()
    except BadInput as error:
        raise Reconnect(str(error), account=account, code="credentials") from error
    except (MsalServiceError, requests.RequestException, RuntimeError, json.JSONDecodeError) as error:
        raise Retry(
            f"Microsoft's sign-in service did not answer for {account}: try it again later; sync does by itself",
            code="token_service",
        ) from error
    except ValueError as error:
        raise Reconnect(
            f"Microsoft does not know the tenant that {account} signs in to: check accounts.microsoft.tenant",
            account=account,
            code="unknown_tenant",
        ) from error


class _PlainRequests:
    """The HTTP client msal is given: our timeouts, no repeats, no redirects, plain http for a loopback authority."""

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
