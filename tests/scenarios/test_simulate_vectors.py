"""`connector simulate` gives the calendar of every worked case of the specification, to the second."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from connector.cli import run

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "calendar.json").read_text())


def project(folder: Path, vector: dict) -> Path:
    """Write a project with the case's campaign (YAML 1.2 reads JSON) and a rep in its zone."""
    (folder / "campaigns").mkdir()
    (folder / "templates").mkdir()
    rep = {"email": "ana@acme.example", "name": "Ana", "time_zone": vector["rep_time_zone"], "mailbox": "links"}
    (folder / "connector.yaml").write_text(json.dumps({"reps": [rep]}))
    (folder / "campaigns" / "case.yaml").write_text(json.dumps(vector["campaign"]))
    (folder / "templates" / "t.md").write_text("---\nsubject: Hello\n---\nHi")
    return folder


def command(folder: Path, vector: dict) -> list[str]:
    arguments = ["-C", str(folder), "simulate", "case", "--format", "json"]
    arguments += ["--launched", vector["launched"], "--start", vector["start"]]
    arguments += ["--complete-tasks-after", str(vector["complete_tasks_after_minutes"])]
    for place, clock in vector["overrides"].items():
        arguments += ["--send-at", f"{place}={clock}"]
    return arguments


def agrees(printed: str, vector: dict) -> None:
    (calendar,) = json.loads(printed)
    assert calendar["time_zone"] == vector["rep_time_zone"]
    assert len(calendar["steps"]) == len(vector["expected"])
    told = [
        {key: step[key] for key in expected}
        for step, expected in zip(calendar["steps"], vector["expected"], strict=True)
    ]
    assert told == vector["expected"]


def test_there_are_sixty_cases() -> None:
    assert len(VECTORS) == 60


@pytest.mark.parametrize("number", range(len(VECTORS)))
def test_simulate_agrees(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vector = VECTORS[number]
    assert run(command(project(tmp_path, vector), vector)) == 0
    agrees(capsys.readouterr().out, vector)


def test_the_installed_command_agrees(tmp_path: Path) -> None:
    vector = VECTORS[0]
    arguments = [
        sys.executable,
        "-c",
        "from connector.cli import main; main()",
        *command(project(tmp_path, vector), vector),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=120)
    agrees(done.stdout, vector)
    assert done.stderr == ""
