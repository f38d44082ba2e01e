"""Simulated Microsoft sign-in: what msal asks, the browser's page, device codes, tokens for persons and applications.

Lives here: discovery, every grant the connector uses, refusals with their AADSTS numbers. Does not live here:
what a token opens (`graph`), who an application is (`microsoft_apps`).
A person at the browser consents at once, and at the second look for a device code, unless `consent` says otherwise.
Source: reference apis 3.7 and 3.8; Microsoft's pages on the identity platform's protocols and AADSTS codes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from adapters.sandbox.mailbox import Kind
from adapters.sandbox.mailworld import MailWorld
from adapters.sandbox.microsoft_apps import Applications, DeniedError
from adapters.sandbox.service import SandboxClock, SandboxLog, Tokens

_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"

#: How long a code of the browser and a device code can be traded.
_CODE_LIFE, _DEVICE_LIFE = timedelta(minutes=10), timedelta(minutes=15)

#: Scopes that open nothing at Graph.
_OPENID = frozenset({"openid", "profile", "offline_access", "email"})

#: Refusals of a refresh token that ask for the person, not for a new sign-in.
_INTERACTIVE = frozenset({50076, 50079, 53003})


@dataclass(frozen=True, slots=True, kw_only=True)
class _SignIn:
    """What a person agreed to."""

    tenant: str
    client_id: str
    subject: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    sign_in: _SignIn
    redirect_uri: str
    challenge: str
    nonce: str
    until: datetime


@dataclass(slots=True, kw_only=True)
class _Device:
    tenant: str
    client_id: str
    scopes: tuple[str, ...]
    until: datetime
    looks: int = 0


class MicrosoftLogin:
    """The login of every tenant that has a registered client."""

    def __init__(self, clock: SandboxClock, tokens: Tokens, log: SandboxLog, world: MailWorld) -> None:
        self._clock = clock
        self._tokens = tokens
        self._log = log
        self._world = world
        self._applications = Applications()
        #: Who sits at the browser, whatever `login_hint` says; "" for the one it names.
        self._at_the_browser = ""
        #: What this person signs in by, when it is not the address of the mailbox.
        self._signs_in_as = ""
        self._denies = False
        self._grants_only: frozenset[str] | None = None
        self._codes: dict[str, _Code] = {}
        self._devices: dict[str, _Device] = {}
        self._refresh: dict[str, _SignIn] = {}
        #: Refresh token that was ended -> AADSTS number it is answered with.
        self._ended: dict[str, int] = {}

    # --------------------------------------------------------------------------------------- set-up

    def register_client(self, tenant: str, client_id: str, secret: str, roles: Sequence[str]) -> None:
        """Register an application with its secret and the application permissions it was granted."""
        self._applications.register(tenant, client_id, secret, roles)

    def register_certificate(self, tenant: str, client_id: str, certificate: str) -> None:
        """Let a registered application sign in by a certificate (PEM)."""
        self._applications.trust(tenant, client_id, certificate)

    def forget_clients(self) -> None:
        """Forget every application."""
        self._applications.forget()

    def routes(self) -> Sequence[BaseRoute]:
        """Return the discovery and token endpoints and the page of the browser."""
        return (
            Route("/common/discovery/instance", self._instance, methods=["GET"]),
            Route("/{tenant}/v2.0/.well-known/openid-configuration", self._openid, methods=["GET"]),
            Route("/{tenant}/oauth2/v2.0/authorize", self._served(self._authorize), methods=["GET"]),
            Route("/{tenant}/oauth2/v2.0/devicecode", self._served(self._device_code), methods=["POST"]),
            Route("/{tenant}/oauth2/v2.0/token", self._served(self._token), methods=["POST"]),
        )

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what a rep or an administrator can do to the sign-in."""
        return {"outlook_consents": self.consent, "outlook_ends_sign_in": self.end_sign_in}

    # --------------------------------------------------------------------------- people outside

    def consent(
        self,
        *,
        account: str = "",
        signs_in_as: str = "",
        denies: bool = False,
        grants_only: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Set what the person at the browser does: choose another account, press Cancel, be granted a few scopes."""
        self._at_the_browser, self._signs_in_as, self._denies = account.lower(), signs_in_as.lower(), denies
        self._grants_only = None if grants_only is None else frozenset(grants_only)
        return {}

    def end_sign_in(self, *, rep: str = "", number: int = 50173) -> dict[str, Any]:
        """End the tokens of one rep, or of all; the refresh token is refused with that AADSTS number from now on."""
        ended = [token for token, one in self._refresh.items() if rep.lower() in ("", one.subject)]
        self._ended |= dict.fromkeys(ended, number)
        for subject in {self._refresh.pop(token).subject for token in ended}:
            self._tokens.revoke_all("graph", subject=subject)
        return {"refresh_tokens": len(ended)}

    # ------------------------------------------------------------------------------------ discovery

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
        try:
            self._applications.check_tenant(tenant, error="invalid_tenant")
        except DeniedError as denied:
            return self._refusal(denied)
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

    # ---------------------------------------------------------------------------------- the person

    def _served(self, answer: Callable[[Request, Mapping[str, str]], Response]) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            sent = (await request.body()).decode("utf-8", "replace")
            form = dict(request.query_params) | dict(parse_qsl(sent))
            return await run_in_threadpool(self._answered, answer, request, form)

        return endpoint

    def _answered(
        self,
        answer: Callable[[Request, Mapping[str, str]], Response],
        request: Request,
        form: Mapping[str, str],
    ) -> Response:
        self._log.call("graph:token", request.method, request.url.path)
        with self._world.lock:
            try:
                self._applications.check_tenant(request.path_params["tenant"])
                return answer(request, form)
            except DeniedError as denied:
                return self._refusal(denied)

    def _agreed(self, scopes: Sequence[str]) -> tuple[str, ...]:
        """Return the scopes that are granted of those that were asked for."""
        some = self._grants_only
        return tuple(one for one in scopes if some is None or one in _OPENID or _short(one) in some)

    def _authorize(self, request: Request, form: Mapping[str, str]) -> Response:
        tenant, redirect = request.path_params["tenant"], form.get("redirect_uri", "")
        try:
            self._applications.find(tenant, form.get("client_id", ""))
            _check_redirect(form)
        except DeniedError as denied:
            # Microsoft shows a page of its own for what it cannot trust the redirect with.
            return PlainTextResponse(f"AADSTS{denied.number}: {denied}", 400)
        back = {"state": form["state"]} if "state" in form else {}
        subject = self._at_the_browser or form.get("login_hint", "").lower()
        if self._denies or self._world.mailbox(Kind.OUTLOOK, subject) is None:
            refused = self._described(65004, "User declined to consent to access the app.")
            query = urlencode({"error": "access_denied", "error_description": refused, **back})
            return RedirectResponse(f"{redirect}?{query}", 302)
        code = "1." + secrets.token_urlsafe(60)
        self._codes[code] = _Code(
            sign_in=_SignIn(
                tenant=tenant,
                client_id=form["client_id"],
                subject=subject,
                scopes=self._agreed(form.get("scope", "").split()),
            ),
            redirect_uri=redirect,
            challenge=form["code_challenge"],
            nonce=form.get("nonce", ""),
            until=self._clock.now() + _CODE_LIFE,
        )
        return RedirectResponse(f"{redirect}?{urlencode({'code': code, **back})}", 302)

    def _device_code(self, request: Request, form: Mapping[str, str]) -> Response:
        tenant = request.path_params["tenant"]
        self._applications.find(tenant, form.get("client_id", ""))
        code, shown = secrets.token_urlsafe(40), secrets.token_hex(4).upper()
        self._devices[code] = _Device(
            tenant=tenant,
            client_id=form["client_id"],
            scopes=tuple(form.get("scope", "").split()),
            until=self._clock.now() + _DEVICE_LIFE,
        )
        where = f"http://{request.headers['host']}/devicelogin"
        return JSONResponse(
            {
                "user_code": shown,
                "device_code": code,
                "verification_uri": where,
                "expires_in": int(_DEVICE_LIFE.total_seconds()),
                "interval": 5,
                "message": f"To sign in, use a web browser to open the page {where} and enter the code {shown}.",
            }
        )

    # --------------------------------------------------------------------------------------- tokens

    def _token(self, request: Request, form: Mapping[str, str]) -> Response:
        tenant = request.path_params["tenant"]
        if "grant_type" not in form:
            raise DeniedError(900144, "The request body must contain the following parameter: 'grant_type'.")
        grants: Mapping[str, Callable[[str, Mapping[str, str]], Response]] = {
            "client_credentials": self._grant_application,
            "authorization_code": self._grant_code,
            "refresh_token": self._grant_refresh,
            _DEVICE_CODE: self._grant_device,
        }
        grant = grants.get(form["grant_type"])
        if grant is None:
            raise DeniedError(
                70003,
                f"The app requested an unsupported grant type '{form['grant_type']}'.",
                error="unsupported_grant_type",
            )
        self._applications.check_proof(tenant, form, address=str(request.url))
        return grant(tenant, form)

    def _grant_application(self, tenant: str, form: Mapping[str, str]) -> Response:
        application = self._applications.find(tenant, form.get("client_id", ""))
        scopes = form.get("scope", "").split()
        if not scopes or not all(scope.endswith("/.default") for scope in scopes):
            raise DeniedError(
                1002012,
                f"The provided value for scope {' '.join(scopes)} is not valid. Client credential flows must have a "
                "scope value with /.default suffixed to the resource identifier (application ID URI).",
                error="invalid_scope",
            )
        token = self._issued("", application.roles, {"roles": list(application.roles), "appid": form["client_id"]})
        return JSONResponse({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token})

    def _grant_code(self, tenant: str, form: Mapping[str, str]) -> Response:
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or (code.sign_in.tenant, code.sign_in.client_id) != (tenant, form.get("client_id")):
            raise DeniedError(54005, "OAuth2 Authorization code was already redeemed.", error="invalid_grant")
        if code.until <= self._clock.now():
            raise DeniedError(70008, "The provided authorization code has expired.", error="invalid_grant")
        if form.get("redirect_uri") != code.redirect_uri:
            raise DeniedError(50011, "The redirect URI specified in the request does not match.")
        if not hmac.compare_digest(_challenge(form.get("code_verifier", "")), code.challenge):
            raise DeniedError(501481, "The Code_Verifier does not match the code_challenge.", error="invalid_grant")
        return self._given(code.sign_in, nonce=code.nonce)

    def _grant_device(self, tenant: str, form: Mapping[str, str]) -> Response:
        device = self._devices.get(form.get("device_code", ""))
        if device is None or (device.tenant, device.client_id) != (tenant, form.get("client_id")):
            raise DeniedError(70000, "The provided value for 'device_code' is not valid.", error="invalid_grant")
        if device.until <= self._clock.now():
            raise DeniedError(70020, "The provided value for 'device_code' has expired.", error="expired_token")
        device.looks += 1
        if device.looks > 1 and self._denies:
            raise DeniedError(65004, "User declined to consent.", error="authorization_declined")
        if device.looks == 1 or self._world.mailbox(Kind.OUTLOOK, self._at_the_browser) is None:
            raise DeniedError(70016, "Authorization is pending. Continue polling.", error="authorization_pending")
        del self._devices[form["device_code"]]
        return self._given(
            _SignIn(
                tenant=tenant,
                client_id=device.client_id,
                subject=self._at_the_browser,
                scopes=self._agreed(device.scopes),
            )
        )

    def _grant_refresh(self, tenant: str, form: Mapping[str, str]) -> Response:
        token = form.get("refresh_token", "")
        if token in self._ended:
            number = self._ended[token]
            error = "interaction_required" if number in _INTERACTIVE else "invalid_grant"
            raise DeniedError(number, "The grant was ended and a fresh sign-in is needed.", error=error)
        sign_in = self._refresh.get(token)
        if sign_in is None or (sign_in.tenant, sign_in.client_id) != (tenant, form.get("client_id")):
            raise DeniedError(70000, "The provided value for 'refresh_token' is not valid.", error="invalid_grant")
        # Stricter than Microsoft, which lets the old one live on for a while.
        del self._refresh[token]
        return self._given(sign_in)

    def _given(self, sign_in: _SignIn, *, nonce: str = "") -> Response:
        """Return what msal reads after a person's sign-in or its renewal."""
        names = tuple(_short(scope) for scope in sign_in.scopes if scope not in _OPENID)
        shown = self._signs_in_as or sign_in.subject
        who = str(uuid.uuid5(uuid.NAMESPACE_DNS, sign_in.subject))
        # The times of tokens are the machine's: a client reads them by its own clock.
        now = int(time.time())
        identity = {
            "iss": f"https://login.microsoftonline.com/{sign_in.tenant}/v2.0",
            "aud": sign_in.client_id,
            "sub": who,
            "oid": who,
            "tid": sign_in.tenant,
            "preferred_username": shown,
            "iat": now,
            "nbf": now,
            "exp": now + 3599,
            **({"nonce": nonce} if nonce else {}),
        }
        body = {
            "token_type": "Bearer",
            "scope": " ".join(scope for scope in sign_in.scopes if scope != "offline_access"),
            "expires_in": 3599,
            "ext_expires_in": 3599,
            "access_token": self._issued(sign_in.subject, names, {"scp": " ".join(names), "upn": shown}),
            "id_token": _jwt(identity),
            "client_info": _base64(json.dumps({"uid": who, "utid": sign_in.tenant}).encode()),
        }
        if "offline_access" in sign_in.scopes:
            fresh = body["refresh_token"] = "1.A" + secrets.token_urlsafe(80)
            self._refresh[fresh] = sign_in
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    def _issued(self, subject: str, scopes: Sequence[str], claims: Mapping[str, Any]) -> str:
        now = int(time.time())
        token = _jwt({"iat": now, "exp": now + 3599, "uti": secrets.token_urlsafe(16), **claims})
        return self._tokens.issue("graph", subject=subject, scopes=scopes, token=token)

    # ----------------------------------------------------------------------------------------- refusals

    def _described(self, number: int, sentence: str, trace: str = "", correlation: str = "") -> str:
        at = self._clock.now().strftime("%Y-%m-%d %H:%M:%SZ")
        trace, correlation = trace or str(uuid.uuid4()), correlation or str(uuid.uuid4())
        return f"AADSTS{number}: {sentence} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {at}"

    def _refusal(self, denied: DeniedError) -> Response:
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        body = {
            "error": denied.error,
            "error_description": self._described(denied.number, str(denied), trace, correlation),
            "error_codes": [denied.number],
            "timestamp": self._clock.now().strftime("%Y-%m-%d %H:%M:%SZ"),
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={denied.number}",
        }
        return JSONResponse(body, status_code=denied.status)


def _check_redirect(form: Mapping[str, str]) -> None:
    """Raise `DeniedError` for what Microsoft sends back to nobody."""
    address = urlsplit(form.get("redirect_uri", ""))
    if (address.scheme, address.hostname, address.path) != ("http", "localhost", "/callback"):
        raise DeniedError(50011, f"The redirect URI '{address.geturl()}' specified in the request does not match.")
    if form.get("code_challenge_method") != "S256" or not form.get("code_challenge"):
        raise DeniedError(9002325, "Proof Key for Code Exchange is required.")


def _short(scope: str) -> str:
    return scope.rpartition("/")[2]


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _challenge(verifier: str) -> str:
    return _base64(hashlib.sha256(verifier.encode()).digest())


def _jwt(claims: Mapping[str, Any]) -> str:
    # Nobody outside verifies these: Microsoft asks that access tokens for Graph be taken as opaque.
    return jwt.encode(dict(claims), "the sandbox's key, which is no secret to anyone", algorithm="HS256")
