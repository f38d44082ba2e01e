"""New lines of the ledger, read once for all who listen in this process.

Lives here: `Broadcast`: one look a second while anybody listens, and how each listener goes on from the last line. Does
not live here: who may hear what (`sync.feed`), what it looks like on the wire (`feed`).

Lines are committed in the order of their numbers (decision 37), so that looking for later numbers misses none.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from threading import Event

from connector.sync.feed import FeedLine, read_after, read_newest
from connector.sync.office import Office

_log = logging.getLogger(__name__)

#: Lines that are kept for those who lag, and that somebody who comes back is told at most.
REPLAYED = 2_000

#: Seconds without a line after which a listener hears that there was none.
_BEAT = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a listener hears at once."""

    #: Of all reps; none at a beat. None when there were too many, so that a page must be read anew.
    lines: list[FeedLine] | None
    #: Number to go on from.
    newest: int


class Broadcast:
    """The new lines of one office. It belongs to one event loop."""

    def __init__(self, office: Office, ending: Event, *, every: float = 1.0) -> None:
        """Take the office, what is set when the process ends, and seconds between two looks.

        Nothing is read before somebody listens.
        """
        self._office = office
        self._every = every
        self._ending = ending
        self._listeners = 0
        self._looking: asyncio.Task[None] | None = None
        #: Set, and replaced, whenever there is something new.
        self._changed = asyncio.Event()
        #: Lines after `_floor` up to `_newest`.
        self._kept: deque[FeedLine] = deque()
        self._floor = self._newest = 0
        #: Set as soon as `_newest` is known.
        self._begun = self._changed

    async def follow(self, after: int | None) -> AsyncGenerator[Heard]:
        """Yield what comes after a line, from now on if that is None, and a beat when nothing comes.

        It ends within a look of the process being told to, and when the ledger cannot be read: the browser comes
        back.
        """
        self._listeners += 1
        try:
            looking = await self._begin()
            position = self._newest
            if after is None:
                # Where it begins: a tab that is hidden before anything happened comes back to this place.
                yield Heard(lines=[], newest=position)
            elif after != position:
                heard = await self._since(after)
                position = heard.newest
                yield heard
            while not looking.done():
                changed = self._changed
                if position < self._newest:
                    heard = await self._since(position)
                    position = heard.newest
                    yield heard
                    continue
                try:
                    await asyncio.wait_for(changed.wait(), _BEAT)
                except TimeoutError:
                    yield Heard(lines=[], newest=position)
        finally:
            self._listeners -= 1

    async def _begin(self) -> asyncio.Task[None]:
        """Look from now on, unless somebody does already."""
        if self._looking is None or self._looking.done():
            self._changed = asyncio.Event()
            self._looking = asyncio.create_task(self._look())
            self._begun = self._changed
        await self._begun.wait()
        return self._looking

    async def _look(self) -> None:
        try:
            self._floor = self._newest = await asyncio.to_thread(read_newest, self._office)
            self._kept.clear()
            self._tell()
            while self._listeners and not self._ending.is_set():
                await asyncio.sleep(self._every)
                lines, newest = await asyncio.to_thread(read_after, self._office, self._newest, REPLAYED)
                if newest != self._newest:
                    self._keep(lines, newest)
                    self._tell()
        except Exception as error:  # noqa: BLE001 - whatever it is, those who listen must not wait for ever
            _log.error("the feed cannot be read (%s)", type(error).__name__)
            _log.info("where it went wrong:", exc_info=error)
        finally:
            self._tell()

    def _keep(self, lines: list[FeedLine] | None, newest: int) -> None:
        if lines is None:
            self._kept.clear()
            self._floor = newest
        else:
            self._kept.extend(lines)
        while len(self._kept) > REPLAYED:
            self._floor = self._kept.popleft().seq
        self._newest = newest

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _since(self, position: int) -> Heard:
        if self._floor <= position <= self._newest:
            return Heard(lines=[line for line in self._kept if line.seq > position], newest=self._newest)
        lines, newest = await asyncio.to_thread(read_after, self._office, position, REPLAYED)
        return Heard(lines=lines, newest=newest)
