"""Whose mail came in: answers from other people, to other mails than ours, and reports about other addresses."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.errors import Retry
from connector.events import EventKind
from connector.intents import IntentEvent, IntentState
from connector.people import Person
from connector.ports import DraftRef, SentMail
from connector.sync.actions import end_by_hand, resume
from tests.world import ANA, BOB, TEMPLATES, World, WorldMaker

REPS = [ANA["email"], BOB["email"]]
BOTH = pytest.mark.parametrize("rep", REPS)

ANN = Person(email="ann@bolt.example", first_name="Ann", last_name="Bolt", company="Bolt")
TOM = Person(email="tom@bolt.example", first_name="Tom", last_name="Ray", company="Bolt")
EVE = "eve@bolt.example"

MAILS = """\
name: Mails
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
  - day: 2
    steps:
      - email: {template: nudge, send: same_time_as_previous}
"""
DRAFT = """\
name: Draft
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
  - day: 2
    steps:
      - email: {template: again, send: same_time_as_previous, follow_up: true}
"""


def launched(make_world: WorldMaker, rep: str, campaign: str, *people: Person, **options: object) -> World:
    world = make_world(
        campaign=campaign, templates={**TEMPLATES, "again.md": "---\n---\nStill there, {{first_name}}?\n"}, **options
    )
    world.launch(people, rep=rep)
    assert world.sync().exit_status == 0
    world.after(minutes=10)
    return world


def look(world: World, **span: float) -> None:
    world.after(**span)
    world.sync()


def state(world: World, person: Person = ANN) -> str:
    return world.enrollments[person.email].state.value


def reasons(world: World, kind: EventKind, person: Person = ANN) -> list[str]:
    return [event.reason for event in world.facts(kind, person=person.email)]


def replies_logged(world: World) -> list[str]:
    """Return the Ids of the records that logged replies hang on."""
    return [row["WhoId"] for row in world.records("Task") if row["Subject"].startswith("Reply: ")]


def record_of(world: World, person: Person) -> str:
    return next(
        row["Id"] for name in ("Lead", "Contact") for row in world.records(name) if row["Email"] == person.email
    )


# ------------------------------------------------------------------------------------------------- who answers


@BOTH
def test_an_answer_in_somebody_elses_thread_counts_for_its_writer_too(make_world: WorldMaker, rep: str) -> None:
    """Ann and Tom are in the campaign; Tom answers the mail that Ann passed on to him."""
    world = launched(make_world, rep, MAILS, ANN, TOM)
    world.act("prospect_replies", rep=rep, person=ANN.email, from_=TOM.email)
    world.after(minutes=1)
    assert world.sync().pulled["replies"] == 1
    assert (state(world, ANN), state(world, TOM)) == ("replied", "replied")
    assert reasons(world, EventKind.REPLIED, ANN) == ["tom@bolt.example replied for them"]
    assert reasons(world, EventKind.REPLIED, TOM) == ["the prospect replied"]
    assert replies_logged(world) == [record_of(world, TOM)], "logged once, with its writer"
    look(world, days=2)
    assert len(world.effects("mail_sent")) == 2


@BOTH
def test_a_colleague_who_is_in_no_campaign_answers_for_the_person(make_world: WorldMaker, rep: str) -> None:
    world = launched(make_world, rep, MAILS, ANN, TOM)
    world.act("prospect_replies", rep=rep, person=ANN.email, from_=EVE)
    look(world, minutes=1)
    assert (state(world, ANN), state(world, TOM)) == ("replied", "active")
    assert reasons(world, EventKind.REPLIED) == [f"{EVE} replied for them"]
    assert replies_logged(world) == [record_of(world, ANN)]


@BOTH
def test_whoever_got_the_draft_instead_answers_for_the_person(make_world: WorldMaker, rep: str) -> None:
    world = launched(make_world, rep, DRAFT, ANN)
    world.act("rep_edits_draft", rep=rep, person=ANN.email, to=EVE)
    world.act("rep_sends_draft", rep=rep, person=EVE)
    look(world, minutes=5)
    world.act("prospect_replies", rep=rep, person=EVE)
    look(world, minutes=1)
    assert state(world) == "replied"
    assert reasons(world, EventKind.REPLIED) == [f"{EVE} replied for them"]


@BOTH
def test_an_automatic_answer_of_a_colleague_names_them(make_world: WorldMaker, rep: str) -> None:
    world = launched(make_world, rep, DRAFT, ANN)
    world.act("rep_edits_draft", rep=rep, person=ANN.email, to=EVE)
    world.act("rep_sends_draft", rep=rep, person=EVE)
    look(world, minutes=5)
    world.act("prospect_out_of_office", rep=rep, person=EVE)
    look(world, minutes=1)
    (reason,) = reasons(world, EventKind.OUT_OF_OFFICE)
    assert reason.endswith(f"{EVE} sent it")
    assert state(world) == "active"


# ----------------------------------------------------------------------------------------------- what is answered


@BOTH
def test_an_answer_to_a_mail_written_by_hand_is_an_answer(make_world: WorldMaker, rep: str) -> None:
    world = launched(make_world, rep, MAILS, ANN)
    world.act("rep_writes_mail", rep=rep, person=ANN.email, subject="One more thing")
    look(world, minutes=5)
    world.act("prospect_replies", rep=rep, person=ANN.email)
    look(world, minutes=1)
    assert state(world) == "replied"
    assert world.facts(EventKind.REPLIED)[0].data["matched_by"] == "address"


@BOTH
def test_an_answer_to_what_was_written_instead_of_the_draft_is_an_answer(make_world: WorldMaker, rep: str) -> None:
    """No mail of the campaign was ever seen in Sent: the rep says that the task is done."""
    world = launched(make_world, rep, DRAFT, ANN)
    world.act("rep_rewrites_by_hand", rep=rep, person=ANN.email, subject="In my own words")
    look(world, minutes=7)
    (task,) = world.tasks
    end_by_hand(world.office, task.stored.intent.key, IntentEvent.COMPLETE, by="by hand")
    world.act("prospect_replies", rep=rep, person=ANN.email)
    look(world, minutes=1)
    assert state(world) == "replied"
    assert reasons(world, EventKind.REPLIED) == ["the prospect replied"]
    look(world, days=2)
    assert [effect for effect in world.effects("mail_sent") if effect["by"] == "api"] == []


@BOTH
def test_who_writes_before_anything_was_sent_answers_nothing(make_world: WorldMaker, rep: str) -> None:
    world = launched(make_world, rep, DRAFT, ANN)
    world.act("prospect_writes", rep=rep, person=ANN.email, subject="Something else")
    look(world, minutes=1)
    assert state(world) == "active"
    assert reasons(world, EventKind.REPLIED) == []


@BOTH
@pytest.mark.parametrize(
    ("act", "kind", "end"),
    [
        ("prospect_replies", EventKind.REPLIED, "replied"),
        ("prospect_out_of_office", EventKind.OUT_OF_OFFICE, "active"),
        ("prospect_bounces", EventKind.BOUNCED, "bounced"),
    ],
)
@pytest.mark.parametrize("seen", [False, True], ids=["in one look", "seen in Sent before"])
def test_what_comes_back_at_once_proves_that_the_mail_was_sent(
    make_world: WorldMaker, rep: str, act: str, kind: EventKind, end: str, seen: bool
) -> None:
    """Machines answer within seconds, while the rep may still undo the send: their word is not lost."""
    world = launched(make_world, rep, DRAFT, ANN)
    world.act("rep_sends_draft", rep=rep, person=ANN.email)
    if seen:
        look(world, seconds=5)
        assert world.facts(EventKind.COMPLETED) == []
    world.act(act, rep=rep, person=ANN.email)
    look(world, seconds=5)
    assert len(reasons(world, kind)) == 1
    assert state(world) == end
    assert len(world.facts(EventKind.COMPLETED)) == 1
    look(world, minutes=5)
    assert len(world.facts(EventKind.COMPLETED)) == 1
    assert world.tasks == []


# ------------------------------------------------------------------------------------------------------- reports


@BOTH
def test_a_mail_that_came_back_from_somebody_elses_address_holds_the_next_send(
    make_world: WorldMaker, rep: str
) -> None:
    """The rep sent the draft to Eve instead, whose address is wrong: nothing is wrong with Ann's."""
    world = launched(make_world, rep, DRAFT, ANN)
    world.act("rep_edits_draft", rep=rep, person=ANN.email, to=EVE)
    world.act("rep_sends_draft", rep=rep, person=EVE)
    look(world, minutes=5)
    world.act("prospect_bounces", rep=rep, person=EVE)
    look(world, minutes=1)
    assert state(world) == "active"
    assert reasons(world, EventKind.BOUNCED) == []
    assert reasons(world, EventKind.UNCLASSIFIED) == [f"it came back from {EVE}, which is not their address"]
    look(world, days=1)
    (held,) = world.tasks
    assert held.stored.state is IntentState.HELD
    resume(world.office, person=ANN.email, campaign=None, rep=None)
    world.sync()
    assert [effect["to"] for effect in world.effects("mail_sent") if effect["by"] == "api"] == [[ANN.email]]


