"""The fewest calls (spec delivery 2; issue 2, must show 5), counted in the sandbox's own log."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.world import ANA, BOB, World, WorldMaker, people

CALLS = """\
name: Calls
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}"}
  - day: 2
    steps:
      - custom: {name: "Invite {{first_name}}"}
"""

EVA = {**ANA, "email": "eva@acme.example", "name": "Eva Roy", "salesforce_user": "eva@acme.example"}


def calls_of(world: World, work: object) -> Counter[str]:
    """Return what a pass called over HTTP: `salesforce query`, `salesforce upsert`, or the service's name."""
    before = len(world.sandbox.log.requests)
    work()  # type: ignore[operator]
    seen: Counter[str] = Counter()
    for request in world.sandbox.log.requests[before:]:
        service, method, path = request["service"], request["method"], request["path"]
        if service.endswith(":token") or method.startswith("$batch"):
            continue  # signing in; and one of the up to four questions that one call carried
        if service != "salesforce":
            seen[service] += 1
        elif "composite/sobjects/Task" in path and method == "PATCH":
            seen["salesforce upsert"] += 1
        else:
            # Several queries that go together in one body are one call, to Salesforce's own count as well.
            asks = "query" in path or (method == "POST" and path.endswith("/composite"))
            seen["salesforce query" if asks else f"salesforce {method} {path}"] += 1
    return seen


def test_a_thousand_tasks_are_five_calls(make_world: WorldMaker) -> None:
    world = make_world(campaign=CALLS)
    world.launch(people(1000))
    report = None

    def sync() -> None:
        nonlocal report
        report = world.sync()

    seen = calls_of(world, sync)
    assert seen["salesforce upsert"] == 5
    assert len(world.records("Task")) == 1000
    assert report is not None
    assert report.delivered["tasks"] == 1000
    made = sum(count for name, count in seen.items() if name.startswith("salesforce"))
    assert report.api_calls["salesforce"] == made, "the report counts what the service saw"

    # What changes later is as cheap: the next thousand go together with the closing of none.
    assert calls_of(world, world.sync)["salesforce upsert"] == 0


def test_450_tasks_are_three_calls_and_their_people_one(make_world: WorldMaker) -> None:
    """What is asked first of the org (its fields, its users) is asked once a process, however many tasks follow."""
    world = make_world(campaign=CALLS, reps=[{**ANA, "mailbox": "links"}])
    world.launch(people(1))
    world.sync()  # asks about the org
    world.launch(people(450, domain="new"))
    seen = calls_of(world, world.sync)
    # One query reads what changed there, one looks up all 450.
    assert seen == {"salesforce upsert": 3, "salesforce query": 2}
    assert len(world.records("Task")) == 451


def test_closing_and_opening_share_no_more_calls_than_they_must(make_world: WorldMaker) -> None:
    """400 tasks closed by hand are two calls; the 400 that follow on the next day are two more."""
    world = make_world(campaign=CALLS)
    world.launch(people(400))
    world.sync()
    for task in world.tasks:
        world.act("rep_closes_task", key=task.stored.intent.key)
    world.after(days=1)
    seen = calls_of(world, world.sync)
    assert seen["salesforce upsert"] == 2
    assert len(world.records("Task")) == 800


@pytest.mark.parametrize("later", [{"seconds": 1}, {"minutes": 20}])
def test_nothing_to_do_is_one_query_and_one_call_a_mailbox(make_world: WorldMaker, later: dict[str, float]) -> None:
    world = make_world(reps=[ANA, EVA, BOB])
    for rep in ("ana", "eva", "bob"):
        world.launch(people(2, domain=rep), rep=f"{rep}@acme.example")
    world.sync()
    world.after(minutes=1)
    world.sync()
    world.after(minutes=1)
    world.sync()
    idle = {"salesforce query": 1, "gmail": 2, "graph": 1}
    for _ in range(2):
        world.after(**later)
        assert calls_of(world, world.sync) == idle


def test_right_after_a_pass_that_did_something_only_its_echo_is_read(make_world: WorldMaker) -> None:
    world = make_world(reps=[ANA, BOB])
    world.launch(people(2, domain="ana"), rep="ana@acme.example")
    world.launch(people(2, domain="bob"), rep="bob@acme.example")
    world.sync()
    seen = calls_of(world, world.sync)
    assert seen["salesforce query"] == 1
    assert seen["salesforce upsert"] == 0
