"""The `accounts.google` section, and how it becomes credentials for one rep.

Lives here: the keys, what each `auth` needs, the scopes asked for, and `Grant`: a bearer token that can be renewed.
Does not live here: when a token is renewed (`transport`), what a refused call means (`errors`).
Source: spec interfaces 1, reference apis 2.6 and 2.8.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from google.auth.exceptions import RefreshError, TransportError
from google.auth.transport.requests import Request
from google.oauth2 import service_account
from pydantic import Field, field_validator, model_validator

from adapters.http import TIMEOUT, ServiceSession
from connector.accounts import AccountModel, Secret, ServiceAddress
from connector.errors import AdapterError, BadInput, Reconnect, Retry

READ_SCOPE = "https://www.googleapis.com/auth/gmail.readonly"
COMPOSE_SCOPE = "https://www.googleapis.com/auth/gmail.compose"
#: Reading is needed to tell "sent" from "deleted"; composing covers drafts and sending. Nothing may be destroyed.
SCOPES = (READ_SCOPE, COMPOSE_SCOPE)

_TOKEN = re.compile(r"[\x21-\x7e]+")


class GoogleAccount(AccountModel):
    """Google Workspace: how the mailboxes of the reps are opened."""

    auth: Literal["service_account", "access_token", "oauth"] = Field(
        description="service_account: one key with domain-wide delegation for all reps; access_token: ready tokens."
    )
    key_file: Path | None = Field(default=None, description="JSON key of the service account.")
    client_file: Path | None = Field(default=None, description="JSON of the OAuth client (a later release).")
    token: Secret | None = Field(default=None, description="A ready token, as ${env:NAME}.")
    tokens: Mapping[str, Secret] = Field(default_factory=dict, description="Rep address: a ready token of that rep.")
    endpoint: ServiceAddress | None = Field(default=None, description="Another address than Google's Gmail API.")
    token_url: ServiceAddress | None = Field(default=None, description="Another address than Google's token service.")

    @field_validator("tokens")
    @classmethod
    def _lower_case(cls, tokens: Mapping[str, Secret]) -> Mapping[str, Secret]:
        return {address.lower(): secret for address, secret in tokens.items()}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.auth == "oauth":
            raise ValueError(
                "auth: oauth (each rep signs in) comes with a later release; use service_account or access_token"
            )
        if self.auth == "service_account" and self.key_file is None:
            raise ValueError("auth: service_account needs key_file, the JSON key of the service account")
        if self.auth == "access_token" and self.token is None and not self.tokens:
            raise ValueError("auth: access_token needs token, or tokens with one for each rep, as ${env:NAME}")
        return self


class Grant(Protocol):
    """A bearer token for one mailbox."""

    def token(self) -> str:
        """Return the token; fetch it first when there is none."""
        ...

    def renew(self) -> bool:
        """Fetch a new token after a 401; tell whether there is any use in trying again."""
        ...

    def close(self) -> None:
        """Close its connections."""
        ...


class GivenToken:
    """A ready token, which nobody here can renew."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        """Return the token."""
        return self._token

    def renew(self) -> bool:
        """Tell that it cannot be renewed."""
        return False

    def close(self) -> None:
        """Do nothing: it has no connection."""


class DelegatedToken:
    """A token that the service account fetches in the name of one rep."""

    def __init__(self, credentials: service_account.Credentials, mailbox: str) -> None:
        self._credentials = credentials
        self._mailbox = mailbox
        # A session of its own: token calls are not calls to Gmail, and google-auth would wait 120 s by default.
        self._session = ServiceSession()
        self._request = functools.partial(Request(self._session), timeout=TIMEOUT)

    def token(self) -> str:
        """Return the token; raise `Reconnect` or `Retry` when Google gives none."""
        if not self._credentials.valid:
            self.renew()
        return str(self._credentials.token)

    def renew(self) -> bool:
        """Fetch a new token."""
        try:
            self._credentials.refresh(self._request)  # type: ignore[no-untyped-call]  # google-auth's gap
        except (RefreshError, TransportError) as error:
            raise token_refused(error, self._mailbox) from error
        return True

    def close(self) -> None:
        """Close the session of the token service."""
        self._session.close()


def token_refused(error: RefreshError | TransportError, mailbox: str) -> AdapterError:
    """Return what a failed token fetch means: `Retry` for the line, `Reconnect` for a refusal."""
    if isinstance(error, TransportError) or error.retryable:
        return Retry(f"Google's token service did not answer for {mailbox}; it is tried again", code="token_service")
    code = next((str(part["error"]) for part in error.args if isinstance(part, dict) and "error" in part), "refused")
    advice = {
        "unauthorized_client": f"allow the service account these scopes for the domain: {', '.join(SCOPES)}",
        "invalid_grant": "check that the address exists and that the service account may act for it",
    }
    return Reconnect(
        f"Google gave no token for {mailbox} ({code}): {advice.get(code, 'check key_file and its service account')}",
        account=f"gmail:{mailbox}",
        code=code,
    )


def open_grant(account: GoogleAccount, mailbox: str) -> Grant:
    """Return the grant of a rep's mailbox without calling anyone.

    Raises `BadInput` when the key file, the variable or the rep's token is missing.
    """
    if account.auth == "access_token":
        secret = account.tokens.get(mailbox.lower(), account.token)
        if secret is None:
            raise BadInput(f"accounts.google has no token for {mailbox}: add it under tokens")
        token = secret.reveal().strip()
        if not _TOKEN.fullmatch(token):
            # Found out here: the HTTP library would quote the token when it refuses the header.
            raise BadInput(f"accounts.google: {secret} holds characters that no token has")
        return GivenToken(token)
    info = _key(account.key_file or Path())
    if account.token_url is not None:
        info["token_uri"] = account.token_url
    try:
        credentials = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            info, scopes=SCOPES, subject=mailbox
        )
    except ValueError:
        # The cause may quote the key; it is left out on purpose.
        raise BadInput(f"accounts.google: '{account.key_file}' is not the JSON key of a service account") from None
    return DelegatedToken(credentials, mailbox)


def _key(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"accounts.google: key_file '{path}' cannot be read: {error.strerror}") from error
    except ValueError:
        info = None
    if not isinstance(info, dict):
        raise BadInput(f"accounts.google: key_file '{path}' is not the JSON key of a service account")
    return info
