"""Webhooks, for programs that make and end them; docs/webhooks.md tells what they are told."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from connector.events import EventKind
from connector.store.webhooks import Webhook
from connector.sync.webhooks import add_webhook, remove_webhook, resume_webhook, webhooks_of
from connector.web.api.callers import Administering
from connector.web.api.lists import Listed
from connector.web.api.models import Given
from connector.web.site import Site


class WantedHook(Given):
    """A webhook to be made."""

    url: str = Field(max_length=2000, examples=["https://hooks.client.example/connector"])
    kinds: list[EventKind] = Field(default=[], max_length=len(EventKind), description="All when none is named.")


class Hook(BaseModel):
    """A webhook."""

    id: str
    url: str
    user: str
    kinds: list[EventKind]
    created: datetime
    position: int = Field(description="Number of the last line it was told, or that was not for it.")
    due: datetime | None = Field(description="When it is tried next; null when it was given up.")
    attempts: int = Field(description="Tries in a row that failed.")
    problem: str | None

    @classmethod
    def of(cls, hook: Webhook) -> Hook:
        """Return a webhook as it is listed."""
        return cls(**_fields(hook))


class MadeHook(Hook):
    """A webhook just made."""

    secret: str = Field(description="Signs what it is told; shown this once.")


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""
    office = site.office

    @routes.get("/webhooks")
    def list_webhooks(user: Administering) -> Listed[Hook]:
        """Return your webhooks; everybody's for an admin."""
        return Listed(items=[Hook.of(hook) for hook in webhooks_of(office, user.email)])

    @routes.post("/webhooks", status_code=201)
    def make_webhook(user: Administering, wanted: WantedHook) -> MadeHook:
        """Make a webhook, which is told what happens from now on with the work you may see."""
        new = add_webhook(office, user=user.email, url=wanted.url, kinds=wanted.kinds)
        return MadeHook(**_fields(new.webhook), secret=new.secret)

    @routes.post("/webhooks/{id}/resume")
    def try_webhook_again(user: Administering, id: str) -> Hook:  # noqa: A002 - the path's own word
        """Try a webhook again now, from the line it did not take."""
        return Hook.of(resume_webhook(office, user.email, id))

    @routes.delete("/webhooks/{id}", status_code=204)
    def end_webhook(user: Administering, id: str) -> None:  # noqa: A002
        """End a webhook."""
        remove_webhook(office, user.email, id)


def _fields(hook: Webhook) -> dict[str, object]:
    return {name: getattr(hook, name) for name in Hook.model_fields}
