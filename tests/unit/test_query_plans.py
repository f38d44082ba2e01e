"""Statements behind pages find their rows by an index, on both databases: none reads a table, or sorts all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from sqlalchemy import Table, event

from connector.events import EventKind
from connector.people import Person
from connector.sequencing.enrollment import EnrollmentState
from connector.store import campaign_numbers, feed, gauges, mail_lists, numbers, schema
from connector.store.campaign_numbers import Members
from connector.store.database import Database, Transaction
from connector.store.people import save_people
from connector.store.people_pages import PeopleFilter, Standing, find_people
from connector.store.queue import Days, Place, Wanted, count_queue, read_queue, read_queue_keys
from connector.store.words import note_words, words_in
from tests.databases import lay_sqlite

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
PEOPLE, OPEN, REPS = 5_200, 3_000, 20
ME, TEAM = frozenset({"rep1@x.example"}), frozenset({"rep1@x.example", "rep2@x.example", "rep3@x.example"})
EVERY = frozenset(f"rep{number}@x.example" for number in range(REPS - 1))
LANES = [f"gmail:rep{number}@x.example" for number in range(REPS)]

#: What grows for ever, or with the work: no page may read all of one.
BIG = ("intents", "people", "people_words", "task_words", "enrollments", "ledger", "mails")
#: Rows that may be sorted: of what was looked up by something that few have.
FEW = 1_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Statements of a page."""

    ask: Callable[[Transaction], Any]
    #: Whether few rows, looked up already, are put into order.
    sorts: bool = False
    #: Whether it counts all there are, in an index.
    counts: bool = False


def _queue(sorts: bool = False, **wanted: Any) -> Page:
    def ask(tx: Transaction) -> None:
        asked = Wanted(**wanted)
        read_queue(tx, asked, 51)
        read_queue(tx, asked, 51, after=Place(due_date=NOW.date(), due=NOW, key="i3"))
        read_queue_keys(tx, asked, 50)
        count_queue(tx, asked, 1_001)

    return Page(ask=ask, sorts=sorts)


def _people(reps: frozenset[str] | None, **wanted: Any) -> Page:
    # Of several lists one page is made.
    return Page(ask=lambda tx: find_people(tx, PeopleFilter(**wanted), reps=reps, after="p0001", most=51), sorts=True)


def _asked(reps: frozenset[str] | None) -> numbers.Asked:
    zones = {rep: ZoneInfo("Europe/Madrid") for rep in TEAM}
    return numbers.Asked(since=NOW - timedelta(days=7), until=NOW, reps=reps, zones=zones, not_theirs="replied")


#: Dates of reps in two zones.
TWO_ZONES = (Days(before=NOW.date(), reps=TEAM), Days(before=NOW.date() + timedelta(days=1)))
MARK: mail_lists.Mark = (NOW, "i5")
CAMPAIGN = Members(campaign="Old", reps=None, states=[EnrollmentState.FINISHED])

BY_QUEUE: dict[str, dict[str, Any]] = {
    "": {},
    ", a type": {"type": "call"},
    ", a type nobody has": {"type": "inmail"},
    ", a campaign": {"campaign": "Call"},
    ", a campaign nobody is in": {"campaign": "None"},
    ", both": {"campaign": "Call", "type": "call"},
    ", overdue": {"days": (Days(before=NOW.date()),)},
    ", today": {"days": (Days(first=NOW.date(), before=NOW.date() + timedelta(days=1)),)},
    ", upcoming": {"days": (Days(first=NOW.date()),)},
    ", in two zones": {"days": TWO_ZONES},
    ", a word that all have": {"words": tuple(words_in("pat"))},
}
BY_PEOPLE: dict[str, dict[str, Any]] = {
    "": {},
    ", a word that all have": {"search": "pat"},
    ", a word that few have": {"search": "doe77"},
    ", two words": {"search": "doe77 pat"},
    ", a campaign": {"campaign": "Old"},
    ", a campaign nobody is in": {"campaign": "None"},
    **{f", {standing}": {"standing": standing} for standing in Standing},
    ", active in a campaign": {"campaign": "Call", "standing": Standing.ACTIVE},
}
WHO: dict[str, frozenset[str] | None] = {"everybody": None, "a rep": ME, "nearly all": EVERY}

