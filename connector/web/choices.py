"""What people choose for themselves: their language and their time zone.

Lives here: `chosen_by`, `choose`. Does not live here: the routes (`health_page`, `api.preferences`), what follows from
a choice (`users`, `i18n`).
"""

from __future__ import annotations

from connector.errors import BadInput
from connector.people import time_zones
from connector.store.preferences import Preferences, read_preferences, save_preferences
from connector.web.i18n import LANGUAGES
from connector.web.site import Site
from connector.web.users import User


def chosen_by(site: Site, user: User) -> Preferences:
    """Return what a user has chosen."""
    with site.office.database.read() as tx:
        return read_preferences(tx, user.email)


def choose(site: Site, user: User, chosen: Preferences) -> None:
    """Keep what a user has chosen; raise `BadInput` for a language or a zone that there is not."""
    if chosen.locale and chosen.locale not in LANGUAGES:
        raise BadInput(f"there is no language '{chosen.locale}' to choose")
    if chosen.zone and chosen.zone not in time_zones():
        raise BadInput(f"there is no time zone '{chosen.zone}': write a name such as Europe/Madrid")
    with site.office.database.write() as tx:
        save_preferences(tx, user.email, chosen)
