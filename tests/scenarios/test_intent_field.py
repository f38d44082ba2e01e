"""Without a sound intent field nothing is made: refused at start, listed by each pass, and right once it is deployed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connector.errors import BadInput
from tests.world import ANA, World, WorldMaker, people

FIELD = "Connector_Intent_Id__c"
CAMPAIGN = 'name: Calls\ndays:\n  - day: 1\n    steps:\n      - call: {name: "Call {{first_name}}"}\n'

#: What is wrong -> how it comes about, and what the sentence must say.
BROKEN: dict[str, tuple[Callable[[Any], None], str]] = {
    "missing": (lambda org: org.set_intent_field(present=False), "missing in the Salesforce org, or hidden"),
    "hidden": (lambda org: org.hide_field("Task", FIELD), "missing in the Salesforce org, or hidden"),
    "not unique": (lambda org: org.set_intent_field(present=True, unique=False), "is not unique"),
}


def mended(org: Any) -> None:
    org.set_intent_field(present=True)
    org.show_field("Task", FIELD)


def a_world(make_world: WorldMaker) -> World:
    return make_world(campaign=CAMPAIGN, reps=[ANA])


@pytest.mark.parametrize(("break_it", "words"), BROKEN.values(), ids=BROKEN)
def test_launching_is_refused_with_what_to_deploy_and_nobody_is_enrolled(
    make_world: WorldMaker, break_it: Callable[[Any], None], words: str
) -> None:
    world = a_world(make_world)
    break_it(world.sandbox.salesforce)
    with pytest.raises(BadInput, match=words) as caught:
        world.launch(people(1))
    assert caught.value.exit_status == 2
    assert "nobody was enrolled" in str(caught.value)
    assert "connector salesforce setup" in str(caught.value)
    assert world.enrollments == {}
    assert world.records("Task") == []
    mended(world.sandbox.salesforce)
    world.launch(people(1))
    world.sync()
    assert len(world.records("Task")) == 1


@pytest.mark.parametrize(("break_it", "words"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("new_process", [False, True], ids=["same process", "new process"])
def test_a_pass_lists_it_makes_nothing_and_goes_on_once_it_is_mended(
    make_world: WorldMaker, break_it: Callable[[Any], None], words: str, new_process: bool
) -> None:
    world = a_world(make_world)
    world.launch(people(2))
    break_it(world.sandbox.salesforce)
    # What was remembered of the org is a day old.
    world.after(days=1)
    for _ in range(2):
        if new_process:
            world.reopen()
        turn = world.sync()
        assert turn.exit_status == 1
        listed = [line for line in turn.needs_attention if words in line]
        assert listed
        assert all(FIELD in line and "connector salesforce setup" in line for line in listed)
    assert world.effects("task_created") == []
    mended(world.sandbox.salesforce)
    world.sync()
    assert len(world.effects("task_created")) == 2
