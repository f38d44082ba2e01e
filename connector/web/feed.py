"""The live feed: what happened and why, as a page that goes on by itself.

Lives here: `/feed`, and `/feed/stream`, to which this page and the queue listen. Does not live here: what a line is and
who may see it (`sync.feed`), reading new lines once for all (`broadcast`).

A browser that lost the line says which message it had last (`Last-Event-ID`) and is told what it missed. Messages:

- `feed`: `{"seq", "person", "topic", "html"}`, a line as the page shows it;
- `task`: `{"key", "kind", "rep", "person", "text"}`: something happened to a task. It comes before the line, which
  carries the number, so that neither is lost between the two;
- `beat`: nothing, but how far it got; it keeps the line open;
- `reload`: too much has happened to tell it line by line;
- `end`: the session has run out, or they see other people's work from now on; nothing more comes.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from itertools import islice
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from connector.audience import reps_seen_by
from connector.store.feed import read_campaign_names
from connector.sync.feed import FeedFilter, FeedLine, Topic, may_see, read_due, read_page, touches_task_of
from connector.web.access import Viewer
from connector.web.broadcast import REPLAYED, Broadcast, Heard
from connector.web.i18n import gettext as _
from connector.web.i18n import viewing
from connector.web.pages import fragment, page
from connector.web.site import Site
from connector.web.users import User

#: Milliseconds after which a browser that lost the line comes back.
_COME_BACK = 2000

#: Tasks that stand beside the feed.
_DUE = 10

#: Messages to one listener before everybody else has a turn: a launch writes a line for each of its people.
_AT_ONCE = 20

#: A number of the ledger, as a browser says it back.
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


def _wanted(
    kind: Annotated[Topic | Literal[""], Query()] = "",
    campaign: Annotated[str, Query(max_length=200)] = "",
    rep: Annotated[str, Query(max_length=254)] = "",
) -> FeedFilter:
    """Read the filter of an address; an empty field of a form is none."""
    return FeedFilter(topic=kind or None, campaign=campaign or None, rep=rep or None)


_Wanted = Annotated[FeedFilter, Depends(_wanted)]
_Place = Annotated[int | None, Query(ge=0, lt=2**63)]


def feed_routes(site: Site) -> APIRouter:
    """Return `/feed` and `/feed/stream`."""
    routes = APIRouter()
    broadcast, written = Broadcast(site.office, site.ending), _Written()

    @routes.get("/feed")
    def feed(request: Request, user: Viewer, wanted: _Wanted, before: _Place = None) -> Response:
        """Show the newest lines, or those before a line."""
        shown = read_page(site.office, reps=user.reps, wanted=wanted, before=before)
        with site.office.database.read() as tx:
            campaigns = read_campaign_names(tx)
        return page(
            request,
            "feed/index.html",
            title=_("Feed"),
            shown=shown,
            wanted=wanted,
            campaigns=campaigns,
            reps=reps_of(site, user),
            topics=topic_names(),
            **_due(site, user, wanted),
            tasks=_address("/feed/tasks", wanted),
            stream=None if before is not None else _address("/feed/stream", wanted, after=shown.newest),
            older=None if shown.older is None else _address("/feed", wanted, before=shown.older),
        )

    @routes.get("/feed/tasks")
    def tasks(request: Request, user: Viewer, wanted: _Wanted) -> Response:
        """Show the tasks that stand beside the feed, as they are now."""
        return fragment(request, "feed/tasks.html", **_due(site, user, wanted))

    @routes.get("/feed/stream")
    async def stream(
        request: Request,
        user: Viewer,
        wanted: _Wanted,
        after: _Place = None,
        only: Literal["task"] | None = None,
        last: Annotated[str, Header(alias="Last-Event-ID")] = "",
    ) -> Response:
        """Tell what happens from now on, or after a line; of tasks alone if wanted."""
        place = int(last) if _NUMBER.fullmatch(last) else after

        async def messages() -> AsyncIterator[str]:
            yield f"retry: {_COME_BACK}\n\n"
            async with aclosing(broadcast.follow(place)) as hearing:
                async for heard in hearing:
                    if not await run_in_threadpool(_is_still, site, request, user):
                        yield _message("end", {})
                        return
                    told = _told(request, user, wanted, heard, written, tasks_only=only is not None)
                    while some := "".join(islice(told, _AT_ONCE)):
                        yield some
                        await asyncio.sleep(0)

        return StreamingResponse(messages(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    return routes


def _is_still(site: Site, request: Request, user: User) -> bool:
    """Tell whether somebody who listens is signed in yet, and sees what they saw when they began."""
    signed_in = site.sessions.read(request) is not None
    return signed_in and reps_seen_by(site.project.settings_now(), user.email) == user.reps


def _due(site: Site, user: User, wanted: FeedFilter) -> dict[str, Any]:
    """Return the tasks of the rep who is asked for, else of whoever looks, else of all whose work they may see."""
    if wanted.rep and user.may_see(wanted.rep):
        reps = [wanted.rep]
    else:
        reps = list(reps_of(site, user)) if user.rep is None else [user.rep.email]
    return {
        "due": read_due(site.office, reps, _DUE),
        "most_due": _DUE,
        "names": reps_of(site, user),
        "several": _several(user),
    }


class _Written:
    """Lines as the page shows them, each written once for all who read it alike: it takes a thousandth of a second."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], str] = {}

    def html_of(self, request: Request, line: FeedLine, *, several: bool) -> str:
        key = (line.seq, viewing(), several)
        if key not in self._kept:
            if len(self._kept) >= REPLAYED:
                self._kept.clear()
            shown = fragment(request, "feed/group.html", lines=[line], topics=topic_names(), several=several)
            self._kept[key] = bytes(shown.body).decode()
        return self._kept[key]


