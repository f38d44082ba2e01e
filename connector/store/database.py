"""Opening the database: SQLite (WAL) or PostgreSQL, transactions, one-at-a-time locks, migrations.

Lives here: `Database`. Does not live here: tables (`schema`), statements (beside their subject).
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from connector.errors import BadInput, Busy

#: What every function of this room takes first: an open transaction.
Transaction = Connection

#: What is to be done when a transaction has been committed; one that is rolled back takes it along.
_AFTERWARDS: WeakKeyDictionary[Transaction, list[Callable[[], None]]] = WeakKeyDictionary()

#: Newest migration; a test holds it against the migrations folder.
HEAD = "0014"

#: Seconds a writer waits for another process's transaction on SQLite.
_BUSY_SECONDS = 60

#: Connections: more than mailboxes are worked at a time, so that none waits for another's.
_POOL = {"pool_size": 20, "max_overflow": 20}

#: A server that went without a word is noticed within half a minute, not after the system's quarter of an hour.
NOTICE_LOSS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

#: The server notices as soon that a machine of ours went without a word, and rolls back a transaction whose process
#: stood still for as long as a lease lasts: its locks would keep every other writer waiting, for hours or for ever.
END_LOSS = {
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "idle_in_transaction_session_timeout": 60_000,
}

#: Number of the lock that lets PostgreSQL have one writer at a time, or the holders of several lanes.
_WRITER = zlib.crc32(b"connector writer")
_ALONE = select(func.pg_advisory_xact_lock(_WRITER))
_BESIDE_LANES = select(func.pg_advisory_xact_lock_shared(_WRITER))


def after_commit(tx: Transaction, do: Callable[[], None]) -> None:
    """Have something done when a transaction that writes has been committed, and never if it is rolled back.

    It must be quick, must not fail and is lost with the process: good for hints only.
    """
    _AFTERWARDS.setdefault(tx, []).append(do)


def _do_afterwards(tx: Transaction) -> None:
    for do in _AFTERWARDS.pop(tx, ()):
        do()


class Database:
    """One database, opened once a process; safe for threads, a transaction each."""

    def __init__(self, url: str) -> None:
        """Open lazily; raise `BadInput` for an address that names no supported database."""
        try:
            self.url = make_url(url)
        except ArgumentError as error:
            raise BadInput(f"'{url.split('://', maxsplit=1)[0]}…' is not a database address: {_URL_HELP}") from error
        backend = self.url.get_backend_name()
        if backend not in ("sqlite", "postgresql"):
            raise BadInput(f"the database '{backend}' is not supported: {_URL_HELP}")
        self.is_sqlite = backend == "sqlite"
        self.engine = self._open_sqlite() if self.is_sqlite else self._open_postgresql()
        self._writer = self.engine.execution_options(connector_writes=True)
        #: The rollback by which SQLAlchemy ends what only read would make psycopg forget every prepared statement. On
        #: PostgreSQL each statement sees what is committed by then, in a transaction or not.
        self._reader = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        #: On SQLite the threads of one process take turns here: waiting inside SQLite is sleeping and asking again.
        self._turn = Lock() if self.is_sqlite else nullcontext()

    def _open_postgresql(self) -> Engine:
        unsaid = {name: value for name, value in NOTICE_LOSS.items() if name not in self.url.query}
        engine = create_engine(self.url, connect_args=unsaid, **_POOL)

        @event.listens_for(engine, "connect")
        def _configure(connection: Any, _record: Any) -> None:
            # Not among the options of the address: poolers between us and the server refuse those.
            connection.autocommit = True
            connection.execute("; ".join(f"SET {name} = {value}" for name, value in END_LOSS.items()))
            connection.autocommit = False

        return engine

    def _open_sqlite(self) -> Engine:
        if self.url.database and self.url.database != ":memory:":
            Path(self.url.database).expanduser().resolve().parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(self.url, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False}, **_POOL)

        @event.listens_for(engine, "connect")
        def _configure(connection: sqlite3.Connection, _record: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")  # a power cut must not forget a stored draft id
            connection.execute("PRAGMA cache_size=-65536")
            # Copying the log back every 4 MB (the default) would make a bulk write pay for it several times.
            connection.execute("PRAGMA wal_autocheckpoint=10000")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get("connector_writes", False)
            # A transaction that will write says so at once: upgrading a read lock can deadlock.
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Run a transaction that writes; it is committed at the end, rolled back on an error.

        It is the only writer: what it read stays true until it commits, and none can deadlock (decision 37).
        """
        with self._turn, self._writer.begin() as connection:
            if not self.is_sqlite:
                connection.execute(_ALONE)
            yield connection
        _do_afterwards(connection)

    @contextmanager
    def write_in_lane(self) -> Iterator[Transaction]:
        """Run a transaction of a lane's holder; on PostgreSQL those of other lanes run beside it, and no other writer.

        It takes the lane's row first (`lanes.guard`), then, at once, the people whose campaigns it may move
        (`people.lock_people`), and writes only what belongs to these (decision 37).
        """
        with self._turn, self._writer.begin() as connection:
            if not self.is_sqlite:
                connection.execute(_BESIDE_LANES)
            yield connection
        _do_afterwards(connection)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Run a transaction that only reads."""
        with self._reader.connect() as connection:
            yield connection

    def upgrade(self) -> None:
        """Bring the tables to the newest version; raise `BadInput` when the database cannot be opened."""
        if not self.is_newest():
            self._migrate()

    def is_newest(self) -> bool:
        """Tell whether the tables are of the newest version; raise `BadInput` when the database cannot be opened."""
        try:
            with self.engine.connect() as connection:
                current = None
                if inspect(connection).has_table("alembic_version"):
                    current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except DatabaseError as error:
            shown = self.url.render_as_string(hide_password=True)
            raise BadInput(
                f"the database {shown} cannot be opened: check its address, that it runs, and that it is a database"
            ) from error
        return current == HEAD

    def _migrate(self) -> None:
        from alembic import command  # noqa: PLC0415 - slow to import, and rarely needed
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.write() as tx:
            config.attributes["connection"] = tx
            command.upgrade(config, "head")

    @contextmanager
    def only_one(self, name: str) -> Iterator[None]:
        """Hold a lock of that name across processes, freed by the system if this one dies; else raise `Busy`."""
        hold = self._hold_beside_file if self.is_sqlite else self._hold_advisory
        with hold(name):
            yield

    @contextmanager
    def _hold_beside_file(self, name: str) -> Iterator[None]:
        # An exclusive transaction on a file of its own: the one lock that works alike on every system.
        holder = sqlite3.connect(f"{self.url.database}.{name}-lock", timeout=0, isolation_level=None)
        try:
            holder.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            holder.close()
            raise Busy(f"another {name} is running on this database; try again when it has finished") from error
        try:
            yield
        finally:
            holder.close()

    @contextmanager
    def _hold_advisory(self, name: str) -> Iterator[None]:
        number = zlib.crc32(f"connector {name}".encode())
        with self.engine.connect() as connection:
            if not connection.execute(select(func.pg_try_advisory_lock(number))).scalar():
                raise Busy(f"another {name} is running on this database; try again when it has finished")
            connection.commit()
            try:
                yield
            finally:
                connection.execute(select(func.pg_advisory_unlock(number)))
                connection.commit()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


_URL_HELP = "write sqlite:///connector.db or postgresql+psycopg://user@host/name"
