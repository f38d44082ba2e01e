"""The REST API: who may ask, what is answered when it goes wrong, and the work of its subjects."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from connector.events import EventKind
from connector.sync.api_keys import Scope, keys_of
from connector.web.api import people as people_routes
from tests.web.programs import Programs, programs_of
from tests.web.visitors import ANA, BOB, MAY, ROOT
from tests.world import people

P0, P1, P2 = people(3)
TASKS = [Scope.READ, Scope.TASKS]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A world in which Ana has two people in a campaign and Bob one, with a call each to make."""
    with programs_of(tmp_path_factory.mktemp("api")) as programs:
        programs.world.launch([P0, P1], rep=ANA)
        programs.world.launch([P2], rep=BOB)
        programs.world.sync()
        yield programs


@pytest.fixture
def task(api: Programs) -> str:
    """The key of a call that Ana has to make, for somebody new."""
    (person,) = people(1, domain=f"new{next(_NUMBERS)}x")
    api.world.launch([person], rep=ANA)
    api.world.sync()
    return next(one.stored.intent.key for one in api.world.tasks if one.stored.intent.person == person.email)


_NUMBERS = iter(range(1000))


def _of(api: Programs, person: str) -> str:
    return next(one.stored.intent.key for one in api.world.tasks if one.stored.intent.person == person)


# ------------------------------------------------------------------------------------------------------- who may ask


def test_nobody_gets_in_without_a_key_or_a_session(api: Programs) -> None:
    for said in ({}, {"Authorization": "Bearer sck_no"}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
        answer = api.send("GET", "/api/v1/feed", said)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), said


def test_a_key_is_shown_once_and_kept_as_a_digest(api: Programs) -> None:
    made = api.ask(ANA, "POST", "/keys", {"name": "  for   me ", "scopes": ["tasks", "read", "read"]})
    assert made.status_code == 201
    key = made.json()
    assert re.fullmatch(r"sck_[\w-]{43}", key["secret"])
    assert (key["name"], key["user"], key["scopes"], key["used"]) == ("for me", ANA, ["read", "tasks"], None)
    listed = api.ask(ANA, "GET", "/keys").json()["items"]
    assert key["id"] in {one["id"] for one in listed}
    assert not any("secret" in one for one in listed)
    with api.world.database.read() as tx:
        assert key["secret"] not in str(tx.exec_driver_sql("SELECT * FROM api_keys").fetchall())


def test_the_last_use_of_a_key_is_noted_to_the_minute(api: Programs) -> None:
    secret = api.key(BOB, [Scope.READ])
    [listed] = [one for one in keys_of(api.world.office, BOB) if one.scopes == ("read",)]
    assert listed.used is None
    for minutes in (2, 0.5, 1):
        api.world.after(minutes=minutes)
        now = api.world.now
        assert api.send("GET", "/api/v1/feed", {"Authorization": f"Bearer {secret}"}).status_code == 200
        [used] = [one.used for one in keys_of(api.world.office, BOB) if one.id == listed.id]
        assert used is not None
        assert now - used < timedelta(minutes=1)


def test_a_revoked_key_opens_nothing(api: Programs) -> None:
    made = api.ask(ANA, "POST", "/keys", {"name": "gone", "scopes": ["read"]}).json()
    headers = {"Authorization": f"Bearer {made['secret']}"}
    assert api.send("GET", "/api/v1/feed", headers).status_code == 200
    assert api.ask(BOB, "DELETE", f"/keys/{made['id']}").status_code == 404
    assert api.ask(MAY, "DELETE", f"/keys/{made['id']}").status_code == 404
    assert api.ask(ANA, "DELETE", f"/keys/{made['id']}").status_code == 200
    assert api.send("GET", "/api/v1/feed", headers).status_code == 401
    assert api.ask(ANA, "DELETE", f"/keys/{made['id']}").status_code == 404


def test_a_key_of_somebody_who_is_no_user_any_more_opens_nothing(api: Programs) -> None:
    secret = api.key("left@acme.example")
    assert api.send("GET", "/api/v1/feed", {"Authorization": f"Bearer {secret}"}).status_code == 401


def test_a_key_makes_none_that_may_do_more(api: Programs) -> None:
    scopes = [Scope.READ, Scope.ADMIN]
    beyond = api.ask(ANA, "POST", "/keys", {"name": "x", "scopes": ["read", "tasks"]}, scopes=scopes)
    assert (beyond.status_code, "tasks" in beyond.json()["detail"]) == (403, True)
    assert api.ask(ANA, "POST", "/keys", {"name": "x", "scopes": ["read"]}, scopes=scopes).status_code == 201


