"""Speed of placing drafts in Gmail and in Outlook, beside the limit that each service sets and a sequential loop.

    python bench/drafts.py gmail            # 1,000 drafts over 50 mailboxes, every call to the sandbox takes 100 ms
    python bench/drafts.py outlook
    python bench/drafts.py gmail --small    # a tenth of the mailboxes, to see that it runs

What is measured: one pass (`turn`) over drafts that `launch`, `tick` and `prepare` made before: the pass asks each
mailbox for what is new and places its drafts. On SQLite, against the sandbox in a process of its own that answers each
call after 100 ms. The loop creates a sample of the same drafts one by one: in Gmail as Google's own client does, in
Outlook by plain requests.

The pass is made as the product makes it when nothing is set, and judged by what its service allows:

- Gmail: the calls of a mailbox one after the other, so many mailboxes at a time; or the minutes that a mailbox's quota
  takes, if that is longer.
- Outlook: a draft a call, four calls at a time (decision 28). Beside it stands, not judged, how far the pass is from
  four at a time in each mailbox, and so many mailboxes at a time: no program reaches that on two processors.
"""

from __future__ import annotations

import argparse
import base64
import json
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial
from pathlib import Path

import requests
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from processes import START, in_own_process, project_office, seconds, slow_sandbox

from adapters.gmail.quota import UNITS, UNITS_PER_MINUTE
from adapters.outlook.batch import BATCH
from adapters.sandbox import Sandbox
from connector.app import Project
from connector.people import Person
from connector.settings import SyncRules
from connector.sync.launch import launch
from connector.sync.prepare import prepare
from connector.sync.tick import tick
from connector.sync.wheel import turn

DELAY = 0.1
MAILBOXES = 50
DRAFTS_A_MAILBOX = 20
SAMPLE = 20

#: Mailboxes at a time, as the product works when nothing is said.
AT_A_TIME = SyncRules().mailboxes_at_a_time

#: Calls that Graph lets run at once in a mailbox.
AT_ONCE = 4

#: Times the limit that a pass may take.
AT_MOST = 1.3
CAMPAIGN = """\
name: Bench
days:
  - day: 1
    steps:
      - email: {template: intro, send: task}
"""
TEMPLATE = """\
---
subject: Hello {{first_name}}
---
Hi {{first_name}},

how is {{company}}? **Shall we talk** about it this week?

{{! add a line of your own }}
"""


def reps(count: int, mailbox: str) -> list[dict[str, str]]:
    """Make reps up, each with a mailbox."""
    return [
        {
            "email": f"rep{number:02}@acme.example",
            "name": f"Rep {number}",
            "time_zone": "Europe/Madrid",
            "mailbox": mailbox,
        }
        for number in range(count)
    ]


def people(rep: str, count: int) -> Iterator[Person]:
    """Make the people of a rep up."""
    name = rep.partition("@")[0]
    for number in range(count):
        yield Person(
            email=f"{name}.p{number}@client{number}.example",
            first_name="Pat",
            last_name=f"Doe{number}",
            company=f"Client {number}",
        )


# ------------------------------------------------------------------------- the sandbox's own process


def serve(service: Service, folder: Path, count: int) -> None:
    """Serve the mailboxes of so many reps, and write a project on them; ends with its input."""
    with Sandbox(START) as sandbox:
        sandbox.act("mail_settings", **{service.delay: DELAY})
        ready = sandbox.accounts(folder)
        for name in ("campaigns", "templates"):
            (folder / name).mkdir()
        own = reps(count, service.name)
        said = {"reps": own, "accounts": {service.account: ready["accounts"][service.account]}}
        (folder / "connector.yaml").write_text(json.dumps(said))
        (folder / "campaigns" / "bench.yaml").write_text(CAMPAIGN)
        (folder / "templates" / "intro.md").write_text(TEMPLATE)
        sandbox.seed([], Project(folder=folder).settings.reps)
        token = sandbox.token(service.token, own[0]["email"])
        print(json.dumps({"url": sandbox.url, "token": token, "environment": ready["environment"]}), flush=True)
        sys.stdin.read()


