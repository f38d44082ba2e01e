"""A task's mail that its rep has sent by the connector: killed at every failpoint, and with every answer lost, once.

The draft that lies in the mailbox is taken away first, and must neither stay nor be sent; then the mail is made and
sent. The judge is what the mailboxes hold and what they logged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from unittest import mock

import pytest

from connector.app import Project
from connector.intents import IntentState
from connector.store.intents import find_intents
from connector.sync import taking_back
from connector.sync.asking import deliver, send
from connector.sync.composing import Text
from connector.sync.office import Office
from connector.sync.wheel import turn
from tests.faults.failpoints import Nursery, kill_everywhere, sync
from tests.faults.line import Asked, Line, Lost
from tests.faults.test_failpoints import CAMPAIGNS, REPS, SETTINGS
from tests.faults.test_lost_mail_answers import HARD, MAILBOXES, on_a_line, one, settle
from tests.world import World, WorldMaker, people

__all__ = ["on_a_line"]

WRITTEN = Text(subject="My own words", body="Dear Pat, this is mine.")


def ask(world: World, key: str) -> None:
    send(world.office, key, WRITTEN, at=None, version=None, by="rep")


def keys_open(world: World) -> list[str]:
    with world.database.read() as tx:
        return [stored.intent.key for stored in find_intents(tx, states=[IntentState.OPEN])]


def turns(_project: Project, office: Office) -> None:
    """Turn the wheel often enough: a draft that is nowhere is believed gone after five minutes."""
    for _ in range(3):
        turn(office)
        office.clock.sleep(360)


def judge(world: World, reps: tuple[str, ...], asked: set[str]) -> None:
    """Assert that each of these was sent once, as it was written, with its draft gone and its task done, and no other."""
    sent = [mail for rep in reps for mail in world.mails(rep, "sent")]
    assert asked.isdisjoint(mail["key"] for rep in reps for mail in world.mails(rep, "drafts"))
    assert {mail["subject"] for mail in sent} == {WRITTEN.subject}
    assert Counter(mail["key"] for mail in sent) == Counter(asked)
    assert len(world.effects("mail_sent")) == len(asked)
    with world.database.read() as tx:
        found = find_intents(tx, states=list(IntentState))
    assert {stored.intent.key for stored in found if stored.state is IntentState.COMPLETED} == asked
    assert {stored.state for stored in found} <= {IntentState.COMPLETED, IntentState.OPEN}


#: Where a mail could be lost or doubled.
CLOSE = ("delete_draft", "create_draft", "send_draft")


def test_killed_where_it_matters_it_is_sent_once_and_its_draft_is_gone(make_world: WorldMaker) -> None:
    kill_all(make_world(campaign=CAMPAIGNS, salesforce={"tasks": "off"}, **SETTINGS), only=CLOSE)


@pytest.mark.nightly
def test_killed_at_each_failpoint_it_is_sent_once_and_its_draft_is_gone(
    make_world: WorldMaker, database_url: str
) -> None:
    kill_all(make_world(database_url=database_url, campaign=CAMPAIGNS, **SETTINGS), only=("",))


def kill_all(world: World, *, only: tuple[str, ...]) -> None:
    """Have a mail of each mailbox sent, by processes that are killed one after another; judge what came of it."""
    with Nursery(world) as nursery:
        for number, rep in enumerate(REPS):
            world.launch(people(1, domain=f"c{number}x"), rep=rep, campaign="Drafts")
        assert nursery.run(sync) == 0
        world.after(minutes=10)
        keys = keys_open(world)
        for key in keys:
            ask(world, key)
        kills = kill_everywhere(world, nursery, turns, then=lambda _kill: world.after(minutes=20), only=only)
        world.after(minutes=20)
        assert nursery.run(sync) == 0
    calls = [f"{box}.{call}" for box in ("gmail", "outlook") for call in ("delete_draft", "create_draft", "send_draft")]
    assert [word for word in calls if not any(word in kill.failpoint for kill in kills)] == []
    judge(world, REPS, set(keys))
    world.replay()


@pytest.mark.parametrize("service", MAILBOXES)
def test_an_answer_lost_at_any_call_sends_it_once(
    on_a_line: Callable[..., tuple[World, Line]],
    service: str,
) -> None:
    world, line = on_a_line(service)
    rep = MAILBOXES[service]["email"]
    world.seed([])
    world.act("mail_settings", **HARD[service])
    world.launch([one(f"c{number}-") for number in range(24)], rep=rep, campaign="Drafts")
    world.sync()
    world.after(minutes=10)
    asked: set[str] = set()
    for number, key in enumerate(keys_open(world), start=1):
        ask(world, key)
        asked.add(key)
        line.count_anew()

        def strike(asked: Asked, lost: int = number) -> Lost | None:
            return Lost() if asked.service == service and asked.number == lost else None

        line.fault = strike
        deliver(world.office, key)
        line.fault = lambda _: None
        if not line.struck:
            break
    else:
        pytest.fail("there are more calls than were tried")
    settle(world)
    judge(world, (rep,), asked)
    assert number > 5, "hardly any call was there to be lost"


def test_a_draft_that_is_believed_gone_too_soon_is_sent_twice(make_world: WorldMaker) -> None:
    """Break the code: the judge sees it."""
    world = make_world(campaign=CAMPAIGNS, **SETTINGS)
    world.launch(people(1), rep=REPS[0], campaign="Drafts")
    world.sync()
    world.after(minutes=10)
    (key,) = keys_open(world)
    world.act("mail_settings", gmail_send_delay=30)
    world.act("rep_sends_draft", key=key)
    ask(world, key)
    with mock.patch.object(taking_back, "is_discarded", return_value=True):
        deliver(world.office, key)
    world.after(minutes=2)
    world.sync()
    assert len(world.effects("mail_sent")) == 2
