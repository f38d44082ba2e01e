"""Commands with services behind them: what they do in the sandbox, what they say, how they end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from connector.campaigns.people_file import read_people
from connector.store.ledger import read_events
from tests.command import Command, Result, command_in
from tests.world import World, WorldMaker

PEOPLE = """\
email,first_name,last_name,company
ann@one.example,Ann,Lee,One
bo@two.example,Bo,Kim,Two
"""


@pytest.fixture
def world(make_world: WorldMaker, request: pytest.FixtureRequest) -> World:
    named = "database_url" in request.fixturenames
    return make_world(database_url=request.getfixturevalue("database_url") if named else None)


@pytest.fixture
def connector(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command_in(world, monkeypatch, capsys)


@pytest.fixture
def people(world: World) -> str:
    path = world.folder / "people.csv"
    path.write_text(PEOPLE)
    return str(path)


@pytest.fixture
def launched(connector: Command, world: World, people: str) -> Callable[..., Result]:
    """Seed the people into the sandbox, launch them, and sync."""

    def launch(rep: str = "ana@acme.example") -> Result:
        project = world.project
        world.sandbox.seed(read_people(Path(people))[0], project.settings.reps)
        assert connector("launch", "outreach", "--rep", rep, "--people", people, "--start", "now").status == 0
        return connector("sync", "--json")

    return launch


def a_task(connector: Command, kind: str, person: str = "") -> dict:
    return next(
        task for task in connector("tasks", "list", "--json").json if task["type"] == kind and person in task["person"]
    )


def to_the_draft(connector: Command, world: World) -> None:
    """Complete the calls and go on to day 2."""
    for task in connector("tasks", "list", "--json").json:
        assert connector("tasks", "complete", task["id"]).status == 0
    world.after(days=1)
    assert connector("sync").status == 0


def lose_google(world: World) -> None:
    """Point Google's addresses at a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    path = world.folder / "connector.yaml"
    said = json.loads(path.read_text())
    said["accounts"]["google"] |= {"endpoint": nobody, "token_url": f"{nobody}/token"}
    path.write_text(json.dumps(said))


# ------------------------------------------------------------------------------------------------ the way


def test_the_main_job_by_commands_alone(
    database_url: str, connector: Command, world: World, launched: Callable[..., Result]
) -> None:
    synced = launched()
    assert synced.status == 0
    assert synced.json["intents"] == {"send": 2, "task": 2}
    assert synced.json["delivered"]["sent"] == 2
    assert set(synced.json) == {"pulled", "intents", "delivered", "needs_attention", "api_calls"}
    assert set(synced.json["api_calls"]) == {"salesforce", "gmail", "outlook"}

    call = a_task(connector, "call", "ann")
    assert (call["state"], call["subject"], call["campaign"], call["draft"]) == ("open", "Call Ann", "Outreach", None)
    assert call["salesforce_id"].startswith("00T")
    to_the_draft(connector, world)
    email = a_task(connector, "email", "ann")
    assert email["draft"] == {"state": "present", "mailbox": "gmail"}
    opened = connector("tasks", "open", email["id"][:8], "--json")
    assert opened.json["kind"] == "draft"
    assert opened.json["address"].startswith("https://mail.google.com/")
    beside = connector("tasks", "open", email["id"], "--in", "outlook", "--json").json
    assert beside["kind"] == "compose"
    assert [note for note in beside["notes"] if "the draft is still in the gmail mailbox of Ana" in note]

    world.act("rep_sends_draft", key=email["id"])
    world.after(minutes=1)
    assert connector("sync", "--json").json["pulled"]
    told = connector("explain", "ann@one.example", "--json").json
    assert [line["kind"] for line in told][-2:] == ["completed", "finished"]
    assert set(told[0]) == {"at", "kind", "person", "rep", "campaign", "intent", "text", "reason"}
    assert connector("feed", "--json", "--person", "ann@one.example").json == told
    assert "in the order it was learned" in connector("feed", "--help").out
    standing = connector("status", "--json").json
    assert standing["campaigns"] == {"Outreach": {"active": 1, "finished": 1}}


