"""The table of Salesforce codes: every code is classed and worded, and nothing secret gets into a sentence."""

from datetime import timedelta

import pytest
import requests
from simple_salesforce.exceptions import SalesforceGeneralError, SalesforceMalformedRequest, SalesforceRefusedRequest

from adapters.salesforce.errors import CODES, MissingField, Treatment, from_code, from_item, from_requests, from_vendor
from connector.errors import Reconnect, Refused, Retry, Stale

CLASSES = {Treatment.RETRY: Retry, Treatment.RECONNECT: Reconnect}

#: The codes of apis.md 1.7, by what the caller must do.
NEVER_RETRIED = [
    "STRING_TOO_LONG", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "REQUIRED_FIELD_MISSING",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "FIELD_INTEGRITY_EXCEPTION",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "INSUFFICIENT_ACCESS_OR_READONLY", "INACTIVE_OWNER_OR_USER",
    "INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_TYPE", "MALFORMED_ID",
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "DUPLICATES_DETECTED", "ENTITY_IS_DELETED", "SOMETHING_NEW",
]  # fmt: skip
RETRIED = [
    "UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "QUERY_TIMEOUT", "REQUEST_RUNNING_TOO_LONG", "UNKNOWN_EXCEPTION",
    "DUPLICATE_VALUE", "REQUEST_LIMIT_EXCEEDED", "FAILED_WRITE",
]  # fmt: skip
SIGNED_OUT = [
    "INVALID_SESSION_ID", "API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED", "INVALID_LOGIN",
    "LOGIN_MUST_USE_SECURITY_TOKEN", "INACTIVE_USER", "EXPIRED_ACCESS",
]  # fmt: skip


@pytest.mark.parametrize("code", NEVER_RETRIED)
def test_a_refusal_is_not_retried(code):
    error = from_code(code, "the org's words")
    assert type(error) is Refused
    assert error.code == code


@pytest.mark.parametrize("code", ["CANNOT_UPDATE_CONVERTED_LEAD", "INVALID_CROSS_REFERENCE_KEY"])
def test_what_it_points_at_must_be_looked_up_anew(code):
    error = from_code(code, "the org's words")
    assert type(error) is Stale
    assert error.code == code


@pytest.mark.parametrize("code", RETRIED)
def test_passing_trouble_is_retried(code):
    assert isinstance(from_code(code, ""), Retry)


@pytest.mark.parametrize("code", SIGNED_OUT)
def test_a_shut_door_asks_for_a_person(code):
    error = from_code(code, "")
    assert isinstance(error, Reconnect)
    assert error.account == "salesforce"


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_of_the_table_has_a_sentence_of_its_class(code):
    rule = CODES[code]
    assert isinstance(from_code(code, ""), CLASSES.get(rule.treatment, Refused))
    assert len(rule.sentence) > 20
    assert not rule.sentence.endswith(".")


@pytest.mark.parametrize(
    ("message", "least"),
    [
        ("TotalRequests Limit exceeded.", timedelta(hours=1)),
        ("ConcurrentRequests (Concurrent API Requests) Limit exceeded.", timedelta(seconds=1)),
        ("ConcurrentPerOrgLongTxn Limit exceeded.", timedelta(seconds=1)),
    ],
)
def test_the_two_limits_are_told_apart_by_their_message(message, least):
    error = from_code("REQUEST_LIMIT_EXCEEDED", message)
    assert isinstance(error, Retry)
    assert error.after is not None
    assert least <= error.after < least * 60


def test_the_words_of_a_validation_rule_reach_people():
    item = {
        "errors": [
            {"statusCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "Call before you write.", "fields": []}
        ]
    }
    assert "Call before you write." in str(from_item(item))


def test_a_text_that_is_too_long_is_named_by_its_field_and_not_repeated():
    message = "Comments: data value too large: Dear Ann, ... (max length=32000)"
    item = {"errors": [{"statusCode": "STRING_TOO_LONG", "message": message, "fields": ["Description"]}]}
    told = str(from_item(item))
    assert "Description" in told
    assert "Dear Ann" not in told


def test_a_query_that_is_not_understood_is_explained_without_the_query():
    message = "\nSELECT Id FROM Contact WHER Email = 'ann@acme.example'\n ^\nERROR at Row:1:Column:24\nunexpected token: 'WHER'"
    told = str(from_code("MALFORMED_QUERY", message))
    assert told.endswith("unexpected token: 'WHER'")
    assert "ann@acme.example" not in told


def test_a_lock_inside_a_trigger_is_passing_trouble():
    message = "MyTrigger: System.DmlException: UNABLE_TO_LOCK_ROW, unable to obtain exclusive access"
    assert isinstance(from_code("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message), Retry)


@pytest.mark.parametrize(
    ("code", "message", "field"),
    [
        (
            "INVALID_FIELD",
            "\nSELECT Foo__c FROM Contact WHERE Email IN ('ann@acme.example')\n ^\nERROR at Row:1:Column:8\nNo such column 'Foo__c' on entity 'Contact'.",
            "Foo__c",
        ),
        ("INVALID_FIELD", "Didn't understand relationship 'Boss' in field path.", "Boss"),
        (
            "NOT_FOUND",
            "Provided external ID field does not exist or is not accessible: Connector_Intent_Id__c",
            "Connector_Intent_Id__c",
        ),
    ],
)
def test_a_missing_field_is_named_and_the_query_is_not_shown(code, message, field):
    error = from_code(code, message)
    assert isinstance(error, MissingField)
    assert error.field == field
    assert "ann@acme.example" not in str(error)
    assert field in str(error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SalesforceGeneralError("u", 503, "n", [{"errorCode": "SERVER_UNAVAILABLE", "message": "down"}]), Retry),
        (SalesforceGeneralError("u", 500, "n", "<html>oops</html>"), Retry),
        (SalesforceGeneralError("u", 502, "n", ""), Retry),
        (SalesforceGeneralError("u", 429, "n", ""), Retry),
        (SalesforceGeneralError("u", 500, "n", [{"errorCode": "APEX_ERROR", "message": "x"}]), Retry),
        (SalesforceRefusedRequest("u", 403, "n", [{"errorCode": "API_DISABLED_FOR_ORG", "message": "x"}]), Reconnect),
        (SalesforceMalformedRequest("u", 400, "n", [{"errorCode": "MALFORMED_QUERY", "message": "x"}]), Refused),
        (SalesforceMalformedRequest("u", 400, "n", "not json"), Refused),
        (SalesforceMalformedRequest("u", 400, "n", []), Refused),
    ],
)
def test_a_failed_call_is_classed_by_code_then_status(error, expected):
    assert isinstance(from_vendor(error), expected)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (requests.exceptions.ReadTimeout(), Retry),
        (requests.exceptions.ConnectTimeout(), Retry),
        (requests.exceptions.ConnectionError("http://acme.example/secret"), Retry),
        (requests.exceptions.ChunkedEncodingError(), Retry),
        (requests.exceptions.SSLError(), Refused),
        (requests.exceptions.InvalidURL(), Refused),
    ],
)
def test_no_answer_is_retried_because_every_call_may_be_repeated(error, expected):
    told = from_requests(error)
    assert isinstance(told, expected)
    assert "acme.example" not in str(told)