PAGES: dict[str, Page] = {
    **{
        f"the queue of {who}{of}": _queue(reps=reps, **wanted)
        for who, reps in WHO.items()
        for of, wanted in BY_QUEUE.items()
    },
    "the queue of a team with few tasks": _queue(reps=TEAM, sorts=True),
    "the queue, a word that few have": _queue(words=tuple(words_in("doe77 pat")), sorts=True),
    **{
        f"people of {who}{of}": _people(reps, **wanted) for who, reps in WHO.items() for of, wanted in BY_PEOPLE.items()
    },
    **{
        f"emails of {who}, {what}": Page(ask=lambda tx, ask=ask, reps=reps: ask(tx, reps), sorts=sorts)  # type: ignore[misc]
        for who, reps in WHO.items()
        for what, (ask, sorts) in {
            "placed": (lambda tx, _: mail_lists.read_placed(tx, LANES, ["present", "sent"], 51, MARK), False),
            "counted": (lambda tx, _: mail_lists.count_placed(tx, LANES, ["present", "sent"], 1_001), False),
            # What waits for its mailbox is little, and soon gone.
            "waiting": (
                lambda tx, _: mail_lists.read_waiting_mails(tx, LANES, 51, MARK, now=NOW, later=False),
                True,
            ),
            "later": (lambda tx, _: mail_lists.read_waiting_mails(tx, LANES, 51, MARK, now=NOW, later=True), True),
            "cancelled": (lambda tx, reps: mail_lists.read_called_off(tx, reps, 51, MARK), False),
            "failed": (lambda tx, reps: mail_lists.read_stuck_mails(tx, reps, 51, MARK), False),
            "bounced": (lambda tx, reps: mail_lists.read_bounces(tx, reps, 51, 10_000), False),
            "to come": (lambda tx, reps: mail_lists.read_ahead(tx, reps, ["v:0"], 51, MARK), False),
        }.items()
    },
    **{
        f"the feed of {who}": Page(
            ask=lambda tx, reps=reps: (  # type: ignore[misc]
                feed.read_lines(tx, most=50, reps=reps),
                feed.read_lines(tx, most=50, reps=reps, kinds=[EventKind.BOUNCED], campaign="Old", before=20_000),
            )
        )
        for who, reps in {"everybody": None, "a rep": ME}.items()
    },
    "the feed of a person": Page(ask=lambda tx: feed.read_lines(tx, most=50, person="p0001@x.example")),
    "what a listener is told": Page(ask=lambda tx: feed.read_since(tx, feed.read_newest(tx) - 5, 50)),
    "tasks beside the feed": Page(ask=lambda tx: feed.read_due_tasks(tx, "rep1@x.example", NOW, 11)),
    "campaigns": Page(
        ask=lambda tx: (campaign_numbers.count_states(tx, None), campaign_numbers.count_versions(tx, None)), counts=True
    ),
    "a campaign": Page(
        ask=lambda tx: (campaign_numbers.count_standings(tx, "Old", ME), campaign_numbers.count_steps(tx, "Old", None)),
        counts=True,
    ),
    "people in a campaign": Page(ask=lambda tx: campaign_numbers.read_members(tx, CAMPAIGN, most=51)),
    "numbers of everybody": Page(ask=lambda tx: _count(tx, None), counts=True),
    "numbers of a rep": Page(ask=lambda tx: _count(tx, ME), counts=True),
    "gauges": Page(
        ask=lambda tx: (gauges.count_tasks(tx), gauges.count_drafts(tx), gauges.count_sent(tx, NOW)), counts=True
    ),
}


#: Pages -> the index that holds what they ask for: another would do, and be slow where few have it.
ORDERED = {
    "the queue of a rep": "intents_of_rep",
    "the queue of a rep, a type nobody has": "intents_of_rep",
    "the queue of a rep, a campaign nobody is in": "intents_of_rep",
    "the queue of everybody, a type nobody has": "intents_of_type",
    "the queue of everybody, a campaign nobody is in": "intents_of_campaign",
    "emails of a rep, cancelled": "intents_called_off",
    "emails of a rep, bounced": "ledger_bounces",
    "emails of a rep, to come": "enrollments_ahead",
    "emails of everybody, bounced": "ledger_all_bounces",
    "the feed of a person": "ledger_person",
}


