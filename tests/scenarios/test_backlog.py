"""What waited too long, and what was paused or ended while it waited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from connector.events import EventKind
from connector.intents import IntentEvent, IntentState
from connector.store.intents import find_intents
from connector.store.mails import MailState, change_mail, read_mails
from connector.store.tasks import read_tasks
from connector.sync.actions import end_by_hand, import_people, opt_out, pause, remove, resume
from connector.sync.prepare import prepare
from connector.sync.tick import tick
from connector.sync.views import DueRange, explain, list_tasks
from tests.command import command_in
from tests.world import ANA, BOB, START, World, WorldMaker, people

SEND = 'name: {name}\ndays:\n  - day: 1\n    steps:\n      - email: {{template: intro, send: "09:00"}}\n'
DRAFT = "name: {name}\ndays:\n  - day: 1\n    steps:\n      - email: {{template: intro, send: task}}\n"
CALL = 'name: {name}\ndays:\n  - day: 1\n    steps:\n      - call: {{name: "Call {{{{first_name}}}}"}}\n'
NOBODY: dict[str, Any] = {"person": None, "campaign": None, "rep": None}


def held(world: World) -> dict[str, str]:
    """Return who is held, and why."""
    with world.database.read() as tx:
        return {one.intent.person: one.problem or "" for one in find_intents(tx, states=[IntentState.HELD])}


def sent_to(world: World) -> list[str]:
    return [one["to"][0] for one in world.effects("mail_sent")]


def put_into_outboxes(world: World) -> None:
    """Decide and prepare, and deliver nothing."""
    tick(world.office, world.now)
    prepare(world.office, world.now)


# -------------------------------------------------------------------------------------------------- late


def test_after_three_days_down_late_sends_are_held_and_leave_at_their_pace_once_decided(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four wait in the outbox and four were not even planned when the program stopped; one is due today."""
    world = make_world(campaign=SEND.format(name="Nine"), reps=[ANA], pacing={"gmail": {"per_minute": 6}})
    queued, planned, today = people(9)[:4], people(9)[4:8], people(9)[8:]
    world.launch(queued, start=world.now)
    world.after(minutes=5)
    put_into_outboxes(world)
    keys = {person: one.intent or "" for person, one in world.enrollments.items()}
    world.launch(planned, start=START + timedelta(days=1))
    world.launch(today, start=START + timedelta(days=3))
    world.after(days=3)
    report = world.sync()
    assert sent_to(world) == [today[0].email]
    assert set(held(world)) == {one.email for one in (*queued, *planned)}
    late = held(world)[queued[0].email]
    assert late.startswith("it is 3 days late (it was due on 23 Nov 2026 at 08:00 UTC; ")
    for move in (f"'connector resume --person {queued[0].email}'", "'--campaign'", "tasks skip", "connector remove"):
        assert move in late
    assert any(late in sentence for sentence in report.needs_attention)
    standing = explain(world.office, queued[0].email)
    assert late in standing.standing[0]
    assert standing.past[-1].kind is EventKind.HELD
    assert world.sync().delivered["sent"] == 0, "held once, and once told"
    assert len(world.facts(EventKind.HELD)) == 8
    import_people(world.office, queued)
    assert len(held(world)) == 8, "data is no decision"

    first, *others = (one.email for one in planned)
    with world.database.read() as tx:
        (key,) = [one.intent.key for one in find_intents(tx, states=[IntentState.HELD], persons=[others[0]])]
    command = command_in(world, monkeypatch, capsys)
    for said in (("tasks", "skip", key[:8]), ("remove", "--person", others[1]), ("resume", "--person", first)):
        assert command(*said).status == 0
    world.sync()
    assert sent_to(world)[1:] == [first]
    released = resume(world.office, person=None, campaign="Nine", rep=None)
    assert {one.person for one in released} == {*(one.email for one in queued), others[2]}
    assert resume(world.office, person=None, campaign="Nine", rep=None) == [], "there is nothing left to decide"
    for _ in range(8):
        world.sync()
        world.after(minutes=1)
    # In the order in which they were due, and no faster than six in a minute.
    assert sent_to(world)[2:-1] == sorted((one.email for one in queued), key=keys.__getitem__)
    assert sent_to(world)[-1] == others[2]
    at = [datetime.fromisoformat(one["at"]) for one in world.effects("mail_sent")]
    assert min(later - earlier for earlier, later in pairwise(at)) >= timedelta(seconds=11)
    world.replay()


def test_what_waits_for_its_turn_is_not_late_and_what_its_mailbox_could_not_do_is(make_world: WorldMaker) -> None:
    """Three a day: the fourth waits for Tuesday by pacing. Then the mailbox is shut for two days."""
    world = make_world(campaign=SEND.format(name="Nine"), reps=[ANA], pacing={"gmail": {"per_day": 3}})
    world.launch(people(7))
    for _ in range(2):
        world.sync()
        world.sandbox.clock.advance_to((world.now + timedelta(days=1)).replace(hour=9))
    assert len(sent_to(world)) == 6
    assert held(world) == {}
    world.after(days=2)
    world.sync()
    assert len(sent_to(world)) == 6
    (last,) = held(world)
    assert held(world)[last].startswith("it is 4 days late")
    resume(world.office, person=None, campaign=None, rep=ANA["email"])
    world.sync()
    assert sent_to(world)[6:] == [last]
    world.replay()


