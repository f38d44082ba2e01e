"""What a rep writes in the compose window, and has placed or sent: once, in both mailboxes, on both databases."""

from __future__ import annotations

import email
import email.policy
from datetime import timedelta
from typing import Any

import pytest

from connector.content.written import Written
from connector.errors import BadInput
from connector.events import EventKind
from connector.intents import IntentEvent, IntentState, intent_key
from connector.people import Person
from connector.store.compositions import Composition, read_compositions, save_composition
from connector.store.intents import read_intents, reassign_intent
from connector.store.mails import MailAction, MailState, StoredMail, read_mails
from connector.sync.actions import end_by_hand, pause, remove, resume
from connector.sync.asking import EditedThere, call_off, deliver, save_as_draft, send
from connector.sync.composing import ChangedElsewhere, Standing, Text, Window, look, save, switch_template
from connector.sync.opening import open_task
from connector.sync.previewing import preview
from tests.web.site import key_of
from tests.world import ANA, BOB, World, WorldMaker

GMAIL, OUTLOOK = ANA["email"], BOB["email"]
PERSON = Person(email="pat@client.example", first_name="Pat", last_name="Doe", company="O'Brien & Sons, Inc.")
DRAFT = """\
name: Draft
days:
  - day: 1
    steps:
      - email: {template: intro, send: task}
  - day: 3
    steps:
      - email: {template: nudge, send: task, follow_up: true}
"""
TEMPLATES = {
    "intro.md": "---\nsubject: Hello {{first_name}}\n---\nHi {{first_name}}, how is {{company}}?\n",
    "nudge.md": "Still there, {{first_name}}?\n",
    "last.md": "---\nsubject: Last try\n---\nDear {{first_name}}, {{! add a line of your own }}\n",
    "fields.md": "---\nsubject: Fields\n---\n{{custom.colour}} {{phone | default: 'no phone'}} {{sfdc.Rating}}\n",
}
MINE = Text(subject="My own words", body="Dear Pat,\n\nthis is **mine**.")
both_mailboxes = pytest.mark.parametrize("rep", [GMAIL, OUTLOOK])


def drafted(make_world: WorldMaker, rep: str, **options: Any) -> tuple[World, str]:
    """Return a world with one draft in a rep's mailbox, and its key."""
    world = make_world(campaign=DRAFT, templates=TEMPLATES, **options)
    world.launch([PERSON], rep=rep)
    assert world.sync().exit_status == 0
    world.after(minutes=10)
    with world.database.read() as tx:
        enrollment = next(iter(world.enrollments.values()))
        assert enrollment.intent in read_mails(tx, [enrollment.intent or ""])
    return world, enrollment.intent or ""


def mail_of(world: World, key: str) -> StoredMail:
    with world.database.read() as tx:
        return read_mails(tx, [key])[key]


def state_of(world: World, key: str) -> IntentState:
    with world.database.read() as tx:
        return read_intents(tx, [key])[key].state


def seen(world: World, key: str) -> Window:
    return look(world.office, world.project.templates, key)


def html_in(world: World, rep: str, place: str) -> str:
    """Return the HTML of the one mail that lies there."""
    (mail,) = [one for one in world.sandbox.world.box_of(rep).mails.values() if one.place == place]
    message = email.message_from_bytes(mail.raw, policy=email.policy.default)
    body = message.get_body(("html",))
    assert body is not None
    return str(body.get_content())


def asked(world: World, key: str, text: Text = MINE, **options: Any) -> None:
    """Ask for a mail to be sent, now unless said otherwise."""
    send(world.office, key, text, **{"at": None, "version": None, "by": "ana", **options})


@both_mailboxes
def test_a_mail_sent_now_goes_out_once_as_it_was_written_and_its_draft_is_gone(
    make_world: WorldMaker, database_url: str, rep: str
) -> None:
    world, key = drafted(make_world, rep, database_url=database_url)
    assert seen(world, key).standing is Standing.IN_DRAFTS
    asked(world, key)
    assert deliver(world.office, key) == []
    assert world.mails(rep, "drafts") == []
    (mail,) = world.mails(rep, "sent")
    assert mail["subject"] == "My own words"
    assert "<strong>mine</strong>" in html_in(world, rep, "sent")
    assert state_of(world, key) is IntentState.COMPLETED
    assert len(world.effects("mail_sent")) == 1
    world.sync()
    world.after(days=3)
    world.sync()
    follow_up = next(iter(world.enrollments.values())).intent or ""
    letter = seen(world, follow_up).letter
    assert letter is not None
    assert letter.subject == "Re: My own words"
    assert "this is mine" in letter.quote, "what it quotes is what was written"
    statuses = [task["Status"] for task in world.records("Task") if task["Subject"] == "Email: My own words"]
    assert statuses == ["Completed"]
    world.replay()


