"""What the Outlook adapter sees arrive in the sandbox: in any folder, told once, at what cost."""

from datetime import timedelta

import pytest
from outlook_world import a_mail, keys, outlook_sandbox

from adapters.outlook import messages
from adapters.sandbox.mailbox import Place
from connector.inbox.classify import MailKind, classify
from connector.ports import Address, DraftGone, MailSent


@pytest.fixture(scope="module")
def sandbox():
    with outlook_sandbox() as running:
        yield running


def test_a_mailbox_with_many_changes_tells_each_once(sandbox, office):
    box = office("busy@acme.example")
    cursor = box.pull_mail(None).cursor
    for number in range(9):
        sandbox.act("prospect_writes", person=f"p{number}@north.example", rep="busy@acme.example", subject=f"{number}")
    before = box.calls
    pull = box.pull_mail(cursor)
    assert [change.subject for change in pull.changes] == [str(number) for number in range(9)]
    assert box.calls == before + 4  # the deltas, and nine mails by fours
    assert box.pull_mail(pull.cursor).changes == ()


@pytest.mark.parametrize("folder", ["archive", "trash"])
def test_a_reply_that_a_rule_moves_is_told_once_and_costs_nothing_after(sandbox, office, folder):
    rep = f"{folder}@acme.example"
    box = office(rep)
    cursor = box.pull_mail(None).cursor
    sandbox.act("rep_makes_rule", rep=rep, folder=folder)
    sandbox.act("prospect_writes", person="ann@north.example", rep=rep, subject="Moved")
    pull = box.pull_mail(cursor)
    assert [change.subject for change in pull.changes] == ["Moved"]
    for minutes in (0, 1, 20):
        sandbox.clock.advance(timedelta(minutes=minutes))
        before = box.calls
        pull = box.pull_mail(pull.cursor)
        assert (pull.changes, box.calls) == ((), before + 1)


@pytest.mark.parametrize("place", [Place.INBOX, Place.ARCHIVE])
def test_junk_is_passed_over_until_it_is_rescued(sandbox, office, place):
    rep = f"junk.{place}@acme.example"
    box = office(rep)
    cursor = box.pull_mail(None).cursor
    sandbox.act("rep_makes_rule", rep=rep, folder="spam")
    sandbox.act("prospect_writes", person="ann@north.example", rep=rep, subject="Not junk")
    pull = box.pull_mail(cursor)
    assert pull.changes == ()
    sandbox.clock.advance(timedelta(minutes=1))
    world = sandbox.world
    with world.lock:
        (mail,) = world.boxes[rep].at(Place.SPAM)
        world.move(world.boxes[rep], mail, place)
    assert [change.subject for change in box.pull_mail(pull.cursor).changes] == ["Not junk"]


def test_what_its_rep_sent_and_put_into_the_inbox_was_sent(sandbox, office):
    rep = "keeps@acme.example"
    box, world = office(rep), sandbox.world
    cursor = box.pull_mail(None).cursor
    sandbox.act("rep_writes_mail", rep=rep, person="ann@north.example", subject="By hand")
    with world.lock:
        (mail,) = world.boxes[rep].at(Place.SENT)
        world.move(world.boxes[rep], mail, Place.INBOX)
    (change,) = box.pull_mail(cursor).changes
    assert isinstance(change, MailSent)
    assert change.mail.subject == "By hand"


@pytest.mark.parametrize("answer", ["accepted", "declined", "tentative"])
def test_an_answer_to_an_invitation_is_no_reply(sandbox, office, answer):
    rep = f"{answer}@acme.example"
    box = office(rep)
    sandbox.act("rep_writes_mail", rep=rep, person="ann@north.example", subject="Let us meet")
    cursor = box.pull_mail(None).cursor
    sandbox.act("prospect_answers_invitation", rep=rep, person="ann@north.example", answer=answer)
    (change,) = box.pull_mail(cursor).changes
    assert b"METHOD:REPLY" in change.raw
    assert classify(change, own=frozenset({rep})).kind is MailKind.CALENDAR_OR_RECEIPT


def test_a_draft_that_is_scheduled_where_it_lies_is_gone_and_comes_back_as_edited(sandbox, office):
    box, rep = office("later@acme.example"), "later@acme.example"
    sandbox.act("mail_settings", outlook_schedules_in_drafts=True)
    mail = a_mail(key=next(keys), sender=Address(email=rep))
    draft = box.create_draft(mail)
    cursor = box.pull_mail(None).cursor
    sandbox.clock.advance(timedelta(minutes=1))
    sandbox.act("rep_schedules_draft", key=mail.key)
    pull = box.pull_mail(cursor)
    assert pull.changes == (DraftGone(provider_id=draft.draft_id, thread_id=draft.thread_id),)
    sandbox.act("rep_unschedules_draft", key=mail.key)
    (saved,) = box.pull_mail(pull.cursor).changes
    assert (saved.key, saved.edited) == (mail.key, True)


def test_an_answer_from_the_own_organisation_is_known_by_its_type():
    """It has come by no server, and Exchange wrote no MIME for it."""
    inside = {
        "@odata.type": "#microsoft.graph.eventMessageResponse",
        "id": "R",
        "subject": "Accepted: Hello",
        "from": {"emailAddress": {"address": "eva@acme.example"}},
        "receivedDateTime": "2026-11-24T08:40:00Z",
    }
    assert messages.looks_like_report(inside)
    assert classify(messages.received_mail(inside), own=frozenset()).kind is MailKind.CALENDAR_OR_RECEIPT
