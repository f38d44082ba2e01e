"""The queue by the keyboard alone, and the lists that go on by themselves, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from connector.intents import IntentState
from connector.people import Person
from connector.store.intents import find_intents
from tests.browser.center import ADMIN, OTHER_REP, PEOPLE, REP, Center, open_center, task_of
from tests.browser.window import Window
from tests.world import World, people

pytestmark = pytest.mark.browser

CAMPAIGNS = {
    "a": "name: Mails\ndays:\n  - day: 1\n    steps:\n      - email: {template: intro, send: task}\n",
    "b": "name: Calls\ndays:\n  - day: 1\n    steps:\n      - call: {name: Call}\n",
    "c": "name: Walk\ndays:\n  - day: 1\n    steps:\n      - inmail: {name: Note}\n",
}
ADA, BEN, CHLOE, DAI, EVE, FINN, GIA, HUGO = PEOPLE
CALLED = people(8, domain="called")
WALKED = people(4, domain="walked")
LATER = people(2, domain="later")


def _others(world: World) -> None:
    world.launch(CALLED, campaign="Calls")
    world.launch(WALKED, campaign="Walk")
    assert world.sync().exit_status == 0


@pytest.fixture(scope="module")
def office(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    """A world that these tests change, each by people of its own."""
    folder = tmp_path_factory.mktemp("keys")
    with open_center(browser, folder, campaigns=CAMPAIGNS, prepare=_others) as opened:
        yield opened


@pytest.fixture
def window(office: Center, windows: list[Window]) -> Window:
    windows.append(office.window(REP))
    return windows[-1]


def state_of(office: Center, person: Person) -> IntentState:
    """Return the state of a person's one task."""
    with office.world.database.read() as tx:
        (one,) = find_intents(tx, states=list(IntentState), persons=[person.email])
    return one.state


def key_of(office: Center, person: Person) -> str:
    """Return the key of a person's one task."""
    with office.world.database.read() as tx:
        (one,) = find_intents(tx, states=list(IntentState), persons=[person.email])
    return one.intent.key


def listen(page: Page, path: str) -> None:
    """Open a page and wait until its line is open."""
    with page.expect_response(lambda answer: "/feed/stream" in answer.url):
        page.goto(path)


def walk_to(page: Page, key: str) -> None:
    """Press j, or k where it stands above, until a task is the current one."""
    page.keyboard.press("j")
    for _ in range(30):
        order = page.locator("tr[data-task]").evaluate_all("rows => rows.map((row) => row.dataset.task)")
        here = order.index(page.locator("tr.current").get_attribute("data-task"))
        if order[here] == key:
            return
        page.keyboard.press("j" if here < order.index(key) else "k")
    raise AssertionError(key)


def note_presses(page: Page) -> None:
    """Have the page note which keys pressed something, for `presses`."""
    page.evaluate(
        "() => { window.pressed = []; addEventListener('click', (one) => pressed.push(one.target.dataset.key), true); }"
    )


def presses(page: Page) -> list[str]:
    """Return the keys that pressed something, in order."""
    return list(page.evaluate("pressed"))


def has_focus(page: Page, key: str) -> bool:
    """Tell whether what has the focus stands in the row of a task."""
    return bool(page.evaluate("key => document.getElementById(`t-${key}`)?.contains(document.activeElement)", key))


def test_j_and_k_walk_and_stop_at_the_ends(window: Window) -> None:
    page = window.open("/tasks?campaign=Calls")
    rows = page.locator("tr[data-task]")
    keys = [row.get_attribute("data-task") for row in rows.all()]
    seen = []
    for key in "kj" + "j" * len(keys) + "kk":
        page.keyboard.press(key)
        seen.append(page.locator("tr.current").get_attribute("data-task"))
        assert has_focus(page, seen[-1] or "")
    assert seen == [keys[0], *keys[1:], keys[-1], keys[-1], keys[-2], keys[-3]]


