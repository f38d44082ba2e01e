"""The `accounts.microsoft` section: its keys, the clouds, the certificate, and the permissions that are asked for.

Lives here: what each `auth` needs, reading the certificate, what a missing permission costs, and `SignIn`, what a
mailbox is opened with. Does not live here: msal (`entra`), fetching tokens (`signin`), a person's own sign-in
(`authorize`).
Source: spec interfaces 1, reference apis 3.7 and 3.8; Microsoft's page on national clouds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from pydantic import AfterValidator, Field, model_validator

from connector.accounts import AccountModel, Secret, ServiceAddress
from connector.errors import BadInput

#: Name of the section under `accounts:`.
ACCOUNT = "microsoft"

DRAFTS, SENDS, PROFILE = "Mail.ReadWrite", "Mail.Send", "User.Read"

#: What a rep is asked for. Drafts need Mail.ReadWrite, which reads as well: there is no less that would do.
PERMISSIONS = (DRAFTS, SENDS, PROFILE)

#: Permission -> what is lost without it.
COSTS: Mapping[str, str] = {
    DRAFTS: "no draft can be placed, and no reply or bounce is seen",
    SENDS: "nothing can be sent, drafts can only be placed for the rep to send",
}

#: Tenants that name no organisation; client credentials need one.
_SHARED_TENANTS = frozenset({"common", "organizations", "consumers"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cloud:
    login: str
    graph: str


#: Name of a cloud -> its hosts.
_CLOUDS: Mapping[str, _Cloud] = {
    "global": _Cloud(login="https://login.microsoftonline.com", graph="https://graph.microsoft.com"),
    "us_gov": _Cloud(login="https://login.microsoftonline.us", graph="https://graph.microsoft.us"),
    "us_dod": _Cloud(login="https://login.microsoftonline.us", graph="https://dod-graph.microsoft.us"),
    "china": _Cloud(login="https://login.partner.microsoftonline.cn", graph="https://microsoftgraph.chinacloudapi.cn"),
}


def _lower_keys(tokens: dict[str, Secret]) -> dict[str, Secret]:
    return {address.lower(): token for address, token in tokens.items()}


class MicrosoftAccount(AccountModel):
    """Microsoft 365: how the mailboxes of the reps are opened."""

    #: Ways by which each rep signs in.
    by_person: ClassVar[frozenset[str]] = frozenset({"device_code", "auth_code"})

    auth: Literal["client_credentials", "access_token", "device_code", "auth_code"] = Field(
        description="client_credentials: one application for all reps; auth_code: each rep signs in in the browser of "
        "this machine; device_code: in any browser, with a code; access_token: ready tokens."
    )
    cloud: Literal["global", "us_gov", "us_dod", "china"] = Field(
        default="global", description="Microsoft's cloud your organisation is in."
    )
    tenant: str = Field(default="", description="Id or domain of your Microsoft organisation.")
    client_id: str = Field(default="", description="Id of the registered application.")
    client_secret: Secret | None = Field(default=None, description="For client_credentials: its secret.")
    certificate_file: Path | None = Field(
        default=None,
        description="For client_credentials, instead of the secret: a PEM with private key and certificate.",
    )
    token: Secret | None = Field(
        default=None, description="For access_token: a ready token of the only Outlook rep, or of an application."
    )
    tokens: Annotated[dict[str, Secret], AfterValidator(_lower_keys)] = Field(
        default_factory=dict, description="Rep address: a ready token of that rep."
    )
    endpoint: ServiceAddress | None = Field(
        default=None, description="Another address than the cloud's Graph, with v1.0."
    )
    authority: ServiceAddress | None = Field(default=None, description="Another address than the cloud's sign-in.")

    @model_validator(mode="after")
    def _complete(self) -> MicrosoftAccount:
        """Check that the keys its mode needs are there."""
        if self.auth == "access_token":
            if self.token is None and not self.tokens:
                raise ValueError('auth: access_token needs token: "${env:NAME}", or tokens: with one for each rep')
            return self
        needed: dict[str, object] = {"tenant": self.tenant, "client_id": self.client_id}
        if self.auth == "client_credentials":
            needed["client_secret"] = self.client_secret or self.certificate_file
        missing = [name for name, value in needed.items() if not value]
        if missing:
            instead = " (or certificate_file in its place)" if "client_secret" in missing else ""
            raise ValueError(f"auth: {self.auth} needs {', '.join(missing)} as well{instead}")
        if self.client_secret is not None and self.certificate_file is not None:
            raise ValueError("client_secret and certificate_file are two ways to prove one thing: keep one")
        if self.auth == "client_credentials" and self.tenant.lower() in _SHARED_TENANTS:
            raise ValueError(
                f"tenant: {self.tenant} names no organisation: client_credentials needs your own tenant's id"
            )
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with a certificate that is there: looking at a project needs none, using it does."""
        try:
            if self.certificate_file is not None and self.certificate_file.is_file():
                read_certificate(self.certificate_file)
        except BadInput as error:
            return (str(error),)
        return ()

    @property
    def graph_address(self) -> str:
        """Address of Graph, with its version."""
        return self.endpoint or f"{_CLOUDS[self.cloud].graph}/v1.0"

    @property
    def login_address(self) -> str:
        """Address of the sign-in, without the tenant."""
        return self.authority or _CLOUDS[self.cloud].login

    @property
    def scopes(self) -> list[str]:
        """What a token is asked for: of an application whatever the administrator granted, of a person the least."""
        names = PERMISSIONS if self.auth in self.by_person else (".default",)
        return [f"{_CLOUDS[self.cloud].graph}/{name}" for name in names]


