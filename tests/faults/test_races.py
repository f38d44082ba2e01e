"""What comes in between a decision and the act it led to: nothing is done twice, nothing is stuck, nothing is lost.

Each test lets one thing happen at one instant: `once` runs it within one call of a service, `before_writing` just
before a transaction that writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select, update

from connector.app import Project
from connector.errors import AdapterError, BadInput, OutcomeUnknown, Refused, Retry
from connector.events import EventKind
from connector.intents import IntentEvent, IntentState
from connector.ports import Address, Found, MailPull, MailReceived, Whereabouts
from connector.sequencing.enrollment import EnrollmentState
from connector.store.intents import find_intents
from connector.store.lanes import Pacing
from connector.store.mails import read_mails
from connector.store.people import mark_person
from connector.store.schema import campaign_versions
from connector.sync import actions
from connector.sync.drain import drain
from connector.sync.letters import Letters
from connector.sync.migration import migrate
from connector.sync.office import PacingRule
from connector.sync.pacing import seconds_to_wait
from tests.world import START, TEMPLATES, World, WorldMaker, people

ANA = "ana@acme.example"
(PAT,) = (person.email for person in people(1))

MAILS = """\
name: Mails
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
  - day: 2
    steps:
      - email: {template: nudge, send: "10:00"}
"""

FOLLOW_UP = MAILS.replace('nudge, send: "10:00"', 'again, send: "10:00", follow_up: true')

DRAFT = """\
name: Draft
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
      - call: {name: "Call {{first_name}}"}
"""

CALLS = """\
name: Calls
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}"}
      - call: {name: "Again {{first_name}}"}
"""

ONE_A_DAY = {"gmail": {"per_day": 1}}


class Killed(BaseException):
    """The process ends here."""


def nothing() -> None:
    """Let nothing happen."""


def remove(world: World) -> None:
    actions.remove(world.office, person=PAT, campaign=None, rep=None)


def pause(world: World) -> None:
    actions.pause(world.office, person=PAT, campaign=None, rep=None)


def opt_out(world: World) -> None:
    actions.opt_out(world.office, PAT, reason="asked")


def finish(world: World, event: IntentEvent = IntentEvent.COMPLETE) -> None:
    actions.end_by_hand(world.office, world.tasks[0].stored.intent.key, event, by="by the rep")


def skip(world: World) -> None:
    finish(world, IntentEvent.SKIP)


STOPS = pytest.mark.parametrize(
    ("stop", "after"),
    [(remove, IntentState.CANCELLED), (pause, IntentState.HELD), (opt_out, IntentState.CANCELLED)],
)


def once(
    patch: pytest.MonkeyPatch,
    service: Any,
    name: str,
    act: Callable[[], object] = nothing,
    *,
    arrives: bool = True,
    error: BaseException | None = None,
) -> None:
    """Let `act` happen within the next call of a service, after it arrived; then let the answer be an error."""
    real = getattr(service, name)

    def call(*given: Any, **named: Any) -> Any:
        patch.setattr(service, name, real)
        answer = real(*given, **named) if arrives else None
        act()
        if error is not None:
            raise error
        return answer

    patch.setattr(service, name, call)


def before_writing(patch: pytest.MonkeyPatch, world: World, act: Callable[[], object]) -> None:
    """Let `act` happen just before the next transaction that writes: what was read outside it is stale."""
    database = world.database
    real = database.write

    @contextmanager
    def write():
        patch.setattr(database, "write", real)
        act()
        with real() as tx:
            yield tx

    patch.setattr(database, "write", write)


def unclear(*_: Any) -> Found:
    return Found(where=Whereabouts.UNCLEAR)


def world_with(make_world: WorldMaker, campaign: str, count: int = 1, **options: Any) -> World:
    world = make_world(campaign=campaign, **options)
    world.launch(people(count))
    return world


def go_on(world: World, passes: int = 3) -> None:
    for _ in range(passes):
        world.after(minutes=5)
        world.sync()


def states(world: World, person: str = PAT) -> list[IntentState]:
    """Return the states of a person's intents, by their place in the campaign."""
    with world.database.read() as tx:
        found = find_intents(tx, states=list(IntentState), persons=[person])
    return [one.state for one in sorted(found, key=lambda one: (one.intent.day, one.intent.step))]