#: One request for each scope; what it is answered with the scope does not matter here.
SCOPED = [
    (Scope.READ, "GET", "/feed", None),
    (Scope.TASKS, "POST", "/tasks/abcd/complete", None),
    (Scope.PEOPLE, "POST", "/people", {"people": [{"email": "new@client.example"}]}),
    (Scope.ADMIN, "GET", "/keys", None),
]


def test_a_key_does_what_its_scopes_say(api: Programs) -> None:
    for scope, method, path, body in SCOPED:
        others = [one for one in Scope if one is not scope]
        refused = api.ask(ANA, method, path, body, scopes=others)
        assert (refused.status_code, f"'{scope}'" in refused.json()["detail"]) == (403, True), path
        assert api.ask(ANA, method, path, body, scopes=[scope]).status_code != 403, path


def test_a_session_may_ask_too_and_writes_with_its_form_token(api: Programs, task: str) -> None:
    browser = api.visitors.browser(ANA)
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    assert api.send("GET", f"/api/v1/tasks/{task}", {"Cookie": cookie}).status_code == 200
    path = f"/api/v1/tasks/{task}/complete"
    for stray in ({}, {"X-CSRF-Token": "stray"}):
        assert api.send("POST", path, {"Cookie": cookie, **stray}).status_code == 403
    found = re.search(r'name="csrf" value="([^"]+)"', browser.get("/feed").text)
    assert found is not None
    done = api.send("POST", path, {"Cookie": cookie, "X-CSRF-Token": found[1]})
    assert (done.status_code, done.json()["state"]) == (200, "completed")


# ----------------------------------------------------------------------------------------------------- what goes wrong


def test_trouble_is_a_problem_in_our_words(api: Programs) -> None:
    nowhere = api.ask(ANA, "GET", "/nothing")
    assert (nowhere.status_code, "openapi.json" in nowhere.json()["detail"]) == (404, True)
    stray = api.ask(ANA, "PUT", "/keys")
    assert (stray.status_code, stray.headers["allow"]) == (405, "GET, POST")
    wrong = api.ask(ANA, "POST", f"/tasks/{_of(api, P0.email)}/snooze", {"until": "soon", "more": 1})
    assert (wrong.status_code, {fault["where"] for fault in wrong.json()["faults"]}) == (
        422,
        {"body.until", "body.more"},
    )
    past = api.ask(ANA, "POST", f"/tasks/{_of(api, P0.email)}/snooze", {"until": "2020-01-01"})
    assert (past.status_code, past.json()["detail"]) == (422, "2020-01-01 has passed: give today or a later date")


def test_a_body_that_is_no_json_or_too_large_is_a_problem(api: Programs) -> None:
    headers = {"Authorization": f"Bearer {api.key(ANA)}", "Content-Type": "application/json"}
    for stray in (b"{", b"[" * 200_000, b'{"people": "\xff"}', b"1" * 5_000):
        refused = api.send("POST", "/api/v1/people", headers, data=stray)
        assert (refused.status_code, "JSON" in refused.json()["detail"]) == (400, True), stray[:20]
    line = http.client.HTTPConnection(urlsplit(api.visitors.url).netloc, timeout=10)
    for length, status in (({"Content-Length": "10000001"}, 413), ({"Transfer-Encoding": "chunked"}, 411)):
        line.putrequest("POST", "/api/v1/people")
        for name, value in {**headers, **length}.items():
            line.putheader(name, value)
        line.endheaders()
        answer = line.getresponse()
        assert (answer.status, json.loads(answer.read())["status"]) == (status, status)
        line.close()