@both_mailboxes
def test_a_scheduled_mail_goes_out_at_its_time_and_not_before(make_world: WorldMaker, rep: str) -> None:
    world, key = drafted(make_world, rep)
    asked(world, key, at=world.now + timedelta(days=2))
    world.sync()
    assert world.mails(rep, "drafts") == [] == world.mails(rep, "sent")
    assert state_of(world, key) is IntentState.OPEN
    assert seen(world, key).standing is Standing.TO_SEND
    with pytest.raises(BadInput, match="waits to be sent"):
        open_task(world.office, key)
    assert deliver(world.office, key) == []
    world.after(days=1, hours=23)
    world.sync()
    assert world.mails(rep, "sent") == []
    world.after(hours=2)
    world.sync()
    assert [mail["subject"] for mail in world.mails(rep, "sent")] == ["My own words"]
    assert state_of(world, key) is IntentState.COMPLETED
    assert seen(world, key).standing is Standing.SENT


@both_mailboxes
def test_a_saved_text_takes_the_place_of_the_draft(make_world: WorldMaker, rep: str) -> None:
    world, key = drafted(make_world, rep)
    save_as_draft(world.office, key, MINE, version=None, by="ana")
    assert seen(world, key).standing is Standing.CHANGING
    assert deliver(world.office, key) == []
    (draft,) = world.mails(rep, "drafts")
    assert draft["subject"] == "My own words"
    assert not mail_of(world, key).edited
    world.act("rep_sends_draft", key=key)
    world.after(minutes=2)
    world.sync()
    assert state_of(world, key) is IntentState.COMPLETED
    assert len(world.effects("mail_sent")) == 1


@both_mailboxes
def test_a_draft_edited_in_the_mail_program_is_not_overwritten_until_somebody_chooses(
    make_world: WorldMaker, rep: str
) -> None:
    world, key = drafted(make_world, rep)
    world.act("rep_edits_draft", key=key, subject="Edited there")
    # Not read yet: it is seen when the draft is to be taken away.
    asked(world, key)
    deliver(world.office, key)
    assert [mail["subject"] for mail in world.mails(rep, "drafts")] == ["Edited there"]
    assert world.mails(rep, "sent") == []
    window = seen(world, key)
    assert window.edited_there
    assert "choose" in (window.stored.problem or "")
    with pytest.raises(EditedThere):
        asked(world, key)
    asked(world, key, over_edits=True)
    deliver(world.office, key)
    assert [mail["subject"] for mail in world.mails(rep, "sent")] == ["My own words"]
    assert world.mails(rep, "drafts") == []
    assert state_of(world, key) is IntentState.COMPLETED


@both_mailboxes
def test_a_draft_that_is_being_sent_there_is_not_sent_here_too(make_world: WorldMaker, rep: str) -> None:
    world, key = drafted(make_world, rep)
    world.act("mail_settings", gmail_send_delay=30, outlook_sent_delay=30)
    world.act("rep_sends_draft", key=key)
    asked(world, key)
    deliver(world.office, key)
    world.after(seconds=90)
    deliver(world.office, key)
    world.after(minutes=10)
    world.sync()
    assert len(world.mails(rep, "sent")) == len(world.effects("mail_sent")) == 1
    assert [mail["subject"] for mail in world.mails(rep, "sent")] == ["Hello Pat"]
    assert state_of(world, key) is IntentState.COMPLETED


def _complete(world: World, key: str) -> None:
    end_by_hand(world.office, key, IntentEvent.COMPLETE, by="by hand")


def _skip(world: World, key: str) -> None:
    end_by_hand(world.office, key, IntentEvent.SKIP, by="by hand")


def _remove(world: World, _key: str) -> None:
    remove(world.office, person=PERSON.email, campaign=None, rep=None)


def _close_in_crm(world: World, key: str) -> None:
    world.act("rep_closes_task", key=key)
    world.sync()


@pytest.mark.parametrize(
    ("close", "placed"),
    [(_complete, True), (_complete, False), (_skip, True), (_remove, True), (_remove, False), (_close_in_crm, False)],
)
def test_a_task_that_ends_meanwhile_takes_its_scheduled_mail_along(
    make_world: WorldMaker, close: Any, *, placed: bool
) -> None:
    world, key = drafted(make_world, GMAIL)
    asked(world, key, at=world.now + timedelta(hours=5))
    if not placed:
        deliver(world.office, key)
    close(world, key)
    world.after(hours=6)
    world.sync()
    world.sync()
    assert world.mails(GMAIL, "sent") == world.mails(GMAIL, "drafts") == []
    assert state_of(world, key) in (IntentState.COMPLETED, IntentState.SKIPPED, IntentState.CANCELLED)


