"""The simulated Salesforce over real HTTP, and held against recordings of real orgs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from adapters.sandbox import Sandbox
from connector.errors import BadInput
from connector.people import Person, Rep
from tests.contracts.harness_salesforce import KEY, KEY_FIELD, MANY, START, Caller, errors

RECORDINGS = Path(__file__).parents[1] / "data" / "salesforce-recordings"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(START) as running:
        yield running


@pytest.fixture
def call(sandbox: Sandbox) -> Iterator[Caller]:
    caller = Caller(sandbox)
    yield caller
    caller.session.close()


@pytest.fixture(scope="module")
def steady() -> Iterator[Sandbox]:
    """A sandbox for tests that change nothing in it."""
    with Sandbox(START) as running:
        yield running


@pytest.fixture(scope="module")
def ask(steady: Sandbox) -> Iterator[Caller]:
    caller = Caller(steady)
    yield caller
    caller.session.close()


@pytest.fixture
def rep(sandbox: Sandbox) -> str:
    return sandbox.salesforce.add_user(
        Username="ana@acme.example", FirstName="Ana", LastName="Diaz", Email="ana@acme.example"
    )


@pytest.fixture
def lead(sandbox: Sandbox) -> str:
    return sandbox.salesforce.add_lead(FirstName="Ann", LastName="Lee", Company="Globex", Email="ann@globex.example")


# ------------------------------------------------------------------------------------------ tokens and limits


@pytest.fixture
def token_url(steady: Sandbox) -> str:
    steady.salesforce.register_client("app", "s3cret")
    steady.salesforce.set_password("ana@acme.example", "pw")
    return f"{steady.url}/services/oauth2/token"


GRANT = {"grant_type": "client_credentials"}
APP = {"client_id": "app", "client_secret": "s3cret"}
PASSWORD = {"grant_type": "password", "username": "ana@acme.example"}


@pytest.mark.parametrize(
    ("form", "basic", "error"),
    [
        (GRANT, ("app", "s3cret"), None),
        (GRANT | APP, None, None),
        (GRANT, ("app", "wrong"), "invalid_client"),
        (GRANT | {"client_id": "other", "client_secret": "x"}, None, "invalid_client_id"),
        (APP | {"grant_type": "telepathy"}, None, "unsupported_grant_type"),
        (PASSWORD | APP | {"password": "pw"}, None, None),
        (PASSWORD | APP | {"password": "no"}, None, "invalid_grant"),
        (APP | {"grant_type": "refresh_token", "refresh_token": "never"}, None, "invalid_grant"),
    ],
)
def test_token_requests(token_url: str, form: dict[str, str], basic: tuple[str, str] | None, error: str | None) -> None:
    answer = requests.post(token_url, data=form, auth=basic, timeout=10)
    if error is None:
        assert answer.status_code == 200
        names = {"access_token", "signature", "scope", "instance_url", "id", "token_type", "issued_at"}
        assert set(answer.json()) == names
        assert token_url.startswith(answer.json()["instance_url"])
    else:
        assert (answer.status_code, answer.json()["error"]) == (400, error)
        assert set(answer.json()) == {"error", "error_description"}


def test_a_rotated_refresh_token_works_once(steady: Sandbox, token_url: str) -> None:
    form = APP | {
        "grant_type": "refresh_token",
        "refresh_token": steady.salesforce.issue_refresh_token("a@b.example", "app"),
    }
    first = requests.post(token_url, data=form, timeout=10)
    assert first.status_code == 200
    assert requests.post(token_url, data=form, timeout=10).json()["error"] == "invalid_grant"
    renewed = form | {"refresh_token": first.json()["refresh_token"]}
    assert requests.post(token_url, data=renewed, timeout=10).status_code == 200


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Basic YTpi"])
def test_a_wrong_token_is_refused(steady: Sandbox, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = requests.get(f"{steady.url}/services/data/v66.0/limits", headers=headers, timeout=10)
    assert answer.status_code == 401
    assert errors(answer) == [("INVALID_SESSION_ID", "Session expired or invalid")]


def test_a_token_expires_and_those_of_other_services_do_not_fit(sandbox: Sandbox, call: Caller) -> None:
    short = sandbox.token("salesforce", hours=1)
    for token, moved, status in ((short, 0, 200), (sandbox.token("gmail"), 0, 401), (short, 61, 401)):
        sandbox.clock.advance(timedelta(minutes=moved))
        assert call("GET", "/limits", headers={"Authorization": f"Bearer {token}"}).status_code == status


def test_calls_are_counted_and_limited(sandbox: Sandbox, call: Caller) -> None:
    sandbox.salesforce.daily_limit = 3
    for used in (1, 2, 3):
        answer = call("GET", "/query", params={"q": "SELECT Id FROM Task"})
        assert answer.headers["Sforce-Limit-Info"] == f"api-usage={used}/3"
    answer = call("GET", "/limits")
    assert answer.status_code == 403
    assert errors(answer) == [("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")]
    sandbox.clock.advance(timedelta(hours=25))
    sandbox.salesforce.daily_limit = 100
    fresh = {"Authorization": f"Bearer {sandbox.token('salesforce')}"}
    assert call("GET", "/limits", headers=fresh).json()["DailyApiRequests"] == {"Max": 100, "Remaining": 99}


@pytest.mark.parametrize(
    ("method", "path", "version", "status", "code"),
    [
        ("GET", "/nothing", "v66.0", 404, "NOT_FOUND"),
        ("GET", "/limits", "v12.0", 404, "NOT_FOUND"),
        ("GET", "/sobjects/Nonsense/describe", "v66.0", 404, "NOT_FOUND"),
        ("GET", "/sobjects/Task/00T000000000000", "v66.0", 404, "NOT_FOUND"),
        ("PUT", "/sobjects/Task", "v66.0", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/query", "v66.0", 405, "METHOD_NOT_ALLOWED"),
        ("PATCH", "/sobjects/Task/Subject/x", "v66.0", 404, "NOT_FOUND"),
        ("PATCH", "/composite/sobjects/Task/Nope__c", "v66.0", 404, "NOT_FOUND"),
        ("GET", "/query/01g000000000000-2000", "v66.0", 400, "INVALID_QUERY_LOCATOR"),
        ("GET", "/analytics/reports/00O000000000000", "v66.0", 404, "NOT_FOUND"),
        ("GET", f"/query?q={'x' * 17_000}", "v66.0", 414, None),
    ],
)
def test_unknown_paths(ask: Caller, method: str, path: str, version: str, status: int, code: str | None) -> None:
    answer = ask(method, path, version=version, json={} if method == "PATCH" else None)
    assert answer.status_code == status
    if code is not None:
        assert [each[0] for each in errors(answer)] == [code]


# ----------------------------------------------------------------------------------------------------- upsert


def test_upsert_creates_then_updates(call: Caller, lead: str, rep: str) -> None:
    fields = {
        "Subject": "Call: Ann",
        "WhoId": lead,
        "OwnerId": rep,
        "ActivityDate": "2026-11-25",
        "TaskSubtype": "Call",
    }
    path = f"/sobjects/Task/{KEY_FIELD}/{KEY}"
    made = call("PATCH", path, json=fields)
    assert (made.status_code, made.json()["created"]) == (201, True)
    again = call("PATCH", path, json={"Priority": "High"})
    assert (again.status_code, again.json()) == (200, {**made.json(), "created": False})
    [task] = call.soql(
        "SELECT Id, Subject, Status, Priority, IsHighPriority, ActivityDate, TaskSubtype, IsClosed, CompletedDateTime, "
        f"SystemModstamp, Who.Name, Who.Type, Owner.Username, {KEY_FIELD} FROM Task"
    )
    assert task.pop("attributes") == {"type": "Task", "url": f"/services/data/v66.0/sobjects/Task/{task['Id']}"}
    assert task.pop("Who")["Name"] == "Ann Lee"
    assert task.pop("Owner")["Username"] == "ana@acme.example"
    assert task == {
        "Id": made.json()["id"],
        "Subject": "Call: Ann",
        "Status": "Not Started",
        "Priority": "High",
        "IsHighPriority": True,
        "ActivityDate": "2026-11-25",
        "TaskSubtype": "Call",
        "IsClosed": False,
        "CompletedDateTime": None,
        "SystemModstamp": "2026-11-24T09:00:00.000+0000",
        KEY_FIELD: KEY,
    }


def test_update_only_never_creates(call: Caller) -> None:
    answer = call("PATCH", f"/sobjects/Task/{KEY_FIELD}/{KEY}?updateOnly=true", json={"Status": "Completed"})
    assert (answer.status_code, errors(answer)[0][0]) == (404, "NOT_FOUND")
    [item] = call.upsert({KEY_FIELD: KEY, "Status": "Completed"}, query="?updateOnly=true")
    assert (item["success"], item["errors"][0]["statusCode"]) == (False, "NOT_FOUND")
    assert call.soql("SELECT Id FROM Task") == []


def test_the_trap_a_deleted_task_is_made_again_by_a_plain_upsert(sandbox: Sandbox, call: Caller) -> None:
    [first] = call.upsert({KEY_FIELD: KEY, "Subject": "one"})
    sandbox.act("rep_deletes_task", key=KEY)
    [gone] = call.upsert({KEY_FIELD: KEY, "Subject": "two"}, query="?updateOnly=true")
    assert not gone["success"]
    [second] = call.upsert({KEY_FIELD: KEY, "Subject": "two"})
    assert second["created"]
    assert second["id"] != first["id"]
    rows = call.soql(f"SELECT Id, IsDeleted FROM Task WHERE {KEY_FIELD} = '{KEY}'", everything=True)
    assert [(row["Id"], row["IsDeleted"]) for row in rows] == [(first["id"], True), (second["id"], False)]
    assert len(call.soql("SELECT Id FROM Task")) == 1


def test_the_key_is_case_sensitive(call: Caller) -> None:
    results = call.upsert({KEY_FIELD: "abc", "Subject": "one"}, {KEY_FIELD: "ABC", "Subject": "two"})
    assert [each["created"] for each in results] == [True, True]
    assert [row["Subject"] for row in call.soql(f"SELECT Subject FROM Task WHERE {KEY_FIELD} = 'ABC'")] == ["two"]


def test_a_collection_keeps_order_and_reads_every_item(call: Caller, lead: str) -> None:
    results = call.upsert(
        {KEY_FIELD: "a", "Subject": "one", "WhoId": lead},
        {KEY_FIELD: "b", "Subject": "x" * 256},
        {KEY_FIELD: "same", "Subject": "x"},
        {KEY_FIELD: "same", "Subject": "y"},
        {KEY_FIELD: "c", "Subjct": "x"},
        {"Subject": "no key"},
        {KEY_FIELD: "d", "Subject": "last"},
    )
    codes = [each["errors"][0]["statusCode"] if each["errors"] else "" for each in results]
    assert codes == [
        "",
        "STRING_TOO_LONG",
        "DUPLICATE_VALUE",
        "DUPLICATE_VALUE",
        "INVALID_FIELD",
        "MISSING_ARGUMENT",
        "",
    ]
    assert [each["success"] for each in results] == [code == "" for code in codes]
    assert results[1]["errors"][0]["fields"] == ["Subject"]
    assert [row["Subject"] for row in call.soql("SELECT Subject FROM Task")] == ["one", "last"]


def test_all_or_none_takes_everything_back(sandbox: Sandbox, call: Caller) -> None:
    call.upsert({KEY_FIELD: "old", "Subject": "before"})
    effects = len(sandbox.log.effects)
    results = call.upsert(
        {KEY_FIELD: "new", "Subject": "made"},
        {KEY_FIELD: "old", "Subject": "changed"},
        {KEY_FIELD: "bad", "Status": "Nonsense"},
        all_or_none=True,
    )
    rolled_back = "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert [each["errors"][0]["statusCode"] for each in results] == [
        rolled_back,
        rolled_back,
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
    ]
    assert [row["Subject"] for row in call.soql("SELECT Subject FROM Task", everything=True)] == ["before"]
    assert len(sandbox.log.effects) == effects
    assert call.upsert({KEY_FIELD: "new", "Subject": "now"}, all_or_none=True)[0]["created"]


def test_all_or_none_in_the_address_is_ignored(call: Caller) -> None:
    results = call.upsert({KEY_FIELD: "a"}, {KEY_FIELD: "b", "Status": "No"}, query="?allOrNone=true")
    assert [each["success"] for each in results] == [True, False]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "JSON_PARSER_ERROR"),
        (b"[]", "JSON_PARSER_ERROR"),
        (b"{}", "INVALID_INPUT"),
        (b'{"records": [{"Subject": "no attributes"}]}', "INVALID_INPUT"),
        (json.dumps({"records": [{"attributes": {"type": "Task"}}] * 201}).encode(), "EXCEEDED_ID_LIMIT"),
        (
            b'{"records": [{"attributes": {"type": "Task"}, "Connector_Intent_Id__c": "a", "ActivityDate": "soon"}]}',
            "JSON_PARSER_ERROR",
        ),
    ],
)
def test_a_malformed_collection_is_refused_whole(ask: Caller, body: bytes, code: str) -> None:
    answer = ask("PATCH", MANY, data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, errors(answer)[0][0]) == (400, code)


def test_an_org_without_the_intent_field_refuses(sandbox: Sandbox, call: Caller) -> None:
    sandbox.salesforce.set_intent_field(present=False)
    answer = call("PATCH", f"/sobjects/Task/{KEY_FIELD}/{KEY}", json={"Subject": "x"})
    message = f"Provided external ID field does not exist or is not accessible: {KEY_FIELD}"
    assert (answer.status_code, errors(answer)) == (404, [("NOT_FOUND", message)])
    answer = call("GET", "/query", params={"q": f"SELECT {KEY_FIELD} FROM Task"})
    assert (answer.status_code, errors(answer)[0][0]) == (400, "INVALID_FIELD")
    assert f"No such column '{KEY_FIELD}' on entity 'Task'" in errors(answer)[0][1]
    sandbox.salesforce.set_intent_field(present=True)
    assert call.upsert({KEY_FIELD: KEY})[0]["created"]


def test_many_at_once_make_one_task(sandbox: Sandbox, call: Caller) -> None:
    def upsert(number: int) -> int:
        with requests.Session() as session:
            url = f"{sandbox.url}/services/data/v66.0/sobjects/Task/{KEY_FIELD}/{KEY}"
            headers = call.session.headers
            return session.patch(url, json={"Subject": str(number)}, headers=headers, timeout=10).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(upsert, range(24)))
    assert sorted(statuses) == [200] * 23 + [201]
    assert len(call.soql("SELECT Id FROM Task", everything=True)) == 1


def test_the_intent_field_is_described_as_the_project_asks_for_it(ask: Caller) -> None:
    fields = {each["name"]: each for each in ask("GET", "/sobjects/Task/describe").json()["fields"]}
    wanted = {"type": "string", "length": 64, "externalId": True, "unique": True, "caseSensitive": True, "custom": True}
    assert {name: fields[KEY_FIELD][name] for name in wanted} == wanted
    subtype = fields["TaskSubtype"]
    assert (subtype["createable"], subtype["updateable"]) == (True, False)


# ------------------------------------------------------------------------------------------ what it refuses


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"Nonsense__c": 1}, "INVALID_FIELD", "No such column 'Nonsense__c' on sobject of type Task"),
        ({"IsClosed": True}, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: IsClosed."),
        ({"SystemModstamp": "2026-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "SystemModstamp"),
        ({"Status": "Nonsense"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bad value for restricted picklist"),
        ({"Priority": "Urgent"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Priority: bad value"),
        ({"TaskSubtype": "Fax"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bad value for restricted picklist"),
        ({"Subject": "x" * 256}, "STRING_TOO_LONG", "(max length=255)"),
        ({"Description": "x" * 32_001}, "STRING_TOO_LONG", "(max length=32000)"),
        ({KEY_FIELD: "x" * 65}, "STRING_TOO_LONG", "(max length=64)"),
        ({"WhoId": "nonsense"}, "MALFORMED_ID", "Name ID: id value of incorrect type: nonsense"),
        ({"WhoId": "005000000000000AAA"}, "MALFORMED_ID", "id value of incorrect type"),
        ({"WhoId": "003000000000000AAA"}, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
        ({"ActivityDate": "2026-11-24T09:00:00Z"}, "JSON_PARSER_ERROR", "Cannot deserialize instance of date"),
        ({"ReminderDateTime": "2026-11-24T09:00:00"}, "JSON_PARSER_ERROR", "Cannot deserialize instance of datetime"),
        ({"Subject": 5}, "JSON_PARSER_ERROR", "Cannot deserialize instance of string"),
    ],
)
def test_refused_task_fields(ask: Caller, fields: dict[str, Any], code: str, message: str) -> None:
    answer = ask("POST", "/sobjects/Task", json=fields)
    assert (answer.status_code, errors(answer)[0][0]) == (400, code)
    assert message in errors(answer)[0][1]
    assert ask.soql("SELECT Id FROM Task", everything=True) == []


def test_task_subtype_is_for_creation_only(call: Caller) -> None:
    call.upsert({KEY_FIELD: KEY, "TaskSubtype": "Email"})
    [item] = call.upsert({KEY_FIELD: KEY, "TaskSubtype": "Email"})
    assert item["errors"][0]["statusCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert item["errors"][0]["fields"] == ["TaskSubtype"]


def test_what_cannot_go_with_a_lead_and_converted_leads_are_frozen(sandbox: Sandbox, call: Caller, lead: str) -> None:
    account = sandbox.salesforce.add_account(Name="Acme")
    answer = call("POST", "/sobjects/Task", json={"WhoId": lead, "WhatId": account})
    assert errors(answer)[0][0] == "FIELD_INTEGRITY_EXCEPTION"
    call.upsert({KEY_FIELD: KEY, "WhoId": lead})
    sandbox.clock.advance(timedelta(minutes=5))
    contact = sandbox.act("lead_is_converted", email="ann@globex.example")["id"]
    [task] = call.soql("SELECT WhoId, Account.Name, SystemModstamp FROM Task")
    assert (task["WhoId"], task["Account"]["Name"]) == (contact, "Globex")
    assert task["SystemModstamp"] == "2026-11-24T09:05:00.000+0000"
    [row] = call.soql("SELECT IsConverted, ConvertedContactId, ConvertedDate FROM Lead")
    assert (row["IsConverted"], row["ConvertedContactId"], row["ConvertedDate"]) == (True, contact, "2026-11-24")
    for method, path, body in (
        ("POST", "/sobjects/Task", {"WhoId": lead}),
        ("PATCH", f"/sobjects/Lead/{lead}", {"Title": "CTO"}),
    ):
        refused = call(method, path, json=body)
        assert errors(refused) == [("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")]


def test_an_inactive_owner_is_refused(call: Caller, rep: str) -> None:
    assert call("PATCH", f"/sobjects/User/{rep}", json={"IsActive": False}).status_code == 204
    answer = call("POST", "/sobjects/Task", json={"OwnerId": rep})
    assert errors(answer)[0][0] == "INACTIVE_OWNER_OR_USER"


@pytest.mark.parametrize(
    ("name", "fields", "code"),
    [
        ("Lead", {"LastName": "Lee"}, "REQUIRED_FIELD_MISSING"),
        ("Contact", {"FirstName": "Ann"}, "REQUIRED_FIELD_MISSING"),
        ("Contact", {"LastName": "Lee", "Email": "not an address"}, "INVALID_EMAIL_ADDRESS"),
        ("TaskStatus", {}, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"),
    ],
)
def test_refused_records(ask: Caller, name: str, fields: dict[str, Any], code: str) -> None:
    assert errors(ask("POST", f"/sobjects/{name}", json=fields))[0][0] == code


def test_a_record_lives_and_dies_by_its_id(call: Caller) -> None:
    made = call("POST", "/sobjects/Contact", json={"LastName": "Lee", "Email": "lee@x.example"})
    assert (made.status_code, made.json()["errors"]) == (201, [])
    long_id = made.json()["id"]
    assert len(long_id) == 18
    for record_id in (long_id, long_id[:15]):
        found = call("GET", f"/sobjects/Contact/{record_id}", params={"fields": "Id,Email"})
        assert {k: found.json()[k] for k in ("Id", "Email")} == {"Id": long_id, "Email": "lee@x.example"}
    assert call("PATCH", f"/sobjects/Contact/{long_id}", json={"Id": long_id}).status_code == 400
    assert call("PATCH", f"/sobjects/Contact/{long_id}", json={"Title": "CTO"}).status_code == 204
    assert call("DELETE", f"/sobjects/Contact/{long_id}").status_code == 204
    gone = call("PATCH", f"/sobjects/Contact/{long_id}", json={"Title": "x"})
    assert (gone.status_code, errors(gone)) == (404, [("ENTITY_IS_DELETED", "entity is deleted")])


def test_collections_by_id(call: Caller) -> None:
    records = [{"attributes": {"type": "Task"}, "Subject": text} for text in ("a", "b")]
    made = call("POST", "/composite/sobjects", json={"records": records}).json()
    ids = [each["id"] for each in made]
    changes = [{"attributes": {"type": "Task"}, "Id": ids[0], "Status": "Completed"}, {"attributes": {"type": "Task"}}]
    changed = call("PATCH", "/composite/sobjects", json={"records": changes}).json()
    assert [each["success"] for each in changed] == [True, False]
    assert changed[1]["errors"][0]["statusCode"] == "MISSING_ARGUMENT"
    unknown = "00T000000000000EAA"
    gone = call("DELETE", f"/composite/sobjects?ids={ids[0]},{unknown},nonsense").json()
    codes = [each["errors"][0]["statusCode"] if each["errors"] else None for each in gone]
    assert codes == [None, "INVALID_CROSS_REFERENCE_KEY", "MALFORMED_ID"]
    again = call("DELETE", f"/composite/sobjects?ids={ids[0]}").json()
    assert again[0]["errors"][0]["statusCode"] == "ENTITY_IS_DELETED"
    assert [row["Id"] for row in call.soql("SELECT Id FROM Task")] == [ids[1]]


# ------------------------------------------------------------------------------------------- what changes


def test_reps_act_and_the_pull_sees_it(sandbox: Sandbox, call: Caller, rep: str) -> None:
    other = sandbox.salesforce.add_user(Username="bo@acme.example", LastName="Bo", Email="bo@acme.example")
    keys = ["closed", "moved", "changed", "gone", "still"]
    call.upsert(*({KEY_FIELD: key, "Subject": key, "OwnerId": rep} for key in keys))
    sandbox.clock.advance(timedelta(hours=1))
    sandbox.act("rep_closes_task", key="closed")
    sandbox.act("rep_reassigns_task", key="moved", user="bo@acme.example")
    sandbox.act("rep_changes_task", key="changed", field="ActivityDate", value="2026-12-24")
    sandbox.act("rep_deletes_task", key="gone")
    rows = call.soql(
        f"SELECT {KEY_FIELD}, Status, IsClosed, IsDeleted, OwnerId, ActivityDate, CompletedDateTime, LastModifiedById "
        "FROM Task WHERE SystemModstamp >= 2026-11-24T10:00:00Z ORDER BY SystemModstamp, Id",
        everything=True,
    )
    changed = {row[KEY_FIELD]: row for row in rows}
    assert set(changed) == {"closed", "moved", "changed", "gone"}
    assert changed["closed"]["IsClosed"]
    assert changed["closed"]["CompletedDateTime"] == "2026-11-24T10:00:00.000+0000"
    assert changed["moved"]["OwnerId"] == other
    assert changed["changed"]["ActivityDate"] == "2026-12-24"
    assert changed["gone"]["IsDeleted"]
    assert {row["LastModifiedById"] for row in rows} == {rep}
    sandbox.act("rep_reopens_task", key="closed")
    [task] = call.soql(f"SELECT IsClosed, CompletedDateTime FROM Task WHERE {KEY_FIELD} = 'closed'")
    assert (task["IsClosed"], task["CompletedDateTime"]) == (False, None)


def test_closed_values_belong_to_the_org(sandbox: Sandbox, call: Caller) -> None:
    sandbox.salesforce.set_task_statuses(("Offen", True, False), ("Erledigt", False, True), ("Abgesagt", False, True))
    rows = call.soql("SELECT ApiName, IsClosed, IsDefault FROM TaskStatus WHERE IsClosed = true ORDER BY SortOrder")
    assert [row["ApiName"] for row in rows] == ["Erledigt", "Abgesagt"]
    call.upsert({KEY_FIELD: KEY})
    assert call.soql("SELECT Status FROM Task")[0]["Status"] == "Offen"
    with pytest.raises(BadInput, match="INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"):
        sandbox.act("rep_closes_task", key=KEY)
    sandbox.act("rep_closes_task", key=KEY, status="Abgesagt")
    assert call.soql("SELECT IsClosed FROM Task")[0]["IsClosed"]


def test_archived_and_purged_tasks(sandbox: Sandbox, call: Caller) -> None:
    call.upsert({KEY_FIELD: "old", "Status": "Completed"}, {KEY_FIELD: "gone"})
    sandbox.act("rep_deletes_task", key="gone")

    def seen(everything: bool) -> list[str]:
        return [row[KEY_FIELD] for row in call.soql(f"SELECT {KEY_FIELD} FROM Task", everything=everything)]

    assert (seen(everything=False), seen(everything=True)) == (["old"], ["old", "gone"])
    sandbox.clock.advance(timedelta(days=16))
    assert seen(everything=True) == ["old"]
    sandbox.clock.advance(timedelta(days=350))
    call.session.headers["Authorization"] = f"Bearer {sandbox.token('salesforce')}"
    assert (seen(everything=False), seen(everything=True)) == ([], ["old"])


def test_merging_leaves_a_trace(sandbox: Sandbox, call: Caller) -> None:
    winner, loser = (sandbox.salesforce.add_contact(LastName=name) for name in ("Keep", "Drop"))
    call.upsert({KEY_FIELD: KEY, "WhoId": loser})
    sandbox.act("people_are_merged", winner=winner, loser=loser)
    [row] = call.soql("SELECT Id, MasterRecordId FROM Contact WHERE IsDeleted = true", everything=True)
    assert (row["Id"], row["MasterRecordId"]) == (loser, winner)
    assert call.soql("SELECT WhoId FROM Task")[0]["WhoId"] == winner


def test_opting_out_goes_both_ways(sandbox: Sandbox, call: Caller, lead: str) -> None:
    sandbox.act("person_opts_out", email="ANN@globex.example")
    assert call.soql("SELECT HasOptedOutOfEmail FROM Lead")[0]["HasOptedOutOfEmail"] is True
    assert call("PATCH", f"/sobjects/Lead/{lead}", json={"HasOptedOutOfEmail": False}).status_code == 204
    assert call.soql("SELECT Id FROM Lead WHERE HasOptedOutOfEmail = true") == []


# ----------------------------------------------------------------------------- lists, reports, paging


def test_queries_are_paged(sandbox: Sandbox, call: Caller) -> None:
    sandbox.salesforce.page_size = 3
    call.upsert(*({KEY_FIELD: str(n), "Subject": f"t{n}"} for n in range(7)))
    page = call("GET", "/query/", params={"q": "SELECT Subject FROM Task"}).json()
    seen, sizes = [], []
    while True:
        seen += [row["Subject"] for row in page["records"]]
        sizes.append(len(page["records"]))
        assert page["totalSize"] == 7
        if page["done"]:
            break
        page = call.session.get(call.sandbox.url + page["nextRecordsUrl"], timeout=10).json()
    assert (seen, sizes) == ([f"t{n}" for n in range(7)], [3, 3, 1])


def test_people_of_a_campaign_a_list_view_and_a_report(sandbox: Sandbox, call: Caller, lead: str) -> None:
    contact = sandbox.salesforce.add_contact(LastName="Roe", Email="roe@x.example")
    campaign = sandbox.salesforce.add_campaign("Webinar", [lead, contact])
    rows = call.soql(f"SELECT LeadId, ContactId, Lead.Email FROM CampaignMember WHERE CampaignId = '{campaign}'")
    assert [(row["LeadId"], row["ContactId"]) for row in rows] == [(lead, None), (None, contact)]
    assert (rows[0]["Lead"]["Email"], rows[1]["Lead"]) == ("ann@globex.example", None)
    inside = f"SELECT Id FROM Lead WHERE Id IN (SELECT LeadId FROM CampaignMember WHERE CampaignId = '{campaign}')"
    assert [row["Id"] for row in call.soql(inside)] == [lead]

    view = sandbox.salesforce.add_list_view("My leads", "SELECT Id, Name, Email FROM Lead")
    found = call("GET", f"/sobjects/Lead/listviews/{view}/results").json()
    assert [{c["fieldNameOrPath"]: c["value"] for c in row["columns"]} for row in found["records"]] == [
        {"Id": lead, "Name": "Ann Lee", "Email": "ann@globex.example"}
    ]
    assert (found["done"], found["size"]) == (True, 1)
    assert call("GET", f"/sobjects/Contact/listviews/{view}/results").status_code == 404

    report = sandbox.salesforce.add_report("Leads", "SELECT Id, Email FROM Lead")
    assert "rows" not in call("GET", f"/analytics/reports/{report}").json()["factMap"]["T!T"]
    shown = call("GET", f"/analytics/reports/{report}", params={"includeDetails": "true"}).json()
    at = shown["reportMetadata"]["detailColumns"].index("LEAD_ID")
    assert [row["dataCells"][at]["value"] for row in shown["factMap"]["T!T"]["rows"]] == [lead]
    assert shown["reportMetadata"]["reportFormat"] == "TABULAR"


# ---------------------------------------------------------------------------------- recordings of real orgs


def recorded(name: str) -> list[dict[str, Any]]:
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


def shape(value: Any) -> Any:
    """The keys and types of a JSON value; a list has the shapes that occur in it."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(each), sort_keys=True) for each in value})
    return type(value).__name__