def test_tables_and_sentences_for_people(connector: Command, world: World, launched: Callable[..., Result]) -> None:
    launched()
    shown = {
        ("tasks", "list"): "Call Ann",
        ("people", "list"): "ann@one.example",
        ("people", "show", "ann@one.example"): "Outreach",
        ("campaign", "list"): "2 active",
        ("campaign", "show", "outreach"): "choose_at_launch",
        ("feed",): "the email of day 1, step 1 was sent to ann@one.example",
        ("explain", "ann@one.example"): "waits for day 1, step 2 (call), which is open",
        ("status",): "Outreach",
        ("sync",): "read ",
        ("sync", "--dry-run"): "nothing was called or changed",
    }
    for arguments, words in shown.items():
        done = connector(*arguments)
        assert (done.status, done.err) == (0, ""), arguments
        assert words in done.out, arguments
        as_json = connector("--json", *arguments)
        assert as_json.status == 0
        json.loads(as_json.out)


@pytest.mark.parametrize("only", ["gmail", "outlook", "salesforce"])
def test_sync_of_one_service_calls_no_other(connector: Command, launched: Callable[..., Result], only: str) -> None:
    launched()
    calls = connector("sync", "--only", only, "--json").json["api_calls"]
    assert {name for name, number in calls.items() if number} == {only}


def test_a_dry_run_changes_nothing(connector: Command, world: World, people: str) -> None:
    arguments = ("launch", "outreach", "--rep", "ana@acme.example", "--people", people, "--start", "now")
    assert connector(*arguments, "--dry-run", "--json").json["enrolled"] == 2
    assert connector("people", "list", "--json").json == []
    assert not world.sandbox.log.effects
    assert connector(*arguments).status == 0
    before = world.sandbox.log.calls.total()
    planned = connector("sync", "--dry-run", "--json")
    assert (planned.status, planned.json["intents"]) == (0, {"send": 2, "task": 0})
    assert world.sandbox.log.calls.total() == before


def test_tasks_are_skipped_and_snoozed(connector: Command, world: World, launched: Callable[..., Result]) -> None:
    launched()
    ann, bo = a_task(connector, "call", "ann"), a_task(connector, "call", "bo")
    assert connector("tasks", "skip", ann["id"]).status == 0
    assert connector("tasks", "skip", ann["id"]).status == 2
    assert connector("tasks", "snooze", bo["id"], "--until", "2026-11-26").status == 0
    assert a_task(connector, "call", "bo")["due_date"] == "2026-11-26"
    assert connector("tasks", "list", "--due", "today", "--json").json == []
    for until, sentence in (("2026-11-01", "has passed"), ("soon", "--until 'soon' is not a date")):
        refused = connector("tasks", "snooze", bo["id"], "--until", until)
        assert refused.status == 2
        assert sentence in refused.err
    unknown = connector("tasks", "complete", "ffffffff")
    assert unknown.status == 2
    assert "names no task" in unknown.err


def test_a_task_is_edited_and_a_call_says_what_came_of_it(
    connector: Command, world: World, launched: Callable[..., Result]
) -> None:
    launched()
    ann = a_task(connector, "call", "ann")
    assert connector("tasks", "edit", ann["id"][:8], "--priority", "high", "--comments", "Ask for Bo").status == 0
    assert connector("tasks", "edit", ann["id"]).status == 2
    done = connector("tasks", "complete", ann["id"], "--outcome", "Connected", "--reason", "Budget")
    assert done.status == 0
    assert connector("tasks", "edit", ann["id"], "--comments", "Too late").status == 2
    world.after(minutes=1)
    assert connector("sync").status == 0
    (row,) = [one for one in world.records("Task") if one["Connector_Intent_Id__c"] == ann["id"]]
    assert (row["Priority"], row["Description"], row["Status"]) == ("High", "Ask for Bo", "Completed")
    told = connector("explain", "ann@one.example", "--json").json
    assert any("Connected" in line["reason"] and "Budget" in line["reason"] for line in told)


