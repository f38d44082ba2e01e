"""Who holds the token of a rep's mailbox, and how it is renewed.

Lives here: `open_grant`, which gives a `Grant` by each way of `accounts.google.auth`. Does not live here: the requests
and the refusals in words (`oauth`), the browser (`authorize`), when a token has ended (`transport`).

A token is fetched when it is first used, and anew before it runs out by the connector's clock. The key of the service
account is read then too, once for all reps. A rep's refresh token lies in the vault; it may be good for one use only,
so it is used under the vault's lock, where whoever comes second finds the one that counts.
"""

from __future__ import annotations

import functools
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from google.auth import crypt
from google.auth.exceptions import GoogleAuthError
from google.oauth2 import credentials, service_account

from adapters.gmail.account import ACCOUNT, GoogleAccount, Grant, read_client, read_service_key, sign_in_command
from adapters.gmail.oauth import (
    DELEGATION_PLACE,
    TokenService,
    not_signed_in,
    refused_key,
    refused_person,
    scopes_of,
    words_of,
)
from connector.errors import AdapterError, BadInput, Reconnect
from connector.ports import Clock, Vault

_TOKEN = re.compile(r"[\x21-\x7e]+")

#: How long before its end a token is fetched anew: a call may take that long.
_MARGIN = timedelta(minutes=1)

#: One reader at a time: 50 mailboxes that start together read the key once.
_READING = threading.Lock()


def secret_name(rep: str) -> str:
    """Return the name of a rep's refresh token in the vault."""
    return f"{ACCOUNT}:{rep.lower()}"


class _GivenToken:
    """A ready token, which nobody here can renew."""

    def __init__(self, account: GoogleAccount, token: str, mailbox: str) -> None:
        self._account = account
        self._token = token
        self._mailbox = mailbox

    @property
    def renewal(self) -> str:
        """How the mailbox is signed in anew."""
        return f"put a new token of {self._mailbox} under accounts.google"

    @property
    def widening(self) -> str:
        """How more scopes are had."""
        return "put a token that has it under accounts.google"

    def token(self) -> str:
        """Return the token."""
        return self._token

    def renew(self) -> bool:
        """Tell that it cannot be renewed."""
        return False

    def scopes(self) -> frozenset[str] | None:
        """Ask Google what it may do; not when only Gmail has another address, for Google does not know it then."""
        if self._account.endpoint is not None and self._account.token_url is None:
            return None
        service = TokenService(self._mailbox)
        try:
            return scopes_of(self._account, service, self._token)
        except AdapterError:
            return None
        finally:
            service.close()

    def close(self) -> None:
        """Do nothing: it has no connection."""


class _RenewedToken(ABC):
    """A token that is fetched when there is none, and anew before it runs out."""

    def __init__(self, account: GoogleAccount, mailbox: str, clock: Clock) -> None:
        self._account = account
        self._mailbox = mailbox
        self._clock = clock
        self._service = TokenService(mailbox)
        self._lock = threading.Lock()
        self._token = ""
        self._until: datetime | None = None

    @property
    @abstractmethod
    def renewal(self) -> str:
        """How the mailbox is signed in anew."""

    @property
    @abstractmethod
    def widening(self) -> str:
        """How more scopes are had."""

    @abstractmethod
    def _fetch(self) -> str:
        """Fetch a token; raise `Reconnect` or `Retry` when Google gives none."""

    def token(self) -> str:
        """Return the token; raise `Reconnect` or `Retry` when Google gives none."""
        with self._lock:
            if self._until is None or self._clock.now() >= self._until:
                self._take()
            return self._token

    def renew(self) -> bool:
        """Fetch a new token."""
        with self._lock:
            self._take()
        return True

    def scopes(self) -> frozenset[str] | None:
        """Return what the token service said with the token; all that was asked for when it named none."""
        self.token()
        return self._service.scopes or frozenset(self._account.scopes)

    def close(self) -> None:
        """Close the connection to the token service."""
        self._service.close()

    def _take(self) -> None:
        self._token = self._fetch()
        self._until = self._clock.now() + self._service.life - _MARGIN


