"""Who asks the API, and what for: a session of the pages, or a key.

Lives here: `identify` and what routes declare (`Reading`, `Working`, `Running`, `Minding`, `Administering`). Does not
live here: keys (`sync.api_keys`), whose work is whose (`web.access`).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from starlette.concurrency import run_in_threadpool

from connector.sync.api_keys import Scope, open_by
from connector.web.access import check_token, current_user, known_user, site_of
from connector.web.api.problems import ScopeError
from connector.web.sign_in import NotSignedInError
from connector.web.site import Site
from connector.web.users import User

_BEARER = "bearer "


async def identify(request: Request) -> User:
    """Return whose request it is, and note what it may be for; raise `NotSignedInError` or `ForgedError`."""
    said = request.headers.get("authorization")
    if said is None:
        user = await current_user(request)
        await check_token(request)
        request.state.scopes = frozenset(Scope)
        return user
    if not said.lower().startswith(_BEARER):
        raise NotSignedInError
    found = await run_in_threadpool(_by_key, site_of(request), said[len(_BEARER) :].strip())
    if found is None:
        raise NotSignedInError
    request.state.user, request.state.scopes = found
    return found[0]


def _by_key(site: Site, secret: str) -> tuple[User, frozenset[Scope]] | None:
    key = open_by(site.office, secret)
    user = None if key is None else known_user(site, key.user)
    return None if key is None or user is None else (user, frozenset(map(Scope, key.scopes)))


def _needing(scope: Scope) -> Dependency:
    def check(request: Request) -> User:
        scopes: frozenset[Scope] = request.state.scopes
        if scope not in scopes:
            raise ScopeError(f"this takes a key with the scope '{scope}'")
        user: User = request.state.user
        return user

    found: Dependency = Depends(check)
    return found


#: The user who asks, in a route that needs a scope of their key.
Reading = Annotated[User, _needing(Scope.READ)]
Working = Annotated[User, _needing(Scope.TASKS)]
Running = Annotated[User, _needing(Scope.CAMPAIGNS)]
Minding = Annotated[User, _needing(Scope.PEOPLE)]
Administering = Annotated[User, _needing(Scope.ADMIN)]
