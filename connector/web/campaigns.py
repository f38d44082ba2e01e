"""Campaigns: all of them, and one as a calendar with its people.

Lives here: `/campaigns`, `/campaigns/<name>` with what is done to people in it. Does not live here: what the numbers
mean (`sync.campaign_views`), doing it (`sync.enrollment_actions`), `campaign_versions`, `launching`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from connector.errors import BadInput
from connector.sequencing.enrollment import EnrollmentState
from connector.store.campaign_numbers import Members, Place
from connector.store.enrollments import read_enrollments
from connector.sync.campaign_views import (
    CampaignView,
    MemberPage,
    list_campaigns,
    meant,
    page_of_members,
    view_campaign,
)
from connector.sync.enrollment_actions import CONCERNS, EnrollmentAction, act, choose
from connector.web.access import Viewer
from connector.web.campaign_files import FilesNow, Form, address_of, name_of
from connector.web.campaign_words import actions_done, actions_named, held_until
from connector.web.dates import read_day
from connector.web.i18n import gettext as _
from connector.web.pages import fragment, is_htmx, page
from connector.web.site import Site
from connector.web.users import User
from connector.web.words import state_names, type_names

_STEP = re.compile(r"([1-9]\d{0,4})\.([1-9]\d{0,4})", re.ASCII)
_AFTER = re.compile(r"(\d{1,5})\.([0-9a-f]{1,32})\.(.{1,254})", re.ASCII)

#: Fields by which something is asked for.
_ASKING = frozenset({"action", "scope", "state", "step", "until", "id"})

#: People named on a page that asks whether to go on.
_NAMED = 10


def campaign_routes(site: Site) -> APIRouter:
    """Return the pages of campaigns."""
    routes = APIRouter()
    office, now = site.office, FilesNow(site)

    @routes.get("/campaigns")
    def campaigns(request: Request, user: Viewer) -> Response:
        """List the campaigns, with how many people are in each."""
        read = now.read()
        lines = list_campaigns(office, read.files, user.reps)
        return page(
            request,
            "campaigns/list.html",
            title=_("Campaigns"),
            lines=lines,
            faults=[replace(fault, file=Path(fault.file).name if fault.file else None) for fault in read.faults],
            address_of=address_of,
            states={state: text for state, (text, _kind) in state_names().items()},
        )

    @routes.get("/campaigns/{campaign}")
    def campaign_(
        request: Request,
        user: Viewer,
        campaign: str,
        version: Annotated[str | None, Query(max_length=32)] = None,
        state: EnrollmentState = EnrollmentState.ACTIVE,
        step: Annotated[str, Query(max_length=12)] = "",
        after: Annotated[str, Query(max_length=300)] = "",
        done: EnrollmentAction | None = None,
        count: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        """Show a campaign as a calendar, and the people in it."""
        files = now.read().files
        name = name_of(campaign, files)
        members = meant(office, name, user.reps, (state,), _place(step))
        found = page_of_members(office, members, after=_after(after))
        listed = _listed(name, state, step, found)
        if is_htmx(request):
            return fragment(request, "campaigns/people.html", **listed)
        view = view_campaign(office, files, name, user.reps, version=version or None)
        said = actions_done(done, count) if done is not None else ""
        return page(request, "campaigns/campaign.html", title=name, view=view, said=said, **_shown(view), **listed)

    @routes.post("/campaigns/{campaign}/people")
    def people(request: Request, user: Viewer, campaign: str, form: Form) -> Response:
        """Pause, resume or remove people; who is meant, and how many, is confirmed first."""
        name = name_of(campaign, now.read().files)
        action, ids, fields = _asked(site, user, name, form)
        if not ids:
            return RedirectResponse(f"{address_of(name)}?{urlencode({'done': action, 'count': 0})}", 303)
        until = _until(form) if action is EnrollmentAction.PAUSE else None
        if form.get("confirmed") != str(len(ids)):
            return _ask(request, site, name, action, ids, fields, until=until, again="confirmed" in form)
        done = act(office, action, ids, by=user.name, until=until)
        kept = {key: value for key, value in fields if key in ("state", "step")}
        return RedirectResponse(f"{address_of(name)}?{urlencode({'done': action, 'count': done} | kept)}", 303)

    return routes


# ------------------------------------------------------------------------------------------- the people in one


def _place(step: str) -> tuple[int, int] | None:
    found = _STEP.fullmatch(step)
    return None if found is None else (int(found[1]), int(found[2]))


def _after(said: str) -> Place | None:
    found = _AFTER.fullmatch(said)
    return None if found is None else Place(position=int(found[1]), id=found[2], rep=found[3])


def _listed(name: str, state: EnrollmentState, step: str, found: MemberPage) -> dict[str, Any]:
    here = {"state": state.value, "step": step}
    at = found.after
    mark = {} if at is None else {"after": f"{at.position}.{at.id}.{at.rep}"}
    return {
        "address": address_of(name),
        "members": found.members,
        "more": f"{address_of(name)}?{urlencode(here | mark)}#people" if mark else "",
        "state": state,
        "step": step,
        "states": {state: text for state, (text, _kind) in state_names().items()},
        "types": type_names(),
    }


def _shown(view: CampaignView) -> dict[str, Any]:
    return {
        "steps": [
            (one.place, _("Day %(day)s, step %(step)s", day=one.day, step=one.step)) for one in view.campaign.steps
        ]
    }


def _asked(
    site: Site, user: User, name: str, form: FormData
) -> tuple[EnrollmentAction, list[str], list[tuple[str, str]]]:
    """Return what is to be done, to which enrollments, and the fields by which it is asked again."""
    try:
        action = EnrollmentAction(str(form.get("action", "")))
        state = EnrollmentState(str(form.get("state", "active")))
    except ValueError:
        raise BadInput("the form does not say what is to be done: go back and choose again") from None
    fields = [(key, str(value)) for key, value in form.multi_items() if key in _ASKING]
    scope, step = str(form.get("scope", "")), str(form.get("step", ""))
    if scope == "campaign":
        members = Members(campaign=name, reps=user.reps, states=CONCERNS[action])
        return action, choose(site.office, members), fields
    if scope == "list":
        states = [state] if state in CONCERNS[action] else []
        return action, choose(site.office, meant(site.office, name, user.reps, states, _place(step))), fields
    members = Members(campaign=name, reps=user.reps, states=CONCERNS[action])
    return action, choose(site.office, members, ids=[str(one) for one in form.getlist("id")]), fields


def _until(form: FormData) -> date | None:
    said = str(form.get("until", "")).strip()
    if not said:
        return None
    until = read_day(said)
    if until is None:
        raise BadInput(f"'{said[:20]}' is not a date to pause until: choose one, or leave it empty")
    return until


def _ask(
    request: Request,
    site: Site,
    name: str,
    action: EnrollmentAction,
    ids: list[str],
    fields: list[tuple[str, str]],
    *,
    until: date | None,
    again: bool,
) -> Response:
    with site.office.database.read() as tx:
        some = list(read_enrollments(tx, ids[:_NAMED]).values())
    return page(
        request,
        "campaigns/confirm.html",
        title=actions_named(len(ids))[action],
        address=address_of(name),
        name=name,
        action=action,
        fields=fields,
        until=held_until(len(ids), until) if until is not None else "",
        total=len(ids),
        some=[one.person for one in some],
        again=again,
    )
