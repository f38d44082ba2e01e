"""What changes in the sandbox's org comes back over real HTTP, once."""

from datetime import UTC, date, datetime, timedelta

import pytest
from salesforce_world import creation, key, open_world, update


@pytest.fixture
def world(tmp_path, monkeypatch):
    with open_world(tmp_path, monkeypatch) as opened:
        yield opened


def test_what_people_do_to_a_task_comes_back_once(world):
    crm = world.open()
    cursor = crm.pull(None, tasks=True).cursor
    (written,) = crm.push_tasks([creation(world)])
    pull = crm.pull(cursor, tasks=True)
    (task,) = pull.tasks
    assert (task.key, task.remote_id, task.subject, task.status, task.closed) == (
        key(1), written.remote_id, "Call: Ann", "Not Started", False,
    )  # fmt: skip
    assert (task.due_date, task.owner, task.who, task.priority) == (
        date(2026, 11, 24),
        world.ana,
        world.contact,
        "High",
    )
    acts = [
        ("rep_closes_task", {}, lambda task: task.closed and task.completed_at == world.sandbox.clock.now()),
        ("rep_reopens_task", {"status": "Deferred"}, lambda task: task.status == "Deferred" and not task.closed),
        (
            "rep_changes_task",
            {"field": "ActivityDate", "value": "2026-12-01"},
            lambda task: task.due_date == date(2026, 12, 1),
        ),
        ("rep_deletes_task", {}, lambda task: task.deleted),
    ]
    for act, arguments, shows in acts:
        world.sandbox.clock.advance(timedelta(seconds=20))
        world.sandbox.act(act, key=key(1), **arguments)
        pull = crm.pull(pull.cursor, tasks=True)
        assert len(pull.tasks) == 1
        assert shows(pull.tasks[0])
        calls = crm.calls
        pull = crm.pull(pull.cursor, tasks=True)
        assert pull.tasks == ()
        assert crm.calls == calls + 1


def test_the_first_pull_brings_no_old_tasks(world):
    crm = world.open()
    crm.push_tasks([creation(world)])
    world.sandbox.clock.advance(timedelta(hours=1))
    pull = crm.pull(None, tasks=True)
    assert pull.tasks == ()
    assert crm.pull(pull.cursor, tasks=True).tasks == ()


def test_tasks_of_others_are_not_ours(world):
    crm = world.open()
    cursor = crm.pull(None, tasks=True).cursor
    world.org.org.add("Task", Subject="private", OwnerId=world.ana)
    assert crm.pull(cursor, tasks=True).tasks == ()


def test_an_archived_task_is_still_seen(world):
    crm = world.open()
    crm.push_tasks([creation(world)])
    crm.push_tasks([update(closed=True)])
    world.sandbox.clock.advance(timedelta(days=366))
    cursor = crm.pull(None, tasks=True).cursor
    world.sandbox.act("rep_changes_task", key=key(1), field="Subject", value="late words")
    assert [task.subject for task in crm.pull(cursor, tasks=True).tasks] == ["late words"]


def test_many_changes_come_page_by_page(world):
    world.org.page_size = 200
    crm = world.open()
    cursor = crm.pull(None, tasks=True).cursor
    crm.push_tasks([creation(world, number) for number in range(450)])
    calls = crm.calls
    assert len({task.key for task in crm.pull(cursor, tasks=True).tasks}) == 450
    assert crm.calls == calls + 3


def test_a_task_taken_out_of_the_bin_comes_again_as_a_live_one(world):
    crm = world.open()
    cursor = crm.pull(None, tasks=True).cursor
    crm.push_tasks([creation(world)])
    seen = []
    for act in ("rep_deletes_task", "rep_undeletes_task"):
        world.sandbox.clock.advance(timedelta(seconds=30))
        world.sandbox.act(act, key=key(1))
        pull = crm.pull(cursor, tasks=True)
        cursor = pull.cursor
        seen += [task.deleted for task in pull.tasks]
    assert seen == [True, False]


def test_that_a_task_was_archived_is_no_change(world):
    crm = world.open()
    crm.push_tasks([creation(world)])
    crm.push_tasks([update(closed=True)])
    cursor = crm.pull(crm.pull(None, tasks=True).cursor, tasks=True).cursor
    world.sandbox.clock.advance(timedelta(days=366))
    assert crm.pull(cursor, tasks=True).tasks == ()


