"""People and users of an org on the wire: found in bulk, by what the org shows, and listed from where a user points."""

from datetime import timedelta

import pytest
import responses
from responses import matchers

from adapters.salesforce import adapter
from adapters.salesforce.account import SalesforceAccount, SalesforceOptions
from connector.errors import Refused
from connector.ports import PeopleSource
from tests.doubles import MemoryCache, MemoryVault, StillClock
from tests.salesforce_org import BASE, NOW, URL, WireOrg, instant, record


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def org(wire):
    world = WireOrg(wire)
    world.fields["Contact"] |= {"Account.Name": "string", "Account.Industry": "string"}
    return world


@pytest.fixture
def clock():
    return StillClock(NOW)


@pytest.fixture
def opened(monkeypatch, clock):
    """Return a way to open the org as another process would."""
    monkeypatch.setenv("SF_TOKEN", "given-token")
    account = SalesforceAccount.model_validate(
        {"auth": "access_token", "token": "${env:SF_TOKEN}", "instance_url": URL}
    )
    cache, all_opened = MemoryCache(clock), []

    def open_one():
        crm = adapter.open_crm(account, SalesforceOptions(), clock=clock, vault=MemoryVault(), cache=cache)
        all_opened.append(crm)
        return crm

    yield open_one
    for crm in all_opened:
        crm.close()


@pytest.fixture
def crm(opened):
    return opened()


def contact(number, email="ann@acme.example", **values):
    account = {"AccountId": "001000000000001", "Account": {"Name": "Acme", "Industry": "Steel"}}
    return record("Contact", number, Email=email, FirstName="Ann", **{**account, **values})


def lead(number, email="ann@acme.example", **values):
    return record("Lead", number, Email=email, Company="Acme Ltd", **values)


# ------------------------------------------------------------------------------------------------------- find


def test_contacts_come_before_leads_and_several_hits_are_all_given(org, crm):
    org.rows = [lead(1), contact(1, "Ann@Acme.example"), contact(2)]
    found = crm.find_people(emails=["ANN@acme.example", "bob@acme.example"])
    assert [(one.kind, one.id) for one in found["ann@acme.example"]] == [
        ("contact", "003000000000001AAA"), ("contact", "003000000000002AAA"), ("lead", "00Q000000000001EAA"),
    ]  # fmt: skip
    assert found["bob@acme.example"] == ()
    assert [one.company for one in found["ann@acme.example"]] == ["Acme", "Acme", "Acme Ltd"]
    assert found["ann@acme.example"][0].account_id == "001000000000001AAA"


def test_ids_and_addresses_of_both_objects_are_one_call(org, crm):
    org.rows = [contact(1), lead(2, "bob@oak.example")]
    crm.find_people(ids=["003000000000001"], emails=["bob@oak.example"])
    assert (crm.calls - len(org.described), org.composites) == (1, 1)


def test_ten_thousand_people_take_three_calls(org, crm):
    addresses = [f"person.number.{n}@acme-corporation.example" for n in range(10_000)]
    org.rows = [contact(n, address) for n, address in enumerate(addresses)]
    found = crm.find_people(emails=addresses)
    assert all(len(matches) == 1 for matches in found.values())
    assert crm.calls - len(org.described) == 3


def test_a_lead_that_was_converted_is_not_found_by_its_address(org, crm):
    org.rows = [lead(1, IsConverted=True, ConvertedContactId="003000000000009AAA")]
    assert crm.find_people(emails=["ann@acme.example"]) == {"ann@acme.example": ()}


