"""Campaigns on pages: what each sees of them, what the numbers are, and whom an action reaches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from connector.sequencing.enrollment import EnrollmentState
from connector.sync.campaign_views import CampaignFiles, view_campaign
from connector.web.campaign_files import address_of, name_of
from tests.web.visitors import ANA, BOB, CY, MAY, ROOT, WEB, Browser, Visitors
from tests.world import CAMPAIGN, World, people

MINE = people(3)
[BOBS] = people(1, domain="bobs")
OTHER = CAMPAIGN.replace("name: Outreach", 'name: "Other / <b>100%</b>"')
BROKEN = "name: Broken\ndays: []\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Ana has three people in Outreach, of whom one replied; Bob has one."""
    with pytest.MonkeyPatch.context() as patch:
        files = {"outreach": CAMPAIGN, "other": OTHER, "broken": BROKEN}
        world = World.make(tmp_path_factory.mktemp("campaigns") / "world", patch, campaign=files, web=WEB)
        world.launch(MINE, rep=ANA, campaign="outreach")
        world.launch([BOBS], rep=BOB, campaign="outreach")
        world.sync()
        world.act("prospect_replies", person=MINE[2].email)
        world.after(minutes=5)
        world.sync()
        yield world
        world.close()


def states(world: World) -> dict[str, EnrollmentState]:
    """Return person -> state."""
    return {person: one.state for person, one in world.enrollments.items()}


#: Who -> (active, replied) in Outreach, as the page says.
COUNTED = {ANA: (2, 1), MAY: (2, 1), BOB: (1, 0), ROOT: (3, 1), CY: (0, 0)}


@pytest.mark.parametrize("user", COUNTED)
def test_each_sees_the_numbers_of_their_own_people(visitors: Visitors, user: str) -> None:
    listed = visitors.browser(user).get("/campaigns").text
    row = next(row for row in listed.split("<tr>") if "Outreach" in row)
    active, replied = COUNTED[user]
    assert f'data-label="Active">{active}<' in row
    assert ("Replied" in row) == bool(replied)
    shown = visitors.browser(user).get("/campaigns/outreach").text
    for person in (*MINE[:2], BOBS):
        assert (person.email in shown) == (user == ROOT or ((person is BOBS) == (user == BOB) and user != CY))


def test_faults_of_files_are_shown_and_names_are_text(visitors: Visitors) -> None:
    listed = visitors.browser(ROOT).get("/campaigns").text
    assert "broken.yaml" in listed
    assert "<b>100%" not in listed
    assert "&lt;b&gt;100%" in listed
    assert visitors.browser(ROOT).get(address_of("Other / <b>100%</b>")).status_code == 200


@pytest.mark.parametrize("name", ["Q4 outreach", "a/b", "100%", "%2F", "Ö/%25 ?#&"])
def test_every_name_has_an_address_that_leads_back(name: str) -> None:

    said = unquote(address_of(name).removeprefix("/campaigns/"))
    assert "/" not in address_of(name).removeprefix("/campaigns/")
    assert name_of(said, CampaignFiles(campaigns={}, templates={}, files={})) == name


def test_the_numbers_of_each_step(world: World) -> None:
    """Day 1: an email that went out, then a call that waits; one replied to the email, and their call is cancelled."""
    files = CampaignFiles(
        campaigns=world.project.loaded.campaigns, templates=world.project.templates, files=world.project.loaded.files
    )
    view = view_campaign(world.office, files, "Outreach", None)
    numbers = {one.step.place: one.numbers for _, views in view.days for one in views}
    email, call, last = numbers["1.1"], numbers["1.2"], numbers["2.1"]
    assert (email.done, email.replied, email.waiting, email.due) == (4, 1, 0, 0)
    assert (call.due, call.skipped, call.waiting) == (3, 1, 0)
    assert (last.waiting, last.done) == (0, 0)
    assert view.line.live == 3


def ask(browser: Browser, **fields: Any) -> tuple[str, str]:
    """Ask for an action; return the page that asks back, and the number it asks for."""
    asked = browser.post("/campaigns/outreach/people", **fields)
    assert asked.status_code == 200, asked.text
    found = re.search(r'name="confirmed" value="(\d+)"', asked.text)
    assert found is not None
    return asked.text, found[1]


