"""A small world for tests: a sandbox, a project folder on it, its database and its office, on one virtual clock."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox import Hostility, Sandbox
from connector.app import App, Project, open_app
from connector.events import Event, EventKind
from connector.intents import IntentState
from connector.people import Person, Rep
from connector.ports import Crm
from connector.sequencing.enrollment import Enrollment
from connector.sequencing.sequencer import apply, decide, plan_first
from connector.sequencing.sequencer import launch as launch_one
from connector.store.database import Database
from connector.store.enrollments import find_enrollments
from connector.store.intents import find_intents
from connector.store.ledger import read_events
from connector.store.mails import MailState, read_mails
from connector.sync.launch import Launched, launch
from connector.sync.office import Office
from connector.sync.views import TaskView, list_tasks
from connector.sync.wheel import Turn, turn
from tests.databases import lay_sqlite

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
    _office: ExitStack = field(default_factory=ExitStack)
    _app: App | None = None
    _project: Project | None = None
    _seeded: set[str] = field(default_factory=set)
    _crm: Crm | None = None

    @classmethod
    def make(
        cls,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        campaign: str | Mapping[str, str] = CAMPAIGN,
        templates: Mapping[str, str] = TEMPLATES,
        reps: Sequence[Mapping[str, Any]] = (ANA, BOB, CY),
        database_url: str | None = None,
        start: datetime | None = START,
        line: Callable[[str], str] | None = None,
        hostile: Hostility | None = None,
        **settings: Any,
    ) -> World:
        """Start a sandbox and write a project; extra settings go into connector.yaml as they are.

        `campaign` is the text of the one campaign file, or file stem -> text for several. `line` is given the
        sandbox's address and returns the address to reach it at, for a line that loses answers.
        """
        stack = ExitStack()
        sandbox = stack.enter_context(Sandbox(start, hostile=hostile))
        (folder / "campaigns").mkdir(parents=True)
        (folder / "templates").mkdir()
        ready = sandbox.accounts(folder)
        for name, value in ready["environment"].items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("DATABASE_URL", raising=False)
        if line is not None:
            reached = line(sandbox.url)
            ready["accounts"] = json.loads(json.dumps(ready["accounts"]).replace(sandbox.url, reached))
        said = {"reps": [dict(rep) for rep in reps], "accounts": ready["accounts"], **settings}
        (folder / "connector.yaml").write_text(json.dumps(said))
        files = {"campaign": campaign} if isinstance(campaign, str) else campaign
        for name, text in files.items():
            (folder / "campaigns" / f"{name}.yaml").write_text(text)
        for name, text in templates.items():
            (folder / "templates" / name).write_text(text)
        url = database_url or lay_sqlite(folder / "connector.db")
        return cls(sandbox=sandbox, folder=folder, database_url=url, settings=said, _stack=stack)

    @property
    def project(self) -> Project:
        """The project as its files were when they were first asked for since `reopen`."""
        if self._project is None:
            self._project = Project(folder=self.folder)
        return self._project

    @property
    def office(self) -> Office:
        """The office, opened when first asked for."""
        if self._app is None:
            opened = open_app(self.project, clock=self.sandbox.clock, database_url=self.database_url)
            self._app = self._office.enter_context(opened)
        return self._app.office if self._crm is None else replace(self._app.office, crm=self._crm)

    def use_crm(self, crm: Crm) -> None:
        """Let another CRM stand where the sandbox's Salesforce stands."""
        self._crm = crm

    def reopen(self) -> None:
        """Go on as a new process would: with the project's files read anew, and signed in anew."""
        self._office.close()
        self._app = self._project = None

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

    def seed(self, people: Sequence[Person]) -> None:
        """Make the reps, and these people's leads and contacts, each once."""
        reps = [rep for rep in self.project.settings.reps if rep.email not in self._seeded]
        new = [person for person in people if person.email not in self._seeded]
        self.sandbox.seed(new, reps)
        self._seeded |= {one.email for one in (*reps, *new)}

    def launch(
        self,
        people: Sequence[Person],
        *,
        campaign: str | None = None,
        rep: str = "ana@acme.example",
        start: datetime | None = None,
        **options: Any,
    ) -> Launched:
        """Seed people into Salesforce and put them into the campaign; `campaign` names one of several."""
        project = self.project
        self.seed(people)
        (only, *_) = project.loaded.campaigns.values()
        return launch(
            self.office,
            only if campaign is None else project.campaign(campaign),
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

    def effects(self, *names: str) -> list[dict[str, Any]]:
        """Return the lasting effects of these names, in order."""
        return [entry for entry in self.sandbox.log.effects if entry["effect"] in names]

    def facts(self, *kinds: EventKind, person: str | None = None) -> list[Event]:
        """Return the ledger's facts of these kinds, in order."""
        with self.database.read() as tx:
            return [event for _, event in read_events(tx, person=person) if event.kind in kinds]

    def records(self, name: str) -> list[dict[str, Any]]:
        """Return the records of a Salesforce object that nobody deleted."""
        return [row for row in self.sandbox.state()["salesforce"]["records"][name] if not row.get("IsDeleted")]

    def mails(self, rep: str, place: str) -> list[dict[str, Any]]:
        """Return what lies in `drafts`, `sent`, `inbox` or `trash` of a rep."""
        state = self.sandbox.state()
        boxes = {**state["gmail"], **state["graph"]}
        return [mail for mail in boxes[rep]["mails"] if mail["place"] == place]

    def judge(self) -> Counter[str]:
        """Assert that every intent took effect exactly once, by what the services say; count intents by kind.

        Every send is one mail in Sent, every email task one draft (or one mail, once the rep sent it), every task and
        every logged mail one Task, made once.
        """
        with self.database.read() as tx:
            stored = find_intents(tx, states=list(IntentState))
            placed = read_mails(tx, [one.intent.key for one in stored])
        assert {one.problem for one in stored if one.state in (IntentState.UNKNOWN, IntentState.FAILED)} == set()
        sends = {one.intent.key for one in stored if one.state is IntentState.SENT}
        sends |= {key for key, mail in placed.items() if mail.state is MailState.SENT}
        drafts = {key for key, mail in placed.items() if mail.state is MailState.PRESENT}
        tasks = {one.intent.key for one in stored if one.state in (IntentState.OPEN, IntentState.COMPLETED)} | sends
        reps = [rep.email for rep in self.project.settings.reps if rep.mailbox != "links"]
        once_each(self.effects("mail_sent"), sends)
        once_each([mail for rep in reps for mail in self.mails(rep, "sent")], sends)
        once_each([mail for rep in reps for mail in self.mails(rep, "drafts")], drafts)
        once_each(self.effects("task_created"), tasks)
        assert len(self.records("Task")) == len(tasks)
        self.replay()
        return Counter(sends=len(sends), drafts=len(drafts), tasks=len(tasks), all=len(stored))

    def replay(self) -> int:
        """Assert that the ledger, played through the sequencer, gives each enrollment and its intents; count intents."""
        with self.database.read() as tx:
            found = find_enrollments(tx, live=False)
            ledger = [event for _, event in read_events(tx)]
            stored = {one.intent.key for one in find_intents(tx, states=list(IntentState))}
            books = {
                (event.campaign, event.data["version"]): self.office.book.pinned(
                    tx, event.campaign or "", event.data["version"]
                ).campaign
                for event in ledger
                if "version" in event.data
            }
        replayed: set[str] = set()
        for now in found:
            events = [event for event in ledger if event.enrollment == now.id]
            version = next(event.data["version"] for event in events if event.kind is EventKind.LAUNCHED)
            campaign = books[now.campaign, version]
            one = launch_one(
                campaign,
                id=now.id,
                version=version,
                person=now.person,
                rep=now.rep,
                zone=now.zone,
                launched=now.launched,
                start=now.start,
                overrides=now.overrides,
                first=plan_first(campaign, zone=now.zone, start=now.start, overrides=now.overrides),
            ).enrollment
            for event in events:
                if event.kind is EventKind.MIGRATED:
                    campaign = books[now.campaign, event.data["version"]]
                due = event.kind is EventKind.STEP_DUE
                outcome = decide(campaign, one, (), event.at) if due else apply(campaign, one, (event,))
                one = outcome.enrollment
                replayed |= {intent.key for intent in outcome.intents}
            assert one == now
        assert stored <= replayed
        return len(replayed)

    @property
    def enrollments(self) -> dict[str, Enrollment]:
        """Person -> enrollment, for worlds where nobody is in two campaigns."""
        with self.database.read() as tx:
            return {one.person: one for one in find_enrollments(tx, live=False)}

    @property
    def tasks(self) -> list[TaskView]:
        """What waits for reps."""
        return list_tasks(self.office)

    def configure(self, **settings: Any) -> None:
        """Change settings in connector.yaml, and go on as a new process."""
        self.settings.update(settings)
        (self.folder / "connector.yaml").write_text(json.dumps(self.settings))
        self.reopen()

    def close(self) -> None:
        """Close the office and stop the sandbox."""
        self.reopen()
        self._stack.close()


def once_each(entries: Sequence[Mapping[str, Any]], expected: set[str]) -> None:
    """Assert that each expected intent key occurs exactly once among what a service says, and no other."""
    counted = Counter(str(entry["key"]) for entry in entries)
    assert {key: count for key, count in counted.items() if count != 1} == {}
    assert set(counted) == expected


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
