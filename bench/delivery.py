"""Speed of delivery with a service that answers at once, beside the same transactions run bare.

    python bench/delivery.py                 # on SQLite and on PostgreSQL, 12 slices of 40 sends a process
    python bench/delivery.py postgresql
    python bench/delivery.py --small         # fewer slices, to see that it runs

What is measured: `drain` of lanes whose mails `launch`, `tick` and `prepare` made before, unpaced, with a mailbox in
memory in place of the service. Each send is three durable transactions (claim, draft's id, confirmation); each lane
adds two (lease taken, lease given back).

Bare: the statements of those durable transactions as the product gave them to SQLAlchemy, recorded once in a run of
its own and given to it again on a copy of the database as it was before, lane by lane, with the same commits, and
nothing of the product around them (decision 35). What the product only reads, between its transactions, is not
replayed: it is no durable transaction. The same by the driver alone (sqlite3, psycopg) is told beside it.

Workers are processes. All are started, then work by turns, a slice of a few lanes each: what else the machine does
meanwhile falls on both sides of a ratio alike. The middle one of the slices' ratios counts.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import pickle
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from databases import Databases
from null_service import NOW, SENDS_A_MAILBOX, null_office, people, write_project
from processes import START, in_own_process, in_turns, work_in_slices
from replay import Recorder, Recording, Replay, Statement, by_driver, by_library

from connector.people import Rep
from connector.store.database import Database
from connector.store.lanes import release, take
from connector.sync.drain import Drained, drain
from connector.sync.launch import launch
from connector.sync.office import Office
from connector.sync.prepare import prepare
from connector.sync.pull_mailbox import pull_mailbox
from connector.sync.tick import tick

T = TypeVar("T")

#: Slices that each group of processes works, the lanes of a slice of one process, and how often each is claimed in it.
ROUNDS = 12
SLICE = 4
CLAIMS = 10

#: How many workers claim lanes at a time.
CLAIMING = (1, 2, 4)

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


def measure_drain(url: str, folder: Path, worker: int, workers: int, threads: int) -> None:
    """Drain this worker's lanes, slice by slice."""
    with null_office(url, folder) as (_, office), ThreadPoolExecutor(max_workers=threads) as pool:
        mine = list(office.reps.values())[worker::workers]
        drain(office, mine[0])  # statements are compiled, campaigns read, connections open
        work = partial(drain, office)
        work_in_slices(partial(_sent, pool, work, some) for some in slices(mine))


def _sent(pool: ThreadPoolExecutor, work: Callable[[Rep], Drained], reps: Sequence[Rep]) -> int:
    return sum(done.sent for done in pool.map(work, reps))


def measure_claims(url: str, folder: Path, worker: int, workers: int) -> None:
    """Take and give back this worker's lanes, slice by slice."""
    with null_office(url, folder) as (_, office):
        mine = [office.lane_of(rep) for rep in office.reps.values()][worker::workers]
        again = mine * workers  # four workers have fewer lanes each, and as many slices
        work_in_slices(partial(_claimed, office.database, some * CLAIMS, f"worker {worker}") for some in slices(again))


def _claimed(database: Database, lanes: Sequence[str], owner: str) -> int:
    for lane in lanes:
        with database.write_in_lane() as tx:
            lease = take(tx, lane, owner)
        if lease is None:
            raise SystemExit("a lane nobody else takes was taken: the measurement is wrong")
        with database.write_in_lane() as tx:
            release(tx, lease)
    return len(lanes)


def measure_pulls(url: str, folder: Path) -> None:
    """Read mailboxes in which nothing has changed, slice by slice."""
    with null_office(url, folder) as (_, office):
        reps = list(office.reps.values())
        for rep in reps:
            pull_mailbox(office, rep)  # the first pull sets the cursor
        work_in_slices(partial(_pulled, office, some) for some in slices(reps))


def _pulled(office: Office, reps: Sequence[Rep]) -> int:
    for rep in reps:
        pull_mailbox(office, rep)
    return len(reps)


def measure_recording(url: str, folder: Path, to: Path) -> dict[str, float]:
    """Claim and drain every lane and keep the statements of what was committed; return how many a send has."""
    recording: Recording = {}
    claims: Recording = {}
    with null_office(url, folder) as (_, office):
        listen = Recorder(office.database.engine)
        for rep in office.reps.values():
            lane = office.lane_of(rep)
            _claimed(office.database, [lane], "worker")
            claims[lane] = listen.taken()
            drain(office, rep)
            recording[lane] = listen.taken()
        read = listen.read
    to.write_bytes(pickle.dumps((recording, claims)))
    sends = len(recording) * SENDS_A_MAILBOX
    transactions = [one for several in recording.values() for one in several]
    return {
        "transactions": len(transactions) / sends,
        "statements": sum(map(len, transactions)) / sends,
        "read": read / sends,
    }


def measure_bare(opened: Callable[[str], Replay], url: str, recorded: Path, worker: int, workers: int) -> None:
    """Run the transactions of this worker's lanes with nothing around them, slice by slice."""
    recording, _ = _recorded(recorded)
    mine = list(recording.values())[worker::workers]
    replay = opened(url)
    replay(mine[:1])
    work_in_slices(partial(_replayed, replay, some, SENDS_A_MAILBOX) for some in slices(mine))


def measure_bare_claims(url: str, recorded: Path, worker: int, workers: int) -> None:
    """Run the transactions that claim this worker's lanes with nothing around them, slice by slice."""
    _, claims = _recorded(recorded)
    mine = list(claims.values())[worker::workers] * workers
    replay = by_library(url)
    replay(mine[:1])
    work_in_slices(partial(_replayed, replay, some * CLAIMS, 1) for some in slices(mine))


