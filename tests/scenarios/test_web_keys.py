"""Keys of the API at the terminal: made and shown once, listed, revoked; the same ones as on the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connector.store.preferences import Preferences
from connector.sync.api_keys import LONGEST_NAME, MOST, Scope, add_key, keys_of, open_by, revoke
from connector.web.users import Role, user_of
from tests.command import Command, command_in
from tests.world import ANA, BOB, World

BOSS, LEAVER = "boss@acme.example", "leaver@acme.example"
#: Bob's other address, by which he is an administrator.
ROB = "rob@acme.example"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        reps = ({**ANA, "aliases": ["ana.diaz@acme.example"]}, {**BOB, "aliases": [ROB]})
        world = World.make(tmp_path_factory.mktemp("keys") / "world", patch, reps=reps, web={"admins": [BOSS, ROB]})
        yield world
        world.close()


@pytest.fixture
def connector(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    yield command_in(world, monkeypatch, capsys)
    for one in keys_of(world.office, ""):
        revoke(world.office, "", one.id)


def test_a_key_is_made_shown_once_listed_and_revoked(connector: Command, world: World) -> None:
    scopes = ("--scope", "tasks", "--scope", "read")
    made = connector("web", "key", "add", "nightly  export", *scopes, "--for", ANA["email"])
    assert made.status == 0, made.err
    (secret,) = [line for line in made.out.splitlines() if line.startswith("sck_")]
    assert "'nightly export' acts for ana@acme.example, as far as read, tasks" in made.out
    key = open_by(world.office, secret)
    assert key is not None
    assert (key.user, key.scopes) == (ANA["email"], ("read", "tasks"))
    # On her own page it is hers, too.
    assert [one.id for one in keys_of(world.office, ANA["email"])] == [key.id]
    listed = connector("web", "key", "list")
    assert key.id[:8] in listed.out
    assert "1 key" in listed.out
    assert secret not in listed.out
    gone = connector("web", "key", "revoke", key.id[:8])
    assert (gone.status, gone.out) == (0, "the key 'nightly export' of ana@acme.example opens nothing any more\n")
    assert open_by(world.office, secret) is None
    assert connector("web", "key", "list").out == "0 keys\n"


def test_a_program_reads_what_it_needs(connector: Command, world: World) -> None:
    made = connector("web", "key", "add", "export", "--scope", "read", "--json").json
    assert open_by(world.office, made.pop("secret")) is not None
    assert (made["name"], made["user"], made["scopes"], made["used"]) == ("export", "", ["read"], None)
    (listed,) = connector("web", "key", "list", "--json").json
    assert listed.pop("used") is not None
    assert listed == {name: value for name, value in made.items() if name != "used"}
    assert connector("web", "key", "revoke", made["id"], "--json").json["id"] == made["id"]


#: --for -> whom the key acts for.
WHOSE = {
    "ana@acme.example": ANA["email"],
    "ANA.Diaz@acme.example": ANA["email"],
    BOSS: BOSS,
    BOB["email"]: BOB["email"],
    ROB: BOB["email"],
    None: "",
}


def test_a_key_acts_for_whom_it_was_made_and_is_found_by_any_of_their_addresses(connector: Command) -> None:
    for asked, user in WHOSE.items():
        whose = [] if asked is None else ["--for", asked]
        assert connector("web", "key", "add", f"of {asked}", "--scope", "read", *whose, "--json").json["user"] == user
    names = {key["name"] for key in connector("web", "key", "list", "--for", "ana.diaz@acme.example", "--json").json}
    assert names == {"of ana@acme.example", "of ANA.Diaz@acme.example"}
    assert len(connector("web", "key", "list", "--json").json) == len(WHOSE)
    assert "this machine's user" in connector("web", "key", "list").out


def test_whoever_signs_in_by_another_address_of_theirs_has_the_same_keys(world: World) -> None:
    settings, chosen = world.project.settings, Preferences()
    users = [user_of(settings, address, chosen) for address in (BOB["email"], ROB)]
    assert {(user.email, user.role) for user in users if user is not None} == {(BOB["email"], Role.ADMIN)}


def test_the_keys_of_somebody_who_left_are_listed_and_revoked(connector: Command, world: World) -> None:
    add_key(world.office, user=LEAVER, name="left", scopes=[Scope.READ])
    (key,) = connector("web", "key", "list", "--for", LEAVER, "--json").json
    assert connector("web", "key", "revoke", key["id"][:6]).status == 0


#: What is asked -> what is said about it.
BAD = {
    ("add", "x"): "a key needs a name, by which you find it again, and at least one scope",
    ("add", " ", "--scope", "read"): "a key needs a name, by which you find it again, and at least one scope",
    ("add", "x" * (LONGEST_NAME + 1), "--scope", "read"): "the name of a key has at most 200 characters, not 201",
    ("add", "x", "--scope", "everything"): "'everything' is not one of 'read', 'tasks', 'campaigns', 'people', 'admin'",
    ("add", "x", "--scope", "read", "--for", "ana"): "'ana' is not a mail address",
    ("add", "x", "--scope", "read", "--for", LEAVER): f"nobody is known by '{LEAVER}'",
    ("add",): "Missing argument 'name'",
    ("list", "--for", ""): "'' is not a mail address",
    ("revoke", "0123"): "the id '0123' names no key of yours",
    ("revoke", ""): "the id '' names no key of yours",
    ("revoke",): "Missing argument 'ID'",
}


@pytest.mark.parametrize("arguments", BAD, ids=" ".join)
def test_what_cannot_be_done_is_said_in_a_sentence_and_changes_nothing(
    connector: Command, arguments: tuple[str, ...]
) -> None:
    result = connector("web", "key", *arguments)
    assert (result.status, result.out) == (2, "")
    assert BAD[arguments] in result.err
    assert connector("web", "key", "list", "--json").json == []


def test_one_user_has_only_so_many(connector: Command, world: World) -> None:
    for number in range(MOST):
        add_key(world.office, user=ANA["email"], name=str(number), scopes=[Scope.READ])
    result = connector("web", "key", "add", "one more", "--scope", "read", "--for", ANA["email"])
    assert (result.status, f"there are {MOST} keys that act for this user already: revoke one first" in result.err) == (
        2,
        True,
    )
    assert connector("web", "key", "add", "another's", "--scope", "read", "--for", BOB["email"]).status == 0
