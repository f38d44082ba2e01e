"""What rolls up onto a person's record: the campaign they are in, the last activity, the last reply; in bulk."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from connector.intents import IntentEvent
from connector.people import Person
from connector.ports import CrmPerson, RollupFact
from connector.store.crm_people import read_crm_people
from connector.sync.actions import end_by_hand, remove
from connector.sync.rollup import roll_up
from tests.doubles import MemoryCrm
from tests.world import TEMPLATES, World, WorldMaker, people

ANN = Person(email="ann@bolt.example", first_name="Ann", last_name="Bolt", company="Bolt")
ANN_THERE = CrmPerson(id="003000000000001AAA", kind="contact", email=ANN.email)

MAIL = """\
name: Mail
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
  - day: 2
    steps:
      - call: {name: "Call {{first_name}}"}
"""

CALL = """\
name: Call
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}"}
"""

ROLLUP = {fact.value: f"{fact.value}__c" for fact in RollupFact}


def working(make_world: WorldMaker, rollup: dict[str, str] = ROLLUP) -> tuple[World, MemoryCrm]:
    world = make_world(
        campaign={"mail": MAIL, "call": CALL}, templates=TEMPLATES, salesforce={"rollup": rollup, "tasks": "push"}
    )
    crm = MemoryCrm(ANN_THERE)
    world.use_crm(crm)
    return world, crm


def there(crm: MemoryCrm) -> dict[str, Any]:
    """Return Ann's record as the CRM holds it."""
    fields: dict[str, Any] = {}
    for call in crm.told:
        for write in call:
            assert write.id == ANN_THERE.id
            fields |= write.fields
    return fields


def test_a_campaign_rolls_up_from_launch_to_its_end(make_world: WorldMaker) -> None:
    world, crm = working(make_world)
    world.launch([ANN], campaign="Mail")
    sent = world.now
    world.sync()
    assert there(crm) == {"current_campaign": "Mail", "last_activity": sent}
    world.after(minutes=10)
    world.act("prospect_replies", person=ANN.email)
    replied = world.now
    world.after(minutes=1)
    world.sync()
    assert there(crm) == {"current_campaign": None, "last_activity": sent, "last_replied": replied}
    world.after(days=2)
    calls = len(crm.told)
    world.sync()
    assert len(crm.told) == calls, "what did not change is not told again"


def test_a_completed_task_is_an_activity_and_a_skipped_one_is_not(make_world: WorldMaker) -> None:
    world, crm = working(make_world)
    world.launch([ANN], campaign="Call")
    world.sync()
    assert there(crm) == {"current_campaign": "Call"}
    (task,) = world.tasks
    end_by_hand(world.office, task.stored.intent.key, IntentEvent.COMPLETE, by="by hand")
    completed = world.now
    world.sync()
    assert there(crm) == {"current_campaign": None, "last_activity": completed}
    world.after(days=1)
    world.launch([ANN], campaign="Call")
    world.sync()
    (task,) = world.tasks
    end_by_hand(world.office, task.stored.intent.key, IntentEvent.SKIP, by="by hand")
    world.sync()
    assert there(crm) == {"current_campaign": None, "last_activity": completed}


def test_of_several_campaigns_the_one_launched_last_counts(make_world: WorldMaker) -> None:
    world, crm = working(make_world)
    world.launch([ANN], campaign="Call")
    world.after(minutes=1)
    world.launch([ANN], campaign="Mail")
    world.sync()
    assert there(crm)["current_campaign"] == "Mail"
    remove(world.office, person=ANN.email, campaign="Mail", rep=None)
    world.sync()
    assert there(crm)["current_campaign"] == "Call"
    remove(world.office, person=ANN.email, campaign=None, rep=None)
    world.sync()
    assert there(crm)["current_campaign"] is None


@pytest.mark.parametrize("fact", list(RollupFact))
def test_only_facts_that_have_a_field_roll_up(make_world: WorldMaker, fact: RollupFact) -> None:
    world, crm = working(make_world, {fact.value: "Field__c"})
    world.launch([ANN], campaign="Mail")
    world.sync()
    world.after(minutes=10)
    world.act("prospect_replies", person=ANN.email)
    world.after(minutes=1)
    world.sync()
    assert there(crm).keys() == {fact.value}


def test_an_earlier_mail_seen_late_takes_nothing_back(make_world: WorldMaker) -> None:
    world, _crm = working(make_world)
    world.launch([ANN], campaign="Mail")
    world.sync()
    world.after(minutes=10)
    world.act("prospect_replies", person=ANN.email)
    later = world.now
    world.after(minutes=1)
    world.sync()
    with world.database.write() as tx:
        roll_up(tx, world.office, world.now, replied={ANN.email: world.now.replace(hour=1)})
        assert read_crm_people(tx, [ANN.email])[ANN.email].wanted["last_replied"] == later.isoformat()


def statements(world: World, count: int) -> int:
    """Return how many statements a launch of so many people takes."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    office = world.office
    event.listen(office.database.engine, "before_cursor_execute", note)
    try:
        world.launch(people(count, domain=f"at{count}"), campaign="Mail")
    finally:
        event.remove(office.database.engine, "before_cursor_execute", note)
    return len(seen)


def test_a_launch_rolls_up_in_bulk(make_world: WorldMaker) -> None:
    world, _crm = working(make_world)
    assert statements(world, 1000) == statements(world, 10)
