"""What every route is given.

Lives here: `Site`. Does not live here: how it is put together (`cli.serve`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from threading import Event

from connector.app import Project
from connector.ports import Vault
from connector.sync.office import Office
from connector.unsubscribe import Tokens
from connector.web.sign_in import Sessions, SignInLink


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One office's web app."""

    office: Office
    #: The files: settings, campaigns and templates as they are now.
    project: Project
    vault: Vault
    sessions: Sessions
    #: Signs this machine's user in, once.
    link: SignInLink
    tokens: Tokens
    #: Set when the app is told to end: answers that go on for ever (the feed) end then.
    ending: Event = field(default_factory=Event)

    def now(self) -> datetime:
        """Return the present instant, aware, UTC."""
        return self.office.now()

    def fresh_project(self) -> Project:
        """Return the files read anew: campaigns and templates change while this runs."""
        return Project(folder=self.project.folder, adapters=self.project.adapters)
