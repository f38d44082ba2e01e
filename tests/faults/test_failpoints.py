"""`kill -9` at every failpoint, in sending, drafting, tasks, pulling and launching, on both databases: each effect once.

One world a case. A process does its work and dies at the first failpoint that no process died at before; the next one
goes on from what it left; so on, until one comes to the end. By `make nightly` a failpoint of a mailbox lane kills
twice: the first time that a process passes it, and the second time that one does, deeper in its work.

That each was killed at is proved by what the processes wrote down: one line before each death, no line twice, as many
lines as processes that were killed by SIGKILL, and the last process came by no failpoint without such a line. Who adds
a commit or a call need not add it here: nothing lists the failpoints.

The judge is what the services hold and what they logged, never our own tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest

from connector.events import EventKind
from connector.intents import IntentEvent, IntentState, Priority
from connector.ports import Found, Whereabouts
from connector.store.intents import find_intents
from connector.sync import claiming, drain
from connector.sync.actions import edit, end_by_hand, opt_out
from connector.sync.launch import launch
from tests.faults.failpoints import Kill, Nursery, Work, kill_everywhere, sync
from tests.world import World, WorldMaker, people

CAMPAIGNS = {
    "sends": """\
name: Sends
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
  - day: 3
    steps:
      - call: {name: "Call {{first_name}}"}
""",
    "drafts": """\
name: Drafts
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
""",
    "calls": """\
name: Calls
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}", notes: "Ask about {{company}}"}
""",
}

#: Nothing waits for its pace, and one mailbox is worked after the other: every process comes by the same failpoints.
SETTINGS: dict[str, Any] = {
    "pacing": {"gmail": {"per_second": None, "per_day": None}, "outlook": {"per_minute": None, "per_day": None}},
    "sync": {"mailboxes_at_a_time": 1},
}

REPS = ("ana@acme.example", "bob@acme.example")


def enroll(world: World, campaign: str, count: int, domain: str) -> None:
    """Launch so many people for each rep."""
    for number, rep in enumerate(REPS):
        world.launch(people(count, domain=f"{domain}{number}x"), rep=rep, campaign=campaign)


def email_of(domain: str, rep: int) -> str:
    """Return the address of the first of the people that `enroll` launched for a rep."""
    return people(1, domain=f"{domain}{rep}x")[0].email


def id_of(world: World, email: str) -> str:
    """Return the id of the task about a person."""
    (id_,) = (task.stored.intent.key for task in world.tasks if task.stored.intent.person == email)
    return id_


def sending(world: World) -> None:
    enroll(world, "Sends", 1, "send")


def drafting(world: World) -> None:
    """Beside new drafts, one of a task that was skipped is to be taken away again."""
    for rep in range(2):
        end_by_hand(world.office, id_of(world, email_of("early", rep)), IntentEvent.SKIP, by="rep")
    enroll(world, "Drafts", 2, "draft")


def calling(world: World) -> None:
    """Tasks that Salesforce has are changed, one ends with its person's opt-out, and new ones come."""
    edit(world.office, id_of(world, email_of("early", 0)), priority=Priority.HIGH, comments="Ask for Ann")
    end_by_hand(world.office, id_of(world, email_of("early", 1)), IntentEvent.COMPLETE, by="rep")
    opt_out(world.office, email_of("left", 0), reason="said so")
    enroll(world, "Calls", 3, "call")


def answering(world: World) -> None:
    """With each rep a draft is sent, one deleted, a mail answered, one bounces, a task is closed; one changes hands."""
    world.act("rep_reassigns_task", key=id_of(world, email_of("moved", 0)), user=REPS[1])
    for number, rep in enumerate(REPS):
        world.act("rep_sends_draft", rep=rep, person=email_of("draft", number))
        world.act("rep_deletes_draft", rep=rep, person=email_of("gone", number))
        world.act("prospect_replies", rep=rep, person=email_of("reply", number))
        world.act("prospect_bounces", rep=rep, person=email_of("bounce", number))
        world.act("rep_closes_task", key=id_of(world, email_of("early", number)))
    world.after(minutes=2)


