"""Uploads to the Gmail API: simple, multipart and resumable.

Lives here: reading what `/upload/...` is given and resumable sessions. Does not live here: what becomes of the mail
(`gmail_mails`).
Source: Google's guide to uploads. A session's address is its own key: who has it need not sign in again.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import Message
from urllib.parse import parse_qs

from adapters.sandbox.gmail_errors import Answer, bad, not_found, too_large, wrong_media
from adapters.sandbox.gmail_methods import Method
from adapters.sandbox.service import SandboxClock

#: How long an unfinished session can be taken up again.
SESSION_LIFE = timedelta(days=7)
#: Every piece but the last is a multiple of this, in bytes.
CHUNK = 256 * 1024

_RANGE = re.compile(r"bytes (?:\*|(\d+)-(\d+))/(\d+|\*)")

#: Finishes a call: its JSON, its mail -> its answer.
Finish = Callable[[bytes, bytes], Answer]


@dataclass(slots=True, kw_only=True)
class _Session:
    """One resumable upload."""

    finish: Finish
    body: bytes = field(repr=False)
    limit: int
    opened: datetime
    #: Size told when it was opened, in bytes.
    told: int | None
    stored: bytearray = field(default_factory=bytearray, repr=False)
    #: The final answer, once the mail was whole.
    answer: Answer | None = None


class Uploads:
    """Reads uploads and keeps resumable sessions."""

    def __init__(self, clock: SandboxClock) -> None:
        """Start without a session."""
        self._clock = clock
        self._sessions: dict[str, _Session] = {}

    def take(
        self, method: Method, address: str, query: str, headers: Mapping[str, str], body: bytes, finish: Finish
    ) -> Answer:
        """Answer a request that brings a mail, or opens a session at `address` to bring it piece by piece."""
        kind = parse_qs(query).get("uploadType", [""])[0]
        content_type = headers.get("content-type", "")
        if kind == "media":
            return finish(b"", _checked(method, content_type, body))
        if kind == "multipart":
            metadata, media_type, mail = read_related(content_type, body)
            return finish(metadata, _checked(method, media_type, mail))
        if kind == "resumable":
            return self._open(method, address, query, headers, body, finish)
        raise bad(f"Invalid upload request: uploadType is media, multipart or resumable, not '{kind}'", "badRequest")

    def _open(
        self, method: Method, address: str, query: str, headers: Mapping[str, str], body: bytes, finish: Finish
    ) -> Answer:
        told = headers.get("x-upload-content-length", "")
        _checked(method, headers.get("x-upload-content-type", "message/rfc822"), b"")
        if told.isdigit() and int(told) > method.upload:
            raise too_large()
        name = secrets.token_urlsafe(24)
        self._sessions[name] = _Session(
            finish=finish,
            body=body,
            limit=method.upload,
            opened=self._clock.now(),
            told=int(told) if told.isdigit() else None,
        )
        location = f"{address}?{query}&upload_id={name}"
        return Answer(headers={"Location": location, "X-GUploader-UploadID": name})

    def resume(self, name: str, http: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Take a piece of a mail, or tell how much has arrived."""
        session = self._sessions.get(name)
        if session is None or session.opened + SESSION_LIFE <= self._clock.now():
            self._sessions.pop(name, None)
            raise not_found()
        if http == "DELETE":
            del self._sessions[name]
            return Answer(status=499)
        if session.answer is not None:
            return session.answer
        size = self._store(session, headers.get("content-range", ""), body)
        if len(session.stored) > session.limit or (size or 0) > session.limit:
            raise too_large()
        if size is None or len(session.stored) < size:
            got = len(session.stored)
            return Answer(status=308, headers={"Range": f"bytes=0-{got - 1}"} if got else {})
        # A refusal, such as a spent quota, raises and leaves the session: the last piece can be sent again.
        session.answer = session.finish(session.body, bytes(session.stored))
        return session.answer

    def _store(self, session: _Session, content_range: str, body: bytes) -> int | None:
        """Keep the new bytes and return the size of the whole, None when that is not known yet."""
        if not content_range:
            session.stored[:] = body
            return len(body)
        match = _RANGE.fullmatch(content_range)
        if match is None:
            raise bad("Failed to parse Content-Range header.", "badRequest")
        first, last, total = match.groups()
        size = session.told if total == "*" else int(total)
        if first is None:
            return size
        start, end = int(first), int(last) + 1
        if start > len(session.stored) or end - start != len(body) or (size is not None and end > size):
            raise bad("Invalid request.  The number of bytes uploaded does not match the range.", "badRequest")
        if end != size and len(body) % CHUNK:
            raise bad("Invalid request.  Every piece but the last must be a multiple of 256 KiB.", "badRequest")
        session.stored[start:] = body
        return size


def _checked(method: Method, content_type: str, mail: bytes) -> bytes:
    given = content_type.partition(";")[0].strip().lower()
    if not given.startswith("message/"):
        raise wrong_media(given)
    if len(mail) > method.upload:
        raise too_large()
    return mail


def boundary_of(content_type: str, kind: str) -> str:
    """Return the boundary of a multipart content type of this kind; raise a 400 when it is not one."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_type() != kind or not boundary:
        raise bad(f"Missing or malformed {kind} boundary.", "badContent")
    return boundary


def split_parts(body: bytes, boundary: str) -> list[tuple[dict[str, str], bytes]]:
    """Return the parts of a multipart body: headers by lower-case name, and the bytes as they are."""
    # Not by a pattern: a mail of 36 MB would take seconds.
    pieces = body.split(b"--" + boundary.encode())
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise bad("Missing end boundary in multipart body.", "badContent")
    parts = []
    for piece in pieces[1:-1]:
        _, _, lines = piece.partition(b"\n")
        parts.append(split_head(lines.removesuffix(b"\n").removesuffix(b"\r")))
    return parts


def split_head(text: bytes) -> tuple[dict[str, str], bytes]:
    """Return headers by lower-case name, and what follows the empty line."""
    if re.match(rb"\r?\n", text):
        return {}, re.sub(rb"\A\r?\n", b"", text)
    match = re.search(rb"\r?\n\r?\n", text)
    lines, content = (text[: match.start()], text[match.end() :]) if match else (text, b"")
    unfolded = re.sub(rb"\r?\n[ \t]+", b" ", lines).decode("utf-8", "replace")
    pairs = (line.partition(":") for line in unfolded.splitlines())
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}, content


def read_related(content_type: str, body: bytes) -> tuple[bytes, str, bytes]:
    """Return the JSON, the media type and the mail of a multipart/related upload."""
    parts = split_parts(body, boundary_of(content_type, "multipart/related"))
    if len(parts) != 2:
        raise bad(f"Invalid multipart request with {len(parts)} mime parts.", "badRequest")
    (about, metadata), (top, mail) = parts
    if about.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise bad("The first part of a multipart upload is its metadata, application/json.", "badContent")
    return metadata, top.get("content-type", ""), mail
