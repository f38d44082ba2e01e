"""The REST API: campaigns, launches, numbers and people in lists, as those see them who may."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from connector.sync.numbers import Preset, range_of
from tests.web.programs import Programs, programs_of
from tests.web.visitors import ANA, BOB, MAY, ROOT
from tests.world import CAMPAIGN, people

MINE = people(3)
[BOBS] = people(1, domain="bobs")
TWO = {"outreach": CAMPAIGN, "other": CAMPAIGN.replace("Outreach", "Other things / 100%")}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A world in which Ana has three people in a campaign and Bob one."""
    with programs_of(tmp_path_factory.mktemp("api"), campaign=TWO) as programs:
        programs.world.launch(MINE, rep=ANA, campaign="outreach")
        programs.world.launch([BOBS], rep=BOB, campaign="outreach")
        programs.world.sync()
        yield programs


def test_campaigns_are_counted_by_whose_people_they_have(api: Programs) -> None:
    def counted(user: str) -> dict[str, int]:
        return {one["name"]: sum(one["people"].values()) for one in api.ask(user, "GET", "/campaigns").json()["items"]}

    assert counted(ANA) == counted(MAY) == {"Outreach": 3, "Other things / 100%": 0}
    assert counted(BOB)["Outreach"] == 1
    assert counted(ROOT)["Outreach"] == 4


def test_a_campaign_is_a_calendar_with_numbers(api: Programs) -> None:
    shown = api.ask(ANA, "GET", "/campaigns/outreach").json()
    assert [(step["day"], step["step"], step["type"]) for step in shown["calendar"]] == [
        (1, 1, "email"),
        (1, 2, "call"),
        (2, 1, "email"),
    ]
    assert (shown["calendar"][0]["done"], shown["calendar"][1]["due"]) == (3, 3)
    assert [one["present"] for one in shown["versions"]] == [True]
    assert api.ask(ANA, "GET", "/campaigns/Other%20things%20%252F%20100%2525").json()["steps"] == 3
    assert api.ask(ANA, "GET", "/campaigns/nothing").status_code == 404


def test_who_is_in_a_campaign(api: Programs) -> None:
    def inside(user: str) -> set[str]:
        return {one["person"] for one in api.ask(user, "GET", "/campaigns/Outreach/people").json()["items"]}

    assert inside(ANA) == {person.email for person in MINE}
    assert inside(BOB) == {BOBS.email}
    assert api.ask(ANA, "GET", "/campaigns/Outreach/people", state="finished").json()["items"] == []
    assert api.ask(ANA, "GET", "/campaigns/Outreach/people", cursor="WzFd").status_code == 422


def test_people_are_paused_resumed_and_removed_by_whose_they_are(api: Programs) -> None:
    path, first = "/campaigns/Outreach", MINE[0].email
    assert api.ask(ANA, "POST", f"{path}/pause", {"people": [first, BOBS.email]}).json() == {"people": 1}
    assert api.ask(BOB, "POST", f"{path}/resume", {}).json() == {"people": 0}
    assert api.ask(ANA, "POST", f"{path}/pause", {"until": "2020-01-01"}).status_code == 422
    assert api.ask(ANA, "POST", f"{path}/resume", {"people": [first]}).json() == {"people": 1}
    assert api.ask(ANA, "POST", f"{path}/remove", {"people": [MINE[2].email, BOBS.email]}).json() == {"people": 1}
    assert [one["person"] for one in api.ask(BOB, "GET", f"{path}/people").json()["items"]] == [BOBS.email]


def test_the_calendar_is_simulated_before_anybody_is_launched(api: Programs) -> None:
    before = api.world.facts()
    asked = {"rep": ANA, "people": ["new@client.example"], "complete_tasks_after": 60}
    [calendar] = api.ask(ANA, "POST", "/campaigns/other/simulate", asked).json()["items"]
    assert (calendar["person"], len(calendar["steps"])) == ("new@client.example", 3)
    assert api.world.facts() == before
    for wrong in (
        {"rep": BOB},
        {"rep": ANA, "start": "2020-01-01T00:00:00Z"},
        {"rep": ANA, "start": "0001-01-01T00:00:00+14:00"},
        {"rep": ANA, "start": "2026-12-01T00:00:00"},
        {"rep": ANA, "send_at": {"1.1": "09:00"}},
    ):
        assert api.ask(ANA, "POST", "/campaigns/other/simulate", wrong).status_code == 422, wrong


