"""What happens in mailboxes and what follows: drafts sent, edited, discarded; replies, bounces, automatic answers."""

from __future__ import annotations

import pytest

from connector.events import EventKind
from connector.intents import IntentState
from connector.people import Person
from connector.store.cursors import read_cursor, save_cursor
from connector.store.intents import find_intents
from connector.store.people import read_people
from connector.sync.actions import remove, resume
from tests.world import TEMPLATES, World, WorldMaker, people

REPS = ["ana@acme.example", "bob@acme.example"]
BOTH = pytest.mark.parametrize("rep", REPS)

ANN = Person(email="ann@bolt.example", first_name="Ann", last_name="Bolt", company="Bolt")
TOM = Person(email="tom@bolt.example", first_name="Tom", last_name="Ray", company="Bolt")

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

#: A follow-up without a subject answers in the thread of the mail before it.
AGAIN = {"again.md": "---\n---\nStill there, {{first_name}}?\n"}

#: A mail is sent at once; the next one is due a day later.
MAILS = """\
name: Mails
settings: {SETTINGS}
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
  - day: 2
    steps:
      - email: {template: nudge, send: same_time_as_previous}
"""

#: A mail is sent at once; then a draft and a call wait for the rep.
MAIL_THEN_DRAFT = """\
name: Mail then draft
settings: {SETTINGS}
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
      - email: {template: last, send: task}
"""


def with_settings(campaign: str, settings: str = "") -> str:
    return campaign.replace("SETTINGS", settings)


def draft_out(make_world: WorldMaker, rep: str, campaign: str = DRAFT) -> World:
    """Return a world with one draft in the rep's mailbox."""
    world = make_world(campaign=campaign, templates={**TEMPLATES, **AGAIN})
    world.launch([ANN], rep=rep)
    report = world.sync()
    assert report.exit_status == 0, report.needs_attention
    assert len(world.mails(rep, "drafts")) == 1
    world.after(minutes=10)
    return world


def mailed(make_world: WorldMaker, rep: str, settings: str = "", campaign: str = MAILS, *more: Person) -> World:
    """Return a world in which Ann got a mail ten minutes ago."""
    world = make_world(campaign=with_settings(campaign, settings))
    world.launch([ANN, *more], rep=rep)
    report = world.sync()
    assert report.exit_status == 0, report.needs_attention
    assert len(world.effects("mail_sent")) == 1 + len(more)
    world.after(minutes=10)
    world.sync()
    return world


def state(world: World, person: Person = ANN) -> str:
    return world.enrollments[person.email].state.value


def kinds(world: World, person: Person = ANN) -> list[str]:
    return [event.kind.value for event in world.facts(*EventKind, person=person.email)]


# ------------------------------------------------------------------------------------------ drafts


@BOTH
@pytest.mark.parametrize("how", ["web", "phone", "desktop", "edited subject", "edited body", "other recipient name"])
def test_the_rep_sends_the_draft(make_world: WorldMaker, rep: str, how: str) -> None:
    """However it was edited and from wherever it was sent, the task is done, once, and the campaign moves on."""
    world = draft_out(make_world, rep)
    (task,) = world.tasks
    key = task.stored.intent.key
    if how == "edited subject":
        world.act("rep_edits_draft", key=key, subject="Quite another subject")
    elif how == "edited body":
        world.act("rep_edits_draft", key=key, body="<p>My own words</p>")
    elif how == "other recipient name":
        world.sync()
        world.act("rep_edits_draft", key=key, to=ANN.email)
    world.act("rep_sends_draft", key=key, via=how if how in ("web", "phone", "desktop") else "web")
    sent = world.now
    world.after(minutes=5)
    report = world.sync()
    assert report.pulled["drafts_sent"] == 1
    assert world.tasks == []
    completed = world.facts(EventKind.COMPLETED)
    subject = "Quite another subject" if how == "edited subject" else "Last try"
    by = "by sending the draft" + (f" with the subject '{subject}'" if how == "edited subject" else "")
    assert [(event.at, event.data["by"]) for event in completed] == [(sent, by)]
    (row,) = world.records("Task")
    assert (row["Status"], row["Subject"]) == ("Completed", f"Email: {subject}")
    # The follow-up a day later answers the mail as it was really sent, at its clock time.
    world.after(days=1)
    world.sync()
    (before, after) = world.mails(rep, "sent")
    assert after["in_reply_to"] == before["message_id"]
    assert (after["thread"], after["subject"]) == (before["thread"], f"Re: {subject}")
    assert world.facts(EventKind.SENT)[0].at == world.now
    assert state(world) == "finished"
    assert world.judge() == {"sends": 2, "drafts": 0, "tasks": 2, "all": 2}


