"""People: who sees whom, what a person's page says and why, and what may be done there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.salesforce.account import SalesforceAccount
from connector.events import EventKind
from connector.people import Person
from connector.sequencing.enrollment import EnrollmentState
from connector.store.enrollments import find_enrollments
from connector.store.people import mark_person
from connector.store.people_pages import PeopleFilter, Standing
from connector.sync import actions
from connector.sync.feed import call_address, safe_address
from connector.sync.people_views import list_people
from connector.web.people import record_address
from tests.web.site import CALL
from tests.web.visitors import ANA, BOB, CY, MAY, ROOT, WEB, Visitors
from tests.world import CAMPAIGN, World, people

PAT, QUE = people(2)
RAY = Person(email="ray@shared.example", first_name="Ray", last_name="Poe")
ZOE = Person(email="zoe/a&b@nowhere.example", first_name="Zoë", last_name="<i>Lund</i>", company="No 100% Co")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Pat is in a campaign of Ana, Que in one of Bob, Ray in one of each, Zoe in none."""
    with pytest.MonkeyPatch.context() as patch:
        world = World.make(
            tmp_path_factory.mktemp("people") / "world", patch, web=WEB, campaign={"outreach": CAMPAIGN, "call": CALL}
        )
        world.launch([PAT, RAY], rep=ANA, campaign="outreach")
        world.launch([QUE], rep=BOB, campaign="outreach")
        world.launch([RAY], rep=BOB, campaign="call")
        actions.import_people(world.office, [ZOE])
        world.sync()
        yield world
        world.close()


#: Who -> whom they see; somebody whom nobody writes to is everybody's.
SEEN = {ANA: [PAT, ZOE], BOB: [QUE, ZOE], CY: [ZOE], MAY: [PAT, ZOE], ROOT: [PAT, QUE, ZOE]}


def path_of(person: Person) -> str:
    """Return the path of a person's page as our links write it."""
    return "/people/" + person.email.replace("@", "%40").replace("&", "%26")


@pytest.mark.parametrize("user", SEEN)
def test_each_sees_their_own_people_and_nobody_else_s(visitors: Visitors, user: str) -> None:
    browser = visitors.browser(user)
    listed = browser.get("/people").text
    for person in (PAT, QUE, ZOE):
        mine = person in SEEN[user]
        assert (f'href="{path_of(person)}"' in listed) == mine
        assert browser.get(path_of(person)).status_code == (200 if mine else 404)


#: What is looked for -> who is found, as an administrator.
LOOKED_FOR: dict[str, tuple[dict[str, str], list[Person]]] = {
    "everybody": ({}, [PAT, QUE, ZOE]),
    "the beginning of a first name": ({"search": "pat0"}, [PAT]),
    "in capitals": ({"search": "PAT1"}, [QUE]),
    "two words of two fields": ({"search": "doe client0"}, [PAT]),
    "a word of an address": ({"search": "@nowh"}, [ZOE]),
    "a company": ({"search": "client"}, [PAT, QUE]),
    "what databases take for a wildcard": ({"search": "100%"}, [ZOE]),
    "and another": ({"search": "p_t"}, []),
    "nobody": ({"search": "pat0 client1"}, []),
    "a campaign": ({"campaign": "Outreach"}, [PAT, QUE]),
    "no such campaign": ({"campaign": "Other"}, []),
    "active": ({"standing": "active"}, [PAT, QUE]),
    "paused": ({"standing": "paused", "campaign": "Outreach"}, []),
    "in none": ({"standing": "in_none"}, [ZOE]),
    "all at once": ({"search": "pat", "campaign": "Outreach", "standing": "active"}, [PAT, QUE]),
}


@pytest.mark.parametrize("name", LOOKED_FOR)
def test_people_are_found(visitors: Visitors, name: str) -> None:
    query, expected = LOOKED_FOR[name]
    page = visitors.browser(ROOT).get("/people", **query).text
    assert [one for one in (PAT, QUE, ZOE) if f'href="{path_of(one)}"' in page] == expected