def test_what_nobody_foresaw_is_a_problem_too(
    api: Programs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> int:
        raise RuntimeError("the secret word")

    monkeypatch.setattr(people_routes.actions, "import_people", fail)
    answer = api.ask(ANA, "POST", "/people", {"people": [{"email": "x@client.example"}]})
    assert (answer.status_code, "secret word" in answer.text) == (500, False)
    assert [record.exc_info for record in caplog.records if record.levelname == "ERROR"] == [None]


def test_the_document_is_there_for_everybody_and_loads_nothing(api: Programs) -> None:
    document = api.send("GET", "/api/openapi.json", {})
    assert document.status_code == 200
    for path, operations in document.json()["paths"].items():
        assert path.startswith("/v1/")
        for operation in operations.values():
            assert operation["description"].strip(), path
            assert {"401", "403", "404", "422", "503"} <= set(operation["responses"])
    for page in ("/api/docs", "/api/redoc"):
        assert api.send("GET", page, {}).status_code == 404


# --------------------------------------------------------------------------------------------------------- subjects


def test_a_task_is_as_the_command_lists_it(api: Programs, task: str) -> None:
    shown = api.ask(ANA, "GET", f"/tasks/{task}").json()
    [listed] = [view.as_json() for view in api.world.tasks if view.stored.intent.key == task]
    assert {name: shown[name] for name in listed if name != "due"} == {
        name: value for name, value in listed.items() if name != "due"
    }
    assert api.ask(ANA, "GET", f"/tasks/{task[:12]}").json() == shown
    assert api.ask(MAY, "GET", f"/tasks/{task}").status_code == 200


def test_tasks_are_done(api: Programs, task: str) -> None:
    later = (api.world.now + timedelta(days=3)).date().isoformat()
    assert api.ask(ANA, "POST", f"/tasks/{task}/snooze", {"until": later}).json()["due_date"] == later
    assert api.ask(ANA, "PATCH", f"/tasks/{task}", {"comments": "ask again"}).status_code == 200
    assert api.ask(ANA, "PATCH", f"/tasks/{task}", {}).status_code == 422
    done = api.ask(ANA, "POST", f"/tasks/{task}/complete", {"outcome": "spoke", "reason": "intro"})
    assert done.json()["state"] == "completed"
    assert api.world.facts(EventKind.COMPLETED)[-1].data["by"] == "by Ana Diaz"
    assert api.ask(ANA, "POST", f"/tasks/{_of(api, P1.email)}/skip").json()["state"] == "skipped"


def test_an_email_is_opened(api: Programs, task: str) -> None:
    assert api.ask(ANA, "POST", f"/tasks/{task}/complete").status_code == 200
    api.world.after(days=1)
    api.world.sync()
    person = api.ask(ANA, "GET", f"/tasks/{task}").json()["person"]
    email = _of(api, person)
    opened = api.ask(ANA, "POST", f"/tasks/{email}/open").json()
    assert (opened["kind"], opened["notes"]) == ("draft", [])
    assert opened["address"].startswith("http")
    assert api.ask(ANA, "POST", f"/tasks/{email}/open", {"program": "outlook"}).json()["kind"] == "compose"


def test_what_is_another_reps_is_not_there(api: Programs, task: str) -> None:
    before = len(api.world.facts(*EventKind))
    for user in (BOB, "cy@acme.example"):
        for method, path, body in [
            ("GET", "", None),
            ("PATCH", "", {"priority": "high"}),
            ("POST", "/complete", None),
            ("POST", "/skip", None),
            ("POST", "/snooze", {"until": "2030-01-01"}),
            ("POST", "/open", None),
        ]:
            assert api.ask(user, method, f"/tasks/{task}{path}", body).status_code == 404, (user, path)
        for method, path, body in [
            ("GET", "", None),
            ("POST", "/opt-out", {"reason": "asked"}),
            ("POST", "/opt-out/undo", {"reason": "asked"}),
        ]:
            other = P0.email if user == BOB else P2.email
            assert api.ask(user, method, f"/people/{other}{path}", body).status_code == 404, (user, path)
    assert len(api.world.facts(*EventKind)) == before


def test_the_feed_is_read_in_parts_newest_first(api: Programs) -> None:
    whole = api.ask(ANA, "GET", "/feed", limit=200).json()["items"]
    read, cursor = [], None
    while True:
        part = api.ask(ANA, "GET", "/feed", limit=7, **({"cursor": cursor} if cursor else {})).json()
        read += part["items"]
        cursor = part["next"]
        if cursor is None or len(read) >= len(whole):
            break
    assert read == whole
    assert [one["position"] for one in whole] == sorted((one["position"] for one in whole), reverse=True)
    assert {one["rep"] for one in whole} == {ANA}
    assert api.ask(BOB, "GET", "/feed", rep=ANA).json()["items"] == []
    assert {one["kind"] for one in api.ask(ANA, "GET", "/feed", topic="sent").json()["items"]} == {"sent"}
    for stray in ("x", "W10", "WyJhIl0", "é"):
        assert api.ask(ANA, "GET", "/feed", cursor=stray).status_code == 422, stray


def test_people_are_imported_but_for_those_of_other_reps(api: Programs) -> None:
    given = [{"email": "Ann@Client.example", "first_name": "Ann", "custom": {"tier": "a"}}, {"email": P2.email}]
    answer = api.ask(ANA, "POST", "/people", {"people": given}).json()
    assert answer == {
        "imported": 1,
        "left_out": [{"person": P2.email, "reason": "is in campaigns of other reps"}],
    }
    ann = api.ask(ANA, "GET", "/people/ann@client.example").json()
    assert (ann["first_name"], ann["custom"], ann["opted_out"]) == ("Ann", {"tier": "a"}, None)
    assert api.ask(BOB, "GET", f"/people/{P2.email}").json()["first_name"] == "Pat2"
    for wrong in ({"email": "nobody"}, {"email": "a@b.example", "time_zone": "Mars"}, {"email": "a@b.example", "x": 1}):
        assert api.ask(ANA, "POST", "/people", {"people": [wrong]}).status_code == 422, wrong


def test_opting_out_ends_what_runs_and_can_be_taken_back(api: Programs, task: str) -> None:
    person = api.ask(ANA, "GET", f"/tasks/{task}").json()["person"]
    ended = api.ask(ANA, "POST", f"/people/{person}/opt-out", {"reason": "asked by phone"}).json()["enrollments"]
    assert [(one["person"], one["campaign"]) for one in ended] == [(person, "Outreach")]
    assert api.ask(ANA, "GET", f"/people/{person}").json()["opted_out"] is not None
    back = api.ask(ANA, "POST", f"/people/{person}/opt-out/undo", {"reason": "a mistake"})
    assert back.json()["opted_out"] is None
    assert api.ask(ANA, "POST", f"/people/{person}/opt-out/undo", {"reason": "again"}).status_code == 422
    assert api.ask(ANA, "POST", "/people/unknown@client.example/opt-out", {"reason": "asked"}).status_code == 200
    assert api.ask(ANA, "POST", f"/people/{person}/opt-out", {"reason": " "}).status_code == 422


def test_webhooks_are_made_and_ended(api: Programs) -> None:
    made = api.ask(ANA, "POST", "/webhooks", {"url": "https://hooks.example/x", "kinds": ["replied"]})
    assert (made.status_code, made.json()["secret"][:6], made.json()["kinds"]) == (201, "whsec_", ["replied"])
    id_ = made.json()["id"]
    [listed] = api.ask(ANA, "GET", "/webhooks").json()["items"]
    assert (listed["id"], "secret" in listed) == (id_, False)
    for private in ("http://127.0.0.1:9/", "https://10.0.0.1/"):
        assert api.ask(ANA, "POST", "/webhooks", {"url": private}).status_code == 422
    assert api.ask(BOB, "POST", f"/webhooks/{id_}/resume").status_code == 404
    assert api.ask(BOB, "DELETE", f"/webhooks/{id_}").status_code == 404
    assert api.ask(ANA, "POST", f"/webhooks/{id_}/resume").status_code == 200
    assert api.ask(ANA, "DELETE", f"/webhooks/{id_}").status_code == 204
    assert api.ask(ANA, "GET", "/webhooks").json()["items"] == []


def test_an_admin_sees_how_all_stands_and_others_their_own(api: Programs) -> None:
    standing = api.ask(ROOT, "GET", "/status").json()
    assert "Outreach" in standing["campaigns"]
    assert {f"gmail:{ANA}", f"outlook:{BOB}"} <= set(standing["accounts"])
    assert api.ask(ANA, "GET", "/status").status_code == 403
    assert api.ask(ANA, "GET", "/health").json() == {"well": True, "problems": []}


def test_what_the_crm_did_not_take_is_tried_again_by_whose_it_is(api: Programs, task: str) -> None:
    with api.world.database.write() as tx:
        tx.exec_driver_sql(
            "UPDATE tasks SET dirty = 1, problem = 'no access', code = 'X', category = 'other', failed = due WHERE key = ?",
            (task,),
        )
    [found] = api.ask(ANA, "GET", "/diagnostics").json()["items"]
    assert (found["id"], found["rep"], found["sentence"]) == (task, ANA, "no access")
    assert not api.ask(ANA, "GET", "/health").json()["well"]
    assert api.ask(BOB, "GET", "/diagnostics").json()["items"] == []
    assert api.ask(BOB, "POST", "/diagnostics/retry", {"ids": [task]}).status_code == 422
    assert api.ask(BOB, "POST", "/diagnostics/retry", {}).json()["items"] == []
    for user in (ANA, ROOT):
        again = api.ask(user, "POST", "/diagnostics/retry", {"ids": [task]}).json()["items"]
        assert [one["id"] for one in again] == [task]
    assert api.ask(ANA, "POST", "/diagnostics/retry", {}).status_code == 200
    api.world.sync()
    assert api.ask(ANA, "GET", "/diagnostics").json()["items"] == []
