"""The hostile sandbox: what goes wrong looks as at the services, is decided by the seed alone, and passes."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests

from adapters.sandbox import Hostility, Sandbox, Trouble
from connector.errors import BadInput
from tests.faults import judge
from tests.world import WorldMaker

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ANA, BOB = "ana@acme.example", "bob@acme.example"
MAIL = f"From: {ANA}\r\nTo: p@client.example\r\nSubject: Hello\r\n\r\nHi\r\n".encode()
DRAFT = {"message": {"raw": base64.urlsafe_b64encode(MAIL).decode()}}
LETTER = {"subject": "Hello", "toRecipients": [{"emailAddress": {"address": "p@client.example"}}]}
TASK = {"Subject": "Call", "Status": "Not Started", "Priority": "Normal"}

#: Service -> the call by which something is made there, and the effect it has.
MAKES = {
    "salesforce": ("/services/data/v60.0/sobjects/Task", TASK, "task_created"),
    "gmail": ("/gmail/v1/users/me/drafts", DRAFT, "draft_created"),
    "graph": ("/v1.0/me/messages", LETTER, "draft_created"),
}


class Caller:
    """Calls a sandbox as its three services' users."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        people = {"salesforce": ANA, "gmail": ANA, "graph": BOB}
        sandbox.world.add_mailbox("gmail", ANA)
        sandbox.world.add_mailbox("outlook", BOB)
        sandbox.salesforce.add_user(Username=ANA, Email=ANA, LastName="Diaz")
        self.tokens = {service: sandbox.token(service, who) for service, who in people.items()}

    def ask(self, service: str, method: str, path: str, body: object = None, **more: object) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.tokens[service]}"}
        url = self.sandbox.url + path
        return requests.request(method, url, json=body, headers=headers, timeout=5, **more)  # type: ignore[arg-type]

    def make(self, service: str) -> requests.Response:
        path, body, _ = MAKES[service]
        return self.ask(service, "POST", path, body)

    def made(self, service: str) -> int:
        """Return how many effects `make` had."""
        effects = self.sandbox.log.effects
        return sum(one["service"] == service and one["effect"] == MAKES[service][2] for one in effects)


@contextmanager
def hostile(*troubles: Trouble, seed: int = 1, rate: float = 1, at_most: int = 1) -> Iterator[Caller]:
    asked = Hostility(seed=seed, rate=rate, at_most=at_most, troubles=frozenset(troubles or Trouble))
    with Sandbox(START, hostile=asked) as sandbox:
        yield Caller(sandbox)


BROKEN = {
    Trouble.LOST_BEFORE: requests.ConnectionError,
    Trouble.LOST_AFTER: requests.ConnectionError,
    Trouble.RESET: requests.ConnectionError,
}

#: Trouble -> service -> statuses it may be told by.
STATUSES = {
    Trouble.THROTTLED: {"salesforce": {403}, "gmail": {403, 429}, "graph": {429}},
    Trouble.UNAVAILABLE: {"salesforce": {503}, "gmail": {503}, "graph": {503}},
    Trouble.GATEWAY_TIMEOUT: {"salesforce": {504}, "gmail": {504}, "graph": {504}},
    Trouble.EXPIRED: {"salesforce": {401}, "gmail": {401}, "graph": {401}},
}

#: Status -> service -> codes that stand in the body then.
CODES = {
    401: {"salesforce": ["INVALID_SESSION_ID"], "gmail": ["authError"], "graph": ["InvalidAuthenticationToken"]},
    403: {"salesforce": ["REQUEST_LIMIT_EXCEEDED"], "gmail": ["rateLimitExceeded"]},
    429: {"gmail": ["rateLimitExceeded"], "graph": ["ApplicationThrottled", "TooManyRequests"]},
    503: {
        "salesforce": ["SERVER_UNAVAILABLE"],
        "gmail": ["backendError"],
        "graph": ["ResourceUnhealthy", "ErrorMailboxStoreUnavailable", "ErrorServerBusy"],
    },
    504: {"salesforce": ["<html>"], "gmail": ["DEADLINE_EXCEEDED"], "graph": ["UnknownError"]},
}

