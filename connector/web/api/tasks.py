"""Tasks of reps.

Lives here: looking at tasks, and what is done with one. Does not live here: what follows from it (`sync.actions`).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from connector.intents import IntentEvent, Priority, StepType
from connector.sync import actions
from connector.sync.actions import find_task
from connector.sync.bulk import Action, Deed, act
from connector.sync.opening import open_task
from connector.sync.queue import QueueFilter, Range, read_queue_page
from connector.sync.views import view_tasks
from connector.web.access import own_task
from connector.web.api.callers import Reading, Working
from connector.web.api.lists import Cursor, Listed, Most, cursor_of, place_of
from connector.web.api.models import Email, Given, Task, by_of
from connector.web.dates import LAST_DAY
from connector.web.site import Site
from connector.web.users import User


class Completion(Given):
    """What came of a call; nothing for another task."""

    outcome: str = Field(default="", max_length=200)
    reason: str = Field(default="", max_length=200)


class Snooze(Given):
    """Until when a task is left."""

    until: date = Field(le=LAST_DAY)


class Assignment(Given):
    """Who is given a task."""

    rep: Email


class Edit(Given):
    """What of a task is changed; what is not given stays."""

    priority: Priority | None = None
    comments: str | None = Field(default=None, max_length=32_000, description="Blank clears them.")


class Opening(Given):
    """Where an email is opened."""

    program: Literal["gmail", "outlook"] | None = Field(default=None, description="The rep's own when it is left out.")


class Opened(BaseModel):
    """Where the mail is found."""

    address: str
    kind: Literal["draft", "compose"]
    notes: list[str] = Field(description="What is different from what one may expect.")


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""
    office = site.office

    def shown(user: User, id_: str) -> Task:
        [view] = view_tasks(office, [own_task(site, user, id_)])
        return Task.of(view)

    @routes.get("/tasks")
    def list_tasks(
        user: Reading,
        due: Range = Range.ALL,
        type: StepType | None = None,  # noqa: A002 - the list's own word
        campaign: Annotated[str | None, Query(max_length=200)] = None,
        rep: Email | None = None,
        search: Annotated[str, Query(max_length=200, description="Beginnings of words.")] = "",
        cursor: Cursor = None,
        limit: Most = 50,
    ) -> Listed[Task]:
        """Return what waits for reps, earliest due first; `due` is by each rep's own date."""
        place = place_of(cursor, str)
        asked = QueueFilter(range=due, type=type, campaign=campaign, rep=rep, search=search)
        after = None if place is None else place[0]
        page = read_queue_page(office, asked, reps=user.reps, after=after, most=limit)
        following = None if page.next is None else cursor_of(page.next)
        return Listed(
            items=[Task.of(view) for view in view_tasks(office, [row.stored for row in page.rows])], next=following
        )

    @routes.get("/tasks/{id}")
    def get_task(user: Reading, id: str) -> Task:  # noqa: A002 - the path's own word
        """Return a task by its id, or by the first characters of it."""
        return shown(user, id)

    @routes.post("/tasks/{id}/complete")
    def complete_task(user: Working, id: str, done: Completion | None = None) -> Task:  # noqa: A002
        """Mark a task as done; the campaign goes on."""
        key = own_task(site, user, id).intent.key
        said = done or Completion()
        by = by_of(user)
        actions.end_by_hand(office, key, IntentEvent.COMPLETE, by=by, outcome=said.outcome, call_reason=said.reason)
        return shown(user, key)

    @routes.post("/tasks/{id}/skip")
    def skip_task(user: Working, id: str) -> Task:  # noqa: A002
        """Go on without doing a task."""
        key = own_task(site, user, id).intent.key
        actions.end_by_hand(office, key, IntentEvent.SKIP, by=by_of(user))
        return shown(user, key)

    @routes.post("/tasks/{id}/snooze")
    def snooze_task(user: Working, id: str, later: Snooze) -> Task:  # noqa: A002
        """Move an open task to a later date."""
        key = own_task(site, user, id).intent.key
        actions.snooze(office, key, later.until)
        return shown(user, key)

    @routes.post("/tasks/{id}/assign")
    def assign_task(user: Working, id: str, to: Assignment) -> Task:  # noqa: A002
        """Give an open task to another rep; you may not see it any more then."""
        stored = own_task(site, user, id)
        deed = Deed(action=Action.ASSIGN, rep=to.rep, by=by_of(user))
        act(office, user.email, deed, [stored.intent.key], reps=user.reps, strict=True)
        with office.database.read() as tx:
            [view] = view_tasks(office, [find_task(tx, stored.intent.key)])
        return Task.of(view)

    @routes.patch("/tasks/{id}")
    def edit_task(user: Working, id: str, change: Edit) -> Task:  # noqa: A002
        """Change the priority or the comments of an open task; Salesforce hears of it with the next pass."""
        key = own_task(site, user, id).intent.key
        actions.edit(office, key, priority=change.priority, comments=change.comments)
        return shown(user, key)

    @routes.post("/tasks/{id}/open")
    def open_email(user: Working, id: str, where: Opening | None = None) -> Opened:  # noqa: A002
        """Make or find the prefilled draft of an email task, and return its address."""
        key = own_task(site, user, id).intent.key
        opened = open_task(office, key, client=None if where is None else where.program)
        notes = [*opened.notes, *([opened.beside] if opened.beside else [])]
        return Opened(address=opened.address, kind="draft" if opened.is_draft else "compose", notes=notes)
