"""Every route of the app: what another rep, a manager of another team and somebody not signed in get from it.

The table has a line for each route; one without a line fails. What is attempted is attempted with a real task, person,
campaign and launch of Ana's, and after each attempt nothing of hers may be another than before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any
from urllib.parse import quote

import pytest
import requests
from starlette.requests import Request
from starlette.routing import Mount

from connector.people import Person
from connector.store.compositions import read_working
from connector.sync.api_keys import add_key
from connector.sync.bulk import Action, Deed, act
from connector.sync.office import Office
from connector.sync.uploads import Incoming, attach
from connector.sync.webhooks import add_webhook
from connector.web.app import create_app
from tests.web.programs import Programs, programs_of
from tests.web.visitors import ANA, BOB, MAY, WEB
from tests.world import CAMPAIGN, World, people

#: Bob's manager: Ana is not in their team.
NED = "ned@acme.example"
OTHERS = (BOB, NED)

#: Whom Ana writes to; words that stand nowhere else.
HERS = Person(email="zara.quill@quillworks.example", first_name="Zarabeth", last_name="Quill", company="Quillworks")
#: Whom Ana is about to launch.
PLANNED = "new@client.example"
WORDS = ("zara.quill", "zarabeth", "quillworks")


class Gets(Enum):
    """What others get."""

    #: As if it were not there: 404.
    NOTHING = "nothing"
    #: Their own of it, without a word of Ana's.
    OWN = "own"
    #: That it takes another role: 403.
    ROLE = "role"
    #: What everybody gets, signed in or not, without a word of Ana's.
    PUBLIC = "public"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One route of the table."""

    gets: Gets
    #: Fields of a form, or a body of the API.
    said: dict[str, Any] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    #: What others are answered, where it is not what `gets` says.
    status: int | None = None
    #: What nobody is answered, where it is not 401.
    stranger: int | None = None


def nothing(said: dict[str, Any] | None = None, **more: Any) -> Line:
    return Line(gets=Gets.NOTHING, said=said or {}, **more)


def own(said: dict[str, Any] | None = None, **more: Any) -> Line:
    return Line(gets=Gets.OWN, said=said or {}, **more)


def role(said: dict[str, Any] | None = None) -> Line:
    return Line(gets=Gets.ROLE, said=said or {})


def public(status: int = 200, **more: Any) -> Line:
    return Line(gets=Gets.PUBLIC, status=status, **more)


