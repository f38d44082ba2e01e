"""What the tests of the line to Graph begin with: a clock that stands still, a token, a session of one mailbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from graph_client import message

from adapters.outlook.session import GraphSession
from adapters.outlook.upload import RANGE
from connector.ports import Attachment

GRAPH = "https://graph.microsoft.com/v1.0"
ME = f"{GRAPH}/me"
REP = "max@acme.example"
KEY = "0f" * 16
#: Four drafts, by their keys.
BODIES = {key: message(subject=f"Plan {key}") for key in (f"{number:032x}" for number in range(4))}
_CONTENT = bytes(range(256)) * ((2 * RANGE + 1024) // 256)
#: Three ranges, the last of them shorter.
FILM = Attachment(name="film.mp4", media_type="video/mp4", content=_CONTENT)
#: One range, or three small ones: the least that a session takes.
SHORT = Attachment(name="plan.pdf", media_type="application/pdf", content=_CONTENT[: 2 * 1024 * 1024])
LOGO = Attachment(name="logo.png", media_type="image/png", content=SHORT.content, content_id="logo@acme")
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

#: What must happen once.
EFFECTS: dict[str, Callable[[GraphSession], object]] = {
    "create": lambda session: session.post_once("/messages", message(), key=KEY),
    "reply": lambda session: session.post_once("/messages/A/createReply", {"message": message()}, key=KEY),
    "send": lambda session: session.post_once("/messages/A/send", None, key=KEY),
}


class FrozenClock:
    """Stands still; remembers how long it was asked to wait."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return START

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Token:
    """A sign-in whose token gets a new number each time it is renewed, if it can be."""

    renewal, widening = "sign in again", "have it granted"
    stranger = ""

    def __init__(self, *, renewable: bool = False, secret: str = "") -> None:
        self.number = 1
        self._renewable = renewable
        self._secret = secret

    def token(self, account: str) -> str:
        assert account == f"outlook:{REP}"
        return self._secret or f"token-{self.number}"

    def renew(self) -> bool:
        self.number += 1
        return self._renewable


@contextmanager
def session_of(
    *, endpoint: str = GRAPH, mailbox: str = "/me", sign_in: Any = None, clock: Any = None
) -> Iterator[GraphSession]:
    """Open the session of one mailbox."""
    opened = GraphSession(
        endpoint=endpoint, mailbox=mailbox, rep=REP, sign_in=sign_in or Token(), clock=clock or FrozenClock()
    )
    yield opened
    opened.close()


def graph_error(code: str, message: str = "In Microsoft's words.") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "innerError": {"request-id": "r-1"}}}
