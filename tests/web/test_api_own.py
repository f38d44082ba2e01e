"""The API: one's own language and zone, what every account says, and people in a campaign by their step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connector.sync.api_keys import Scope
from tests.web.programs import Programs, programs_of
from tests.web.visitors import ANA, BOB, MAY, ROOT
from tests.world import CAMPAIGN, people

EARLY, LATE = people(2)
[BOBS] = people(1, domain="bobs")
TODAY = CAMPAIGN.replace("send: choose_at_launch", "send: task")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A world in which Ana has two people at the first step of a campaign, and Bob one."""
    with programs_of(tmp_path_factory.mktemp("own"), campaign=TODAY) as programs:
        programs.world.launch([EARLY, LATE], rep=ANA)
        programs.world.launch([BOBS], rep=BOB)
        programs.world.sync()
        yield programs


def test_one_chooses_language_and_zone_for_oneself(api: Programs) -> None:
    assert api.ask(ANA, "GET", "/preferences").json() == {"locale": None, "time_zone": None}
    chosen = {"locale": "sv", "time_zone": "Asia/Tokyo"}
    assert api.ask(ANA, "PUT", "/preferences", chosen).json() == chosen
    assert api.ask(ANA, "GET", "/preferences", scopes=[Scope.READ]).json() == chosen
    assert 'lang="sv"' in api.visitors.browser(ANA).get("/settings").text
    assert api.ask(BOB, "GET", "/preferences").json() == {"locale": None, "time_zone": None}
    assert api.ask(ANA, "PUT", "/preferences", {"locale": "sv"}).json() == {"locale": "sv", "time_zone": None}


@pytest.mark.parametrize("said", [{"locale": "tlh"}, {"time_zone": "Mars/Olympus"}, {"theme": "dark"}])
def test_what_cannot_be_chosen_is_told_and_nothing_is_kept(api: Programs, said: dict[str, str]) -> None:
    assert api.ask(MAY, "PUT", "/preferences", said).status_code == 422
    assert api.ask(MAY, "GET", "/preferences").json() == {"locale": None, "time_zone": None}


def test_choosing_takes_the_scope_of_settings(api: Programs) -> None:
    work = [one for one in Scope if one is not Scope.ADMIN]
    assert api.ask(ANA, "PUT", "/preferences", {}, scopes=work).status_code == 403


def test_every_account_is_looked_at_for_administrators_alone(api: Programs) -> None:
    found = api.ask(ROOT, "GET", "/doctor").json()["items"]
    assert {"salesforce", f"gmail:{ANA}", f"outlook:{BOB}"} <= {one["account"] for one in found}
    assert {one["verdict"] for one in found} <= {"ok", "warning", "fault"}
    assert all(one["sentence"] and one["area"] for one in found)
    assert api.ask(MAY, "GET", "/doctor").status_code == 403
    assert api.ask(ROOT, "GET", "/doctor", scopes=[Scope.READ]).status_code == 403


@pytest.mark.parametrize(("user", "whose"), [(ANA, {ANA}), (BOB, {BOB})])
def test_one_sees_how_the_mailboxes_of_ones_reps_stand(api: Programs, user: str, whose: set[str]) -> None:
    found = {one["rep"]: one for one in api.ask(user, "GET", "/mailboxes").json()["items"]}
    assert set(found) == whose
    assert all(one["reached"] and not one["used_up"] and one["last_read"] for one in found.values())
    everybody = {one["rep"] for one in api.ask(ROOT, "GET", "/mailboxes").json()["items"]}
    assert whose < everybody


def test_a_campaign_is_seen_in_a_version_of_its_own(api: Programs) -> None:
    [present] = api.ask(ANA, "GET", "/campaigns/outreach").json()["versions"]
    shown = api.ask(ANA, "GET", "/campaigns/outreach", version=present["version"]).json()
    assert [one["day"] for one in shown["calendar"]] == [1, 1, 2]
    assert api.ask(ANA, "GET", "/campaigns/outreach", version="none").status_code == 404


def test_people_in_a_campaign_are_found_and_held_by_their_step(api: Programs) -> None:
    def at(step: str, state: str = "active") -> set[str]:
        found = api.ask(ANA, "GET", "/campaigns/outreach/people", step=step, state=state).json()["items"]
        return {one["person"] for one in found}

    key = next(
        one.stored.intent.key
        for one in api.world.tasks
        if one.stored.intent.person == EARLY.email and one.stored.intent.step == 1
    )
    assert api.ask(ANA, "POST", f"/tasks/{key}/complete").status_code == 200
    assert (at("1.1"), at("1.2"), at("9.9")) == ({LATE.email}, {EARLY.email}, set())
    assert api.ask(ANA, "GET", "/campaigns/outreach/people", step="first").status_code == 422
    held = api.ask(ANA, "POST", "/campaigns/outreach/pause", {"step": "1.1"})
    assert (held.json(), at("1.1", "paused"), at("1.2")) == ({"people": 1}, {LATE.email}, {EARLY.email})
