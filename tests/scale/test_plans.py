"""A pass looks at what is due, whatever lies beside it: the databases say how they would read each of its statements."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from connector.store.database import Database
from connector.sync.lanes import Lanes
from connector.sync.retention import tidy
from tests.world import ANA, BOB, World, WorldMaker, people

#: One table as large as another that is read here.
ROWS = 20_000

#: What lies there: sent, ended, done. A live enrollment is due in a year.
FILLED = {
    "people": "email, first_name, last_name, title, company, phone, time_zone, salesforce_id, linkedin_url) "
    "SELECT 'x' || i || '@x.example', '', '', '', '', '', '', '003' || i, ''",
    "enrollments": "id, campaign, version, person, rep, zone, launched, start, state, position, reason, next_due, ended) "
    "SELECT 'e' || i, 'Old', 'v', 'x' || i || '@x.example', 'ana@acme.example', 'UTC', 1, 1,"
    " CASE i % 2 WHEN 0 THEN 'active' ELSE 'finished' END, 1, '', CASE i % 2 WHEN 0 THEN 1900000000000000 + i END,"
    " CASE i % 2 WHEN 1 THEN 1800000000000000 + i END",
    "intents": "key, enrollment, campaign, version, person, rep, day, step, type, mode, due, due_date, state, prepared) "
    "SELECT 'i' || i, 'e' || i, 'Old', 'v', 'x' || i || '@x.example', 'rep' || i % 99, 1, 1, 'email', 'send', i,"
    " '2025-01-01', CASE i % 2 WHEN 0 THEN 'sent' ELSE 'open' END, 1",
    "mails": "key, lane, action, state, due, person, campaign, attempts, recipient, subject, edited, sent,"
    " internet_message_id, thread_id) SELECT 'i' || i, 'gmail:rep' || i % 99, 'send', 'sent', i,"
    " 'x' || i || '@x.example', 'Old', 1, '', '', 0, i, 'm' || i, 't' || i",
    "tasks": "key, intent, person, rep, wanted, dirty, due) "
    "SELECT 'i' || i, 'i' || i, 'x' || i || '@x.example', 'ana@acme.example', '{}', 0, i",
    "ledger": "at, kind, enrollment, person, reason) SELECT i, 'sent', 'e' || i, 'x' || i || '@x.example', ''",
    "received": "lane, message, at) SELECT 'gmail:rep' || i % 99, 'm' || i, 1800000000000000 + i",
    "crm_people": "email, wanted, dirty, due) SELECT 'x' || i || '@x.example', '{}', 0, i",
}
#: What a pass may read from end to end: it holds only what waits to be done, or for a person to mend it.
WORK = {"mails_waiting", "tasks_dirty", "crm_people_dirty", "intents_stuck", "enrollments_paused"}
CAMPAIGNS = {
    kind: f"name: {kind}\ndays:\n  - day: 1\n    steps:\n      - {step}\n  - day: 2\n    steps:\n      - call: {{name: Call}}\n"
    for kind, step in {
        "Send": "email: {template: intro, send: choose_at_launch}",
        "Draft": "email: {template: intro, send: task}",
        "Call": "call: {name: Call}",
    }.items()
}


def fill(database: Database) -> None:
    with database.write() as tx:
        for table, rest in FILLED.items():
            if not database.is_sqlite:
                # As many pages as four times the rows, for a planner that counts pages.
                tx.execute(text(f"ALTER TABLE {table} SET (fillfactor = 25)"))
            numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})"
            tx.execute(text(f"{numbers} INSERT INTO {table} ({rest} FROM n"))
        tx.execute(text("ANALYZE"))


@contextmanager
def statements_of(database: Database) -> Iterator[dict[str, Any]]:
    """Collect what is executed: statement -> parameters of its first time."""
    seen: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if re.match(r"\s*(SELECT|UPDATE|DELETE|WITH)", statement):
            seen.setdefault(statement, parameters[0] if many else parameters)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def scans(database: Database, statement: str, parameters: Any) -> list[str]:
    """Return the tables, or indexes, that a statement reads from end to end."""
    with database.read() as tx:
        if database.is_sqlite:
            details = [row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            found = [re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", detail) for detail in details]
            return [one[2] or one[1] for one in found if one is not None]
        (plan,) = tx.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalars()
    nodes = [(json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]]
    read: list[str] = []
    for node in nodes:
        if node["Node Type"] == "Limit" and node["Plan Rows"] == 1 and "Filter" not in node["Plans"][0]:
            continue  # The least or the greatest: the end of an index.
        nodes += node.get("Plans", [])
        if node["Node Type"] == "Seq Scan" or ("Index" in node["Node Type"] and "Index Cond" not in node):
            read.append(node.get("Index Name") or node["Relation Name"])
    return read


@pytest.fixture
def world(make_world: WorldMaker, database_url: str) -> World:
    made = make_world(campaign=CAMPAIGNS, reps=[ANA, BOB], database_url=database_url, retention={"ended": "400d"})
    fill(made.database)
    return made


def test_no_statement_of_a_pass_reads_what_is_not_due(world: World) -> None:
    """One with nothing to do, one that sends, drafts and opens a task, one that reads a reply; lanes; retention."""
    sent, drafted, called = people(3)
    idle: dict[str, Any]
    with statements_of(world.database) as idle:
        world.sync()
        Lanes(office=world.office, every=timedelta(minutes=1)).due()
        tidy(world.office, world.now)
    world.launch([sent], campaign="Send")
    world.launch([drafted], campaign="Draft", rep=BOB["email"])
    world.launch([called], campaign="Call")
    with statements_of(world.database) as busy:
        assert world.sync().made.total() == 3
        world.act("prospect_replies", person=sent.email)
        world.after(minutes=2)
        assert world.sync().pulled["replies"] == 1
    large = (set(FILLED) | _indexes(world.database)) - WORK
    wide = {
        f"{read}: {statement}"
        for statement, parameters in {**idle, **busy}.items()
        for read in scans(world.database, statement, parameters)
        if read in large
    }
    assert wide == set()
    assert len(idle) > 15
    assert len(busy) > 35


def _indexes(database: Database) -> set[str]:
    """Return the indexes of the tables that were filled."""
    query = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'index'"
    if not database.is_sqlite:
        query = "SELECT indexname, tablename FROM pg_indexes"
    with database.read() as tx:
        return {name for name, table in tx.execute(text(query)) if table in FILLED}
