"""Speed of writing tasks to Salesforce, beside a loop of simple-salesforce's `Task.create` timed in the same run.

    python bench/push.py              # 10,000 tasks, every call to the sandbox takes 100 ms
    python bench/push.py --small      # a tenth of the tasks, to see that it runs

What is measured: `launch`, `tick`, `prepare` and `push_tasks` as a pass runs them, on SQLite, against the sandbox in a
process of its own that answers each Salesforce call after 100 ms. The loop creates a sample of the same
tasks one by one, on one kept connection. Memory is the peak of the process that pushes, with 2,000 tasks and with
all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import requests
from processes import START, in_own_process, project_office, seconds, slow_sandbox
from simple_salesforce.api import Salesforce

from adapters.sandbox import Sandbox
from connector.app import Project
from connector.people import Person
from connector.sync.crm import push_tasks
from connector.sync.launch import launch
from connector.sync.prepare import prepare
from connector.sync.tick import tick

DELAY = 0.1
SAMPLE = 50
#: Tasks of the small run that memory is compared with: one batch of `push_tasks`.
ONE_BATCH = 2_000

TASKS_A_CALL = 200
FEWER_CALLS = 100
FASTER = 50
MEMORY_GROWTH = 1.1

REP = {
    "email": "ana@acme.example",
    "name": "Ana Diaz",
    "time_zone": "Europe/Madrid",
    "mailbox": "links",
    "salesforce_user": "ana@acme.example",
}
CAMPAIGN = """\
name: Bench
days:
  - day: 1
    steps:
      - call: {name: "Call {{first_name}}", notes: "Ask about {{company}}"}
