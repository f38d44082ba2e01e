"""The simulated Salesforce judged by jsforce, the client most programs use: its answers must make sense to it."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.sandbox import Sandbox
from tests.contracts.harness_salesforce import START
from tests.judges.programs import run_script

ANA = "ana@acme.example"
CALLBACK = "http://localhost:1717/callback"


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    with Sandbox(START) as sandbox:
        org = sandbox.salesforce
        org.add_user(Username=ANA, LastName="Diaz", Email=ANA)
        org.set_password(ANA, "pw", "TOKEN")
        org.register_app("web", secret="s3cret", redirect_uris=[CALLBACK], rotate=False)
        org.add_lead(LastName="Lee", Company="Globex")
        org.page_size = 250
        return run_script(
            "jsforce.cjs",
            {
                "url": sandbox.url,
                "username": ANA,
                "password": "pwTOKEN",
                "app": {"id": "web", "secret": "s3cret"},
                "redirect": CALLBACK,
                "view": org.add_list_view("Leads", "SELECT Id, Name FROM Lead"),
                "report": org.add_report("Leads", "SELECT Id FROM Lead"),
            },
        )


def test_it_signs_in(told: dict[str, Any]) -> None:
    assert told["badLogin"]["message"].startswith("INVALID_LOGIN: Invalid username, password, security token")
    assert set(told["login"]) == {"id", "organizationId", "url"}
    assert (told["login"]["id"][:3], told["login"]["organizationId"][:3]) == ("005", "00D")
    assert told["soapIdentity"] == ANA
    assert told["authorize"]["id"] == told["login"]["id"]
    assert told["refreshToken"] is True
    assert (told["afterRefresh"], told["sessionChanged"]) == (0, True)
    assert told["usedCode"]["code"] == "invalid_grant"


def test_it_describes(told: dict[str, Any]) -> None:
    assert told["describe"]["name"] == "Task"
    [field] = told["describe"]["fields"]
    assert (field["externalId"], field["unique"], field["caseSensitive"], field["length"]) == (True, True, True, 64)
    assert {"Task", "Lead", "Contact", "User", "CampaignMember"} <= set(told["global"])


def test_it_writes_one_record(told: dict[str, Any]) -> None:
    assert (told["create"]["success"], told["create"]["errors"]) == (True, [])
    assert told["retrieve"] == "one"
    assert told["update"]["success"] is True
    assert told["upsertNew"]["created"] is True
    assert (told["upsertOld"]["success"], told["upsertOld"]["created"]) == (True, False)
    assert told["upsertOld"]["id"] == told["upsertNew"]["id"]
    assert told["badCreate"]["code"] == "INVALID_FIELD"
    assert told["badRetrieve"]["code"] == "NOT_FOUND"


def test_it_writes_collections_and_lists_their_errors(told: dict[str, Any]) -> None:
    assert [each["success"] for each in told["createMany"]] == [True, False, True]
    assert told["createMany"][1]["errors"][0]["statusCode"] == "STRING_TOO_LONG"
    assert [each["errors"][0]["statusCode"] for each in told["rolledBack"]] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
    ]
    assert [each["created"] for each in told["upsertMany"]] == [False, True]
    assert [each["success"] for each in told["destroyMany"]] == [True, False]


def test_it_queries(told: dict[str, Any]) -> None:
    assert told["find"] == ["fresh"]
    assert told["pages"] == [600, 250, False, 250]
    assert told["fetched"] == 600
    assert told["deletedToo"] == 1
    assert told["count"] == 604
    assert told["malformed"]["code"] == "MALFORMED_QUERY"
    assert told["unknownField"]["code"] == "INVALID_FIELD"


def test_it_composes_and_counts(told: dict[str, Any]) -> None:
    assert [each["httpStatusCode"] for each in told["composite"]] == [201, 200, 200]
    assert told["composite"][1]["body"]["records"][0]["Subject"] == "inside"
    assert told["composite"][2]["body"]["Subject"] == "inside"
    usage = told["limits"]["DailyApiRequests"]
    assert told["limitInfo"] == {"used": usage["Max"] - usage["Remaining"], "limit": usage["Max"]}
    assert (told["listviews"], told["listview"], told["report"]) == (["Leads"], 1, 1)
