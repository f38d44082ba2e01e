"""Signing in to the simulated Salesforce by OAuth: apps, users, codes, refresh tokens, sessions, identities.

Lives here: `/services/oauth2/...` and what sessions are. Does not live here: who a session belongs to
(`salesforce_identity`), signing in by SOAP (`salesforce_soap`), the REST API (`salesforce`).
Source: reference apis 1.1; Salesforce help, OAuth flows and their error codes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qs, quote, unquote, urlencode

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from adapters.sandbox.org import ORG, Org
from adapters.sandbox.org_people import find_user
from adapters.sandbox.salesforce_faults import Faults
from adapters.sandbox.salesforce_identity import Identities
from adapters.sandbox.service import Grant, SandboxClock, SandboxLog, Tokens
from adapters.sandbox.sobjects import Record

#: How long a session lives without use, unless the org says otherwise.
SESSION_HOURS = 2

#: How long an authorization code can be exchanged, and how far ahead an assertion may expire.
CODE_LIFE, LONGEST_ASSERTION = timedelta(minutes=15), timedelta(minutes=5)

_METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"]
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SCOPES = ("api", "refresh_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class _App:
    """A connected app, or external client app."""

    client_id: str
    secret: str | None
    redirect_uris: tuple[str, ...]
    public_key: RSAPublicKey | None
    #: Users an administrator has approved; without any, users approve for themselves (never for a JWT).
    users: frozenset[str]
    #: Each use of a refresh token gives a new one and ends the old one.
    rotate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    client_id: str
    username: str
    redirect_uri: str
    challenge: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _RefreshToken:
    client_id: str
    username: str


class _OAuthError(Exception):
    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


_WRONG_SECRET = ("invalid_client", "invalid client credentials")
_WRONG_REDIRECT = ("redirect_uri_mismatch", "redirect_uri must match configuration")


class SalesforceLogin:
    """Who may sign in, and how."""

    def __init__(
        self,
        org: Org,
        clock: SandboxClock,
        tokens: Tokens,
        log: SandboxLog,
        lock: threading.RLock,
        faults: Faults,
    ) -> None:
        self._org = org
        self._clock = clock
        self._tokens = tokens
        self._log = log
        self._lock = lock
        self._faults = faults
        #: How long a session lives without use.
        self.session_hours: float = SESSION_HOURS
        #: Who sits at the browser when `login_hint` names nobody; "" for the app's first user.
        self.at_the_browser = ""
        #: The person at the browser presses Deny.
        self.denies = False
        #: Who an assertion may be addressed to, besides this org's own address.
        self.audiences = {"https://login.salesforce.com"}
        self._apps: dict[str, _App] = {}
        self._approved: set[tuple[str, str]] = set()
        self._passwords: dict[str, tuple[str, str]] = {}
        self._codes: dict[str, _Code] = {}
        self._refresh_tokens: dict[str, _RefreshToken] = {}
        self._identities = Identities(org, self.signed_in)
        #: Session -> the refresh token it came from, or "".
        self._sessions: dict[str, str] = {}

    def routes(self) -> Sequence[BaseRoute]:
        """Return its HTTP routes."""
        return (
            Route("/services/oauth2/authorize", self._served(self._authorize), methods=_METHODS),
            Route("/services/oauth2/token", self._served(self._token), methods=_METHODS),
            Route("/services/oauth2/revoke", self._served(self._revoke), methods=_METHODS),
            Route("/services/oauth2/userinfo", self._served(self._identities.userinfo), methods=["GET", "POST"]),
            Route("/id/{org}/{user}", self._served(self._identities.identity), methods=["GET"]),
        )

    # ------------------------------------------------------------------------------------------ settings

    def register_app(
        self,
        client_id: str,
        *,
        secret: str | None,
        redirect_uris: Sequence[str],
        certificate: str | None,
        users: Sequence[str],
        rotate: bool,
    ) -> None:
        """Know an app; a certificate (or public key) is PEM."""
        self._apps[client_id] = _App(
            client_id=client_id,
            secret=secret,
            redirect_uris=tuple(redirect_uris),
            public_key=_public_key(certificate) if certificate else None,
            users=frozenset(name.lower() for name in users),
            rotate=rotate,
        )

    def set_password(self, username: str, password: str, token: str) -> None:
        """Let a user sign in with a password followed by a security token."""
        self._passwords[username.lower()] = (password, token)

    def issue_refresh_token(self, username: str, client_id: str | None) -> str:
        """Hand out a refresh token as the browser sign-in of a user would; without an app, of the first one."""
        token = "5Aep861" + secrets.token_urlsafe(40)
        app = client_id or next(iter(self._apps))
        self._refresh_tokens[token] = _RefreshToken(client_id=app, username=username)
        self._approved.add((app, username.lower()))
        return token

    def expire_sessions(self) -> None:
        """End every session; refresh tokens stay good."""
        self._sessions.clear()
        self._tokens.revoke_all("salesforce")

    # ------------------------------------------------------------------------------------------ sessions

    def check(self, authorization: str) -> Grant | None:
        """Return what a session allows and let it live on, or None when it is not good."""
        grant = self._tokens.check("salesforce", authorization)
        token = authorization.partition(" ")[2]
        if grant is not None and token in self._sessions:
            self._tokens.issue(
                "salesforce", subject=grant.subject, scopes=tuple(grant.scopes), hours=self.session_hours, token=token
            )
        return grant

    def open_session(self, username: str, source: str = "", scopes: Sequence[str] = _SCOPES) -> str:
        """Start a session of a user; `source` is the refresh token it came from."""
        token = f"{ORG[:15]}!AQ{secrets.token_urlsafe(64)}"
        self._tokens.issue("salesforce", subject=username, scopes=scopes, hours=self.session_hours, token=token)
        self._sessions[token] = source
        return token

    def check_password(self, username: str, password: str) -> str:
        """Return "" when a user may sign in so, else the code of the fault."""
        known = self._passwords.get(username.lower())
        if known is None or not self._may_sign_in(username):
            return "INVALID_LOGIN"
        secret, token = known
        if token and hmac.compare_digest(password.encode(), secret.encode()):
            return "LOGIN_MUST_USE_SECURITY_TOKEN"
        return "" if hmac.compare_digest(password.encode(), (secret + token).encode()) else "INVALID_LOGIN"

    def user(self, username: str) -> str:
        """Return the id of the user a token stands for: the integration user's when it names nobody."""
        found = self._find_user(username) if username else None
        return found.id if found is not None else self._org.integration_user

    def signed_in(self, request: Request) -> Record | None:
        """Return the user whose session a request carries."""
        grant = self.check(request.headers.get("authorization", ""))
        return None if grant is None else self._org.record(self.user(grant.subject))

    def _find_user(self, username: str) -> Record | None:
        try:
            return find_user(self._org, username)
        except ValueError:
            return None

    def _may_sign_in(self, username: str) -> bool:
        found = self._find_user(username)
        return found is None or found.values.get("IsActive") is not False

    # ---------------------------------------------------------------------------------- in the browser

    def _authorize(self, request: Request, body: bytes) -> Response:
        asked = dict(request.query_params) if request.method == "GET" else _form(body)
        app = self._apps.get(asked.get("client_id", ""))
        if app is None:
            return _page("invalid_client_id", "client identifier invalid")
        redirect = asked.get("redirect_uri", "")
        if redirect not in app.redirect_uris:
            return _page(*_WRONG_REDIRECT)
        state = {"state": asked["state"]} if "state" in asked else {}

        def back(**words: str) -> Response:
            joiner = "&" if "?" in redirect else "?"
            return RedirectResponse(f"{redirect}{joiner}{urlencode({**words, **state}, quote_via=quote)}", 302)

        if asked.get("response_type") != "code":
            return back(error="unsupported_response_type", error_description="response type not supported")
        challenge = asked.get("code_challenge", "")
        if not challenge and app.secret is None:
            return back(error="invalid_request", error_description="missing required code challenge")
        if challenge and asked.get("code_challenge_method", "S256") != "S256":
            return back(error="invalid_request", error_description="invalid code challenge method")
        username = asked.get("login_hint") or self.at_the_browser or next(iter(sorted(app.users)), "")
        if self._find_user(username) is None and username:
            return _page("access_denied", "nobody of that name signed in")
        if self.denies:
            return back(error="access_denied", error_description="end-user denied authorization")
        if not self._may_sign_in(username) or (app.users and username.lower() not in app.users):
            message = "user is not admin approved to access this app"
            return back(error="OAUTH_APP_ACCESS_DENIED", error_description=message)
        code = "aPrx" + secrets.token_urlsafe(40) + "=="
        self._codes[code] = _Code(
            client_id=app.client_id,
            username=username,
            redirect_uri=redirect,
            challenge=challenge,
            until=self._clock.now() + CODE_LIFE,
        )
        self._approved.add((app.client_id, username.lower()))
        return back(code=code)

    # -------------------------------------------------------------------------------------------- tokens

    def _served(self, answer: Callable[[Request, bytes], Response]) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            return await run_in_threadpool(self._answered, answer, request, body)

        return endpoint

    def _answered(self, answer: Callable[[Request, bytes], Response], request: Request, body: bytes) -> Response:
        self._log.call("salesforce:token", request.method, request.url.path)
        with self._lock:
            failed = self._faults.check_call(request.url.path)
            if failed is not None:
                return failed
            try:
                return answer(request, body)
            except _OAuthError as wrong:
                headers = {"Cache-Control": "no-store"}
                content = {"error": wrong.error, "error_description": wrong.description}
                return JSONResponse(content, status_code=400, headers=headers)

    def _token(self, request: Request, body: bytes) -> Response:
        if request.method != "POST":
            raise _OAuthError("invalid_request", "must use HTTP POST")
        form = _form(body)
        basic = _basic(request.headers.get("authorization", ""))
        client, secret = basic or (form.get("client_id", ""), form.get("client_secret", ""))
        url = str(request.base_url).rstrip("/")
        if form.get("grant_type") == _JWT_BEARER:
            return self._grant_assertion(form, url)
        grants = {
            "authorization_code": self._grant_code,
            "client_credentials": self._grant_client,
            "password": self._grant_password,
            "refresh_token": self._grant_refresh,
        }
        grant = grants.get(form.get("grant_type", ""))
        if grant is None:
            raise _OAuthError("unsupported_grant_type", "grant type not supported")
        app = self._apps.get(client)
        if app is None:
            raise _OAuthError("invalid_client_id", "client identifier invalid")
        if app.secret is not None and not hmac.compare_digest(secret.encode(), app.secret.encode()):
            raise _OAuthError(*_WRONG_SECRET)
        return grant(form, url, app)

    def _grant_code(self, form: Mapping[str, str], url: str, app: _App) -> Response:
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or code.client_id != app.client_id or code.until <= self._clock.now():
            raise _OAuthError("invalid_grant", "expired authorization code")
        if form.get("redirect_uri") != code.redirect_uri:
            raise _OAuthError(*_WRONG_REDIRECT)
        if code.challenge and not hmac.compare_digest(_challenge(form.get("code_verifier", "")), code.challenge):
            raise _OAuthError("invalid_grant", "invalid code verifier")
        self._check_active(code.username)
        token = self.issue_refresh_token(code.username, app.client_id)
        return self._granted(code.username, url, source=token, refresh_token=token)

    def _grant_client(self, _: Mapping[str, str], url: str, app: _App) -> Response:
        if app.secret is None:
            raise _OAuthError(*_WRONG_SECRET)
        return self._granted("", url)

    def _grant_password(self, form: Mapping[str, str], url: str, _: _App) -> Response:
        name = form.get("username", "")
        if self.check_password(name, form.get("password", "")):
            raise _OAuthError("invalid_grant", "authentication failure")
        return self._granted(name, url)

    def _grant_refresh(self, form: Mapping[str, str], url: str, app: _App) -> Response:
        token = form.get("refresh_token", "")
        known = self._refresh_tokens.get(token)
        if known is None or known.client_id != app.client_id:
            raise _OAuthError("invalid_grant", "expired access/refresh token")
        self._check_active(known.username)
        if not app.rotate:
            return self._granted(known.username, url, source=token)
        del self._refresh_tokens[token]
        fresh = self.issue_refresh_token(known.username, app.client_id)
        return self._granted(known.username, url, source=fresh, refresh_token=fresh)

    def _grant_assertion(self, form: Mapping[str, str], url: str) -> Response:
        try:
            claims = jwt.decode(form.get("assertion", ""), options={"verify_signature": False})
        except jwt.InvalidTokenError:
            raise _OAuthError("invalid_grant", "invalid assertion") from None
        app = self._apps.get(str(claims.get("iss", "")))
        if app is None:
            raise _OAuthError("invalid_client_id", "client identifier invalid")
        self._check_signature(app, form.get("assertion", ""))
        if str(claims.get("aud", "")).rstrip("/") not in {url, *self.audiences}:
            raise _OAuthError("invalid_grant", "audience is invalid")
        expires, now = claims.get("exp"), self._clock.now().timestamp()
        if not isinstance(expires, (int, float)) or isinstance(expires, bool) or expires <= now:
            raise _OAuthError("invalid_grant", "expired authorization code")
        if expires - now > LONGEST_ASSERTION.total_seconds():
            raise _OAuthError("invalid_grant", "invalid assertion")
        name = str(claims.get("sub", ""))
        approved = name.lower() in app.users or (app.client_id, name.lower()) in self._approved
        if not name or self._find_user(name) is None or not approved:
            raise _OAuthError("invalid_grant", "user hasn't approved this consumer")
        self._check_active(name)
        return self._granted(name, url, signed=False)

    def _check_signature(self, app: _App, assertion: str) -> None:
        if app.public_key is None:
            raise _OAuthError("invalid_grant", "invalid assertion")
        checked = {"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False}
        try:
            jwt.decode(assertion, app.public_key, algorithms=["RS256"], options=checked)  # type: ignore[arg-type]
        except jwt.InvalidTokenError:
            raise _OAuthError("invalid_grant", "invalid assertion") from None

    def _check_active(self, username: str) -> None:
        if not self._may_sign_in(username):
            raise _OAuthError("inactive_user", "user is inactive")

    def _granted(self, username: str, url: str, *, source: str = "", signed: bool = True, **more: str) -> Response:
        body = {
            "access_token": self.open_session(username, source),
            **more,
            "scope": " ".join(_SCOPES) if source else "api",
            "instance_url": url,
            "id": f"{url}/id/{ORG}/{self.user(username)}",
            "token_type": "Bearer",
        }
        if signed:
            body["signature"] = base64.b64encode(secrets.token_bytes(32)).decode()
            body["issued_at"] = str(int(self._clock.now().timestamp() * 1000))
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    def _revoke(self, request: Request, body: bytes) -> Response:
        token = (dict(request.query_params) | _form(body)).get("token", "")
        if token in self._refresh_tokens:
            del self._refresh_tokens[token]
            ended = [session for session, source in self._sessions.items() if source == token]
        elif token in self._sessions:
            ended = [token]
        else:
            raise _OAuthError("invalid_token", "invalid token")
        for session in ended:
            del self._sessions[session]
            self._tokens.revoke("salesforce", session)
        return Response(status_code=200)


def _public_key(pem: str) -> RSAPublicKey:
    data = pem.encode()
    found = x509.load_pem_x509_certificate(data).public_key() if b"CERTIFICATE" in data else load_pem_public_key(data)
    if not isinstance(found, RSAPublicKey):
        raise TypeError("an app's certificate must hold an RSA key")
    return found


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _form(body: bytes) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, code = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(code).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote(user), unquote(password)


def _page(error: str, description: str) -> Response:
    """Answer in the browser what must not go to an address nobody registered."""
    return PlainTextResponse(f"error={error}&error_description={quote(description)}", status_code=400)
