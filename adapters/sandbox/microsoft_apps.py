"""Applications registered at the simulated Microsoft sign-in, and how they prove who they are.

Lives here: secrets and certificates of applications, and `DeniedError`. Does not live here: what persons agree to, and
the tokens that come of it (`microsoft_login`).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey


class DeniedError(Exception):
    """A refusal, with its AADSTS number."""

    def __init__(self, number: int, sentence: str, *, error: str = "invalid_request", status: int = 400) -> None:
        super().__init__(sentence)
        self.number, self.error, self.status = number, error, status


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A registered application; public flows are allowed, with the redirect `http://localhost/callback`."""

    secret: str
    #: Application permissions that were granted.
    roles: tuple[str, ...]
    certificate: x509.Certificate | None = None


class Applications:
    """Every registered application, by tenant and client id."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Application] = {}

    def register(self, tenant: str, client_id: str, secret: str, roles: Sequence[str]) -> None:
        """Know an application."""
        self._known[tenant, client_id] = Application(secret=secret, roles=tuple(roles))

    def trust(self, tenant: str, client_id: str, certificate: str) -> None:
        """Let an application sign in by a certificate (PEM)."""
        loaded = x509.load_pem_x509_certificate(certificate.encode())
        self._known[tenant, client_id] = replace(self._known[tenant, client_id], certificate=loaded)

    def forget(self) -> None:
        """Forget every application."""
        self._known.clear()

    def check_tenant(self, tenant: str, *, error: str = "invalid_request") -> None:
        """Raise `DeniedError` for a tenant without applications."""
        if not any(tenant == one for one, _ in self._known):
            raise DeniedError(90002, f"Tenant '{tenant}' not found.", error=error)

    def find(self, tenant: str, client_id: str) -> Application:
        """Return an application; raise `DeniedError` for one that is not known."""
        known = self._known.get((tenant, client_id))
        if known is None:
            raise DeniedError(
                700016,
                f"Application with identifier '{client_id}' was not found in the directory '{tenant}'.",
                error="unauthorized_client",
            )
        return known

    def check_proof(self, tenant: str, form: Mapping[str, str], *, address: str) -> None:
        """Raise `DeniedError` when an application does not prove who it is, where it says it can or has to."""
        client = form.get("client_id", "")
        application = self.find(tenant, client)
        if "client_assertion" in form:
            _check_assertion(application, client, form["client_assertion"], address=address)
            return
        needed = "client_secret" in form or form["grant_type"] == "client_credentials"
        if needed and not hmac.compare_digest(form.get("client_secret", "").encode(), application.secret.encode()):
            raise DeniedError(
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                f"value, not the client secret ID, for a secret added to app '{client}'.",
                error="invalid_client",
                status=401,
            )


def _check_assertion(application: Application, client: str, assertion: str, *, address: str) -> None:
    refused = DeniedError(
        700027,
        "The certificate with which the assertion is signed is not registered.",
        error="invalid_client",
        status=401,
    )
    certificate = application.certificate
    if certificate is None:
        raise refused
    key = certificate.public_key()
    print_ = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).decode().rstrip("=")
    try:
        header = jwt.get_unverified_header(assertion)
        # The times are the machine's, and the sandbox has its own; the audience is looked at without its scheme.
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
        claims = jwt.decode(assertion, key, algorithms=["PS256"], options=options)  # type: ignore[arg-type]
    except jwt.InvalidTokenError:
        raise refused from None
    audience = str(claims.get("aud", "")).partition("://")[2]
    if (
        not isinstance(key, RSAPublicKey)
        or header.get("x5t#S256", "").rstrip("=") != print_
        or {claims.get("iss"), claims.get("sub")} != {client}
        or audience != address.partition("://")[2]
    ):
        raise refused
