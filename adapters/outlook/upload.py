"""Files too large for one request: an upload session of one message, range by range.

Lives here: `Upload`, how large a file may be, and which hosts a session may lie at. Does not live here: calling Graph
(`session`), when a file goes this way (`drafting`).

Graph answers with an address that carries its own permission. Whoever has it may write, so it stands in no error and
no log, no token goes to it, and it is followed to Microsoft's mail servers alone. After any trouble the service is
asked where it stands. A session that is gone may be gone because the file is there: that is looked up before another is
begun, so that nothing is attached twice. Sources: reference apis 3.1; Microsoft, "Attach large files to Outlook
messages or events", "Microsoft 365 URLs and IP address ranges".
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import requests
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from adapters.http import LONGEST_UPLOAD, TimedBody, TooSlow, retrying
from adapters.outlook.codes import TOO_LARGE
from adapters.outlook.errors import Owner, answered, garbled, unanswered
from adapters.outlook.transport import Transport
from connector.accounts import is_loopback
from connector.errors import OutcomeUnknown, Refused, Retry, Unsupported
from connector.ports import Attachment

#: A larger file goes by an upload session: in JSON it stands in base64, and Graph takes 4 MB in a request.
LARGEST_IN_JSON = 3_000_000
#: Outlook's limit for one file, in bytes.
LARGEST = 150_000_000

#: Bytes of one range: a multiple of 320 KiB, as Microsoft asks of every upload session, and less than 4 MB.
RANGE = 12 * 320 * 1024
#: Sessions that are begun for one file at most.
_SESSIONS = 3

#: Domains of Microsoft's mail servers, in all of its clouds.
_HOSTS = ("office.com", "office365.com", "outlook.com", "cloud.microsoft", "office365.us", "apps.mil", "outlook.cn")

#: Where the next range begins: "2097152", "0-", "1998457-2097094".
_NEXT = re.compile(r"(\d+)(?:-\d*)?")

_GONE = frozenset((HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.GONE))


def _names_no_session(record: logging.LogRecord) -> bool:
    return "attachmentsessions" not in record.getMessage().lower()


# What the HTTP library logs would hold the address, and who reads it may write.
for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_names_no_session)


class _SessionGone(Exception):  # noqa: N818 - named for what it tells
    """Nothing answers at the session's address: it ended, or the whole file has arrived."""


def is_microsofts(url: str, endpoint: str) -> bool:
    """Tell whether a session's address may be followed: to Microsoft's mail servers, or to the loopback's own host.

    `endpoint` is where Graph itself is called: a simulated one keeps its sessions itself.
    """
    try:
        # Read as the HTTP library reads it: where two readers differ, a host can hide.
        parts = parse_url(url)
    except LocationParseError:
        return False
    host = (parts.host or "").lower()
    if is_loopback(endpoint) and host == parse_url(endpoint).host:
        return True
    return parts.scheme == "https" and any(host.endswith(f".{domain}") for domain in _HOSTS)


def check_size(attachment: Attachment) -> None:
    """Raise `Unsupported` for a file that Outlook does not take."""
    size = len(attachment.content)
    if size > LARGEST:
        raise Unsupported(
            f"the file '{attachment.name}' has {size / 1_000_000:.1f} MB, and Outlook takes "
            f"{LARGEST // 1_000_000} MB: send a link to it instead",
            code=TOO_LARGE,
        )


