"""Secrets of accounts, encrypted at rest.

Lives here: the key, the sealing, and `StoredVault`, the `ports.Vault` of the database. Does not live here: the rows
(`store.secrets`), the lease (`store.lanes`), what the secrets are for (adapters).

The key is $CONNECTOR_KEY, else the file `connector.key` in the project's folder, which the first secret makes. Machines
that share a database share the key.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from connector.errors import BadInput, Retry
from connector.ports import Clock
from connector.store.database import Database
from connector.store.lanes import LEASE_SECONDS, RENEWALS, Lease, release, take
from connector.store.secrets import forget_secret, has_secrets, read_secret, save_secret

#: Environment variable that holds the key; it wins over the file.
KEY_VARIABLE = "CONNECTOR_KEY"

#: File of the key, in the project's folder.
KEY_FILE = "connector.key"

#: Seconds between two looks while another process renews the same secret.
_LOOK_EVERY = 0.2

#: Longest wait for it: the lease of a process that was killed has run out by then.
_LONGEST_WAIT = timedelta(seconds=LEASE_SECONDS + 10)


class StoredVault:
    """A vault in the database."""

    def __init__(self, database: Database, clock: Clock, folder: Path) -> None:
        """Take the database, and the project's folder, where the key lies unless the environment names one."""
        self._database = database
        self._clock = clock
        self._folder = folder

    def __repr__(self) -> str:
        """Show nothing of what is inside."""
        return "StoredVault()"

    def read(self, name: str) -> str | None:
        """Return a secret; None when there is none. Raise `BadInput` when the key is missing or another one."""
        with self._database.read() as tx:
            sealed = read_secret(tx, name)
        return None if sealed is None else self._opened(name, sealed)

    def save(self, name: str, secret: str) -> None:
        """Keep a secret; the first one makes the key."""
        sealed = self._sealed(name, secret)
        with self._database.write() as tx:
            save_secret(tx, name, sealed, at=self._clock.now())

    def forget(self, name: str) -> None:
        """Forget a secret; one that is not there is no error, and no key is needed."""
        with self._database.write() as tx:
            forget_secret(tx, name)

    def renew(self, name: str, seen: str | None, renewed: Callable[[str | None], str]) -> str:
        """Replace a secret under a lock across processes, and return the one that counts now.

        `renewed` runs without a transaction: other work of the database goes on while it calls a service. Raise
        `Retry` when another process holds the lock for longer than any call takes.
        """
        with self._renewing(name, seen) as newer:
            if newer is not None:
                return newer
            before = self.read(name)
            if before is not None and before != seen:
                return before
            try:
                secret = renewed(before)
            except Exception:
                # If we were frozen past our lease, another process has renewed it, and what we held was spent.
                latest = self.read(name)
                if latest is not None and latest != before:
                    return latest
                raise
            return self._replaced(name, before, secret)

    def _replaced(self, name: str, before: str | None, secret: str) -> str:
        """Save a secret unless it was changed meanwhile; return the one that counts now."""
        sealed = self._sealed(name, secret)
        with self._database.write() as tx:
            now = read_secret(tx, name)
            latest = None if now is None else self._opened(name, now)
            if latest == before:
                save_secret(tx, name, sealed, at=self._clock.now())
        # One that was forgotten meanwhile serves this process, and is not kept against a person's will.
        return secret if latest in (None, before) else latest

    @contextmanager
    def _renewing(self, name: str, seen: str | None) -> Iterator[str | None]:
        """Hold the lock of a secret; or give the newer secret that somebody else saved while we waited for it."""
        lane, owner = RENEWALS + name, uuid.uuid4().hex
        until = self._clock.now() + _LONGEST_WAIT
        lease: Lease | None = None
        while lease is None:
            newer = self.read(name)
            if newer is not None and newer != seen:
                yield newer
                return
            with self._database.write() as tx:
                lease = take(tx, lane, owner)
            if lease is None and self._clock.now() >= until:
                raise Retry("another process is renewing the sign-in; it will be tried again", code="renewing")
            if lease is None:
                self._clock.sleep(_LOOK_EVERY)
        try:
            yield None
        finally:
            with self._database.write() as tx:
                release(tx, lease)

    # ----------------------------------------------------------------------------------------- sealing

    def _sealed(self, name: str, secret: str) -> str:
        # The name is sealed in: who can write to the database still cannot pass one account's secret for another's.
        content = f"{name}\n{secret}".encode()
        return self._key(make=True).encrypt_at_time(content, int(self._clock.now().timestamp())).decode()

    def _opened(self, name: str, sealed: str) -> str:
        try:
            whose, _, secret = self._key(make=False).decrypt(sealed.encode()).decode().partition("\n")
        except InvalidToken:
            whose, secret = "", ""
        if whose != name:
            raise BadInput(
                f"the secret '{name}' in the database was sealed with another key than {self._key_place()}: set "
                f"{KEY_VARIABLE} to that key or bring its {KEY_FILE}, or sign in again with 'connector auth'"
            )
        return secret

    def _key(self, *, make: bool) -> Fernet:
        text = os.environ.get(KEY_VARIABLE, "").strip() or self._key_in_file(make=make)
        try:
            return Fernet(text)
        except ValueError:
            raise BadInput(
                f"{self._key_place()} is not a key: it is 44 characters, as the program writes them into {KEY_FILE}"
            ) from None

    def _key_place(self) -> str:
        return f"${KEY_VARIABLE}" if os.environ.get(KEY_VARIABLE) else f"'{self._folder / KEY_FILE}'"

    def _key_in_file(self, *, make: bool) -> str:
        path = self._folder / KEY_FILE
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            raise BadInput(
                f"the key '{path}' cannot be read: check that it is yours to read, or set {KEY_VARIABLE}"
            ) from error
        with self._database.read() as tx:
            others = has_secrets(tx)
        if others or not make:
            raise BadInput(
                f"the database holds secrets, and there is no key to them: set {KEY_VARIABLE}, or bring {KEY_FILE} to "
                f"'{self._folder}'. If the key is lost, end each sign-in with 'connector auth revoke' and sign in again"
            )
        try:
            return _made_key(path)
        except OSError as error:
            raise BadInput(
                f"the key '{path}' cannot be written: make the folder writable, or set {KEY_VARIABLE}"
            ) from error


def _made_key(path: Path) -> str:
    """Write a new key, readable by its owner only; when two processes do so at once, both get the first one's."""
    descriptor, name = tempfile.mkstemp(prefix=".connector-key-", dir=path.parent)
    written = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        # A link appears whole or not at all, and never in the place of another.
        path.hardlink_to(written)
    except FileExistsError:
        pass
    finally:
        written.unlink()
    return path.read_text(encoding="ascii").strip()
