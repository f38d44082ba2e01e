"""Launching a campaign: who and when, then everything that would come of it, then the launch.

Lives here: `/campaigns/<name>/launch` and the pages of a plan below it. Does not live here: what its form says
(`launch_forms`), the plan (`sync.launch_plans`), what it would come to and the launch (`sync.launch_preview`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from connector.campaigns.model import Campaign
from connector.errors import BadInput
from connector.people import Person, time_zones
from connector.store.people_pages import PeopleFilter, find_people
from connector.sync.campaign_views import CampaignFiles, UnknownCampaign
from connector.sync.launch_plans import LaunchPlan, UnknownPlan, change, find_plan, keep
from connector.sync.launch_preview import LaunchedAlready, PlanChanged, Shown, calendar_of, confirm, show
from connector.sync.previewing import with_images
from connector.web.access import Viewer
from connector.web.campaign_files import FilesNow, Form, address_of, name_of
from connector.web.campaign_words import modes_named
from connector.web.compose import PREVIEW_POLICY
from connector.web.i18n import gettext as _
from connector.web.launch_forms import plan_of_form
from connector.web.pages import fragment, page
from connector.web.site import Site
from connector.web.users import Role, User
from connector.web.words import type_names

#: People of a plan shown at a time.
_PAGE = 20
#: People found by a search.
_FOUND = 20


def launch_routes(site: Site) -> APIRouter:
    """Return the pages of a launch."""
    routes = APIRouter()
    now = FilesNow(site)

    @routes.get("/campaigns/{campaign}/launch")
    def begin(
        request: Request, user: Viewer, campaign: str, plan: Annotated[str, Query(max_length=32)] = ""
    ) -> Response:
        """Ask who is launched, by whom and when."""
        definition = _definition(now.read().files, campaign)
        begun = find_plan(site.office, plan, user.email) if plan else None
        return _begin(request, site, user, definition, begun)

    @routes.get("/campaigns/{campaign}/launch/search")
    def search(
        request: Request, user: Viewer, campaign: str, q: Annotated[str, Query(max_length=100)] = ""
    ) -> Response:
        """Find people who are known, to be ticked."""
        ticked = request.query_params.getlist("person")
        return fragment(request, "campaigns/found.html", **_found(site, user, q, ticked), campaign=campaign)

    @routes.post("/campaigns/{campaign}/launch")
    def plan_(request: Request, user: Viewer, campaign: str, form: Form) -> Response:
        """Make a plan of what was chosen."""
        definition = _definition(now.read().files, campaign)
        earlier = str(form.get("plan", ""))
        begun = find_plan(site.office, earlier, user.email) if earlier else None
        if form.get("do") == "search" and form.get("q"):  # without a script
            return _begin(request, site, user, definition, begun, form=form)
        try:
            made = plan_of_form(site, user, definition, form, begun)
        except BadInput as error:
            return _begin(request, site, user, definition, begun, form=form, faults=str(error).splitlines())
        keep(site.office, made)
        return RedirectResponse(_address(made), 303)

    @routes.get("/campaigns/{campaign}/launch/{plan}")
    def look(request: Request, user: Viewer, campaign: str, plan: str, at: Annotated[int, Query(ge=0)] = 0) -> Response:
        """Show everything that would come of a plan, or what came of it."""
        files = now.read().files
        return _look(request, site, user, files, _plan(site, user, files, campaign, plan), at=at)

    @routes.post("/campaigns/{campaign}/launch/{plan}")
    def go(request: Request, user: Viewer, campaign: str, plan: str, form: Form) -> Response:
        """Launch what was shown; a second time does nothing."""
        files = now.read().files
        found = _plan(site, user, files, campaign, plan)
        definition = _definition(files, found.campaign)
        digest = str(form.get("digest", ""))
        try:
            confirm(site.office, definition, files.templates, found, reps=user.reps, digest=digest)
        except PlanChanged as error:
            return _look(request, site, user, files, found, changed=str(error), status=409)
        except LaunchedAlready:
            pass  # its page says what came of it
        return RedirectResponse(_address(found), 303)

    _add_people_routes(routes, site, now)
    return routes


def _add_people_routes(routes: APIRouter, site: Site, now: FilesNow) -> None:
    @routes.get("/campaigns/{campaign}/launch/{plan}/people/{email:path}/preview")
    def preview(request: Request, user: Viewer, campaign: str, plan: str, email: str) -> Response:
        """Show the first email of one person as they would see it."""
        files = now.read().files
        found = _plan(site, user, files, campaign, plan)
        shown = show(site.office, _definition(files, found.campaign), files.templates, found, reps=user.reps)
        first = shown.person(email).first
        if first is None or first.rendered is None:
            raise BadInput(f"there is no first email of {email} to be seen yet")
        body = with_images(first.rendered.html, site.office, first.rendered.images)
        answer = page(request, "compose/preview.html", title=_("Preview"), problem="", body=body)
        answer.headers["Content-Security-Policy"] = PREVIEW_POLICY
        return answer

    @routes.get("/campaigns/{campaign}/launch/{plan}/people/{email:path}")
    def person(request: Request, user: Viewer, campaign: str, plan: str, email: str) -> Response:
        """Show the calendar and the first email of one person."""
        files = now.read().files
        found = _plan(site, user, files, campaign, plan)
        shown = show(site.office, _definition(files, found.campaign), files.templates, found, reps=user.reps)
        return page(request, "campaigns/launch_person.html", title=email, **_person(shown, files, email))

    @routes.post("/campaigns/{campaign}/launch/{plan}/people/{email:path}")
    def write(user: Viewer, campaign: str, plan: str, email: str, form: Form) -> Response:
        """Write the first email of one person in other words, or as its template says again, or leave them out."""
        files = now.read().files
        found = _plan(site, user, files, campaign, plan)
        match form.get("do"):
            case "out":
                change(site.office, plan, user.email, lambda one: one.without(email))
                return RedirectResponse(_address(found), 303)
            case "template":
                change(site.office, plan, user.email, lambda one: one.saying(email, None))
            case _:
                shown = show(site.office, _definition(files, found.campaign), files.templates, found, reps=user.reps)
                first = shown.person(email).first
                if first is None or first.written is None:
                    raise BadInput(f"there is no first email of {email} to write in other words")
                subject, body = _line(form.get("subject")), str(form.get("body", "")).replace("\r\n", "\n")
                said = replace(first.written, subject=subject, body=body)
                change(site.office, plan, user.email, lambda one: one.saying(email, said))
        return RedirectResponse(_address(found, email), 303)


# -------------------------------------------------------------------------------------------- what was chosen


def _definition(files: CampaignFiles, campaign: str) -> Campaign:
    name = name_of(campaign, files)
    if name not in files.campaigns:
        raise UnknownCampaign(f"there is no campaign '{name}' whose file is in order: look in the list of campaigns")
    return files.campaigns[name]


def _plan(site: Site, user: User, files: CampaignFiles, campaign: str, id_: str) -> LaunchPlan:
    found = find_plan(site.office, id_, user.email)
    if found.campaign != name_of(campaign, files):
        raise UnknownPlan("there is no such launch of this campaign: begin it anew from the page of its campaign")
    return found


def _line(said: object) -> str:
    return " ".join(str(said or "").split())


# ------------------------------------------------------------------------------------------------- the pages


def _address(plan: LaunchPlan, email: str = "") -> str:
    base = f"{address_of(plan.campaign)}/launch/{plan.id}"
    return f"{base}/people/{quote(email)}" if email else base


def _begin(
    request: Request,
    site: Site,
    user: User,
    campaign: Campaign,
    begun: LaunchPlan | None,
    *,
    form: FormData | None = None,
    faults: list[str] | None = None,
) -> Response:
    reps = [rep for rep in site.office.reps.values() if user.may_see(rep.email)]
    zone = begun.zone if begun is not None else user.zone.key
    start = None if begun is None or begun.start is None else begun.start.astimezone(ZoneInfo(zone))
    said: dict[str, Any] = {
        "rep": begun.rep if begun is not None else user.rep.email if user.rep is not None else "",
        "when": "at" if start is not None else "now",
        "date": "" if start is None else f"{start:%Y-%m-%d}",
        "time": "" if start is None else f"{start:%H:%M}",
        "zone": zone,
        "pasted": "",
        "source": "",
        "source_value": "",
    }
    overrides = {} if begun is None else begun.overrides
    clocks = {
        step.place: f"{overrides.get(step.place, step.at):%H:%M}" for step in campaign.steps if step.at is not None
    }
    if form is not None:
        said |= {name: str(form.get(name, value)) for name, value in said.items()}
        clocks |= {place: str(form.get(f"at_{place}", clock)) for place, clock in clocks.items()}
    ticked = [] if form is None else [str(one) for one in form.getlist("person")]
    return page(
        request,
        "campaigns/launch.html",
        title=_("Launch %(name)s", name=campaign.name),
        status=422 if faults else 200,
        campaign=campaign,
        address=address_of(campaign.name),
        plan=begun,
        reps=reps,
        zones=sorted(time_zones()),
        said=said,
        clocks=clocks,
        faults=faults or [],
        queries=user.role is not Role.REP,
        crm=site.office.crm is not None,
        **_found(site, user, "" if form is None else str(form.get("q", "")), ticked),
    )


def _found(site: Site, user: User, said: str, ticked: list[str]) -> dict[str, Any]:
    with site.office.database.read() as tx:
        found = find_people(tx, PeopleFilter(search=said), reps=user.reps, most=_FOUND) if said.strip() else []
    return {
        "ticked": ticked,
        "found": [one.person for one in found if one.person.email not in ticked],
        "q": said,
    }


def _look(
    request: Request,
    site: Site,
    user: User,
    files: CampaignFiles,
    plan: LaunchPlan,
    *,
    at: int = 0,
    changed: str = "",
    status: int = 200,
) -> Response:
    title = _("Launch %(name)s", name=plan.campaign)
    common: dict[str, Any] = {"plan": plan, "address": address_of(plan.campaign), "here": _address(plan)}
    if plan.outcome is not None:
        return page(request, "campaigns/launched.html", title=title, **common)
    try:
        shown = show(site.office, _definition(files, plan.campaign), files.templates, plan, reps=user.reps)
    except BadInput as error:
        faults = str(error).splitlines()
        return page(request, "campaigns/launch_faults.html", title=title, status=422, faults=faults, **common)
    return page(
        request,
        "campaigns/plan.html",
        title=title,
        status=status,
        shown=shown,
        people=shown.people[at : at + _PAGE],
        at=at,
        next_at=at + _PAGE if at + _PAGE < len(shown.people) else None,
        changed=changed,
        **_calendars(shown),
        **common,
    )


def _calendars(shown: Shown) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for one in shown.people:
        counts[one.zone] = counts.get(one.zone, 0) + 1
    return {
        "calendars": [(zone, counts[zone], _rows(found.steps, zone)) for zone, found in shown.calendars.items()],
        "types": type_names(),
        "modes": modes_named(),
    }


def _rows(steps: Any, zone: str) -> list[tuple[Any, datetime]]:
    """Return each step with its due instant on the wall clock of a zone."""
    return [(step, step.planned.due.astimezone(ZoneInfo(zone))) for step in steps]


def _person(shown: Shown, files: CampaignFiles, email: str) -> dict[str, Any]:
    planned = shown.person(email)
    order = [one.person.email for one in shown.people]
    index = order.index(email)
    return {
        "plan": shown.plan,
        "address": address_of(shown.plan.campaign),
        "back": _address(shown.plan),
        "here": _address(shown.plan, email),
        "planned": planned,
        "name": _named(planned.person),
        "rows": _rows(calendar_of(shown, files.templates, planned.person).steps, planned.zone),
        "types": type_names(),
        "modes": modes_named(),
        "before": _address(shown.plan, order[index - 1]) if index else "",
        "after": _address(shown.plan, order[index + 1]) if index + 1 < len(order) else "",
    }


def _named(person: Person) -> str:
    return f"{person.first_name} {person.last_name}".strip()
