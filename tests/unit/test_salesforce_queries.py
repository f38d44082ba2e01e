"""Queries that go together: one call for five, each with its own answer."""

import json

import pytest
import responses

from adapters.salesforce.account import SalesforceAccount
from adapters.salesforce.errors import MissingField
from adapters.salesforce.queries import LIST_CHARACTERS, Query, in_lists, run_together
from adapters.salesforce.session import Org
from connector.errors import Reconnect, Refused, Retry
from tests.doubles import MemoryVault, StillClock
from tests.salesforce_org import BASE, NOW, URL, WireOrg, record


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def world(wire):
    return WireOrg(wire)


@pytest.fixture
def org(monkeypatch):
    monkeypatch.setenv("SF_TOKEN", "given-token")
    account = SalesforceAccount.model_validate(
        {"auth": "access_token", "token": "${env:SF_TOKEN}", "instance_url": URL}
    )
    opened = Org(account, clock=StillClock(NOW), vault=MemoryVault())
    yield opened
    opened.close()


CONTACTS = Query("SELECT Id FROM Contact WHERE Id != null")
LEADS = Query("SELECT Id FROM Lead WHERE Id != null")


def test_up_to_five_queries_are_one_call_and_answers_keep_their_order(world, org):
    world.rows = [record("Contact", 1), record("Lead", 2)]
    answers = run_together(org, [CONTACTS, LEADS, CONTACTS, LEADS, CONTACTS])
    assert [[row["Id"][:3] for row in answer] for answer in answers] == [["003"], ["00Q"]] * 2 + [["003"]]
    assert (org.calls, world.composites) == (1, 1)


def test_six_queries_are_two_calls(world, org):
    assert run_together(org, [CONTACTS] * 6) == [[]] * 6
    assert org.calls == 2


def test_no_query_is_no_call(org):
    assert run_together(org, []) == []
    assert org.calls == 0


def test_a_short_query_goes_alone_and_a_long_one_in_a_body(world, org):
    assert run_together(org, [CONTACTS]) == [[]]
    assert world.composites == 0
    (condition,) = in_lists("Email IN {values}", [f"person{n}@acme.example" for n in range(500)])
    run_together(org, [Query(f"SELECT Id FROM Contact WHERE {condition}")])
    assert world.composites == 1


def test_a_short_query_that_is_refused_is_a_value_too(world, org):
    world.hidden.add(("Contact", "Id"))
    (refusal,) = run_together(org, [CONTACTS])
    assert isinstance(refusal, MissingField)


def test_deleted_records_are_asked_for_query_by_query(world, org):
    world.rows = [record("Contact", 1, IsDeleted=True)]
    alive, every = run_together(org, [CONTACTS, Query(CONTACTS.soql, deleted_too=True)])
    assert (alive, [row["Id"] for row in every]) == ([], ["003000000000001AAA"])


def test_pages_of_several_queries_are_read_together(world, org):
    world.page_size = 2
    world.rows = [record("Contact", n) for n in range(5)] + [record("Lead", n) for n in range(3)]
    contacts, leads = run_together(org, [CONTACTS, LEADS])
    assert [len(contacts), len(leads)] == [5, 3]
    assert len({row["Id"] for row in contacts}) == 5
    assert org.calls == 3


def test_each_query_is_refused_by_itself(world, org):
    world.rows = [record("Lead", 1)]
    world.hidden.add(("Contact", "Title"))
    broken = Query("SELECT Title FROM Contact WHERE Id != null")
    missing, rows, unknown = run_together(org, [broken, LEADS, Query("SELECT Id FROM Opportunity WHERE Id != null")])
    assert isinstance(missing, MissingField)
    assert missing.field == "Title"
    assert len(rows) == 1
    assert (type(unknown), unknown.code) == (Refused, "INVALID_TYPE")


def test_what_a_value_holds_never_becomes_a_reference_or_a_query(wire, world, org):
    (condition,) = in_lists("Email IN {values}", ["o'neil@{q0.records}", "a&q=b+c%20d"])
    run_together(org, [CONTACTS, Query(f"SELECT Id FROM Contact WHERE {condition}")])
    assert world.asked[1] == r"SELECT Id FROM Contact WHERE Email IN ('o\'neil@{q0.records}','a&q=b+c%20d')"
    assert "@{" not in wire.calls[0].request.body.decode()


@pytest.mark.parametrize(
    ("status", "code", "message", "expected"),
    [
        (401, "INVALID_SESSION_ID", "Session expired or invalid", Reconnect),
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", Retry),
        (403, "API_DISABLED_FOR_ORG", "The REST API is not enabled", Reconnect),
    ],
)
def test_what_befalls_the_org_is_raised_whichever_query_shows_it(world, org, status, code, message, expected):
    world.refuse["FROM Lead"] = (status, code, message)
    with pytest.raises(expected) as caught:
        run_together(org, [CONTACTS, LEADS])
    assert caught.value.code == code
    assert org.calls == 1


@pytest.mark.parametrize(("status", "code"), [(400, "QUERY_TIMEOUT"), (503, "SERVER_UNAVAILABLE"), (500, "")])
def test_passing_trouble_of_one_query_is_tried_again_at_once(world, org, status, code):
    world.rows = [record("Lead", 1)]
    world.refuse["FROM Lead"] = (status, code, "busy")
    contacts, leads = run_together(org, [CONTACTS, LEADS])
    assert (contacts, len(leads)) == ([], 1)
    assert org.calls == 2


@pytest.mark.parametrize("answer", [{}, [], {"compositeResponse": []}, {"compositeResponse": None}])
def test_an_answer_that_leaves_queries_out_is_not_believed(wire, org, answer):
    wire.post(f"{BASE}/composite", json=answer)
    with pytest.raises(Retry, match="did not answer every query"):
        run_together(org, [CONTACTS, LEADS])


def test_in_lists_fit_a_statement_and_lose_nothing():
    values = [f"{'x' * (n % 60)}'{n}" for n in range(9_000)]
    lists = list(in_lists("Email IN {values}", values))
    assert len(lists) > 4
    assert max(len(one) for one in lists) < LIST_CHARACTERS + 50
    assert sum(one.count(r"\'") for one in lists) == len(values)
    assert list(in_lists("Email IN {values}", [])) == []


def test_a_session_that_ends_inside_a_call_is_renewed_once(wire, monkeypatch):
    world = WireOrg(wire)
    monkeypatch.setenv("SF_SECRET", "s3cret")
    account = SalesforceAccount.model_validate(
        {"auth": "client_credentials", "domain": "acme.my", "client_id": "app", "client_secret": "${env:SF_SECRET}"}
    )
    wire.post(f"{URL}/services/oauth2/token", json={"access_token": "T", "instance_url": URL})
    org = Org(account, clock=StillClock(NOW), vault=MemoryVault())
    run_together(org, [CONTACTS])
    world.refuse["FROM Lead"] = (401, "INVALID_SESSION_ID", "Session expired or invalid")
    assert run_together(org, [CONTACTS, LEADS]) == [[], []]
    tokens = [call for call in wire.calls if call.request.url.endswith("/token")]
    assert len(tokens) == 2
    assert json.loads(wire.calls[-1].request.body)["compositeRequest"]
    org.close()
