"""What people decide: pause, resume, remove, opt out, launch, migrate, mend; and how fast mailboxes may send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from connector.errors import BadInput
from connector.events import EventKind
from connector.intents import IntentState
from connector.people import Person
from connector.store.enrollments import find_enrollments
from connector.store.intents import find_intents
from connector.sync.actions import import_people, opt_out, pause, remove, resume
from connector.sync.migration import migrate, plan_migration
from connector.sync.push_people import push_people
from tests.world import CAMPAIGN, TEMPLATES, World, WorldMaker, people

ANN = Person(email="ann@bolt.example", first_name="Ann", last_name="Bolt", company="Bolt")
TOM = Person(email="tom@bolt.example", first_name="Tom", last_name="Ray", company="Bolt")
ANA, BOB = "ana@acme.example", "bob@acme.example"

MAILS = """\
name: Mails
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
  - day: 2
    steps:
      - email: {template: nudge, send: "09:00"}
      - call: {name: "Call {{first_name}}"}
"""

CALLS = """\
name: Calls
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}"}
"""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def everyone(world: World) -> dict[str, str]:
    return {person: one.state.value for person, one in world.enrollments.items()}


def stored(world: World, *states: IntentState) -> list[tuple[str, str, str]]:
    with world.database.read() as tx:
        found = find_intents(tx, states=states or list(IntentState))
    return [(one.intent.person, one.state.value, one.problem or "") for one in found]


def sent_at(world: World) -> list[datetime]:
    return [datetime.fromisoformat(one["at"]) for one in world.effects("mail_sent")]


# ------------------------------------------------------------------------------------ pause and resume


def test_a_pause_holds_what_is_ahead_and_a_resume_plans_it_anew(make_world: WorldMaker) -> None:
    """Due at nine on Tuesday; paused over it; resumed on Wednesday at noon: so at nine on Thursday."""
    world = make_world(campaign=MAILS)
    world.launch([ANN])
    world.sync()
    assert [one.intent for one in pause(world.office, person=ANN.email, campaign=None, rep=None)] == [None]
    world.after(days=2, hours=4)
    world.sync()
    assert len(sent_at(world)) == 1
    assert everyone(world) == {ANN.email: "paused"}
    resume(world.office, person=ANN.email, campaign=None, rep=None)
    assert world.enrollments[ANN.email].due == at("2026-11-26T08:00")
    world.sync()
    assert len(sent_at(world)) == 1
    world.sandbox.clock.advance_to(at("2026-11-26T08:00"))
    world.sync()
    assert sent_at(world)[1:] == [at("2026-11-26T08:00")]
    assert world.judge()["sends"] == 2


def test_a_pause_catches_a_mail_that_is_due_and_waits_for_its_pace(make_world: WorldMaker) -> None:
    world = make_world(campaign=MAILS, pacing={"gmail": {"per_day": 1}})
    world.launch([ANN, TOM])
    world.sync()
    (first,) = [one["to"][0] for one in world.effects("mail_sent")]
    other = TOM if first == ANN.email else ANN
    pause(world.office, person=other.email, campaign=None, rep=None)
    assert stored(world, IntentState.HELD) == [(other.email, "held", "the campaign is paused")]
    world.after(hours=20)
    report = world.sync()
    assert [one["to"][0] for one in world.effects("mail_sent")] == [first]
    assert not any(other.email in sentence for sentence in report.needs_attention), "a pause was somebody's will"
    resume(world.office, person=other.email, campaign=None, rep=None)
    world.sync()
    assert [one["to"][0] for one in world.effects("mail_sent")] == [first, other.email]
    assert world.judge()["sends"] == 2


def test_a_pause_leaves_a_task_with_its_rep_and_what_follows_waits(make_world: WorldMaker) -> None:
    world = make_world(
        campaign=CALLS.replace('"Call {{first_name}}"}', '"Call {{first_name}}"}\n      - call: {name: B}')
    )
    world.launch([ANN])
    world.sync()
    pause(world.office, person=None, campaign="Calls", rep=None)
    (task,) = world.tasks
    assert task.stored.state is IntentState.OPEN
    world.act("rep_closes_task", key=task.stored.intent.key)
    world.after(hours=1)
    world.sync()
    assert world.tasks == []
    world.after(days=2)
    resume(world.office, person=None, campaign=None, rep=ANA)
    world.sync()
    (following,) = world.tasks
    assert (following.stored.intent.step, following.stored.intent.due) == (2, world.now)
    assert world.judge()["tasks"] == 2


def test_resuming_what_is_not_paused_changes_nothing(make_world: WorldMaker) -> None:
    world = make_world(campaign=MAILS)
    world.launch([ANN])
    world.sync()
    before = world.enrollments
    assert resume(world.office, person=None, campaign=None, rep=None) == []
    assert world.enrollments == before


# ----------------------------------------------------------------------------------- remove and opt out


def test_remove_takes_only_whom_it_names(make_world: WorldMaker) -> None:
    world = make_world(campaign=MAILS)
    world.launch([ANN, TOM])
    remove(world.office, person=ANN.email, campaign=None, rep=None)
    world.sync()
    assert [one["to"] for one in world.effects("mail_sent")] == [[TOM.email]]
    assert everyone(world) == {ANN.email: "removed", TOM.email: "active"}
    again = world.launch([ANN])
    assert again.enrolled == 1, "who was removed may be put in again"


def test_an_opt_out_ends_everything_at_once_and_is_told_to_the_crm(make_world: WorldMaker) -> None:
    world = make_world(campaign={"mails": MAILS, "calls": CALLS})
    world.launch([ANN], campaign="Mails")
    world.launch([ANN], campaign="Calls", rep=BOB)
    world.sync()
    assert [one["HasOptedOutOfEmail"] for one in world.records("Lead")] == [False]
    opt_out(world.office, ANN.email, reason="asked by phone")
    assert push_people(world.office, world.now).attention == []
    assert [one["HasOptedOutOfEmail"] for one in world.records("Lead")] == [True]
    with world.database.read() as tx:
        assert {one.state.value for one in find_enrollments(tx, live=False)} == {"opted_out"}
    world.after(days=3)
    world.sync()
    assert len(sent_at(world)) == 1
    assert world.tasks == []
    assert stored(world, IntentState.CANCELLED) == [
        (ANN.email, "cancelled", "campaign has ended: the person opted out")
    ]
    assert world.launch([ANN], campaign="Mails").left_out[0].reason == "opted out on 2026-11-23"


def test_an_opt_out_between_planning_and_delivery_is_heeded(make_world: WorldMaker) -> None:
    world = make_world(campaign=MAILS, pacing={"gmail": {"per_day": 1}})
    world.launch([ANN, TOM])
    world.sync()
    (first,) = [one["to"][0] for one in world.effects("mail_sent")]
    other = TOM if first == ANN.email else ANN
    opt_out(world.office, other.email, reason="asked")
    world.after(hours=20)
    world.sync()
    assert [one["to"][0] for one in world.effects("mail_sent")] == [first]
    assert everyone(world)[other.email] == "opted_out"


# ------------------------------------------------------------------------------------------------ launch


def test_a_launch_says_whom_it_leaves_out_and_why(make_world: WorldMaker) -> None:
    world = make_world(campaign=MAILS, blocked_domains=["blocked.example"])
    out, bad, blocked, inside, fresh = (
        replace(ANN, email=f"{name}@{domain}.example")
        for name, domain in [("out", "a"), ("bad", "b"), ("x", "blocked"), ("in", "c"), ("new", "d")]
    )
    world.launch([bad, inside])
    world.sync()
    world.after(minutes=1)
    world.act("prospect_bounces", person=bad.email)
    world.after(minutes=1)
    world.sync()
    opt_out(world.office, out.email, reason="asked")
    launched = world.launch([out, bad, blocked, inside, fresh, fresh])
    assert launched.enrolled == 1
    assert [(left.person, left.reason) for left in launched.left_out] == [
        (out.email, "opted out on 2026-11-23"),
        (bad.email, "their address bounced on 2026-11-23"),
        (blocked.email, "the domain blocked.example is blocked in connector.yaml"),
        (inside.email, "is in 'Mails' already"),
        (fresh.email, "is named twice"),
    ]
    assert [event.reason for event in world.facts(EventKind.LEFT_OUT)] == [left.reason for left in launched.left_out]


def test_a_dry_run_changes_nothing(make_world: WorldMaker) -> None:
    world = make_world(campaign=MAILS)
    assert world.launch([ANN, ANN], dry_run=True).enrolled == 1
    assert world.enrollments == {}
    assert world.facts(*EventKind) == []


def test_a_domain_blocked_after_the_launch_is_not_written_to(make_world: WorldMaker) -> None:
    world = make_world(campaign=MAILS)
    world.launch([ANN])
    world.configure(blocked_domains=["bolt.example"])
    world.sync()
    assert world.effects("mail_sent") == []
    assert everyone(world) == {ANN.email: "failed"}
    (told,) = world.facts(EventKind.FAILED)
    assert told.reason == "the domain bolt.example is blocked in connector.yaml"


def test_the_same_person_in_two_campaigns_of_two_reps(make_world: WorldMaker) -> None:
    world = make_world(campaign={"mails": MAILS, "calls": CALLS})
    world.launch([ANN], campaign="Mails", rep=ANA)
    world.launch([ANN], campaign="Calls", rep=BOB)
    world.sync()
    assert len(sent_at(world)) == 1
    (call,) = world.tasks
    assert (call.stored.intent.rep, call.stored.intent.campaign) == (BOB, "Calls")
    world.act("prospect_replies", person=ANN.email)
    world.after(minutes=1)
    world.sync()
    with world.database.read() as tx:
        states = {one.campaign: one.state.value for one in find_enrollments(tx, live=False)}
    assert states == {"Mails": "replied", "Calls": "active"}, "the reply answers one campaign"


# ----------------------------------------------------------------------------------------------- migrate


def edit(world: World, text: str) -> None:
    (world.folder / "campaigns" / "campaign.yaml").write_text(text)
    world.reopen()


def test_a_pause_ends_on_its_rep_s_date_wherever_other_reps_are(make_world: WorldMaker) -> None:
    far = [{"email": ANA, "name": "Ana", "time_zone": "America/Los_Angeles", "mailbox": "links"}]
    far += [{"email": BOB, "name": "Bob", "time_zone": "Pacific/Auckland", "mailbox": "links"}]
    world = make_world(campaign=CALLS, reps=far, start=at("2026-11-23T18:00"))
    world.launch([ANN], rep=ANA)
    world.launch([TOM], rep=BOB)
    tomorrow = at("2026-11-24").date()
    with pytest.raises(BadInput, match="has come already"):  # in Auckland it has
        pause(world.office, person=TOM.email, campaign=None, rep=None, until=tomorrow)
    assert len(pause(world.office, person=ANN.email, campaign=None, rep=None, until=tomorrow)) == 1
    world.after(hours=13)
    world.sync()
    assert everyone(world)[ANN.email] == "paused"
    world.after(hours=2)
    world.sync()
    assert everyone(world)[ANN.email] == "active"


def test_an_edit_touches_nobody_until_they_are_moved(make_world: WorldMaker) -> None:
    world = make_world(campaign=MAILS)
    world.launch([ANN])
    world.sync()
    edit(world, MAILS.replace('"09:00"', '"15:00"'))
    campaign, templates = world.project.campaign("Mails"), world.project.templates
    (move,) = plan_migration(world.office, campaign, templates)
    assert (move.enrollment.person, move.next_step) == (ANN.email, "day 2, step 1 (email)")
    assert world.enrollments[ANN.email].due == at("2026-11-24T08:00"), "planning it moved nobody"
    migrate(world.office, campaign, templates)
    assert world.enrollments[ANN.email].due == at("2026-11-24T14:00")
    assert plan_migration(world.office, campaign, templates) == []
    world.after(days=1, hours=7)
    world.sync()
    assert len(sent_at(world)) == 2
    assert world.judge()["sends"] == 2


def test_a_step_that_waits_for_a_field_is_written_anew_from_the_new_version(make_world: WorldMaker) -> None:
    templates = {**TEMPLATES, "intro.md": "---\nsubject: Hello {{custom.nick}}\n---\nHi\n"}
    world = make_world(campaign=MAILS, templates=templates)
    world.launch([ANN])
    assert world.sync().exit_status == 1
    assert [state for _, state, _ in stored(world)] == ["blocked"]
    (world.folder / "templates" / "intro.md").write_text(TEMPLATES["intro.md"])
    world.reopen()
    migrate(world.office, world.project.campaign("Mails"), world.project.templates)
    assert world.sync().exit_status == 0
    assert [one["subject"] for one in world.effects("mail_sent")] == ["Hello Ann"]
    assert world.judge()["sends"] == 1


def test_a_task_with_its_rep_stays_through_a_migration(make_world: WorldMaker) -> None:
    world = make_world(campaign=CALLS)
    world.launch([ANN])
    world.sync()
    (before,) = world.tasks
    edit(world, CALLS + '      - custom: {name: "Invite"}\n')
    migrate(world.office, world.project.campaign("Calls"), world.project.templates)
    (after,) = world.tasks
    assert after.stored.intent.key == before.stored.intent.key
    world.act("rep_closes_task", key=after.stored.intent.key)
    world.after(minutes=1)
    world.sync()
    (new,) = world.tasks
    assert (new.stored.intent.step, new.stored.intent.type.value) == (2, "custom")
    assert world.judge()["tasks"] == 2


# --------------------------------------------------------------------------------- what must be mended


def test_a_missing_field_stops_one_person_until_it_is_given(make_world: WorldMaker) -> None:
    templates = {**TEMPLATES, "intro.md": "---\nsubject: Hello {{custom.nick}}\n---\nHi\n"}
    world = make_world(campaign=MAILS, templates=templates)
    given = replace(TOM, custom={"nick": "Tommy"})
    world.launch([ANN, given])
    report = world.sync()
    assert report.exit_status == 1
    assert [one["subject"] for one in world.effects("mail_sent")] == ["Hello Tommy"]
    (sentence,) = report.needs_attention
    assert ANN.email in sentence
    assert "nick" in sentence
    (blocked,) = world.tasks
    assert blocked.stored.state is IntentState.BLOCKED
    import_people(world.office, [replace(ANN, custom={"nick": "Annie"})])
    assert world.sync().exit_status == 0
    assert [one["subject"] for one in world.effects("mail_sent")] == ["Hello Tommy", "Hello Annie"]
    assert world.judge()["sends"] == 2


def test_a_prompt_in_a_mail_nobody_reads_first_is_refused_with_the_file(make_world: WorldMaker) -> None:
    world = make_world(campaign=CAMPAIGN.replace("template: intro", "template: last"))
    assert world.project.loaded.campaigns == {}
    assert any("prompt" in fault.sentence for fault in world.project.faults)


def test_a_prompt_in_a_draft_stays_for_the_rep(make_world: WorldMaker) -> None:
    world = make_world(
        campaign=CAMPAIGN.split("  - day: 2")[0].split("      - email")[0]
        + "      - email: {template: last, send: task}\n"
    )
    world.launch([ANN])
    world.sync()
    (draft,) = [mail for mail in world.sandbox.world.boxes[ANA].mails.values() if mail.place == "drafts"]
    assert b"add a line of your own" in draft.raw


# ------------------------------------------------------------------------------------------------- links


def test_a_rep_without_a_mailbox_gets_compose_addresses(make_world: WorldMaker) -> None:
    """Automatic emails become tasks too, and the launch says so."""
    world = make_world()
    launched = world.launch([ANN], rep="cy@acme.example")
    assert launched.warnings == [
        "the mailbox of Cy Lin ('links') cannot send by itself: 1 automatic email becomes a task"
    ]
    assert world.sync().exit_status == 0
    assert world.effects("mail_sent", "draft_created") == []
    (task,) = world.records("Task")
    description = task["Description"]
    assert "https://mail.google.com/mail/" in description
    assert "https://outlook.office.com/mail/deeplink/compose" in description
    assert "Hello%20Ann" in description
    assert "how is Bolt?" in description
    world.act("rep_closes_task", id=task["Id"])
    world.after(minutes=1)
    world.sync()
    assert [one.stored.intent.type.value for one in world.tasks] == ["call"]


# ------------------------------------------------------------------------------------------------ pacing


def spacing(moments: Sequence[datetime]) -> list[float]:
    return [(after - before).total_seconds() for before, after in pairwise(moments)]


@pytest.mark.parametrize(
    ("rule", "apart"),
    [({"per_second": 1}, 1.1), ({"per_second": None, "per_minute": 30}, 2.2)],
)
def test_mails_leave_no_faster_than_the_mailbox_may(
    make_world: WorldMaker, rule: dict[str, float], apart: float
) -> None:
    world = make_world(campaign=MAILS, pacing={"gmail": rule})
    world.launch(people(12))
    world.sync()
    moments = sent_at(world)
    assert len(moments) == 12
    assert min(spacing(moments)) >= apart
    assert {one.due for one in world.enrollments.values()} == {at("2026-11-24T08:00")}, "the plan does not move"


def test_a_day_lets_out_so_many_and_the_rest_keep_their_place(make_world: WorldMaker) -> None:
    world = make_world(campaign=MAILS, pacing={"gmail": {"per_day": 4}})
    world.launch(people(10))
    for _ in range(3):
        world.sync()
        world.after(minutes=5)
    assert len(sent_at(world)) == 4
    order = [person for person, state, _ in stored(world, IntentState.DUE)]
    world.after(hours=20)
    world.sync()
    assert len(sent_at(world)) == 8
    assert [one["to"][0] for one in world.effects("mail_sent")[4:]] == order[:4]


def test_campaigns_take_turns(make_world: WorldMaker) -> None:
    """Five of one campaign wait first; the other's two are not put behind all of them."""
    world = make_world(
        campaign={"mails": MAILS, "other": MAILS.replace("name: Mails", "name: Other")},
        pacing={"gmail": {"per_day": 4}},
    )
    world.launch(people(5, domain="first"), campaign="Mails")
    world.launch(people(2, domain="second"), campaign="Other")
    world.sync()
    campaigns = ["first" if "first" in one["to"][0] else "second" for one in world.effects("mail_sent")]
    assert sorted(campaigns) == ["first", "first", "second", "second"]


def test_after_downtime_all_that_is_overdue_goes_out_once_and_paced(make_world: WorldMaker) -> None:
    world = make_world(campaign=MAILS, sync={"hold_after": "never"})
    world.launch(people(6))
    world.after(days=9, hours=3)
    world.sync()
    moments = sent_at(world)
    assert len(moments) == 6
    assert min(spacing(moments)) >= 1.1
    world.sync()
    assert len(sent_at(world)) == 6


def test_a_start_that_has_passed_is_refused_and_nobody_is_in(make_world: WorldMaker) -> None:
    world = make_world(campaign=MAILS)
    with pytest.raises(BadInput, match="does not name a step with a fixed time"):
        world.launch([ANN], overrides={"1.1": at("2026-11-24T08:00").time()})
    assert world.enrollments == {}