def test_nothing_fires_while_somebody_types_or_holds_ctrl(office: Center, window: Window) -> None:
    page = window.open("/tasks?campaign=Calls")
    page.keyboard.press("j")
    for key in ("Control+s", "Meta+s", "Alt+s", "Control+c", "Meta+z"):
        page.keyboard.press(key)
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("cszaxjk?u")
    expect(page.get_by_label("Search")).to_have_value("cszaxjk?u")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Search")).not_to_be_focused()
    page.keyboard.press("?")
    listed = page.get_by_role("dialog", name="Keys of this page")
    for key in "jkcszax/f":
        expect(listed.locator("kbd", has_text=re.compile(f"^{re.escape(key)}$"))).to_have_count(1)
    page.keyboard.press("s")
    page.keyboard.press("Escape")
    expect(listed).to_be_hidden()
    assert {state_of(office, one) for one in CALLED[4:]} == {IntentState.OPEN}
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_c_and_s_do_it_to_the_current_task_and_u_undoes(office: Center, window: Window) -> None:
    page = window.open("/tasks?campaign=Mails")
    keys = [str(row.get_attribute("data-task")) for row in page.locator("tr[data-task]").all()]
    at = keys.index(key_of(office, ADA)), keys.index(key_of(office, BEN))
    for place, key in zip(at, "cs", strict=True):
        walk_to(page, keys[place])
        page.keyboard.press(key)
        expect(page.locator(f"#t-{keys[place]}")).to_have_count(0)
        # The one that stood next is the current one now, with the focus.
        after = [one for one in keys if one != keys[place]][min(place, len(keys) - 2)]
        expect(page.locator(f"#t-{after}.current")).to_have_count(1)
        assert has_focus(page, after)
        page.keyboard.press("u")
        expect(page.locator(f"#t-{keys[place]}")).to_have_count(1)
        page.reload()
    assert [state_of(office, one) for one in (ADA, BEN)] == [IntentState.OPEN] * 2


def test_dialogs_ask_for_the_date_the_rep_and_the_outcome(office: Center, window: Window) -> None:
    snoozed, given, called = key_of(office, CHLOE), key_of(office, DAI), key_of(office, CALLED[0])
    page = window.open("/tasks")
    walk_to(page, snoozed)
    page.keyboard.press("z")
    expect(page.get_by_role("dialog", name="Snooze until")).to_be_visible()
    page.get_by_label("Date").fill("2026-12-24")
    page.keyboard.press("Enter")
    expect(page.locator(f"#t-{snoozed} time")).to_have_attribute("datetime", re.compile("^2026-12-24"))
    walk_to(page, given)
    page.keyboard.press("a")
    page.get_by_role("dialog", name="Give it to").get_by_label("Rep").select_option(OTHER_REP)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(f"#t-{given}")).to_have_count(0)
    walk_to(page, called)
    page.keyboard.press("c")
    expect(page.get_by_role("dialog", name="What came of the call").get_by_label("Outcome")).to_be_focused()
    page.keyboard.type("Left a message")
    page.keyboard.press("Enter")
    expect(page.locator(f"#t-{called}")).to_have_count(0)
    assert task_of(office.world, DAI.email).intent.rep == OTHER_REP
    assert state_of(office, CALLED[0]) is IntentState.COMPLETED


def test_a_key_that_the_current_task_has_not_is_not_another_tasks(office: Center, window: Window) -> None:
    page = window.open("/tasks")
    walk_to(page, key_of(office, CALLED[1]))
    note_presses(page)
    for key in "gokj":
        page.keyboard.press(key)
    assert presses(page) == ["k", "j"]


def test_a_key_that_is_held_down_does_it_once_and_walks_on(office: Center, window: Window) -> None:
    page = window.open("/tasks?campaign=Mails")
    first = key_of(office, EVE)
    walk_to(page, first)
    note_presses(page)
    page.keyboard.down("s")
    expect(page.locator(f"#t-{first}")).to_have_count(0)
    page.keyboard.down("s")
    page.keyboard.up("s")
    page.keyboard.down("k")
    page.keyboard.down("k")
    page.keyboard.up("k")
    assert presses(page) == ["s", "k", "k"]
    assert state_of(office, EVE) is IntentState.SKIPPED