class SignIn(Protocol):
    """Where the bearer token of a call comes from. `account` names the mailbox in errors: `outlook:<rep>`."""

    @property
    def renewal(self) -> str:
        """How the mailbox is signed in anew, as the end of a sentence."""
        ...

    @property
    def widening(self) -> str:
        """How it is given more permissions, as the end of a sentence."""
        ...

    @property
    def stranger(self) -> str:
        """Whose it is, when it shows that it is somebody else's than the rep's; else nothing."""
        ...

    def token(self, account: str) -> str:
        """Return a token that is thought to be good; raise `Reconnect` or `Retry`."""
        ...

    def renew(self) -> bool:
        """Forget a token the service refused; tell whether another can be had without a person."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """An application's certificate with its private key."""

    private_key: str = field(repr=False)
    #: PEM; msal computes the thumbprint of it.
    public: str
    #: When it ends; aware, UTC.
    ends: datetime


def read_certificate(path: Path) -> Certificate:
    """Read a PEM with an RSA key and its certificate; raise `BadInput` naming the file when it is none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "no reason given").lower()
        raise BadInput(f"certificate_file '{path}' cannot be read ({reason})") from error
    try:
        key = serialization.load_pem_private_key(content, password=None)
        certificate = x509.load_pem_x509_certificate(content)
    except (ValueError, TypeError):
        # The cause may quote the file; it is left out on purpose.
        raise BadInput(
            f"certificate_file '{path}' needs two parts in PEM: the private key without a password, and the certificate"
        ) from None
    if not isinstance(key, RSAPrivateKey) or key.public_key() != certificate.public_key():
        raise BadInput(f"in certificate_file '{path}' the private key is not the RSA key of the certificate")
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return Certificate(
        private_key=key.private_bytes(pem, private, serialization.NoEncryption()).decode(),
        public=certificate.public_bytes(pem).decode(),
        ends=certificate.not_valid_after_utc,
    )


def missing_permissions(granted: Iterable[str]) -> tuple[str, ...]:
    """Return the permissions that matter and were not granted, by their short names."""
    held = {short_name(one).lower() for one in granted}
    return tuple(name for name in COSTS if name.lower() not in held)


def short_name(scope: str) -> str:
    """Return a permission without its resource: `Mail.Send`."""
    return scope.rpartition("/")[2]


def sign_in_command(rep: str) -> str:
    """Return the command by which a rep signs in."""
    return f"connector auth {ACCOUNT} --rep {rep}"
