"""The Salesforce adapter over real HTTP against the sandbox's org: tasks out, and the session."""

import socket
from datetime import timedelta
from importlib.metadata import entry_points

import pytest
from mailbox_contract import Relay
from salesforce_world import creation, key, open_world, update

from adapters.salesforce import adapter
from connector.errors import Reconnect, Refused, Retry


@pytest.fixture
def world(tmp_path, monkeypatch):
    with open_world(tmp_path, monkeypatch) as opened:
        yield opened


def test_the_entry_point_gives_the_adapter():
    (entry,) = (entry for entry in entry_points(group="connector.adapters") if entry.name == "salesforce")
    assert entry.load() is adapter


def test_opening_calls_nobody(world):
    assert world.open().calls == 0
    assert world.sandbox.log.calls == {}


def test_a_task_arrives_with_every_field(world):
    crm = world.open()
    (written,) = crm.push_tasks([creation(world)])
    assert written.error is None
    (task,) = world.tasks()
    assert written.remote_id == task["Id"]
    expected = {
        "Subject": "Call: Ann", "Status": "Not Started", "Priority": "High", "ActivityDate": "2026-11-24",
        "IsReminderSet": True, "Description": "Ask about the plan.\nBe kind.", "WhoId": world.contact,
        "OwnerId": world.ana, "TaskSubtype": "Call", "Connector_Intent_Id__c": key(1),
    }  # fmt: skip
    assert {name: task[name] for name in expected} == expected
    assert task["ReminderDateTime"].startswith("2026-11-24T14:30:00")


def test_only_the_fields_given_are_changed(world):
    crm = world.open()
    crm.push_tasks([creation(world)])
    world.sandbox.act("rep_changes_task", key=key(1), field="Subject", value="My own words")
    (written,) = crm.push_tasks([update(closed=True, due_date=None)])
    assert written.error is None
    (task,) = world.tasks()
    assert (task["Subject"], task["Status"], "ActivityDate" in task) == ("My own words", "Completed", False)


def test_pushing_twice_makes_one_task(world):
    crm = world.open()
    first = crm.push_tasks([creation(world)])
    again = crm.push_tasks([creation(world, subject="Call: Ann, today")])
    assert [one.error for one in (*first, *again)] == [None, None]
    assert first[0].remote_id == again[0].remote_id
    (task,) = world.tasks()
    assert task["Subject"] == "Call: Ann, today"


def test_an_answer_lost_after_salesforce_acted_makes_one_task(world):
    relay = Relay(world.sandbox.url)
    try:
        crm = world.open(instance_url=relay.url)
        relay.lose_next = "PATCH"
        (written,) = crm.push_tasks([creation(world)])
        assert relay.lost
        crm.close()
    finally:
        relay.close()
    assert written.error is None
    (task,) = world.tasks()
    assert (task["Id"], task["TaskSubtype"]) == (written.remote_id, "Call")


def test_a_deleted_task_is_gone_and_not_made_again(world):
    crm = world.open()
    crm.push_tasks([creation(world)])
    world.sandbox.act("rep_deletes_task", key=key(1))
    (written,) = crm.push_tasks([update(subject="again")])
    assert type(written.error) is Refused
    assert written.error.code == "gone"
    assert [task["IsDeleted"] for task in world.tasks()] == [True]


def test_a_thousand_tasks_take_five_upserts_and_what_failed_is_told_apart(world):
    crm = world.open()
    writes = [creation(world, number) for number in range(1000)]
    writes[7] = creation(world, 7, who="003000000099999AAA")
    writes[500] = creation(world, 500, subject="")
    results = crm.push_tasks(writes)
    assert [result.key for result in results] == [write.key for write in writes]
    assert [place for place, result in enumerate(results) if result.error] == [7]
    assert results[7].error.code == "INVALID_CROSS_REFERENCE_KEY"
    calls = [one for one in world.sandbox.log.requests if one["service"] == "salesforce"]
    assert sum(one["method"] == "PATCH" for one in calls) == 5
    assert len(calls) == crm.calls == 7  # two more read the fields and the statuses
    assert len(world.tasks()) == 999


