"""Webhooks: what is told to whom, in order and at least once; where they may not lead; how they are signed."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from connector.errors import BadInput, Refused, Retry
from connector.events import EventKind
from connector.store.webhooks import Webhook, change_webhook, list_webhooks
from connector.sync import webhooks as service
from connector.sync.lanes import Lanes
from connector.sync.webhook_post import check_address, post, signature
from connector.sync.webhooks import (
    GIVEN_UP_AFTER,
    MOST,
    NewWebhook,
    UnknownWebhook,
    add_webhook,
    deliver_all,
    lane_of,
    remove_webhook,
    resume_webhook,
    webhooks_of,
)
from connector.vault import StoredVault
from tests.world import ANA, BOB, World, people

ADMIN = ""


class Receiver:
    """A program of somebody else's: notes what it is posted, and answers as it is told."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        #: Statuses of the next answers; then 204.
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append((dict(self.headers), body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.send_header("Location", receiver.url + "/elsewhere")
                self.end_headers()

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def told(self) -> list[dict[str, Any]]:
        """What it was told, in order."""
        return [json.loads(body) for _, body in self.received]

    @property
    def kinds(self) -> list[str]:
        """The kinds of event it was told of."""
        return [told["event"]["kind"] for told in self.told]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which Ana and Bob have somebody in a campaign."""
    with pytest.MonkeyPatch.context() as patch:
        made = World.make(tmp_path_factory.mktemp("webhooks") / "world", patch, web={"admins": ["root@acme.example"]})
        yield made
        made.close()


@pytest.fixture
def receiver(world: World) -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()
    for hook in _all(world):
        remove_webhook(world.office, ADMIN, hook.id)


def _all(world: World) -> list[Webhook]:
    with world.database.read() as tx:
        return list_webhooks(tx)


def _add(world: World, url: str, *kinds: EventKind, user: str = ADMIN) -> NewWebhook:
    return add_webhook(world.office, user=user, url=url, kinds=kinds)


_NUMBERS = iter(range(10_000))


def _launch(world: World, rep: str = ANA["email"]) -> str:
    """Put one more person into the campaign: one line of the ledger, `launched`."""
    (person,) = people(1, domain=f"hook{next(_NUMBERS)}x")
    world.launch([person], rep=rep)
    return person.email


def test_what_happens_is_told_in_order_with_what_the_feed_says(world: World, receiver: Receiver) -> None:
    _launch(world)
    hook = _add(world, receiver.url).webhook
    persons = [_launch(world), _launch(world, BOB["email"])]
    assert deliver_all(world.office) == []
    assert [told["event"]["person"] for told in receiver.told] == persons
    [first, second] = receiver.told
    assert first["event"].keys() == {
        "position", "at", "kind", "person", "rep", "campaign", "intent", "text", "reason",
    }  # fmt: skip
    assert first["event"]["position"] < second["event"]["position"]
    assert first["delivery"] == f"{hook.id}-{first['event']['position']}"
    [headers, _] = receiver.received[0]
    assert headers["Connector-Delivery"] == first["delivery"]
    assert headers["Connector-Event"] == "launched"
    assert headers["Content-Type"] == "application/json"
    assert deliver_all(world.office) == []
    assert len(receiver.told) == 2


def test_a_delivery_is_signed_so_that_the_receiver_can_check_it(world: World, receiver: Receiver) -> None:
    secret = _add(world, receiver.url).secret
    _launch(world)
    deliver_all(world.office)
    [(headers, body)] = receiver.received
    fields = dict(part.split("=", 1) for part in headers["Connector-Signature"].split(","))
    expected = hmac.new(secret.encode(), fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert fields["v1"] == expected
    assert int(fields["t"]) == int(world.now.timestamp())
    assert signature("other", body, at=int(fields["t"])) != headers["Connector-Signature"]


def test_the_secret_is_nowhere_in_the_open(world: World, receiver: Receiver) -> None:
    new = _add(world, receiver.url)
    assert new.secret not in repr(new)
    vault = StoredVault(world.database, world.sandbox.clock, world.folder)
    assert vault.read(f"webhook-{new.webhook.id}") == new.secret
    with world.database.read() as tx:
        rows = [
            str(tuple(row)) for name in ("webhooks", "secrets") for row in tx.exec_driver_sql(f"SELECT * FROM {name}")
        ]
    assert not any(new.secret in row for row in rows)
    remove_webhook(world.office, ADMIN, new.webhook.id)
    assert vault.read(f"webhook-{new.webhook.id}") is None


def test_only_the_kinds_that_were_asked_for_are_told(world: World, receiver: Receiver) -> None:
    _add(world, receiver.url, EventKind.REMOVED, EventKind.PAUSED)
    person = _launch(world)
    from connector.sync.actions import pause, remove  # noqa: PLC0415

    pause(world.office, person=person, campaign=None, rep=None)
    remove(world.office, person=person, campaign=None, rep=None)
    deliver_all(world.office)
    assert receiver.kinds == ["paused", "removed"]


def test_nothing_is_lost_and_the_order_is_kept_while_it_fails(world: World, receiver: Receiver) -> None:
    hook = _add(world, receiver.url).webhook
    persons = [_launch(world) for _ in range(3)]
    receiver.answers = [204, 500, 302]
    [said] = deliver_all(world.office)
    assert said.endswith("it answered 500")
    assert deliver_all(world.office) == []  # not before its time
    world.after(seconds=11)
    assert deliver_all(world.office)[0].endswith("it answered 302")  # no redirect is followed
    [stored] = _all(world)
    assert (stored.attempts, stored.due) == (2, world.now + service._FIRST_WAIT * 2)
    world.after(seconds=21)
    assert deliver_all(world.office) == []
    told = [(told["event"]["person"], told["delivery"]) for told in receiver.told]
    assert [person for person, _ in told] == [persons[0], persons[1], persons[1], persons[1], persons[2]]
    assert len({delivery for person, delivery in told if person == persons[1]}) == 1
    [stored] = _all(world)
    assert (stored.id, stored.attempts, stored.problem) == (hook.id, 0, None)


def test_it_is_given_up_in_sight_and_goes_on_where_it_stood(world: World, receiver: Receiver) -> None:
    hook = _add(world, receiver.url).webhook
    with world.database.write() as tx:
        change_webhook(tx, hook.id, attempts=GIVEN_UP_AFTER - 1)
    person = _launch(world)
    receiver.answers = [410]
    deliver_all(world.office)
    [stored] = webhooks_of(world.office, ADMIN)
    assert (stored.due, stored.problem) == (None, "it answered 410")
    world.after(days=1)
    assert deliver_all(world.office) == []
    assert resume_webhook(world.office, ADMIN, hook.id).problem is None
    deliver_all(world.office)
    assert [told["event"]["person"] for told in receiver.told] == [person, person]


def test_waits_grow_to_an_hour_and_end_after_three_days() -> None:
    waits = [min(service._FIRST_WAIT * 2 ** min(n, 20), service._LONGEST_WAIT) for n in range(GIVEN_UP_AFTER - 1)]
    assert max(waits) == service._LONGEST_WAIT
    assert 2.9 < sum(wait.total_seconds() for wait in waits) / 86_400 < 3.1


def test_a_user_is_told_of_their_reps_work_alone(world: World) -> None:
    _launch(world)
    _launch(world, BOB["email"])
    told: dict[str, list[str]] = {}
    for user in (ANA["email"], "root@acme.example", "stranger@acme.example"):
        reps = world.office.sees(user)
        told[user] = [
            rep for rep in (ANA["email"], BOB["email"]) for event in world.facts(EventKind.LAUNCHED)
            if event.rep == rep and service.may_see(event, reps)
        ]  # fmt: skip
    assert set(told[ANA["email"]]) == {ANA["email"]}
    assert set(told["root@acme.example"]) == {ANA["email"], BOB["email"]}
    assert told["stranger@acme.example"] == []


def test_a_rep_hears_nothing_of_another_rep_and_no_more_once_they_left(world: World, receiver: Receiver) -> None:
    hook = _add(world, "https://hooks.example/x", user=ANA["email"]).webhook
    with world.database.write() as tx:  # as if the address were one of the public network
        tx.exec_driver_sql("UPDATE webhooks SET url = ?", (receiver.url,))
    _launch(world, BOB["email"])
    assert deliver_all(world.office) == []
    assert receiver.received == []
    [stored] = _all(world)
    assert stored.position > hook.position  # what is not for it does not hold it up
    _launch(world)
    [said] = deliver_all(world.office)
    assert "private network" in said  # a rep's webhook does not reach this machine, whatever its row says
    assert receiver.received == []


def test_a_webhook_is_its_users_and_the_admins(world: World, receiver: Receiver) -> None:
    hook = _add(world, "https://hooks.example/x", user=ANA["email"]).webhook
    assert [one.id for one in webhooks_of(world.office, ANA["email"])] == [hook.id]
    assert [one.id for one in webhooks_of(world.office, ADMIN)] == [hook.id]
    assert webhooks_of(world.office, BOB["email"]) == []
    for act in (resume_webhook, remove_webhook):
        with pytest.raises(UnknownWebhook):
            act(world.office, BOB["email"], hook.id)
    remove_webhook(world.office, ANA["email"], hook.id)


def test_one_user_has_so_many_and_no_more(world: World, receiver: Receiver) -> None:
    for number in range(MOST):
        _add(world, f"https://hooks.example/{number}", user=ANA["email"])
    with pytest.raises(BadInput, match="already"):
        _add(world, "https://hooks.example/more", user=ANA["email"])


def test_the_engine_has_a_lane_for_each_that_has_something_to_tell(world: World, receiver: Receiver) -> None:
    lanes = Lanes(office=world.office, every=world.project.settings.sync.every)
    lane = lane_of(_add(world, receiver.url).webhook)
    assert lane not in lanes.due()
    _launch(world)
    receiver.answers = [503]
    assert lane in lanes.due()
    assert lanes.work(lane) == world.now + service._FIRST_WAIT
    assert lane not in lanes.due()
    world.after(seconds=10)
    assert lanes.work(lane) is None
    assert receiver.kinds == ["launched", "launched"]


def test_a_pass_tells_them_too_and_says_which_did_not_listen(world: World, receiver: Receiver) -> None:
    _add(world, receiver.url, EventKind.LAUNCHED)
    _launch(world)
    receiver.answers = [500]
    assert [line for line in world.sync().needs_attention if "webhook" in line] == [
        f"the webhook {receiver.url} of this machine's user did not take what it was told: it answered 500"
    ]


# ------------------------------------------------------------------------------------------------- where they may lead

NO_WEBHOOK = [
    "ftp://hooks.example/x",
    "hooks.example/x",
    "https://",
    "https://user:word@hooks.example/x",
    "https://hooks.example/x#part",
    "https://hooks.example/a b",
    "https://hooks.example\\@127.0.0.1/",
    "https://hooks.example:0/",
    "https://hooks.example:port/",
    "https://[::1/",
    "https://höoks.example/",
    "http://hooks.example/x",
    "javascript:alert(1)",
    "https://hooks.example/" + "x" * 2000,
]
NOT_PUBLIC = [
    "http://127.0.0.1/",
    "https://127.0.0.1/",
    "https://localhost/",
    "https://[::1]/",
    "https://10.0.0.7/",
    "https://192.168.1.1/",
    "https://172.16.0.1/",
    "https://100.64.0.1/",
    "https://[fd00::1]/",
    "https://[::ffff:10.0.0.7]/",
    "https://[64:ff9b::a00:7]/",
    "https://[2002:a00:7::]/",
    "https://[::10.0.0.7]/",
    "https://[fec0::1]/",
]
NEVER = [
    "https://169.254.169.254/",
    "https://[::169.254.169.254]/",
    "https://0.0.0.0/",
    "https://224.0.0.1/",
    "https://[fe80::1]/",
    "https://[::]/",
]


def test_addresses_no_webhook_may_have() -> None:
    for url in [*NO_WEBHOOK, *NEVER]:
        for private in (True, False):
            with pytest.raises(BadInput):
                check_address(url, private=private)
    for url in NOT_PUBLIC:
        with pytest.raises(BadInput):
            check_address(url, private=False)
        check_address(url, private=True)
    for url in ("https://hooks.example/x?y=1", "https://93.184.216.34:8443/", "https://[2606:2800:220:1::1]/"):
        check_address(url, private=False)


@pytest.mark.parametrize("place", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
def test_a_name_that_means_a_private_address_is_not_reached(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    public = ("93.184.216.34", 443)
    asked: list[str] = []

    def look_up(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        return [(socket.AF_INET, 0, 0, "", public), (socket.AF_INET6, 0, 0, "", (place, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(Refused):
        post("https://rebound.example/", b"{}", {}, private=False)
    assert asked == ["rebound.example"]


def test_plain_http_stays_on_this_machine_whatever_a_name_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 0, 0, "", ("10.1.2.3", 80))])
    with pytest.raises(Refused, match="plain http"):
        post("http://localhost/", b"{}", {}, private=True)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    from connector.sync import webhook_post  # noqa: PLC0415

    monkeypatch.setattr(webhook_post, "_EACH_WAIT", 0.2)
    monkeypatch.setattr(webhook_post, "_WHOLE_TIME", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(Retry, match="did not answer in time"):
            post(url, b"{}", {}, private=True)

        silent.accept()[0].close()
        # By TLS the beginning of a record that is long and never ends; by HTTP a status line that never does.
        pieces = [b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb", *[b"H"] * 60]
        cut = threading.Event()

        def drip() -> None:
            connection, _ = silent.accept()
            with connection:
                try:
                    for piece in pieces:
                        connection.sendall(piece)
                        threading.Event().wait(0.05)
                except OSError:
                    cut.set()

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        with pytest.raises(Retry):
            post(url, b"{}", {}, private=True)
        dripping.join()
        assert cut.is_set(), "it was waited for until the end"
    with pytest.raises(Retry, match="cannot be reached"):
        post(url, b"{}", {}, private=True)
