"""`connector auth`: the whole command on a project, with a browser that an HTTP client plays."""

import json
import socket

import pytest

from connector.store.lanes import read_pacing
from connector.vault import KEY_FILE, StoredVault
from tests.command import command_with_browser
from tests.world import ANA, BOB, people


@pytest.fixture
def world(make_world, monkeypatch):
    world = make_world(reps=(ANA, BOB))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    monkeypatch.setenv("SF_SECRET", "the-secret-of-the-app")
    salesforce = world.sandbox.salesforce
    salesforce.register_app(
        "3MVG9.app",
        secret="the-secret-of-the-app",
        redirect_uris=[f"http://localhost:{port}/callback"],
        users=[ANA["email"], BOB["email"]],
        rotate=True,
    )
    section = {
        "auth": "refresh_token",
        "client_id": "3MVG9.app",
        "client_secret": "${env:SF_SECRET}",
        "login_url": world.sandbox.url,
        "redirect_port": port,
    }
    world.seed([])
    world.configure(accounts={**world.settings["accounts"], "salesforce": section})
    return world


def configure(world, **change):
    section = {**world.settings["accounts"]["salesforce"], **change}
    world.configure(accounts={**world.settings["accounts"], "salesforce": section})


@pytest.fixture
def connector(world, monkeypatch, capsys):
    return command_with_browser(world, monkeypatch, capsys)


def test_a_person_signs_in_syncs_and_signs_out(world, connector):
    before = connector("sync")
    assert before.status == 4
    assert "run 'connector auth salesforce'" in before.out + before.err

    signed = connector("auth", "salesforce", "--no-browser")
    assert signed.status == 0
    assert f"as {ANA['email']}" in signed.out
    assert f"{world.sandbox.url}/services/oauth2/authorize?" in signed.err

    world.launch(people(1))
    assert connector("sync").status == 0
    assert len(world.records("Task")) > 0

    revoked = connector("auth", "revoke", "salesforce")
    assert (revoked.status, revoked.out.strip()) == (0, "the sign-in to Salesforce is revoked and forgotten")
    assert connector("sync").status == 4


def test_with_json_the_command_gives_one_document(world, connector):
    signed = connector("auth", "salesforce", "--no-browser", "--json").json
    assert (signed["account"], signed["rep"], signed["signed_in"]) == ("salesforce", None, True)
    revoked = connector("auth", "revoke", "salesforce", "--json").json
    assert revoked["signed_in"] is False


def test_no_secret_is_printed_or_lies_in_the_clear(world, connector):
    world.launch(people(1))
    said = [connector("-v", "auth", "salesforce", "--no-browser"), connector("-v", "sync"), connector("feed")]
    assert [one.status for one in said] == [0, 0, 0]
    shown = "".join(one.out + one.err for one in said)
    assert "the-secret-of-the-app" not in shown
    at_rest = b"".join(path.read_bytes() for path in world.folder.glob("connector.db*"))
    assert at_rest
    kept = json.loads(StoredVault(world.database, world.sandbox.clock, world.folder).read("salesforce"))
    for name in ("refresh_token", "access_token"):
        assert kept[name].encode() not in at_rest
        assert kept[name] not in shown
    assert (world.folder / KEY_FILE).stat().st_mode & 0o077 == 0


def test_reps_sign_in_one_by_one_and_who_did_not_waits_alone(world, connector):
    configure(world, per_rep=True)
    assert connector("auth", "salesforce", "--no-browser").status == 0
    signed = connector("auth", "salesforce", "--rep", "Ana@acme.example", "--no-browser")
    assert (signed.status, f"for rep {ANA['email']}" in signed.out) == (0, True)

    hers, his = people(2)
    world.launch([hers], rep=ANA["email"])
    world.launch([his], rep=BOB["email"])
    first = connector("sync")
    assert first.status == 4
    assert authors(world) == {(ANA["email"], ANA["email"])}
    assert "connector auth salesforce --rep bob@acme.example" in first.out + first.err

    # Only he waits, and only until he has signed in.
    (another,) = people(1, domain="next")
    world.launch([another], rep=ANA["email"])
    made = len(world.records("Task"))
    world.after(minutes=1)
    again = connector("sync", "--json")
    assert (again.status, again.json["delivered"]["tasks"] > 0) == (4, True)
    assert len(world.records("Task")) > made
    assert any("--rep bob@acme.example" in line for line in again.json["needs_attention"])

    assert connector("auth", "salesforce", "--rep", BOB["email"], "--no-browser").status == 0
    world.after(minutes=1)
    assert connector("sync").status == 0
    assert authors(world) == {(rep, rep) for rep in (ANA["email"], BOB["email"])}


