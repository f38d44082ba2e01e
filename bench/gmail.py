"""Speed of placing drafts in Gmail, beside the limit that Gmail sets and a loop of google-api-python-client.

    python bench/gmail.py              # 1,000 drafts over 50 mailboxes, every call to the sandbox takes 100 ms
    python bench/gmail.py --small      # a tenth of the mailboxes, to see that it runs

What is measured: one pass (`turn`) over drafts that `launch`, `tick` and `prepare` made before: the pass asks each
mailbox for its place in the history and places its drafts. On SQLite, against the sandbox in a process of its own that
answers each Gmail call after 100 ms. The loop creates a sample of the same drafts one by one, as Google's own client
does.

The limit: calls that must be made, one after the other in a mailbox and so many mailboxes at a time; or the minutes
that a mailbox's quota units take, if that is longer. No program can be faster without more calls at a time.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import requests
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from processes import START, in_own_process, project_office, seconds, slow_sandbox

from adapters.gmail.quota import UNITS, UNITS_PER_MINUTE
from adapters.sandbox import Sandbox
from connector.app import Project
from connector.people import Person
from connector.sync.launch import launch
from connector.sync.prepare import prepare
from connector.sync.tick import tick
from connector.sync.wheel import MAILBOXES_AT_A_TIME, turn

DELAY = 0.1
MAILBOXES = 50
DRAFTS_A_MAILBOX = 20
SAMPLE = 20

#: Times the limit that a pass may take.
AT_MOST = 1.3
#: Calls of a mailbox before its drafts: where its history stands.
CALLS_BEFORE = ("gmail.users.getProfile",)
CALLS_A_DRAFT = ("gmail.users.drafts.create",)

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


def reps(count: int) -> list[dict[str, str]]:
    """Make reps up, each with a Gmail mailbox."""
    return [
        {
            "email": f"rep{number:02}@acme.example",
            "name": f"Rep {number}",
            "time_zone": "Europe/Madrid",
            "mailbox": "gmail",
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


def serve(folder: Path, count: int) -> None:
    """Serve Gmail for so many reps, and write a project on it; ends with its input."""
    with Sandbox(START) as sandbox:
        sandbox.act("mail_settings", gmail_delay=DELAY)
        ready = sandbox.accounts(folder)
        for name in ("campaigns", "templates"):
            (folder / name).mkdir()
        said = {"reps": reps(count), "accounts": {"google": ready["accounts"]["google"]}}
        (folder / "connector.yaml").write_text(json.dumps(said))
        (folder / "campaigns" / "bench.yaml").write_text(CAMPAIGN)
        (folder / "templates" / "intro.md").write_text(TEMPLATE)
        sandbox.seed([], Project(folder=folder).settings.reps)
        token = sandbox.token("gmail", reps(count)[0]["email"])
        print(json.dumps({"url": sandbox.url, "token": token, "environment": ready["environment"]}), flush=True)
        sys.stdin.read()


def calls_of(url: str) -> Counter[str]:
    """Return what Gmail was asked, by method and last word of the path."""
    log = requests.get(f"{url}/sandbox/log", timeout=60).json()["requests"]
    asked = [one for one in log if one["service"] == "gmail" and one["path"].startswith("/gmail/")]
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


def measure_loop(url: str, token: str) -> dict[str, float]:
    """Create drafts one by one with Google's own client; return the seconds."""
    credentials = Credentials(token=token)  # type: ignore[no-untyped-call]
    service = build("gmail", "v1", credentials=credentials, client_options={"api_endpoint": url})
    drafts = service.users().drafts()

    def create() -> None:
        for person in people("loop@acme.example", SAMPLE):
            mail = EmailMessage()
            mail["To"], mail["Subject"] = person.email, f"Hello {person.first_name}"
            mail.set_content(f"Hi {person.first_name},\n\nhow is {person.company}?\n")
            mail.add_alternative(f"<p>Hi {person.first_name},</p><p>how is {person.company}?</p>", subtype="html")
            raw = base64.urlsafe_b64encode(mail.as_bytes()).decode()
            drafts.create(userId="me", body={"message": {"raw": raw}}).execute()

    return {"loop": seconds(create)}


# --------------------------------------------------------------------------------------------- the run


def limit(mailboxes: int) -> tuple[float, float]:
    """Return the seconds below which nothing can be: by calls and mailboxes at a time, and by quota."""
    calls = mailboxes * (len(CALLS_BEFORE) + DRAFTS_A_MAILBOX * len(CALLS_A_DRAFT))
    units = sum(UNITS[one] for one in CALLS_BEFORE) + DRAFTS_A_MAILBOX * sum(UNITS[one] for one in CALLS_A_DRAFT)
    # What fits into the first minute costs no time.
    full_minutes = -(-units // UNITS_PER_MINUTE) - 1
    return calls * DELAY / min(MAILBOXES_AT_A_TIME, mailboxes), full_minutes * 60.0


def run(scale: int) -> bool:
    """Measure and print a table; return whether every figure is within its bound."""
    mailboxes = MAILBOXES // scale
    count = mailboxes * DRAFTS_A_MAILBOX
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with slow_sandbox(__file__, folder, mailboxes) as ready:
            environment = {**os.environ, **ready["environment"]}
            measured = in_own_process(__file__, ["plan", str(folder)], environment)
            measured |= in_own_process(__file__, ["pass", str(folder)], environment)
            calls = calls_of(ready["url"])
            measured |= in_own_process(__file__, ["loop", ready["url"], ready["token"]], environment)
    by_calls, by_quota = limit(mailboxes)
    least = max(by_calls, by_quota)
    ratio = measured["pass"] / least
    faster = (count / measured["pass"]) / (SAMPLE / measured["loop"])
    asked = ", ".join(f"{number} {what}" for what, number in sorted(calls.items()))
    print(
        f"gmail       {count:,} drafts over {mailboxes} mailboxes at {DELAY * 1000:.0f} ms a call, "
        f"{min(MAILBOXES_AT_A_TIME, mailboxes)} at a time: {measured['pass']:.2f} s, {measured['processor']:.2f} s of "
        f"them the processor's; calls: {asked}"
    )
    print(f"gmail       limit by calls {by_calls:.2f} s, by quota {by_quota:.0f} s")
    results = [
        (f"drafts placed (all {count:,})", f"{measured['drafts']:,.0f}", measured["drafts"] == count),
        (f"times the limit (at most {AT_MOST})", f"{ratio:.2f}", ratio <= AT_MOST),
        ("times the throughput of the loop of Google's client (more than 1)", f"{faster:.1f}", faster > 1),
    ]
    for what, figure, good in results:
        print(f"gmail       {what}: {figure} {'good' if good else 'NOT GOOD'}")
    return all(good for *_, good in results)


def main() -> None:
    """Run the bench, or one part of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tenth of the mailboxes")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    match given.measure:
        case ["plan", folder]:
            print(json.dumps(measure_plan(Path(folder))))
        case ["pass", folder]:
            print(json.dumps(measure_pass(Path(folder))))
        case ["loop", url, token]:
            print(json.dumps(measure_loop(url, token)))
        case _ if given.serve:
            serve(Path(given.serve[0]), int(given.serve[1]))
        case _:
            raise SystemExit(0 if run(10 if given.small else 1) else 1)


if __name__ == "__main__":
    main()
