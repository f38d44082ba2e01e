"""The email of a task: as the compose window shows it, for programs.

Lives here: these routes. Does not live here: what is written (`sync.composing`), having it sent (`sync.asking`), files
that somebody uploads (`mail_files`), where emails stand and what becomes of those ahead (`emails`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from connector.content.written import LONGEST_BODY, LONGEST_SUBJECT, FieldSource
from connector.sync import asking, composing
from connector.sync.composing import MOST_FILES, Standing, Text, Window
from connector.web.access import own_task
from connector.web.api.callers import Reading, Working
from connector.web.api.models import Given, Instant
from connector.web.site import Site
from connector.web.users import User

_Version = Annotated[
    int | None,
    Field(
        ge=0,
        lt=1_000_000_000,
        description="The one you saw; 409 if it was changed since. Without it, whatever is there.",
    ),
]


class MailField(BaseModel):
    """A merge field of the template, and what it came to."""

    path: str
    value: str
    source: FieldSource


class MailFile(BaseModel):
    """A file that was uploaded for one email."""

    id: str
    name: str
    size: int = Field(description="In bytes.")


class Mail(BaseModel):
    """The email of a task as it is now."""

    standing: Standing
    template: str
    templates: list[str] = Field(description="Those it may be written from.")
    subject: str
    body: str = Field(description="As it is edited, in `format`.")
    format: str
    attachments: list[str] = Field(description="Files beside the templates.")
    uploads: list[MailFile]
    attachment_bytes: int = Field(description="Most that the mailbox takes; 0 where files are attached by hand.")
    version: int
    unsaved: bool = Field(description="It says something else than the draft, or than what will be sent.")
    edited_there: bool = Field(description="The draft was edited in the mail program.")
    fields: list[MailField]
    missing: list[str] = Field(description="Fields without a value: they stop it from being sent.")
    prompts: list[str] = Field(description="Field prompts that nobody replaced: they stop it too.")
    problems: list[str]
    can_draft: bool
    can_send: bool
    html: str | None = Field(description="The whole mail; null when it cannot be composed.")
    notes: list[str] = Field(default=[], description="What stood in the way of what was asked for.")

    @classmethod
    def of(cls, window: Window, notes: Sequence[str] = ()) -> Mail:
        """Return what the window shows."""
        same = (
            "standing",
            "template",
            "version",
            "unsaved",
            "edited_there",
            "attachment_bytes",
            "can_draft",
            "can_send",
        )
        written = window.written
        return cls(
            **{name: getattr(window, name) for name in same},
            templates=list(window.templates),
            subject=written.subject,
            body=written.body,
            format=written.format,
            attachments=list(written.attachments),
            uploads=[MailFile(id=one.id, name=one.name, size=one.size) for one in written.uploads],
            fields=[MailField(path=one.path, value=one.value, source=one.source) for one in window.fields],
            missing=list(written.missing),
            prompts=list(written.prompts),
            problems=list(window.problems),
            html=None if window.letter is None else window.letter.html,
            notes=list(notes),
        )


class Writing(Given):
    """What an email is to say; what is not given stays."""

    subject: str | None = Field(default=None, max_length=LONGEST_SUBJECT)
    body: str | None = Field(default=None, max_length=LONGEST_BODY)
    attachments: list[Annotated[str, Field(max_length=255)]] | None = Field(default=None, max_length=MOST_FILES)
    version: _Version = None


class Switching(Given):
    """Which template an email begins anew with."""

    template: str = Field(max_length=200)
    version: _Version = None


class Placing(Given):
    """How what is written becomes the draft in the mailbox."""

    version: _Version = None
    over_edits: bool = Field(default=False, description="Take the place of a draft edited in the mail program.")


class Sending(Placing):
    """When what is written is sent."""

    at: Instant | None = Field(default=None, description="With an offset or Z; now when it is left out.")


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""
    desk = Desk(site)
    _add_writing(routes, desk)
    _add_asking(routes, desk)


def _add_writing(routes: APIRouter, desk: Desk) -> None:
    """Add what shows and changes the text; nothing goes out."""
    office, templates = desk.site.office, desk.site.project.templates

    @routes.get("/tasks/{id}/mail")
    def read_mail(user: Reading, id: str) -> Mail:  # noqa: A002 - the path's own word
        """Return the email of a task as it is now, and what is missing in it."""
        return desk.shown(desk.own(user, id))

    @routes.patch("/tasks/{id}/mail")
    def write_mail(user: Working, id: str, said: Writing) -> Mail:  # noqa: A002
        """Write an email; nothing goes out."""
        key = desk.own(user, id)
        before = desk.written(key)
        text = Text(
            subject=before.subject if said.subject is None else said.subject,
            body=before.body if said.body is None else said.body,
            attachments=before.attachments if said.attachments is None else tuple(said.attachments),
        )
        composing.save(office, key, text, version=said.version, by=desk.by(user))
        return desk.shown(key)

    @routes.post("/tasks/{id}/mail/template")
    def switch_mail(user: Working, id: str, to: Switching) -> Mail:  # noqa: A002
        """Begin an email anew with another template; nothing goes out."""
        key = desk.own(user, id)
        composing.switch_template(office, templates, key, to.template, version=to.version, by=desk.by(user))
        return desk.shown(key)


def _add_asking(routes: APIRouter, desk: Desk) -> None:
    """Add what has it placed, sent, or not sent after all."""
    office = desk.site.office

    @routes.post("/tasks/{id}/mail/draft")
    def place_mail(user: Working, id: str, how: Placing | None = None) -> Mail:  # noqa: A002
        """Let the draft in the mailbox, or the mail that waits, say what is written."""
        key, how = desk.own(user, id), how or Placing()
        text, over_edits = desk.written(key), how.over_edits
        asking.save_as_draft(office, key, text, version=how.version, by=desk.by(user), over_edits=over_edits)
        return desk.delivered(key)

    @routes.post("/tasks/{id}/mail/send")
    def send_mail(user: Working, id: str, how: Sending | None = None) -> Mail:  # noqa: A002
        """Have what is written sent, now or at an instant; its task is done when it went out."""
        key, how = desk.own(user, id), how or Sending()
        text, over_edits = desk.written(key), how.over_edits
        asking.send(office, key, text, at=how.at, version=how.version, by=desk.by(user), over_edits=over_edits)
        return desk.delivered(key)

    @routes.post("/tasks/{id}/mail/call-off")
    def call_mail_off(user: Working, id: str) -> Mail:  # noqa: A002
        """Have an email not sent after all: it is a draft again."""
        key = desk.own(user, id)
        asking.call_off(office, key, by=desk.by(user))
        return desk.delivered(key)


class Desk:
    """What the routes of an email have in common."""

    def __init__(self, site: Site) -> None:
        """Take the site they are of."""
        self.site = site

    def own(self, user: User, id_: str) -> str:
        """Return the key of a task that a user may see; raise `UnknownTask` for any other."""
        return own_task(self.site, user, id_).intent.key

    def by(self, user: User) -> str:
        """Return who it is that writes."""
        return user.email or user.name or "this machine"

    def written(self, key: str) -> Text:
        """Return what is written now."""
        now = self._look(key).written
        uploads = tuple(one.id for one in now.uploads)
        return Text(subject=now.subject, body=now.body, attachments=now.attachments, uploads=uploads)

    def shown(self, key: str, notes: Sequence[str] = ()) -> Mail:
        """Return the email as it is now."""
        return Mail.of(self._look(key), notes)

    def delivered(self, key: str) -> Mail:
        """Have what was asked for done, and return the email as it is then."""
        return self.shown(key, asking.deliver(self.site.office, key))

    def _look(self, key: str) -> Window:
        return composing.look(self.site.office, self.site.project.templates, key)
