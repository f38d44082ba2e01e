"""What campaigns' pages count and list, on both databases: the numbers, the pages, and by which index."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest
from sqlalchemy import event, text

from connector.intents import IntentState
from connector.sequencing.enrollment import EnrollmentState
from connector.store.campaign_numbers import (
    Members,
    Place,
    count_standings,
    count_states,
    count_steps,
    count_versions,
    find_member_ids,
    read_members,
    read_whose,
)
from connector.store.database import Database
from connector.store.launch_plans import StoredPlan, change_plan, close_plan, forget_plans, insert_plan, read_plan
from tests.world import START

ANA, BOB = "ana@acme.example", "bob@acme.example"
#: id, version, rep, state, position
ENROLLED = [
    ("e1", "v1", ANA, "active", 0),
    ("e2", "v1", ANA, "active", 1),
    ("e3", "v2", ANA, "active", 1),
    ("e4", "v2", BOB, "active", 0),
    ("e5", "v2", BOB, "paused", 1),
    ("e6", "v1", BOB, "replied", 1),
    ("e7", "v1", ANA, "finished", 2),
]
#: enrollment, version, rep, day, step, state
INTENDED = [
    ("e2", "v1", ANA, 1, 1, "sent"),
    ("e2", "v1", ANA, 1, 2, "open"),
    ("e3", "v2", ANA, 1, 1, "sent"),
    ("e6", "v1", BOB, 1, 1, "sent"),
]
ACTIVE = EnrollmentState.ACTIVE


@pytest.fixture
def filled(database: Database) -> Database:
    with database.write() as tx:
        for id_, version, rep, state, position in ENROLLED:
            tx.execute(
                text(
                    "INSERT INTO enrollments (id, campaign, version, person, rep, zone, launched, start, state,"
                    " position, reason) VALUES (:id, 'One', :version, :person, :rep, 'UTC', 1, 1, :state, :at, '')"
                ),
                {
                    "id": id_,
                    "version": version,
                    "person": f"{id_}@x.example",
                    "rep": rep,
                    "state": state,
                    "at": position,
                },
            )
        for enrollment, version, rep, day, step, state in INTENDED:
            tx.execute(
                text(
                    "INSERT INTO intents (key, enrollment, campaign, version, person, rep, day, step, type, mode, due,"
                    " due_date, state, prepared) VALUES (:key, :enrollment, 'One', :version, 'p', :rep, :day, :step,"
                    " 'email', 'send', 1, '2026-11-23', :state, 1)"
                ),
                {
                    "key": f"{enrollment}{day}{step}",
                    "enrollment": enrollment,
                    "version": version,
                    "rep": rep,
                    "day": day,
                    "step": step,
                    "state": state,
                },
            )
    return database


@pytest.mark.parametrize(
    ("reps", "active", "versions", "standing", "sent"),
    [
        (None, 4, {"v1": 2, "v2": 3}, 7, 3),
        ({ANA}, 3, {"v1": 2, "v2": 1}, 4, 2),
        ({BOB}, 1, {"v2": 2}, 3, 1),
        (set(), 0, {}, 0, 0),
    ],
)
def test_only_the_work_of_the_given_reps_is_counted(
    filled: Database, reps: Collection[str] | None, active: int, versions: dict[str, int], standing: int, sent: int
) -> None:
    with filled.read() as tx:
        assert count_states(tx, reps).get(("One", ACTIVE), 0) == active
        assert count_versions(tx, reps) == {("One", version): count for version, count in versions.items()}
        assert sum(one.count for one in count_standings(tx, "One", reps)) == standing
        assert sum(one.count for one in count_steps(tx, "One", reps) if one.state is IntentState.SENT) == sent


def members(reps: Collection[str] | None, *states: EnrollmentState, at: list[tuple[str, int]] | None = None) -> Members:
    return Members(campaign="One", reps=reps, states=states or (ACTIVE,), at=at)


def test_pages_hold_everybody_once_in_order(filled: Database) -> None:
    seen: list[str] = []
    after: Place | None = None
    with filled.read() as tx:
        while page := read_members(tx, members(None), most=2, after=after):
            seen += [one.id for one in page]
            after = Place(rep=page[-1].rep, position=page[-1].position, id=page[-1].id)
    assert seen == ["e1", "e2", "e3", "e4"]


@pytest.mark.parametrize(
    ("meant", "ids", "found"),
    [
        (members(None, ACTIVE, EnrollmentState.PAUSED), None, ["e1", "e2", "e3", "e4", "e5"]),
        (members({ANA}, ACTIVE), None, ["e1", "e2", "e3"]),
        (members({ANA}, ACTIVE), ["e3", "e4", "e7"], ["e3"]),
        (members(None, ACTIVE, at=[("v1", 1), ("v2", 1)]), None, ["e2", "e3"]),
        (members(None, ACTIVE, at=[]), None, []),
    ],
)
def test_whom_an_action_concerns_is_chosen_within_what_may_be_seen(
    filled: Database, meant: Members, ids: list[str] | None, found: list[str]
) -> None:
    with filled.read() as tx:
        assert find_member_ids(tx, meant, ids=ids) == found


def test_whose_somebody_is(filled: Database) -> None:
    with filled.read() as tx:
        assert read_whose(tx, ["e1@x.example", "e6@x.example", "z@x.example"]) == {
            "e1@x.example": {ANA},
            "e6@x.example": {BOB},
        }


def test_each_question_reads_an_index(database: Database) -> None:
    """Among 20,000 enrollments of others: no table is read from end to end."""
    with database.write() as tx:
        if not database.is_sqlite:
            # As many pages as four times the rows, for a planner that counts pages.
            tx.execute(text("ALTER TABLE enrollments SET (fillfactor = 25)"))
            tx.execute(text("ALTER TABLE intents SET (fillfactor = 25)"))
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        tx.execute(
            text(
                f"{numbers} INSERT INTO enrollments (id, campaign, version, person, rep, zone, launched, start, state,"
                " position, reason) SELECT 'e' || i, 'C' || i % 100, 'v', 'x' || i, 'r' || i % 50, 'UTC', 1, 1,"
                " 'active', i % 5, '' FROM n"
            )
        )
        tx.execute(
            text(
                f"{numbers} INSERT INTO intents (key, enrollment, campaign, version, person, rep, day, step, type,"
                " mode, due, due_date, state, prepared) SELECT 'i' || i, 'e' || i, 'C' || i % 100, 'v', 'x' || i,"
                " 'r' || i % 50, 1, i % 5, 'email', 'send', i, '2026-01-01', 'sent', 1 FROM n"
            )
        )
        tx.execute(text("ANALYZE"))
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    with database.read() as tx:
        for reps in (None, {"r1", "r2"}):
            count_standings(tx, "C1", reps)
            count_steps(tx, "C1", reps)
            one = Members(campaign="C1", reps=reps, states=(ACTIVE,), at=[("v", 1)])
            read_members(tx, one, most=51, after=Place(rep="r1", position=0, id="e1"))
            find_member_ids(tx, one)
        read_whose(tx, ["x1", "x2"])
    event.remove(database.engine, "before_cursor_execute", note)
    assert len(asked) >= 9
    assert [statement for statement, parameters in asked if _scans(database, statement, parameters)] == []


def _scans(database: Database, statement: str, parameters: Any) -> bool:
    with database.read() as tx:
        if database.is_sqlite:
            plan = [row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            return any(step.startswith(("SCAN enrollments", "SCAN intents")) for step in plan)
        (found,) = tx.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalars()
        return "Seq Scan" in (found if isinstance(found, str) else json.dumps(found))


def test_a_plan_is_launched_once(database: Database) -> None:
    plan = StoredPlan(id="p1", user="ana", campaign="One", content={"rep": ANA})
    with database.write() as tx:
        insert_plan(tx, plan, START)
        change_plan(tx, "p1", {"rep": BOB})
        assert close_plan(tx, "p1", {"enrolled": 2})
        assert not close_plan(tx, "p1", {"enrolled": 9})
        found = read_plan(tx, "p1")
        assert found is not None
        assert (found.content, found.launched) == ({"rep": BOB}, {"enrolled": 2})
        forget_plans(tx, START)
        assert read_plan(tx, "p1") is not None
        forget_plans(tx, START.replace(hour=9))
        assert read_plan(tx, "p1") is None