ACTS = {Trouble.LOST_AFTER, Trouble.GATEWAY_TIMEOUT}


@pytest.mark.parametrize("trouble", [*BROKEN, *STATUSES])
def test_a_call_meets_trouble_as_its_service_makes_it_and_the_next_one_passes(trouble: Trouble) -> None:
    with hostile(trouble) as caller:
        for service in MAKES:
            # One in two calls of a key fails; a token lasts for more.
            times = 1 if trouble is Trouble.EXPIRED else 4
            for _ in range(times):
                made = caller.made(service)
                if trouble in BROKEN:
                    with pytest.raises(BROKEN[trouble]):
                        caller.make(service)
                else:
                    answer = caller.make(service)
                    assert answer.status_code in STATUSES[trouble][service]
                    assert any(code in answer.text for code in CODES[answer.status_code][service])
                    assert "Date" in answer.headers
                fault = caller.sandbox.log.faults[-1]
                assert (fault["service"], fault["trouble"]) == (service, trouble)
                assert caller.made(service) - made == fault["acted"]
                assert fault["acted"] == (trouble in ACTS) or trouble is Trouble.UNAVAILABLE
                made = caller.made(service)
                assert caller.make(service).ok
                assert caller.made(service) - made == 1
        assert len(caller.sandbox.log.faults) == 3 * times


def test_a_wait_is_asked_for_or_not() -> None:
    with hostile(Trouble.THROTTLED) as caller:
        waits: dict[str, set[str | None]] = {service: set() for service in MAKES}
        for _ in range(16):
            for service in MAKES:
                waits[service].add(caller.make(service).headers.get("Retry-After"))
                caller.make(service)
    assert waits["salesforce"] == {None}, "Salesforce never says how long"
    assert waits["gmail"] == {None, "1"}
    assert waits["graph"] == {None, "1", "10"}


def test_a_service_that_is_not_available_may_have_acted_but_for_salesforce() -> None:
    with hostile(Trouble.UNAVAILABLE) as caller:
        for _ in range(24):
            for service in MAKES:
                caller.make(service)
        acted = Counter((one["service"], one["acted"]) for one in caller.sandbox.log.faults)
    assert acted["salesforce", True] == 0
    assert all(acted[service, done] for service in ("gmail", "graph") for done in (True, False))


def test_an_answer_is_cut_short_or_comes_in_pieces() -> None:
    seen: Counter[str] = Counter()
    with hostile(Trouble.TRUNCATED) as caller:
        for count in range(8):
            for service in MAKES:
                try:
                    answer = caller.make(service)
                    with pytest.raises(requests.JSONDecodeError):
                        answer.json()
                    seen["short"] += 1
                except requests.exceptions.ChunkedEncodingError:
                    seen["cut"] += 1
                assert caller.made(service) == 2 * count + 1
                caller.make(service)
    assert set(seen) == {"short", "cut"}
    with hostile(Trouble.SLOW) as caller:
        assert all(caller.make(service).json() for service in MAKES)
        assert len(caller.sandbox.log.faults) == 3


def test_rows_stand_in_a_page_twice_and_nothing_else_changes() -> None:
    pages = {
        "salesforce": ("/services/data/v60.0/queryAll?q=SELECT+Id+FROM+Task", "records"),
        "gmail": ("/gmail/v1/users/me/drafts", "drafts"),
        "graph": ("/v1.0/me/mailFolders/drafts/messages/delta", "value"),
    }
    with hostile(Trouble.DUPLICATE_ROWS) as caller:
        for service, (path, name) in pages.items():
            for _ in range(3):
                caller.make(service)
            twice, plain = (
                [json.dumps(one) for one in caller.ask(service, "GET", path).json()[name]] for _ in range(2)
            )
            assert len(twice) == len(plain) + 1
            assert set(twice) == set(plain)
        before = caller.ask("gmail", "GET", "/gmail/v1/users/me/profile").json()["historyId"]
        caller.make("gmail")
        history = f"/gmail/v1/users/me/history?startHistoryId={before}"
        told = [len(caller.ask("gmail", "GET", history).json()["history"]) for _ in range(2)]
        assert told[0] == told[1] + 1