# ------------------------------------------------------------------------------------------ before a send


@STOPS
def test_a_mail_put_back_after_its_campaign_stopped_is_never_sent(make_world, monkeypatch, stop, after):
    world = world_with(make_world, MAILS)
    box = world.office.mailboxes[ANA]
    once(monkeypatch, box, "create_draft", partial(stop, world), arrives=False, error=Retry("too many requests"))
    world.sync()
    go_on(world)
    assert world.effects("mail_sent") == []
    assert states(world) == [after]


@STOPS
def test_a_campaign_that_stops_before_the_send_takes_the_draft_away(make_world, monkeypatch, stop, after):
    world = world_with(make_world, MAILS)
    once(monkeypatch, world.office.mailboxes[ANA], "create_draft", partial(stop, world))
    world.sync()
    go_on(world)
    assert world.effects("mail_sent") == []
    assert world.mails(ANA, "drafts") == []
    assert states(world) == [after]


def test_an_unclassified_mail_holds_a_send_that_waits_for_its_turn(make_world):
    world = world_with(make_world, MAILS, 2, pacing=ONE_A_DAY)
    world.sync()
    (waiting,) = (one.email for one in people(2) if states(world, one.email) == [IntentState.DUE])
    with world.database.write() as tx:
        mark_person(tx, waiting, held=world.now)
    world.after(days=1)
    world.sync()
    assert len(world.effects("mail_sent")) == 1
    assert states(world, waiting) == [IntentState.HELD]


@pytest.mark.parametrize(("arrives", "after"), [(True, IntentState.SENT), (False, IntentState.BLOCKED)])
def test_a_mail_in_flight_that_cannot_be_composed_stops_no_pass(make_world, monkeypatch, arrives, after):
    world = world_with(make_world, MAILS)
    once(monkeypatch, world.office.mailboxes[ANA], "create_draft", arrives=arrives, error=Killed())
    with pytest.raises(Killed):
        world.sync()
    world.reopen()

    def missing(*_: Any) -> None:
        raise BadInput("a field is missing")

    monkeypatch.setattr(Letters, "compose", missing)
    world.after(minutes=3)
    world.sync()
    assert states(world) == [after]
    assert len(world.effects("mail_sent")) == (after is IntentState.SENT)


@pytest.mark.parametrize("ends", [True, False])
def test_an_address_that_bounced_leaves_no_send_due_for_ever(make_world, ends):
    campaign = MAILS if ends else MAILS.replace("days:", "settings: {remove_on_bounce: false}\ndays:", 1)
    world = world_with(make_world, campaign, 2, pacing=ONE_A_DAY)
    world.sync()
    (waiting,) = (one.email for one in people(2) if states(world, one.email) == [IntentState.DUE])
    with world.database.write() as tx:
        mark_person(tx, waiting, bounced=world.now)
    world.after(days=1)
    world.sync()
    assert states(world, waiting)[0] is (IntentState.CANCELLED if ends else IntentState.SENT)


def test_mails_of_a_rep_who_has_gone_are_told_of(make_world):
    world = world_with(make_world, MAILS, 2, pacing=ONE_A_DAY)
    world.sync()
    world.configure(reps=[rep for rep in world.settings["reps"] if rep["email"] != ANA])
    world.after(days=1)
    report = world.sync()
    assert report.exit_status == 1
    assert [line for line in report.needs_attention if f"gmail:{ANA}, which no rep" in line]


def test_a_clock_set_back_holds_a_mailbox_no_longer_than_its_spacing():
    rule = PacingRule(per_minute=30)
    ahead = Pacing(next_at=START + timedelta(days=3))
    assert seconds_to_wait(ahead, rule, START) == rule.spacing
    late = replace(ahead, next_at=START + timedelta(seconds=1))
    assert seconds_to_wait(late, rule, START) == 1


