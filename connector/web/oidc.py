"""Signing in with OpenID Connect: the authorization code flow with PKCE, state and nonce.

Lives here: `Provider`, `providers_of`, `OpenId` (discovery, where to sign in, a code for a token). Does not live here:
what an ID token must be and whose address it proves (`id_tokens`), the pages and cookies (`signing_in`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from authlib.integrations.requests_client import OAuth2Session, OAuthError
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from requests import RequestException

from connector.accounts import Secret, is_loopback
from connector.ports import Clock
from connector.web.id_tokens import (
    BadTokenError,
    checked_claims,
    google_address,
    microsoft_address,
    verified_address,
)
from connector.web_settings import PRIVATE_ACCOUNTS, SignInRules

#: Seconds to connect and to wait for an answer, while somebody looks at an empty page.
TIMEOUT = (5.0, 10.0)

#: How long what a provider says of itself is believed; its keys are asked for again when one is unknown.
BELIEVED = timedelta(hours=1)

#: How we prove to be the client, tried in turn; providers disagree on how a secret is encoded outside of a form.
_PROOFS = ("client_secret_post", "client_secret_basic")

_SCOPE = "openid email profile"
_WELL_KNOWN = "/.well-known/openid-configuration"
_TENANT_ID = rf"(?!{PRIVATE_ACCOUNTS})[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}"


class ProviderError(Exception):
    """A provider did not answer as it must; the message is for the log, and holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Somebody who tells us who people are."""

    #: As in addresses: google, microsoft, oidc.
    name: str
    #: As on a button.
    label: str
    #: Address of the discovery document.
    discovery: str
    #: What it may call itself there.
    issuer: re.Pattern[str]
    client_id: str
    client_secret: Secret
    #: Claims -> the address that they prove, lower case; raises `UnverifiedError`.
    address_of: Callable[[Mapping[str, Any]], str]
    #: Whether people with several accounts may be asked which one.
    chooses_account: bool = True
    #: Whether the address may be kept for UserInfo, as the standard has it for this flow (Core 5.4).
    asks_user_info: bool = False


def providers_of(rules: SignInRules) -> dict[str, Provider]:
    """Return the providers of the settings by their names, in the order of their buttons."""
    found: list[Provider] = []
    if (google := rules.google) is not None:
        issuer = "https://accounts.google.com"
        found.append(
            Provider(
                name="google",
                label="Google",
                discovery=issuer + _WELL_KNOWN,
                issuer=re.compile(re.escape(issuer)),
                client_id=google.client_id,
                client_secret=google.client_secret,
                address_of=google_address,
            )
        )
    if (microsoft := rules.microsoft) is not None:
        tenant = microsoft.tenant.lower()
        # A domain is a name of the tenant, by whose id it calls itself.
        named = re.escape(tenant) if re.fullmatch(_TENANT_ID, tenant) else _TENANT_ID
        found.append(
            Provider(
                name="microsoft",
                label="Microsoft",
                discovery=f"https://login.microsoftonline.com/{tenant}/v2.0{_WELL_KNOWN}",
                issuer=re.compile(rf"https://login\.microsoftonline\.com/{named}/v2\.0"),
                client_id=microsoft.client_id,
                client_secret=microsoft.client_secret,
                address_of=microsoft_address,
            )
        )
    if (other := rules.oidc) is not None:
        found.append(
            Provider(
                name="oidc",
                label=other.name,
                discovery=other.issuer + _WELL_KNOWN,
                issuer=re.compile(re.escape(other.issuer) + "/?"),
                client_id=other.client_id,
                client_secret=other.client_secret,
                address_of=verified_address,
                chooses_account=False,
                asks_user_info=True,
            )
        )
    return {provider.name: provider for provider in found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """One sign-in under way; the browser keeps it, sealed."""

    provider: str
    state: str
    nonce: str
    #: PKCE's secret, whose digest the provider was shown.
    verifier: str

    @classmethod
    def at(cls, provider: str) -> Begun:
        """Return a new one, with secrets of 256 bits."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(provider=provider, state=state, nonce=nonce, verifier=verifier)


