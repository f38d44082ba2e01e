"""The `accounts.google` section: its keys, the files it names, and the scopes that are asked for.

Lives here: what each `auth` needs, reading the key file and the client file, what a missing scope costs, and `Grant`,
what a mailbox is opened with. Does not live here: fetching tokens (`signin`), signing in by a person (`authorize`).
Source: spec interfaces 1, reference apis 2.6 and 2.8.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from pydantic import Field, field_validator, model_validator

from adapters.gmail.quota import FEWEST_UNITS, UNITS_PER_MINUTE
from connector.accounts import AccountModel, Secret, ServiceAddress, is_loopback
from connector.errors import BadInput

#: Name of the section under `accounts:`.
ACCOUNT = "google"

READ_SCOPE = "https://www.googleapis.com/auth/gmail.readonly"
COMPOSE_SCOPE = "https://www.googleapis.com/auth/gmail.compose"
#: Reading is needed to tell "sent" from "deleted"; composing covers drafts and sending. Nothing may be destroyed.
SCOPES = (READ_SCOPE, COMPOSE_SCOPE)

#: Scopes that hold every right of both.
_WIDER = frozenset({"https://mail.google.com/", "https://www.googleapis.com/auth/gmail.modify"})

#: Scope -> what is lost without it.
COSTS: Mapping[str, str] = {
    READ_SCOPE: "no reply and no bounce is seen, and a draft that was sent cannot be told from one that was deleted",
    COMPOSE_SCOPE: "no draft can be placed and nothing can be sent",
}

_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_AUTH_URL = "https://accounts.google.com/o/oauth2/v2/auth"


class GoogleAccount(AccountModel):
    """Google Workspace: how the mailboxes of the reps are opened."""

    auth: Literal["service_account", "access_token", "oauth"] = Field(
        description="service_account: one key with domain-wide delegation for all reps; oauth: each rep signs in in "
        "the browser; access_token: ready tokens."
    )
    key_file: Path | None = Field(default=None, description="For service_account: its JSON key.")
    client_file: Path | None = Field(default=None, description="For oauth: the JSON of a Desktop client.")
    read_mail: bool = Field(
        default=True,
        description="Whether to ask for gmail.readonly: without it no reply or bounce is seen, and a draft that was "
        "sent cannot be told from one that was deleted.",
    )
    token: Secret | None = Field(default=None, description="For access_token: a ready token, as ${env:NAME}.")
    tokens: Mapping[str, Secret] = Field(default_factory=dict, description="Rep address: a ready token of that rep.")
    endpoint: ServiceAddress | None = Field(default=None, description="Another address than Google's Gmail API.")
    token_url: ServiceAddress | None = Field(default=None, description="Another address than Google's token service.")
    units_per_minute: int = Field(
        default=UNITS_PER_MINUTE,
        ge=FEWEST_UNITS,
        description="Quota units a minute that Google allows one user of your project: 6000; 15000 in older projects.",
    )

    @field_validator("tokens")
    @classmethod
    def _lower_case(cls, tokens: Mapping[str, Secret]) -> Mapping[str, Secret]:
        return {address.lower(): secret for address, secret in tokens.items()}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.auth == "oauth" and self.client_file is None:
            raise ValueError("auth: oauth needs client_file, the JSON that Google gives for a Desktop client")
        if self.auth == "service_account" and self.key_file is None:
            raise ValueError("auth: service_account needs key_file, the JSON key of the service account")
        if self.auth == "access_token" and self.token is None and not self.tokens:
            raise ValueError("auth: access_token needs token, or tokens with one for each rep, as ${env:NAME}")
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with a file that is there: looking at a project needs no secret, using it does."""
        for path, read in ((self.key_file, read_service_key), (self.client_file, read_client)):
            try:
                if path is not None and path.is_file():
                    read(path)
            except BadInput as error:
                return (str(error),)
        return ()

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes asked for: no more than what is switched on needs."""
        return SCOPES if self.read_mail else (COMPOSE_SCOPE,)

    def token_address(self, name: str = "") -> str:
        """Return the address of the token service, or of its neighbour `revoke` or `tokeninfo`."""
        address = self.token_url or _TOKEN_URL
        return f"{address.rpartition('/')[0]}/{name}" if name else address


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An OAuth client for programs on a person's machine; its secret is none in the strict sense (RFC 8252)."""

    client_id: str
    secret: str = field(repr=False)
    #: The consent page.
    auth_url: str


class Grant(Protocol):
    """A bearer token for one mailbox; may be used by several threads."""

    @property
    def renewal(self) -> str:
        """How the mailbox is signed in anew, as the end of a sentence."""
        ...

    @property
    def widening(self) -> str:
        """How a person gives it more scopes, as the end of a sentence."""
        ...

    def token(self) -> str:
        """Return the token; fetch it first when there is none."""
        ...

    def renew(self) -> bool:
        """Fetch a new token after a 401; tell whether there is any use in trying again."""
        ...

    def scopes(self) -> frozenset[str] | None:
        """Return what the token may do, asking for it when that is needed; None when nobody can say."""
        ...

    def close(self) -> None:
        """Close its connections."""
        ...


def missing_scopes(wanted: Iterable[str], granted: Iterable[str]) -> tuple[str, ...]:
    """Return the wanted scopes whose rights were not granted, under this name or a wider one."""
    held = frozenset(granted)
    return tuple(scope for scope in wanted if scope not in held and not held & _WIDER)


def short_name(scope: str) -> str:
    """Return a scope as people say it: `gmail.readonly`."""
    return scope.rpartition("/auth/")[2] or scope


def sign_in_command(rep: str) -> str:
    """Return the command by which a rep signs in."""
    return f"connector auth {ACCOUNT} --rep {rep}"


def read_service_key(path: Path) -> Mapping[str, Any]:
    """Read the key of a service account; raise `BadInput` naming the file when it is none."""
    info = _read_json("key_file", path)
    needed = (info.get("client_email"), info.get("private_key"), info.setdefault("token_uri", _TOKEN_URL))
    if info.get("type") != "service_account" or not all(isinstance(one, str) and one for one in needed):
        raise BadInput(
            f"key_file '{path}' is not the JSON key of a service account: make one in the Google "
            "Cloud console, under IAM & Admin, Service accounts, Keys"
        )
    return info


def read_client(path: Path) -> Client:
    """Read an OAuth client; raise `BadInput` naming the file when it is none, or one of another kind."""
    info = _read_json("client_file", path)
    known = info.get("installed")
    if not isinstance(known, dict) or not (known.get("client_id") and known.get("client_secret")):
        kind = "of a web application" if "web" in info else "of no OAuth client"
        raise BadInput(
            f"client_file '{path}' is the JSON {kind}: make a client of the type 'Desktop app' in the "
            "Google Cloud console, under Google Auth Platform, Clients, and download its JSON"
        )
    address = str(known.get("auth_uri") or _AUTH_URL)
    if not address.startswith("https://") and not (address.startswith("http://") and is_loopback(address)):
        raise BadInput(f"auth_uri in client_file '{path}' is not an https address")
    return Client(client_id=str(known["client_id"]), secret=str(known["client_secret"]), auth_url=address)


def _read_json(key: str, path: Path) -> dict[str, Any]:
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or "no reason given").lower()
        raise BadInput(f"{key} '{path}' cannot be read ({reason}): put it there, or correct its name") from error
    except ValueError:
        # The cause may quote the file; it is left out on purpose.
        raise BadInput(f"{key} '{path}' is not JSON: download it from the Google Cloud console again") from None
    return info if isinstance(info, dict) else {}
