"""The morning of a rep, in a real browser: from signing in to the next step, and what else the pages are for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, FilePayload, expect

from adapters.sandbox.letter import enclosures, parse
from connector.people import Person
from tests.browser.axe import grave_faults
from tests.browser.center import PEOPLE, REP, Center, open_center, task_of
from tests.browser.window import Window

pytestmark = pytest.mark.browser

ADA, BEN, CHLOE, DAI, EVE, FINN, GIA, HUGO = PEOPLE


@pytest.fixture(scope="module")
def morning(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    """A world that these tests change, each by people of its own."""
    with open_center(browser, tmp_path_factory.mktemp("morning")) as opened:
        yield opened


@pytest.fixture
def window(morning: Center, windows: list[Window]) -> Window:
    windows.append(morning.window(REP))
    return windows[-1]


def test_from_signing_in_to_the_next_step(morning: Center, windows: list[Window]) -> None:
    window = morning.window(None, opens_mail=True)
    windows.append(window)
    morning.issuer.person = REP
    page = window.open("/tasks?q=ada")
    with page.expect_response(lambda answer: "/feed/stream" in answer.url):
        page.get_by_role("link", name="Sign in with Acme ID").click()
    # Where one wanted to go.
    expect(page).to_have_url(f"{morning.url}/tasks?q=ada")
    expect(page.locator("tr[data-task]")).to_have_count(1)
    row = page.locator("tr[data-task]")
    expect(row).to_contain_text("Hello Ada")
    page.keyboard.press("j")
    with page.expect_popup() as opened:
        page.keyboard.press("g")
    expect(opened.value).to_have_title("Mail")
    (draft,) = [mail for mail in morning.world.mails(REP, "drafts") if ADA.email in str(mail)]
    expect(opened.value).to_have_url(f"https://mail.google.com/mail/u/?authuser={REP}#drafts/{draft['id']}")
    opened.value.close()
    # The rep sends it there, and the page that lies open sees the task go and the next step come.
    morning.world.act("rep_sends_draft", rep=REP, person=ADA.email)
    morning.world.after(minutes=2)
    assert morning.world.sync().exit_status == 0
    expect(row).to_contain_text("Call Ada")
    expect(page.get_by_text("Hello Ada")).to_have_count(0)


def test_an_email_is_written_here_and_sent_later(morning: Center, window: Window) -> None:
    page = window.open(f"/tasks/{task_of(morning.world, BEN.email).intent.key}/compose")
    page.get_by_label("Merge fields").check()
    page.get_by_label("Subject").fill("A word about {{custom.topic}}")
    missing = page.get_by_role("link", name="The field custom.topic has no value: write it in.")
    expect(missing).to_have_count(2)  # in the list and beside the field
    missing.first.click()
    page.keyboard.type("Contoso, Ben")
    expect(missing).to_have_count(0)
    marks = page.frame_locator("iframe.as-fields").locator("mark")
    expect(marks.filter(has_text="Contoso")).to_contain_text("company: from the list of people, column company")
    page.get_by_label("As the recipient sees it").check()
    expect(page.frame_locator("iframe.as-mail").get_by_text("how is Contoso")).to_be_visible()
    names = ("offer.pdf", "plan.pdf")
    files = [FilePayload(name=name, mimeType="application/pdf", buffer=b"%PDF offer") for name in names]
    page.get_by_label("Attach files of your own").set_input_files(files)
    page.get_by_role("button", name="Take out plan.pdf").click()
    expect(page.get_by_role("button", name="Take out")).to_have_count(1)
    tomorrow = (morning.world.now + timedelta(days=1)).date().isoformat()
    page.get_by_label("Day").fill(tomorrow)
    page.get_by_label("Time", exact=True).fill("11:30")
    page.get_by_label("Time zone").fill("Europe/Madrid")
    page.get_by_role("button", name="Schedule").click()
    expect(page.get_by_text("The connector sends it:")).to_be_visible()
    assert morning.world.sync().exit_status == 0
    assert [mail for mail in morning.world.mails(REP, "sent") if "about Contoso" in str(mail)] == []
    morning.world.after(hours=26, minutes=35)
    assert morning.world.sync().exit_status == 0
    (sent,) = [mail for mail in morning.world.mails(REP, "sent") if "about Contoso" in str(mail)]
    assert BEN.email in str(sent)
    (mail,) = [one for one in morning.world.sandbox.world.box_of(REP).mails.values() if b"about Contoso" in one.raw]
    assert [(one.name, one.content) for one in enclosures(parse(mail.raw))] == [("offer.pdf", b"%PDF offer")]


def test_several_are_completed_at_once_and_taken_back(morning: Center, window: Window) -> None:
    keys = [task_of(morning.world, one.email).intent.key for one in (DAI, EVE, FINN)]
    page = window.open("/tasks")
    for key in keys:
        page.locator(f"#t-{key} input[name=key]").check()
    expect(page.get_by_text("3 tasks are chosen")).to_be_visible()
    page.locator("#tasks").get_by_role("button", name="Complete").first.click()
    page.get_by_role("button", name="Complete").click()
    expect(page.get_by_text("3 tasks are done.")).to_be_visible()
    for key in keys:
        expect(page.locator(f"#t-{key}")).to_have_count(0)
    page.wait_for_load_state()  # no key is heard before
    page.keyboard.press("u")
    page.get_by_role("link", name="Back to the tasks").click()
    for key in keys:
        expect(page.locator(f"#t-{key}")).to_have_count(1)
    assert [task_of(morning.world, one.email).intent.key for one in (DAI, EVE, FINN)] == keys


def test_people_are_launched_after_a_look_at_all_that_will_happen(morning: Center, window: Window) -> None:
    morning.world.seed([Person(email="kim@kimura.example", first_name="Kim", last_name="Kim", company="Kimura")])
    page = window.open("/campaigns")
    page.get_by_role("link", name="Launch Newsletter").click()
    page.get_by_label("Or paste addresses").fill("email,first_name,company\nkim@kimura.example,Kim,Kimura\n")
    page.get_by_role("button", name="Show what would happen").click()
    expect(page.get_by_role("heading", name="Calendar")).to_be_visible()
    before = len(morning.world.enrollments)
    assert grave_faults(page) == []
    page.get_by_role("link", name="Kim", exact=True).click()
    expect(page.get_by_label("Subject")).to_be_visible()
    assert grave_faults(page) == []
    page.get_by_label("Subject").fill("Hello Kim, in other words")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Back to the launch").click()
    expect(page.get_by_text("Hello Kim, in other words")).to_be_visible()
    assert len(morning.world.enrollments) == before
    page.get_by_role("button", name="Launch 1 person").click()
    expect(page.get_by_text("1 person was put into the campaign.")).to_be_visible()
    assert set(morning.world.enrollments) >= {"kim@kimura.example"}


def test_the_feed_goes_on_after_the_line_was_down(morning: Center, window: Window) -> None:
    page = window.open("/feed")
    lines = page.get_by_text(re.compile("was completed by sending the draft"))
    before = lines.count()

    def send(person: Person) -> None:
        morning.world.act("rep_sends_draft", rep=REP, person=person.email)
        morning.world.after(minutes=2)
        turned = morning.world.sync()
        assert turned.needs_attention == []

    send(GIA)
    expect(lines).to_have_count(before + 1)
    morning.cut_lines()
    # Nobody listens while this happens.
    send(HUGO)
    expect(lines).to_have_count(before + 2)
    expect(page.get_by_text(re.compile(f"{HUGO.email} was completed by sending the draft"))).to_have_count(1)
