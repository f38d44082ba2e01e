"""Signing in and out: the page, the link of this machine's user, the way to a provider and back.

Lives here: `/sign-in`, `/sign-in/<token>`, `/sign-in/with/<provider>` and its callback, `/sign-out`. Does not live
here: sessions (`sign_in`), what is asked of a provider (`oidc`), whose address counts (`id_tokens`), who may come in
(`users`).
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from connector.web.access import check_form, current_user, known_user, site_of
from connector.web.guard import is_this_machine
from connector.web.i18n import gettext as _
from connector.web.id_tokens import BadTokenError, UnverifiedError
from connector.web.oidc import Begun, OpenId, Provider, ProviderError, providers_of
from connector.web.pages import page
from connector.web.sign_in import LINK_LASTS, THIS_MACHINE, forget, wanted
from connector.web.site import Site

_log = logging.getLogger(__name__)

#: Cookie that holds a sign-in under way.
_UNDER_WAY = "signing-in"


def sign_in_routes(site: Site) -> APIRouter:
    """Return the routes of signing in and out; they are for everybody."""
    routes = APIRouter()
    routes.add_api_route("/sign-in", _ask, methods=["GET"])
    routes.add_api_route("/sign-in/{token}", _use_link, methods=["GET"])
    # Whoever may not sign out is not signed in; a form elsewhere cannot do it.
    safe = [Depends(current_user), Depends(check_form)]
    routes.add_api_route("/sign-out", _sign_out, methods=["POST"], dependencies=safe)
    routes.include_router(_provider_routes(site))
    return routes


def sign_in_page(request: Request, *sentences: str, title: str, status: int) -> Response:
    """Return the page that offers each way to sign in, below what was wrong with the last."""
    return page(
        request,
        "sign_in.html",
        title=title,
        status=status,
        sentences=sentences,
        providers=providers_of(site_of(request).project.settings.web.sign_in).values(),
        this_machine=is_this_machine(request.url.hostname or ""),
        minutes=int(LINK_LASTS.total_seconds() // 60),
    )


def _ask(request: Request) -> Response:
    """Offer each way to sign in; lead on who is signed in already."""
    session = site_of(request).sessions.read(request)
    if session is not None and known_user(site_of(request), session.user) is not None:
        return RedirectResponse(wanted(request), status_code=303)
    return sign_in_page(request, title=_("Sign in"), status=200)


def _use_link(request: Request, token: str) -> Response:
    """Sign in by the link, and go where one wanted to go."""
    site = site_of(request)
    if site.link.use(token):
        return _signed_in(request, THIS_MACHINE)
    if site.sessions.read(request) is not None:
        return RedirectResponse(wanted(request), status_code=303)
    sentence = _("It was used already, or it is too old.")
    return sign_in_page(request, sentence, title=_("This link does not sign you in"), status=401)


def _sign_out(request: Request) -> Response:
    """End the session."""
    answer = RedirectResponse("/sign-in", status_code=303)
    site_of(request).sessions.end(request, answer)
    return answer


def _signed_in(request: Request, user: str) -> Response:
    answer = RedirectResponse(wanted(request), status_code=303)
    site_of(request).sessions.begin(request, answer, user)
    forget(request, answer, "next")
    return answer


def _provider_routes(site: Site) -> APIRouter:
    """Return the way to each provider of the settings, and back."""
    rules = site.project.settings.web
    known = {name: OpenId(one, site.office.clock) for name, one in providers_of(rules.sign_in).items()}
    routes = APIRouter(prefix="/sign-in/with")

    def back_from(name: str) -> str:
        return f"{rules.url}/sign-in/with/{name}/callback"

    @routes.get("/{name}")
    def leave(request: Request, name: str) -> Response:
        """Lead to a provider, with what shows later that it was this browser that asked."""
        signing = known.get(name)
        if signing is None:
            return sign_in_page(request, title=_("There is no such way to sign in"), status=404)
        if request.url.hostname != urlsplit(rules.url or "").hostname:
            # The way back leads there, and so must what this browser keeps.
            return RedirectResponse(f"{rules.url}/sign-in/with/{name}", status_code=303)
        begun = Begun.at(name)
        try:
            answer = RedirectResponse(signing.address(begun, back=back_from(name)), status_code=303)
        except ProviderError as error:
            return _does_not_answer(request, signing.provider, error)
        site.sessions.keep(request, answer, _UNDER_WAY, asdict(begun), LINK_LASTS)
        return answer

    @routes.get("/{name}/callback")
    def come_back(
        request: Request,
        name: str,
        state: str = "",
        code: str = "",
        iss: str = "",
        problem: Annotated[str, Query(alias="error")] = "",
    ) -> Response:
        """Take what a provider says of the one who comes from it."""
        begun = _begun(site, request)
        if begun is None or begun.provider != name or not hmac.compare_digest(begun.state.encode(), state.encode()):
            sentence = _("It was begun in another window, or too long ago.")
            return sign_in_page(request, sentence, title=_("This sign-in is not going on"), status=400)
        if problem or not code:
            answer = _declined(request, known[name].provider)
        else:
            answer = _come_in(request, known[name], begun, code, issuer=iss, back=back_from(name))
        forget(request, answer, _UNDER_WAY)
        return answer

    return routes


def _begun(site: Site, request: Request) -> Begun | None:
    said = site.sessions.kept(request, _UNDER_WAY, LINK_LASTS)
    known = set(providers_of(site.project.settings.web.sign_in))
    if said is None or said["provider"] not in known:
        return None
    return Begun(provider=said["provider"], state=said["state"], nonce=said["nonce"], verifier=said["verifier"])


def _declined(request: Request, provider: Provider) -> Response:
    sentence = _("%(provider)s did not sign you in.", provider=provider.label)
    return sign_in_page(request, sentence, title=_("You are not signed in"), status=401)


def _come_in(request: Request, signing: OpenId, begun: Begun, code: str, *, issuer: str, back: str) -> Response:
    provider = signing.provider
    try:
        address = signing.finish(begun, code, back=back, issuer=issuer)
    except (ProviderError, BadTokenError) as error:
        return _does_not_answer(request, provider, error)
    except UnverifiedError:
        _log.warning("somebody was not let in: %s does not speak for their address", provider.label)
        return _not_let_in(
            request,
            _("%(provider)s does not vouch that your address is yours.", provider=provider.label),
            _("Sign in with the account that your own organisation gave you, not with a guest's or a private one."),
        )
    user = known_user(site_of(request), address)
    if user is None:
        return _not_let_in(
            request,
            _("You signed in as %(address)s, an address that nobody here is known by.", address=address),
            _("Ask whoever keeps connector.yaml to add it: to a rep, or under web.admins or web.managers."),
        )
    return _signed_in(request, user.email)


def _not_let_in(request: Request, *sentences: str) -> Response:
    return sign_in_page(request, *sentences, title=_("You are not let in"), status=403)


def _does_not_answer(request: Request, provider: Provider, error: Exception) -> Response:
    _log.warning("nobody could be signed in with %s: %s", provider.label, error)
    sentence = _("%(provider)s did not answer as it must. Try again in a moment.", provider=provider.label)
    more = _("If it stays so, ask whoever keeps connector.yaml: the log of 'connector serve' says more.")
    return sign_in_page(request, sentence, more, title=_("This did not work"), status=502)