def test_an_id_leads_to_the_record_that_stands_for_it_now(org, crm):
    org.rows = [
        lead(1, IsConverted=True, ConvertedContactId="003000000000001"),
        contact(1, IsDeleted=True, MasterRecordId="003000000000002"),
        contact(2, "ann.new@acme.example"),
        lead(3, IsDeleted=True, MasterRecordId="00Q000000000004EAA"),
        lead(4, IsConverted=True, ConvertedContactId="003000000000002AAA"),
        contact(5, IsDeleted=True),
    ]
    ids = ["00Q000000000001", "003000000000001AAA", "00Q000000000003EAA", "003000000000005AAA", "nonsense"]
    found = crm.find_people(ids=[*ids, "00T000000000001AAA"])
    assert [[one.id for one in found[one_id]] for one_id in ids] == [["003000000000002AAA"]] * 3 + [[], []]
    assert found["00T000000000001AAA"] == ()
    assert found["00Q000000000001"][0].email == "ann.new@acme.example"


def test_records_that_name_each_other_end_the_search(org, crm):
    org.rows = [
        contact(1, IsDeleted=True, MasterRecordId="003000000000002AAA"),
        contact(2, IsDeleted=True, MasterRecordId="003000000000001AAA"),
    ]
    assert crm.find_people(ids=["003000000000001AAA"]) == {"003000000000001AAA": ()}


def test_values_are_escaped(org, crm):
    crm.find_people(emails=["o'neil@acme.example"])
    assert r"IN ('o\'neil@acme.example')" in org.asked[0]


def test_a_bounce_is_read(org, crm):
    org.rows = [
        contact(1, EmailBouncedDate=instant(NOW), EmailBouncedReason="550 unknown"),
        lead(1, EmailBouncedReason="cleared"),
    ]
    bounced, fine = crm.find_people(emails=["ann@acme.example"])["ann@acme.example"]
    assert (bounced.bounced_at, bounced.bounced_reason) == (NOW, "550 unknown")
    assert (fine.bounced_at, fine.bounced_reason) == (None, "")


# ----------------------------------------------------------------------------------------------------- fields


def test_extra_fields_are_read_and_one_the_org_lacks_is_lost_alone(org, crm):
    org.fields["Contact"]["Tier__c"] = org.fields["Lead"]["Score__c"] = "string"
    org.rows = [contact(1, Tier__c="A"), lead(1, Score__c=7)]
    wanted = ["Account.Industry", "Tier__c", "Score__c"]
    first, second = crm.find_people(emails=["ann@acme.example"], fields=wanted)["ann@acme.example"]
    assert first.fields == {"Account.Industry": "Steel", "Tier__c": "A", "Score__c": None}
    assert second.fields == {"Account.Industry": None, "Tier__c": None, "Score__c": 7}
    assert first.first_name == "Ann"


def test_a_relation_the_org_lacks_is_asked_about_once_by_all_processes(org, opened):
    org.rows = [contact(1), lead(1)]
    first, second = opened(), opened()
    wanted = ["Owner.Nonsense__c", "Account.Name"]
    found = first.find_people(emails=["ann@acme.example"], ids=["00Q000000000001EAA"], fields=wanted)
    assert found["ann@acme.example"][0].fields == {"Owner.Nonsense__c": None, "Account.Name": "Acme"}
    asked = len(org.asked)
    second.find_people(emails=["ann@acme.example"], fields=wanted)
    assert len(org.asked) == asked + 2
    assert second.calls == 1


def test_a_field_in_other_letters_is_asked_for_once_and_read(org, crm):
    org.rows = [contact(1)]
    (one,) = crm.find_people(emails=["ann@acme.example"], fields=["FIRSTNAME", "account.industry"])["ann@acme.example"]
    assert one.fields == {"FIRSTNAME": "Ann", "account.industry": "Steel"}


def test_a_hidden_opt_out_is_not_known_rather_than_no(org, crm):
    del org.fields["Contact"]["HasOptedOutOfEmail"]
    org.rows = [contact(1), lead(1, HasOptedOutOfEmail=False)]
    hidden, shown = crm.find_people(emails=["ann@acme.example"])["ann@acme.example"]
    assert (hidden.opted_out, shown.opted_out) == (None, False)


