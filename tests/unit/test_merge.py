"""A task and its twin in the CRM agree after a merge, and nobody's change is lost without a word."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.intents import Priority
from connector.people import Person
from connector.ports import CrmPerson, RemoteTask
from connector.tasks.matching import PersonMatch, match_person
from connector.tasks.merge import ALLOWED, ConflictPolicy, Policy, Side, TaskValues, merge, values_of

MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC)
BASE = TaskValues(closed=False, due_date=date(2026, 11, 23), priority=Priority.NORMAL, description="Ask")
DEFAULT = ConflictPolicy()


def remote(values: TaskValues = BASE, *, modified_at: datetime = MONDAY, **changes) -> RemoteTask:
    return RemoteTask(
        **{
            "key": "k",
            "remote_id": "00T1",
            "subject": "Call: Ann",
            "status": "Completed" if values.closed else "Not Started",
            "closed": values.closed,
            "priority": values.priority.capitalize(),
            "due_date": values.due_date,
            "description": values.description,
            "owner": None,
            "who": None,
            "deleted": False,
            "modified_at": modified_at,
            **changes,
        }
    )


def ours(**changes) -> TaskValues:
    return replace(BASE, **changes)


LATER, EARLIER = MONDAY + timedelta(hours=1), MONDAY - timedelta(hours=1)
TUESDAY, FRIDAY = date(2026, 11, 24), date(2026, 11, 27)


@pytest.mark.parametrize(
    ("mine", "theirs", "push", "take"),
    [
        pytest.param({}, {}, {}, {}, id="nothing"),
        pytest.param({"closed": True}, {}, {"closed": True}, {}, id="we closed it"),
        pytest.param({}, {"closed": True}, {}, {"closed": True}, id="they closed it"),
        pytest.param({"closed": True}, {"closed": True}, {}, {}, id="our own write comes back"),
        pytest.param({}, {"due_date": TUESDAY}, {}, {"due_date": TUESDAY}, id="they moved it"),
        pytest.param({}, {"due_date": None}, {}, {"due_date": None}, id="they cleared the date"),
        pytest.param({"priority": Priority.HIGH}, {}, {"priority": Priority.HIGH}, {}, id="we raised it"),
        pytest.param(
            {"due_date": TUESDAY},
            {"description": "Note"},
            {"due_date": TUESDAY},
            {"description": "Note"},
            id="each another field",
        ),
        pytest.param({}, {"description": "Ask\r\n"}, {}, {}, id="line ends are no edit"),
    ],
)
def test_without_conflict_the_side_that_changed_is_followed(mine, theirs, push, take):
    result = merge(BASE, ours(**mine), remote(ours(**theirs)), DEFAULT)
    assert (dict(result.push), dict(result.take), result.conflicts) == (push, take, ())


@pytest.mark.parametrize(
    ("policy", "ours_at", "winner"),
    [
        (Policy.SALESFORCE, LATER, Side.SALESFORCE),
        (Policy.CONNECTOR, EARLIER, Side.CONNECTOR),
        (Policy.LATEST, LATER, Side.CONNECTOR),
        (Policy.LATEST, EARLIER, Side.SALESFORCE),
        (Policy.LATEST, None, Side.SALESFORCE),
    ],
)
@pytest.mark.parametrize(
    ("field", "setting", "mine", "their"),
    [
        ("due_date", "due_date", TUESDAY, FRIDAY),
        ("description", "comments", "Mine", "Theirs"),
    ],
)
def test_a_conflict_is_settled_by_policy_and_recorded(field, setting, mine, their, policy, ours_at, winner):
    result = merge(
        BASE,
        ours(**{field: mine}),
        remote(ours(**{field: their})),
        replace(DEFAULT, **{setting: policy}),
        ours_at=ours_at,
    )
    (conflict,) = result.conflicts
    assert (conflict.field, conflict.ours, conflict.theirs, conflict.winner) == (field, mine, their, winner)
    expected = ({field: mine}, {}) if winner is Side.CONNECTOR else ({}, {field: their})
    assert (dict(result.push), dict(result.take)) == expected


@pytest.mark.parametrize(("we_closed", "push", "take"), [(True, {"closed": True}, {}), (False, {}, {"closed": True})])
def test_closed_wins_whoever_closed_when_nothing_was_agreed_before(we_closed, push, take):
    result = merge(None, ours(closed=we_closed), remote(ours(closed=not we_closed)), DEFAULT)
    assert (dict(result.push), dict(result.take), len(result.conflicts)) == (push, take, 1)


def test_a_task_reopened_in_the_crm_is_reopened_here():
    closed = ours(closed=True)
    assert merge(closed, closed, remote(ours()), DEFAULT).take == {"closed": False}


def test_a_priority_without_a_counterpart_is_taken_once_as_it_stands():
    theirs = remote(status="Waiting on someone else", priority="Low")
    result = merge(BASE, BASE, theirs, DEFAULT)
    assert (dict(result.push), dict(result.take), result.conflicts) == ({}, {"priority": "Low"}, ())
    again = merge(values_of(theirs), applied(BASE, result.take), theirs, DEFAULT)
    assert (dict(again.push), dict(again.take)) == ({}, {})


def test_an_own_priority_against_one_without_a_counterpart_is_a_conflict():
    raised = ours(priority=Priority.HIGH)
    kept = merge(BASE, raised, remote(priority="Low"), DEFAULT)
    assert (dict(kept.push), kept.conflicts[0].winner) == ({}, Side.SALESFORCE)
    won = merge(BASE, raised, remote(priority="Low"), replace(DEFAULT, priority=Policy.CONNECTOR))
    assert won.push == {"priority": Priority.HIGH}


def test_an_org_s_own_closed_status_closes():
    assert merge(BASE, BASE, remote(status="Done", closed=True), DEFAULT).take == {"closed": True}


@pytest.mark.parametrize(
    ("policy", "ours_at", "push", "take"),
    [
        (Policy.CLOSED_WINS, EARLIER, {"closed": True}, {}),
        (Policy.CONNECTOR, EARLIER, {"closed": True}, {}),
        (Policy.SALESFORCE, LATER, {}, {"closed": False}),
        (Policy.LATEST, LATER, {"closed": True}, {}),
        (Policy.LATEST, EARLIER, {}, {"closed": False}),
    ],
)
def test_another_open_status_word_against_our_closing_is_a_conflict(policy, ours_at, push, take):
    theirs, rules = remote(status="In Progress"), replace(DEFAULT, status=policy)
    result = merge(BASE, ours(closed=True), theirs, rules, ours_at=ours_at, status="Not Started")
    assert (dict(result.push), dict(result.take)) == (push, take)
    assert [conflict.field for conflict in result.conflicts] == ["closed"]
    unseen = merge(BASE, ours(closed=True), theirs, rules, ours_at=ours_at, status=None)
    assert (dict(unseen.push), unseen.conflicts) == ({"closed": True}, ()), "nobody knows what it was before"


def test_within_the_second_of_their_stamp_we_were_not_later():
    rules = replace(DEFAULT, comments=Policy.LATEST)
    moment = MONDAY + timedelta(milliseconds=400)
    result = merge(BASE, ours(description="Mine"), remote(ours(description="Theirs")), rules, ours_at=moment)
    assert [conflict.winner for conflict in result.conflicts] == [Side.SALESFORCE]


def test_a_field_that_is_hidden_from_us_is_no_change():
    theirs = remote(ours(description="", closed=True), hidden=frozenset({"description"}))
    result = merge(BASE, ours(priority=Priority.HIGH), theirs, DEFAULT)
    assert (dict(result.push), dict(result.take)) == ({"priority": Priority.HIGH}, {"closed": True})


#: Field -> what both agreed on, and two values that differ from it.
EDITS = {
    "closed": (False, True, None),
    "due_date": (BASE.due_date, TUESDAY, FRIDAY),
    "priority": (Priority.NORMAL, Priority.HIGH, "Low"),
    "description": ("Ask", "Mine", "Theirs"),
}
SETTINGS = {"closed": "status", "due_date": "due_date", "priority": "priority", "description": "comments"}


def rows_of_the_table():
    """Every field, setting and way of changing it on neither, one or both sides, with the side that must win."""
    for field, (_, mine, theirs) in EDITS.items():
        for policy in sorted(ALLOWED[SETTINGS[field]]):
            for ours_at in (EARLIER, LATER, None):
                yield field, policy, ours_at, {}, {}, None
                yield field, policy, ours_at, {field: mine}, {}, Side.CONNECTOR
                yield field, policy, ours_at, {}, {field: mine}, Side.SALESFORCE
                yield field, policy, ours_at, {field: mine}, {field: mine}, None
                if field != "closed":
                    yield field, policy, ours_at, {field: mine}, {field: theirs}, settled(policy, ours_at)


def settled(policy: Policy, ours_at: datetime | None) -> Side:
    later = Side.CONNECTOR if ours_at == LATER else Side.SALESFORCE
    return {Policy.SALESFORCE: Side.SALESFORCE, Policy.CONNECTOR: Side.CONNECTOR, Policy.LATEST: later}[policy]


@pytest.mark.parametrize(("field", "policy", "ours_at", "mine", "theirs", "winner"), list(rows_of_the_table()))
def test_every_field_changed_here_there_both_or_neither_under_every_setting(
    field, policy, ours_at, mine, theirs, winner
):
    rules = replace(DEFAULT, **{SETTINGS[field]: policy})
    here, there = ours(**mine), remote(ours(**theirs))
    result = merge(BASE, here, there, rules, ours_at=ours_at, status="Not Started")
    assert dict(result.push) == (mine if winner is Side.CONNECTOR else {})
    assert dict(result.take) == (theirs if winner is Side.SALESFORCE else {})
    told = [(one.field, one.ours, one.theirs, one.winner) for one in result.conflicts]
    both = mine and theirs and mine != theirs
    assert told == ([(field, mine[field], theirs[field], winner)] if both else [])


values = st.builds(
    TaskValues,
    closed=st.booleans(),
    due_date=st.none() | st.sampled_from([TUESDAY, FRIDAY]),
    priority=st.sampled_from([*Priority, "Low"]),
    description=st.sampled_from(["", "a", "b"]),
)
policies = st.builds(ConflictPolicy, **{name: st.sampled_from(sorted(ALLOWED[name])) for name in ALLOWED})
instants = st.none() | st.sampled_from([EARLIER, LATER])


def applied(values: TaskValues, changes) -> TaskValues:
    return replace(values, **changes)


@settings(max_examples=200, deadline=None)
@given(base=st.none() | values, mine=values, their=values, policy=policies, ours_at=instants)
def test_after_a_merge_both_sides_agree_and_a_second_one_does_nothing(base, mine, their, policy, ours_at):
    first = merge(base, mine, remote(their), policy, ours_at=ours_at)
    mine_now, their_now = applied(mine, first.take), applied(their, first.push)
    assert mine_now == their_now
    unpushed = merge(their, mine_now, remote(their), policy, ours_at=ours_at)
    assert (unpushed.push, dict(unpushed.take), unpushed.conflicts) == (first.push, {}, ()), "settled once"
    second = merge(their, mine_now, remote(their_now), policy, ours_at=ours_at)
    assert (dict(second.push), dict(second.take), second.conflicts) == ({}, {}, ())


@settings(max_examples=100, deadline=None)
@given(base=values, changed=values, policy=policies)
def test_a_change_of_one_side_alone_is_never_a_conflict(base, changed, policy):
    pushed = merge(base, changed, remote(base), policy)
    taken = merge(base, base, remote(changed), policy)
    assert pushed.conflicts == taken.conflicts == ()
    assert not pushed.take
    assert not taken.push
    assert pushed.push == taken.take
    assert applied(base, taken.take) == changed


def record(record_id: str, kind: str = "Contact", email: str = "ann@globex.example") -> CrmPerson:
    return CrmPerson(id=record_id, kind=kind, email=email)


ANN = Person(email="ann@globex.example")
ANN_BY_ID = Person(email="ann@globex.example", salesforce_id="00Q1")


@pytest.mark.parametrize(
    ("person", "hits", "found", "ambiguous"),
    [
        pytest.param(ANN, {}, None, (), id="unknown"),
        pytest.param(ANN, {"ann@globex.example": (record("003A"),)}, "003A", (), id="one contact"),
        pytest.param(
            ANN, {"ann@globex.example": (record("00QA", "Lead"), record("003A"))}, "003A", (), id="contact before lead"
        ),
        pytest.param(ANN, {"ann@globex.example": (record("00QA", "Lead"),)}, "00QA", (), id="lead"),
        pytest.param(
            ANN, {"ann@globex.example": (record("003A"), record("003B"))}, None, ("003A", "003B"), id="never guessed"
        ),
        pytest.param(ANN, {"ann@globex.example": (record("003A"), record("003A"))}, "003A", (), id="the same twice"),
        pytest.param(
            ANN, {"ann@globex.example": (record("003A", email="ann@globex.example.org"),)}, None, (), id="not exact"
        ),
        pytest.param(ANN_BY_ID, {"00Q1": (record("003C"),)}, "003C", (), id="converted lead"),
        pytest.param(
            ANN_BY_ID,
            {"00Q1": (record("00Q1", "Lead"),), "ann@globex.example": (record("003A"),)},
            "00Q1",
            (),
            id="id first",
        ),
        pytest.param(ANN_BY_ID, {"ann@globex.example": (record("003A"),)}, "003A", (), id="id is gone"),
    ],
)
def test_a_person_is_matched_by_id_then_exact_email(person, hits, found, ambiguous):
    match = match_person(person, hits)
    assert (match.found.id if match.found else None, match.ambiguous) == (found, ambiguous)
    assert (match == PersonMatch()) == (found is None and not ambiguous)