def test_an_action_reaches_own_people_alone_once_it_is_confirmed(world: World, visitors: Visitors) -> None:
    browser = visitors.browser(ANA)
    fields = {"action": "pause", "scope": "campaign"}
    asked, number = ask(browser, **fields)
    assert number == "2"
    assert BOBS.email not in asked
    assert EnrollmentState.PAUSED not in states(world).values()
    done = browser.post("/campaigns/outreach/people", **fields, confirmed=number)
    assert done.status_code == 303
    assert "2 people were paused" in browser.get(done.headers["location"]).text
    assert states(world)[BOBS.email] is EnrollmentState.ACTIVE
    one = world.enrollments[MINE[0].email].id
    ids = [one, world.enrollments[BOBS.email].id]
    fields = {"action": "resume", "scope": "chosen", "state": "paused"}
    assert ask(browser, **fields, id=ids)[1] == "1"
    assert browser.post("/campaigns/outreach/people", **fields, id=ids, confirmed="1").status_code == 303
    assert states(world)[MINE[0].email] is EnrollmentState.ACTIVE
    fields = {"action": "resume", "scope": "list", "state": "paused"}
    assert ask(visitors.browser(MAY), **fields)[1] == "1"
    assert visitors.browser(MAY).post("/campaigns/outreach/people", **fields, confirmed="1").status_code == 303
    assert EnrollmentState.PAUSED not in states(world).values()


def test_a_pause_says_until_when_before_it_is_confirmed(world: World, visitors: Visitors) -> None:
    browser, fields = visitors.browser(BOB), {"action": "pause", "scope": "campaign"}
    assert "until somebody resumes them" in ask(browser, **fields)[0]
    asked, _ = ask(browser, **fields, until="2199-12-31")
    assert "until Dec 31, 2199, and goes on then" in asked
    assert 'name="until" value="2199-12-31"' in asked
    assert "cannot be undone" in ask(browser, action="remove", scope="campaign", until="2199-12-31")[0]
    for stray in ("9999-12-31", "0001-01-01", "2200-01-01", "tomorrow"):
        answer = browser.post("/campaigns/outreach/people", **fields, until=stray)
        assert (answer.status_code, "is not a date to pause until" in answer.text) == (422, True), stray
    assert EnrollmentState.PAUSED not in states(world).values()


def test_another_number_than_was_confirmed_is_asked_about_again(world: World, visitors: Visitors) -> None:
    answer = visitors.browser(BOB).post("/campaigns/outreach/people", action="remove", scope="campaign", confirmed="7")
    assert "more or fewer" in answer.text
    assert states(world)[BOBS.email] is EnrollmentState.ACTIVE


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/campaigns/nothing", 404),
        ("/campaigns/outreach?version=abc", 404),
        ("/campaigns/outreach?state=nonsense", 400),
        ("/campaigns/outreach?step=x&after=y", 200),
        ("/campaigns/outreach?state=replied&step=1.2", 200),
        ("/campaigns/nothing/launch", 404),
    ],
)
def test_addresses_that_lead_nowhere_say_so(visitors: Visitors, path: str, status: int) -> None:
    assert visitors.browser(ROOT).get(path).status_code == status


def test_a_changed_file_is_shown_at_once_and_people_move_when_it_is_confirmed(world: World, visitors: Visitors) -> None:
    before = world.enrollments[MINE[0].email].version
    path = world.folder / "campaigns" / "outreach.yaml"
    path.write_text(path.read_text().replace("Ask about", "Ask again about"))
    browser = visitors.browser(ANA)
    assert "2 people are in older versions" in browser.get("/campaigns/outreach").text
    shown = browser.get("/campaigns/outreach/versions").text
    assert "Ask again about" in shown
    fields = dict(re.findall(r'name="(present|moves)" value="([^"]+)"', shown))
    assert fields["moves"] == "2"
    assert browser.post("/campaigns/outreach/versions", **{**fields, "present": before}).status_code == 409
    moved = browser.post("/campaigns/outreach/versions", **fields)
    assert "2 people were moved" in browser.get(moved.headers["location"]).text
    assert world.enrollments[MINE[0].email].version == fields["present"]
    assert world.enrollments[BOBS.email].version == before
