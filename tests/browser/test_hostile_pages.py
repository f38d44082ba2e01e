"""Whatever stands in a name, a template, a CSV file, a field of Salesforce or a mail: on no page, and in no draft, does it
do anything.

Two things keep it from that, and each is tried without the other: every value is escaped (a window that does not know our
policy runs whatever is put into a page, and opens its dialogs), and the policy forbids what might be put there all the
same (a window that knows it reports).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from connector.people import Person
from connector.web.guard import HEADERS
from tests.browser.center import ADMIN, OTHER_REP, REP, Center, open_center, task_of
from tests.browser.hostile_center import (
    ADDRESS,
    AWAY,
    CAMPAIGN,
    EVE,
    MALLORY,
    OSCAR,
    OUT,
    PEOPLE,
    PICTURE,
    QUOTE,
    SCRIPT,
    TEMPLATES,
    TRUDY,
    VIC,
    drafts_of,
    happened,
    intruders_in,
    intruders_in_mails,
    intruders_in_previews,
    people_file,
)
from tests.browser.places import Places, find_places
from tests.browser.window import Window
from tests.command import command_in

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def hostile(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    """A world that these tests change, each by people of its own."""
    with open_center(
        browser,
        tmp_path_factory.mktemp("hostile"),
        people=PEOPLE,
        campaigns={"hostile": CAMPAIGN},
        templates=TEMPLATES,
        prepare=happened,
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def places(hostile: Center) -> Places:
    return find_places(hostile, ADMIN)


@pytest.fixture(scope="module")
def kept(hostile: Center) -> Iterator[Window]:
    window = hostile.window(ADMIN)
    yield window
    window.close()


@pytest.fixture
def window(kept: Window) -> Iterator[Window]:
    """The administrator's window, under our policy; in each test it must have seen nothing that no page may do."""
    kept.wrong.clear()
    yield kept
    assert kept.wrong == []


def look_at(page: Page) -> None:
    """Assert that nothing was put into a page; what waits for somebody to point or go on is tried too."""
    assert intruders_in(page) == []
    for _ in range(3):
        page.keyboard.press("Tab")


@pytest.mark.parametrize(("bypass", "kind"), [(False, "policy"), (True, "dialog")])
def test_what_runs_is_noticed(browser: Browser, bypass: bool, kind: str) -> None:
    """So that the tests below can fail: a page that lets markup through, in a window with and without our policy."""
    window = Window.of(browser, "http://127.0.0.1:9", {}, bypass_csp=bypass)
    window.context.route(
        "**/*",
        lambda route: route.fulfill(headers={**HEADERS, "Content-Type": "text/html"}, body=f"<p>{SCRIPT}{PICTURE}"),
    )
    page = window.open("/tasks")
    assert intruders_in(page) != []
    window.close()
    assert len([wrong for wrong in window.wrong if wrong.startswith(f"{kind}:")]) == 2


def test_nothing_runs_and_nothing_is_put_into_a_page(places: Places, window: Window) -> None:
    intruders: dict[str, list[str]] = {}
    for path in (path for path in places.all if "?" not in path):
        page = window.open(path)
        if found := intruders_in(page):
            intruders[path] = found
        for _ in range(3):
            page.keyboard.press("Tab")
    assert intruders == {}


def test_nothing_would_run_without_the_policy(hostile: Center, places: Places, windows: list[Window]) -> None:
    window = hostile.window(REP, bypass_csp=True)
    windows.append(window)
    for path in (path for path in places.one_each if not path.startswith("/settings")):
        window.open(path).keyboard.press("Tab")


def test_every_kind_of_page_shows_hostile_data(places: Places) -> None:
    """So that the tests above look at something."""
    assert {"/feed", "/people", "/people/{email:path}", "/tasks/{key}/compose"} <= set(places.pages)


