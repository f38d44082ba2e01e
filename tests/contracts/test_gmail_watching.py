"""What happened in a Gmail mailbox: history page by page, and the full look when it is of no use."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import responses
from gmail_world import (
    KEY,
    ME,
    REP,
    START,
    a_mail,
    google_error,
)

from adapters.gmail import watching
from adapters.sandbox import Sandbox
from connector.errors import Refused, Retry
from connector.ports import (
    DraftRef,
    DraftSaved,
    MailReceived,
    MailSent,
)

# --------------------------------------------------------------------------------------- history, page by page


def test_the_cursor_moves_only_after_the_last_page(opened):
    cursor = json.dumps({"history": "100", "at": START.isoformat()})
    added = {"history": [{"id": "101", "messagesAdded": [{"message": {"id": "19a", "labelIds": ["INBOX"]}}]}]}
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json={**added, "nextPageToken": "p2", "historyId": "110"})
        wire.get(f"{ME}/history", status=503)
        with pytest.raises(Retry):
            opened().pull_mail(cursor)
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json={**added, "nextPageToken": "p2", "historyId": "110"})
        wire.get(f"{ME}/history", json={"historyId": "120"})
        wire.get(f"{ME}/messages/19a", json={"id": "19a", "labelIds": ["INBOX"], "payload": {"headers": []}})
        pull = opened().pull_mail(cursor)
        asked = [call.request.params for call in wire.calls][:2]
    assert [query["startHistoryId"] for query in asked] == ["100", "100"]
    assert asked[0]["historyTypes"] == ["messageAdded", "messageDeleted", "labelAdded"]
    assert asked[1]["pageToken"] == "p2"
    assert json.loads(pull.cursor)["history"] == "120"
    assert len(pull.changes) == 1


@pytest.mark.parametrize("cursor", ["", "7", "{}", '{"history": "1", "at": "noon"}', '{"history": "1", "at": null}'])
def test_a_cursor_that_is_none_of_ours_is_refused(opened, cursor):
    with pytest.raises(Refused) as raised:
        opened().pull_mail(cursor)
    assert raised.value.code == "cursor"


@pytest.mark.parametrize("label", ["SPAM", "CHAT", "SCHEDULED"])
def test_what_is_nobodys_business_is_passed_over_without_being_read(opened, label):
    added = [{"message": {"id": "19a", "labelIds": [label]}}]
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json={"history": [{"id": "1", "messagesAdded": added}], "historyId": "9"})
        assert opened().pull_mail(json.dumps({"history": "1", "at": START.isoformat()})).changes == ()


def test_what_vanished_before_it_was_read_is_passed_over(opened):
    added = [{"message": {"id": "19c", "labelIds": ["INBOX"]}}]
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json={"history": [{"id": "1", "messagesAdded": added}], "historyId": "9"})
        wire.get(f"{ME}/messages/19c", status=404, json=google_error(404, "notFound"))
        assert opened().pull_mail(json.dumps({"history": "1", "at": START.isoformat()})).changes == ()


def test_the_trail_of_an_autosave_costs_one_look_at_the_drafts_and_one_message(opened):
    added = [{"message": {"id": one, "labelIds": ["DRAFT"]}} for one in ("19a", "19b", "19c")]
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json={"history": [{"id": "1", "messagesAdded": added}], "historyId": "9"})
        wire.get(f"{ME}/drafts", json={"drafts": [{"id": "r1", "message": {"id": "19c"}}]})
        wire.get(f"{ME}/messages/19c", json={"id": "19c", "labelIds": ["DRAFT"], "payload": {"headers": []}})
        mailbox = opened()
        (change,) = mailbox.pull_mail(json.dumps({"history": "1", "at": START.isoformat()})).changes
    assert change == DraftSaved(draft=DraftRef(draft_id="r1", provider_id="19c"), subject="")
    assert mailbox.calls == 3


def test_a_mail_rescued_from_spam_is_news(opened):
    rescued = {"message": {"id": "19a", "labelIds": ["INBOX"]}, "labelIds": ["INBOX"]}
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json={"history": [{"id": "1", "labelsAdded": [rescued]}], "historyId": "9"})
        wire.get(f"{ME}/messages/19a", json={"id": "19a", "labelIds": ["INBOX"], "payload": {"headers": []}})
        (change,) = opened().pull_mail(json.dumps({"history": "1", "at": START.isoformat()})).changes
    assert isinstance(change, MailReceived)


def test_what_came_in_is_asked_for_without_its_parts_and_a_report_whole(opened):
    added = [{"message": {"id": "19a", "labelIds": ["INBOX"]}}]
    parts = [{"mimeType": "text/plain"}, {"mimeType": "message/delivery-status"}]
    report = {"id": "19a", "labelIds": ["INBOX"], "payload": {"mimeType": "multipart/mixed", "parts": parts}}
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json={"history": [{"id": "1", "messagesAdded": added}], "historyId": "9"})
        wire.get(f"{ME}/messages/19a", json=report)
        wire.get(f"{ME}/messages/19a", json={"id": "19a", "raw": "d2hvbGU"})
        (change,) = opened().pull_mail(json.dumps({"history": "1", "at": START.isoformat()})).changes
        first, second = (call.request.params for call in wire.calls if "/messages/" in call.request.url)
    assert (first["format"], "body" in first["fields"]) == ("full", False)
    assert (second["format"], change.raw) == ("raw", b"whole")


# ---------------------------------------------------------------------------------------- against the sandbox


def news(sandbox: Sandbox, mailbox: Any, act: str, **arguments: Any) -> list[Any]:
    cursor = mailbox.pull_mail(None).cursor
    sandbox.act(act, **arguments)
    return list(mailbox.pull_mail(cursor).changes)


def letter(kind: str, body: bytes, sender: str = "Ann <ann@bolt.example>") -> bytes:
    top = (
        f"From: {sender}\r\nTo: {REP.email}\r\nSubject: Hello\r\nMessage-ID: <m1@bolt.example>\r\nMIME-Version: 1.0\r\n"
    )
    return f'{top}Content-Type: {kind}; boundary="B"\r\n\r\n'.encode() + body.replace(b"\n", b"\r\n")


INVITED = b"--B\nContent-Type: text/plain\n\nAccepted\n--B\nContent-Type: text/calendar; method=REPLY\n\nBEGIN:VCALENDAR\n--B--\n"
REPORT = b"--B\nContent-Type: text/plain\n\nNo\n--B\nContent-Type: message/delivery-status\n\nAction: failed\n--B--\n"
PLAIN = b"--B\nContent-Type: text/plain\n\nYes, gladly\n--B\nContent-Type: application/pdf\n\nJVBERi0=\n--B--\n"


@pytest.mark.parametrize(
    ("kind", "body", "whole"),
    [
        ("multipart/mixed", INVITED, True),
        ("multipart/alternative", INVITED, True),
        ("multipart/report; report-type=delivery-status", REPORT, True),
        ("multipart/mixed", REPORT, True),
        ("multipart/mixed", PLAIN, False),
    ],
)
def test_reports_and_calendar_answers_come_whole_whatever_they_are_wrapped_in(sandbox, delegated, kind, body, whole):
    raw = letter(kind, body)
    (change,) = news(sandbox, delegated, "mail_arrives", rep=REP.email, raw=raw)
    assert (change.raw is not None) is whole
    assert change.headers["subject"] == ("Hello",)


def test_a_report_too_large_to_be_read_whole_comes_with_its_headers(sandbox, delegated, monkeypatch):
    monkeypatch.setattr(watching, "_LARGEST_REPORT", 300)
    raw = letter("multipart/report", REPORT.replace(b"No\n", b"No\n" * 200))
    (change,) = news(sandbox, delegated, "mail_arrives", rep=REP.email, raw=raw)
    assert change.raw is None
    assert change.headers["content-type"][0].startswith("multipart/report")


def test_many_reports_are_read_a_few_at_a_time(sandbox, delegated, monkeypatch):
    raw = letter("multipart/report", REPORT)
    monkeypatch.setattr(watching, "_LARGEST_REPORT", 2 * len(raw) + 200)
    cursor = delegated.pull_mail(None).cursor
    for _ in range(5):
        sandbox.act("mail_arrives", rep=REP.email, raw=raw)
    before = delegated.calls
    changes = delegated.pull_mail(cursor).changes
    assert [change.raw is not None for change in changes] == [True] * 5
    assert delegated.calls - before == 1 + 1 + 3  # history, five mails, whole: two, two and one


def test_a_reply_that_the_rep_deletes_at_once_is_a_reply_all_the_same(sandbox, delegated):
    mail = a_mail()
    delegated.send_draft(delegated.create_draft(mail), mail.key)
    cursor = delegated.pull_mail(None).cursor
    reply = sandbox.act("prospect_replies", key=mail.key, person="ann@bolt.example", text="Yes")
    box = sandbox.world.boxes[REP.email]
    sandbox.world.trash(box, box.mails[reply["id"]])
    (received,) = (one for one in delegated.pull_mail(cursor).changes if isinstance(one, MailReceived))
    assert received.provider_id == reply["id"]


def test_a_mail_that_was_sent_and_binned_between_two_pulls_was_sent(sandbox, delegated):
    mail = a_mail()
    ref = delegated.create_draft(mail)
    cursor = delegated.pull_mail(None).cursor
    delegated.send_draft(ref, mail.key)
    sandbox.act("rep_bins_mail", key=mail.key)
    assert [change.mail.key for change in delegated.pull_mail(cursor).changes if isinstance(change, MailSent)] == [KEY]


def test_a_long_trail_of_autosaves_is_one_change(sandbox, delegated):
    mail = a_mail()
    ref = delegated.create_draft(mail)
    cursor = delegated.pull_mail(None).cursor
    for number in range(12):
        sandbox.act("rep_edits_draft", key=mail.key, body=f"<p>Version {number}</p>")
    before = delegated.calls
    pull = delegated.pull_mail(cursor)
    (saved,) = (change for change in pull.changes if isinstance(change, DraftSaved))
    assert (saved.draft.draft_id, saved.key) == (ref.draft_id, KEY)
    assert delegated.calls - before == 3  # history, drafts, the one message


def test_a_draft_is_known_by_its_id_however_many_lie_before_it(sandbox, delegated, monkeypatch):
    monkeypatch.setattr(watching, "_DRAFTS_PAGE", 2)
    cursor = delegated.pull_mail(None).cursor
    made = {delegated.create_draft(a_mail(key=f"{number:032x}")).draft_id for number in range(7)}
    saved = {change.draft.draft_id for change in delegated.pull_mail(cursor).changes}
    assert saved == made


# ---------------------------------------------------------------------------------------------- the full look


def questions(sandbox: Sandbox, count: int) -> set[str]:
    subjects = {f"Question {number}" for number in range(count)}
    for subject in subjects:
        sandbox.act("prospect_writes", person="ann@bolt.example", rep=REP.email, subject=subject)
    return subjects


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_LOOK_PAGE", 2)
    monkeypatch.setattr(watching, "_LOOK_NEWEST", 1)


@pytest.mark.usefixtures("small_pages")
def test_a_full_look_larger_than_a_page_goes_on_with_the_next_pull_and_loses_nothing(sandbox, delegated):
    sandbox.act("prospect_writes", person="ann@bolt.example", rep=REP.email, subject="Long before")
    sandbox.clock.advance(timedelta(hours=2))
    cursor = delegated.pull_mail(None).cursor
    subjects = questions(sandbox, 5)
    sandbox.act("gmail_expires_history", rep=REP.email)
    seen: list[str] = []
    for page in range(3):
        pull = delegated.pull_mail(cursor)
        # A crash here reads the same page again.
        assert {c.subject for c in delegated.pull_mail(cursor).changes} == {c.subject for c in pull.changes}
        assert (pull.resynced, pull.more) == (page == 0, page < 2)
        assert len(pull.changes) <= 2
        seen += [change.subject for change in pull.changes]
        cursor = pull.cursor
    assert (set(seen), len(seen)) == (subjects, 5)
    sandbox.act("prospect_writes", person="ann@bolt.example", rep=REP.email, subject="After")
    pull = delegated.pull_mail(cursor)
    assert ([change.subject for change in pull.changes], pull.resynced, pull.more) == (["After"], False, False)


@pytest.mark.usefixtures("small_pages")
def test_what_happens_during_a_full_look_is_seen_after_it(sandbox, delegated):
    cursor = delegated.pull_mail(None).cursor
    subjects = questions(sandbox, 4)
    sandbox.act("gmail_expires_history", rep=REP.email)
    pull = delegated.pull_mail(cursor)
    seen = [change.subject for change in pull.changes]
    sandbox.act("prospect_writes", person="ann@bolt.example", rep=REP.email, subject="Meanwhile")
    while pull.more:
        pull = delegated.pull_mail(pull.cursor)
        seen += [change.subject for change in pull.changes]
    seen += [change.subject for change in delegated.pull_mail(pull.cursor).changes]
    assert set(seen) == subjects | {"Meanwhile"}


def test_a_full_look_sees_drafts_sent_mails_the_inbox_and_the_bin_and_no_spam(sandbox, delegated):
    cursor = delegated.pull_mail(None).cursor
    draft, sent = a_mail(), a_mail(key="e" * 32, subject="Sent")
    delegated.create_draft(draft)
    delegated.send_draft(delegated.create_draft(sent), sent.key)
    sandbox.act("prospect_writes", person="ann@bolt.example", rep=REP.email, subject="Kept")
    binned = sandbox.act("prospect_writes", person="bo@bolt.example", rep=REP.email, subject="Binned")
    box = sandbox.world.boxes[REP.email]
    sandbox.world.trash(box, box.mails[binned["id"]])
    sandbox.act("mail_arrives", rep=REP.email, raw=letter("multipart/mixed", PLAIN), spam=True)
    sandbox.act("gmail_expires_history", rep=REP.email)
    pull = delegated.pull_mail(cursor)
    assert [change.key for change in pull.changes if isinstance(change, DraftSaved)] == [draft.key]
    assert [change.mail.key for change in pull.changes if isinstance(change, MailSent)] == [sent.key]
    assert {change.subject for change in pull.changes if isinstance(change, MailReceived)} == {"Kept", "Binned"}


def test_a_full_look_sees_the_newest_mails_that_the_search_does_not_know_yet(sandbox, delegated):
    cursor = delegated.pull_mail(None).cursor
    sandbox.act("mail_settings", gmail_search_lag=3600)
    subjects = questions(sandbox, 3)
    sandbox.act("gmail_expires_history", rep=REP.email)
    assert {change.subject for change in delegated.pull_mail(cursor).changes} == subjects


def test_a_full_look_goes_back_thirty_days_and_no_further(sandbox, delegated, monkeypatch):
    monkeypatch.setattr(watching, "_LOOK_NEWEST", 1)
    cursor = delegated.pull_mail(None).cursor
    for subject in ("Ancient", "Old", "New"):
        sandbox.act("prospect_writes", person="ann@bolt.example", rep=REP.email, subject=subject)
        sandbox.clock.advance(timedelta(days=20))
    sandbox.act("gmail_expires_history", rep=REP.email)
    assert [change.subject for change in delegated.pull_mail(cursor).changes] == ["New"]


@pytest.mark.usefixtures("small_pages")
def test_a_full_look_ends_after_so_many_pages(sandbox, delegated, monkeypatch):
    monkeypatch.setattr(watching, "_LOOK_PAGES", 2)
    cursor = delegated.pull_mail(None).cursor
    questions(sandbox, 9)
    sandbox.act("gmail_expires_history", rep=REP.email)
    first = delegated.pull_mail(cursor)
    second = delegated.pull_mail(first.cursor)
    assert (first.more, second.more, len(second.changes)) == (True, False, 2)
    assert delegated.pull_mail(second.cursor).changes == ()


@pytest.mark.parametrize("limit", ["_MOST_NEWS", "_HISTORY_PAGES"])
def test_a_history_that_tells_too_much_at_once_becomes_a_full_look(sandbox, delegated, monkeypatch, limit):
    monkeypatch.setattr(watching, "_HISTORY_PAGE", 3)
    monkeypatch.setattr(watching, limit, 1)
    cursor = delegated.pull_mail(None).cursor
    subjects = questions(sandbox, 5)
    pull = delegated.pull_mail(cursor)
    assert (pull.resynced, {change.subject for change in pull.changes}) == (True, subjects)
    assert delegated.pull_mail(pull.cursor).changes == ()
