"""Every row of the table of Salesforce's codes, by every way it reaches us: what is told, what happens next, how often.

What happens next is judged by the store, the feed and the calls the sandbox saw: passing trouble is tried again by
itself and comes right, a refusal is shown and left alone for an hour, a shut door waits for a person.
"""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from adapters.salesforce.codes import CODES, UNKNOWN, Rule, Treatment
from connector.events import EventKind
from connector.intents import IntentState
from connector.store.intents import find_intents
from connector.store.lanes import read_pacing
from connector.store.tasks import Dirty, StoredTask, read_tasks
from connector.sync.actions import snooze
from connector.sync.diagnostics import list_diagnostics, retry
from connector.sync.wheel import Turn
from tests.world import ANA, World, WorldMaker, people

CAMPAIGN = 'name: Calls\ndays:\n  - day: 1\n    steps:\n      - call: {name: "Call {{first_name}}"}\n'

COLLECTION = "composite/sobjects/Task"
TOKEN = "oauth2/token"

#: Words of the org that hold what a row's `when` looks for.
WORDS = {
    "concurrent": "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
    "unable_to_lock_row": "MyTrigger: System.DmlException: UNABLE_TO_LOCK_ROW, unable to obtain exclusive access",
    "invalid_session_id": '{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}',
    "net::readtimeout": "Net::ReadTimeout",
    "not valid for use with the rest api": "This session is not valid for use with the REST API",
    "expired access/refresh token|expired authorization": "expired access/refresh token",
    r"\bip\b": "ip restricted",
    "approved": "user hasn't approved this consumer",
    "assertion|audience|signature|certificate": "invalid assertion",
}

#: Ours, for calls that have no answer, and HTTP statuses without a code: they never name a record.
_OURS = {"TIMEOUT", "CONNECTION", "ANSWER", "TLS", "ADDRESS"}
_STATUSES = {"429", "500", "502", "503", "504"}
#: Errors of a sign-in alone.
_SIGN_IN = {
    "INVALID_GRANT", "INVALID_CLIENT_ID", "INVALID_CLIENT", "UNSUPPORTED_GRANT_TYPE", "UNAUTHORIZED_CLIENT",
    "INACTIVE_ORG",
}  # fmt: skip

#: What an org says that is not in the table.
UNHEARD_OF = "SOMETHING_NEW"

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)

ITEMS = [rule for rule in (*CODES, UNKNOWN) if rule.code not in _OURS | _STATUSES | _SIGN_IN]


def named(rule: Rule) -> str:
    return f"{rule.code or 'unknown'} {rule.when[:12]}".strip()


def code_of(rule: Rule) -> str:
    return rule.code or UNHEARD_OF


def words_of(rule: Rule) -> str:
    return WORDS[rule.when] if rule.when else "the org's own words"


def one_call(make_world: WorldMaker) -> World:
    """A world where one call has just been launched and Salesforce has not heard of it."""
    world = make_world(campaign=CAMPAIGN, reps=[ANA])
    # Signed in, described and looked up: what follows is the write alone.
    world.sync()
    world.launch(people(1))
    return world


def writes(world: World) -> int:
    """How often a task was written, or tried to be."""
    return sum(1 for one in world.sandbox.log.requests if one["method"] == "PATCH" and COLLECTION in one["path"])


def only_task(world: World) -> StoredTask:
    with world.database.read() as tx:
        (stored,) = find_intents(tx, states=list(IntentState))
        return read_tasks(tx, [stored.intent.key])[stored.intent.key]


def blocked(world: World) -> timedelta | None:
    """How long the lane stands still from now."""
    with world.database.read() as tx:
        until = read_pacing(tx, "salesforce").blocked_until
    return None if until is None or until <= world.now else until - world.now


def comes_right(world: World) -> None:
    """Assert that the task is there once, and that nothing is shown as wrong any more."""
    assert [one["Subject"] for one in world.records("Task")] == ["Call: Call Pat0"]
    assert len(world.effects("task_created")) == 1
    task = only_task(world)
    assert (task.dirty, task.problem, task.code, task.advice) == (Dirty.CLEAN, None, None, None)
    assert list_diagnostics(world.office) == []