# ------------------------------------------------------------------------------------------ opening a draft


def test_open_makes_a_discarded_draft_anew(connector: Command, world: World, launched: Callable[..., Result]) -> None:
    launched("bob@acme.example")
    to_the_draft(connector, world)
    email = a_task(connector, "email", "ann")
    world.act("rep_deletes_draft", key=email["id"])
    opened = connector("tasks", "open", email["id"], "--json")
    assert opened.status == 0
    assert opened.json["kind"] == "draft"
    assert opened.json["notes"] == ["the draft had been discarded: it was made anew"]
    boxes = world.sandbox.state()["graph"]["bob@acme.example"]["mails"]
    assert [mail["to"] for mail in boxes if mail["place"] == "drafts" and mail["key"] == email["id"]] == [
        ["ann@one.example"]
    ]


def test_open_places_a_draft_that_is_still_to_be_placed(
    connector: Command, world: World, launched: Callable[..., Result]
) -> None:
    launched()
    for task in connector("tasks", "list", "--json").json:
        connector("tasks", "complete", task["id"])
    world.after(days=1)
    assert connector("sync", "--only", "salesforce").status == 0
    email = a_task(connector, "email", "ann")
    assert email["draft"]["state"] == "wanted"
    assert connector("tasks", "open", email["id"], "--json").json["kind"] == "draft"
    drafts = [
        entry
        for entry in world.sandbox.log.effects
        if entry["effect"] == "draft_created" and entry["key"] == email["id"]
    ]
    assert len(drafts) == 1
    assert a_task(connector, "email", "bo")["draft"]["state"] == "wanted"


def test_open_says_that_a_mail_was_sent(connector: Command, world: World, launched: Callable[..., Result]) -> None:
    launched()
    to_the_draft(connector, world)
    email = a_task(connector, "email", "ann")
    world.act("rep_sends_draft", key=email["id"])
    done = connector("tasks", "open", email["id"])
    assert done.status == 2
    assert "was sent already" in done.err


def test_open_without_a_mailbox_is_a_compose_window(
    connector: Command, world: World, launched: Callable[..., Result]
) -> None:
    launched("cy@acme.example")
    email = a_task(connector, "email", "ann")
    opened = connector("tasks", "open", email["id"], "--json").json
    assert opened["kind"] == "compose"
    assert opened["address"].startswith("https://mail.google.com/mail/?authuser=cy@acme.example")
    other = connector("tasks", "open", email["id"], "--in", "outlook", "--json").json
    assert other["address"].startswith("https://outlook.office.com/")
    assert "ann@one.example" in other["address"]
    web = connector("tasks", "open", email["id"], "--in", "web")
    assert web.status == 2
    assert "connector serve" in web.err


def test_open_falls_back_when_the_mailbox_cannot_be_reached(
    connector: Command, world: World, launched: Callable[..., Result]
) -> None:
    launched()
    to_the_draft(connector, world)
    email = a_task(connector, "email", "ann")
    lose_google(world)
    opened = connector("tasks", "open", email["id"], "--json")
    assert opened.status == 0
    assert opened.json["kind"] == "compose"
    assert "this opens a compose window instead" in opened.json["notes"][0]


def test_a_call_has_nothing_to_open(connector: Command, launched: Callable[..., Result]) -> None:
    launched()
    done = connector("tasks", "open", a_task(connector, "call")["id"])
    assert done.status == 2
    assert "has no email to open" in done.err


# ------------------------------------------------------------------------ pausing, removing, opting out


def test_pause_resume_and_remove(connector: Command, launched: Callable[..., Result]) -> None:
    launched()
    paused = connector("pause", "--rep", "ana@acme.example", "--json").json["paused"]
    assert [one["state"] for one in paused] == ["paused", "paused"]
    assert connector("status", "--json").json["campaigns"]["Outreach"] == {"paused": 2}
    assert "nothing had to be paused" in connector("pause", "--campaign", "outreach").out
    assert len(connector("resume", "--person", "ANN@one.example", "--json").json["resumed"]) == 1
    assert len(connector("remove", "--campaign", "Outreach", "--json").json["removed"]) == 2
    assert connector("status", "--json").json["campaigns"]["Outreach"] == {"removed": 2}