def calls_of(service: Service, url: str) -> Counter[str]:
    """Return what the service was asked, by method and last word of the path."""
    log = requests.get(f"{url}/sandbox/log", timeout=60).json()["requests"]
    asked = [one for one in log if one["path"].startswith(service.path)]
    return Counter(f"{one['method']} {one['path'].rpartition('/')[2]}" for one in asked)


# ----------------------------------------------------------------------- measured in processes of their own


def measure_plan(folder: Path) -> dict[str, float]:
    """Launch, decide and prepare; return the seconds of it."""
    with project_office(folder) as (project, office):
        began = time.perf_counter()
        for rep in project.settings.reps:
            launch(
                office,
                project.campaign("Bench"),
                project.templates,
                rep=rep,
                people=people(rep.email, DRAFTS_A_MAILBOX),
                start=START,
                overrides={},
            )
        tick(office, START)
        prepare(office, START)
        return {"plan": time.perf_counter() - began}


def measure_pass(folder: Path) -> dict[str, float]:
    """Turn the wheel once; return its seconds, those of the processor, and how many drafts it placed."""
    with project_office(folder) as (_, office):
        began, worked = time.perf_counter(), time.process_time()
        report = turn(office)
        taken, worked = time.perf_counter() - began, time.process_time() - worked
    if report.needs_attention:
        raise SystemExit("\n".join(report.needs_attention))
    return {"pass": taken, "processor": worked, "drafts": report.delivered["drafts"]}


def gmail_loop(url: str, token: str) -> None:
    """Create drafts one by one with Google's own client."""
    credentials = Credentials(token=token)  # type: ignore[no-untyped-call]
    service = build("gmail", "v1", credentials=credentials, client_options={"api_endpoint": url})
    drafts = service.users().drafts()
    for person in people("loop@acme.example", SAMPLE):
        mail = EmailMessage()
        mail["To"], mail["Subject"] = person.email, f"Hello {person.first_name}"
        mail.set_content(f"Hi {person.first_name},\n\nhow is {person.company}?\n")
        mail.add_alternative(f"<p>Hi {person.first_name},</p><p>how is {person.company}?</p>", subtype="html")
        raw = base64.urlsafe_b64encode(mail.as_bytes()).decode()
        drafts.create(userId="me", body={"message": {"raw": raw}}).execute()


def outlook_loop(url: str, token: str) -> None:
    """Create drafts one by one over one connection."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        for person in people("loop@acme.example", SAMPLE):
            body = {
                "subject": f"Hello {person.first_name}",
                "body": {"contentType": "html", "content": f"<p>Hi {person.first_name},</p><p>how is it?</p>"},
                "toRecipients": [{"emailAddress": {"address": person.email}}],
            }
            session.post(f"{url}/v1.0/me/messages", json=body, timeout=60).raise_for_status()


# --------------------------------------------------------------------------------------------- the services


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How drafts are placed in one kind of mailbox, and what bounds it."""

    name: str
    #: Its section under `accounts`.
    account: str
    #: The name of its tokens in the sandbox.
    token: str
    #: The sandbox's setting that makes its calls slow, and the beginning of their paths.
    delay: str
    path: str
    #: Drafts that one call carries.
    drafts_a_call: int
    #: Mailboxes -> seconds below which it cannot be, as its service allows; and what that counts.
    limit: Callable[[int], float]
    limit_name: str
    loop: Callable[[str, str], None]
    loop_name: str


def rounds(mailboxes: int, drafts_a_call: int) -> float:
    """Return the seconds of calls one after the other in a mailbox, so many mailboxes at a time."""
    return math.ceil(mailboxes / AT_A_TIME) * (1 + math.ceil(DRAFTS_A_MAILBOX / drafts_a_call)) * DELAY


def gmail_limit(mailboxes: int) -> float:
    """Return the seconds that calls and quota take."""
    units = UNITS["gmail.users.getProfile"] + DRAFTS_A_MAILBOX * UNITS["gmail.users.drafts.create"]
    # What fits into the first minute costs no time.
    by_quota = (math.ceil(units / UNITS_PER_MINUTE) - 1) * 60.0
    return max(rounds(mailboxes, 1), by_quota)