"""


def people(count: int) -> Iterator[Person]:
    """Make people up, four to a company, one at a time."""
    for number in range(count):
        yield Person(
            email=f"p{number:06}@client{number // 4}.example",
            first_name="Pat",
            last_name=f"Doe{number}",
            company=f"Client {number // 4}",
        )


# ------------------------------------------------------------------------- the sandbox's own process


def serve(folder: Path, count: int) -> None:
    """Serve an org that knows `count` people, and write a project on it; ends with its input."""
    with Sandbox(START, salesforce_delay=DELAY) as sandbox:
        ready = sandbox.accounts(folder)
        for name in ("campaigns", "templates"):
            (folder / name).mkdir()
        (folder / "connector.yaml").write_text(json.dumps({"reps": [REP], "accounts": ready["accounts"]}))
        (folder / "campaigns" / "bench.yaml").write_text(CAMPAIGN)
        sandbox.seed(list(people(count)), Project(folder=folder).settings.reps)
        token = sandbox.token("salesforce")
        print(json.dumps({"url": sandbox.url, "token": token, "environment": ready["environment"]}), flush=True)
        sys.stdin.read()


def calls_of(url: str) -> Counter[str]:
    """Return what the sandbox was asked: `upsert`, `query` or `other`, without signing in."""
    seen: Counter[str] = Counter()
    for request in requests.get(f"{url}/sandbox/log", timeout=60).json()["requests"]:
        if request["service"] != "salesforce":
            continue
        path, method = request["path"], request["method"]
        upsert = method == "PATCH" and "composite/sobjects/Task" in path
        seen["upsert" if upsert else "query" if "query" in path or path.endswith("composite") else "other"] += 1
    return seen


# ----------------------------------------------------------------------- measured in processes of their own


def measure_plan(folder: Path, count: int) -> dict[str, float]:
    """Launch, decide and prepare; return the seconds of each."""
    with project_office(folder) as (project, office):
        launched = seconds(
            lambda: launch(
                office,
                project.campaign("Bench"),
                project.templates,
                rep=project.rep(REP["email"]),
                people=people(count),
                start=START,
                overrides={},
            )
        )
        return {
            "launch": launched,
            "tick": seconds(lambda: tick(office, START)),
            "prepare": seconds(lambda: prepare(office, START)),
        }


def measure_push(folder: Path) -> dict[str, float]:
    """Write the tasks that were prepared; return the seconds, how many were written, and peak memory in MB."""
    with project_office(folder) as (_, office):
        began = time.perf_counter()
        pushed = push_tasks(office)
        taken = time.perf_counter() - began
    if pushed.attention:
        raise SystemExit("\n".join(pushed.attention))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"push": taken, "written": pushed.written, "memory_mb": peak}


def measure_loop(url: str, token: str, count: int) -> dict[str, float]:
    """Create tasks one by one with simple-salesforce; return the seconds."""
    org = Salesforce(session_id=token, instance_url=url, version="66.0", session=requests.Session())
    tasks = org.Task
    tasks.base_url = f"{url}/services/data/v66.0/sobjects/Task/"  # it would say https

    def create() -> None:
        for person in people(count):
            tasks.create(
                {
                    "Subject": f"Call: Call {person.first_name}",
                    "Status": "Not Started",
                    "Priority": "Normal",
                    "ActivityDate": "2026-11-23",
                    "Description": f"Ask about {person.company}",
                    "TaskSubtype": "Call",
                }
            )

    return {"loop": seconds(create)}


# --------------------------------------------------------------------------------------------- the run


def run(scale: int) -> bool:
    """Measure and print a table; return whether every figure is within its bound."""
    count, few = 10_000 // scale, ONE_BATCH // scale
    small, _, _ = _measured(few)
    whole, calls, loop = _measured(count)
    rate, loop_rate = count / whole["push"], SAMPLE / loop["loop"]
    asked = sum(calls.values())
    upserts = -(-count // TASKS_A_CALL)
    growth = whole["memory_mb"] / small["memory_mb"]
    parts = ", ".join(f"{name} {whole[name]:.1f} s" for name in ("launch", "tick", "prepare", "push"))
    print(f"salesforce  {count:,} tasks at {DELAY * 1000:.0f} ms a call: {parts}")
    print(f"salesforce  calls: {', '.join(f'{calls[kind]} {kind}' for kind in sorted(calls))}")
    results = [
        (f"tasks written (all {count:,})", f"{whole['written']:,}", "", whole["written"] == count),
        (f"upsert calls (at most {upserts})", f"{calls['upsert']}", "", calls["upsert"] <= upserts),
        (
            f"times fewer calls than the loop (at least {FEWER_CALLS})",
            f"{count / asked:.0f}",
            f"({asked} calls)",
            count / asked >= FEWER_CALLS,
        ),
        (
            f"times the throughput of the loop (at least {FASTER})",
            f"{rate / loop_rate:.0f}",
            f"({rate:,.0f} to {loop_rate:.1f} tasks a second)",
            rate / loop_rate >= FASTER,
        ),
        (
            f"peak memory with {count:,} to that with {few:,} tasks (at most {MEMORY_GROWTH})",
            f"{growth:.2f}",
            f"({whole['memory_mb']:.0f} to {small['memory_mb']:.0f} MB)",
            growth <= MEMORY_GROWTH,
        ),
    ]
    if scale > 1:
        del results[2:]  # the first calls ask about the org, and so few tasks do not bear them
    for what, figure, more, good in results:
        print(f"salesforce  {what}: {figure} {more} {'good' if good else 'NOT GOOD'}")
    return all(good for *_, good in results)


def _measured(count: int) -> tuple[dict[str, float], Counter[str], dict[str, float]]:
    """Return what the product took, what it asked, and what the loop took for the sample, against one sandbox."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with slow_sandbox(__file__, str(folder), str(count)) as ready:
            environment = {**os.environ, **ready["environment"]}
            product = in_own_process(__file__, ["plan", str(folder), str(count)], environment)
            product |= in_own_process(__file__, ["push", str(folder)], environment)
            calls = calls_of(ready["url"])
            loop = in_own_process(__file__, ["loop", ready["url"], ready["token"], str(SAMPLE)], environment)
    return product, calls, loop


def main() -> None:
    """Run the bench, or one part of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tenth of everything")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    match given.measure:
        case ["plan", folder, count]:
            print(json.dumps(measure_plan(Path(folder), int(count))))
        case ["push", folder]:
            print(json.dumps(measure_push(Path(folder))))
        case ["loop", url, token, count]:
            print(json.dumps(measure_loop(url, token, int(count))))
        case _ if given.serve:
            serve(Path(given.serve[0]), int(given.serve[1]))
        case _:
            raise SystemExit(0 if run(10 if given.small else 1) else 1)


if __name__ == "__main__":
    main()
