"""Google's token service: what is asked of it, and what its answers mean.

Lives here: `TokenService`, the line google-auth speaks over, the trade of a code, revoking, what a token may do, and
every refusal in words. Does not live here: who keeps a token (`signin`), the browser (`authorize`).

google-auth repeats a failed request by itself, after real seconds of waiting; here passing trouble is raised before it
sees it, so that each request leaves once. No answer is ever logged or quoted: it may hold a token.
Sources: reference apis 2.8; Google's pages on OAuth 2.0 errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import google.auth.transport
import requests

from adapters.gmail.account import GoogleAccount, read_client, sign_in_command
from adapters.http import ServiceSession, retry_after
from connector.errors import AdapterError, Reconnect, Retry

#: Where an administrator lets a service account act for the domain.
DELEGATION_PLACE = (
    "the Admin console (admin.google.com), Security, Access and data control, API controls, Manage domain-wide "
    "delegation"
)

#: Why a refresh token ends (reference apis 2.8).
_WHY_ENDED = (
    "Google ends a sign-in after 7 days while the consent screen is in Testing, after six months without use, when the "
    "password changes, when a person has more than 100 of them, and when a person or an administrator removes the app"
)

#: Part of a refusal's description, in lower case -> what to do, for a service account.
_OF_A_KEY: Mapping[str, str] = {
    "invalid email or user id": "there is no such user in Google Workspace: check the rep's address",
    "account not found": "the service account is not there any more: make a new one with its key",
    "invalid jwt signature": "the key is not one of the service account's any more: make a new key and set key_file",
    "short-lived token": "the clock of this machine is wrong: set it",
    "audience": "the key was made for another address: check token_url",
}

#: Word of a refusal of a person's client -> what to do.
_OF_A_CLIENT: Mapping[str, str] = {
    "invalid_client": "the client in client_file is not known to Google, or its secret is not: download its JSON anew",
    "deleted_client": "the client in client_file was deleted in the Google Cloud console: make a new one",
    "disabled_client": "the client in client_file is switched off in the Google Cloud console: switch it on",
    "admin_policy_enforced": "an administrator does not let this app in: have it trusted in the Admin console, "
    "Security, Access and data control, API controls",
    "redirect_uri_mismatch": "the client in client_file takes no loopback address: make a client of the type "
    "'Desktop app'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What a sign-in gave; never shown."""

    token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    scopes: frozenset[str]


class _Answer(google.auth.transport.Response):
    """An answer as google-auth reads it."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """HTTP headers."""
        return self._response.headers

    @property
    def data(self) -> bytes:
        """The body in a form google-auth can take: it stumbles over what it does not expect."""
        answer = said(self._response)
        return json.dumps({**answer, "expires_in": int(life_of(answer).total_seconds())}).encode()


class TokenService:
    """The line to the token service for one mailbox; one thread at a time."""

    def __init__(self, mailbox: str) -> None:
        """Open; nothing is called."""
        self._mailbox = mailbox
        # A session of its own: token calls are not calls to Gmail.
        self._session = ServiceSession()
        #: Scopes and life of the token given last; no scopes when the answer named none.
        self.scopes: frozenset[str] = frozenset()
        self.life = timedelta()

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> _Answer:
        """Carry one request of google-auth; raise `Retry` for passing trouble."""
        return _Answer(self._asked(method, url, body, headers))

    def post(self, url: str, form: Mapping[str, str]) -> requests.Response:
        """Send a form; raise `Retry` for passing trouble, `Reconnect` for an address that is none."""
        return self._asked("POST", url, dict(form), None)

    def _asked(
        self, method: str, url: str, data: bytes | dict[str, str] | None, headers: Mapping[str, str] | None
    ) -> requests.Response:
        try:
            response = self._session.request(method, url, data=data, headers=headers, allow_redirects=False)
        except requests.RequestException as error:
            raise self._unanswered(error) from error
        if response.status_code == 429 or response.status_code >= 500:
            raise Retry(
                f"Google's token service answered {response.status_code} for {self._mailbox}; it is tried again",
                code="token_service",
                after=retry_after(response),
            )
        if response.status_code == 200:
            answer = said(response)
            self.scopes = frozenset(str(answer.get("scope") or "").split())
            self.life = life_of(answer)
        return response

    def _unanswered(self, error: requests.RequestException) -> AdapterError:
        if isinstance(error, ValueError):
            # `requests` derives its errors about the address itself (scheme, host) from ValueError as well.
            return Reconnect(
                f"Google's token service cannot be called for {self._mailbox}: check accounts.google.token_url",
                account=f"gmail:{self._mailbox}",
                code="address",
            )
        return Retry(
            f"Google's token service did not answer for {self._mailbox}; it is tried again", code="token_service"
        )

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def life_of(answer: Mapping[str, Any]) -> timedelta:
    """Return how long a token is good; no time at all when that is not said so that it can be read."""
    try:
        return timedelta(seconds=max(0, int(answer.get("expires_in") or 0)))
    except (TypeError, ValueError, OverflowError):
        return timedelta()


def said(response: requests.Response) -> Mapping[str, Any]:
    """Return an answer's JSON object; an empty one when it is none: the error would carry the whole answer."""
    try:
        answer = response.json()
    except requests.exceptions.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