def test_a_send_that_was_begun_before_the_program_died_is_looked_up_and_then_held(make_world: WorldMaker) -> None:
    world = make_world(campaign=SEND.format(name="Nine"), reps=[ANA])
    world.launch(people(1))
    put_into_outboxes(world)
    with world.database.write() as tx:
        (key,) = [one.intent.key for one in find_intents(tx, states=[IntentState.DUE])]
        change_mail(tx, key, state=MailState.IN_FLIGHT, attempts=1, claimed=world.now)
    world.after(days=3)
    world.sync()
    assert sent_to(world) == []
    assert list(held(world)) == [people(1)[0].email]
    resume(world.office, person=None, campaign="Nine", rep=None)
    world.sync()
    assert sent_to(world) == [people(1)[0].email]
    assert world.judge()["sends"] == 1


@pytest.mark.parametrize(("said", "sends"), [("never", 1), ("4d", 1), ("3d", 0)])
def test_how_late_is_too_late_is_said_in_connector_yaml(make_world: WorldMaker, said: str, sends: int) -> None:
    world = make_world(campaign=SEND.format(name="Nine"), reps=[ANA], sync={"hold_after": said})
    world.launch(people(1))
    world.after(days=3, hours=1)
    world.sync()
    assert len(sent_to(world)) == sends
    assert len(held(world)) == 1 - sends


def test_tasks_are_never_held_and_are_shown_as_overdue(make_world: WorldMaker) -> None:
    world = make_world(campaign={"d": DRAFT.format(name="Drafts"), "c": CALL.format(name="Calls")}, reps=[ANA])
    for campaign in ("Drafts", "Calls"):
        world.launch(people(1), campaign=campaign)
    world.after(days=3)
    world.sync()
    assert held(world) == {}
    assert len(world.mails(ANA["email"], "drafts")) == 1
    assert len(list_tasks(world.office, due=DueRange.OVERDUE)) == 2
    assert len(world.records("Task")) == 2


# ------------------------------------------------------------------------------------- paused while it waits

#: Who acts on whom -> what becomes of a send, a draft and a task that wait in their outboxes.
ACTS = ("pause person", "pause rep", "pause campaign", "remove", "opt out")
KINDS = {"Send": SEND, "Draft": DRAFT, "Call": CALL}


def test_a_pause_or_an_end_takes_effect_on_what_is_queued_and_a_resume_brings_it_forward(
    make_world: WorldMaker,
) -> None:
    """Each act meets a send, a draft and a task between being prepared and being delivered; one person has no act."""
    files = {kind: text.format(name=kind) for kind, text in KINDS.items()}
    files |= {f"{kind}2": text.format(name=f"{kind}2") for kind, text in KINDS.items()}
    world = make_world(campaign=files, reps=[ANA, BOB], sync={"hold_after": "never"})
    everyone = dict(zip([*ACTS, "none"], people(6), strict=True))
    for act, person in everyone.items():
        for kind in KINDS:
            campaign = f"{kind}2" if act == "pause campaign" else kind
            world.launch([person], campaign=campaign, rep=(BOB if act == "pause rep" else ANA)["email"])
    world.sandbox.clock.advance_to(datetime(2026, 11, 23, 15, 0, tzinfo=UTC))  # nine in New York has come
    put_into_outboxes(world)
    with world.database.read() as tx:
        due = find_intents(tx, states=list(IntentState))
        assert len(read_mails(tx, [one.intent.key for one in due])) == 12
        assert len(read_tasks(tx, [one.intent.key for one in due])) == 12

    paused = [NOBODY | {"person": everyone["pause person"].email}, NOBODY | {"rep": BOB["email"]}]
    paused += [NOBODY | {"campaign": f"{kind}2"} for kind in KINDS]
    for whom in paused:
        assert pause(world.office, **whom)
    remove(world.office, **NOBODY | {"person": everyone["remove"].email})
    opt_out(world.office, everyone["opt out"].email, reason="they called")

    def delivered() -> dict[str, tuple[int, int, int]]:
        """Return act -> mails sent, drafts and tasks that the services have for its person."""
        drafts = [mail for rep in (ANA, BOB) for mail in world.mails(rep["email"], "drafts")]
        made = [one["key"] for one in world.effects("task_created")]
        keys = {one.intent.key: one.intent.person for one in due}
        return {
            act: (
                sent_to(world).count(person.email),
                sum(1 for mail in drafts if keys[mail["key"]] == person.email),
                sum(1 for key in made if keys.get(key) == person.email),
            )
            for act, person in everyone.items()
        }

    world.sync()
    # Of what is sent, the mail is a task of its own.
    assert delivered() == dict.fromkeys(ACTS, (0, 0, 0)) | {"none": (1, 1, 3)}
    for whom in paused:
        assert resume(world.office, **whom)
    # The resumed sends are planned anew: nine o'clock has passed, so tomorrow; what was open goes on as it was.
    world.sync()
    opened = dict.fromkeys(("pause person", "pause rep", "pause campaign"), (0, 1, 2))
    assert delivered() == dict.fromkeys(ACTS, (0, 0, 0)) | opened | {"none": (1, 1, 3)}
    world.after(days=1)
    world.sync()
    opened = dict.fromkeys(opened, (1, 1, 3))
    assert delivered() == dict.fromkeys(ACTS, (0, 0, 0)) | opened | {"none": (1, 1, 3)}
    world.judge()


def test_a_task_that_is_done_while_it_is_paused_goes_to_the_crm_as_done(make_world: WorldMaker) -> None:
    world = make_world(campaign=CALL.format(name="Calls"), reps=[ANA])
    world.launch(people(1))
    put_into_outboxes(world)
    pause(world.office, **NOBODY | {"campaign": "Calls"})
    (task,) = world.tasks
    end_by_hand(world.office, task.stored.intent.key, IntentEvent.COMPLETE, by="by hand")
    world.sync()
    (record,) = world.records("Task")
    assert record["Status"] == "Completed"
