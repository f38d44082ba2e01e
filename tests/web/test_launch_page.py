"""Launching on a page: whoever is named, everything shown before, and exactly that launched, once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests

from connector.errors import BadInput
from connector.people import Person
from connector.store.compositions import read_compositions
from connector.store.ledger import read_events
from connector.sync import actions
from connector.sync.launch_people import MOST, gather
from connector.sync.launch_plans import change, find_plan
from connector.sync.launch_preview import PlanChanged, confirm, show
from tests.web.visitors import ANA, BOB, MAY, ROOT, WEB, Browser, Visitors
from tests.world import CAMPAIGN, World, people

FIXED = """\
name: Fixed
settings: {time_zone: recipient}
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
  - day: 3
    steps:
      - email: {template: nudge, send: "09:30"}
"""
PAT, QUE, RAY = people(3)
[BOBS] = people(1, domain="bobs")
EVIL = Person(email="evil/a&b@x.example", first_name="<script>alert(1)</script>", company="{{ 7 * 7 }}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Pat, Que, Ray and Evil are known and in no campaign; Bob's person is in one of Bob's."""
    with pytest.MonkeyPatch.context() as patch:
        files = {"outreach": CAMPAIGN, "fixed": FIXED}
        world = World.make(tmp_path_factory.mktemp("launch") / "world", patch, campaign=files, web=WEB)
        world.launch([BOBS], rep=BOB, campaign="outreach")
        actions.import_people(world.office, [PAT, QUE, RAY, EVIL])
        yield world
        world.close()


