"""Composite calls of the simulated Salesforce, and trouble that tests ask it for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests

from adapters.sandbox import Sandbox
from tests.contracts.harness_salesforce import KEY, KEY_FIELD, START, Caller, codes, errors

BASE = "/services/data/v66.0"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(START) as running:
        yield running


@pytest.fixture
def call(sandbox: Sandbox) -> Iterator[Caller]:
    caller = Caller(sandbox)
    yield caller
    caller.session.close()


def sub(name: str, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
    return {"referenceId": name, "method": method, "url": BASE + path, **({"body": body} if body else {}), **more}


def ask(name: str, soql: str, *, everything: bool = False) -> dict[str, Any]:
    return sub(name, "GET", f"/{'queryAll' if everything else 'query'}?q={quote(soql)}")


def many(*subjects: str, **more: Any) -> dict[str, Any]:
    return {"records": [{"attributes": {"type": "Task"}, "Subject": subject} for subject in subjects], **more}


# -------------------------------------------------------------------------------------------------- composite


def test_subrequests_are_answered_in_order_and_count_as_one_call(sandbox: Sandbox, call: Caller) -> None:
    answers = call.composite(
        sub("made", "POST", "/sobjects/Task", {"Subject": "one"}),
        sub("changed", "PATCH", "/sobjects/Task/@{made.id}", {"Subject": "two"}),
        ask("found", "SELECT Subject FROM Task"),
        ask("all", "SELECT Id FROM Task WHERE Id = '@{found.records[0].attributes.type}'", everything=True),
        sub("deleted", "DELETE", "/sobjects/Task/@{made.id}"),
        ask("gone", "SELECT Subject, IsDeleted FROM Task", everything=True),
        sub("wrong", "GET", "/sobjects/Nonsense/describe"),
    )
    assert [each["referenceId"] for each in answers] == ["made", "changed", "found", "all", "deleted", "gone", "wrong"]
    assert [each["httpStatusCode"] for each in answers] == [201, 204, 200, 400, 204, 200, 404]
    assert set(answers[0]) == {"body", "httpHeaders", "httpStatusCode", "referenceId"}
    assert answers[0]["httpHeaders"]["Location"].endswith(answers[0]["body"]["id"])
    assert answers[1]["body"] is None
    assert answers[2]["body"]["records"][0]["Subject"] == "two"
    assert answers[5]["body"]["records"][0]["IsDeleted"] is True
    assert answers[6]["body"] == [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]
    assert call("GET", "/limits").json()["DailyApiRequests"]["Remaining"] == 15_000 - 2
    assert "SELECT Subject, IsDeleted FROM Task" in sandbox.salesforce.queries


def test_one_failure_takes_everything_back_when_asked(sandbox: Sandbox, call: Caller) -> None:
    wanted = (
        sub("first", "POST", "/sobjects/Task", {"Subject": "one"}),
        sub("many", "POST", "/composite/sobjects", many("two", "x" * 256)),
        sub("last", "POST", "/sobjects/Task", {"Subject": "three"}),
    )
    answers = call.composite(*wanted, all_or_none=True)
    halted = "The transaction was rolled back since another operation in the same transaction failed."
    for each in (answers[0], answers[2]):
        assert (each["httpStatusCode"], each["httpHeaders"]) == (400, {})
        assert each["body"] == [{"message": halted, "errorCode": "PROCESSING_HALTED"}]
    assert codes(answers[1]["body"]) == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "STRING_TOO_LONG"]
    assert call.soql("SELECT Id FROM Task", everything=True) == []
    assert sandbox.log.effects == []
    answers = call.composite(*wanted)
    assert [each["httpStatusCode"] for each in answers] == [201, 200, 201]
    assert codes(answers[1]["body"]) == ["", "STRING_TOO_LONG"]
    assert len(call.soql("SELECT Id FROM Task")) == 3


def test_what_leans_on_a_failure_is_not_done(call: Caller) -> None:
    answers = call.composite(
        sub("bad", "POST", "/sobjects/Task", {"Status": "Nonsense"}),
        sub("leans", "PATCH", "/sobjects/Task/@{bad.id}", {"Subject": "x"}),
        sub("free", "POST", "/sobjects/Task", {"Subject": "x"}),
    )
    assert [each["httpStatusCode"] for each in answers] == [400, 400, 201]
    assert answers[1]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert "No value for bad.id found in bad" in answers[1]["body"][0]["message"]


def test_at_most_25_subrequests_and_5_queries_or_collections(call: Caller) -> None:
    one = [sub(f"n{n}", "POST", "/sobjects/Task", {"Subject": "x"}) for n in range(26)]
    heavy = [ask(f"q{n}", "SELECT Id FROM Task", everything=n % 2 == 0) for n in range(5)]
    assert len(call.composite(*one[:20], *heavy)) == 25
    for wanted in (one, [*heavy, sub("c", "POST", "/composite/sobjects", many("y"))]):
        [only] = call.composite(*wanted)
        assert (only["httpStatusCode"], only["referenceId"]) == (400, None)
        assert only["body"][0]["errorCode"] == "LIMIT_EXCEEDED"
    assert len(call.soql("SELECT Id FROM Task")) == 20


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "JSON_PARSER_ERROR"),
        ({"compositeRequest": []}, "JSON_PARSER_ERROR"),
        ({"compositeRequest": ["x"]}, "JSON_PARSER_ERROR"),
        ({"compositeRequest": [{"method": "GET", "url": f"{BASE}/limits"}]}, "INVALID_INPUT"),
        ({"compositeRequest": [sub("a-b", "GET", "/limits")]}, "INVALID_INPUT"),
        ({"compositeRequest": [sub("a", "GET", "/limits"), sub("a", "GET", "/limits")]}, "INVALID_INPUT"),
    ],
)
def test_a_malformed_composite_is_refused_whole(call: Caller, body: dict[str, Any], code: str) -> None:
    answer = call("POST", "/composite", json=body)
    assert (answer.status_code, errors(answer)[0][0]) == (400, code)


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        ({"referenceId": "a", "method": "GET", "url": "https://elsewhere.example/x"}, 404, "NOT_FOUND"),
        ({"referenceId": "a", "method": "SING", "url": f"{BASE}/limits"}, 405, "METHOD_NOT_ALLOWED"),
        (sub("a", "POST", "/composite", {"compositeRequest": []}), 400, "PROCESSING_HALTED"),
        (sub("a", "GET", "/limits", httpHeaders={"Authorization": "Bearer x"}), 400, "INVALID_INPUT"),
        (ask("a", "SELECT Nonsense FROM Task"), 400, "INVALID_FIELD"),
    ],
)
def test_a_wrong_subrequest_fails_by_itself(call: Caller, wanted: dict[str, Any], status: int, code: str) -> None:
    bad, good = call.composite(wanted, sub("b", "POST", "/sobjects/Task", {"Subject": "x"}))
    assert (bad["httpStatusCode"], bad["body"][0]["errorCode"]) == (status, code)
    assert good["httpStatusCode"] == 201


# ------------------------------------------------------------------------------------------- asked-for trouble


def test_the_next_matching_items_fail_as_asked(sandbox: Sandbox, call: Caller) -> None:
    sandbox.salesforce.fail_items("FIELD_CUSTOM_VALIDATION_EXCEPTION", "No!", fields=("Subject",), key="b")
    sandbox.salesforce.fail_items("UNABLE_TO_LOCK_ROW", "busy", count=2)
    records = [{KEY_FIELD: key, "Subject": key} for key in ("a1", "b1", "c1", "d1")]
    results = call.upsert(*records)
    assert codes(results) == ["UNABLE_TO_LOCK_ROW", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "UNABLE_TO_LOCK_ROW", ""]
    assert results[1]["errors"] == [
        {"statusCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "No!", "fields": ["Subject"]}
    ]
    assert codes(call.upsert(*records)) == [""] * 4
    [first, *_] = call.soql(f"SELECT Id FROM Task ORDER BY {KEY_FIELD}")
    for key in ("a1", first["Id"]):
        sandbox.act("salesforce_fails_items", code="ENTITY_IS_DELETED", message="gone", key=key)
        change = {"attributes": {"type": "Task"}, "Id": first["Id"], "Subject": "x"}
        assert codes(call("PATCH", "/composite/sobjects", json={"records": [change]}).json()) == ["ENTITY_IS_DELETED"]
    sandbox.salesforce.fail_items("UNKNOWN_EXCEPTION", "x")
    sandbox.salesforce.stop_failing()
    assert codes(call.upsert(records[0])) == [""]


def test_the_next_matching_calls_fail_as_asked(sandbox: Sandbox, call: Caller) -> None:
    sandbox.salesforce.fail_calls(503, "SERVER_UNAVAILABLE", "later", path="composite", headers={"Retry-After": "7"})
    sandbox.act("salesforce_fails", status=500, code="", message="<h1>Oops</h1>")
    html = call("GET", "/limits")
    assert (html.status_code, html.text) == (500, "<h1>Oops</h1>")
    assert html.headers["Content-Type"].startswith("text/html")
    assert call("GET", "/limits").status_code == 200
    busy = call("PATCH", f"/composite/sobjects/Task/{KEY_FIELD}", json={})
    assert (busy.status_code, errors(busy)) == (503, [("SERVER_UNAVAILABLE", "later")])
    assert busy.headers["Retry-After"] == "7"
    assert busy.headers["Sforce-Limit-Info"] == "api-usage=1/15000"
    assert call.upsert({KEY_FIELD: KEY})[0]["created"]


def test_signing_in_can_be_made_to_fail(sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/services/oauth2/token"
    sandbox.salesforce.fail_calls(400, "invalid_grant", "user hasn't approved this consumer", path="/oauth2/token")
    answer = requests.post(url, data={}, timeout=10)
    expected = {"error": "invalid_grant", "error_description": "user hasn't approved this consumer"}
    assert (answer.status_code, answer.json()) == (400, expected)
    assert requests.post(url, data={}, timeout=10).json()["error"] == "unsupported_grant_type"
