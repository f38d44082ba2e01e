"""What changes in the sandbox's org comes back over real HTTP, once."""

from datetime import date, timedelta

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