def test_a_part_of_a_batch_fails_inside_an_answer_that_is_good() -> None:
    steps = [
        {
            "id": str(n),
            "method": "POST",
            "url": "/me/messages",
            "body": LETTER,
            "headers": {"Content-Type": "application/json"},
        }
        for n in range(4)
    ]
    part = "--b\r\nContent-Type: application/http\r\n\r\nGET /gmail/v1/users/me/profile\r\n\r\n"
    with hostile(Trouble.THROTTLED, at_most=2) as caller:
        asked = [caller.ask("graph", "POST", "/v1.0/$batch", {"requests": steps}) for _ in range(3)]
        whole, answered = [one.status_code for one in asked], asked[-1].json()["responses"]
        # A batch is a call as any other: two of them are refused, and then parts of one that is taken.
        assert whole == [429, 429, 200]
        assert [one["status"] for one in answered] == [429, 429, 201, 429]
        assert answered[0]["body"]["error"]["code"] in ("ApplicationThrottled", "TooManyRequests")
        assert caller.made("graph") == 1
        headers = {
            "Authorization": f"Bearer {caller.tokens['gmail']}",
            "Content-Type": "multipart/mixed; boundary=b",
        }
        url = f"{caller.sandbox.url}/batch/gmail/v1"
        texts = [requests.post(url, data=part * 4 + "--b--", headers=headers, timeout=5) for _ in range(3)]
        assert [one.status_code for one in texts][2] == 200
        assert texts[2].text.count("HTTP/1.1 200") == 1
        assert texts[2].text.count("rateLimitExceeded") == 3


def test_what_is_odd_holds_for_the_whole_sandbox() -> None:
    offs, changes, lags = set(), set(), set()
    for seed in range(6):
        asked = {Trouble.SKEWED_CLOCK, Trouble.CHANGING_IDS, Trouble.LATE_COPIES}
        with hostile(*asked, seed=seed) as caller:
            settings = caller.sandbox.world.settings
            for service in MAKES:
                answer = caller.make(service)
                assert answer.ok, "nothing of it strikes a call"
                off = parsedate_to_datetime(answer.headers["Date"]) - START
                assert abs(off) <= timedelta(minutes=3)
                offs.add(off)
            made = caller.ask("graph", "GET", "/v1.0/me/messages?$select=createdDateTime").json()["value"][0]
            assert datetime.fromisoformat(made["createdDateTime"]) == START + off
            assert datetime.fromisoformat(caller.sandbox.log.effects[-1]["at"]) == START, "the log keeps the right time"
        changes.add(settings.outlook_immutable_ids_change)
        lags.add(settings.outlook_sent_delay)
    assert len(offs) > 4
    assert changes == {True, False}
    assert len(lags) > 3
    assert all(0 <= lag < 90 for lag in lags)


def test_a_sign_in_fails_seldom_and_never_after_it_gave_a_token() -> None:
    with hostile(at_most=3) as caller:
        form = {"grant_type": "client_credentials", "client_id": "sandbox-connector", "client_secret": "wrong"}
        answered = Counter[str]()
        for _ in range(60):
            try:
                answer = requests.post(f"{caller.sandbox.url}/services/oauth2/token", data=form, timeout=5)
                answered[str(answer.status_code)] += 1
            except requests.ConnectionError:
                answered["broken"] += 1
        for _ in range(40):
            with suppress(requests.ConnectionError):
                requests.post(f"{caller.sandbox.url}/sandbox/oauth2/v2.0/token", data=form, timeout=5)
        faults = caller.sandbox.log.faults
        troubles = {one["trouble"] for one in faults}
        assert {one["trouble"] for one in faults if one["acted"]} == {Trouble.SLOW}
        asked = caller.sandbox.log.calls["salesforce:token"]
    assert answered["400"] > 40
    assert 2 <= answered["503"] + answered["broken"] <= 20
    assert asked == answered["400"]
    assert troubles <= {Trouble.LOST_BEFORE, Trouble.RESET, Trouble.UNAVAILABLE, Trouble.SLOW}