def launching(project: Any, office: Any) -> None:
    """Launch the same people again: who is inside already is left out."""
    launch(
        office,
        project.campaign("Drafts"),
        project.templates,
        rep=project.rep(REPS[0]),
        people=people(40),
        start=office.now(),
        overrides={},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Work, where it must come by, and what it comes to."""

    #: Launched, and delivered undisturbed, before: campaign and the people's domain.
    before: tuple[tuple[str, str], ...]
    #: What makes the work.
    begin: Callable[[World], object]
    work: Work = sync
    #: Launched after each kill in a mailbox lane, so that the next process comes so far: campaign, and people a rep.
    more: tuple[str, int] = ("", 0)
    #: Words that occur in failpoints: parts of a pass, and calls of the services.
    passes: tuple[str, ...]
    #: Fewest failpoints that are passed.
    fewest: int
    #: What each of these comes to: two effects, and its task's status.
    of_more: tuple[str, str, str] = ("", "", "")
    #: Effects in the services, each counted once a key.
    effects: Counter[str]
    #: Tasks in Salesforce by their status.
    statuses: Counter[str]
    #: What the ledger says, once each.
    facts: Counter[EventKind] = field(default_factory=Counter)


PASS = ("actions.", "pull_mailbox.", "pull_crm.", "tick.", "crm.", "gmail.pull_mail", "outlook.pull_mail")
LANE = ("prepare.", "claiming.", "drain.", "looking_up.")

SCENARIOS = {
    "send": Scenario(
        before=(("Sends", "early"),),
        begin=sending,
        more=("Sends", 1),
        of_more=("sent", "tasks", "Completed"),
        passes=(
            *PASS,
            *LANE,
            *("gmail.create_draft", "gmail.send_draft", "gmail.find"),
            *("outlook.create_draft", "outlook.send_draft", "outlook.find"),
        ),
        fewest=60,
        effects=Counter(sent=4, tasks=4),
        statuses=Counter({"Completed": 4}),
    ),
    "draft": Scenario(
        before=(("Drafts", "early"),),
        begin=drafting,
        more=("Drafts", 2),
        of_more=("drafts", "tasks", "Not Started"),
        passes=(
            *PASS,
            *LANE,
            "taking_back.",
            *("gmail.create_draft", "gmail.delete_draft", "gmail.find"),
            *("outlook.create_draft", "outlook.delete_draft", "outlook.find"),
        ),
        fewest=68,
        effects=Counter(drafts=4, tasks=6),
        statuses=Counter({"Not Started": 4, "Completed": 2}),
    ),
    "task": Scenario(
        before=(("Calls", "early"), ("Calls", "left")),
        begin=calling,
        passes=(
            *PASS,
            *("prepare.", "push_people."),
            *("salesforce.push_people", "salesforce.push_tasks", "salesforce.find_people"),
        ),
        fewest=40,
        effects=Counter(tasks=10),
        statuses=Counter({"Not Started": 8, "Completed": 2}),
        facts=Counter({EventKind.COMPLETED: 1, EventKind.OPTED_OUT: 1, EventKind.TASK_OPENED: 10}),
    ),
    "pull": Scenario(
        before=(
            *(("Drafts", "draft"), ("Drafts", "gone"), ("Sends", "reply"), ("Sends", "bounce")),
            *(("Calls", "early"), ("Calls", "moved")),
        ),
        begin=answering,
        passes=(
            *PASS,
            *("push_people.", "gmail.find", "outlook.find"),
            *("salesforce.pull", "salesforce.find_users", "salesforce.push_people", "salesforce.push_tasks"),
        ),
        fewest=40,
        effects=Counter(sent=6, tasks=14),
        statuses=Counter({"Completed": 10, "Not Started": 4}),
        facts=Counter(
            {
                EventKind.REPLIED: 2,
                EventKind.BOUNCED: 2,
                EventKind.COMPLETED: 4,
                EventKind.DRAFT_DISCARDED: 2,
                EventKind.TASK_REASSIGNED: 1,
            }
        ),
    ),
    "launch": Scenario(
        before=(("Drafts", "early"),),
        begin=lambda world: world.seed(people(40)),
        work=launching,
        passes=("launch.", "salesforce.check_ready"),
        fewest=4,
        effects=Counter(drafts=42, tasks=42),
        statuses=Counter({"Not Started": 42}),
        facts=Counter({EventKind.LAUNCHED: 42}),
    ),
}


def effects(world: World) -> Counter[str]:
    """Count what lies in the services; assert that nothing was done twice."""
    found = {
        "sent": [mail["key"] for rep in REPS for mail in world.mails(rep, "sent")],
        "drafts": [mail["key"] for rep in REPS for mail in world.mails(rep, "drafts")],
        "tasks": [effect["key"] for effect in world.effects("task_created")],
    }
    twice = {what: [key for key, count in Counter(keys).items() if count > 1] for what, keys in found.items()}
    assert twice == {"sent": [], "drafts": [], "tasks": []}, "something was done twice"
    assert len(world.effects("mail_sent")) == len(found["sent"])
    assert len(world.records("Task")) == len(found["tasks"])
    return Counter({what: len(keys) for what, keys in found.items() if keys})


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_each_failpoint_everything_is_done_once(make_world: WorldMaker, database_url: str, name: str) -> None:
    _kill_and_judge(make_world(database_url=database_url, campaign=CAMPAIGNS, **SETTINGS), SCENARIOS[name])


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["send", "draft"])
def test_killed_twice_at_each_failpoint_of_a_lane_everything_is_done_once(make_world: WorldMaker, name: str) -> None:
    _kill_and_judge(make_world(campaign=CAMPAIGNS, **SETTINGS), SCENARIOS[name], twice=LANE)


def _kill_and_judge(world: World, scenario: Scenario, twice: tuple[str, ...] = ()) -> None:
    waves = 0

    def one_more(kill: Kill) -> None:
        nonlocal waves
        campaign, count = scenario.more
        if count and kill.failpoint.startswith(LANE):
            enroll(world, campaign, count, f"wave{waves}x")
            waves += 1

    with Nursery(world) as nursery:
        for campaign, domain in scenario.before:
            enroll(world, campaign, 1, domain)
        nursery.warm(sync)
        scenario.begin(world)
        killed_at = {
            kill.failpoint for kill in kill_everywhere(world, nursery, scenario.work, then=one_more, twice=twice)
        }
        for _ in range(3):
            world.after(minutes=2)
            assert nursery.run(sync) == 0
    assert [word for word in scenario.passes if not any(word in failpoint for failpoint in killed_at)] == []
    assert len(killed_at) >= scenario.fewest
    more = waves * len(REPS) * scenario.more[1]
    assert effects(world) == scenario.effects + Counter(dict.fromkeys(scenario.of_more[:2], more))
    statuses = Counter(task["Status"] for task in world.records("Task"))
    assert statuses == scenario.statuses + Counter({scenario.of_more[2]: more})
    assert Counter(fact.kind for fact in world.facts(*scenario.facts)) == scenario.facts
    with world.database.read() as tx:
        assert find_intents(tx, states=[IntentState.UNKNOWN, IntentState.FAILED, IntentState.BLOCKED]) == []
    world.replay()


def without_looking() -> None:
    """Break the product: what was in flight is made again without a look for it."""
    mock.patch.object(drain, "look_up", return_value=Found(where=Whereabouts.ABSENT)).start()
    mock.patch.object(drain, "believed_from", side_effect=lambda _mail, _found, now: now).start()


def without_claiming() -> None:
    """Break the product: that a mail is in flight is not committed before the call."""
    mock.patch.object(claiming, "change_mails").start()


@pytest.mark.parametrize(
    ("call", "count", "fault"),
    [("gmail.create_draft", 1, without_looking), ("outlook.create_drafts", 2, without_claiming)],
)
def test_a_draft_that_is_made_twice_is_found(
    make_world: WorldMaker, call: str, count: int, fault: Callable[[], object]
) -> None:
    world = make_world(campaign=CAMPAIGNS, **SETTINGS)
    enroll(world, "Drafts", count, "draft")
    with Nursery(world) as nursery:
        assert kill_everywhere(world, nursery, sync, only=[f"after {call}"], fault=fault) != []
    with pytest.raises(AssertionError, match="twice"):
        effects(world)
