"""Acting on tasks of the queue, one or many, and undoing it: once, and only as far as nothing has gone on from it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.errors import BadInput
from connector.events import EventKind
from connector.intents import IntentState, StepType
from connector.sequencing.enrollment import EnrollmentState
from connector.store.intents import read_intents
from connector.sync.actions import remove, snooze
from connector.sync.bulk import Action, Deed, act, act_on_all
from connector.sync.queue import QueueFilter, Range, count_ranges, read_queue_page, wanted
from connector.sync.tick import tick
from connector.sync.undoing import undo
from connector.sync.views import list_tasks
from tests.world import ANA, BOB, World, WorldMaker, people

MAIN = """\
name: Main
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}"}
  - day: 3
    steps:
      - email: {template: intro, send: task}
  - day: 5
    steps:
      - call: {name: Last}
"""
MAIL = """\
name: Mail
days:
  - day: 1
    steps:
      - email: {template: intro, send: task}
"""
SAME_DAY = """\
name: Same
days:
  - day: 1
    steps:
      - call: {name: One}
      - call: {name: Two}
"""
ME = "ana@acme.example"


@pytest.fixture
def world(make_world: WorldMaker, database_url: str) -> World:
    campaigns = {"main": MAIN, "mail": MAIL, "same": SAME_DAY}
    return make_world(campaign=campaigns, reps=[ANA, BOB], database_url=database_url)


def keys(world: World) -> list[str]:
    return [view.stored.intent.key for view in list_tasks(world.office)]


def state(world: World, key: str) -> IntentState:
    with world.database.read() as tx:
        return read_intents(tx, [key])[key].state


def test_what_was_completed_at_once_can_be_undone_and_done_again(world: World) -> None:
    """Bulk, the CRM's tasks with it; undoing twice undoes once; every step still comes round once."""
    world.launch(people(3), campaign="Main")
    world.sync()
    chosen = keys(world)
    done = act(world.office, ME, Deed(action=Action.COMPLETE), [*chosen, chosen[0]], reps=frozenset({ME}))
    assert sorted(done.keys) == sorted(chosen)
    world.sync()
    assert {row["Status"] for row in world.records("Task")} == {"Completed"}
    assert keys(world) == []
    assert undo(world.office, "bob@acme.example", done.batch, reps=frozenset({ME})).keys == []
    undone = undo(world.office, ME, done.batch, reps=frozenset({ME}))
    assert (sorted(undone.keys), undone.refused) == (sorted(chosen), 0)
    assert undo(world.office, ME, done.batch, reps=frozenset({ME})).keys == []
    assert sorted(keys(world)) == sorted(chosen)
    world.sync()
    assert {row["Status"] for row in world.records("Task")} == {"Not Started"}
    assert len(world.facts(EventKind.UNDONE)) == 3
    assert read_queue_page(world.office, QueueFilter(search="pat1 call"), reps=None).rows[0].stored.intent.key in chosen
    act(world.office, ME, Deed(action=Action.COMPLETE), chosen, reps=None)
    world.after(days=2)
    world.sync()
    assert len(keys(world)) == 3
    world.judge()


def test_the_end_of_the_last_step_can_be_undone(world: World) -> None:
    """A campaign of one step has finished; its untouched draft was taken away, and is made anew."""
    (person,) = people(1)
    world.launch([person], campaign="Mail")
    world.sync()
    (key,) = keys(world)
    done = act(world.office, ME, Deed(action=Action.SKIP), [key], reps=None)
    assert world.enrollments[person.email].state is EnrollmentState.FINISHED
    world.sync()
    assert world.mails(ME, "drafts") == []
    assert undo(world.office, ME, done.batch, reps=frozenset({ME})).keys == [key]
    assert world.enrollments[person.email].state is EnrollmentState.ACTIVE
    world.sync()
    assert [mail["key"] for mail in world.mails(ME, "drafts")] == [key]
    world.replay()


def test_a_draft_that_was_still_there_is_kept(world: World) -> None:
    world.launch(people(1), campaign="Mail")
    world.sync()
    (key,) = keys(world)
    done = act(world.office, ME, Deed(action=Action.SKIP), [key], reps=None)
    undo(world.office, ME, done.batch, reps=frozenset({ME}))
    world.sync()
    assert len(world.effects("draft_created")) == 1
    world.judge()


@pytest.mark.parametrize(
    ("campaign", "then", "why"),
    [
        ("Same", lambda world: world.sync(), "the campaign has moved on: day 1, step 2"),
        ("Main", lambda world: remove(world.office, person=None, campaign="Main", rep=None), "the person was removed"),
        ("Mail", lambda world: world.launch(people(1), campaign="Mail"), "was put into 'Mail' again"),
        ("Main", lambda world: world.after(hours=2), None),  # it can be undone for an hour
    ],
)
def test_an_undo_that_comes_too_late_says_why(world: World, campaign: str, then: object, why: str | None) -> None:
    world.launch(people(1), campaign=campaign)
    world.sync()
    (key,) = keys(world)
    done = act(world.office, ME, Deed(action=Action.COMPLETE), [key], reps=None)
    then(world)  # type: ignore[operator]
    undone = undo(world.office, ME, done.batch, reps=frozenset({ME}))
    assert undone.keys == []
    assert (why is None and undone.why == []) or (why is not None and why in undone.why[0])
    assert state(world, key) is IntentState.COMPLETED
    world.replay()


