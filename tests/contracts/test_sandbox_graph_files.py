"""Files attached to messages in the simulated Graph: inline images, and files too large for one request."""

import base64
from datetime import timedelta
from email import message_from_bytes, policy
from urllib.parse import urlsplit

import pytest
import requests
from graph_client import fresh_sandbox, graph_of, message

FILE = "#microsoft.graph.fileAttachment"
MEGABYTE = 1024 * 1024


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


@pytest.fixture
def graph(sandbox):
    with graph_of(sandbox) as client:
        yield client


def image(**parts):
    content = base64.b64encode(b"\x89PNG-bytes").decode()
    return {"@odata.type": FILE, "name": "logo.png", "contentType": "image/png", "contentBytes": content} | parts


INLINE = {"isInline": True, "contentId": "logo@acme"}


def parts_of(graph, draft):
    parsed = message_from_bytes(graph("GET", f"/messages/{draft['id']}/$value"), policy=policy.default)
    return {part.get_content_type(): part for part in parsed.walk()}


@pytest.mark.parametrize("later", [False, True])
def test_an_inline_image_lies_beside_the_html_that_shows_it(graph, later):
    body = {"contentType": "html", "content": '<p>Hi <img src="cid:logo@acme"></p>'}
    draft = graph("POST", "/messages", message(body=body, **({} if later else {"attachments": [image(**INLINE)]})))
    if later:
        graph("POST", f"/messages/{draft['id']}/attachments", image(**INLINE), status=201)
    graph("POST", f"/messages/{draft['id']}/attachments", image(name="plan.png"), status=201)

    inline, plain = graph("GET", f"/messages/{draft['id']}/attachments")["value"]

    assert (inline["name"], inline["isInline"], inline["contentId"]) == ("logo.png", True, "logo@acme")
    assert (plain["name"], plain["isInline"], plain["contentId"]) == ("plan.png", False, None)
    parts = parts_of(graph, draft)
    related = parts["multipart/related"]
    assert [one.get_content_type() for one in related.iter_parts()] == ["text/html", "image/png"]
    shown = list(related.iter_parts())[1]
    assert (shown["Content-ID"], shown.get_content_disposition()) == ("<logo@acme>", "inline")
    assert [one.get_filename() for one in parts["multipart/mixed"].iter_attachments()] == ["plan.png"]


def test_a_message_with_inline_images_alone_has_no_attachments(graph):
    draft = graph("POST", "/messages", message(attachments=[image(**INLINE)]))
    assert draft["hasAttachments"] is False
    graph("POST", f"/messages/{draft['id']}/attachments", image(), status=201)
    assert graph("GET", f"/messages/{draft['id']}")["hasAttachments"] is True
    expanded = graph("GET", f"/messages/{draft['id']}", params={"$expand": "attachments"})
    assert [one["isInline"] for one in expanded["attachments"]] == [True, False]


def test_an_inline_image_stays_one_when_the_draft_is_changed(graph):
    draft = graph("POST", "/messages", message(attachments=[image(**INLINE)]))
    graph("PATCH", f"/messages/{draft['id']}", {"subject": "Another"}, status=200)
    (kept,) = graph("GET", f"/messages/{draft['id']}/attachments")["value"]
    assert (kept["isInline"], kept["contentId"]) == (True, "logo@acme")


def test_a_file_is_read_and_taken_away_by_its_id_which_stays(graph):
    draft = graph("POST", "/messages", message(attachments=[image(name="a.png"), image(name="a.png")]))
    path = f"/messages/{draft['id']}/attachments"
    first, second = graph("GET", path, params={"$select": "name,size"})["value"]
    assert "contentBytes" not in first
    assert first["id"] != second["id"]
    assert graph("GET", f"{path}/{second['id']}")["name"] == "a.png"
    assert graph("GET", f"{path}/{first['id']}/$value") == b"\x89PNG-bytes"
    other = graph("POST", path, image(name="b.png"), status=201)
    graph("DELETE", f"{path}/{second['id']}", status=204)
    assert [one["id"] for one in graph("GET", path)["value"]] == [first["id"], other["id"]]
    assert graph.refused("GET", f"{path}/{second['id']}") == (404, "ErrorItemNotFound")
    assert graph.refused("GET", path, params={"$select": "contentBytes,nothing"}) == (400, "BadRequest")