@pytest.mark.parametrize("oddity", ["gmail_edit_drops_stamp", "gmail_edit_changes_draft_id"])
def test_gmail_oddities_of_an_edit_change_nothing(make_world: WorldMaker, oddity: str) -> None:
    world = draft_out(make_world, REPS[0])
    world.act("mail_settings", **{oddity: True})
    world.act("rep_edits_draft", person=ANN.email, body="<p>Mine</p>")
    world.after(minutes=1)
    world.sync()
    world.act("rep_sends_draft", person=ANN.email)
    world.after(minutes=1)
    world.sync()
    assert world.tasks == []
    assert kinds(world).count("completed") == 1


@BOTH
def test_an_edit_is_told_once_and_the_draft_is_never_touched(make_world: WorldMaker, rep: str) -> None:
    world = draft_out(make_world, rep)
    world.act("rep_edits_draft", person=ANN.email, body="<p>Mine</p>")
    for _ in range(3):
        world.after(minutes=1)
        world.sync()
    assert kinds(world).count("draft_edited") == 1
    (task,) = world.tasks
    assert (task.mail.state.value, task.mail.edited) == ("present", True)
    assert len(world.mails(rep, "drafts")) == 1
    assert world.effects("draft_deleted") == []


@BOTH
def test_our_own_draft_is_no_edit(make_world: WorldMaker, rep: str) -> None:
    world = draft_out(make_world, rep)
    world.sync()
    world.after(minutes=1)
    world.sync()
    assert "draft_edited" not in kinds(world)


@BOTH
def test_a_discarded_draft_leaves_the_task_open_and_says_so(make_world: WorldMaker, rep: str) -> None:
    world = draft_out(make_world, rep)
    world.act("rep_deletes_draft", person=ANN.email)
    world.after(minutes=1)
    if rep == REPS[0]:  # No bin tells that it was thrown away: it might be on its way to Sent.
        assert world.sync().pulled["drafts_discarded"] == 0
        world.after(minutes=5)
    assert world.sync().pulled["drafts_discarded"] == 1
    (task,) = world.tasks
    assert (task.stored.state, task.mail.state.value) == (IntentState.OPEN, "discarded")
    assert kinds(world)[-1] == "draft_discarded"
    world.after(minutes=1)
    world.sync()
    assert len(world.effects("draft_created")) == 1, "a discarded draft is not made again"
    assert kinds(world).count("draft_discarded") == 1


@BOTH
def test_a_scheduled_draft_is_neither_discarded_nor_sent_until_it_is(make_world: WorldMaker, rep: str) -> None:
    world = draft_out(make_world, rep)
    world.act("rep_schedules_draft", person=ANN.email, minutes=60)
    world.after(minutes=5)
    world.sync()
    assert len(world.tasks) == 1
    world.after(hours=2)
    world.sync()
    assert world.tasks == []
    assert kinds(world).count("completed") == 1


# ------------------------------------------------------------------------------------------- replies


@BOTH
def test_a_reply_ends_the_campaign_and_is_logged_once(make_world: WorldMaker, rep: str) -> None:
    world = mailed(make_world, rep, "")
    world.act("prospect_replies", person=ANN.email)
    world.after(minutes=1)
    assert world.sync().pulled["replies"] == 1
    assert state(world) == "replied"
    world.after(days=1, hours=12)
    world.sync()
    assert len(world.effects("mail_sent")) == 1
    logged = [row for row in world.records("Task") if row["Subject"].startswith("Reply: ")]
    assert [(row["Status"], row["TaskSubtype"]) for row in logged] == [("Completed", "Email")]
    sent = [row for row in world.records("Task") if row["Subject"] == "Email: Hello Ann"]
    assert [(row["Status"], row["TaskSubtype"]) for row in sent] == [("Completed", "Email")]
    assert len(world.records("Task")) == 2
    assert kinds(world).count("replied") == 1


