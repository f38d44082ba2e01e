"""The Salesforce adapter on the wire: what it sends, what it makes of answers, and how often it calls."""

import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from responses import matchers

from adapters.salesforce import SalesforceCrm, adapter
from adapters.salesforce.account import SalesforceAccount, SalesforceOptions
from adapters.sandbox.sobject_describe import describe
from adapters.sandbox.sobjects import standard_objects
from connector.errors import Reconnect, Refused, Retry, Stale
from connector.intents import Priority, StepType
from connector.ports import PersonWrite, TaskWrite
from tests.doubles import MemoryCache, MemoryVault, StillClock

ORG = "https://acme.my.salesforce.com"
BASE = f"{ORG}/services/data/v66.0"
TOKEN_URL = f"{ORG}/services/oauth2/token"
UPSERT = f"{BASE}/composite/sobjects/Task/Connector_Intent_Id__c"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
DESCRIBE = f"{BASE}/sobjects/Task/describe"
TASK = describe(standard_objects()["Task"], "/services/data/v66.0")
EXPIRED = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def push_opt_out(crm, ids):
    return crm.push_people([PersonWrite(id=one, fields={"opted_out": True}) for one in ids])


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(DESCRIBE, json=TASK)
        yield mock


@pytest.fixture
def clock():
    return StillClock(NOW)


@pytest.fixture
def crm(monkeypatch, clock):
    monkeypatch.setenv("SF_TOKEN", "given-token")
    account = SalesforceAccount.model_validate(
        {"auth": "access_token", "token": "${env:SF_TOKEN}", "instance_url": ORG}
    )
    opened = adapter.open_crm(account, SalesforceOptions(), clock=clock, vault=MemoryVault(), cache=MemoryCache(clock))
    yield opened
    opened.close()


@pytest.fixture
def signing_crm(monkeypatch, clock):
    """One that signs in by itself."""
    monkeypatch.setenv("SF_SECRET", "s3cret")
    account = SalesforceAccount.model_validate(
        {"auth": "client_credentials", "domain": "acme.my", "client_id": "app", "client_secret": "${env:SF_SECRET}"}
    )
    opened = adapter.open_crm(account, SalesforceOptions(), clock=clock, vault=MemoryVault(), cache=MemoryCache(clock))
    yield opened
    opened.close()


def page(*records, done=True, more=None):
    body = {"totalSize": len(records), "done": done, "records": list(records)}
    return body if more is None else {**body, "nextRecordsUrl": more}


def soql_of(call):
    return parse_qs(urlsplit(call.request.url).query)["q"][0]


def wrong(code, message="", *fields):
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": list(fields)}]}


def right(number=1, *, created=True):
    return {"id": f"00T{number:012d}AAA", "success": True, "created": created, "errors": []}


def key(number):
    return f"{number:032x}"


def write(number=1, *, create=True, account=None, **fields):
    return TaskWrite(key=key(number), create=create, account=account, fields=fields or {"subject": "Call Ann"})


def sent_records(call):
    return json.loads(call.request.body)["records"]


# ------------------------------------------------------------------------------------------------ sign-in


def token_answer(token="T1"):
    return {"access_token": token, "instance_url": ORG, "token_type": "Bearer"}


def test_signs_in_with_client_credentials_and_does_not_count_it(wire, signing_crm):
    wire.post(
        TOKEN_URL, json=token_answer(), match=[matchers.urlencoded_params_matcher({"grant_type": "client_credentials"})]
    )
    wire.get(
        f"{BASE}/query/",
        json=page(),
        headers={"Sforce-Limit-Info": "api-usage=18/5000; per-app-api-usage=1/9(appName=x)"},
    )
    assert signing_crm.budget is None
    assert signing_crm.find_users(["ana@acme.example"]) == {}
    assert signing_crm.calls == 1
    assert signing_crm.budget == (18, 5000)
    assert wire.calls[1].request.headers["Authorization"] == "Bearer T1"


