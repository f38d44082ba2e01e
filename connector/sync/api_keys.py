"""Keys of the REST API: made, shown once, looked up, revoked.

Lives here: `Scope`, these actions. Does not live here: what a route asks of a key (`web.api.callers`), who its user is
(`web.users`). A key may do what its user may, as far as its scopes go.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import uuid4

from connector.errors import BadInput
from connector.store.api_keys import ApiKey, find_by_beginning, find_key, insert_key, list_keys, note_used, revoke_key
from connector.sync.office import Office

#: By this others recognise a key that was left where it should not be.
BEGINNING = "sck_"

#: Keys one user may have.
MOST = 50

#: Characters of a key's name.
LONGEST_NAME = 200

_KEY_BYTES = 32

#: How exactly it is known when a key was last used: each note is a write.
_NOTED_EVERY = timedelta(minutes=1)


class Scope(StrEnum):
    """What a key may be used for."""

    #: Look at everything its user sees.
    READ = "read"
    #: Do what is done with tasks and emails.
    TASKS = "tasks"
    #: Launch, pause, resume, remove and migrate.
    CAMPAIGNS = "campaigns"
    #: Import people, opt them out and take that back.
    PEOPLE = "people"
    #: Keys, webhooks and diagnostics.
    ADMIN = "admin"


class UnknownKey(BadInput):
    """An id names no key, or somebody else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key just made, with what nobody is shown again."""

    key: ApiKey
    secret: str

    def __repr__(self) -> str:
        """Leave the secret out."""
        return f"NewKey({self.key!r})"


def add_key(office: Office, *, user: str, name: str, scopes: Collection[Scope]) -> NewKey:
    """Make a key that acts for a user; raise `BadInput` without a name or a scope, and for a name that is too long."""
    said = " ".join(name.split())
    if not said or not scopes:
        raise BadInput("a key needs a name, by which you find it again, and at least one scope")
    if len(said) > LONGEST_NAME:
        raise BadInput(f"the name of a key has at most {LONGEST_NAME} characters, not {len(said)}")
    secret = f"{BEGINNING}{secrets.token_urlsafe(_KEY_BYTES)}"
    key = ApiKey(
        id=uuid4().hex,
        name=said,
        user=user,
        scopes=tuple(scope.value for scope in Scope if scope in scopes),
        created=office.now(),
    )
    with office.database.write() as tx:
        if len(list_keys(tx, user=user)) >= MOST:
            raise BadInput(f"there are {MOST} keys that act for this user already: revoke one first")
        insert_key(tx, key, _digest(secret))
    return NewKey(key=key, secret=secret)


def keys_of(office: Office, user: str) -> list[ApiKey]:
    """Return a user's keys; everybody's for an admin."""
    with office.database.read() as tx:
        return list_keys(tx, user=None if office.sees(user) is None else user)


def open_by(office: Office, secret: str) -> ApiKey | None:
    """Return the key that somebody shows, and note that it was used; None when it is none, or was revoked."""
    now = office.now()
    with office.database.read() as tx:
        key = find_key(tx, _digest(secret))
    if key is None or key.revoked is not None:
        return None
    if key.used is None or key.used + _NOTED_EVERY <= now:
        with office.database.write() as tx:
            note_used(tx, key.id, now)
    return key


def revoke(office: Office, user: str, id_: str) -> ApiKey:
    """Let a key open nothing any more; its id may be its first characters."""
    with office.database.write() as tx:
        everybodys = office.sees(user) is None
        found = [key for key in find_by_beginning(tx, id_.lower()) if everybodys or key.user == user]
        if len(found) != 1 or not id_:
            problem = "names several keys: give more of it" if len(found) > 1 else "names no key of yours"
            raise UnknownKey(f"the id '{id_}' {problem}")
        revoke_key(tx, found[0].id, office.now())
    return found[0]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
