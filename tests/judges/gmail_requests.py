"""What leaves for Gmail, judged by Google's discovery document as it stands on the wire.

Lives here: taking uploads and batches apart, so that each JSON body and each query parameter in them is judged. Does
not live here: the document (`gmail_schema`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from email import message_from_bytes
from email.message import Message
from urllib.parse import urlsplit

from tests.judges.gmail_schema import Called, find_method, judge_request

#: Where batches go, by Google's guide; the document's own `batchPath` is the address for all of Google's services.
_BATCH = "/batch/gmail/v1"
_PARTS_AT_MOST = 100
_BEGINNINGS = ("/gmail/v1/", "/upload/gmail/v1/", "/resumable/upload/gmail/v1/", _BATCH)


def judge_wire(http: str, target: str, headers: Mapping[str, str], body: bytes) -> list[Called]:
    """Return the calls in one HTTP request, none when it is not for Gmail.

    `target` is its path with the query. Raises `AssertionError` for what Google does not describe.
    """
    path = urlsplit(target).path
    if not path.startswith(_BEGINNINGS):
        return []
    if path == _BATCH:
        assert http == "POST", f"a batch is posted, not {http}"
        return _judge_batch(_parts(headers, body, "multipart/mixed"))
    if "/upload/" in path:
        return [_judge_upload(http, target, _parts(headers, body, "multipart/related"))]
    return [judge_request(http, target, json.loads(body) if body else None)]


def _judge_upload(http: str, target: str, parts: list[Message]) -> Called:
    metadata, media = parts
    assert metadata.get_content_type() == "application/json", "the first part of an upload is its JSON"
    called = judge_request(http, target, json.loads(_bytes(metadata)))
    asked = find_method(http, urlsplit(target).path).method["mediaUpload"]
    assert "uploadType=multipart" in target, "metadata and mail in one request are uploadType=multipart"
    kinds = [kind.removesuffix("*") for kind in asked["accept"]]
    assert any(media.get_content_type().startswith(kind) for kind in kinds), f"an upload is one of {asked['accept']}"
    assert len(_bytes(media)) <= int(asked["maxSize"]), f"an upload has at most {asked['maxSize']} bytes"
    return called


def _judge_batch(parts: list[Message]) -> list[Called]:
    assert 0 < len(parts) <= _PARTS_AT_MOST, f"a batch has up to {_PARTS_AT_MOST} parts, not {len(parts)}"
    calls = []
    for part in parts:
        assert part.get_content_type() == "application/http", "each part of a batch is an HTTP request"
        line, _, rest = _bytes(part).lstrip().partition(b"\n")
        http, target, version = line.decode("ascii").split()
        assert version == "HTTP/1.1", f"not a request line: {line!r}"
        inner = message_from_bytes(rest).get_payload()
        calls.append(judge_request(http, target, json.loads(str(inner)) if str(inner).strip() else None))
    return calls


def _parts(headers: Mapping[str, str], body: bytes, kind: str) -> list[Message]:
    given = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    whole = message_from_bytes(b"Content-Type: " + given.encode("ascii") + b"\r\n\r\n" + body)
    assert whole.get_content_type() == kind, f"expected {kind}, not '{given}'"
    assert not whole.defects, f"not a whole {kind}: {whole.defects}"
    return [part for part in whole.get_payload() if isinstance(part, Message)]


def _bytes(part: Message) -> bytes:
    """Return what is in a part, as it stands there."""
    if part.is_multipart():
        return part.get_payload(0).as_bytes()
    return part.get_payload().encode("ascii", "surrogateescape")