class Upload:
    """One file on its way into one message."""

    def __init__(self, transport: Transport, owner: Owner, attachment: Attachment, *, endpoint: str, key: str) -> None:
        """Take the line; nothing is called."""
        self._transport = transport
        self._owner = owner
        self._attachment = attachment
        self._endpoint = endpoint
        self._key = key
        self._until = time.monotonic() + LONGEST_UPLOAD
        #: Whether the last range has left and was not refused, so that the file may be there.
        self._ended = False

    def run(self, begin: Callable[[], Any], count: Callable[[], int]) -> None:
        """Attach the file, once. `begin` opens a session, `count` tells how many files the message has.

        Counted, because Exchange may give a file another name than it was sent under. Raises `Retry` when the file is
        not there, and `OutcomeUnknown` when that cannot be told.
        """
        check_size(self._attachment)
        before = count()
        try:
            for _ in range(_SESSIONS):
                if self._filled(self._address(begin())) or (self._ended and count() > before):
                    return
                self._ended = False
        except Retry as error:
            if self._ended:
                raise OutcomeUnknown(
                    f"whether '{self._attachment.name}' was attached in the mailbox of {self._owner.rep} is not known",
                    key=self._key,
                    code=error.code,
                ) from None
            raise
        raise Retry(
            f"Outlook ended every upload of '{self._attachment.name}' for {self._owner.rep} before its time; "
            "it is tried again",
            code="upload_ended",
        )

    def _address(self, session: Any) -> str:
        url = session.get("uploadUrl") if isinstance(session, Mapping) else None
        if not isinstance(url, str):
            raise garbled(self._owner, key=None)
        if not is_microsofts(url, self._endpoint):
            raise Refused(
                f"Outlook wants a file of {self._owner.rep} to be sent to an address that is not known as Microsoft's: "
                "nothing was sent there",
                code="upload_address",
                advice="look for what answers in Microsoft's place: a proxy, or accounts.microsoft.endpoint",
            )
        return url

    def _filled(self, url: str) -> bool:
        """Send every range; false when the session is gone."""
        at: int | None = 0
        try:
            while at is not None:
                at = self._next(url, at)
        except _SessionGone:
            return False
        return True

    def _next(self, url: str, at: int) -> int | None:
        """Send the range that begins here, and return where the next begins; None at the end of the file.

        What went wrong is tried three times, from where the service says it stands.
        """
        begins: list[int] = [at]

        def attempt() -> int | None:
            start = begins.pop() if begins else self._standing(url)
            return self._send(url, start)

        return retrying(attempt, sleep=self._owner.clock.sleep)

    def _send(self, url: str, start: int) -> int | None:
        content, size = self._attachment.content[start : start + RANGE], len(self._attachment.content)
        end = start + len(content)
        self._ended = end == size
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"bytes {start}-{end - 1}/{size}",
        }
        answer = self._asked("PUT", url, headers, TimedBody(content, until=self._until))
        if answer.status_code == HTTPStatus.CREATED:
            return None
        if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise Retry(f"Outlook has another range of a file of {self._owner.rep} to come", code="range")
        begins = self._begins(answer)
        if begins <= start:
            raise Retry(f"Outlook did not take a range of a file of {self._owner.rep}", code="range")
        return begins

    def _standing(self, url: str) -> int:
        """Ask where the next range begins; when one does, the file is not there."""
        begins = self._begins(self._asked("GET", url, {}))
        self._ended = False
        return begins

    def _begins(self, answer: requests.Response) -> int:
        """Return where an answer says the next range begins; one that says nothing has no more to come."""
        try:
            # Microsoft's pages write it NextExpectedRanges as well: an older API of Outlook serves the session.
            ranges = {name.lower(): value for name, value in answer.json().items()}["nextexpectedranges"]
            begins = int(_NEXT.fullmatch(str(ranges[0]))[1]) if ranges else None  # type: ignore[index]
        except (ValueError, LookupError, TypeError, AttributeError):
            raise garbled(self._owner, key=None) from None
        if begins is None or begins >= len(self._attachment.content):
            raise _SessionGone
        return begins

    def _asked(
        self, method: str, url: str, headers: Mapping[str, str], content: TimedBody | None = None
    ) -> requests.Response:
        """Call the session; raises `_SessionGone`, and what any other failure means. The address stays in here."""
        try:
            answer = self._transport.bare(method, url, headers, content)
        except (requests.RequestException, TooSlow) as error:
            raise unanswered(error, self._owner, key=None) from None
        if answer.status_code in _GONE:
            raise _SessionGone
        if method == "PUT" and 300 <= answer.status_code < 500:
            self._ended = False
        if answer.status_code == HTTPStatus.FORBIDDEN:
            raise Refused(
                f"Outlook does not let the large file '{self._attachment.name}' be attached in the mailbox of "
                f"{self._owner.rep}: send a link to it instead",
                code="upload_denied",
                advice="known of mailboxes opened through another person's sign-in (shared, delegated)",
            )
        if answer.status_code >= 300 and answer.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise answered(answer, self._owner, key=None)
        return answer
