"""Signing in to the simulated Salesforce.

Lives here: connected apps, users' passwords, refresh tokens, the token endpoint. Does not live here: tokens themselves
(`service`), the REST API (`salesforce`).
Source: reference apis 1.1.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from adapters.sandbox.org import Org
from adapters.sandbox.salesforce_faults import Faults
from adapters.sandbox.service import SandboxClock, SandboxLog, Tokens

#: How long an access token lives without use.
SESSION_HOURS = 2

_METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"]


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
        #: Whether each use of a refresh token gives a new one and ends the old one.
        self.rotates_refresh_tokens = True
        self._clients: dict[str, str] = {}
        self._passwords: dict[str, str] = {}
        self._refresh_tokens: dict[str, str] = {}

    def routes(self) -> Sequence[BaseRoute]:
        """Return its HTTP routes."""
        return (Route("/services/oauth2/token", self._serve_token, methods=_METHODS),)

    def register_client(self, client_id: str, secret: str) -> str:
        """Know a connected app; return its secret."""
        self._clients[client_id] = secret
        return secret

    def set_password(self, username: str, password: str) -> None:
        """Let a user sign in with a password."""
        self._passwords[username.lower()] = password

    def issue_refresh_token(self, username: str) -> str:
        """Hand out a refresh token as the browser sign-in of a user would."""
        token = "5Aep861" + secrets.token_urlsafe(40)
        self._refresh_tokens[token] = username
        return token

    async def _serve_token(self, request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(self._token, request, body)

    def _token(self, request: Request, body: bytes) -> Response:
        self._log.call("salesforce:token", request.method, request.url.path)
        failed = self._faults.check_call(request.url.path)
        if failed is not None:
            return failed
        if request.method != "POST":
            return _token_error("invalid_request", "must use HTTP POST")
        form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        basic = _basic(request.headers.get("authorization", ""))
        client, secret = basic or (form.get("client_id", ""), form.get("client_secret", ""))
        grants = {
            "client_credentials": self._grant_client,
            "password": self._grant_password,
            "refresh_token": self._grant_refresh,
        }
        grant = grants.get(form.get("grant_type", ""))
        if grant is None:
            return _token_error("unsupported_grant_type", "grant type not supported")
        if client not in self._clients:
            return _token_error("invalid_client_id", "client identifier invalid")
        with self._lock:
            return grant(form, str(request.base_url).rstrip("/"), secret == self._clients[client])

    def _grant_client(self, _: Mapping[str, str], url: str, trusted: bool) -> Response:  # noqa: FBT001 - one of three alike
        if not trusted:
            return _token_error("invalid_client", "invalid client credentials")
        return self._granted("", url)

    def _grant_password(self, form: Mapping[str, str], url: str, trusted: bool) -> Response:  # noqa: FBT001
        if not trusted:
            return _token_error("invalid_client", "invalid client credentials")
        name = form.get("username", "").lower()
        if not name or self._passwords.get(name) != form.get("password"):
            return _token_error("invalid_grant", "authentication failure")
        return self._granted(name, url)

    def _grant_refresh(self, form: Mapping[str, str], url: str, trusted: bool) -> Response:  # noqa: FBT001
        """A public app may refresh without a secret; a wrong one is refused."""
        if not trusted and form.get("client_secret"):
            return _token_error("invalid_client", "invalid client credentials")
        token = form.get("refresh_token", "")
        name = self._refresh_tokens.get(token)
        if name is None:
            return _token_error("invalid_grant", "expired access/refresh token")
        if not self.rotates_refresh_tokens:
            return self._granted(name, url)
        del self._refresh_tokens[token]
        return self._granted(name, url, refresh_token=self.issue_refresh_token(name))

    def _granted(self, username: str, url: str, **more: str) -> Response:
        token = f"00DSandbox00001!{secrets.token_urlsafe(48)}"
        self._tokens.issue("salesforce", subject=username, scopes=("api",), hours=SESSION_HOURS, token=token)
        user = self.user(username)
        return JSONResponse(
            {
                "access_token": token,
                **more,
                "signature": base64.b64encode(secrets.token_bytes(32)).decode(),
                "scope": "api",
                "instance_url": url,
                "id": f"{url}/id/00DSandbox00001EAA/{user}",
                "token_type": "Bearer",
                "issued_at": str(int(self._clock.now().timestamp() * 1000)),
            }
        )

    def user(self, username: str) -> str:
        """Return the id of the user a token stands for: the integration user's when it names nobody."""
        try:
            return self._org.user(username).id if username else self._org.integration_user
        except ValueError:
            return self._org.integration_user


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, code = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(code).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote(user), unquote(password)


def _token_error(error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status_code=400)
