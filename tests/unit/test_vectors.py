"""The worked calendars of the specification, through the production sequencer on a virtual clock."""

from __future__ import annotations

import json
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.campaigns.reading import read_campaign_text
from connector.content.templates import Template, load_templates
from connector.sequencing.sequencer import zone_of
from connector.sequencing.simulate import simulate_person

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "calendar.json").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    folder = tmp_path_factory.mktemp("templates")
    (folder / "t.md").write_text("---\nsubject: s\n---\nb\n", encoding="utf-8")
    loaded, faults = load_templates(folder)
    assert faults == []
    return loaded


def test_there_are_all_sixty() -> None:
    assert len(CASES) == 60


@pytest.mark.parametrize("case", CASES, ids=range(1, len(CASES) + 1))
def test_a_worked_calendar(case: dict[str, Any], templates: dict[str, Template]) -> None:
    campaign = read_campaign_text(json.dumps(case["campaign"]), "case.yaml", templates).campaign
    assert campaign is not None
    steps = simulate_person(
        campaign,
        zone=zone_of(campaign.settings, sender=case["rep_time_zone"], recipient=""),
        launched=datetime.fromisoformat(case["launched"]),
        start=datetime.fromisoformat(case["start"]),
        overrides={place: time.fromisoformat(clock) for place, clock in case["overrides"].items()},
        complete_tasks_after=timedelta(minutes=case["complete_tasks_after_minutes"]),
    )
    assert [
        {
            "day": one.step.day,
            "step": one.step.step,
            "type": one.step.type.value,
            "mode": one.step.mode.value,
            "due": f"{one.due:%Y-%m-%dT%H:%M:%SZ}",
            "due_date": one.due_date.isoformat(),
        }
        for one in steps
    ] == case["expected"]
