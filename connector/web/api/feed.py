"""The feed: what happened, for programs that look now and then. Who wants to be told makes a webhook."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from connector.sync.feed import FeedFilter, Topic, read_page
from connector.web.api.callers import Reading
from connector.web.api.lists import Cursor, Listed, Most, cursor_of, place_of
from connector.web.api.models import Email, Event
from connector.web.site import Site


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""

    @routes.get("/feed")
    def list_feed(
        user: Reading,
        topic: Topic | None = None,
        campaign: Annotated[str | None, Query(max_length=200)] = None,
        rep: Email | None = None,
        cursor: Cursor = None,
        limit: Most = 50,
    ) -> Listed[Event]:
        """Return what happened, newest first; a part may be empty though there is more."""
        place = place_of(cursor, int)
        page = read_page(
            site.office,
            reps=user.reps,
            wanted=FeedFilter(topic=topic, campaign=campaign, rep=rep),
            before=None if place is None else place[0],
            most=limit,
        )
        events = [Event.of(line.event, line.seq) for line in page.lines]
        return Listed(items=events, next=None if page.older is None else cursor_of(page.older))
