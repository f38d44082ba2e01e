"""A draft and the task it belongs to: what becomes of the one when the other ends (spec delivery 4, sequencing 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connector.errors import OutcomeUnknown
from connector.intents import IntentEvent
from connector.store.mails import MailState, read_open
from connector.sync.actions import end_by_hand
from tests.world import ANA, World, WorldMaker, people

DRAFT = """\
name: Draft
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
      - call: {name: "Call {{first_name}}"}
"""
REP = "ana@acme.example"
LANE = f"gmail:{REP}"


@pytest.fixture
def world(make_world: WorldMaker, database_url: str) -> World:
    made = make_world(campaign=DRAFT, reps=[ANA], database_url=database_url)
    made.launch(people(1))
    return made


def end(world: World, event: IntentEvent) -> None:
    (task,) = world.tasks
    end_by_hand(world.office, task.stored.intent.key, event, by="by the rep")


def go_on(world: World) -> None:
    for _ in range(2):
        world.after(minutes=5)
        world.sync()


def while_made(
    patch: pytest.MonkeyPatch, world: World, act: Callable[[], object], *, arrives: bool = True, lost: bool = False
) -> None:
    """Let something happen while the next draft is made; `arrives` tells whether it is, `lost` whether nobody hears."""
    mailbox = world.office.mailboxes[REP]
    create = mailbox.create_draft

    def call(mail: Any) -> Any:
        patch.setattr(mailbox, "create_draft", create)
        made = create(mail) if arrives else None
        act()
        if lost:
            raise OutcomeUnknown("the answer was lost", key=mail.key)
        return made

    patch.setattr(mailbox, "create_draft", call)


@pytest.mark.parametrize("when", ["before", "while", "while, and the answer is lost"])
@pytest.mark.parametrize(("event", "left"), [(IntentEvent.COMPLETE, 1), (IntentEvent.SKIP, 0)])
def test_a_draft_ends_alike_whether_it_lay_there_or_was_being_made(
    world: World, monkeypatch: pytest.MonkeyPatch, when: str, event: IntentEvent, left: int
) -> None:
    """Once handed over it is the rep's: completing the task leaves it; skipping takes an untouched one away."""
    if when == "before":
        world.sync()
        end(world, event)
    else:
        while_made(monkeypatch, world, lambda: end(world, event), lost="lost" in when)
        world.sync()
    go_on(world)
    assert len(world.effects("draft_created")) == 1
    assert len(world.mails(REP, "drafts")) == left


@pytest.mark.parametrize("event", [IntentEvent.COMPLETE, IntentEvent.SKIP])
def test_no_draft_is_made_for_a_task_that_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch, event: IntentEvent
) -> None:
    while_made(monkeypatch, world, lambda: end(world, event), arrives=False, lost=True)
    world.sync()
    go_on(world)
    assert world.effects("draft_created") == []


def open_mails(world: World) -> list[MailState]:
    with world.database.read() as tx:
        return [mail.state for mail in read_open(tx, LANE)]


def test_a_discarded_draft_is_looked_for_until_its_task_is_over(world: World) -> None:
    world.sync()
    world.act("rep_deletes_draft", person=people(1)[0].email)
    go_on(world)
    assert open_mails(world) == [MailState.DISCARDED]
    end(world, IntentEvent.COMPLETE)
    assert open_mails(world) == []


def test_a_limit_on_sending_holds_no_draft(make_world: WorldMaker, database_url: str) -> None:
    world = make_world(
        campaign={
            "draft": DRAFT,
            "send": "name: Send\ndays:\n  - day: 1\n    steps:\n      - email: {template: intro, send: choose_at_launch}\n",
        },
        reps=[ANA],
        database_url=database_url,
    )
    world.act("mail_settings", gmail_sends_per_day=1)
    world.launch(people(3), campaign="Send")
    report = world.sync()
    assert report.exit_status == 1
    assert any("a limit that Gmail sets" in line for line in report.needs_attention)
    world.launch(people(2, domain="later"), campaign="Draft")
    world.after(minutes=5)
    assert world.sync().delivered["drafts"] == 2
    assert len(world.effects("mail_sent")) == 1
    world.after(days=1)
    world.sync()
    assert len(world.effects("mail_sent")) == 2, "one a day"
