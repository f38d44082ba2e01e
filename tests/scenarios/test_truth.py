"""`simulate` tells the truth (issue 2, must show 3): the example campaign, run to its end on the sandbox.

Time is moved to each next due instant, and what really happened (the sandbox's log of sent mails, the tasks put before
the rep) is held against what `simulate_person` said for each person and zone before the launch.

Pacing is lifted: it may let mails out later than they are due (that is its purpose, tested in `test_actions`), and the
question here is when they are due. The calendar does not depend on it: an automatic email counts with its due time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.campaigns.people_file import read_people
from connector.intents import Mode, StepType
from connector.people import Person
from connector.sequencing.sequencer import zone_of
from connector.sequencing.simulate import PlannedStep, simulate_person
from connector.sync.outcomes import UNDO
from tests.world import World, WorldMaker

EXAMPLE = Path(__file__).parents[2] / "config"

REPS: list[dict[str, Any]] = [
    {
        "email": "ana@acme.example",
        "name": "Ana Diaz",
        "title": "Account executive",
        "time_zone": "Europe/Madrid",
        "mailbox": "gmail",
        "salesforce_user": "ana@acme.example",
        "signature": "<p>Ana Diaz</p>",
    },
    {
        "email": "ben@acme.example",
        "name": "Ben Carter",
        "title": "Sales manager",
        "time_zone": "America/New_York",
        "mailbox": "outlook",
        "salesforce_user": "ben@acme.example",
        "signature": "<p>Ben Carter</p>",
    },
]

UNPACED = {"gmail": {"per_second": None, "per_day": None}, "outlook": {"per_minute": None, "per_day": None}}

#: How long reps take for a task.
TASK_TIME = timedelta(minutes=35)

#: The Friday before Thanksgiving week: weekends, two holidays of the campaign, and windows in four zones lie ahead.
START = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)


@pytest.fixture
def world(make_world: WorldMaker) -> World:
    campaigns = EXAMPLE / "campaigns"
    texts = {path.stem: path.read_text(encoding="utf-8") for path in campaigns.glob("*.yaml")}
    made = make_world(campaign=texts, templates={}, reps=REPS, pacing=UNPACED, start=START)
    shutil.copytree(EXAMPLE / "templates", made.folder / "templates", dirs_exist_ok=True)
    return made


def next_instant(world: World, working: dict[str, datetime]) -> datetime | None:
    """Return when something happens next: a step becomes due, or a rep is done with a task."""
    due = [one.next_due for one in world.enrollments.values() if one.next_due is not None]
    return min([*due, *working.values()], default=None)


def do_tasks(world: World, working: dict[str, datetime]) -> None:
    """Let the rep do what they have been at for long enough, in Salesforce or in their mailbox."""
    for task in world.tasks:
        key = task.stored.intent.key
        if key in working and working[key] <= world.now:
            if task.stored.intent.type is StepType.EMAIL:
                world.act("rep_sends_draft", key=key)
            else:
                world.act("rep_closes_task", key=key)
            del working[key]


def play(world: World) -> Iterator[tuple[str, str, datetime]]:
    """Run everything to its end; yield (person, day.step, instant) of each task as it is put before its rep."""
    seen: set[str] = set()
    working: dict[str, datetime] = {}
    for _ in range(400):
        assert world.sync().exit_status == 0
        for task in world.tasks:
            intent = task.stored.intent
            if intent.key not in seen:
                seen.add(intent.key)
                working[intent.key] = world.now + TASK_TIME
                yield intent.person, f"{intent.day}.{intent.step}", world.now
        instant = next_instant(world, working)
        if instant is None:
            if all(one.has_ended for one in world.enrollments.values()):
                return
            instant = world.now + UNDO  # What a rep may still take back is believed at a later look.
        world.sandbox.clock.advance_to(instant)
        do_tasks(world, working)
    pytest.fail("the campaign did not come to its end")


def simulated(world: World, persons: list[Person], rep: str, start: datetime) -> dict[str, tuple[PlannedStep, ...]]:
    campaign = world.project.campaign("Q4 outreach")
    sender = world.rep(rep)
    return {
        person.email: simulate_person(
            campaign,
            zone=zone_of(campaign.settings, sender=sender.time_zone, recipient=person.time_zone),
            launched=world.now,
            start=start,
            overrides={},
            complete_tasks_after=TASK_TIME,
        )
        for person in persons
    }


def sent_by_the_connector(world: World) -> dict[str, list[datetime]]:
    found: dict[str, list[datetime]] = {}
    for effect in world.effects("mail_sent"):
        if effect["by"] == "api":
            (to,) = effect["to"]
            found.setdefault(to, []).append(datetime.fromisoformat(effect["at"]))
    return found


@pytest.mark.parametrize("rep", ["ana@acme.example", "ben@acme.example"])
def test_every_send_and_task_falls_where_simulate_said(world: World, rep: str) -> None:
    persons, faults = read_people(EXAMPLE / "people.csv")
    assert faults == []
    start = START + timedelta(hours=2, minutes=30)
    said = simulated(world, persons, rep, start)
    assert len({steps[0].due for steps in said.values()}) > 1, "the windows of four zones do not differ"
    launched = world.launch(persons, rep=rep, campaign="Q4 outreach", start=start)
    assert (launched.enrolled, launched.left_out) == (12, [])

    tasks: dict[str, list[tuple[str, datetime]]] = {}
    for person, place, at in play(world):
        tasks.setdefault(person, []).append((place, at))

    sent = sent_by_the_connector(world)
    for person in persons:
        steps = said[person.email]
        assert len(steps) == 5
        assert sent[person.email] == [one.due for one in steps if one.step.mode is Mode.SEND], person
        expected = [(one.step.place, one.due) for one in steps if one.step.mode is Mode.TASK]
        assert tasks[person.email] == expected, person
    assert {one.state.value for one in world.enrollments.values()} == {"finished"}
    assert world.judge()["all"] == 12 * 5