def replay(call: Caller, entry: dict[str, Any]) -> requests.Response:
    path = entry["path"].removeprefix("/services/data/vxx.0")
    return call(entry["method"], path, json=entry["body"])


def test_recorded_upserts_answer_the_same(call: Caller) -> None:
    entries = [each for each in recorded("collections") if each["path"].endswith("/Contact/Email")]
    assert len(entries) == 2
    for entry in entries:
        ours = replay(call, entry)
        assert ours.status_code == entry["status"]
        assert shape(ours.json()) == shape(entry["response"])
        assert [each["created"] for each in ours.json()] == [each["created"] for each in entry["response"]]


def test_recorded_creates_answer_the_same(call: Caller) -> None:
    creates = [
        each for each in recorded("collections") if each["body"]["records"][0]["attributes"]["type"] == "Account"
    ]
    for entry in [each for each in creates if each["method"] == "POST"] + recorded("create"):
        ours = replay(call, entry)
        assert (ours.status_code, shape(ours.json())) == (entry["status"], shape(entry["response"]))


def test_recorded_updates_answer_the_same(sandbox: Sandbox, call: Caller) -> None:
    [entry] = [
        each
        for each in recorded("collections")
        if each["path"].endswith("/composite/sobjects") and each["method"] == "PATCH"
    ]
    for record in entry["body"]["records"]:
        sandbox.salesforce.add_account(Id=record["Id"], Name="recorded")
    ours = replay(call, entry)
    assert ours.json() == entry["response"]


