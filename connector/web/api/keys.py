"""Keys of the API, for programs that make and revoke them."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from connector.store.api_keys import ApiKey
from connector.sync.api_keys import Scope, add_key, keys_of, revoke
from connector.web.api.callers import Administering
from connector.web.api.lists import Listed
from connector.web.api.models import Given, Line
from connector.web.api.problems import ScopeError
from connector.web.site import Site


class Wanted(Given):
    """A key to be made."""

    name: Line
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope))


class Key(BaseModel):
    """A key, without what opens anything."""

    id: str
    name: str
    user: str
    scopes: list[Scope]
    created: datetime
    used: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> Key:
        """Return a key as it is listed."""
        return cls(**_fields(key))


class MadeKey(Key):
    """A key just made."""

    secret: str = Field(description="Shown this once.")


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""

    @routes.get("/keys")
    def list_keys(user: Administering) -> Listed[Key]:
        """Return your keys; everybody's for an admin."""
        return Listed(items=[Key.of(key) for key in keys_of(site.office, user.email)])

    @routes.post("/keys", status_code=201)
    def make_key(request: Request, user: Administering, wanted: Wanted) -> MadeKey:
        """Make a key of yours; one that is made with a key may do no more than that one."""
        if beyond := sorted(set(wanted.scopes) - request.state.scopes):
            raise ScopeError(f"the key that asks has no scope {', '.join(beyond)}, so it makes none that has")
        new = add_key(site.office, user=user.email, name=wanted.name, scopes=wanted.scopes)
        return MadeKey(**_fields(new.key), secret=new.secret)

    @routes.delete("/keys/{id}")
    def revoke_key(user: Administering, id: str) -> Key:  # noqa: A002 - the path's own word
        """Revoke a key: it opens nothing from now on."""
        return Key.of(revoke(site.office, user.email, id))


def _fields(key: ApiKey) -> dict[str, object]:
    return {name: getattr(key, name) for name in Key.model_fields}