def _told(
    request: Request, user: User, wanted: FeedFilter, heard: Heard, written: _Written, *, tasks_only: bool
) -> Iterator[str]:
    """Return what one listener is told of what happened, and always how far it got."""
    if heard.lines is None:
        yield _message("reload", {}, heard.newest)
    for line in heard.lines or ():
        event = line.event
        if touches_task_of(event, user.reps):
            said = {"key": event.intent, "kind": event.kind, "rep": event.rep, "person": event.person}
            yield _message("task", {**said, "text": line.text})
        if not tasks_only and may_see(event, user.reps) and wanted.matches(event):
            html = written.html_of(request, line, several=_several(user))
            shown = {"seq": line.seq, "person": event.person, "topic": line.topic, "html": html}
            yield _message("feed", shown, line.seq)
    yield _message("beat", {}, heard.newest)


def _message(name: str, data: dict[str, Any], number: int | None = None) -> str:
    """Return a message as server-sent events write it; JSON has no line breaks of its own."""
    place = "" if number is None else f"id: {number}\n"
    return f"{place}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _address(path: str, wanted: FeedFilter, **numbers: int) -> str:
    """Return the address of a page with the same filter."""
    said: dict[str, str | int | None] = {"kind": wanted.topic, "campaign": wanted.campaign, "rep": wanted.rep}
    said |= numbers
    return f"{path}?{urlencode({name: value for name, value in said.items() if value is not None})}"


def topic_names() -> dict[Topic, str]:
    """Return what each kind of line is called."""
    return {
        Topic.SENT: _("Sent"),
        Topic.REPLIED: _("Replied"),
        Topic.BOUNCED: _("Bounced"),
        Topic.OPTED_OUT: _("Opted out"),
        Topic.TASKS: _("Task"),
        Topic.PROBLEMS: _("Problem"),
        Topic.CAMPAIGNS: _("Campaign"),
        Topic.STEPS: _("Step due"),
    }


def reps_of(site: Site, user: User) -> dict[str, str]:
    """Return the reps whose work one may see, by address, with their names."""
    names = {rep.email: rep.name for rep in site.office.reps.values() if user.may_see(rep.email)}
    return names | {email: email for email in sorted(user.reps or ()) if email not in names}


def _several(user: User) -> bool:
    """Tell whether one sees the work of more reps than one, so that lines name them."""
    return user.reps is None or len(user.reps) > 1