# ------------------------------------------------------------------------------------- one record of a call


@pytest.mark.parametrize("rule", ITEMS, ids=named)
def test_a_record_that_is_not_taken_is_told_and_tried_as_its_code_asks(make_world: WorldMaker, rule: Rule) -> None:
    world = one_call(make_world)
    world.sandbox.salesforce.fail_items(code_of(rule), words_of(rule), 1000)
    turn = world.sync()
    looked_up_and_redone = rule.treatment in (Treatment.RESOLVE, Treatment.GONE)
    assert writes(world) == (2 if looked_up_and_redone else rule.tries)
    signs_in = rule.treatment is Treatment.RECONNECT
    assert turn.exit_status == (4 if signs_in else 1)
    assert blocked(world) is None, "one record never stops the account"
    task = only_task(world)
    assert task.dirty is Dirty.WRITE
    assert task.code == code_of(rule)
    assert task.category == rule.category.value
    assert task.advice == rule.advice
    assert (task.problem or "").startswith(rule.sentence)
    assert (words_of(rule) in (task.problem or "")) == rule.quote
    (shown,) = list_diagnostics(world.office)
    assert (shown.code, shown.category, shown.advice) == (code_of(rule), rule.category.value, rule.advice)
    by_itself = rule.treatment is Treatment.LATER or signs_in
    assert task.due - world.now <= ((rule.after or MINUTE) if by_itself else HOUR)
    refused = looked_up_and_redone or rule.treatment in (Treatment.REFUSED, Treatment.FEW)
    assert [event.reason for event in world.facts(EventKind.CRM_REFUSED)] == ([code_of(rule)] if refused else [])

    tried = writes(world)
    world.sync()
    assert writes(world) == tried, "it is left alone until its time"

    world.sandbox.salesforce.stop_failing()
    if by_itself:
        world.after(seconds=(rule.after or MINUTE).total_seconds())
    else:
        world.after(minutes=59)
        world.sync()
        assert writes(world) == tried, "a refusal is not tried again within the hour"
        retry(world.office)
    world.sync()
    assert writes(world) == tried + 1
    comes_right(world)


@pytest.mark.parametrize("rule", [one for one in ITEMS if one.treatment is Treatment.GONE], ids=named)
def test_a_task_that_is_gone_cancels_its_step_and_is_never_made_again(make_world: WorldMaker, rule: Rule) -> None:
    world = one_call(make_world)
    world.sync()
    (key,) = [one["key"] for one in world.effects("task_created")]
    world.sandbox.salesforce.fail_items(rule.code, "entity is deleted", 1)
    snooze(world.office, key[:8], date(2026, 11, 27))
    tried = writes(world)
    world.sync()
    assert writes(world) == tried + 1
    assert [event.kind for event in world.facts(EventKind.TASK_DELETED)] == [EventKind.TASK_DELETED]
    assert only_task(world).dirty is Dirty.CLEAN
    world.after(days=1)
    world.sync()
    assert writes(world) == tried + 1


# ------------------------------------------------------------------------------------- the call as a whole


def calls_of(rule: Rule) -> tuple[int, str]:
    """Return how a row comes as the answer of a whole call: status and code."""
    if rule.code in _STATUSES:
        return int(rule.code), ""
    if rule.treatment is Treatment.RECONNECT and rule.category.value == "authentication":
        return 401, rule.code
    return {"NOT_FOUND": 404, "SERVER_UNAVAILABLE": 503, "UNKNOWN_EXCEPTION": 500}.get(rule.code, 403), code_of(rule)


WHOLE = [rule for rule in (*CODES, UNKNOWN) if rule.code not in _OURS | _SIGN_IN]


