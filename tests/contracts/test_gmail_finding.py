"""Looking a mail up in Gmail: by which key, in which places, and when nothing found means that it is not there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import responses
from gmail_world import (
    ME,
    REP,
    a_mail,
    trace,
)

from adapters.gmail import finding
from adapters.sandbox import Sandbox
from connector.ports import (
    Address,
    DraftRef,
    DraftSaved,
    MailReceived,
    MailSent,
    Whereabouts,
)


def test_an_edited_draft_that_lost_its_stamp_and_its_id_is_still_found(sandbox, delegated):
    sandbox.act("mail_settings", gmail_edit_drops_stamp=True, gmail_edit_changes_draft_id=True)
    mail = a_mail()
    ref = delegated.create_draft(mail)
    cursor = delegated.pull_mail(None).cursor
    sandbox.act("rep_edits_draft", key=mail.key, body="<p>My own words</p>")
    found = delegated.find(trace(mail, ref))
    assert (found.where, found.matched_by) == (Whereabouts.DRAFT, "recipient_subject_time")
    (saved,) = (change for change in delegated.pull_mail(cursor).changes if isinstance(change, DraftSaved))
    assert (saved.key, saved.draft.draft_id) == (None, found.draft.draft_id)


def test_drafts_that_only_look_alike_are_never_reported_as_left_over(sandbox, delegated):
    sandbox.act("mail_settings", gmail_edit_drops_stamp=True, gmail_edit_changes_draft_id=True)
    ours, another = a_mail(), a_mail(key="e" * 32)
    ref = delegated.create_draft(ours)
    delegated.create_draft(another)
    for mail in (ours, another):
        sandbox.act("rep_edits_draft", key=mail.key, body="<p>My own words</p>")
    found = delegated.find(trace(ours, ref))
    assert (found.where, found.matched_by, found.extra) == (Whereabouts.DRAFT, "recipient_subject_time", ())


def test_a_draft_that_the_rep_scheduled_is_neither_discarded_nor_sent_until_it_goes(sandbox, delegated):
    mail = a_mail()
    ref = delegated.create_draft(mail)
    cursor = delegated.pull_mail(None).cursor
    sandbox.act("rep_schedules_draft", key=mail.key, minutes=30)
    assert delegated.find(trace(mail, ref)).where is Whereabouts.SCHEDULED
    waiting = delegated.pull_mail(cursor)
    assert not [change for change in waiting.changes if isinstance(change, MailSent | MailReceived)]
    sandbox.clock.advance(timedelta(hours=1))
    (sent,) = (c.mail for c in delegated.pull_mail(waiting.cursor).changes if isinstance(c, MailSent))
    assert sent.key == mail.key
    assert delegated.find(trace(mail, ref)).where is Whereabouts.SENT


def test_a_look_up_among_more_mails_than_are_read_does_not_claim_that_it_is_nowhere(sandbox, delegated, monkeypatch):
    monkeypatch.setattr(finding, "_CANDIDATES", 2)
    for number in range(3):
        delegated.create_draft(a_mail(key=f"{number:032x}"))
    before = delegated.calls
    assert delegated.find(trace(a_mail(), None)).where is Whereabouts.UNCLEAR
    assert delegated.calls - before == 2


# ----------------------------------------------------------------------------- a search that does not know it yet


@pytest.fixture
def lagging(sandbox: Sandbox, delegated: Any) -> Any:
    """A mailbox whose search learns of a mail after an hour."""
    sandbox.act("mail_settings", gmail_search_lag=3600)
    return delegated


def test_a_draft_that_the_search_does_not_know_yet_is_found_by_its_stamp(lagging):
    mail = a_mail()
    made = {lagging.create_draft(mail).draft_id for _ in range(2)}
    before = lagging.calls
    found = lagging.find(trace(mail, None))
    assert (found.where, found.matched_by) == (Whereabouts.DRAFT, "stamp")
    assert {found.draft.draft_id, *(extra.draft_id for extra in found.extra)} == made
    assert lagging.calls - before == 2


def test_a_mail_sent_a_moment_ago_is_found_and_the_draft_left_over_is_told(lagging):
    mail = a_mail()
    lost, ref = lagging.create_draft(mail), lagging.create_draft(mail)
    sent = lagging.send_draft(ref, mail.key)
    for known in (ref, None):
        found = lagging.find(trace(mail, known))
        assert (found.where, found.sent.provider_id) == (Whereabouts.SENT, sent.provider_id)
        assert [extra.draft_id for extra in found.extra] == [lost.draft_id]


def test_a_draft_scheduled_a_moment_ago_is_not_taken_for_discarded(sandbox, lagging):
    mail = a_mail()
    ref = lagging.create_draft(mail)
    cursor = lagging.pull_mail(None).cursor
    sandbox.act("rep_schedules_draft", key=mail.key, minutes=30)
    lagging.pull_mail(cursor)
    assert lagging.find(trace(mail, ref)).where is Whereabouts.SCHEDULED


def test_old_drafts_and_sent_mails_are_found_by_the_search_however_many_came_since(delegated, monkeypatch):
    monkeypatch.setattr(finding, "_NEWEST", 1)
    ours, sent = a_mail(), a_mail(key="e" * 32, subject="Another")
    ref = delegated.create_draft(ours)
    delegated.send_draft(delegated.create_draft(sent), sent.key)
    for number in range(3):
        to = Address(email=f"p{number}@bolt.example")
        delegated.create_draft(a_mail(key=f"{number:032x}", to=to))
        delegated.send_draft(delegated.create_draft(a_mail(key=f"{number + 9:032x}", to=to)), "k")
    assert delegated.find(trace(ours, None)).draft.draft_id == ref.draft_id
    assert delegated.find(trace(sent, None)).where is Whereabouts.SENT


# ------------------------------------------------------------------------------------------ what became of it


def test_a_draft_in_the_bin_is_discarded_for_certain_even_when_not_all_could_be_searched(
    sandbox, delegated, monkeypatch
):
    sandbox.act("mail_settings", gmail_discard_bins=True)
    mail = a_mail()
    ref = delegated.create_draft(mail)
    sandbox.act("rep_deletes_draft", key=mail.key)
    for number in range(3):
        delegated.create_draft(a_mail(key=f"{number:032x}"))
    monkeypatch.setattr(finding, "_CANDIDATES", 2)
    assert delegated.find(trace(mail, ref)).where is Whereabouts.DISCARDED
    # When nothing tells of the bin, it is only not found.
    unknown = DraftRef(draft_id=ref.draft_id)
    assert delegated.find(trace(mail, unknown)).where is Whereabouts.UNCLEAR


def test_a_mail_that_was_sent_and_then_put_into_the_bin_was_sent(sandbox, delegated):
    mail = a_mail()
    ref = delegated.create_draft(mail)
    sent = delegated.send_draft(ref, mail.key)
    sandbox.act("rep_bins_mail", key=mail.key)
    for known in (ref, None):
        found = delegated.find(trace(mail, known))
        assert (found.where, found.sent.provider_id) == (Whereabouts.SENT, sent.provider_id)


def test_a_schedule_that_the_rep_took_back_is_a_draft_again(sandbox, delegated):
    mail = a_mail()
    ref = delegated.create_draft(mail)
    sandbox.act("rep_schedules_draft", key=mail.key, minutes=30)
    sandbox.act("rep_unschedules_draft", key=mail.key)
    assert delegated.find(trace(mail, ref)).where is Whereabouts.DRAFT


def test_a_draft_is_never_called_the_one_to_send_while_sent_could_not_be_searched_to_its_end(
    sandbox, delegated, monkeypatch
):
    mail = a_mail()
    delegated.create_draft(mail)
    for number in range(3):
        sandbox.act("rep_writes_mail", rep=REP.email, person="ann@bolt.example", subject=f"By hand {number}")
    monkeypatch.setattr(finding, "_CANDIDATES", 2)
    assert delegated.find(trace(mail, None)).where is Whereabouts.UNCLEAR


def test_what_is_asked_of_a_mail_that_is_looked_for_holds_no_body(opened):
    draft = {"id": "r1", "message": {"id": "19a", "labelIds": ["DRAFT"], "payload": {"headers": []}}}
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/drafts/r1", json=draft)
        opened().find(trace(a_mail(), DraftRef(draft_id="r1")))
        (asked,) = (call.request.params for call in wire.calls)
    assert (asked["format"], "body" in asked["fields"], "raw" in asked["fields"]) == ("metadata", False, False)
