"""Every change of a task in Salesforce, what it means here, and that our own writes mean nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

import pytest

from connector.errors import BadInput
from connector.events import EventKind
from connector.intents import IntentEvent, IntentState, Priority
from connector.people import Person
from connector.store.intents import read_intents
from connector.store.people import read_people
from connector.store.tasks import Dirty, StoredTask, read_tasks
from connector.sync import actions
from connector.sync.actions import end_by_hand, snooze
from connector.sync.diagnostics import retry
from tests.faults.line import Asked, Line, Lost
from tests.world import ANA, BOB, TEMPLATES, World, WorldMaker, people

CALLS = """\
name: Calls
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}", notes: "Ask about {{company}}"}
      - custom: {name: "Invite {{first_name}}"}
"""

EMAIL = """\
name: Email
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
"""

ANN = Person(email="ann@bolt.example", first_name="Ann", last_name="Bolt", company="Bolt")


def called(make_world: WorldMaker, **settings: object) -> World:
    """Return a world with one call waiting for Ana, here and in Salesforce."""
    world = make_world(**{"campaign": CALLS, **settings})
    world.launch([ANN])
    assert world.sync().exit_status == 0
    world.after(minutes=10)
    return world


def only(world: World) -> str:
    (task,) = world.tasks
    return task.stored.intent.key


def stored(world: World, key: str) -> StoredTask:
    with world.database.read() as tx:
        return read_tasks(tx, [key])[key]


def state(world: World, key: str) -> IntentState:
    with world.database.read() as tx:
        return read_intents(tx, [key])[key].state


def theirs(world: World, key: str) -> dict[str, object]:
    """Return the task as Salesforce has it."""
    (row,) = [one for one in world.records("Task") if one["Connector_Intent_Id__c"] == key]
    return row


def told(world: World, *kinds: EventKind) -> list[tuple[object, ...]]:
    return [(fact.kind, fact.data.get("field"), fact.data.get("value")) for fact in world.facts(*kinds)]


def later(world: World) -> object:
    world.after(minutes=1)
    report = world.sync()
    assert report.exit_status == 0, report.needs_attention
    return report


def quiet(world: World) -> None:
    """Assert that both sides are at rest: nothing is read as news, nothing is written."""
    for _ in range(2):
        before = len(world.effects("task_created", "task_updated", "task_deleted"))
        facts = len(world.facts(*EventKind))
        assert dict(later(world).pulled) == {}
        assert len(world.effects("task_created", "task_updated", "task_deleted")) == before
        assert len(world.facts(*EventKind)) == facts


# ------------------------------------------------------------------------------------------- undelete


def test_undeleted_while_its_person_waits_it_is_open_again(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    world.act("rep_deletes_task", key=key)
    later(world)
    assert state(world, key) is IntentState.CANCELLED
    world.act("rep_undeletes_task", key=key)
    assert later(world).pulled["tasks_restored"] == 1
    (restored,) = world.facts(EventKind.TASK_RESTORED)
    assert "open again" in restored.reason
    assert state(world, key) is IntentState.OPEN
    quiet(world)
    world.act("rep_closes_task", key=key)
    later(world)
    assert state(world, key) is IntentState.COMPLETED
    assert only(world) != key, "the next step follows"


def test_undeleted_and_closed_before_we_looked_it_is_done(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    world.act("rep_deletes_task", key=key)
    later(world)
    world.act("rep_undeletes_task", key=key)
    world.act("rep_closes_task", key=key)
    later(world)
    assert state(world, key) is IntentState.COMPLETED
    assert [kind for kind, _, _ in told(world, EventKind.TASK_RESTORED, EventKind.COMPLETED)] == [
        EventKind.TASK_RESTORED,
        EventKind.COMPLETED,
    ]


def test_undeleted_after_it_was_skipped_here_it_is_closed_there(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    world.act("rep_deletes_task", key=key)
    later(world)
    end_by_hand(world.office, key, IntentEvent.SKIP, by="by hand")
    later(world)
    assert stored(world, key).dirty is Dirty.CLEAN, "what lies in the bin is not written to"
    world.act("rep_undeletes_task", key=key)
    later(world)
    (restored,) = world.facts(EventKind.TASK_RESTORED)
    assert "moved on" in restored.reason
    assert state(world, key) is IntentState.SKIPPED
    assert theirs(world, key)["Status"] == "Completed"
    quiet(world)


def test_undeleted_after_the_campaign_ended_it_is_only_shown(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    world.act("rep_deletes_task", key=key)
    later(world)
    actions.remove(world.office, person=ANN.email, campaign=None, rep=None)
    later(world)
    world.act("rep_undeletes_task", key=key)
    later(world)
    assert "moved on" in world.facts(EventKind.TASK_RESTORED)[0].reason
    assert state(world, key) is IntentState.CANCELLED
    assert theirs(world, key)["Status"] == "Not Started"
    quiet(world)


def test_our_own_deletion_is_no_news(make_world: WorldMaker) -> None:
    world = called(make_world, salesforce={"on_end": "delete"})
    key = only(world)
    actions.remove(world.office, person=ANN.email, campaign=None, rep=None)
    assert later(world).delivered["tasks_deleted"] == 1
    quiet(world)
    world.act("rep_undeletes_task", key=key)
    later(world)
    assert told(world, EventKind.TASK_DELETED) == []
    assert "moved on" in world.facts(EventKind.TASK_RESTORED)[0].reason
    quiet(world)


# ----------------------------------------------------------------------------- values of the org's own


def test_a_status_word_of_their_own_is_told_though_it_is_the_first_we_see(make_world: WorldMaker) -> None:
    world = called(make_world)
    world.act("rep_changes_task", key=only(world), field="Status", value="In Progress")
    later(world)
    assert told(world, EventKind.TASK_CHANGED) == [(EventKind.TASK_CHANGED, "status", "In Progress")]
    quiet(world)


def test_an_org_whose_open_word_is_another_tells_nothing_of_it(make_world: WorldMaker) -> None:
    world = make_world(campaign=CALLS)
    world.sandbox.salesforce.set_task_statuses(("Offen", True, False), ("Erledigt", False, True))
    world.launch([ANN])
    later(world)
    quiet(world)
    assert theirs(world, only(world))["Status"] == "Offen"


def test_a_priority_of_their_own_is_told_once_kept_and_may_be_replaced_here(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    world.act("rep_changes_task", key=key, field="Priority", value="Low")
    later(world)
    assert told(world, EventKind.TASK_CHANGED) == [(EventKind.TASK_CHANGED, "priority", "Low")]
    snooze(world.office, key, date(2026, 11, 26))
    later(world)
    assert (theirs(world, key)["Priority"], theirs(world, key)["ActivityDate"]) == ("Low", "2026-11-26")
    quiet(world)
    actions.edit(world.office, key, priority=Priority.HIGH, comments=None)
    later(world)
    assert theirs(world, key)["Priority"] == "High"
    quiet(world)


def test_a_due_date_taken_away_there_is_told_and_left(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    world.act("rep_changes_task", key=key, field="ActivityDate", value=None)
    later(world)
    assert told(world, EventKind.TASK_CHANGED) == [(EventKind.TASK_CHANGED, "due_date", "blank")]
    assert world.tasks[0].stored.intent.due_date == date(2026, 11, 23)
    quiet(world)
    assert theirs(world, key).get("ActivityDate") is None


def test_closed_again_after_it_was_reopened_is_told(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    for act in ("rep_closes_task", "rep_reopens_task", "rep_closes_task"):
        world.act(act, key=key)
        later(world)
    assert len(world.facts(EventKind.COMPLETED)) == 1
    assert len(world.facts(EventKind.TASK_REOPENED)) == 1
    assert told(world, EventKind.TASK_CHANGED) == [(EventKind.TASK_CHANGED, "status", "Completed")]
    quiet(world)


def test_a_call_that_is_reopened_is_none_that_was_made(make_world: WorldMaker) -> None:
    world = called(make_world)
    world.sandbox.salesforce.set_picklist("Task", "Type", "Call", "Email")
    key = only(world)
    end_by_hand(world.office, key, IntentEvent.COMPLETE, by="by hand")
    later(world)
    assert (theirs(world, key)["Status"], theirs(world, key)["Type"]) == ("Completed", "Call")
    world.act("rep_reopens_task", key=key)
    later(world)
    assert (theirs(world, key)["Status"], theirs(world, key).get("Type")) == ("Not Started", None)
    quiet(world)


def test_closed_and_reopened_before_we_looked_is_nothing(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    world.act("rep_closes_task", key=key)
    world.act("rep_reopens_task", key=key)
    later(world)
    assert state(world, key) is IntentState.OPEN
    quiet(world)


def test_archiving_is_no_change(make_world: WorldMaker) -> None:
    world = called(make_world)
    keys = []
    for _ in range(2):
        keys.append(only(world))
        world.act("rep_closes_task", key=keys[-1])
        later(world)
    world.after(days=400)
    quiet(world)
    world.act("rep_changes_task", key=keys[0], field="Description", value="Long ago")
    later(world)
    assert told(world, EventKind.TASK_CHANGED) == [(EventKind.TASK_CHANGED, "description", "Long ago")]
    quiet(world)


# ------------------------------------------------------------------------------------------ our echo


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" * 40_000, id="cut"),
        pytest.param("  Ask \r\n about it \n\n", id="trimmed"),
        pytest.param("\U0001f600" * 31_500, id="cut among characters of two halves"),
    ],
)
def test_what_salesforce_cuts_or_trims_is_no_edit(make_world: WorldMaker, text: str) -> None:
    world = called(make_world)
    key = only(world)
    actions.edit(world.office, key, priority=None, comments=text)
    assert later(world).delivered["tasks"] == 1
    assert told(world, EventKind.TASK_CHANGED) == []
    quiet(world)


def test_a_trigger_s_values_are_theirs_and_nothing_is_written_for_ever(make_world: WorldMaker) -> None:
    """The trigger rewrites subject, priority and comments whenever the task is saved."""
    world = make_world(
        campaign=CALLS, salesforce={"conflict": dict.fromkeys(("due_date", "priority", "comments"), "connector")}
    )
    rewritten = {"Subject": "[ORG] Call", "Priority": "High", "Description": "By the org"}
    world.sandbox.salesforce.add_trigger("Task", lambda _: rewritten)
    world.launch([ANN])
    world.sync()
    later(world)
    key = only(world)
    assert told(world, EventKind.TASK_CHANGED) == [
        (EventKind.TASK_CHANGED, "priority", "high"),
        (EventKind.TASK_CHANGED, "description", "By the org"),
    ]
    quiet(world)
    actions.edit(world.office, key, priority=Priority.NORMAL, comments="Mine")
    later(world)
    later(world)
    quiet(world)
    assert {name: theirs(world, key)[name] for name in rewritten} == rewritten
    assert world.facts(EventKind.CONFLICT) == []


# ---------------------------------------------------------------------------------- turning it on and off


def test_closures_and_deletions_while_it_was_off_are_heard_later(make_world: WorldMaker) -> None:
    world = make_world(campaign=CALLS)
    who = people(3)
    world.launch(who)
    world.sync()
    later(world)
    closed, deleted, kept = (task.stored.intent.key for task in world.tasks)
    world.configure(salesforce={"tasks": "off"})
    world.act("rep_closes_task", key=closed)
    world.act("rep_deletes_task", key=deleted)
    world.launch([ANN])
    for _ in range(5):
        world.after(days=1)
        world.sync()
    unknown = next(task.stored.intent.key for task in world.tasks if task.stored.intent.person == ANN.email)
    snooze(world.office, kept, date(2026, 12, 4))
    assert state(world, closed) is IntentState.OPEN
    world.configure(salesforce={"tasks": "both"})
    later(world)
    assert state(world, closed) is IntentState.COMPLETED
    assert state(world, deleted) is IntentState.CANCELLED
    assert theirs(world, kept)["ActivityDate"] == "2026-12-04", "pushed before it was off, so it still follows"
    assert unknown not in {one["Connector_Intent_Id__c"] for one in world.records("Task")}
    quiet(world)
    end_by_hand(world.office, unknown, IntentEvent.COMPLETE, by="by hand")
    later(world)
    subjects = [one["Subject"] for one in world.records("Task") if one["Connector_Intent_Id__c"] != kept]
    assert "Custom: Invite Ann" in subjects, "what opens from now on goes"


@pytest.mark.parametrize("tasks", ["off", "push"])
def test_people_are_heard_of_though_tasks_are_not_read(make_world: WorldMaker, tasks: str) -> None:
    world = called(make_world, salesforce={"tasks": tasks})
    key = only(world)
    if tasks == "push":
        world.act("rep_changes_task", key=key, field="Priority", value="High")
        world.act("rep_closes_task", key=key)
    world.act("person_opts_out", email=ANN.email)
    later(world)
    assert world.enrollments[ANN.email].state.value == "opted_out"
    assert world.facts(EventKind.TASK_CHANGED, EventKind.COMPLETED) == []


# ------------------------------------------------------------------------------------------ the field


@pytest.mark.parametrize("broken", [{"present": False}, {"present": True, "unique": False}])
def test_without_the_field_nothing_is_created_and_people_go_on(make_world: WorldMaker, broken: dict[str, bool]) -> None:
    world = make_world(campaign=CALLS, salesforce={"tasks": "off"})
    world.launch([ANN])
    world.sandbox.salesforce.set_intent_field(**broken)
    world.configure(salesforce={"tasks": "both"})
    report = world.sync()
    assert report.exit_status == 1
    assert [line for line in report.needs_attention if "Connector_Intent_Id__c" in line], report.needs_attention
    assert world.records("Task") == []
    assert len(world.tasks) == 1, "the rep has it all the same"
    world.act("person_opts_out", email=ANN.email)
    world.after(minutes=1)
    assert world.sync().exit_status == 1
    assert world.enrollments[ANN.email].state.value == "opted_out"
    with pytest.raises(BadInput, match="Connector_Intent_Id__c"):
        world.launch(people(1))
    assert set(world.enrollments) == {ANN.email}
    world.sandbox.salesforce.set_intent_field(present=True)
    world.after(hours=2)
    world.launch(people(1))
    later(world)
    assert len(world.records("Task")) == 1


def test_a_launch_goes_on_while_the_crm_cannot_be_reached(make_world: WorldMaker) -> None:
    world = make_world(campaign=CALLS)
    world.seed(people(1))
    world.sandbox.salesforce.fail_calls(503, "SERVER_UNAVAILABLE", "too busy", count=100)
    launched = world.launch(people(1))
    assert launched.enrolled == 1
    assert [note for note in launched.warnings if "could not be asked" in note]
    world.sandbox.salesforce.stop_failing()
    later(world)
    assert len(world.records("Task")) == 1


# ------------------------------------------------------------------------------------------- owners


@pytest.mark.parametrize("edited", [False, True])
def test_a_task_given_to_another_rep_takes_its_untouched_draft_along(make_world: WorldMaker, edited: bool) -> None:
    world = called(make_world, campaign=EMAIL, reps=[ANA, BOB], templates=TEMPLATES)
    key = only(world)
    if edited:
        world.act("rep_edits_draft", key=key, body="Dear Ann, as we said")
        later(world)
    world.act("rep_reassigns_task", key=key, user="bob@acme.example")
    later(world)
    later(world)
    (moved,) = world.facts(EventKind.TASK_REASSIGNED)
    assert (moved.data["owner"], "edited" in moved.reason) == ("bob@acme.example", edited)
    drafts = {rep: len(world.mails(rep, "drafts")) for rep in ("ana@acme.example", "bob@acme.example")}
    assert drafts == {"ana@acme.example": int(edited), "bob@acme.example": int(not edited)}
    world.act("rep_sends_draft", key=key)
    later(world)
    later(world)
    assert world.enrollments[ANN.email].state.value == "finished"
    assert theirs(world, key)["Status"] == "Completed"
    assert len([mail for rep in drafts for mail in world.mails(rep, "sent")]) == 1


# --------------------------------------------------------------------------------- editing here


def test_an_edit_here_reaches_salesforce_and_is_told(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    actions.edit(world.office, key[:8], priority=Priority.HIGH, comments="Rather ask Tom")
    assert told(world, EventKind.TASK_EDITED) == [
        (EventKind.TASK_EDITED, "priority", "high"),
        (EventKind.TASK_EDITED, "description", "Rather ask Tom"),
    ]
    later(world)
    assert (theirs(world, key)["Priority"], theirs(world, key)["Description"]) == ("High", "Rather ask Tom")
    quiet(world)


def test_what_is_closed_unsaid_or_in_no_crm_cannot_be_edited(make_world: WorldMaker) -> None:
    world = called(make_world)
    key = only(world)
    with pytest.raises(BadInput, match="--priority"):
        actions.edit(world.office, key, priority=None, comments=None)
    end_by_hand(world.office, key, IntentEvent.COMPLETE, by="by hand")
    with pytest.raises(BadInput, match="completed"):
        actions.edit(world.office, key, priority=Priority.HIGH, comments=None)
    other = make_world(campaign=CALLS, salesforce={"tasks": "off"})
    other.launch([ANN])
    other.sync()
    with pytest.raises(BadInput, match=r"salesforce\.tasks"):
        actions.edit(other.office, only(other), priority=Priority.HIGH, comments=None)
    assert world.facts(EventKind.TASK_EDITED) == other.facts(EventKind.TASK_EDITED) == []


# --------------------------------------------------------------- what happens in the middle of a pass


@pytest.fixture
def on_a_line(make_world: WorldMaker) -> Iterator[Callable[..., tuple[World, Line]]]:
    """Make a world that reaches its sandbox over a line, where somebody can act between two calls."""
    lines: list[Line] = []

    def make(**options: object) -> tuple[World, Line]:
        def reach(url: str) -> str:
            lines.append(Line(url))
            return lines[-1].url

        return make_world(**{"campaign": CALLS, "line": reach, **options}), lines[-1]

    yield make
    for line in lines:
        line.close()


def is_upsert(asked: Asked) -> bool:
    return asked.method == "PATCH" and "composite/sobjects/Task" in asked.path


@pytest.mark.parametrize(("policy", "winner"), [("salesforce", "2026-11-27"), ("connector", "2026-11-26")])
def test_an_edit_between_our_look_and_our_write_is_settled_and_recorded(
    on_a_line: Callable[..., tuple[World, Line]], policy: str, winner: str
) -> None:
    world, line = on_a_line(salesforce={"conflict": {"due_date": policy}})
    world.launch([ANN])
    world.sync()
    later(world)
    key = only(world)
    snooze(world.office, key, date(2026, 11, 26))
    world.after(minutes=1)

    def edit_after_the_first_look(asked: Asked) -> None:
        if asked.service == "salesforce" and asked.number == 2:
            world.act("rep_changes_task", key=key, field="ActivityDate", value="2026-11-27")

    line.count_anew()
    line.fault = edit_after_the_first_look
    assert world.sync().pulled["conflicts"] == 1
    line.fault = lambda _: None
    later(world)
    assert theirs(world, key)["ActivityDate"] == winner
    assert world.tasks[0].stored.intent.due_date.isoformat() == winner
    (conflict,) = world.facts(EventKind.CONFLICT)
    assert (conflict.data["ours"], conflict.data["theirs"]) == ("2026-11-26", "2026-11-27")
    quiet(world)


def test_creations_are_written_without_a_second_look(on_a_line: Callable[..., tuple[World, Line]]) -> None:
    world, line = on_a_line()
    world.launch([ANN])
    world.sync()
    world.launch(people(3))
    world.after(minutes=1)
    line.count_anew()
    world.sync()
    looks = [one for one in line.asked if "query" in one.path or one.path.endswith("/composite")]
    before = line.asked.index(next(one for one in line.asked if is_upsert(one)))
    assert len([one for one in looks if line.asked.index(one) < before]) <= 3, "the pull, the people and the users"
    line.count_anew()
    world.after(minutes=1)
    world.sync()
    assert len([one for one in line.asked if one.service == "salesforce"]) == 1


@pytest.mark.parametrize("moment", ["before it is looked up", "before it is written", "before the answer is lost"])
@pytest.mark.parametrize("tasks", ["push", "both"])
def test_a_lead_converted_on_the_way_gets_its_task_once_as_a_contact(
    on_a_line: Callable[..., tuple[World, Line]], moment: str, tasks: str
) -> None:
    world, line = on_a_line(salesforce={"tasks": tasks})
    world.launch([ANN])
    if moment == "before it is looked up":
        world.act("lead_is_converted", email=ANN.email)
    done: list[Asked] = []

    def convert(asked: Asked) -> Lost | None:
        if not is_upsert(asked) or done:
            return None
        done.append(asked)
        if moment == "before it is written":
            world.act("lead_is_converted", email=ANN.email)
        return Lost() if moment == "before the answer is lost" else None

    line.fault = convert
    world.sync()
    if moment == "before the answer is lost":
        assert len(world.records("Task")) == 1
        world.act("lead_is_converted", email=ANN.email)
    for _ in range(3):
        world.after(minutes=5)
        world.sync()
    (contact,) = world.records("Contact")
    (task,) = world.records("Task")
    assert task["WhoId"] == contact["Id"]
    assert len(world.effects("task_created")) == 1
    with world.database.read() as tx:
        assert read_people(tx, [ANN.email])[ANN.email].person.salesforce_id == contact["Id"]
    assert len(world.facts(EventKind.PERSON_REPOINTED)) == (moment != "before it is looked up")
    assert world.sync().exit_status == 0


def test_a_refused_task_says_why_for_the_rep_and_for_the_administrator(make_world: WorldMaker) -> None:
    world = make_world(campaign=CALLS)
    world.launch([ANN])
    code, message = "FIELD_CUSTOM_VALIDATION_EXCEPTION", "Say the region first"
    world.sandbox.salesforce.fail_items(code, message, count=1, fields=(), key="")
    assert world.sync().exit_status == 1
    task = stored(world, only(world))
    assert (task.code, task.category, task.failed) == (code, "access or validation", world.now)
    assert message in (task.problem or "")
    world.sandbox.salesforce.stop_failing()
    world.after(hours=2)
    world.sync()
    task = stored(world, only(world))
    assert (task.problem, task.code, task.category, task.advice, task.failed) == (None,) * 5


def test_a_task_whose_owner_the_crm_does_not_know_is_listed_and_given_to_nobody_else(make_world: WorldMaker) -> None:
    world = make_world(campaign=CALLS)
    world.seed([])
    world.act("user_is_deactivated", user=ANA["salesforce_user"])
    world.launch([ANN])
    (said,) = world.sync().needs_attention
    assert f"no active user '{ANA['salesforce_user']}' for rep {ANA['email']}" in said
    assert world.records("Task") == []
    world.configure(reps=[{**ANA, "salesforce_user": BOB["salesforce_user"]}])
    retry(world.office)
    assert world.sync().exit_status == 0
    assert len(world.records("Task")) == 1


def test_the_task_of_a_rep_who_left_connector_yaml_can_still_be_snoozed(make_world: WorldMaker) -> None:
    world = called(make_world)
    world.configure(reps=[BOB])
    (task,) = world.tasks
    snooze(world.office, task.stored.intent.key, date(2026, 12, 1))
    world.sync()
    assert [one["ActivityDate"] for one in world.records("Task")] == ["2026-12-01"]