REASON = {"reason": "asked"}
WHO = {"people": [HERS.email]}
#: What others may put into `{…}` of a path is filled in by `_there`; `HIS_ENROLLMENT` and its like in what is said too.
ROUTES: dict[str, Line] = {
    # For everybody.
    "GET /healthz": public(),
    "GET /readyz": public(),
    "GET /metrics": public(),
    "GET /u/{token}": public(404),
    "POST /u/{token}": public(404),
    "GET /sign-in": public(303, stranger=200),
    "GET /sign-in/{token}": public(303, stranger=401),
    "GET /sign-in/with/{name}": public(404),
    "GET /sign-in/with/{name}/callback": public(400),
    "GET /api/openapi.json": public(),
    # Pages.
    "GET /": own(),
    "POST /sign-out": own(),
    "GET /open/{key}": nothing(),
    "GET /tasks": own(),
    "GET /tasks/focus": own(),
    "GET /tasks/{key}": nothing(),
    "POST /tasks/undo": own({"batch": "{batch}"}),
    "POST /tasks/bulk": own({"do": "skip", "key": "{key}", "sure": "1"}),
    "POST /tasks/{key}/complete": nothing(),
    "POST /tasks/{key}/skip": nothing(),
    "POST /tasks/{key}/snooze": nothing({"until": "2030-01-01"}),
    "POST /tasks/{key}/assign": nothing({"to": BOB}),
    "GET /tasks/{key}/compose": nothing(),
    "GET /tasks/{key}/preview": nothing(),
    "POST /tasks/{key}/compose/save": nothing({"subject": "x", "body": "x"}),
    "POST /tasks/{key}/compose/template": nothing({"subject": "x", "body": "x", "template": "intro"}),
    "POST /tasks/{key}/compose/draft": nothing({"subject": "x", "body": "x"}),
    "POST /tasks/{key}/compose/send": nothing({"subject": "x", "body": "x"}),
    "POST /tasks/{key}/compose/schedule": nothing(
        {"subject": "x", "body": "x", "date": "2030-01-01", "time": "09:00", "zone": "UTC"}
    ),
    "POST /tasks/{key}/compose/call-off": nothing({"subject": "x", "body": "x"}),
    "POST /tasks/{key}/compose/complete": nothing(),
    "POST /tasks/{key}/compose/files": nothing({"subject": "x", "body": "x"}),
    "GET /tasks/{key}/compose/files/{upload}": nothing(),
    "POST /tasks/{key}/compose/files/{upload}/remove": nothing({"subject": "x", "body": "x"}),
    "GET /emails": own(query={"standing": "drafts"}),
    "POST /emails/{id}/cancel": nothing({"state": "scheduled"}),
    "POST /emails/{id}/retry": nothing({"state": "failed"}),
    "POST /emails/{id}/reschedule": nothing(
        {"state": "scheduled", "day": "2030-01-01", "time": "09:00", "zone": "UTC"}
    ),
    "GET /feed": own(),
    "GET /feed/tasks": own(),
    "GET /feed/stream": own(),
    "GET /people": own(),
    "GET /people/{email:path}": nothing(),
    "POST /people/{email:path}/campaign": nothing({"enrollment": "{enrollment}", "action": "remove"}),
    "POST /people/{email:path}/opt-out": nothing(REASON),
    "POST /people/{email:path}/undo-opt-out": nothing(REASON),
    "GET /settings": own(),
    "POST /settings": own({"locale": "", "zone": ""}),
    "GET /settings/health": own(),
    "POST /settings/retry": own({"record": "{key}"}),
    "POST /settings/doctor": role(),
    "GET /settings/keys": own(),
    "POST /settings/keys": own({"name": "mine", "scope": "read"}),
    "POST /settings/keys/revoke": nothing({"key": "{api_key}"}),
    "GET /settings/webhooks": own(),
    "POST /settings/webhooks": own({"url": "https://hooks.example/y"}),
    "POST /settings/webhooks/resume": nothing({"webhook": "{webhook}"}),
    "POST /settings/webhooks/remove": nothing({"webhook": "{webhook}"}),
    "GET /numbers": own(),
    "GET /numbers/{table}.csv": own(),
    "GET /campaigns": own(),
    "GET /campaigns/{campaign}": own(),
    "POST /campaigns/{campaign}/people": own({"action": "remove", "id": "{enrollment}", "confirmed": "1"}),
    "GET /campaigns/{campaign}/versions": own(),
    "POST /campaigns/{campaign}/versions": own({"present": "x", "moves": "1"}),
    "GET /campaigns/{campaign}/launch": own(),
    "GET /campaigns/{campaign}/launch/search": own(query={"q": "zara"}),
    "POST /campaigns/{campaign}/launch": own({"rep": ANA, "pasted": HERS.email}),
    "GET /campaigns/{campaign}/launch/{plan}": nothing(),
    "POST /campaigns/{campaign}/launch/{plan}": nothing({"digest": "x"}),
    "GET /campaigns/{campaign}/launch/{plan}/people/{email:path}": nothing(),
    "GET /campaigns/{campaign}/launch/{plan}/people/{email:path}/preview": nothing(),
    "POST /campaigns/{campaign}/launch/{plan}/people/{email:path}": nothing({"subject": "x", "body": "x"}),
    # The API.
    "GET /api/v1/tasks": own(),
    "GET /api/v1/tasks/{id}": nothing(),
    "PATCH /api/v1/tasks/{id}": nothing({"priority": "high"}),
    "POST /api/v1/tasks/{id}/complete": nothing(),
    "POST /api/v1/tasks/{id}/skip": nothing(),
    "POST /api/v1/tasks/{id}/snooze": nothing({"until": "2030-01-01"}),
    "POST /api/v1/tasks/{id}/assign": nothing({"rep": BOB}),
    "POST /api/v1/tasks/{id}/open": nothing(),
    "POST /api/v1/tasks/bulk": own({"action": "skip", "ids": ["{key}"]}),
    "POST /api/v1/undo/{id}": nothing(),
    "GET /api/v1/tasks/{id}/mail": nothing(),
    "PATCH /api/v1/tasks/{id}/mail": nothing({"subject": "Stolen"}),
    "POST /api/v1/tasks/{id}/mail/template": nothing({"template": "nudge"}),
    "POST /api/v1/tasks/{id}/mail/draft": nothing(),
    "POST /api/v1/tasks/{id}/mail/send": nothing(),
    "POST /api/v1/tasks/{id}/mail/call-off": nothing(),
    "POST /api/v1/tasks/{id}/mail/files": nothing(query={"name": "x.txt"}),
    "GET /api/v1/tasks/{id}/mail/files/{file}": nothing(),
    "DELETE /api/v1/tasks/{id}/mail/files/{file}": nothing(),
    "GET /api/v1/emails": own(query={"standing": "drafts"}),
    "POST /api/v1/emails/{id}/reschedule": nothing({"at": "2030-01-01T00:00:00Z"}),
    "POST /api/v1/emails/{id}/cancel": nothing(),
    "POST /api/v1/emails/{id}/retry": nothing(),
    "GET /api/v1/campaigns": own(),
    "GET /api/v1/campaigns/{name}": own(),
    "GET /api/v1/campaigns/{name}/people": own(),
    "POST /api/v1/campaigns/{name}/pause": own(WHO),
    "POST /api/v1/campaigns/{name}/resume": own(WHO),
    "POST /api/v1/campaigns/{name}/remove": own(WHO),
    "GET /api/v1/campaigns/{name}/migration": own(),
    "POST /api/v1/campaigns/{name}/migrate": own(),
    "POST /api/v1/campaigns/{name}/simulate": own({"rep": ANA, **WHO}),
    "POST /api/v1/campaigns/{name}/launch": own({"rep": ANA, **WHO}),
    "GET /api/v1/people": own(),
    "POST /api/v1/people": own({"people": [{"email": HERS.email, "first_name": "Stolen"}]}),
    "GET /api/v1/people/{email}": nothing(),
    "GET /api/v1/people/{email}/explanation": nothing(),
    "POST /api/v1/people/{email}/opt-out": nothing(REASON),
    "POST /api/v1/people/{email}/opt-out/undo": nothing(REASON),
    "GET /api/v1/feed": own(),
    "GET /api/v1/numbers": own(),
    "GET /api/v1/health": own(),
    "GET /api/v1/mailboxes": own(),
    "GET /api/v1/status": role(),
    "GET /api/v1/doctor": role(),
    "GET /api/v1/preferences": own(),
    "PUT /api/v1/preferences": own({"time_zone": "Europe/Madrid"}),
    "GET /api/v1/diagnostics": own(),
    "POST /api/v1/diagnostics/retry": own({"ids": ["{key}"]}),
    "GET /api/v1/keys": own(),
    "POST /api/v1/keys": own({"name": "mine", "scopes": ["read"]}),
    "DELETE /api/v1/keys/{id}": nothing(),
    "GET /api/v1/webhooks": own(),
    "POST /api/v1/webhooks": own({"url": "https://hooks.example/x"}),
    "POST /api/v1/webhooks/{id}/resume": nothing(),
    "DELETE /api/v1/webhooks/{id}": nothing(),
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A world in which Ana has somebody in a campaign, with an email to send, and Bob somebody else."""
    web = {**WEB, "managers": {**WEB["managers"], NED: [BOB]}}
    campaign = CAMPAIGN.replace("send: choose_at_launch", "send: task")
    with programs_of(tmp_path_factory.mktemp("routes"), campaign=campaign, web=web) as programs:
        programs.world.launch([HERS], rep=ANA)
        programs.world.launch(people(1), rep=BOB)
        programs.world.sync()
        yield programs


@pytest.fixture(scope="module")
def there(api: Programs) -> dict[str, str]:
    """What of Ana's stands for each `{…}`."""
    intent = next(one.stored.intent for one in api.world.tasks if one.stored.intent.person == HERS.email)
    office = api.world.office
    deed = Deed(action=Action.SNOOZE, until=api.world.now.date() + timedelta(days=7))
    upload = _upload(office, intent.key)
    return {
        "key": intent.key,
        "id": intent.key,
        "upload": upload,
        "file": upload,
        "enrollment": intent.enrollment,
        "email": HERS.email,
        "campaign": intent.campaign,
        "name": "google",
        "plan": _plan(api, intent.campaign),
        "batch": act(office, ANA, deed, [intent.key], reps=None).batch,
        "token": "stray",
        "table": "days",
        "task": intent.key,
        "api_key": add_key(office, user=ANA, name="Zarabeth", scopes=["read"]).key.id,  # type: ignore[list-item]
        "webhook": add_webhook(office, user=ANA, url="https://quillworks.example/", kinds=()).webhook.id,
    }


def _upload(office: Office, key: str) -> str:
    """Attach a file to an email of Ana's, and return its id."""
    attach(office, key, [Incoming(name="quillworks.pdf", size=1, read=lambda: b"x")], by=ANA)
    with office.database.read() as tx:
        working = read_working(tx, key)
    assert working is not None
    return working.written.uploads[0].id


def _plan(api: Programs, campaign: str) -> str:
    """Have Ana begin a launch, and return its id."""
    answer = _browse(api, ANA, "POST", f"/campaigns/{campaign}/launch", {"rep": ANA, "pasted": PLANNED})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].partition("?")[0].rpartition("/")[2]


