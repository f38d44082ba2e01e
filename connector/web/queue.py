"""Tasks: the queue, and one task after the other.

Lives here: `/tasks`, `/tasks/focus`, `/tasks/<key>`. Does not live here: their forms (`queue_forms`), which tasks there
are (`sync.queue`), how they are written (`queue_words`). Source: issue 7, interfaces 4.

All filters stand in the address, so that a page can be kept, sent and gone back to.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response

from connector.errors import BadInput
from connector.intents import StepType
from connector.store.feed import read_campaign_names
from connector.store.undos import count_undo
from connector.sync.bulk import UNDO_LASTS
from connector.sync.feed import call_address, read_newest, safe_address
from connector.sync.queue import (
    COUNTED,
    QueueFilter,
    Range,
    Row,
    count_ranges,
    read_place_before,
    read_queue_page,
    read_rows,
)
from connector.sync.views import TASK_STATES
from connector.web.access import Viewer, own_task
from connector.web.i18n import gettext as _
from connector.web.pages import fragment, is_htmx, page
from connector.web.people import record_address
from connector.web.queue_words import lines_of, range_names, row_words
from connector.web.site import Site
from connector.web.users import User
from connector.web.words import type_names


def _asked(
    due: Annotated[str, Query(max_length=20)] = "",
    type: Annotated[str, Query(max_length=20)] = "",  # noqa: A002 - the address's own word
    campaign: Annotated[str, Query(max_length=200)] = "",
    rep: Annotated[str, Query(max_length=254)] = "",
    q: Annotated[str, Query(max_length=200)] = "",
) -> QueueFilter:
    """Read the filter of an address; an empty field of a form is none."""
    return filter_of(due, type, campaign, rep, q)


def filter_of(due: str, type_: str, campaign: str, rep: str, search: str) -> QueueFilter:
    """Return the filter that an address or a form says; raise `BadInput` for a word that is none of ours."""
    try:
        return QueueFilter(
            range=Range(due) if due else Range.ALL,
            type=StepType(type_) if type_ else None,
            campaign=campaign or None,
            rep=rep.lower() or None,
            search=search.strip(),
        )
    except ValueError:
        raise BadInput(_("The filter in the address is none of ours: begin with all tasks.")) from None


_Asked = Annotated[QueueFilter, Depends(_asked)]
_After = Annotated[str, Query(max_length=100)]
_Batch = Annotated[str, Query(max_length=32)]


def queue_routes(site: Site) -> APIRouter:
    """Return the pages of tasks."""
    routes = APIRouter()
    office = site.office

    @routes.get("/tasks")
    def tasks(request: Request, user: Viewer, asked: _Asked, after: _After = "", batch: _Batch = "") -> Response:
        """Show the queue."""
        newest = read_newest(office)  # before the queue: what happens in between is heard of twice, not missed
        shown = read_queue_page(office, asked, reps=user.reps, after=after)
        values: dict[str, Any] = {
            "asked": asked,
            "words": row_words(),
            "lines": lines_of(site, shown.rows),
            "counts": count_ranges(office, asked, reps=user.reps),
            "most": COUNTED,
            "newest": newest,
            "address": lambda **other: address_of(asked, **other),
            "here": address_of(asked, after=after),
            "next": None if shown.next is None else address_of(asked, after=shown.next),
            "first": address_of(asked) if after else None,
        }
        if is_htmx(request):
            return fragment(request, "queue/list.html", **_choices(site, user), **values)
        with office.database.read() as tx:
            campaigns = read_campaign_names(tx)
        return page(
            request,
            "queue/index.html",
            title=_("Tasks"),
            campaigns=campaigns,
            **_undo_of(site, user, batch),
            **_choices(site, user),
            **values,
        )

    @routes.get("/tasks/focus")
    def focus(request: Request, user: Viewer, asked: _Asked, after: _After = "", batch: _Batch = "") -> Response:
        """Show the queue one task at a time."""
        shown = read_queue_page(office, asked, reps=user.reps, after=after, most=1)
        before = read_place_before(office, asked, reps=user.reps, after=after)

        def at(place: str | None) -> str | None:
            return None if place is None else address_of(asked, "/tasks/focus", after=place)

        return _one(
            site,
            request,
            user,
            shown.rows[0] if shown.rows else None,
            batch,
            here=at(after),
            onward=at(shown.next),
            backward=at(before),
            queue=address_of(asked),
        )

    @routes.get("/tasks/{key}")
    def task(request: Request, user: Viewer, key: str, batch: _Batch = "") -> Response:
        """Show one task and all that can be done with it."""
        stored = own_task(site, user, key)
        (row,) = read_rows(office, [stored.intent.key], reps=user.reps)
        here = f"/tasks/{stored.intent.key}"
        return _one(site, request, user, row, batch, here=here, onward=None, backward=None, queue="/tasks")

    return routes


def _one(site: Site, request: Request, user: User, row: Row | None, batch: str, **addresses: Any) -> Response:
    line = None if row is None else lines_of(site, [row])[0]
    return page(
        request,
        "queue/task.html",
        title=_("All done") if line is None else line.what,
        line=line,
        reps=reps_of_office(site),
        tomorrow=tomorrow_of(site, user),
        several=sees_several(user),
        **({} if row is None else _details(site, row)),
        **_undo_of(site, user, batch),
        **addresses,
    )


def _details(site: Site, row: Row) -> dict[str, Any]:
    """Return what the page of one task says and a line of the queue does not."""
    person, mirrored = row.person, row.task
    return {
        "whose": row.stored.intent.rep,
        "waits": row.stored.state in TASK_STATES,
        "edited": row.mail is not None and row.mail.edited,
        "notes": (mirrored.wanted.get("description") or "") if mirrored is not None else "",
        "phone": "" if person is None else person.phone,
        "call": None if person is None else call_address(person.phone),
        "profile": None if person is None else safe_address(person.linkedin_url),
        "record": None if mirrored is None else record_address(site, mirrored.remote_id or ""),
    }


def _undo_of(site: Site, user: User, batch: str) -> dict[str, Any]:
    """Return what an address says was done a moment ago, and of how many tasks it can be taken back."""
    if not batch:
        return {"batch": "", "undoable": 0}
    with site.office.database.read() as tx:
        return {"batch": batch, "undoable": count_undo(tx, batch, user.email, site.now() - UNDO_LASTS)}


def _choices(site: Site, user: User) -> dict[str, Any]:
    reps = {email: name for email, name in reps_of_office(site).items() if user.may_see(email)}
    return {
        "ranges": range_names(),
        "types": type_names(),
        "reps": reps,
        "everybody": reps_of_office(site),
        "several": sees_several(user),
        "tomorrow": tomorrow_of(site, user),
    }


def address_of(asked: QueueFilter, path: str = "/tasks", **other: str) -> str:
    """Return the address of the queue under a filter, with some of it changed."""
    said = {
        "due": "" if asked.range is Range.ALL else asked.range.value,
        "type": "" if asked.type is None else asked.type.value,
        "campaign": asked.campaign or "",
        "rep": asked.rep or "",
        "q": asked.search,
        **other,
    }
    query = urlencode({name: value for name, value in said.items() if value})
    return f"{path}?{query}" if query else path


def sees_several(user: User) -> bool:
    """Tell whether somebody sees the tasks of more reps than one."""
    return user.reps is None or len(user.reps) > 1


def reps_of_office(site: Site) -> dict[str, str]:
    """Return the reps of connector.yaml: address -> name."""
    return {rep.email: rep.name for rep in site.office.reps.values()}


def tomorrow_of(site: Site, user: User) -> str:
    """Return the day after today, for the one who looks, as a date field says it."""
    today = site.now().astimezone(user.zone).date()
    return date.fromordinal(today.toordinal() + 1).isoformat()
