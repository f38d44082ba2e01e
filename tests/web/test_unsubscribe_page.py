"""Unsubscribing by the link in a mail: asking changes nothing, saying so ends everything at once, for nobody else."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage

import pytest
import requests

from connector.events import EventKind
from connector.sequencing.enrollment import EnrollmentState
from connector.store.enrollments import find_enrollments
from connector.store.people import read_people
from connector.sync.actions import undo_opt_out
from connector.unsubscribe import Tokens
from connector.web.unsubscribe import REASON, masked
from tests.web.visitors import ANA, BOB, WEB, Visitors
from tests.world import World, people

PAT, QUE, RAY, SUE, TOM = people(5)
ADDRESS = "https://go.acme.example/u/"
STEPS = """\
days:
  - {day: 1, steps: [{email: {template: intro, send: choose_at_launch}}]}
  - {day: 2, steps: [{email: {template: nudge, send: "09:00"}}]}
"""
CAMPAIGNS = {name.lower(): f"name: {name}\n{STEPS}" for name in ("First", "Second")}
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Ana's first mail has gone to all of them; the second is for tomorrow. Bob has written to Pat too."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("unsubscribe") / "world"
        rules = {"address": f"{ADDRESS}{{token}}", "text": "Not for you? [Say so]"}
        world = World.make(folder, patch, campaign=CAMPAIGNS, web=WEB, unsubscribe=rules)
        world.launch([PAT, QUE, RAY, SUE, TOM], campaign="First")
        world.launch([PAT], rep=BOB, campaign="Second")
        world.sync()
        yield world
        world.close()


def mails_to(world: World, person: str) -> list[EmailMessage]:
    """Return the mails to a person that lie in Ana's Sent, as they went out."""
    kept = [mail.raw for mail in world.sandbox.world.box_of(ANA).mails.values() if mail.place == "sent"]
    read = [email.message_from_bytes(raw, policy=email.policy.default) for raw in kept]
    return [message for message in read if message["To"].addresses[0].addr_spec == person]


def page_of(visitors: Visitors, person: str) -> str:
    return f"{visitors.url}/u/{visitors.site.tokens.token_of(person)}"


def standing(world: World, person: str) -> tuple[list[EnrollmentState], bool, list[str]]:
    """Return how a person's campaigns stand, whether they have opted out, and each reason that was told for it."""
    with world.database.read() as tx:
        opted_out = read_people(tx, [person])[person].opted_out is not None
        states = [one.state for one in find_enrollments(tx, persons=[person], live=False)]
    return states, opted_out, [fact.reason for fact in world.facts(EventKind.OPTED_OUT, person=person)]


AT_WORK = ([EnrollmentState.ACTIVE], False, [])


def test_asking_changes_nothing_and_says_no_more_than_a_masked_address(world: World, visitors: Visitors) -> None:
    for _ in range(3):
        answer = requests.get(page_of(visitors, QUE.email), timeout=30)
    assert answer.status_code == 200
    assert standing(world, QUE.email) == AT_WORK
    assert "p…@client1.example" in answer.text
    for word in (QUE.email, QUE.first_name, QUE.company, "First", ANA, "csrf", "<script", "http"):
        assert word not in answer.text
    assert answer.text.count('<form method="post">') == 1
    assert not answer.cookies
    assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "form-action 'self'" in answer.headers["Content-Security-Policy"]


#: How programs and browsers send it: (what, with a session's cookie).
SENT = {
    "one click": ({"data": ONE_CLICK}, False),
    "one click in parts": ({"files": {"List-Unsubscribe": (None, "One-Click")}}, False),
    "nothing": ({}, False),
    "something else": ({"data": b"\xff{}", "headers": {"Content-Type": "application/json"}}, False),
    "by somebody who is signed in": ({"data": ONE_CLICK}, True),
}


@pytest.mark.parametrize("how", SENT)
def test_saying_so_needs_the_token_alone_and_twice_is_as_once(world: World, visitors: Visitors, how: str) -> None:
    person = RAY.email
    options, signed_in = SENT[how]
    cookies = visitors.cookies(ANA) if signed_in else {}
    told = len(world.facts(EventKind.OPTED_OUT, person=person))
    for _ in range(2):
        answer = requests.post(page_of(visitors, person), cookies=cookies, allow_redirects=False, timeout=30, **options)
        assert (answer.status_code, "p…@client2.example" in answer.text) == (200, True)
    states, opted_out, reasons = standing(world, person)
    assert (states, opted_out, set(reasons)) == ([EnrollmentState.OPTED_OUT], True, {REASON})
    assert len(reasons) == told + 1
    undo_opt_out(world.office, person, reason="they asked to be written to")


def test_what_is_no_token_of_ours_is_a_calm_page_and_changes_nothing(world: World, visitors: Visitors) -> None:
    token = visitors.site.tokens.token_of(SUE.email)
    wrong = [
        "x",
        token[:-1],
        token + "A",
        token.swapcase(),
        Tokens(bytes(64)).token_of(SUE.email),
        SUE.email,
        "A" * 5000,
    ]
    said = set()
    for one in wrong:
        for method in ("GET", "POST"):
            answer = requests.request(method, f"{visitors.url}/u/{one}", data=ONE_CLICK, timeout=30)
            assert answer.status_code == 404
            said.add(answer.text)
    assert len(said) == 1
    assert standing(world, SUE.email) == AT_WORK


@pytest.mark.parametrize(
    ("asks", "language"), [("sv-SE,sv;q=0.9", "sv"), ("ja", "ja"), ("zh-CN", "zh-Hans"), ("tlh", "en")]
)
def test_the_page_speaks_the_language_of_the_recipient(visitors: Visitors, asks: str, language: str) -> None:
    answer = requests.get(page_of(visitors, SUE.email), headers={"Accept-Language": asks}, timeout=30)
    assert f'<html lang="{language}">' in answer.text


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ann@globex.example", "a…@globex.example"),
        ("ab@x.example", "a…@x.example"),
        ("a@x.example", "…@x.example"),
    ],
)
def test_an_address_is_shown_as_its_owner_knows_it_again(address: str, shown: str) -> None:
    assert masked(address) == shown


def test_the_link_in_a_mail_ends_every_campaign_and_the_next_mail_does_not_go_out(
    world: World, visitors: Visitors
) -> None:
    """As a mail program does it (RFC 8058): the address of the mail's own header, with the body its header names."""
    (mail,) = mails_to(world, PAT.email)
    address = re.fullmatch(f"<{ADDRESS}(.+)>", mail["List-Unsubscribe"])
    assert address is not None
    name, _, value = mail["List-Unsubscribe-Post"].partition("=")
    answer = requests.post(f"{visitors.url}/u/{address[1]}", data={name: value}, allow_redirects=False, timeout=30)
    assert answer.status_code == 200
    states, opted_out, reasons = standing(world, PAT.email)
    assert (states, opted_out, reasons) == ([EnrollmentState.OPTED_OUT] * 2, True, [REASON] * 2)
    assert standing(world, TOM.email) == AT_WORK
    world.after(days=1, hours=2)
    world.sync()
    assert [len(mails_to(world, one.email)) for one in (PAT, TOM)] == [1, 2]
    told = {lead["Email"]: lead["HasOptedOutOfEmail"] for lead in [*world.records("Lead"), *world.records("Contact")]}
    assert (told[PAT.email], told[TOM.email]) == (True, False)
