"""Every SOQL the connector sends, judged by soql-parser-js; and the sandbox's own reading of SOQL beside it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapters.sandbox.org import Org
from adapters.sandbox.service import SandboxClock, SandboxLog
from adapters.sandbox.soql import SoqlError, run
from connector.people import Person
from connector.ports import PeopleSource, PersonWrite
from tests.judges.programs import run_script
from tests.world import WorldMaker, people

#: What would break out of a string that is put into a query unescaped, or is a wildcard.
HOSTILE = ("o'hara@x.example", "per%cent@x.example", "under_score@x.example", "a+b@x.example")
USERS = ("o'neil@acme.example", "back\\slash@acme.example", "0055g0000000001AAA")


def judged(queries: list[str]) -> dict[str, str | None]:
    """Return query -> why it is no SOQL, or None."""
    return dict(zip(queries, run_script("parse_soql.cjs", queries), strict=True))


def test_every_query_that_reaches_salesforce_is_soql(make_world: WorldMaker) -> None:
    world = make_world()
    org = world.sandbox.salesforce
    hostile = [Person(email=email, last_name="O'Hara", company="Quote's \\ & Co") for email in HOSTILE]
    world.launch([*people(6), *hostile])
    world.sync()
    keys = [row["Connector_Intent_Id__c"] for row in world.records("Task")]
    acts = ("rep_closes_task", "rep_reopens_task", "rep_deletes_task", "rep_undeletes_task")
    for key, acting in zip(keys, acts, strict=False):
        world.act("rep_closes_task", key=key) if acting == "rep_reopens_task" else None
        world.act("rep_deletes_task", key=key) if acting == "rep_undeletes_task" else None
        world.act(acting, key=key)
    first, second, third = (row["Id"] for row in world.records("Lead")[:3])
    world.act("lead_is_converted", id=first)
    world.act("people_are_merged", winner=second, loser=third)
    for _ in range(3):
        world.after(days=1)
        world.sync()

    crm = world.office.crm
    assert crm is not None
    ids = [row["Id"] for row in (*world.records("Lead"), *world.records("Contact"))]
    many = ["ümläut@x.example", "back\\slash@x.example", *(f"p{number}@far{number}.example" for number in range(2500))]
    crm.find_people(ids=[*ids, first, third], emails=[*HOSTILE, *many], fields=("Account.Name", "Title", "Owner.Name"))
    crm.find_users(USERS)
    crm.check({f"rep{number}@acme.example": user for number, user in enumerate(USERS)})
    campaign = org.add_campaign("Fair", ids[:4])
    view = org.add_list_view("Leads", "SELECT Id FROM Lead")
    report = org.add_report("Leads", "SELECT Id FROM Lead")
    for source in (
        PeopleSource(soql="SELECT Id FROM Lead WHERE Company LIKE 'Client%' ORDER BY CreatedDate DESC LIMIT 5"),
        PeopleSource(list_view=view),
        PeopleSource(report=report),
        PeopleSource(campaign=campaign),
        PeopleSource(ids=tuple(ids)),
    ):
        assert crm.list_people(source)
    crm.push_people([PersonWrite(id=ids[0], fields={"opted_out": True})])

    asked = sorted(set(org.queries))
    assert len(asked) > 15
    assert any("o\\'hara@x.example" in query for query in asked)
    assert {query: why for query, why in judged(asked).items() if why is not None} == {}


#: What both must take, and what both must refuse.
SOQL = (
    "SELECT Id FROM Task",
    "SELECT COUNT() FROM Task WHERE IsClosed = true",
    "SELECT Id, Who.Name FROM Task WHERE (Status = 'x' OR Subject LIKE 'y\\'%') AND ActivityDate = LAST_N_DAYS:3",
    "SELECT Id FROM Lead WHERE Id NOT IN (SELECT LeadId FROM CampaignMember) ORDER BY Name DESC NULLS LAST LIMIT 5",
    "SELECT Id FROM Task WHERE SystemModstamp >= 2026-11-24T09:00:00.000Z",
    "SELECT Id FROM Task WHERE NOT Subject = null",
)
NO_SOQL = (
    "SELECT FROM Task",
    "SELECT Id",
    "SELECT Id FROM Task WHERE",
    "SELECT Id FROM Task WHERE Subject IN ()",
    "SELECT Id FROM Task WHERE Subject = 'open",
    "SELECT Id FROM Task WHERE Subject = 'o'hara'",
    "SELECT Id FROM Task LIMIT x",
    "SELECT Id FROM Task ORDER Subject",
    "SELECT Id,, Subject FROM Task",
    "UPDATE Task SET Subject = 'x'",
)


def test_the_sandbox_takes_and_refuses_what_the_parser_does() -> None:
    verdicts = judged([*SOQL, *NO_SOQL])
    clock = SandboxClock(datetime(2026, 11, 24, tzinfo=UTC))
    org = Org(clock, SandboxLog(clock))
    for query in SOQL:
        assert verdicts[query] is None, query
        run(query, org)
    for query in NO_SOQL:
        assert verdicts[query] is not None, query
        with pytest.raises(SoqlError):
            run(query, org)