def test_a_pause_ends_by_itself(connector: Command, world: World, launched: Callable[..., Result]) -> None:
    launched()
    assert len(connector("pause", "--rep", "ana@acme.example", "--until", "2026-11-25", "--json").json["paused"]) == 2
    for days, state in ((1, "paused"), (1, "active")):
        world.after(days=days)
        assert connector("sync").status == 0
        assert connector("status", "--json").json["campaigns"]["Outreach"] == {state: 2}


REFUSED = [
    (("pause",), "say whom it is about"),
    (("resume", "--person", "cat@nine.example"), "cat@nine.example is not known"),
    (("remove", "--campaign", "nothing"), "there is no campaign 'nothing'"),
    (("pause", "--rep", "dan@acme.example"), "there is no rep 'dan@acme.example'"),
    (("pause", "--rep", "ana@acme.example", "--until", "2026-11-23"), "--until 2026-11-23 has come already"),
    (("pause", "--rep", "ana@acme.example", "--until", "soon"), "--until 'soon' is not a date"),
    (("opt-out", "ann"), "'ann' is not a mail address"),
    (("opt-out", "ann@one.example", "--undo"), "only undone with --reason"),
    (("explain", "cat@nine.example"), "cat@nine.example is not known"),
    (("people", "show", "cat@nine.example"), "cat@nine.example is not known"),
    (("people", "pull"), "name exactly one of"),
    (("people", "pull", "--soql", "SELECT Id FROM Lead", "--report", "00O000000000001"), "name exactly one of"),
    (("feed", "--follow"), "--follow never ends"),
]


def test_refusals_change_nothing(connector: Command, world: World, launched: Callable[..., Result]) -> None:
    launched()
    with world.database.read() as tx:
        before = read_events(tx)
    for arguments, sentence in REFUSED:
        done = connector(*arguments, "--json")
        assert (done.status, done.out) == (2, ""), arguments
        assert sentence in done.err
    with world.database.read() as tx:
        assert read_events(tx) == before


def test_an_opt_out_reaches_salesforce_and_can_be_undone(
    connector: Command, world: World, launched: Callable[..., Result]
) -> None:
    launched()
    done = connector("opt-out", "Ann@One.example", "--json")
    assert (done.status, done.json["not_told"], len(done.json["ended"])) == (0, [], 1)
    leads = world.sandbox.state()["salesforce"]["records"]["Lead"]
    assert {lead["Email"]: lead["HasOptedOutOfEmail"] for lead in leads}["ann@one.example"] is True
    assert connector("people", "show", "ann@one.example", "--json").json["opted_out"]
    assert connector("opt-out", "ann@one.example", "--undo", "--reason", "a mistake").status == 0
    assert connector("opt-out", "ann@one.example", "--undo", "--reason", "again").status == 2


