"""Settings: one's own choices, and what each may know of accounts, mailboxes and records that were not taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from connector.store.lanes import read_pacing, save_pacing
from connector.store.schema import tasks
from connector.sync.diagnostics import list_diagnostics
from tests.web.visitors import ANA, BOB, CY, MAY, ROOT, WEB, Visitors
from tests.world import World, people

PAT, QUE = people(2)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A task of Ana and one of Bob were refused by the CRM; Ana's mailbox was sent from."""
    with pytest.MonkeyPatch.context() as patch:
        world = World.make(
            tmp_path_factory.mktemp("settings") / "world",
            patch,
            web=WEB,
            salesforce={"tasks": "both"},
            pacing={"gmail": {"per_second": 1, "per_day": 1500}},
        )
        world.launch([PAT], rep=ANA)
        world.launch([QUE], rep=BOB)
        world.sync()
        with world.database.write() as tx:
            told = {"problem": "a rule says <b>no</b>", "code": "FIELD_RULE", "category": "record", "advice": "mend it"}
            tx.execute(tasks.update().values(dirty=1, failed=world.now, due=world.now + timedelta(hours=1), **told))
        yield world
        world.close()


SEEN = {ANA: {ANA}, BOB: {BOB}, CY: {CY}, MAY: {ANA}, ROOT: {ANA, BOB, CY}}


@pytest.mark.parametrize("user", SEEN)
def test_each_sees_the_mailboxes_and_records_of_their_reps(visitors: Visitors, user: str) -> None:
    page = visitors.browser(user).get("/settings/health")
    assert page.status_code == 200
    body = page.text.partition('id="mailboxes"')[2]
    assert {rep for rep in (ANA, BOB, CY) if rep in body} == SEEN[user]
    assert {one for one in (PAT.email, QUE.email) if one in body} == {
        {ANA: PAT.email, BOB: QUE.email}[rep] for rep in SEEN[user] if rep != CY
    }
    assert "<b>no</b>" not in page.text
    assert ("Calls today" in page.text) == (user in (MAY, ROOT))
    assert ("/settings/doctor" in page.text) == (user == ROOT)
    assert ("Mend it." in page.text) == (user == ROOT)


def test_a_mailbox_says_how_it_stands(world: World, visitors: Visitors) -> None:
    lane = f"gmail:{ANA}"
    with world.database.write() as tx:
        before = read_pacing(tx, lane)
        later = world.now + timedelta(hours=2)
        stopped = replace(
            before, day=world.now.date(), day_count=1234, next_at=later, blocked_until=later, problem="sign in <again>"
        )
        save_pacing(tx, lane, stopped)
    page = visitors.browser(ANA).get("/settings/health").text
    for said in ("1,234", "of 1,500", "Sign in &lt;again&gt;.", "Nothing is asked of it before", "Needs attention"):
        assert said in page, said
    assert "Nothing is worked: start &#39;connector run&#39;." in page
    with world.database.write() as tx:
        save_pacing(tx, lane, replace(stopped, day_count=1500, blocked_until=None, problem=None))
    assert "limit is used up" in visitors.browser(ANA).get("/settings/health").text
    with world.database.write() as tx:
        save_pacing(tx, lane, before)


def test_each_tries_again_what_is_theirs(world: World, visitors: Visitors) -> None:
    of = {one.rep: one.id for one in list_diagnostics(world.office)}
    assert visitors.browser(ANA).post("/settings/retry", record=of[BOB]).status_code == 422
    assert visitors.browser(CY).post("/settings/retry").headers["location"] == "/settings/health?retried=0"
    assert visitors.browser(ANA).post("/settings/retry", csrf="").status_code == 403
    done = visitors.browser(ANA).post("/settings/retry", record=of[ANA])
    assert (done.status_code, done.headers["location"]) == (303, "/settings/health?retried=1")
    assert "1 record is tried" in visitors.browser(ANA).get(done.headers["location"]).text
    due = {one.rep: one.next_try for one in list_diagnostics(world.office)}
    assert due == {ANA: world.now, BOB: world.now + timedelta(hours=1)}
    everything = visitors.browser(ROOT).post("/settings/retry")
    all_of_them = list_diagnostics(world.office)
    assert {one.next_try for one in all_of_them} == {world.now}
    assert everything.headers["location"] == f"/settings/health?retried={len(all_of_them)}"


def test_the_doctor_comes_for_administrators_alone(visitors: Visitors) -> None:
    for user in (ANA, MAY):
        assert visitors.browser(user).post("/settings/doctor").status_code == 403
    page = visitors.browser(ROOT).post("/settings/doctor")
    assert page.status_code == 200
    assert '<a href="/settings/health" aria-current="page">' in page.text
    found = page.text.partition('id="doctor"')[2]
    assert {name for name in ("salesforce", f"gmail:{ANA}", f"outlook:{BOB}") if name in found} == {
        "salesforce",
        f"gmail:{ANA}",
        f"outlook:{BOB}",
    }


def test_one_chooses_language_and_zone_for_oneself(visitors: Visitors) -> None:
    browser = visitors.browser(CY)
    assert browser.post("/settings", locale="sv", zone="Asia/Tokyo").status_code == 303
    page = browser.get("/settings?saved=true").text
    assert '<html lang="sv"' in page
    assert 'value="Asia/Tokyo"' in page
    assert '<html lang="en"' in visitors.browser(ANA).get("/settings").text
    for wrong in ({"locale": "xx"}, {"zone": "Mars/Olympus"}, {"zone": "../etc"}):
        assert browser.post("/settings", **wrong).status_code == 422, wrong
    assert browser.post("/settings", locale="", zone="").status_code == 303
    assert '<html lang="en"' in browser.get("/settings").text
