"""Who uses the web app, and whose work they may see.

Lives here: `User`, `Role`, `user_of`. Does not live here: how somebody proves who they are (`sign_in`, `oidc`), asking
in a route (`access`). Source: issue 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import ZoneInfo

from connector.audience import known_as, reps_seen_by
from connector.people import Rep, time_zones
from connector.settings import Settings
from connector.store.preferences import Preferences
from connector.web.i18n import LANGUAGES
from connector.web.sign_in import THIS_MACHINE


class Role(StrEnum):
    """What somebody may do."""

    #: Own work.
    REP = "rep"
    #: Own work, and that of their team.
    MANAGER = "manager"
    #: Everything.
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who is signed in."""

    #: Lower case; `sign_in.THIS_MACHINE` for the user of this machine.
    email: str
    name: str
    role: Role
    #: The reps whose work they may see and do; None for everybody's, also of reps who are in connector.yaml no more.
    reps: frozenset[str] | None
    #: The rep they are themselves, if they are one.
    rep: Rep | None
    #: None: as their browser asks.
    locale: str | None
    zone: ZoneInfo

    @property
    def is_admin(self) -> bool:
        """Whether everything is theirs to see and do."""
        return self.role is Role.ADMIN

    def may_see(self, rep: str) -> bool:
        """Tell whether a rep's work is theirs to see and do."""
        return self.reps is None or rep in self.reps


def user_of(settings: Settings, email: str, chosen: Preferences) -> User | None:
    """Return who an address stands for, with what they have chosen for themselves; None for a stranger."""
    reps, rep, known = reps_seen_by(settings, email), settings.rep(email), known_as(settings, email)
    if known is None:
        return None
    if email == THIS_MACHINE and len(settings.reps) == 1:
        rep = settings.reps[0]
    if reps is None:
        role = Role.ADMIN
    elif rep is not None and reps == {rep.email}:
        role = Role.REP
    else:
        role = Role.MANAGER
    zone = chosen.zone if chosen.zone in time_zones() else (rep.time_zone if rep is not None else "UTC")
    return User(
        email=known,
        name=rep.name if rep is not None else email,
        role=role,
        reps=reps,
        rep=rep,
        locale=chosen.locale if chosen.locale in LANGUAGES else None,
        zone=ZoneInfo(zone or "UTC"),
    )
