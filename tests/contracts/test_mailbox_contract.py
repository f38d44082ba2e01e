"""One contract, held against every registered mailbox adapter."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from mailbox_contract import CRMS, REGISTERED, needs, send

from adapters.sandbox.letter import open_letter
from connector.errors import OutcomeUnknown, Reconnect, Refused, Retry, Unsupported
from connector.ports import (
    Attachment,
    DraftRef,
    Thread,
    Whereabouts,
)

# ------------------------------------------------------------------------------------------ the adapter


def test_the_crms_left_out_here_are_no_mailboxes():
    for name in CRMS:
        assert not hasattr(REGISTERED[name].load(), "open_mailbox")


def test_capabilities_name_the_adapter(harness):
    assert harness.adapter.capabilities.name == harness.name == harness.mailbox.capabilities.name
    assert (harness.adapter.account_name is None) == (harness.adapter.account_model is None)


def test_opening_calls_nobody(harness):
    assert harness.mailbox.calls == 0


def test_what_the_capabilities_deny_is_refused_with_a_sentence(harness):
    capabilities, mail = harness.mailbox.capabilities, harness.mail()
    draft = DraftRef(draft_id="none")
    denied = []
    if not capabilities.drafts:
        denied += [lambda: harness.mailbox.create_draft(mail), lambda: harness.mailbox.draft_address(draft)]
    if not capabilities.sends:
        denied.append(lambda: harness.mailbox.send_draft(draft, mail.key))
    if not denied:
        pytest.skip(f"{harness.name}: its capabilities deny neither drafts nor sending")
    for call in denied:
        with pytest.raises(Unsupported, match=harness.rep.email):
            call()
    assert harness.mailbox.calls == 0


def test_a_mailbox_that_sees_nothing_says_so_without_a_call(harness):
    if harness.mailbox.capabilities.incoming:
        pytest.skip(f"{harness.name}: it sees incoming mail")
    assert harness.mailbox.find(harness.trace(harness.mail())).where is Whereabouts.UNCLEAR
    pull = harness.mailbox.pull_mail(None)
    assert pull.changes == ()
    assert harness.mailbox.pull_mail(pull.cursor).changes == ()
    assert harness.mailbox.calls == 0


def test_a_wrong_token_asks_to_reconnect_this_mailbox(harness):
    needs(harness, "incoming")
    with pytest.raises(Reconnect) as raised:
        harness.open(harness.sandbox.url, good=False).pull_mail(None)
    assert raised.value.account == f"{harness.name}:{harness.rep.email}"
    assert "wrong-token" not in str(raised.value)


def test_an_unreachable_service_is_tried_again_even_for_a_draft(harness):
    needs(harness, "drafts", "incoming")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    mailbox = harness.open(f"http://127.0.0.1:{port}")
    with pytest.raises(Retry):
        mailbox.pull_mail(None)
    with pytest.raises(Retry):
        mailbox.create_draft(harness.mail())


# -------------------------------------------------------------------------------------------- drafts


def test_a_draft_has_recipient_subject_body_and_stamp(harness):
    needs(harness, "drafts")
    mail = harness.mail(subject="Grüße aus Sevilla: 50 % für Sie")
    ref = harness.mailbox.create_draft(mail)
    (stored,) = harness.lying_in("drafts")
    assert ref.draft_id
    assert (stored.head.recipients, stored.head.subject, stored.stamp) == ((mail.to.email,), mail.subject, mail.key)
    assert b"shall we talk" in stored.raw
    assert stored.raw.count(b"<b>") == 1


def test_a_draft_can_be_opened_until_it_is_gone(harness):
    needs(harness, "drafts")
    mail = harness.mail()
    ref = harness.mailbox.create_draft(mail)
    assert harness.mailbox.draft_address(ref).startswith("https://")
    harness.act("rep_edits_draft", key=mail.key, body="<p>Better words</p>")
    assert harness.mailbox.draft_address(ref).startswith("https://")
    harness.mailbox.delete_draft(ref)
    with pytest.raises(Refused) as raised:
        harness.mailbox.draft_address(ref)
    assert raised.value.code == "draft_gone"


def test_deleting_a_draft_twice_is_fine(harness):
    needs(harness, "drafts")
    ref = harness.mailbox.create_draft(harness.mail())
    harness.mailbox.delete_draft(ref)
    harness.mailbox.delete_draft(ref)
    assert harness.lying_in("drafts") == []


def test_several_drafts_are_placed_each_as_one_would_be_in_order(harness):
    needs(harness, "drafts")
    capabilities = harness.mailbox.capabilities
    mails = [harness.mail(subject=f"Mail {number}") for number in range(capabilities.drafts_at_once)]
    drafts = harness.mailbox.create_drafts(mails)
    assert harness.mailbox.calls == 1
    stored = {stored.stamp: (stored.id, stored.second_id, stored.head.subject) for stored in harness.lying_in("drafts")}
    assert len(stored) == len(drafts) == len(mails)
    for mail, draft in zip(mails, drafts, strict=True):
        assert draft.draft_id in stored[mail.key][:2]
        assert stored[mail.key][2] == mail.subject


def test_a_draft_with_a_file_carries_it_whole(harness):
    needs(harness, "drafts")
    file = Attachment(name="Angebot für Sie.bin", media_type="application/octet-stream", content=bytes(range(256)) * 9)
    mail = replace(harness.mail(), attachments=(file,))
    harness.mailbox.create_draft(mail)
    (stored,) = harness.lying_in("drafts")
    (enclosed,) = open_letter(stored.raw).enclosures
    assert (enclosed.name, enclosed.content) == (file.name, file.content)


def test_more_than_a_mailbox_takes_is_refused_with_a_sentence(harness):
    needs(harness, "drafts")
    limit = harness.mailbox.capabilities.attachment_bytes
    file = Attachment(name="a.bin", media_type="application/octet-stream", content=bytes(limit + 1))
    with pytest.raises(Unsupported, match=f"{limit // 1_000_000} MB"):
        harness.mailbox.create_draft(replace(harness.mail(), attachments=(file,)))
    assert harness.mailbox.calls == 0


# ------------------------------------------------------------------------------------------- look-ups


def test_a_draft_is_found_by_its_id_and_by_its_stamp(harness):
    needs(harness, "drafts", "incoming")
    mail = harness.mail()
    other = harness.mailbox.create_draft(harness.mail())
    ref = harness.mailbox.create_draft(mail)
    for known in (ref, None):
        found = harness.mailbox.find(harness.trace(mail, known))
        assert (found.where, found.draft.draft_id, found.extra) == (Whereabouts.DRAFT, ref.draft_id, ())
        assert found.matched_by
    assert other.draft_id != ref.draft_id


def test_two_drafts_with_one_stamp_are_both_reported(harness):
    needs(harness, "drafts", "incoming")
    mail = harness.mail()
    made = {harness.mailbox.create_draft(mail).draft_id for _ in range(2)}
    found = harness.mailbox.find(harness.trace(mail))
    assert found.where is Whereabouts.DRAFT
    assert {found.draft.draft_id, *(extra.draft_id for extra in found.extra)} == made


def test_a_mail_sent_by_hand_instead_is_found_by_recipient_subject_and_time(harness):
    needs(harness, "drafts", "incoming")
    mail = harness.mail(subject="A few words")
    ref = harness.mailbox.create_draft(mail)
    harness.act("rep_deletes_draft", key=mail.key)
    harness.act("rep_writes_mail", person=harness.person, subject="a few  words", text="My own")
    found = harness.mailbox.find(harness.trace(mail, ref))
    assert (found.where, found.sent.to) == (Whereabouts.SENT, (harness.person,))
    assert found.matched_by


def test_the_mail_of_another_step_is_never_taken_for_this_one(harness):
    needs(harness, "drafts", "sends", "incoming")
    first, second = harness.mail(), harness.mail()
    harness.mailbox.send_draft(harness.mailbox.create_draft(first), first.key)
    assert harness.mailbox.find(harness.trace(second)).where is Whereabouts.ABSENT


def test_nowhere_means_absent_when_never_seen_and_discarded_when_seen(harness):
    needs(harness, "drafts", "incoming")
    mail = harness.mail()
    assert harness.mailbox.find(harness.trace(mail)).where is Whereabouts.ABSENT
    ref = harness.mailbox.create_draft(mail)
    harness.act("rep_deletes_draft", key=mail.key)
    assert harness.mailbox.find(harness.trace(mail, ref)).where is Whereabouts.DISCARDED


# -------------------------------------------------------------------------------------------- sending


def test_sending_moves_the_draft_to_sent_and_tells_its_message_id(harness):
    needs(harness, "drafts", "sends")
    mail, ref, sent = send(harness)
    (stored,) = harness.lying_in("sent")
    assert harness.lying_in("drafts") == []
    assert (sent.internet_message_id, sent.key) == (stored.head.message_id, mail.key)
    found = harness.mailbox.find(harness.trace(mail, ref))
    assert found.where is Whereabouts.SENT
    assert found.sent.internet_message_id == stored.head.message_id


def test_a_second_send_of_a_draft_is_refused_as_gone(harness):
    needs(harness, "drafts", "sends")
    mail, ref, _ = send(harness)
    with pytest.raises(Refused) as raised:
        harness.mailbox.send_draft(ref, mail.key)
    assert raised.value.code == "draft_gone"
    assert len(harness.lying_in("sent")) == 1


def test_a_follow_up_joins_the_thread_of_the_mail_before(harness):
    needs(harness, "drafts", "sends", "threads")
    _, _, first = send(harness)
    thread = Thread(
        internet_message_id=first.internet_message_id,
        references=(*first.references, first.internet_message_id),
        thread_id=first.thread_id,
        provider_id=first.provider_id,
        mailbox=harness.rep.email,
    )
    mail, _, second = send(harness, subject="Re: Hello from Acme", thread=thread)
    opening, answer = sorted(harness.lying_in("sent"), key=lambda stored: stored.serial)
    assert opening.thread == answer.thread == second.thread_id
    assert (answer.stamp, answer.head.recipients) == (mail.key, (harness.person,))
    assert opening.head.message_id in answer.head.answers


def test_a_lost_answer_to_a_draft_is_unknown_and_found_again(harness):
    needs(harness, "drafts", "incoming")
    mail = harness.mail()
    with harness.answer_lost(), pytest.raises(OutcomeUnknown) as raised:
        harness.mailbox.create_draft(mail)
    assert raised.value.key == mail.key
    (stored,) = harness.lying_in("drafts")
    found = harness.mailbox.find(harness.trace(mail))
    assert found.where is Whereabouts.DRAFT
    assert found.draft.draft_id in (stored.id, stored.second_id)


def test_a_lost_answer_to_several_drafts_is_unknown_for_each_that_may_be_there(harness):
    """Where each is a call of its own, the first of them raises it and no other is tried."""
    needs(harness, "drafts", "incoming")
    mails = [harness.mail(subject=f"Mail {n}") for n in range(harness.mailbox.capabilities.drafts_at_once)]
    with harness.answer_lost():
        try:
            answers = harness.mailbox.create_drafts(mails)
        except OutcomeUnknown as error:
            answers = [error]
    assert [(type(answer), answer.key) for answer in answers] == [(OutcomeUnknown, mail.key) for mail in mails]
    for mail in mails:
        found = harness.mailbox.find(harness.trace(mail))
        assert (found.where, found.extra) == (Whereabouts.DRAFT, ())
    assert len(harness.lying_in("drafts")) == len(mails)


def test_a_lost_answer_to_a_send_is_unknown_sent_once_and_found_again(harness):
    needs(harness, "drafts", "sends", "incoming")
    mail = harness.mail()
    ref = harness.mailbox.create_draft(mail)
    with harness.answer_lost(), pytest.raises(OutcomeUnknown) as raised:
        harness.mailbox.send_draft(ref, mail.key)
    assert raised.value.key == mail.key
    assert len(harness.lying_in("sent")) == 1
    assert harness.mailbox.find(harness.trace(mail, ref)).where is Whereabouts.SENT
