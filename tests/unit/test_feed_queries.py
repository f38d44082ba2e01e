"""Queries of the feed and of people by pages, on both databases."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from connector.events import Event, EventKind
from connector.intents import Intent, IntentEvent, Mode, StepType
from connector.people import Person
from connector.store.database import Database
from connector.store.feed import read_due_tasks, read_lines, read_newest, read_since
from connector.store.intents import insert_intents, move_intent
from connector.store.ledger import append
from connector.store.people import mark_person, save_people
from connector.store.people_pages import PeopleFilter, Standing, find_people

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_lines_are_read_by_number_newest_first(database: Database) -> None:
    with database.write() as tx:
        assert (read_newest(tx), read_lines(tx, most=5).found) == (0, [])
        kinds = [EventKind.SENT, EventKind.REPLIED] * 4
        append(tx, [Event(at=NOW, kind=kind, rep=f"r{n % 4}", person=f"p{n}") for n, kind in enumerate(kinds)])
        append(tx, [Event(at=NOW, kind=EventKind.OPTED_OUT, person="p0")])
    with database.read() as tx:
        newest = read_newest(tx)
        first = read_lines(tx, most=3, reps=["r0", "r1"])
        assert [event.person for _, event in first.found] == ["p5", "p4", "p1"]
        rest = read_lines(tx, most=3, reps=["r0", "r1"], before=first.older)
        assert ([event.person for _, event in rest.found], rest.older) == (["p0"], None)
        replies = read_lines(tx, most=9, reps=["r0", "r1"], kinds=[EventKind.REPLIED])
        assert [event.person for _, event in replies.found] == ["p5", "p1"]
        assert [event.kind for _, event in read_lines(tx, most=9, person="p0").found] == ["opted_out", "sent"]
        assert read_lines(tx, most=9, reps=[]).found == []
        assert [seq for seq, _ in read_since(tx, newest - 2, 9)] == [newest - 1, newest]


def test_people_are_found_alike(database: Database) -> None:
    with database.write() as tx:
        save_people(tx, [Person(email=f"ann{n}@x.example", first_name="Ann", company="50% Off_") for n in range(3)])
        mark_person(tx, "ann1@x.example", opted_out=NOW)
    with database.read() as tx:

        def found(wanted: PeopleFilter, **options: object) -> list[str]:
            return [one.person.email[3] for one in find_people(tx, wanted, reps=["r"], most=9, **options)]  # type: ignore[arg-type]

        assert found(PeopleFilter()) == ["0", "1", "2"]
        assert found(PeopleFilter(search="ANN 50% off_ ANN2")) == ["2"]
        assert found(PeopleFilter(search="0%%")) == []
        assert found(PeopleFilter(standing=Standing.OPTED_OUT)) == ["1"]
        assert found(PeopleFilter(standing=Standing.ACTIVE)) == []
        assert found(PeopleFilter(standing=Standing.IN_NONE), after="ann0@x.example") == ["1", "2"]


def test_tasks_that_are_due_come_in_the_order_of_the_queue(database: Database) -> None:
    def task(number: int, rep: str, hours: int) -> Intent:
        due = NOW + timedelta(hours=hours)
        place = {"day": 1, "step": number, "type": StepType.CALL, "mode": Mode.TASK}
        ids = {"key": f"{number:032x}", "enrollment": "e", "campaign": "c", "version": "v", "person": "p", "rep": rep}
        return Intent(**ids, **place, due=due, due_date=date(2026, 11, 23))  # type: ignore[arg-type]

    with database.write() as tx:
        insert_intents(tx, [task(1, "a", -1), task(2, "a", -3), task(3, "a", 1), task(4, "b", -2), task(5, "a", -2)])
        for number in (1, 2, 3, 4):
            for event in (IntentEvent.CLAIM, IntentEvent.OPEN):
                move_intent(tx, f"{number:032x}", event)
    with database.read() as tx:
        assert [one.intent.step for one in read_due_tasks(tx, "a", NOW, 9)] == [2, 1]
        assert [one.intent.step for one in read_due_tasks(tx, "a", NOW, 1)] == [2]
