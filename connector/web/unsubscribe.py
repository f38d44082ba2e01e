"""`/u/<token>`: where the recipient of a mail says that they want no more, with nobody signed in.

Lives here: the question (GET, which changes nothing and reads nothing but the token) and the answer to it (POST, of the
page's own button and of mail programs). Does not live here: tokens (`connector.unsubscribe`), what an opt-out does
(`sync.actions`). Source: issue 7, RFC 8058.

A token is all that is needed: neither cookie nor form token, and what a mail program sends along is not read. An answer
never leads elsewhere, as RFC 8058 asks.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from connector.errors import BadInput
from connector.sync.actions import opt_out
from connector.web.i18n import gettext as _
from connector.web.pages import page
from connector.web.site import Site

#: The reason that the ledger and the CRM are told.
REASON = "they unsubscribed by the link in a mail"

#: No search engine keeps a page that says whose it is.
_HEADERS = {"X-Robots-Tag": "noindex, nofollow"}


def unsubscribe_routes(site: Site) -> APIRouter:
    """Return `/u/<token>`; it is for everybody who has a token."""
    routes = APIRouter()

    @routes.get("/u/{token}")
    def ask(request: Request, token: str) -> HTMLResponse:
        """Ask whether the recipient wants no more mail."""
        email = _person_of(site, token)
        return _nobody(request) if email is None else _answer(request, "asked.html", _("Unsubscribe"), email)

    @routes.post("/u/{token}")
    def unsubscribe(request: Request, token: str) -> HTMLResponse:
        """Opt the recipient out of everything, now; once more changes nothing."""
        email = _person_of(site, token)
        if email is None:
            return _nobody(request)
        opt_out(site.office, email, reason=REASON)
        return _answer(request, "done.html", _("You are unsubscribed"), email)

    return routes


def _person_of(site: Site, token: str) -> str | None:
    try:
        return site.tokens.read_token(token)
    except BadInput:
        return None


def _nobody(request: Request) -> HTMLResponse:
    """Say that there is nothing to unsubscribe from here; it is the same for every token that is not ours."""
    return _answer(request, "unknown.html", _("This link is not complete"), status=404)


def _answer(
    request: Request, template: str, title: str, email: str | None = None, *, status: int = 200
) -> HTMLResponse:
    shown = None if email is None else masked(email)
    answer = page(request, f"unsubscribe/{template}", title=title, status=status, address=shown)
    answer.headers.update(_HEADERS)
    return answer


def masked(email: str) -> str:
    """Return an address as its owner knows it again, and nobody learns it who only has the link: a…@globex.example."""
    name, _at, domain = email.rpartition("@")
    return f"{name[:1]}…@{domain}" if len(name) > 1 else f"…@{domain}"