def _recorded(file: Path) -> tuple[Recording, Recording]:
    found: tuple[Recording, Recording] = pickle.loads(file.read_bytes())
    gc.freeze()
    return found


def _replayed(replay: Replay, lanes: Sequence[list[list[Statement]]], each: int) -> int:
    replay(lanes)
    return len(lanes) * each


def slices(lanes: Sequence[T]) -> Iterator[list[T]]:
    """Return lanes in slices, without the first, which was for warming up."""
    return (list(lanes[start : start + SLICE]) for start in range(1, len(lanes), SLICE))


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

    def groups(self) -> dict[str, list[list[str]]]:
        """Return what is measured by turns; neighbours are compared. Each has a copy of the database of its own."""
        return {
            "bare, by the driver, 1 process": self._each("driver", self._recorded, 1),
            "bare, 1 process": self._each("bare", self._recorded, 1),
            "1 process": self._each("drain", self._folder, 1, "1"),
            "2 processes": self._each("drain", self._folder, 2, "1"),
            "bare, 2 processes": self._each("bare", self._recorded, 2),
            "bare, by the driver, 2 processes": self._each("driver", self._recorded, 2),
            "1 process of 4 threads": self._each("drain", self._folder, 1, "4"),
            "2 processes of 4 threads": self._each("drain", self._folder, 2, "4"),
            **{f"{workers} workers claiming": self._each("claims", self._folder, workers) for workers in CLAIMING},
            **{f"bare, {workers} claiming": self._each("bare claims", self._recorded, workers) for workers in CLAIMING},
            "1 process reading": [["pulls", self._databases.copy(self._planned), self._folder]],
        }

    def _each(self, what: str, file: str, workers: int, *more: str) -> list[list[str]]:
        url = self._databases.copy(self._planned)
        return [[what, url, file, f"{worker}", f"{workers}", *more] for worker in range(workers)]


def measure(kind: str, rounds: int) -> bool:
    """Measure one kind of database and print a table; return whether every figure is within its bound."""
    databases = Databases(kind)
    try:
        with tempfile.TemporaryDirectory() as folder:
            # Two workers need so many lanes each, and one to warm up.
            bench = Bench(kind, Path(folder), databases, 2 * (rounds * SLICE + 1))
            found = in_turns(__file__, bench.groups(), rounds)
    finally:
        databases.close()
    for name, several in found.items():
        unit = {"claiming": "lanes", "reading": "mailboxes"}.get(name.rpartition(" ")[2], "sends")
        low, middle, high = quartiles([one.rate for one in several])
        bench.say(f"{name}: {middle:,.0f} {unit}/s (half of the slices from {low:,.0f} to {high:,.0f})")
    pairs: list[tuple[str, str, float | None]] = [
        ("1 process", "bare, 1 process", TO_BARE),
        ("1 process", "bare, by the driver, 1 process", None),
        *((f"{workers} workers claiming", f"bare, {workers} claiming", TO_BARE) for workers in CLAIMING),
    ]
    if kind == "postgresql":  # SQLite is for one process
        pairs += [
            ("2 processes", "bare, 2 processes", TO_BARE),
            ("2 processes", "bare, by the driver, 2 processes", None),
            ("2 processes", "1 process", TWO_TO_ONE),
        ]
    good = True
    for one, other, least in pairs:
        low, middle, high = quartiles([a.rate / b.rate for a, b in zip(found[one], found[other], strict=True)])
        judged = "not judged"
        if least is not None:
            good &= middle >= least
            judged = f"at least {least}: {'good' if middle >= least else 'NOT GOOD'}"
        bench.say(f"{one} to {other}: {middle:.2f} ({low:.2f} to {high:.2f}; {judged})")
    return good


def quartiles(values: Sequence[float]) -> list[float]:
    """Return what a quarter, half and three quarters of the values lie below."""
    return statistics.quantiles(values, n=4, method="inclusive")


def run(scale: int) -> bool:
    """Measure both kinds of database; return whether every figure is within its bound."""
    good = [measure(kind, max(3, ROUNDS // scale)) for kind in ("sqlite", "postgresql")]
    return all(good)


MEASURES: Mapping[str, Callable[..., dict[str, float] | None]] = {
    "plan": lambda url, folder: measure_plan(url, Path(folder)),
    "record": lambda url, folder, to: measure_recording(url, Path(folder), Path(to)),
    "drain": lambda url, folder, *numbers: measure_drain(url, Path(folder), *map(int, numbers)),
    "bare": lambda url, recorded, *numbers: measure_bare(by_library, url, Path(recorded), *map(int, numbers)),
    "driver": lambda url, recorded, *numbers: measure_bare(by_driver, url, Path(recorded), *map(int, numbers)),
    "bare claims": lambda url, recorded, *numbers: measure_bare_claims(url, Path(recorded), *map(int, numbers)),
    "pulls": lambda url, folder: measure_pulls(url, Path(folder)),
    "claims": lambda url, folder, *numbers: measure_claims(url, Path(folder), *map(int, numbers)),
}


def main() -> None:
    """Run the bench, or one part of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=["sqlite", "postgresql"])
    parser.add_argument("--small", action="store_true", help="fewer slices")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        name, *arguments = given.measure
        if (told := MEASURES[name](*arguments)) is not None:
            print(json.dumps(told))
        return
    scale = 10 if given.small else 1
    good = run(scale) if given.kind is None else measure(given.kind, max(3, ROUNDS // scale))
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
