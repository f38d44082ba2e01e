"""A small world for tests: a sandbox, a project folder on it, its database and its office, on one virtual clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox import Sandbox
from connector.app import App, Project, open_app
from connector.people import Person, Rep
from connector.store.database import Database
from connector.sync.launch import Launched, launch
from connector.sync.office import Office
from connector.sync.wheel import Turn, turn

#: A Monday.
START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)

ANA = {
    "email": "ana@acme.example",
    "name": "Ana Diaz",
    "time_zone": "Europe/Madrid",
    "mailbox": "gmail",
    "salesforce_user": "ana@acme.example",
}
BOB = {
    "email": "bob@acme.example",
    "name": "Bob Ray",
    "time_zone": "America/New_York",
    "mailbox": "outlook",
    "salesforce_user": "bob@acme.example",
}
CY = {"email": "cy@acme.example", "name": "Cy Lin", "time_zone": "UTC", "mailbox": "links"}

TEMPLATES = {
    "intro.md": "---\nsubject: Hello {{first_name}}\n---\nHi {{first_name}}, how is {{company}}?\n",
    "nudge.md": "---\nsubject: A word more\n---\nStill there, {{first_name}}?\n",
    "last.md": "---\nsubject: Last try\n---\nDear {{first_name}}, {{! add a line of your own }}\n",
}

CAMPAIGN = """\
name: Outreach
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
      - call: {name: "Call {{first_name}}", notes: "Ask about {{company}}"}
  - day: 2
    steps:
      - email: {template: last, send: task}
"""


@dataclass(kw_only=True)
class World:
    """One sandbox and one project on it."""

    sandbox: Sandbox
    folder: Path
    database_url: str
    settings: dict[str, Any]
    _stack: ExitStack = field(default_factory=ExitStack)
    _app: App | None = None

    @classmethod
    def make(
        cls,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        campaign: str = CAMPAIGN,
        templates: Mapping[str, str] = TEMPLATES,
        reps: Sequence[Mapping[str, Any]] = (ANA, BOB, CY),
        database_url: str | None = None,
        start: datetime | None = START,
        **settings: Any,
    ) -> World:
        """Start a sandbox and write a project; extra settings go into connector.yaml as they are."""
        stack = ExitStack()
        sandbox = stack.enter_context(Sandbox(start))
        (folder / "campaigns").mkdir(parents=True)
        (folder / "templates").mkdir()
        ready = sandbox.accounts(folder)
        for name, value in ready["environment"].items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("DATABASE_URL", raising=False)
        said = {"reps": [dict(rep) for rep in reps], "accounts": ready["accounts"], **settings}
        (folder / "connector.yaml").write_text(json.dumps(said))
        (folder / "campaigns" / "campaign.yaml").write_text(campaign)
        for name, text in templates.items():
            (folder / "templates" / name).write_text(text)
        url = database_url or f"sqlite:///{folder / 'connector.db'}"
        return cls(sandbox=sandbox, folder=folder, database_url=url, settings=said, _stack=stack)

    @property
    def project(self) -> Project:
        """The project as its files are now."""
        return Project(folder=self.folder)

    @property
    def office(self) -> Office:
        """The office, opened when first asked for."""
        if self._app is None:
            opened = open_app(self.project, clock=self.sandbox.clock, database_url=self.database_url)
            self._app = self._stack.enter_context(opened)
        return self._app.office

    @property
    def database(self) -> Database:
        """The open database."""
        return self.office.database

    @property
    def now(self) -> datetime:
        """The present instant of this world."""
        return self.sandbox.clock.now()

    def rep(self, email: str) -> Rep:
        """Return a rep of the project."""
        return self.project.rep(email)

    def launch(
        self, people: Sequence[Person], *, rep: str = "ana@acme.example", start: datetime | None = None, **options: Any
    ) -> Launched:
        """Seed people into Salesforce and put them into the campaign."""
        project = self.project
        self.sandbox.seed(people, project.settings.reps)
        (campaign,) = project.loaded.campaigns.values()
        return launch(
            self.office,
            campaign,
            project.templates,
            rep=project.rep(rep),
            people=people,
            start=start or self.now,
            overrides=options.pop("overrides", {}),
            **options,
        )

    def sync(self, **options: Any) -> Turn:
        """Turn the wheel once."""
        return turn(self.office, **options)

    def after(self, **span: float) -> None:
        """Move time forward."""
        self.sandbox.clock.advance(timedelta(**span))

    def act(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Let somebody outside act."""
        return self.sandbox.act(action, **arguments)

    def close(self) -> None:
        """Close the office and stop the sandbox."""
        self._stack.close()


#: Makes a world; see `World.make` for what it takes.
WorldMaker = Callable[..., World]


def people(count: int, *, domain: str = "client", zone: str = "") -> list[Person]:
    """Return made-up people, each at a company of their own."""
    return [
        Person(
            email=f"p{number}@{domain}{number}.example",
            first_name=f"Pat{number}",
            last_name="Doe",
            company=f"Client {number}",
            time_zone=zone,
        )
        for number in range(count)
    ]
