"""What `accounts.salesforce` and the section `salesforce` of `connector.yaml` may say.

Lives here: the keys, which of them a way to sign in needs, and the refusals in words. Does not live here: signing in
(`session`), what the sync options mean (the core reads them by name).
Source: spec interfaces 1, reference apis 1.1.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from connector.accounts import AccountModel, Secret, ServiceAddress
from connector.ports import ActivityFact, RollupFact

#: Name of the section under `accounts:`, and of the account in `Reconnect`.
ACCOUNT = "salesforce"

#: Way to sign in -> the keys it cannot do without.
REQUIRED_KEYS: dict[str, tuple[str, ...]] = {
    "jwt": ("client_id", "username", "key_file"),
    "client_credentials": ("client_id", "client_secret"),
    "refresh_token": ("client_id",),
    "password": ("username", "password"),
    "access_token": ("token", "instance_url"),
}

#: Port of this machine that the browser comes back to; Salesforce compares the callback URL letter by letter.
REDIRECT_PORT = 8765

_LEGACY_OAUTH = (
    "auth: password is the OAuth username-password flow: Salesforce blocks it in new orgs and is taking it away; "
    "move to jwt or client_credentials"
)
_LEGACY_SOAP = (
    "auth: password without client_id is SOAP login(): off in orgs made since Winter '26, and retired in Summer '27; "
    "move to jwt or client_credentials"
)

#: Hosts that serve pages, not the API: a token is refused there as if it were wrong (simple-salesforce #406, #272).
_PAGE_HOSTS = (".lightning.force.com", ".my.salesforce-setup.com")

#: The id of a record, in its short or its long form.
_RECORD = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", re.ASCII)
_DOMAIN = re.compile(r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$")
_VERSION = re.compile(r"^\d{2,3}\.0$")

#: The name of a field, or of one reached over relations: `Industry`, `Account.Industry`, `Tier__c`.
FIELD_PATH = re.compile(r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*){0,5}$")


def _version_text(value: Any) -> Any:
    # YAML reads 66.0 as a number.
    return f"{float(value):.1f}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value


class SalesforceAccount(AccountModel):
    """`accounts.salesforce`: which org, and how to sign in to it."""

    spare_secrets: ClassVar[frozenset[str]] = frozenset({"refresh_token"})

    auth: Literal["jwt", "client_credentials", "refresh_token", "password", "access_token"]
    #: The part before `.salesforce.com`: `acme.my`, `acme--box.sandbox.my`, `test`; without it, `login`.
    domain: str | None = None
    client_id: str | None = None
    client_secret: Secret | None = None
    #: Name of the user to sign in as, for jwt and password.
    username: str | None = None
    password: Secret | None = None
    #: What Salesforce mails to a user whose network it does not know.
    security_token: Secret | None = None
    #: PEM file of the private key whose certificate the app knows; counts from the project's folder.
    key_file: Path | None = None
    #: A first refresh token; without it, `connector auth salesforce` gets one.
    refresh_token: Secret | None = None
    #: Whether each rep signs in, and their tasks are written in their name.
    per_rep: bool = False
    #: Port of the callback URL `http://localhost:<port>/callback`.
    redirect_port: Annotated[int, Field(ge=1024, le=65535)] = REDIRECT_PORT
    #: For access_token: a ready token.
    token: Secret | None = None
    #: Where the API is; without it, the address the sign-in answers.
    instance_url: ServiceAddress | None = None
    #: Where to sign in; without it, `https://<domain>.salesforce.com`.
    login_url: ServiceAddress | None = None
    #: Version of the REST API; every org serves every version that is not retired.
    api_version: Annotated[str, BeforeValidator(_version_text)] = "66.0"

    @field_validator("domain")
    @classmethod
    def _check_domain(cls, domain: str | None) -> str | None:
        if domain is not None and (domain.endswith(".salesforce.com") or not _DOMAIN.fullmatch(domain)):
            raise ValueError(
                "write only the part before '.salesforce.com', such as 'acme.my' or 'acme--box.sandbox.my'"
            )
        return domain

    @field_validator("api_version")
    @classmethod
    def _check_version(cls, version: str) -> str:
        if not _VERSION.fullmatch(version) or float(version) < 46:
            raise ValueError("write a version such as 66.0; the connector needs 46.0 or later")
        return version

    @field_validator("instance_url")
    @classmethod
    def _check_instance(cls, address: str | None) -> str | None:
        if address is not None and address.endswith(_PAGE_HOSTS):
            raise ValueError(f"'{address}' serves pages, not the API: use the address that ends in .my.salesforce.com")
        return address

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        missing = [key for key in REQUIRED_KEYS[self.auth] if not getattr(self, key)]
        if missing:
            raise ValueError(f"auth: {self.auth} also needs {' and '.join(missing)}")
        if self.auth == "client_credentials" and self.login_url is None and self.domain in (None, "login", "test"):
            raise ValueError(
                f"auth: client_credentials does not work at '{self.domain or 'login'}': set domain to the org's "
                "My Domain, such as 'acme.my', or login_url"
            )
        if self.auth == "password" and bool(self.client_id) != bool(self.client_secret):
            raise ValueError("auth: password takes client_id and client_secret together, or neither")
        if self.per_rep and self.auth != "refresh_token":
            raise ValueError(
                f"per_rep: with auth: {self.auth} nobody signs in rep by rep: write auth: refresh_token, "
                "or leave per_rep out"
            )
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works today and will not for long."""
        if self.auth != "password":
            return ()
        return (_LEGACY_OAUTH if self.client_id else _LEGACY_SOAP,)

    @property
    def sign_in_url(self) -> str:
        """Address of the org's sign-in, without a trailing slash."""
        return self.login_url or f"https://{self.domain or 'login'}.salesforce.com"

    def record_address(self, record: str) -> str | None:
        """Return where a person looks at a record: under the org's own name, which `login` and `test` are not."""
        own = self.domain is not None and self.domain.endswith(".my")
        org = self.instance_url or (f"https://{self.domain}.salesforce.com" if own else None)
        return f"{org.rstrip('/')}/{record}" if org is not None and _RECORD.fullmatch(record) else None


