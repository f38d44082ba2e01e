"""Requests that nobody sends by a form of ours: each is refused calmly, and nothing of it is kept."""

from __future__ import annotations

import base64
import json
from typing import Any

import requests

from tests.web.programs import Programs
from tests.web.visitors import ANA, ROOT, WEB, Browser
from tests.world import BOB, World, WorldMaker, people

#: Ana sells in Tokyo, where the last day that can be written begins before it does in UTC.
REPS = [
    {"email": ANA, "name": "Ana Diaz", "time_zone": "Asia/Tokyo", "mailbox": "gmail", "salesforce_user": ANA},
    BOB,
]
CAMPAIGNS = {
    "mails": "name: Mails\ndays:\n  - day: 1\n    steps:\n      - email: {template: intro, send: task}\n",
    "sends": "name: Sends\ndays:\n  - day: 1\n    steps:\n      - email: {template: intro, send: '23:30'}\n",
}
NUL, HALF = "a\0b", "\ud800"
LARGE = 10**30
PLACE = "20261123T080000000000"

#: Addresses with what neither database can look for.
PAGES = [
    f"/{path}?{name}=a%00b"
    for path, name in (
        ("tasks", "campaign"),
        ("tasks", "batch"),
        ("tasks", "after"),
        ("people", "search"),
        ("people", "after"),
        ("feed", "campaign"),
        ("numbers", "campaign"),
        ("campaigns/Mails", "version"),
        ("campaigns/Mails/launch", "plan"),
    )
] + [
    "/people/a%00b@client.example",
    "/campaigns/a%00b",
    f"/tasks?after=2026-11-23~{PLACE}~a%00b",
    f"/feed?before={LARGE}",
    f"/emails?state=bounced&after={PLACE}~abc",
    f"/emails?state=bounced&after={PLACE}~{LARGE}",
]

#: Forms; `{key}` is a task of Ana's, `{ahead}` an email that is still ahead.
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("/tasks/bulk", {"do": "complete", "key": NUL, "sure": "1"}),
    ("/tasks/undo", {"batch": NUL}),
    ("/tasks/{key}/snooze", {"until": "9999-12-31"}),
    ("/tasks/{key}/compose/save", {"subject": NUL, "body": "b"}),
    ("/tasks/{key}/compose/save", {"subject": "a", "body": "b", "version": str(LARGE)}),
    ("/tasks/{key}/compose/files", {"subject": "a", "body": "b", "version": "1" * 5_000}),
    ("/emails/a%00b/retry", {}),
    ("/emails/{ahead}/reschedule", {"day": "9999-12-31", "time": "23:59", "zone": "Asia/Tokyo"}),
    ("/emails/{ahead}/reschedule", {"day": "9999-12-31", "time": "23:59", "zone": "America/New_York"}),
    ("/people/p0@client0.example/opt-out", {"reason": NUL}),
    ("/settings/keys", {"name": NUL, "scope": "read"}),
    ("/campaigns/Mails/people", {"action": "pause", "id": NUL}),
    ("/campaigns/Mails/launch", {"rep": ANA, "zone": "UTC", "pasted": f"email,title\nx@client.example,{NUL}"}),
    (
        "/campaigns/Mails/launch",
        {
            "rep": ANA,
            "pasted": "x@client.example",
            "when": "at",
            "date": "9999-12-31",
            "time": "23:59",
            "zone": "America/New_York",
        },
    ),
]

ASKED: list[tuple[str, str, Any]] = [
    ("GET", "/people?search=a%00b", None),
    ("GET", "/campaigns/a%00b", None),
    ("POST", "/emails/a%00b/cancel", None),
    ("PATCH", "/tasks/{key}/mail", {"subject": "a", "version": 2**31 - 1}),
    ("POST", "/people", {"people": [{"email": "x@client.example", "first_name": NUL}]}),
    ("POST", "/people", {"people": [{"email": "x@client.example", "custom": {NUL: "x"}}]}),
    ("POST", "/people", {"people": [{"email": "x@client.example", "first_name": HALF}]}),
    ("POST", "/people/p0@client0.example/opt-out", {"reason": NUL}),
    ("POST", "/keys", {"name": NUL, "scopes": ["read"]}),
    ("POST", "/campaigns/Mails/launch", {"rep": ANA, "people": ["x@client.example"], "start": "2199-12-31T23:59:59Z"}),
]


def cursor(*place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


ASKED += [
    ("GET", f"/{path}cursor={cursor(*place)}", None)
    for path, *place in (
        ("feed?", LARGE),
        ("people?", NUL),
        ("people?", HALF),
        ("tasks?", f"2026-11-23~{PLACE}~{HALF}"),
        ("emails?standing=bounced&", f"{PLACE}~abc"),
        ("emails?standing=sent&", f"{PLACE}~{HALF}"),
        ("campaigns/Mails/people?", ANA, LARGE, "a"),
    )
]


def test_what_no_database_keeps_is_refused_on_every_page(make_world: WorldMaker, database_url: str) -> None:
    world = make_world(campaign=CAMPAIGNS, web=WEB, reps=REPS, database_url=database_url)
    world.launch(people(1), campaign="mails")
    world.launch(people(1, domain="later"), campaign="sends")
    world.sync()
    programs = Programs.of(world)
    before = kept(world)
    ana = programs.visitors.browser(ANA)
    there = {"key": world.tasks[0].stored.intent.key, "ahead": world.enrollments["p0@later0.example"].id}
    faults = [(path, got) for path in PAGES if (got := look(ana, path)) not in (400, 422)]
    faults += [
        (path, got)
        for path, said in FORMS
        if (got := ana.post(path.format_map(there), **said).status_code) not in (400, 422)
    ]
    faults += [
        (path, got)
        for method, path, body in ASKED
        if (got := programs.ask(ROOT, method, path.format_map(there), body).status_code) not in (400, 422)
    ]
    assert faults == []
    many = requests.post(
        f"{ana.url}/settings/keys", files=[("f", (None, "x"))] * 1_500, cookies=ana.cookies, timeout=30
    )
    assert (many.status_code, "This cannot be read" in many.text) == (400, True)
    assert kept(world) == before
    assert look(ana, "/emails") == look(ana, "/tasks") == 200
    programs.visitors.leave()


def look(browser: Browser, path: str) -> int:
    return requests.get(browser.url + path, cookies=browser.cookies, allow_redirects=False, timeout=30).status_code


def kept(world: World) -> list[tuple[Any, ...]]:
    with world.database.read() as tx:
        names = ("enrollments", "intents", "mails", "tasks", "people", "ledger", "compositions", "launch_plans")
        return [tuple(row) for name in names for row in tx.exec_driver_sql(f"SELECT * FROM {name}").fetchall()]
