"""Where the token of a rep's mailbox comes from, and how it is renewed.

Lives here: a `SignIn` for each way of `accounts.microsoft.auth`. Does not live here: msal (`entra`), refusals in words
(`aadsts`), the browser (`authorize`), when a token has ended (`session`, by a 401).

An application's tokens live in memory, shared by every mailbox of it. What a rep's own sign-in gave is msal's cache,
kept as one secret in the vault: a refresh token may be good for one use only, so it is used under the vault's lock,
where whoever comes second finds the tokens that count (decision 0019).
"""

from __future__ import annotations

import threading
from typing import Any

from msal.token_cache import SerializableTokenCache, TokenCache

from adapters.outlook.aadsts import not_signed_in, refused, refused_person
from adapters.outlook.account import ACCOUNT, MicrosoftAccount, sign_in_command
from adapters.outlook.claims import person_of
from adapters.outlook.entra import asked, confidential_application, public_application
from connector.accounts import Secret
from connector.errors import Reconnect
from connector.ports import MailIdentity, Vault


def secret_name(rep: str) -> str:
    """Return the name of a rep's sign-in in the vault."""
    return f"{ACCOUNT}:{rep.lower()}"


class GivenToken:
    """A token from the environment; nothing can renew it."""

    def __init__(self, secret: Secret | None, rep: MailIdentity) -> None:
        """Take the token for this rep, or None when the file names none for them."""
        self._secret = secret
        self._rep = rep

    @property
    def renewal(self) -> str:
        """How the mailbox is signed in anew."""
        return f"put a new token of {self._rep.email} under accounts.microsoft"

    @property
    def widening(self) -> str:
        """How it is given more permissions."""
        return f"put a token of {self._rep.email} that has it under accounts.microsoft"

    @property
    def stranger(self) -> str:
        """Whose it is, when it shows that it is somebody else's."""
        there = person_of(self._secret.reveal()) if self._secret is not None else ""
        return "" if there in (self._rep.email.lower(), *self._rep.aliases) else there

    def token(self, account: str) -> str:
        """Return it."""
        if self._secret is None:
            raise Reconnect(
                f"{account} has no token: name one for it under accounts.microsoft.tokens",
                account=account,
                code="no_token",
            )
        return self._secret.reveal()

    def renew(self) -> bool:
        """Return false: only a person can bring a new one."""
        return False


class Application:
    """Client credentials of one registered application, shared by every mailbox and thread."""

    def __init__(self, account: MicrosoftAccount) -> None:
        """Keep the account; nothing is called."""
        self._account = account
        self._lock = threading.Lock()
        self._msal: Any = None

    @property
    def renewal(self) -> str:
        """How the mailbox is signed in anew."""
        return (
            "an administrator must look at the app (tenant, client_id and client_secret or certificate_file of "
            "accounts.microsoft), and at its admin consent"
        )

    @property
    def widening(self) -> str:
        """How it is given more permissions."""
        return (
            "add it to the app as an application permission of Microsoft Graph, and grant admin consent "
            "(entra.microsoft.com, App registrations, API permissions)"
        )

    @property
    def stranger(self) -> str:
        """Nobody: an application is no person."""
        return ""

    def token(self, account: str) -> str:
        """Return a token from msal's cache, or a new one."""
        with self._lock:
            answer = asked(self._acquire, account)
        if "access_token" in answer:
            return str(answer["access_token"])
        raise refused(
            answer,
            account=account,
            what=f"the application that opens {account} a token",
            otherwise="check tenant, client_id and client_secret or certificate_file of accounts.microsoft",
        )

    def renew(self) -> bool:
        """Drop the cached token, so that the next call asks for another."""
        with self._lock:
            if self._msal is not None:
                self._msal.remove_tokens_for_client()
        return True

    def _acquire(self) -> dict[str, Any]:
        if self._msal is None:
            self._msal = confidential_application(self._account)
        answer: dict[str, Any] = self._msal.acquire_token_for_client(scopes=self._account.scopes)
        return answer


class KeptSignIn:
    """A rep's own sign-in, as msal's cache in the vault."""

    def __init__(self, account: MicrosoftAccount, rep: str, vault: Vault) -> None:
        """Keep the place; nothing is read or called."""
        self._account = account
        self._rep = rep
        self._name = secret_name(rep)
        self._vault = vault
        self._lock = threading.Lock()
        self._cache: SerializableTokenCache | None = None
        self._spent = ""
        self._fetched = ""

    @property
    def renewal(self) -> str:
        """How the mailbox is signed in anew."""
        return f"run '{sign_in_command(self._rep)}'"

    @property
    def widening(self) -> str:
        """How it is given more permissions."""
        return f"run '{sign_in_command(self._rep)}', and let an administrator consent when Microsoft asks for one"

    @property
    def stranger(self) -> str:
        """Nobody: who signs in is compared with the rep before anything is kept."""
        return ""

    def token(self, account: str) -> str:
        """Return the token that is kept, or a new one; raise `Reconnect` or `Retry` when there is none."""
        with self._lock:
            return self._held(self._cache) or self._take(account)

    def renew(self) -> bool:
        """Mark the token as spent, so that the next call asks for another unless another process has."""
        with self._lock:
            self._spent = self._held(self._cache)
        return True

    def _held(self, cache: SerializableTokenCache | None) -> str:
        """Return the access token of a cache, unless it has run out by msal's reckoning or was refused."""
        if cache is None:
            return ""
        found = cache.search(  # type: ignore[no-untyped-call]
            TokenCache.CredentialType.ACCESS_TOKEN, query={"client_id": self._account.client_id}
        )
        return next((str(one["secret"]) for one in found if one["secret"] != self._spent), "")

    def _take(self, account: str) -> str:
        self._fetched = ""
        kept = self._vault.read(self._name)
        while kept is not None:
            self._cache = _read_cache(kept)
            held = self._fetched or self._held(self._cache)
            if held:
                return held
            # When another process has renewed it meanwhile, nobody was asked here: again, with what it got.
            kept = self._vault.renew(self._name, kept, lambda latest: self._refreshed(latest, account))
        raise not_signed_in(self._rep)

    def _refreshed(self, kept: str | None, account: str) -> str:
        """Trade the refresh token, and return the cache that counts from now on."""
        if kept is None:
            raise not_signed_in(self._rep)
        cache = _read_cache(kept)
        answer = asked(lambda: self._acquire(cache), account)
        if answer is None:
            # Nothing of this client's in it: the sign-in was made with another application or authority.
            raise not_signed_in(self._rep)
        if "access_token" not in answer:
            raise refused_person(answer, self._rep)
        self._fetched = str(answer["access_token"])
        return cache.serialize()

    def _acquire(self, cache: SerializableTokenCache) -> dict[str, Any] | None:
        application = public_application(self._account, cache)
        known = application.get_accounts()
        if not known:
            return None
        answer: dict[str, Any] | None = application.acquire_token_silent_with_error(
            self._account.scopes, account=known[0], force_refresh=True
        )
        return answer


def _read_cache(kept: str) -> SerializableTokenCache:
    cache = SerializableTokenCache()  # type: ignore[no-untyped-call]
    cache.deserialize(kept)
    return cache