# ----------------------------------------------------------------------------------------------------- upload


def opened(graph, draft, size, **parts):
    item = {"attachmentType": "file", "name": "film.mp4", "size": size, "contentType": "video/mp4"} | parts
    return graph("POST", f"/messages/{draft['id']}/attachments/createUploadSession", {"AttachmentItem": item})


def put(session, start, content, total, **headers):
    span = {"Content-Range": f"bytes {start}-{start + len(content) - 1}/{total}"}
    return requests.put(session["uploadUrl"], data=content, headers=span | headers, timeout=10)


def test_a_large_file_goes_up_range_by_range(graph):
    draft = graph("POST", "/messages", message())
    content = bytes(range(256)) * (5 * MEGABYTE // 256)
    session = opened(graph, draft, len(content))
    assert session["nextExpectedRanges"] == ["0-"]

    first = put(session, 0, content[: 4 * MEGABYTE], len(content))
    assert (first.status_code, first.json()["nextExpectedRanges"]) == (200, [str(4 * MEGABYTE)])
    assert graph("GET", f"/messages/{draft['id']}/attachments")["value"] == []
    asked = requests.get(session["uploadUrl"], timeout=10).json()["nextExpectedRanges"]
    last = put(session, int(asked[0]), content[int(asked[0]) :], len(content))

    assert (last.status_code, last.content) == (201, b"")
    (made,) = graph("GET", f"/messages/{draft['id']}/attachments", params={"$select": "name,size"})["value"]
    assert made["size"] == len(content)
    assert f"/Attachments('{made['id']}')" in last.headers["Location"]
    assert graph("GET", f"/messages/{draft['id']}/attachments/{made['id']}/$value") == content
    assert put(session, 0, content[:10], len(content)).status_code == 404, "a finished session is gone"


def test_a_range_that_does_not_fit_is_refused_and_nothing_taken(graph):
    draft = graph("POST", "/messages", message())
    total = 5 * MEGABYTE
    session = opened(graph, draft, total)
    assert put(session, 100, b"x", total).status_code == 416
    assert put(session, 0, b"x", total + 1).status_code == 400
    assert put(session, 0, b"x" * (4 * MEGABYTE + 1), total).status_code == 413
    assert requests.put(session["uploadUrl"], data=b"x", timeout=10).status_code == 400
    assert put(session, 0, b"x", total, Authorization="Bearer anything").status_code == 401
    assert requests.get(session["uploadUrl"], timeout=10).json()["nextExpectedRanges"] == ["0"]


def test_a_session_ends_with_its_time_and_by_being_deleted(graph, sandbox):
    draft = graph("POST", "/messages", message())
    late, dropped = (opened(graph, draft, 3 * MEGABYTE) for _ in range(2))
    assert requests.delete(dropped["uploadUrl"], timeout=10).status_code == 204
    assert put(dropped, 0, b"x", 3 * MEGABYTE).status_code == 404
    sandbox.clock.advance(timedelta(hours=1))
    assert put(late, 0, b"x", 3 * MEGABYTE).status_code == 401
    assert urlsplit(late["uploadUrl"]).path.startswith("/api/v2.0/Users(")


@pytest.mark.parametrize(
    ("item", "status", "code"),
    [
        ({"size": MEGABYTE}, 400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"),
        ({"size": 150 * MEGABYTE + 1}, 413, "ErrorMessageSizeExceeded"),
        ({"attachmentType": "reference"}, 400, "ErrorInvalidArgument"),
        ({"name": ""}, 400, "ErrorInvalidArgument"),
        ({"sise": 1}, 400, "RequestBodyRead"),
    ],
)
def test_a_session_that_cannot_be_is_refused(graph, item, status, code):
    draft = graph("POST", "/messages", message())
    body = {"AttachmentItem": {"attachmentType": "file", "name": "f", "size": 3 * MEGABYTE} | item}
    path = f"/messages/{draft['id']}/attachments/createUploadSession"
    assert graph.refused("POST", path, body) == (status, code)
