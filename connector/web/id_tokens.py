"""What an ID token must be, and whose address it proves.

Lives here: `checked_claims`, and the rule of each kind of provider for the address that counts. Does not live here:
getting a token (`oidc`), what the address may do (`users`). Why these rules: docs/decisions/0044.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from connector.people import is_address

#: Signatures by a private key alone: with a shared secret, or with none, anybody could sign.
SIGNED_BY = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384")

#: Seconds that a provider's clock may differ from ours.
LEEWAY = 60

#: Domains whose addresses Google itself gives out.
_GMAIL = ("gmail.com", "googlemail.com")

#: Ways in which Entra writes that something is so.
_YES = (True, "1", "true", "True")


class BadTokenError(Exception):
    """An ID token is not what was asked for; the message names the claim."""


class UnverifiedError(Exception):
    """Somebody has signed in, and nothing proves that the address is theirs."""


def checked_claims(
    token: Mapping[str, Any], keys: KeySet, *, issuer: str, client_id: str, nonce: str, now: datetime
) -> Mapping[str, Any]:
    """Return what the ID token of a token answer says.

    Raises `BadTokenError` unless it is signed by one of these keys for this client and this sign-in, and still holds;
    and joserfc's `InvalidKeyIdError` when it is signed by another key.
    """
    try:
        found = jwt.decode(
            str(token.get("id_token")), keys, registry=JWSRegistry(algorithms=SIGNED_BY, strict_check_header=False)
        )
        claims = CodeIDToken(
            found.claims,
            found.header,
            {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client_id}},
            {"nonce": nonce, "client_id": client_id, "access_token": token.get("access_token")},
        )
        claims.validate(now=int(now.timestamp()), leeway=LEEWAY)
    except JoseError as error:
        raise BadTokenError(f"{error.error}: {error.description}") from error
    except ValueError as error:
        raise BadTokenError("it cannot be read") from error
    return dict(claims)


def verified_address(claims: Mapping[str, Any]) -> str:
    """Return the address of any provider's user, which the provider must have verified."""
    if claims.get("email_verified") is not True:
        raise UnverifiedError
    return _mail_address(claims.get("email"))


def google_address(claims: Mapping[str, Any]) -> str:
    """Return the address of a Google account that is Gmail's or an organisation's.

    Somebody may make a Google account with any address that they can read at that moment, and keep it when the address
    has become somebody else's: Google speaks for its own and for its customers' domains alone.
    """
    address = verified_address(claims)
    if not claims.get("hd") and not address.endswith(tuple(f"@{domain}" for domain in _GMAIL)):
        raise UnverifiedError
    return address


def microsoft_address(claims: Mapping[str, Any]) -> str:
    """Return the address of a member of the tenant: one that the tenant's administrators gave out.

    `email` is what stands in a directory's field, which the home tenant of a guest may fill with anything; it counts
    when `xms_edov` says that the owner of its domain is verified. A user name always ends with a domain that the tenant
    has proved to be its own. Guests, whose user names are of elsewhere, are let in by nothing.
    """
    name = str(claims.get("upn") or claims.get("preferred_username") or "")
    guest = claims.get("idp", claims["iss"]) != claims["iss"] or claims.get("acct") in (1, "1")
    if guest or "#EXT#" in name.upper():
        raise UnverifiedError
    return _mail_address(claims.get("email") if claims.get("xms_edov") in _YES else name)


def _mail_address(text: Any) -> str:
    # Other alphabets have letters that become ASCII in lower case.
    if not isinstance(text, str) or not text.isascii() or not is_address(text.lower()):
        raise UnverifiedError
    return text.lower()