@BOTH
def test_a_reply_read_a_second_time_changes_nothing(make_world: WorldMaker, rep: str) -> None:
    """A cursor that has expired makes the mailbox be read anew."""
    world = mailed(make_world, rep, "on_reply: continue")
    world.act("prospect_replies", person=ANN.email)
    world.after(minutes=1)
    world.sync()
    with world.database.write() as tx:
        lane = world.office.lane_of(world.rep(rep))
        now = read_cursor(tx, lane)
    world.act("prospect_writes", person="else@where.example", rep=rep, subject="Hello")
    world.after(minutes=1)
    world.sync()
    with world.database.write() as tx:
        save_cursor(tx, lane, now or "", world.now)
    world.sync()
    logged = [row for row in world.records("Task") if row["Subject"].startswith("Reply: ")]
    assert len(logged) == 1


@BOTH
def test_a_reply_cancels_what_is_pending_with_its_reason(make_world: WorldMaker, rep: str) -> None:
    """The mail is due, the mailbox has no pace left for it, and the person answers."""
    world = make_world(
        campaign=with_settings(MAILS),
        pacing={"gmail": {"per_day": 1}, "outlook": {"per_day": 1}},
    )
    world.launch([ANN], rep=rep)
    world.sync()
    world.after(hours=20)
    world.launch(people(1), rep=rep)
    assert world.sync().delivered["sent"] == 1
    world.after(hours=4)
    assert world.sync().delivered["sent"] == 0, "one a day, and it went to somebody else"
    world.act("prospect_replies", person=ANN.email)
    world.after(minutes=1)
    world.sync()
    assert state(world) == "replied"
    with world.database.read() as tx:
        (cancelled,) = find_intents(tx, states=[IntentState.CANCELLED])
    assert cancelled.intent.person == ANN.email
    assert cancelled.problem == "campaign has ended: the person replied"
    world.after(days=1, hours=12)
    world.sync()
    assert [one["to"] for one in world.effects("mail_sent")].count([ANN.email]) == 1


@BOTH
@pytest.mark.parametrize("edited", [False, True])
def test_an_end_takes_back_an_untouched_draft_and_leaves_an_edited_one(
    make_world: WorldMaker, rep: str, edited: bool
) -> None:
    world = mailed(make_world, rep, "", MAIL_THEN_DRAFT)
    assert len(world.mails(rep, "drafts")) == 1
    (task,) = world.tasks
    if edited:
        world.act("rep_edits_draft", key=task.stored.intent.key, body="<p>Mine</p>")
        world.after(minutes=1)
        world.sync()
    world.act("prospect_replies", person=ANN.email)
    world.after(minutes=1)
    report = world.sync()
    assert state(world) == "replied"
    assert len(world.mails(rep, "drafts")) == edited
    assert ("draft_left" in kinds(world)) is edited
    assert ("draft_deleted" in kinds(world)) is not edited
    assert report.delivered["drafts_deleted"] == (not edited)
    with world.database.read() as tx:
        (cancelled,) = find_intents(tx, states=[IntentState.CANCELLED])
    assert cancelled.problem == "campaign has ended: the person replied"
    rows = {row["Subject"]: row["Status"] for row in world.records("Task")}
    assert rows["Email: Last try"] == "Completed", "on_end: complete"
    assert world.tasks == []


@pytest.mark.parametrize(("on_end", "left"), [("complete", "Completed"), ("delete", None), ("leave", "Not Started")])
def test_what_becomes_of_the_open_task_of_an_ended_campaign(
    make_world: WorldMaker, on_end: str, left: str | None
) -> None:
    world = make_world(
        campaign=with_settings(MAIL_THEN_DRAFT),
        templates={**TEMPLATES, **AGAIN},
        salesforce={"on_end": on_end, "log_email": False},
    )
    world.launch([ANN], rep=REPS[0])
    world.sync()
    world.after(minutes=1)
    remove(world.office, person=ANN.email, campaign=None, rep=None)
    world.sync()
    assert [row["Status"] for row in world.records("Task")] == ([] if left is None else [left])
    world.after(minutes=1)
    world.sync()
    assert kinds(world).count("removed") == 1
    assert "task_deleted" not in kinds(world), "deleting it was our own doing"
    assert state(world) == "removed"


