"""Who is signed in: one link for the one user of this machine, a session in a cookie, where one wanted to go.

Lives here: `SignInLink`, `Sessions`, `remember`, `wanted`. Does not live here: the pages of signing in
(`sign_in_pages`), proving who one is with Google or Microsoft (`oidc`), what a user may see (`users`).

A session is a Fernet token, sealed and dated by a key of the project's own that the vault keeps: nothing is stored for
it, it outlives a restart, and nobody else can make one. It holds who is signed in, and a secret that forms of our pages
carry. Cookies do not tell ports apart, so their names do.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Any
from urllib.parse import quote, unquote

from cryptography.fernet import Fernet, InvalidToken
from fastapi import Request, Response

from connector.ports import Clock, Vault

#: The user of this machine, who signs in by the link that `serve` prints, has no address of their own.
THIS_MACHINE = ""

#: How long the link that `serve` prints may be used.
LINK_LASTS = timedelta(minutes=10)

#: How long one is signed in.
SESSION_LASTS = timedelta(hours=12)

#: Name of the sessions' key in the vault.
VAULT_NAME = "web-session"

_TOKEN_BYTES = 32

#: Where one may be sent after signing in: a page of ours, and nothing that a browser could read as another host.
_OURS = re.compile(r"/(?:[0-9A-Za-z][\w.@%~-]*(?:/[\w.@%~-]+)*)?(?:\?[\w.@%~=&+:-]*)?", re.ASCII)


class NotSignedInError(Exception):
    """A page for signed-in users was asked for by somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is signed in, at one browser."""

    #: Their address, or "" for the user of this machine.
    user: str
    #: What a form of ours carries, to show that it is one.
    csrf: str


class SignInLink:
    """A secret that signs one person in, once."""

    def __init__(self, clock: Clock) -> None:
        """Make a new secret; the time it lasts begins now."""
        self._clock = clock
        self._until = clock.now() + LINK_LASTS
        self._token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._used = False
        self._turn = Lock()

    @property
    def path(self) -> str:
        """The path to open in a browser; it holds the secret."""
        return f"/sign-in/{self._token}"

    def use(self, token: str) -> bool:
        """Tell whether this is the secret, in time and for the first time; from then on it is none."""
        right = hmac.compare_digest(token.encode(), self._token.encode())
        with self._turn:
            good = right and not self._used and self._clock.now() <= self._until
            self._used = self._used or good
        return good


class Sessions:
    """Who is signed in."""

    def __init__(self, key: str, clock: Clock) -> None:
        """Take the key, as Fernet writes one."""
        self._cipher = Fernet(key)
        self._clock = clock

    @classmethod
    def kept_in(cls, vault: Vault, clock: Clock) -> Sessions:
        """Return the sessions of a project; the first time their key is made."""
        key = vault.read(VAULT_NAME) or vault.renew(VAULT_NAME, None, lambda seen: seen or _new_key())
        return cls(key, clock)

    def read(self, request: Request) -> Session | None:
        """Return the session that a request carries, if it is one of ours that has not run out."""
        said = self.kept(request, "session", SESSION_LASTS)
        return None if said is None else Session(user=said["user"], csrf=said["csrf"])

    def begin(self, request: Request, answer: Response, user: str) -> None:
        """Put a new session into an answer; one that the browser had is gone."""
        said = {"user": user, "csrf": secrets.token_urlsafe(_TOKEN_BYTES)}
        self.keep(request, answer, "session", said, SESSION_LASTS)

    def end(self, request: Request, answer: Response) -> None:
        """Take the session out of the browser."""
        forget(request, answer, "session")

    def keep(self, request: Request, answer: Response, name: str, said: Mapping[str, Any], lasts: timedelta) -> None:
        """Let the browser keep something that it can neither read nor change."""
        # Its name is sealed too: nothing that was kept as one thing is taken for another.
        sealed = self._cipher.encrypt_at_time(
            json.dumps({**said, "kept_as": name}).encode(), int(self._clock.now().timestamp())
        )
        _set_cookie(request, answer, name, sealed.decode(), lasts)

    def kept(self, request: Request, name: str, lasts: timedelta) -> Mapping[str, Any] | None:
        """Return what a browser keeps under a name, if we gave it no longer ago than this."""
        ttl, now = int(lasts.total_seconds()), int(self._clock.now().timestamp())
        try:
            said = json.loads(self._cipher.decrypt_at_time(request.cookies.get(_named(request, name), ""), ttl, now))
        except (InvalidToken, ValueError):
            return None
        return said if isinstance(said, dict) and said.get("kept_as") == name else None


def _new_key() -> str:
    return Fernet.generate_key().decode()


def remember(request: Request, answer: Response) -> None:
    """Let the browser keep where one wanted to go until one is signed in, if it is a page of ours.

    What a page asks for by itself, such as the feed's stream or a preview, is no place to go to.
    """
    query = f"?{request.url.query}" if request.url.query else ""
    path = f"{request.url.path}{query}"
    by_hand = request.headers.get("sec-fetch-dest", "document") == "document"
    if request.method == "GET" and by_hand and _OURS.fullmatch(path):
        _set_cookie(request, answer, "next", quote(path, safe=""), LINK_LASTS)


def wanted(request: Request) -> str:
    """Return where one wanted to go, or the front page."""
    path = unquote(request.cookies.get(_named(request, "next"), ""))
    return path if _OURS.fullmatch(path) else "/"


def forget(request: Request, answer: Response, name: str) -> None:
    """Take what the browser keeps under a name out of it."""
    _set_cookie(request, answer, name, "", timedelta(0))


def _set_cookie(request: Request, answer: Response, name: str, value: str, lasts: timedelta) -> None:
    answer.set_cookie(
        _named(request, name),
        value,
        max_age=int(lasts.total_seconds()),
        httponly=True,
        samesite="lax",  # a click in Salesforce leads here, so "strict" would ask to sign in each time
        secure=_over_tls(request),
    )


def _named(request: Request, name: str) -> str:
    _, port = request.scope["server"]
    # By the prefix browsers take it from this very name alone: no neighbour in the domain can plant one.
    return f"{'__Host-' if _over_tls(request) else ''}connector_{name}_{port}"


def _over_tls(request: Request) -> bool:
    return request.url.scheme == "https"
