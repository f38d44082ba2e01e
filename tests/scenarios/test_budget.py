"""The CRM's calls of a day: at 90 % only what is due now goes out; the rest follows once there is room again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.intents import IntentEvent
from connector.people import Person
from connector.ports import CrmPerson
from connector.store.crm_people import want_person
from connector.store.lanes import read_pacing
from connector.store.tasks import Dirty, StoredTask, count_dirty
from connector.sync.actions import end_by_hand, opt_out, snooze
from connector.sync.crm_lane import HELD_BACK, may_wait, runs_short
from connector.sync.mirror import want
from tests.doubles import MemoryCrm
from tests.world import START, TEMPLATES, World, WorldMaker, people

MIXED = """\
name: Mixed
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
      - call: {name: "Call {{first_name}}"}
"""

STEEL = """\
name: Steel
days:
  - day: 1
    steps:
      - email: {template: steel, send: choose_at_launch}
      - call: {name: "Call {{first_name}}", notes: "{{sfdc.Industry}}"}
"""

ANN = Person(email="ann@bolt.example", first_name="Ann", last_name="Bolt", company="Bolt")
ANN_THERE = CrmPerson(id="003000000000001AAA", kind="contact", email=ANN.email, fields={"Industry": "Steel"})


@pytest.mark.parametrize(
    ("budget", "short"),
    [
        (None, False),
        ((0, 0), False),
        ((0, 15_000), False),
        ((13_499, 15_000), False),
        ((13_500, 15_000), True),
        ((15_000, 15_000), True),
    ],
)
def test_calls_run_short_at_nine_tenths(budget: tuple[int, int] | None, short: bool) -> None:
    assert runs_short(budget) is short


@pytest.mark.parametrize(
    ("wanted", "synced", "dirty", "waits"),
    [
        ({"subject": "Call", "closed": False}, None, Dirty.WRITE, False),  # a task the rep must have
        ({"subject": "Email", "closed": True}, None, Dirty.WRITE, True),  # a log
        ({"closed": True, "kind": "call"}, {"closed": False}, Dirty.WRITE, False),  # an end
        ({"closed": False, "due_date": "2026-11-24"}, {"closed": False, "due_date": "2026-11-23"}, Dirty.WRITE, False),
        ({"closed": True, "replied": True}, {"closed": True, "replied": False}, Dirty.WRITE, True),
        ({"closed": True, "email_status": "Bounced", "kind": "email"}, {"closed": True}, Dirty.WRITE, True),
        ({"closed": True}, {"closed": True}, Dirty.DELETE, False),
    ],
)
def test_what_may_wait(wanted: dict, synced: dict | None, dirty: Dirty, waits: bool) -> None:
    task = StoredTask(
        key="ab", person=ANN.email, rep="ana@acme.example", wanted=wanted, synced=synced, due=START, dirty=dirty
    )
    assert may_wait(task) is waits


def short_of_calls(world: World) -> None:
    """Let others use the org's calls of the day up to nine tenths."""
    world.sandbox.salesforce.use_calls(world.sandbox.salesforce.daily_limit * 9 // 10)


def test_only_what_is_due_now_goes_out_and_the_rest_follows(make_world: WorldMaker) -> None:
    world = make_world(campaign=MIXED, templates=TEMPLATES)
    short_of_calls(world)
    ann, ben = people(2)
    world.launch([ann, ben])
    assert world.sync().exit_status == 0
    opt_out(world.office, ben.email, reason="asked by phone")
    report = world.sync()
    assert report.exit_status == 0
    subjects = {row["Subject"]: row["Status"] for row in world.records("Task")}
    assert subjects == {"Call: Call Pat0": "Not Started", "Call: Call Pat1": "Completed"}, "calls, and no logged mails"
    assert [lead["HasOptedOutOfEmail"] for lead in world.records("Lead")] == [False, True]
    world.after(minutes=1)
    assert world.sync().as_json()["api_calls"]["salesforce"] == 1, "reading goes on, in one call"
    world.after(hours=24)
    assert world.sync().exit_status == 0, "by now the first calls are a day old, which the first answer tells"
    world.after(minutes=20)
    world.sync()
    subjects = sorted(row["Subject"] for row in world.records("Task"))
    assert subjects == ["Call: Call Pat0", "Call: Call Pat1", "Email: Hello Pat0", "Email: Hello Pat1"]


def with_memory(make_world: WorldMaker, campaign: str, **salesforce: object) -> tuple[World, MemoryCrm]:
    templates = {**TEMPLATES, "steel.md": "---\nsubject: Hello\n---\nYou make {{sfdc.Industry}}.\n"}
    world = make_world(campaign=campaign, templates=templates, salesforce=salesforce)
    crm = MemoryCrm(ANN_THERE)
    world.use_crm(crm)
    return world, crm


def test_what_was_held_goes_out_once_there_is_room_again(make_world: WorldMaker) -> None:
    facts = {"activity_fields": {"replied": "R__c"}, "rollup": {"current_campaign": "C__c"}}
    world, crm = with_memory(make_world, MIXED, **facts)
    crm.budget = (900, 1000)
    world.launch([ANN])
    world.sync()
    world.act("prospect_replies", person=ANN.email)
    world.after(minutes=1)
    world.sync()
    assert [[write.fields["subject"] for write in call if "subject" in write.fields] for call in crm.written] == [
        ["Call: Call Ann"],
        [],
    ], "the call, and its end; neither the mail nor the reply"
    assert crm.told == []
    crm.budget = (899, 1000)
    world.after(seconds=HELD_BACK.total_seconds())
    assert world.sync().exit_status == 0
    assert {write.fields["subject"] for write in crm.written[-1]} == {"Email: Hello Ann", "Reply: Re: Hello Ann"}
    assert [dict(write.fields) for call in crm.told for write in call] == [{"current_campaign": None}]
    with world.database.read() as tx:
        assert count_dirty(tx, world.now + timedelta(days=1)) == (0, None)


def test_facts_for_the_record_wait_but_travel_with_what_is_due(make_world: WorldMaker) -> None:
    world, crm = with_memory(make_world, MIXED, activity_fields={"step_name": "S__c"})
    world.launch([ANN])
    world.sync()
    (task,) = world.tasks
    key = task.stored.intent.key
    crm.budget = (900, 1000)
    calls = len(crm.written)
    with world.database.write() as tx:
        want(tx, key, world.now, step_name="Another name")
    world.sync()
    assert len(crm.written) == calls
    snooze(world.office, key, world.now.date() + timedelta(days=2))
    world.sync()
    (write,) = crm.written[-1]
    assert write.fields.keys() == {"step_name", "due_date", "reminder_at"}


def test_an_opt_out_and_a_bounce_never_wait(make_world: WorldMaker) -> None:
    world, crm = with_memory(make_world, MIXED, rollup={"last_activity": "A__c"})
    world.launch([ANN])
    crm.budget = (990, 1000)
    with world.database.write() as tx:
        want_person(tx, ANN.email, world.now, last_activity=world.now.isoformat())
    world.sync()
    assert crm.told == []
    with world.database.write() as tx:
        want_person(tx, ANN.email, world.now, bounced_at=world.now.isoformat(), bounced_reason="5.1.1")
    world.sync()
    ((write,),) = crm.told
    assert write.fields.keys() == {"last_activity", "bounced_at", "bounced_reason"}


def test_nobody_is_asked_about_again_whose_answer_is_merely_old(make_world: WorldMaker) -> None:
    world, crm = with_memory(make_world, STEEL)
    world.launch([ANN])
    world.sync()
    assert len(crm.asked) == 1
    (task,) = world.tasks
    crm.budget = (900, 1000)
    for again in (0, 1):
        end_by_hand(world.office, task.stored.intent.key, IntentEvent.COMPLETE, by="by hand")
        world.after(days=1)
        world.launch([ANN])
        assert world.sync().exit_status == 0
        (task,) = world.tasks
        assert len(crm.asked) == 1 + again
        crm.budget = (0, 1000)


@pytest.mark.parametrize(
    ("name", "longest"),
    [("daily", timedelta(hours=24)), ("concurrent", timedelta(minutes=1))],
    ids=str,
)
def test_a_limit_of_the_day_is_waited_for_long_and_one_of_the_moment_shortly(
    make_world: WorldMaker, name: str, longest: timedelta
) -> None:
    world = make_world(campaign=MIXED, templates=TEMPLATES)
    world.launch(people(1))
    if name == "daily":
        world.sandbox.salesforce.use_calls(world.sandbox.salesforce.daily_limit)
    else:
        world.sandbox.salesforce.limit_concurrent(50)
    report = world.sync()
    assert report.exit_status == 1
    with world.database.read() as tx:
        blocked = read_pacing(tx, "salesforce").blocked_until
    assert blocked is not None
    waits = blocked - world.now
    assert longest / 48 <= waits <= longest
    calls = report.as_json()["api_calls"]["salesforce"]
    assert calls <= 8, "the limit is not run against"
    world.sandbox.salesforce.stop_failing()
    assert world.sync().as_json()["api_calls"]["salesforce"] == 0, "the lane is left alone until then"
    assert len(world.mails("ana@acme.example", "sent")) == 1, "mails go on"
    world.after(seconds=waits.total_seconds() + (86_400 if name == "daily" else 0))
    assert world.sync().exit_status == 0
    assert len(world.records("Task")) == 2