def test_an_opt_out_hidden_since_it_was_described_is_not_known_either(org, crm):
    org.rows = [contact(1)]
    crm.find_people(emails=["ann@acme.example"])
    del org.fields["Contact"]["HasOptedOutOfEmail"]
    (one,) = crm.find_people(emails=["ann@acme.example"])["ann@acme.example"]
    assert one.opted_out is None


def test_an_address_that_is_hidden_in_one_object_loses_its_people_only(org, crm):
    del org.fields["Lead"]["Email"]
    org.rows = [contact(1), lead(1)]
    found = crm.find_people(emails=["ann@acme.example"], ids=["00Q000000000001EAA"])
    assert [(one.kind, one.email) for matches in found.values() for one in matches] == [
        ("lead", ""), ("contact", "ann@acme.example"),
    ]  # fmt: skip


@pytest.mark.parametrize("when", ["before", "after"])
def test_without_an_email_field_the_lookup_fails_in_words(org, crm, when):
    if when == "after":
        crm.find_people(emails=["ann@acme.example"])
    for kind in ("Contact", "Lead"):
        del org.fields[kind]["Email"]
    with pytest.raises(Refused, match="the field Email is missing"):
        crm.find_people(emails=["ann@acme.example"])


def test_where_one_object_is_hidden_the_other_is_searched(org, crm):
    del org.fields["Lead"]
    org.rows = [contact(1)]
    found = crm.find_people(emails=["ann@acme.example"], ids=["00Q000000000001EAA"])
    assert [len(matches) for matches in found.values()] == [0, 1]


def test_where_both_objects_are_hidden_the_lookup_fails(org, crm):
    org.fields.clear()
    with pytest.raises(Refused):
        crm.find_people(emails=["ann@acme.example"])


@pytest.mark.parametrize("name", ["Name, (SELECT Id FROM Tasks)", "x FROM User", "a..b", "1a", ""])
def test_a_field_that_is_no_name_is_refused_before_any_call(crm, name):
    with pytest.raises(Refused, match="not the name of a Salesforce field"):
        crm.find_people(emails=["ann@acme.example"], fields=[name])
    assert crm.calls == 0


# ------------------------------------------------------------------------------------------------------ users


@pytest.fixture
def users(org):
    org.fields["User"] = {"Id": "id", "Username": "string", "IsActive": "boolean"}
    org.rows.append(
        {"attributes": {"type": "User"}, "Id": "005000000000001AAA", "IsDeleted": False, "Username": "Ana@acme.example"}
    )
    return org


def test_users_are_found_by_name_or_id_and_unknown_ones_left_out(users, crm):
    found = crm.find_users(["ana@acme.example", "ANA@acme.example", "005000000000001", "ben@acme.example", ""])
    assert found == dict.fromkeys(["ana@acme.example", "ANA@acme.example", "005000000000001"], "005000000000001AAA")
    assert crm.calls == 1
    assert all("WHERE IsActive = true AND" in soql for soql in users.asked)


def test_who_was_found_is_believed_for_an_hour_by_all_processes(users, opened, clock):
    opened().find_users(["ana@acme.example"])
    clock.sleep(3000)
    other = opened()
    assert other.find_users(["ana@acme.example", "005000000000001AAA"]) != {}
    assert other.calls == 0
    # Asking for somebody else does not make the first answer younger.
    other.find_users(["ben@acme.example"])
    clock.sleep(700)
    assert len(other.find_users(["ana@acme.example"])) == 1
    assert other.calls == 2


# ------------------------------------------------------------------------------------------------------ lists


def names_of(people):
    return [one.id for one in people]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([{"Name": "Ann"}], "must select Id from Lead or Contact"),
        ([{"Id": "001000000000001AAA"}], "must select Id from Lead or Contact"),
        ([{"Id": "003000000000001AAA"}, {"Id": "005000000000001AAA"}], "must select Id from Lead or Contact"),
        ([{"expr0": 3}], "must select Id from Lead or Contact"),
    ],
)
def test_a_query_must_select_the_id_of_leads_or_contacts(wire, crm, answer, words):
    wire.get(f"{BASE}/query/", json={"done": True, "records": answer})
    with pytest.raises(Refused, match=words):
        crm.list_people(PeopleSource(soql="SELECT Name FROM Contact"))


