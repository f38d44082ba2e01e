"""`connector doctor`, `connector diagnostics` and the budget of `status`: what is wrong, why, and what comes next."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connector.people import Person
from tests.command import Command, command_in
from tests.world import ANA, World, WorldMaker, people

CALLS = """\
name: Calls
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}"}
"""


@pytest.fixture
def world(make_world: WorldMaker) -> World:
    world = make_world(campaign=CALLS)
    world.seed(people(1))
    return world


@pytest.fixture
def connector(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command_in(world, monkeypatch, capsys)


def bad_salesforce(world: World) -> None:
    account = {**world.settings["accounts"]["salesforce"], "client_id": "somebody-else"}
    world.configure(accounts={**world.settings["accounts"], "salesforce": account})


def unreachable_gmail(world: World) -> None:
    account = {**world.settings["accounts"]["google"], "endpoint": "http://127.0.0.1:9"}
    world.configure(accounts={**world.settings["accounts"], "google": account})


def bad_microsoft(world: World) -> None:
    account = {**world.settings["accounts"]["microsoft"], "client_id": "somebody-else"}
    world.configure(accounts={**world.settings["accounts"], "microsoft": account})


def broken_campaign(world: World) -> None:
    (world.folder / "campaigns" / "broken.yaml").write_text("name: Broken\ndays: []\n")


def unknown_owner(world: World) -> None:
    world.configure(reps=[{**ANA, "salesforce_user": "nobody@acme.example"}])


# ----------------------------------------------------------------------------------------------- doctor


def test_every_account_has_a_line_and_all_is_well(connector: Command) -> None:
    result = connector("doctor", "--json")
    assert result.status == 0
    assert {one["account"] for one in result.json} == {
        "campaigns", "database", "salesforce", "gmail:ana@acme.example", "outlook:bob@acme.example",
        "links:cy@acme.example",
    }  # fmt: skip
    assert "fault" not in {one["verdict"] for one in result.json}


@pytest.mark.parametrize(
    ("spoil", "status", "account", "said"),
    [
        (lambda world: None, 0, None, ""),
        (broken_campaign, 1, "campaigns", "broken.yaml"),
        (lambda world: world.sandbox.salesforce.set_intent_field(present=False), 1, "salesforce", "Connector_Intent"),
        (unknown_owner, 1, "salesforce", "nobody@acme.example"),
        (bad_salesforce, 4, "salesforce", "client_id"),
        (unreachable_gmail, 1, "gmail:ana@acme.example", ""),
        (bad_microsoft, 4, "outlook:bob@acme.example", ""),
    ],
)
def test_what_is_wrong_decides_the_exit_status(
    connector: Command, world: World, spoil: Callable[[World], None], status: int, account: str | None, said: str
) -> None:
    spoil(world)
    result = connector("doctor", "--json")
    assert result.status == status
    faults = [one for one in result.json if one["verdict"] == "fault"]
    assert {one["account"] for one in faults} == ({account} if account else set())
    assert all(said in one["sentence"] for one in faults)
    # One bad account hides no other.
    assert {"salesforce", "database"} <= {one["account"] for one in result.json}


def test_the_table_says_the_same_and_how_to_mend_it(connector: Command, world: World) -> None:
    world.sandbox.salesforce.set_intent_field(present=False)
    result = connector("doctor")
    assert result.status == 1
    assert "1 fault" in result.out
    assert "connector salesforce setup" in result.out


def test_a_secret_that_is_not_set_is_a_line_and_the_other_accounts_are_looked_at(
    connector: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SANDBOX_SALESFORCE_SECRET")
    monkeypatch.delenv("SANDBOX_MICROSOFT_SECRET")
    result = connector("doctor", "--json")
    assert result.status == 1
    faults = {(one["account"], one["area"]): one["sentence"] for one in result.json if one["verdict"] == "fault"}
    assert faults.keys() == {("salesforce", "sign-in"), ("microsoft", "sign-in")}
    assert "SANDBOX_SALESFORCE_SECRET is not set" in faults["salesforce", "sign-in"]
    assert {"database", "gmail:ana@acme.example"} <= {one["account"] for one in result.json}


def test_what_an_account_says_against_itself_stands_under_its_name(connector: Command, world: World) -> None:
    section = {
        "auth": "jwt", "client_id": "app", "username": ANA["email"], "key_file": "gone.pem",
        "login_url": world.sandbox.url,
    }  # fmt: skip
    world.configure(accounts={**world.settings["accounts"], "salesforce": section})
    told = connector("validate")
    assert (told.status, "accounts.salesforce: the file" in told.out, "gone.pem" in told.out) == (0, True, True)
    result = connector("doctor", "--json")
    assert result.status == 4
    found = {(one["account"], one["verdict"]): one["sentence"] for one in result.json}
    assert "gone.pem" in found["salesforce", "warning"]
    assert "gone.pem" in found["salesforce", "fault"]
    assert ("campaigns", "ok") in found
    headings = [line for line in connector("doctor").out.splitlines() if not line.startswith(" ")]
    assert headings.count("salesforce") == 1


def test_looking_leaves_no_trace(connector: Command, world: World) -> None:
    assert connector("doctor").status == 0
    assert world.sandbox.log.effects == []
    assert connector("feed", "--json").json == []


# ------------------------------------------------------------------------------------------ diagnostics


@pytest.fixture
def refused(world: World, connector: Command) -> Person:
    """Somebody whose task a validation rule refuses."""
    (person,) = people(1)
    world.sandbox.salesforce.fail_items("FIELD_CUSTOM_VALIDATION_EXCEPTION", message="Say why you call")
    world.launch([person])
    assert connector("sync").status == 1
    world.sandbox.salesforce.stop_failing()
    return person


def test_a_refused_record_is_listed_for_the_rep_and_for_the_administrator(connector: Command, refused: Person) -> None:
    result = connector("diagnostics", "--json")
    assert result.status == 1
    (one,) = result.json
    assert (one["code"], one["category"]) == ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "access or validation")
    assert (one["person"], one["rep"]) == (refused.email, "ana@acme.example")
    assert "Say why you call" in one["sentence"]
    assert one["advice"]
    assert one["since"] == "2026-11-23T08:00:00Z"
    assert one["next_try"] > one["since"]
    told = connector("diagnostics", "list")
    assert (told.status, "Say why you call" in told.out) == (1, True)


@pytest.mark.parametrize("how", ["id", "beginning", "all"])
def test_what_was_mended_is_tried_by_the_next_sync(connector: Command, world: World, refused: Person, how: str) -> None:
    (one,) = connector("diagnostics", "--json").json
    assert connector("sync", "--json").json["delivered"] is not None
    assert world.records("Task") == []
    words = {"id": [one["id"]], "beginning": [one["id"][:8]], "all": ["--all"]}[how]
    result = connector("diagnostics", "retry", *words)
    assert (result.status, "the next 'connector sync' tries 1 record" in result.out) == (0, True)
    assert connector("sync").status == 0
    assert len(world.records("Task")) == 1
    assert connector("diagnostics", "--json").json == []


@pytest.mark.parametrize("words", [(), ("ffff", "--all"), ("ffffffff",)])
def test_a_retry_that_names_nothing_changes_nothing(
    connector: Command, refused: Person, words: tuple[str, ...]
) -> None:
    before = connector("diagnostics", "--json").json
    result = connector("diagnostics", "retry", *words)
    assert result.status == 2
    assert result.err
    assert connector("diagnostics", "--json").json == before


def test_nothing_refused_is_no_trouble(connector: Command) -> None:
    assert connector("diagnostics", "--json").json == []
    result = connector("diagnostics")
    assert (result.status, "has taken everything" in result.out) == (0, True)
    assert connector("diagnostics", "retry", "--all").status == 0


# ---------------------------------------------------------------------------------------------- status


@pytest.mark.parametrize(
    ("used", "only_due", "said"),
    [(1_000, False, "%)"), (13_490, False, "(89 %)"), (13_500, True, "%): only what is due now is sent")],
)
def test_status_says_what_part_of_the_days_calls_is_used(
    connector: Command,
    world: World,
    used: int,
    only_due: bool,
    said: str,
) -> None:
    world.sandbox.salesforce.use_calls(used)
    connector("sync")
    budget = connector("status", "--json").json["api_budget"]
    assert budget["allowed"] == 15_000
    assert budget["percent"] == budget["used"] * 100 // 15_000
    assert budget["only_due"] is only_due
    assert said in connector("status").out