@BOTH
@pytest.mark.parametrize(
    ("setting", "end"),
    [("", "replied"), ("on_reply: end_as_success", "succeeded"), ("on_reply: continue", "finished")],
)
def test_the_reply_setting(make_world: WorldMaker, rep: str, setting: str, end: str) -> None:
    world = mailed(make_world, rep, setting)
    world.act("prospect_replies", person=ANN.email)
    world.after(days=1, hours=12)
    world.sync()
    assert state(world) == end
    assert len(world.effects("mail_sent")) == (2 if end == "finished" else 1)
    assert "replied" in kinds(world)


def contacts_of_one_account(world: World) -> None:
    """Ann and Tom are contacts of one account in Salesforce."""
    account = world.sandbox.salesforce.add_account(Name="Bolt")
    for person in (ANN, TOM):
        world.sandbox.salesforce.add_contact(LastName=person.last_name, Email=person.email, AccountId=account)
    world._seeded |= {ANN.email, TOM.email}


@pytest.mark.parametrize(("setting", "end"), [("same_account: end", "replied"), ("", "active")])
def test_a_reply_ends_the_others_of_the_account_if_it_should(make_world: WorldMaker, setting: str, end: str) -> None:
    world = make_world(campaign=with_settings(MAILS, setting))
    contacts_of_one_account(world)
    world.launch([ANN, TOM], rep=REPS[0])
    world.sync()
    world.after(minutes=10)
    world.act("prospect_replies", person=ANN.email)
    world.after(minutes=1)
    world.sync()
    assert (state(world, ANN), state(world, TOM)) == ("replied", end)
    if end == "replied":
        (told,) = world.facts(EventKind.REPLIED, person=TOM.email)
        assert told.reason == "ann@bolt.example, of the same account, replied"


@BOTH
def test_a_reply_from_another_address_in_the_thread(make_world: WorldMaker, rep: str) -> None:
    world = mailed(make_world, rep)
    world.act("prospect_replies", person=ANN.email, from_="assistant@bolt.example")
    world.after(minutes=1)
    world.sync()
    assert state(world) == "replied"
    (told,) = world.facts(EventKind.REPLIED)
    assert told.reason == "assistant@bolt.example replied for them"


@BOTH
def test_a_mail_out_of_the_blue_is_matched_by_address(make_world: WorldMaker, rep: str) -> None:
    world = mailed(make_world, rep)
    world.act("prospect_writes", person=ANN.email, rep=rep, subject="A question")
    world.after(minutes=1)
    world.sync()
    assert state(world) == "replied"
    (told,) = world.facts(EventKind.REPLIED)
    assert told.data["matched_by"] == "address"


@BOTH
def test_mail_from_strangers_is_nothing(make_world: WorldMaker, rep: str) -> None:
    world = mailed(make_world, rep)
    before = kinds(world)
    world.act("prospect_writes", person="stranger@else.example", rep=rep, subject="Hello")
    world.after(minutes=1)
    report = world.sync()
    assert dict(report.pulled) == {}
    assert kinds(world) == before


@BOTH
def test_mail_of_the_reps_own_is_no_reply(make_world: WorldMaker, rep: str) -> None:
    """The rep writes to the person by hand, with their other address in copy of the same mailbox."""
    world = mailed(make_world, rep)
    world.act("rep_writes_mail", rep=rep, person=ANN.email, subject="One more thing")
    world.act("rep_writes_mail", rep=rep, person=rep, subject="Note to self")
    world.after(minutes=1)
    assert dict(world.sync().pulled) == {}
    assert state(world) == "active"


@BOTH
@pytest.mark.parametrize("ignored", [True, False])
def test_out_of_office(make_world: WorldMaker, rep: str, ignored: bool) -> None:
    world = mailed(make_world, rep, "" if ignored else "ignore_out_of_office: false")
    world.act("prospect_out_of_office", person=ANN.email)
    world.after(minutes=1)
    assert world.sync().pulled["out_of_office"] == 1
    assert "out_of_office" in kinds(world)
    assert state(world) == ("active" if ignored else "replied")
    world.after(days=1, hours=12)
    world.sync()
    assert len(world.effects("mail_sent")) == (2 if ignored else 1)


# ---------------------------------------------------------------------------------- delivery reports


