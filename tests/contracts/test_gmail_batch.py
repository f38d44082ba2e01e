"""Several reads in one call to Gmail, and the quota that every call counts in."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import responses
from gmail_world import (
    ME,
    REP,
    START,
    FrozenClock,
    a_mail,
    delegating,
    google_error,
)

from adapters.sandbox import Sandbox
from connector.errors import Reconnect, Retry
from connector.ports import (
    MailIdentity,
)


def questions(sandbox: Sandbox, count: int) -> set[str]:
    subjects = {f"Question {number}" for number in range(count)}
    for subject in subjects:
        sandbox.act("prospect_writes", person="ann@bolt.example", rep=REP.email, subject=subject)
    return subjects


def subjects_of(pull: Any) -> set[str]:
    return {change.subject for change in pull.changes}


# ------------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize(("count", "calls"), [(1, 2), (2, 2), (50, 2), (51, 3), (120, 4)])
def test_news_is_read_fifty_mails_a_call_at_the_address_of_the_account(sandbox, delegated, count, calls):
    cursor = delegated.pull_mail(None).cursor
    subjects = questions(sandbox, count)
    before, counted = delegated.calls, sandbox.log.calls["gmail"]
    assert subjects_of(delegated.pull_mail(cursor)) == subjects
    assert delegated.calls - before == sandbox.log.calls["gmail"] - counted == calls


def test_the_parts_of_a_batch_that_fail_in_passing_are_made_again_alone(sandbox, delegated):
    cursor = delegated.pull_mail(None).cursor
    subjects = questions(sandbox, 8)
    sandbox.act("mail_settings", gmail_concurrent_requests=3)
    before, began = delegated.calls, sandbox.clock.now()
    assert subjects_of(delegated.pull_mail(cursor)) == subjects
    # History, the batch, and each of the five for which there was no room.
    assert delegated.calls - before == 7
    assert sandbox.clock.now() > began


def a_batch(*parts: tuple[int, Any]) -> dict[str, Any]:
    """Return a batch's answer, for `responses`."""

    def answer(request: Any) -> tuple[int, dict[str, str], bytes]:
        body = request.body if isinstance(request.body, str) else request.body.decode()
        ids = re.findall(r"Content-ID: <(.+? \+ \d+)>", body)
        lines = []
        for content_id, (status, value) in zip(ids, parts, strict=False):
            lines += ["--x", "Content-Type: application/http", f"Content-ID: <response-{content_id}>", ""]
            lines += [f"HTTP/1.1 {status} Said", "Content-Type: application/json", "", json.dumps(value)]
        return 200, {"Content-Type": "multipart/mixed; boundary=x"}, "\r\n".join([*lines, "--x--", ""]).encode()

    return {"callback": answer}


BATCH = "https://gmail.googleapis.com/batch/gmail/v1"
CURSOR = json.dumps({"history": "1", "at": START.isoformat()})


def a_history(*ids: str) -> dict[str, Any]:
    added = [{"message": {"id": one, "labelIds": ["INBOX"]}} for one in ids]
    return {"history": [{"id": "1", "messagesAdded": added}], "historyId": "9"}


def received(one: str) -> dict[str, Any]:
    return {"id": one, "labelIds": ["INBOX"], "payload": {"headers": [{"name": "Subject", "value": one}]}}


@pytest.mark.parametrize(
    ("status", "reason", "again"),
    [
        (429, "rateLimitExceeded", True),
        (403, "userRateLimitExceeded", True),
        (503, "backendError", True),
        (404, "notFound", False),
    ],
)
def test_each_part_is_judged_by_its_own_error(opened, status, reason, again):
    clock = FrozenClock()
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json=a_history("19a", "19b"))
        parts = ((200, received("19a")), (status, google_error(status, reason)))
        wire.add_callback("POST", BATCH, **a_batch(*parts))
        if again:
            wire.get(f"{ME}/messages/19b", json=received("19b"))
        pull = opened(clock=clock).pull_mail(CURSOR)
        assert len(wire.calls) == 2 + again
    assert subjects_of(pull) == ({"19a", "19b"} if again else {"19a"})
    assert len(clock.slept) == again


def test_a_part_that_is_refused_stops_the_whole_and_the_cursor_stays(opened):
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json=a_history("19a", "19b"))
        refusal = google_error(403, "insufficientPermissions")
        wire.add_callback("POST", BATCH, **a_batch((200, received("19a")), (403, refusal)))
        with pytest.raises(Reconnect, match=r"gmail\.readonly"):
            opened().pull_mail(CURSOR)