def test_no_more_calls_in_a_row_fail_than_was_said() -> None:
    with hostile(Trouble.GATEWAY_TIMEOUT, at_most=3) as caller:
        for service in MAKES:
            assert [caller.make(service).ok for _ in range(8)] == [False, False, False, True] * 2


def test_a_seed_decides_whatever_the_order_of_calls() -> None:
    def drawn(seed: int, *, together: bool) -> set[tuple[str, int, str]]:
        with hostile(seed=seed, rate=0.4, at_most=3) as caller:

            def work(service: str) -> None:
                for _ in range(12):
                    try:
                        caller.make(service)
                    except requests.RequestException:
                        continue

            threads = [threading.Thread(target=work, args=(service,)) for service in MAKES]
            for thread in threads:
                thread.start()
                if not together:
                    thread.join()
            for thread in threads:
                thread.join()
            return judge.drawn(judge.log_of(caller.sandbox))

    one = drawn(5, together=False)
    assert drawn(5, together=True) == one
    assert drawn(6, together=False) != one
    assert 6 <= len(one) <= 26


def test_the_log_tells_all_and_the_control_api_meets_nothing(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    with hostile(Trouble.GATEWAY_TIMEOUT, at_most=1000) as caller:
        caller.sandbox.log.write_to(file)
        for service in MAKES:
            caller.make(service)
        log = judge.read_log(caller.sandbox.url)
        state = judge.read_state(caller.sandbox.url)
    assert judge.log_in(file) == {name: log[name] for name in ("effects", "faults", "spans")}
    assert judge.faults(log) == Counter({(service, "gateway_timeout"): 1 for service in MAKES})
    assert {(one["service"], one["mailbox"]) for one in log["spans"]} == {
        ("salesforce", "salesforce"),
        ("gmail", ANA),
        ("graph", BOB),
    }
    assert all(one["begun"] <= one["ended"] for one in log["spans"])
    assert judge.lying(state, "drafts") == Counter()
    assert len(judge.unstamped(log, "draft_created")) == 2


@pytest.mark.parametrize("asked", [{"rate": 1.5}, {"rate": -0.1}, {"at_most": 0}])
def test_a_sandbox_that_nothing_gets_through_is_refused(asked: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="from 0 to 1"):
        Hostility(seed=1, **asked)  # type: ignore[arg-type]


def test_the_command_serves_a_hostile_sandbox_and_writes_its_log(make_world: WorldMaker, tmp_path: Path) -> None:
    world, file = make_world(), tmp_path / "log.jsonl"
    start = [sys.executable, "-c", "from connector.cli import main; main()", "-C", str(world.folder), "sandbox"]
    wrong = subprocess.run([*start, "--log", str(tmp_path)], check=False, capture_output=True, text=True, timeout=60)
    assert (wrong.returncode, "is a directory" in wrong.stderr) == (2, True), wrong.stderr
    asked = [*start, "--port", "0", "--hostile", "7", "--log", str(file)]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            url, said = running.stdout.readline().split()[-1], running.stdout.readline()
            for _ in range(12):
                with suppress(requests.RequestException):
                    requests.get(f"{url}/gmail/v1/users/me/profile", timeout=5)
            log = judge.read_log(url)
        finally:
            running.send_signal(signal.SIGINT)
    assert "a quarter of the calls go wrong, as seed 7 decides" in said
    assert 0 < len(judge.drawn(log)) < 12
    assert judge.log_in(file) == {name: log[name] for name in ("effects", "faults", "spans")}
