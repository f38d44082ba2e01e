"""Services that act and whose answer is lost, that are busy, down, unreachable, or refuse the account.

The line between the program and the sandbox (`line`) spoils one call of a pass after the other. Whatever is spoilt,
later passes bring everything to its one end: one draft, one sent mail, one Task; nothing is left unknown.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.faults.line import Answer, Asked, Line, Lost
from tests.world import TEMPLATES, World, WorldMaker, people

SENDS = """\
name: Sends
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
      - call: {name: "Call {{first_name}}"}
"""

DRAFTS = """\
name: Drafts
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
"""

REPS = ("ana@acme.example", "bob@acme.example")

#: The most calls of each service that a pass of the worlds below makes.
CALLS = {"salesforce": 4, "gmail": 5, "graph": 5}


@pytest.fixture
def spoilt(make_world: WorldMaker) -> Iterator[Callable[..., tuple[World, Line]]]:
    """Make a world that reaches its sandbox over a line."""
    lines: list[Line] = []

    def make(**options: object) -> tuple[World, Line]:
        def reach(url: str) -> str:
            lines.append(Line(url))
            return lines[-1].url

        world = make_world(campaign={"campaign": SENDS, "drafts": DRAFTS}, line=reach, **options)
        return world, lines[-1]

    yield make
    for line in lines:
        line.close()


def launch(world: World, tag: str) -> None:
    """Put one new person into each campaign, for each rep."""
    for rep in REPS:
        name = rep.partition("@")[0]
        world.launch(people(1, domain=f"s{tag}{name}"), rep=rep, campaign="Sends")
        world.launch(people(1, domain=f"d{tag}{name}"), rep=rep, campaign="Drafts")


def settle(world: World) -> None:
    for _ in range(3):
        world.after(minutes=3)
        world.sync()


@pytest.mark.parametrize("service", CALLS)
def test_an_answer_lost_at_any_call(spoilt: Callable[..., tuple[World, Line]], service: str) -> None:
    world, line = spoilt()
    struck = 0
    for number in range(1, CALLS[service] + 1):
        launch(world, f"{number}")
        line.count_anew()
        line.fault = lambda asked, number=number: Lost() if (asked.service, asked.number) == (service, number) else None
        world.sync()
        struck += len(line.struck)
        line.fault = lambda _: None
        world.after(minutes=3)
        world.sync()
    settle(world)
    assert struck == CALLS[service], "calls were not there to be spoilt"
    count = CALLS[service]
    assert world.judge() == {"sends": 2 * count, "drafts": 2 * count, "tasks": 6 * count, "all": 6 * count}
    assert world.sync().exit_status == 0


ACCOUNTS = {"salesforce": "salesforce", "gmail": "google", "graph": "microsoft"}

#: What one rep's mail, or the CRM's tasks, come to when nothing is wrong: effects in the sandbox.
EFFECTS = {"salesforce": 6, "gmail": 2, "graph": 2}


def effects_by_service(world: World) -> dict[str, int]:
    """Count what lies in each service: tasks, or mails and drafts."""
    sent, drafts = world.effects("mail_sent"), world.effects("draft_created")
    return {
        "salesforce": len(world.records("Task")),
        **{
            name: sum(1 for one in sent if one["service"] == name)
            + sum(1 for one in drafts if one["service"] == name and world_has_draft(world, one))
            for name in ("gmail", "graph")
        },
    }


def world_has_draft(world: World, effect: dict[str, object]) -> bool:
    return any(mail["key"] == effect["key"] for mail in world.mails(str(effect["mailbox"]), "drafts"))


@pytest.mark.parametrize("service", EFFECTS)
@pytest.mark.parametrize(
    ("status", "headers"), [(429, {"Retry-After": "120"}), (503, {"Retry-After": "120"}), (503, {}), (500, {})]
)
def test_a_service_that_is_busy_or_down(
    spoilt: Callable[..., tuple[World, Line]], service: str, status: int, headers: dict[str, str]
) -> None:
    world, line = spoilt()
    launch(world, "x")
    line.fault = lambda asked: Answer(status=status, headers=headers) if asked.service == service else None
    report = world.sync()
    assert report.exit_status == 1
    name = "outlook" if service == "graph" else service
    assert any(sentence.startswith(name) for sentence in report.needs_attention), report.needs_attention
    others = {other: count for other, count in EFFECTS.items() if other != service}
    there = effects_by_service(world)
    assert there[service] == 0
    assert {other: there[other] for other in others if other != "salesforce"} == {
        other: count for other, count in others.items() if other != "salesforce"
    }
    line.fault = lambda _: None
    settle(world)
    assert effects_by_service(world) == EFFECTS
    assert world.judge() == {"sends": 2, "drafts": 2, "tasks": 6, "all": 6}
    assert world.sync().exit_status == 0


def test_a_wait_that_was_asked_for_is_kept(spoilt: Callable[..., tuple[World, Line]]) -> None:
    world, line = spoilt()
    launch(world, "x")

    def busy(asked: Asked) -> Answer | None:
        creates = asked.service == "gmail" and asked.method == "POST"
        return Answer(status=429, headers={"Retry-After": "600"}) if creates else None

    line.fault = busy
    world.sync()
    line.fault = lambda _: None
    line.count_anew()
    world.after(minutes=8)
    world.sync()
    assert [asked.method for asked in line.asked if asked.service == "gmail"] == ["GET"], "it only read"
    world.after(minutes=3)
    world.sync()
    assert world.judge() == {"sends": 2, "drafts": 2, "tasks": 6, "all": 6}


@pytest.mark.parametrize("service", EFFECTS)
def test_an_account_that_must_be_signed_in_again(spoilt: Callable[..., tuple[World, Line]], service: str) -> None:
    """Exit status 4, and the other accounts go on; once it is mended, all comes to its one end."""
    world, line = spoilt()
    launch(world, "x")
    line.fault = lambda asked: Answer(status=401, body={}) if asked.service == service else None
    report = world.sync()
    assert report.exit_status == 4
    assert len(report.reconnect) == 1, report.reconnect
    there = effects_by_service(world)
    assert there[service] == 0
    assert all(there[other] == EFFECTS[other] for other in ("gmail", "graph") if other != service)
    world.after(minutes=1)
    assert world.sync().exit_status == 4
    line.fault = lambda _: None
    settle(world)
    assert world.judge() == {"sends": 2, "drafts": 2, "tasks": 6, "all": 6}
    assert world.sync().exit_status == 0


@pytest.mark.parametrize("service", EFFECTS)
def test_a_service_that_cannot_be_reached(make_world: WorldMaker, service: str) -> None:
    world = make_world(campaign={"campaign": SENDS, "drafts": DRAFTS})
    launch(world, "x")
    good = dict(world.settings["accounts"][ACCOUNTS[service]])
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
    bad = {
        name: value.replace(world.sandbox.url, dead) if isinstance(value, str) else value
        for name, value in good.items()
    }
    world.configure(accounts={**world.settings["accounts"], ACCOUNTS[service]: bad})
    report = world.sync()
    assert report.exit_status == 1
    assert any("reach" in sentence or "answer" in sentence for sentence in report.needs_attention), (
        report.needs_attention
    )
    there = effects_by_service(world)
    assert there[service] == 0
    assert all(there[other] == EFFECTS[other] for other in ("gmail", "graph") if other != service)
    world.configure(accounts={**world.settings["accounts"], ACCOUNTS[service]: good})
    settle(world)
    assert world.judge() == {"sends": 2, "drafts": 2, "tasks": 6, "all": 6}


def test_only_what_needs_the_crm_waits_for_it(spoilt: Callable[..., tuple[World, Line]]) -> None:
    """A template reads a field of Salesforce, which is down: that mail waits, unblocked; others go out."""
    templates = {**TEMPLATES, "last.md": "---\nsubject: About {{sfdc.Company}}\n---\nHi\n"}
    world, line = spoilt(templates=templates)
    world.launch(people(1, domain="s"), campaign="Sends")
    world.launch(people(1, domain="d"), campaign="Drafts")
    line.fault = lambda asked: Answer(status=503) if asked.service == "salesforce" else None
    report = world.sync()
    assert report.exit_status == 1
    assert len(world.effects("mail_sent")) == 1
    assert world.mails(REPS[0], "drafts") == []
    assert [task.stored.intent.type.value for task in world.tasks] == ["call"]
    line.fault = lambda _: None
    settle(world)
    assert [mail["subject"] for mail in world.mails(REPS[0], "drafts")] == ["About Client 0"]
    assert world.sync().exit_status == 0
