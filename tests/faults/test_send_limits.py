"""A limit on sending holds a mailbox's sends and nothing else; whoever looks sees until when, and why."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from connector.errors import OutcomeUnknown, Retry
from connector.intents import IntentState
from connector.ports import DraftRef, SentMail
from connector.store.intents import find_intents
from connector.sync.views import status
from tests.world import ANA, World, WorldMaker, people

REP = ANA["email"]
SEND = """\
name: Send
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
"""
DRAFT = SEND.replace("Send", "Draft").replace(
    "{template: intro, send: choose_at_launch}", "{template: last, send: task}"
)
LIMIT = "the limit on mails sent in a day is reached"


def account(world: World) -> dict[str, Any]:
    return dict(status(world.office).as_json()["accounts"][f"gmail:{REP}"])


def test_sends_wait_and_drafts_do_not_and_the_reason_is_said_until_it_is_over(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(campaign={"a": SEND, "b": DRAFT}, reps=[ANA], salesforce={"tasks": "off"})
    world.launch(people(2), campaign="Send")
    until = world.now + timedelta(hours=20)

    def limited(*_: object) -> Any:
        raise Retry(LIMIT, after=timedelta(hours=20))

    with monkeypatch.context() as patch:
        patch.setattr(world.office.mailboxes[REP], "send_draft", limited)
        assert world.sync().needs_attention == [f"gmail:{REP}: {LIMIT}"]
    world.launch(people(2, domain="other"), campaign="Draft")
    # The mailbox is read, another of its troubles comes and goes: the limit is still there.
    for broken in (False, True, False):
        world.after(minutes=5)
        with monkeypatch.context() as patch:
            if broken:
                patch.setattr(world.office.mailboxes[REP], "pull_mail", limited)
            world.sync()
        assert account(world)["problem"] == LIMIT
        assert account(world)["sends_blocked_until"] == f"{until:%Y-%m-%dT%H:%M:%SZ}"
        assert account(world)["blocked_until"] is None
    assert len(world.effects("draft_created")) == 3  # two of tasks, and the one that is to be sent
    assert world.effects("mail_sent") == []
    world.after(hours=20)
    assert (account(world)["problem"], account(world)["sends_blocked_until"]) == (None, None)
    assert account(world)["sent_today"] == 0
    world.sync()
    assert len(world.effects("mail_sent")) == 2
    assert account(world)["sent_today"] == 1  # the first was counted when it was tried


def test_a_send_put_off_many_times_is_looked_for_as_often_as_any_when_its_answer_is_lost(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(campaign=SEND, reps=[ANA], salesforce={"tasks": "off"})
    world.launch(people(1))
    mailbox = world.office.mailboxes[REP]
    send, told = mailbox.send_draft, list[str]()

    def limited_then_lost(draft: DraftRef, key: str) -> SentMail:
        told.append(key)
        if len(told) <= 10:
            raise Retry(LIMIT, after=timedelta(hours=1))
        send(draft, key)
        raise OutcomeUnknown("the answer was lost", key=key)

    monkeypatch.setattr(mailbox, "send_draft", limited_then_lost)
    for _ in range(11):
        world.sync()
        world.after(hours=1)
    with world.database.read() as tx:
        assert find_intents(tx, states=[IntentState.UNKNOWN]) == []
    world.sync()
    assert len(world.effects("mail_sent")) == 1
    with world.database.read() as tx:
        assert len(find_intents(tx, states=[IntentState.SENT])) == 1


def test_mails_keep_their_distance_although_making_a_draft_takes_longer(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(campaign=SEND, reps=[ANA], salesforce={"tasks": "off"})
    world.launch(people(4))
    mailbox = world.office.mailboxes[REP]
    create, slow = mailbox.create_draft, iter([0, 30, 0, 0])

    def create_slowly(mail: Any) -> DraftRef:
        world.after(seconds=next(slow))
        return create(mail)

    monkeypatch.setattr(mailbox, "create_draft", create_slowly)
    world.sync()
    sent = [datetime.fromisoformat(one["at"]) for one in world.effects("mail_sent")]
    assert len(sent) == 4
    assert all(later - earlier >= timedelta(seconds=1) for earlier, later in pairwise(sent))