# ------------------------------------------------------------------------------------ what is asked


def trade_code(
    account: GoogleAccount, service: TokenService, *, code: str, verifier: str, redirect_uri: str, rep: str
) -> Granted:
    """Trade the code that a browser brought back for tokens; raise `Reconnect` with the next move when refused."""
    client = read_client(account.client_file or Path())
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": redirect_uri,
        "client_id": client.client_id,
        "client_secret": client.secret,
    }
    response = service.post(account.token_address(), form)
    answer = said(response)
    if response.status_code != 200 or not answer.get("access_token"):
        word = str(answer.get("error") or response.status_code)
        late = "the answer of the browser was used already, came too late or was not made for this sign-in"
        told = _OF_A_CLIENT.get(word) or (late if word == "invalid_grant" else f"Google answered {_plain(word)}")
        raise Reconnect(
            f"signing in to Gmail as {rep} failed: {told}; then run '{sign_in_command(rep)}' again",
            account=f"gmail:{rep}",
            code=word,
        )
    if not answer.get("refresh_token"):
        raise Reconnect(
            f"signing in to Gmail as {rep} failed: Google gave no refresh token. Remove the app at "
            f"myaccount.google.com/connections and run '{sign_in_command(rep)}' again",
            account=f"gmail:{rep}",
            code="no_refresh_token",
        )
    return Granted(
        token=str(answer["access_token"]),
        refresh_token=str(answer["refresh_token"]),
        # An answer that names none gives what was asked for (RFC 6749 5.1).
        scopes=service.scopes or frozenset(account.scopes),
    )


def revoke(account: GoogleAccount, service: TokenService, token: str) -> bool:
    """End a sign-in by its refresh token; False when Google did not know it any more."""
    return service.post(account.token_address("revoke"), {"token": token}).status_code == 200


def scopes_of(account: GoogleAccount, service: TokenService, token: str) -> frozenset[str] | None:
    """Ask what a token may do; None when Google does not say."""
    response = service.post(account.token_address("tokeninfo"), {"access_token": token})
    scopes = said(response).get("scope") if response.status_code == 200 else None
    return None if scopes is None else frozenset(str(scopes).split())


# ------------------------------------------------------------------------------------- what is refused


def refused_key(code: str, description: str, *, mailbox: str, client_id: str, scopes: tuple[str, ...]) -> Reconnect:
    """Return the error of a service account that was given no token for a rep."""
    if code in ("unauthorized_client", "access_denied"):
        return Reconnect(
            f"Google does not let the service account act for {mailbox} ({code}): allow its client id {client_id} the "
            f"scopes {','.join(scopes)} for the domain",
            account=f"gmail:{mailbox}",
            code=code,
            advice=f"in {DELEGATION_PLACE}, allow the client id {client_id} these scopes: {','.join(scopes)}",
        )
    told = next((advice for part, advice in _OF_A_KEY.items() if part in description.lower()), None)
    return Reconnect(
        f"Google gave no token for {mailbox} ({_plain(code)}): "
        f"{told or 'check key_file, its service account, and that the address exists'}",
        account=f"gmail:{mailbox}",
        code=code,
    )


def refused_person(code: str, *, mailbox: str) -> Reconnect:
    """Return the error of a rep whose sign-in gives no token any more."""
    command = sign_in_command(mailbox)
    if code == "invalid_grant":
        return Reconnect(
            f"the sign-in of {mailbox} to Gmail has ended: run '{command}'",
            account=f"gmail:{mailbox}",
            code=code,
            advice=_WHY_ENDED,
        )
    if code == "unauthorized_client":
        told = "it was made with another client than that of client_file"
    else:
        told = _OF_A_CLIENT.get(code, f"Google answered {_plain(code)}; check client_file")
    return Reconnect(
        f"the sign-in of {mailbox} to Gmail gives no token: {told}. Then run '{command}'",
        account=f"gmail:{mailbox}",
        code=code,
    )


def not_signed_in(mailbox: str) -> Reconnect:
    """Return the error of a rep who has not signed in."""
    return Reconnect(
        f"{mailbox} is not signed in to Gmail: run '{sign_in_command(mailbox)}'",
        account=f"gmail:{mailbox}",
        code="not_signed_in",
    )


def words_of(error: Exception) -> tuple[str, str]:
    """Return the code and the description of what google-auth raised."""
    answer = next((part for part in error.args if isinstance(part, dict)), {})
    return str(answer.get("error") or "refused"), str(answer.get("error_description") or "")


def _plain(word: str) -> str:
    """Return a word that is not ours: its letters only, for it may hold anything."""
    return "".join(letter for letter in word if letter.isalnum() or letter in "_- ")[:60]