# ------------------------------------------------------------------------------------------ after a send


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (OutcomeUnknown("lost", key=""), IntentState.DELIVERING),
        (OutcomeUnknown("lost", key=""), IntentState.UNKNOWN),
        (Killed(), IntentState.DELIVERING),
    ],
    ids=["answer lost", "given up", "killed"],
)
def test_a_mail_that_a_pull_sees_in_sent_is_confirmed_and_logged_once(make_world, monkeypatch, error, left):
    world = make_world(campaign=MAILS)
    world.sync()  # the cursors begin
    world.after(minutes=1)
    world.launch(people(1))
    box = world.office.mailboxes[ANA]
    with monkeypatch.context() as patch:
        patch.setattr(box, "find", unclear)
        once(patch, box, "send_draft", error=error)
        if isinstance(error, Killed):
            with pytest.raises(Killed):
                world.sync()
        else:
            world.sync()
        if left is IntentState.UNKNOWN:
            once(patch, box, "pull_mail", arrives=False, error=Retry("later"))
            world.after(minutes=10)  # the copy of a mail whose draft has left may come as late as this
            go_on(world, 1)
        assert states(world) == [left]
        go_on(world)  # no look-up can tell; the pull does
    assert states(world) == [IntentState.SENT]
    assert world.judge() == {"sends": 1, "tasks": 1, "all": 1, "drafts": 0}


def test_looks_that_could_not_be_had_for_hours_use_up_no_tries(make_world, monkeypatch):
    world = world_with(make_world, MAILS)
    box = world.office.mailboxes[ANA]
    once(monkeypatch, box, "send_draft", arrives=False, error=OutcomeUnknown("lost", key=""))
    with monkeypatch.context() as patch:

        def fails(error: AdapterError) -> None:
            def find(*_: Any) -> Any:
                raise error

            patch.setattr(box, "find", find)

        fails(Retry("too many requests"))
        go_on(world, 12)
        fails(OutcomeUnknown("lost", key=""))
        go_on(world, 1)
        assert states(world)[0] is IntentState.DELIVERING
    go_on(world)
    assert states(world)[0] is IntentState.SENT
    assert len(world.effects("mail_sent")) == 1


# ------------------------------------------------------------------------------------------------- drafts


@pytest.mark.parametrize("stop", [remove, opt_out, skip])
def test_a_draft_made_while_its_task_ended_is_taken_away(make_world, monkeypatch, stop):
    world = world_with(make_world, DRAFT)
    once(monkeypatch, world.office.mailboxes[ANA], "create_draft", partial(stop, world))
    world.sync()
    go_on(world)
    assert len(world.effects("draft_created")) == 1
    assert world.mails(ANA, "drafts") == []


def test_a_worker_that_lost_its_lane_during_a_look_up_makes_no_second_draft(make_world, monkeypatch):
    world = world_with(make_world, DRAFT)
    once(monkeypatch, world.office.mailboxes[ANA], "create_draft", arrives=False, error=Killed())
    with pytest.raises(Killed):
        world.sync()

    def another_opens_it() -> None:
        with world.database.write() as tx:
            tx.exec_driver_sql("UPDATE lanes SET until = 0")
        drain(world.office, world.rep(ANA), owner="open:1", only=world.tasks[0].stored.intent.key)

    once(monkeypatch, world.office.mailboxes[ANA], "find", another_opens_it)
    world.sync()
    go_on(world)
    assert len(world.mails(ANA, "drafts")) == 1


# ------------------------------------------------------------------------------------------------ the CRM


@pytest.mark.parametrize("call", ["find_users", "find_people", "push_tasks"])
def test_a_call_the_crm_refuses_as_a_whole_stops_no_pass(make_world, monkeypatch, call):
    world = world_with(make_world, MAILS)

    def refuse(*_: Any, **__: Any) -> None:
        raise Refused("no access", code="INSUFFICIENT_ACCESS")

    with monkeypatch.context() as patch:
        patch.setattr(world.office.crm, call, refuse)
        report = world.sync()
    assert len(world.effects("mail_sent")) == 1
    assert "salesforce: no access" in report.needs_attention
    world.after(hours=2)
    world.sync()
    world.judge()


