"""Speeds of launch and tick, as ratios to bare bulk writes of the same rows measured in the same run.

    make bench                        # SQLite and PostgreSQL: 100,000 enrollments, 1,000 due of a million; services
    python bench/bench.py --small     # a tenth of everything, to see that it runs

Writing to Salesforce is measured by `push`, as ratios to a loop of single creations; placing drafts in Gmail
and Outlook by `drafts`, as a ratio to the limit that their calls set; sending with a service that answers at once by
`delivery`, as a ratio to the same transactions run bare; pages with many open tasks by `pages`, as a ratio to few.

What is compared: the product's `launch` and `tick` against the database driver alone, writing exactly the rows that
they wrote (read back afterwards), in the same order, with the same batches and as many transactions, into an empty
database with the same tables and indexes. A ratio of 0.4 says: 0.4 of the rate of doing nothing but writing.
Each measurement runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import delivery
import drafts
import pages
import push
from databases import Databases
from processes import seconds
from sqlalchemy import Table

from connector.app import Project, open_office
from connector.people import Person
from connector.store import schema
from connector.store.database import Database
from connector.sync.launch import launch
from connector.sync.office import Office
from connector.sync.tick import tick

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
BATCH = 5000
FLOOR = 0.4
CEILING = 1.5
MEMORY_MB = 300

#: What is delivered to -> its bench.
SERVICES: Mapping[str, Callable[[int], bool]] = {
    "salesforce": push.run,
    "gmail": partial(drafts.run, "gmail"),
    "outlook": partial(drafts.run, "outlook"),
    "delivery": delivery.run,
    "pages": pages.run,
}

CAMPAIGN = """\
name: Bench
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}", notes: "Ask about {{company}}"}
  - day: 3
    steps:
      - email: {template: intro, send: "09:00"}
