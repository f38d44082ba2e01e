"""`connector salesforce setup`: the folder it writes, what it refuses to overwrite, and what the org lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Command, command_in
from tests.world import World, WorldMaker, people

FIELD = "force-app/main/default/objects/Activity/fields/Connector_Intent_Id__c.field-meta.xml"
TASK_TYPE = "task-type/main/default/standardValueSets/TaskType.standardValueSet-meta.xml"


@pytest.fixture
def world(make_world: WorldMaker) -> World:
    return make_world()


@pytest.fixture
def connector(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command_in(world, monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "salesforce"


def written(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.*") if path.is_file()}


def test_a_folder_is_written_where_one_stands(connector: Command, folder: Path) -> None:
    result = connector("salesforce", "setup", "--json")
    assert result.status == 0
    assert result.json["note"] == ""
    assert {*result.json["files"]} == written(folder).keys() - {".connector-files"}
    assert {FIELD, TASK_TYPE, "README.md", "sfdx-project.json"} <= {*result.json["files"]}


@pytest.fixture
def sf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Salesforce CLI that writes down how it is called, and fails for the org 'broken'; returns what it wrote."""
    programs, calls = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    (programs / "sf").write_text(
        f'#!/bin/sh\necho "$PWD|$*" >> {calls}\necho deploying\n[ "$6" != "--target-org=broken" ]\n'
    )
    (programs / "sf").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return calls


@pytest.mark.parametrize(("org", "status"), [("prod", 0), ("broken", 1), ("x; touch gone", 0)])
def test_it_is_deployed_by_the_salesforce_cli(
    connector: Command, folder: Path, sf: Path, org: str, status: int
) -> None:
    result = connector("salesforce", "setup", "--deploy", org, "--json")
    assert (result.status, result.json["folder"]) == (status, "salesforce")
    called = f"{folder}|project deploy start --source-dir force-app --target-org={org}"
    assert sf.read_text().splitlines() == [called]
    assert FIELD in written(folder)
    assert "deploying" in result.err


def test_without_the_salesforce_cli_nothing_is_deployed_or_written(
    connector: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    result = connector("salesforce", "setup", "--deploy", "prod")
    assert (result.status, "install the command 'sf'" in result.err, folder.exists()) == (2, True, False)
    assert connector("salesforce", "setup", "--deploy", "prod", "--check").status == 2


def test_it_can_be_written_anew_after_a_change_and_leaves_nothing_behind(
    connector: Command, world: World, folder: Path
) -> None:
    assert connector("salesforce", "setup").status == 0
    # What the Salesforce CLI keeps for itself stands in nobody's way.
    (folder / ".sf").mkdir()
    (folder / ".sf" / "config.json").write_text("{}")
    world.configure(salesforce={"intent_field": "Acme_Key__c"})
    assert connector("salesforce", "setup", str(folder)).status == 0
    assert FIELD not in written(folder)
    assert FIELD.replace("Connector_Intent_Id", "Acme_Key") in written(folder)
    assert (folder / ".sf" / "config.json").is_file()


def test_a_folder_with_other_files_is_left_alone(connector: Command, folder: Path) -> None:
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    result = connector("salesforce", "setup")
    assert (result.status, "README.md" in result.err) == (2, True)
    assert written(folder) == {"README.md": "mine"}
    (folder / "README.md").unlink()
    assert connector("salesforce", "setup").status == 0
    before = written(folder)
    (folder / "force-app" / "notes.txt").write_text("mine")
    result = connector("salesforce", "setup")
    assert (result.status, "notes.txt" in result.err) == (2, True)
    assert written(folder) == {**before, "force-app/notes.txt": "mine"}


def test_a_file_in_its_place_is_left_alone(connector: Command, folder: Path) -> None:
    folder.write_text("mine")
    result = connector("salesforce", "setup")
    assert (result.status, folder.read_text()) == (2, "mine")
    assert "nothing was written" in result.err


def test_without_a_way_to_the_org_the_folder_is_written_and_says_what_is_left_out(
    connector: Command, world: World, folder: Path
) -> None:
    account = {**world.settings["accounts"]["salesforce"], "client_id": "somebody-else"}
    world.configure(accounts={**world.settings["accounts"], "salesforce": account})
    result = connector("salesforce", "setup")
    assert (result.status, "note: the org could not be asked" in result.out) == (0, True)
    assert TASK_TYPE not in written(folder)
    assert FIELD in written(folder)


def test_without_an_account_the_folder_is_written_and_there_is_nothing_to_check(
    connector: Command, world: World, folder: Path
) -> None:
    accounts = {name: account for name, account in world.settings["accounts"].items() if name != "salesforce"}
    world.configure(accounts=accounts)
    assert connector("salesforce", "setup").status == 0
    assert FIELD in written(folder)
    result = connector("salesforce", "setup", "--check")
    assert (result.status, "accounts" in result.err) == (2, True)


def test_a_field_that_no_org_would_take_is_refused_before_anything_is_written(
    connector: Command, world: World, folder: Path
) -> None:
    world.configure(salesforce={"intent_field": "acme__Key__c"})
    result = connector("salesforce", "setup")
    assert "salesforce.intent_field" in result.err
    assert result.status != 0
    assert not folder.exists()


def test_the_check_ends_with_1_as_long_as_the_org_lacks_something(
    connector: Command, world: World, folder: Path
) -> None:
    world.seed(people(1))
    world.sandbox.salesforce.set_intent_field(present=False)
    result = connector("salesforce", "setup", "--check")
    assert result.status == 1
    assert "Connector_Intent_Id__c" in result.out
    assert "connector salesforce setup" in result.out
    assert not folder.exists()
    world.sandbox.salesforce.set_intent_field(present=True)
    result = connector("salesforce", "setup", "--check", "--json")
    assert result.status == 0
    assert {one["area"] for one in result.json} == {"setup"}


def test_the_check_ends_with_4_when_somebody_must_sign_in(connector: Command, world: World) -> None:
    account = {**world.settings["accounts"]["salesforce"], "client_id": "somebody-else"}
    world.configure(accounts={**world.settings["accounts"], "salesforce": account})
    result = connector("salesforce", "setup", "--check", "--json")
    assert result.status == 4
    assert [one["area"] for one in result.json] == ["sign-in"]
