"""Speed of delivery with a service that answers at once, beside the same transactions run by the driver alone.

    python bench/delivery.py                 # 600 sends from 60 mailboxes, on SQLite and on PostgreSQL
    python bench/delivery.py postgresql
    python bench/delivery.py --small         # a tenth of the mailboxes, to see that it runs

What is measured: `drain` of lanes whose mails `launch`, `tick` and `prepare` made before, unpaced, with a mailbox in
memory in place of the service. Each send is three durable transactions (claim, draft's id, confirmation); each lane
adds two (lease taken, lease given back).

Bare: the statements of those durable transactions as the product executed them, recorded once in a run of its own and
replayed by the driver alone (sqlite3, psycopg) on a copy of the database as it was before, lane by lane, with the same
commits. What the product only reads, between its transactions, is not replayed: it is no durable transaction.

Workers are processes that begin together; what is judged is measured several times, the kinds taking turns, and the
middle one counts: what else the machine does meanwhile falls on all kinds alike.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from databases import Databases
from null_service import NOW, SENDS_A_MAILBOX, null_office, people, write_project
from processes import START, in_own_process, side_by_side
from replay import Recorder, Recording, bare_connection, replay

from connector.store.lanes import release, take
from connector.sync.drain import drain
from connector.sync.launch import launch
from connector.sync.prepare import prepare
from connector.sync.pull_mailbox import pull_mailbox
from connector.sync.tick import tick

MAILBOXES = 60
CLAIMS = 1_000
REPEATS = 3

#: Times the throughput of one worker that two have at least, and of the bare transactions that the product has.
TWO_TO_ONE = 1.6
TO_BARE = 0.6


# ----------------------------------------------------------------------- measured in processes of their own


def measure_plan(url: str, folder: Path) -> dict[str, float]:
    """Launch, decide and prepare; return how many mails wait."""
    with null_office(url, folder, START) as (project, office):
        for rep in office.reps.values():
            launch(
                office,
                project.campaign("Bench"),
                project.templates,
                rep=rep,
                people=people(rep.email),
                start=START,
                overrides={},
            )
        tick(office, NOW)
        return {"waiting": prepare(office, NOW).seen["send"]}


def measure_drain(url: str, folder: Path, worker: int, workers: int, threads: int) -> dict[str, float]:
    """Drain every lane of this worker's; return when it began and ended, and how many were sent."""
    with null_office(url, folder) as (_, office):
        mine = list(office.reps.values())[worker::workers]
        drain(office, mine[0])  # statements are compiled, campaigns read, connections open
        _wait_for_go()
        began = time.monotonic()
        with ThreadPoolExecutor(max_workers=threads) as pool:
            sent = sum(done.sent for done in pool.map(partial(drain, office), mine[1:]))
        return {"began": began, "ended": time.monotonic(), "done": sent}


def measure_claims(url: str, folder: Path, worker: int, workers: int) -> dict[str, float]:
    """Take and give back lanes; return when it began and ended, and how many."""
    with null_office(url, folder) as (_, office):
        lanes = [office.lane_of(rep) for rep in office.reps.values()][worker::workers]
        count = CLAIMS // workers
        database = office.database

        def claim(number: int) -> None:
            with database.write() as tx:
                lease = take(tx, lanes[number % len(lanes)], f"worker {worker}")
            if lease is None:
                raise SystemExit("a lane nobody else takes was taken: the measurement is wrong")
            with database.write() as tx:
                release(tx, lease)

        claim(0)
        _wait_for_go()
        began = time.monotonic()
        for number in range(count):
            claim(number)
        return {"began": began, "ended": time.monotonic(), "done": count}


def measure_pulls(url: str, folder: Path) -> dict[str, float]:
    """Read mailboxes in which nothing has changed; return when that began and ended, and how many."""
    with null_office(url, folder) as (_, office):
        reps = list(office.reps.values())
        for rep in reps:
            pull_mailbox(office, rep)  # the first pull sets the cursor
        _wait_for_go()
        began = time.monotonic()
        for rep in reps:
            pull_mailbox(office, rep)
        return {"began": began, "ended": time.monotonic(), "done": len(reps)}


def measure_recording(url: str, folder: Path, to: Path) -> dict[str, float]:
    """Drain every lane and keep the statements of what was committed; return how many there are of each kind."""
    recording: Recording = {}
    with null_office(url, folder) as (_, office):
        listen = Recorder(office.database.engine)
        for rep in office.reps.values():
            drain(office, rep)
            recording[office.lane_of(rep)] = listen.taken()
        read = listen.read
    to.write_bytes(pickle.dumps(recording))
    sends = len(recording) * SENDS_A_MAILBOX
    transactions = [one for several in recording.values() for one in several]
    return {
        "transactions": len(transactions) / sends,
        "statements": sum(map(len, transactions)) / sends,
        "read": read / sends,
    }


def measure_bare(url: str, recorded: Path, worker: int, workers: int) -> dict[str, float]:
    """Run the transactions of this worker's lanes with the driver alone; return when it began and ended, and sends."""
    recording: Recording = pickle.loads(recorded.read_bytes())
    mine = list(recording.values())[worker::workers]
    connection, commit = bare_connection(url)
    cursor = connection.cursor()
    gc.freeze()
    replay(cursor, commit, mine[:1])
    _wait_for_go()
    began = time.monotonic()
    replay(cursor, commit, mine[1:])
    ended = time.monotonic()
    connection.close()
    return {"began": began, "ended": ended, "done": (len(mine) - 1) * SENDS_A_MAILBOX}


def _wait_for_go() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


