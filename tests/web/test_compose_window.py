"""The compose window over HTTP: what it shows, what its buttons do, and what it does not let happen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from connector.people import Person
from connector.store.mails import MailAction, MailState, read_mails
from connector.web.compose import PREVIEW_POLICY
from tests.web.site import key_of
from tests.web.visitors import ANA, BOB, ROOT, WEB, Browser, Visitors
from tests.world import World

CAMPAIGN = """\
name: Draft
days:
  - day: 1
    steps:
      - email: {template: intro, send: task}
"""
TEMPLATES = {
    "intro.md": "---\nsubject: Hello {{first_name}}\n---\nHi {{first_name}} of {{company}}, {{! a line of your own }}\n",
    "other.md": "---\nsubject: Another\n---\nGood day {{sfdc.Rating}}\n",
    "price.pdf": "%PDF",
}
HOSTILE = "<script>alert(1)</script>"
NAMES = ("Pat", "Que", "Rio", "Sam", "Tea", "Uma", "Vic", "Wes", "Xia", "Zoe", "Abe", "Yui")
PEOPLE = {name: Person(email=f"{name.lower()}@client.example", first_name=name, company=HOSTILE) for name in NAMES}
TEXT = {"subject": "Mine", "body": "My **own** words"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Each of these people has a draft in Ana's mailbox, the last one in Bob's."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("compose") / "world"
        world = World.make(folder, patch, campaign=CAMPAIGN, templates=TEMPLATES, web=WEB)
        *of_ana, of_bob = PEOPLE.values()
        world.launch(of_ana, rep=ANA)
        world.launch([of_bob], rep=BOB)
        world.sync()
        world.after(minutes=10)
        yield world
        world.close()


def at(world: World, name: str) -> str:
    return f"/tasks/{key_of(world, PEOPLE[name].email)}/compose"


def version_in(page: str) -> str:
    (found,) = re.findall(r'name="version" id="version" value="(\d+)"', page)
    return str(found)


def mail_of(world: World, name: str) -> Any:
    key = key_of(world, PEOPLE[name].email)
    with world.database.read() as tx:
        return read_mails(tx, [key])[key]


def subjects(world: World, rep: str, place: str, name: str) -> list[str]:
    return [mail["subject"] for mail in world.mails(rep, place) if mail["to"] == [PEOPLE[name].email]]


def test_the_window_shows_what_is_there_and_what_is_missing(world: World, ana: Browser) -> None:
    answer = ana.get(at(world, "Pat"))
    assert answer.status_code == 200
    for shown in (
        "pat@client.example",
        'value="Hello Pat"',
        "{{! a line of your own }}",
        "Replace: a line of your own",
    ):
        assert shown in answer.text
    assert 'value="price.pdf"' in answer.text
    assert "<code>first_name</code>" in answer.text
    assert HOSTILE not in answer.text


def test_the_preview_has_a_policy_of_its_own_and_runs_nothing(world: World, ana: Browser) -> None:
    ana.post(f"{at(world, 'Pat')}/save", **TEXT | {"body": f"*Hi* {HOSTILE} [x](javascript:alert(1))"}, version="0")
    answer = ana.get(at(world, "Pat").replace("/compose", "/preview"))
    assert answer.headers["Content-Security-Policy"] == PREVIEW_POLICY
    assert "<em>Hi</em>" in answer.text
    assert "script" not in answer.text


def test_the_marked_preview_is_the_preview_and_says_where_each_value_comes_from(world: World, ana: Browser) -> None:
    where = at(world, "Zoe").replace("/compose", "/preview")
    plain, marked = ana.get(where), ana.get(f"{where}?view=fields")
    assert marked.headers["Content-Security-Policy"] == PREVIEW_POLICY
    assert "<script" not in marked.text
    for shown in (
        '<mark class="field" tabindex="0">Zoe<sup class="number" aria-hidden="true">2</sup>',
        "first_name: from the list of people, column first_name",
        '<mark class="prompt" tabindex="0">{{! a line of your own }}<span class="told">',
    ):
        assert shown in marked.text
    (mail,) = re.findall(r'<div class="mail">(.*)</div>\n<p class="key">', marked.text, re.DOTALL)
    bare = re.sub(r'<sup class="number".*?</sup>|<span class="told">.*?</span>|<mark class="[^>]*>|</mark>', "", mail)
    assert bare.strip() in plain.text
    assert "Hi Zoe of" in bare


def test_what_is_missing_is_told_beside_its_field_with_a_link_to_it(world: World, ana: Browser) -> None:
    where = at(world, "Zoe")
    shown = ana.get(where).text
    beside = shown.partition('<div id="body-left">')[2].partition("</div>")[0]
    assert '<a href="#body" data-find="{{! a line of your own }}">Replace: a line of your own</a>' in beside
    assert shown.partition('<div id="subject-left">')[2].partition("</div>")[0].strip() == ""
    refused = ana.post(f"{where}/send", subject="{{custom.colour}}", body="Bea", version=version_in(shown)).text
    assert '<a href="#subject" data-find="{{custom.colour}}">Go to what is still to be written</a>' in refused


def test_a_value_that_was_written_over_is_told(world: World, ana: Browser) -> None:
    where = at(world, "Abe")
    assert "written over" not in ana.get(where).text
    ana.post(f"{where}/save", subject="Hello Abe", body="Hi Abe of another firm", overwrite="true")
    shown = ana.get(where).text
    assert shown.count("written over") == 1, "the name stands in the subject still"


def test_what_is_written_is_kept_and_nothing_goes_out(world: World, ana: Browser) -> None:
    where = at(world, "Que")
    answer = ana.post(f"{where}/save", **TEXT, version="0")
    assert (answer.status_code, answer.headers["Location"]) == (303, where)
    assert 'value="Mine"' in ana.get(where).text
    assert subjects(world, ANA, "drafts", "Que") == ["Hello Que"]


def test_what_another_tab_saved_is_not_written_over_until_one_chooses(world: World, ana: Browser) -> None:
    where = at(world, "Rio")
    seen = version_in(ana.get(where).text)
    ana.post(f"{where}/save", **TEXT, version=seen)
    answer = ana.post(f"{where}/save", subject="Theirs", body="x", version=seen)
    assert answer.status_code == 409
    assert 'value="Theirs"' in answer.text, "what was typed is not lost"
    assert version_in(answer.text) == seen
    assert 'value="Mine"' in ana.get(where).text
    assert ana.post(f"{where}/save", subject="Theirs", body="x", version=seen, overwrite="true").status_code == 303
    assert 'value="Theirs"' in ana.get(where).text


def test_a_prompt_stops_the_send_and_not_the_draft(world: World, ana: Browser) -> None:
    where = at(world, "Sam")
    left = {"subject": "Hi", "body": "{{! a line }}", "version": "0"}
    answer = ana.post(f"{where}/send", **left)
    assert answer.status_code == 422
    assert "The field prompt &#39;a line&#39; was not replaced." in answer.text
    assert mail_of(world, "Sam").state is MailState.PRESENT
    assert ana.post(f"{where}/draft", **left).status_code == 303
    assert subjects(world, ANA, "drafts", "Sam") == ["Hi"]


def test_send_now_sends_it(world: World, ana: Browser) -> None:
    where = at(world, "Tea")
    assert ana.post(f"{where}/send", **TEXT, files="price.pdf", version="0").status_code == 303
    assert subjects(world, ANA, "sent", "Tea") == ["Mine"]
    assert subjects(world, ANA, "drafts", "Tea") == []
    answer = ana.get(where)
    assert "Send now" not in answer.text
    assert "Sent:" in answer.text
    assert ana.post(f"{where}/send", **TEXT, version="1").status_code == 422


def test_it_is_scheduled_in_the_zone_that_is_given_and_called_off(world: World, ana: Browser) -> None:
    where, day = at(world, "Uma"), (world.now + timedelta(days=2)).date().isoformat()
    when = {"date": day, "clock": "09:00", "zone": "America/New_York"}
    assert ana.post(f"{where}/schedule", **TEXT, **when, version="0").status_code == 303
    mail = mail_of(world, "Uma")
    assert (mail.action, mail.state, mail.due.isoformat()) == (
        MailAction.SEND,
        MailState.WANTED,
        f"{day}T14:00:00+00:00",
    )
    shown = ana.get(where).text
    assert "Do not send it after all" in shown
    assert ana.post(f"{where}/call-off", version="1").status_code == 303
    assert subjects(world, ANA, "drafts", "Uma") == ["Mine"]


@pytest.mark.parametrize(
    "when",
    [
        {"date": "", "clock": "09:00", "zone": "UTC"},
        {"date": "2020-01-01", "clock": "09:00", "zone": "UTC"},
        {"date": "2026-12-01", "clock": "09:00", "zone": "Nowhere/Land"},
    ],
)
def test_a_time_that_is_none_is_refused_and_what_was_written_stays(
    world: World, ana: Browser, when: dict[str, str]
) -> None:
    answer = ana.post(f"{at(world, 'Vic')}/schedule", **TEXT, **when, version="0")
    assert answer.status_code == 422
    assert 'value="Mine"' in answer.text
    assert mail_of(world, "Vic").action is MailAction.DRAFT


def test_another_template_replaces_everything(world: World, ana: Browser) -> None:
    where = at(world, "Wes")
    assert ana.post(f"{where}/template", **TEXT, template="other", version="0").status_code == 303
    shown = ana.get(where).text
    assert 'value="Another"' in shown
    assert "The field sfdc.Rating has no value" in shown


def test_a_task_may_be_completed_without_sending(world: World, ana: Browser) -> None:
    where = at(world, "Xia")
    assert ana.post(f"{where}/complete").headers["Location"] == "/tasks"
    assert subjects(world, ANA, "sent", "Xia") == []


@pytest.mark.parametrize("action", ["save", "template", "draft", "send", "schedule", "call-off", "complete"])
def test_nobody_writes_anothers_email(world: World, ana: Browser, visitors: Visitors, action: str) -> None:
    where = at(world, "Yui")
    assert ana.get(where).status_code == 404
    assert ana.get(where.replace("/compose", "/preview")).status_code == 404
    assert ana.post(f"{where}/{action}", **TEXT, version="0").status_code == 404
    assert visitors.browser(ROOT).get(where).status_code == 200
