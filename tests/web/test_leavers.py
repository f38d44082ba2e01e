"""Who is taken out of connector.yaml is out at once: sessions, keys and open feeds, while the web app goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from typing import Any

import pytest
import requests

from connector.sync.api_keys import Scope, add_key
from connector.web import broadcast
from tests.web.visitors import ANA, BOB, CY, MAY, ROOT, WEB, Visitors
from tests.world import World


class Office:
    """A web app that is served, everybody signed in, and the file beside it."""

    def __init__(self, world: World) -> None:
        self.world, self.visitors = world, Visitors.of(world)
        self.browsers = {user: self.visitors.browser(user) for user in (ANA, BOB, CY, MAY, ROOT)}
        self.key = add_key(world.office, user=BOB, name="his", scopes=[Scope.READ]).secret

    def write(self, **changes: Any) -> None:
        """Have somebody write connector.yaml; no keyword puts back what it said."""
        self.write_text(json.dumps(deepcopy(self.world.settings) | changes))

    def write_text(self, text: str) -> None:
        (self.world.folder / "connector.yaml").write_text(text)

    def without(self, rep: str) -> list[dict[str, Any]]:
        return [one for one in self.world.settings["reps"] if one["email"] != rep]

    def let_in(self) -> set[str]:
        """Return whose session opens the queue."""
        return {user for user, browser in self.browsers.items() if browser.get("/tasks").status_code == 200}

    def by_key(self) -> int:
        """Return what Bob's key is answered."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return requests.get(f"{self.visitors.url}/api/v1/tasks", headers=headers, timeout=10).status_code


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broadcast, "_BEAT", 0.2)
        world = World.make(tmp_path_factory.mktemp("leavers") / "world", patch, web=WEB)
        office = Office(world)
        yield office
        office.visitors.leave()
        world.close()


@pytest.fixture
def office(served: Office) -> Office:
    served.write()
    return served


ALL = {ANA, BOB, CY, MAY, ROOT}


def test_a_rep_who_leaves_is_out_at_once_with_keys_and_all_and_comes_back_as_one_was(office: Office) -> None:
    assert (office.let_in(), office.by_key()) == (ALL, 200)
    office.write(reps=office.without(BOB))
    assert (office.let_in(), office.by_key()) == (ALL - {BOB}, 401)
    # Webhooks ask it too.
    assert office.world.office.sees(BOB) == frozenset()
    office.write()
    assert (office.let_in(), office.by_key()) == (ALL, 200)


#: What `web:` says from now on -> who comes in.
ROLES: list[tuple[dict[str, Any], set[str]]] = [
    ({**WEB, "admins": []}, ALL - {ROOT}),
    ({**WEB, "managers": {}}, ALL - {MAY}),
    ({}, ALL - {MAY, ROOT}),
]


@pytest.mark.parametrize(("web", "let_in"), ROLES)
def test_a_role_ends_when_the_file_says_so(office: Office, web: dict[str, Any], let_in: set[str]) -> None:
    assert office.let_in() == ALL
    office.write(web=web)
    assert office.let_in() == let_in


def test_a_role_begins_when_the_file_says_so_and_ends_with_it(office: Office) -> None:
    ana = office.browsers[ANA]
    assert ana.get("/settings").status_code == 200
    first = 'name="rep"' in ana.get("/tasks").text
    office.write(web={"admins": [ANA]})
    promoted = 'name="rep"' in ana.get("/tasks").text
    office.write()
    assert (first, promoted, 'name="rep"' in ana.get("/tasks").text) == (False, True, False)


def test_while_the_file_cannot_be_read_everything_stays_as_it_was(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    for text in ("reps: [", "reps: []", ""):
        caplog.clear()
        office.write_text(text)
        assert office.let_in() == ALL, text
        (said,) = [one for one in caplog.messages if "connector.yaml cannot be used" in one]
        assert len(said.splitlines()) == 1
    (office.world.folder / "connector.yaml").unlink()
    assert office.let_in() == ALL
    office.write(reps=office.without(BOB))
    assert office.let_in() == ALL - {BOB}


@pytest.mark.parametrize("changes", ["leaves", "sees others"])
def test_an_open_feed_ends_when_it_is_not_theirs_any_more(office: Office, changes: str) -> None:
    address = f"{office.visitors.url}/feed/stream"
    with requests.get(address, cookies=office.visitors.cookies(MAY), stream=True, timeout=10) as line:
        told = (raw.decode() for raw in line.iter_lines(chunk_size=1))
        assert next(one for one in told if one.startswith("event: ")) == "event: beat"
        office.write(web={**WEB, "managers": {} if changes == "leaves" else {MAY: [BOB]}})
        # Nobody waits for ever for what does not come.
        assert [one for one in islice(told, 100) if one.startswith("event: ")][-1] == "event: end"