class _DelegatedToken(_RenewedToken):
    """A token that the service account fetches in the name of one rep."""

    @property
    def renewal(self) -> str:
        """How the mailbox is signed in anew."""
        return f"have an administrator look at the service account of key_file, and at {DELEGATION_PLACE}"

    @property
    def widening(self) -> str:
        """How more scopes are had."""
        return f"allow them for the service account in {DELEGATION_PLACE}"

    def _fetch(self) -> str:
        try:
            info, signer = _key_of(self._account)
        except BadInput as error:
            raise Reconnect(str(error), account=f"gmail:{self._mailbox}", code="key_file") from error
        named = service_account.Credentials(  # type: ignore[no-untyped-call]  # google-auth's gap
            signer,
            service_account_email=info["client_email"],
            token_uri=self._account.token_url or info["token_uri"],
            scopes=self._account.scopes,
            subject=self._mailbox,
        )
        try:
            named.refresh(self._service)  # type: ignore[no-untyped-call]
        except GoogleAuthError as error:
            code, description = words_of(error)
            raise refused_key(
                code,
                description,
                mailbox=self._mailbox,
                client_id=str(info.get("client_id", "")),
                scopes=self._account.scopes,
            ) from error
        return str(named.token)


class _KeptToken(_RenewedToken):
    """A token that comes of a rep's own sign-in."""

    def __init__(self, account: GoogleAccount, mailbox: str, clock: Clock, vault: Vault) -> None:
        super().__init__(account, mailbox, clock)
        self._vault = vault
        self._name = secret_name(mailbox)
        self._fetched = ""

    @property
    def renewal(self) -> str:
        """How the mailbox is signed in anew."""
        return f"run '{sign_in_command(self._mailbox)}'"

    @property
    def widening(self) -> str:
        """How more scopes are had."""
        return f"run '{sign_in_command(self._mailbox)}' and tick every box"

    def _fetch(self) -> str:
        self._fetched = ""
        latest = self._vault.read(self._name)
        while not self._fetched:
            # When another process has renewed it meanwhile, nothing was fetched here: again, with that one.
            latest = self._vault.renew(self._name, latest, self._refreshed)
        return self._fetched

    def _refreshed(self, refresh_token: str | None) -> str:
        """Trade the refresh token for a token, and return the refresh token that counts from now on."""
        if refresh_token is None:
            raise not_signed_in(self._mailbox)
        try:
            client = read_client(self._account.client_file or Path())
        except BadInput as error:
            raise Reconnect(str(error), account=f"gmail:{self._mailbox}", code="client_file") from error
        kept = credentials.Credentials(  # type: ignore[no-untyped-call]
            None,
            refresh_token=refresh_token,
            token_uri=self._account.token_address(),
            client_id=client.client_id,
            client_secret=client.secret,
        )
        try:
            kept.refresh(self._service)  # type: ignore[no-untyped-call]
        except GoogleAuthError as error:
            raise refused_person(words_of(error)[0], mailbox=self._mailbox) from error
        self._fetched = str(kept.token)
        return str(kept.refresh_token)


def open_grant(account: GoogleAccount, mailbox: str, *, clock: Clock, vault: Vault) -> Grant:
    """Return the grant of a rep's mailbox; nothing is called and no file is read.

    Raises `BadInput` when the variable or the rep's ready token is missing.
    """
    if account.auth == "service_account":
        return _DelegatedToken(account, mailbox, clock)
    if account.auth == "oauth":
        return _KeptToken(account, mailbox, clock, vault)
    secret = account.tokens.get(mailbox.lower(), account.token)
    if secret is None:
        raise BadInput(f"accounts.google has no token for {mailbox}: add it under tokens")
    token = secret.reveal().strip()
    if not _TOKEN.fullmatch(token):
        # Found out here: the HTTP library would quote the token when it refuses the header.
        raise BadInput(f"accounts.google: {secret} holds characters that no token has")
    return _GivenToken(account, token, mailbox)


def _key_of(account: GoogleAccount) -> tuple[Mapping[str, Any], crypt.RSASigner]:
    """Return what the key file says and what signs with its key, read once as long as the file stays the same."""
    path = account.key_file or Path()
    try:
        written = path.stat().st_mtime_ns
    except OSError:
        written = 0  # reading it says why
    with _READING:
        return _read_key(path, written)


@functools.lru_cache(maxsize=4)
def _read_key(path: Path, _written: int) -> tuple[Mapping[str, Any], crypt.RSASigner]:
    info = read_service_key(path)
    try:
        return info, _signer(info["private_key"], info.get("private_key_id"))
    except ValueError:
        # The cause may quote the key; it is left out on purpose.
        raise BadInput(f"the private_key in key_file '{path}' is none: make a new key") from None


@functools.lru_cache(maxsize=4)
def _signer(private_key: str, key_id: str | None) -> crypt.RSASigner:
    """Return what signs with a private key; the check of a key takes as long as a call, so it is checked once."""
    signer: crypt.RSASigner = crypt.RSASigner.from_string(private_key, key_id)  # type: ignore[no-untyped-call]
    return signer
