"""The section `web:` of `connector.yaml`: who may sign in to the web app, how, and what they see.

Lives here: `WebRules`. Does not live here: the other sections (`settings`), signing in (`web.oidc`), roles as the web
app asks for them (`web.users`). Source: issue 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from connector.accounts import Secret, ServiceAddress
from connector.people import is_address


def _address(text: str) -> str:
    address = text.strip().lower()
    if not is_address(address):
        raise ValueError(f"'{text}' is not a mail address: write one such as ana@acme.example")
    return address


#: Id of the tenant that holds everybody's private accounts.
PRIVATE_ACCOUNTS = "9188040d-6c67-4c5b-b112-36a304b66dad"

#: That, and names of no tenant in particular.
_ANYBODYS = ("common", "organizations", "consumers", PRIVATE_ACCOUNTS)


def _tenant(text: str) -> str:
    if not re.fullmatch(r"[0-9a-zA-Z.-]+", text) or text.lower() in _ANYBODYS:
        raise ValueError("write your own tenant's id or domain: any other lets strangers in")
    return text


_Email = Annotated[str, AfterValidator(_address)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GoogleSignIn(_Section):
    """A client of type "web application" in Google's console."""

    client_id: str = Field(min_length=1)
    client_secret: Secret


class MicrosoftSignIn(_Section):
    """An app registration of type "web" in Entra."""

    tenant: Annotated[str, AfterValidator(_tenant)] = Field(description="Id or domain of your own tenant.")
    client_id: str = Field(min_length=1)
    client_secret: Secret


class OtherSignIn(_Section):
    """Any other provider of OpenID Connect, which must say whose addresses it has verified."""

    name: str = Field(min_length=1, description="As the button says it.")
    issuer: ServiceAddress
    client_id: str = Field(min_length=1)
    client_secret: Secret


class SignInRules(_Section):
    """How people sign in; none means that only this machine's user does, by the link that `serve` prints."""

    google: GoogleSignIn | None = None
    microsoft: MicrosoftSignIn | None = None
    oidc: OtherSignIn | None = None

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return any((self.google, self.microsoft, self.oidc))

    def secrets(self) -> Iterator[tuple[str, Secret]]:
        """Yield provider and secret."""
        for name in ("google", "microsoft", "oidc"):
            if (provider := getattr(self, name)) is not None:
                yield name, provider.client_secret


class WebRules(_Section):
    """The web app; reps of the file sign in with their own address or an alias."""

    url: ServiceAddress | None = Field(
        default=None, description="Address that others reach the web app at, https; empty while it is for this machine."
    )
    sign_in: SignInRules = Field(default_factory=SignInRules)
    admins: list[_Email] = Field(default=[], description="Who sees and may do everything; they need not be reps.")
    managers: dict[_Email, list[_Email]] = Field(
        default={}, description="Manager -> the reps of their team, whose work they see and may do."
    )

    @property
    def is_for_others(self) -> bool:
        """Whether people on other machines can sign in, over TLS."""
        return self.sign_in.any and (self.url or "").startswith("https://")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.sign_in.any and self.url is None:
            raise ValueError("a sign-in leads back to an address: say it as web.url")
        return self