#: Whose value wins when both sides changed a field: Salesforce's, ours, or the one changed last.
Winner = Literal["salesforce", "connector", "latest"]


class ConflictRules(BaseModel):
    """`salesforce.conflict`: who wins, field by field, when a task was changed on both sides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: `closed_wins`: a task closed on either side is closed.
    status: Literal["closed_wins"] | Winner = "closed_wins"
    due_date: Winner = "salesforce"
    priority: Winner = "salesforce"
    comments: Winner = "latest"


class SalesforceOptions(AccountModel):
    """Section `salesforce`: what is kept in step, and how."""

    #: `off`: no tasks; `push`: ours go there; `both`: what reps do there comes back.
    tasks: Literal["off", "push", "both"] = "both"
    #: A completed Email task for a sent mail and for a reply.
    log_email: bool = True
    #: Pattern of a task's subject.
    subject: str = "{{activity_type}}: {{activity_subject}}"
    #: The external-id field on Activity that carries the intent key.
    intent_field: str = "Connector_Intent_Id__c"
    #: What a task says of its campaign -> the Activity field that takes it, such as `MSE_Campaign__c`.
    activity_fields: dict[ActivityFact, str] = Field(default_factory=dict)
    #: What a lead or contact says of their campaign -> the field that takes it.
    rollup: dict[RollupFact, str] = Field(default_factory=dict)
    #: What becomes of open tasks when a campaign ends.
    on_end: Literal["complete", "delete", "leave"] = "complete"
    conflict: ConflictRules = Field(default_factory=ConflictRules)

    @field_validator("intent_field")
    @classmethod
    def _check_field(cls, name: str) -> str:
        if "." in name or not FIELD_PATH.fullmatch(name) or not name.endswith("__c"):
            raise ValueError("write the API name of a custom field of Activity, such as Connector_Intent_Id__c")
        return name

    @field_validator("activity_fields", "rollup")
    @classmethod
    def _check_fields(cls, fields: dict[Any, str]) -> dict[Any, str]:
        for name in fields.values():
            if "." in name or not FIELD_PATH.fullmatch(name):
                raise ValueError(f"'{name}' is not the API name of a field, such as MSE_Campaign__c")
        return fields
