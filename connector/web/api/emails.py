"""Emails by how they stand, and what is done about one.

Lives here: the lists, cancel, reschedule, retry. Does not live here: what may be done about which
(`sync.mail_actions`), what an email says (`tasks`, and its compose window).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from connector.intents import IntentState
from connector.store.mails import MailState
from connector.sync import mail_actions, mail_lists
from connector.sync.actions import UnknownTask
from connector.sync.mail_lists import Standing, list_emails
from connector.web.api.callers import Reading, Working
from connector.web.api.lists import Cursor, Listed, Most, cursor_of, place_of
from connector.web.api.models import Given, Instant, by_of
from connector.web.site import Site
from connector.web.users import User


class Email(BaseModel):
    """One email."""

    id: str = Field(description="Names it in what is done about it; another one once it is no longer ahead.")
    task: str = Field(description="Key of its intent.")
    person: str
    name: str
    subject: str
    campaign: str
    day: int | None
    step: int | None
    rep: str
    at: datetime = Field(description="When it is due, was sent, or came back.")
    state: IntentState | None
    mail: MailState | None
    reason: str
    may: list[str] = Field(description="What may be done about it: `reschedule`, `cancel`, `retry`.")

    @classmethod
    def of(cls, one: mail_lists.Email) -> Email:
        """Return an email of a list."""
        same = ("id", "person", "name", "subject", "campaign", "rep", "at", "state", "mail", "reason")
        day, step = one.place or (None, None)
        allowed = {"reschedule": one.moves, "cancel": one.cancels, "retry": one.retries}
        return cls(
            **{name: getattr(one, name) for name in same},
            task=one.key,
            day=day,
            step=step,
            may=[action for action, is_allowed in allowed.items() if is_allowed],
        )


class Later(Given):
    """When an email is sent instead."""

    at: Instant


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""
    office = site.office

    @routes.get("/emails")
    def list_all_emails(user: Reading, standing: Standing, cursor: Cursor = None, limit: Most = 50) -> Listed[Email]:
        """Return emails that stand so: what is ahead by when it is due, the rest newest first."""
        place = place_of(cursor, str)
        page = list_emails(office, standing, reps=user.reps, after=None if place is None else place[0], most=limit)
        following = None if page.next is None else cursor_of(page.next)
        return Listed(items=[Email.of(one) for one in page.emails], next=following)

    def act(user: User, id_: str, action: Callable[[], None]) -> None:
        if not user.may_see(mail_actions.rep_of(office, id_)):
            raise UnknownTask(f"the id '{id_[:8]}' names no email: look in the lists of emails")
        action()

    @routes.post("/emails/{id}/reschedule", status_code=204)
    def reschedule_email(user: Working, id: str, later: Later) -> None:  # noqa: A002 - the path's own word
        """Send an email at another instant."""
        act(user, id, lambda: mail_actions.reschedule(office, id, later.at, by=by_of(user)))

    @routes.post("/emails/{id}/cancel", status_code=204)
    def cancel_email(user: Working, id: str) -> None:  # noqa: A002
        """Do not send an email: its campaign goes on without it."""
        act(user, id, lambda: mail_actions.cancel(office, id, by=by_of(user)))

    @routes.post("/emails/{id}/retry", status_code=204)
    def retry_email(user: Working, id: str) -> None:  # noqa: A002
        """Try an email again that is blocked, held or failed."""
        act(user, id, lambda: mail_actions.retry(office, id))
