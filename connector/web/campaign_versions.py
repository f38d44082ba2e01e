"""The versions of a campaign: which ones people are in, what the file says now, and moving people to it.

Lives here: `/campaigns/<name>/versions`. Does not live here: telling versions apart (`sync.drift`), moving people
(`sync.migration`).
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from connector.errors import BadInput
from connector.sync.campaign_views import CampaignFiles, CampaignView, view_campaign
from connector.sync.drift import drifts
from connector.sync.migration import Move, migrate, plan_migration
from connector.web.access import Viewer
from connector.web.campaign_files import FilesNow, Form, address_of, name_of
from connector.web.i18n import ngettext
from connector.web.pages import page
from connector.web.site import Site
from connector.web.users import User

#: People named of each group that moves.
_NAMED = 10


def campaign_version_routes(site: Site) -> APIRouter:
    """Return the page of a campaign's versions."""
    routes = APIRouter()
    office, now = site.office, FilesNow(site)

    @routes.get("/campaigns/{campaign}/versions")
    def versions(request: Request, user: Viewer, campaign: str, migrated: int | None = None) -> Response:
        """Show which versions people are in, what the file says now, and who would move to it."""
        files = now.read().files
        view = view_campaign(office, files, name_of(campaign, files), user.reps)
        return page(
            request, "campaigns/versions.html", title=view.line.name, **_versions(site, user, files, view, migrated)
        )

    @routes.post("/campaigns/{campaign}/versions")
    def move(request: Request, user: Viewer, campaign: str, form: Form) -> Response:
        """Move people to the present version, those who were shown."""
        files = now.read().files
        view = view_campaign(office, files, name_of(campaign, files), user.reps)
        definition = files.campaigns.get(view.line.name)
        if definition is None:
            raise BadInput(f"the file of '{view.line.name}' is gone or has faults: there is nothing to move people to")
        moves = plan_migration(office, definition, files.templates, reps=user.reps)
        if form.get("present") != view.line.present or form.get("moves") != str(len(moves)):
            values = _versions(site, user, files, view, None) | {"changed": True}
            return page(request, "campaigns/versions.html", title=view.line.name, status=409, **values)
        moved = migrate(office, definition, files.templates, reps=user.reps)
        return RedirectResponse(f"{address_of(view.line.name)}/versions?migrated={len(moved)}", 303)

    return routes


def _versions(site: Site, user: User, files: CampaignFiles, view: CampaignView, migrated: int | None) -> dict[str, Any]:
    definition = files.campaigns.get(view.line.name)
    found, moves = [], []
    if definition is not None:
        found = drifts(site.office, definition, files.templates)
        moves = plan_migration(site.office, definition, files.templates, reps=user.reps)
    return {
        "view": view,
        "address": address_of(view.line.name),
        "drifts": [(one, sum(1 for enrollment in one.enrollments if user.may_see(enrollment.rep))) for one in found],
        "moves": _grouped(moves),
        "total": len(moves),
        "said": ""
        if migrated is None
        else ngettext("%(num)s person was moved.", "%(num)s people were moved.", migrated),
        "changed": False,
    }


def _grouped(moves: list[Move]) -> list[tuple[str, str, int, list[str]]]:
    """Return (version now, where they go on, how many, some of them)."""
    groups: dict[tuple[str, str], list[str]] = {}
    for move in moves:
        groups.setdefault((move.enrollment.version, move.next_step), []).append(move.enrollment.person)
    return [(version, next_step, len(who), who[:_NAMED]) for (version, next_step), who in groups.items()]


def _moved(num: int) -> str:
    return ngettext("%(num)s person was moved.", "%(num)s people were moved.", num)
