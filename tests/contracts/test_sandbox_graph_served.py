"""Every operation the simulated Graph serves, its request and its answer judged by Microsoft's description."""

import base64
import json

import pytest
from graph_client import BEN, BOB, BOSS, fresh_sandbox, graph_of, message

from adapters.sandbox.graph_operations import OPERATIONS
from tests.judges.graph_schema import find_called, judge_request, judge_wire

SIZE = 3 * 1024 * 1024


@pytest.fixture
def graph(front):
    with graph_of(fresh_sandbox(front)) as client:
        yield client


def served():
    """Return every operation as Microsoft describes it: HTTP method and path."""
    found = set()
    for one in OPERATIONS:
        path = one.path.pattern.replace("\\$", "$").replace("(?P", "").replace("[^/]+)", "")
        for name in ("folder", "id", "attachment"):
            path = path.replace(f"<{name}>", "x")
        called = find_called(one.http, "/me" + path.rstrip("/"))
        found.add((called.http, called.template))
    return found


def test_every_operation_is_described_and_answers_as_described(graph):
    graph("GET", "", roles=["User.Read"])
    graph("GET", "/mailFolders")
    file = {"@odata.type": "#microsoft.graph.fileAttachment", "name": "a.txt", "contentBytes": "QUJD"}
    to = {"message": {"toRecipients": [{"emailAddress": {"address": BOSS}}]}, "comment": "Again"}
    for folder in ("", "/mailFolders/drafts"):
        messages = f"{folder}/messages"
        if folder:
            graph("GET", folder)
            graph("GET", f"{messages}/delta")
        draft = graph("POST", messages, message(attachments=[file]), status=201)
        path = f"{messages}/{draft['id']}"
        graph("GET", messages, params={"$filter": "isDraft eq true", "$top": "5", "$select": "subject,from"})
        graph("GET", path, params={"$expand": "attachments"})
        graph("GET", f"{path}/$value")
        graph("PATCH", path, {"subject": "Another"}, status=200)
        (kept,) = graph("GET", f"{path}/attachments")["value"]
        graph("POST", f"{path}/attachments", {**file, "isInline": True, "contentId": "a"}, status=201)
        graph("GET", f"{path}/attachments/{kept['id']}")
        graph("GET", f"{path}/attachments/{kept['id']}/$value")
        graph("DELETE", f"{path}/attachments/{kept['id']}", status=204)
        item = {"attachmentType": "file", "name": "big", "size": SIZE}
        graph("POST", f"{path}/attachments/createUploadSession", {"AttachmentItem": item}, status=201)
        graph("POST", f"{path}/send", status=202)
        where = folder.replace("drafts", "sentitems")
        (sent,) = graph("GET", "/mailFolders/sentitems/messages", params={"$filter": "subject eq 'Another'"})["value"]
        path = f"{where}/messages/{sent['id']}"
        for action in ("createReply", "createReplyAll", "createForward"):
            graph("POST", f"{path}/{action}", {"comment": "Again"}, status=201)
        for action in ("reply", "replyAll", "forward"):
            graph("POST", f"{path}/{action}", to, status=202)
        moved = graph("POST", f"{path}/move", {"destinationId": "deleteditems"}, status=201)
        graph("DELETE", f"{where.replace('sentitems', 'deleteditems')}/messages/{moved['id']}", status=204)
        unwanted = graph("POST", messages, message(), status=201)
        graph("POST", f"{messages}/{unwanted['id']}/permanentDelete", status=204)
    graph("POST", "/sendMail", {"message": message(), "saveToSentItems": True}, status=202)
    # Messages of the whole mailbox have no delta, in Graph or here.
    assert served() - graph.judged == {("get", "/me/messages/delta")}


# -------------------------------------------------------------------------------------- what leaves, on the wire

JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}
MAIL = base64.b64encode(b"To: bob@buyer.example\r\n\r\nHello\r\n")
STEP = {"id": "1", "method": "GET", "url": f"/users/{BEN}/messages"}


@pytest.mark.parametrize(
    ("http", "target", "headers", "body", "calls"),
    [
        ("GET", "/v1.0/me/messages?$top=5&$orderby=receivedDateTime%20desc", {}, b"", 1),
        ("GET", f"/v1.0/users/{BEN}/mailFolders/inbox/messages/delta?$select=id&$deltatoken=x", {}, b"", 1),
        ("POST", "/v1.0/me/messages", TEXT, MAIL, 1),
        ("POST", "/v1.0/me/messages/x/createReply", {}, b"", 1),
        ("POST", "/v1.0/$batch", JSON, json.dumps({"requests": [STEP, STEP | {"id": "2"}]}).encode(), 2),
        ("PUT", "/api/v2.0/Users('x')", {}, b"bytes", 0),
    ],
)
def test_a_described_request_passes_the_judge(http, target, headers, body, calls):
    assert len(judge_wire(http, target, headers, body)) == calls


@pytest.mark.parametrize(
    ("http", "target", "headers", "body"),
    [
        ("GET", "/v1.0/me/letters", {}, b""),
        ("GET", "/v1.0/me/messages?$bogus=1", {}, b""),
        ("GET", "/v1.0/me/messages?$top=five", {}, b""),
        ("GET", "/v1.0/me/messages?$select=sujet", {}, b""),
        ("GET", "/v1.0/me/messages?$orderby=sujet", {}, b""),
        ("PUT", "/v1.0/me/messages", JSON, b"{}"),
        ("POST", "/v1.0/me/messages", JSON, b'{"toRecipient": []}'),
        ("POST", "/v1.0/me/messages", {}, b""),
        ("POST", "/v1.0/me/messages", {"Content-Type": "text/xml"}, b"<x/>"),
        ("PATCH", "/v1.0/me/messages/x", TEXT, MAIL),
        ("POST", "/v1.0/me/messages/x/send", JSON, b'{"a": 1}'),
        ("POST", "/v1.0/me/sendMail", JSON, b'{"message": {}, "save": true}'),
        ("POST", "/v1.0/$batch", JSON, json.dumps({"requests": [STEP] * 21}).encode()),
        ("POST", "/v1.0/$batch", JSON, json.dumps({"requests": [STEP | {"method": "POST", "body": {}}]}).encode()),
        ("POST", "/v1.0/$batch", JSON, json.dumps({"requests": [STEP | {"header": {}}]}).encode()),
    ],
)
def test_a_request_that_is_not_described_is_refused_by_the_judge(http, target, headers, body):
    with pytest.raises((AssertionError, ValueError)):
        judge_wire(http, target, headers, body)


def test_actions_take_their_parameters_by_either_name():
    for name in ("Comment", "comment"):
        judge_request("POST", "/me/messages/x/createReply", {name: "Hello"})
    with pytest.raises(AssertionError):
        judge_request("POST", "/me/messages/x/createReply", {"coment": BOB})
