"""Simulated Microsoft login: what msal asks, and tokens for applications.

Lives here: the instance and tenant discovery documents, the client_credentials grant, refusals with their AADSTS
numbers. Does not live here: what a token opens (`graph`).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from adapters.sandbox.service import SandboxClock, SandboxLog, Tokens


class MicrosoftLogin:
    """The login of every tenant that has a registered client."""

    def __init__(self, clock: SandboxClock, tokens: Tokens, log: SandboxLog) -> None:
        self._clock = clock
        self._tokens = tokens
        self._log = log
        #: (tenant, client id) -> (secret, roles).
        self._clients: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}

    def register_client(self, tenant: str, client_id: str, secret: str, roles: Sequence[str]) -> None:
        """Register an application with its secret and the application permissions it was granted."""
        self._clients[tenant, client_id] = (secret, tuple(roles))

    def forget_clients(self) -> None:
        """Forget every application."""
        self._clients.clear()

    def routes(self) -> Sequence[BaseRoute]:
        """Return the discovery and token endpoints."""
        return (
            Route("/common/discovery/instance", self._instance, methods=["GET"]),
            Route("/{tenant}/v2.0/.well-known/openid-configuration", self._openid, methods=["GET"]),
            Route("/{tenant}/oauth2/v2.0/token", self._token, methods=["POST"]),
        )

    async def _instance(self, request: Request) -> Response:
        tenant = urlsplit(request.query_params.get("authorization_endpoint", "")).path.split("/")[1:2]
        host = request.headers["host"]
        base = f"https://{host}/{(tenant or ['common'])[0]}"
        return JSONResponse(
            {
                "tenant_discovery_endpoint": f"{base}/v2.0/.well-known/openid-configuration",
                "api-version": "1.1",
                "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
            }
        )

    async def _openid(self, request: Request) -> Response:
        tenant = request.path_params["tenant"]
        self._log.call("graph:token", "GET", request.url.path)
        if not self._knows(tenant):
            return self._login_refusal(400, "invalid_tenant", 90002, f"Tenant '{tenant}' not found.")
        # msal refuses anything but https here; the connector's client speaks plain http to loopback (reference 8.6).
        base = f"https://{request.headers['host']}/{tenant}"
        return JSONResponse(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "tenant_region_scope": None,
            }
        )

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        tenant = request.path_params["tenant"]
        self._log.call("graph:token", "POST", request.url.path)
        client = form.get("client_id", "")
        if not self._knows(tenant):
            return self._login_refusal(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
        if "grant_type" not in form:
            sentence = "The request body must contain the following parameter: 'grant_type'."
            return self._login_refusal(400, "invalid_request", 900144, sentence)
        if form["grant_type"] != "client_credentials":
            sentence = f"The app requested an unsupported grant type '{form['grant_type']}'."
            return self._login_refusal(400, "unsupported_grant_type", 70003, sentence)
        known = self._clients.get((tenant, client))
        if known is None:
            sentence = f"Application with identifier '{client}' was not found in the directory '{tenant}'."
            return self._login_refusal(400, "unauthorized_client", 700016, sentence)
        secret, roles = known
        if form.get("client_secret") != secret:
            sentence = (
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                f"value, not the client secret ID, for a secret added to app '{client}'."
            )
            return self._login_refusal(401, "invalid_client", 7000215, sentence)
        scopes = form.get("scope", "").split()
        if not scopes or not all(scope.endswith("/.default") for scope in scopes):
            sentence = (
                f"The provided value for scope {' '.join(scopes)} is not valid. Client credential flows must have a "
                "scope value with /.default suffixed to the resource identifier (application ID URI)."
            )
            return self._login_refusal(400, "invalid_scope", 1002012, sentence)
        token = self._tokens.issue("graph", scopes=roles)
        return JSONResponse({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token})

    def _knows(self, tenant: str) -> bool:
        return any(tenant == one for one, _ in self._clients)

    def _login_refusal(self, status: int, error: str, number: int, sentence: str) -> Response:
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        at = self._clock.now().strftime("%Y-%m-%d %H:%M:%SZ")
        described = f"AADSTS{number}: {sentence} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {at}"
        body = {
            "error": error,
            "error_description": described,
            "error_codes": [number],
            "timestamp": at,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={number}",
        }
        return JSONResponse(body, status_code=status)
