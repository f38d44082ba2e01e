"""The OAuth endpoints of an org's sign-in: what is asked of them, and what their answers mean.

Lives here: the request for a token by each way that needs no person, its refusals in words, which addresses a token
may be sent to, revoking. Does not live here: who keeps a token and renews it (`signin`), the browser (`authorize`), the
SOAP login (`soap_login`).

By ourselves, because simple-salesforce knows no refresh tokens and signs in at `https://<domain>.salesforce.com` only.
No answer of these endpoints is ever logged or quoted: it may hold a token.
Sources: reference apis 1.1; Salesforce Help, OAuth 2.0 authorization errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests

from adapters.http import ServiceSession, retry_after
from adapters.salesforce.account import ACCOUNT, SalesforceAccount
from adapters.salesforce.codes import rule_for
from adapters.salesforce.errors import from_requests, from_status
from connector.accounts import is_loopback
from connector.errors import AdapterError, Reconnect, Retry
from connector.ports import Clock

AUTHORIZE = "/services/oauth2/authorize"
TOKEN = "/services/oauth2/token"  # noqa: S105 - a path
REVOKE = "/services/oauth2/revoke"

#: Where the API of an org may be: Salesforce, its government clouds, and the one run by Alibaba. Not force.com and
#: site.com: those serve pages, which customers write.
_API_HOSTS = (".salesforce.com", ".salesforce.mil", ".cloudforce.com", ".database.com", ".sfcrmproducts.cn")

#: Salesforce takes an assertion for at most three minutes; a minute is left for a clock that is ahead.
_ASSERTION_LIFE = timedelta(minutes=2)

_PRE_AUTHORISE = "the user is not pre-authorised for the app: assign the app's permission set or profile to them"

#: Part of a refusal's description, in lower case -> what to do; `invalid_grant` alone stands for twenty things.
_BY_DESCRIPTION: Mapping[str, str] = {
    "hasn't approved this consumer": _PRE_AUTHORISE,
    "admin approved": _PRE_AUTHORISE,
    "audience": "the assertion was made for another address: set domain to the org's My Domain, such as 'acme.my'",
    "invalid assertion": "the certificate of the app does not belong to key_file, or the machine's clock is wrong",
    "no client credentials user": "choose the user that the app runs as, under its client credentials flow",
    "not supported on this domain": "set domain to the org's My Domain, such as 'acme.my'",
    "inactive": "the user is not active: ask the administrator",
    "locked": "the user is locked out: ask the administrator",
    "ip restricted": "the app or the user may not sign in from this network: relax the IP rule of the app",
    "code verifier": "the answer was not made for this sign-in: run the command again",
    "authorization code": "the answer of the browser was used already or came too late: run the command again",
}

#: Word of a refusal -> what to do.
_BY_WORD: Mapping[str, str] = {
    "invalid_client_id": "client_id is not known to the org: copy the consumer key of the app",
    "invalid_client": "client_id and client_secret do not belong together: check accounts.salesforce in connector.yaml",
    "unsupported_grant_type": "this way to sign in is not on for the app or the org: enable its flow in the app",
    "unauthorized_client": "the app may not use this way to sign in: enable its flow in the app",
    "invalid_app_access": _PRE_AUTHORISE,
    "redirect_uri_mismatch": "the app does not list the callback URL: add it to the app, letter by letter",
    "inactive_user": "the user is not active: ask the administrator",
    "inactive_org": "the org is not active: ask Salesforce",
    "app_not_found": "the app is not in this org: set domain to the My Domain of the org that holds it",
    "invalid_scope": "the app lacks a scope: give it 'api' and 'refresh_token, offline_access'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What a sign-in gave; never shown."""

    access_token: str = field(repr=False)
    #: Where the API is: checked, without a trailing slash.
    instance_url: str
    refresh_token: str | None = field(default=None, repr=False)
    #: Id of the user who is signed in; empty when the answer does not say.
    user_id: str = ""


def sign_in_name(rep: str) -> str:
    """Return the name of a sign-in, in the vault and in `Reconnect`: `salesforce`, or `salesforce:<rep>`."""
    return f"{ACCOUNT}:{rep}" if rep else ACCOUNT


def sign_in_command(rep: str) -> str:
    """Return the command by which a person signs in."""
    return f"connector auth {ACCOUNT} --rep {rep}" if rep else f"connector auth {ACCOUNT}"


# --------------------------------------------------------------------------- ways that need no person


def by_client_credentials(account: SalesforceAccount) -> Granted:
    """Sign in as the user that the app runs as."""
    secret = account.client_secret.reveal() if account.client_secret else ""
    return ask_token(account, {"grant_type": "client_credentials"}, basic=(account.client_id or "", secret))


