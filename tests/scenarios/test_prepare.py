"""Preparing looks at what is due once, whatever of it must wait for the CRM."""

from __future__ import annotations

from typing import Any

import pytest

from connector.errors import Retry
from connector.events import EventKind
from connector.intents import IntentState
from connector.store.intents import find_intents, read_unprepared
from connector.sync import prepare
from connector.sync.tick import tick
from tests.world import ANA, World, WorldMaker, people

WITH_FIELD = """\
name: Fields
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}", notes: "They are in {{sfdc.Industry}}"}
"""
WITHOUT = WITH_FIELD.replace("Fields", "Plain").replace("{{sfdc.Industry}}", "town")

EACH = 30


@pytest.fixture
def world(make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch) -> World:
    """As many people of one campaign as of the other, all due at one instant, in batches of ten."""
    made = make_world(campaign={"a": WITH_FIELD, "b": WITHOUT}, reps=[ANA])
    made.launch(people(EACH, domain="field"), campaign="Fields")
    made.launch(people(EACH, domain="plain"), campaign="Plain")
    tick(made.office, made.now)
    monkeypatch.setattr(prepare, "BATCH", 10)
    return made


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the intents that preparing read, as often as it did."""
    seen: list[str] = []

    def counted(*given: Any, **named: Any) -> Any:
        found = read_unprepared(*given, **named)
        seen.extend(stored.intent.key for stored in found)
        return found

    monkeypatch.setattr(prepare, "read_unprepared", counted)
    return seen


def down(*_: Any) -> None:
    raise Retry("the CRM is down")


def standing(world: World) -> dict[str, set[IntentState]]:
    with world.database.read() as tx:
        found = find_intents(tx, states=list(IntentState))
    return {name: {one.state for one in found if one.intent.campaign == name} for name in ("Fields", "Plain")}


def test_while_the_crm_is_down_what_needs_it_is_read_once_and_the_rest_goes_on(
    world: World, rows: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "ask_before_writing", down)
    preparation = prepare.prepare(world.office, world.now)
    assert preparation.crm_error is not None
    assert preparation.seen == {"task": EACH}
    assert standing(world) == {"Fields": {IntentState.DUE}, "Plain": {IntentState.OPEN}}
    # Ahead to ask about many at once, in its batch, and under the writers' lock: never more often, however many wait.
    assert max(rows.count(key) for key in rows) <= 3
    assert len(set(rows)) == 2 * EACH


def test_what_waited_goes_on_in_the_next_pass(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "ask_before_writing", down)
        prepare.prepare(world.office, world.now)
    preparation = prepare.prepare(world.office, world.now)
    assert preparation.crm_error is None
    assert preparation.seen == {"task": EACH}
    assert IntentState.DUE not in standing(world)["Fields"]


def test_what_another_worker_prepared_in_between_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = prepare.ask_before_writing

    def meanwhile(*given: Any) -> None:
        monkeypatch.setattr(prepare, "ask_before_writing", ask)
        assert prepare.prepare(world.office, world.now).seen == {"task": 2 * EACH}
        ask(*given)

    monkeypatch.setattr(prepare, "ask_before_writing", meanwhile)
    assert prepare.prepare(world.office, world.now).seen == {}
    told = [fact.intent for fact in world.facts(EventKind.TASK_OPENED, EventKind.BLOCKED)]
    assert len(told) == len(set(told)) == 2 * EACH