@pytest.mark.parametrize("rule", WHOLE, ids=named)
def test_a_call_that_is_not_answered_stops_the_account_as_its_code_asks(make_world: WorldMaker, rule: Rule) -> None:
    world = one_call(make_world)
    status, code = calls_of(rule)
    world.sandbox.salesforce.fail_calls(status, code, words_of(rule), 1000, path=COLLECTION)
    turn = world.sync()
    passing = rule.treatment in (Treatment.LATER, Treatment.FEW)
    if rule.treatment is Treatment.RECONNECT:
        # One renewal of a session that has ended; none where a new session would be no better.
        renewable = status == 401 and "REST API" not in words_of(rule)
        assert writes(world) == (2 if renewable else 1)
        assert turn.exit_status == 4
        assert [error.account for error in turn.reconnect] == ["salesforce"]
        assert all(error.advice for error in turn.reconnect)
        assert blocked(world) is None
    else:
        redone = rule.treatment is Treatment.RESOLVE
        assert writes(world) == (3 if passing and rule.after is None else 2 if redone else 1)
        assert turn.exit_status == 1
        assert any(rule.sentence in line for line in turn.needs_attention)
        left = blocked(world)
        if passing:
            assert left is not None
            assert left <= (rule.after or MINUTE)
        else:
            assert left is None, "reading goes on"
            assert only_task(world).due - world.now <= HOUR
        tried = writes(world)
        again = world.sync()
        assert writes(world) == tried, "it is left alone until its time"
        assert (again.as_json()["api_calls"]["salesforce"] == 0) is passing
        assert again.exit_status == 1, "a pass that waits says so"
        assert any(rule.sentence in line for line in again.needs_attention)
    assert only_task(world).dirty is Dirty.WRITE
    assert world.records("Task") == []

    world.sandbox.salesforce.stop_failing()
    world.after(seconds=max(blocked(world) or timedelta(), only_task(world).due - world.now).total_seconds())
    world.sync()
    comes_right(world)


# ------------------------------------------------------------------------------------- signing in


def signed_out(make_world: WorldMaker) -> World:
    world = one_call(make_world)
    world.reopen()
    world.sandbox.salesforce.expire_sessions()
    return world


def comes_right_once_signed_in(world: World) -> Turn:
    world.sandbox.salesforce.stop_failing()
    world.after(seconds=(blocked(world) or timedelta()).total_seconds())
    turn = world.sync()
    comes_right(world)
    return turn


@pytest.mark.parametrize("rule", [rule for rule in CODES if rule.code in _SIGN_IN], ids=named)
def test_a_refused_sign_in_waits_for_a_person_and_is_not_repeated(make_world: WorldMaker, rule: Rule) -> None:
    world = signed_out(make_world)
    before = world.sandbox.log.calls["salesforce:token"]
    world.sandbox.salesforce.fail_calls(400, rule.code.lower(), words_of(rule), 1000, path=TOKEN)
    turn = world.sync()
    assert turn.exit_status == 4
    told = turn.reconnect
    assert {(error.account, error.code) for error in told} == {("salesforce", rule.code.lower())}
    for error in told:
        assert error.sentence.startswith("signing in to Salesforce failed: ")
        assert error.advice == rule.advice
        assert error.category.value == "authentication"
    # Reading has asked; who is about to be written to and what is written need not ask again.
    assert world.sandbox.log.calls["salesforce:token"] - before == 1
    assert writes(world) == 0
    comes_right_once_signed_in(world)


@pytest.mark.parametrize("status", sorted(_STATUSES))
def test_a_sign_in_that_is_not_answered_is_tried_again_by_itself(make_world: WorldMaker, status: str) -> None:
    world = signed_out(make_world)
    world.sandbox.salesforce.fail_calls(int(status), "", "<html>busy</html>", 1000, path=TOKEN)
    turn = world.sync()
    assert turn.exit_status == 1
    assert turn.reconnect == []
    assert any(f"the Salesforce sign-in answered {status}" in line for line in turn.needs_attention)
    assert writes(world) == 0
    comes_right_once_signed_in(world)