def test_people_are_launched_and_those_left_out_are_told(api: Programs) -> None:
    asked = {"rep": ANA, "people": ["l1@client.example", BOBS.email], "dry_run": True}
    dry = api.ask(ANA, "POST", "/campaigns/other/launch", asked).json()
    done = api.ask(ANA, "POST", "/campaigns/other/launch", asked | {"dry_run": False}, once="launch").json()
    again = api.ask(ANA, "POST", "/campaigns/other/launch", asked | {"dry_run": False}, once="launch").json()
    assert (dry["enrolled"], done["enrolled"], done, done["left_out"]) == (
        1, 1, again, [{"person": BOBS.email, "reason": "is in campaigns of other reps"}],
    )  # fmt: skip
    left = api.ask(ANA, "POST", "/campaigns/other/launch", asked | {"dry_run": False}).json()
    assert (left["enrolled"], {one["reason"] for one in left["left_out"]}) == (
        0, {"is in campaigns of other reps", "is in 'Other things / 100%' already"},
    )  # fmt: skip
    assert api.ask(BOB, "POST", "/campaigns/other/launch", asked).status_code == 422
    assert api.ask(MAY, "POST", "/campaigns/other/launch", asked).status_code == 200


def test_people_move_to_the_present_version(api: Programs) -> None:
    path = api.world.folder / "campaigns" / "outreach.yaml"
    assert api.ask(ANA, "GET", "/campaigns/outreach/migration").json()["items"] == []
    path.write_text(path.read_text().replace("Ask about", "Ask after"))
    planned = api.ask(ANA, "GET", "/campaigns/outreach/migration").json()["items"]
    assert {one["rep"] for one in planned} == {ANA}
    moved = api.ask(ANA, "POST", "/campaigns/outreach/migrate").json()["items"]
    assert moved == planned != []
    assert [one["person"] for one in api.ask(BOB, "GET", "/campaigns/outreach/migration").json()["items"]] == [
        BOBS.email
    ]
    assert api.ask(ANA, "POST", "/campaigns/nothing/migrate").status_code == 404


def test_an_opt_out_tells_nothing_of_other_reps_and_is_taken_back_by_whose_person_it_is(api: Programs) -> None:
    (shared,) = people(1, domain="shared")
    for rep, campaign in ((ANA, "outreach"), (BOB, "other")):
        api.world.launch([shared], rep=rep, campaign=campaign)
    ended = api.ask(BOB, "POST", f"/people/{shared.email}/opt-out", {"reason": "asked"}).json()["enrollments"]
    assert [one["rep"] for one in ended] == [BOB]
    assert {one.state for one in api.world.enrollments.values() if one.person == shared.email} == {"opted_out"}
    nobodys = {"reason": "asked"}
    assert api.ask(BOB, "POST", "/people/nobodys@client.example/opt-out", nobodys).status_code == 200
    assert api.ask(BOB, "POST", "/people/nobodys@client.example/opt-out/undo", nobodys).status_code == 403
    assert api.ask(ROOT, "POST", "/people/nobodys@client.example/opt-out/undo", nobodys).status_code == 200
    assert api.ask(BOB, "POST", f"/people/{shared.email}/opt-out/undo", nobodys).status_code == 200


def test_numbers_are_of_those_whose_work_one_sees(api: Programs) -> None:
    today = api.world.now.date()
    found = api.ask(ANA, "GET", "/numbers", time_zone="UTC").json()
    within = range_of(Preset.DAYS_30, today)
    assert (found["first"], found["last"]) == (within.first.isoformat(), within.last.isoformat())
    assert (found["total"]["sent"], len(found["days"]), {one["name"] for one in found["reps"]}) == (3, 30, {ANA})
    assert api.ask(ROOT, "GET", "/numbers").json()["total"]["sent"] == 4
    assert api.ask(ANA, "GET", "/numbers", rep=BOB).json()["total"]["sent"] == 0
    later = (today + timedelta(days=1)).isoformat()
    assert api.ask(ANA, "GET", "/numbers", first=later, last=later).json()["total"]["sent"] == 0
    for wrong in ({"time_zone": "Mars"}, {"first": later, "last": today.isoformat()}, {"last": "9999-12-31"}):
        assert api.ask(ANA, "GET", "/numbers", **wrong).status_code == 422, wrong


