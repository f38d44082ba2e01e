"""The Salesforce adapter over real HTTP against the sandbox's org."""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import entry_points

import pytest
from mailbox_contract import Relay

from adapters.salesforce import SalesforceCrm, adapter
from adapters.sandbox import Sandbox
from connector.errors import Reconnect, Refused, Retry
from connector.intents import Priority, StepType
from connector.ports import PeopleSource, PersonWrite, TaskWrite
from tests.doubles import MemoryCache, MemoryVault

#: Before any machine's own clock, which the sandbox's web server writes into its answers.
START = datetime(2023, 11, 27, 9, 0, tzinfo=UTC)


def push_opt_out(crm, ids):
    return crm.push_people([PersonWrite(id=one, fields={"opted_out": True}) for one in ids])


class World:
    """A sandbox, the org in it, and ways to open it."""

    def __init__(self, sandbox: Sandbox, accounts: dict, set_variable: Callable[[str, str], None]) -> None:
        self.sandbox = sandbox
        self.set_variable = set_variable
        self.org = sandbox.salesforce
        self.section = accounts["salesforce"]
        self.opened: list[SalesforceCrm] = []
        self.ana = self.org.add_user(Username="ana@acme.example", LastName="Diaz", Email="ana@acme.example")
        self.account = self.org.add_account(Name="Birch Ltd")
        self.contact = self.org.add_contact(
            LastName="Lee", FirstName="Ann", Email="ann@birch.example", AccountId=self.account
        )
        self.lead = self.org.add_lead(LastName="Oak", FirstName="Bob", Email="bob@oak.example", Company="Oak Inc")

    def open(self, options: dict | None = None, **change) -> SalesforceCrm:
        account = adapter.account_model.model_validate({**self.section, **change})
        crm = adapter.open_crm(
            account,
            adapter.options_model.model_validate(options or {}),
            clock=self.sandbox.clock,
            vault=MemoryVault(),
            cache=MemoryCache(self.sandbox.clock),
        )
        assert isinstance(crm, SalesforceCrm)
        self.opened.append(crm)
        return crm

    def token(self) -> dict:
        self.set_variable("SF_TOKEN", self.sandbox.token("salesforce"))
        return {"auth": "access_token", "token": "${env:SF_TOKEN}", "client_id": None, "client_secret": None}

    def tasks(self) -> list[dict]:
        return self.sandbox.state()["salesforce"]["records"]["Task"]


@pytest.fixture
def world(tmp_path, monkeypatch) -> Iterator[World]:
    with Sandbox(start=START) as sandbox:
        told = sandbox.accounts(tmp_path)
        for name, value in told["environment"].items():
            monkeypatch.setenv(name, value)
        world = World(sandbox, told["accounts"], monkeypatch.setenv)
        yield world
        for crm in world.opened:
            crm.close()


def key(number: int) -> str:
    return f"{number:032x}"


def creation(world: World, number: int = 1, **change) -> TaskWrite:
    fields = {
        "subject": "Call: Ann",
        "closed": False,
        "priority": Priority.HIGH,
        "due_date": date(2026, 11, 24),
        "reminder_at": datetime(2026, 11, 24, 14, 30, tzinfo=UTC),
        "description": "Ask about the plan.\nBe kind.",
        "who": world.contact,
        "what": world.account,
        "owner": world.ana,
        "subtype": StepType.CALL,
    }
    return TaskWrite(key=key(number), create=True, fields={**fields, **change}, account=world.account)


def update(number: int = 1, **fields) -> TaskWrite:
    return TaskWrite(key=key(number), create=False, fields=fields)


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
        "WhatId": world.account, "OwnerId": world.ana, "TaskSubtype": "Call", "Connector_Intent_Id__c": key(1),
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
    assert len(calls) == crm.calls == 6  # one more reads the statuses
    assert len(world.tasks()) == 999


def test_the_org_decides_what_closed_is(world):
    world.org.set_task_statuses(("Offen", True, False), ("Erledigt", False, True), ("Hinfällig", False, True))
    crm = world.open()
    crm.push_tasks([creation(world)])
    assert world.tasks()[0]["Status"] == "Offen"
    crm.push_tasks([update(closed=True)])
    assert world.tasks()[0]["Status"] == "Erledigt"


def test_the_task_of_a_lead_has_no_account(world):
    (written,) = world.open().push_tasks([creation(world, who=world.lead)])
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
        with pytest.raises(Refused, match="Connector_Intent_Id__c is missing in the Salesforce org, or hidden"):
            act()
    assert world.tasks() == []


def test_deleting_tasks(world):
    crm = world.open()
    (written,) = crm.push_tasks([creation(world)])
    for _ in range(2):  # the second time it is gone already
        (deleted,) = crm.delete_tasks([written.remote_id])
        assert (deleted.key, deleted.error) == (written.remote_id, None)
    assert [task["IsDeleted"] for task in world.tasks()] == [True]


# --------------------------------------------------------------------------------------------------- pull


