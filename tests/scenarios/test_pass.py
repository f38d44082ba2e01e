"""What a pass owes the next one: no pace used up by what did not happen, one question a pass, a database that is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from connector.app import Project, open_app
from connector.errors import BadInput, Reconnect, Retry
from connector.store.lanes import read_pacing
from connector.sync.views import status
from connector.sync.wheel import turn
from tests.world import ANA, WorldMaker, people


class Failing:
    """A mailbox that does nothing and says so."""

    def __init__(self, mailbox, error):
        self._mailbox = mailbox
        self._error = error
        self.asked = 0

    def __getattr__(self, name):
        return getattr(self._mailbox, name)

    def create_draft(self, mail):
        self.asked += 1
        raise self._error


@pytest.mark.parametrize(
    "error", [Retry("busy"), Reconnect("sign in again", account="gmail:ana@acme.example")], ids=["busy", "signed out"]
)
def test_what_did_not_happen_uses_up_no_pace(make_world: WorldMaker, database_url: str, error) -> None:
    world = make_world(database_url=database_url, reps=(ANA,), pacing={"gmail": {"per_day": 2}})
    world.launch(people(2))
    failing = Failing(world.office.mailboxes["ana@acme.example"], error)
    for _ in range(5):
        report = turn(replace(world.office, mailboxes={"ana@acme.example": failing}))
        world.after(minutes=5)
    assert failing.asked == 5, "once a pass"
    assert report.exit_status == (4 if isinstance(error, Reconnect) else 1)
    assert len(report.needs_attention) == 1
    with world.database.read() as tx:
        assert read_pacing(tx, "gmail:ana@acme.example").day_count == 0
    world.after(hours=1)
    assert world.sync().delivered["sent"] == 2
    assert status(world.office).as_json()["accounts"]["gmail:ana@acme.example"]["sent_today"] == 2
    world.after(days=1)
    assert status(world.office).as_json()["accounts"]["gmail:ana@acme.example"]["sent_today"] == 0


def test_a_relative_database_lies_in_the_project(make_world: WorldMaker, tmp_path: Path, monkeypatch) -> None:
    world = make_world()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with open_app(Project(folder=world.folder), clock=world.sandbox.clock, services=False):
        pass
    assert (world.folder / "connector.db").is_file()
    assert list(elsewhere.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(make_world: WorldMaker, tmp_path: Path) -> None:
    world = make_world()
    (tmp_path / "notes.db").write_text("not a database at all, however long it goes on" * 40)
    url = f"sqlite:///{tmp_path / 'notes.db'}"
    with pytest.raises(BadInput, match="cannot be opened"), open_app(world.project, database_url=url):
        pass
    assert (tmp_path / "notes.db").read_text().startswith("not a database")