# --------------------------------------------------------------------------------------------- the run


class Bench:
    """The measurements of one kind of database."""

    def __init__(self, kind: str, folder: Path, databases: Databases, mailboxes: int) -> None:
        """Prepare the mails and record how they are sent."""
        self._folder = str(folder)
        self._databases = databases
        self._kind = kind
        write_project(folder, mailboxes)
        self._planned = databases.fresh()
        self._recorded = str(folder / "recorded")
        part = partial(in_own_process, __file__, environment=os.environ)
        waiting = part(["plan", self._planned, self._folder])["waiting"]
        if waiting != mailboxes * SENDS_A_MAILBOX:
            raise SystemExit(f"{waiting} mails wait, not {mailboxes * SENDS_A_MAILBOX}: the measurement is wrong")
        each = part(["record", databases.copy(self._planned), self._folder, self._recorded])
        self.say(
            f"a send: {each['transactions']:.1f} durable transactions of {each['statements']:.1f} statements, and "
            f"{each['read']:.1f} statements that only read"
        )

    def say(self, sentence: str) -> None:
        """Print a line."""
        print(f"{self._kind:11} {sentence}", flush=True)

    def drained(self, workers: int, threads: int = 1) -> float:
        """Return sends a second of the product."""
        url = self._databases.copy(self._planned)
        return self._rate([["drain", url, self._folder, f"{n}", f"{workers}", f"{threads}"] for n in range(workers)])

    def bare(self, workers: int) -> float:
        """Return sends a second of the bare transactions."""
        url = self._databases.copy(self._planned)
        return self._rate([["bare", url, self._recorded, f"{n}", f"{workers}"] for n in range(workers)])

    def claimed(self, workers: int) -> float:
        """Return lanes taken and given back a second."""
        url = self._databases.copy(self._planned)
        return self._rate([["claims", url, self._folder, f"{n}", f"{workers}"] for n in range(workers)])

    def pulled(self) -> float:
        """Return mailboxes read a second, in each of which nothing has changed."""
        return self._rate([["pulls", self._databases.copy(self._planned), self._folder]])

    def _rate(self, each: Sequence[Sequence[str]]) -> float:
        said = side_by_side(__file__, each)
        taken = max(one["ended"] for one in said) - min(one["began"] for one in said)
        return sum(one["done"] for one in said) / taken


def measure(kind: str, mailboxes: int) -> bool:
    """Measure one kind of database and print a table; return whether every figure is within its bound."""
    databases = Databases(kind)
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(kind, Path(folder), databases, mailboxes)
            judged: dict[str, Callable[[], float]] = {
                "bare, 1 process": partial(bench.bare, 1),
                "1 process": partial(bench.drained, 1),
                "2 processes": partial(bench.drained, 2),
                "bare, 2 processes": partial(bench.bare, 2),
            }
            told: dict[str, Callable[[], float]] = {
                "1 process of 4 threads": partial(bench.drained, 1, 4),
                "2 processes of 4 threads": partial(bench.drained, 2, 4),
                **{f"{n} workers claiming": partial(bench.claimed, n) for n in (1, 2, 4)},
                "1 process reading": bench.pulled,
            }
            found = {name: [work()] for name, work in (judged | told).items()}
            for _ in range(REPEATS - 1):
                for name, work in judged.items():
                    found[name].append(work())
    finally:
        databases.close()
    rates = {name: statistics.median(several) for name, several in found.items()}
    for name, several in found.items():
        unit = {"claiming": "lanes", "reading": "mailboxes"}.get(name.rpartition(" ")[2], "sends")
        bench.say(f"{name}: {rates[name]:,.0f} {unit}/s ({min(several):,.0f} to {max(several):,.0f})")
    ratios = [("1 process to the bare transactions", rates["1 process"] / rates["bare, 1 process"], TO_BARE)]
    if kind == "postgresql":  # SQLite is for one process
        ratios += [
            ("2 processes to the bare transactions of 2", rates["2 processes"] / rates["bare, 2 processes"], TO_BARE),
            ("2 processes to 1", rates["2 processes"] / rates["1 process"], TWO_TO_ONE),
        ]
    for what, ratio, least in ratios:
        bench.say(f"{what}: {ratio:.2f} (at least {least}): {'good' if ratio >= least else 'NOT GOOD'}")
    return all(ratio >= least for _, ratio, least in ratios)


def run(scale: int) -> bool:
    """Measure both kinds of database; return whether every figure is within its bound."""
    good = [measure(kind, MAILBOXES // scale) for kind in ("sqlite", "postgresql")]
    return all(good)


MEASURES: Mapping[str, Callable[..., dict[str, float]]] = {
    "plan": lambda url, folder: measure_plan(url, Path(folder)),
    "record": lambda url, folder, to: measure_recording(url, Path(folder), Path(to)),
    "drain": lambda url, folder, *numbers: measure_drain(url, Path(folder), *map(int, numbers)),
    "bare": lambda url, recorded, *numbers: measure_bare(url, Path(recorded), *map(int, numbers)),
    "pulls": lambda url, folder: measure_pulls(url, Path(folder)),
    "claims": lambda url, folder, *numbers: measure_claims(url, Path(folder), *map(int, numbers)),
}


def main() -> None:
    """Run the bench, or one part of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=["sqlite", "postgresql"])
    parser.add_argument("--small", action="store_true", help="a tenth of the mailboxes")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        name, *arguments = given.measure
        print(json.dumps(MEASURES[name](*arguments)))
        return
    scale = 10 if given.small else 1
    good = run(scale) if given.kind is None else measure(given.kind, MAILBOXES // scale)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