# --------------------------------------------------------------------------------------------------------- aliases


@BOTH
def test_what_a_rep_writes_from_an_alias_is_their_own(make_world: WorldMaker, rep: str) -> None:
    alias = f"team-{rep}"
    reps = [{**one, "aliases": [alias]} if one["email"] == rep else one for one in (ANA, BOB)]
    world = launched(make_world, rep, DRAFT, ANN, reps=reps)
    world.act("add_alias", rep=rep, alias=alias)
    world.act("rep_sends_from_alias", rep=rep, person=ANN.email, alias=alias)
    look(world, minutes=5)
    assert [event.data["by"] for event in world.facts(EventKind.COMPLETED)] == ["by sending the draft"]
    # Written from the alias to the rep's own mailbox, in the thread: a note to self is no answer.
    world.act("prospect_replies", rep=rep, person=ANN.email, from_=alias)
    world.after(minutes=1)
    assert dict(world.sync().pulled) == {}
    assert state(world) == "active"


# ------------------------------------------------------------------------------------------------- what the rep wrote


@BOTH
@pytest.mark.parametrize("mode", ["task", "same_time_as_previous"])
def test_what_a_rep_adds_by_hand_in_the_thread_is_not_the_follow_up_that_lies_there(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch, rep: str, mode: str
) -> None:
    """The follow-up lies in Drafts: for the rep to send, or because the service asked to wait with sending it."""
    world = launched(make_world, rep, DRAFT.replace("same_time_as_previous", mode), ANN)
    world.act("rep_sends_draft", rep=rep, person=ANN.email)
    look(world, minutes=5)

    def wait(draft: object, key: str) -> None:
        raise Retry("no more mails today", after=timedelta(hours=6))

    monkeypatch.setattr(world.office.mailboxes[rep], "send_draft", wait)
    look(world, days=1)
    assert len(world.mails(rep, "drafts")) == 1
    world.act("rep_replies_by_hand", rep=rep, person=ANN.email)
    look(world, minutes=5)
    assert len(world.mails(rep, "drafts")) == 1
    assert state(world) == "active"
    assert world.facts(EventKind.SENT) == []


def test_a_message_id_that_could_not_be_read_back_is_kept_from_the_next_pull(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    rep = ANA["email"]
    world = make_world(
        campaign=DRAFT.replace("{template: last, send: task}", "{template: intro, send: choose_at_launch}"),
        templates={**TEMPLATES, "again.md": "---\n---\nStill there, {{first_name}}?\n"},
    )
    mailbox = world.office.mailboxes[rep]
    send = mailbox.send_draft

    def send_without_reading_back(draft: DraftRef, key: str) -> SentMail:
        sent = send(draft, key)
        return SentMail(provider_id=sent.provider_id, at=sent.at, thread_id=sent.thread_id, key=key)

    monkeypatch.setattr(mailbox, "send_draft", send_without_reading_back)
    world.launch([ANN], rep=rep)
    look(world, minutes=1)
    look(world, minutes=5)
    look(world, hours=36)
    first, follow_up = sorted(world.mails(rep, "sent"), key=lambda mail: str(mail["at"]))
    assert follow_up["in_reply_to"] == first["message_id"]
