"""What people do to tasks in Salesforce, and what follows here; and what never goes there."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from connector.errors import BadInput
from connector.events import EventKind
from connector.intents import IntentEvent, IntentState
from connector.people import Person
from connector.store.tasks import read_tasks
from connector.sync.actions import end_by_hand, import_people, snooze
from connector.sync.diagnostics import list_diagnostics, retry
from connector.sync.views import list_tasks
from tests.world import World, WorldMaker, people

CALLS = """\
name: Calls
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}", notes: "Ask about {{company}}"}
      - custom: {name: "Invite {{first_name}}", priority: high}
  - day: 2
    steps:
      - inmail: {name: "Connect with {{first_name}}"}
"""

ANN = Person(email="ann@bolt.example", first_name="Ann", last_name="Bolt", company="Bolt")


def called(make_world: WorldMaker, **settings: object) -> World:
    """Return a world with one call waiting for Ana, here and in Salesforce."""
    world = make_world(campaign=CALLS, **settings)
    world.launch([ANN])
    assert world.sync().exit_status == 0
    world.after(minutes=10)
    return world


def only(world: World) -> str:
    (task,) = world.tasks
    return task.stored.intent.key


def row(world: World, subject: str) -> dict[str, object]:
    (found,) = [one for one in world.records("Task") if one["Subject"] == subject]
    return found


def user(world: World, email: str) -> str:
    (found,) = [one for one in world.records("User") if one["Username"] == email]
    return found["Id"]


def kinds(world: World) -> list[str]:
    return [event.kind.value for event in world.facts(*EventKind, person=ANN.email)]


def test_a_task_says_all_it_should(make_world: WorldMaker) -> None:
    world = called(make_world)
    task = row(world, "Call: Call Ann")
    (lead,) = world.records("Lead")
    expected = {
        "Status": "Not Started",
        "Priority": "Normal",
        "ActivityDate": "2026-11-23",
        "Description": "Ask about Bolt",
        "WhoId": lead["Id"],
        "OwnerId": user(world, "ana@acme.example"),
        "TaskSubtype": "Call",
        "Connector_Intent_Id__c": only(world),
        "IsReminderSet": True,
    }
    assert {name: task.get(name) for name in expected} == expected


@pytest.mark.parametrize("closed_minutes_ago", [0, 5])
def test_closed_there_is_completed_here_and_the_next_step_follows(
    make_world: WorldMaker, closed_minutes_ago: int
) -> None:
    world = called(make_world)
    key = only(world)
    world.act("rep_closes_task", key=key)
    closed = world.now
    world.after(minutes=closed_minutes_ago)
    assert world.sync().pulled["tasks_completed"] == 1
    (completed,) = world.facts(EventKind.COMPLETED)
    assert (completed.at, completed.intent, completed.data["by"]) == (closed, key, "in the CRM")
    (task,) = world.tasks
    assert (task.stored.intent.step, task.stored.intent.due) == (2, closed)
    assert row(world, "Custom: Invite Ann")["Priority"] == "High"


def test_all_three_kinds_of_task_reach_the_end(make_world: WorldMaker) -> None:
    world = called(make_world)
    for _ in range(3):
        world.act("rep_closes_task", key=only(world))
        world.after(days=1)
        world.sync()
    assert world.enrollments[ANN.email].state.value == "finished"
    assert [one["TaskSubtype"] for one in world.records("Task")] == ["Call", "Task", "LinkedIn"]
    assert world.judge()["tasks"] == 3


def test_completed_here_is_closed_there(make_world: WorldMaker) -> None:
    world = called(make_world)
    end_by_hand(world.office, only(world), IntentEvent.COMPLETE, by="by hand")
    world.sync()
    assert row(world, "Call: Call Ann")["Status"] == "Completed"
    world.after(minutes=1)
    assert dict(world.sync().pulled) == {}, "our own write is no news"
    assert kinds(world).count("completed") == 1


def test_deleted_there_waits_for_a_decision(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    world.act("rep_deletes_task", key=key)
    world.after(minutes=1)
    assert world.sync().pulled["tasks_deleted"] == 1
    assert kinds(world)[-1] == "task_deleted"
    enrollment = world.enrollments[ANN.email]
    assert (enrollment.state.value, enrollment.intent) == ("active", key)
    for _ in range(3):
        world.after(days=1)
        world.sync()
    assert world.records("Task") == [], "it is never made again"
    assert kinds(world).count("task_deleted") == 1
    end_by_hand(world.office, key[:8], IntentEvent.SKIP, by="by the rep")
    world.sync()
    (task,) = world.tasks
    assert task.stored.intent.step == 2
    assert [one["Subject"] for one in world.records("Task")] == ["Custom: Invite Ann"]
    with pytest.raises(BadInput, match="nothing to skip"):
        end_by_hand(world.office, key, IntentEvent.SKIP, by="by the rep")


def test_a_task_deleted_before_our_next_write_is_not_made_again(make_world: WorldMaker) -> None:
    """The deletion is not seen yet when we want to write; Salesforce says that it is gone."""
    world = called(make_world, salesforce={"tasks": "push"})
    key = only(world)
    world.act("rep_deletes_task", key=key)
    snooze(world.office, key[:8], date(2026, 11, 25))
    world.sync()
    assert world.records("Task") == []
    assert kinds(world)[-1] == "task_deleted"
    world.after(hours=3)
    world.sync()
    assert world.records("Task") == []
    assert len(world.effects("task_created")) == 1


def test_reassigned_there_moves_to_that_rep(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    world.act("rep_reassigns_task", key=key, user="bob@acme.example")
    world.after(minutes=1)
    assert world.sync().pulled["tasks_reassigned"] == 1
    assert [task.stored.intent.key for task in list_tasks(world.office, rep="bob@acme.example")] == [key]
    assert list_tasks(world.office, rep="ana@acme.example") == []
    world.after(minutes=1)
    world.sync()
    assert row(world, "Call: Call Ann")["OwnerId"] == user(world, "bob@acme.example"), "it is not taken back"
    assert kinds(world).count("task_reassigned") == 1
    world.act("rep_closes_task", key=key)
    world.after(minutes=1)
    world.sync()
    assert kinds(world).count("completed") == 1


def test_reassigned_to_somebody_unknown_is_told(make_world: WorldMaker) -> None:
    world = called(make_world)
    world.sandbox.salesforce.add_user(Username="zed@acme.example", LastName="Zed", Email="zed@acme.example")
    world.act("rep_reassigns_task", key=only(world), user="zed@acme.example")
    world.after(minutes=1)
    world.sync()
    (task,) = world.tasks
    assert task.stored.intent.rep == "ana@acme.example"
    (told,) = world.facts(EventKind.TASK_REASSIGNED)
    assert told.reason == "no rep here has that user"


def test_a_due_date_moved_there_is_a_snooze(make_world: WorldMaker) -> None:
    world = called(make_world)
    world.act("rep_changes_task", key=only(world), field="ActivityDate", value="2026-11-27")
    world.after(minutes=1)
    assert world.sync().pulled["tasks_moved"] == 1
    (task,) = world.tasks
    assert (task.stored.intent.due_date, task.stored.state) == (date(2026, 11, 27), IntentState.OPEN)
    assert kinds(world)[-1] == "snoozed"
    world.after(minutes=1)
    world.sync()
    assert row(world, "Call: Call Ann")["ActivityDate"] == "2026-11-27"


def test_snoozed_here_is_moved_there(make_world: WorldMaker) -> None:
    world = called(make_world)
    snooze(world.office, only(world), date(2026, 11, 26))
    world.sync()
    task = row(world, "Call: Call Ann")
    assert task["ActivityDate"] == "2026-11-26"
    world.after(minutes=1)
    assert dict(world.sync().pulled) == {}


def test_a_status_without_a_counterpart_is_shown_not_coerced(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    world.sync()  # it has been seen as it is by default
    world.act("rep_changes_task", key=key, field="Status", value="In Progress")
    world.after(minutes=1)
    world.sync()
    with world.database.read() as tx:
        assert read_tasks(tx, [key])[key].status == "In Progress"
    (task,) = world.tasks
    assert task.stored.state is IntentState.OPEN
    (told,) = world.facts(EventKind.TASK_CHANGED)
    assert (told.data["field"], told.data["value"]) == ("status", "In Progress")
    snooze(world.office, key, date(2026, 11, 26))
    world.sync()
    assert row(world, "Call: Call Ann")["Status"] == "In Progress", "a write of the date leaves it"


@pytest.mark.parametrize(("policy", "ours_wins"), [("salesforce", False), ("connector", True)])
def test_a_conflict_is_settled_by_the_policy_and_told(make_world: WorldMaker, policy: str, ours_wins: bool) -> None:
    world = called(make_world, salesforce={"conflict": {"due_date": policy}})
    key = only(world)
    world.act("rep_changes_task", key=key, field="ActivityDate", value="2026-11-27")
    snooze(world.office, key, date(2026, 11, 26))
    world.after(minutes=1)
    report = world.sync()
    assert report.pulled["conflicts"] == 1
    (told,) = world.facts(EventKind.CONFLICT)
    assert (told.data["field"], told.data["winner"]) == ("due_date", "connector" if ours_wins else "salesforce")
    (task,) = world.tasks
    expected = date(2026, 11, 26 if ours_wins else 27)
    assert task.stored.intent.due_date == expected
    assert row(world, "Call: Call Ann")["ActivityDate"] == expected.isoformat()
    world.after(minutes=1)
    world.sync()
    assert len(world.facts(EventKind.CONFLICT)) == 1


@pytest.mark.parametrize(
    ("field", "value", "named"), [("Priority", "High", "priority"), ("Description", "Rather ask Tom", "description")]
)
def test_what_only_they_changed_is_taken(make_world: WorldMaker, field: str, value: str, named: str) -> None:
    world = called(make_world)
    world.act("rep_changes_task", key=only(world), field=field, value=value)
    world.after(minutes=1)
    world.sync()
    (told,) = world.facts(EventKind.TASK_CHANGED)
    assert (told.data["field"], told.data["value"].lower()) == (named, value.lower())
    assert world.facts(EventKind.CONFLICT) == []
    world.after(minutes=1)
    assert dict(world.sync().pulled) == {}
    assert row(world, "Call: Call Ann")[field] == value


def test_closed_on_both_sides_is_no_conflict(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    world.act("rep_closes_task", key=key)
    end_by_hand(world.office, key, IntentEvent.COMPLETE, by="by hand")
    world.after(minutes=1)
    world.sync()
    assert kinds(world).count("completed") == 1
    assert world.facts(EventKind.CONFLICT) == []


def test_reopened_there_is_told_and_not_done_twice(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    world.act("rep_closes_task", key=key)
    world.after(minutes=1)
    world.sync()
    world.act("rep_reopens_task", key=key)
    world.after(minutes=1)
    world.sync()
    assert kinds(world).count("task_reopened") == 1
    assert kinds(world).count("completed") == 1
    assert [task.stored.intent.step for task in world.tasks] == [2]


def test_our_own_writes_are_no_events(make_world: WorldMaker) -> None:
    world = make_world(campaign=CALLS)
    world.launch(people(20))
    world.sync()
    before = len(world.facts(*EventKind))
    for minutes in (0, 1, 5, 60):
        world.after(minutes=minutes)
        assert dict(world.sync().pulled) == {}
    assert len(world.facts(*EventKind)) == before
    assert world.effects("task_updated") == []


def test_a_lead_is_converted(make_world: WorldMaker) -> None:
    """Salesforce moves the open tasks to the contact; tasks made later point there too."""
    world = called(make_world)
    world.act("lead_is_converted", email=ANN.email)
    (contact,) = world.records("Contact")
    world.after(minutes=1)
    report = world.sync()
    assert report.exit_status == 0, report.needs_attention
    assert row(world, "Call: Call Ann")["WhoId"] == contact["Id"]
    world.act("rep_closes_task", key=only(world))
    world.after(minutes=1)
    report = world.sync()
    assert report.exit_status == 0, report.needs_attention
    assert row(world, "Custom: Invite Ann")["WhoId"] == contact["Id"]


@pytest.mark.parametrize("tasks", ["off", "push", "both"])
def test_which_way_tasks_go(make_world: WorldMaker, tasks: str) -> None:
    world = called(make_world, salesforce={"tasks": tasks})
    assert len(world.records("Task")) == (tasks != "off")
    key = only(world)
    if tasks != "off":
        world.act("rep_closes_task", key=key)
        world.after(minutes=1)
        world.sync()
        assert (only(world) == key) is (tasks == "push"), "with push, what happens there is not read"


def test_turning_it_on_pushes_no_old_tasks(make_world: WorldMaker) -> None:
    world = called(make_world, salesforce={"tasks": "off"})
    old = only(world)
    world.configure(salesforce={"tasks": "both"})
    world.sync()
    world.after(minutes=1)
    world.sync()
    assert world.records("Task") == []
    end_by_hand(world.office, old, IntentEvent.COMPLETE, by="by hand")
    world.sync()
    assert [one["Subject"] for one in world.records("Task")] == ["Custom: Invite Ann"], "what opens from now on goes"


def test_several_records_are_not_guessed(make_world: WorldMaker) -> None:
    world = make_world(campaign=CALLS)
    twin = world.sandbox.salesforce.add_lead(LastName="Bolt", Company="Bolt", Email=ANN.email)
    world.launch([ANN])
    assert world.sync().exit_status == 1
    assert world.records("Task") == []
    (told,) = world.facts(EventKind.PERSON_AMBIGUOUS)
    assert len(told.data["records"].split(", ")) == 2
    assert {one.code for one in list_diagnostics(world.office)} == {"several_records"}
    import_people(world.office, [replace(ANN, salesforce_id=twin)])
    retry(world.office)
    assert world.sync().exit_status == 0
    assert row(world, "Call: Call Ann")["WhoId"] == twin


def test_the_due_date_is_the_reps_own_date(make_world: WorldMaker) -> None:
    """Due at 23:30 in Madrid on Monday; for Bob in New York it is still Monday afternoon."""
    world = make_world(campaign=CALLS)
    world.after(hours=14, minutes=30)
    world.launch([ANN], rep="bob@acme.example")
    world.launch(people(1), rep="ana@acme.example")
    world.after(hours=2)
    world.sync()
    assert {one["ActivityDate"] for one in world.records("Task")} == {"2026-11-23"}


def test_opted_out_there_ends_the_campaign_here(make_world: WorldMaker) -> None:
    """The CRM is asked before an automatic mail, in bulk, and its word is heard."""
    world = make_world()
    world.seed([ANN])
    world.act("person_opts_out", email=ANN.email)
    world.launch([ANN])
    world.sync()
    assert world.effects("mail_sent") == []
    assert world.enrollments[ANN.email].state.value == "opted_out"
