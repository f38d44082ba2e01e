"""Both sides of a task, field by field: changed here, there, on both sides or on neither, under each setting.

Through the whole wheel on the sandbox, for every field and setting; `tests/unit/test_merge.py` has the table of the
merge alone, with each order of the two changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from connector.events import EventKind
from connector.intents import IntentEvent, IntentState, Priority
from connector.people import Person
from connector.store.intents import read_intents
from connector.store.tasks import read_tasks
from connector.sync.actions import edit, end_by_hand, snooze
from connector.tasks.merge import ALLOWED
from tests.world import World, WorldMaker, people

CALL = """\
name: Calls
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}", notes: "Ask about it"}
"""

ANN = Person(email="ann@bolt.example", first_name="Ann", last_name="Bolt", company="Bolt")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field: how each side changes it, and how it reads."""

    setting: str
    #: Name in Salesforce, value both agree on, and the two values it is changed to.
    theirs: str
    before: Any
    value: Any
    other: Any
    #: How it is changed here, to `value`.
    here: Callable[[World, str], object]
    #: As the feed names it.
    named: str


FIELDS = {
    "status": Field(
        setting="status",
        theirs="Status",
        before="Not Started",
        value="Completed",
        other="In Progress",
        here=lambda world, key: end_by_hand(world.office, key, IntentEvent.COMPLETE, by="by hand"),
        named="closed",
    ),
    "due date": Field(
        setting="due_date",
        theirs="ActivityDate",
        before="2026-11-23",
        value="2026-11-26",
        other="2026-11-27",
        here=lambda world, key: snooze(world.office, key, date(2026, 11, 26)),
        named="due_date",
    ),
    "priority": Field(
        setting="priority",
        theirs="Priority",
        before="Normal",
        value="High",
        other="Low",
        here=lambda world, key: edit(world.office, key, priority=Priority.HIGH, comments=None),
        named="priority",
    ),
    "comments": Field(
        setting="comments",
        theirs="Description",
        before="Ask about it",
        value="Mine",
        other="Theirs",
        here=lambda world, key: edit(world.office, key, priority=None, comments="Mine"),
        named="description",
    ),
}

#: Who changed it, in this order; "both" ends with the later one.
CHANGES = ("neither", "here", "there", "same on both", "here then there", "there then here")


def rows() -> list[tuple[str, str]]:
    return [(name, setting) for name, field in FIELDS.items() for setting in sorted(ALLOWED[field.setting])]


def winner(setting: str, change: str) -> str:
    """Return whose value counts, by the rule of the setting."""
    latest = "there" if change == "here then there" else "here"
    return {"salesforce": "there", "connector": "here", "latest": latest, "closed_wins": "here"}[setting]


def theirs(world: World, key: str) -> Mapping[str, Any]:
    (row,) = [one for one in world.records("Task") if one["Connector_Intent_Id__c"] == key]
    return row


def ours(world: World, key: str) -> dict[str, Any]:
    """Return the task as we hold it, in the words of Salesforce."""
    with world.database.read() as tx:
        task, stored = read_tasks(tx, [key])[key], read_intents(tx, [key])[key]
    held = task.wanted
    assert (stored.state is IntentState.OPEN) is (held["closed"] is False) or stored.state is IntentState.COMPLETED
    return {
        "Status": "Completed" if held["closed"] else task.status,
        "ActivityDate": held["due_date"],
        "Priority": held["priority"].capitalize(),
        "Description": held["description"],
    }


@pytest.mark.parametrize(("name", "setting"), rows())
def test_a_field_changed_here_there_both_or_neither(make_world: WorldMaker, name: str, setting: str) -> None:
    """One person for each way of changing it, all in one org."""
    field = FIELDS[name]
    world = make_world(campaign=CALL, salesforce={"conflict": {field.setting: setting}})
    who = dict(zip((one.email for one in people(len(CHANGES))), CHANGES, strict=True))
    world.launch(people(len(CHANGES)))
    for _ in range(2):
        world.sync()
        world.after(minutes=10)
    keys = {who[task.stored.intent.person]: task.stored.intent.key for task in world.tasks}
    before = dict(theirs(world, keys["neither"]))
    assert before[field.theirs] == field.before

    def there(key: str, value: Any) -> None:
        world.act("rep_changes_task", key=key, field=field.theirs, value=value)

    steps: tuple[tuple[Callable[[str], object], str, str], ...] = (
        (lambda key: field.here(world, key), "here", "first"),
        (lambda key: there(key, field.value), "there", "first"),
        (lambda key: field.here(world, key), "same on both", "first"),
        (lambda key: field.here(world, key), "here then there", "first"),
        (lambda key: there(key, field.other), "there then here", "first"),
        (lambda key: there(key, field.value), "same on both", "then"),
        (lambda key: there(key, field.other), "here then there", "then"),
        (lambda key: field.here(world, key), "there then here", "then"),
    )
    for moment in ("first", "then"):
        for act, change, when in steps:
            if when == moment:
                act(keys[change])
        world.after(minutes=1)
    for _ in range(2):
        assert world.sync().exit_status == 0
        world.after(minutes=1)

    conflicts = {fact.intent: (fact.data["field"], fact.data["winner"]) for fact in world.facts(EventKind.CONFLICT)}
    for change, key in keys.items():
        disputed = change.endswith(("then here", "then there"))
        expected = field.before if change == "neither" else field.value
        if disputed and winner(setting, change) == "there":
            expected = field.other
        assert theirs(world, key)[field.theirs] == expected, change
        assert ours(world, key)[field.theirs] == expected, change
        side = {"here": "connector", "there": "salesforce"}[winner(setting, change)]
        assert conflicts.get(key) == ((field.named, side) if disputed else None), change
        untouched = {one.theirs for one in FIELDS.values() if one is not field}
        assert {one: theirs(world, key)[one] for one in untouched} == {one: before[one] for one in untouched}, change
    assert len(world.facts(EventKind.CONFLICT)) == len(conflicts), "each is told once"
    written = len(world.effects("task_updated"))
    world.sync()
    assert len(world.effects("task_updated")) == written, "both sides are at rest"


@pytest.mark.parametrize("back", [False, True])
def test_the_owner_is_salesforce_s_to_say(make_world: WorldMaker, back: bool) -> None:
    world = make_world(campaign=CALL)
    world.launch([ANN])
    world.sync()
    world.after(minutes=10)
    key = world.tasks[0].stored.intent.key
    for user in ("bob@acme.example", "ana@acme.example")[: 1 + back]:
        world.act("rep_reassigns_task", key=key, user=user)
        world.after(minutes=1)
        world.sync()
    world.after(minutes=1)
    world.sync()
    expected = "ana@acme.example" if back else "bob@acme.example"
    assert world.tasks[0].stored.intent.rep == expected
    (user,) = [one["Id"] for one in world.records("User") if one["Username"] == expected]
    assert theirs(world, key)["OwnerId"] == user
    assert len(world.facts(EventKind.TASK_REASSIGNED)) == 1 + back