def test_tasks_of_a_rep_who_alone_has_some_stop_no_one_else(world, connector):
    configure(world, per_rep=True)
    assert connector("auth", "salesforce", "--no-browser").status == 0
    world.launch(people(1), rep=BOB["email"])
    first = connector("sync", "--json")
    assert first.status == 4
    with world.database.read() as tx:
        pacing = read_pacing(tx, "salesforce")
    assert (pacing.blocked_until, pacing.problem) == (None, None)
    assert {one["code"] for one in connector("diagnostics", "--json").json} == {"not_signed_in"}


def test_one_record_refused_for_its_sign_in_names_the_rep_who_signed_in(world, connector):
    configure(world, per_rep=True)
    for words in ((), ("--rep", BOB["email"])):
        assert connector("auth", "salesforce", *words, "--no-browser").status == 0
    world.launch(people(1), rep=BOB["email"])
    world.sandbox.salesforce.fail_items("API_CURRENTLY_DISABLED", "API is off", 1000)
    done = connector("sync", "--json")
    assert done.status == 4
    (line,) = [line for line in done.json["needs_attention"] if line.startswith("salesforce")]
    assert BOB["email"] in line.partition(": ")[0]


def authors(world):
    """Return who made tasks, and for whom."""
    org = world.sandbox.salesforce.org
    names = {row.id: row.values["Username"] for row in org.table("User")}
    return {(names[task.values["CreatedById"]], names[task.values["OwnerId"]]) for task in org.table("Task")}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["microsoft"], "auth: client_credentials of accounts.microsoft needs no person"),
        (["revoke", "microsoft"], "to sign in rep by rep, write auth: auth_code or auth: device_code"),
        (["google", "--rep", BOB["email"]], "bob@acme.example does not use google, but 'mailbox: outlook'"),
        (["hubspot"], "there is no account 'hubspot' to sign in to (there are: google, microsoft, salesforce)"),
        (["revoke"], "name one account"),
        (["salesforce", "google"], "name one account"),
        (["salesforce", "--rep", "nobody@acme.example"], "there is no rep 'nobody@acme.example'"),
    ],
)
def test_what_cannot_be_signed_in_to_is_refused(world, connector, arguments, sentence):
    refused = connector("auth", *arguments)
    assert refused.status == 2
    assert sentence in refused.err
    assert not (world.folder / KEY_FILE).exists()


def test_an_account_that_is_not_set_up_is_told(world, connector):
    accounts = {name: section for name, section in world.settings["accounts"].items() if name != "salesforce"}
    world.configure(accounts=accounts)
    refused = connector("auth", "salesforce")
    assert (refused.status, "there is no section accounts.salesforce in" in refused.err) == (2, True)


def test_a_rep_where_reps_do_not_sign_in_is_told(world, connector):
    refused = connector("auth", "salesforce", "--rep", ANA["email"])
    assert (refused.status, "leave --rep out, or write per_rep: true" in refused.err) == (2, True)


def test_validate_warns_of_a_legacy_sign_in_at_its_line(world, connector, monkeypatch):
    monkeypatch.setenv("SF_PASSWORD", "secret")
    section = {"auth": "password", "username": ANA["email"], "password": "${env:SF_PASSWORD}"}
    world.configure(accounts={**world.settings["accounts"], "salesforce": section})
    told = connector("validate")
    assert told.status == 0
    assert "connector.yaml:1: accounts.salesforce: auth: password without client_id is SOAP login()" in told.out
    assert told.out.startswith("warning: ")


def test_a_first_refresh_token_from_the_environment_may_be_unset_once_it_was_used(world, connector, monkeypatch):
    monkeypatch.setenv("SF_REFRESH", world.sandbox.salesforce.issue_refresh_token(ANA["email"], "3MVG9.app"))
    configure(world, refresh_token="${env:SF_REFRESH}")
    assert connector("sync").status == 0
    monkeypatch.delenv("SF_REFRESH")
    assert connector("sync").status == 0