def test_an_opt_out_the_crm_cannot_be_told_holds_here(
    connector: Command, world: World, launched: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    launched()
    monkeypatch.setenv("SANDBOX_SALESFORCE_SECRET", "wrong")
    for email in ("ann@one.example", "bo@two.example"):
        done = connector("opt-out", email, "--json")
        assert done.status == 1
        assert "does not know yet" in done.json["not_told"][0]
        assert email in done.json["not_told"][0]
        assert connector("people", "show", email, "--json").json["opted_out"]
        monkeypatch.delenv("SANDBOX_SALESFORCE_SECRET", raising=False)  # and then there is none at all


# ------------------------------------------------------------------------------------- versions of a campaign


def test_diff_and_migrate_show_who_is_affected_first(
    connector: Command, world: World, launched: Callable[..., Result]
) -> None:
    launched()
    assert connector("campaign", "diff", "outreach", "--json").json["versions"] == []
    path = world.folder / "campaigns" / "campaign.yaml"
    path.write_text(path.read_text().replace("day: 2", "day: 4"))
    (found,) = connector("campaign", "diff", "outreach", "--json").json["versions"]
    assert sorted(found["people"]) == ["ann@one.example", "bo@two.example"]
    assert found["changes"]
    plan = connector("campaign", "migrate", "outreach")
    assert plan.status == 0
    assert "nothing was changed: give --yes" in plan.out
    assert len(connector("campaign", "diff", "outreach", "--json").json["versions"]) == 1
    moved = connector("campaign", "migrate", "outreach", "--yes", "--json")
    assert moved.json["migrated"] is True
    assert len(moved.json["moves"]) == 2
    assert connector("campaign", "diff", "outreach", "--json").json["versions"] == []


# -------------------------------------------------------------------------------------- people in Salesforce


def test_people_are_pulled_and_keep_what_files_said(connector: Command, world: World) -> None:
    path = world.folder / "people.csv"
    path.write_text("email,time_zone,team\nann@one.example,Asia/Tokyo,red\n")
    assert connector("people", "import", str(path)).status == 0
    org = world.sandbox.salesforce
    org.add_lead(Email="ann@one.example", FirstName="Ann", LastName="Lee", Company="One", Title="CEO")
    org.add_lead(Email="opted@two.example", LastName="Out", Company="Two", HasOptedOutOfEmail=True)
    org.add_lead(LastName="Nomail", Company="Three")
    soql = "SELECT Id FROM Lead"
    done = connector("people", "pull", "--soql", soql, "--json")
    assert done.status == 1
    assert (done.json["imported"], done.json["opted_out"]) == (2, ["opted@two.example"])
    assert done.json["left_out"] == [{"person": "Nomail", "reason": "the record has no mail address"}]
    ann = connector("people", "show", "ann@one.example", "--json").json
    assert (ann["title"], ann["time_zone"], ann["custom"]) == ("CEO", "Asia/Tokyo", {"team": "red"})
    assert ann["salesforce_id"].startswith("00Q")

    options = ("--rep", "ana@acme.example", "--salesforce", f"soql={soql}", "--start", "now", "--json")
    dry = connector("launch", "outreach", *options, "--dry-run").json
    assert dry["enrolled"] == 1
    launched = connector("launch", "outreach", *options)
    assert (launched.status, launched.json["enrolled"]) == (0, 1)
    assert [left["person"] for left in launched.json["left_out"]] == ["opted@two.example"]


# --------------------------------------------------------------------------------------------- bad input


def test_bad_rows_are_said_and_the_others_go_on(connector: Command, world: World) -> None:
    path = world.folder / "list.csv"
    rows = [
        "email,first_name",
        "ann@one.example,Ann",
        "ANN@one.example,Twin",
        "not an address,Bo",
        ",Cy",
        "dee@four.example,Dee",
    ]
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join(rows).encode())
    imported = connector("people", "import", str(path), "--json")
    assert imported.status == 1
    assert imported.json["imported"] == 2
    assert [fault["line"] for fault in imported.json["bad_rows"]] == [3, 4, 5]
    assert imported.err.count("list.csv:") == 3
    launched = connector(
        "launch", "outreach", "--rep", "ana@acme.example", "--people", str(path), "--start", "now", "--json"
    )
    assert (launched.status, launched.json["enrolled"]) == (1, 2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"mail,name\nann@one.example,Ann\n", "there is no column 'email'"),
        (b"email,first_name\nann@one.example,Ren\xe9\n", "is not UTF-8: save the file as UTF-8"),
        (b"", "there is no column 'email'"),
        (None, "there is no such file"),
    ],
)
def test_a_people_file_that_cannot_be_used_changes_nothing(
    connector: Command, world: World, content: bytes | None, sentence: str
) -> None:
    path = world.folder / "list.csv"
    if content is not None:
        path.write_bytes(content)
    for arguments in (
        ("people", "import", str(path)),
        ("launch", "outreach", "--rep", "ana@acme.example", "--people", str(path), "--start", "now"),
    ):
        done = connector(*arguments, "--json")
        assert (done.status, done.out) == (2, "")
        assert "list.csv" in done.err
        assert sentence in done.err
    assert connector("people", "list", "--json").json == []


