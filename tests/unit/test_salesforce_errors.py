"""The table of Salesforce codes: every code is classed and worded, and nothing secret gets into a sentence."""

import re
from datetime import timedelta

import pytest
import requests
from simple_salesforce.exceptions import SalesforceGeneralError, SalesforceMalformedRequest, SalesforceRefusedRequest

from adapters.salesforce.codes import CODES, UNKNOWN, Treatment, rule_for
from adapters.salesforce.errors import MissingField, from_code, from_item, from_requests, from_vendor
from connector.errors import ErrorClass, Reconnect, Refused, Retry, Stale

CLASSES = {
    Treatment.LATER: Retry,
    Treatment.FEW: Retry,
    Treatment.RECONNECT: Reconnect,
    Treatment.RESOLVE: Stale,
    Treatment.GONE: Refused,
    Treatment.REFUSED: Refused,
}

#: Every code of apis 1.7, as it is classed there.
APIS = {
    Treatment.LATER: [
        ("UNABLE_TO_LOCK_ROW", ""), ("SERVER_UNAVAILABLE", ""), ("QUERY_TIMEOUT", ""), ("REQUEST_RUNNING_TOO_LONG", ""),
        ("500", ""), ("502", ""), ("503", ""), ("504", ""), ("connection", ""),
        ("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."),
        ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    ],
    Treatment.FEW: [("UNKNOWN_EXCEPTION", ""), ("DUPLICATE_VALUE", "")],
    Treatment.RECONNECT: [
        ("INVALID_SESSION_ID", ""), ("INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
        ("API_DISABLED_FOR_ORG", ""), ("API_CURRENTLY_DISABLED", ""), ("invalid_grant", ""), ("INVALID_LOGIN", ""),
        ("LOGIN_MUST_USE_SECURITY_TOKEN", ""),
    ],
    Treatment.GONE: [("ENTITY_IS_DELETED", "")],
    Treatment.RESOLVE: [("CANNOT_UPDATE_CONVERTED_LEAD", ""), ("INVALID_CROSS_REFERENCE_KEY", "")],
    Treatment.REFUSED: [
        (code, "the org's words")
        for code in (
            "STRING_TOO_LONG", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "REQUIRED_FIELD_MISSING",
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "FIELD_INTEGRITY_EXCEPTION",
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "INSUFFICIENT_ACCESS_OR_READONLY",
            "INACTIVE_OWNER_OR_USER", "INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_TYPE",
            "MALFORMED_ID", "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "DUPLICATES_DETECTED", "MULTIPLE_CHOICES",
            "OP_WITH_INVALID_USER_TYPE_EXCEPTION", "SOMETHING_NEW",
        )
    ],
}  # fmt: skip

#: Every error of marketo 5, in its category there.
MARKETO = {
    ErrorClass.INTERMITTENT: [
        ("FAILED_WRITE", ""), ("QUERY_TIMEOUT", ""), ("SERVER_UNAVAILABLE", ""), ("UNABLE_TO_LOCK_ROW", ""),
        ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
        ("REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."),
        ("INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", ""), ("INVALID_FIELD", "Net::ReadTimeout"),
    ],
    ErrorClass.AUTHENTICATION: [
        ("AUTHENTICATION_FAILURE", ""), ("EXPIRED_ACCESS", ""), ("INACTIVE_USER", ""), ("INACTIVE_ORGANIZATION", ""),
        ("INVALID_GRANT", "ip restricted"),
    ],
    ErrorClass.ACCESS: [
        (code, "")
        for code in (
            "API_CURRENTLY_DISABLED", "INSUFFICIENT_ACCESS_OR_READONLY",
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_TYPE",
            "ENTITY_IS_LOCKED", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "FIELD_FILTER_VALIDATION_EXCEPTION",
            "FIELD_INTEGRITY_EXCEPTION", "REQUIRED_FIELD_MISSING", "TXN_SECURITY_NO_ACCESS",
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        )
    ],
    ErrorClass.OTHER: [("CANNOT_UPDATE_CONVERTED_LEAD", ""), ("UNKNOWN_EXCEPTION", ""), ("SOMETHING_NEW", "")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("treatment", "code", "message"),
    [(treatment, *told) for treatment, codes in APIS.items() for told in codes],
)
def test_every_code_is_treated_as_the_reference_says(treatment, code, message):
    assert rule_for(code, message).treatment is treatment
    error = from_code(code, message)
    assert type(error) is CLASSES[treatment]
    assert error.code == code


@pytest.mark.parametrize(
    ("category", "code", "message"),
    [(category, *told) for category, codes in MARKETO.items() for told in codes],
)
def test_every_code_is_classed_as_the_diagnostics_of_the_original_class_it(category, code, message):
    assert from_code(code, message).category is category


@pytest.mark.parametrize("rule", [*CODES, UNKNOWN], ids=lambda rule: f"{rule.code or 'unknown'} {rule.when}".strip())
def test_every_row_speaks_to_the_rep_and_to_the_administrator(rule):
    for sentence in (rule.sentence, rule.advice):
        assert len(sentence) > 20
        assert not sentence.endswith((".", " "))
        assert "  " not in sentence
    assert rule.sentence != rule.advice
    promises = "tried again" in rule.sentence
    assert promises == (rule.treatment is Treatment.LATER), "who says that it is tried again must do so, and say so"
    assert rule.tries == 1 or rule.treatment in (Treatment.LATER, Treatment.FEW)
    error = from_code(rule.code, "")
    assert error.advice
    assert error.category in ErrorClass


def test_the_row_without_a_condition_stands_last():
    codes = [rule.code for rule in CODES]
    for code in set(codes):
        rows = [rule for rule in CODES if rule.code == code]
        assert [bool(rule.when) for rule in rows] == [True] * (len(rows) - 1) + [False]
    assert all(re.compile(rule.when) and rule.when == rule.when.lower() for rule in CODES)
    assert len({(rule.code, rule.when) for rule in CODES}) == len(CODES)


@pytest.mark.parametrize("code", ["INVALID_SESSION_ID", "INVALID_LOGIN", "API_DISABLED_FOR_ORG"])
def test_a_shut_door_names_the_account_that_waits(code):
    assert from_code(code).account == "salesforce"


def test_the_two_limits_are_told_apart_by_their_message():
    messages = [
        "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        "ConcurrentPerOrgLongTxn Limit exceeded.",
        "TotalRequests Limit exceeded.",
    ]
    concurrent, long, daily = (from_code("REQUEST_LIMIT_EXCEEDED", message) for message in messages)
    assert concurrent.after == long.after == timedelta(seconds=5)
    assert daily.after == timedelta(hours=1)
    assert len({concurrent.sentence, daily.sentence}) == 2


@pytest.mark.parametrize(
    ("message", "expected", "category"),
    [
        ("MyTrigger: System.DmlException: UNABLE_TO_LOCK_ROW, unable to obtain", Retry, ErrorClass.INTERMITTENT),
        ('{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}', Retry, ErrorClass.AUTHENTICATION),
        ("MyTrigger: System.NullPointerException", Refused, ErrorClass.ACCESS),
    ],
)
def test_what_a_trigger_wraps_tells_its_class(message, expected, category):
    error = from_code("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message)
    assert (type(error), error.category) == (expected, category)
    # only what nobody can wait out is shown in the trigger's own words
    assert (message in error.sentence) == (expected is Refused)


@pytest.mark.parametrize(
    ("description", "advice"),
    [
        ("expired access/refresh token", "connector auth salesforce"),
        ("ip restricted", "login ranges"),
        ("user hasn't approved this consumer", "pre-authorized"),
        ("invalid assertion", "certificate"),
        ("audience is invalid", "client_id"),
        ("authentication failure", "login history"),
    ],
)
def test_what_a_refused_grant_says_tells_its_next_move(description, advice):
    rule = rule_for("invalid_grant", description)
    assert advice in rule.advice
    assert rule.treatment is Treatment.RECONNECT


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
def test_an_answer_without_a_code_is_told_by_its_status(status):
    error = from_vendor(SalesforceGeneralError("u", status, "n", "<html>"))
    assert (type(error), error.code, error.category) == (Retry, str(status), ErrorClass.INTERMITTENT)
    assert error.advice


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
