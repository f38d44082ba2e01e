"""A campaign ends, or is paused, between the claim of a mail and the crash that left it in flight.

What was in flight is looked up; if it was not sent, it must not be sent any more.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector.errors import OutcomeUnknown
from connector.intents import IntentState
from connector.store.intents import read_intents
from connector.sync.actions import pause, remove, resume
from connector.sync.wheel import turn
from tests.world import World, WorldMaker, people


class LosesBefore:
    """A mailbox whose requests never arrive, and whose answers are therefore lost."""

    def __init__(self, mailbox):
        self._mailbox = mailbox

    def __getattr__(self, name):
        return getattr(self._mailbox, name)

    def create_draft(self, mail):
        raise OutcomeUnknown("the answer was lost", key=mail.key)

    def find(self, trace):
        raise OutcomeUnknown("the answer was lost", key=trace.key)


def leave_in_flight(world: World) -> str:
    """Launch one person and leave their first email in flight, unsent; return its key."""
    world.launch(people(1))
    office = world.office
    whole = dict(office.mailboxes)
    lossy = replace(office, mailboxes={**whole, "ana@acme.example": LosesBefore(whole["ana@acme.example"])})
    turn(lossy)
    with world.database.read() as tx:
        (key,) = tx.exec_driver_sql("SELECT key FROM mails WHERE state = 'in_flight'").scalars()
    return key


def state_of(world: World, key: str) -> IntentState:
    with world.database.read() as tx:
        return read_intents(tx, [key])[key].state


def sent(world: World) -> int:
    return sum(1 for entry in world.sandbox.log.effects if entry["effect"] == "mail_sent")


@pytest.mark.parametrize(("stop", "after"), [(remove, IntentState.CANCELLED), (pause, IntentState.HELD)])
def test_what_was_not_sent_is_not_sent_any_more(make_world: WorldMaker, database_url: str, stop, after) -> None:
    world = make_world(database_url=database_url)
    key = leave_in_flight(world)
    stop(world.office, person=people(1)[0].email, campaign=None, rep=None)
    world.after(minutes=3)
    world.sync()
    assert state_of(world, key) is after
    assert sent(world) == 0
    if stop is pause:
        resume(world.office, person=people(1)[0].email, campaign=None, rep=None)
        world.sync()
        assert state_of(world, key) is IntentState.SENT
        assert sent(world) == 1