def test_those_who_may_not_be_in_it_are_left_out(connector: Command, people: str) -> None:
    launch = ("launch", "outreach", "--rep", "ana@acme.example", "--start", "now", "--json")
    assert connector(*launch, "--person", "ann@one.example").json["enrolled"] == 1
    assert connector("opt-out", "bo@two.example").status in (0, 1)
    again = connector(*launch, "--people", people)
    assert (again.status, again.json["enrolled"]) == (1, 0)
    assert {left["person"]: left["reason"] for left in again.json["left_out"]} == {
        "ann@one.example": "is in 'Outreach' already",
        "bo@two.example": "opted out on 2026-11-23",
    }
    assert "nobody was enrolled" in again.err
    new = connector(*launch, "--person", "new@five.example", "--person", "new@five.example")
    assert (new.status, new.json["enrolled"]) == (0, 1)
    assert new.json["left_out"] == [{"person": "new@five.example", "reason": "is named twice"}]
    assert any("new@five.example is not known yet" in warning for warning in new.json["warnings"])


REFUSED_LAUNCHES = [
    (("--rep", "dan@acme.example", "--person", "ann@one.example", "--start", "now"), "there is no rep 'dan@acme.example'"),
    (("--rep", "ana@acme.example", "--person", "ann@one.example", "--start", "2026-11-22T08:00:00Z"), "is in the past"),
    (("--rep", "ana@acme.example", "--person", "ann@one.example"), "give --start"),
    (("--rep", "ana@acme.example", "--start", "now"), "say who"),
    (("--rep", "ana@acme.example", "--person", "ann", "--start", "now"), "'ann' is not a mail address"),
    (("--rep", "ana@acme.example", "--salesforce", "view=1", "--start", "now"), "names no source"),
    (("--rep", "ana@acme.example", "--person", "ann@one.example", "--start", "now", "--send-at", "1.1=09:00"), "no step has a fixed time"),
]  # fmt: skip


def test_a_launch_that_is_refused_enrolls_nobody(connector: Command) -> None:
    for options, sentence in REFUSED_LAUNCHES:
        done = connector("launch", "outreach", *options, "--json")
        assert (done.status, done.out) == (2, ""), options
        assert sentence in done.err
    assert connector("people", "list", "--json").json == []


# ---------------------------------------------------------------------------------------- services in trouble


