"""`oidc-provider`, a token server that nobody here wrote, as the sign-in of a Microsoft organisation.

Lives here: starting it, the person at the browser, an administrator. Does not live here: the tests.

It judges what msal and our sign-in send, and what comes of a token: PKCE, redirect to a free port of this machine, proof
by secret and certificate, device codes, refresh tokens that are good for one use. It is no judge of these, which only
Entra has: AADSTS numbers and suberrors, consent of an administrator, Conditional Access, `.default` as what was
granted, `client_info`, `login_hint` that names an account, what a token says to Graph.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urljoin

import jwt
import requests
from cryptography import x509

from adapters.http import ServiceSession
from adapters.outlook.account import COSTS, PROFILE
from tests.judges.programs import HERE, serving

TENANT = "acme"
#: Two applications with a proof of their own, and the one people sign in to.
WITH_SECRET, WITH_CERTIFICATE, OF_PEOPLE = "nightly", "certified", "connector"
SECRET = "a-secret-of-the-tests"

_GRAPH = "https://graph.microsoft.com"
_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
_FORM = re.compile(r'<form[^>]* method="post" action="([^"]+)"')
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


@contextmanager
def providing(certificate: str) -> Iterator[str]:
    """Run it, with an application that is known by this certificate (PEM), and yield its address."""
    application = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
    settings = {
        "tenant": TENANT,
        "scopes": [f"{_GRAPH}/{name}" for name in (*COSTS, PROFILE, ".default")],
        "clients": [
            {
                **application,
                "client_id": WITH_SECRET,
                "client_secret": SECRET,
                "token_endpoint_auth_method": "client_secret_post",
            },
            {
                **application,
                "client_id": WITH_CERTIFICATE,
                "token_endpoint_auth_method": "private_key_jwt",
                "jwks": {"keys": [_public_key(certificate)]},
            },
            {
                "client_id": OF_PEOPLE,
                "application_type": "native",
                "token_endpoint_auth_method": "none",
                "redirect_uris": ["http://localhost/callback"],
                "grant_types": ["authorization_code", "refresh_token", _DEVICE_CODE],
            },
        ],
    }
    with serving(HERE / "oidc_provider.cjs", json.dumps(settings)) as url:
        yield url


def _public_key(certificate: str) -> dict[str, Any]:
    key = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    return {**jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True), "use": "sig"}


@dataclass(kw_only=True)
class Browser:
    """A `ports.Conversation` with somebody at the browser, who opens what is shown and signs in."""

    url: str
    #: Who it is; "" declines.
    person: str
    shown: list[str] = field(default_factory=list)

    def show(self, sentence: str) -> None:
        self.shown.append(sentence)

    def open(self, address: str) -> None:
        with self._window() as window:
            window.get(address).raise_for_status()

    def enter_code(self) -> None:
        """Open the page that was shown, enter the code that was shown, and sign in."""
        place, code = re.search(r"open (\S+) and enter the code (\S+)\. ", self.shown[-1]).groups()
        with self._window() as window:
            page = window.get(place)
            # One form takes the code, and one asks whether it is the person's own; then a page to sign in.
            for _ in range(2):
                form = _FORM.search(page.text)
                assert form is not None, page.text
                fields = {"user_code": code, **dict(_HIDDEN.findall(page.text))}
                page = window.post(urljoin(page.url, unescape(form[1])), data=fields, allow_redirects=True)

    def _window(self) -> ServiceSession:
        window = ServiceSession(plain_base=self.url)
        window.headers["X-Person"] = self.person
        return window


class Administrator:
    """Looks at tokens, and ends them."""

    def __init__(self, url: str) -> None:
        self._token = f"{url}/{TENANT}/v2.0/token"

    def look(self, token: str) -> Mapping[str, Any]:
        """Return what the server knows of a token."""
        told = self._post("/introspection", token=token, client_id=WITH_SECRET, client_secret=SECRET).json()
        return {name: told.get(name) for name in ("active", "client_id", "scope", "sub")}

    def revoke(self, token: str) -> None:
        """End a refresh token and all that came of it."""
        self._post("/revocation", token=token, client_id=OF_PEOPLE)

    def _post(self, path: str, **form: str) -> requests.Response:
        with ServiceSession() as session:
            answer = session.post(self._token + path, data=form)
        answer.raise_for_status()
        return answer