@pytest.mark.parametrize("call", ["find_users", "find_people", "push_tasks"])
@pytest.mark.parametrize("stop", [finish, remove])
def test_a_task_that_ends_while_it_is_written_ends_closed(make_world, monkeypatch, call, stop):
    world = world_with(make_world, CALLS)
    once(monkeypatch, world.office.crm, call, partial(stop, world))
    world.sync()
    go_on(world)
    written = {task["Subject"]: task["Status"] for task in world.records("Task")}
    assert written.get("Call: Call Pat0", "Completed") == "Completed"
    assert written.get("Call: Again Pat0") == ("Not Started" if stop is finish else None)
    assert call != "push_tasks" or "Call: Call Pat0" in written


def test_a_launch_from_a_file_without_ids_keeps_the_id_the_crm_told(make_world):
    world = make_world(campaign={"a": CALLS, "b": CALLS.replace("Calls", "More")})
    for campaign in ("Calls", "More"):
        world.launch(people(1), campaign=campaign)
        world.sync()
        world.after(minutes=5)
    (lead,) = (row["Id"] for row in world.records("Lead"))
    assert [task["WhoId"] for task in world.records("Task")] == [lead, lead]


def test_a_task_snoozed_and_then_closed_early_was_done_when_it_was_closed(make_world):
    world = world_with(make_world, CALLS)
    world.sync()
    world.after(minutes=10)
    key = world.tasks[0].stored.intent.key
    actions.snooze(world.office, key, date(2026, 12, 3))
    world.sync()
    world.after(hours=1)
    closed = world.now
    world.act("rep_closes_task", key=key)
    world.after(minutes=5)
    world.sync()
    (fact,) = world.facts(EventKind.COMPLETED)
    assert abs(fact.at - closed) <= timedelta(seconds=1)
    assert states(world) == [IntentState.COMPLETED, IntentState.OPEN]


# -------------------------------------------------------------------------------------------- migrations


def test_a_step_sent_while_a_migration_is_decided_is_not_sent_again(make_world, monkeypatch):
    world = world_with(make_world, MAILS)
    file = world.folder / "campaigns/campaign.yaml"
    file.write_text(file.read_text().replace("10:00", "11:00"))
    new = Project(folder=world.folder)
    before_writing(monkeypatch, world, world.sync)
    migrate(world.office, new.campaign("Mails"), new.templates)
    for _ in range(2):
        world.after(days=1)
        world.sync()
    assert [mail["subject"] for mail in world.mails(ANA, "sent")] == ["Hello Pat0", "A word more"]


@pytest.mark.parametrize("rep", [ANA, "bob@acme.example"])
def test_a_follow_up_after_a_migration_stays_in_the_thread(make_world, rep):
    world = make_world(campaign=FOLLOW_UP, templates={**TEMPLATES, "again.md": "---\n---\nStill there?\n"})
    world.launch(people(1), rep=rep)
    world.sync()
    file = world.folder / "campaigns/campaign.yaml"
    file.write_text(file.read_text().replace("10:00", "11:00"))
    new = Project(folder=world.folder)
    migrate(world.office, new.campaign("Mails"), new.templates)
    world.after(days=1, hours=12)
    world.sync()
    first, second = world.mails(rep, "sent")
    assert second["in_reply_to"] == first["message_id"]
    assert second["thread"] == first["thread"]


# -------------------------------------------------------------------------------- what cannot be worked out


