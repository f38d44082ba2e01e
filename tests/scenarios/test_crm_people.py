"""People in the CRM: found, heard of and told of; a lead that is converted, whoever notices first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from connector.errors import Retry, Stale
from connector.events import EventKind
from connector.intents import IntentEvent
from connector.people import Person
from connector.ports import CrmPerson, PeopleSource, RemotePerson, TaskWrite, Written
from connector.sequencing.enrollment import EnrollmentState
from connector.store.crm_people import read_dirty_people, want_people, want_person
from connector.store.people import StoredPerson, read_people
from connector.store.tasks import read_tasks, save_tasks
from connector.sync.actions import end_by_hand, import_people, opt_out, undo_opt_out
from connector.sync.crm_people import resolve_people, take_people
from connector.sync.diagnostics import list_diagnostics, retry
from connector.sync.pulled import Pulled
from connector.sync.push_people import push_people
from connector.sync.roster import pull_people
from connector.sync.views import list_tasks
from tests.doubles import MemoryCrm
from tests.world import World, WorldMaker, people

CALLS = """\
name: Calls
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}"}
"""

STEEL = """\
name: Steel
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}", notes: "They make {{sfdc.Industry}}"}
"""


def record_of(world, email):
    with world.database.read() as tx:
        return read_people(tx, [email])[email].person.salesforce_id


def tasks_of(world):
    return [task for task in world.sandbox.state()["salesforce"]["records"]["Task"] if not task["IsDeleted"]]


def test_the_pull_notices_first(make_world: WorldMaker) -> None:
    world = make_world()
    who = people(1)
    world.launch(who)
    world.sync()
    lead = record_of(world, who[0].email)
    assert lead.startswith("00Q")
    world.act("lead_is_converted", email=who[0].email)
    world.after(minutes=1)
    assert world.sync().pulled["people_repointed"] == 1
    contact = record_of(world, who[0].email)
    assert contact.startswith("003")
    assert {task["WhoId"] for task in tasks_of(world)} == {contact}


def test_the_push_notices_first(make_world: WorldMaker) -> None:
    world = make_world(salesforce={"tasks": "push"})
    who = people(1)
    world.launch(who)
    world.sync()
    world.act("lead_is_converted", email=who[0].email)
    for task in list_tasks(world.office):
        world.act("rep_closes_task", key=task.stored.intent.key)
    (call,) = list_tasks(world.office)
    end_by_hand(world.office, call.stored.intent.key, IntentEvent.COMPLETE, by="by hand")
    world.after(days=1)
    report = world.sync()
    assert report.needs_attention == []
    assert record_of(world, who[0].email).startswith("003")
    (email,) = list_tasks(world.office)
    assert email.task.remote_id is not None


@pytest.mark.parametrize("delivered", [False, True], ids=["before its task is delivered", "after it was"])
def test_the_task_of_a_merged_person_lands_on_the_record_that_stays_once(
    make_world: WorldMaker, *, delivered: bool
) -> None:
    world = make_world(campaign=CALLS)
    who = people(1)
    world.launch(who)
    if delivered:
        world.sync()
    else:
        world.sync(only="gmail")
        resolve_people(world.office, [who[0].email], world.now)
    loser = record_of(world, who[0].email)
    winner = world.sandbox.salesforce.add_lead(LastName="Stays", Company="Acme", Email="stays@client.example")
    world.act("people_are_merged", winner=winner, loser=loser)
    for _ in range(2):
        world.after(minutes=1)
        assert world.sync().exit_status == 0
    assert record_of(world, who[0].email) == winner != loser
    assert [task["WhoId"] for task in tasks_of(world)] == [winner]
    assert len(world.effects("task_created")) == 1


def test_an_opt_out_the_crm_could_not_hear_is_told_by_a_later_pass(make_world: WorldMaker) -> None:
    world = make_world()
    who = people(1)
    world.launch(who)
    world.sync()
    opt_out(world.office, who[0].email, reason="asked by phone")
    office = replace(world.office, crm=Deaf(world.office.crm))
    (problem,) = push_people(office, world.now, only=who[0].email).attention
    assert who[0].email in problem
    assert [lead["HasOptedOutOfEmail"] for lead in world.sandbox.state()["salesforce"]["records"]["Lead"]] == [False]
    world.after(hours=2)
    assert world.sync().needs_attention == []
    assert [lead["HasOptedOutOfEmail"] for lead in world.sandbox.state()["salesforce"]["records"]["Lead"]] == [True]


class Deaf:
    """A CRM that does not answer opt-outs."""

    def __init__(self, crm):
        self._crm = crm

    def __getattr__(self, name):
        return getattr(self._crm, name)

    def push_people(self, writes):
        raise Retry("Salesforce is not available")


# ------------------------------------------------------------------------------- what the CRM says of people


def heard(world: World, *said: RemotePerson) -> Pulled:
    """Let a pull bring these records."""
    pulled = Pulled()
    with world.database.write() as tx:
        take_people(tx, world.office, said, world.now, pulled)
    return pulled


def stored(world: World, email: str) -> StoredPerson:
    with world.database.read() as tx:
        return read_people(tx, [email])[email]


def waiting(world: World) -> dict[str, dict[str, object]]:
    """Return what the CRM must still be told of people."""
    with world.database.read() as tx:
        return {row.email: row.changes for row in read_dirty_people(tx, world.now + timedelta(days=30), 100)}


def in_campaign(make_world: WorldMaker, count: int = 1, **settings: object) -> tuple[World, list[str]]:
    """Return a world with people in a campaign, known to Salesforce by their ids."""
    world = make_world(campaign=CALLS, **settings)
    who = people(count)
    world.launch(who)
    world.sync()
    return world, [person.email for person in who]


def test_an_opt_out_there_ends_the_campaigns_here_at_once_and_is_not_told_back(make_world: WorldMaker) -> None:
    world, (ann, ben) = in_campaign(make_world, 2)
    world.act("person_opts_out", email=ann)
    world.after(minutes=1)
    assert world.sync().pulled["opt_outs"] == 1
    assert {email: one.state.value for email, one in world.enrollments.items()} == {ann: "opted_out", ben: "active"}
    (fact,) = world.facts(EventKind.OPTED_OUT)
    assert (fact.person, fact.reason) == (ann, "opted out in the CRM")
    assert waiting(world) == {}
    world.after(minutes=1)
    assert world.sync().pulled["opt_outs"] == 0, "it is news once"
    assert len(world.facts(EventKind.OPTED_OUT)) == 1


def test_a_bounce_there_ends_the_campaigns_here_with_its_reason(make_world: WorldMaker) -> None:
    world, (ann,) = in_campaign(make_world)
    said = RemotePerson(id=record_of(world, ann), email=ann, bounced_at=world.now, bounced_reason="550 no such user")
    assert heard(world, said).counts["bounces"] == 1
    assert world.enrollments[ann].state.value == "bounced"
    (fact,) = world.facts(EventKind.BOUNCED)
    assert fact.reason == "550 no such user"
    assert (stored(world, ann).bounced, stored(world, ann).bounce_reason) == (world.now, "550 no such user")
    assert waiting(world) == {}
    assert heard(world, said).counts["bounces"] == 0


def test_a_bounce_of_another_address_of_the_record_is_not_theirs(make_world: WorldMaker) -> None:
    world, (ann,) = in_campaign(make_world)
    said = RemotePerson(id=record_of(world, ann), email="ann@elsewhere.example", bounced_at=world.now)
    assert heard(world, said).counts["bounces"] == 0
    assert world.enrollments[ann].state.value == "active"


@pytest.mark.parametrize("id_", ["00Q000000000999AAA", ""])
def test_a_person_is_also_known_by_their_address_and_a_stranger_is_nobody(make_world: WorldMaker, id_: str) -> None:
    world, (ann,) = in_campaign(make_world)
    stranger = RemotePerson(id="00Q000000000998AAA", email="nobody@elsewhere.example", opted_out=True)
    assert heard(world, stranger).counts["opt_outs"] == 0
    assert heard(world, RemotePerson(id=id_, email=ann.upper(), opted_out=True)).counts["opt_outs"] == 1
    assert world.enrollments[ann].state.value == "opted_out"


def test_a_merged_record_is_followed_once_and_told_what_the_other_was_told(make_world: WorldMaker) -> None:
    world, (ann,) = in_campaign(make_world)
    lead = record_of(world, ann)
    opt_out(world.office, ann, reason="asked by phone")
    world.sync()
    assert waiting(world) == {}
    said = RemotePerson(id="003000000000777AAA", email=ann, was=lead)
    assert heard(world, said).counts["people_repointed"] == 1
    assert heard(world, said).counts["people_repointed"] == 0
    assert record_of(world, ann) == "003000000000777AAA"
    (fact,) = world.facts(EventKind.PERSON_REPOINTED)
    assert fact.data["record"] == "003000000000777AAA"
    assert waiting(world) == {ann: {"opted_out": True}}, "whoever opted out has, whichever record stayed"


# ------------------------------------------------------------------------------- what the CRM is told of people

ANN = Person(email="ann@bolt.example", first_name="Ann", last_name="Bolt", company="Bolt")
ANN_THERE = CrmPerson(id="003000000000001AAA", kind="contact", email=ANN.email)


def with_memory(make_world: WorldMaker, *there: CrmPerson, **settings: object) -> tuple[World, MemoryCrm]:
    """Return a world whose CRM is a list, with Ann in a campaign."""
    world = make_world(campaign=CALLS, **settings)
    crm = MemoryCrm(*there, users={"ana@acme.example": "005000000000001AAA"})
    world.use_crm(crm)
    world.launch([ANN])
    return world, crm


def test_only_facts_that_changed_are_told(make_world: WorldMaker) -> None:
    world, crm = with_memory(make_world, ANN_THERE)
    opt_out(world.office, ANN.email, reason="asked by phone")
    assert push_people(world.office, world.now).written == 1
    with world.database.write() as tx:
        want_person(tx, ANN.email, world.now, bounced_at=world.now.isoformat(), bounced_reason="5.1.1: no such user")
    assert push_people(world.office, world.now).written == 1
    assert push_people(world.office, world.now).written == 0
    fields = [dict(write.fields) for call in crm.told for write in call]
    assert fields == [{"opted_out": True}, {"bounced_at": world.now, "bounced_reason": "5.1.1: no such user"}]


def test_people_are_told_of_before_tasks(make_world: WorldMaker) -> None:
    world, crm = with_memory(make_world, ANN_THERE)
    order: list[str] = []
    crm.push_people = lambda writes: order.append("people") or [Written(key=write.id) for write in writes]
    crm.push_tasks = lambda writes: order.append("tasks") or [Written(key=write.key) for write in writes]
    with world.database.write() as tx:
        want_person(tx, ANN.email, world.now, opted_out=True)
    world.sync()
    assert order == ["people", "tasks"]


def test_a_person_without_a_record_waits_without_trouble_until_there_is_one(make_world: WorldMaker) -> None:
    world, crm = with_memory(make_world)
    opt_out(world.office, ANN.email, reason="asked by phone")
    for _ in range(3):
        assert [line for line in world.sync().needs_attention if "tasks say nobody" not in line] == []
        world.after(minutes=10)
    assert crm.told == []
    assert list_diagnostics(world.office) == []
    asked = [asked for asked in crm.asked if ANN.email in asked]
    assert len(asked) == 1, "nobody is asked about in every pass"
    crm.people.append(ANN_THERE)
    world.after(days=1)
    world.sync()
    assert [write.id for (write,) in crm.told] == [ANN_THERE.id]


def test_several_records_are_listed_and_nobody_is_guessed(make_world: WorldMaker) -> None:
    world, crm = with_memory(make_world, ANN_THERE, replace(ANN_THERE, id="003000000000002AAA"))
    opt_out(world.office, ANN.email, reason="asked by phone")
    report = world.sync()
    assert crm.told == []
    (one,) = [one for one in list_diagnostics(world.office) if one.id == ANN.email]
    assert (one.what, one.code) == ("opt-out", "several_records")
    assert one.summary in report.needs_attention
    assert ANN_THERE.id in one.sentence
    import_people(world.office, [replace(ANN, salesforce_id=ANN_THERE.id)])
    retry(world.office)
    assert world.sync().exit_status == 0
    assert [write.id for (write,) in crm.told] == [ANN_THERE.id]


def test_the_task_of_a_person_with_several_records_waits_until_one_is_named(make_world: WorldMaker) -> None:
    world, crm = with_memory(make_world, ANN_THERE, replace(ANN_THERE, id="003000000000002AAA"))
    report = world.sync()
    assert crm.written == []
    (one,) = list_diagnostics(world.office)
    assert (one.code, one.rep, ANN_THERE.id in one.sentence) == ("several_records", "ana@acme.example", True)
    assert (report.exit_status, one.summary in report.needs_attention) == (1, True)
    import_people(world.office, [replace(ANN, salesforce_id=ANN_THERE.id)])
    retry(world.office)
    assert world.sync().exit_status == 0
    assert [write.fields["who"] for call in crm.written for write in call] == [ANN_THERE.id]
    assert list_diagnostics(world.office) == []


def test_records_merged_in_the_crm_free_the_task_that_waited_for_it(make_world: WorldMaker) -> None:
    world, crm = with_memory(make_world, ANN_THERE, replace(ANN_THERE, id="003000000000002AAA"))
    world.sync()
    crm.people[:] = [ANN_THERE]
    world.after(hours=1)
    assert world.sync().exit_status == 0
    assert [write.fields["who"] for call in crm.written for write in call] == [ANN_THERE.id]


@pytest.mark.parametrize("named", [True, False], ids=["by the people file", "by a look-up"])
def test_a_task_of_a_person_without_a_record_says_nobody_until_there_is_one(
    make_world: WorldMaker, named: bool
) -> None:
    world, crm = with_memory(make_world)
    first = world.sync()
    ((write,),) = crm.written
    assert (write.create, "who" in write.fields) == (True, False)
    assert [ANN.email in line for line in first.needs_attention] == [True], "it is listed"
    world.after(minutes=1)
    assert world.sync().needs_attention == [], "once"
    crm.people.append(ANN_THERE)
    if named:
        import_people(world.office, [replace(ANN, salesforce_id=ANN_THERE.id)])
    else:
        resolve_people(world.office, [ANN.email], world.now)
    world.sync()
    assert [(one.create, dict(one.fields)) for one in crm.written[-1]] == [(False, {"who": ANN_THERE.id})]
    made = len(crm.written)
    world.sync()
    assert len(crm.written) == made, "it is told once"


def test_a_stale_record_is_asked_about_anew_and_told_in_the_same_pass(make_world: WorldMaker) -> None:
    lead = replace(ANN_THERE, id="00Q000000000001AAA", kind="lead")
    world, crm = with_memory(make_world, lead)
    world.sync()
    crm.errors[lead.id] = Stale("the lead was converted", code="CANNOT_UPDATE_CONVERTED_LEAD")
    crm.people[:] = [ANN_THERE]
    opt_out(world.office, ANN.email, reason="asked by phone")
    assert world.sync().exit_status == 0
    assert [write.id for call in crm.told for write in call] == [lead.id, ANN_THERE.id]
    assert len(world.facts(EventKind.PERSON_REPOINTED)) == 1


def test_a_task_addressed_anew_stays_with_whom_it_was_given_to(make_world: WorldMaker) -> None:
    lead = replace(ANN_THERE, id="00Q000000000001AAA", kind="lead")
    world, crm = with_memory(make_world, lead, salesforce={"tasks": "push"})
    world.sync()
    (call,) = list_tasks(world.office)
    key = call.stored.intent.key
    with world.database.write() as tx:
        (task,) = read_tasks(tx, [key]).values()
        given = {"owner": "005000000000009AAA"}
        save_tasks(tx, [replace(task, wanted={**task.wanted, **given}, synced={**(task.synced or {}), **given})])
    crm.errors[key] = Stale("the lead was converted", code="CANNOT_UPDATE_CONVERTED_LEAD")
    crm.people[:] = [ANN_THERE]
    written = crm.push_tasks

    def push_tasks(writes: Sequence[TaskWrite]) -> Sequence[Written]:
        results = written(writes)
        crm.errors.clear()
        return results

    crm.push_tasks = push_tasks
    end_by_hand(world.office, key, IntentEvent.COMPLETE, by="by hand")
    world.sync()
    first, again = (dict(one.fields) for call in crm.written[-2:] for one in call)
    assert ("who" in first, again["who"]) == (False, ANN_THERE.id)
    assert "owner" not in again


def test_an_undone_opt_out_takes_nothing_back_in_the_crm(make_world: WorldMaker) -> None:
    world, crm = with_memory(make_world, ANN_THERE)
    opt_out(world.office, ANN.email, reason="asked by phone")
    world.sync()
    undo_opt_out(world.office, ANN.email, reason="asked for it again")
    world.sync()
    assert [dict(write.fields) for call in crm.told for write in call] == [{"opted_out": True}]
    heard(world, RemotePerson(id=ANN_THERE.id, email=ANN.email, opted_out=True))
    assert stored(world, ANN.email).opted_out is not None, "an opt-out on either side wins, until both are cleared"


def test_two_addresses_of_one_record_are_told_one_after_the_other(make_world: WorldMaker) -> None:
    world, crm = with_memory(make_world, ANN_THERE)
    twin = Person(email="ann.bolt@home.example", salesforce_id=ANN_THERE.id)
    import_people(world.office, [twin])
    with world.database.write() as tx:
        want_people(tx, {email: {"opted_out": True} for email in (ANN.email, twin.email)}, world.now)
    assert push_people(world.office, world.now).written == 2
    assert [len(call) for call in crm.told] == [1, 1]


def test_a_dead_id_leads_to_the_address(make_world: WorldMaker) -> None:
    world, crm = with_memory(make_world, ANN_THERE)
    import_people(world.office, [replace(ANN, salesforce_id="003000000000666AAA")])
    world.sync()
    assert record_of(world, ANN.email) == ANN_THERE.id
    assert crm.written[0][0].fields["who"] == ANN_THERE.id


@pytest.mark.parametrize("other", ["003000000000002AAA", "00Q000000000002AAA"], ids=["a twin", "a lead beside"])
def test_an_opt_out_of_any_record_of_the_address_holds(make_world: WorldMaker, other: str) -> None:
    refuses = replace(ANN_THERE, id=other, kind="contact" if other.startswith("003") else "lead", opted_out=True)
    world, _ = with_memory(make_world, ANN_THERE, refuses)
    resolve_people(world.office, [ANN.email], world.now)
    assert stored(world, ANN.email).opted_out is not None
    assert [one.state for one in world.enrollments.values()] == [EnrollmentState.OPTED_OUT]


def test_of_two_records_pulled_with_one_address_either_opts_out(make_world: WorldMaker) -> None:
    world = make_world()
    crm = MemoryCrm(ANN_THERE, replace(ANN_THERE, id="003000000000002AAA", opted_out=True))
    world.use_crm(crm)
    pulled = pull_people(world.office, PeopleSource(ids=tuple(one.id for one in crm.people)))
    assert (pulled.opted_out, [who for who, _ in pulled.left_out]) == ((ANN.email,), [ANN.email])
    assert stored(world, ANN.email).opted_out is not None


def test_the_shorter_form_of_an_id_in_a_file_does_not_replace_the_longer(make_world: WorldMaker) -> None:
    world, _ = with_memory(make_world)
    for known in (ANN_THERE.id, ANN_THERE.id[:15], ""):
        import_people(world.office, [replace(ANN, salesforce_id=known)])
    heard(world, RemotePerson(id=ANN_THERE.id, email="ann@elsewhere.example", opted_out=True))
    assert stored(world, ANN.email).opted_out is not None
    import_people(world.office, [replace(ANN, salesforce_id="003000000000003AAA")])
    assert record_of(world, ANN.email) == "003000000000003AAA"


# ------------------------------------------------------------------------------------------- few look-ups


def test_two_thousand_people_are_looked_up_in_few_calls_and_once_a_pass(make_world: WorldMaker) -> None:
    who = people(2000)
    there = [CrmPerson(id=f"003{n:012}AAA", kind="contact", email=one.email) for n, one in enumerate(who)]
    there = [replace(one, fields={"Industry": "Steel"}) for one in there]
    world = make_world(campaign=STEEL)
    crm = MemoryCrm(*there, users={"ana@acme.example": "005000000000001AAA"})
    world.use_crm(crm)
    world.launch(who)
    assert world.sync().exit_status == 0
    assert sum(len(call) for call in crm.written) == 2000
    assert all(write.fields["who"] for call in crm.written for write in call)
    assert Counter(email for asked in crm.asked for email in asked).most_common(1)[0][1] == 1
    assert len(crm.asked) <= 2
    assert crm.asked_users == [("ana@acme.example",)]
    asked = len(crm.asked)
    world.after(hours=1)
    world.sync()
    assert len(crm.asked) == asked