def outlook_limit(mailboxes: int) -> float:
    """Return the seconds of a draft a call, four calls at a time."""
    return mailboxes * DRAFTS_A_MAILBOX * DELAY / AT_ONCE


SERVICES: Mapping[str, Service] = {
    "gmail": Service(
        name="gmail",
        account="google",
        token="gmail",
        delay="gmail_delay",
        path="/gmail/",
        drafts_a_call=1,
        limit=gmail_limit,
        limit_name=f"{AT_A_TIME} mailboxes at a time",
        loop=gmail_loop,
        loop_name="Google's client",
    ),
    "outlook": Service(
        name="outlook",
        account="microsoft",
        token="graph",
        delay="outlook_delay",
        path="/v1.0/",
        drafts_a_call=BATCH,
        limit=outlook_limit,
        limit_name=f"{AT_ONCE} calls at a time",
        loop=outlook_loop,
        loop_name="single requests",
    ),
}

# --------------------------------------------------------------------------------------------- the run


def measure(service: Service, mailboxes: int) -> dict[str, float]:
    """Measure a pass and a loop beside it; print what the pass came to."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with slow_sandbox(__file__, service.name, str(folder), str(mailboxes)) as ready:
            environment = {**os.environ, **ready["environment"]}
            part = partial(in_own_process, __file__, environment=environment)
            measured = part(["plan", str(folder)])
            measured |= part(["pass", str(folder)])
            calls = calls_of(service, ready["url"])
            measured |= part(["loop", service.name, ready["url"], ready["token"]])
    tightest = rounds(mailboxes, service.drafts_a_call)
    asked = ", ".join(f"{number} {what}" for what, number in sorted(calls.items()))
    print(
        f"{service.name:11} {measured['drafts']:,.0f} drafts over {mailboxes} mailboxes at {DELAY * 1000:.0f} ms a "
        f"call, {AT_A_TIME} mailboxes at a time, {service.drafts_a_call} in a call: {measured['pass']:.2f} s, "
        f"{measured['processor']:.2f} s of them the processor's, {measured['pass'] / tightest:.2f} times the "
        f"{tightest:.2f} s of calls alone; calls: {asked}"
    )
    return measured


def run(name: str, scale: int) -> bool:
    """Measure and print a table; return whether every figure is within its bound."""
    service, mailboxes = SERVICES[name], MAILBOXES // scale
    count = mailboxes * DRAFTS_A_MAILBOX
    measured = measure(service, mailboxes)
    ratio = measured["pass"] / service.limit(mailboxes)
    faster = (count / measured["pass"]) / (SAMPLE / measured["loop"])
    results = [
        (f"drafts placed (all {count:,})", f"{measured['drafts']:,.0f}", measured["drafts"] == count),
        (f"times the limit of {service.limit_name} (at most {AT_MOST})", f"{ratio:.2f}", ratio <= AT_MOST),
        (f"times the throughput of a loop of {service.loop_name} (more than 1)", f"{faster:.1f}", faster > 1),
    ]
    for what, figure, good in results:
        print(f"{name:11} {what}: {figure} {'good' if good else 'NOT GOOD'}")
    return all(good for *_, good in results)


def main() -> None:
    """Run the bench, or one part of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("service", nargs="?", choices=sorted(SERVICES), default="gmail")
    parser.add_argument("--small", action="store_true", help="a tenth of the mailboxes")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    match given.measure:
        case ["plan", folder]:
            print(json.dumps(measure_plan(Path(folder))))
        case ["pass", folder]:
            print(json.dumps(measure_pass(Path(folder))))
        case ["loop", name, url, token]:
            print(json.dumps({"loop": seconds(partial(SERVICES[name].loop, url, token))}))
        case _ if given.serve:
            name, folder, count = given.serve
            serve(SERVICES[name], Path(folder), int(count))
        case _:
            raise SystemExit(0 if run(given.service, 10 if given.small else 1) else 1)


if __name__ == "__main__":
    main()
