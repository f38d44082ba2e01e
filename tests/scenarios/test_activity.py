"""What the CRM learns of mails and calls: logged once, as what they were, with the facts it has fields for."""

from __future__ import annotations

from typing import Any

import pytest

from connector.errors import BadInput
from connector.events import EventKind
from connector.intents import IntentEvent
from connector.people import Person
from connector.ports import ActivityFact, CrmPerson
from connector.sync.actions import end_by_hand, snooze
from tests.doubles import MemoryCrm
from tests.world import TEMPLATES, World, WorldMaker

ANN = Person(email="ann@bolt.example", first_name="Ann", last_name="Bolt", company="Bolt")
ANN_THERE = CrmPerson(id="003000000000001AAA", kind="contact", email=ANN.email)

MAIL = """\
name: Mail
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
  - day: 2
    steps:
      - call: {name: "Call {{first_name}}"}
"""

DRAFT = """\
name: Draft
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
  - day: 2
    steps:
      - call: {name: "Call {{first_name}}"}
"""

CALL = """\
name: Call
days:
  - day: 1
    steps:
      - custom: {name: "Invite {{first_name}}"}
      - call: {name: "Call {{first_name}}"}
"""

EVERY_FACT = {fact.value: f"MSE_{fact.value}__c" for fact in ActivityFact}
PATTERN = (
    "{{activity_type}}|{{activity_subject}}|{{sales_campaign_name}}|{{sales_campaign_day}}.{{sales_campaign_step}}"
    "|{{call_outcome}}|{{call_reason}}"
)


def working(make_world: WorldMaker, campaign: str, **salesforce: Any) -> tuple[World, MemoryCrm]:
    """Return a world with Ann in a campaign, whose first step was delivered."""
    salesforce = {"activity_fields": EVERY_FACT, **salesforce}
    world = make_world(campaign=campaign, templates=TEMPLATES, salesforce=salesforce)
    crm = MemoryCrm(ANN_THERE)
    world.use_crm(crm)
    world.launch([ANN])
    assert world.sync().exit_status == 0
    world.after(minutes=10)
    return world, crm


def there(crm: MemoryCrm) -> list[dict[str, Any]]:
    """Return the tasks as the CRM holds them, in the order they were made."""
    rows: dict[str, dict[str, Any]] = {}
    for call in crm.written:
        for write in call:
            assert write.create is (write.key not in rows), "a task is made once"
            rows.setdefault(write.key, {}).update(write.fields)
    return list(rows.values())


def facts_of(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row.get(name, "absent") for name in names}


# ------------------------------------------------------------------------------------------------ mails


def test_a_sent_mail_is_logged_once_as_a_completed_email(make_world: WorldMaker) -> None:
    world, crm = working(make_world, MAIL, subject=PATTERN)
    world.sync()
    (row,) = there(crm)
    expected = {
        "subject": "Email|Hello Ann|Mail|1.1||",
        "closed": True,
        "subtype": "email",
        "kind": "email",
        "campaign": "Mail",
        "day": 1,
        "step": 1,
        "step_name": "Hello Ann",
        "template": "intro",
        "email_status": "Sent",
        "replied": False,
        "call_outcome": "absent",
        "call_reason": "absent",
    }
    assert facts_of(row, *expected) == expected


@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.parametrize("minutes", [5, 600])
def test_a_sent_draft_completes_its_own_task_and_makes_no_second(
    make_world: WorldMaker, minutes: int, edited: bool
) -> None:
    world, crm = working(make_world, DRAFT)
    (row,) = there(crm)
    assert facts_of(row, "closed", "email_status", "kind") == {
        "closed": False,
        "email_status": "In progress",
        "kind": "absent",
    }
    if edited:
        world.act("rep_edits_draft", person=ANN.email, body="<p>My own words</p>")
    world.after(minutes=minutes)
    world.act("rep_sends_draft", person=ANN.email)
    world.after(minutes=1)
    world.sync()
    (row,) = there(crm)
    assert facts_of(row, "closed", "email_status", "kind", "template") == {
        "closed": True,
        "email_status": "Sent",
        "kind": "email",
        "template": "last",
    }