def _count(tx: Transaction, reps: frozenset[str] | None) -> None:
    numbers.read_counts(tx, _asked(reps), ZoneInfo("Europe/Madrid"))
    numbers.count_events(tx, _asked(reps))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with some thousands of rows in each table that grows, and what it knows of them."""
    if request.param == "sqlite":
        url = lay_sqlite(tmp_path_factory.mktemp("plans") / "connector.db")
    else:
        address = request.getfixturevalue("postgres")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("CREATE DATABASE connector_plans TEMPLATE connector_template")
        url = address.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", "/connector_plans?")
    database = Database(url)
    with database.write() as tx:
        _fill(tx)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE")
    yield database
    database.close()


def _fill(tx: Transaction) -> None:
    """Write people, each in a campaign of tasks and once in one of emails, which began at any time within a year."""
    names = range(PEOPLE)
    persons = [f"p{number:04}@x.example" for number in names]
    reps = [f"rep{number % REPS}@x.example" for number in names]
    began = [NOW - timedelta(hours=number * 37 % 8_760) for number in names]
    states = ["finished", "replied", "removed", "bounced"]
    save_people(tx, [Person(email=persons[n], first_name="Pat", last_name=f"Doe{n}", company="Acme") for n in names])
    base: dict[str, Any] = {"version": "v", "zone": "UTC", "reason": "", "position": 0, "due_date": None, "due": None}
    for campaign, state in (("Call", ["active"]), ("Old", states)):
        _insert(
            tx,
            schema.enrollments,
            base | {"campaign": campaign},
            [
                {
                    "id": f"{campaign}{n}", "person": persons[n], "rep": reps[n], "launched": began[n],
                    "start": began[n], "state": state[n % len(state)], "next_due": NOW if n % 20 == 7 else None,
                    "ended": None if campaign == "Call" else began[n],
                }
                for n in names
            ],
        )  # fmt: skip
    base = {"version": "v", "day": 1, "step": 1, "mode": "task", "prepared": 1}
    _insert(
        tx,
        schema.intents,
        base | {"campaign": "Call", "type": "call"},
        [_intent(f"i{n}", f"Call{n}", persons[n], reps[n], began[n], _state(n)) for n in names],
    )
    _insert(
        tx,
        schema.intents,
        base | {"campaign": "Old", "type": "email"},
        [_intent(f"m{n}", f"Old{n}", persons[n], reps[n], began[n], "cancelled" if n % 2 else "sent") for n in names],
    )
    base = {"action": "draft", "campaign": "Old", "attempts": 0, "subject": "", "edited": 0}
    _insert(
        tx,
        schema.mails,
        base,
        [
            {
                "key": f"m{n}", "lane": f"gmail:{reps[n]}", "due": began[n], "person": persons[n],
                "recipient": persons[n], "state": "wanted" if n % 50 == 3 else "sent", "sent": began[n],
            }
            for n in names
        ],
    )  # fmt: skip
    kinds = {"launched": 1, "sent": 1, "replied": 20, "bounced": 30}
    lines = [
        {"at": began[n], "kind": kind, "enrollment": f"Old{n}", "person": persons[n], "rep": reps[n], "intent": f"m{n}"}
        for kind, every in kinds.items()
        for n in names[::every]
    ]
    _insert(tx, schema.ledger, {"campaign": "Old", "reason": ""}, lines)
    tx.exec_driver_sql("INSERT INTO campaign_versions VALUES ('Call', 'v', '{}', 0), ('Old', 'v', '{}', 0)")
    note_words(tx, [f"i{n}" for n in names[:OPEN]])


def _state(number: int) -> str:
    return ("blocked" if number % 30 == 7 else "open") if number < OPEN else "completed"


def _intent(key: str, enrollment: str, person: str, rep: str, due: datetime, state: str) -> dict[str, Any]:
    said = {"key": key, "enrollment": enrollment, "person": person, "rep": rep}
    return said | {"due": due, "due_date": due.date(), "state": state}


def _insert(tx: Transaction, table: Table, base: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    tx.execute(table.insert(), [base | row for row in rows])


@pytest.mark.parametrize("name", PAGES)
def test_a_page_reads_what_it_shows(filled: Database, name: str) -> None:
    page = PAGES[name]
    judge = _faults_sqlite if filled.is_sqlite else _faults_postgresql
    plans = _plans(filled, page)
    assert plans
    assert [(fault, statement) for statement, steps in plans for fault in judge(page, steps)] == []


# PostgreSQL chooses by how many rows there are, of which so few say little.
@pytest.mark.parametrize("filled", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", ORDERED)
def test_what_few_have_is_not_looked_for_among_all(filled: Database, name: str) -> None:
    (_, first), *_ = [plan for plan in _plans(filled, PAGES[name]) if "max(" not in plan[0]]
    assert ORDERED[name] in str(first)


def _plans(filled: Database, page: Page) -> list[tuple[str, list[Any]]]:
    """Return the statements of a page, each with the steps by which the database would carry it out."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _u: Any, statement: str, given: Any, _x: Any, _m: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            asked.append((statement, given))

    with filled.read() as tx:
        event.listen(tx, "before_cursor_execute", note)
        page.ask(tx)
        event.remove(tx, "before_cursor_execute", note)
        explain = _explain_sqlite if filled.is_sqlite else _explain_postgresql
        return [(statement, explain(tx, statement, given)) for statement, given in asked]


def _explain_sqlite(tx: Transaction, statement: str, given: Any) -> list[Any]:
    return [row[-1] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)]


def _explain_postgresql(tx: Transaction, statement: str, given: Any) -> list[Any]:
    # Of some thousand rows it would rather read and sort all: it may, if nothing else is possible.
    tx.exec_driver_sql("SET enable_seqscan = off")
    tx.exec_driver_sql("SET enable_sort = off")
    (plan,) = tx.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", given).scalar_one()
    tx.exec_driver_sql("RESET enable_seqscan")
    tx.exec_driver_sql("RESET enable_sort")
    return list(_nodes(plan["Plan"]))


def _faults_sqlite(page: Page, steps: list[Any]) -> Iterator[str]:
    for step in steps:
        words = step.split()
        if words[0] == "SCAN" and words[1] in BIG and "INDEX" not in words:
            yield step
        if step == "USE TEMP B-TREE FOR ORDER BY" and not page.sorts and not page.counts:
            yield step


def _faults_postgresql(page: Page, steps: list[Any]) -> Iterator[str]:
    for node in steps:
        kind = node["Node Type"]
        if kind == "Seq Scan" and node["Relation Name"] in BIG:
            yield f"{kind} {node['Relation Name']}"
        if kind == "Sort" and not page.counts and node["Plan Rows"] > (FEW if page.sorts else 0):
            yield f"{kind} {node['Sort Key']} of {node['Plan Rows']}"


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)