def test_an_expired_session_is_renewed_once_and_the_call_made_again(wire, signing_crm):
    wire.post(TOKEN_URL, json=token_answer("T1"))
    wire.get(f"{BASE}/query/", json=page())
    signing_crm.find_users(["ana@acme.example"])
    wire.replace(responses.POST, TOKEN_URL, json=token_answer("T2"))
    wire.replace(responses.GET, f"{BASE}/query/", json=EXPIRED, status=401)
    wire.get(f"{BASE}/query/", json=page({"Id": "005000000000001AAA", "Username": "ana@acme.example"}))
    assert signing_crm.find_users(["ana@acme.example"]) == {"ana@acme.example": "005000000000001AAA"}
    assert wire.calls[-1].request.headers["Authorization"] == "Bearer T2"
    assert signing_crm.calls == 3


def test_a_permanent_401_ends_in_reconnect_after_one_renewal(wire, signing_crm):
    wire.post(TOKEN_URL, json=token_answer())
    wire.get(f"{BASE}/query/", json=page())
    signing_crm.find_users(["ana@acme.example"])
    wire.replace(responses.GET, f"{BASE}/query/", json=EXPIRED, status=401)
    with pytest.raises(Reconnect) as caught:
        signing_crm.find_users(["ana@acme.example"])
    assert caught.value.account == "salesforce"
    assert caught.value.code == "INVALID_SESSION_ID"
    assert len(wire.calls) == 5  # sign in, query, refused query, sign in, refused query


@pytest.mark.parametrize("method", ["push", "opt_out", "delete"])
def test_a_permanent_401_on_a_write_makes_three_calls_at_most(wire, signing_crm, method):
    wire.post(TOKEN_URL, json=token_answer())
    wire.replace(responses.GET, DESCRIBE, json=EXPIRED, status=401)
    wire.get(f"{BASE}/sobjects/Contact/describe", json=EXPIRED, status=401)
    wire.delete(f"{BASE}/composite/sobjects", json=EXPIRED, status=401)
    act = {
        "push": lambda: signing_crm.push_tasks([write()]),
        "opt_out": lambda: push_opt_out(signing_crm, ["003000000000001AAA"]),
        "delete": lambda: signing_crm.delete_tasks(["00T000000000001AAA"]),
    }[method]
    with pytest.raises(Reconnect):
        act()
    assert len(wire.calls) == 2


@pytest.mark.parametrize("body", [{"json": EXPIRED}, {"body": "nonsense"}, {"json": {"error": "x"}}, {"json": []}])
def test_a_given_token_that_is_refused_asks_for_a_person_at_once(wire, crm, body):
    wire.remove(responses.GET, DESCRIBE)
    wire.get(re.compile(f"{BASE}/.*"), status=401, **body)
    with pytest.raises(Reconnect):
        crm.pull(None, tasks=False)
    assert crm.calls == 1