def plan(browser: Browser, campaign: str = "outreach", **fields: Any) -> str:
    """Make a plan; return its address."""
    answer = browser.post(f"/campaigns/{campaign}/launch", **{"rep": ANA, "zone": "Europe/Madrid"} | fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def digest(shown: requests.Response) -> str:
    """Return the digest that a plan's page carries."""
    found = re.search(r'name="digest" value="([0-9a-f]{64})"', shown.text)
    assert found is not None, shown.text
    return found[1]


def test_what_was_shown_is_launched_once_however_often_it_is_clicked(world: World, visitors: Visitors) -> None:
    browser = visitors.browser(ANA)
    at = plan(browser, pasted=f"Pat <{PAT.email}>\n{QUE.email}, nonsense\n", person=[PAT.email])
    shown = browser.get(at)
    assert "Launch 2 people" in shown.text
    assert "nonsense: is not a mail address" in shown.text
    assert "Hello Pat0" in shown.text
    for _ in range(2):
        done = browser.post(at, digest=digest(shown))
        assert (done.status_code, done.headers["location"]) == (303, at)
    assert "2 people were put into the campaign" in browser.get(at).text
    assert {PAT.email, QUE.email} <= set(world.enrollments)
    with world.database.read() as tx:
        launched = [one for _, one in read_events(tx, campaign="Outreach") if one.kind == "launched" and one.rep == ANA]
    assert sorted(one.person or "" for one in launched) == [PAT.email, QUE.email]


def test_a_first_email_in_other_words_goes_out_so_and_the_others_as_their_template_says(
    world: World, visitors: Visitors
) -> None:
    browser = visitors.browser(ANA)
    at = plan(browser, "fixed", pasted=f"{PAT.email} {QUE.email}")
    person = f"{at}/people/{PAT.email}"
    before = digest(browser.get(at))
    assert browser.post(person, do="write", subject="In my words", body="Dear **Pat**").status_code == 303
    assert "In my words" in browser.get(person).text
    shown = browser.get(at)
    assert digest(shown) != before
    assert browser.post(at, digest=before).status_code == 409
    assert browser.post(at, digest=digest(shown)).status_code == 303
    with world.database.read() as tx:
        ids = [one.enrollment for _, one in read_events(tx, person=PAT.email) if one.campaign == "Fixed"]
    assert len(set(ids)) == 1
    world.seed([PAT, QUE])
    world.sync()
    sent = {(mail["to"][0], mail["subject"]) for mail in world.mails(ANA, "sent")}
    assert {(PAT.email, "In my words"), (QUE.email, "Hello Pat1")} <= sent
    assert (QUE.email, "In my words") not in sent
    with world.database.read() as tx:
        keys = [one.intent for _, one in read_events(tx, campaign="Fixed") if one.intent is not None]
        found = read_compositions(tx, keys)
    assert {one.written.subject for one in found.values()} == {"In my words"}


def test_start_zone_and_clock_times_decide_the_calendar(world: World, visitors: Visitors) -> None:
    browser = visitors.browser(MAY)
    at = plan(browser, "fixed", pasted="sam@x.example")
    assert browser.post(at, digest=digest(browser.get(at))).status_code == 303
    on = f"{world.now + timedelta(days=1):%Y-%m-%d}"
    fields = {"when": "at", "date": on, "time": "07:15", "zone": "Asia/Tokyo", "at_3.1": "16:45"}
    table = "email,first_name,time_zone\nnew@x.example,Nia,Asia/Tokyo\nsam@x.example,Sam,\nbad,,\n"
    shown = browser.get(plan(browser, "fixed", pasted=table, **fields)).text
    assert "07:15" in shown
    assert "16:45" in shown
    assert "Asia/Tokyo" in shown
    assert "is in &#39;Fixed&#39; already" in shown
    assert "line 4" in shown
    assert "Launch 1 person" in shown


CHANGES: dict[str, Callable[[World], Any]] = {
    "file": lambda world: edit(world, "campaigns/fixed.yaml", "09:30", "10:30"),
    "template": lambda world: edit(world, "templates/intro.md", "how is", "and how is"),
    "person": lambda world: actions.import_people(
        world.office, [Person(email=RAY.email, first_name="Raymond", company="New")]
    ),
}


def edit(world: World, name: str, old: str, new: str) -> None:
    path = world.folder / name
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_since_it_was_shown_must_be_confirmed_again(world: World, visitors: Visitors, change: str) -> None:
    browser = visitors.browser(ANA)
    at = plan(browser, "fixed", pasted=RAY.email)
    before = digest(browser.get(at))
    CHANGES[change](world)
    answer = browser.post(at, digest=before)
    assert answer.status_code == 409
    assert "Something has changed since this was shown" in answer.text
    assert RAY.email not in world.enrollments
    assert digest(answer) != before


def test_what_another_window_changed_while_it_was_confirmed_is_not_passed_over(
    world: World, visitors: Visitors
) -> None:
    first, second = "una@x.example", "dua@x.example"
    at = plan(visitors.browser(ANA), "fixed", pasted=f"{first},{second}")
    read = find_plan(world.office, at.rpartition("/")[2], ANA)
    campaign, templates = world.project.campaign("fixed"), world.project.templates
    shown = show(world.office, campaign, templates, read, reps=frozenset({ANA}))
    change(world.office, read.id, ANA, lambda one: one.without(first))
    with pytest.raises(PlanChanged, match="in another window"):
        confirm(world.office, campaign, templates, read, reps=frozenset({ANA}), digest=shown.digest)
    assert not {first, second} & set(world.enrollments)
    assert find_plan(world.office, read.id, ANA).outcome is None


def test_another_rep_s_people_and_plans_stay_theirs(visitors: Visitors) -> None:
    browser = visitors.browser(ANA)
    shown = browser.get(plan(browser, "fixed", pasted=f"{BOBS.email},{RAY.email}")).text
    assert "is in the hands of another rep" in shown
    assert BOBS.company not in shown
    at = plan(visitors.browser(ROOT), "fixed", pasted=BOBS.email)
    assert visitors.browser(ROOT).get(at).status_code == 200
    assert browser.get(at).status_code == 404
    assert browser.post(at, digest="0" * 64).status_code == 404
    assert BOBS.email not in browser.get("/campaigns/fixed/launch/search", q="p0").text
    assert BOBS.email in visitors.browser(ROOT).get("/campaigns/fixed/launch/search", q="p0").text


REFUSED = {
    "nobody": ({}, "Nobody was named"),
    "another rep": ({"rep": BOB, "pasted": "a@x.example"}, "Choose the rep"),
    "no zone": ({"zone": "Mars/Base", "pasted": "a@x.example"}, "There is no time zone"),
    "no date": ({"when": "at", "pasted": "a@x.example"}, "Say on which date"),
    "the end of the calendar": (
        {"when": "at", "date": "9999-12-31", "time": "23:59", "pasted": "a@x.example"},
        "Say on",
    ),
    "its beginning": (
        {"when": "at", "date": "0001-01-01", "time": "00:00", "pasted": "a@x.example"},
        "Say on which date",
    ),
    "too far": ({"when": "at", "date": "2200-01-01", "time": "00:00", "pasted": "a@x.example"}, "Say on which date"),
    "two zones": ({"when": "at", "date": "2030-01-01", "time": "09:00+05:00", "pasted": "a@x.example"}, "at what time"),
    "a clock with a zone": ({"at_3.1": "09:30Z", "pasted": "a@x.example"}, "is not a clock time"),
    "no clock": ({"at_3.1": "25:99", "pasted": "a@x.example"}, "is not a clock time"),
    "no table": ({"pasted": "email,email\na@x.example,b@x.example"}, "stands twice"),
    "a query": ({"source": "soql", "source_value": "SELECT Id FROM Lead"}, "Choose what the people"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_form_that_cannot_be_launched_says_why_and_keeps_what_was_written(visitors: Visitors, case: str) -> None:
    fields, sentence = REFUSED[case]
    answer = visitors.browser(ANA).post("/campaigns/fixed/launch", **{"rep": ANA, "zone": "UTC"} | fields)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert fields.get("pasted", "").splitlines()[:1] == [] or fields["pasted"].splitlines()[0] in answer.text


def test_the_first_email_is_shown_as_its_person_sees_it_in_a_frame_that_runs_nothing(visitors: Visitors) -> None:
    browser = visitors.browser(ANA)
    at = plan(browser, "fixed", pasted=f"framed@x.example {EVIL.email}")
    person, quoted = f"{at}/people/framed@x.example", f"{at}/people/framed%40x.example"
    assert browser.post(person, do="write", subject="Framed", body="Dear **you**<script>x</script>").status_code == 303
    assert re.search(rf'<iframe[^>]* sandbox [^>]*src="{quoted}/preview"', browser.get(person).text)
    frame = browser.get(f"{person}/preview")
    assert "<strong>you</strong>" in frame.text
    assert "<script" not in frame.text
    policy = frame.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert policy.endswith("sandbox")
    assert browser.get(f"{at}/people/{quote(EVIL.email)}/preview").status_code == 200
    assert browser.get(f"{at}/people/nobody@x.example/preview").status_code == 422
    assert visitors.browser(ROOT).get(f"{person}/preview").status_code == 404


def test_a_start_that_has_passed_is_said(world: World, visitors: Visitors) -> None:
    browser = visitors.browser(ANA)
    on = f"{world.now - timedelta(days=1):%Y-%m-%d}"
    answer = browser.get(plan(browser, "fixed", pasted=RAY.email, when="at", date=on, time="09:00"))
    assert answer.status_code == 422
    assert "is in the past" in answer.text


def test_what_people_and_templates_hold_stays_text(visitors: Visitors) -> None:
    browser = visitors.browser(ANA)
    at = plan(browser, "fixed", pasted=EVIL.email)
    for page in (at, f"{at}/people/{quote(EVIL.email)}", "/campaigns/fixed/launch/search?q=evil"):
        shown = browser.get(page).text
        assert "<script>alert" not in shown
        assert "&lt;script&gt;alert" in shown


def test_a_table_is_taken_as_a_file_and_people_can_be_left_out_one_by_one(visitors: Visitors) -> None:
    browser = visitors.browser(ANA)
    token = re.search(r'name="csrf" value="([^"]+)"', browser.get("/campaigns").text)
    assert token is not None
    answer = requests.post(
        f"{browser.url}/campaigns/fixed/launch",
        data={"csrf": token[1], "rep": ANA, "zone": "UTC"},
        files={"table": ("p.csv", f"email\n{RAY.email}\nx@y.example\n".encode())},
        cookies=browser.cookies,
        allow_redirects=False,
        timeout=30,
    )
    at = answer.headers["location"]
    assert "Launch 2 people" in browser.get(at).text
    assert browser.post(f"{at}/people/{RAY.email}", do="out").status_code == 303
    shown = browser.get(at).text
    assert "Launch 1 person" in shown
    assert "taken out by hand" in shown
    again = plan(browser, "fixed", plan=at.rpartition("/")[2], pasted="z@y.example")
    assert "Launch 2 people" in browser.get(again).text


def test_people_come_from_the_crm(world: World, visitors: Visitors) -> None:
    lead = Person(email="lena@lead.example", first_name="Lena", last_name="Lead", company="Leads & Co")
    world.seed([lead])
    ids = [one["Id"] for one in (*world.records("Lead"), *world.records("Contact")) if one["Email"] == lead.email]
    browser = visitors.browser(ANA)
    shown = browser.get(plan(browser, "fixed", source="ids", source_value=ids[0])).text
    assert "Lena Lead" in shown
    assert "Leads &amp; Co" in shown
    assert "Launch 1 person" in shown


def test_people_are_found_without_a_script_too(visitors: Visitors) -> None:
    fields = {"rep": ANA, "zone": "UTC", "do": "search", "q": "client2", "pasted": "kept@x.example"}
    answer = visitors.browser(ANA).post("/campaigns/fixed/launch", **fields)
    assert answer.status_code == 200
    assert f'value="{RAY.email}"' in answer.text
    assert "kept@x.example" in answer.text


def test_what_a_form_ticks_is_held_to_be_an_address_too(visitors: Visitors) -> None:
    browser = visitors.browser(ANA)
    ticked = ["x@client.example,y@client.example", "x@client.example\r\nBcc: z@client.example", PAT.email]
    shown = browser.get(plan(browser, "fixed", person=ticked)).text
    assert shown.count("is not a mail address") == 2
    assert PAT.email in shown


def test_a_name_before_an_address_counts_for_somebody_who_is_not_known(world: World) -> None:
    pasted = f'"Ann Mary Lee" <Ann@new.example>; Bea <bea@new.example>, Somebody Else <{PAT.email}>, Nobody <none>'
    found = gather(world.office, pasted=pasted)
    given = {email: one.given for email, one in found.candidates.items()}
    assert given == {
        "ann@new.example": Person(email="ann@new.example", first_name="Ann", last_name="Mary Lee"),
        "bea@new.example": Person(email="bea@new.example", first_name="Bea"),
        PAT.email: None,
    }
    assert [one.person for one in found.left_out] == ["none"]


def test_too_many_people_are_refused(world: World) -> None:
    found = gather(world.office, pasted="\n".join(f"p{number}@x.example" for number in range(MOST)))
    assert len(found.candidates) == MOST
    with pytest.raises(BadInput, match="launch them in parts"):
        gather(world.office, pasted="\n".join(f"p{number}@x.example" for number in range(MOST + 1)))
