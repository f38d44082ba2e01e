"""Settings of the API: one's keys and webhooks.

Lives here: `/settings/keys` and `/settings/webhooks`. Does not live here: making keys (`sync.api_keys`), telling
webhooks (`sync.webhooks`), the API itself (`api`). A secret is on the page that answers its making, and on no other.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from connector.errors import BadInput
from connector.events import EventKind
from connector.sync.api_keys import NewKey, Scope, add_key, keys_of, revoke
from connector.sync.feed import TOPICS, Topic
from connector.sync.webhooks import NewWebhook, add_webhook, remove_webhook, resume_webhook, webhooks_of
from connector.web.access import Viewer
from connector.web.health_page import subpages
from connector.web.i18n import gettext as _
from connector.web.pages import page
from connector.web.site import Site
from connector.web.users import User

_Id = Annotated[str, Form(max_length=32)]


def api_settings_routes(site: Site) -> APIRouter:
    """Return the pages of keys and webhooks."""
    routes = APIRouter()
    office = site.office

    @routes.get("/settings/keys")
    def keys(request: Request, user: Viewer) -> Response:
        """List one's keys; everybody's for an admin."""
        return _keys_page(request, site, user)

    @routes.post("/settings/keys")
    def make_key(
        request: Request,
        user: Viewer,
        name: Annotated[str, Form(max_length=200)] = "",
        scope: Annotated[list[Scope], Form(max_length=len(Scope))] = [],  # noqa: B006 - FastAPI copies it
    ) -> Response:
        """Make a key, and show it this once."""
        try:
            new = add_key(office, user=user.email, name=name, scopes=scope)
        except BadInput as error:
            return _keys_page(request, site, user, fault=str(error), named=name)
        return _keys_page(request, site, user, new=new)

    @routes.post("/settings/keys/revoke")
    def revoke_key(user: Viewer, key: _Id) -> Response:
        """Let a key open nothing any more."""
        revoke(office, user.email, key)
        return RedirectResponse("/settings/keys", 303)

    @routes.get("/settings/webhooks")
    def webhooks(request: Request, user: Viewer) -> Response:
        """List one's webhooks; everybody's for an admin."""
        return _webhooks_page(request, site, user)

    @routes.post("/settings/webhooks")
    def make_webhook(
        request: Request,
        user: Viewer,
        url: Annotated[str, Form(max_length=2000)] = "",
        topic: Annotated[list[Topic], Form(max_length=len(Topic))] = [],  # noqa: B006
    ) -> Response:
        """Make a webhook, and show its secret this once."""
        kinds = [kind for kind in EventKind if TOPICS[kind] in topic]
        try:
            new = add_webhook(office, user=user.email, url=url.strip(), kinds=kinds)
        except BadInput as error:
            return _webhooks_page(request, site, user, fault=str(error), asked=url)
        return _webhooks_page(request, site, user, new=new)

    @routes.post("/settings/webhooks/resume")
    def resume(user: Viewer, webhook: _Id) -> Response:
        """Try a webhook again now."""
        resume_webhook(office, user.email, webhook)
        return RedirectResponse("/settings/webhooks", 303)

    @routes.post("/settings/webhooks/remove")
    def remove(user: Viewer, webhook: _Id) -> Response:
        """End a webhook."""
        remove_webhook(office, user.email, webhook)
        return RedirectResponse("/settings/webhooks", 303)

    return routes


def _keys_page(
    request: Request, site: Site, user: User, *, new: NewKey | None = None, fault: str = "", named: str = ""
) -> Response:
    return page(
        request,
        "settings_api/keys.html",
        title=_("API keys"),
        status=422 if fault else 200,
        subpages=subpages(),
        keys=keys_of(site.office, user.email),
        scopes=_scopes(),
        new=new,
        fault=fault,
        named=named,
    )


def _webhooks_page(
    request: Request, site: Site, user: User, *, new: NewWebhook | None = None, fault: str = "", asked: str = ""
) -> Response:
    return page(
        request,
        "settings_api/webhooks.html",
        title=_("Webhooks"),
        status=422 if fault else 200,
        subpages=subpages(),
        webhooks=webhooks_of(site.office, user.email),
        topics=_topics(),
        new=new,
        fault=fault,
        asked=asked,
    )


def _scopes() -> list[tuple[str, str]]:
    return [
        (Scope.READ, _("Look at everything you see")),
        (Scope.TASKS, _("Do what is done with tasks and emails")),
        (Scope.CAMPAIGNS, _("Launch, pause, resume, remove and move people")),
        (Scope.PEOPLE, _("Import people, and opt them out")),
        (Scope.ADMIN, _("Keys, webhooks and diagnostics")),
    ]


def _topics() -> list[tuple[str, str]]:
    return [
        (Topic.SENT, _("Emails sent")),
        (Topic.REPLIED, _("Replies")),
        (Topic.BOUNCED, _("Bounces")),
        (Topic.OPTED_OUT, _("Opt-outs")),
        (Topic.TASKS, _("Tasks")),
        (Topic.PROBLEMS, _("Problems")),
        (Topic.CAMPAIGNS, _("Campaigns")),
    ]