def test_a_mail_that_nobody_saw_in_sent_is_not_said_to_be_sent_until_it_is(make_world: WorldMaker) -> None:
    world, crm = working(make_world, DRAFT)
    (task,) = world.tasks
    end_by_hand(world.office, task.stored.intent.key, IntentEvent.COMPLETE, by="by hand")
    world.sync()
    (row,) = there(crm)
    assert facts_of(row, "closed", "email_status", "kind") == {"closed": True, "email_status": None, "kind": "absent"}
    world.act("rep_sends_draft", person=ANN.email)
    world.after(minutes=1)
    world.sync()
    (row,) = there(crm)
    assert facts_of(row, "closed", "email_status", "kind") == {"closed": True, "email_status": "Sent", "kind": "email"}


@pytest.mark.parametrize("campaign", [MAIL, DRAFT])
def test_a_reply_is_logged_once_and_said_of_the_mail_it_answers(make_world: WorldMaker, campaign: str) -> None:
    world, crm = working(make_world, campaign, subject=PATTERN)
    if campaign is DRAFT:
        world.act("rep_sends_draft", person=ANN.email)
        world.after(minutes=1)
        world.sync()
    world.act("prospect_replies", person=ANN.email)
    for _ in range(2):
        world.after(minutes=1)
        world.sync()
    mail, reply = there(crm)
    assert mail["replied"] is True
    assert mail["email_status"] == "Sent"
    assert reply["subject"].startswith("Reply: Re: ")
    expected = {"closed": True, "kind": "reply", "subtype": "email", "campaign": mail["campaign"], "replied": True}
    assert facts_of(reply, *expected) == expected


def test_fields_of_ones_own_are_seen_in_the_orgs_records(make_world: WorldMaker) -> None:
    own = {"campaign": "Campaign__c", "step_name": "Step__c", "email_status": "State__c", "replied": "Replied__c"}
    rollup = {"current_campaign": "Current__c", "last_activity": "Active__c", "last_replied": "Answered__c"}
    world = make_world(campaign=MAIL, templates=TEMPLATES, salesforce={"activity_fields": own, "rollup": rollup})
    org = world.sandbox.salesforce
    for name in own.values():
        org.add_field("Task", name, "boolean" if name == "Replied__c" else "string")
    for kind in ("Lead", "Contact"):
        for name in rollup.values():
            org.add_field(kind, name, "string" if name == "Current__c" else "datetime")
    world.launch([ANN])
    sent = world.now
    assert world.sync().exit_status == 0
    (mail,) = world.records("Task")
    expected = {"Campaign__c": "Mail", "Step__c": "Hello Ann", "State__c": "Sent", "Replied__c": False}
    assert facts_of(mail, *expected) == expected
    (lead,) = world.records("Lead")
    assert (lead["Current__c"], lead["Active__c"][:16], lead.get("Answered__c")) == (
        "Mail",
        f"{sent:%Y-%m-%dT%H:%M}",
        None,
    )
    world.after(minutes=10)
    replied = world.now
    world.act("prospect_replies", person=ANN.email)
    world.after(minutes=1)
    assert world.sync().exit_status == 0
    assert {one["Replied__c"] for one in world.records("Task")} == {True}
    (lead,) = world.records("Lead")
    assert (lead.get("Current__c"), lead["Answered__c"][:16]) == (None, f"{replied:%Y-%m-%dT%H:%M}")


def test_a_bounce_is_said_of_the_mail_and_of_the_person(make_world: WorldMaker) -> None:
    world, crm = working(make_world, MAIL)
    world.act("prospect_bounces", person=ANN.email)
    bounced = world.now
    world.after(minutes=1)
    assert world.sync().exit_status == 0
    (row,) = there(crm)
    assert facts_of(row, "email_status", "closed") == {"email_status": "Bounced", "closed": True}
    ((write,),) = crm.told
    assert (write.id, write.fields["bounced_at"]) == (ANN_THERE.id, bounced)
    assert write.fields["bounced_reason"].startswith("5.1.1: ")
    assert "opted_out" not in write.fields


def test_a_refusal_for_policy_says_nothing_about_the_address(make_world: WorldMaker) -> None:
    world, crm = working(make_world, MAIL)
    world.act("prospect_bounces", person=ANN.email, status="5.7.1")
    world.after(minutes=1)
    assert world.sync().exit_status == 0
    assert world.enrollments[ANN.email].state.value == "bounced"
    (row,) = there(crm)
    assert row["email_status"] == "Bounced"
    assert crm.told == []


def test_where_the_crm_captures_mails_itself_neither_sends_nor_replies_are_logged(make_world: WorldMaker) -> None:
    world, crm = working(make_world, MAIL, log_email=False)
    world.act("prospect_replies", person=ANN.email)
    world.after(minutes=1)
    assert world.sync().pulled["replies"] == 1
    assert there(crm) == []