def test_a_query_that_is_refused_is_told_in_the_orgs_words_without_its_values(wire, crm):
    told = "\nContact WHERE Email = 'ann@acme.example' AN\n  ^\nERROR at Row:1:Column:52\nunexpected token: 'AN'"
    wire.get(f"{BASE}/query/", json=[{"errorCode": "MALFORMED_QUERY", "message": told}], status=400)
    with pytest.raises(Refused, match="unexpected token: 'AN'") as caught:
        crm.list_people(PeopleSource(soql="SELECT Id FROM Contact WHERE Email = 'ann@acme.example' AN"))
    assert caught.value.code == "MALFORMED_QUERY"
    assert "ann@acme.example" not in caught.value.sentence


VIEW = "00B000000000001AAA"
NOT_FOUND = [{"errorCode": "NOT_FOUND", "message": "x"}]


def view(wire, kind, pages, **more):
    for number, ids in enumerate(pages):
        records = [
            {"columns": [{"fieldNameOrPath": "Name", "value": "x"}, {"fieldNameOrPath": "Id", "value": one}]}
            for one in ids
        ]
        wire.get(
            f"{BASE}/sobjects/{kind}/listviews/{VIEW}/results",
            json={"records": records, **more},
            match=[matchers.query_param_matcher({"limit": "2000", "offset": str(2000 * number)})],
        )


def no_view(wire, kind):
    wire.get(f"{BASE}/sobjects/{kind}/listviews/{VIEW}/results", json=NOT_FOUND, status=404)


def test_a_list_view_is_looked_for_among_contacts_then_leads(wire, org, crm):
    no_view(wire, "Contact")
    view(wire, "Lead", [["00Q000000000001EAA"]])
    org.rows = [lead(1)]
    assert names_of(crm.list_people(PeopleSource(list_view=VIEW))) == ["00Q000000000001EAA"]
    assert names_of(crm.list_people(PeopleSource(list_view=f"Lead/{VIEW}"))) == ["00Q000000000001EAA"]


def test_a_list_view_that_is_not_there_is_said(wire, crm):
    no_view(wire, "Contact")
    no_view(wire, "Lead")
    for name in (VIEW, f"Lead/{VIEW}"):
        with pytest.raises(Refused, match="no such list view"):
            crm.list_people(PeopleSource(list_view=name))


def test_a_list_view_is_read_to_the_end_salesforce_gives_it(wire, org, crm):
    org.rows = [contact(n) for n in range(4000)]
    ids = [row["Id"] for row in org.rows]
    view(wire, "Contact", [ids[:2000], ids[2000:]], done=False)
    with pytest.raises(Refused, match="more than the 4,000 rows"):
        crm.list_people(PeopleSource(list_view=VIEW))
    wire.reset()
    org.__init__(wire)
    org.rows = [contact(n) for n in range(3999)]
    view(wire, "Contact", [ids[:2000], ids[2000:3999]])
    assert names_of(crm.list_people(PeopleSource(list_view=VIEW))) == ids[:3999]


REPORT = "00O000000000001AAA"


def report(wire, **answer):
    wire.get(f"{BASE}/analytics/reports/{REPORT}", json={"allData": True, "hasDetailRows": True, **answer})


def cells(*values):
    return {"dataCells": [{"label": "x", "value": value} for value in values]}


