"""The web application of one office.

Lives here: `create_app`, which joins the routes. Does not live here: what every answer has in common (`guard`), the
routes themselves, what went wrong (`errors`), serving them (`serving`).
"""

from __future__ import annotations

from pathlib import Path

from fastapi import Depends, FastAPI
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles

from connector.web.access import check_form, current_user
from connector.web.api.app import mount_api
from connector.web.api_settings import api_settings_routes
from connector.web.campaign_versions import campaign_version_routes
from connector.web.campaigns import campaign_routes
from connector.web.compose import compose_routes
from connector.web.compose_files import compose_file_routes
from connector.web.emails import email_routes
from connector.web.errors import handle_errors
from connector.web.feed import feed_routes
from connector.web.guard import Guard
from connector.web.health import health_routes
from connector.web.health_page import settings_routes
from connector.web.launching import launch_routes
from connector.web.metrics import metrics_routes
from connector.web.numbers import numbers_routes
from connector.web.opening import open_routes
from connector.web.people import people_routes
from connector.web.queue import queue_routes
from connector.web.queue_forms import queue_form_routes
from connector.web.sign_in_pages import sign_in_routes
from connector.web.site import Site
from connector.web.unsubscribe import unsubscribe_routes

_STATIC = Path(__file__).parent / "static"


def create_app(site: Site) -> FastAPI:
    """Return the application of one office; it calls nobody until somebody asks for a page."""
    # No pages about the pages: they would load scripts from elsewhere.
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.site = site
    app.add_middleware(Guard, url=site.project.settings.web.url)
    handle_errors(app)
    app.include_router(health_routes(site.office.database))
    app.include_router(metrics_routes(site))
    app.include_router(unsubscribe_routes(site))
    app.include_router(sign_in_routes(site))
    signed_in = [Depends(current_user), Depends(check_form)]
    for routes in (
        open_routes,
        compose_routes,
        compose_file_routes,
        queue_routes,
        queue_form_routes,
        email_routes,
        feed_routes,
        people_routes,
        settings_routes,
        api_settings_routes,
        numbers_routes,
        campaign_routes,
        campaign_version_routes,
        launch_routes,
    ):
        app.include_router(routes(site), dependencies=signed_in)
    app.add_api_route("/", lambda: RedirectResponse("/tasks", 303), methods=["GET"], dependencies=signed_in)
    mount_api(app, site)
    app.mount("/static", StaticFiles(directory=_STATIC))
    return app
