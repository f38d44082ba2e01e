"""The queue in the browser: lists, filters, single and bulk deeds, undo, focus; and what is not one's own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from connector.intents import IntentState
from connector.store.intents import find_intents
from tests.web.visitors import ANA, BOB, MAY, ROOT, WEB, Visitors
from tests.world import ANA as ANA_REP
from tests.world import BOB as BOB_REP
from tests.world import World, people

CAMPAIGNS = {
    "call": "name: Calls\ndays:\n  - day: 1\n    steps:\n      - call: {name: Call}\n  - day: 9\n    steps:\n      - call: {name: Again}\n",
    "mail": "name: Mails\ndays:\n  - day: 1\n    steps:\n      - email: {template: intro, send: task}\n",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitors]:
    """A world of 60 calls and a mail of Ana's and two calls of Bob's; each test takes other tasks."""
    folder = tmp_path_factory.mktemp("queue")
    environment = pytest.MonkeyPatch()
    world = World.make(folder, environment, campaign=CAMPAIGNS, reps=[ANA_REP, BOB_REP], web=WEB)
    everybody = people(63)
    world.launch(everybody[:60], campaign="Calls")
    world.launch(everybody[60:61], campaign="Mails")
    world.launch(everybody[61:], campaign="Calls", rep=BOB)
    world.sync()
    visitors = Visitors.of(world)
    yield visitors
    visitors.leave()
    world.close()
    environment.undo()


def key_of(visitors: Visitors, number: int) -> str:
    with visitors.world.database.read() as tx:
        found = find_intents(tx, states=list(IntentState), persons=[people(63)[number].email])
    return found[0].intent.key


def state_of(visitors: Visitors, number: int) -> IntentState:
    with visitors.world.database.read() as tx:
        return find_intents(tx, states=list(IntentState), persons=[people(63)[number].email])[0].state


def shown(text: str) -> list[str]:
    return re.findall(r'data-task="(\w+)"', text)


def test_a_page_holds_fifty_and_leads_on(made: Visitors) -> None:
    ana = made.browser(ANA)
    first = ana.get("/tasks", campaign="Calls")
    assert first.status_code == 200
    assert len(shown(first.text)) == 50
    (onward,) = re.findall(r'rel="next" href="([^"]+)"', first.text)
    second = ana.get(onward.replace("&amp;", "&"))
    assert set(shown(first.text)) & set(shown(second.text)) == set()
    assert key_of(made, 61) not in shown(first.text) + shown(second.text)
    assert ana.get("/").headers["Location"] == "/tasks"


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ({"q": "pat60"}, 1),
        ({"q": "PAT60 client"}, 1),
        ({"type": "email"}, 1),
        ({"campaign": "Mails", "due": "today"}, 1),
        ({"due": "overdue"}, 0),
        ({"q": "pat61"}, 0),
        ({"rep": BOB}, 0),
    ],
)
def test_filters_stand_in_the_address(made: Visitors, query: dict[str, str], number: int) -> None:
    assert len(shown(made.browser(ANA).get("/tasks", **query).text)) == number


@pytest.mark.parametrize(("user", "number"), [(MAY, 0), (BOB, 2), (ROOT, 2)])
def test_each_sees_what_they_may(made: Visitors, user: str, number: int) -> None:
    assert len(shown(made.browser(user).get("/tasks", rep=BOB, campaign="Calls").text)) == number


def test_an_address_that_is_none_of_ours_is_refused(made: Visitors) -> None:
    ana = made.browser(ANA)
    assert ana.get("/tasks", due="whenever").status_code == 422
    assert ana.get("/tasks", after="nonsense").status_code == 422


def test_a_task_is_completed_and_taken_back(made: Visitors) -> None:
    ana, key = made.browser(ANA), key_of(made, 1)
    answer = ana.post(f"/tasks/{key}/complete", back="/tasks?campaign=Calls", outcome="Left a message")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/tasks?campaign=Calls&batch=")
    assert state_of(made, 1) is IntentState.COMPLETED
    page = ana.get(answer.headers["Location"])
    assert "1 task is done." in page.text
    batch = answer.headers["Location"].rpartition("=")[2]
    assert "1 task is as it was." in ana.post("/tasks/undo", batch=batch).text
    assert state_of(made, 1) is IntentState.OPEN
    assert ana.post("/tasks/undo", batch=batch).status_code == 422


def test_htmx_is_told_of_the_row_alone(made: Visitors) -> None:
    ana, key = made.browser(ANA), key_of(made, 2)
    csrf = re.findall(r'name="csrf" value="([^"]+)"', ana.get("/tasks").text)[0]
    headers = {"HX-Request": "true", "X-CSRF-Token": csrf}
    answer = requests.post(f"{ana.url}/tasks/{key}/skip", headers=headers, cookies=ana.cookies, timeout=30)
    assert answer.status_code == 200
    assert f'<tr id="t-{key}" hx-swap-oob="delete">' in answer.text
    assert "<html" not in answer.text
    moved = requests.post(
        f"{ana.url}/tasks/{key_of(made, 3)}/snooze",
        data={"until": "2026-12-24"},
        headers=headers,
        cookies=ana.cookies,
        timeout=30,
    )
    assert f'id="t-{key_of(made, 3)}"' in moved.text
    assert 'hx-swap-oob="true"' in moved.text


def test_many_are_counted_before_they_are_done(made: Visitors) -> None:
    ana = made.browser(ANA)
    keys = [key_of(made, 10), key_of(made, 11), key_of(made, 61)]
    asked = ana.post("/tasks/bulk", do="complete", key=keys)
    assert "3 tasks are completed" in asked.text
    assert state_of(made, 10) is IntentState.OPEN
    done = ana.post("/tasks/bulk", do="complete", key=keys, sure="true")
    assert "2 tasks are completed." in done.text
    assert "1 could not be done" in done.text
    assert [state_of(made, number) for number in (10, 11, 61)] == [IntentState.COMPLETED] * 2 + [IntentState.OPEN]
    (batch,) = re.findall(r'name="batch" value="(\w+)"', done.text)
    assert "2 tasks are as they were." in ana.post("/tasks/undo", batch=batch).text


def test_all_that_match_are_taken(made: Visitors) -> None:
    ana = made.browser(ANA)
    asked = ana.post("/tasks/bulk", do="snooze", all="true", q="pat5")
    assert "11 tasks are moved" in asked.text
    wish = {"do": "snooze", "all": "true", "q": "pat5", "until": "2027-01-04"}
    again = ana.post("/tasks/bulk", sure="10", **wish)
    assert (again.status_code, 'name="sure" value="11"' in again.text) == (409, True)
    assert shown(ana.get("/tasks", due="upcoming", q="pat5").text) == []
    done = ana.post("/tasks/bulk", sure="11", **wish)
    assert done.status_code == 303
    assert ana.post("/tasks/bulk", do="skip").status_code == 422
    assert len(shown(ana.get("/tasks", due="upcoming", q="pat5").text)) == 11


def test_focus_walks_through_the_queue(made: Visitors) -> None:
    ana = made.browser(ANA)
    seen = []
    address = "/tasks/focus?campaign=Calls&due=today"
    for _ in range(3):
        page = ana.get(address)
        seen += re.findall(r'action="/tasks/(\w+)/complete"', page.text)
        (address,) = re.findall(r'href="([^"]+)" data-key="j"', page.text.replace("&amp;", "&"))
    assert len(set(seen)) == 3
    (back,) = re.findall(r'href="([^"]+)" data-key="k"', page.text.replace("&amp;", "&"))
    assert seen[1] in ana.get(back).text


@pytest.mark.parametrize("action", ["complete", "skip", "snooze", "assign"])
def test_somebody_elses_task_is_not_there(made: Visitors, action: str) -> None:
    key = key_of(made, 62)
    ana = made.browser(ANA)
    assert ana.post(f"/tasks/{key}/{action}", until="2027-01-01", to=ANA).status_code == 404
    assert ana.get(f"/tasks/{key}").status_code == 404
    assert state_of(made, 62) is IntentState.OPEN


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/open/x", "/tasks\\evil"])
def test_it_leads_back_to_the_queue_only(made: Visitors, back: str) -> None:
    ana = made.browser(ANA)
    answer = ana.post(f"/tasks/{key_of(made, 20)}/snooze", until="2026-12-30", back=back)
    assert answer.headers["Location"].startswith("/tasks?batch=")


def test_a_task_is_due_on_the_same_day_wherever_one_looks_from(made: Visitors) -> None:
    root = made.browser(ROOT)
    root.post("/settings", zone="Asia/Tokyo")
    page = root.get("/tasks", campaign="Calls").text
    assert {len(due) for due in re.findall(r'<time datetime="([^"]+)"', page)} == {len("2026-09-01")}


def test_what_was_done_in_focus_can_be_taken_back_there(made: Visitors) -> None:
    ana = made.browser(ANA)
    here = "/tasks/focus?campaign=Calls&due=today"
    (key,) = re.findall(r'action="/tasks/(\w+)/complete"', ana.get(here).text)
    answer = ana.post(f"/tasks/{key}/complete", back=here)
    after = ana.get(answer.headers["Location"]).text
    assert f"/tasks/{key}/complete" not in after
    (batch,) = re.findall(r'name="batch" value="(\w+)"', after)
    ana.post("/tasks/undo", batch=batch)
    assert f"/tasks/{key}/complete" in ana.get(here).text


def test_a_task_that_is_done_offers_nothing_to_do(made: Visitors) -> None:
    ana, key = made.browser(ANA), key_of(made, 25)
    assert "/complete" in ana.get(f"/tasks/{key}").text
    ana.post(f"/tasks/{key}/complete")
    assert "Nothing is left to do with it." in ana.get(f"/tasks/{key}").text
    assert "/complete" not in ana.get(f"/tasks/{key}").text


def test_each_way_to_open_a_mail_stands_in_its_row_once(made: Visitors) -> None:
    page = made.browser(ANA).get("/tasks", campaign="Mails").text
    assert [re.findall(f'data-key="{key}"', page) for key in "gohcsza"] == [[f'data-key="{key}"'] for key in "gohcsza"]


@pytest.mark.parametrize("day", ["0001-01-01", "1999-12-31", "2200-01-01", "9999-12-31", "tomorrow"])
def test_no_form_takes_a_date_that_cannot_be_reckoned_with(made: Visitors, day: str) -> None:
    ana, key = made.browser(ANA), key_of(made, 26)
    mail = key_of(made, 60)
    person, enrollment = people(63)[26].email, made.world.enrollments[people(63)[26].email].id
    answers = [
        ana.post(f"/tasks/{key}/snooze", until=day),
        ana.post("/tasks/bulk", do="snooze", key=[key], sure="true", until=day),
        ana.post(f"/people/{person}/campaign", enrollment=enrollment, action="pause", until=day),
        ana.post(f"/tasks/{mail}/compose/schedule", date=day, clock="09:00", zone="Pacific/Kiritimati"),
    ]
    assert [answer.status_code for answer in answers] == [422] * 4