@pytest.mark.parametrize("cut", ["\ud83d", "\0"], ids=["half a pair", "NUL"])
def test_a_reply_with_half_a_character_or_a_nul_is_acted_on(make_world, database_url, monkeypatch, cut):
    world = world_with(make_world, MAILS, database_url=database_url)
    world.sync()
    world.after(minutes=5)
    with world.database.read() as tx:
        (mail,) = read_mails(tx, [world.effects("mail_sent")[0]["key"]]).values()
    reply = MailReceived(
        provider_id="z",
        at=world.now,
        sender=Address(email=PAT),
        to=(ANA,),
        subject=f"Re: {cut}Hello",
        thread_id=mail.thread_id,
        text=f"Yes {cut}",
    )
    monkeypatch.setattr(
        world.office.mailboxes[ANA], "pull_mail", lambda cursor: MailPull(changes=(reply,), cursor=cursor)
    )
    report = world.sync()
    assert report.needs_attention == []
    assert report.pulled["replies"] == 1
    assert world.enrollments[PAT].state is EnrollmentState.REPLIED
    (fact,) = world.facts(EventKind.REPLIED)
    assert fact.data["subject"].endswith("Hello")
    assert [task for task in world.records("Task") if task["Subject"].endswith(fact.data["subject"])]


def rename_version(world: World, into: str) -> None:
    """Let a version be kept under another name, as good as lost; or found again."""
    with world.database.write() as tx:
        tx.execute(update(campaign_versions).where(campaign_versions.c.name.in_(("Calls", "lost"))).values(name=into))
    world.reopen()


def set_holidays(world: World, holidays: list[str]) -> None:
    """Let a version name these holiday calendars."""
    with world.database.write() as tx:
        kept = campaign_versions.c.name == "Calls"
        document = json.loads(json.dumps(tx.execute(select(campaign_versions.c.document).where(kept)).scalar_one()))
        document["settings"]["holidays"] = holidays
        tx.execute(update(campaign_versions).where(kept).values(document=document))
    world.reopen()


BREAKS = pytest.mark.parametrize(
    ("lose", "mend"),
    [
        (partial(rename_version, into="lost"), partial(rename_version, into="Calls")),
        (partial(set_holidays, holidays=["ZZ"]), partial(set_holidays, holidays=[])),
    ],
    ids=["version gone", "unknown holidays"],
)

OTHER = people(1, domain="other")


def two_campaigns(make_world: WorldMaker, after: timedelta = timedelta()) -> World:
    world = make_world(campaign={"a": CALLS, "b": CALLS.replace("Calls", "More")})
    world.launch(people(1), campaign="Calls", start=START + after)
    world.launch(OTHER, campaign="More", start=START + after)
    return world


def assert_paused_with_reason(world: World) -> None:
    assert world.enrollments[PAT].state is EnrollmentState.PAUSED
    (line,) = world.facts(EventKind.PAUSED)
    assert line.person == PAT
    assert "it cannot go on" in line.reason


def test_a_step_that_cannot_be_worked_out_pauses_its_person_alone(make_world):
    world = two_campaigns(make_world, timedelta(hours=1))
    world.sync()
    rename_version(world, "lost")
    world.after(hours=2)
    world.sync()
    assert_paused_with_reason(world)
    assert states(world, OTHER[0].email) == [IntentState.OPEN]
    rename_version(world, "Calls")
    actions.resume(world.office, person=PAT, campaign=None, rep=None)
    go_on(world)
    assert states(world) == [IntentState.OPEN]


@BREAKS
def test_a_fact_that_cannot_be_worked_out_pauses_its_person_alone(make_world, lose, mend):
    world = two_campaigns(make_world)
    world.sync()
    world.after(minutes=5)
    for task in world.tasks:
        world.act("rep_closes_task", key=task.stored.intent.key)
    lose(world)
    world.sync()
    assert_paused_with_reason(world)
    assert states(world, OTHER[0].email) == [IntentState.COMPLETED, IntentState.OPEN]
    mend(world)
    actions.resume(world.office, person=PAT, campaign=None, rep=None)
    go_on(world)
    assert states(world) == [IntentState.COMPLETED, IntentState.OPEN]


@BREAKS
@pytest.mark.parametrize(("stop", "after"), [(remove, EnrollmentState.REMOVED), (opt_out, EnrollmentState.OPTED_OUT)])
def test_somebody_whose_next_step_cannot_be_worked_out_can_be_taken_out(make_world, lose, mend, stop, after):
    world = two_campaigns(make_world)
    world.sync()
    lose(world)
    stop(world)
    assert world.enrollments[PAT].state is after
