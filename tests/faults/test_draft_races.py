"""A draft that its rep touches while it is taken away, moved or looked for: it is never lost and never made twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from connector.errors import OutcomeUnknown, Reconnect, Refused
from connector.events import EventKind
from connector.intents import IntentState
from connector.ports import Found, MailPull, Whereabouts
from connector.store.intents import find_intents
from connector.store.mails import MailState, StoredMail, read_mails
from connector.sync.actions import remove
from connector.sync.opening import open_task
from tests.world import ANA, BOB, TEMPLATES, World, WorldMaker, people

GMAIL, OUTLOOK = ANA["email"], BOB["email"]
BOTH = pytest.mark.parametrize("rep", [GMAIL, OUTLOOK])
(PAT,) = people(1)

DRAFT = """\
name: Draft
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
  - day: 2
    steps:
      - call: {name: "Call {{first_name}}"}
"""


def draft_out(make_world: WorldMaker, rep: str) -> World:
    world = make_world(campaign=DRAFT)
    world.launch([PAT], rep=rep)
    assert world.sync().exit_status == 0
    world.after(minutes=10)
    return world


def placed(world: World) -> StoredMail:
    with world.database.read() as tx:
        keys = [one.intent.key for one in find_intents(tx, states=list(IntentState)) if one.intent.day == 1]
        (mail,) = read_mails(tx, keys).values()
    return mail


def reasons(world: World, kind: EventKind) -> list[str]:
    return [event.reason for event in world.facts(kind, person=PAT.email)]


# ------------------------------------------------------------------------------- taken away, and touched meanwhile


@dataclass(frozen=True, kw_only=True)
class Touch:
    """What the rep does after the last pull and before the draft is taken away, and where it must end."""

    act: str
    arguments: dict[str, Any]
    state: MailState
    drafts: int
    says: str = ""


ENDED = "campaign has ended: the person was removed"
TOUCHES = {
    "nothing": Touch(act="", arguments={}, state=MailState.DELETED, drafts=0),
    "edits it": Touch(
        act="rep_edits_draft",
        arguments={"body": "<p>In the middle of a sen</p>"},
        state=MailState.LEFT,
        drafts=1,
        says="they have edited it",
    ),
    "schedules it": Touch(
        act="rep_schedules_draft",
        arguments={"minutes": 60},
        state=MailState.LEFT,
        drafts=0,
        says="it is scheduled in the mail program and goes out by itself",
    ),
    "sends it": Touch(act="rep_sends_draft", arguments={}, state=MailState.SENT, drafts=0),
    "discards it": Touch(act="rep_deletes_draft", arguments={}, state=MailState.DELETED, drafts=0),
}


@BOTH
@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES.keys())
def test_an_end_takes_no_draft_away_that_its_rep_has_just_touched(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch, rep: str, touch: Touch
) -> None:
    """The pass has read the mailbox already: only a look just before the deletion can tell."""
    world = draft_out(make_world, rep)
    mailbox = world.office.mailboxes[rep]
    pull = mailbox.pull_mail

    def pull_then_touch(cursor: str | None) -> Any:
        pulled = pull(cursor)
        if touch.act:
            world.act(touch.act, rep=rep, person=PAT.email, **touch.arguments)
        monkeypatch.setattr(mailbox, "pull_mail", pull)
        return pulled

    remove(world.office, person=PAT.email, campaign=None, rep=None)
    monkeypatch.setattr(mailbox, "pull_mail", pull_then_touch)
    report = world.sync()
    assert placed(world).state is touch.state
    assert len(world.mails(rep, "drafts")) == touch.drafts
    assert report.delivered["drafts_deleted"] == (touch.act == "")
    assert any(touch.says in reason for reason in reasons(world, EventKind.DRAFT_LEFT)) is bool(touch.says)
    for _ in range(2):
        world.after(hours=1)
        assert world.sync().exit_status == 0
    assert len(world.mails(rep, "drafts")) == touch.drafts
    assert placed(world).state is touch.state


@BOTH
def test_a_draft_scheduled_before_its_campaign_ended_is_left_and_said(make_world: WorldMaker, rep: str) -> None:
    world = draft_out(make_world, rep)
    world.act("rep_schedules_draft", rep=rep, person=PAT.email, minutes=60)
    world.sync()
    remove(world.office, person=PAT.email, campaign=None, rep=None)
    world.after(minutes=5)
    world.sync()
    (said,) = reasons(world, EventKind.DRAFT_LEFT)
    assert "goes out by itself, unless they take it back there" in said
    assert placed(world).state is MailState.LEFT


# ----------------------------------------------------------------------------------- its task goes to another rep


@pytest.mark.parametrize(("first", "second"), [(GMAIL, OUTLOOK), (OUTLOOK, GMAIL)])
@pytest.mark.parametrize("edited", ["", "seen", "in between"])
def test_an_untouched_draft_goes_along_to_the_other_reps_mailbox(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch, first: str, second: str, edited: str
) -> None:
    world = draft_out(make_world, first)
    key = placed(world).key

    def edit() -> None:
        world.act("rep_edits_draft", rep=first, person=PAT.email, body="<p>Mine</p>")

    if edited == "seen":
        edit()
        world.sync()
        world.after(minutes=1)
    world.act("rep_reassigns_task", key=key, user=second)
    if edited == "in between":
        mailbox = world.office.mailboxes[first]
        pull = mailbox.pull_mail

        def pull_then_edit(cursor: str | None) -> Any:
            pulled = pull(cursor)
            monkeypatch.setattr(mailbox, "pull_mail", pull)
            edit()
            return pulled

        monkeypatch.setattr(mailbox, "pull_mail", pull_then_edit)
    world.after(minutes=1)
    assert world.sync().exit_status == 0
    world.after(minutes=1)
    assert world.sync().exit_status == 0
    (task,) = world.tasks
    assert task.stored.intent.rep == second
    here = second if not edited else first
    assert [len(world.mails(rep, "drafts")) for rep in (first, second)] == [int(here == first), int(here == second)]
    if edited == "in between":
        assert "stays in the mailbox of" in reasons(world, EventKind.DRAFT_EDITED)[0]
    # Sent from where it lies, it completes the task.
    world.act("rep_sends_draft", rep=here, person=PAT.email)
    world.after(minutes=5)
    assert world.sync().exit_status == 0
    assert [task.stored.intent.day for task in world.tasks] == []
    assert placed(world).state is MailState.SENT
    assert [effect["mailbox"] for effect in world.effects("mail_sent")] == [here]


@pytest.mark.parametrize(("first", "second"), [(GMAIL, OUTLOOK), (OUTLOOK, GMAIL)])
def test_a_click_makes_no_second_draft_while_the_former_reps_mailbox_cannot_be_reached(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    """A rep left, and their task went to another."""
    world = draft_out(make_world, first)
    mail = placed(world)

    def signed_out(*_: object) -> Any:
        raise Reconnect("sign in again", account=mail.lane)

    mailbox = world.office.mailboxes[first]
    monkeypatch.setattr(mailbox, "find", signed_out)
    monkeypatch.setattr(mailbox, "pull_mail", signed_out)
    world.act("rep_reassigns_task", key=mail.key, user=second)
    world.sync()
    for _ in range(3):
        opened = open_task(world.office, mail.key)
        assert not opened.is_draft
        assert "the mailbox cannot be reached (sign in again)" in " ".join(opened.notes)
        world.after(minutes=10)
    assert [len(world.mails(rep, "drafts")) for rep in (first, second)] == [1, 0]
    assert placed(world).lane == mail.lane
    # Signed in again, it moves.
    monkeypatch.undo()
    opened = open_task(world.office, mail.key)
    assert opened.is_draft
    assert [len(world.mails(rep, "drafts")) for rep in (first, second)] == [0, 1]


@pytest.mark.parametrize(("first", "second"), [(GMAIL, OUTLOOK), (OUTLOOK, GMAIL)])
def test_a_draft_that_stayed_with_the_former_rep_is_opened_where_it_lies(
    make_world: WorldMaker, first: str, second: str
) -> None:
    world = draft_out(make_world, first)
    world.act("rep_edits_draft", rep=first, person=PAT.email, body="<p>Mine</p>")
    world.sync()
    world.act("rep_reassigns_task", key=placed(world).key, user=second)
    world.after(minutes=1)
    world.sync()
    opened = open_task(world.office, placed(world).key)
    assert opened.is_draft
    assert "lies in the mailbox of" in " ".join(opened.notes)
    assert [len(world.mails(rep, "drafts")) for rep in (first, second)] == [1, 0]


# ------------------------------------------------------------------------------------------- nowhere is no proof


@BOTH
@pytest.mark.parametrize("seconds", [0, 60, 110])
def test_nowhere_is_not_believed_soon_after_an_act(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch, rep: str, seconds: int
) -> None:
    """The draft was made, its answer was lost, and no search shows it for a while."""
    world = make_world(campaign=DRAFT)
    world.launch([PAT], rep=rep)
    mailbox = world.office.mailboxes[rep]
    create, find = mailbox.create_draft, mailbox.find
    made: list[Any] = []

    def create_and_lose(mail: Any) -> Any:
        made.append(world.now)
        create(mail)
        raise OutcomeUnknown("the answer was lost", key=mail.key)

    def find_late(trace: Any) -> Found:
        shown = (world.now - made[0]).total_seconds() > seconds
        return find(trace) if shown else Found(where=Whereabouts.ABSENT)

    monkeypatch.setattr(mailbox, "create_draft", create_and_lose)
    monkeypatch.setattr(mailbox, "find", find_late)
    for _ in range(6):
        world.sync()
        world.after(seconds=45)
    assert len(made) == 1
    assert placed(world).state is MailState.PRESENT
    assert len(world.effects("draft_created")) == 1


@BOTH
def test_a_send_whose_answer_was_lost_is_not_lost_while_it_shows_nowhere(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch, rep: str
) -> None:
    world = make_world(
        campaign=DRAFT.replace("{template: last, send: task}", "{template: intro, send: choose_at_launch}")
    )
    world.launch([PAT], rep=rep)
    mailbox = world.office.mailboxes[rep]
    send, find = mailbox.send_draft, mailbox.find
    sent: list[Any] = []

    def send_and_lose(draft: Any, key: str) -> Any:
        sent.append(world.now)
        send(draft, key)
        raise OutcomeUnknown("the answer was lost", key=key)

    def find_late(trace: Any) -> Found:
        shown = (world.now - sent[0]).total_seconds() > 90
        return find(trace) if shown else Found(where=Whereabouts.DISCARDED)

    monkeypatch.setattr(mailbox, "send_draft", send_and_lose)
    monkeypatch.setattr(mailbox, "find", find_late)
    # A pull would see it in Sent: here the look-ups alone must bring it home.
    monkeypatch.setattr(mailbox, "pull_mail", lambda cursor: MailPull(changes=(), cursor=cursor or "0"))
    for _ in range(6):
        world.sync()
        world.after(seconds=45)
    assert len(sent) == 1
    assert reasons(world, EventKind.OUTCOME_UNKNOWN) == []
    assert placed(world).state is MailState.SENT


def test_a_sent_copy_that_comes_minutes_late_asks_nobody_to_look(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(
        campaign=DRAFT.replace("{template: last, send: task}", "{template: intro, send: choose_at_launch}")
    )
    world.launch([PAT], rep=OUTLOOK)
    world.act("mail_settings", outlook_sent_delay=300)
    mailbox = world.office.mailboxes[OUTLOOK]
    send = mailbox.send_draft

    def send_and_lose(draft: Any, key: str) -> Any:
        send(draft, key)
        raise OutcomeUnknown("the answer was lost", key=key)

    monkeypatch.setattr(mailbox, "send_draft", send_and_lose)
    for _ in range(9):
        world.sync()
        world.after(seconds=45)
    assert reasons(world, EventKind.OUTCOME_UNKNOWN) == []
    assert placed(world).state is MailState.SENT
    assert len(world.effects("mail_sent")) == 1


# --------------------------------------------------------------------------------- a look that is refused tells nothing


@BOTH
def test_a_refused_look_after_a_lost_answer_is_no_failed_send(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch, rep: str
) -> None:
    """It went out: called failed, it would be made anew by 'connector resume', and go out twice."""
    world = make_world(
        campaign=DRAFT.replace("{template: last, send: task}", "{template: intro, send: choose_at_launch}")
    )
    world.launch([PAT], rep=rep)
    mailbox = world.office.mailboxes[rep]
    send, find = mailbox.send_draft, mailbox.find

    def send_and_lose(draft: Any, key: str) -> Any:
        send(draft, key)
        raise OutcomeUnknown("the answer was lost", key=key)

    def refuse(trace: Any) -> Found:
        raise Refused("a page that is none of the service's", code="address")

    monkeypatch.setattr(mailbox, "send_draft", send_and_lose)
    monkeypatch.setattr(mailbox, "find", refuse)
    monkeypatch.setattr(mailbox, "pull_mail", lambda cursor: MailPull(changes=(), cursor=cursor or "0"))
    for _ in range(4):
        world.sync()
        world.after(minutes=1)
    assert placed(world).state is MailState.IN_FLIGHT
    monkeypatch.setattr(mailbox, "find", find)
    world.sync()
    assert placed(world).state is MailState.SENT
    assert len(world.effects("mail_sent")) == 1


@BOTH
def test_a_draft_that_cannot_be_looked_at_is_not_deleted(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch, rep: str
) -> None:
    world = draft_out(make_world, rep)

    def refuse(trace: Any) -> Found:
        raise Refused("a page that is none of the service's", code="address")

    monkeypatch.setattr(world.office.mailboxes[rep], "find", refuse)
    remove(world.office, person=PAT.email, campaign=None, rep=None)
    world.act("rep_edits_draft", rep=rep, person=PAT.email, body="<p>In the middle of a sen</p>")
    monkeypatch.setattr(
        world.office.mailboxes[rep], "pull_mail", lambda cursor: MailPull(changes=(), cursor=cursor or "0")
    )
    world.sync()
    assert len(world.mails(rep, "drafts")) == 1


# ------------------------------------------------------------------------------------------ two mails that look alike


@BOTH
def test_the_email_before_is_not_taken_for_the_follow_up_whose_answer_was_lost(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch, rep: str
) -> None:
    """Sent late and from a phone, it has no stamp; the follow-up is due at once, to the same person, as `Re:`."""
    world = make_world(
        campaign=DRAFT.replace(
            '- call: {name: "Call {{first_name}}"}',
            "- email: {template: again, send: same_time_as_previous, follow_up: true}",
        ),
        templates={**TEMPLATES, "again.md": "---\n---\nStill there, {{first_name}}?\n"},
    )
    world.launch([PAT], rep=rep)
    world.sync()
    world.after(days=1, minutes=30)
    world.act("rep_sends_from_phone", rep=rep, person=PAT.email)
    mailbox = world.office.mailboxes[rep]
    create = mailbox.create_draft
    lost: list[str] = []

    def lose_first(mail: Any) -> Any:
        if not lost:
            lost.append(mail.key)
            raise OutcomeUnknown("the answer was lost", key=mail.key)
        return create(mail)

    monkeypatch.setattr(mailbox, "create_draft", lose_first)
    for _ in range(4):
        world.after(minutes=2)
        world.sync()
    assert lost
    assert [sent["key"] for sent in world.effects("mail_sent") if sent["by"] == "api"] == lost


# --------------------------------------------------------------------------------------------- made anew, it is ours


@BOTH
def test_a_draft_made_anew_is_known_by_our_subject_and_not_by_that_of_the_one_thrown_away(
    make_world: WorldMaker, rep: str
) -> None:
    """Sent from a phone before anything was read, it has neither stamp nor ids: the subject is all there is."""
    world = draft_out(make_world, rep)
    world.act("rep_edits_draft", rep=rep, person=PAT.email, subject="My own words")
    world.sync()
    world.act("rep_deletes_draft", rep=rep, person=PAT.email)
    for _ in range(2):
        world.after(minutes=6)
        world.sync()
    assert placed(world).state is MailState.DISCARDED
    assert open_task(world.office, placed(world).key).is_draft
    world.act("rep_sends_from_phone", rep=rep, person=PAT.email)
    for _ in range(2):
        world.after(minutes=6)
        world.sync()
    assert placed(world).state is MailState.SENT