def test_what_people_do_to_a_task_comes_back_once(world):
    crm = world.open()
    cursor = crm.pull(None, tasks=True).cursor
    (written,) = crm.push_tasks([creation(world)])
    pull = crm.pull(cursor, tasks=True)
    (task,) = pull.tasks
    assert (task.key, task.remote_id, task.subject, task.status, task.closed) == (
        key(1), written.remote_id, "Call: Ann", "Not Started", False,
    )  # fmt: skip
    assert (task.due_date, task.owner, task.who, task.priority) == (
        date(2026, 11, 24),
        world.ana,
        world.contact,
        "High",
    )
    acts = [
        ("rep_closes_task", {}, lambda task: task.closed and task.completed_at == world.sandbox.clock.now()),
        ("rep_reopens_task", {"status": "Deferred"}, lambda task: task.status == "Deferred" and not task.closed),
        (
            "rep_changes_task",
            {"field": "ActivityDate", "value": "2026-12-01"},
            lambda task: task.due_date == date(2026, 12, 1),
        ),
        ("rep_deletes_task", {}, lambda task: task.deleted),
    ]
    for act, arguments, shows in acts:
        world.sandbox.clock.advance(timedelta(seconds=20))
        world.sandbox.act(act, key=key(1), **arguments)
        pull = crm.pull(pull.cursor, tasks=True)
        assert len(pull.tasks) == 1
        assert shows(pull.tasks[0])
        calls = crm.calls
        pull = crm.pull(pull.cursor, tasks=True)
        assert pull.tasks == ()
        assert crm.calls == calls + 1


def test_the_first_pull_brings_no_old_tasks(world):
    crm = world.open()
    crm.push_tasks([creation(world)])
    world.sandbox.clock.advance(timedelta(hours=1))
    pull = crm.pull(None, tasks=True)
    assert pull.tasks == ()
    assert crm.pull(pull.cursor, tasks=True).tasks == ()


def test_tasks_of_others_are_not_ours(world):
    crm = world.open()
    cursor = crm.pull(None, tasks=True).cursor
    world.org.org.add("Task", Subject="private", OwnerId=world.ana)
    assert crm.pull(cursor, tasks=True).tasks == ()


def test_an_archived_task_is_still_seen(world):
    crm = world.open()
    crm.push_tasks([creation(world)])
    crm.push_tasks([update(closed=True)])
    world.sandbox.clock.advance(timedelta(days=366))
    cursor = crm.pull(None, tasks=True).cursor
    world.sandbox.act("rep_changes_task", key=key(1), field="Subject", value="late words")
    assert [task.subject for task in crm.pull(cursor, tasks=True).tasks] == ["late words"]


def test_many_changes_come_page_by_page(world):
    world.org.page_size = 200
    crm = world.open()
    cursor = crm.pull(None, tasks=True).cursor
    crm.push_tasks([creation(world, number) for number in range(450)])
    calls = crm.calls
    assert len({task.key for task in crm.pull(cursor, tasks=True).tasks}) == 450
    assert crm.calls == calls + 3


# ------------------------------------------------------------------------------------------------- people


def test_people_are_found_by_email_and_id_in_two_calls_each(world):
    world.org.add_lead(LastName="Lee", Email="ANN@birch.example", Company="Birch")
    crm = world.open()
    found = crm.find_people(
        emails=["Ann@Birch.example", "nobody@birch.example"], ids=[world.lead], fields=["Account.Name", "Nonsense__c"]
    )
    contact, lead = found["ann@birch.example"]
    assert (contact.id, contact.kind, contact.company, contact.account_id) == (
        world.contact, "contact", "Birch Ltd", world.account,
    )  # fmt: skip
    assert contact.opted_out is False
    assert contact.fields == {"Account.Name": "Birch Ltd", "Nonsense__c": None}
    assert (lead.kind, lead.fields) == ("lead", {"Account.Name": None, "Nonsense__c": None})
    assert [one.id for one in found[world.lead]] == [world.lead]
    assert found["nobody@birch.example"] == ()


def test_a_fault_in_an_address_does_not_become_a_query(world):
    found = world.open().find_people(emails=["x' OR Email LIKE '%"])
    assert found == {"x' or email like '%": ()}


def test_people_come_from_queries_list_views_reports_and_campaigns(world):
    crm = world.open()
    view = world.org.add_list_view("Oaks", "SELECT Id, Name FROM Lead WHERE Company = 'Oak Inc'")
    report = world.org.add_report("Birches", "SELECT Id, Name FROM Contact")
    campaign = world.org.add_campaign("Fair", [world.contact, world.lead])
    both = [world.contact, world.lead]
    for source, expected in [
        (PeopleSource(soql="SELECT Id FROM Contact WHERE LastName = 'Lee'"), [world.contact]),
        (PeopleSource(list_view=view), [world.lead]),
        (PeopleSource(list_view=f"Lead/{view}"), [world.lead]),
        (PeopleSource(report=report), [world.contact]),
        (PeopleSource(campaign=campaign), both),
    ]:
        assert [person.id for person in crm.list_people(source)] == expected
    with pytest.raises(Refused):
        crm.list_people(PeopleSource(soql="DELETE everything"))


def test_only_active_users_own_tasks(world):
    crm = world.open()
    gone = world.org.add_user(Username="ben@acme.example", LastName="Ng", Email="ben@acme.example", IsActive=False)
    assert crm.find_users(["ANA@acme.example", world.ana, gone, "ben@acme.example"]) == {
        "ANA@acme.example": world.ana,
        world.ana: world.ana,
    }


def test_an_opt_out_reaches_leads_and_contacts(world):
    crm = world.open()
    unknown = "003000000099999AAA"
    results = push_opt_out(crm, [world.lead, unknown, world.contact])
    assert [result.error.code if result.error else None for result in results] == [
        None, "INVALID_CROSS_REFERENCE_KEY", None,
    ]  # fmt: skip
    found = crm.find_people(ids=[world.lead, world.contact])
    assert [one.opted_out for matches in found.values() for one in matches] == [True, True]


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
    crm.find_users(["ana@acme.example"])
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