@pytest.mark.parametrize("entry", recorded("errors"), ids=lambda each: each["path"].rpartition("/")[2])
def test_recorded_errors_are_word_for_word(ask: Caller, entry: dict[str, Any]) -> None:
    ours = replay(ask, entry)
    assert (ours.status_code, ours.json()) == (entry["status"], entry["response"])


@pytest.mark.parametrize(
    "entry",
    [e for e in recorded("queries") + recorded("counts") if "Opportunity" not in e["path"]],
    ids=lambda e: e["path"][-40:],
)
def test_recorded_queries_answer_the_same(sandbox: Sandbox, call: Caller, entry: dict[str, Any]) -> None:
    if entry["response"]["totalSize"]:
        sandbox.salesforce.add_account(Name="Sitwell-Bluth", AccountNumber="420")
        sandbox.salesforce.add_contact(FirstName="Lindsay", LastName="Bluth")
    ours = replay(call, entry)
    assert (ours.status_code, shape(ours.json())) == (entry["status"], shape(entry["response"]).copy())


SAME = (
    "type", "length", "createable", "updateable", "nillable", "referenceTo", "relationshipName", "soapType", "custom",
    "externalId", "unique", "idLookup", "filterable", "sortable", "polymorphicForeignKey", "namePointing", "restrictedPicklist",
    "defaultedOnCreate", "defaultValue", "permissionable", "groupable", "aggregatable", "caseSensitive", "nameField", "byteLength",
    "precision", "scale", "digits",
)  # fmt: skip