def test_the_org_decides_what_closed_is(world):
    world.org.set_task_statuses(("Offen", True, False), ("Erledigt", False, True), ("Hinfällig", False, True))
    crm = world.open()
    crm.push_tasks([creation(world)])
    assert world.tasks()[0]["Status"] == "Offen"
    crm.push_tasks([update(closed=True)])
    assert world.tasks()[0]["Status"] == "Erledigt"


@pytest.mark.parametrize("who", ["lead", "contact"])
def test_what_a_task_is_related_to_is_left_to_the_org(world, who):
    (written,) = world.open().push_tasks([creation(world, who=getattr(world, who))])
    assert written.error is None
    assert "WhatId" not in world.tasks()[0]


def test_a_converted_lead_is_said_so_that_the_task_can_follow(world):
    world.sandbox.act("lead_is_converted", id=world.lead)
    crm = world.open()
    (written,) = crm.push_tasks([creation(world, who=world.lead)])
    assert written.error.code == "CANNOT_UPDATE_CONVERTED_LEAD"
    (person,) = crm.find_people(ids=[world.lead])[world.lead]
    assert (person.kind, person.email) == ("contact", "bob@oak.example")
    (written,) = crm.push_tasks([creation(world, who=person.id)])
    assert written.error is None


def test_without_the_intent_field_nothing_is_made_and_the_sentence_says_what_to_deploy(world):
    world.org.set_intent_field(present=False)
    crm = world.open()
    for act in (lambda: crm.push_tasks([creation(world)]), lambda: crm.pull(None, tasks=True)):
        with pytest.raises(Refused, match="Connector_Intent_Id__c of Task is missing in the Salesforce org, or hidden"):
            act()
    assert world.tasks() == []


def test_deleting_tasks(world):
    crm = world.open()
    (written,) = crm.push_tasks([creation(world)])
    for _ in range(2):  # the second time it is gone already
        (deleted,) = crm.delete_tasks([written.remote_id])
        assert (deleted.key, deleted.error) == (written.remote_id, None)
    assert [task["IsDeleted"] for task in world.tasks()] == [True]


# ------------------------------------------------------------------------------------------------ session


def test_a_ready_token_works_without_signing_in(world):
    crm = world.open(**world.token())
    assert crm.find_users(["ana@acme.example"]) == {"ana@acme.example": world.ana}
    assert world.sandbox.log.calls == {"salesforce": 1}


def test_the_budget_is_what_the_org_says(world):
    crm = world.open()
    crm.find_users(["ana@acme.example"])
    assert crm.budget == (1, 15_000)


def test_a_session_that_ended_is_renewed_in_passing(world):
    crm = world.open()
    crm.find_users(["nobody@acme.example"])
    world.sandbox.tokens.revoke_all("salesforce")
    assert crm.find_users(["ana@acme.example"]) == {"ana@acme.example": world.ana}
    assert world.sandbox.log.calls == {"salesforce:token": 2, "salesforce": 3}


def test_a_ready_token_that_ended_asks_for_a_person(world):
    crm = world.open(**world.token())
    world.sandbox.tokens.revoke_all("salesforce")
    with pytest.raises(Reconnect) as caught:
        crm.pull(None, tasks=True)
    assert caught.value.account == "salesforce"
    assert world.sandbox.log.calls["salesforce"] == 1


def test_a_wrong_secret_asks_for_a_person(world, monkeypatch):
    monkeypatch.setenv("SANDBOX_SALESFORCE_SECRET", "wrong")
    with pytest.raises(Reconnect, match="client_id and client_secret do not belong together"):
        world.open().pull(None, tasks=True)


def test_when_the_calls_of_the_day_are_used_up_it_waits_an_hour(world):
    world.org.use_calls(15_000)
    with pytest.raises(Retry) as caught:
        world.open().pull(None, tasks=True)
    assert caught.value.after == timedelta(hours=1)


def test_an_org_that_cannot_be_reached_is_tried_again_later(world):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    crm = world.open(login_url=f"http://127.0.0.1:{port}")
    with pytest.raises(Retry, match="could not be reached"):
        crm.pull(None, tasks=True)
