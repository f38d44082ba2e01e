"""Settings: one's own choices, and whether all is well.

Lives here: `/settings` and `/settings/health`, trying again what the CRM did not take, and looking at every account.
Does not live here: what is shown (`sync.standing`), what an account needs (`sync.doctor`), `/healthz` (`health`).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from connector.engine.opening import local_engine, shared_engine
from connector.engine.port import Health
from connector.people import time_zones
from connector.ports import Verdict
from connector.store.preferences import Preferences
from connector.sync.doctor import Finding
from connector.sync.office import Office
from connector.sync.standing import list_mailboxes, list_own_diagnostics, look_at_crm, retry_own
from connector.web.access import Admin, Viewer
from connector.web.account_check import findings_of
from connector.web.choices import choose, chosen_by
from connector.web.i18n import LANGUAGES
from connector.web.i18n import gettext as _
from connector.web.pages import page
from connector.web.site import Site
from connector.web.users import Role, User

#: Lines of what the CRM did not take that a page shows.
_SHOWN = 100


def settings_routes(site: Site) -> APIRouter:
    """Return `/settings` and what lies below it."""
    routes = APIRouter()
    office = site.office

    @routes.get("/settings")
    def settings(request: Request, user: Viewer, *, saved: bool = False) -> Response:
        """Show one's own choices."""
        return page(
            request,
            "settings/index.html",
            title=_("Settings"),
            subpages=subpages(),
            chosen=chosen_by(site, user),
            saved=saved,
            languages=[("", _("As the browser asks")), *LANGUAGES.items()],
            zones=sorted(time_zones()),
            role={Role.REP: _("Rep"), Role.MANAGER: _("Manager"), Role.ADMIN: _("Administrator")}[user.role],
        )

    @routes.post("/settings")
    def save(
        user: Viewer,
        locale: Annotated[str, Form(max_length=16)] = "",
        zone: Annotated[str, Form(max_length=64)] = "",
    ) -> Response:
        """Keep one's own choices."""
        choose(site, user, Preferences(locale=locale or None, zone=zone or None))
        return RedirectResponse("/settings?saved=true", status_code=303)

    @routes.get("/settings/health")
    def health(request: Request, user: Viewer, retried: int | None = None) -> Response:
        """Show how accounts and mailboxes stand, and what the CRM did not take."""
        return _health_page(request, site, user, retried=retried, findings=None)

    @routes.post("/settings/retry")
    def retry(user: Viewer, record: Annotated[str, Form(max_length=254)] = "") -> Response:
        """Let a record be tried by the next pass, or all that are theirs."""
        tried = retry_own(office, [record] if record else None, reps=user.reps)
        return RedirectResponse(f"/settings/health?retried={tried}", status_code=303)

    @routes.post("/settings/doctor")
    def doctor(request: Request, user: Admin) -> Response:
        """Ask every account whether all is as it should be."""
        return _health_page(request, site, user, retried=None, findings=findings_of(site))

    return routes


def subpages() -> list[tuple[str, str]]:
    """Return the pages below the settings: address and name."""
    return [
        ("/settings", _("Yours")),
        ("/settings/health", _("Health")),
        ("/settings/keys", _("API keys")),
        ("/settings/webhooks", _("Webhooks")),
    ]


def _health_page(
    request: Request, site: Site, user: User, *, retried: int | None, findings: list[Finding] | None
) -> Response:
    troubles = list_own_diagnostics(site.office, reps=user.reps)
    return page(
        request,
        "settings/health.html",
        title=_("Health"),
        subpages=subpages(),
        now=site.now(),
        engine=_engine(site.office),
        crm=look_at_crm(site.office) if user.role is not Role.REP else None,
        mailboxes=list_mailboxes(site.office, reps=user.reps),
        troubles=troubles[:_SHOWN],
        more=max(0, len(troubles) - _SHOWN),
        retried=retried,
        findings=findings,
        verdicts={
            Verdict.OK: (_("In order"), "good"),
            Verdict.WARNING: (_("Warning"), "warn"),
            Verdict.FAULT: (_("Fault"), "bad"),
        },
    )


def _engine(office: Office) -> Health:
    """Return how whatever works this database does: one process, or workers on many machines."""
    here = local_engine(office.database, office.clock).health()
    if here.is_well or office.database.is_sqlite:
        return here
    shared = shared_engine(office.database, office.clock).health()
    return shared if shared.is_well else here