def test_a_scheduled_mail_that_is_called_off_is_a_draft_again(make_world: WorldMaker) -> None:
    world, key = drafted(make_world, GMAIL)
    asked(world, key, at=world.now + timedelta(hours=5))
    deliver(world.office, key)
    call_off(world.office, key, by="ana")
    deliver(world.office, key)
    assert [mail["subject"] for mail in world.mails(GMAIL, "drafts")] == ["My own words"]
    world.after(hours=6)
    world.sync()
    assert world.mails(GMAIL, "sent") == []
    assert state_of(world, key) is IntentState.OPEN
    assert world.facts(EventKind.SEND_CALLED_OFF)[-1].reason == "ana called it off"


def test_a_pause_gives_a_scheduled_mail_back(make_world: WorldMaker) -> None:
    world, key = drafted(make_world, GMAIL)
    asked(world, key, at=world.now + timedelta(hours=5))
    deliver(world.office, key)
    pause(world.office, person=PERSON.email, campaign=None, rep=None)
    world.after(hours=6)
    world.sync()
    assert world.mails(GMAIL, "sent") == world.mails(GMAIL, "drafts") == []
    assert "paused" in (seen(world, key).stored.problem or "")
    resume(world.office, person=PERSON.email, campaign=None, rep=None)
    world.sync()
    assert world.mails(GMAIL, "sent") == []
    assert [mail["subject"] for mail in world.mails(GMAIL, "drafts")] == ["My own words"]
    assert state_of(world, key) is IntentState.OPEN


def test_a_day_limit_counts_what_reps_have_sent(make_world: WorldMaker) -> None:
    world, key = drafted(make_world, GMAIL, pacing={"gmail": {"per_day": 1}})
    world.launch([Person(email="other@client.example", first_name="Oz")], rep=GMAIL)
    world.sync()
    other = key_of(world, "other@client.example")
    asked(world, key)
    deliver(world.office, key)
    asked(world, other)
    deliver(world.office, other)
    assert len(world.mails(GMAIL, "sent")) == 1
    world.after(days=1)
    world.sync()
    assert len(world.mails(GMAIL, "sent")) == 2
    assert world.mails(GMAIL, "drafts") == []


#: What stops a send, and how that is said.
IN_THE_WAY = (
    (Text(subject="", body="Hello"), "no subject"),
    (Text(subject="Hello {{first_name}}", body="Hello"), "the field 'first_name' has no value"),
    (Text(subject="Hello", body="{{! add a line }}"), "the field prompt 'add a line' was not replaced"),
    (Text(subject="Hello", body="{{ custom.colour }}"), "the field 'custom.colour' has no value"),
    (Text(subject="Hello", body="Hi", attachments=("../connector.yaml",)), "not beside the templates"),
)


def test_what_is_missing_stops_a_send(make_world: WorldMaker) -> None:
    world, key = drafted(make_world, GMAIL)
    for text, why in IN_THE_WAY:
        with pytest.raises(BadInput, match=why):
            asked(world, key, text)
    assert mail_of(world, key).state is MailState.PRESENT


def test_what_is_missing_may_be_kept(make_world: WorldMaker) -> None:
    world, key = drafted(make_world, GMAIL)
    save(world.office, key, Text(subject="", body="{{! add a line }}"), version=0, by="ana")
    window = seen(world, key)
    assert window.written.prompts == ("add a line",)
    assert [mail["subject"] for mail in world.mails(GMAIL, "drafts")] == ["Hello Pat"], "nothing went out"


def test_a_version_that_was_not_seen_is_not_written_over(make_world: WorldMaker) -> None:
    world, key = drafted(make_world, GMAIL)
    first = save(world.office, key, MINE, version=0, by="ana@acme.example")
    save(world.office, key, Text(subject="Newer", body="Hello"), version=first.version, by="bob@acme.example")
    with pytest.raises(ChangedElsewhere) as told:
        save(world.office, key, MINE, version=first.version, by="ana@acme.example")
    assert told.value.by == "bob@acme.example"
    with pytest.raises(ChangedElsewhere):
        asked(world, key, version=first.version)
    assert seen(world, key).written.subject == "Newer"
    save(world.office, key, MINE, version=None, by="ana@acme.example")
    assert seen(world, key).written.subject == "My own words"