@BOTH
def test_a_bounce_ends_the_campaign_and_marks_the_address(make_world: WorldMaker, rep: str) -> None:
    world = mailed(make_world, rep)
    world.act("prospect_bounces", person=ANN.email)
    world.after(minutes=1)
    assert world.sync().pulled["bounces"] == 1
    assert state(world) == "bounced"
    with world.database.read() as tx:
        assert read_people(tx, [ANN.email])[ANN.email].bounced is not None
    again = world.launch([ANN], rep=rep)
    assert (again.enrolled, again.left_out[0].reason.split(" on ")[0]) == (0, "their address bounced")
    world.after(days=1, hours=12)
    world.sync()
    assert len(world.effects("mail_sent")) == 1


@BOTH
@pytest.mark.parametrize(
    ("act", "arguments", "told"),
    [
        ("prospect_bounces", {}, EventKind.BOUNCED),
        ("prospect_replies", {}, EventKind.REPLIED),
        ("prospect_writes", {"subject": "A question"}, EventKind.REPLIED),
        ("prospect_out_of_office", {}, EventKind.OUT_OF_OFFICE),
    ],
)
def test_what_comes_after_the_end_is_told_and_changes_no_state(
    make_world: WorldMaker, rep: str, act: str, arguments: dict[str, str], told: EventKind
) -> None:
    world = mailed(make_world, rep)
    remove(world.office, person=ANN.email, campaign=None, rep=None)
    world.act(act, person=ANN.email, rep=rep, **arguments)
    world.after(minutes=1)
    world.sync()
    assert [one.person for one in world.facts(told)] == [ANN.email]
    assert state(world) == "removed"


@BOTH
def test_a_bounce_that_the_campaign_does_not_act_on(make_world: WorldMaker, rep: str) -> None:
    """`remove_on_bounce: false` goes on, and the next mail is sent all the same."""
    world = mailed(make_world, rep, "remove_on_bounce: false")
    world.act("prospect_bounces", person=ANN.email)
    world.after(minutes=1)
    world.sync()
    assert state(world) == "active"
    world.after(days=1, hours=12)
    world.sync()
    assert len(world.effects("mail_sent")) == 2


@BOTH
def test_a_delay_is_no_bounce(make_world: WorldMaker, rep: str) -> None:
    world = mailed(make_world, rep)
    world.act("prospect_bounces", person=ANN.email, outcome="delayed")
    world.after(minutes=1)
    world.sync()
    assert (state(world), "delayed" in kinds(world)) == ("active", True)
    world.after(days=1, hours=12)
    world.sync()
    assert len(world.effects("mail_sent")) == 2
    assert state(world) == "finished"


# ---------------------------------------------------------------------------------------- unclassified


def unclassified(make_world: WorldMaker, rep: str) -> World:
    """Somebody of the rep's own company answers in the thread: neither the prospect, nor surely for them."""
    world = mailed(make_world, rep)
    world.act("prospect_replies", person=ANN.email, from_="colleague@acme.example")
    world.after(minutes=1)
    assert world.sync().pulled["unclassified"] == 1
    return world


@BOTH
def test_a_mail_nobody_can_classify_holds_the_next_automatic_send(make_world: WorldMaker, rep: str) -> None:
    world = unclassified(make_world, rep)
    assert state(world) == "active"
    world.after(days=1)
    report = world.sync()
    assert len(world.effects("mail_sent")) == 1
    assert report.exit_status == 1
    (held,) = world.tasks
    assert held.stored.state is IntentState.HELD
    assert "could not be classified" in (held.stored.problem or "")
    resume(world.office, person=ANN.email, campaign=None, rep=None)
    report = world.sync()
    assert report.exit_status == 0
    assert len(world.effects("mail_sent")) == 2
    assert state(world) == "finished"


def test_a_held_person_can_be_removed(make_world: WorldMaker) -> None:
    world = unclassified(make_world, REPS[0])
    world.after(days=1)
    world.sync()
    remove(world.office, person=ANN.email, campaign=None, rep=None)
    assert world.tasks == []
    assert world.sync().exit_status == 0
    assert len(world.effects("mail_sent")) == 1


def test_a_look_of_several_pages_is_read_in_one_pass(make_world: WorldMaker) -> None:
    world = mailed(make_world, "ana@acme.example")
    world.act("prospect_replies", person=ANN.email)
    for number in range(120):
        world.act(
            "prospect_writes",
            rep="ana@acme.example",
            person=f"news{number}@letters.example",
            subject="News",
            text="News.",
        )
    world.act("gmail_expires_history")
    world.after(minutes=5)
    report = world.sync()
    assert report.as_json()["pulled"]["replies"] == 1, "the oldest mail lies on the last page"