def test_people_stand_on_pages_by_address(world: World) -> None:
    """With every filter that may be on, on the same people."""
    seen, after = [], ""
    while True:
        page = list_people(world.office, PeopleFilter(search="example"), reps=None, after=after, most=1)
        seen += [line.stored.person.email for line in page.lines]
        if page.next is None:
            break
        after = page.next
    assert seen == sorted(one.email for one in (PAT, QUE, RAY, ZOE))
    for standing in Standing:
        list_people(world.office, PeopleFilter(campaign="Outreach", standing=standing), reps=[ANA])


def test_a_page_says_what_happened_why_and_what_comes(world: World, visitors: Visitors) -> None:
    page = visitors.browser(ANA).get(path_of(PAT)).text
    for said in (
        "put p0@client0.example into &#39;Outreach&#39;",
        "Campaigns, and what comes",
        "Call Pat0",
        "waits for day 1, step 2 (call), which is open",
        "Day 2, step 1: Email",
        "Mails sent",
        "Client 0",
        "Why:",
    ):
        assert said in page, said
    (sent,) = world.facts(EventKind.SENT, person=PAT.email)
    assert f'href="/tasks/{sent.intent}">Hello Pat0</a>' in page
    assert QUE.email not in page


def test_what_is_unknown_or_hostile_is_text(visitors: Visitors) -> None:
    page = visitors.browser(ROOT).get(path_of(ZOE)).text
    assert "Zoë &lt;i&gt;Lund&lt;/i&gt;" in page
    assert "<i>Lund" not in page
    assert "In no campaign yet." in page
    assert 'href="mailto:zoe%2Fa%26b@nowhere.example"' in page


def test_a_campaign_is_paused_goes_on_and_is_left(world: World, visitors: Visitors) -> None:
    mine = world.enrollments[PAT.email]
    path = f"/people/{PAT.email}/campaign"
    # Another's person is not there; another's enrollment is none of this person's.
    assert visitors.browser(BOB).post(path, enrollment=mine.id, action="remove").status_code == 404
    wrong = visitors.browser(ANA).post(path, enrollment=world.enrollments[QUE.email].id, action="remove")
    assert wrong.status_code == 422
    forged = visitors.browser(ANA).post(path, csrf="", enrollment=mine.id, action="remove")
    assert forged.status_code == 403
    assert world.enrollments[PAT.email].state is EnrollmentState.ACTIVE
    late = visitors.browser(ANA).post(path, enrollment=mine.id, action="pause", until="2020-01-01")
    assert late.status_code == 422
    for action, state in (("pause", EnrollmentState.PAUSED), ("resume", EnrollmentState.ACTIVE)):
        done = visitors.browser(MAY).post(path, enrollment=mine.id, action=action, until="")
        assert (done.status_code, done.headers["location"]) == (303, f"/people/{PAT.email}?done={action}")
        assert 'role="status"' in visitors.browser(MAY).get(done.headers["location"]).text
        assert world.enrollments[PAT.email].state is state
    assert world.facts(EventKind.PAUSED)[-1].reason == f"by hand, by {MAY}"
    visitors.browser(ANA).post(path, enrollment=mine.id, action="remove")
    assert world.enrollments[PAT.email].state is EnrollmentState.REMOVED
    assert visitors.browser(ANA).post(path, enrollment=mine.id, action="resume").status_code == 422


def test_of_somebody_shared_each_sees_and_does_their_own(world: World, visitors: Visitors) -> None:
    page = visitors.browser(ANA).get(path_of(RAY)).text
    assert ("Hello Ray" in page, "Call Ray" in page, BOB in page) == (True, True, False)
    with world.database.read() as tx:
        of = {one.rep: one for one in find_enrollments(tx, persons=[RAY.email])}
    path = f"/people/{RAY.email}/campaign"
    assert visitors.browser(ANA).post(path, enrollment=of[BOB].id, action="remove").status_code == 422
    assert visitors.browser(BOB).post(path, enrollment=of[BOB].id, action="remove").status_code == 303
    with world.database.read() as tx:
        assert [one.rep for one in find_enrollments(tx, persons=[RAY.email])] == [ANA]


