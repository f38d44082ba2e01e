"""An issuer of OpenID Connect that says whatever a test wants it to, served over real HTTP.

It judges nothing: it takes whatever we send. `emulate` and `oidc-provider` (`tests/judges`) judge our other sign-ins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from adapters.sandbox.server import Server

CLIENT, SECRET = "connector", "a-secret-of-the-tests"


@dataclass(kw_only=True)
class Issuer:
    """What it says, and what it was asked."""

    url: str = ""
    key: RSAKey = field(default_factory=lambda: new_key("first"))
    #: Keys that it shows; None: the one it signs with.
    shown: list[RSAKey] | None = None
    #: Claims, changed for the next token.
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    #: What its discovery document says otherwise.
    metadata: dict[str, Any] = field(default_factory=dict)
    #: What the token endpoint answers instead of a token.
    refuses: Response | None = None
    #: How the client must prove itself; None: as it likes.
    takes: str | None = None
    #: What UserInfo says, where its discovery document names it.
    user_info: dict[str, Any] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    discovered: int = 0
    #: Who sits at the browser, when one comes, and what time it is then.
    person: str = ""
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/userinfo", self._user_info),
            ]
        )

    def usual(self, now: datetime, nonce: str, /, **claims: Any) -> None:
        """Have the next token say what is right, and these claims besides; None leaves one out."""
        at = int(now.timestamp())
        said = {"iss": self.url, "aud": CLIENT, "sub": "1", "iat": at, "exp": at + 300, "nonce": nonce} | claims
        self.claims = {name: value for name, value in said.items() if value is not None}

    async def _discovery(self, _request: Request) -> Response:
        self.discovered += 1
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            }
            | self.metadata
        )

    async def _authorize(self, request: Request) -> Response:
        asked = request.query_params
        self.usual(self.now(), asked["nonce"], email=self.person, email_verified=True)
        return RedirectResponse(
            f"{asked['redirect_uri']}?{urlencode({'code': 'a-code', 'state': asked['state']})}", 303
        )

    async def _keys(self, _request: Request) -> Response:
        keys = [self.key] if self.shown is None else self.shown
        return JSONResponse({"keys": [key.as_dict(private=False) for key in keys]})

    async def _token(self, request: Request) -> Response:
        self.asked.append({name: str(value) for name, value in (await request.form()).items()})
        if self.refuses is not None:
            return self.refuses
        proof = "client_secret_post" if "client_secret" in self.asked[-1] else "client_secret_basic"
        if self.takes not in (None, proof):
            return JSONResponse({"error": "invalid_client"}, 401)
        signed = jwt.encode({"alg": "RS256", "kid": self.key.kid} | self.header, self.claims, self.key)
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "expires_in": 300, "id_token": signed})

    async def _user_info(self, request: Request) -> Response:
        allowed = request.headers.get("authorization") == "Bearer x"
        return JSONResponse(self.user_info if allowed else {"error": "invalid_token"}, 200 if allowed else 401)


def new_key(kid: str) -> RSAKey:
    """Return a new key to sign with."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


def serve_issuer() -> tuple[Issuer, Server]:
    """Return an issuer that is being served, and the server to stop."""
    issuer = Issuer()
    server = Server(issuer.app())
    issuer.url = server.url
    return issuer, server
