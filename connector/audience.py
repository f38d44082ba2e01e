"""Whose work somebody may see, by connector.yaml.

Lives here: `reps_seen_by`, which webhooks follow, and `known_as`. Does not live here: roles as the web app asks for
them (`web.users`).
"""

from __future__ import annotations

from connector.settings import Settings


def reps_seen_by(settings: Settings, email: str) -> frozenset[str] | None:
    """Return the reps whose work an address may see; None means everybody's, an empty set that it is a stranger's.

    The address of this machine's user is "".
    """
    rep = settings.rep(email)
    addresses = {email, *(() if rep is None else (rep.email, *rep.aliases))}
    if email == "" or addresses & set(settings.web.admins):
        return None
    own = set() if rep is None else {rep.email}
    return frozenset(own.union(*(team for manager, team in settings.web.managers.items() if manager in addresses)))


def known_as(settings: Settings, email: str) -> str | None:
    """Return the one address that somebody's own things are kept under, whichever they use; None for a stranger."""
    rep = settings.rep(email)
    known = reps_seen_by(settings, email) != frozenset()
    return None if not known else email if rep is None else rep.email
