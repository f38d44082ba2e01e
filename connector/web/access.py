"""Who asks, and whether it is theirs: asked of every page and every action, on the server.

Lives here: what routes declare (`Viewer`, `Manager`, `Admin`, `site_of`), the check of forms (`check_form`), and
`own_task`, `own_person`. Does not live here: who is who (`users`).

What is somebody else's is answered like what is not there.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Iterable
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from connector.errors import BadInput
from connector.store.enrollments import find_enrollments
from connector.store.intents import StoredIntent
from connector.store.people import StoredPerson, read_people
from connector.store.preferences import read_preferences
from connector.sync.actions import UnknownTask, find_task
from connector.web.i18n import view_as, viewing
from connector.web.sign_in import NotSignedInError
from connector.web.site import Site
from connector.web.users import Role, User, user_of

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class NotAllowedError(Exception):
    """It takes another role."""


class ForgedError(Exception):
    """A request that changes something does not come from a page of ours."""


class UnreadableError(Exception):
    """A request holds a NUL, which no text of ours has: PostgreSQL keeps none, and no mail may hold one."""


class UnknownPerson(BadInput):
    """An address names nobody whom one may see."""


def site_of(request: Request) -> Site:
    """Return the site a request came to."""
    found: Site = request.app.state.site
    return found


async def current_user(request: Request) -> User:
    """Return who is signed in, and have the page written for them; raise `NotSignedInError` for nobody."""
    site = site_of(request)
    session = site.sessions.read(request)
    user = None if session is None else await run_in_threadpool(known_user, site, session.user)
    if session is None or user is None:
        raise NotSignedInError
    view_as(user.locale or viewing().locale, user.zone)
    request.state.user, request.state.csrf = user, session.csrf
    return user


def known_user(site: Site, email: str) -> User | None:
    """Return who an address stands for, with what they have chosen; None for a stranger."""
    with site.office.database.read() as tx:
        chosen = read_preferences(tx, email)
    return user_of(site.project.settings_now(), email, chosen)


Viewer = Annotated[User, Depends(current_user)]


def _manager(user: Viewer) -> User:
    if user.role is Role.REP:
        raise NotAllowedError
    return user


def _admin(user: Viewer) -> User:
    if not user.is_admin:
        raise NotAllowedError
    return user


#: A user who is more than a rep.
Manager = Annotated[User, Depends(_manager)]
Admin = Annotated[User, Depends(_admin)]


async def check_token(request: Request) -> None:
    """Let a request that changes something pass if it carries the session's token; raise `ForgedError` if not."""
    if request.method in _READING:
        return
    given = request.headers.get("X-CSRF-Token")
    if given is None:
        given = str((await request.form()).get("csrf", ""))
    if not hmac.compare_digest(given.encode(), str(request.state.csrf).encode()):
        raise ForgedError


def check_address(request: Request) -> None:
    """Raise `UnreadableError` for an address that holds what no text of ours has."""
    _check_texts([request.scope["path"], *(text for field in request.query_params.multi_items() for text in field)])


def _check_texts(texts: Iterable[str]) -> None:
    if any("\0" in text for text in texts):
        raise UnreadableError


async def check_form(request: Request, user: Viewer) -> AsyncIterator[None]:
    """Check the token of a page's form, and close what was read of it when it has been answered."""
    del user  # it fills in what the session says
    check_address(request)
    try:
        await check_token(request)
        if request.method not in _READING:
            said = (await request.form()).multi_items()
            _check_texts((one.filename or "") if isinstance(one, UploadFile) else one for _, one in said)
        yield
    finally:
        await request.close()  # the files of a form that was read here


def own_task(site: Site, user: User, key: str) -> StoredIntent:
    """Return a task that a user may see, by its key or the beginning of it; raise `UnknownTask` for any other."""
    with site.office.database.read() as tx:
        stored = find_task(tx, key)
    if not user.may_see(stored.intent.rep):
        raise UnknownTask(f"the id '{key}' names no task: look in the list of tasks")
    return stored


def own_person(site: Site, user: User, email: str) -> StoredPerson:
    """Return a person whom a user may see: in a campaign of their reps', or in nobody's; else `UnknownPerson`."""
    address = email.strip().lower()
    with site.office.database.read() as tx:
        person = read_people(tx, [address]).get(address)
        if person is not None and user.reps is not None:
            reps = {one.rep for one in find_enrollments(tx, persons=[address], live=False)}
            person = person if not reps or reps & user.reps else None
    if person is None:
        raise UnknownPerson(f"there is nobody with the address '{address}': look in the list of people")
    return person
