"""An hour of edits on both sides of a task, in any order: both end equal by rule, and no edit is lost unrecorded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.errors import BadInput
from connector.events import EventKind
from connector.intents import IntentEvent, Priority
from connector.store.tasks import read_tasks
from connector.sync.actions import edit, end_by_hand, snooze
from tests.faults.line import Asked, Line, Lost
from tests.world import World, people

CALL = """\
name: Calls
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}", notes: "Ask about it"}
"""

#: Our field -> its setting, and its name in Salesforce.
FIELDS = {
    "due_date": ("due_date", "ActivityDate"),
    "priority": ("priority", "Priority"),
    "description": ("comments", "Description"),
}
FIRST_DAY = date(2026, 11, 23)
DUE = st.integers(min_value=0, max_value=4).map(lambda days: (FIRST_DAY + timedelta(days=days)).isoformat())
VALUES = {
    "due_date": DUE,
    "priority": st.sampled_from(["normal", "high"]),
    "description": st.sampled_from(["first words", "other words", "last words"]),
}
EDIT = st.one_of(
    *(st.tuples(st.sampled_from(["here", "there"]), st.just(name), values) for name, values in VALUES.items())
)
MOVE = st.one_of(EDIT, EDIT, EDIT, st.sampled_from([("sync",), ("sync, its answer lost",)]))
END = st.sampled_from([(), ("complete here",), ("close there",)])
SETTING = st.sampled_from(["salesforce", "connector", "latest"])


@dataclass(kw_only=True)
class Model:
    """What both sides must hold, by the rule of the settings alone."""

    rules: dict[str, str]
    agreed: dict[str, Any]
    here: dict[str, Any] = field(default_factory=dict)
    there: dict[str, Any] = field(default_factory=dict)
    here_at: datetime | None = None
    there_at: datetime | None = None
    conflicts: list[tuple[str, str]] = field(default_factory=list)

    def meet(self) -> None:
        """Bring both sides together; each edit that loses against another one is a conflict."""
        for name, before in self.agreed.items():
            mine, their = self.here.get(name, before), self.there.get(name, before)
            if before not in (mine, their) and mine != their:
                wins = self._wins(self.rules[FIELDS[name][0]])
                self.conflicts.append((name, wins))
                self.agreed[name] = mine if wins == "connector" else their
            else:
                self.agreed[name] = their if mine == before else mine
        self.here, self.there = {}, {}
        self.here_at = self.there_at = None

    def _wins(self, rule: str) -> str:
        if rule != "latest":
            return rule
        assert self.here_at is not None
        assert self.there_at is not None
        return "connector" if self.here_at > self.there_at else "salesforce"


@contextmanager
def opened(**conflict: str) -> Iterator[tuple[World, Line]]:
    lines: list[Line] = []

    def line(target: str) -> str:
        lines.append(Line(target))
        return lines[0].url

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        world = World.make(Path(folder) / "project", patch, campaign=CALL, line=line, salesforce={"conflict": conflict})
        try:
            yield world, lines[0]
        finally:
            world.close()
            lines[0].close()


def change_here(world: World, key: str, name: str, value: str) -> None:
    match name:
        case "due_date":
            snooze(world.office, key, date.fromisoformat(value))
        case "priority":
            edit(world.office, key, priority=Priority(value), comments=None)
        case _:
            edit(world.office, key, priority=None, comments=value)


def in_salesforce(name: str, value: str) -> str:
    return value.capitalize() if name == "priority" else value


def sync(world: World, line: Line, *, lost: bool) -> None:
    """Turn the wheel; where the answer of a write is lost, turn it again."""
    if lost:
        line.fault = lambda asked: Lost() if is_write(asked) else None
        world.sync()
        line.fault = lambda _: None
        world.after(minutes=2)
    assert world.sync().exit_status == 0


def is_write(asked: Asked) -> bool:
    return "composite/sobjects/Task" in asked.path


def judge(world: World, key: str, model: Model) -> None:
    (row,) = [one for one in world.records("Task") if one["Connector_Intent_Id__c"] == key]
    with world.database.read() as tx:
        held = read_tasks(tx, [key])[key].wanted
    assert {name: held[name] for name in FIELDS} == model.agreed
    assert {name: row[FIELDS[name][1]] for name in FIELDS} == {
        name: in_salesforce(name, value) for name, value in model.agreed.items()
    }
    told = [(fact.data["field"], fact.data["winner"]) for fact in world.facts(EventKind.CONFLICT)]
    assert sorted(told) == sorted(model.conflicts)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    moves=st.lists(MOVE, min_size=6, max_size=20),
    end=END,
    rules=st.fixed_dictionaries({"due_date": SETTING, "priority": SETTING, "comments": SETTING}),
)
def test_an_hour_of_edits_on_both_sides_ends_equal_and_loses_nothing_unrecorded(
    moves: list[tuple[str, ...]], end: tuple[str, ...], rules: dict[str, str]
) -> None:
    with opened(**rules) as (world, line):
        world.launch(people(1))
        world.sync()
        (task,) = world.tasks
        key = task.stored.intent.key
        agreed = {"due_date": FIRST_DAY.isoformat(), "priority": "normal", "description": "Ask about it"}
        model = Model(rules=rules, agreed=agreed)
        judge(world, key, model)
        for move, *edited in (*moves, ("sync",), *([end] if end else []), ("sync",), ("sync",)):
            world.after(minutes=2)
            match move:
                case "here":
                    name, value = edited
                    change_here(world, key, name, value)
                    if model.here.get(name, model.agreed[name]) != value:
                        model.here_at = world.now
                    model.here[name] = value
                case "there":
                    name, value = edited
                    theirs, shown = FIELDS[name][1], in_salesforce(name, value)
                    world.act("rep_changes_task", key=key, field=theirs, value=shown)
                    model.there[name], model.there_at = value, world.now
                case "complete here":
                    end_by_hand(world.office, key, IntentEvent.COMPLETE, by="by hand")
                case "close there":
                    world.act("rep_closes_task", key=key)
                case _:
                    sync(world, line, lost=move != "sync")
                    model.meet()
                    judge(world, key, model)
        written = len(world.effects("task_updated"))
        world.after(minutes=2)
        world.sync()
        assert len(world.effects("task_updated")) == written, "both sides are at rest"
        assert len(world.effects("task_created")) == 1
        if end:
            with pytest.raises(BadInput):
                change_here(world, key, "priority", "high")
