"""Passes on a hostile sandbox: what is wanted happens once, however many calls fail, or it is unknown and listed."""

from __future__ import annotations

import pytest

from adapters.sandbox import Hostility
from connector.intents import IntentState
from connector.store.intents import find_intents
from tests.faults import judge
from tests.world import ANA, BOB, World, WorldMaker, people

SENDS = """\
name: Sends
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
      - call: {name: "Call {{first_name}}", notes: "Ask about {{company}}"}
"""

DRAFTS = """\
name: Drafts
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
"""

#: Passes until nothing is due any more; a seed takes some thirty at most.
MOST = 60

#: Passes in a row without trouble, after which nothing is due.
QUIET = 3


def settle(world: World) -> int:
    """Sync pass after pass, five minutes apart, until nothing is due; return how many it took."""
    quiet = 0
    for passes in range(1, MOST):
        quiet = quiet + 1 if world.sync().exit_status == 0 else 0
        if quiet == QUIET:
            return passes
        world.after(minutes=5)
    raise AssertionError(f"something is still due after {MOST} passes")


def unsure(world: World) -> set[str]:
    """Return the keys of the intents nobody can tell the outcome of."""
    with world.database.read() as tx:
        return {one.intent.key for one in find_intents(tx, states=[IntentState.UNKNOWN])}


# 2 waits for late copies, 5 and 14 meet the most trouble of the first fifty.
@pytest.mark.parametrize("seed", [2, 5, 14])
def test_everything_happens_once_though_a_quarter_of_the_calls_fails(make_world: WorldMaker, seed: int) -> None:
    world = make_world(campaign={"sends": SENDS, "drafts": DRAFTS}, reps=(ANA, BOB), hostile=Hostility(seed=seed))
    for rep in (ANA, BOB):
        for name in ("Sends", "Drafts"):
            world.launch(people(2, domain=f"{name.lower()}-{rep['mailbox']}"), rep=rep["email"], campaign=name)
    settle(world)
    log = judge.log_of(world.sandbox)
    assert judge.duplicates(log) == {}
    assert judge.overlaps(log) == []
    assert sum(judge.faults(log).values()) > 30, "hardly anything went wrong"
    # Who does not know says so: each is listed for the rep.
    assert unsure(world) <= {view.stored.intent.key for view in world.tasks}
    if not unsure(world):
        assert world.judge() == {"sends": 4, "drafts": 4, "tasks": 12, "all": 12}
