"""More drafts than one pull can ask for within a minute's quota: each pull brings it forward, and loses nothing."""

from __future__ import annotations

import pytest

from connector.intents import IntentState
from connector.store.intents import find_intents
from connector.store.mails import MailState, read_mails
from tests.world import ANA, World, WorldMaker, people

REP = ANA["email"]
DRAFT = """\
name: Draft
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
  - day: 2
    steps:
      - call: {name: "Call {{first_name}}"}
"""


def drafts_out(make_world: WorldMaker, count: int) -> World:
    """Return a world with drafts placed, every one of which has been seen."""
    world = make_world(campaign=DRAFT, reps=(ANA,))
    world.launch(people(count))
    world.sync()
    world.after(minutes=10)
    assert world.sync().exit_status == 0
    world.after(minutes=10)
    return world


def count_of(world: World, state: MailState) -> int:
    with world.database.read() as tx:
        keys = [one.intent.key for one in find_intents(tx, states=list(IntentState))]
        return sum(mail.state is state for mail in read_mails(tx, keys).values())


def scarce(world: World, monkeypatch: pytest.MonkeyPatch, units: int) -> None:
    """Let the mailbox have these units a minute from now on."""
    monkeypatch.setattr(world.office.mailboxes[REP]._session._quota, "per_minute", units)  # type: ignore[attr-defined]


def passes(world: World, count: int) -> None:
    for _ in range(count):
        world.after(minutes=5)
        world.sync()


def test_many_drafts_discarded_at_once_are_told_in_the_end(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = drafts_out(make_world, 16)
    scarce(world, monkeypatch, 1000)
    for person in people(16)[:8]:
        world.act("rep_deletes_draft", rep=REP, person=person.email)
    passes(world, 1)
    assert count_of(world, MailState.PRESENT) == 16, "too many to ask for at once"
    passes(world, 7)
    assert (count_of(world, MailState.DISCARDED), count_of(world, MailState.PRESENT)) == (8, 8)
    assert world.sync().exit_status == 0


def test_a_draft_that_is_answered_is_asked_for_before_all_others(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent from a phone, which keeps none of its keys, and answered at once."""
    world = drafts_out(make_world, 16)
    scarce(world, monkeypatch, 1000)
    for person in people(16)[:8]:
        world.act("rep_deletes_draft", rep=REP, person=person.email)
    *_, last = people(16)
    world.act("rep_sends_from_phone", rep=REP, person=last.email)
    world.act("prospect_replies", rep=REP, person=last.email)
    passes(world, 1)
    assert world.enrollments[last.email].state.value == "replied"
    assert count_of(world, MailState.DISCARDED) < 8, "too many to ask for at once"


@pytest.mark.parametrize("count", [40])
def test_a_resync_does_not_ask_for_drafts_that_lie_there(make_world: WorldMaker, count: int) -> None:
    world = drafts_out(make_world, count)
    person, edited, *_ = people(count)
    world.act("rep_sends_draft", rep=REP, person=person.email)
    world.act("rep_edits_draft", rep=REP, person=edited.email, body="<p>My own words</p>")
    world.act("gmail_expires_history", rep=REP)
    world.after(minutes=5)
    report = world.sync()
    assert (report.pulled["drafts_sent"], report.exit_status) == (1, 0)
    assert report.api_calls["gmail"] < 20
    with world.database.read() as tx:
        keys = [one.intent.key for one in find_intents(tx, states=list(IntentState))]
        assert [mail.person for mail in read_mails(tx, keys).values() if mail.edited] == [edited.email]
