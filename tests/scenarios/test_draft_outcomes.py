"""Every way a rep can finish a draft: what becomes of its mail, its task, the CRM's task, the feed and the campaign.

The campaign asks for one email by hand and follows it up by itself a day later, in its thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from connector.errors import BadInput, Busy
from connector.events import Event, EventKind, sentence
from connector.intents import IntentEvent, IntentState
from connector.people import Person
from connector.store.intents import find_intents
from connector.store.mails import StoredMail, read_mails
from connector.sync.actions import end_by_hand
from connector.sync.opening import open_task
from connector.sync.views import explain
from tests.world import ANA, BOB, TEMPLATES, World, WorldMaker

GMAIL, OUTLOOK = ANA["email"], BOB["email"]
BOTH = pytest.mark.parametrize("rep", [GMAIL, OUTLOOK])

ANN = Person(email="ann@bolt.example", first_name="Ann", last_name="Bolt", company="Bolt")
EVE = "eve@bolt.example"

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
AGAIN = {"again.md": "---\n---\nStill there, {{first_name}}?\n"}


#: Everything that is said of Outlook, at once: ids that change on send, copies that are late, a conversation that is
#: shared with a mail of the same subject to somebody else, and what is scheduled lies in Drafts; and it is sent by classic
#: Outlook, which names the mail anew.
ODDLY = {
    "outlook_immutable_ids_change": True,
    "outlook_sent_delay": 8,
    "outlook_shares_conversations": True,
    "outlook_schedules_in_drafts": True,
}
SOMEBODY = "zoe@else.example"


def draft_out(make_world: WorldMaker, rep: str, *, oddly: bool = False, **options: object) -> World:
    """Return a world with one draft in the rep's mailbox, placed ten minutes ago."""
    world = make_world(campaign=DRAFT, templates={**TEMPLATES, **AGAIN}, **options)
    if oddly:
        world.seed([])
        world.act("mail_settings", **ODDLY)
        world.act("rep_writes_mail", rep=rep, person=SOMEBODY, subject="Last try")
        world.after(minutes=1)
    world.launch([ANN], rep=rep)
    assert world.sync().exit_status == 0
    world.after(minutes=10)
    return world


def look(world: World, **span: float) -> None:
    """Let time pass, and look."""
    world.after(**span)
    assert world.sync().exit_status == 0


def mail_of(world: World) -> StoredMail:
    with world.database.read() as tx:
        key = read_first(world)
        return read_mails(tx, [key])[key]


def read_first(world: World) -> str:
    with world.database.read() as tx:
        first = [one for one in find_intents(tx, states=list(IntentState)) if one.intent.day == 1]
    (stored,) = first
    return stored.intent.key


def told(world: World) -> list[str]:
    """Return what the feed says of the draft, each line with its reason, since it was placed."""
    kinds = {
        EventKind.COMPLETED,
        EventKind.DRAFT_EDITED,
        EventKind.DRAFT_SCHEDULED,
        EventKind.DRAFT_BACK,
        EventKind.DRAFT_DISCARDED,
        EventKind.DRAFT_LEFT,
        EventKind.DRAFT_DELETED,
        EventKind.WRITTEN_BY_HAND,
    }
    return [line(event) for event in world.facts(*kinds, person=ANN.email)]


def line(event: Event) -> str:
    return sentence(event) + (f" ({event.reason})" if event.reason else "")


# ------------------------------------------------------------------------------------------- the table

