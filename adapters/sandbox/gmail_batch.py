"""Many calls in one HTTP request: `/batch/gmail/v1`.

Lives here: reading multipart/mixed and writing it. Does not live here: what a call does (`gmail`).
Each part is a request of its own, with its own status, token (else the token of the whole) and share of the quota;
an upload cannot be a part. Source: Google's guide to batching.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote

from adapters.sandbox.gmail_errors import Answer, bad_batch, too_many_parts
from adapters.sandbox.gmail_upload import boundary_of, split_head, split_parts

#: Calls that one request may hold.
LIMIT = 100

PATHS = ("/batch", "/batch/gmail/v1")

_LINE = re.compile(r"([A-Z]+) (/\S*)(?: HTTP/1\.[01])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One call of a batch."""

    content_id: str
    http: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def read_batch(headers: Mapping[str, str], body: bytes) -> Sequence[Part]:
    """Read a batch; too many calls, or what is no batch at all, raises a 400."""
    parts = split_parts(body, boundary_of(headers.get("content-type", ""), "multipart/mixed"))
    if not parts:
        raise bad_batch("0 items.")
    if len(parts) > LIMIT:
        raise too_many_parts(len(parts), LIMIT)
    return [_read(top, content, headers.get("authorization", "")) for top, content in parts]


def _read(top: Mapping[str, str], content: bytes, authorization: str) -> Part:
    if top.get("content-type", "").partition(";")[0].strip() != "application/http":
        raise bad_batch("every part is application/http")
    line, _, rest = content.lstrip().partition(b"\n")
    match = _LINE.fullmatch(line.decode("utf-8", "replace").strip())
    if match is None:
        raise bad_batch("a part does not begin with a request line")
    path, _, query = match[2].partition("?")
    headers, body = split_head(rest)
    return Part(
        content_id=top.get("content-id", ""),
        http=match[1],
        path=unquote(path),
        query=query,
        headers={"authorization": authorization} | headers,
        body=body.strip(),
    )


def write_batch(parts: Sequence[Part], answer: Callable[[int, Part], Answer]) -> Answer:
    """Answer each part in turn and put the answers into one; the whole is 200 whatever became of its parts."""
    boundary = f"batch_{secrets.token_urlsafe(18)}"
    written = b"".join(_write(boundary, part, answer(count, part)) for count, part in enumerate(parts))
    content = written + f"--{boundary}--\r\n".encode()
    return Answer(content=content, media_type=f"multipart/mixed; boundary={boundary}")


def _write(boundary: str, part: Part, answer: Answer) -> bytes:
    told = part.content_id
    named = f"<response-{told[1:]}" if told.startswith("<") else f"response-{told}"
    lines = [
        f"--{boundary}",
        "Content-Type: application/http",
        *([f"Content-ID: {named}"] if told else []),
        "",
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Content-Type: {answer.media_type}",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
        f"Content-Length: {len(answer.content)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + answer.content + b"\r\n"