class OpenId:
    """Signs people in with one provider."""

    def __init__(self, provider: Provider, clock: Clock) -> None:
        """Take the provider; it is not asked yet."""
        self.provider = provider
        self._clock = clock
        self._known: tuple[datetime, dict[str, Any]] | None = None
        self._keys: tuple[datetime, KeySet] | None = None

    def address(self, begun: Begun, *, back: str) -> str:
        """Return the address to sign in at, which leads back to `back`; raise `ProviderError`."""
        with self._session(back) as session:
            address, _ = session.create_authorization_url(
                self._endpoint("authorization_endpoint"),
                state=begun.state,
                code_verifier=begun.verifier,
                nonce=begun.nonce,
                **({"prompt": "select_account"} if self.provider.chooses_account else {}),
            )
        return str(address)

    def finish(self, begun: Begun, code: str, *, back: str, issuer: str = "") -> str:
        """Return the address that whoever brought this code has proved to be theirs, lower case.

        `issuer` is who the answer says it is from (RFC 9207). Raises `ProviderError`, `BadTokenError`,
        `UnverifiedError`.
        """
        said = self._metadata()
        if issuer != said["issuer"] and (issuer or said.get("authorization_response_iss_parameter_supported") is True):
            raise ProviderError("the code is of another issuer")
        token = self._token(begun, code, back, self._proofs())
        claims = self._claims(token, begun.nonce)
        if self.provider.asks_user_info and "email_verified" not in claims and "userinfo_endpoint" in said:
            claims = self._user_info(token, claims["sub"])
        return self.provider.address_of(claims)

    def _token(self, begun: Begun, code: str, back: str, proofs: Sequence[str]) -> Mapping[str, Any]:
        proof, *others = proofs
        try:
            with self._session(back, proof) as session:
                token: Mapping[str, Any] = session.fetch_token(
                    self._endpoint("token_endpoint"),
                    grant_type="authorization_code",
                    code=code,
                    redirect_uri=back,
                    code_verifier=begun.verifier,
                    allow_redirects=False,
                )
        except OAuthError as error:
            # It says which proofs it takes of any client; which of ours, it says by refusing the other.
            if error.error == "invalid_client" and others:
                return self._token(begun, code, back, others)
            raise ProviderError(f"it refused the code ({error.error})") from error
        except (RequestException, ValueError) as error:
            raise ProviderError(f"it gave no token ({type(error).__name__})") from error
        return token

    def _proofs(self) -> Sequence[str]:
        taken = self._metadata().get("token_endpoint_auth_methods_supported", ())
        return [one for one in _PROOFS if one in taken] or _PROOFS[-1:]

    def _user_info(self, token: Mapping[str, Any], subject: str) -> Mapping[str, Any]:
        said = self._read(self._endpoint("userinfo_endpoint"), bearer=str(token.get("access_token")))
        if said.get("sub") != subject:
            raise ProviderError("it tells of somebody else than it signed in")
        return said

    def _claims(self, token: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        check = partial(
            checked_claims,
            token,
            issuer=str(self._metadata()["issuer"]),
            client_id=self.provider.client_id,
            nonce=nonce,
            now=self._clock.now(),
        )
        try:
            return check(self._key_set())
        except BadTokenError as error:
            if not isinstance(error.__cause__, InvalidKeyIdError):
                raise
        # Its keys are replaced now and then.
        self._keys = None
        return check(self._key_set())

    def _metadata(self) -> dict[str, Any]:
        now = self._clock.now()
        if self._known is None or now - self._known[0] > BELIEVED:
            said = self._read(self.provider.discovery)
            if not self.provider.issuer.fullmatch(str(said.get("issuer"))):
                raise ProviderError("its discovery document is of another issuer")
            self._known = (now, said)
        return self._known[1]

    def _key_set(self) -> KeySet:
        now = self._clock.now()
        if self._keys is None or now - self._keys[0] > BELIEVED:
            try:
                keys = KeySet.import_key_set(self._read(self._endpoint("jwks_uri")))  # type: ignore[arg-type]
            except (JoseError, KeyError, TypeError, ValueError) as error:
                raise ProviderError("its keys cannot be read") from error
            self._keys = (now, keys)
        return self._keys[1]

    def _endpoint(self, name: str) -> str:
        address = str(self._metadata().get(name, ""))
        # In the clear it is asked on this machine alone, and only where its own address is of this machine.
        ours = is_loopback(address) and is_loopback(self.provider.discovery)
        if urlsplit(address).scheme != "https" and not ours:
            raise ProviderError(f"its {name} is no https address")
        return address

    def _read(self, address: str, *, bearer: str = "") -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        with self._session() as session:
            try:
                answer = session.request("GET", address, withhold_token=True, allow_redirects=False, headers=headers)
                answer.raise_for_status()
                said = answer.json()
            except (RequestException, ValueError) as error:
                raise ProviderError(f"{address} did not answer ({type(error).__name__})") from error
        if answer.status_code != 200 or not isinstance(said, dict):
            raise ProviderError(f"{address} answered something else")
        return said

    def _session(self, back: str | None = None, proof: str = "none") -> OAuth2Session:
        return OAuth2Session(
            self.provider.client_id,
            None if proof == "none" else self.provider.client_secret.reveal(),
            token_endpoint_auth_method=proof,
            scope=_SCOPE,
            redirect_uri=back,
            code_challenge_method="S256",
            default_timeout=TIMEOUT,
        )