def test_after_a_long_pause_everything_that_still_shows_is_read(world):
    crm = world.open()
    cursor = crm.pull(None, tasks=True).cursor
    crm.push_tasks([creation(world, number) for number in (1, 2, 3)])
    cursor = crm.pull(cursor, tasks=True).cursor
    world.sandbox.clock.advance(timedelta(minutes=20))
    world.sandbox.act("rep_closes_task", key=key(1))
    world.sandbox.clock.advance(timedelta(days=40))
    world.sandbox.act("rep_deletes_task", key=key(2))
    world.sandbox.clock.advance(timedelta(days=14))
    crm.close()
    back = world.open().pull(cursor, tasks=True)
    assert [(task.key, task.closed, task.deleted) for task in back.tasks] == [
        (key(1), True, False), (key(2), False, True),
    ]  # fmt: skip


def test_tasks_and_people_are_one_call_from_the_second_pass_on(world):
    crm = world.open()
    cursor = crm.pull(None, tasks=True).cursor
    calls = crm.calls
    world.sandbox.clock.advance(timedelta(minutes=1))
    crm.pull(cursor, tasks=True)
    assert crm.calls == calls + 1
    # Another process asks no more than that from the start.
    again = world.open()
    again.pull(cursor, tasks=True)
    assert again.calls == 1


def test_people_who_opted_out_or_bounced_are_told_of_once(world):
    crm = world.open()
    cursor = crm.pull(None, tasks=True).cursor
    world.sandbox.clock.advance(timedelta(minutes=1))
    world.sandbox.act("person_opts_out", id=world.contact)
    world.sandbox.act("person_changes", id=world.lead, field="EmailBouncedReason", value="550 no such user")
    world.sandbox.act("person_changes", id=world.lead, field="EmailBouncedDate", value="2023-11-27T09:00:30.000Z")
    world.sandbox.act("person_changes", id=world.other, field="Title", value="CFO")
    pull = crm.pull(cursor, tasks=True)
    assert {(one.id, one.email, one.opted_out, one.bounced_reason) for one in pull.people} == {
        (world.contact, "ann@birch.example", True, ""), (world.lead, "bob@oak.example", False, "550 no such user"),
    }  # fmt: skip
    assert {one.bounced_at for one in pull.people} == {None, datetime(2023, 11, 27, 9, 0, 30, tzinfo=UTC)}
    assert crm.pull(pull.cursor, tasks=True).people == ()


def test_a_lead_that_became_a_contact_that_was_merged_leads_to_the_one_that_stayed(world):
    crm = world.open()
    cursor = crm.pull(None, tasks=True).cursor
    world.sandbox.clock.advance(timedelta(minutes=1))
    contact = world.sandbox.act("lead_is_converted", id=world.lead)["id"]
    first = crm.pull(cursor, tasks=True)
    assert [(one.was, one.id, one.email) for one in first.people] == [(world.lead, contact, "bob@oak.example")]
    world.sandbox.clock.advance(timedelta(minutes=1))
    world.sandbox.act("people_are_merged", winner=world.contact, loser=contact)
    world.sandbox.act("person_opts_out", id=world.contact)
    pull = crm.pull(first.cursor, tasks=True)
    assert {(one.was, one.id, one.opted_out) for one in pull.people} == {
        (contact, world.contact, True), ("", world.contact, True),
    }  # fmt: skip
    assert crm.pull(pull.cursor, tasks=True).people == ()
    # Whoever slept through all of it learns the same of the lead.
    slept = {one.was: one.id for one in crm.pull(cursor, tasks=True).people}
    assert slept == {world.lead: world.contact, contact: world.contact, "": world.contact}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_hidden_field_loses_itself_only(world, when):
    crm = world.open()
    if when == "after":
        crm.pull(None, tasks=True)
    for name, field in (("Contact", "HasOptedOutOfEmail"), ("Lead", "EmailBouncedDate"), ("Task", "Description")):
        world.org.hide_field(name, field)
    cursor = crm.pull(None, tasks=True).cursor
    world.sandbox.clock.advance(timedelta(minutes=1))
    world.sandbox.act("person_opts_out", id=world.lead)
    crm.push_tasks([creation(world)])
    pull = crm.pull(cursor, tasks=True)
    assert [(one.id, one.opted_out) for one in pull.people] == [(world.lead, True)]
    assert [task.hidden for task in pull.tasks] == [{"description"}]


def test_the_head_of_a_recurring_series_is_no_task(world):
    crm = world.open()
    cursor = crm.pull(None, tasks=True).cursor
    world.org.org.add("Task", Subject="series", OwnerId=world.ana, Connector_Intent_Id__c=key(7), IsRecurrence=True)
    assert crm.pull(cursor, tasks=True).tasks == ()