def test_where_the_crm_captures_mails_itself_a_task_is_completed_all_the_same(make_world: WorldMaker) -> None:
    world, crm = working(make_world, DRAFT, log_email=False)
    world.act("rep_sends_draft", person=ANN.email)
    world.after(minutes=1)
    world.sync()
    world.act("prospect_replies", person=ANN.email)
    world.after(minutes=1)
    world.sync()
    (row,) = there(crm)
    assert (row["closed"], row["replied"]) == (True, True)


# ------------------------------------------------------------------------------------------------ calls


def call_waiting(make_world: WorldMaker, **salesforce: Any) -> tuple[World, MemoryCrm, str]:
    """Return a world in which the custom task was skipped and the call waits, and the call's id."""
    world, crm = working(make_world, CALL, **salesforce)
    (task,) = world.tasks
    end_by_hand(world.office, task.stored.intent.key, IntentEvent.SKIP, by="by hand")
    world.sync()
    (task,) = world.tasks
    return world, crm, task.stored.intent.key


def test_what_came_of_a_call_stands_in_the_fields_the_subject_and_the_ledger(make_world: WorldMaker) -> None:
    world, crm, key = call_waiting(make_world, subject=PATTERN)
    before = there(crm)[1]
    assert before["subject"] == "Call|Call Ann|Call|1.2||"
    assert before.keys().isdisjoint({"kind", "call_outcome", "call_reason", "template", "email_status", "replied"})
    end_by_hand(world.office, key, IntentEvent.COMPLETE, by="by hand", outcome=" Left a\nmessage ", call_reason="Demo")
    world.sync()
    skipped, called = there(crm)
    assert "kind" not in skipped, "what was skipped is no activity"
    expected = {
        "subject": "Call|Call Ann|Call|1.2|Left a message|Demo",
        "closed": True,
        "kind": "call",
        "call_outcome": "Left a message",
        "call_reason": "Demo",
    }
    assert facts_of(called, *expected) == expected
    (fact,) = world.facts(EventKind.COMPLETED)
    assert (fact.data["outcome"], fact.data["call_reason"]) == ("Left a message", "Demo")
    assert fact.reason == "outcome: Left a message, reason: Demo"


def test_a_long_outcome_is_cut_with_the_subject(make_world: WorldMaker) -> None:
    world, crm, key = call_waiting(make_world, subject=PATTERN)
    end_by_hand(world.office, key, IntentEvent.COMPLETE, by="by hand", outcome="x" * 400)
    world.sync()
    assert len(there(crm)[1]["subject"]) == 255


def test_a_pattern_without_call_fields_leaves_the_subject_alone(make_world: WorldMaker) -> None:
    _world, crm, key = call_waiting(make_world)
    end_by_hand(_world.office, key, IntentEvent.COMPLETE, by="by hand", outcome="Connected")
    _world.sync()
    last = crm.written[-1][-1].fields
    assert "subject" not in last
    assert last["call_outcome"] == "Connected"


@pytest.mark.parametrize("said", [{"outcome": "Connected"}, {"call_reason": "Demo"}])
def test_only_a_call_has_an_outcome(make_world: WorldMaker, said: dict[str, str]) -> None:
    world, crm = working(make_world, CALL)
    (task,) = world.tasks
    calls = len(crm.written)
    with pytest.raises(BadInput, match="only a call"):
        end_by_hand(world.office, task.stored.intent.key, IntentEvent.COMPLETE, by="by hand", **said)
    world.sync()
    assert [one.stored.state.value for one in world.tasks] == ["open"]
    assert len(crm.written) == calls


# ------------------------------------------------------------------------------------------------ fields


def test_only_facts_that_have_a_field_are_said(make_world: WorldMaker) -> None:
    _, crm = working(make_world, MAIL, activity_fields={"campaign": "MSE_Campaign__c", "day": "Day__c"})
    (row,) = there(crm)
    assert row.keys() & {fact.value for fact in ActivityFact} == {"campaign", "day"}


def test_an_open_task_never_says_its_kind(make_world: WorldMaker) -> None:
    world, crm, key = call_waiting(make_world)
    snooze(world.office, key, world.now.date().replace(day=30))
    world.sync()
    assert [row for row in there(crm) if "kind" in row and not row["closed"]] == []