def test_a_launch_of_a_hostile_table_and_of_the_crm(hostile: Center, window: Window) -> None:
    """From the form to its end; the drafts of this campaign lie in Outlook then."""
    page = window.open(f"/campaigns/{quote(PICTURE)}/launch")
    page.locator("[name=q]").fill(SCRIPT)
    table: FilePayload = {
        "name": f"{PICTURE}.csv",
        "mimeType": "text/csv",
        "buffer": people_file("a.example", "b.example").encode(),
    }
    page.locator("[name=table]").set_input_files([table])
    page.locator("[name=pasted]").fill(f"{OUT}\n{SCRIPT}@evil.example")
    page.locator("[name=rep]").select_option(OTHER_REP)
    page.locator("[name=source]").select_option("soql")
    page.locator("[name=source_value]").fill(f"SELECT Id FROM Lead WHERE Email = '{OSCAR.email}'")
    page.get_by_role("button", name="Show what would happen").click()
    expect(page.get_by_role("heading", name="Calendar")).to_be_visible()
    expect(page.locator("main")).to_contain_text(f"{PICTURE}.csv, line 4")
    expect(page.locator("main")).to_contain_text(f"{OSCAR.first_name} {OSCAR.last_name}")
    look_at(page)
    page.get_by_role("link", name="Look at p@a.example").click()
    expect(page.locator("h1")).to_have_text("p@a.example")
    look_at(page)
    page.locator("[name=subject]").fill(OUT + SCRIPT)
    page.locator("[name=body]").fill(AWAY + PICTURE + "{{first_name}}")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("main")).to_contain_text(OUT + SCRIPT)
    look_at(page)
    page.get_by_role("link", name="Back to the launch").click()
    page.get_by_role("button", name="Launch 3 people").click()
    expect(page.get_by_text("3 people were put into the campaign.")).to_be_visible()
    look_at(page)
    hostile.world.sync()
    drafts = drafts_of(hostile.world, OTHER_REP)
    assert set(drafts) == {"p@a.example", "p@b.example", OSCAR.email}
    assert intruders_in_mails(page, drafts.values()) == []
    assert SCRIPT in unescape(drafts["p@b.example"])


def test_a_draft_holds_markup_as_text(hostile: Center, window: Window) -> None:
    drafts = drafts_of(hostile.world, REP)
    assert {VIC.email, TRUDY.email} <= set(drafts)
    assert intruders_in_mails(window.page, drafts.values()) == []
    assert TRUDY.company in unescape(drafts[TRUDY.email])
    assert VIC.company in unescape(drafts[VIC.email])


def test_a_recipient_is_asked_and_told(hostile: Center, window: Window) -> None:
    page = window.open(f"/u/{hostile.visitors.site.tokens.token_of(VIC.email)}")
    expect(page.locator("main")).to_contain_text("v…@evil.example")
    look_at(page)
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_role("status")).to_contain_text("v…@evil.example")
    look_at(page)


def test_opening_a_draft_leads_to_a_mail_program_or_says_why_not(hostile: Center, window: Window) -> None:
    draft = f"{window.url}/open/{draft_of(hostile, MALLORY)}"
    for query, host in (
        ("", "mail.google.com"),
        ("?in=gmail", "mail.google.com"),
        ("?in=outlook", "outlook.office.com"),
    ):
        answer = window.context.request.get(draft + query, max_redirects=0)
        assert urlsplit(answer.headers["location"])[:2] == ("https", host)
    hostile.world.act("rep_deletes_draft", rep=REP, person=MALLORY.email)
    look_at(window.open(f"/open/{draft_of(hostile, MALLORY)}"))
    expect(window.page.locator("h1")).to_have_text("Not just now")
    hostile.world.after(minutes=6)
    page = window.open(f"/open/{draft_of(hostile, MALLORY)}")
    expect(page.get_by_role("listitem")).to_contain_text("The draft had been discarded")
    look_at(page)
    expect(page.get_by_role("link", name="Open the draft")).to_have_attribute(
        "href", re.compile("^https://mail.google")
    )
    page = window.open(f"/open/{task_of(hostile.world, EVE.email).intent.key}")
    expect(page.locator("main")).to_contain_text("has no email to open")
    look_at(page)


def test_what_is_written_here_is_previewed_and_runs_nowhere(hostile: Center, window: Window) -> None:
    page = window.open(f"/tasks/{draft_of(hostile, TRUDY)}/compose")
    assert intruders_in_previews(page) == []
    page.get_by_text("Merge fields", exact=True).click()
    page.get_by_label("Subject").fill(AWAY + SCRIPT)
    page.get_by_label("Text").fill(
        f'<h2>Edited</h2>{OUT}{PICTURE}{SCRIPT}<a href="{ADDRESS}" {QUOTE}>x</a>{{{{! {AWAY} }}}}'
    )
    expect(page.frame_locator("iframe.as-fields").get_by_role("heading", name="Edited")).to_be_visible()
    expect(page.locator("#side")).to_contain_text(f"Replace: {AWAY}")
    assert intruders_in_previews(page) == []
    look_at(page)
    page.get_by_label("Time zone").fill(SCRIPT)
    page.get_by_role("button", name="Schedule").click()
    expect(page.get_by_role("alert").first).to_contain_text(f"There is no time zone '{SCRIPT}'")
    look_at(page)
    page.locator("#template").select_option("last")
    page.get_by_role("button", name="Begin anew with it").click()
    expect(page.locator("#side")).to_contain_text("Replace: add <script>")
    assert intruders_in_previews(page) == []
    look_at(page)


