"""`connector demo`: the whole job on the sandbox with the example project, told as it happens, and checked.

Lives here: the story. Does not live here: anything it does; each step is what a command, a service or a person does.
Every number comes from the sandbox or the database; what was expected and did not happen is said, and ends in 1.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.app import App, Project, SystemClock, copy_example, open_app, open_sandbox
from connector.campaigns.model import Campaign
from connector.campaigns.people_file import read_people
from connector.cli.output import Terminal, counted, moment, terminal_of
from connector.cli.project import PEOPLE_FILE, faults_of
from connector.cli.serve import serving
from connector.engine import opening
from connector.errors import BadInput
from connector.events import Event, sentence
from connector.intents import IntentEvent, StepType
from connector.sequencing.enrollment import Enrollment, EnrollmentState
from connector.store.enrollments import find_enrollments
from connector.store.intents import read_intents
from connector.store.ledger import read_events
from connector.store.mails import MailState, read_mails
from connector.sync import actions, views
from connector.sync.launch import launch
from connector.sync.views import TaskView
from connector.sync.wheel import Turn, turn

if TYPE_CHECKING:
    from adapters.sandbox import Sandbox

commands = typer.Typer()

#: What the example's connector.yaml names as the address of the sandbox; the demo takes a free port instead.
_EXAMPLE_ADDRESS = "http://127.0.0.1:8025"

#: More passes than any example needs; a story that does not end by itself is broken.
_MOST_PASSES = 200

_MONDAY_MORNING = time(8, 0)


@commands.command()
def demo(
    context: typer.Context,
    *,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder for the project; it is kept. A temporary one else.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary folder to look into.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Stop when drafts wait; show it all in the browser.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve at; 0 takes a free one.")] = 8000,
) -> int:
    """Run the example project on the sandbox from beginning to end, and show what was made where.

    With --serve it stops in the middle, where tasks and drafts wait, and serves the command center until Ctrl-C.
    """
    terminal = terminal_of(context)
    place = folder or Path(tempfile.mkdtemp(prefix="connector-demo-"))
    try:
        copy_example(place)
        with ExitStack() as stack:
            servers = stack.enter_context(open_sandbox(_next_monday(SystemClock().now())))
            stack.enter_context(_environment(_connect(place, servers)))
            project = Project(folder=place)
            url = f"sqlite:///{place / 'connector.db'}"
            app = stack.enter_context(open_app(project, clock=servers.clock, database_url=url))
            story = _Story(terminal=terminal, servers=servers, app=app)
            if serve:
                story.begin()
                _serve(terminal, app, port)
            else:
                story.tell()
                terminal.document(story.document())
    finally:
        if folder is None and not keep:
            shutil.rmtree(place, ignore_errors=True)
    for problem in story.problems:
        terminal.trouble(f"the demo did not go as it should: {problem}")
    _where_next(terminal, place, kept=folder is not None or keep)
    return 1 if story.problems else 0


def _serve(terminal: Terminal, app: App, port: int) -> None:
    """Let the example go on, and show it in the browser, until Ctrl-C; its clock stands still."""
    office = app.office
    engine = opening.local_engine(app.database, office.clock)
    with serving(terminal, app, replace(office, wake=engine.wake), port=port):
        opening.run(engine, office, every=app.project.settings.sync.every)


def _next_monday(now: datetime) -> datetime:
    ahead = timedelta(days=7 - now.weekday())
    return datetime.combine((now + ahead).date(), _MONDAY_MORNING, tzinfo=UTC)


def _connect(place: Path, servers: Sandbox) -> Mapping[str, str]:
    """Let the copied connector.yaml name this sandbox; return the secrets its accounts need."""
    path = place / "connector.yaml"
    text = path.read_text(encoding="utf-8")
    if _EXAMPLE_ADDRESS not in text:
        raise BadInput(
            f"the example's connector.yaml does not name {_EXAMPLE_ADDRESS}, so it cannot be pointed elsewhere"
        )
    path.write_text(text.replace(_EXAMPLE_ADDRESS, servers.url), encoding="utf-8")
    environment: Mapping[str, str] = servers.accounts(place)["environment"]
    return environment


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for as long as the demo runs."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _where_next(terminal: Terminal, place: Path, *, kept: bool) -> None:
    terminal.say("")
    terminal.say("Where to look next", style="bold")
    if kept:
        terminal.say(f"  {place}: the project as the demo left it, with its database connector.db")
    terminal.say("  connector init DIR                 a project of your own, from the same example")
    terminal.say("  connector -C DIR sandbox           the same servers, to try every command on")
    terminal.say("  connector -C DIR simulate NAME     any campaign's whole calendar, before anybody is launched")


@dataclass(kw_only=True)
class _Story:
    """One run of the demo."""

    terminal: Terminal
    servers: Sandbox
    app: App
    problems: list[str] = field(default_factory=list)
    passes: int = 0
    #: Intents left for the second part, where people outside act on them.
    kept: dict[str, str] = field(default_factory=dict)
    made: list[dict[str, Any]] = field(default_factory=list)
    moved: list[Event] = field(default_factory=list)

    def begin(self) -> None:
        """Run it until the last step's drafts wait for their reps."""
        campaign = self._read_files()
        self._launch(campaign)
        self._run_until_drafts(campaign)
        self._show_what_was_made()

    def tell(self) -> None:
        """Run it all."""
        self.begin()
        acted = self._let_people_act()
        self._show_what_moved(acted)
        self._show_end()

    def document(self) -> dict[str, Any]:
        """Return what --json prints."""
        return {
            "made": self.made,
            "moved": [views.event_json(event) for event in self.moved],
            "enrollments": dict(sorted(Counter(one.state.value for one in self._enrollments()).items())),
            "passes": self.passes,
            "problems": self.problems,
        }

    # ----------------------------------------------------------------------------------------- beginning

    def _read_files(self) -> Campaign:
        self._chapter("The files are read and checked")
        project = self.app.project
        faults = faults_of(project)
        self._expect(not faults, f"the example has faults: {'; '.join(map(str, faults))}")
        campaign = next(iter(project.loaded.campaigns.values()))
        for step in campaign.steps:
            send = (f"at {step.at:%H:%M}" if step.at else f"{step.send}".replace("_", " ")) if step.send else "a task"
            self.terminal.say(f"  {campaign.name}, day {step.day}: {step.type}, {send}")
        return campaign

    def _launch(self, campaign: Campaign) -> None:
        self._chapter("People are imported and put into the campaign by their reps")
        project, office = self.app.project, self.app.office
        people, _ = read_people(project.folder / PEOPLE_FILE)
        reps = project.settings.reps
        self.servers.seed(people, reps)
        actions.import_people(office, people)
        for number, rep in enumerate(reps):
            launched = launch(
                office,
                campaign,
                project.templates,
                rep=rep,
                people=people[number :: len(reps)],
                start=office.now(),
                overrides={},
            )
            self.terminal.say(f"  {rep.name} ({rep.mailbox}): {counted(launched.enrolled, 'person', 'people')}")
            for warning in launched.warnings:
                self.terminal.say(f"    note: {warning}")
        enrolled = len(self._enrollments())
        self._expect(enrolled == len(people), f"{enrolled} of {len(people)} people were enrolled")

    # ---------------------------------------------------------------------------------- until the last step

    def _run_until_drafts(self, campaign: Campaign) -> None:
        last = campaign.steps[-1]
        self._chapter("Time moves on; each pass reads, decides and delivers what is due")
        while self.passes < _MOST_PASSES:
            done = self._sync()
            self.problems += done.needs_attention
            worked = self._reps_work(last.place)
            self._tell_pass(done, worked)
            if worked:
                self.servers.clock.advance(timedelta(minutes=1))
                continue
            ahead = views.status(self.app.office).next_due
            if ahead is None:
                return
            self.servers.clock.advance_to(ahead)
        self.problems.append(f"the campaign did not come to its last step in {_MOST_PASSES} passes")

    def _reps_work(self, last: str) -> int:
        """Let reps do what waits for them, short of the last step and of one call each for two of them."""
        worked = 0
        for task in views.list_tasks(self.app.office):
            intent = task.stored.intent
            if f"{intent.day}.{intent.step}" == last or intent.key in self.kept.values():
                continue
            if intent.type is StepType.CALL and task.mailbox != "links" and task.mailbox not in self.kept:
                self.kept[task.mailbox or ""] = intent.key
                continue
            if intent.type is StepType.CALL and task.task is not None and task.task.remote_id:
                self.servers.act("rep_closes_task", key=intent.key)
            else:
                actions.end_by_hand(self.app.office, intent.key, IntentEvent.COMPLETE, by="by hand")
            worked += 1
        return worked

    def _sync(self) -> Turn:
        self.passes += 1
        return turn(self.app.office)

    def _tell_pass(self, done: Turn, worked: int) -> None:
        delivered = done.delivered
        news = [
            told
            for name, told in (
                ("sent", f"{delivered['sent']} sent"),
                ("drafts", f"{counted(delivered['drafts'], 'draft')} placed"),
                ("tasks", f"{counted(delivered['tasks'], 'task')} written"),
            )
            if delivered[name]
        ]
        if worked:
            news.append(f"then reps did {counted(worked, 'task')}")
        if news:
            self.terminal.say(f"  {moment(self.app.office.now())} UTC: {', '.join(news)}")

    # -------------------------------------------------------------------------------------------- the table

    def _show_what_was_made(self) -> None:
        self._chapter("What was made where")
        effects = Counter((entry["service"], entry["effect"]) for entry in self.servers.log.effects)
        tasks = views.list_tasks(self.app.office)
        self.made = [
            {"service": "Salesforce", "what": "tasks", "number": effects["salesforce", "task_created"]},
            {"service": "Gmail", "what": "mails sent", "number": self._sent("gmail")},
            {"service": "Gmail", "what": "drafts waiting", "number": len(self._drafts_in("gmail"))},
            {"service": "Outlook", "what": "mails sent", "number": self._sent("graph")},
            {"service": "Outlook", "what": "drafts waiting", "number": len(self._drafts_in("graph"))},
            {"service": "links", "what": "tasks with a compose address", "number": len(_of(tasks, "links"))},
        ]
        self.terminal.table("Made so far", ("service", "what", "number"), [tuple(row.values()) for row in self.made])
        for row in self.made:
            self._expect(row["number"] > 0, f"there are no {row['what']} in {row['service']}")
        self._show_tasks(tasks)

    def _show_tasks(self, tasks: Sequence[TaskView]) -> None:
        """Show each task beside its draft and its Salesforce task, and hold them against each other."""
        drafts = {draft["key"]: draft for service in ("gmail", "graph") for draft in self._drafts_in(service)}
        records = self._task_records()
        rows = []
        for task in tasks:
            intent = task.stored.intent
            draft = drafts.get(intent.key)
            record = records.get(intent.key)
            where = {"gmail": "Gmail draft", "outlook": "Outlook draft"}.get(task.mailbox or "", "compose address")
            rows.append(
                (
                    intent.rep,
                    intent.person,
                    task.stored.subject,
                    where if intent.type is StepType.EMAIL else intent.type,
                    record["Id"] if record is not None else None,
                )
            )
            self._expect(record is not None, f"the task for {intent.person} is not in Salesforce")
            if intent.type is StepType.EMAIL and task.mailbox != "links":
                right = draft is not None and (draft["to"], draft["subject"]) == ([intent.person], task.stored.subject)
                self._expect(right, f"the draft to {intent.person} does not lie in the mailbox of {intent.rep}")
        self.terminal.table("Waiting for reps", ("rep", "person", "subject", "where", "Salesforce task"), rows)

    # ------------------------------------------------------------------------------------- people outside

    def _let_people_act(self) -> Mapping[str, str]:
        """Let people outside act; return what each did -> the intent it concerns."""
        self._chapter("Now reps and prospects act, outside the connector")
        tasks = [task for task in views.list_tasks(self.app.office) if task.stored.intent.type is StepType.EMAIL]
        gmail, outlook = _of(tasks, "gmail"), _of(tasks, "outlook")
        self._expect(len(gmail) >= 3 and len(outlook) >= 3, "there are too few drafts to act on")
        plan: tuple[tuple[str, str, list[TaskView], dict[str, str]], ...] = (
            ("sends the draft as it is", "rep_sends_draft", gmail, {}),
            ("discards the draft", "rep_deletes_draft", gmail, {}),
            ("gets a reply", "prospect_replies", gmail, {"text": "Let us talk next week."}),
            ("edits the draft and sends it", "rep_edits_draft", outlook, {"body": "<p>In my own words.</p>"}),
            ("gets an out-of-office answer", "prospect_out_of_office", outlook, {}),
            ("gets a bounce", "prospect_bounces", outlook, {}),
        )
        acted: dict[str, str] = {}
        for what, action, waiting, extra in plan:
            if not waiting:
                continue
            intent = waiting.pop(0).stored.intent
            named = {"key": intent.key} if action.startswith("rep_") else {"person": intent.person, "rep": intent.rep}
            self.servers.act(action, **named, **extra)
            if action == "rep_edits_draft":
                self.servers.act("rep_sends_draft", key=intent.key)
            acted[action] = intent.key
            self.terminal.say(f"  {intent.rep} {what} ({intent.person})")
        for mailbox, action, what in (
            ("gmail", "rep_closes_task", "closes the call in Salesforce"),
            ("outlook", "rep_deletes_task", "deletes the call in Salesforce"),
        ):
            if (key := self.kept.get(mailbox)) is not None:
                intent = self._intent(key)
                self.servers.act(action, key=key)
                acted[action] = key
                self.terminal.say(f"  {intent.rep} {what} ({intent.person})")
        return acted

    def _show_what_moved(self, acted: Mapping[str, str]) -> None:
        self._chapter("Two more passes, and what moved and why")
        with self.app.database.read() as tx:
            seen = max((number for number, _ in read_events(tx, last=1)), default=0)
        for _ in range(2):  # That a draft was discarded is believed at the second look.
            self.servers.clock.advance(timedelta(minutes=5))
            done = self._sync()
        with self.app.database.read() as tx:
            self.moved = [event for _, event in read_events(tx, after=seen)]
        for event in self.moved:
            self.terminal.say(f"  {sentence(event)}" + (f" ({event.reason})" if event.reason else ""))
        for line in done.needs_attention:
            self.terminal.say(f"  needs attention: {line}")
        self._check_moves(acted)

    def _check_moves(self, acted: Mapping[str, str]) -> None:
        wanted = {
            "rep_sends_draft": ("completed", EnrollmentState.FINISHED, MailState.SENT),
            "rep_edits_draft": ("completed", EnrollmentState.FINISHED, MailState.SENT),
            "rep_deletes_draft": ("open", EnrollmentState.ACTIVE, MailState.DISCARDED),
            "prospect_replies": ("cancelled", EnrollmentState.REPLIED, MailState.DELETED),
            "prospect_out_of_office": ("open", EnrollmentState.ACTIVE, MailState.PRESENT),
            "prospect_bounces": ("cancelled", EnrollmentState.BOUNCED, MailState.DELETED),
            "rep_closes_task": ("completed", EnrollmentState.ACTIVE, None),
            "rep_deletes_task": ("cancelled", EnrollmentState.ACTIVE, None),
        }
        self._expect(set(acted) == set(wanted), f"nobody did {', '.join(sorted(set(wanted) - set(acted)))}")
        with self.app.database.read() as tx:
            intents, mails = read_intents(tx, list(acted.values())), read_mails(tx, list(acted.values()))
        enrollments = {one.id: one for one in self._enrollments()}
        for action, key in acted.items():
            stored, mail = intents[key], mails.get(key)
            found = (
                stored.state.value,
                enrollments[stored.intent.enrollment].state,
                mail.state if mail is not None else None,
            )
            self._expect(
                found == wanted[action],
                f"after {action} for {stored.intent.person} the step, the campaign and the mail are "
                f"{', '.join(map(str, found))} and not {', '.join(map(str, wanted[action]))}",
            )

    # ------------------------------------------------------------------------------------------- the end

    def _show_end(self) -> None:
        self._chapter("How everybody stands")
        counts = Counter((one.state.value, one.rep) for one in self._enrollments())
        rows = [(state, rep, number) for (state, rep), number in sorted(counts.items())]
        self.terminal.table("Enrollments", ("state", "rep", "people"), rows)
        calls = ", ".join(f"{service} {count}" for service, count in sorted(self.servers.log.calls.items()))
        self.terminal.say(f"{self.passes} passes; calls the services had: {calls}")

    # --------------------------------------------------------------------------------------------- looking

    def _chapter(self, title: str) -> None:
        self.terminal.say("")
        self.terminal.say(title, style="bold")

    def _expect(self, held: bool, problem: str) -> None:  # noqa: FBT001 - reads as a sentence
        if not held:
            self.problems.append(problem)

    def _enrollments(self) -> list[Enrollment]:
        with self.app.database.read() as tx:
            return find_enrollments(tx, live=False)

    def _intent(self, key: str) -> Any:
        with self.app.database.read() as tx:
            return read_intents(tx, [key])[key].intent

    def _sent(self, service: str) -> int:
        return sum(
            1 for entry in self.servers.log.effects if (entry["service"], entry["effect"]) == (service, "mail_sent")
        )

    def _drafts_in(self, service: str) -> list[dict[str, Any]]:
        boxes = self.servers.state()[service]
        return [mail for box in boxes.values() for mail in box["mails"] if mail["place"] == "drafts"]

    def _task_records(self) -> dict[str, dict[str, Any]]:
        records = self.servers.state()["salesforce"]["records"]
        return {record.get("Connector_Intent_Id__c"): record for record in records["Task"]}


def _of(tasks: Sequence[TaskView], mailbox: str) -> list[TaskView]:
    return [task for task in tasks if task.mailbox == mailbox]