def test_a_wrong_secret_is_4_and_others_go_on(
    connector: Command, world: World, launched: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    launched()
    monkeypatch.setenv("SANDBOX_MICROSOFT_SECRET", "wrong")
    world.act("outlook_revokes_access")
    done = connector("sync", "--json")
    assert done.status == 4
    assert any("outlook" in line.lower() for line in done.json["needs_attention"])
    assert "wrong" not in done.out + done.err.replace("went wrong", "")
    assert done.json["api_calls"]["gmail"] >= 1


def test_an_unreachable_service_is_1_and_others_go_on(
    connector: Command, world: World, launched: Callable[..., Result]
) -> None:
    launched()
    lose_google(world)
    for task in connector("tasks", "list", "--json").json:
        connector("tasks", "complete", task["id"])
    done = connector("sync", "--json")
    assert done.status == 1
    assert done.json["needs_attention"]
    assert done.json["api_calls"]["outlook"] >= 1
    assert done.json["delivered"]["tasks"] == 2


def test_another_sync_is_3(connector: Command, world: World, launched: Callable[..., Result]) -> None:
    launched()
    with world.database.only_one("sync"):
        done = connector("sync", "--json")
    assert (done.status, done.out) == (3, "")
    assert "another sync is running" in done.err


def test_missing_secrets_are_2_and_all_named_before_anything_is_called(
    connector: Command, world: World, launched: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    launched()
    calls = sum(world.sandbox.log.calls.values())
    monkeypatch.delenv("SANDBOX_SALESFORCE_SECRET")
    monkeypatch.delenv("SANDBOX_MICROSOFT_SECRET")
    done = connector("sync", "--json")
    assert (done.status, done.out) == (2, "")
    variable = "SANDBOX_SALESFORCE_SECRET"
    said = next(line for line in done.err.splitlines() if f"{variable} is not set" in line)
    place = re.search(r"connector\.yaml:(\d+): accounts\.salesforce: '(\w+)' takes a secret", said)
    assert place is not None
    line = (world.folder / "connector.yaml").read_text().splitlines()[int(place[1]) - 1]
    assert place[2] in line
    assert variable in line
    assert said.endswith(f": export {variable}=…, or run this where it is set")
    assert "SANDBOX_MICROSOFT_SECRET is not set" in done.err
    assert sum(world.sandbox.log.calls.values()) == calls


# ------------------------------------------------------------------------------------------- the sandbox


def test_the_running_sandbox_is_steered_by_commands(
    connector: Command, world: World, launched: Callable[..., Result]
) -> None:
    launched()
    port = ("--port", world.sandbox.url.rpartition(":")[2])
    before = world.now
    connector("sandbox", "clock", "--advance", "1d 2h", *port)
    assert (world.now - before).total_seconds() == 26 * 3600
    acted = connector("sandbox", "act", "prospect_out_of_office", "person=ann@one.example", "marked:=false", *port)
    assert acted.status == 0
    assert acted.json["place"] == "inbox"
    assert {"gmail", "graph", "salesforce"} <= set(connector("sandbox", "state", *port).json)
    assert connector("sandbox", "log", *port).json["calls"]["gmail"] > 0
    assert "rep_sends_draft" in connector("sandbox", "actions", *port).out
    for arguments, sentence in (
        (("act", "nothing"), "there is no action 'nothing'"),
        (("act", "rep_sends_draft", "x"), "is not NAME=TEXT"),
        (("clock", "--advance", "soon"), "is not a span of time"),
        (("clock", "--advance", "1d", "--to", "2026-12-01T00:00:00Z"), "not both"),
    ):
        refused = connector("sandbox", *arguments, *port)
        assert refused.status == 2
        assert sentence in refused.err


def test_without_a_sandbox_it_says_how_to_start_one(connector: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = connector("sandbox", "--port", port)
        assert done.status == 2
        assert f"port {port} cannot be used" in done.err
    said = connector("sandbox", "state", "--port", port).err
    assert "start one with 'connector sandbox', or say with --port where another listens" in said


def test_the_sandbox_runs_until_it_is_interrupted(world: World, tmp_path: Path) -> None:
    """The printed lines are all that another terminal needs: the example project syncs by them."""
    folder = tmp_path / "example"
    command = [sys.executable, "-c", "from connector.cli import main; main()", "-C", str(folder)]
    subprocess.run([*command[:-2], "init", str(folder)], check=True, capture_output=True, timeout=60)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    config = folder / "connector.yaml"
    config.write_text(config.read_text().replace("127.0.0.1:8025", f"127.0.0.1:{port}"))
    running = subprocess.Popen(
        [*command, "sandbox", "--port", port], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None
        lines = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(running.stdout.readline())
            assert lines[-1], running.communicate()[1]
        told = dict(line.split("export ")[1].strip().split("=", 1) for line in lines if "export " in line)
        environment = {**os.environ, **told, "DATABASE_URL": f"sqlite:///{tmp_path / 'example.db'}"}
        asked = [*command, "sync", "--json"]
        done = subprocess.run(asked, check=False, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, json.loads(done.stdout)["needs_attention"]) == (0, []), done.stderr
        running.send_signal(signal.SIGINT)
        _, complaints = running.communicate(timeout=30)
        assert (running.returncode, complaints) == (0, "")
    finally:
        if running.poll() is None:
            running.kill()
            running.communicate()
