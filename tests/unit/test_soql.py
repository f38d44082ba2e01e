"""The sandbox's SOQL: what it finds, and what it refuses in Salesforce's words."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sandbox.org import Org
from adapters.sandbox.service import SandboxClock, SandboxLog
from adapters.sandbox.sobjects import full_id, new_id
from adapters.sandbox.soql import SoqlError, run

KEY = "Connector_Intent_Id__c"


def make_org() -> Org:
    clock = SandboxClock(datetime(2026, 11, 24, 9, 0, tzinfo=UTC))
    org = Org(clock, SandboxLog(clock))
    account = org.add("Account", Name="Globex", NumberOfEmployees=40)
    org.add("Contact", LastName="Lee", FirstName="Ann", Email="Ann@Globex.example", AccountId=account)
    org.add("Contact", LastName="O'Hara", Email="o_hara@x.example", Title="100% CTO")
    org.add("Lead", LastName="Roe", Company="Initech", HasOptedOutOfEmail=True)
    for number, subject in enumerate(("one", "Two", "three")):
        fields: dict[str, Any] = {"Subject": subject, KEY: f"k{number}", "ActivityDate": f"2026-11-2{number}"}
        org.create("Task", fields if number else {**fields, "WhoId": new_id("003", 1)})
    org.create("Task", {"Priority": "High", "Status": "Completed"})
    return org


ORG = make_org()


def found(query: str) -> list[Any]:
    result = run(query, ORG)
    return [result.columns[0].read(ORG, row) for row in result.records]


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("", ["Lee", "O'Hara"]),
        ("WHERE Email = 'ann@globex.EXAMPLE'", ["Lee"]),
        ("WHERE LastName = 'O\\'Hara'", ["O'Hara"]),
        ("WHERE LastName != 'Lee'", ["O'Hara"]),
        ("WHERE LastName <> 'Lee'", ["O'Hara"]),
        ("WHERE FirstName = null", ["O'Hara"]),
        ("WHERE FirstName = ''", ["O'Hara"]),
        ("WHERE FirstName != null", ["Lee"]),
        ("WHERE FirstName != 'Ann'", ["O'Hara"]),
        ("WHERE LastName LIKE 'l%'", ["Lee"]),
        ("WHERE Title LIKE '100\\% %'", ["O'Hara"]),
        ("WHERE Email LIKE 'o\\_hara%'", ["O'Hara"]),
        ("WHERE Email LIKE 'a\\_n%'", []),
        ("WHERE Email LIKE 'a_n%'", ["Lee"]),
        ("WHERE LastName IN ('lee', 'x')", ["Lee"]),
        ("WHERE LastName NOT IN ('Lee')", ["O'Hara"]),
        ("WHERE Account.Name = 'Globex'", ["Lee"]),
        ("WHERE Account.NumberOfEmployees >= 40", ["Lee"]),
        ("WHERE NOT Account.Name = 'Globex'", ["O'Hara"]),
        ("WHERE AccountId IN (SELECT Id FROM Account WHERE Name LIKE 'G%')", ["Lee"]),
        ("WHERE (LastName = 'Lee' OR LastName = 'x') AND HasOptedOutOfEmail = false", ["Lee"]),
        ("WHERE LastName = 'x' OR LastName = 'y' OR LastName = 'Lee'", ["Lee"]),
        ("ORDER BY LastName DESC", ["O'Hara", "Lee"]),
        ("ORDER BY FirstName", ["O'Hara", "Lee"]),
        ("ORDER BY FirstName ASC NULLS LAST", ["Lee", "O'Hara"]),
        ("LIMIT 1", ["Lee"]),
        ("LIMIT 1 OFFSET 1", ["O'Hara"]),
        ("WHERE CreatedDate > 2026-11-24T09:00:00+01:00", ["Lee", "O'Hara"]),
        ("WHERE CreatedDate > 2026-11-24T09:00:00Z", []),
        ("WHERE Owner.Username = 'integration@sandbox.example'", ["Lee", "O'Hara"]),
    ],
)
def test_conditions(where: str, names: list[str]) -> None:
    assert found(f"SELECT LastName FROM Contact {where}") == names


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("SELECT Subject FROM Task WHERE ActivityDate <= 2026-11-21", ["one", "Two"]),
        ("select subject from task where activitydate = 2026-11-22", ["three"]),
        ("SELECT Subject FROM Task WHERE Connector_Intent_Id__c = 'K1'", []),
        ("SELECT Subject FROM Task WHERE Connector_Intent_Id__c = 'k1'", ["Two"]),
        ("SELECT Subject FROM Task WHERE Connector_Intent_Id__c != null ORDER BY Subject", ["one", "three", "Two"]),
        ("SELECT Subject FROM Task WHERE IsClosed = FALSE AND IsHighPriority = false", ["one", "Two", "three"]),
        ("SELECT Who.Name FROM Task WHERE Who.Type = 'Contact'", ["Ann Lee"]),
        ("SELECT Who.Email FROM Task WHERE Subject = 'Two'", [None]),
        ("SELECT Task.Subject FROM Task WHERE Task.Subject = 'Two'", ["Two"]),
        ("SELECT ApiName FROM TaskStatus WHERE IsClosed = true", ["Completed"]),
        ("SELECT ApiName FROM TaskPriority WHERE SortOrder > 1.5", ["Normal", "Low"]),
    ],
)
def test_tasks(query: str, values: list[Any]) -> None:
    assert found(query) == values


@pytest.mark.parametrize(
    ("where", "subjects"),
    [
        ("ActivityDate = N_DAYS_AGO:2", ["three"]),
        ("ActivityDate = LAST_N_DAYS:3", ["Two", "three"]),
        ("ActivityDate < LAST_N_DAYS:3", ["one"]),
        ("ActivityDate <= n_days_ago:3", ["one", "Two"]),
        ("ActivityDate != N_DAYS_AGO:2", ["one", "Two", None]),
        ("ActivityDate >= YESTERDAY", []),
        ("ActivityDate = NEXT_N_DAYS:5", []),
        ("CreatedDate = TODAY", ["one", "Two", "three", None]),
        ("CreatedDate > TODAY", []),
        ("CreatedDate < TOMORROW AND ActivityDate > N_DAYS_AGO:4", ["Two", "three"]),
    ],
)
def test_date_literals(where: str, subjects: list[Any]) -> None:
    assert found(f"SELECT Subject FROM Task WHERE {where}") == subjects


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT Id FROM Task WHERE ActivityDate = LAST_N_DAYS", "INVALID_FIELD"),
        ("SELECT Id FROM Task WHERE ActivityDate = TODAY:3", "INVALID_FIELD"),
        ("SELECT Id FROM Task WHERE ActivityDate = THIS_FORTNIGHT", "INVALID_FIELD"),
        ("SELECT Id FROM Task WHERE Subject = TODAY", "INVALID_FIELD"),
        ("SELECT Id FROM Task LIMIT 1 OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
    ],
)
def test_refused_days_and_offsets(query: str, code: str) -> None:
    with pytest.raises(SoqlError) as refused:
        run(query, ORG)
    assert refused.value.code == code


@pytest.mark.parametrize("form", [lambda found_id: found_id, lambda found_id: found_id[:15]])
def test_ids_of_both_lengths(form: Any) -> None:
    record_id = new_id("003", 1)
    assert found(f"SELECT LastName FROM Contact WHERE Id = '{form(record_id)}'") == ["Lee"]
    assert found(f"SELECT LastName FROM Contact WHERE Id IN ('{form(record_id)}')") == ["Lee"]


def test_counting() -> None:
    result = run("SELECT COUNT() FROM Task WHERE IsClosed = true", ORG)
    assert (result.columns, len(result.records)) == ((), 1)


@pytest.mark.parametrize(
    ("query", "code", "part"),
    [
        ("", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT * FROM Task", "MALFORMED_QUERY", "no viable alternative at character '*'"),
        ("SELECT FROM Task", "MALFORMED_QUERY", "unexpected token: 'Task'"),
        ("SELECT Id", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id, FROM Task", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Task WHERE", "MALFORMED_QUERY", "<EOF>"),
        ("SELECT Id FROM Task ORDER Subject", "MALFORMED_QUERY", "unexpected token: 'ORDER'"),
        ("SELECT Id FROM Task LIMIT 'x'", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Task LIMIT 1 WHERE Id = null", "MALFORMED_QUERY", "unexpected token: 'WHERE'"),
        ("SELECT Id FROM Task GROUP BY Id", "MALFORMED_QUERY", "unexpected token: 'GROUP'"),
        ("SELECT COUNT(Id) FROM Task", "MALFORMED_QUERY", "unexpected token: 'Id'"),
        ("SELECT (SELECT Id FROM Tasks) FROM Account", "MALFORMED_QUERY", "unexpected token: '('"),
        ("SELECT Id FROM Task WHERE Subject = 'it's'", "MALFORMED_QUERY", "no viable alternative"),
        ("SELECT Id FROM Task WHERE Subject = 'a\\qb'", "MALFORMED_QUERY", "Illegal character sequence"),
        ("SELECT Id FROM Task WHERE Subject IN ()", "MALFORMED_QUERY", "unexpected token: ')'"),
        ("SELECT Id FROM Task WHERE Subject", "MALFORMED_QUERY", "<EOF>"),
        ("SELECT Id FROM Task WHERE Subject = :x", "MALFORMED_QUERY", "character ':'"),
        ("SELECT Id FROM Task WHERE (Subject = 'a'", "MALFORMED_QUERY", "<EOF>"),
        ("SELECT Id FROM Task WHERE Subject = 'a' OR Subject = 'b' AND IsClosed = true", "MALFORMED_QUERY", "'AND'"),
        ("SELECT Nope FROM Task", "INVALID_FIELD", "No such column 'Nope' on entity 'Task'"),
        ("SELECT Id, Id FROM Task", "INVALID_FIELD", "duplicate field selected: Id"),
        ("SELECT Id FROM Task WHERE Nope = 1", "INVALID_FIELD", "No such column 'Nope'"),
        ("SELECT Id FROM Task ORDER BY Nope", "INVALID_FIELD", "No such column 'Nope'"),
        ("SELECT Nope.Name FROM Task", "INVALID_FIELD", "Didn't understand relationship 'Nope'"),
        ("SELECT Who.Company FROM Task", "INVALID_FIELD", "No such column 'Company' on entity 'Name'"),
        ("SELECT Id FROM Task WHERE Description LIKE '%x%'", "INVALID_FIELD", "can not be filtered in a query call"),
        ("SELECT Id FROM Task ORDER BY Description", "INVALID_FIELD", "can not be sorted in a query call"),
        ("SELECT Id FROM Task WHERE SystemModstamp > '2026-01-01T00:00:00Z'", "INVALID_FIELD", "of type dateTime"),
        ("SELECT Id FROM Task WHERE SystemModstamp > 2026-01-01", "INVALID_FIELD", "not be enclosed in quotes"),
        ("SELECT Id FROM Task WHERE ActivityDate = 2026-01-01T00:00:00Z", "INVALID_FIELD", "of type date"),
        ("SELECT Id FROM Task WHERE ActivityDate = 2026-02-30", "MALFORMED_QUERY", "Invalid date"),
        ("SELECT Id FROM Task WHERE IsClosed = 'true'", "INVALID_FIELD", "of type boolean"),
        ("SELECT Id FROM Task WHERE Subject = 5", "INVALID_FIELD", "should be enclosed in quotes"),
        ("SELECT Id FROM Task WHERE Subject = TODAY", "INVALID_FIELD", "should be enclosed in quotes"),
        ("SELECT Id FROM Task WHERE WhoId = 'nonsense'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: nonsense"),
        ("SELECT Id FROM Task WHERE WhoId LIKE '003%'", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on"),
        ("SELECT Id FROM Task WHERE IsClosed > true", "INVALID_QUERY_FILTER_OPERATOR", "'>'"),
        ("SELECT Id FROM Tasks", "INVALID_TYPE", "sObject type 'Tasks' is not supported"),
        ("SELECT Id FROM Task WHERE WhoId IN (SELECT Name FROM Contact)", "MALFORMED_QUERY", "Semi join"),
        (f"SELECT Id FROM Task WHERE Subject = '{'x' * 100_000}'", "MALFORMED_QUERY", "cannot be longer"),
    ],
)
def test_refusals(query: str, code: str, part: str) -> None:
    with pytest.raises(SoqlError) as refused:
        run(query, ORG)
    assert refused.value.code == code
    assert part in refused.value.message


def test_a_refusal_points_at_the_place() -> None:
    with pytest.raises(SoqlError) as refused:
        run("SELECT Id, Nope FROM Task", ORG)
    assert refused.value.message.startswith(
        "\nSELECT Id, Nope FROM Task\n           ^\nERROR at Row:1:Column:12\nNo such column 'Nope'"
    )


@given(st.text(min_size=1, max_size=60).filter(str.strip))
def test_an_escaped_string_finds_exactly_itself(text: str) -> None:
    quoted = "".join(f"\\{char}" if char in "'\\" else char for char in text)
    org = make_org()
    org.add("Lead", LastName="x", Company=text)
    result = run(f"SELECT Company FROM Lead WHERE Company = '{quoted}'", org)
    assert {str(row.values["Company"]).casefold() for row in result.records} <= {text.strip().casefold()}
    assert bool(result.records) == (text == text.strip())


@given(st.text(alphabet=string.ascii_letters + string.digits, min_size=15, max_size=15))
def test_an_id_keeps_its_case_in_three_more_characters(short: str) -> None:
    long = full_id(short)
    assert long is not None
    assert (long[:15], len(long), full_id(long)) == (short, 18, long)
    swapped = short.swapcase()
    assert swapped == short or full_id(swapped) != long
    assert full_id(short + "zzz") is None or full_id(short + "zzz") == long
