"""Upload sessions by single answers: where a file and its address go, and what each answer means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses
from broken_lines import LOST_ANSWERS, RawServer
from graph_line import FILM, GRAPH, KEY, LOGO, ME, SHORT, graph_error, session_of

from adapters.outlook.upload import RANGE, is_microsofts
from connector.errors import OutcomeUnknown, Reconnect, Refused, Retry, Unsupported
from connector.ports import Attachment
from tests.judges.graph_schema import judge_wire

RANGES = [
    f"bytes 0-{RANGE - 1}/{len(FILM.content)}",
    f"bytes {RANGE}-{2 * RANGE - 1}/{len(FILM.content)}",
    f"bytes {2 * RANGE}-{len(FILM.content) - 1}/{len(FILM.content)}",
]
SESSION = "https://outlook.office365.com/api/gv1.0/users('a@b')/messages('A')/AttachmentSessions('S')?authtoken=SECRET"
AGAIN = SESSION.replace("'S'", "'T'")
FILES = f"{ME}/messages/A/attachments"


class Service:
    """Answers as Microsoft's two hosts do, from a list for each method of the session's address."""

    def __init__(
        self, wire: responses.RequestsMock, *, urls: tuple[str, ...] = (SESSION,), listed: Any = ((),)
    ) -> None:
        self.wire = wire
        for names in listed:
            wire.get(FILES, json={"value": [{"id": str(number), "name": name} for number, name in enumerate(names)]})
        for url in urls:
            wire.post(f"{FILES}/createUploadSession", status=201, json={"uploadUrl": url, "nextExpectedRanges": ["0-"]})

    def put(self, status: int, *, begins: Any = None, url: str = SESSION, **more: Any) -> None:
        body = {"json": {"nextExpectedRanges": begins}} if begins is not None else {}
        self.wire.put(url, status=status, **body, **more)

    def get(self, status: int, *, begins: Any = None, url: str = SESSION) -> None:
        body = {"json": {"nextExpectedRanges": begins}} if begins is not None else {}
        self.wire.get(url, status=status, **body)

    def to_session(self) -> list[tuple[str, str]]:
        return [
            (call.request.method, call.request.headers.get("Content-Range", ""))
            for call in self.wire.calls
            if "AttachmentSessions" in call.request.url
        ]


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def attach(attachment: Attachment = FILM) -> None:
    with session_of() as session:
        session.upload("/messages/A", attachment, key=KEY)


def test_no_token_goes_to_the_address_of_a_session_and_it_is_asked_as_it_stands(wire):
    service = Service(wire)
    service.put(200, begins=[str(RANGE)])
    service.put(200, begins=[f"{2 * RANGE}-"])
    service.put(201)
    attach()
    judged = 0
    for call in wire.calls:
        own = call.request.url.startswith(GRAPH)
        target = call.request.url.removeprefix("https://graph.microsoft.com")
        judged += (
            len(judge_wire(call.request.method, target, call.request.headers, call.request.body or b"")) if own else 0
        )
        assert ("Authorization" in call.request.headers) is own
        assert ("Prefer" in call.request.headers) is own
    assert judged == 2
    assert service.to_session() == [("PUT", one) for one in RANGES]
    sent = [call.request for call in wire.calls if call.request.method == "PUT"]
    assert {one.url for one in sent} == {SESSION}
    assert {one.headers["Content-Type"] for one in sent} == {"application/octet-stream"}
    assert [one.headers["Content-Length"] for one in sent] == [str(RANGE), str(RANGE), "1024"]


def test_what_is_asked_of_a_session_is_what_microsoft_describes(wire):
    service = Service(wire)
    service.put(201)
    attach(LOGO)
    (begun,) = [call.request for call in wire.calls if call.request.method == "POST"]
    assert json.loads(begun.body) == {
        "AttachmentItem": {
            "attachmentType": "file",
            "name": "logo.png",
            "contentType": "image/png",
            "size": len(LOGO.content),
            "isInline": True,
            "contentId": "logo@acme",
        }
    }


@pytest.mark.parametrize("begins", [str(RANGE), f"{RANGE}-", f"{RANGE}-{len(FILM.content) - 1}"])
def test_a_range_that_does_not_fit_is_sent_from_where_the_service_stands(wire, begins):
    service = Service(wire)
    service.put(416, json=graph_error("InvalidRange"))
    service.get(200, begins=[begins])
    service.put(200, begins=[str(2 * RANGE)])
    service.put(201)
    attach()
    assert service.to_session() == [("PUT", RANGES[0]), ("GET", ""), ("PUT", RANGES[1]), ("PUT", RANGES[2])]


@pytest.mark.parametrize("status", [401, 404, 410])
def test_a_session_that_is_gone_is_begun_anew(wire, status):
    service = Service(wire, urls=(SESSION, AGAIN))
    service.put(200, begins=[str(RANGE)])
    service.put(status, json=graph_error("ErrorItemNotFound"))
    service.put(200, begins=[str(RANGE)], url=AGAIN)
    service.put(200, begins=[str(2 * RANGE)], url=AGAIN)
    service.put(201, url=AGAIN)
    attach()
    assert [one for _, one in service.to_session()] == [*RANGES[:2], *RANGES]


def test_sessions_that_always_end_are_given_up(wire):
    service = Service(wire)
    service.put(404)
    with pytest.raises(Retry, match=r"film\.mp4") as raised:
        attach()
    assert raised.value.code == "upload_ended"
    assert service.to_session() == [("PUT", RANGES[0])] * 3


@pytest.mark.parametrize(
    "lost",
    [requests.ConnectionError("reset"), requests.ReadTimeout("no answer"), requests.exceptions.ChunkedEncodingError()],
)
@pytest.mark.parametrize("standing", [(404, None), (401, None), (200, []), (200, [str(len(SHORT.content))])])
@pytest.mark.parametrize("there", [True, False])
def test_a_lost_last_answer_is_looked_up_before_another_session_is_begun(wire, lost, standing, there):
    listed = ((), ("plan1.pdf",)) if there else ((), ())
    service = Service(wire, urls=(SESSION, AGAIN), listed=listed) if not there else Service(wire, listed=listed)
    wire.put(SESSION, body=lost)
    service.get(standing[0], begins=standing[1])
    if not there:
        service.put(201, url=AGAIN)
    attach(SHORT)
    assert len([call for call in wire.calls if call.request.method == "POST"]) == (1 if there else 2)


def test_where_the_next_range_begins_is_read_in_either_spelling(wire):
    service = Service(wire)
    service.put(200, json={"ExpirationDateTime": "2026-11-24T10:00:00Z", "NextExpectedRanges": [str(RANGE)]})
    service.put(200, begins=[f"{2 * RANGE}-"])
    service.put(201)
    attach()
    assert [method for method, _ in service.to_session()] == ["PUT"] * 3


def test_the_files_that_were_there_before_do_not_count(wire):
    service = Service(wire, urls=(SESSION, AGAIN), listed=(("plan.pdf",), ("plan.pdf",)))
    wire.put(SESSION, body=requests.ReadTimeout("no answer"))
    service.get(404)
    service.put(201, url=AGAIN)
    attach(SHORT)
    assert [method for method, _ in service.to_session()] == ["PUT", "GET", "PUT"]


@pytest.mark.parametrize(
    "body", [{}, {"nextExpectedRanges": ["x"]}, {"nextExpectedRanges": 3}, [], {"nextExpectedRanges": ["0"]}]
)
def test_a_service_that_gets_nowhere_is_left_after_three_tries(wire, body):
    service = Service(wire)
    wire.put(SESSION, status=200, json=body)
    service.get(200, begins=["0"])
    with pytest.raises(Retry):
        attach()
    assert [method for method, _ in service.to_session()] == ["PUT", "GET", "PUT", "GET", "PUT"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (413, "ErrorMessageSizeExceeded", Unsupported),
        (403, "ErrorAccessDenied", Refused),
        (400, "ErrorInvalidRequest", Refused),
        (302, "", Refused),
    ],
)
def test_a_refusal_of_the_file_is_none_of_the_mailbox(wire, status, code, kind):
    Service(wire).put(status, json=graph_error(code), headers={"Location": "https://elsewhere.example/"})
    with pytest.raises(kind) as raised:
        attach()
    assert not isinstance(raised.value, Reconnect)
    assert len([call for call in wire.calls if call.request.method == "PUT"]) == 1


def test_the_address_of_a_session_stands_in_no_error(wire):
    service = Service(wire)
    wire.put(SESSION, body=requests.ConnectionError(f"{SESSION} is down"))
    service.get(500)
    with pytest.raises(Retry) as raised:
        attach()
    error: BaseException | None = raised.value
    while error is not None:
        assert "SECRET" not in f"{error} {error.args}"
        error = error.__cause__


@pytest.mark.parametrize("reply", ["cut off in the head", "not JSON"])
def test_the_address_of_a_session_stands_in_no_log(caplog, reply):
    caplog.set_level("DEBUG")
    server = RawServer(LOST_ANSWERS[reply])
    with responses.RequestsMock() as mock, session_of(endpoint="http://127.0.0.1:9/v1.0") as session:
        simulated(mock, f"{server.url}/AttachmentSessions('S')?authtoken=SECRET")
        with pytest.raises(OutcomeUnknown):
            session.upload("/messages/A", SHORT, key=KEY)
    server.close()
    assert "Starting new HTTP connection" in caplog.text
    assert "authtoken" not in caplog.text


@pytest.mark.parametrize(
    ("url", "endpoint", "followed"),
    [
        ("https://outlook.office.com/api/v2.0/x", GRAPH, True),
        ("https://outlook.office365.com/api/gv1.0/x", GRAPH, True),
        ("https://OUTLOOK.office365.COM/x", GRAPH, True),
        ("https://outlook.office365.us/x", "https://graph.microsoft.us/v1.0", True),
        ("https://partner.outlook.cn/x", "https://microsoftgraph.chinacloudapi.cn/v1.0", True),
        ("https://outlook.office365.com:8443/x", GRAPH, True),
        ("http://outlook.office.com/x", GRAPH, False),
        ("https://evil.example/outlook.office.com", GRAPH, False),
        ("https://outlook.office.com.evil.example/x", GRAPH, False),
        ("https://eviloffice.com/x", GRAPH, False),
        ("https://outlook.office.com@evil.example/x", GRAPH, False),
        ("https://evil.example\\@outlook.office.com/x", GRAPH, False),
        ("https://evil.example#@outlook.office.com/x", GRAPH, False),
        ("//outlook.office.com/x", GRAPH, False),
        ("file:///etc/passwd", GRAPH, False),
        ("https://[::1/x", GRAPH, False),
        ("", GRAPH, False),
        ("http://127.0.0.1:9/x", GRAPH, False),
        ("https://graph.corp.example/x", "https://graph.corp.example/v1.0", False),
        ("http://127.0.0.1:9/x", "http://127.0.0.1:8/v1.0", True),
        ("http://localhost:9/x", "http://127.0.0.1:8/v1.0", False),
        ("http://169.254.169.254/x", "http://127.0.0.1:8/v1.0", False),
        ("https://outlook.office.com/x", "http://127.0.0.1:8/v1.0", True),
    ],
)
def test_a_session_is_followed_to_microsofts_mail_servers_or_to_the_loopback_that_was_asked(url, endpoint, followed):
    assert is_microsofts(url, endpoint) is followed


def test_an_address_of_somebody_else_is_not_followed(wire):
    Service(wire, urls=("https://files.example/AttachmentSessions('S')",))
    with pytest.raises(Refused, match="not known as Microsoft's") as raised:
        attach()
    assert raised.value.code == "upload_address"
    assert not [call for call in wire.calls if "files.example" in call.request.url]


@pytest.mark.parametrize("answer", [{}, [], {"uploadUrl": None}, {"uploadUrl": 3}])
def test_a_session_without_an_address_is_tried_later(wire, answer):
    wire.get(FILES, json={"value": []})
    wire.post(f"{FILES}/createUploadSession", status=201, json=answer)
    with pytest.raises(Retry):
        attach()


def simulated(mock: responses.RequestsMock, url: str) -> None:
    """Answer as a Graph on this machine whose upload sessions lie at `url`, which is really called."""
    files = "http://127.0.0.1:9/v1.0/me/messages/A/attachments"
    mock.add_passthru(url.partition("/Attach")[0])
    mock.get(files, json={"value": []})
    mock.post(f"{files}/createUploadSession", status=201, json={"uploadUrl": url, "nextExpectedRanges": ["0-"]})


@pytest.mark.parametrize("lost", LOST_ANSWERS)
def test_an_answer_lost_on_a_real_line_leaves_it_open_whether_the_file_is_there(lost):
    server = RawServer(LOST_ANSWERS[lost])
    with responses.RequestsMock() as mock, session_of(endpoint="http://127.0.0.1:9/v1.0") as session:
        simulated(mock, f"{server.url}/AttachmentSessions('S')")
        try:
            with pytest.raises(OutcomeUnknown) as raised:
                session.upload("/messages/A", SHORT, key=KEY)
        finally:
            server.close()
    assert raised.value.key == KEY
    # A range, then twice the question where it stands: it is not sent again blindly.
    assert [one.partition(b" ")[0] for one in server.requests] == [b"PUT", b"GET", b"GET"]
