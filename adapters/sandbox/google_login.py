"""Simulated Google sign-in: the consent page, tokens, revoking, and what an administrator allows.

Lives here: who may be given which token, and the knobs of the Google Cloud project and the Admin console. Does not live
here: what a token opens (`gmail`).
A person at the browser consents at once, unless `at_the_browser`, `denies` or `grants_only` say otherwise.
Source: reference apis 2.6 and 2.8; Google's pages on OAuth 2.0 for installed apps and for service accounts.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from adapters.sandbox.mailbox import Kind
from adapters.sandbox.mailworld import MailWorld
from adapters.sandbox.service import SandboxClock, SandboxLog, Tokens

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"

#: How long an authorization code can be exchanged, and how long an assertion may live, with a minute for the clocks.
_CODE_LIFE, _LONGEST_ASSERTION = timedelta(minutes=10), 3660


@dataclass(frozen=True, slots=True, kw_only=True)
class _ServiceAccount:
    public_key: str
    #: Scopes an administrator has allowed for the domain; None allows every scope.
    scopes: frozenset[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Client:
    """A Desktop client: any port of this machine may be its redirect."""

    secret: str
    #: Each use of a refresh token gives a new one and ends the old one.
    rotate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    client_id: str
    subject: str
    scopes: tuple[str, ...]
    redirect_uri: str
    challenge: str
    #: Whether access_type=offline was asked for.
    offline: bool
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _RefreshToken:
    client_id: str
    subject: str
    scopes: tuple[str, ...]


class _DeniedError(Exception):
    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status


class GoogleLogin:
    """Google's sign-in for every Gmail mailbox of the sandbox."""

    def __init__(self, clock: SandboxClock, tokens: Tokens, log: SandboxLog, world: MailWorld) -> None:
        self._clock = clock
        self._tokens = tokens
        self._log = log
        self._world = world
        #: Who sits at the browser, whatever `login_hint` says; "" for the one it names.
        self.at_the_browser = ""
        #: The person at the browser presses Cancel.
        self.denies = False
        #: Scopes whose boxes the person ticks; None ticks all.
        self.grants_only: frozenset[str] | None = None
        #: Whether the Gmail API is enabled in the Google Cloud project.
        self.api_enabled = True
        #: Whether the domain's administrators let apps use the Gmail API.
        self.apps_allowed = True
        self._accounts: dict[str, _ServiceAccount] = {}
        self._clients: dict[str, _Client] = {}
        self._codes: dict[str, _Code] = {}
        self._refresh: dict[str, _RefreshToken] = {}
        #: Access token -> the refresh token it came from, or "".
        self._access: dict[str, str] = {}

    # --------------------------------------------------------------------------------------- set-up

    def register_service_account(self, email: str, public_key_pem: str, *, scopes: Sequence[str] | None = None) -> None:
        """Trust a service account for every mailbox (domain-wide delegation), for these scopes or for all."""
        allowed = None if scopes is None else frozenset(scopes)
        self._accounts[email] = _ServiceAccount(public_key=public_key_pem, scopes=allowed)

    def register_client(self, client_id: str, secret: str, *, rotate: bool = False) -> None:
        """Know a Desktop client."""
        self._clients[client_id] = _Client(secret=secret, rotate=rotate)

    def register_refresh_token(self, token: str, *, client_id: str, subject: str, scopes: Sequence[str]) -> None:
        """Make a refresh token that a client may exchange for one mailbox's access tokens."""
        self._refresh[token] = _RefreshToken(client_id=client_id, subject=subject.lower(), scopes=tuple(scopes))

    def routes(self) -> Sequence[BaseRoute]:
        """Return the consent page and the endpoints for tokens."""
        return (
            Route("/google/auth", self._served(self._authorize), methods=["GET"]),
            Route("/google/token", self._served(self._token), methods=["POST"]),
            Route("/google/revoke", self._served(self._revoke), methods=["POST"]),
            Route("/google/tokeninfo", self._served(self._tokeninfo), methods=["GET", "POST"]),
        )

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what a rep or an administrator can do to the sign-in."""
        return {
            "gmail_revokes_access": self.revoke_access,
            "gmail_consents": self.consent,
            "gmail_delegates": self.delegate,
            "gmail_disables_api": self.disable_api,
            "gmail_forbids_apps": self.forbid_apps,
        }

    # --------------------------------------------------------------------------- people outside

    def revoke_access(self, *, rep: str = "") -> dict[str, Any]:
        """Make the access tokens and refresh tokens of one rep, or of all, invalid."""
        ended = self._end(lambda one: rep.lower() in ("", one.subject))
        self._tokens.revoke_all("gmail", subject=rep.lower())
        return {"refresh_tokens": len(ended)}

    def consent(
        self, *, account: str = "", denies: bool = False, grants_only: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Set what the person at the browser does: choose another account, press Cancel, tick a few scopes only."""
        self.at_the_browser, self.denies = account.lower(), denies
        self.grants_only = None if grants_only is None else frozenset(grants_only)
        return {}

    def delegate(self, *, scopes: Sequence[str] | None = None) -> dict[str, Any]:
        """Set for which scopes service accounts may act for the domain; none of them for an empty list."""
        allowed = None if scopes is None else frozenset(scopes)
        for email, account in self._accounts.items():
            self._accounts[email] = _ServiceAccount(public_key=account.public_key, scopes=allowed)
        return {"service_accounts": list(self._accounts)}

    def disable_api(self, *, disabled: bool = True) -> dict[str, Any]:
        """Switch the Gmail API off in the Google Cloud project, or on again."""
        self.api_enabled = not disabled
        return {}

    def forbid_apps(self, *, forbidden: bool = True) -> dict[str, Any]:
        """Let the domain's administrators keep apps out of Gmail, or let them in again."""
        self.apps_allowed = not forbidden
        return {}

    # ------------------------------------------------------------------------------- in the browser

    def _served(self, answer: Callable[[Mapping[str, str], str], Response]) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            sent = (await request.body()).decode("utf-8", "replace")
            form = dict(request.query_params) | dict(parse_qsl(sent))
            return await run_in_threadpool(self._answered, answer, form, request)

        return endpoint

    def _answered(
        self, answer: Callable[[Mapping[str, str], str], Response], form: Mapping[str, str], request: Request
    ) -> Response:
        self._log.call("gmail:token", request.method, request.url.path)
        with self._world.lock:
            try:
                return answer(form, str(request.url))
            except _DeniedError as denied:
                body = {"error": denied.error, "error_description": denied.description}
                return JSONResponse(body, status_code=denied.status)

    def _authorize(self, form: Mapping[str, str], _: str) -> Response:
        redirect = form.get("redirect_uri", "")
        if form.get("client_id", "") not in self._clients:
            raise _DeniedError("invalid_client", "The OAuth client was not found.", 401)
        if urlsplit(redirect).scheme != "http" or urlsplit(redirect).hostname not in ("localhost", "127.0.0.1", "::1"):
            raise _DeniedError("redirect_uri_mismatch", "You can't sign in because this app sent an invalid request.")
        if form.get("response_type") != "code" or not form.get("scope"):
            raise _DeniedError("invalid_request", "Missing required parameter: response_type or scope")
        challenge = form.get("code_challenge", "")
        if challenge and form.get("code_challenge_method") != "S256":
            raise _DeniedError("invalid_request", "Code challenge method not supported here.")
        back = {"state": form["state"]} if "state" in form else {}
        subject = self.at_the_browser or form.get("login_hint", "").lower()
        asked = tuple(form["scope"].split())
        granted = tuple(scope for scope in asked if self.grants_only is None or scope in self.grants_only)
        if self.denies or not granted or self._world.mailbox(Kind.GMAIL, subject) is None:
            return RedirectResponse(f"{redirect}?{urlencode({'error': 'access_denied', **back})}", 302)
        code = "4/0A" + secrets.token_urlsafe(40)
        self._codes[code] = _Code(
            client_id=form["client_id"],
            subject=subject,
            scopes=granted,
            redirect_uri=redirect,
            challenge=challenge,
            offline=form.get("access_type") == "offline",
            until=self._clock.now() + _CODE_LIFE,
        )
        return RedirectResponse(f"{redirect}?{urlencode({'code': code, 'scope': ' '.join(granted), **back})}", 302)

    # --------------------------------------------------------------------------------------- tokens

    def _token(self, form: Mapping[str, str], address: str) -> Response:
        kind = form.get("grant_type", "")
        if kind == _JWT_BEARER:
            return self._grant_assertion(form.get("assertion", ""), address)
        if kind == "authorization_code":
            return self._grant_code(form)
        if kind == "refresh_token":
            return self._grant_refresh(form)
        raise _DeniedError("unsupported_grant_type", f"Invalid grant_type: {kind}")

    def _client(self, form: Mapping[str, str]) -> _Client:
        client = self._clients.get(form.get("client_id", ""))
        if client is None:
            raise _DeniedError("invalid_client", "The OAuth client was not found.", 401)
        if not hmac.compare_digest(form.get("client_secret", "").encode(), client.secret.encode()):
            raise _DeniedError("invalid_client", "Unauthorized", 401)
        return client

    def _grant_code(self, form: Mapping[str, str]) -> Response:
        self._client(form)
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or code.client_id != form["client_id"] or code.until <= self._clock.now():
            raise _DeniedError("invalid_grant", "Malformed auth code.")
        if form.get("redirect_uri") != code.redirect_uri:
            raise _DeniedError("redirect_uri_mismatch", "Bad Request")
        if code.challenge and not form.get("code_verifier"):
            raise _DeniedError("invalid_grant", "Missing code verifier.")
        if code.challenge and not hmac.compare_digest(_challenge(form["code_verifier"]), code.challenge):
            raise _DeniedError("invalid_grant", "Invalid code verifier.")
        fresh = self._new_refresh_token(code.client_id, code.subject, code.scopes) if code.offline else ""
        return self._issued(code.subject, code.scopes, source=fresh, told=fresh)

    def _grant_refresh(self, form: Mapping[str, str]) -> Response:
        client = self._client(form)
        token = form.get("refresh_token", "")
        known = self._refresh.get(token)
        if known is None:
            raise _DeniedError("invalid_grant", "Token has been expired or revoked.")
        if known.client_id != form["client_id"]:
            raise _DeniedError("unauthorized_client", "Unauthorized", 401)
        asked = tuple(form.get("scope", "").split()) or known.scopes
        if not set(asked) <= set(known.scopes):
            raise _DeniedError("invalid_scope", "Some requested scopes were invalid or were not granted.")
        if not client.rotate:
            return self._issued(known.subject, asked, source=token)
        del self._refresh[token]
        fresh = self._new_refresh_token(known.client_id, known.subject, known.scopes)
        return self._issued(known.subject, asked, source=fresh, told=fresh)

    def _grant_assertion(self, assertion: str, address: str) -> Response:
        try:
            issuer = str(jwt.decode(assertion, options={"verify_signature": False}).get("iss", ""))
        except jwt.InvalidTokenError:
            raise _DeniedError("invalid_grant", "Invalid JWT: Failed to decode.") from None
        account = self._accounts.get(issuer)
        if account is None:
            raise _DeniedError("invalid_grant", "Invalid grant: account not found")
        try:
            # The times are checked against the sandbox's clock, but a client signs by the machine's.
            options: Any = {"verify_exp": False, "verify_iat": False, "verify_aud": False, "require": ["exp", "iat"]}
            claims = jwt.decode(assertion, account.public_key, algorithms=["RS256"], options=options)
        except jwt.MissingRequiredClaimError:
            raise _DeniedError("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)") from None
        except jwt.InvalidTokenError:
            raise _DeniedError("invalid_grant", "Invalid JWT Signature.") from None
        if str(claims.get("aud", "")).partition("://")[2] not in (
            address.partition("://")[2],
            "oauth2.googleapis.com/token",
        ):
            raise _DeniedError("invalid_grant", "Invalid JWT: Failed audience check.")
        if not 0 < int(claims["exp"]) - int(claims["iat"]) <= _LONGEST_ASSERTION:
            raise _DeniedError("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)")
        scopes = tuple(str(claims.get("scope", "")).split())
        if not scopes:
            raise _DeniedError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        subject = str(claims.get("sub", issuer)).lower()
        if self._world.mailbox(Kind.GMAIL, subject) is None:
            raise _DeniedError("invalid_grant", "Invalid email or User ID")
        if account.scopes is not None and not set(scopes) <= account.scopes:
            raise _DeniedError(
                "unauthorized_client",
                "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any "
                "of the scopes requested.",
                401,
            )
        # Unlike an answer to a person's sign-in, this one names no scopes.
        return self._issued(subject, scopes, names_scopes=False)

    def _new_refresh_token(self, client_id: str, subject: str, scopes: Sequence[str]) -> str:
        token = "1//0" + secrets.token_urlsafe(40)
        self.register_refresh_token(token, client_id=client_id, subject=subject, scopes=scopes)
        return token

    def _issued(
        self, subject: str, scopes: Sequence[str], *, source: str = "", told: str = "", names_scopes: bool = True
    ) -> Response:
        token = self._tokens.issue("gmail", subject=subject, scopes=scopes, token="ya29." + secrets.token_urlsafe(40))
        self._access[token] = source
        body: dict[str, Any] = {"access_token": token, "expires_in": 3599, "token_type": "Bearer"}
        body |= {"scope": " ".join(scopes)} if names_scopes else {}
        return JSONResponse(body | ({"refresh_token": told} if told else {}), headers={"Cache-Control": "no-store"})

    def _revoke(self, form: Mapping[str, str], _: str) -> Response:
        """End what a person granted to a client, by any token of it: all its other tokens end too."""
        token = form.get("token", "")
        source = self._access.get(token) or token
        known = self._refresh.get(source)
        if known is None and token not in self._access:
            raise _DeniedError("invalid_token", "Token expired or revoked")
        ended = {token} if known is None else self._end(lambda one: one == replace(known, scopes=one.scopes))
        for access in [access for access, its in self._access.items() if access in ended or its in ended]:
            self._tokens.revoke("gmail", access)
            del self._access[access]
        return JSONResponse({})

    def _end(self, ends: Callable[[_RefreshToken], bool]) -> set[str]:
        ended = {token for token, one in self._refresh.items() if ends(one)}
        for token in ended:
            del self._refresh[token]
        return ended

    def _tokeninfo(self, form: Mapping[str, str], _: str) -> Response:
        grant = self._tokens.check("gmail", f"Bearer {form.get('access_token', '')}")
        if grant is None:
            raise _DeniedError("invalid_token", "Invalid Value")
        left = int((grant.expires - self._clock.now()).total_seconds())
        return JSONResponse(
            {
                "scope": " ".join(sorted(grant.scopes)),
                "exp": str(int(grant.expires.timestamp())),
                "expires_in": str(left),
                "access_type": "offline",
            }
        )


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
