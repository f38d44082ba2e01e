"""Requests that carry an `Idempotency-Key`: each is carried out once, whatever comes of it and whoever asks again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from connector.errors import Retry
from connector.events import EventKind
from connector.sync.api_keys import Scope
from connector.web.api import people as people_routes
from tests.web.programs import Programs, programs_of
from tests.web.visitors import ANA, ROOT
from tests.world import people

_NUMBERS = iter(range(1000))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A world in which nothing happened yet."""
    with programs_of(tmp_path_factory.mktemp("once")) as programs:
        yield programs


@pytest.fixture
def task(api: Programs) -> str:
    """The key of a call that Ana has to make, for somebody new."""
    (person,) = people(1, domain=f"once{next(_NUMBERS)}x")
    api.world.launch([person], rep=ANA)
    api.world.sync()
    return next(one.stored.intent.key for one in api.world.tasks if one.stored.intent.person == person.email)


def test_the_same_request_with_the_same_key_is_done_once(api: Programs, task: str) -> None:
    first = api.ask(ANA, "POST", f"/tasks/{task}/complete", {"outcome": "spoke"}, once="one")
    assert first.status_code == 200
    before = len(api.world.facts(EventKind.COMPLETED))
    again = api.ask(ANA, "POST", f"/tasks/{task}/complete", {"outcome": "spoke"}, once="one")
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(api.world.facts(EventKind.COMPLETED)) == before
    # Without the key it is told that there is nothing left to do.
    assert api.ask(ANA, "POST", f"/tasks/{task}/complete", {"outcome": "spoke"}).status_code == 422


def test_another_request_with_the_same_key_is_refused(api: Programs, task: str) -> None:
    assert api.ask(ANA, "PATCH", f"/tasks/{task}", {"priority": "high"}, once="two").status_code == 200
    for method, path, body in [
        ("PATCH", f"/tasks/{task}", {"priority": "normal"}),
        ("PATCH", "/tasks/ffffffff", {"priority": "high"}),
        ("POST", f"/tasks/{task}/skip", None),
    ]:
        refused = api.ask(ANA, method, path, body, once="two")
        assert (refused.status_code, "another request" in refused.json()["detail"]) == (422, True)
    # Somebody else's keys are their own.
    assert api.ask(ROOT, "PATCH", f"/tasks/{task}", {"priority": "normal"}, once="two").status_code == 200


def test_a_problem_is_the_same_answer_the_second_time(api: Programs) -> None:
    first = api.ask(ANA, "POST", "/tasks/ffffffff/skip", once="three")
    again = api.ask(ANA, "POST", "/tasks/ffffffff/skip", once="three")
    assert (first.status_code, again.status_code, again.content) == (404, 404, first.content)


def test_of_two_at_the_same_time_one_does_it(api: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, times = Event(), Event(), []
    plain = people_routes.actions.import_people

    def slow(*given: object) -> int:
        times.append(given)
        begun.set()
        go_on.wait(10)
        return plain(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(people_routes.actions, "import_people", slow)
    body = {"people": [{"email": "twice@client.example"}]}
    with ThreadPoolExecutor() as pool:
        first = pool.submit(api.ask, ANA, "POST", "/people", body, once="four")
        assert begun.wait(10)
        other = Programs(world=api.world, visitors=api.visitors, _keys=api._keys)
        second = other.ask(ANA, "POST", "/people", body, once="four")
        assert (second.status_code, second.headers["retry-after"]) == (409, "1")
        go_on.set()
        assert first.result().status_code == 200
    assert len(times) == 1
    assert api.ask(ANA, "POST", "/people", body, once="four").content == first.result().content
    assert len(times) == 1


def test_what_came_to_nothing_may_be_tried_again(api: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"people": [{"email": "later@client.example"}]}

    def fail(*_: object) -> int:
        raise Retry("the service is away")

    with monkeypatch.context() as patch:
        patch.setattr(people_routes.actions, "import_people", fail)
        assert api.ask(ANA, "POST", "/people", body, once="five").status_code == 503
    assert api.ask(ANA, "POST", "/people", body, once="five").status_code == 200


def test_a_request_that_was_lost_with_its_process_is_done_again_after_a_while(api: Programs) -> None:
    body = {"people": [{"email": "lost@client.example"}]}
    assert api.ask(ANA, "POST", "/people", body, once="six").status_code == 200
    with api.world.database.write() as tx:
        tx.exec_driver_sql("UPDATE idempotency SET status = NULL, answer = NULL WHERE key = 'six'")
    assert api.ask(ANA, "POST", "/people", body, once="six").status_code == 409
    api.world.after(minutes=6)
    assert api.ask(ANA, "POST", "/people", body, once="six").status_code == 200


def test_answers_are_kept_for_a_day_and_sealed(api: Programs) -> None:
    wanted = {"name": "sealed", "scopes": ["read"]}
    first = api.ask(ANA, "POST", "/keys", wanted, once="seven").json()
    assert api.ask(ANA, "POST", "/keys", wanted, once="seven").json() == first
    with api.world.database.read() as tx:
        rows = str(tx.exec_driver_sql("SELECT * FROM idempotency").fetchall())
    assert first["secret"] not in rows
    assert "sealed" not in rows
    api.world.after(hours=25)
    assert api.ask(ANA, "POST", "/keys", wanted, once="seven").json()["id"] != first["id"]
    with api.world.database.read() as tx:
        assert len(tx.exec_driver_sql("SELECT * FROM idempotency").fetchall()) == 1


def test_an_answer_is_for_a_key_that_may_ask_for_it_alone(api: Programs) -> None:
    wanted = {"name": "mighty", "scopes": ["admin"]}
    assert api.ask(ANA, "POST", "/keys", wanted, once="eight").status_code == 201
    refused = api.ask(ANA, "POST", "/keys", wanted, once="eight", scopes=[Scope.READ])
    assert refused.status_code in (403, 422)
    assert "sck_" not in refused.text


def test_a_stray_idempotency_key_is_refused(api: Programs) -> None:
    assert api.ask(ANA, "POST", "/tasks/abcd/skip", once="x" * 256).status_code == 422