def test_a_next_step_that_nobody_was_given_does_not_stand_in_the_way(world: World) -> None:
    world.launch(people(1), campaign="Same")
    world.sync()
    (key,) = keys(world)
    done = act(world.office, ME, Deed(action=Action.COMPLETE), [key], reps=None)
    tick(world.office, world.now)
    assert undo(world.office, ME, done.batch, reps=frozenset({ME})).keys == [key]
    world.sync()
    assert keys(world) == [key]
    world.judge()


def test_a_snooze_goes_back_to_its_date(world: World) -> None:
    world.launch(people(1), campaign="Main")
    world.sync()
    (key,) = keys(world)
    (before,) = list_tasks(world.office)
    until = before.stored.intent.due_date + timedelta(days=3)
    done = act(world.office, ME, Deed(action=Action.SNOOZE, until=until), [key], reps=None)
    assert list_tasks(world.office)[0].stored.intent.due_date == until
    undo(world.office, ME, done.batch, reps=frozenset({ME}))
    (after,) = list_tasks(world.office)
    assert after.stored.intent == before.stored.intent
    tasks = [one.task for one in (before, after) if one.task is not None]
    assert tasks[0].wanted == tasks[1].wanted
    done = act(world.office, ME, Deed(action=Action.SNOOZE, until=until), [key], reps=None)
    snooze(world.office, key, until + timedelta(days=1))
    assert "was moved to" in undo(world.office, ME, done.batch, reps=frozenset({ME})).why[0]


def test_a_task_that_is_given_away_takes_its_draft_and_its_crm_task_along(world: World) -> None:
    world.launch(people(1), campaign="Mail")
    world.sync()
    (key,) = keys(world)
    done = act(world.office, ME, Deed(action=Action.ASSIGN, rep="bob@acme.example"), [key], reps=frozenset({ME}))
    world.sync()
    world.sync()
    assert world.mails(ME, "drafts") == []
    assert [mail["key"] for mail in world.mails("bob@acme.example", "drafts")] == [key]
    users = {row["Id"]: row["Username"] for row in world.records("User")}
    assert [users[row["OwnerId"]] for row in world.records("Task")] == ["bob@acme.example"]
    assert act(world.office, ME, Deed(action=Action.SKIP), [key], reps=frozenset({ME})).refused == 1
    assert undo(world.office, ME, done.batch, reps=frozenset({ME})).keys == [key]
    world.sync()
    world.sync()
    assert [users[row["OwnerId"]] for row in world.records("Task")] == ["ana@acme.example"]
    world.judge()


def test_what_was_done_with_a_task_is_not_undone_once_it_is_another_rep_s(world: World) -> None:
    world.launch(people(1), campaign="Main")
    world.sync()
    (before,) = list_tasks(world.office)
    key, until = before.stored.intent.key, before.stored.intent.due_date + timedelta(days=3)
    done = act(world.office, ME, Deed(action=Action.SNOOZE, until=until), [key], reps=frozenset({ME}))
    act(world.office, "may@acme.example", Deed(action=Action.ASSIGN, rep="bob@acme.example"), [key], reps=None)
    undone = undo(world.office, ME, done.batch, reps=frozenset({ME}))
    assert (undone.keys, undone.why) == ([], [f"the id '{key[:8]}' names no task"])
    assert list_tasks(world.office)[0].stored.intent.due_date == until


@pytest.mark.parametrize(
    ("deed", "why"),
    [
        (Deed(action=Action.ASSIGN, rep="nobody@acme.example"), "is no rep"),
        (Deed(action=Action.SNOOZE), "say until when"),
    ],
)
def test_a_deed_that_lacks_something_is_refused(world: World, deed: Deed, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        act(world.office, ME, deed, [], reps=None)


def test_the_queue_is_found_filtered_and_counted(world: World) -> None:
    world.launch(people(2), campaign="Main")
    world.launch(people(3)[2:], campaign="Mail", rep="bob@acme.example")
    world.sync()
    office = world.office

    def found(reps: frozenset[str] | None = None, **asked: object) -> list[str]:
        page = read_queue_page(office, QueueFilter(**asked), reps=reps)  # type: ignore[arg-type]
        return sorted(row.stored.intent.person for row in page.rows)

    p0, p1, p2 = (one.email for one in people(3))
    assert found() == [p0, p1, p2]
    assert found(frozenset({ME})) == [p0, p1]
    assert found(frozenset({ME}), rep="bob@acme.example") == []
    assert found(rep="bob@acme.example") == [p2]
    assert found(type=StepType.CALL) == [p0, p1]
    assert found(campaign="Mail") == [p2]
    assert found(search="PAT1") == [p1]
    assert found(search="client 2") == [p2]
    assert found(search="doe p0@client0") == [p0]
    assert found(search="hello") == [p2]
    assert found(search="at1") == []
    assert found(range=Range.TODAY) == [p0, p1, p2]
    assert found(range=Range.OVERDUE) == []
    world.after(days=1)
    assert found(range=Range.OVERDUE) == [p0, p1, p2]
    counts = count_ranges(office, QueueFilter(), reps=None)
    assert counts == {Range.TODAY: 0, Range.OVERDUE: 3, Range.UPCOMING: 0, Range.ALL: 3}
    first = read_queue_page(office, QueueFilter(), reps=None, most=2)
    rest = read_queue_page(office, QueueFilter(), reps=None, most=2, after=first.next)
    assert [len(first.rows), len(rest.rows), rest.next] == [2, 1, None]
    done = act_on_all(office, ME, Deed(action=Action.SKIP), wanted(office, QueueFilter(search="pat1"), None))
    assert len(done.keys) == 1
    assert found(search="pat1") == []