Acts = Callable[[World, str], None]
DONE = "the email of day 1, step 1 for ann@bolt.example was completed by sending the draft"
DISCARDED = "{rep} discarded the draft to ann@bolt.example; the task stays open"
SCHEDULED = "{rep} scheduled the draft to ann@bolt.example in the mail program: it goes out by itself"
BACK = "the draft to ann@bolt.example is back in Drafts"
EDITED = "{rep} edited the draft to ann@bolt.example"


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to finish a draft, and what it must come to."""

    acts: Acts
    #: State of the mail, and what the task list says of the task; a task that is done is not listed.
    mail: str
    says: str = ""
    feed: tuple[str, ...]
    subject: str = "Last try"
    #: The follow-up: in the thread, as a first mail, or none because the campaign waits.
    follow_up: str = "in the thread"

    @property
    def completed(self) -> bool:
        return self.mail == "sent"


def sends(world: World, rep: str) -> None:
    oddly = world.act("mail_settings")["outlook_immutable_ids_change"]
    world.act("rep_sends_draft", rep=rep, person=ANN.email, via="desktop" if oddly else "web")


def sends_as_is(world: World, rep: str) -> None:
    sends(world, rep)
    look(world, minutes=5)


def sends_and_looks_early(world: World, rep: str) -> None:
    sends(world, rep)
    look(world, seconds=10)
    assert [task.stored.state for task in world.tasks] == [IntentState.OPEN], "it may be undone yet"
    look(world, minutes=5)


def edits_subject(world: World, rep: str) -> None:
    world.act("rep_edits_draft", rep=rep, person=ANN.email, subject="A new idea")
    sends_as_is(world, rep)


def edits_body(world: World, rep: str) -> None:
    world.act("rep_edits_draft", rep=rep, person=ANN.email, body="<p>My own words</p>")
    look(world, minutes=5)
    sends_as_is(world, rep)


def changes_recipient(world: World, rep: str) -> None:
    world.act("rep_edits_draft", rep=rep, person=ANN.email, to=EVE)
    world.act("rep_sends_draft", rep=rep, person=EVE)
    look(world, minutes=5)


def sends_from_phone(world: World, rep: str) -> None:
    """Hours later, by a program that makes a mail of its own: no stamp, no id, no thread of ours."""
    world.after(hours=5)
    world.act("rep_sends_from_phone", rep=rep, person=ANN.email)
    look(world, minutes=5)


def edits_subject_and_sends_from_phone(world: World, rep: str) -> None:
    """A pass sees the new subject; in Sent it is all that is left of the draft."""
    world.act("rep_edits_draft", rep=rep, person=ANN.email, subject="A new idea")
    look(world, minutes=5)
    sends_from_phone(world, rep)


def sends_and_waits(world: World, rep: str) -> None:
    """The mail program holds it back until its sending can no longer be undone."""
    world.act("mail_settings", gmail_send_delay=30, outlook_sent_delay=30)
    sends(world, rep)
    look(world, seconds=10)
    assert told(world) == [], "neither sent nor discarded"
    look(world, seconds=40)
    assert told(world) == [], "sent this instant"
    world.act("mail_settings", gmail_send_delay=0, outlook_sent_delay=0)
    look(world, minutes=5)


def edits_on_the_go(world: World, rep: str) -> None:
    """The editor drops our stamp, and another person gets it."""
    world.act("mail_settings", gmail_edit_drops_stamp=True, gmail_edit_changes_draft_id=True)
    changes_recipient(world, rep)


def schedules(world: World, rep: str) -> None:
    world.act("rep_schedules_draft", rep=rep, person=ANN.email, minutes=60)
    look(world, minutes=5)


def schedules_and_waits(world: World, rep: str) -> None:
    schedules(world, rep)
    world.act("mail_settings", outlook_sent_delay=0)
    look(world, minutes=56)


def undoes_schedule(world: World, rep: str) -> None:
    schedules(world, rep)
    world.act("rep_unschedules_draft", rep=rep, person=ANN.email)
    look(world, minutes=5)


def undoes_schedule_and_sends(world: World, rep: str) -> None:
    undoes_schedule(world, rep)
    sends_as_is(world, rep)


def undoes_send(world: World, rep: str) -> None:
    """The pass in between sees it in Sent."""
    world.act("rep_undoes_send", rep=rep, person=ANN.email, seconds=20)
    look(world, seconds=10)
    assert mail_of(world).sent is not None
    look(world, minutes=5)


def undoes_send_and_sends(world: World, rep: str) -> None:
    undoes_send(world, rep)
    sends_as_is(world, rep)


def discards(world: World, rep: str) -> None:
    world.act("rep_deletes_draft", rep=rep, person=ANN.email)
    look(world, minutes=1)
    look(world, minutes=6)


def discards_into_the_bin(world: World, rep: str) -> None:
    """The bin is emptied before it is called discarded."""
    world.act("mail_settings", gmail_discard_bins=True)
    world.act("rep_deletes_draft", rep=rep, person=ANN.email)
    look(world, seconds=20)
    world.act("rep_empties_bin", rep=rep)
    look(world, minutes=6)


def writes_anew(world: World, rep: str) -> None:
    world.act("rep_rewrites_by_hand", rep=rep, person=ANN.email, subject="In my own words")
    look(world, minutes=1)
    look(world, minutes=6)


def writes_anew_under_its_subject(world: World, rep: str) -> None:
    """Nothing but recipient, subject and time tells what it is; they are believed, because one draft alone fits."""
    world.act("rep_rewrites_by_hand", rep=rep, person=ANN.email)
    look(world, minutes=5)


def writes_beside_it(world: World, rep: str) -> None:
    """It has the draft's recipient and subject, and the draft lies there as it did."""
    world.act("rep_writes_mail", rep=rep, person=ANN.email, subject="Last try")
    look(world, minutes=5)


