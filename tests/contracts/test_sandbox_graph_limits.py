"""What the simulated Graph refuses for a while, and the trouble a test can ask for."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import requests
from graph_client import BEN, KEY, fresh_sandbox, graph_of, message


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


@pytest.fixture
def graph(sandbox):
    with graph_of(sandbox) as client:
        yield client


def asked_at_once(graph, paths):
    token = {"Authorization": f"Bearer {graph.sandbox.token('graph', '')}"}
    with ThreadPoolExecutor(len(paths)) as pool:
        asked = [pool.submit(requests.get, graph.base + path, headers=token, timeout=10) for path in paths]
        return [one.result() for one in asked]


def test_four_requests_of_a_mailbox_run_at_once(graph, sandbox):
    sandbox.act("mail_settings", outlook_delay=0.5)
    own, other = f"/users/{BEN}/messages", "/users/dia@acme.example/messages"
    answers = asked_at_once(graph, [own] * 6 + [other] * 2)
    assert sorted(one.status_code for one in answers[:6]) == [200] * 4 + [429] * 2
    assert [one.status_code for one in answers[6:]] == [200, 200]
    refused = next(one for one in answers if one.status_code == 429)
    assert refused.json()["error"]["code"] == "ApplicationThrottled"
    assert "MailboxConcurrency" in refused.json()["error"]["message"]
    assert refused.headers["Retry-After"] == "1"


def batch(graph, number):
    steps = [{"id": str(one), "method": "GET", "url": f"/users/{BEN}/messages"} for one in range(number)]
    return graph.raw("POST", "/$batch", json={"requests": steps})


def test_a_step_that_is_throttled_is_429_in_a_200(graph, sandbox):
    answer = batch(graph, 6)
    assert answer.status_code == 200
    steps = answer.json()["responses"]
    assert [one["status"] for one in steps] == [200] * 4 + [429] * 2
    assert steps[4]["headers"]["Retry-After"] == "1"
    sandbox.act("mail_settings", outlook_retry_after=False)
    assert "Retry-After" not in batch(graph, 6).json()["responses"][4]["headers"]


def test_two_batches_of_four_are_too_many_at_once(graph, sandbox):
    sandbox.act("mail_settings", outlook_delay=0.5)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: batch(graph, 4), range(2)))
    statuses = sorted(step["status"] for answer in answers for step in answer.json()["responses"])
    assert statuses == [200] * 4 + [429] * 4


@pytest.mark.parametrize("told", [True, False])
def test_a_refusal_may_not_say_how_long_to_wait(graph, sandbox, told):
    sandbox.act("mail_settings", outlook_requests_per_10_minutes=0, outlook_retry_after=told)
    answer = graph.raw("GET", f"/users/{BEN}/messages")
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, told)


@pytest.mark.parametrize(
    ("fault", "status", "code", "acted"),
    [
        ("throttled", 429, "ApplicationThrottled", False),
        ("too_many_requests", 429, "TooManyRequests", False),
        ("resource_unhealthy", 503, "ResourceUnhealthy", False),
        ("server_busy", 503, "ErrorServerBusy", False),
        ("store_unavailable", 503, "ErrorMailboxStoreUnavailable", False),
        ("gateway_timeout", 504, "UnknownError", False),
        ("gateway_timeout_after_acting", 504, "UnknownError", True),
        ("submission_blocked", 403, "ErrorMessageSubmissionBlocked", False),
        ("quota_exceeded", 403, "ErrorQuotaExceeded", False),
    ],
)
def test_a_request_fails_as_asked_before_or_after_it_has_acted(graph, sandbox, fault, status, code, acted):
    draft = graph("POST", "/messages", message())
    sandbox.act("outlook_fails_next", fault=fault, method="POST", path="/send")
    assert graph("GET", "/messages")["value"], "another request is not meant"
    assert graph.refused("POST", f"/messages/{draft['id']}/send") == (status, code)
    assert [one["effect"] for one in sandbox.log.effects].count("mail_sent") == acted
    again = graph.raw("POST", f"{graph.owner}/messages/{draft['id']}/send")
    assert again.status_code == (404 if acted else 202), "once is once"


def test_a_mail_can_be_accepted_with_a_wait(graph, sandbox):
    draft = graph("POST", "/messages", message())
    sandbox.act("outlook_fails_next", fault="accepted_with_wait")
    answer = graph.raw("POST", f"{graph.owner}/messages/{draft['id']}/send")
    assert (answer.status_code, answer.headers["Retry-After"], answer.content) == (202, "10", b"")
    assert sandbox.log.effects[-1]["effect"] == "mail_sent"
    assert sandbox.log.effects[-1]["key"] == KEY


def test_trouble_comes_as_often_as_asked_and_can_be_taken_back(graph, sandbox):
    sandbox.act("outlook_fails_next", fault="server_busy", times=3)
    statuses = [one["status"] for one in batch(graph, 2).json()["responses"]]
    assert statuses == [503, 503]
    assert sandbox.act("outlook_fails_next", fault="server_busy", times=0) == {"to_come": 0}
    assert graph.raw("GET", f"{graph.owner}/messages").status_code == 200
    with pytest.raises(Exception, match="fault is one of"):
        sandbox.act("outlook_fails_next", fault="flood")


def test_a_batch_fails_as_a_whole_only_when_it_is_named(graph, sandbox):
    sandbox.act("outlook_fails_next", fault="gateway_timeout")
    assert [one["status"] for one in batch(graph, 2).json()["responses"]] == [504, 200]
    sandbox.act("outlook_fails_next", fault="gateway_timeout", path="$batch")
    answer = batch(graph, 2)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "UnknownError")
    assert batch(graph, 2).status_code == 200


def test_an_upload_fails_only_when_it_is_named_and_every_session_can_be_ended(graph, sandbox):
    draft = graph("POST", "/messages", message())
    item = {"attachmentType": "file", "name": "film.mp4", "size": 3 * 1024 * 1024}
    path = f"/messages/{draft['id']}/attachments/createUploadSession"
    url = graph("POST", path, {"AttachmentItem": item})["uploadUrl"]
    sandbox.act("outlook_fails_next", fault="server_busy")
    assert requests.get(url, timeout=10).status_code == 200
    sandbox.act("outlook_fails_next", fault="resource_unhealthy", path="AttachmentSessions")
    assert requests.get(url, timeout=10).status_code == 503
    assert requests.get(url, timeout=10).status_code == 200
    assert sandbox.act("outlook_ends_uploads") == {"ended": 1}
    assert requests.get(url, timeout=10).status_code == 404


def test_an_administrator_limits_the_size_of_a_message(graph, sandbox):
    sandbox.act("mail_settings", outlook_message_bytes=4000)
    draft = graph("POST", "/messages", message())
    file = {"@odata.type": "#microsoft.graph.fileAttachment", "name": "a.bin", "contentBytes": "QUJD" * 2000}
    path = f"/messages/{draft['id']}/attachments"
    assert graph.refused("POST", path, file) == (413, "ErrorMessageSizeExceeded")
    assert graph("GET", path)["value"] == []


def test_an_expired_delta_link_may_ask_for_a_new_start(graph, sandbox):
    link = graph("GET", "/mailFolders/inbox/messages/delta")["@odata.deltaLink"]
    sandbox.act("mail_settings", outlook_expired_delta="resyncRequired")
    sandbox.act("outlook_expires_delta", rep=BEN)
    answer = graph.raw("GET", link.partition("/v1.0")[2])
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "resyncRequired")


def test_a_list_comes_in_pages_of_the_preferred_size(graph, sandbox):
    for number in range(3):
        graph("POST", "/messages", message(subject=f"Plan {number}"))
        sandbox.clock.advance(timedelta(minutes=1))
    page = graph("GET", "/messages", params={"$select": "subject"}, headers={"Prefer": "odata.maxpagesize=2"})
    following = graph.follow(page["@odata.nextLink"])
    subjects = [one["subject"] for one in (*page["value"], *following["value"])]
    assert (len(page["value"]), subjects) == (2, ["Plan 2", "Plan 1", "Plan 0"])
    assert "@odata.nextLink" not in following


def test_an_error_repeats_the_clients_own_request_id(graph):
    answer = graph.raw("GET", f"{graph.owner}/messages/short", headers={"client-request-id": "mine"})
    inner = answer.json()["error"]["innerError"]
    assert inner["client-request-id"] == "mine"
    assert inner["request-id"] != "mine"
