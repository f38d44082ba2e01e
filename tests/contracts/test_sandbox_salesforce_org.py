"""What the simulated Salesforce org does by itself, and what a test can set up in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from adapters.sandbox import Sandbox
from connector.errors import BadInput
from tests.contracts.harness_salesforce import KEY, KEY_FIELD, START, Caller, codes, errors


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(START) as running:
        yield running


@pytest.fixture
def call(sandbox: Sandbox) -> Iterator[Caller]:
    caller = Caller(sandbox)
    yield caller
    caller.session.close()


@pytest.fixture
def lead(sandbox: Sandbox) -> str:
    return sandbox.salesforce.add_lead(FirstName="Ann", LastName="Lee", Company="Globex", Email="ann@globex.example")


def described(call: Caller, name: str = "Task") -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in call("GET", f"/sobjects/{name}/describe").json()["fields"]}


# ---------------------------------------------------------------------------------------------- fields and access


def test_fields_an_administrator_adds_are_described_written_and_queried(sandbox: Sandbox, call: Caller) -> None:
    org = sandbox.salesforce
    org.add_field("Task", "Stage__c", "string", length=5)
    org.add_field("Task", "Score__c", "double")
    org.add_field("Task", "Needed__c", "string", required=True)
    fields = described(call)
    assert (fields["Stage__c"]["length"], fields["Stage__c"]["custom"]) == (5, True)
    assert (fields["Score__c"]["type"], fields["Score__c"]["soapType"]) == ("double", "xsd:double")
    assert codes(call.upsert({KEY_FIELD: "a"}, {KEY_FIELD: "b", "Needed__c": "x", "Stage__c": "123456"})) == [
        "REQUIRED_FIELD_MISSING",
        "STRING_TOO_LONG",
    ]
    assert codes(call.upsert({KEY_FIELD: "b", "Needed__c": "x", "Stage__c": "12345", "Score__c": 1.5})) == [""]
    [row] = call.soql("SELECT Stage__c, Score__c FROM Task WHERE Score__c > 1.2")
    assert (row["Stage__c"], row["Score__c"]) == ("12345", 1.5)
    org.remove_field("Task", "Stage__c")
    assert codes(call.upsert({KEY_FIELD: "b", "Stage__c": "x"})) == ["INVALID_FIELD"]
    with pytest.raises(ValueError, match="no kind of field 'blob'"):
        org.add_field("Task", "X__c", "blob")


def test_a_hidden_field_is_nowhere_but_people_still_write_it(sandbox: Sandbox, call: Caller, lead: str) -> None:
    sandbox.salesforce.hide_field("Lead", "HasOptedOutOfEmail")
    assert "HasOptedOutOfEmail" not in described(call, "Lead")
    query = call("GET", "/query", params={"q": "SELECT HasOptedOutOfEmail FROM Lead"})
    assert errors(query)[0][0] == "INVALID_FIELD"
    assert "No such column 'HasOptedOutOfEmail' on entity 'Lead'" in errors(query)[0][1]
    written = call("PATCH", f"/sobjects/Lead/{lead}", json={"HasOptedOutOfEmail": True})
    assert written.json()[0]["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert written.json()[0]["fields"] == ["HasOptedOutOfEmail"]
    sandbox.act("person_opts_out", id=lead)
    sandbox.salesforce.show_field("Lead", "HasOptedOutOfEmail")
    assert call.soql("SELECT HasOptedOutOfEmail FROM Lead")[0]["HasOptedOutOfEmail"] is True


def test_a_readonly_field_is_read_not_written(sandbox: Sandbox, call: Caller) -> None:
    sandbox.salesforce.readonly_field("Task", "Description")
    field = described(call)["Description"]
    assert (field["createable"], field["updateable"]) == (False, False)
    assert codes(call.upsert({KEY_FIELD: "a", "Description": "x"})) == ["INVALID_FIELD_FOR_INSERT_UPDATE"]
    assert call.soql("SELECT Description FROM Task") == []


def test_a_hidden_key_still_keeps_its_values_unique(sandbox: Sandbox, call: Caller) -> None:
    call.upsert({KEY_FIELD: KEY, "Subject": "one"})
    sandbox.salesforce.hide_field("Task", KEY_FIELD)
    gone = call("PATCH", f"/sobjects/Task/{KEY_FIELD}/{KEY}", json={"Subject": "x"})
    assert (gone.status_code, errors(gone)[0][0]) == (404, "NOT_FOUND")
    sandbox.salesforce.show_field("Task", KEY_FIELD)
    assert call.upsert({KEY_FIELD: KEY, "Subject": "two"})[0]["created"] is False


@pytest.mark.parametrize(
    ("facets", "seen"),
    [
        ({"unique": False}, {"unique": False, "externalId": True}),
        ({"external_id": False, "unique": False}, {"externalId": False, "idLookup": False}),
        ({"case_sensitive": False}, {"caseSensitive": False}),
        ({"length": 32}, {"length": 32}),
    ],
)
def test_the_intent_field_can_be_made_otherwise(
    sandbox: Sandbox, call: Caller, facets: dict[str, Any], seen: dict[str, Any]
) -> None:
    sandbox.salesforce.set_intent_field(present=True, **facets)
    field = described(call)[KEY_FIELD]
    assert {name: field[name] for name in seen} == seen


def test_a_key_that_is_not_unique_finds_several(sandbox: Sandbox, call: Caller) -> None:
    sandbox.salesforce.set_intent_field(present=True, unique=False)
    for _ in range(2):
        assert call("POST", "/sobjects/Task", json={KEY_FIELD: KEY}).status_code == 201
    several = call("PATCH", f"/sobjects/Task/{KEY_FIELD}/{KEY}", json={"Subject": "x"})
    assert (several.status_code, len(several.json())) == (300, 2)
    assert codes(call.upsert({KEY_FIELD: KEY, "Subject": "x"})) == ["DUPLICATE_EXTERNAL_ID"]


def test_a_key_that_does_not_tell_its_case_finds_the_other(sandbox: Sandbox, call: Caller) -> None:
    sandbox.salesforce.set_intent_field(present=True, case_sensitive=False)
    assert [each["created"] for each in (call.upsert({KEY_FIELD: "abc"})[0], call.upsert({KEY_FIELD: "ABC"})[0])] == [
        True,
        False,
    ]


def test_picklists(sandbox: Sandbox, call: Caller) -> None:
    org = sandbox.salesforce
    org.set_picklist("Task", "Type", "Call", "Reply", restricted=True)
    org.set_task_statuses(("Offen", True, False), ("Erledigt", False, True))
    fields = described(call)
    assert [each["value"] for each in fields["Type"]["picklistValues"]] == ["Call", "Reply"]
    assert [each["value"] for each in fields["Status"]["picklistValues"]] == ["Offen", "Erledigt"]
    assert codes(call.upsert({KEY_FIELD: "a", "Type": "Email"}, {KEY_FIELD: "b", "Type": "Reply"})) == [
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "",
    ]
    with pytest.raises(ValueError, match="use set_task_statuses"):
        org.set_picklist("Task", "Status", "x")


def test_records_the_user_may_not_see_or_write(sandbox: Sandbox, call: Caller, lead: str) -> None:
    sandbox.salesforce.hide_record(lead)
    assert call.soql("SELECT Id FROM Lead") == []
    assert codes(call.upsert({KEY_FIELD: "a", "WhoId": lead})) == ["INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"]
    assert call("GET", f"/sobjects/Lead/{lead}").status_code == 404
    sandbox.salesforce.share_record(lead)
    sandbox.salesforce.readonly_record(lead)
    assert codes(call.upsert({KEY_FIELD: "a", "WhoId": lead})) == [""]
    refused = call("PATCH", f"/sobjects/Lead/{lead}", json={"Title": "x"})
    assert errors(refused) == [("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")]


# -------------------------------------------------------------------------------------------------------- rules


def test_validation_rules_and_triggers(sandbox: Sandbox, call: Caller) -> None:
    org = sandbox.salesforce
    org.add_validation_rule("Task", "Subject", lambda task: "!" in (task.get("Subject") or ""), "Do not shout.")
    org.add_trigger("Task", lambda task: {"Description": f"seen: {task.get('Subject')}"})
    results = call.upsert({KEY_FIELD: "a", "Subject": "Call!"}, {KEY_FIELD: "b", "Subject": "Call"})
    assert results[0]["errors"] == [
        {"statusCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "Do not shout.", "fields": ["Subject"]}
    ]
    assert [row["Description"] for row in call.soql("SELECT Description FROM Task ORDER BY Id")] == ["seen: Call"]
    assert codes(call.upsert({KEY_FIELD: "b", "Subject": "Now!"})) == ["FIELD_CUSTOM_VALIDATION_EXCEPTION"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"IsReminderSet": True}, "REQUIRED_FIELD_MISSING"),
        ({"IsReminderSet": True, "ReminderDateTime": "2026-11-25T09:00:00Z"}, ""),
        ({"TaskSubtype": "Cadence"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"RecurrenceType": "RecursSometimes"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"ActivityDate": "2026-11-25"}, ""),
    ],
)
def test_what_tasks_obey(call: Caller, fields: dict[str, Any], code: str) -> None:
    assert codes(call.upsert({KEY_FIELD: KEY, **fields})) == [code]


def test_rows_others_hold_cannot_be_written(sandbox: Sandbox, call: Caller) -> None:
    org = sandbox.salesforce
    account = org.add_account(Name="Globex")
    ann = org.add_contact(LastName="Lee", AccountId=account)
    free = org.add_contact(LastName="Roe")
    call.upsert({KEY_FIELD: "old", "WhoId": ann})
    org.hold_rows(account)
    due = {"ActivityDate": "2026-11-25"}
    results = call.upsert(
        {KEY_FIELD: "a", "WhoId": ann, **due},
        {KEY_FIELD: "b", "WhoId": ann},
        {KEY_FIELD: "c", "WhoId": free, **due},
        {KEY_FIELD: "old", "Subject": "x"},
        {KEY_FIELD: "d", "WhoId": ann, "Status": "Completed", **due},
    )
    assert codes(results) == ["UNABLE_TO_LOCK_ROW", "", "", "UNABLE_TO_LOCK_ROW", ""]
    assert account in results[0]["errors"][0]["message"]
    org.release_rows()
    assert codes(call.upsert({KEY_FIELD: "a", "WhoId": ann, **due})) == [""]


def test_a_slow_call_holds_what_it_wrote_until_it_is_answered() -> None:
    with Sandbox(START, salesforce_delay=0.4) as sandbox:
        ann = sandbox.salesforce.add_contact(LastName="Lee", AccountId=sandbox.salesforce.add_account(Name="Globex"))
        first, second = Caller(sandbox), Caller(sandbox)
        answers: list[list[dict[str, Any]]] = []
        record = {"WhoId": ann, "ActivityDate": "2026-11-25"}
        slow = threading.Thread(target=lambda: answers.append(first.upsert({KEY_FIELD: "a", **record})))
        began = time.monotonic()
        slow.start()
        while not sandbox.salesforce.org.held:
            assert time.monotonic() - began < 5
        assert codes(second.upsert({KEY_FIELD: "b", **record})) == ["UNABLE_TO_LOCK_ROW"]
        slow.join()
        assert time.monotonic() - began > 0.4
        assert codes(answers[0]) == [""]
        sandbox.salesforce.delay = 0
        assert codes(second.upsert({KEY_FIELD: "b", **record})) == [""]
        first.session.close()
        second.session.close()


def test_200_upserts_are_quick(sandbox: Sandbox, call: Caller) -> None:
    ann = sandbox.salesforce.add_contact(LastName="Lee", AccountId=sandbox.salesforce.add_account(Name="Globex"))
    record = {"Subject": "Call", "WhoId": ann, "ActivityDate": "2026-11-25", "Description": "x" * 200}
    best = min(_seconds(call, [{KEY_FIELD: f"{turn}-{n}", **record} for n in range(200)]) for turn in range(5))
    assert best < 0.5  # about 0.03 on a free machine; a quadratic search would show


def _seconds(call: Caller, records: list[dict[str, Any]]) -> float:
    began = time.monotonic()
    assert set(codes(call.upsert(*records))) == {""}
    return time.monotonic() - began


# ------------------------------------------------------------------------------------------- people outside


def test_acts_take_the_beginning_of_a_key_and_say_what_they_did(sandbox: Sandbox, call: Caller) -> None:
    call.upsert({KEY_FIELD: "abc1", "Subject": "one"}, {KEY_FIELD: "abd2", "Subject": "two"})
    done = sandbox.act("rep_closes_task", key="abc")
    assert {name: done[name] for name in ("object", "key", "subject", "Status")} == {
        "object": "Task",
        "key": "abc1",
        "subject": "one",
        "Status": "Completed",
    }
    with pytest.raises(BadInput, match="2 tasks have a key that begins with ab"):
        sandbox.act("rep_closes_task", key="ab")


def test_undeleting_within_fifteen_days(sandbox: Sandbox, call: Caller, lead: str) -> None:
    call.upsert({KEY_FIELD: KEY, "WhoId": lead})
    sandbox.act("rep_deletes_task", key=KEY)
    sandbox.clock.advance(timedelta(days=1))
    sandbox.act("rep_undeletes_task", key=KEY)
    [row] = call.soql("SELECT IsDeleted, SystemModstamp FROM Task")
    assert (row["IsDeleted"], row["SystemModstamp"][:10]) == (False, "2026-11-25")
    assert call.upsert({KEY_FIELD: KEY, "Subject": "x"})[0]["created"] is False
    [entry] = [entry for entry in sandbox.log.effects if entry["effect"] == "task_undeleted"]
    assert entry["key"] == KEY
    sandbox.act("rep_deletes_task", key=KEY)
    call.upsert({KEY_FIELD: KEY, "Subject": "made again"})
    with pytest.raises(BadInput, match="DUPLICATE_VALUE"):
        sandbox.act("rep_undeletes_task", key=KEY)
    sandbox.clock.advance(timedelta(days=16))
    with pytest.raises(BadInput, match="in the recycle bin"):
        sandbox.act("rep_undeletes_task", key=KEY)


def test_purged_records_are_as_if_they_had_never_been(sandbox: Sandbox, call: Caller, lead: str) -> None:
    sandbox.act("person_is_deleted", id=lead)
    assert codes(call.upsert({KEY_FIELD: KEY, "WhoId": lead})) == ["ENTITY_IS_DELETED"]
    sandbox.clock.advance(timedelta(days=16))
    assert codes(call.upsert({KEY_FIELD: KEY, "WhoId": lead})) == ["INVALID_CROSS_REFERENCE_KEY"]


def test_tasks_about_nothing_else_go_with_the_person(sandbox: Sandbox, call: Caller) -> None:
    account = sandbox.salesforce.add_account(Name="Globex")
    ann = sandbox.salesforce.add_contact(LastName="Lee", Email="ann@globex.example", AccountId=account)
    call.upsert({KEY_FIELD: "a", "WhoId": ann}, {KEY_FIELD: "b", "WhoId": ann, "WhatId": account})
    sandbox.act("person_is_deleted", email="ann@globex.example")
    assert [row[KEY_FIELD] for row in call.soql(f"SELECT {KEY_FIELD} FROM Task")] == ["b"]


def test_merges_make_a_chain(sandbox: Sandbox, call: Caller) -> None:
    a, b, c = (sandbox.salesforce.add_lead(LastName=name, Company="X") for name in "abc")
    call.upsert({KEY_FIELD: KEY, "WhoId": a})
    sandbox.act("people_are_merged", winner=b, loser=a)
    sandbox.act("people_are_merged", winner=c, loser=b)
    rows = call.soql("SELECT Id, MasterRecordId FROM Lead WHERE IsDeleted = true ORDER BY Id", everything=True)
    assert [(row["Id"], row["MasterRecordId"]) for row in rows] == [(a, b), (b, c)]
    assert call.soql("SELECT WhoId FROM Task")[0]["WhoId"] == c


def test_members_of_a_campaign_stay_when_their_lead_is_converted(sandbox: Sandbox, call: Caller, lead: str) -> None:
    campaign = sandbox.salesforce.add_campaign("Webinar", [lead])
    contact = sandbox.act("lead_is_converted", id=lead)["id"]
    [row] = call.soql(f"SELECT LeadId, ContactId, LeadOrContactId FROM CampaignMember WHERE CampaignId = '{campaign}'")
    assert (row["LeadId"], row["ContactId"], row["LeadOrContactId"]) == (lead, contact, contact)


# -------------------------------------------------------------------------------------------------------- limits


def test_the_two_limits_say_different_things(sandbox: Sandbox, call: Caller) -> None:
    sandbox.salesforce.limit_concurrent()
    busy = call("GET", "/limits")
    assert (busy.status_code, errors(busy)[0][0]) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert "Concurrent" in errors(busy)[0][1]
    sandbox.salesforce.use_calls(15_000)
    spent = call("GET", "/limits")
    assert errors(spent) == [("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")]
    assert spent.headers["Sforce-Limit-Info"] == "api-usage=15000/15000"