WAYS = {
    "send as is": Way(acts=sends_as_is, mail="sent", feed=(DONE,)),
    "send, and a look within the undo window": Way(acts=sends_and_looks_early, mail="sent", feed=(DONE,)),
    "edit subject": Way(
        acts=edits_subject, mail="sent", feed=(f"{DONE} with the subject 'A new idea'",), subject="A new idea"
    ),
    "edit body": Way(acts=edits_body, mail="sent", feed=(EDITED, f"{DONE} as the rep edited it")),
    "change recipient": Way(
        acts=changes_recipient,
        mail="sent",
        feed=(f"{DONE}, not to them but to {EVE} ({ANN.email} did not get it)",),
        follow_up="as a first mail",
    ),
    "change recipient, and every key of ours is lost but the thread": Way(
        acts=edits_on_the_go,
        mail="sent",
        feed=(f"{DONE}, not to them but to {EVE} ({ANN.email} did not get it)",),
        follow_up="as a first mail",
    ),
    "send from phone": Way(acts=sends_from_phone, mail="sent", feed=(DONE,)),
    "edit subject, and send from phone": Way(
        acts=edits_subject_and_sends_from_phone,
        mail="sent",
        feed=(EDITED, f"{DONE} with the subject 'A new idea'"),
        subject="A new idea",
    ),
    "send, and it is held back for a while": Way(acts=sends_and_waits, mail="sent", feed=(DONE,)),
    "schedule": Way(
        acts=schedules, mail="scheduled", feed=(SCHEDULED,), says="it goes out by itself", follow_up="none"
    ),
    "schedule, and its hour comes": Way(
        acts=schedules_and_waits, mail="sent", feed=(SCHEDULED, f"{DONE} as it was scheduled")
    ),
    "undo schedule": Way(
        acts=undoes_schedule,
        mail="present",
        feed=(SCHEDULED, f"{BACK} (its scheduling was undone)"),
        follow_up="none",
    ),
    "undo schedule, then send": Way(
        acts=undoes_schedule_and_sends,
        mail="sent",
        feed=(SCHEDULED, f"{BACK} (its scheduling was undone)", f"{DONE} as the rep edited it"),
    ),
    "undo send": Way(acts=undoes_send, mail="present", feed=(f"{BACK} (its sending was undone)",), follow_up="none"),
    "undo send, then send": Way(
        acts=undoes_send_and_sends,
        mail="sent",
        feed=(f"{BACK} (its sending was undone)", f"{DONE} as the rep edited it"),
    ),
    "discard": Way(
        acts=discards, mail="discarded", feed=(DISCARDED,), says="the draft was discarded", follow_up="none"
    ),
    "discard, and empty the bin": Way(
        acts=discards_into_the_bin,
        mail="discarded",
        feed=(DISCARDED,),
        says="the draft was discarded",
        follow_up="none",
    ),
    "discard and write anew by hand": Way(
        acts=writes_anew,
        mail="discarded",
        feed=(
            "{rep} wrote to ann@bolt.example by hand: In my own words (the task stays open: "
            "'connector tasks complete {id}' if that was it)",
            DISCARDED,
        ),
        says="if it was written by hand",
        follow_up="none",
    ),
    "write the same by hand and leave the draft": Way(
        acts=writes_beside_it,
        mail="present",
        feed=(
            "{rep} wrote to ann@bolt.example by hand: Last try (the task stays open: "
            "'connector tasks complete {id}' if that was it)",
        ),
        follow_up="none",
    ),
    "discard and write anew under the same subject": Way(acts=writes_anew_under_its_subject, mail="sent", feed=(DONE,)),
}