def test_the_token_is_sent_even_where_netrc_has_a_password(wire, crm, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("default login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wire.get(f"{BASE}/query/", json=page())
    crm.find_users(["ana@acme.example"])
    assert wire.calls[0].request.headers["Authorization"] == "Bearer given-token"


@pytest.mark.parametrize(
    ("status", "body", "expected", "words"),
    [
        (
            400,
            {"error": "invalid_grant", "error_description": "no client credentials user enabled"},
            Reconnect,
            "app runs as",
        ),
        (400, {"error": "invalid_client_id"}, Reconnect, "client_id is not known"),
        (401, {"error": "invalid_client"}, Reconnect, "do not belong together"),
        (404, None, Reconnect, "check domain, login_url"),
        (302, None, Reconnect, "check domain, login_url"),
        (503, None, Retry, "503"),
        (200, {"token_type": "Bearer"}, Reconnect, "no token"),
    ],
)
def test_a_refused_sign_in_says_what_to_mend_and_not_the_secret(wire, signing_crm, status, body, expected, words):
    wire.post(TOKEN_URL, status=status, **({"json": body} if body else {"body": "<html>"}))
    with pytest.raises(expected, match=words) as caught:
        signing_crm.pull(None, tasks=True)
    assert "s3cret" not in str(caught.value)
    assert signing_crm.calls == 0


def test_a_refused_call_waits_as_long_as_the_answer_asks(wire, crm):
    busy = [{"errorCode": "SERVER_UNAVAILABLE", "message": "later"}]
    wire.patch(UPSERT, status=503, json=busy, headers={"Retry-After": "120"})
    with pytest.raises(Retry) as told:
        crm.push_tasks([write()])
    assert told.value.after == timedelta(seconds=120)
    assert len(upserts(wire)) == 1, "what asks for minutes is not called again meanwhile"


# --------------------------------------------------------------------------------------------------- push


def upserts(wire):
    return [call for call in wire.calls if call.request.method == "PATCH"]


def answer_all(created=True):
    def answer(request):
        return (
            200,
            {},
            json.dumps([right(i, created=created) for i, _ in enumerate(json.loads(request.body)["records"])]),
        )

    return answer


def test_a_thousand_tasks_take_five_calls(wire, crm):
    wire.add_callback(responses.PATCH, UPSERT, callback=answer_all())
    results = crm.push_tasks([write(n) for n in range(1000)])
    assert [result.key for result in results] == [key(n) for n in range(1000)]
    assert all(result.error is None for result in results)
    assert len(upserts(wire)) == 5
    assert {len(sent_records(call)) for call in upserts(wire)} == {200}
    assert all(json.loads(call.request.body)["allOrNone"] is False for call in upserts(wire))


def test_creations_and_updates_go_apart_and_only_updates_forbid_creating(wire, crm):
    wire.add_callback(responses.PATCH, UPSERT, callback=answer_all(created=False))
    crm.push_tasks([write(1, create=False, subtype=StepType.CALL, subject="s"), write(2, subtype=StepType.CALL)])
    create, update = upserts(wire)
    assert "updateOnly" not in create.request.url
    assert sent_records(create) == [
        {"attributes": {"type": "Task"}, "Connector_Intent_Id__c": key(2), "TaskSubtype": "Call"}
    ]
    assert update.request.url.endswith("?updateOnly=true")
    assert sent_records(update) == [{"attributes": {"type": "Task"}, "Connector_Intent_Id__c": key(1), "Subject": "s"}]


def test_rows_of_one_account_and_person_stand_side_by_side_and_results_keep_their_order(wire, crm):
    wire.add_callback(responses.PATCH, UPSERT, callback=answer_all())
    contacts = ["003000000000002AAA", "003000000000001AAA"]
    writes = [write(n, account=f"a{n % 3}", who=contacts[n % 2]) for n in range(12)]
    results = crm.push_tasks(writes)
    sent = [(int(row["Connector_Intent_Id__c"], 16) % 3, row["WhoId"]) for row in sent_records(upserts(wire)[0])]
    assert sent == sorted(sent)
    assert [result.key for result in results] == [one.key for one in writes]


def test_the_same_key_never_comes_twice_in_one_call(wire, crm):
    wire.add_callback(responses.PATCH, UPSERT, callback=answer_all())
    crm.push_tasks([write(1, subject="a"), write(1, subject="b")])
    assert [[row["Subject"] for row in sent_records(call)] for call in upserts(wire)] == [["a"], ["b"]]


def test_each_item_has_its_own_outcome_although_the_call_succeeded(wire, crm):
    items = [
        right(7),
        wrong("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Call first."),
        wrong("INVALID_CROSS_REFERENCE_KEY"),
        wrong("INACTIVE_USER"),
    ]
    wire.patch(UPSERT, json=items)
    good, rule, dangling, inactive = crm.push_tasks([write(n) for n in range(4)])
    assert (good.remote_id, good.error) == ("00T000000000007AAA", None)
    assert type(rule.error) is Refused
    assert "Call first." in rule.error.sentence
    assert dangling.error.code == "INVALID_CROSS_REFERENCE_KEY"
    assert isinstance(inactive.error, Reconnect)
    assert len(upserts(wire)) == 1


def test_a_value_salesforce_cannot_hold_fails_alone_and_is_not_sent(wire, crm):
    wire.add_callback(responses.PATCH, UPSERT, callback=answer_all())
    bad, good = crm.push_tasks([write(1, who="x' OR Name LIKE '%"), write(2)])
    assert bad.error.code == "MALFORMED_ID"
    assert good.error is None
    assert len(sent_records(upserts(wire)[0])) == 1


@pytest.mark.parametrize("code", ["UNABLE_TO_LOCK_ROW", "DUPLICATE_VALUE"])
def test_a_held_row_is_tried_again_alone_within_the_call(wire, crm, clock, code):
    wire.patch(UPSERT, json=[right(1), wrong(code)])
    wire.patch(UPSERT, json=[right(2)])
    results = crm.push_tasks([write(1), write(2)])
    assert [result.error for result in results] == [None, None]
    assert [len(sent_records(call)) for call in upserts(wire)] == [2, 1]
    assert clock.waits
    assert sum(clock.waits) < 5


def test_a_row_held_for_long_is_tried_again_later(wire, crm):
    wire.patch(UPSERT, json=[wrong("UNABLE_TO_LOCK_ROW")])
    (result,) = crm.push_tasks([write()])
    assert isinstance(result.error, Retry)
    assert len(upserts(wire)) == 4


@pytest.mark.parametrize(("code", "tries"), [("DUPLICATE_VALUE", 4), ("UNKNOWN_EXCEPTION", 3)])
def test_trouble_that_does_not_pass_in_a_few_tries_is_shown_in_the_orgs_words(wire, crm, code, tries):
    wire.patch(UPSERT, json=[wrong(code, "its own words")])
    (result,) = crm.push_tasks([write()])
    assert type(result.error) is Refused
    assert "its own words" in result.error.sentence
    assert len(upserts(wire)) == tries


def test_a_task_that_another_writer_made_just_now_is_written_as_an_update(wire, crm):
    wire.patch(UPSERT, json=[wrong("DUPLICATE_VALUE", "duplicate value found: <unknown>")])
    wire.patch(UPSERT, json=[right(created=False)])
    (result,) = crm.push_tasks([write(subtype=StepType.CALL, subject="s")])
    assert result.error is None
    assert ["TaskSubtype" in sent_records(call)[0] for call in upserts(wire)] == [True, False]


@pytest.mark.parametrize("code", ["ENTITY_IS_DELETED", "NOT_FOUND"])
def test_a_task_the_user_deleted_is_gone_on_update(wire, crm, code):
    wire.patch(UPSERT, json=[wrong(code)])
    (result,) = crm.push_tasks([write(create=False)])
    assert type(result.error) is Refused
    assert result.error.code == "gone"


def test_a_deleted_person_is_not_a_deleted_task_and_must_be_looked_up(wire, crm):
    wire.patch(UPSERT, json=[wrong("ENTITY_IS_DELETED", "entity is deleted", "WhoId")])
    (result,) = crm.push_tasks([write(create=False, who="003000000000001AAA")])
    assert type(result.error) is Stale
    assert result.error.code == "ENTITY_IS_DELETED"
    assert "WhoId" in result.error.sentence


def test_on_creation_a_deleted_record_is_what_the_task_points_at(wire, crm):
    wire.patch(UPSERT, json=[wrong("ENTITY_IS_DELETED")])
    (result,) = crm.push_tasks([write()])
    assert result.error.code == "ENTITY_IS_DELETED"


def test_where_update_only_is_ignored_the_deleted_task_is_taken_away_again(wire, crm):
    wire.patch(UPSERT, json=[right(5, created=True)])
    wire.delete(f"{BASE}/composite/sobjects", json=[{"id": "00T000000000005AAA", "success": True, "errors": []}])
    (result,) = crm.push_tasks([write(create=False)])
    assert result.error.code == "gone"
    assert "ids=00T000000000005AAA" in wire.calls[-1].request.url


def test_a_creation_that_got_through_before_is_repeated_as_an_update(wire, crm):
    told = "Unable to create/update fields: TaskSubtype. Please check the security settings of this field."
    wire.patch(UPSERT, json=[wrong("INVALID_FIELD_FOR_INSERT_UPDATE", told, "TaskSubtype")])
    wire.patch(UPSERT, json=[right(1, created=False)])
    (result,) = crm.push_tasks([write(subtype=StepType.EMAIL, subject="s")])
    assert (result.remote_id, result.error) == ("00T000000000001AAA", None)
    assert [row.keys() >= {"TaskSubtype"} for call in upserts(wire) for row in sent_records(call)] == [True, False]


def test_a_field_that_may_not_be_written_is_refused(wire, crm):
    wire.patch(
        UPSERT, json=[wrong("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: OwnerId", "OwnerId")]
    )
    (result,) = crm.push_tasks([write(subtype=StepType.EMAIL, owner="005000000000001AAA")])
    assert result.error.code == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert len(upserts(wire)) == 1


def test_an_answer_that_leaves_records_out_is_not_believed(wire, crm):
    wire.patch(UPSERT, json=[right()])
    with pytest.raises(Retry, match="did not answer for every record"):
        crm.push_tasks([write(1), write(2)])


def test_a_lost_answer_is_retry_and_not_asked_again_at_once(wire, crm):
    wire.patch(UPSERT, body=requests.exceptions.ReadTimeout())
    with pytest.raises(Retry):
        crm.push_tasks([write()])
    assert len(upserts(wire)) == 1


def test_a_broken_connection_is_tried_again_at_once(wire, crm):
    wire.patch(UPSERT, body=requests.exceptions.ConnectionError())
    wire.patch(UPSERT, json=[right()])
    (result,) = crm.push_tasks([write()])
    assert result.error is None
    assert len(upserts(wire)) == 2


def test_when_a_later_call_fails_the_earlier_results_are_kept(wire, crm):
    wire.patch(UPSERT, json=[right(n) for n in range(200)])
    wire.patch(
        UPSERT, json=[{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}], status=403
    )
    results = crm.push_tasks([write(n) for n in range(600)])
    assert sum(result.error is None for result in results) == 200
    failed = [result.error for result in results if result.error]
    assert {type(error) for error in failed} == {Retry}
    assert failed[0].after == timedelta(hours=1)
    assert len(upserts(wire)) == 2  # the third call is not made


def test_a_missing_intent_field_stops_the_push_with_what_to_deploy(wire, crm):
    told = "Provided external ID field does not exist or is not accessible: Connector_Intent_Id__c"
    wire.patch(UPSERT, json=[{"errorCode": "NOT_FOUND", "message": told}], status=404)
    with pytest.raises(
        Refused, match="Connector_Intent_Id__c of Task is missing in the Salesforce org, or hidden"
    ) as it:
        crm.push_tasks([write()])
    assert it.value.code == "intent_field"


def test_statuses_are_read_once_and_only_when_needed(wire, crm):
    rows = [
        {"ApiName": "Open", "IsClosed": False, "IsDefault": True, "SortOrder": 1},
        {"ApiName": "Done", "IsClosed": True, "IsDefault": False, "SortOrder": 2},
    ]
    wire.get(f"{BASE}/query/", json=page(*rows))
    wire.add_callback(responses.PATCH, UPSERT, callback=answer_all())
    crm.push_tasks([write(1, closed=False, priority=Priority.HIGH)])
    crm.push_tasks([write(2, closed=True)])
    assert [sent_records(call)[0]["Status"] for call in upserts(wire)] == ["Open", "Done"]
    assert crm.calls == 4  # describe, statuses, two upserts


def test_nothing_to_push_calls_nothing(crm):
    assert list(crm.push_tasks([])) == []
    assert list(crm.delete_tasks([])) == []
    assert list(push_opt_out(crm, [])) == []
    assert crm.find_people() == {}
    assert crm.calls == 0


def test_deleting_what_is_gone_is_no_error(wire, crm):
    items = [right(1), wrong("ENTITY_IS_DELETED"), wrong("INSUFFICIENT_ACCESS_OR_READONLY")]
    wire.delete(f"{BASE}/composite/sobjects", json=items)
    ids = [f"00T{n:012d}AAA" for n in range(3)]
    results = crm.delete_tasks([*ids, "nonsense"])
    assert [result.key for result in results] == [*ids, "nonsense"]
    assert [result.error.code if result.error else None for result in results] == [
        None, None, "INSUFFICIENT_ACCESS_OR_READONLY", "MALFORMED_ID",
    ]  # fmt: skip


def test_the_crm_says_what_it_can_do(crm):
    assert isinstance(crm, SalesforceCrm)
    assert crm.capabilities is adapter.capabilities
    assert (adapter.account_name, adapter.capabilities.tasks_per_call) == ("salesforce", 200)
