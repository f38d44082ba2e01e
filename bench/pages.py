"""Speed of pages: the queue, a search and a completed task, with 100,000 open tasks and with 1,000.

    python bench/pages.py            # SQLite, as `connector serve` has it by default
    python bench/pages.py --small    # a tenth of the tasks and a fifth of the rounds, to see that it runs

What is measured: the real application, served by uvicorn in a process of its own on loopback, asked over HTTP by 50
reps who have signed in, one after the other.
Each round asks both servers (one on 100,000 open tasks, one on 1,000) for an
empty page, the queue, a search and a completion by turns, so that what else the machine does falls on all alike.
The empty page is one of the same server that a signed-in user gets and that lists nothing, for there is nothing: it
reads the session, and renders the frame of every page and a form.

The tasks lie evenly with the reps: 2,000 with each, of which a page shows 50, or 20, which it shows all. An
administrator's pages are asked for too, who sees the tasks of all reps: there both pages show 50.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from connector.app import Project, open_app
from connector.campaigns.versions import to_document, version_of
from connector.intents import Intent, IntentState, Mode, StepType, intent_key
from connector.people import Person
from connector.sequencing.enrollment import Enrollment
from connector.store.campaigns import save_version
from connector.store.database import Database, Transaction
from connector.store.enrollments import insert_enrollments
from connector.store.intents import StoredIntent, insert_intents, save_intents
from connector.store.people import save_people
from connector.store.words import note_words
from connector.unsubscribe import Tokens
from connector.vault import StoredVault
from connector.web.app import create_app
from connector.web.serving import listen, serve
from connector.web.sign_in import Sessions, SignInLink
from connector.web.site import Site

REPS = 50
MANY, FEW = 100_000, 1_000
ROUNDS = 100

#: Times what it is with few tasks, and times an empty page.
TO_FEW, TO_EMPTY = 1.5, 10.0

#: A page without a row: nobody has a key.
EMPTY = "/settings/keys"

ROOT = "root@acme.example"

CAMPAIGN = """\
name: Bench
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}"}
  - day: 9
    steps:
      - call: {name: "Call again"}