#: Where Task and Event differ, or an org of ours has fewer objects to point to.
OTHERWISE = {
    "WhatId.referenceTo",
    "OwnerId.referenceTo",
    "ActivityDate.permissionable",
    "ActivityDate.aggregatable",
}


def different(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    pairs = [(f"{theirs['name']}.{key}", theirs[key], ours[key]) for key in SAME]
    return [f"{name}: {one} / {other}" for name, one, other in pairs if one != other and name not in OTHERWISE]


@pytest.mark.parametrize("entry", recorded("describes"), ids=lambda each: each["response"]["name"])
def test_recorded_describes_have_the_same_keys_and_fields(ask: Caller, entry: dict[str, Any]) -> None:
    theirs = entry["response"]
    # Event is the sibling of Task: both are activities.
    ours = ask("GET", f"/sobjects/{theirs['name'].replace('Event', 'Task')}/describe").json()
    assert set(ours) == set(theirs)
    assert set(ours["fields"][0]) == set(theirs["fields"][0])
    by_name = {each["name"].replace("TaskSubtype", "EventSubtype"): each for each in ours["fields"]}
    missing = [each["name"] for each in theirs["fields"] if each["name"] not in by_name]
    assert missing == []
    assert [line for each in theirs["fields"] for line in different(each, by_name[each["name"]])] == []


# --------------------------------------------------------------------------------------------- control API


@pytest.fixture
def control(sandbox: Sandbox) -> Iterator[Callable[..., tuple[int, Any]]]:
    with requests.Session() as session:

        def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
            answer = session.request(method, f"{sandbox.url}/sandbox/{path}", json=body, timeout=10)
            return answer.status_code, answer.json()

        yield ask


def test_the_clock_moves_forward_only(control: Callable[..., tuple[int, Any]]) -> None:
    assert control("GET", "clock") == (200, {"now": "2026-11-24T09:00:00+00:00"})
    assert control("POST", "clock", {"advance": "3d 2h"}) == (200, {"now": "2026-11-27T11:00:00+00:00"})
    assert control("POST", "clock", {"to": "2026-12-01T00:00:00+01:00"}) == (200, {"now": "2026-11-30T23:00:00+00:00"})
    for wrong in (
        {"to": "2026-01-01T00:00:00Z"},
        {"to": "soon"},
        {"to": "2026-12-02T00:00:00"},
        {"advance": "soon"},
        {},
    ):
        status, answer = control("POST", "clock", wrong)
        assert status == 400
        assert answer["error"]


def test_the_control_api_acts_seeds_and_shows(
    sandbox: Sandbox, call: Caller, control: Callable[..., tuple[int, Any]]
) -> None:
    status, made = control("POST", "people", {"leads": [{"LastName": "Lee", "Company": "X", "Email": "l@x.example"}]})
    assert status == 200
    status, token = control("POST", "tokens", {"service": "salesforce"})
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    assert call("GET", f"/sobjects/Lead/{made['leads'][0]}", headers=headers).status_code == 200
    call.upsert({KEY_FIELD: KEY, "WhoId": made["leads"][0]})
    assert control("POST", "act", {"action": "rep_closes_task", "key": KEY})[0] == 200
    status, state = control("GET", "state")
    assert state["salesforce"]["records"]["Task"][0]["Status"] == "Completed"
    status, log = control("GET", "log")
    assert [each["effect"] for each in log["effects"]] == ["task_created", "task_updated"]
    assert log["calls"]["salesforce"] == 2
    assert {"rep_closes_task", "prospect_replies"} <= {
        each["action"] for each in control("GET", "actions")[1]["actions"]
    }


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("act", {"action": "nonsense"}, "there is no action 'nonsense'"),
        ("act", {}, "name the action"),
        ("act", {"action": "rep_closes_task", "kee": 1}, "rep_closes_task takes"),
        ("act", {"action": "rep_closes_task", "key": "none"}, "there is no task of none"),
        ("act", {"action": "lead_is_converted", "email": "no@x.example"}, "there is no lead or contact"),
        ("people", {"leads": [{"LastName": "x"}]}, "Required fields are missing: [Company]"),
        ("people", {"leads": "x"}, "leads must be a list"),
        ("people", {"dogs": []}, "unknown key 'dogs'"),
        ("tokens", {"service": "fax"}, "there is no service 'fax'"),
    ],
)
def test_the_control_api_says_what_is_wrong(steady: Sandbox, path: str, body: Any, sentence: str) -> None:
    answer = requests.post(f"{steady.url}/sandbox/{path}", json=body, timeout=10)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


