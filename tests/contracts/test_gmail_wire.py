"""The Gmail adapter on the wire: one request whatever happens, and what each answer means."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
import responses
from broken_lines import LOST_ANSWERS, RawServer
from gmail_world import (
    KEY,
    ME,
    REP,
    START,
    FrozenClock,
    a_mail,
    google_error,
    trace,
)
from googleapiclient.discovery import build

from adapters.gmail import api, transport, upload
from adapters.gmail.api import api_at
from adapters.gmail.transport import Transport
from connector.errors import AdapterError, OutcomeUnknown, Reconnect, Refused, Retry, Unsupported
from connector.ports import (
    Attachment,
    DraftRef,
    MailIdentity,
)

# ------------------------------------------------------------------------------- one request, whatever happens


LARGE = Attachment(name="a.pdf", media_type="application/pdf", content=bytes(upload.LARGEST_IN_JSON))

EFFECTS: dict[str, Callable[[Any], object]] = {
    "create": lambda mailbox: mailbox.create_draft(a_mail()),
    "upload": lambda mailbox: mailbox.create_draft(a_mail(attachments=(LARGE,))),
    "send": lambda mailbox: mailbox.send_draft(DraftRef(draft_id="r1"), KEY),
}


PATHS = {
    "create": f"{ME}/drafts",
    "upload": f"{ME.replace('/gmail/v1', '/upload/gmail/v1')}/drafts",
    "send": f"{ME}/drafts/send",
}


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("lost", LOST_ANSWERS)
def test_a_lost_answer_is_one_request_and_an_unknown_outcome(opened, effect, lost):
    server = RawServer(LOST_ANSWERS[lost])
    mailbox = opened(endpoint=server.url)
    try:
        with pytest.raises(OutcomeUnknown) as raised:
            EFFECTS[effect](mailbox)
    finally:
        server.close()
    assert raised.value.key == KEY
    assert [request.partition(b" ")[0] for request in server.requests] == [b"POST"]
    assert mailbox.calls == 1


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_good_answer_without_an_id_is_an_unknown_outcome(opened, effect):
    with responses.RequestsMock() as wire:
        wire.post(PATHS[effect], json={"message": {}})
        with pytest.raises(OutcomeUnknown):
            EFFECTS[effect](opened())
        assert len(wire.calls) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("lost", ["closed without a word", "reset"])
def test_the_transport_sends_each_request_once_whatever_its_method(method, lost):
    server = RawServer(LOST_ANSWERS[lost])
    line = Transport(RenewableToken())
    try:
        with pytest.raises(requests.RequestException):
            line.request(f"{server.url}/gmail/v1/users/me/drafts/r1", method, "{}")
    finally:
        server.close()
        line.close()
    assert [request.partition(b" ")[0] for request in server.requests] == [method.encode()]


def test_a_large_body_that_does_not_leave_in_time_has_had_no_effect_and_fails_alone(opened, monkeypatch):
    monkeypatch.setattr(transport, "_LONGEST_UPLOAD", -1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        mailbox = opened(endpoint=f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(Refused, match="too slow") as raised:
            mailbox.create_draft(a_mail(attachments=(LARGE,)))
    assert raised.value.code == "slow_line"


@pytest.mark.parametrize("lost", LOST_ANSWERS)
def test_a_lost_answer_to_a_read_is_tried_three_times(opened, lost):
    server = RawServer(LOST_ANSWERS[lost])
    clock = FrozenClock()
    try:
        with pytest.raises(Retry):
            opened(endpoint=server.url, clock=clock).pull_mail(None)
    finally:
        server.close()
    assert len(server.requests) == 3
    assert len(clock.slept) == 2


@pytest.mark.parametrize("lost", LOST_ANSWERS)
def test_a_lost_answer_to_a_batch_of_reads_is_tried_three_times(opened, lost):
    server = RawServer(LOST_ANSWERS[lost])
    try:
        with pytest.raises(Retry):
            opened(endpoint=server.url).find(trace(a_mail(), None))
    finally:
        server.close()
    assert [request.partition(b" HTTP")[0] for request in server.requests] == [b"POST /batch/gmail/v1"] * 3


# ------------------------------------------------------------------------------------ what is shared, and what not


def test_googles_description_is_read_once_however_many_threads_open_mailboxes(monkeypatch):
    built = []
    monkeypatch.setattr(api, "_made", {})
    monkeypatch.setattr(api, "build", lambda *args, **more: built.append(1) or build(*args, **more))
    made: list[Any] = []
    threads = [threading.Thread(target=lambda: made.append(api_at(None))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert len({id(one) for one in made}) == 1
    assert api_at("http://127.0.0.1:1").base == "http://127.0.0.1:1"


def test_what_mailboxes_share_cannot_send_anything_by_itself():
    with pytest.raises(AssertionError, match="without the transport of its mailbox"):
        api_at(None).users.getProfile(userId="me").execute()


def test_mailboxes_in_parallel_each_use_their_own_token(opened, monkeypatch):
    tokens = {f"rep{number}@acme.example": f"token-{number}" for number in range(8)}
    for number, token in enumerate(tokens.values()):
        monkeypatch.setenv(f"TOKEN_{number}", token)
    section = {address: f"${{env:TOKEN_{number}}}" for number, address in enumerate(tokens)}
    seen: dict[str, set[str]] = {}

    def answer(request):
        seen.setdefault(request.headers["Authorization"], set()).add(request.headers["X-User"])
        return 200, {}, json.dumps({"id": "r1", "message": {"id": "19a"}})

    def work(address: str) -> None:
        mailbox = opened(rep=MailIdentity(email=address, name=""), tokens=section)
        original = mailbox._session._transport._session
        original.headers["X-User"] = address
        for _ in range(20):
            mailbox.create_draft(a_mail())

    with responses.RequestsMock() as wire:
        wire.add_callback("POST", re.compile(r".*/users/rep\d%40acme.example/drafts"), callback=answer)
        threads = [threading.Thread(target=work, args=(address,)) for address in tokens]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(wire.calls) == 160
    assert seen == {f"Bearer {token}": {address} for address, token in tokens.items()}


# ----------------------------------------------------------------------------------------- the error table


@pytest.mark.parametrize(
    ("status", "reason", "on_read", "on_effect"),
    [
        (400, "invalidArgument", Refused, Refused),
        (400, "failedPrecondition", Reconnect, Reconnect),
        (401, "authError", Reconnect, Reconnect),
        (403, "rateLimitExceeded", Retry, Retry),
        (403, "userRateLimitExceeded", Retry, Retry),
        (403, "dailyLimitExceeded", Retry, Retry),
        (403, "domainPolicy", Reconnect, Reconnect),
        (403, "insufficientPermissions", Reconnect, Reconnect),
        (403, "forbidden", Refused, Refused),
        (404, "notFound", Refused, Refused),
        (429, "rateLimitExceeded", Retry, Retry),
        (500, "backendError", Retry, OutcomeUnknown),
        (503, "backendError", Retry, OutcomeUnknown),
    ],
)
def test_each_answer_says_what_the_caller_must_do(opened, status, reason, on_read, on_effect):
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/profile", status=status, json=google_error(status, reason))
        wire.post(f"{ME}/drafts", status=status, json=google_error(status, reason))
        with pytest.raises(AdapterError) as read:
            opened().pull_mail(None)
        with pytest.raises(AdapterError) as effect:
            opened().create_draft(a_mail())
        posts = [call for call in wire.calls if call.request.method == "POST"]
    assert (type(read.value), type(effect.value)) == (on_read, on_effect)
    assert read.value.code == reason
    assert len(posts) == 1
    for error in (read.value, effect.value):
        assert REP.email in str(error)
        assert "the-token" not in str(error)


def test_the_missing_scope_is_named_for_reading_and_for_writing(opened):
    with responses.RequestsMock() as wire:
        refusal = google_error(403, "insufficientPermissions")
        wire.get(f"{ME}/profile", status=403, json=refusal)
        wire.post(f"{ME}/drafts", status=403, json=refusal)
        with pytest.raises(Reconnect, match=r"gmail\.readonly"):
            opened().pull_mail(None)
        with pytest.raises(Reconnect, match=r"gmail\.compose") as raised:
            opened().create_draft(a_mail())
    assert raised.value.account == f"gmail:{REP.email}"


def test_the_wait_that_google_asks_for_is_passed_on_and_not_slept(opened):
    clock = FrozenClock()
    with responses.RequestsMock() as wire:
        wire.get(
            f"{ME}/profile", status=429, json=google_error(429, "rateLimitExceeded"), headers={"Retry-After": "90"}
        )
        with pytest.raises(Retry) as raised:
            opened(clock=clock).pull_mail(None)
    assert raised.value.after == timedelta(seconds=90)
    assert clock.slept == []


MAIL_SENDING = "User-rate limit exceeded.  Retry after 2026-11-23T09:40:00.000Z (Mail sending)"


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({}, timedelta(minutes=40)),
        # The server's clock counts for nothing: the instant is compared with the clock that waits for it.
        ({"Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, timedelta(minutes=40)),
        ({"Retry-After": "5"}, timedelta(seconds=5)),
    ],
)
def test_the_sending_limit_says_in_words_when_it_ends(opened, headers, after):
    with responses.RequestsMock() as wire:
        refusal = google_error(429, "rateLimitExceeded", MAIL_SENDING)
        wire.post(f"{ME}/drafts/send", status=429, json=refusal, headers=headers)
        with pytest.raises(Retry) as raised:
            opened().send_draft(DraftRef(draft_id="r1"), KEY)
    assert (raised.value.after, raised.value.code) == (after, "mailSendingLimit")
    assert f"{START + after:%Y-%m-%d %H:%M:%S} UTC" in str(raised.value)


PER_USER = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service 'x'."
PER_PROJECT = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service 'x'."


@pytest.mark.parametrize(
    ("status", "reason", "message", "says", "after"),
    [
        (
            429,
            "rateLimitExceeded",
            "User-rate limit exceeded. (Mail sending)",
            "mails sent in a day",
            timedelta(hours=1),
        ),
        (
            429,
            "rateLimitExceeded",
            "User-rate limit exceeded.  Retry after 2026-11-23T09:10:00.000Z",
            "for one user",
            timedelta(minutes=10),
        ),
        (
            429,
            "rateLimitExceeded",
            "User-rate limit exceeded.  Retry after 2026-11-23T08:10:00.000Z",
            "for one user",
            timedelta(0),
        ),
        (429, "rateLimitExceeded", "Too many concurrent requests for user", "at the same time", None),
        (403, "rateLimitExceeded", PER_USER, "minute's quota", None),
        (429, "rateLimitExceeded", PER_PROJECT, "Google Cloud project", None),
        (403, "dailyLimitExceeded", "Daily Limit Exceeded", "day's quota", timedelta(hours=1)),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "Resource has been exhausted (e.g. check quota).",
            "Resource has been exhausted",
            None,
        ),
    ],
)
def test_a_wait_says_which_limit_it_is_for(opened, status, reason, message, says, after):
    with responses.RequestsMock() as wire:
        wire.post(f"{ME}/drafts/send", status=status, json=google_error(status, reason, message))
        with pytest.raises(Retry, match=says) as raised:
            opened().send_draft(DraftRef(draft_id="r1"), KEY)
        assert len(wire.calls) == 1
    assert raised.value.after == after


@pytest.mark.parametrize(
    ("status", "reason", "message", "kind", "says"),
    [
        (403, "accessNotConfigured", "Gmail API has not been used in project 1 before", Reconnect, "not switched on"),
        (403, "forbidden", "Delegation denied for bo@acme.example", Reconnect, "belongs to another mailbox"),
        (400, "failedPrecondition", "Mail service not enabled", Reconnect, "Mail service not enabled"),
        (400, "invalidArgument", "Invalid thread_id value", Refused, "no such conversation"),
        (413, "uploadTooLarge", "Request Entity Too Large", Unsupported, "larger than Gmail takes"),
        (400, "invalidArgument", "Message exceeds the size limit", Unsupported, "larger than Gmail takes"),
        (409, "aborted", "Conflict", Retry, "busy"),
        (408, "timeout", "Timed out", OutcomeUnknown, "may have acted"),
    ],
)
def test_a_refusal_says_whose_move_it_is(opened, status, reason, message, kind, says):
    with responses.RequestsMock() as wire:
        wire.post(f"{ME}/drafts", status=status, json=google_error(status, reason, message))
        with pytest.raises(AdapterError, match=says) as raised:
            opened().create_draft(a_mail())
    assert type(raised.value) is kind


def test_an_address_that_gmail_takes_for_none_is_named_when_it_is_drafted_and_when_it_is_sent(opened):
    refusal = google_error(400, "invalidArgument", "Invalid To header")
    draft = {"id": "r1", "message": {"id": "19a", "payload": {"headers": [{"name": "To", "value": "Ann <ann@bolt>"}]}}}
    with responses.RequestsMock() as wire:
        wire.post(f"{ME}/drafts", status=400, json=refusal)
        wire.post(f"{ME}/drafts/send", status=400, json=refusal)
        wire.get(f"{ME}/drafts/r1", json=draft)
        with pytest.raises(Refused, match=r"ann@bolt\.example"):
            opened().create_draft(a_mail())
        with pytest.raises(Refused, match="'ann@bolt'"):
            opened().send_draft(DraftRef(draft_id="r1"), KEY)


def test_a_page_that_is_not_gmails_does_not_say_that_a_draft_is_gone(opened):
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/drafts/r1", status=404, body="<!DOCTYPE html><title>Not found</title>")
        wire.post(f"{ME}/drafts/send", status=404, body="<!DOCTYPE html><title>Not found</title>")
        for call in (
            lambda: opened().draft_address(DraftRef(draft_id="r1")),
            lambda: opened().send_draft(DraftRef(draft_id="r1"), KEY),
        ):
            with pytest.raises(Refused) as raised:
                call()
            assert raised.value.code == "address"


@pytest.mark.parametrize("body", ["", "<!DOCTYPE html>", "[]", '{"error": "gone"}', '{"error": {"errors": [3]}}'])
def test_an_error_that_google_never_documented_is_still_a_sentence(opened, body):
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/profile", status=418, body=body)
        with pytest.raises(Refused, match="HTTP 418") as raised:
            opened().pull_mail(None)
    assert raised.value.code == "418"


class RenewableToken:
    """A grant whose token gets a new number each time."""

    def __init__(self) -> None:
        self.number = 1

    def token(self) -> str:
        return f"token-{self.number}"

    def renew(self) -> bool:
        self.number += 1
        return True

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("statuses", "tokens"),
    [
        ([200], ["token-1"]),
        ([401, 200], ["token-1", "token-2"]),
        ([401, 401], ["token-1", "token-2"]),
        ([503], ["token-1"]),
        ([403], ["token-1"]),
        ([404], ["token-1"]),
    ],
)
def test_a_request_is_repeated_once_after_a_401_and_after_nothing_else(statuses, tokens):
    transport = Transport(RenewableToken())
    with responses.RequestsMock() as wire:
        for status in statuses:
            wire.post(f"{ME}/drafts/send", status=status)
        meta, _ = transport.request(f"{ME}/drafts/send", "POST", "{}")
        sent = [call.request.headers["authorization"] for call in wire.calls]
    transport.close()
    assert meta.status == statuses[-1]
    assert sent == [f"Bearer {token}" for token in tokens]
    assert transport.calls == len(tokens)