def test_an_opt_out_holds_and_is_taken_back_with_a_reason_by_whoever_may(world: World, visitors: Visitors) -> None:
    path = f"/people/{QUE.email}"
    assert visitors.browser(ANA).post(f"{path}/opt-out").status_code == 404
    assert visitors.browser(BOB).post(f"{path}/opt-out", reason="asked on the phone").status_code == 303
    assert world.enrollments[QUE.email].state is EnrollmentState.OPTED_OUT
    page = visitors.browser(BOB).get(path).text
    assert "Asked on the phone (bob@acme.example)." in page
    assert visitors.browser(BOB).post(f"{path}/undo-opt-out", reason="").status_code in (400, 422)
    assert visitors.browser(BOB).post(f"{path}/undo-opt-out", reason="a mistake").status_code == 303
    assert visitors.browser(BOB).post(f"{path}/undo-opt-out", reason="again").status_code == 422
    assert world.facts(EventKind.OPT_OUT_UNDONE)[-1].reason == "a mistake (bob@acme.example)"
    # Whom nobody writes to anybody may protect, and only an administrator lets be written to again.
    nobodys = path_of(ZOE)
    assert visitors.browser(CY).post(f"{nobodys}/opt-out").status_code == 303
    assert visitors.browser(CY).post(f"{nobodys}/undo-opt-out", reason="no").status_code == 403
    assert visitors.browser(ROOT).post(f"{nobodys}/undo-opt-out", reason="yes").status_code == 303


def test_who_bounced_or_is_like_several_records_says_so(world: World, visitors: Visitors) -> None:
    with world.database.write() as tx:
        mark_person(tx, ZOE.email, bounced=world.now, bounce_reason="550 <b>no</b> such user", held=world.now)
        mark_person(tx, ZOE.email, crm_ambiguous=["003000000000001AAA", "javascript:alert(1)"])
    page = visitors.browser(ROOT).get(path_of(ZOE)).text
    assert "550 &lt;b&gt;no&lt;/b&gt; such user" in page
    assert "Several records" in page
    assert "003000000000001AAA" in page
    assert 'href="javascript:' not in page


NUMBERS = {
    "+46 8 123 45 67": "tel:+4681234567",
    "(555) 010-9999 x12": "tel:5550109999",
    "555 0100 ext. 3": "tel:5550100",
    "call me": None,
    "": None,
    "12": None,
    "javascript:alert(55555555)": "tel:55555555",
}
ADDRESSES = {
    "https://www.linkedin.com/in/pat": True,
    "http://www.linkedin.com/in/pat": False,
    "javascript:alert(1)": False,
    "https://good.example@evil.example/": False,
    "https:///x": False,
    'https://x.example/" onclick="x': False,
    "https://[x": False,
    "": False,
    "www.linkedin.com/in/pat": False,
}


def test_addresses_of_other_people_s_making_are_links_when_they_can_do_no_harm() -> None:
    assert {number: call_address(number) for number in NUMBERS} == NUMBERS
    assert {address: safe_address(address) == address for address in ADDRESSES} == ADDRESSES


RECORD = "003000000000001AAA"
ORGS: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "as configured": ({"instance_url": "https://acme.my.salesforce.com/"}, RECORD, "https://acme.my.salesforce.com/"),
    "by its domain": ({"domain": "acme--box.sandbox.my"}, RECORD, "https://acme--box.sandbox.my.salesforce.com/"),
    "nobody knows which": ({"domain": "login"}, RECORD, None),
    "nothing said": ({}, RECORD, None),
    "plain http": ({"instance_url": "http://127.0.0.1:1"}, RECORD, None),
    "no record": ({"instance_url": "https://acme.my.salesforce.com"}, "../setup?x", None),
    "an empty one": ({"instance_url": "https://acme.my.salesforce.com"}, "", None),
}


@pytest.mark.parametrize("name", ORGS)
def test_a_record_is_linked_when_its_org_is_known(name: str) -> None:
    from types import SimpleNamespace  # noqa: PLC0415 - only here

    account, record, place = ORGS[name]
    settings = SimpleNamespace(crm="salesforce", accounts={"salesforce": SalesforceAccount.model_construct(**account)})
    site: Any = SimpleNamespace(project=SimpleNamespace(settings=settings))
    assert record_address(site, record) == (None if place is None else f"{place}{record}")