"""

#: Tasks that are written in one transaction.
_BATCH = 5_000


def rep_name(number: int) -> str:
    """Return the address of a rep."""
    return f"rep{number}@acme.example"


def write_project(folder: Path) -> None:
    """Write a project of 50 reps without any account."""
    for name in ("campaigns", "templates"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    reps = [
        {"email": rep_name(number), "name": f"Rep {number}", "time_zone": "Europe/Madrid", "mailbox": "links"}
        for number in range(REPS)
    ]
    said = {"reps": reps, "database": f"sqlite:///{folder / 'connector.db'}", "web": {"admins": [ROOT]}}
    (folder / "connector.yaml").write_text(json.dumps(said))
    (folder / "campaigns" / "bench.yaml").write_text(CAMPAIGN)


def lay_tasks(tx: Transaction, project: Project, numbers: range, now: datetime) -> None:
    """Write open tasks as launch, tick and prepare leave them, straight into the store."""
    campaign = project.campaign("Bench")
    document = to_document(campaign, project.templates)
    version = version_of(document)
    save_version(tx, campaign.name, version, document, now)
    people, enrollments, intents = [], [], []
    for number in numbers:
        email, rep = f"p{number:07}@client{number % 5000}.example", rep_name(number % REPS)
        due = now - timedelta(minutes=number % 20_000)
        key = intent_key(f"e{number:07}", version, 1, 1)
        people.append(
            Person(email=email, first_name="Pat", last_name=f"Doe{number}", company=f"Client {number % 5000}")
        )
        enrollments.append(
            Enrollment(
                id=f"e{number:07}",
                campaign=campaign.name,
                version=version,
                person=email,
                rep=rep,
                zone="Europe/Madrid",
                launched=due,
                start=due,
                due=due,
                due_date=due.date(),
                intent=key,
                anchor_day=1,
                anchor_date=due.date(),
            )
        )
        intents.append(
            Intent(
                key=key,
                enrollment=f"e{number:07}",
                campaign=campaign.name,
                version=version,
                person=email,
                rep=rep,
                day=1,
                step=1,
                type=StepType.CALL,
                mode=Mode.TASK,
                due=due,
                due_date=due.date(),
            )
        )
    save_people(tx, people)
    insert_enrollments(tx, enrollments)
    insert_intents(tx, intents)
    save_intents(
        tx, [StoredIntent(intent=one, state=IntentState.OPEN, prepared=True, subject="Call Pat") for one in intents]
    )
    note_words(tx, [one.key for one in intents])


def lay(folder: Path, tasks: int) -> None:
    """Write a project and its database with so many open tasks."""
    write_project(folder)
    project = Project(folder=folder)
    database = Database(f"sqlite:///{folder / 'connector.db'}")
    database.upgrade()
    now = datetime.now(UTC)
    for start in range(0, tasks, _BATCH):
        with database.write() as tx:
            lay_tasks(tx, project, range(start, min(tasks, start + _BATCH)), now)
    with database.write() as tx:
        tx.execute(text("ANALYZE"))
    database.close()


def serve_it(folder: Path) -> None:
    """Serve the application, and say where and with which cookies its users have signed in."""
    project = Project(folder=folder)
    with open_app(project) as app:
        vault = StoredVault(app.office.database, app.office.clock, folder)
        sessions = Sessions.kept_in(vault, app.office.clock)
        site = Site(
            office=app.office,
            project=project,
            vault=vault,
            sessions=sessions,
            link=SignInLink(app.office.clock),
            tokens=Tokens.kept_in(vault),
        )
        listening = listen("127.0.0.1", 0)
        port = listening.getsockname()[1]
        cookies = {user: _cookie(sessions, user, port) for user in (ROOT, *map(rep_name, range(REPS)))}

        def announce() -> None:
            print(json.dumps({"url": f"http://127.0.0.1:{port}", "cookies": cookies}), flush=True)

        serve(create_app(site), listening, announce=announce, ending=site.ending)


def _cookie(sessions: Sessions, user: str, port: int) -> list[str]:
    asked = Request({"type": "http", "scheme": "http", "path": "/", "headers": [], "server": ("127.0.0.1", port)})
    answer = Response()
    sessions.begin(asked, answer, user)
    name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
    return [name, value]


@dataclass(kw_only=True)
class Server:
    """One application that is being served, and the browsers at it."""

    url: str
    browsers: Mapping[str, requests.Session]
    tasks: int
    csrf: dict[str, str] = field(default_factory=dict)
    #: What was asked for -> seconds, one each round.
    taken: dict[str, list[float]] = field(default_factory=dict)

    def ask(self, what: str, user: str, path: str, data: Mapping[str, Any] | None = None) -> str:
        """Ask for something, and note how long it took."""
        browser = self.browsers[user]
        headers = {"HX-Request": "true", "X-CSRF-Token": self.csrf.get(user, "")} if data is not None else {}
        began = time.perf_counter()
        if data is None:
            answer = browser.get(self.url + path, timeout=60)
        else:
            answer = browser.post(self.url + path, data=data, headers=headers, timeout=60)
        self.taken.setdefault(what, []).append(time.perf_counter() - began)
        if answer.status_code != 200:
            raise SystemExit(f"{path} was answered with {answer.status_code}: the measurement is wrong")
        return answer.text


@contextmanager
def served(folder: Path, tasks: int) -> Iterator[Server]:
    """Serve a project in a process of its own."""
    process = subprocess.Popen([sys.executable, __file__, "--serve", str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise SystemExit("the server cannot be heard")
        ready = json.loads(process.stdout.readline())
        browsers = {}
        for user, (name, value) in ready["cookies"].items():
            browsers[user] = requests.Session()
            browsers[user].cookies.set(name, value)
        yield Server(url=ready["url"], browsers=browsers, tasks=tasks)
    finally:
        process.terminate()
        process.wait(timeout=20)


def ask_round(server: Server, number: int) -> None:
    """Ask one server for everything once, as one rep and as the administrator."""
    rep = rep_name(number % REPS)
    mine = (number * 7 % (server.tasks // REPS)) * REPS + number % REPS
    for user, who in ((rep, "a rep"), (ROOT, "an administrator")):
        server.browsers[user].get(server.url + EMPTY, timeout=60)  # its connection is there from here on
        server.ask(f"the empty page of {who}", user, EMPTY)
        page = server.ask(f"the queue of {who}", user, "/tasks")
        server.csrf[user] = re.findall(r'name="csrf" value="([^"]+)"', page)[0]
        server.ask(f"a search of {who}", user, f"/tasks?q=doe{mine}")
        keys = re.findall(r'data-task="(\w+)"', page)
        server.ask(f"a complete of {who}", user, f"/tasks/{keys[0]}/complete", {"back": "/tasks"})


def percentile(values: Sequence[float]) -> float:
    """Return what 95 in 100 values lie below."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def run(scale: int) -> bool:
    """Measure and print a table; return whether every figure is within its bound."""
    rounds = max(20, ROUNDS // scale)
    good = True
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = []
        for tasks in (MANY // scale, FEW):
            place = Path(folder) / str(tasks)
            lay(place, tasks)
            servers.append(stack.enter_context(served(place, tasks)))
        for number in range(5 + rounds):
            if number == 5:  # statements are compiled, templates read
                for server in servers:
                    server.taken.clear()
            for server in servers if number % 2 else servers[::-1]:
                ask_round(server, number)
        many, few = ({what: percentile(taken) for what, taken in server.taken.items()} for server in servers)
    for what, value in many.items():
        empty = many[f"the empty page of {what.rpartition(' of ')[2]}"]
        if "empty" in what:
            print(f"pages       {what}: p95 {value * 1000:.1f} ms", flush=True)
            continue
        to_few, to_empty = value / few[what], value / empty
        fits = to_few <= TO_FEW and to_empty <= TO_EMPTY
        good &= fits
        print(
            f"pages       {what}: p95 {value * 1000:.1f} ms with {MANY // scale:,} open tasks, {to_few:.2f} of it with "
            f"{FEW:,} (at most {TO_FEW}), {to_empty:.1f} empty pages (at most {TO_EMPTY:.0f}): "
            f"{'good' if fits else 'NOT GOOD'}",
            flush=True,
        )
    return good


def main() -> None:
    """Run the bench, or the server of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tenth of the tasks")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve_it(given.serve)
        return
    raise SystemExit(0 if run(10 if given.small else 1) else 1)


if __name__ == "__main__":
    main()
