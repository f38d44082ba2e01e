"""People of the sandbox's org over real HTTP: found, listed, and told of."""

from datetime import UTC, datetime

import pytest
from salesforce_world import open_world

from connector.errors import Refused
from connector.ports import PeopleSource, PersonWrite


@pytest.fixture
def world(tmp_path, monkeypatch):
    with open_world(tmp_path, monkeypatch) as opened:
        yield opened


def push_opt_out(crm, ids):
    return crm.push_people([PersonWrite(id=one, fields={"opted_out": True}) for one in ids])


def test_people_are_found_by_email_and_id_in_one_call(world):
    world.org.add_lead(LastName="Lee", Email="ANN@birch.example", Company="Birch")
    crm = world.open()
    found = crm.find_people(
        emails=["Ann@Birch.example", "nobody@birch.example"], ids=[world.lead], fields=["Account.Name", "Nonsense__c"]
    )
    contact, lead = found["ann@birch.example"]
    assert (contact.id, contact.kind, contact.company, contact.account_id) == (
        world.contact, "contact", "Birch Ltd", world.account,
    )  # fmt: skip
    assert contact.opted_out is False
    assert contact.fields == {"Account.Name": "Birch Ltd", "Nonsense__c": None}
    assert (lead.kind, lead.fields) == ("lead", {"Account.Name": None, "Nonsense__c": None})
    assert [one.id for one in found[world.lead]] == [world.lead]
    assert found["nobody@birch.example"] == ()


def test_a_fault_in_an_address_does_not_become_a_query(world):
    found = world.open().find_people(emails=["x' OR Email LIKE '%"])
    assert found == {"x' or email like '%": ()}


def test_people_come_from_queries_list_views_reports_and_campaigns(world):
    crm = world.open()
    view = world.org.add_list_view("Oaks", "SELECT Id, Name FROM Lead WHERE Company = 'Oak Inc'")
    report = world.org.add_report("Birches", "SELECT Id, Name FROM Contact WHERE LastName = 'Lee'")
    campaign = world.org.add_campaign("Fair", [world.contact, world.lead])
    both = [world.contact, world.lead]
    for source, expected in [
        (PeopleSource(soql="SELECT Id FROM Contact WHERE LastName = 'Lee'"), [world.contact]),
        (PeopleSource(list_view=view), [world.lead]),
        (PeopleSource(list_view=f"Lead/{view}"), [world.lead]),
        (PeopleSource(report=report), [world.contact]),
        (PeopleSource(campaign=campaign), both),
    ]:
        assert [person.id for person in crm.list_people(source)] == expected
    with pytest.raises(Refused):
        crm.list_people(PeopleSource(soql="DELETE everything"))


def test_only_active_users_own_tasks(world):
    crm = world.open()
    gone = world.org.add_user(Username="ben@acme.example", LastName="Ng", Email="ben@acme.example", IsActive=False)
    assert crm.find_users(["ANA@acme.example", world.ana, gone, "ben@acme.example"]) == {
        "ANA@acme.example": world.ana,
        world.ana: world.ana,
    }


def test_an_opt_out_reaches_leads_and_contacts(world):
    crm = world.open()
    unknown = "003000000099999AAA"
    results = push_opt_out(crm, [world.lead, unknown, world.contact])
    assert [result.error.code if result.error else None for result in results] == [
        None, "INVALID_CROSS_REFERENCE_KEY", None,
    ]  # fmt: skip
    found = crm.find_people(ids=[world.lead, world.contact])
    assert [one.opted_out for matches in found.values() for one in matches] == [True, True]


def test_thousands_of_people_are_found_in_few_calls(world):
    for number in range(300):
        world.org.add_lead(LastName="x", Email=f"p{number}@many.example", Company="Many")
    crm = world.open()
    emails = [f"P{number}@many.example" for number in range(3000)]
    found = crm.find_people(emails=emails, ids=[world.contact], fields=["Account.Name"])
    assert sum(len(matches) for matches in found.values()) == 301
    # Two describe the objects; a lead has no account, which is asked about once.
    assert crm.calls == 2 + 2


def test_a_merged_or_converted_record_leads_to_the_one_that_stands_for_it(world):
    contact = world.sandbox.act("lead_is_converted", id=world.lead)["id"]
    world.sandbox.act("people_are_merged", winner=world.contact, loser=contact)
    crm = world.open()
    found = crm.find_people(ids=[world.lead, contact, world.other])
    assert {one: [person.id for person in matches] for one, matches in found.items()} == {
        world.lead: [world.contact], contact: [world.contact], world.other: [world.other],
    }  # fmt: skip


def test_a_person_who_was_deleted_is_not_found(world):
    world.sandbox.act("person_is_deleted", id=world.contact)
    found = world.open().find_people(ids=[world.contact], emails=["ann@birch.example"])
    assert found == {world.contact: (), "ann@birch.example": ()}


def test_a_hidden_opt_out_is_not_known(world):
    world.sandbox.act("person_opts_out", id=world.contact)
    world.org.hide_field("Contact", "HasOptedOutOfEmail")
    (person,) = world.open().find_people(ids=[world.contact])[world.contact]
    assert person.opted_out is None


