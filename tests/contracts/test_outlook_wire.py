"""The line to Graph: one request whatever happens, where the token goes, and what each answer means."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
import requests
import responses
from broken_lines import LOST_ANSWERS, RawServer
from graph_line import BODIES, EFFECTS, GRAPH, KEY, ME, REP, FrozenClock, Token, graph_error, session_of
from urllib3.exceptions import MaxRetryError, NewConnectionError

from adapters.outlook.errors import ItemGone
from connector.errors import AdapterError, OutcomeUnknown, Reconnect, Refused, Retry

# ------------------------------------------------------------------------------- one request, whatever happens


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("lost", LOST_ANSWERS)
def test_a_lost_answer_is_one_request_and_an_unknown_outcome(effect, lost):
    server = RawServer(LOST_ANSWERS[lost])
    try:
        with session_of(endpoint=f"{server.url}/v1.0") as session, pytest.raises(OutcomeUnknown) as raised:
            EFFECTS[effect](session)
    finally:
        server.close()
    assert raised.value.key == KEY
    assert [request.partition(b" ")[0] for request in server.requests] == [b"POST"]
    assert session.calls == 1


@pytest.mark.parametrize("lost", LOST_ANSWERS)
def test_a_lost_answer_to_drafts_made_together_is_one_request_and_unknown_for_each(lost):
    server = RawServer(LOST_ANSWERS[lost])
    try:
        with session_of(endpoint=f"{server.url}/v1.0") as session:
            made = session.create_together(BODIES)
    finally:
        server.close()
    assert [(type(error), error.key) for error in made.values()] == [(OutcomeUnknown, key) for key in BODIES]
    assert len(server.requests) == 1


@pytest.mark.parametrize("lost", LOST_ANSWERS)
@pytest.mark.parametrize("read", ["one", "together"])
def test_a_lost_answer_to_a_read_is_tried_three_times(lost, read):
    server, clock = RawServer(LOST_ANSWERS[lost]), FrozenClock()
    try:
        with session_of(endpoint=f"{server.url}/v1.0", clock=clock) as session, pytest.raises(Retry):
            session.get("/messages/A") if read == "one" else session.read_batch({"a": "/messages/A"})
    finally:
        server.close()
    assert len(server.requests) == 3
    assert len(clock.slept) == 2


@pytest.mark.parametrize(
    "failure",
    [
        requests.ConnectTimeout("no route"),
        requests.ConnectionError(MaxRetryError(None, "/", NewConnectionError(None, ""))),
    ],
)
def test_a_request_that_never_left_may_be_tried_again(failure):
    with responses.RequestsMock() as wire, session_of() as session:
        wire.post(f"{ME}/messages/A/send", body=failure)
        wire.post(f"{GRAPH}/$batch", body=failure)
        with pytest.raises(Retry):
            EFFECTS["send"](session)
        assert {type(one) for one in session.create_together(BODIES).values()} == {Retry}
        assert len(wire.calls) == 2


@pytest.mark.parametrize("answer", [{}, [], {"id": ""}, {"subject": "Hello"}])
def test_a_message_made_without_an_id_is_an_unknown_outcome(answer):
    with responses.RequestsMock() as wire, session_of() as session:
        wire.post(f"{ME}/messages", status=201, json=answer)
        with pytest.raises(OutcomeUnknown):
            EFFECTS["create"](session)


def test_a_mail_accepted_with_a_wait_is_accepted_once():
    with responses.RequestsMock() as wire, session_of(clock=(clock := FrozenClock())) as session:
        wire.post(f"{ME}/messages/A/send", status=202, headers={"Retry-After": "10"})
        assert EFFECTS["send"](session) is None
        assert len(wire.calls) == 1
    assert clock.slept == []


# --------------------------------------------------------------------------------- the token, and where it goes


@pytest.mark.parametrize(
    ("renewable", "statuses", "tokens"),
    [
        (True, [200], ["token-1"]),
        (True, [401, 200], ["token-1", "token-2"]),
        (True, [401, 401], ["token-1", "token-2"]),
        (False, [401], ["token-1"]),
        (True, [503], ["token-1"]),
        (True, [403], ["token-1"]),
    ],
)
def test_a_request_is_repeated_once_after_a_401_and_after_nothing_else(renewable, statuses, tokens):
    with responses.RequestsMock() as wire, session_of(sign_in=Token(renewable=renewable)) as session:
        for status in statuses:
            wire.post(f"{ME}/messages/A/send", status=202 if status == 200 else status)
        with contextlib.suppress(AdapterError):
            EFFECTS["send"](session)
        assert [call.request.headers["Authorization"] for call in wire.calls] == [f"Bearer {one}" for one in tokens]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_token_follows_a_redirect(status, method):
    with responses.RequestsMock() as wire, session_of() as session:
        wire.add(method, f"{ME}/messages", status=status, headers={"Location": "https://elsewhere.example/"})
        with pytest.raises(Refused) as raised:
            session.get("/messages") if method == "GET" else EFFECTS["create"](session)
        assert len(wire.calls) == 1
    assert raised.value.code == "address"


# ------------------------------------------------------------------------------------------ the error table


@pytest.mark.parametrize(
    ("status", "code", "on_read", "on_effect"),
    [
        (400, "ErrorInvalidRecipients", Refused, Refused),
        (401, "InvalidAuthenticationToken", Reconnect, Reconnect),
        (403, "ErrorAccessDenied", Reconnect, Reconnect),
        (403, "ErrorExceededMessageLimit", Retry, Retry),
        (404, "ErrorItemNotFound", ItemGone, ItemGone),
        (404, "MailboxNotEnabledForRESTAPI", Reconnect, Reconnect),
        (408, "timeout", Refused, OutcomeUnknown),
        (429, "ApplicationThrottled", Retry, Retry),
        (500, "ErrorInternalServerError", Retry, OutcomeUnknown),
        (503, "ResourceUnhealthy", Retry, OutcomeUnknown),
        (504, "UnknownError", Retry, OutcomeUnknown),
    ],
)
def test_each_answer_says_what_the_caller_must_do(status, code, on_read, on_effect):
    with responses.RequestsMock() as wire, session_of() as session:
        for method in ("GET", "POST"):
            wire.add(method, f"{ME}/messages", status=status, json=graph_error(code))
        with pytest.raises(AdapterError) as read:
            session.get("/messages")
        with pytest.raises(AdapterError) as effect:
            EFFECTS["create"](session)
        assert [call.request.method for call in wire.calls].count("POST") == 1
    assert (type(read.value), type(effect.value)) == (on_read, on_effect)
    for error in (read.value, effect.value):
        assert error.code == code
        assert REP in str(error)
        assert "token-1" not in str(error)


@pytest.mark.parametrize(("after", "slept", "calls"), [("90", [], 1), ("1", [1.0, 1.0], 3), (None, None, 3)])
def test_a_long_wait_goes_up_and_a_short_one_is_slept(after, slept, calls):
    clock = FrozenClock()
    with responses.RequestsMock() as wire, session_of(clock=clock) as session:
        headers = {} if after is None else {"Retry-After": after}
        wire.get(f"{ME}/messages", status=429, json=graph_error("ApplicationThrottled"), headers=headers)
        with pytest.raises(Retry) as raised:
            session.get("/messages")
        assert len(wire.calls) == calls
    assert raised.value.after == (None if after is None else timedelta(seconds=int(after)))
    assert (
        clock.slept == slept if slept is not None else len(clock.slept) == 2 and all(0 < one < 2 for one in clock.slept)
    )


@pytest.mark.parametrize("body", ["", "<!DOCTYPE html>", "[]", '{"error": "gone"}', '{"error": {"innerError": [3]}}'])
def test_an_error_that_microsoft_never_documented_is_still_a_sentence(body):
    with responses.RequestsMock() as wire, session_of() as session:
        wire.get(f"{ME}/messages", status=418, body=body)
        with pytest.raises(Refused, match="HTTP 418") as raised:
            session.get("/messages")
    assert raised.value.code == "418"


def test_an_address_that_nothing_can_be_asked_at_is_named():
    with session_of(endpoint="http://graph.example/v1.0") as session:
        with pytest.raises(Refused, match=r"accounts\.microsoft\.endpoint"):
            session.get("/messages")
        assert {one.code for one in session.create_together(BODIES).values()} == {"address"}