def test_ready_accounts_and_people(sandbox: Sandbox, tmp_path: Path) -> None:
    ready = sandbox.accounts(tmp_path)
    salesforce = ready["accounts"]["salesforce"]
    secret = ready["environment"][salesforce["client_secret"][6:-1]]
    answer = requests.post(
        f"{salesforce['login_url']}/services/oauth2/token",
        data={"grant_type": "client_credentials"},
        auth=(salesforce["client_id"], secret),
        timeout=10,
    )
    assert answer.status_code == 200
    assert json.loads(Path(ready["accounts"]["google"]["key_file"]).read_text())["token_uri"].startswith(sandbox.url)
    people = [Person(email=f"p{n}@x.example", last_name=f"P{n}", company="X") for n in range(3)]
    made = sandbox.seed(people, [Rep(email="ana@acme.example", name="Ana Diaz", mailbox="gmail")])
    assert [made[each.email][:3] for each in people] == ["00Q", "00Q", "003"]
    assert made["ana@acme.example"].startswith("005")
    assert "ana@acme.example" in sandbox.world.boxes


def test_it_starts_and_stops_again() -> None:
    def running() -> int:
        return [thread.name for thread in threading.enumerate()].count("sandbox")

    others, sandbox = running(), Sandbox()
    for _ in range(2):
        url = sandbox.start()
        assert requests.get(f"{url}/sandbox/clock", timeout=10).status_code == 200
        sandbox.stop()
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/sandbox/clock", timeout=2)
        assert running() == others