def _routes(found: Any, before: str = "") -> Iterator[str]:
    for route in found:
        if (router := getattr(route, "original_router", None)) is not None:
            yield from _routes(router.routes, before)
        elif isinstance(route, Mount):
            yield from _routes(getattr(route.app, "routes", ()), before + route.path)
        else:
            yield from (f"{method} {before}{route.path}" for method in route.methods - {"HEAD"})


def test_every_route_has_a_line_and_every_line_a_route(api: Programs) -> None:
    found = set(_routes(create_app(api.visitors.site).routes))
    assert found - set(ROUTES) == set(), "say what others get from these"
    assert set(ROUTES) - found == set(), "these are gone"


def _path(route: str, there: dict[str, str]) -> str:
    path = route.partition(" ")[2].replace(":path}", "}")
    if path.startswith("/api/v1/"):
        path = path.replace("{name}", "{campaign}")
        kinds = {"keys": "api_key", "webhooks": "webhook", "undo": "batch"}
        path = path.replace("{id}", f"{{{kinds.get(path.split('/')[3], 'task')}}}")
    return path.format_map({name: quote(value, safe="") for name, value in there.items()})


def _filled(value: Any, there: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one, there) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, there) for one in value]
    return there[value[1:-1]] if isinstance(value, str) and value[:1] == "{" else value