CASES = [
    *(pytest.param(rep, way, False, id=f"{name}-{rep}") for name, way in WAYS.items() for rep in (GMAIL, OUTLOOK)),
    # The oddities are about what was sent.
    *(pytest.param(OUTLOOK, way, True, id=f"{name}-oddly") for name, way in WAYS.items() if way.completed),
]


@pytest.mark.parametrize(("rep", "way", "oddly"), CASES)
def test_every_way_to_finish_a_draft(make_world: WorldMaker, rep: str, way: Way, oddly: bool) -> None:
    world = draft_out(make_world, rep, oddly=oddly)
    way.acts(world, rep)
    key = read_first(world)
    mail = mail_of(world)
    assert (mail.state.value, mail.subject) == (way.mail, way.subject)
    assert sorted(told(world)) == sorted(said.format(rep=rep, id=key[:8]) for said in way.feed)

    # Its task, here and in the CRM; what `tasks list` and `explain` say of it.
    standing = " ".join(explain(world.office, ANN.email).standing)
    (row,) = [row for row in world.records("Task") if "Last try" in row["Subject"] or way.subject in row["Subject"]]
    if way.completed:
        assert [task for task in world.tasks if task.stored.intent.day == 1] == []
        assert (row["Status"], row["Subject"]) == ("Completed", f"Email: {way.subject}")
    else:
        (task,) = world.tasks
        assert (task.stored.state, row["Status"]) == (IntentState.OPEN, "Not Started")
        assert way.says in (task.stored.problem or "")
        assert bool(way.says) is bool(task.stored.problem)
        assert way.says in standing

    # The campaign moves on once the mail is out, and only then.
    look(world, days=1) if way.mail != "scheduled" else None
    by_us = [mail for mail in world.effects("mail_sent") if mail["by"] == "api"]
    if way.follow_up == "none":
        assert by_us == []
        return
    (sent,) = by_us
    assert sent["to"] == [ANN.email]
    world.after(seconds=10)  # until its copy shows
    sent_mails = [mail for mail in world.mails(rep, "sent") if mail["to"] != [SOMEBODY]]
    first = next(mail for mail in sent_mails if mail["key"] != sent["key"])
    follow_up = next(mail for mail in sent_mails if mail["key"] == sent["key"])
    threaded = way.follow_up == "in the thread"
    assert (follow_up["in_reply_to"] == first["message_id"]) is threaded
    assert (follow_up["thread"] == first["thread"]) is (threaded or oddly)
    assert follow_up["subject"] == (f"Re: {way.subject}" if threaded else "Last try")


@BOTH
def test_a_send_undone_before_anybody_looked_changes_nothing_of_the_task(make_world: WorldMaker, rep: str) -> None:
    world = draft_out(make_world, rep)
    world.act("rep_undoes_send", rep=rep, person=ANN.email, seconds=10)
    look(world, minutes=5)
    look(world, days=1)
    assert [(task.stored.state, task.stored.problem) for task in world.tasks] == [(IntentState.OPEN, None)]
    assert len(world.mails(rep, "drafts")) == 1
    assert world.effects("mail_sent") == []


# -------------------------------------------------------------------------------------- opening it, whatever became


@dataclass(frozen=True, kw_only=True)
class Click:
    """What the rep did, without a pass since, and what a click on the task then comes to."""

    act: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    #: Beginning of the sentence, when there is nothing to open.
    refused: str = ""
    notes: tuple[str, ...] = ()


CLICKS = {
    "nothing": Click(),
    "edited it": Click(act="rep_edits_draft", arguments={"body": "<p>Mine</p>"}),
    "autosaved it": Click(act="rep_autosaves_draft"),
    "sent it": Click(act="rep_sends_draft", refused="the mail to ann@bolt.example was sent already"),
    "scheduled it": Click(
        act="rep_schedules_draft", refused="the mail to ann@bolt.example is scheduled in the mail program"
    ),
}


