"""`connector demo` does the whole job, checks itself, and leaves nothing behind unless asked."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from connector.cli import run


def test_the_demo_shows_all_services_and_what_moved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run(["demo"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for words in ("Salesforce", "Gmail", "Outlook", "links", "Gmail draft", "Outlook draft", "compose address"):
        assert words in shown.out
    for words in ("was completed by sending the draft", "replied: Re:", "is out of office", "bounced (5.1.1)"):
        assert words in shown.out
    assert "the untouched draft to" in shown.out
    assert list(tmp_path.iterdir()) == []


def test_the_demo_as_json_in_a_folder_that_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "kept"
    assert run(["demo", "--folder", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["problems"] == []
    assert {row["service"] for row in told["made"]} == {"Salesforce", "Gmail", "Outlook", "links"}
    assert all(row["number"] > 0 for row in told["made"])
    assert {"replied", "bounced", "finished", "active"} <= set(told["enrollments"])
    assert (folder / "connector.db").is_file()
    assert run(["-C", str(folder), "validate"]) == 0


def test_the_demo_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run(["demo", "--folder", str(tmp_path)]) == 2
    assert "is there already and not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