"""


class _Clock:
    """Stands still."""

    def __init__(self) -> None:
        self.instant = START

    def now(self) -> datetime:
        return self.instant

    def sleep(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


@contextmanager
def office_on(url: str, folder: Path) -> Iterator[tuple[Project, Office]]:
    """Open a project without any account on a database."""
    for name in ("campaigns", "templates"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rep = {"email": "ana@acme.example", "name": "Ana", "time_zone": "Europe/Madrid", "mailbox": "links"}
    (folder / "connector.yaml").write_text(json.dumps({"reps": [rep]}))
    (folder / "campaigns" / "bench.yaml").write_text(CAMPAIGN)
    (folder / "templates" / "intro.md").write_text("---\nsubject: Hello\n---\nHello {{first_name}}\n")
    project = Project(folder=folder)
    database = Database(url)
    database.upgrade()
    try:
        yield project, open_office(project, database, _Clock())
    finally:
        database.close()


def people(count: int, prefix: str = "p") -> Iterator[Person]:
    """Make people up, one at a time."""
    for number in range(count):
        yield Person(
            email=f"{prefix}{number:07}@client{number % 5000}.example",
            first_name="Pat",
            last_name=f"Doe{number}",
            company=f"Client {number % 5000}",
        )


def launch_people(project: Project, office: Office, who: Iterator[Person], start: datetime) -> None:
    """Launch the campaign of the bench."""
    launch(
        office,
        project.campaign("Bench"),
        project.templates,
        rep=project.rep("ana@acme.example"),
        people=who,
        start=start,
        overrides={},
    )


# ---------------------------------------------------------------------- measured in processes of their own


def measure_product(url: str, folder: Path, count: int) -> dict[str, float]:
    """Launch and tick; return seconds of each and peak memory in MB."""
    gc.freeze()  # as the command does
    with office_on(url, folder) as (project, office):
        launched = seconds(lambda: launch_people(project, office, people(count), START))
        ticked = seconds(lambda: tick(office, START))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"launch": launched, "tick": ticked, "memory_mb": peak}


def measure_bare(source: str, target: str, folder: Path, count: int) -> dict[str, float]:
    """Write the rows that launch and tick wrote into an empty database with the driver alone."""
    del folder
    read, write = Database(source), Database(target)
    write.upgrade()
    raw = read.engine.raw_connection()
    rows = {
        table.name: _fetch(raw, table)
        for table in (schema.people, schema.people_words, schema.enrollments, schema.ledger, schema.intents)
    }
    raw.close()
    read.close()
    lines = schema.ledger.name
    columns = [column.name for column in schema.enrollments.columns]
    at = {name: index for index, name in enumerate(columns)}
    # As they were after the launch: waiting for their first step.
    before = [_changed(row, at, intent=None, next_due=row[at["due"]]) for row in rows["enrollments"]]
    connection = write.engine.raw_connection()
    mark = "?" if write.is_sqlite else "%s"
    try:
        launched = seconds(
            lambda: _in_one_transaction(
                connection,
                write.is_sqlite,
                [
                    (_insert(schema.people, mark), rows["people"]),
                    (_insert(schema.people_words, mark), rows["people_words"]),
                    (_insert(schema.enrollments, mark), before),
                    (_insert(schema.ledger, mark), rows[lines][:count]),
                ],
            )
        )
        ticked = seconds(
            lambda: _in_batches(
                connection,
                write.is_sqlite,
                [
                    (_insert(schema.intents, mark), rows["intents"]),
                    (_insert(schema.ledger, mark), rows[lines][count:]),
                    (_update(mark), [_update_row(row, at) for row in rows["enrollments"]]),
                ],
            )
        )
    finally:
        connection.close()
        write.close()
    return {"launch": launched, "tick": ticked}


#: What a tick writes of an enrollment.
_MOVING = (
    "version", "state", "position", "due", "due_date", "reason", "intent", "anchor_day", "anchor_date", "email_clocks",
    "next_due", "rep",
)  # fmt: skip


def _fetch(connection: Any, table: Table) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    order = next(iter(table.primary_key.columns)).name
    cursor.execute(f"SELECT {_names(table)} FROM {table.name} ORDER BY {order}")
    return [tuple(row) for row in cursor.fetchall()]


def _names(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)


def _insert(table: Table, mark: str) -> str:
    marks = ", ".join([mark] * len(table.columns))
    return f"INSERT INTO {table.name} ({_names(table)}) VALUES ({marks})"


def _update(mark: str) -> str:
    return f"UPDATE enrollments SET {', '.join(f'{name} = {mark}' for name in _MOVING)} WHERE id = {mark}"


def _update_row(row: tuple[Any, ...], at: dict[str, int]) -> tuple[Any, ...]:
    return (*(row[at[name]] for name in _MOVING), row[at["id"]])


def _changed(row: tuple[Any, ...], at: dict[str, int], **changes: Any) -> tuple[Any, ...]:
    values = list(row)
    for name, value in changes.items():
        values[at[name]] = value
    return tuple(values)


def _in_one_transaction(connection: Any, is_sqlite: bool, work: list[tuple[str, list[Any]]]) -> None:
    cursor = connection.cursor()
    if is_sqlite:
        cursor.execute("BEGIN IMMEDIATE")
    batches = math.ceil(len(work[0][1]) / BATCH)
    for number in range(batches):
        for statement, rows in work:
            # A person has several words.
            cursor.executemany(statement, rows[number * len(rows) // batches : (number + 1) * len(rows) // batches])
    cursor.execute("COMMIT") if is_sqlite else connection.commit()


def _in_batches(connection: Any, is_sqlite: bool, work: list[tuple[str, list[Any]]]) -> None:
    for start in range(0, len(work[0][1]), BATCH):
        cursor = connection.cursor()
        if is_sqlite:
            cursor.execute("BEGIN IMMEDIATE")
        for statement, rows in work:
            cursor.executemany(statement, rows[start : start + BATCH])
        cursor.execute("COMMIT") if is_sqlite else connection.commit()


def measure_among(url: str, folder: Path, total: int, due: int, rounds: int) -> dict[str, float]:
    """Tick `due` enrollments, spread evenly among `total`; return the median seconds of `rounds` ticks."""
    gc.freeze()
    with office_on(url, folder) as (project, office):
        launch_people(project, office, people(total), START + timedelta(days=400))
        ids = _ids(office.database)
        stride, taken = max(1, total // (due * rounds)), []
        for round_number in range(rounds):
            chosen = ids[round_number * stride : due * rounds * stride : stride * rounds][:due]
            now = START + timedelta(days=round_number + 1)
            _make_due(office.database, chosen, now)
            taken.append(seconds(lambda now=now: _expect(tick(office, now), due)))
    return {"tick": statistics.median(taken)}


def _ids(database: Database) -> list[str]:
    with database.read() as tx:
        return [row[0] for row in tx.exec_driver_sql("SELECT id FROM enrollments ORDER BY id")]


def _make_due(database: Database, ids: list[str], now: datetime) -> None:
    columns = schema.enrollments.c
    with database.write() as tx:
        for start in range(0, len(ids), 500):
            chosen = schema.enrollments.update().where(columns.id.in_(ids[start : start + 500]))
            tx.execute(chosen.values(next_due=now, due=now))
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE enrollments")


def _expect(made: int, wanted: int) -> None:
    if made != wanted:
        raise SystemExit(f"the tick made {made} intents, not {wanted}: the measurement is wrong")


# --------------------------------------------------------------------------------------------- the run


def in_own_process(function: str, *arguments: Any) -> dict[str, float]:
    """Run one of the measure functions in a new process and return what it says."""
    command = [sys.executable, __file__, "--measure", function, json.dumps([str(one) for one in arguments])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def run(kind: str, scale: int) -> bool:
    """Measure one kind of database and print a table; return whether every figure is within its bound."""
    count, million = 100_000 // scale, 1_000_000 // scale
    few = max(10_000 // scale, 1_000)
    databases = Databases(kind)
    good = True
    try:
        with tempfile.TemporaryDirectory() as folder:
            ratios: dict[str, list[float]] = {"launch": [], "tick": []}
            memory = 0.0
            for _ in range(3):
                used, empty = databases.fresh(), databases.fresh()
                product = in_own_process("measure_product", used, folder, count)
                bare = in_own_process("measure_bare", used, empty, folder, count)
                memory = max(memory, product["memory_mb"])
                for what, found in ratios.items():
                    found.append(bare[what] / product[what])
                    print(f"{kind:11} {what:7} {count / product[what]:9,.0f}/s, bare {count / bare[what]:9,.0f}/s")
            for what, found in ratios.items():
                middle = statistics.median(found)
                good &= middle >= FLOOR
                print(
                    f"{kind:11} {what:7} ratio {middle:.2f} of bare writes (at least {FLOOR}): {_said(middle >= FLOOR)}"
                )
            good &= memory < MEMORY_MB
            print(f"{kind:11} peak memory {memory:.0f} MB (under {MEMORY_MB}): {_said(memory < MEMORY_MB)}")
            due = min(1_000, few)
            small = in_own_process("measure_among", databases.fresh(), folder, max(few, 10_000), due, 5)
            large = in_own_process("measure_among", databases.fresh(), folder, million, due, 5)
            ratio = large["tick"] / small["tick"]
            good &= ratio <= CEILING
            print(
                f"{kind:11} {due:,} due among {million:,}: {large['tick'] * 1000:.0f} ms; among {max(few, 10_000):,}: "
                f"{small['tick'] * 1000:.0f} ms; ratio {ratio:.2f} (at most {CEILING}): {_said(ratio <= CEILING)}"
            )
    finally:
        databases.close()
    return good


def _said(good: bool) -> str:
    return "good" if good else "TOO SLOW OR TOO LARGE"


def main() -> None:
    """Run the bench, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tenth of everything")
    parser.add_argument("--only", choices=["sqlite", "postgresql", *SERVICES])
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        name, arguments = given.measure[0], json.loads(given.measure[1])
        measures: dict[str, Callable[..., dict[str, float]]] = {
            "measure_product": lambda url, folder, count: measure_product(url, Path(folder), int(count)),
            "measure_bare": lambda old, new, folder, count: measure_bare(old, new, Path(folder), int(count)),
            "measure_among": lambda url, folder, total, due, rounds: measure_among(
                url, Path(folder), int(total), int(due), int(rounds)
            ),
        }
        print(json.dumps(measures[name](*arguments)))
        return
    kinds = [given.only] if given.only else ["sqlite", "postgresql", *SERVICES]
    scale = 10 if given.small else 1
    results = [SERVICES[kind](scale) if kind in SERVICES else run(kind, scale) for kind in kinds]
    raise SystemExit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