def test_people_are_pulled_by_id_and_an_unknown_id_is_refused(world):
    crm = world.open()
    contact = world.sandbox.act("lead_is_converted", id=world.lead)["id"]
    people = crm.list_people(PeopleSource(ids=(world.lead, world.contact[:15])))
    assert [person.id for person in people] == [contact, world.contact]
    with pytest.raises(Refused, match="no lead or contact with the id 003000000000099AAA"):
        crm.list_people(PeopleSource(ids=(world.contact, "003000000000099AAA")))


def test_a_campaign_gives_those_who_are_there_and_marks_who_opted_out(world):
    campaign = world.org.add_campaign("Fair", [world.lead, world.contact, world.other])
    contact = world.sandbox.act("lead_is_converted", id=world.lead)["id"]
    world.sandbox.act("person_opts_out", id=world.contact)
    world.sandbox.act("person_is_deleted", id=world.other)
    people = world.open().list_people(PeopleSource(campaign=campaign))
    assert [(person.id, person.opted_out) for person in people] == [(contact, False), (world.contact, True)]
    with pytest.raises(Refused, match="no such campaign"):
        world.open().list_people(PeopleSource(campaign="701000000000099AAA"))


@pytest.mark.parametrize(
    ("soql", "words"),
    [
        ("SELEKT Id FROM Contact", "not one Salesforce understands"),
        ("SELECT Id FROM Contact WHERE Email = 'ann@birch.example' ORDER Name", "not one Salesforce understands"),
        ("SELECT Id, Shoe_Size__c FROM Contact", "Shoe_Size__c is missing"),
        ("SELECT Id FROM Shoe__c", "no such kind of record"),
        ("SELECT Name FROM Contact", "must select Id"),
        ("select count( ) FROM Contact", "not count them"),
        ("SELECT Id FROM User", "must select Id"),
        ("", "not one Salesforce understands"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused_in_words_and_without_its_values(world, soql, words):
    with pytest.raises(Refused, match=words) as caught:
        world.open().list_people(PeopleSource(soql=soql))
    assert "ann@birch" not in caught.value.sentence


def test_a_list_view_beyond_its_end_is_refused(world):
    for number in range(4001):
        world.org.org.add("Lead", LastName="x", Email=f"p{number}@many.example", Company="Many")
    crm = world.open()
    view = world.org.add_list_view("Many", "SELECT Id FROM Lead WHERE Company = 'Many'")
    with pytest.raises(Refused, match="more than the 4,000 rows"):
        crm.list_people(PeopleSource(list_view=f"Lead/{view}"))
    report = world.org.add_report("Many", "SELECT Id, Name FROM Lead WHERE Company = 'Many'")
    with pytest.raises(Refused, match="more than the 2,000 rows"):
        crm.list_people(PeopleSource(report=report))
    view = world.org.add_list_view("Most", "SELECT Id FROM Lead WHERE Company = 'Many' LIMIT 3999")
    assert len(crm.list_people(PeopleSource(list_view=f"Lead/{view}"))) == 3999


# ------------------------------------------------------------------------------------------------------- facts


def test_an_opt_out_for_a_converted_lead_reaches_its_contact(world):
    contact = world.sandbox.act("lead_is_converted", id=world.lead)["id"]
    (result,) = push_opt_out(world.open(), [world.lead])
    assert (result.key, result.remote_id, result.error) == (world.lead, contact, None)
    assert world.record(contact)["HasOptedOutOfEmail"] is True


def test_facts_go_to_fields_of_their_own_types(world):
    for kind in ("Contact", "Lead"):
        world.org.add_field(kind, "Current__c", "string", length=10)
        world.org.add_field(kind, "Last_Mail__c", "date")
    rollup = {"current_campaign": "Current__c", "last_activity": "Last_Mail__c", "last_replied": "Nowhere__c"}
    crm = world.open({"rollup": rollup})
    at = datetime(2023, 11, 27, 23, 30, tzinfo=UTC)
    facts = {"current_campaign": "Q4 outreach", "last_activity": at, "last_replied": at, "bounced_at": at}
    results = crm.push_people([PersonWrite(id=one, fields=facts) for one in (world.contact, world.lead)])
    assert [result.error for result in results] == [None, None]
    for one in (world.contact, world.lead):
        record = world.record(one)
        assert (record["Current__c"], record["Last_Mail__c"]) == ("Q4 outreac", "2023-11-27")
        assert record["EmailBouncedDate"].startswith("2023-11-27T23:30:00")
    assert crm._facts.left_out().keys() == {"Contact.Nowhere__c", "Lead.Nowhere__c"}
    crm.push_people([PersonWrite(id=world.contact, fields={"current_campaign": None})])
    assert "Current__c" not in world.record(world.contact)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_opt_out_that_cannot_be_written_is_told_and_the_rest_is_written(world, when):
    crm = world.open()
    if when == "after":
        push_opt_out(crm, [world.other])
    world.org.readonly_field("Contact", "HasOptedOutOfEmail")
    facts = {"opted_out": True, "bounced_reason": "550"}
    refused, written = crm.push_people([PersonWrite(id=one, fields=facts) for one in (world.contact, world.lead)])
    assert written.error is None
    assert "Contact.HasOptedOutOfEmail" in refused.error.sentence
    assert world.record(world.contact)["EmailBouncedReason"] == "550"
    assert world.record(world.contact)["HasOptedOutOfEmail"] is False
