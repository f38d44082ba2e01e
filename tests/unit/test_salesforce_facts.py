"""Facts about people on the wire: which field takes which, what is lost and what is told, and each record's outcome."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import responses

from adapters.salesforce import adapter
from adapters.salesforce.account import SalesforceAccount, SalesforceOptions
from connector.errors import Refused, Retry
from connector.ports import PersonWrite
from tests.doubles import MemoryCache, MemoryVault, StillClock
from tests.salesforce_org import BASE, NOW, URL, WireOrg, record

WRITE = f"{BASE}/composite/sobjects"
AT = datetime(2026, 11, 24, 23, 30, 5, tzinfo=UTC)
ROLLUP = {"current_campaign": "Campaign__c", "last_activity": "Last_Activity__c", "last_replied": "Last_Reply__c"}
ANN, BOB, LEAD = "003000000000001AAA", "003000000000002AAA", "00Q000000000001EAA"


class Writes:
    """Takes collection updates; `answers` are given in turn, then every record is right."""

    def __init__(self, wire):
        self.sent = []
        self.answers = []
        wire.add_callback(responses.PATCH, WRITE, callback=self._take)

    def _take(self, request):
        body = json.loads(request.body)
        assert body["allOrNone"] is False
        assert len(body["records"]) <= 200
        self.sent.append(body["records"])
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, tuple):
            return answer[0], {}, json.dumps([{"errorCode": answer[1], "message": answer[2]}])
        items = [answer.get(one["id"], {"id": one["id"], "success": True, "errors": []}) for one in body["records"]]
        return 200, {}, json.dumps(items)

    @property
    def fields(self):
        """What was sent of each record, without its name."""
        return [
            {name: value for name, value in one.items() if name not in ("attributes", "id")}
            for some in self.sent
            for one in some
        ]


def wrong(code, *fields, message=""):
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": list(fields)}]}


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def org(wire):
    world = WireOrg(wire)
    for kind in ("Contact", "Lead"):
        world.fields[kind] |= {"Campaign__c": "string", "Last_Activity__c": "date", "Last_Reply__c": "datetime"}
    return world


@pytest.fixture
def writes(wire):
    return Writes(wire)


@pytest.fixture
def clock():
    return StillClock(NOW)


@pytest.fixture
def crm(monkeypatch, clock):
    monkeypatch.setenv("SF_TOKEN", "given-token")
    account = SalesforceAccount.model_validate(
        {"auth": "access_token", "token": "${env:SF_TOKEN}", "instance_url": URL}
    )
    options = SalesforceOptions.model_validate({"rollup": ROLLUP})
    opened = adapter.open_crm(account, options, clock=clock, vault=MemoryVault(), cache=MemoryCache(clock))
    yield opened
    opened.close()


def write(one=ANN, account=None, **fields):
    return PersonWrite(id=one, account=account, fields=fields or {"opted_out": True})


def outcomes(results):
    return [result.error.code if result.error else None for result in results]


def test_only_the_fields_given_are_written_each_in_its_form(org, writes, crm):
    facts = {
        "opted_out": True, "bounced_at": AT, "bounced_reason": "550 " + "x" * 300, "current_campaign": "Q4 " + "y" * 90,
        "last_activity": AT, "last_replied": AT,
    }  # fmt: skip
    (result,) = crm.push_people([write(**facts)])
    assert (result.key, result.remote_id, result.error) == (ANN, ANN, None)
    assert writes.fields == [
        {
            "HasOptedOutOfEmail": True, "EmailBouncedDate": "2026-11-24T23:30:05.000Z",
            "EmailBouncedReason": "550 " + "x" * 60, "Campaign__c": "Q4 " + "y" * 61, "Last_Activity__c": "2026-11-24",
            "Last_Reply__c": "2026-11-24T23:30:05.000Z",
        }
    ]  # fmt: skip
    assert writes.sent[0][0]["attributes"] == {"type": "Contact"}
    crm.push_people([write(current_campaign=None), write(LEAD, bounced_at=None, opted_out=False)])
    assert writes.fields[1:] == [{"Campaign__c": None}, {"EmailBouncedDate": None, "HasOptedOutOfEmail": False}]


def test_two_hundred_go_in_a_call_by_object_and_account(org, writes, crm):
    ids = [record("Contact", n)["Id"] for n in range(450)] + [record("Lead", n)["Id"] for n in range(10)]
    results = crm.push_people([write(one, account=f"a{n % 3}") for n, one in enumerate(ids)])
    assert [result.key for result in results] == ids
    assert outcomes(results) == [None] * 460
    assert [len(some) for some in writes.sent] == [200, 200, 50, 10]
    accounts = [ids.index(one["id"]) % 3 for some in writes.sent[:3] for one in some]
    assert accounts == sorted(accounts)


def test_nothing_to_write_calls_nothing(crm):
    assert list(crm.push_people([])) == []
    assert crm.calls == 0


@pytest.mark.parametrize(("one", "code"), [("001000000000001AAA", "MALFORMED_ID"), ("' OR 1", "MALFORMED_ID")])
def test_what_is_no_lead_or_contact_is_refused_alone(org, writes, crm, one, code):
    assert outcomes(crm.push_people([write(one), write(ANN)])) == [code, None]


def test_a_fact_that_nobody_knows_is_refused_alone(org, writes, crm):
    assert outcomes(crm.push_people([write(shoe_size=43), write(BOB)])) == ["unknown_field", None]


def test_a_roll_up_that_is_not_mapped_is_not_written(org, writes, monkeypatch, clock):
    monkeypatch.setenv("SF_TOKEN", "given-token")
    account = SalesforceAccount.model_validate(
        {"auth": "access_token", "token": "${env:SF_TOKEN}", "instance_url": URL}
    )
    plain = adapter.open_crm(account, SalesforceOptions(), clock=clock, vault=MemoryVault(), cache=MemoryCache(clock))
    assert outcomes(plain.push_people([write(current_campaign="Q4"), write(BOB)])) == [None, None]
    assert writes.fields == [{"HasOptedOutOfEmail": True}]
    plain.close()


# ------------------------------------------------------------------------------------------------- what is lost


LOSSES = [
    (
        lambda org: org.fields["Contact"].pop("EmailBouncedDate"),
        "EmailBouncedDate",
        "missing in the Salesforce org, or",
    ),
    (lambda org: org.read_only.add(("Contact", "EmailBouncedDate")), "EmailBouncedDate", "may not write the field"),
    (lambda org: org.fields["Contact"].update(Campaign__c="boolean"), "Campaign__c", "of the type boolean"),
    (lambda org: org.fields["Contact"].update(Last_Reply__c="double"), "Last_Reply__c", "of the type double"),
]


@pytest.mark.parametrize(("change", "field", "words"), LOSSES)
def test_a_field_that_cannot_be_written_is_lost_alone_and_listed(org, writes, crm, change, field, words):
    change(org)
    facts = {"opted_out": True, "bounced_at": AT, "current_campaign": "Q4", "last_activity": AT, "last_replied": AT}
    assert outcomes(crm.push_people([write(**facts), write(LEAD, **facts)])) == [None, None]
    contact, lead = writes.fields
    assert set(lead) - set(contact) == {field}
    left_out = crm._facts.left_out()
    assert left_out.keys() == {f"Contact.{field}"}
    assert words in left_out[f"Contact.{field}"]


@pytest.mark.parametrize("hide", [lambda org: org.fields["Lead"].pop("HasOptedOutOfEmail"), None])
def test_an_opt_out_that_cannot_be_written_is_told_and_the_rest_is_written(org, writes, crm, hide):
    if hide:
        hide(org)
    else:
        org.read_only.add(("Lead", "HasOptedOutOfEmail"))
    results = crm.push_people([write(LEAD, opted_out=True, current_campaign="Q4"), write(LEAD), write(ANN)])
    assert [type(result.error) for result in results[2:]] == [type(None)]
    for result in results[:2]:
        assert isinstance(result.error, Refused)
        assert "Lead.HasOptedOutOfEmail" in result.error.sentence
    assert writes.fields == [{"HasOptedOutOfEmail": True}, {"Campaign__c": "Q4"}]


def test_a_value_that_a_restricted_picklist_does_not_have_is_lost_alone(org, writes, crm):
    org.fields["Contact"]["Campaign__c"] = "picklist"
    org.picklists["Campaign__c"] = ["Q3"]
    crm.push_people([write(opted_out=True, current_campaign="Q4"), write(BOB, current_campaign="Q3")])
    assert writes.fields == [{"HasOptedOutOfEmail": True}, {"Campaign__c": "Q3"}]


def test_where_an_object_is_hidden_its_opt_outs_are_told(org, writes, crm):
    del org.fields["Lead"]
    assert outcomes(crm.push_people([write(LEAD), write(ANN)])) == ["INVALID_TYPE", None]
    assert crm._facts.left_out().keys() >= {"Lead.HasOptedOutOfEmail", "Lead.Campaign__c"}


def test_a_field_removed_since_it_was_described_is_lost_at_once(org, writes, crm):
    crm.push_people([write(BOB)])
    del org.fields["Contact"]["Campaign__c"]
    told = "No such column 'Campaign__c' on sobject of type Contact"
    writes.answers = [(400, "INVALID_FIELD", told)]
    assert outcomes(crm.push_people([write(current_campaign="Q4", opted_out=True), write(BOB)])) == [None, None]
    assert writes.fields[-2:] == [{"HasOptedOutOfEmail": True}] * 2


def test_a_field_the_org_does_not_take_of_one_record_is_lost_there_alone(org, writes, crm):
    refused = wrong("INVALID_FIELD_FOR_INSERT_UPDATE", "EmailBouncedReason", "HasOptedOutOfEmail")
    writes.answers = [{ANN: refused}]
    facts = {"opted_out": True, "bounced_reason": "550", "current_campaign": "Q4"}
    results = crm.push_people([write(**facts), write(BOB, **facts)])
    assert outcomes(results) == ["INVALID_FIELD_FOR_INSERT_UPDATE", None]
    assert writes.fields[-1] == {"Campaign__c": "Q4"}
    assert "Contact.HasOptedOutOfEmail" in results[0].error.sentence


# ------------------------------------------------------------------------------------------------------ outcomes


@pytest.mark.parametrize("code", ["CANNOT_UPDATE_CONVERTED_LEAD", "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"])
def test_what_is_meant_for_a_converted_lead_goes_to_its_contact(org, writes, crm, code):
    org.rows = [record("Lead", 1, IsConverted=True, ConvertedContactId=ANN), record("Contact", 1)]
    writes.answers = [{LEAD: wrong(code)}]
    (result,) = crm.push_people([write(LEAD)])
    assert (result.key, result.remote_id, result.error) == (LEAD, ANN, None)
    assert [one["id"] for some in writes.sent for one in some] == [LEAD, ANN]


def test_two_leads_that_became_one_contact_do_not_meet_in_a_call(org, writes, crm):
    leads = [record("Lead", n, IsConverted=True, ConvertedContactId=ANN) for n in (1, 2)]
    org.rows = [*leads, record("Contact", 1)]
    writes.answers = [{one["Id"]: wrong("CANNOT_UPDATE_CONVERTED_LEAD") for one in leads}]
    results = crm.push_people([write(leads[0]["Id"]), write(leads[1]["Id"], bounced_at=AT)])
    assert outcomes(results) == [None, None]
    assert [[one["id"] for one in some] for some in writes.sent[1:]] == [[ANN], [ANN]]


def test_a_record_that_is_nowhere_keeps_its_error(org, writes, crm):
    writes.answers = [{ANN: wrong("INVALID_CROSS_REFERENCE_KEY")}]
    assert outcomes(crm.push_people([write(), write(BOB)])) == ["INVALID_CROSS_REFERENCE_KEY", None]
    assert len(writes.sent) == 1


def test_a_held_row_is_tried_again_alone_and_then_left_for_later(org, writes, crm, clock):
    writes.answers = [{ANN: wrong("UNABLE_TO_LOCK_ROW")}]
    assert outcomes(crm.push_people([write(), write(BOB)])) == [None, None]
    assert [len(some) for some in writes.sent] == [2, 1]
    assert 0 < sum(clock.waits) < 5
    writes.answers = [{ANN: wrong("UNABLE_TO_LOCK_ROW")}] * 9
    (result,) = crm.push_people([write()])
    assert isinstance(result.error, Retry)


def test_each_record_has_its_own_outcome(org, writes, crm):
    writes.answers = [{BOB: wrong("FIELD_CUSTOM_VALIDATION_EXCEPTION", message="Ask Legal first.")}]
    good, bad = crm.push_people([write(), write(BOB)])
    assert good.error is None
    assert "Ask Legal first." in bad.error.sentence
    assert len(writes.sent) == 1


def test_trouble_with_the_org_stops_the_rest_and_keeps_what_was_done(org, writes, crm):
    limit = (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    writes.answers = [{}, limit]
    results = crm.push_people([write(record("Contact", n)["Id"]) for n in range(600)])
    assert sum(result.error is None for result in results) == 200
    assert {result.error.after for result in results if result.error} == {timedelta(hours=1)}
    assert len(writes.sent) == 2
    writes.answers = [limit]
    with pytest.raises(Retry):
        crm.push_people([write()])
