"""A mailbox acts and its answer is lost: at every call of a pass, and at its calls two by two.

The pass has everything in it that a mailbox is asked for: a mail to send, a follow-up, drafts to place, one to take
away; a draft that its rep sent, one that was thrown away, a reply. However the calls of a pass are counted, each of them
loses its answer once; the table ends where a pass has no more calls.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import pytest

from connector.intents import IntentState
from connector.people import Person
from connector.store.intents import find_intents
from connector.store.mails import MailState, read_mails
from connector.sync.actions import remove
from tests.faults.line import Asked, Line, Lost
from tests.world import ANA, BOB, TEMPLATES, World, WorldMaker, people

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

MAILBOXES = {"gmail": ANA, "graph": BOB}

#: What makes a mail hard to find again: Gmail's search lags; in Outlook ids change on send, the sent copy comes late, and
#: mails that have nothing to do with each other share a conversation.
HARD: Mapping[str, Mapping[str, object]] = {
    "gmail": {"gmail_search_lag": 60},
    "graph": {
        "outlook_immutable_ids_change": True,
        "outlook_sent_delay": 8,
        "outlook_shares_conversations": True,
    },
}

#: More than any pass makes: a table that did not end would be endless.
MOST = 60


@pytest.fixture
def on_a_line(make_world: WorldMaker) -> Iterator[Callable[..., tuple[World, Line]]]:
    """Make a world of one mailbox that is reached over a line."""
    lines: list[Line] = []

    def make(service: str, *, more: Mapping[str, str] | None = None) -> tuple[World, Line]:
        def reach(url: str) -> str:
            lines.append(Line(url))
            return lines[-1].url

        world = make_world(
            campaign={"campaign": SENDS, "drafts": DRAFTS},
            templates={**TEMPLATES, "again.md": "---\n---\nStill there, {{first_name}}?\n", **(more or {})},
            reps=[MAILBOXES[service]],
            salesforce={"tasks": "off"},
            line=reach,
        )
        return world, lines[-1]

    yield make
    for line in lines:
        line.close()


def one(tag: str) -> Person:
    (person,) = people(1, domain=tag)
    return person


def make_work(world: World, rep: str, tag: str) -> None:
    """Leave everything pending that a pass may have to do with a mailbox; what an earlier one left is done before."""
    followed, sent, binned, ended, new, drafted = (one(f"{name}{tag}-") for name in ("f", "s", "b", "e", "n", "d"))
    world.launch([followed], rep=rep, campaign="Sends")
    for person in (sent, binned, ended):
        world.launch([person], rep=rep, campaign="Drafts")
    settle(world)
    world.after(days=1)
    world.act("rep_edits_draft", rep=rep, person=sent.email, body="<p>Mine</p>")
    # Classic Outlook gives a mail another Message-ID when it sends it.
    world.act("rep_sends_draft", rep=rep, person=sent.email, via="desktop" if rep == BOB["email"] else "web")
    world.act("rep_deletes_draft", rep=rep, person=binned.email)
    world.act("prospect_writes", rep=rep, person="stranger@else.example", subject="Hello")
    remove(world.office, person=ended.email, campaign=None, rep=None)
    world.launch([new], rep=rep, campaign="Sends")
    world.launch([drafted], rep=rep, campaign="Drafts")
    world.after(minutes=2)


def settle(world: World) -> None:
    for _ in range(5):
        world.after(minutes=3)
        world.sync()


def judge(world: World, rep: str, rounds: int) -> None:
    """Assert one draft, and one sent mail, of every intent, by what the mailbox says."""
    with world.database.read() as tx:
        stored = {one.intent.key: one for one in find_intents(tx, states=list(IntentState))}
        mails = read_mails(tx, list(stored))
    states = Counter(mail.state for mail in mails.values())
    assert {one.problem for one in stored.values() if one.state in (IntentState.UNKNOWN, IntentState.FAILED)} == set()
    assert set(states) <= {MailState.SENT, MailState.PRESENT, MailState.DISCARDED, MailState.DELETED}
    sent = {key for key, mail in mails.items() if mail.state is MailState.SENT}
    present = {key for key, mail in mails.items() if mail.state is MailState.PRESENT}
    assert Counter(mail["key"] for mail in world.effects("mail_sent")) == Counter(sent)
    assert Counter(mail["key"] for mail in world.mails(rep, "sent")) == Counter(sent)
    assert Counter(mail["key"] for mail in world.mails(rep, "drafts")) == Counter(present)
    # A draft of several requests whose answer was lost is removed for good, and made anew.
    made, purged = (Counter(mail["key"] for mail in world.effects(name)) for name in ("draft_created", "draft_purged"))
    assert made - purged == Counter(mails.keys())
    ended, binned = states[MailState.DELETED], states[MailState.DISCARDED]
    assert (ended, binned, len(present)) == (rounds, rounds, rounds)


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(1, id="one answer"),
        # In every run the hostile passes and the chaos lose several in a row.
        pytest.param(2, id="two in a row", marks=pytest.mark.nightly),
    ],
)
@pytest.mark.parametrize("service", MAILBOXES)
def test_an_answer_lost_at_any_call_of_a_pass(
    on_a_line: Callable[..., tuple[World, Line]], service: str, lost: int
) -> None:
    world, line = on_a_line(service)
    rep = MAILBOXES[service]["email"]
    world.seed([])
    world.act("mail_settings", **HARD[service])
    for number in itertools.count(1, lost):
        assert number < MOST
        make_work(world, rep, str(number))
        line.count_anew()

        def strike(asked: Asked, first: int = number) -> Lost | None:
            return Lost() if asked.service == service and first <= asked.number < first + lost else None

        line.fault = strike
        world.sync()
        line.fault = lambda _: None
        if not line.struck:
            break
    settle(world)
    judge(world, rep, rounds=(number - 1) // lost + 1)
    assert number > 8, "hardly any call was there to be lost"
    assert world.sync().exit_status == 0


@pytest.mark.parametrize("lost", [1, 2])
def test_an_answer_lost_of_a_large_mail_makes_one_of_it(
    on_a_line: Callable[..., tuple[World, Line]], lost: int
) -> None:
    """A large mail goes another way into the mailbox, by upload."""
    large = "---\nsubject: With a file\nattachments: [large.txt]\n---\nHello {{first_name}}\n"
    world, line = on_a_line("gmail", more={"last.md": large, "intro.md": large, "large.txt": "word " * 900_000})
    rep = ANA["email"]
    world.act("mail_settings", **HARD["gmail"])
    world.launch([one("sent")], rep=rep, campaign="Sends")
    world.launch([one("drafted")], rep=rep, campaign="Drafts")
    struck: list[Asked] = []

    def strike(asked: Asked) -> Lost | None:
        if not asked.path.startswith("/upload/") or len(struck) >= lost:
            return None
        struck.append(asked)
        return Lost()

    line.fault = strike
    world.sync()
    settle(world)
    assert len(struck) == lost
    assert len(world.effects("mail_sent")) == len(world.mails(rep, "sent")) == 1
    assert len(world.mails(rep, "drafts")) == 1
    assert len(world.effects("draft_created")) == 2
    assert world.sync().exit_status == 0
