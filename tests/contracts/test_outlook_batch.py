"""Several calls to Graph in one: each part with its own fate, four at a time, and the quota that each counts in."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import responses
from graph_client import BEN, fresh_sandbox, message
from graph_line import BODIES, EFFECTS, GRAPH, KEY, REP, Token, graph_error, session_of

from adapters.outlook.quota import Quota
from adapters.outlook.session import GraphSession
from connector.errors import OutcomeUnknown, Reconnect, Refused, Retry
from tests.judges.graph_schema import judge_wire

KEYS = tuple(BODIES)

# -------------------------------------------------------------------------------------- drafts made together


def made_of(parts: list[dict[str, Any]], sign_in: Any = None, bodies: Any = BODIES) -> dict[str, Any]:
    """Make drafts together, answered with these parts."""
    with responses.RequestsMock() as wire, session_of(sign_in=sign_in) as session:
        wire.post(f"{GRAPH}/$batch", json={"responses": parts})
        made = session.create_together(bodies)
        assert len(wire.calls) == 1
        (call,) = wire.calls
    assert len(judge_wire("POST", "/v1.0/$batch", call.request.headers, call.request.body)) == len(bodies)
    steps = json.loads(call.request.body)["requests"]
    assert [(step["id"], step["url"]) for step in steps] == [(key, "/me/messages") for key in bodies]
    assert all('IdType="ImmutableId"' in step["headers"]["Prefer"] for step in steps)
    return made


def test_each_draft_made_together_has_its_own_fate():
    made = made_of(
        [
            {"id": KEYS[3], "status": 504, "body": graph_error("UnknownError")},
            {
                "id": KEYS[2],
                "status": 429,
                "headers": {"retry-after": "7"},
                "body": graph_error("ApplicationThrottled"),
            },
            {"id": KEYS[1], "status": 400, "body": graph_error("ErrorInvalidRecipients")},
            {"id": KEYS[0], "status": 201, "body": {"id": "A", "isDraft": True}},
        ]
    )
    assert list(made) == list(KEYS)
    assert made[KEYS[0]] == {"id": "A", "isDraft": True}
    assert [type(made[key]) for key in KEYS[1:]] == [Refused, Retry, OutcomeUnknown]
    assert made[KEYS[2]].after == timedelta(seconds=7)
    assert made[KEYS[3]].key == KEYS[3]


@pytest.mark.parametrize(
    "part",
    [
        None,
        {"status": 201},
        {"status": 201, "body": "QUJD"},
        {"status": 201, "body": {}},
        {"status": "x"},
        {"body": {}},
    ],
)
def test_a_part_without_a_readable_answer_is_unknown_and_its_neighbour_made(part):
    parts = [{"id": KEYS[0], "status": 201, "body": {"id": "A"}}] + ([{"id": KEYS[1], **part}] if part else [])
    made = made_of(parts, bodies={key: BODIES[key] for key in KEYS[:2]})
    assert made[KEYS[0]] == {"id": "A"}
    assert (type(made[KEYS[1]]), made[KEYS[1]].key) == (OutcomeUnknown, KEYS[1])


DENIED = {"status": 403, "body": graph_error("ErrorAccessDenied")}


def test_a_mailbox_that_must_be_reconnected_is_raised_unless_something_was_made():
    with pytest.raises(Reconnect):
        made_of([{"id": key, **DENIED} for key in KEYS])
    made = made_of([{"id": KEYS[0], "status": 201, "body": {"id": "A"}}, *({"id": key, **DENIED} for key in KEYS[1:])])
    assert made[KEYS[0]] == {"id": "A"}
    assert {type(made[key]) for key in KEYS[1:]} == {Reconnect}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(429, "TooManyRequests", Retry), (413, "RequestEntityTooLarge", Refused), (400, "BadRequest", Refused)],
)
def test_a_batch_refused_as_a_whole_is_refused_for_each(status, code, kind):
    with responses.RequestsMock() as wire, session_of() as session:
        wire.post(f"{GRAPH}/$batch", status=status, json=graph_error(code))
        assert all(isinstance(one, kind) for one in session.create_together(BODIES).values())
        assert len(wire.calls) == 1


def test_drafts_whose_token_ended_on_the_way_are_made_with_a_new_one_and_no_other_again():
    ended = {"status": 401, "body": graph_error("InvalidAuthenticationToken")}
    asked: list[list[str]] = []

    def answer(request):
        steps = [step["id"] for step in json.loads(request.body)["requests"]]
        asked.append([request.headers["Authorization"], *steps])
        good = request.headers["Authorization"] == "Bearer token-2"
        parts = [
            {"id": one, "status": 201, "body": {"id": one}} if good or one == KEYS[0] else {"id": one, **ended}
            for one in steps
        ]
        return 200, {}, json.dumps({"responses": parts})

    with responses.RequestsMock() as wire, session_of(sign_in=Token(renewable=True)) as session:
        wire.add_callback("POST", f"{GRAPH}/$batch", callback=answer)
        made = session.create_together(BODIES)
    assert made == {key: {"id": key} for key in KEYS}
    assert asked == [["Bearer token-1", *KEYS], ["Bearer token-2", *KEYS[1:]]]


def test_a_fifth_draft_is_never_put_beside_four():
    with session_of() as session, pytest.raises(ValueError, match="at most 4"):
        session.create_together({**BODIES, KEY: message()})
    assert session.calls == 0


# ------------------------------------------------------------------------------- on the simulated Graph


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


@pytest.fixture
def bens(sandbox):
    sign_in = Token(secret=sandbox.token("graph", "", scopes=["Mail.ReadWrite", "Mail.Send"]))
    with session_of(
        endpoint=f"{sandbox.url}/v1.0", mailbox=f"/users/{BEN}", sign_in=sign_in, clock=sandbox.clock
    ) as session:
        yield session


def subjects(session: GraphSession) -> list[str]:
    return sorted(one["subject"] for one in session.get("/mailFolders/drafts/messages?$select=subject")["value"])


WANTED = sorted(body["subject"] for body in BODIES.values())


def test_four_drafts_are_one_call_and_lie_in_drafts(bens):
    made = bens.create_together(BODIES)
    assert (bens.calls, [one["subject"] for one in made.values()]) == (1, [BODIES[key]["subject"] for key in KEYS])
    assert subjects(bens) == WANTED


@pytest.mark.parametrize(
    ("fault", "kind", "there"),
    [
        ("gateway_timeout_after_acting", OutcomeUnknown, WANTED),
        ("gateway_timeout", OutcomeUnknown, []),
        ("resource_unhealthy", OutcomeUnknown, []),
        ("throttled", Retry, []),
    ],
)
def test_a_batch_that_fails_as_a_whole_is_made_no_second_time(bens, sandbox, fault, kind, there):
    sandbox.act("outlook_fails_next", fault=fault, path="$batch")
    assert {type(one) for one in bens.create_together(BODIES).values()} == {kind}
    assert subjects(bens) == there


def test_a_throttled_part_is_a_wait_for_that_draft_alone(bens, sandbox):
    sandbox.act("outlook_fails_next", fault="too_many_requests", path="/messages")
    made = bens.create_together(BODIES)
    assert [type(one) for one in made.values()] == [Retry, dict, dict, dict]
    assert made[KEYS[0]].after == timedelta(seconds=10)
    assert subjects(bens) == WANTED[1:]


@pytest.mark.parametrize("told", [True, False])
def test_only_the_throttled_part_of_a_read_is_asked_again_after_a_wait_or_a_pause_of_its_own(bens, sandbox, told):
    sandbox.act("mail_settings", outlook_retry_after=told)
    made = bens.create_together(BODIES)
    began, calls = sandbox.clock.now(), bens.calls
    # Two of four: what Graph answers when another program of ours has the mailbox open (reference apis 3.5).
    sandbox.act("outlook_fails_next", fault="throttled_for_a_second", times=2, path="/messages/")
    answers = bens.read_batch({key: f"/messages/{one['id']}?$select=subject" for key, one in made.items()})
    assert {key: one["subject"] for key, one in answers.items()} == {key: BODIES[key]["subject"] for key in KEYS}
    assert bens.calls - calls == 2
    waited = sandbox.clock.now() - began
    assert waited >= timedelta(seconds=1) if told else timedelta() < waited < timedelta(seconds=1)
    parts = [one for one in sandbox.log.requests if one["method"] == "$batch GET"]
    assert len(parts) == 6


@pytest.mark.parametrize("body", [None, [], "QUJD"])
def test_a_part_that_cannot_be_read_is_asked_for_again(body):
    parts = [{"id": "a", "status": 200, "body": {"id": "A"}}, {"id": "b", "status": 200, "body": body}]
    with responses.RequestsMock() as wire, session_of() as session:
        wire.post(f"{GRAPH}/$batch", json={"responses": parts})
        wire.post(f"{GRAPH}/$batch", json={"responses": [{"id": "b", "status": 200, "body": {"id": "B"}}]})
        assert session.read_batch({"a": "/messages/A", "b": "/messages/B"}) == {"a": {"id": "A"}, "b": {"id": "B"}}
        asked = [[step["id"] for step in json.loads(call.request.body)["requests"]] for call in wire.calls]
    assert asked == [["a", "b"], ["b"]]


def test_calls_of_several_threads_keep_to_four_at_a_time(bens, sandbox):
    sandbox.act("mail_settings", outlook_delay=0.02)
    paths = {str(number): "/messages?$select=id" for number in range(4)}
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: bens.read_batch(paths), range(6)))
    assert all(answer["value"] == [] for answers in found for answer in answers.values())
    assert bens.calls == 6, "one that is throttled would be asked again"


def test_each_part_counts_in_the_quota_and_what_is_over_it_is_not_asked(bens, sandbox):
    bens._transport._quota = Quota(sandbox.clock, mailbox=REP, requests=6)
    bens.create_together(BODIES)
    bens.get("/messages?$select=id")
    (refused,) = {
        id(one): one for one in bens.create_together({key: BODIES[key] for key in KEYS[:2]}).values()
    }.values()
    assert (type(refused), refused.after) == (Retry, timedelta(minutes=10))
    EFFECTS["create"](bens)  # the sixth
    for call in (EFFECTS["create"], EFFECTS["send"], lambda session: session.get("/messages")):
        with pytest.raises(Retry, match="ten minutes"):
            call(bens)
    assert bens.calls == 3
