"""One contract, held against every registered mailbox adapter: what happened in a mailbox."""

from __future__ import annotations

from datetime import timedelta

from mailbox_contract import needs, send

from connector.ports import DraftGone, DraftSaved, MailReceived, MailSent


def test_a_pull_with_nothing_to_tell_is_one_call(harness):
    needs(harness, "incoming")
    pull = harness.mailbox.pull_mail(None)
    assert pull.changes == ()
    before = harness.mailbox.calls
    for _ in range(2):
        pull = harness.mailbox.pull_mail(pull.cursor)
        assert (pull.changes, pull.resynced) == ((), False)
    assert harness.mailbox.calls == before + 2


def test_what_was_there_before_the_first_pull_is_not_news(harness):
    needs(harness, "incoming")
    harness.act("prospect_writes", person=harness.person, subject="Old")
    cursor = harness.mailbox.pull_mail(None).cursor
    harness.act("prospect_writes", person=harness.person, subject="New")
    (change,) = harness.mailbox.pull_mail(cursor).changes
    assert isinstance(change, MailReceived)
    assert change.subject == "New"


def test_a_draft_that_the_rep_edits_and_sends_is_seen_in_sent(harness):
    needs(harness, "drafts", "incoming")
    mail = harness.mail()
    ref = harness.mailbox.create_draft(mail)
    cursor = harness.mailbox.pull_mail(None).cursor
    harness.act("rep_edits_draft", key=mail.key, subject="My own words", body="<p>Quite another text</p>")
    edited = harness.mailbox.pull_mail(cursor)
    saved = [change for change in edited.changes if isinstance(change, DraftSaved)]
    assert [(change.draft.draft_id, change.key) for change in saved] == [(ref.draft_id, mail.key)]
    harness.act("rep_sends_draft", key=mail.key)
    changes = harness.mailbox.pull_mail(edited.cursor).changes
    (sent,) = (change.mail for change in changes if isinstance(change, MailSent))
    assert (sent.key, sent.subject, sent.to) == (mail.key, "My own words", (harness.person,))
    assert sent.internet_message_id == harness.lying_in("sent")[0].head.message_id


def test_a_draft_that_the_rep_discards_is_seen_to_be_gone(harness):
    needs(harness, "drafts", "incoming")
    mail = harness.mail()
    ref = harness.mailbox.create_draft(mail)
    cursor = harness.mailbox.pull_mail(None).cursor
    harness.act("rep_deletes_draft", key=mail.key)
    gone = [change for change in harness.mailbox.pull_mail(cursor).changes if isinstance(change, DraftGone)]
    assert [change.provider_id for change in gone] == [ref.provider_id]


def test_a_reply_is_seen_with_what_it_answers(harness):
    needs(harness, "drafts", "sends", "incoming")
    mail, _, sent = send(harness)
    cursor = harness.mailbox.pull_mail(None).cursor
    harness.act("prospect_replies", key=mail.key, person=harness.person, text="Yes & gladly, on Monday.")
    (reply,) = harness.mailbox.pull_mail(cursor).changes
    assert isinstance(reply, MailReceived)
    assert (reply.sender.email, reply.in_reply_to) == (harness.person, sent.internet_message_id)
    assert sent.internet_message_id in reply.references
    assert reply.thread_id == sent.thread_id
    assert "Yes & gladly" in reply.text
    assert reply.raw is None
    assert all(name == name.lower() for name in reply.headers)


def test_a_delivery_report_comes_whole(harness):
    needs(harness, "drafts", "sends", "incoming")
    mail, _, sent = send(harness)
    cursor = harness.mailbox.pull_mail(None).cursor
    harness.act("prospect_bounces", key=mail.key)
    (report,) = harness.mailbox.pull_mail(cursor).changes
    assert isinstance(report, MailReceived)
    assert b"message/delivery-status" in report.raw
    assert sent.internet_message_id.encode() in report.raw


def test_an_expired_cursor_loses_nothing(harness):
    needs(harness, "drafts", "sends", "incoming")
    cursor = harness.mailbox.pull_mail(None).cursor
    mail, _, sent = send(harness)
    harness.act("prospect_replies", key=mail.key, person=harness.person)
    harness.clock.advance(timedelta(days=20))
    harness.expire_cursor()
    pull = harness.mailbox.pull_mail(cursor)
    assert pull.resynced
    kinds = {type(change) for change in pull.changes}
    assert {MailSent, MailReceived} <= kinds
    harness.act("prospect_writes", person=harness.person, subject="Later")
    (later,) = harness.mailbox.pull_mail(pull.cursor).changes
    assert (later.subject, harness.mailbox.pull_mail(pull.cursor).resynced) == ("Later", False)
    assert sent.provider_id in {change.mail.provider_id for change in pull.changes if isinstance(change, MailSent)}
