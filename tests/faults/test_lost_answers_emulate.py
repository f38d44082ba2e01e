"""Answers lost on the line to a Gmail that others wrote: one draft and one sent mail of each intent, at any call.

The line stands in front of `emulate` (`tests/judges/emulate` says what it cannot do); the real passes of the core go
over it. It counts the calls of a pass by what they ask for, and loses the answer of the n-th of a kind after `emulate`
has acted, for each n until a pass has no more of that kind.

The line answers one call itself: where the history stands (getProfile), which `emulate` does not know, with what
`emulate` says of its history elsewhere. A batch it refuses (404), and the mailbox makes the calls one by one. As
the stamp is never found there, a lost draft is found by recipient, subject and time.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.people import Person
from connector.sync.actions import remove
from tests.faults.line import Answer, Asked, Fault, Line, Lost
from tests.judges.emulate import REP, TOKEN, Mailroom, emulated
from tests.world import ANA, TEMPLATES, World, WorldMaker, people

SENDS = """\
name: Sends
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
  - day: 2
    steps:
      - email: {template: again, send: same_time_as_previous, follow_up: true}
"""

DRAFTS = """\
name: Drafts
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
"""

#: Every kind of call that a pass makes after the first.
EVERY = (
    "GET history",
    "GET drafts",
    "GET drafts/{id}",
    "GET messages",
    "GET messages/{id}",
    "POST drafts",
    "POST drafts/send",
    "DELETE drafts/{id}",
    "POST /batch/gmail/v1",
)

#: More than any pass makes: a table that did not end would be endless.
MOST = 40


@pytest.fixture
def gmail(tmp_path: Path) -> Iterator[str]:
    with emulated(tmp_path) as url:
        yield url


@pytest.fixture
def room(gmail: str) -> Iterator[Mailroom]:
    opened = Mailroom(gmail)
    yield opened
    opened.close()


@pytest.fixture
def line(gmail: str) -> Iterator[Line]:
    made = Line(gmail)
    yield made
    made.close()


@pytest.fixture
def world(make_world: WorldMaker, line: Line, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("EMULATED_TOKEN", TOKEN)
    return make_world(
        campaign={"campaign": SENDS, "drafts": DRAFTS},
        templates={**TEMPLATES, "again.md": "---\n---\nStill there, {{first_name}}?\n"},
        reps=[ANA],
        accounts={"google": {"auth": "access_token", "token": "${env:EMULATED_TOKEN}", "endpoint": line.url}},
    )


def losing(room: Mailroom, lost: list[str], kind: str = "", number: int = 0) -> Fault:
    """Return the fault that loses the answer of the n-th call of a kind, and notes it in `lost`."""
    numbers = itertools.count(1)

    def strike(asked: Asked) -> Answer | Lost | None:
        if _kind(asked) == kind and next(numbers) == number:
            lost.append(kind)
            return Lost()
        if _kind(asked) == "GET profile":
            return Answer(status=200, body={"emailAddress": REP, "historyId": room.history()})
        return None

    return strike


def _kind(asked: Asked) -> str:
    """Return a call without ids and query."""
    name = re.sub("^/gmail/v1/users/[^/]+/", "", asked.path.partition("?")[0])
    return f"{asked.method} {re.sub(r'(?<=^drafts/)(?!send$).*|(?<=^messages/).*', '{id}', name)}"


class Round:
    """People in every state that a pass may meet, each in one of them."""

    def __init__(self, world: World, room: Mailroom, number: int) -> None:
        self._world, self._room = world, room
        self.followed, self.sent, self.binned, self.ended, self.new, self.drafted = (
            self._person(f"{name}{number}-") for name in ("f", "s", "b", "e", "n", "d")
        )

    @staticmethod
    def _person(domain: str) -> Person:
        (made,) = people(1, domain=domain)
        return made

    def make_work(self) -> None:
        """Leave everything pending that a pass may have to do with the mailbox."""
        self._world.launch([self.followed], campaign="Sends")
        for person in (self.sent, self.binned, self.ended):
            self._world.launch([person], campaign="Drafts")
        self._world.sync()
        self._world.after(days=1)
        self._room.send_draft_to(self.sent.email)
        self._room.discard_draft_to(self.binned.email)
        self._room.receive("stranger@else.example", "Hello")
        remove(self._world.office, person=self.ended.email, campaign=None, rep=None)
        self._world.launch([self.new], campaign="Sends")
        self._world.launch([self.drafted], campaign="Drafts")
        self._world.after(minutes=2)

    def there(self) -> dict[str, tuple[int, int]]:
        """Return how many drafts and sent mails there are of each person."""
        drafts, sent = self._room.drafts(), self._room.sent()
        emails = {name: getattr(self, name).email for name in ONCE}
        return {name: (len(drafts.get(one, ())), len(sent.get(one, ()))) for name, one in emails.items()}


#: Drafts and sent mails when nothing is lost: an email and its follow-up, one that its rep sent, ...
ONCE = {"followed": (0, 2), "sent": (0, 1), "binned": (0, 0), "ended": (0, 0), "new": (0, 1), "drafted": (1, 0)}


def settle(world: World) -> None:
    for _ in range(3):
        world.after(minutes=3)
        report = world.sync()
    assert report.exit_status == 0, report.needs_attention


@pytest.mark.parametrize("kind", EVERY)
def test_an_answer_lost_at_any_call_of_a_pass(world: World, room: Mailroom, line: Line, kind: str) -> None:
    asked: set[str] = set()
    for number in itertools.count(1):
        assert number < MOST
        line.fault = losing(room, [])
        around = Round(world, room, number)
        around.make_work()
        world.reopen()  # as a new process it tries a batch again
        line.count_anew()
        lost: list[str] = []
        line.fault = losing(room, lost, kind, number)
        world.sync()
        asked |= {_kind(one) for one in line.asked}
        line.fault = losing(room, [])
        settle(world)
        assert around.there() == ONCE, f"{kind}, number {number}"
        if not lost:
            break
        # The rep tidies up, and it is seen, so that the next round begins like the first.
        room.clear()
        settle(world)
    assert number > 1, "no such call was there to be lost"
    assert asked == set(EVERY)


def test_the_first_answer_of_a_mailbox_lost(world: World, room: Mailroom, line: Line) -> None:
    (sent,), (drafted,) = people(1, domain="s"), people(1, domain="d")
    world.launch([sent], campaign="Sends")
    world.launch([drafted], campaign="Drafts")
    lost: list[str] = []
    line.fault = losing(room, lost, "GET profile", 1)
    world.sync()
    assert lost == ["GET profile"]
    line.fault = losing(room, [])
    settle(world)
    assert (room.drafts().keys(), room.sent().keys()) == ({drafted.email}, {sent.email})
    assert [len(ids) for ids in (*room.drafts().values(), *room.sent().values())] == [1, 1]
