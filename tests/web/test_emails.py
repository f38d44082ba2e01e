"""The lists of emails, and what can be done about each: another time, not at all, once more."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from connector.events import EventKind
from connector.store.mails import MailState, change_mail
from connector.sync.mail_lists import Standing, count_emails, list_emails
from connector.sync.prepare import prepare
from connector.sync.tick import tick
from tests.web.visitors import ANA, BOB, WEB, Visitors
from tests.world import ANA as ANA_REP
from tests.world import BOB as BOB_REP
from tests.world import World, WorldMaker, people

MAILS = """\
name: Mails
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
  - day: 2
    steps:
      - call: {name: Call}
"""
GAPS = """\
name: Gaps
days:
  - day: 1
    steps:
      - email: {template: gap, send: choose_at_launch}
"""
DRAFTS = """\
name: Drafts
days:
  - day: 1
    steps:
      - email: {template: intro, send: task}
"""
TEMPLATES = {
    "intro.md": "---\nsubject: Hello {{first_name}}\n---\nHi {{first_name}}\n",
    "gap.md": "---\nsubject: Hello\n---\nYour plan {{custom.plan}}\n",
}


@pytest.fixture
def world(make_world: WorldMaker, database_url: str) -> World:
    return make_world(
        campaign={"mails": MAILS, "gaps": GAPS, "drafts": DRAFTS},
        templates=TEMPLATES,
        reps=[ANA_REP, BOB_REP],
        web=WEB,
        database_url=database_url,
    )


def counts(world: World, rep: str = ANA) -> dict[str, int]:
    found = count_emails(world.office, reps=frozenset({rep}))
    return {standing.value: count for standing, count in found.items() if count}


def test_an_email_is_moved_sent_cancelled_and_tried_again(world: World) -> None:
    """From its plan to its end, by the forms of the page; nothing goes out twice, nor what was called off."""
    first, second, third = people(3)
    world.launch([first, second], campaign="Mails", start=world.now + timedelta(days=1))
    world.launch([third], campaign="Gaps")
    world.sync()
    assert counts(world) == {"scheduled": 2, "failed": 1}
    assert counts(world, BOB) == {}
    visitors = Visitors.of(world)
    try:
        ana, bob = visitors.browser(ANA), visitors.browser(BOB)
        listed = list_emails(world.office, Standing.SCHEDULED, reps=None).emails
        ids = {one.person: one.id for one in listed}
        text = ana.get("/emails").text
        assert text.count("/reschedule") == 2
        assert "Template intro" in text
        moved = {"day": "2026-11-23", "time": "12:00", "zone": "Europe/Madrid"}
        assert bob.post(f"/emails/{ids[first.email]}/reschedule", **moved).status_code == 404
        assert bob.post(f"/emails/{ids[second.email]}/cancel").status_code == 404
        assert ana.post(f"/emails/{ids[first.email]}/reschedule", **moved | {"zone": "Nowhere"}).status_code == 422
        assert ana.post(f"/emails/{ids[first.email]}/reschedule", **moved | {"day": "2020-01-01"}).status_code == 422
        for day in ("0001-01-01", "1999-12-31", "2200-01-01", "9999-12-31", "tomorrow"):
            assert ana.post(f"/emails/{ids[first.email]}/reschedule", **moved | {"day": day}).status_code == 422
        assert ana.post(f"/emails/{ids[first.email]}/reschedule", **moved).status_code == 303
        assert ana.post(f"/emails/{ids[second.email]}/cancel").status_code == 303
        assert world.enrollments[first.email].due == datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
        world.after(hours=3, minutes=1)
        world.sync()
        assert counts(world) == {"sent": 1, "failed": 1, "cancelled": 1}
        assert [mail["to"] for mail in world.mails(ANA, "sent")] == [first.email] or len(world.mails(ANA, "sent")) == 1
        assert ana.post(f"/emails/{ids[first.email]}/cancel").status_code == 422
        failed = ana.get("/emails?state=failed").text
        assert "plan" in failed
        (stuck,) = re.findall(r'action="/emails/(\w+)/retry"', failed)
        assert ana.post(f"/emails/{stuck}/retry").status_code == 303
        assert len(world.facts(EventKind.RELEASED)) == 1
        assert "Skipped" in ana.get("/emails?state=cancelled").text
        assert ana.get("/emails?state=none").status_code == 400
        for standing in Standing:
            assert ana.get(f"/emails?state={standing.value}").status_code == 200
    finally:
        visitors.leave()
    world.replay()


def test_a_draft_that_its_mailbox_refused_is_among_the_failed(world: World) -> None:
    (person,) = people(1)
    world.launch([person], campaign="Drafts")
    tick(world.office, world.now)
    prepare(world.office, world.now)
    (waits,) = list_emails(world.office, Standing.IN_PROGRESS, reps=None).emails
    with world.database.write() as tx:
        change_mail(tx, waits.key, state=MailState.FAILED)
    visitors = Visitors.of(world)
    try:
        ana, bob = visitors.browser(ANA), visitors.browser(BOB)
        assert (counts(world), counts(world, BOB)) == ({"failed": 1}, {})
        assert "Draft failed" in ana.get("/emails?state=failed").text
        assert bob.post(f"/emails/{waits.id}/retry").status_code == 404
        assert ana.post(f"/emails/{waits.id}/retry").status_code == 303
        assert ana.post(f"/emails/{waits.id}/retry").status_code == 422
    finally:
        visitors.leave()
    world.sync()
    assert counts(world) == {"drafts": 1}


def test_what_waits_in_the_mailbox_is_moved_too(world: World) -> None:
    """A send that is due is taken out of the outbox, and comes round once, at its new time."""
    from connector.sync.mail_actions import reschedule  # noqa: PLC0415

    (person,) = people(1)
    world.launch([person], campaign="Mails")
    tick(world.office, world.now)
    prepare(world.office, world.now)
    (email,) = list_emails(world.office, Standing.IN_PROGRESS, reps=None).emails
    reschedule(world.office, email.id, world.now + timedelta(hours=5), by="Ana")
    world.sync()
    assert world.effects("mail_sent") == []
    world.after(hours=5)
    world.sync()
    assert len(world.effects("mail_sent")) == 1
    world.judge()


def test_lists_go_on_where_a_page_ends(world: World) -> None:
    world.launch(people(5), campaign="Mails", start=world.now + timedelta(days=1))
    seen: list[str] = []
    after: str | None = None
    while True:
        page = list_emails(world.office, Standing.SCHEDULED, reps=frozenset({ANA}), after=after, most=2)
        seen += [one.person for one in page.emails]
        after = page.next
        if after is None:
            break
    assert sorted(seen) == sorted(one.email for one in people(5))


def test_a_mail_that_came_back_is_told(world: World) -> None:
    (person,) = people(1)
    world.launch([person], campaign="Mails")
    world.sync()
    world.act("prospect_bounces", person=person.email)
    world.after(minutes=3)
    world.sync()
    assert counts(world) == {"sent": 1, "bounced": 1}
    (bounced,) = list_emails(world.office, Standing.BOUNCED, reps=None).emails
    assert bounced.person == person.email
