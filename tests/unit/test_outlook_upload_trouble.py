"""Whatever goes wrong with the ranges of a file: it is attached once and whole, or the error tells the truth."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.outlook import upload
from adapters.outlook.errors import Owner
from adapters.outlook.upload import Upload
from connector.errors import OutcomeUnknown, Retry
from connector.ports import Attachment

SIZE, RANGE = 25, 10
FILE = Attachment(name="plan.pdf", media_type="application/pdf", content=bytes(range(SIZE)))


class Trouble(Enum):
    """What may become of one request."""

    NONE = "none"
    LOST_BEFORE = "lost before it acted"
    LOST_AFTER = "lost after it acted"
    BUSY = "503 without acting"
    TIMED_OUT = "504 after acting"
    THROTTLED = "429"
    ENDED = "the session has ended"


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

    def sleep(self, seconds: float) -> None:
        """Wait no time."""


class SignIn:
    renewal = widening = stranger = ""


class Service:
    """Keeps sessions as Microsoft does, and fails as told; it may be the line of an upload."""

    def __init__(self, troubles: list[Trouble]) -> None:
        self._troubles = list(troubles)
        self._sessions: dict[str, bytearray] = {}
        self.files = [b"plan.pdf of before"]

    def begin(self) -> Mapping[str, str]:
        url = f"https://outlook.office.com/AttachmentSessions('{len(self._sessions)}')"
        self._sessions[url] = bytearray()
        return {"uploadUrl": url}

    def count(self) -> int:
        if self._trouble() not in (Trouble.NONE, Trouble.ENDED):
            raise Retry("Outlook could not be reached")
        return len(self.files)

    def bare(self, method: str, url: str, headers: Mapping[str, str], content: object = None) -> requests.Response:
        trouble = self._trouble()
        if trouble is Trouble.ENDED:
            self._sessions.pop(url, None)
        if trouble is Trouble.LOST_BEFORE:
            raise requests.ConnectionError("reset")
        if trouble in (Trouble.BUSY, Trouble.THROTTLED):
            return answer(503 if trouble is Trouble.BUSY else 429)
        given = self._put(url, headers, content.read()) if method == "PUT" else self._get(url)
        if trouble is Trouble.LOST_AFTER:
            raise requests.ReadTimeout("no answer")
        return answer(504) if trouble is Trouble.TIMED_OUT else given

    def _trouble(self) -> Trouble:
        return self._troubles.pop(0) if self._troubles else Trouble.NONE

    def _get(self, url: str) -> requests.Response:
        held = self._sessions.get(url)
        return answer(404) if held is None else answer(200, [str(len(held))])

    def _put(self, url: str, headers: Mapping[str, str], content: bytes) -> requests.Response:
        held = self._sessions.get(url)
        if held is None:
            return answer(404)
        start, end, total = (int(one) for one in re.findall(r"\d+", headers["Content-Range"]))
        assert (end - start + 1, total) == (len(content), SIZE)
        if start != len(held):
            return answer(416)
        held += content
        if len(held) < SIZE:
            return answer(200, [str(len(held))])
        self.files.append(bytes(self._sessions.pop(url)))
        return answer(201)


def answer(status: int, begins: list[str] | None = None) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made._content = b"" if begins is None else json.dumps({"nextExpectedRanges": begins}).encode()
    return made


#: Two ranges that go well, so that the last one is next.
TO_THE_LAST = [Trouble.NONE, Trouble.NONE]


@settings(max_examples=200)
@example([*TO_THE_LAST, Trouble.ENDED])
@example([*TO_THE_LAST, Trouble.LOST_AFTER, Trouble.THROTTLED, Trouble.THROTTLED])
@example([*TO_THE_LAST, Trouble.TIMED_OUT, Trouble.BUSY, Trouble.BUSY])
@given(st.lists(st.sampled_from([*Trouble, *[Trouble.NONE] * 6]), max_size=30))
def test_a_file_is_attached_once_and_whole_or_the_error_tells_the_truth(troubles):
    service = Service([Trouble.NONE, *troubles])  # the first look is let through
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(upload, "RANGE", RANGE)
        line = Upload(
            service,
            Owner(rep="max@acme.example", sign_in=SignIn(), clock=Clock()),
            FILE,
            endpoint="https://graph.microsoft.com/v1.0",
            key="k",
        )
        try:
            line.run(service.begin, service.count)
            told = 1
        except Retry:
            told = 0
        except OutcomeUnknown:
            told = None
    made = service.files[1:]
    assert made in ([], [FILE.content])
    if told is not None:
        assert len(made) == told
