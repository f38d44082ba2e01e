"""One's own language and time zone.

Lives here: these routes. Does not live here: what may be chosen (`web.choices`).
"""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from connector.store import preferences
from connector.web.api.callers import Administering, Reading
from connector.web.api.models import Given
from connector.web.choices import choose, chosen_by
from connector.web.i18n import LANGUAGES
from connector.web.site import Site

_LOCALE = f"One of {', '.join(LANGUAGES)}; null: as the browser asks."
_ZONE = "IANA name; null: that of connector.yaml."


class Preferences(BaseModel):
    """What you have chosen."""

    locale: str | None = Field(description=_LOCALE)
    time_zone: str | None = Field(description=_ZONE)

    @classmethod
    def of(cls, chosen: preferences.Preferences) -> Preferences:
        """Return what was chosen."""
        return cls(locale=chosen.locale, time_zone=chosen.zone)


class Choice(Given):
    """What you choose; what is not given is chosen no more."""

    locale: str | None = Field(default=None, max_length=16, description=_LOCALE)
    time_zone: str | None = Field(default=None, max_length=64, description=_ZONE)


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""

    @routes.get("/preferences")
    def read_preferences(user: Reading) -> Preferences:
        """Return what you have chosen for yourself on the pages."""
        return Preferences.of(chosen_by(site, user))

    @routes.put("/preferences")
    def keep_preferences(user: Administering, choice: Choice) -> Preferences:
        """Choose for yourself."""
        choose(site, user, preferences.Preferences(locale=choice.locale or None, zone=choice.time_zone or None))
        return Preferences.of(chosen_by(site, user))