def test_a_part_for_which_the_token_ended_is_made_again_with_a_new_one(opened):
    """The whole was answered with 200, so no token was renewed for it; nobody must sign in again for that."""
    ended = (401, google_error(401, "authError"))
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json=a_history("19a", "19b"))
        wire.add_callback("POST", BATCH, **a_batch((200, received("19a")), ended))
        wire.add_callback("POST", BATCH, **a_batch(ended))  # by the library itself
        wire.get(f"{ME}/messages/19b", json=received("19b"))
        assert subjects_of(opened().pull_mail(CURSOR)) == {"19a", "19b"}


def test_a_part_that_waits_longer_than_a_moment_goes_up_to_the_lane(opened):
    said = google_error(429, "rateLimitExceeded", "User-rate limit exceeded.  Retry after 2026-11-23T09:40:00.000Z")
    clock = FrozenClock()
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json=a_history("19a", "19b"))
        wire.add_callback("POST", BATCH, **a_batch((200, received("19a")), (429, said)))
        with pytest.raises(Retry) as raised:
            opened(clock=clock).pull_mail(CURSOR)
    assert (raised.value.after, clock.slept) == (timedelta(minutes=40), [])


def test_a_batch_that_lacks_a_part_is_made_again_as_a_whole(opened):
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json=a_history("19a", "19b"))
        wire.add_callback("POST", BATCH, **a_batch((200, received("19a"))))
        wire.add_callback("POST", BATCH, **a_batch((200, received("19a")), (200, received("19b"))))
        assert subjects_of(opened().pull_mail(CURSOR)) == {"19a", "19b"}


def test_a_server_without_batches_is_read_one_by_one_and_asked_no_more(opened):
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json=a_history("19a", "19b"))
        wire.post(BATCH, status=404, body="<!DOCTYPE html>")
        for one in ("19a", "19b"):
            wire.get(f"{ME}/messages/{one}", json=received(one))
        mailbox = opened()
        for _ in range(2):
            assert subjects_of(mailbox.pull_mail(CURSOR)) == {"19a", "19b"}
        assert len([call for call in wire.calls if call.request.method == "POST"]) == 1


# --------------------------------------------------------------------------------------------------- quota


def test_a_mailbox_stays_within_its_quota_and_reads_everything_in_the_end(sandbox, tmp_path):
    sandbox.act("mail_settings", gmail_units_per_minute=600)
    refusals = []
    with delegating(sandbox, tmp_path, units_per_minute=600) as mailbox:
        cursor = mailbox.pull_mail(None).cursor
        for _ in range(4):
            seen, subjects = set(), questions(sandbox, 20)
            while seen != subjects:
                try:
                    pull = mailbox.pull_mail(cursor)
                except Retry as retry:
                    refusals.append(retry)
                    sandbox.clock.advance(retry.after)
                    continue
                seen, cursor = subjects_of(pull), pull.cursor
    assert {refusal.code for refusal in refusals} == {"units_per_minute"}
    assert "600 quota units a minute of ana@acme.example" in str(refusals[0])


def test_a_mailbox_at_its_sending_limit_says_until_when_and_the_next_one_goes_on(
    sandbox, tmp_path, opened, monkeypatch
):
    sandbox.act("add_mail_account", kind="gmail", email="bo@acme.example", name="Bo")
    sandbox.act("mail_settings", gmail_sends_per_day=1)
    bo = MailIdentity(email="bo@acme.example", name="Bo")
    monkeypatch.setenv("GMAIL_TOKEN", sandbox.token("gmail", bo.email))
    other = opened(rep=bo, endpoint=sandbox.url, clock=sandbox.clock)
    with delegating(sandbox, tmp_path) as mailbox:
        first, second = a_mail(), a_mail(key="e" * 32)
        mailbox.send_draft(mailbox.create_draft(first), first.key)
        sandbox.clock.advance(timedelta(hours=1))
        draft = mailbox.create_draft(second)
        with pytest.raises(Retry, match="mails sent in a day") as raised:
            mailbox.send_draft(draft, second.key)
        wait = raised.value.after
        assert timedelta(hours=22, minutes=59) < wait <= timedelta(hours=23)
        assert other.send_draft(other.create_draft(second), second.key).provider_id
        sandbox.clock.advance(wait)
        assert mailbox.send_draft(draft, second.key).provider_id
