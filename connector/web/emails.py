"""Emails: what is scheduled, placed, sent, and what did not go well, each with what can be done about it.

Lives here: `/emails` and its forms. Does not live here: which emails there are (`sync.mail_lists`), doing something
about them (`sync.mail_actions`), writing them (`compose`). Source: issue 7, reference marketo 13.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from connector.errors import BadInput
from connector.intents import IntentState
from connector.people import time_zones
from connector.sync.actions import UnknownTask
from connector.sync.mail_actions import cancel, rep_of, reschedule, retry
from connector.sync.mail_lists import COUNTED, Standing, count_emails, list_emails
from connector.web.access import Viewer
from connector.web.dates import read_day
from connector.web.i18n import gettext as _
from connector.web.pages import page
from connector.web.queue import reps_of_office, sees_several
from connector.web.queue_words import draft_names, state_names
from connector.web.site import Site
from connector.web.users import User

_State = Annotated[Standing, Form()]


def email_routes(site: Site) -> APIRouter:
    """Return `/emails` and its forms."""
    routes = APIRouter()
    office = site.office

    @routes.get("/emails")
    def emails(
        request: Request,
        user: Viewer,
        state: Standing = Standing.SCHEDULED,
        after: Annotated[str, Query(max_length=100)] = "",
    ) -> Response:
        """Show a list of emails."""
        shown = list_emails(office, state, reps=user.reps, after=after)
        return page(
            request,
            "emails/index.html",
            title=_("Emails"),
            shown=shown,
            standing=state,
            standings=_names(),
            counts=count_emails(office, reps=user.reps),
            most=COUNTED,
            states=state_names(),
            drafts=draft_names(),
            reps=reps_of_office(site),
            planned=IntentState.PLANNED,
            several=sees_several(user),
            zone=user.zone.key,
            zones=sorted(time_zones()),
            next=None if shown.next is None else f"/emails?{urlencode({'state': state.value, 'after': shown.next})}",
            first=f"/emails?state={state.value}" if after else None,
            empty_sentence=_("No email is in this list."),
        )

    @routes.post("/emails/{id}/reschedule")
    def move(
        user: Viewer,
        id: str,  # noqa: A002 - the address's own word
        day: Annotated[str, Form(max_length=10)],
        time: Annotated[str, Form(max_length=8)],
        zone: Annotated[str, Form(max_length=64)],
        state: _State = Standing.SCHEDULED,
    ) -> Response:
        """Send an email at another time."""
        _check(site, user, id)
        reschedule(office, id, _instant(day, time, zone), by=_by(user))
        return _back(state)

    @routes.post("/emails/{id}/cancel")
    def call_off(user: Viewer, id: str, state: _State = Standing.SCHEDULED) -> Response:  # noqa: A002
        """Do not send an email."""
        _check(site, user, id)
        cancel(office, id, by=_by(user))
        return _back(state)

    @routes.post("/emails/{id}/retry")
    def try_again(user: Viewer, id: str, state: _State = Standing.FAILED) -> Response:  # noqa: A002
        """Try an email again."""
        _check(site, user, id)
        retry(office, id)
        return _back(state)

    return routes


def _check(site: Site, user: User, id_: str) -> None:
    if not user.may_see(rep_of(site.office, id_)):
        raise UnknownTask(f"the id '{id_[:8]}' names no email: look in the lists of emails")


def _by(user: User) -> str:
    return user.name or _("the user of this machine")


def _back(state: Standing) -> Response:
    return RedirectResponse(f"/emails?state={state.value}", 303)


def _instant(day: str, time: str, zone: str) -> datetime:
    if zone not in time_zones():
        raise BadInput(_("The time zone is not known: choose one of the list."))
    try:
        # No date that can be reckoned with is written None, which is none either.
        return datetime.fromisoformat(f"{read_day(day)}T{time}").replace(tzinfo=ZoneInfo(zone))
    except ValueError:
        raise BadInput(_("The date or the time cannot be read: choose both.")) from None


def _names() -> dict[Standing, str]:
    return {
        Standing.SCHEDULED: _("Scheduled"),
        Standing.DRAFTS: _("Drafts"),
        Standing.IN_PROGRESS: _("In progress"),
        Standing.SENT: _("Sent"),
        Standing.FAILED: _("Failed"),
        Standing.BOUNCED: _("Bounced"),
        Standing.CANCELLED: _("Cancelled"),
    }
