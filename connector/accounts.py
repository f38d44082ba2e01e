"""What any account section of `connector.yaml` may say, whatever the service.

Lives here: the base model adapters extend with their own keys, secrets that resolve late and never print,
and the rule about addresses (plain http for loopback only). Each adapter owns its keys: see `adapters/*/account.py`.
Source: spec interfaces 1.
"""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from connector.errors import BadInput

_ENV = re.compile(r"^\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}$")


class Secret:
    """A secret named in a file as `${env:NAME}`; it is read when used and never shown.

    A literal is refused, so that no secret can sit in a file under version control.
    """

    __slots__ = ("_name",)

    def __init__(self, reference: str) -> None:
        """Take `${env:NAME}`; raise `ValueError` for anything else."""
        match = _ENV.match(reference)
        if match is None:
            raise ValueError("a secret is never written in this file: use ${env:NAME} and set the variable NAME")
        self._name = match.group(1)

    def reveal(self) -> str:
        """Return the secret; raise `BadInput` naming the variable when it is not set."""
        value = os.environ.get(self._name, "")
        if not value:
            raise BadInput(
                f"the environment variable {self._name} is not set: export {self._name}=…, or run this where it is set"
            )
        return value

    def __repr__(self) -> str:
        """Show where the secret comes from, never what it is."""
        return f"Secret(env:{self._name})"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate from a string."""
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe as a `${env:NAME}` reference."""
        return {"type": "string", "pattern": _ENV.pattern, "description": "${env:NAME}"}


def is_loopback(address: str) -> bool:
    """Tell whether the host of a URL is this machine."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_address(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"'{address}' is not an address: write https://host")
    if parts.scheme == "http" and not is_loopback(address):
        raise ValueError(f"'{address}' would send secrets in the clear: plain http is accepted for loopback only")
    return address.rstrip("/")


#: An http(s) address without a trailing slash; plain http only for loopback.
ServiceAddress = Annotated[str, AfterValidator(_checked_address)]


class AccountModel(BaseModel):
    """Base of every adapter's account section: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Keys of secrets that may be unset while the account works: a sign-in has put what they began into the vault.
    spare_secrets: ClassVar[frozenset[str]] = frozenset()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed and unwise, a sentence each."""
        return ()

    def record_address(self, record: str) -> str | None:  # noqa: ARG002 - a CRM's account says
        """Return where a person looks at a record of a CRM; None for what is no record, or where nobody knows."""
        return None
