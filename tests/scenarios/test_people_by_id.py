"""Leads and contacts of Salesforce, named by their ids: `people pull --id` and `launch --salesforce ids=`."""

from __future__ import annotations

import pytest

from tests.command import Command, command_in
from tests.world import World, WorldMaker, people


@pytest.fixture
def world(make_world: WorldMaker) -> World:
    world = make_world()
    world.seed(people(3))
    return world


@pytest.fixture
def connector(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command_in(world, monkeypatch, capsys)


@pytest.fixture
def ids(world: World) -> dict[str, str]:
    """Email -> id of everybody in the org."""
    return {row["Email"]: row["Id"] for name in ("Lead", "Contact") for row in world.records(name)}


def known(connector: Command) -> dict[str, str]:
    return {one["email"]: one["salesforce_id"] for one in connector("people", "list", "--json").json}


def test_people_are_pulled_by_their_ids_and_nobody_else(connector: Command, ids: dict[str, str]) -> None:
    first, second, _ = people(3)
    pulled = connector("people", "pull", "--id", ids[first.email], "--id", ids[second.email][:15], "--json")
    assert (pulled.status, pulled.json["imported"]) == (0, 2)
    assert known(connector) == {one.email: ids[one.email] for one in (first, second)}


def test_people_are_launched_by_their_ids(connector: Command, ids: dict[str, str]) -> None:
    first, second, _ = people(3)
    chosen = f"ids={ids[first.email]}, {ids[second.email]}"
    result = connector(
        "launch", "outreach", "--rep", "ana@acme.example", "--salesforce", chosen, "--start", "now", "--json"
    )
    assert (result.status, result.json["enrolled"]) == (0, 2)
    assert known(connector).keys() == {first.email, second.email}


@pytest.mark.parametrize(
    "words",
    [
        ("people", "pull", "--id", "003", "--campaign", "701000000000000AAA"),
        ("people", "pull"),
        ("launch", "outreach", "--rep", "ana@acme.example", "--salesforce", "ids="),
        ("launch", "outreach", "--rep", "ana@acme.example", "--salesforce", "ids= , "),
    ],
)
def test_saying_nobody_or_two_things_is_refused(connector: Command, words: tuple[str, ...]) -> None:
    result = connector(*words)
    assert result.status == 2
    assert result.err
    assert known(connector) == {}


def test_what_is_no_id_of_a_person_brings_nobody(connector: Command) -> None:
    result = connector("people", "pull", "--id", "ann@one.example")
    assert result.status != 0
    assert known(connector) == {}