def test_keys_and_webhooks_have_names_and_addresses(window: Window) -> None:
    page = window.open("/settings/keys")
    page.get_by_label("Name").fill(OUT)
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("rowheader")).to_contain_text(OUT)
    look_at(page)
    page = window.open("/settings/webhooks")
    for address in (ADDRESS, f"https://evil.example/{OUT}{SCRIPT}"):
        page.get_by_label("Address").fill(address)
        page.get_by_role("button", name="Make the webhook").click()
        expect(page.get_by_role("alert").or_(page.get_by_role("rowheader"))).to_be_visible()
        look_at(page)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/{quote(SCRIPT)}", 404),
        (f"/campaigns/{quote(OUT)}", 404),
        (f"/campaigns/{quote(PICTURE)}/launch/{quote(SCRIPT)}", 404),
        (f"/people/{quote(PICTURE)}", 404),
        (f"/tasks/{quote(SCRIPT)}", 404),
        (f"/open/{quote(OUT)}", 404),
        (f"/u/{quote(SCRIPT)}", 404),
        (f"/numbers?from={quote(PICTURE)}", 422),
        (f"/tasks?due={quote('<b onclick=alert(1)>')}", 422),
        (f"/feed?kind={quote(SCRIPT)}", 400),
        (f"/tasks?q={quote(OUT)}&campaign={quote(SCRIPT)}", 200),
        (f"/people?search={quote(OUT)}&campaign={quote(SCRIPT)}", 200),
        (f"/numbers?campaign={quote(OUT)}&rep={quote(QUOTE)}", 200),
    ],
)
def test_an_address_is_said_back_as_text(window: Window, path: str, status: int) -> None:
    answer = window.page.goto(window.url + path)
    assert answer is not None
    assert answer.status == status
    look_at(window.page)


def test_a_refused_form_is_shown_again_as_it_was(window: Window) -> None:
    page = window.open(f"/campaigns/{quote(PICTURE)}/launch")
    page.locator("[name=pasted]").fill(AWAY + SCRIPT)
    page.locator("[name=source]").select_option("soql")
    page.locator("[name=source_value]").fill(f"SELECT {OUT} FROM {SCRIPT}")
    page.get_by_role("button", name="Show what would happen").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("[name=pasted]")).to_have_value(AWAY + SCRIPT)
    look_at(page)


def test_a_people_file_that_the_command_imports(
    hostile: Center, window: Window, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connector = command_in(hostile.world, monkeypatch, capsys)
    (connector.folder / "hostile.csv").write_text(people_file("imported.example"))
    done = connector("people", "import", str(connector.folder / "hostile.csv"), "--json")
    assert done.json["imported"] == 1
    assert PICTURE in done.err
    page = window.open("/people?search=imported")
    expect(page.get_by_role("link", name=f"{SCRIPT} {QUOTE}")).to_be_visible()
    look_at(page)
    look_at(window.open("/people/p@imported.example"))
    expect(page.locator("main")).to_contain_text(AWAY)


def test_what_comes_while_a_page_is_open(hostile: Center, window: Window) -> None:
    """A reply with markup, by the stream, into the feed and the queue."""
    feed, queue = window.open("/feed"), window.context.new_page()
    expect(feed.locator("#feed-status")).to_have_text("New lines appear by themselves.")
    with queue.expect_response(lambda answer: "/feed/stream" in answer.url):
        queue.goto(f"{window.url}/tasks")
    before = feed.locator(".feed-line").count()
    hostile.world.act("prospect_writes", person=TRUDY.email, rep=REP, subject=OUT + SCRIPT, text=AWAY)
    hostile.world.after(minutes=5)
    with queue.expect_response(lambda answer: answer.url.endswith("/tasks")):
        hostile.world.sync()
    feed.wait_for_function("before => document.querySelectorAll('.feed-line').length > before", arg=before)
    look_at(feed)
    look_at(queue)
    queue.close()


def draft_of(center: Center, person: Person) -> str:
    """Return the key of a person's one open email."""
    return task_of(center.world, person.email).intent.key
