"""The simulated Gmail's batches, driven by Google's own client."""

import pytest
from gmail_client import ANA, SCOPE, draft_body, fresh_sandbox, gmail_of
from googleapiclient.errors import HttpError
from googleapiclient.http import BatchHttpRequest

from tests.judges.gmail_schema import judge


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


@pytest.fixture
def gmail(sandbox):
    with gmail_of(sandbox) as service:
        yield service


def batched(gmail, requests, address=None):
    """Execute requests as one batch; return id -> answer or error, in the order told."""
    told = {}

    def tell(request_id, answer, error):
        told[request_id] = error or answer

    batch = BatchHttpRequest(batch_uri=address) if address else gmail.new_batch_http_request()
    for name, request in requests.items():
        batch.add(request, callback=tell, request_id=name)
    batch.execute()
    return told


def status(one):
    return one.status_code if isinstance(one, HttpError) else 200


def drafts(gmail, count):
    made = {f"n{number}": gmail.users().drafts().create(userId="me", body=draft_body()) for number in range(count)}
    return batched(gmail, made)


@pytest.mark.parametrize("path", ["/batch", "/batch/gmail/v1"])
def test_each_part_gets_its_own_answer(gmail, sandbox, path):
    users = gmail.users()
    told = batched(
        gmail,
        {
            "make": users.drafts().create(userId="me", body=draft_body(text="Grüße, 東京")),
            "who": users.getProfile(userId="me"),
            "gone": users.drafts().get(userId="me", id="r1"),
            "wrong id": users.messages().get(userId="me", id="xyz"),
            "wrong": users.drafts().create(userId="me", body={"message": {"raw": ""}}),
        },
        sandbox.url + path,
    )
    assert {name: status(one) for name, one in told.items()} == {
        "make": 200,
        "who": 200,
        "gone": 404,
        "wrong id": 400,
        "wrong": 400,
    }
    judge("Draft", told["make"])
    judge("Profile", told["who"])
    assert told["gone"].error_details[0]["reason"] == "notFound"
    assert [mail["subject"] for mail in sandbox.state()["gmail"][ANA]["mails"]] == ["Quarterly plan"]
    assert sandbox.log.calls["gmail"] == 1
    assert sandbox.log.calls["gmail:part"] == 5


def test_a_delete_answers_nothing_in_its_part(gmail, sandbox):
    made = drafts(gmail, 2)
    users = gmail.users()
    gone = batched(gmail, {name: users.drafts().delete(userId="me", id=one["id"]) for name, one in made.items()})
    assert {status(one) for one in gone.values()} == {200}
    assert sandbox.state()["gmail"][ANA]["mails"] == []


def test_a_hundred_parts_are_taken_and_one_more_is_refused(gmail, sandbox):
    assert len(drafts(gmail, 100)) == 100
    with pytest.raises(
        HttpError, match=r"Inner request count exceeds the limit\. Received: 101, Limit: 100"
    ) as refused:
        drafts(gmail, 101)
    assert refused.value.status_code == 400
    assert len(sandbox.state()["gmail"][ANA]["mails"]) == 100


def test_every_part_is_counted_in_the_quota_by_itself(gmail, sandbox):
    sandbox.act("mail_settings", gmail_units_per_minute=30)
    told = drafts(gmail, 5)
    assert [status(one) for one in told.values()] == [200, 200, 200, 429, 429]
    assert len(sandbox.state()["gmail"][ANA]["mails"]) == 3


def test_parts_are_answered_at_the_same_time_and_too_many_are_429(gmail, sandbox):
    sandbox.act("mail_settings", gmail_concurrent_requests=4)
    told = drafts(gmail, 6)
    assert [status(one) for one in told.values()] == [200, 200, 200, 200, 429, 429]
    assert told["n5"].reason == "Too many concurrent requests for user"


def test_a_part_may_carry_another_persons_token(gmail, sandbox):
    other = sandbox.token("gmail", "cyn@acme.example", scopes=[SCOPE + "readonly"])
    request = gmail.users().getProfile(userId="me")
    request.headers["authorization"] = f"Bearer {other}"
    # The client writes its own token into each part unless the request has no http of its own.
    request.http = None
    told = {}
    batch = gmail.new_batch_http_request(callback=lambda name, answer, error: told.update({name: error or answer}))
    batch.add(request, request_id="cyn")
    batch.add(gmail.users().getProfile(userId="me"), request_id="ana")
    batch.execute(http=gmail._http)
    assert {name: one["emailAddress"] for name, one in told.items()} == {"cyn": "cyn@acme.example", "ana": ANA}


def test_a_part_without_the_scope_is_403_beside_one_that_has_it(sandbox):
    with gmail_of(sandbox, "compose") as gmail:
        users = gmail.users()
        told = batched(gmail, {"profile": users.getProfile(userId="me"), "list": users.messages().list(userId="me")})
    assert {name: status(one) for name, one in told.items()} == {"profile": 200, "list": 403}


@pytest.mark.parametrize(
    ("content_type", "body", "says"),
    [
        ("application/json", b"{}", "boundary"),
        ("multipart/mixed; boundary=b", b"", "boundary"),
        ("multipart/mixed; boundary=b", b"--b--\r\n", "0 items"),
        (
            "multipart/mixed; boundary=b",
            b"--b\r\nContent-Type: text/plain\r\n\r\nGET / HTTP/1.1\r\n--b--",
            "application/http",
        ),
        ("multipart/mixed; boundary=b", b"--b\r\nContent-Type: application/http\r\n\r\nhello\r\n--b--", "request line"),
    ],
)
def test_what_is_no_batch_is_refused(gmail, sandbox, content_type, body, says):
    answer, content = gmail._http.request(
        f"{sandbox.url}/batch/gmail/v1", "POST", body=body, headers={"content-type": content_type}
    )
    assert answer.status == 400
    assert says in content.decode()


def test_an_upload_is_no_part_and_content_ids_come_back(gmail, sandbox):
    parts = [
        ("<one>", "POST /upload/gmail/v1/users/me/drafts?uploadType=media"),
        ("two", "GET /gmail/v1/users/me/profile"),
    ]
    text = "".join(
        f"--b\r\nContent-Type: application/http\r\nContent-ID: {name}\r\n\r\n{line}\r\n\r\n" for name, line in parts
    )
    answer, content = gmail._http.request(
        f"{sandbox.url}/batch", "POST", body=f"{text}--b--", headers={"content-type": 'multipart/mixed; boundary="b"'}
    )
    assert answer.status == 200
    assert answer["content-type"].startswith("multipart/mixed; boundary=batch_")
    assert "Content-ID: <response-one>\r\n\r\nHTTP/1.1 404 Not Found" in content.decode()
    assert "Content-ID: response-two\r\n\r\nHTTP/1.1 200 OK" in content.decode()