def by_jwt(account: SalesforceAccount, clock: Clock) -> Granted:
    """Sign in as `username`, whom the app's certificate speaks for."""
    claims = {
        "iss": account.client_id,
        "sub": account.username,
        # Salesforce takes login, test and the My Domain as audience; an External Client App takes its org's own only.
        "aud": account.sign_in_url,
        "exp": clock.now() + _ASSERTION_LIFE,
    }
    try:
        assertion = jwt.encode(claims, _private_key(account), algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        # The cause may quote the key; it is left out on purpose.
        raise Reconnect(
            f"signing in to Salesforce failed: key_file '{account.key_file}' is not the PEM file of an RSA private key "
            "without a passphrase",
            account=ACCOUNT,
            code="key_file",
        ) from None
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    return ask_token(account, {"grant_type": grant, "assertion": assertion})


def _private_key(account: SalesforceAccount) -> bytes:
    try:
        return account.key_file.read_bytes() if account.key_file else b""
    except OSError as error:
        raise Reconnect(
            f"signing in to Salesforce failed: key_file '{account.key_file}' cannot be read: "
            f"{(error.strerror or 'no reason given').lower()}",
            account=ACCOUNT,
            code="key_file",
        ) from error


def by_password(account: SalesforceAccount) -> Granted:
    """Sign in by the OAuth username-password flow."""
    form = {"grant_type": "password", "username": account.username or "", "password": password_of(account)}
    return ask_token(account, form | _client(account))


def password_of(account: SalesforceAccount) -> str:
    """Return the password as Salesforce wants it: the security token follows at once."""
    parts = (account.password, account.security_token)
    return "".join(part.reveal() for part in parts if part is not None)


def by_refresh_token(account: SalesforceAccount, refresh_token: str, *, rep: str) -> Granted:
    """Trade a refresh token for an access token; where tokens rotate, the answer holds the next refresh token."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return ask_token(account, form | _client(account), rep=rep)


def by_code(account: SalesforceAccount, *, code: str, verifier: str, redirect_uri: str, rep: str) -> Granted:
    """Trade the code that a browser brought back for tokens."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    return ask_token(account, form | _client(account), rep=rep)


def _client(account: SalesforceAccount) -> dict[str, str]:
    secret = {"client_secret": account.client_secret.reveal()} if account.client_secret else {}
    return {"client_id": account.client_id or "", **secret}


def revoke(account: SalesforceAccount, token: str) -> bool:
    """Revoke a refresh token and what came of it; False when Salesforce did not know it any more."""
    response = _post(account, REVOKE, {"token": token})
    if response.status_code == 429 or response.status_code >= 500:
        raise _passing(response)
    return response.status_code == 200


# ---------------------------------------------------------------------------------------- the answers


def ask_token(
    account: SalesforceAccount, form: Mapping[str, str], *, basic: tuple[str, str] | None = None, rep: str = ""
) -> Granted:
    """Ask for a token; raise `Reconnect` with the next move, or `Retry` for passing trouble."""
    response = _post(account, TOKEN, form, basic=basic)
    if response.status_code != 200:
        raise refusal(response, form["grant_type"], rep=rep)
    answer = _answer(response)
    token = answer.get("access_token")
    if not token:
        raise failed("the answer names no token: check login_url", rep=rep, code="answer")
    refresh_token = answer.get("refresh_token")
    return Granted(
        access_token=str(token),
        instance_url=api_address(account, str(answer.get("instance_url") or ""), rep=rep),
        refresh_token=str(refresh_token) if refresh_token else None,
        user_id=str(answer.get("id") or "").rpartition("/")[2],
    )


def _post(
    account: SalesforceAccount, path: str, form: Mapping[str, str], *, basic: tuple[str, str] | None = None
) -> requests.Response:
    with ServiceSession() as http:
        try:
            return http.post(
                account.sign_in_url + path, data=dict(form), auth=basic, headers={"Accept": "application/json"}
            )
        except requests.exceptions.RequestException as error:
            raise from_requests(error) from error


def _answer(response: requests.Response) -> Mapping[str, Any]:
    try:
        answer = response.json()
    except requests.exceptions.JSONDecodeError:
        return {}  # the error would carry the whole answer
    return answer if isinstance(answer, dict) else {}


def api_address(account: SalesforceAccount, told: str, *, rep: str = "") -> str:
    """Return where the API is: as configured, else as the sign-in said; raise `Reconnect` for a strange host.

    An address on this machine is believed only when the sign-in is on this machine too.
    """
    if account.instance_url is not None:
        return account.instance_url
    parts = urlsplit(told)
    host = parts.hostname or ""
    local = is_loopback(told) and is_loopback(account.sign_in_url) and parts.scheme in ("http", "https")
    ours = parts.scheme == "https" and parts.username is None and host.endswith(_API_HOSTS)
    if not (local or ours):
        shown = f"'{host}', which is no address of Salesforce" if host else "no address of the API"
        raise failed(
            f"the answer names {shown}; nothing was sent there. Check login_url, or set instance_url",
            rep=rep,
            code="address",
        )
    return f"{parts.scheme}://{parts.netloc}"


def refusal(response: requests.Response, grant: str, *, rep: str = "") -> AdapterError:
    """Return the error for a refused request for a token."""
    if response.status_code == 429 or response.status_code >= 500:
        return _passing(response)
    answer = _answer(response)
    word = str(answer.get("error") or response.status_code)
    described = str(answer.get("error_description") or "").lower()
    if "rate" in word or "login rate" in described:
        return _passing(response)
    told = next((advice for part, advice in _BY_DESCRIPTION.items() if part in described), _BY_WORD.get(word))
    if word == "invalid_grant" and grant == "refresh_token":
        told = f"the sign-in was revoked, has expired or was used elsewhere: run '{sign_in_command(rep)}'"
    if told is None and word == "invalid_grant":
        told = "user, password or the app's policies do not let it in: see the user's login history in Setup"
    reason = told or f"it answered {word}: check domain, login_url and the app"
    return failed(reason, rep=rep, code=word, advice=rule_for(word, described).advice)


def _passing(response: requests.Response) -> Retry:
    return Retry(
        f"the Salesforce sign-in answered {response.status_code}; it will be tried again",
        code=str(response.status_code),
        after=retry_after(response),
        advice=from_status(response.status_code).advice,
    )


def failed(reason: str, *, rep: str = "", code: str, advice: str = "") -> Reconnect:
    """Return the error of a sign-in that a person must mend."""
    whose = f" for rep {rep}" if rep else ""
    sentence = f"signing in to Salesforce{whose} failed: {reason}"
    return Reconnect(sentence, account=sign_in_name(rep), code=code, advice=advice)