def test_several_are_chosen_by_key_by_shift_and_all_and_stay_so(office: Center, window: Window) -> None:
    page = window.page
    listen(page, f"{office.url}/tasks?campaign=Calls")
    chosen = page.locator("#chosen")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(chosen).to_have_text("1 task is chosen")
    boxes = page.locator("input[name=key]")
    boxes.nth(3).click(modifiers=["Shift"])
    expect(chosen).to_have_text("4 tasks are chosen")
    boxes.nth(2).click(modifiers=["Shift"])
    expect(chosen).to_have_text("2 tasks are chosen")
    page.get_by_label("All that match").check()
    expect(chosen).to_have_text("Choose tasks:")
    _complete_elsewhere(office, HUGO, page)
    expect(page.get_by_label("All that match")).to_be_checked()
    page.get_by_label("All that match").uncheck()
    expect(chosen).to_have_text("2 tasks are chosen")
    assert [box.is_checked() for box in boxes.all()[:4]] == [True, True, False, False]


def _complete_elsewhere(office: Center, person: Person, page: Page) -> None:
    """Let an administrator complete a task, and wait until the page has read its list anew."""
    with page.expect_response(lambda answer: "/tasks" in answer.url and answer.request.method == "GET"):
        answer = office.visitors.browser(ADMIN).post(f"/tasks/{key_of(office, person)}/complete")
        assert answer.status_code == 303


def test_what_others_do_shows_by_itself_and_the_focus_stays(office: Center, window: Window) -> None:
    page = window.page
    listen(page, f"{office.url}/tasks")
    kept = key_of(office, CALLED[2])
    page.locator(f"#t-{kept} [data-key=c]").focus()
    _complete_elsewhere(office, FINN, page)
    expect(page.locator(f"#t-{key_of(office, FINN)}")).to_have_count(0)
    expect(page.locator(f"#t-{kept} [data-key=c]")).to_be_focused()
    page.get_by_role("toolbar").get_by_role("button", name="Skip").focus()
    with page.expect_response(lambda answer: answer.url.endswith("/tasks")):
        office.world.launch(LATER, campaign="Calls")
        office.world.sync()
    for one in LATER:
        expect(page.locator(f"#t-{key_of(office, one)}")).to_have_count(1)
    expect(page.get_by_role("toolbar").get_by_role("button", name="Skip")).to_be_focused()


def test_focus_walks_through_the_queue_to_its_end(office: Center, window: Window) -> None:
    page = window.open("/tasks?campaign=Walk")
    page.keyboard.press("f")
    expect(page).to_have_url(re.compile(r"/tasks/focus\?campaign=Walk"))
    done = []
    for key in "cscs":
        done.append(page.locator("form[action$='/complete']").get_attribute("action"))
        with page.expect_navigation():
            page.keyboard.press(key)
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    assert len(set(done)) == 4
    assert [state_of(office, one) for one in WALKED].count(IntentState.COMPLETED) == 2
    with page.expect_navigation():
        page.keyboard.press("q")
    expect(page).to_have_url(f"{office.url}/tasks?campaign=Walk")


def test_focus_goes_back_as_far_as_it_came(window: Window) -> None:
    page = window.open("/tasks/focus?campaign=Calls")
    seen = []
    for key in "jjjkkk":
        seen.append(page.locator("form[action$='/complete']").get_attribute("action"))
        with page.expect_navigation():
            page.keyboard.press(key)
    assert len(set(seen[:4])) == 4
    assert seen[4:] == [seen[2], seen[1]]
    assert page.locator("form[action$='/complete']").get_attribute("action") == seen[0]


def test_the_feeds_filter_stands_in_its_address_and_holds_for_what_comes(office: Center, window: Window) -> None:
    page = window.open("/feed")
    page.get_by_label("What", exact=True).select_option("replied")
    with page.expect_response(lambda answer: "/feed/stream" in answer.url) as line:
        page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"/feed\?kind=replied"))
    assert "kind=replied" in line.value.url
    office.world.act("rep_sends_draft", rep=REP, person=GIA.email)
    office.world.after(minutes=2)
    office.world.sync()
    office.world.act("prospect_replies", person=GIA.email)
    office.world.after(minutes=2)
    office.world.sync()
    expect(page.locator(".feed-line")).to_have_count(1)
    expect(page.locator(".feed-line")).to_contain_text("Replied")
    # The line is cut: the browser comes back by itself, and says which message it had last.
    told = page.locator(".feed-line").get_attribute("data-seq")
    with page.expect_request(lambda request: "/feed/stream" in request.url, timeout=10_000) as again:
        office.cut_lines()
    assert int(again.value.all_headers()["last-event-id"]) >= int(told or 0)
    page.reload()
    expect(page.locator(".feed-line")).to_have_count(1)
