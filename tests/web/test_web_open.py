"""One click on `/open/<key>`: the draft under the address it has now, or a calm page that says why not."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from html import escape
from itertools import islice
from threading import Event
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import Request

from connector.errors import BadInput, Busy, ConnectorError, Reconnect, Refused, Retry
from connector.people import Person
from connector.store.intents import insert_intents, read_intents
from connector.store.lanes import release, take
from connector.sync.actions import UnknownTask
from connector.sync.opening import open_task
from connector.web import opening
from connector.web.opening import answer_to, lead_to
from tests.web.site import GMAIL, OUTLOOK, Sites, drafts_out, key_of
from tests.world import CY, World, WorldMaker

HOSTILE = '<img src=x onerror="alert(1)"> & "Ann"'
ANN = Person(email="ann@bolt.example", first_name=HOSTILE, last_name="Bolt", company="Bolt")
PAT = Person(email="pat@acre.example", first_name="Pat", last_name="Acre", company="Acre")
KIM = Person(email="kim@dune.example", first_name="Kim", last_name="Dune", company="Dune")
PEOPLE = {GMAIL: PAT, OUTLOOK: ANN, CY["email"]: KIM}


@pytest.fixture
def world(make_world: WorldMaker) -> World:
    """A world with a draft of a Gmail rep, one of an Outlook rep, and an email task of a rep without a mailbox."""
    return drafts_out(make_world, PEOPLE)


def test_a_click_leads_to_the_draft_under_its_address_of_now(world: World, serve: Sites) -> None:
    """The rep saved it in the browser since; then took it back from being scheduled, which makes it another message."""
    site = serve(world).sign_in()
    hosts = {GMAIL: "mail.google.com", OUTLOOK: "outlook.office365.com"}
    for rep, host in hosts.items():
        person = PEOPLE[rep].email
        path = f"/open/{key_of(world, person)}"
        seen = []
        for acts in ((), ("rep_edits_draft",), ("rep_schedules_draft", "rep_unschedules_draft")):
            for act in acts:
                world.act(act, rep=rep, person=person, **({"body": "<p>Mine</p>"} if "edits" in act else {}))
            answer = site.get(path)
            address = answer.headers["location"]
            assert (answer.status_code, urlsplit(address).netloc) == (303, host)
            assert address == open_task(world.office, key_of(world, person)).address
            (draft,) = world.mails(rep, "drafts")
            assert draft["id"] in address or rep == OUTLOOK
            seen.append(address)
        assert len(set(seen)) == (3 if rep == GMAIL else 2), "Outlook keeps the id of a draft that is saved"
        # The first characters of the key do, and the sign-in to the mailbox may have to be renewed.
        world.after(hours=3)
        assert site.get(path[:14]).headers["location"] == seen[-1]


def test_without_a_mailbox_or_in_another_program_a_compose_window_opens(world: World, serve: Sites) -> None:
    site = serve(world).sign_in()
    asked = {
        f"/open/{key_of(world, KIM.email)}": "mail.google.com",
        f"/open/{key_of(world, KIM.email)}?in=outlook": "outlook.office.com",
        f"/open/{key_of(world, PAT.email)}?in=outlook": "outlook.office.com",
        f"/open/{key_of(world, ANN.email)}?in=gmail": "mail.google.com",
    }
    for path, host in asked.items():
        answer = site.get(path)
        address = urlsplit(answer.headers["location"])
        assert (answer.status_code, address.netloc) == (303, host)
        written = parse_qs(address.query)
        name = KIM.first_name if KIM.email in written["to"] else HOSTILE if ANN.email in written["to"] else "Pat"
        assert (written.get("su") or written["subject"]) == [f"Hello {name}"]


def test_what_the_rep_must_know_stands_on_a_page_before_the_link(world: World, serve: Sites) -> None:
    """And a name is text there, whatever it holds."""
    site = serve(world).sign_in()
    key = key_of(world, ANN.email)
    world.act("rep_deletes_draft", rep=OUTLOOK, person=ANN.email)
    answer = site.get(f"/open/{key}")
    assert answer.status_code == 200
    assert "The draft had been discarded: it was made anew." in answer.text
    assert str(escape(HOSTILE)).replace("&quot;", "&#34;") in answer.text
    assert "<img" not in answer.text
    (address,) = re.findall(r'href="(https:[^"]+)"', answer.text)
    assert address.replace("&amp;", "&") == site.get(f"/open/{key}").headers["location"]
    assert len(world.mails(OUTLOOK, "drafts")) == 1


def test_two_clicks_at_once_make_one_draft(world: World, serve: Sites) -> None:
    site = serve(world).sign_in()
    path = f"/open/{key_of(world, ANN.email)}"
    world.act("rep_deletes_draft", rep=OUTLOOK, person=ANN.email)
    with ThreadPoolExecutor(4) as clicks:
        answers = list(clicks.map(site.get, [path] * 4))
    assert sorted(answer.status_code for answer in answers) == [200, 303, 303, 303]
    assert len(world.mails(OUTLOOK, "drafts")) == 1


def test_a_mailbox_that_does_not_answer_keeps_nobody_from_the_other_pages(
    world: World, serve: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = serve(world).sign_in()
    path, begun, answered = f"/open/{key_of(world, ANN.email)}", Event(), Event()

    def stuck(*_: object, **__: object) -> None:
        begun.set()
        answered.wait(20)
        raise Busy("it did not answer")

    monkeypatch.setattr(opening, "open_task", stuck)
    with ThreadPoolExecutor(60) as clicks:
        waiting = [clicks.submit(site.get, path) for _ in range(60)]
        assert begun.wait(10)
        try:
            told = [one.result() for one in islice(as_completed(waiting, timeout=10), 50)]
            assert {one.status_code for one in told} == {503}
            assert site.get("/settings").status_code == 200
        finally:
            answered.set()


def test_each_reason_not_to_open_is_a_page_of_its_own(world: World, serve: Sites) -> None:
    world.launch([PAT], rep=GMAIL, campaign="call")
    world.sync()
    site = serve(world).sign_in()
    pat, ann = key_of(world, PAT.email), key_of(world, ANN.email)

    def says(path: str, status: int, sentence: str) -> None:
        answer = site.get(path)
        assert (answer.status_code, sentence in answer.text) == (status, True), answer.text
        assert ("retry-after" in answer.headers) == (status == 503)

    says(
        "/open/0123456789", 404, "The id &#39;0123456789&#39; names no task: &#39;connector tasks list&#39; shows them."
    )
    says("/open/abc", 404, "names no task")
    says("/open/%25%25%25%25", 404, "names no task")
    says(f"/open/{key_of(world, PAT.email, 'Call')}", 409, "has no email to open")
    with world.database.write() as tx:
        insert_intents(tx, [replace(read_intents(tx, [pat])[pat].intent, key=pat[:20] + "0" * 12)])
    says(f"/open/{pat[:20]}", 422, "names several tasks: give more of it.")
    # Another sync is in the mailbox, and the draft must be made anew.
    world.act("rep_deletes_draft", rep=OUTLOOK, person=ANN.email)
    with world.database.write() as tx:
        lease = take(tx, f"outlook:{OUTLOOK}", "another sync")
    assert lease is not None
    says(f"/open/{ann}", 503, "is being worked on by another sync")
    assert world.mails(OUTLOOK, "drafts") == []
    with world.database.write() as tx:
        release(tx, lease)
    says(f"/open/{ann}", 303, "")
    assert len(world.mails(OUTLOOK, "drafts")) == 1
    # Sent: before the next pass has seen it, and after.
    world.act("rep_sends_draft", rep=GMAIL, person=PAT.email)
    says(f"/open/{pat}", 409, "The mail to pat@acre.example was sent already")
    world.after(minutes=5)
    world.sync()
    says(f"/open/{pat}", 409, "The mail to pat@acre.example was sent on Mon 23 Nov 2026")


# ------------------------------------------------------------------------------------------------------- the tables


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownTask("x"), 404),
        (BadInput("x", "y"), 409),
        (Busy("x"), 503),
        (Retry("x"), 503),
        (Reconnect("x", account="gmail:ana@acme.example"), 409),
        (Refused("x"), 502),
        (ConnectorError("x"), 502),
    ],
)
def test_every_error_has_a_status(error: ConnectorError, status: int) -> None:
    answer = answer_to(asked(), error)
    assert (answer.status_code, b"<p>X.</p>" in answer.body) == (status, True)
    assert ("retry-after" in answer.headers) == (status == 503)


def asked() -> Request:
    return Request(
        {"type": "http", "method": "GET", "path": "/open/x", "query_string": b"", "headers": [], "state": {}}
    )


#: What a mailbox may say -> what comes of it: a way there, a page that asks first, no way at all.
ADDRESSES = {
    "https://mail.google.com/mail/u/?authuser=a@b.example#drafts/1f": 303,
    "https://outlook.office365.com/owa/?ItemID=AAA%3D&exvsurl=1": 303,
    "https://elsewhere.example/owa/": 200,
    "https://mail.google.com.evil.example/": 200,
    "https://mail.google.com:444/": 200,
    "https://mail.google.com\\.evil.example/": 200,
    "https://evil.example\\@mail.google.com/": 502,
    "https://mail.google.com@evil.example/": 502,
    "https://[mail.google.com/": 502,
    "http://mail.google.com/": 502,
    "//mail.google.com/": 502,
    "javascript:alert(1)": 502,
    "": 502,
}


def test_only_to_mail_programs_one_is_led_without_asking(world: World) -> None:
    opened = open_task(world.office, key_of(world, PAT.email))
    for address, status in ADDRESSES.items():
        answer = lead_to(asked(), replace(opened, address=address))
        assert answer.status_code == status, address
        assert answer.headers.get("location") == (address if status == 303 else None)
        assert (b"which is none of the mail programs" in answer.body) == (status == 200)
        assert (b'href="http' in answer.body) == (status == 200)