@BOTH
@pytest.mark.parametrize("click", CLICKS.values(), ids=CLICKS.keys())
def test_what_a_click_opens_before_the_next_pass(make_world: WorldMaker, rep: str, click: Click) -> None:
    world = draft_out(make_world, rep)
    key = read_first(world)
    if click.act:
        world.act(click.act, rep=rep, person=ANN.email, **click.arguments)
    if click.refused:
        with pytest.raises(BadInput, match=f"^{click.refused}"):
            open_task(world.office, key)
        return
    opened = open_task(world.office, key)
    assert (opened.is_draft, opened.notes) == (True, click.notes)
    (draft,) = world.mails(rep, "drafts")
    assert draft["id"] in opened.address or rep == OUTLOOK


@BOTH
def test_a_draft_is_opened_under_whatever_id_it_has_now(make_world: WorldMaker, rep: str) -> None:
    """Taken back from being scheduled it is another message; the address we know leads nowhere."""
    world = draft_out(make_world, rep)
    key = read_first(world)
    before = open_task(world.office, key).address
    world.act("rep_schedules_draft", rep=rep, person=ANN.email)
    world.act("rep_unschedules_draft", rep=rep, person=ANN.email)
    opened = open_task(world.office, key)
    assert opened.is_draft
    assert opened.address != before
    assert len(world.mails(rep, "drafts")) == 1


@BOTH
def test_a_draft_that_was_discarded_this_instant_may_be_on_its_way_to_sent(make_world: WorldMaker, rep: str) -> None:
    """Where no bin tells: made anew at once, it might go out twice."""
    world = draft_out(make_world, rep)
    key = read_first(world)
    world.act("rep_deletes_draft", rep=rep, person=ANN.email)
    if rep == GMAIL:
        with pytest.raises(Busy, match="left Drafts a moment ago"):
            open_task(world.office, key)
        world.after(minutes=5)
    opened = open_task(world.office, key)
    assert (opened.is_draft, opened.notes) == (True, ("the draft had been discarded: it was made anew",))
    assert len(world.mails(rep, "drafts")) == 1
    assert [task.stored.problem for task in world.tasks] == [None]


@BOTH
def test_a_mail_that_was_sent_is_not_opened_again(make_world: WorldMaker, rep: str) -> None:
    world = draft_out(make_world, rep)
    key = read_first(world)
    sends_as_is(world, rep)
    with pytest.raises(BadInput, match=r"^the mail to ann@bolt.example was sent on Mon 23 Nov 2026 at 08:10 UTC$"):
        open_task(world.office, key)


def test_a_compose_window_says_what_it_leaves_out(make_world: WorldMaker) -> None:
    long = "---\nsubject: Last try\nattachments: [terms.txt]\n---\n" + "A word and more. " * 200
    world = make_world(campaign=DRAFT, templates={**TEMPLATES, **AGAIN, "last.md": long, "terms.txt": "terms"})
    world.launch([ANN], rep="cy@acme.example")
    world.sync()
    opened = open_task(world.office, read_first(world))
    assert not opened.is_draft
    words, files = opened.notes
    assert words.startswith("the last ")
    assert files == "a compose window takes no files: attach terms.txt yourself"


# ------------------------------------------------------------------------------- a mailbox that may not be read


def test_without_the_right_to_read_nobody_says_what_became_of_a_draft(make_world: WorldMaker) -> None:
    world = make_world(campaign=DRAFT, templates={**TEMPLATES, **AGAIN})
    accounts = world.settings["accounts"]
    world.configure(accounts={**accounts, "google": {**accounts["google"], "read_mail": False}})
    world.launch([ANN])
    world.sync()
    key = read_first(world)
    (created,) = world.facts(EventKind.DRAFT_CREATED)
    asked = f"this mailbox may not be read: once the draft is sent, say 'connector tasks complete {key[:8]}'"
    assert created.reason == asked
    sends(world, GMAIL)
    for _ in range(3):
        look(world, hours=20)
    assert [(task.stored.state, task.stored.problem) for task in world.tasks] == [(IntentState.OPEN, asked)]
    assert told(world) == [], "neither sent nor discarded"
    opened = open_task(world.office, key)
    assert not opened.is_draft
    assert f"nobody can tell whether it was sent: 'connector tasks complete {key[:8]}' if it was" in opened.notes[0]
    end_by_hand(world.office, key, IntentEvent.COMPLETE, by="by hand")
    look(world, days=1)
    assert [mail["to"] for mail in world.effects("mail_sent") if mail["by"] == "api"] == [[ANN.email]]
