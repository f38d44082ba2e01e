"""Upload sessions: files too large for one request, range by range.

Lives here: `Uploads`, and the address a session answers at. Does not live here: what a finished file becomes
(`graph_attachments`). Source: Microsoft, "Attach large files to Outlook messages"; the least size: sdk-java#52.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from adapters.sandbox.graph_attachments import Attachments, draft_of
from adapters.sandbox.graph_errors import Answer, GraphError, bad, gone, too_large
from adapters.sandbox.graph_message import instant
from adapters.sandbox.graph_request import Call
from adapters.sandbox.graph_shapes import UPLOAD_SESSION
from adapters.sandbox.letter import Enclosure
from adapters.sandbox.mailbox import Mailbox
from adapters.sandbox.service import SandboxClock

#: Bytes of a file a session takes, and of one range.
LEAST, MOST, LARGEST_RANGE = 2 * 1024 * 1024, 150 * 1024 * 1024, 4 * 1024 * 1024

#: How long the address of a session is good.
LIFETIME = timedelta(hours=1)

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(slots=True, kw_only=True)
class _Session:
    """A file on its way."""

    box: Mailbox
    #: Immutable id of the draft it is for: the plain one may be another by then.
    draft: str
    #: Address of the draft, without its host.
    path: str
    token: str = field(repr=False)
    expires: datetime
    written: Mapping[str, Any]
    content: bytearray = field(default_factory=bytearray, repr=False)

    @property
    def size(self) -> int:
        return int(self.written["size"])


class Uploads:
    """Sessions that are open."""

    def __init__(self, clock: SandboxClock, attachments: Attachments) -> None:
        """Start with none."""
        self._clock = clock
        self._attachments = attachments
        self._sessions: dict[str, _Session] = {}

    def answers(self) -> Mapping[str, Callable[[Call], Answer]]:
        """Return the operations by name."""
        return {"createUploadSession": self.open}

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what can happen to the sessions."""
        return {"outlook_ends_uploads": self.end_all}

    def end_all(self) -> dict[str, Any]:
        """End every session before its time, with what it holds."""
        ended = len(self._sessions)
        self._sessions.clear()
        return {"ended": ended}

    def open(self, call: Call) -> Answer:
        """Open a session for one file of a draft."""
        mail = draft_of(call)
        given = call.json(UPLOAD_SESSION)
        item = given.get("AttachmentItem") or given.get("attachmentItem")
        if not item or str(item.get("attachmentType", "")).lower() != "file" or not item.get("name"):
            raise bad("AttachmentItem needs its attachmentType (file), name and size.", "ErrorInvalidArgument")
        size = item.get("size")
        if not isinstance(size, int) or size < LEAST:
            raise bad(
                "Attachment size should be larger than or equal to the minimum size of an upload session.",
                "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
            )
        if size > MOST:
            raise too_large()
        path = f"/api/v2.0/Users('{call.box.guid}@sandbox')/Messages('{mail.id}')"
        session_id, token = f"AAMkSession{secrets.token_hex(12)}=", secrets.token_urlsafe(24)
        session = _Session(
            box=call.box,
            draft=mail.second_id,
            path=path,
            token=token,
            expires=self._clock.now() + LIFETIME,
            written=item,
        )
        self._sessions[session_id] = session
        root = call.base.partition("/v1.0")[0]
        body = {
            "@odata.context": f"{root}/v1.0/$metadata#microsoft.graph.uploadSession",
            "uploadUrl": f"{root}{path}/AttachmentSessions('{session_id}')?authtoken={token}",
            "expirationDateTime": instant(session.expires),
            "nextExpectedRanges": ["0-"],
        }
        return Answer(status=201, body=body)

    def answer(
        self, http: str, root: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Answer a request to a session's own address; raises `GraphError`."""
        match = re.fullmatch(r"(.*)/AttachmentSessions\('([^']+)'\)", path)
        session = self._sessions.get(match[2]) if match else None
        if match is None or session is None or session.path != match[1]:
            raise gone()
        if "authorization" in headers or query.get("authtoken") != session.token:
            # The address says who may write; a token of Graph's is for another audience.
            raise GraphError(401, "InvalidAuthenticationToken", "Access token validation failure. Invalid audience.")
        if self._clock.now() >= session.expires:
            raise GraphError(401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")
        if http == "DELETE":
            del self._sessions[match[2]]
            return Answer(status=204)
        if http == "PUT":
            _take(session, headers, body)
            if len(session.content) == session.size:
                del self._sessions[match[2]]
                return self._finish(session, root)
        return Answer(body=_told(session))

    def _finish(self, session: _Session, root: str) -> Answer:
        mail = next((one for one in session.box.mails.values() if one.second_id == session.draft), None)
        if mail is None:
            raise gone()
        written = session.written
        enclosure = Enclosure(
            name=written["name"],
            media_type=written.get("contentType") or "application/octet-stream",
            content=bytes(session.content),
            content_id=written.get("contentId") or "",
            is_inline=written.get("isInline") is True,
        )
        name = self._attachments.add(session.box, mail, enclosure)
        return Answer(status=201, headers={"Location": f"{root}{session.path}/Attachments('{name}')"})


def _told(session: _Session) -> dict[str, Any]:
    return {"ExpirationDateTime": instant(session.expires), "nextExpectedRanges": [str(len(session.content))]}


def _take(session: _Session, headers: Mapping[str, str], body: bytes) -> None:
    """Take the next range; they come in order, without gaps."""
    match = _RANGE.fullmatch(headers.get("content-range", ""))
    if match is None:
        raise bad("The Content-Range header is missing or malformed.", "ErrorInvalidRequest")
    start, end, total = (int(one) for one in match.groups())
    if total != session.size or end - start + 1 != len(body) or end >= total:
        raise bad("The Content-Range header does not fit the file or the body.", "ErrorInvalidRequest")
    if len(body) > LARGEST_RANGE:
        raise GraphError(413, "RequestEntityTooLarge", "The range has more than 4 MB.")
    if start != len(session.content):
        raise GraphError(416, "InvalidRange", f"The next range begins at {len(session.content)}.")
    session.content += body