def test_a_report_gives_the_first_person_of_each_row_whatever_its_format(wire, org, crm):
    org.rows = [contact(n) for n in range(1, 5)]
    one, two, three, four = (row["Id"] for row in org.rows)
    facts = {
        "T!T": {"rows": [cells("005000000000001AAA", one)], "aggregates": []},
        "0!T": {"rows": [cells("Acme", two[:15], three)]},
        "0_0!1": {"rows": []},
        # A joined report has one map for each of its blocks.
        "B1": {"T!T": {"rows": [{"dataCells": [{"label": "Eva", "value": "Eva", "recordId": four}]}]}},
    }
    report(wire, factMap=facts)
    assert names_of(crm.list_people(PeopleSource(report=REPORT))) == [one, two, four]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"allData": False, "factMap": {}}, "more than the 2,000 rows"),
        ({"hasDetailRows": False, "factMap": {"T!T": {"aggregates": []}}}, "turn on its detail rows"),
        ({"factMap": {"T!T": {"rows": [cells("Acme", "001000000000001AAA")]}}}, "names no lead or contact"),
    ],
)
def test_a_report_that_cannot_be_read_whole_is_refused(wire, crm, answer, words):
    report(wire, **answer)
    with pytest.raises(Refused, match=words):
        crm.list_people(PeopleSource(report=REPORT))


def test_a_campaign_gives_its_members_and_who_opted_out_is_marked(org, crm):
    org.fields["Campaign"] = {"Id": "id"}
    org.fields["CampaignMember"] = {"ContactId": "reference", "LeadId": "reference"}
    campaign = "701000000000001AAA"

    def member(**who):
        return {"attributes": {"type": "CampaignMember"}, "IsDeleted": False, "ContactId": None, "LeadId": None, **who}

    with pytest.raises(Refused, match="no such campaign"):
        crm.list_people(PeopleSource(campaign=campaign))
    org.rows = [
        {"attributes": {"type": "Campaign"}, "Id": campaign, "IsDeleted": False},
        # A converted lead that the member still names alone, one that it names with its contact, and an account.
        lead(1, IsConverted=True, ConvertedContactId="003000000000001AAA"), contact(1, HasOptedOutOfEmail=True),
        contact(2), member(LeadId="00Q000000000001EAA"), member(LeadId="00Q000000000002EAA", ContactId="003000000000002"),
        member(), member(LeadId="00Q000000000009EAA"),
    ]  # fmt: skip
    people = crm.list_people(PeopleSource(campaign=campaign))
    assert [(one.id, one.opted_out) for one in people] == [("003000000000001AAA", True), ("003000000000002AAA", None)]


def test_ids_are_followed_and_one_that_leads_nowhere_is_refused(org, crm):
    org.rows = [contact(1), lead(1, IsConverted=True, ConvertedContactId="003000000000001AAA"), lead(2)]
    ids = ("00Q000000000002", "003000000000001AAA", "00Q000000000001EAA")
    assert names_of(crm.list_people(PeopleSource(ids=ids))) == ["00Q000000000002EAA", "003000000000001AAA"]
    with pytest.raises(Refused, match="no lead or contact with the id 003000000000007AAA"):
        crm.list_people(PeopleSource(ids=(*ids, "003000000000007AAA")))


@pytest.mark.parametrize(
    "source",
    [
        PeopleSource(list_view="../User"),
        PeopleSource(list_view="Account/00B000000000001AAA"),
        PeopleSource(report="x"),
        PeopleSource(campaign="' OR ''='"),
        PeopleSource(ids=("003000000000001AAA", "001000000000001AAA")),
        PeopleSource(ids=("x",)),
        PeopleSource(),
    ],
)
def test_a_source_that_is_no_id_is_refused_before_any_call(crm, source):
    with pytest.raises(Refused):
        crm.list_people(source)
    assert crm.calls == 0


def test_a_description_a_day_old_is_read_anew(org, crm, clock, opened):
    crm.find_people(emails=["ann@acme.example"])
    clock.sleep(timedelta(days=1).total_seconds())
    opened().find_people(emails=["ann@acme.example"])
    assert org.described == ["Contact", "Lead"] * 2