def test_people_are_listed_in_parts_and_explained(api: Programs) -> None:
    read, cursor = [], None
    while True:
        part = api.ask(ANA, "GET", "/people", limit=2, **({"cursor": cursor} if cursor else {})).json()
        read += [one["email"] for one in part["items"]]
        if (cursor := part["next"]) is None:
            break
    assert read == sorted(read)
    assert {person.email for person in MINE} <= set(read)
    assert BOBS.email not in read
    assert [one["email"] for one in api.ask(ANA, "GET", "/people", search="pat1 client").json()["items"]] == [
        MINE[1].email
    ]
    told = api.ask(ANA, "GET", f"/people/{MINE[1].email}/explanation").json()
    assert told["past"][0]["kind"] == "launched"
    assert [one["enrollment"]["campaign"] for one in told["campaigns"]] == ["Outreach"]
    assert told["campaigns"][0]["next"]
    assert api.ask(BOB, "GET", f"/people/{MINE[1].email}/explanation").status_code == 404


def test_tasks_are_listed_in_parts_by_what_is_asked_for(api: Programs) -> None:
    whole = api.ask(ROOT, "GET", "/tasks", limit=200).json()["items"]
    read, cursor = [], None
    while True:
        part = api.ask(ROOT, "GET", "/tasks", limit=1, **({"cursor": cursor} if cursor else {})).json()
        read += part["items"]
        if (cursor := part["next"]) is None:
            break
    assert read == whole
    assert {one["rep"] for one in whole} == {ANA, BOB}
    assert {one["rep"] for one in api.ask(ANA, "GET", "/tasks").json()["items"]} == {ANA}
    assert [one["person"] for one in api.ask(ANA, "GET", "/tasks", search="pat1").json()["items"]] == [MINE[1].email]
    assert api.ask(ANA, "GET", "/tasks", rep=BOB).json()["items"] == []
    assert api.ask(ANA, "GET", "/tasks", type="inmail").json()["items"] == []
    for stray in ("x", "WyJ4Il0"):
        assert api.ask(ANA, "GET", "/tasks", cursor=stray).status_code == 422


def test_emails_are_listed_moved_and_called_off(api: Programs) -> None:
    later = (api.world.now + timedelta(days=2)).replace(microsecond=0)
    [new] = people(1, domain="ahead")
    api.world.launch([new], rep=ANA, campaign="outreach", start=later)

    def ahead(user: str) -> dict[str, dict[str, object]]:
        items = api.ask(user, "GET", "/emails", standing="scheduled").json()["items"]
        return {one["person"]: one for one in items}

    email = ahead(ANA)[new.email]
    assert (email["campaign"], email["day"], email["step"], email["may"]) == (
        "Outreach",
        1,
        1,
        ["reschedule", "cancel"],
    )
    assert new.email not in ahead(BOB)
    moved = later + timedelta(hours=5)
    path = f"/emails/{email['id']}"
    assert api.ask(BOB, "POST", f"{path}/cancel").status_code == 404
    assert api.ask(ANA, "POST", f"{path}/reschedule", {"at": "2020-01-01T00:00:00Z"}).status_code == 422
    assert api.ask(ANA, "POST", f"{path}/reschedule", {"at": moved.isoformat()}).status_code == 204
    assert ahead(ANA)[new.email]["at"] == f"{moved:%Y-%m-%dT%H:%M:%SZ}"
    assert api.ask(ANA, "POST", f"{path}/retry").status_code == 422
    assert api.ask(ANA, "POST", f"{path}/cancel", once="call off").status_code == 204
    assert api.ask(ANA, "POST", f"{path}/cancel", once="call off").status_code == 204
    assert new.email not in ahead(ANA)
    sent = api.ask(ANA, "GET", "/emails", standing="sent", limit=2).json()
    assert len(sent["items"]) == 2
    more = api.ask(ANA, "GET", "/emails", standing="sent", cursor=sent["next"]).json()["items"]
    assert {one["id"] for one in more}.isdisjoint(one["id"] for one in sent["items"])


def test_a_task_is_given_to_another_rep(api: Programs) -> None:
    [task] = api.ask(ANA, "GET", "/tasks", search="pat1").json()["items"]
    assert api.ask(ANA, "POST", f"/tasks/{task['id']}/assign", {"rep": "nobody@acme.example"}).status_code == 422
    assert api.ask(ANA, "POST", f"/tasks/{task['id']}/assign", {"rep": BOB}).json()["rep"] == BOB
    assert api.ask(ANA, "GET", f"/tasks/{task['id']}").status_code == 404
    assert api.ask(BOB, "GET", f"/tasks/{task['id']}").status_code == 200