def _browse(
    api: Programs, user: str | None, method: str, path: str, said: dict[str, Any], query: dict[str, str] | None = None
) -> requests.Response:
    """Ask as a browser does; it may be an answer without an end, so that a piece of it is read."""
    headers = {}
    if user is not None:
        cookies = api.visitors.cookies(user)
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        if method != "GET":
            headers["X-CSRF-Token"] = _token(api, headers["Cookie"])
    with closing(
        requests.request(
            method,
            api.visitors.url + path,
            headers=headers,
            params=query,
            data=said or None,
            allow_redirects=False,
            stream=True,
            timeout=10,
        )
    ) as answer:
        if "event-stream" in answer.headers.get("content-type", ""):
            answer._content = next(answer.iter_content(4096))
        else:
            assert answer.content is not None
        return answer


def _token(api: Programs, cookie: str) -> str:
    """Return what the forms of a session carry."""
    port = int(api.visitors.url.rpartition(":")[2])
    raw = [(b"cookie", cookie.encode())]
    session = api.visitors.site.sessions.read(
        Request({"type": "http", "scheme": "http", "path": "/", "headers": raw, "server": ("127.0.0.1", port)})
    )
    assert session is not None
    return session.csrf


def _ask(api: Programs, user: str | None, route: str, line: Line, there: dict[str, str]) -> requests.Response:
    method, path = route.partition(" ")[0], _path(route, there)
    said = _filled(line.said, there)
    if not path.startswith("/api/v1/"):
        return _browse(api, user, method, path, said, line.query)
    headers = {} if user is None else {"Authorization": f"Bearer {api.key(user)}"}
    return api.send(method, path, headers, json=said or None, params=line.query)


def _hers(world: World) -> list[str]:
    """Return every row that is about Ana or whom she writes to."""
    tables = ("enrollments", "intents", "mails", "tasks", "people", "ledger", "api_keys", "webhooks", "crm_people")
    with world.database.read() as tx:
        rows = [
            f"{name} {tuple(row)}" for name in tables for row in tx.exec_driver_sql(f"SELECT * FROM {name}").fetchall()
        ]
    return [row for row in rows if ANA in row or HERS.email in row]


@pytest.mark.parametrize("route", ROUTES)
def test_others_get_what_the_table_says_and_change_nothing_of_hers(
    api: Programs, there: dict[str, str], route: str
) -> None:
    line = ROUTES[route]
    before = _hers(api.world)
    for user in (*OTHERS, None):
        answer = _ask(api, user, route, line, there)
        told = answer.text.lower()
        mentioned = _path(route, there).lower() + str(line.said).lower() + str(line.query).lower()
        words = [word for word in WORDS if word in told and word not in mentioned]
        assert not words, (user, words)
        assert answer.status_code == _expected(line, user, answer.status_code), (user, answer.text[:300])
        assert _hers(api.world) == before, user


def _expected(line: Line, user: str | None, got: int) -> int:
    """Return the status that a line asks for; one's own may be any answer that is no refusal of the whole and no fault."""
    if user is None and line.gets is not Gets.PUBLIC:
        return line.stranger or 401
    if user is None:
        return line.stranger or line.status or 200
    if line.status is not None:
        return line.status
    match line.gets:
        case Gets.NOTHING:
            return 404
        case Gets.ROLE:
            return 403
        case _:
            return got if got in (200, 201, 204, 303, 409, 422) else 200


#: Lines that name something of Ana's, and only look: she finds it there, so it was not the address that was wrong.
LOOKS = [
    route
    for route, line in ROUTES.items()
    if line.gets is Gets.NOTHING and route.startswith("GET") and route.count("{email}") < 2
]


@pytest.mark.parametrize("route", LOOKS)
def test_she_and_her_manager_find_it_there(api: Programs, there: dict[str, str], route: str) -> None:
    if "{plan}" in route:
        there = there | {"email": PLANNED}
    for user in (ANA, *((MAY,) if "{plan}" not in route else ())):
        assert _ask(api, user, route, ROUTES[route], there).status_code in (200, 303), (user, route)
