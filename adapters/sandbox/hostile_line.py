"""The line to a hostile sandbox: calls fail on it, before or after the service has acted.

Lives here: `HostileLine`, which stands before the services and lets each call meet what was drawn for it. Does not live
here: what is drawn (`hostile`), the services' words (`hostile_words`), parts of a batch (the services ask `Parts`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.sandbox.calls import Seen
from adapters.sandbox.hostile import Dice, Draw, Trouble
from adapters.sandbox.hostile_words import Refusal, refusal
from adapters.sandbox.service import SandboxLog

#: Keys under which the services put the rows of a page.
_ROWS = ("value", "records", "history", "messages", "drafts")

#: Services that may have acted though they say they are not available.
_MAY_HAVE_ACTED = ("gmail", "graph")

_PIECES = 4
_PAUSE = 0.003


class HostileLine:
    """Lets calls meet trouble; `cut` ends a caller's connection, gently or by a reset."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        dice: Dice,
        log: SandboxLog,
        now: Callable[[], datetime],
        cut: Callable[[tuple[str, int], bool], None],
    ) -> None:
        """Stand before `app`, behind the `Spans` that say what a call is."""
        self._app = app
        self._dice = dice
        self._log = log
        self._now = now
        self._cut = cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Draw for a call to a service, and let it meet what was drawn; any other call passes."""
        seen: Seen | None = scope.get("seen")
        draw = self._dice.whole(seen.service, seen.mailboxes, seen.method, seen.path) if seen is not None else None
        if seen is None or draw is None:
            await self._app(scope, receive, send)
            return
        told = refusal(seen.service, draw, self._now())
        acts = draw.acts and (draw.trouble is not Trouble.UNAVAILABLE or seen.service in _MAY_HAVE_ACTED)
        answer = await self._answered(scope, receive) if acts else None
        note_fault(self._log, seen.service, seen.mailboxes, seen.method, seen.path, draw, acted=acts)
        if told is not None:
            await _refuse(send, told)
        elif answer is None or draw.trouble is Trouble.LOST_AFTER:
            await self._lose(scope, receive, reset=draw.trouble is Trouble.RESET or (acts and draw.form % 2 == 0))
        elif draw.trouble is Trouble.TRUNCATED:
            await self._truncate(scope, receive, send, answer, cut=draw.form % 2 == 0)
        elif draw.trouble is Trouble.DUPLICATE_ROWS:
            await answer.give(send, _with_duplicates(answer.body, draw.form))
        else:
            await answer.give(send, answer.body, pieces=_PIECES)

    async def _answered(self, scope: Scope, receive: Receive) -> _Answer:
        """Let the service act, and keep its answer."""
        answer = _Answer()
        await self._app(scope, receive, answer.take)
        return answer

    async def _lose(self, scope: Scope, receive: Receive, *, reset: bool) -> None:
        self._cut(scope["client"], reset)
        await _gone(receive)

    async def _truncate(self, scope: Scope, receive: Receive, send: Send, answer: _Answer, *, cut: bool) -> None:
        half = answer.body[: len(answer.body) // 2]
        if half and not cut:
            await answer.give(send, half)
            return
        if half:
            await send(answer.start)
            await send({"type": "http.response.body", "body": half, "more_body": True})
        await self._lose(scope, receive, reset=False)


class _Answer:
    """What a service answered."""

    def __init__(self) -> None:
        self.start: Message = {}
        self.body = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")

    async def give(self, send: Send, body: bytes, *, pieces: int = 1) -> None:
        """Send it on with this body, in so many pieces with a pause before each but the first."""
        headers = [one for one in self.start["headers"] if one[0].lower() != b"content-length"]
        if self.start["status"] != 204:
            headers.append((b"content-length", str(len(body)).encode()))
        await send({**self.start, "headers": headers})
        size = max(1, -(-len(body) // pieces))
        for at in range(size, len(body), size):
            await send({"type": "http.response.body", "body": body[at - size : at], "more_body": True})
            await asyncio.sleep(_PAUSE)
        await send({"type": "http.response.body", "body": body[(max(len(body), 1) - 1) // size * size :]})


class Parts:
    """What single parts of a batch meet; a service asks for each part it is about to answer."""

    def __init__(self, dice: Dice, log: SandboxLog) -> None:
        self._dice = dice
        self._log = log

    def __call__(self, service: str, mailbox: str, method: str, path: str) -> Draw | None:
        """Draw for a part, and note it."""
        draw = self._dice.part(service, mailbox, method, path)
        if draw is not None:
            note_fault(self._log, service, (mailbox,), f"part {method}", path, draw, acted=draw.acts)
        return draw


def note_fault(
    log: SandboxLog, service: str, mailboxes: tuple[str, ...], method: str, path: str, draw: Draw, *, acted: bool
) -> None:
    """Note one trouble that struck a call."""
    log.fault(
        service,
        str(draw.trouble),
        mailboxes=list(mailboxes),
        method=method,
        path=path,
        acted=acted,
        key=draw.key,
        occurrence=draw.occurrence,
    )


async def _refuse(send: Send, told: Refusal) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in told.headers.items()]
    headers += [(b"content-type", told.media_type.encode()), (b"content-length", str(len(told.content)).encode())]
    await send({"type": "http.response.start", "status": told.status, "headers": headers})
    await send({"type": "http.response.body", "body": told.content})


async def _gone(receive: Receive) -> None:
    """Wait until the connection has ended: an answer must not follow."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _with_duplicates(body: bytes, form: int) -> bytes:
    """Return a page with some of its rows in it twice; what is no page stays as it is."""
    try:
        page: Any = json.loads(body)
    except ValueError:
        return body
    name = next((one for one in _ROWS if isinstance(page, dict) and isinstance(page.get(one), list)), None)
    if name is None or not page[name]:
        return body
    rows = page[name]
    again = rows[form % len(rows)]
    # Behind its first place, or at the page's end: both are seen when rows move while pages are read.
    at = len(rows) if form // 7 % 2 else form % len(rows) + 1
    page[name] = [*rows[:at], again, *rows[at:]]
    return json.dumps(page).encode()
