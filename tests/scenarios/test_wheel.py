"""The main job, end to end on the sandbox: what is planned appears in the services, and what happens there comes back."""

from __future__ import annotations

import threading

import pytest

from connector.sequencing.enrollment import EnrollmentState
from connector.store.enrollments import find_enrollments
from connector.sync.pulled import Pulled
from connector.sync.views import explain, list_tasks
from tests.world import WorldMaker, people


def states(world):
    with world.database.read() as tx:
        return {one.person: one.state for one in find_enrollments(tx, live=False)}


def effects(world, effect):
    return [entry for entry in world.sandbox.log.effects if entry["effect"] == effect]


@pytest.mark.parametrize("rep", ["ana@acme.example", "bob@acme.example"])
def test_a_campaign_runs_to_its_end(make_world: WorldMaker, database_url: str, rep: str) -> None:
    world = make_world(database_url=database_url)
    who = people(3)
    assert world.launch(who, rep=rep).enrolled == 3

    report = world.sync()
    assert report.exit_status == 0, report.needs_attention
    assert report.as_json()["intents"] == {"send": 3, "task": 3}
    assert len(effects(world, "mail_sent")) == 3
    assert {task.stored.intent.type for task in list_tasks(world.office)} == {"call"}

    for task in list_tasks(world.office):
        world.act("rep_closes_task", key=task.stored.intent.key)
    world.after(minutes=1)
    assert world.sync().pulled["tasks_completed"] == 3
    world.after(hours=24)
    report = world.sync()
    assert report.delivered["drafts"] == 3
    drafts = list_tasks(world.office)
    assert [task.mail.state for task in drafts] == ["present"] * 3
    assert all(task.task.remote_id for task in drafts)

    for task in drafts:
        world.act("rep_sends_draft", key=task.stored.intent.key)
    world.after(minutes=1)
    world.sync()
    assert set(states(world).values()) == {EnrollmentState.FINISHED}
    assert list_tasks(world.office) == []
    told = explain(world.office, who[0].email)
    assert [event.kind for event in told.past][-2:] == ["completed", "finished"]


@pytest.mark.parametrize("at_a_time", [1, 2])
def test_no_more_mailboxes_are_worked_at_a_time_than_the_settings_say(make_world: WorldMaker, monkeypatch, at_a_time):
    world = make_world(sync={"mailboxes_at_a_time": at_a_time})
    side_by_side, met, gone = threading.Barrier(at_a_time), [], threading.Lock()

    def pull(_office, _rep):
        # With one more at a time, or one less, the barrier would break.
        side_by_side.wait(timeout=5)
        with gone:
            met.append(threading.current_thread().name)
        return Pulled()

    monkeypatch.setattr("connector.sync.wheel.pull_mailbox", pull)
    world.sync()
    assert len(met) == 2
    assert len(set(met)) == at_a_time
