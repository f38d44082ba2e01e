"""What is wrong with one person's campaign is told, with the next move, and stops nobody else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from connector.events import EventKind
from connector.intents import IntentState
from connector.sequencing.enrollment import EnrollmentState
from connector.store.intents import find_intents
from connector.store.people import mark_person
from connector.store.schema import campaign_versions
from connector.sync import actions
from connector.sync.tick import tick
from connector.sync.wheel import plan_turn
from tests.world import ANA, START, World, WorldMaker, people

CALLS = """\
name: Calls
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}"}
  - day: 2
    steps:
      - call: {name: "Call {{first_name}} again"}
"""

MAILS = """\
name: Mails
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
  - day: 2
    steps:
      - email: {template: nudge, send: "10:00", follow_up: true}
"""

DRAFTS = """\
name: Drafts
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
"""

ONE, OTHER = people(1), people(1, domain="other")
PAT = ONE[0].email
SOON = START + timedelta(hours=1)


def world_of_two(make_world: WorldMaker, campaign: str, name: str, **settings: object) -> World:
    """Put one person into a campaign and another into a copy of it, due in an hour."""
    copy = campaign.replace(name, "Copy")
    world = make_world(campaign={"a": campaign, "b": copy}, reps=[ANA], **settings)
    world.launch(ONE, campaign=name, start=SOON)
    world.launch(OTHER, campaign="Copy", start=SOON)
    return world


def lose_version(world: World, name: str, into: str = "lost") -> None:
    """Let a campaign's version be gone; or, the other way round, bring it back."""
    with world.database.write() as tx:
        tx.execute(update(campaign_versions).where(campaign_versions.c.name == name).values(name=into))
    world.reopen()


def states(world: World, person: str) -> list[IntentState]:
    with world.database.read() as tx:
        return [one.state for one in find_intents(tx, states=list(IntentState), persons=[person])]


def test_a_pause_that_nobody_asked_for_is_listed_until_it_is_mended(make_world: WorldMaker) -> None:
    world = world_of_two(make_world, CALLS, "Calls")
    lose_version(world, "Calls")
    world.after(hours=2)
    for _ in range(2):
        report = world.sync()
        (sentence,) = report.needs_attention
        assert sentence.startswith(f"{PAT} ('Calls', rep ana@acme.example) is paused: it cannot go on: version ")
        assert sentence.endswith(
            f"of campaign 'Calls' is not in the database; mend that, then 'connector resume --person {PAT}'"
        )
        assert report.exit_status == 1
    lose_version(world, "lost", "Calls")
    actions.resume(world.office, person=PAT, campaign=None, rep=None)
    assert world.sync().needs_attention == []
    assert states(world, PAT) == [IntentState.OPEN]


def test_a_pause_that_somebody_asked_for_is_not_listed(make_world: WorldMaker) -> None:
    world = world_of_two(make_world, CALLS, "Calls")
    actions.pause(world.office, person=PAT, campaign=None, rep=None)
    world.after(hours=2)
    assert world.sync().needs_attention == []


@pytest.mark.parametrize(
    ("campaign", "name", "other"),
    [
        (CALLS, "Calls", IntentState.OPEN),
        (MAILS, "Mails", IntentState.SENT),
        (DRAFTS, "Drafts", IntentState.OPEN),
    ],
)
def test_a_version_lost_between_deciding_and_composing_blocks_its_person_alone(
    make_world: WorldMaker, campaign: str, name: str, other: IntentState
) -> None:
    world = world_of_two(make_world, campaign, name)
    world.after(hours=2)
    tick(world.office, world.now)
    lose_version(world, name)
    assert plan_turn(world.office).as_json()["intents"] != {"send": 0, "task": 0}
    (sentence,) = world.sync().needs_attention
    assert sentence.startswith(f"{PAT} ('{name}', day 1, step 1) is blocked: version ")
    assert f"'connector resume --person {PAT}', or 'connector remove' them" in sentence
    assert (states(world, PAT), states(world, OTHER[0].email)) == ([IntentState.BLOCKED], [other])
    lose_version(world, "lost", name)
    actions.resume(world.office, person=PAT, campaign=None, rep=None)
    assert world.sync().needs_attention == []
    assert states(world, PAT) == [other]


ONE_A_DAY = {"gmail": {"per_second": None, "per_day": 1}}


def test_a_version_lost_while_its_mail_waits_for_its_turn_blocks_it_alone(make_world: WorldMaker) -> None:
    world = world_of_two(make_world, MAILS, "Mails", pacing=ONE_A_DAY)
    for name in ("Mails", "Copy"):
        world.launch(people(1, domain=f"more{name.lower()}"), campaign=name, start=SOON)
    world.after(hours=2)
    world.sync()
    with world.database.read() as tx:
        waiting = [one.intent for one in find_intents(tx, states=[IntentState.DUE])]
    assert len(waiting) == 3
    lose_version(world, "Mails")
    for _ in range(3):
        world.after(days=1)
        world.sync()
    for one in waiting:
        assert states(world, one.person)[0] is (IntentState.BLOCKED if one.campaign == "Mails" else IntentState.SENT)


def test_an_address_that_bounced_ends_its_person_though_the_version_is_gone(make_world: WorldMaker) -> None:
    world = world_of_two(make_world, MAILS, "Mails")
    world.after(hours=2)
    tick(world.office, world.now)
    with world.database.write() as tx:
        mark_person(tx, PAT, bounced=world.now)
    lose_version(world, "Mails")
    world.sync()
    assert world.enrollments[PAT].state is EnrollmentState.BOUNCED
    assert [fact.person for fact in world.facts(EventKind.BOUNCED)] == [PAT]


def test_a_reply_is_taken_in_though_the_version_is_gone(make_world: WorldMaker) -> None:
    world = world_of_two(make_world, MAILS, "Mails")
    world.after(hours=2)
    world.sync()
    lose_version(world, "Mails")
    for person in (PAT, OTHER[0].email):
        world.act("prospect_replies", person=person)
    world.after(minutes=5)
    report = world.sync()
    assert report.needs_attention == []
    assert {one.state for one in world.enrollments.values()} == {EnrollmentState.REPLIED}
