"""A lead is converted while its person is in a campaign: tasks follow to the contact, whoever notices first."""

from __future__ import annotations

from dataclasses import replace

from connector.errors import Retry
from connector.intents import IntentEvent
from connector.store.people import read_people
from connector.sync.actions import end_by_hand, opt_out
from connector.sync.push_people import push_people
from connector.sync.views import list_tasks
from tests.world import WorldMaker, people


def record_of(world, email):
    with world.database.read() as tx:
        return read_people(tx, [email])[email].person.salesforce_id


def tasks_of(world):
    return [task for task in world.sandbox.state()["salesforce"]["records"]["Task"] if not task["IsDeleted"]]


def test_the_pull_notices_first(make_world: WorldMaker) -> None:
    world = make_world()
    who = people(1)
    world.launch(who)
    world.sync()
    lead = record_of(world, who[0].email)
    assert lead.startswith("00Q")
    world.act("lead_is_converted", email=who[0].email)
    world.after(minutes=1)
    assert world.sync().pulled["people_repointed"] == 1
    contact = record_of(world, who[0].email)
    assert contact.startswith("003")
    assert {task["WhoId"] for task in tasks_of(world)} == {contact}


def test_the_push_notices_first(make_world: WorldMaker) -> None:
    world = make_world(salesforce={"tasks": "push"})
    who = people(1)
    world.launch(who)
    world.sync()
    world.act("lead_is_converted", email=who[0].email)
    for task in list_tasks(world.office):
        world.act("rep_closes_task", key=task.stored.intent.key)
    (call,) = list_tasks(world.office)
    end_by_hand(world.office, call.stored.intent.key, IntentEvent.COMPLETE, by="by hand")
    world.after(days=1)
    report = world.sync()
    assert report.needs_attention == []
    assert record_of(world, who[0].email).startswith("003")
    (email,) = list_tasks(world.office)
    assert email.task.remote_id is not None


def test_an_opt_out_the_crm_could_not_hear_is_told_by_a_later_pass(make_world: WorldMaker) -> None:
    world = make_world()
    who = people(1)
    world.launch(who)
    world.sync()
    opt_out(world.office, who[0].email, reason="asked by phone")
    office = replace(world.office, crm=Deaf(world.office.crm))
    (problem,) = push_people(office, world.now, only=who[0].email).attention
    assert who[0].email in problem
    assert [lead["HasOptedOutOfEmail"] for lead in world.sandbox.state()["salesforce"]["records"]["Lead"]] == [False]
    world.after(hours=2)
    assert world.sync().needs_attention == []
    assert [lead["HasOptedOutOfEmail"] for lead in world.sandbox.state()["salesforce"]["records"]["Lead"]] == [True]


class Deaf:
    """A CRM that does not answer opt-outs."""

    def __init__(self, crm):
        self._crm = crm

    def __getattr__(self, name):
        return getattr(self._crm, name)

    def push_people(self, writes):
        raise Retry("Salesforce is not available")
