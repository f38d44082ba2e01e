"""What the CRM did not take is listed with code, class and two sentences, and is tried again when somebody asks."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.errors import AdapterError, BadInput, ErrorClass, Reconnect, Refused, Retry
from connector.intents import IntentEvent
from connector.people import Person
from connector.ports import CrmPerson
from connector.store.lanes import read_pacing
from connector.sync.actions import end_by_hand, opt_out
from connector.sync.diagnostics import list_diagnostics, retry
from tests.doubles import MemoryCrm
from tests.world import World, WorldMaker

CALL = """\
name: Call
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}"}
"""

ANN = Person(email="ann@bolt.example", first_name="Ann", last_name="Bolt", company="Bolt")
BEN = Person(email="ben@bolt.example", first_name="Ben", last_name="Bolt", company="Bolt")
ANN_THERE = CrmPerson(id="003000000000001AAA", kind="contact", email=ANN.email)
BEN_THERE = CrmPerson(id="003000000000002AAA", kind="contact", email=BEN.email)

RULE = Refused(
    "a rule of the org wants a phone number",
    code="FIELD_CUSTOM_VALIDATION_EXCEPTION",
    advice="Let the rule pass the integration user.",
)


def refusing(make_world: WorldMaker, error: AdapterError) -> tuple[World, MemoryCrm, dict[str, str]]:
    """Return a world in which the CRM took Ben's task and not Ann's, and person -> id of the task."""
    world = make_world(campaign=CALL)
    crm = MemoryCrm(ANN_THERE, BEN_THERE)
    world.use_crm(crm)
    world.launch([ANN, BEN])
    world.sync(only="gmail")
    ids = {task.stored.intent.person: task.stored.intent.key for task in world.tasks}
    crm.errors[ids[ANN.email]] = error
    world.sync()
    return world, crm, ids


def test_a_refused_task_is_listed_with_all_that_is_known_of_it(make_world: WorldMaker) -> None:
    world, _crm, ids = refusing(make_world, RULE)
    refused = world.now
    (one,) = list_diagnostics(world.office)
    assert (one.id, one.what, one.person, one.rep) == (
        ids[ANN.email],
        'task "Call: Call Ann"',
        ANN.email,
        "ana@acme.example",
    )
    assert (one.code, one.category) == ("FIELD_CUSTOM_VALIDATION_EXCEPTION", ErrorClass.ACCESS.value)
    assert (one.sentence, one.advice) == (RULE.sentence, RULE.advice)
    assert one.since == refused
    assert one.next_try > refused
    world.after(hours=2)
    assert one.summary in world.sync().needs_attention
    (again,) = list_diagnostics(world.office)
    assert (again.since, again.next_try > world.now) == (refused, True), "since it was first refused"


def test_what_is_taken_after_all_leaves_the_list(make_world: WorldMaker) -> None:
    world, crm, _ids = refusing(make_world, RULE)
    crm.errors.clear()
    assert world.sync().exit_status == 1, "it is not tried before its time"
    world.after(hours=2)
    assert world.sync().exit_status == 0
    assert list_diagnostics(world.office) == []


def test_retry_makes_what_it_names_due_at_once(make_world: WorldMaker) -> None:
    world, crm, ids = refusing(make_world, RULE)
    crm.errors[ids[BEN.email]] = RULE
    end_by_hand(world.office, ids[BEN.email], IntentEvent.COMPLETE, by="by hand")
    world.sync()
    assert {one.person for one in list_diagnostics(world.office)} == {ANN.email, BEN.email}
    crm.errors.clear()
    (one,) = retry(world.office, [ids[ANN.email][:8]])
    assert (one.id, one.next_try) == (ids[ANN.email], world.now)
    world.sync()
    assert [one.person for one in list_diagnostics(world.office)] == [BEN.email]
    assert len(retry(world.office)) == 1
    assert world.sync().exit_status == 0


def test_a_refused_fact_about_a_person_is_listed_by_their_address(make_world: WorldMaker) -> None:
    world, crm, ids = refusing(make_world, RULE)
    crm.errors = {ANN_THERE.id: RULE}
    opt_out(world.office, ANN.email, reason="asked by phone")
    world.sync()
    (one,) = [one for one in list_diagnostics(world.office) if one.id not in ids.values()]
    assert (one.id, one.what, one.person, one.rep, one.code) == (ANN.email, "opt-out", ANN.email, "", RULE.code)
    crm.errors.clear()
    retry(world.office, [ANN.email.upper()])
    world.sync()
    assert list_diagnostics(world.office) == []
    assert {write.id: dict(write.fields) for write in crm.told[-1]} == {ANN_THERE.id: {"opted_out": True}}


@pytest.mark.parametrize("id_", ["0123456789abcdef", "ann", "", "nobody@bolt.example"])
def test_an_id_that_names_nothing_changes_nothing(make_world: WorldMaker, id_: str) -> None:
    world, _crm, ids = refusing(make_world, RULE)
    before = list_diagnostics(world.office)
    with pytest.raises(BadInput, match="names no record"):
        retry(world.office, [ids[ANN.email], id_])
    assert list_diagnostics(world.office) == before


def test_an_id_that_names_several_says_so(make_world: WorldMaker) -> None:
    world, crm, _ids = refusing(make_world, RULE)
    twin = Person(email="ann@bolt.example.org", first_name="Ann")
    crm.people.append(CrmPerson(id="003000000000003AAA", kind="contact", email=twin.email))
    crm.errors = {one.id: RULE for one in crm.people}
    for person in (ANN, twin):
        opt_out(world.office, person.email, reason="asked by phone")
    world.sync()
    with pytest.raises(BadInput, match="names several"):
        retry(world.office, ["ann@"])
    assert [one.id for one in retry(world.office, [ANN.email])] == [ANN.email], "the whole id names one"


@pytest.mark.parametrize(
    "error",
    [
        Retry("too many calls today", code="REQUEST_LIMIT_EXCEEDED", after=timedelta(hours=1)),
        Reconnect("sign in again", account="salesforce", code="INVALID_GRANT"),
        Refused("the API is off", code="API_CURRENTLY_DISABLED"),
    ],
    ids=lambda error: error.code,
)
def test_trouble_of_the_whole_lane_is_said_once_and_not_of_each_record(
    make_world: WorldMaker, error: AdapterError
) -> None:
    world, crm, ids = refusing(make_world, RULE)
    crm.errors.clear()
    for person in (ANN, BEN):
        opt_out(world.office, person.email, reason="asked by phone")
    before = [one.id for one in list_diagnostics(world.office)]
    # A call that was refused is so for each task in it; only then is it no trouble of the whole account.
    refused = [ids[BEN.email]] if isinstance(error, Refused) else []

    def fail(_writes: object) -> None:
        raise error

    crm.push_people = crm.push_tasks = fail
    report = world.sync()
    assert [line for line in report.needs_attention if error.sentence in line] == [f"salesforce: {error.sentence}"]
    assert [one.id for one in list_diagnostics(world.office)] == before + refused
    world.after(minutes=1)
    again = [line for line in world.sync().needs_attention if error.sentence in line]
    assert len(again) == 1, "it is said once in each pass until it is over"
    with world.database.read() as tx:
        assert read_pacing(tx, "salesforce").problem == error.sentence


def test_retry_of_all_lets_the_lane_go_on_too(make_world: WorldMaker) -> None:
    world, crm, _ids = refusing(make_world, RULE)
    opt_out(world.office, BEN.email, reason="asked by phone")
    told = crm.push_people

    def fail(_writes: object) -> None:
        raise Retry("too many calls today", code="REQUEST_LIMIT_EXCEEDED", after=timedelta(hours=12))

    crm.push_people = fail
    world.sync()
    crm.push_people = told
    calls = crm.calls
    world.after(hours=1)
    world.sync()
    assert crm.calls == calls, "nobody calls while the CRM wants to be left alone"
    retry(world.office)
    world.sync()
    assert [write.id for call in crm.told for write in call] == [BEN_THERE.id]
