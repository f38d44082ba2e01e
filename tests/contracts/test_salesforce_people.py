"""People of the sandbox's org over real HTTP: found, listed, and told of."""

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


def test_people_are_found_by_email_and_id_in_two_calls_each(world):
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
    report = world.org.add_report("Birches", "SELECT Id, Name FROM Contact")
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
