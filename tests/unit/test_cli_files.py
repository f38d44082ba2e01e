"""Commands that need nothing but the project's files: their answers, exit statuses and one JSON document."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import icalendar
import jsonschema
import pytest
from ruamel.yaml import YAML

from connector.cli import run
from tests.command import Command

CONFIG = {
    "reps": [
        {"email": "ana@acme.example", "name": "Ana", "time_zone": "Europe/Madrid"},
        {"email": "bob@acme.example", "name": "Bob", "time_zone": "America/New_York"},
    ]
}
CAMPAIGN = """\
name: Outreach
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
      - call: {name: "Call {{first_name}}"}
  - day: 3
    steps:
      - email: {template: nudge, send: "09:30"}
  - day: 5
    steps:
      - email: {template: nudge, send: task}
"""
PEOPLE = "email,first_name,company\nann@client.example,Ann,Client\nbad,,\n"


@pytest.fixture
def connector(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "200")  # tables are as wide as the terminal
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "config"
    for name, text in {
        "connector.yaml": json.dumps(CONFIG),
        "campaigns/outreach.yaml": CAMPAIGN,
        "templates/intro.md": "---\nsubject: Hello {{first_name}}\n---\nHi",
        "templates/nudge.md": "---\nsubject: A word on {{company}}\n---\nHi",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Command(folder=folder, capsys=capsys)


def test_validate_says_that_all_is_well(connector: Command) -> None:
    done = connector("validate")
    assert (done.status, done.out, done.err) == (0, "every file is in order\n", "")


def test_validate_warns_of_a_name_in_the_tasks_subject_that_is_no_field(connector: Command) -> None:
    account = {"auth": "access_token", "token": "${env:TOKEN}", "instance_url": "https://acme.my.salesforce.com"}
    config = CONFIG | {
        "accounts": {"salesforce": account},
        "salesforce": {"subject": "{{activity_type}} {{first_name}}"},
    }
    (connector.folder / "connector.yaml").write_text(json.dumps(config, indent=1))
    done = connector("validate")
    assert done.status == 0
    assert "connector.yaml:22: salesforce: 'first_name' is no field of a task's subject, and stays empty" in done.out


def test_validate_names_each_fault_with_its_place(connector: Command) -> None:
    (connector.folder / "campaigns" / "bad.yaml").write_text(
        CAMPAIGN.replace("Outreach", "Bad").replace("call:", "cal:")
    )
    (connector.folder / "people.csv").write_text(PEOPLE)
    done = connector("validate")
    assert done.status == 2
    assert "bad.yaml:6:" in done.out
    assert "people.csv:3: " in done.out
    assert "2 errors, 0 warnings" in done.out
    listed = connector("validate", "--json")
    assert listed.status == 2
    assert [(Path(fault["file"]).name, fault["line"], fault["severity"]) for fault in listed.json] == [
        ("bad.yaml", 6, "error"),
        ("people.csv", 3, "error"),
    ]


def test_a_warning_is_marked_and_refuses_nothing(connector: Command) -> None:
    path = connector.folder / "campaigns" / "outreach.yaml"
    path.write_text(
        CAMPAIGN.replace(
            '- call: {name: "Call {{first_name}}"}', "- email: {template: nudge, send: same_time_as_previous}"
        )
    )
    done = connector("validate")
    assert done.status == 0
    assert done.out.startswith("warning: ")


def test_schemas_describe_the_files(connector: Command) -> None:
    jsonschema.validate(YAML(typ="safe").load(CAMPAIGN), connector("schema", "campaign").json)
    jsonschema.validate(CONFIG, connector("schema", "config", "--json").json)


# ------------------------------------------------------------------------------------------- simulate

LAUNCHED = ("--launched", "2026-11-23T08:00:00Z")


def test_simulate_without_people_plans_a_placeholder_for_the_first_rep(connector: Command) -> None:
    (calendar,) = connector("simulate", "outreach", *LAUNCHED, "--start", "now", "--json").json
    assert (calendar["person"], calendar["time_zone"]) == ("placeholder", "Europe/Madrid")
    assert [(step["day"], step["step"], step["mode"], step["due"], step["subject"]) for step in calendar["steps"]] == [
        (1, 1, "send", "2026-11-23T08:00:00Z", "Hello {{first_name}}"),
        (1, 2, "task", "2026-11-23T08:00:00Z", "Call {{first_name}}"),
        (3, 1, "send", "2026-11-25T08:30:00Z", "A word on {{company}}"),
        (5, 1, "task", "2026-11-26T23:00:00Z", "A word on {{company}}"),
    ]
    assert set(calendar["steps"][0]) == {
        "day", "step", "type", "mode", "due", "due_date", "subject", "template", "follow_up", "reason",
    }  # fmt: skip


def test_simulate_renders_subjects_and_says_bad_rows(connector: Command, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(PEOPLE)
    done = connector("simulate", "Outreach", *LAUNCHED, "--start", "now", "--people", "list.csv", "--json")
    assert done.status == 1
    (calendar,) = done.json
    assert calendar["person"] == "ann@client.example"
    assert [step["subject"] for step in calendar["steps"]] == [
        "Hello Ann",
        "Call Ann",
        "A word on Client",
        "A word on Client",
    ]
    assert done.err.startswith("list.csv:3: ")


def test_a_follow_up_without_a_subject_answers_the_email_before_it(connector: Command) -> None:
    (connector.folder / "templates" / "again.md").write_text("Any news?")
    path = connector.folder / "campaigns" / "outreach.yaml"
    path.write_text(
        CAMPAIGN + "  - day: 6\n    steps:\n      - email: {template: again, send: task, follow_up: true}\n"
    )
    (calendar,) = connector("simulate", "outreach", *LAUNCHED, "--start", "now", "--json").json
    last = calendar["steps"][-1]
    assert (last["subject"], last["follow_up"], last["template"]) == ("Re: A word on {{company}}", True, "again")


@pytest.mark.parametrize("start", ["2026-11-23T14:00:00Z", "2026-11-23T15:00:00+01:00", "2026-11-23T15:00"])
def test_an_instant_without_an_offset_is_the_reps_own(connector: Command, start: str) -> None:
    (calendar,) = connector("simulate", "outreach", *LAUNCHED, "--start", start, "--json").json
    assert calendar["steps"][0]["due"] == "2026-11-23T14:00:00Z"


def test_options_move_steps(connector: Command) -> None:
    options = ("--rep", "bob@acme.example", "--send-at", "3.1=11:15", "--complete-tasks-after", "90")
    (calendar,) = connector("simulate", "outreach", *LAUNCHED, "--start", "now", *options, "--json").json
    assert calendar["time_zone"] == "America/New_York"
    assert calendar["steps"][2]["due"] == "2026-11-25T16:15:00Z"


def test_every_format_tells_the_same_calendar(connector: Command) -> None:
    asked = ("simulate", "outreach", *LAUNCHED, "--start", "now", "--format")
    (calendar,) = connector(*asked, "json").json
    due = [step["due"] for step in calendar["steps"]]
    assert [row["due"] for row in csv.DictReader(io.StringIO(connector(*asked, "csv").out))] == due
    written = connector(*asked, "ics").out
    assert written.count("\r\n") == written.count("\n") > 10, "RFC 5545: lines end with CRLF"
    page = icalendar.Calendar.from_ical(written)
    assert [f"{entry['dtstart'].dt:%Y-%m-%dT%H:%M:%SZ}" for entry in page.walk("VEVENT")] == due
    table = connector(*asked, "table").out
    assert "Mon 23 Nov 2026 09:00" in table
    assert "Europe/Madrid" in table
    assert connector("--json", *asked, "table").json == [calendar]


def test_no_cell_of_a_calendar_is_a_formula(connector: Command) -> None:
    formula = '=HYPERLINK("https://evil.example")'
    (connector.folder / "templates" / "hello.md").write_text("---\nsubject: '{{first_name}}'\n---\nHi")
    (connector.folder / "campaigns" / "cells.yaml").write_text(
        "name: Cells\ndays:\n  - day: 1\n    steps:\n      - email: {template: hello, send: task}\n"
    )
    people = connector.folder / "cells.csv"
    people.write_text(f"email;first_name\nann@client.example;{formula}\n")
    asked = ("simulate", "cells", *LAUNCHED, "--people", str(people), "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(connector(*asked).out))
    assert row["subject"] == f"'{formula}"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "its first step is sent at a time chosen at launch: give --start"),
        (("--start", "2026-11-22T08:00:00Z"), "is in the past"),
        (("--start", "tomorrow"), "--start 'tomorrow' is not an instant"),
        (
            ("--start", "now", "--send-at", "1.1=09:00"),
            "--send-at 1.1 does not name a step with a fixed time (there are: 3.1)",
        ),
        (("--start", "now", "--send-at", "3.1=9 am"), "is not DAY.STEP=HH:MM"),
        (("--start", "now", "--send-at", "3.1=09:00", "--send-at", "3.1=10:00"), "names 3.1 twice"),
        (("--start", "now", "--rep", "cy@acme.example"), "there is no rep 'cy@acme.example'"),
        (("--start", "now", "--people", "none.csv"), "none.csv: there is no such file"),
        (("--start", "now", "--format", "pdf"), "'pdf'"),
        (("--start", "now", "--complete-tasks-after", "-1"), "--complete-tasks-after"),
    ],
)
def test_simulate_refuses_with_a_sentence(connector: Command, options: tuple[str, ...], sentence: str) -> None:
    done = connector("simulate", "outreach", *LAUNCHED, *options, "--json")
    assert (done.status, done.out) == (2, "")
    assert sentence in done.err


def test_an_unknown_campaign_names_those_there_are(connector: Command) -> None:
    done = connector("simulate", "nothing")
    assert done.status == 2
    assert "there is no campaign 'nothing'" in done.err
    assert "'Outreach'" in done.err


def test_a_campaign_with_faults_is_refused_with_its_faults(connector: Command) -> None:
    (connector.folder / "campaigns" / "outreach.yaml").write_text(CAMPAIGN.replace("day: 3", "day: 1"))
    done = connector("simulate", "outreach", "--start", "now")
    assert done.status == 2
    assert "outreach.yaml:7: " in done.err


# ------------------------------------------------------------------------------------- the command itself


@pytest.mark.parametrize(
    "arguments", [(), ("bogus",), ("launch",), ("simulate",), ("tasks", "open"), ("schema", "x"), ("sync", "--no")]
)
def test_wrong_usage_is_2_and_a_sentence(connector: Command, arguments: tuple[str, ...]) -> None:
    done = connector(*arguments, "--json")
    assert (done.status, done.out) == (2, "")
    assert done.err.strip()


def test_without_a_project_it_says_how_to_get_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["validate"]) == 2
    assert "there is no connector.yaml in 'config' and none in '.'" in capsys.readouterr().err


def test_the_present_folder_is_found_too(connector: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(connector.folder)
    assert run(["validate"]) == 0


def test_an_unexpected_error_is_one_sentence_and_a_traceback_only_when_asked(
    connector: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("connector.cli.project.faults_of", broken)
    done = connector("validate")
    assert (done.status, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert "RuntimeError: boom" in done.err
    assert "Traceback" in connector("validate", "-v").err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("connector ")
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("validate", "simulate", "launch", "sync", "tasks", "people", "campaign", "feed", "explain", "status"):
        assert name in shown


def test_init_writes_a_valid_project_and_overwrites_nothing(connector: Command, tmp_path: Path) -> None:
    done = connector("init", "new", "--json")
    assert done.status == 0
    assert "connector.yaml" in done.json["files"]
    assert run(["-C", "new", "validate"]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file()}
    again = connector("init", "new")
    assert again.status == 2
    assert "is there already and not empty" in again.err
    assert before == {path: path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file()}


def test_looking_needs_no_account_and_no_secret(connector: Command, tmp_path: Path) -> None:
    assert connector("init", "new").status == 0
    for arguments in (
        ("people", "list"),
        ("tasks", "list"),
        ("status",),
        ("feed",),
        ("campaign", "list"),
        ("sync", "--dry-run"),
    ):
        assert run(["-C", "new", *arguments]) == 0