def test_another_template_replaces_everything_and_says_where_its_fields_come_from(make_world: WorldMaker) -> None:
    world, key = drafted(make_world, GMAIL)
    save(world.office, key, MINE, version=0, by="ana")
    switch_template(world.office, world.project.templates, key, "fields", version=None, by="ana")
    window = seen(world, key)
    assert (window.template, window.written.subject) == ("fields", "Fields")
    assert window.written.missing == ("custom.colour", "sfdc.Rating")
    assert {one.path: one.source.value for one in window.fields} == {
        "custom.colour": "missing",
        "phone": "fallback",
        "sfdc.Rating": "missing",
    }


def test_a_task_that_lacks_a_field_goes_on_when_it_is_written(make_world: WorldMaker) -> None:
    world = make_world(campaign=DRAFT.replace("template: intro", "template: fields"), templates=TEMPLATES)
    world.launch([PERSON], rep=GMAIL)
    world.sync()
    key = next(iter(world.enrollments.values())).intent or ""
    assert state_of(world, key) is IntentState.BLOCKED
    window = seen(world, key)
    assert window.standing is Standing.WAITS
    text = Text(subject="Fields", body=window.written.body.replace("{{custom.colour}}", "blue"))
    save_as_draft(world.office, key, text, version=0, by="ana")
    world.sync()
    assert state_of(world, key) is IntentState.OPEN
    (draft,) = world.mails(GMAIL, "drafts")
    assert draft["subject"] == "Fields"
    assert "blue no phone" in html_in(world, GMAIL, "drafts")


def test_what_is_written_for_an_email_ahead_is_what_it_says_when_its_time_comes(make_world: WorldMaker) -> None:
    campaign = DRAFT.replace("template: intro, send: task", "template: intro, send: choose_at_launch")
    world = make_world(campaign=campaign, templates=TEMPLATES)
    world.launch([PERSON], rep=GMAIL, start=world.now + timedelta(hours=1))
    (enrollment,) = world.enrollments.values()
    key = intent_key(enrollment.id, enrollment.version, 1, 1)
    with world.database.write() as tx:
        save_composition(
            tx,
            Composition(
                key=key,
                enrollment=enrollment.id,
                template="intro",
                written=Written(format="md", subject=MINE.subject, body=MINE.body),
                version=1,
                updated=world.now,
                by=GMAIL,
            ),
        )
    world.after(hours=2)
    world.sync()
    assert [mail["subject"] for mail in world.mails(GMAIL, "sent")] == ["My own words"]
    assert state_of(world, key) is IntentState.SENT
    with world.database.read() as tx:
        assert read_compositions(tx, [key])[key].send_at is None
    assert mail_of(world, key).action is MailAction.SEND


def test_a_task_that_changes_hands_takes_its_scheduled_mail_back(make_world: WorldMaker) -> None:
    world, key = drafted(make_world, GMAIL)
    asked(world, key, at=world.now + timedelta(hours=5))
    deliver(world.office, key)
    with world.database.write() as tx:
        reassign_intent(tx, key, "cy@acme.example")  # whose mailbox holds no drafts
    world.after(hours=6)
    world.sync()
    assert world.mails(GMAIL, "sent") == []
    assert state_of(world, key) is IntentState.OPEN
    assert world.facts(EventKind.SEND_CALLED_OFF)[-1].reason == "its task went to another rep"


def test_a_mail_that_waits_for_its_turn_says_what_was_written_meanwhile(
    make_world: WorldMaker, database_url: str
) -> None:
    campaign = DRAFT.replace("template: intro, send: task", "template: intro, send: choose_at_launch")
    pace = {"gmail": {"per_day": 1}}
    world = make_world(campaign=campaign, templates=TEMPLATES, pacing=pace, database_url=database_url)
    world.launch([Person(email="first@client.example"), PERSON], rep=GMAIL)
    world.sync()
    with world.database.read() as tx:
        (key,) = [one.key for one in read_mails(tx, keys_of(world)).values() if one.state is MailState.WANTED]
    assert seen(world, key).standing is Standing.TO_SEND
    save_as_draft(world.office, key, MINE, version=0, by="ana")
    with pytest.raises(BadInput, match="the field prompt"):
        asked(world, key, Text(subject="Hello", body="{{! add a line }}"))
    world.after(days=1)
    world.sync()
    assert [mail["subject"] for mail in world.mails(GMAIL, "sent") if mail["key"] == key] == ["My own words"]
    assert state_of(world, key) is IntentState.SENT


def keys_of(world: World) -> list[str]:
    return [one.intent or "" for one in world.enrollments.values()]


def test_the_preview_is_the_mail(make_world: WorldMaker) -> None:
    world, key = drafted(make_world, GMAIL)
    save(world.office, key, Text(subject="Hello", body="*Hi* <script>alert(1)</script>"), version=0, by="ana")
    assert "<em>Hi</em>" in preview(world.office, key)
    assert "script" not in preview(world.office, key)
