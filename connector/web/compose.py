"""The compose window: an email as it is now, written, previewed, placed, sent now or later.

Lives here: `/tasks/<key>/compose` and what its buttons do, `/tasks/<key>/preview`. Does not live here: any rule of it
(`sync.composing`, `sync.asking`), opening the draft in the mail program (`opening`).
Source: issue 7, reference marketo 8.

The preview is the one page whose style is a stranger's: it is sanitised (`content.markup`), shown in a frame without
any right, and has a policy of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from connector.errors import BadInput, Busy, ConnectorError
from connector.intents import IntentEvent
from connector.people import time_zones
from connector.store.compositions import read_compositions
from connector.sync import asking, composing, previewing
from connector.sync.actions import UnknownTask, end_by_hand
from connector.sync.composing import ChangedElsewhere, Standing, Text, Window
from connector.web.access import Viewer, own_task
from connector.web.dates import read_day
from connector.web.errors import status_of
from connector.web.i18n import gettext as _
from connector.web.merge_fields import field_rows, left_rows, shown_pieces
from connector.web.pages import fragment, is_htmx, page
from connector.web.site import Site
from connector.web.users import User

#: Of the preview alone: it shows pictures and the mail's own styles, runs nothing, and only we frame it.
PREVIEW_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: https:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)

#: Nobody saves as often: it fits into both databases.
_LAST_VERSION = 1_000_000_000

#: Clock time that is offered for a mail that is to be sent later.
_MORNING = time(9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The form of the window as it was sent."""

    text: Text
    #: None: written over whatever there is.
    version: int | None
    over_edits: bool
    #: Names of files that were chosen and have not come along: without a script they take a button of their own.
    unattached: tuple[str, ...] = ()


def _given(
    version: Annotated[int, Form(ge=0, le=_LAST_VERSION)] = 0,
    subject: Annotated[str, Form()] = "",
    body: Annotated[str, Form()] = "",
    files: Annotated[Sequence[str], Form()] = (),
    uploads: Annotated[Sequence[str], Form()] = (),
    upload: Annotated[Sequence[str], Form()] = (),
    overwrite: Annotated[bool, Form()] = False,  # noqa: FBT002 - a field of a form
    over_edits: Annotated[bool, Form()] = False,  # noqa: FBT002
) -> Given:
    text = Text(subject=subject, body=body, attachments=tuple(files), uploads=tuple(uploads))
    return Given(
        text=text,
        version=None if overwrite else version,
        over_edits=over_edits,
        unattached=tuple(name for name in upload if name),
    )


def given_in(form: FormData) -> Given:
    """Return the form of the window that came along with files, held to what the window's own form is."""
    version = str(form.get("version", "") or "0")
    if not (version.isdecimal() and len(version) < len(str(_LAST_VERSION))):
        raise RequestValidationError([])
    return _given(
        version=int(version),
        subject=str(form.get("subject", "")),
        body=str(form.get("body", "")),
        files=[str(name) for name in form.getlist("files")],
        overwrite="overwrite" in form,
    )


Form_ = Annotated[Given, Depends(_given)]


def compose_routes(site: Site) -> APIRouter:
    """Return `/tasks/<key>/compose`, its actions and `/tasks/<key>/preview`."""
    routes = APIRouter()
    desk = Desk(site)

    @routes.get("/tasks/{key}/compose")
    def compose(request: Request, user: Viewer, key: str) -> Response:
        """Show an email as it is now."""
        return desk.shown(request, user, desk.own(user, key))

    @routes.get("/tasks/{key}/preview")
    def preview(request: Request, user: Viewer, key: str, view: str = "") -> Response:
        """Show the mail as its person would see it; the view `fields` marks what came from fields."""
        return desk.previewed(request, desk.own(user, key), marked=view == "fields")

    _add_writing(routes, desk, site)
    _add_asking(routes, desk, site)
    return routes


def _add_writing(routes: APIRouter, desk: Desk, site: Site) -> None:
    """Add what changes the text, and nothing that goes out."""

    @routes.post("/tasks/{key}/compose/save")
    def save(request: Request, user: Viewer, key: str, given: Form_) -> Response:
        """Keep what is being written; nothing goes out."""
        return desk.saved(request, user, desk.own(user, key), given)

    @routes.post("/tasks/{key}/compose/template")
    def template(
        request: Request, user: Viewer, key: str, given: Form_, template: Annotated[str, Form()] = ""
    ) -> Response:
        """Begin anew with another template."""
        key = desk.own(user, key)

        def switch() -> None:
            composing.switch_template(
                site.office, site.project.templates, key, template, version=given.version, by=desk.by(user)
            )

        return desk.done(request, user, key, given, switch)


def _add_asking(routes: APIRouter, desk: Desk, site: Site) -> None:
    """Add what has the mail placed, sent, or not sent after all."""

    @routes.post("/tasks/{key}/compose/draft")
    def draft(request: Request, user: Viewer, key: str, given: Form_) -> Response:
        """Let the draft in the mailbox, or the mail that waits, say this."""
        key = desk.own(user, key)

        def ask() -> None:
            by, over_edits = desk.by(user), given.over_edits
            asking.save_as_draft(site.office, key, given.text, version=given.version, by=by, over_edits=over_edits)

        return desk.done(request, user, key, given, ask, deliver=True)

    @routes.post("/tasks/{key}/compose/send")
    def send(request: Request, user: Viewer, key: str, given: Form_) -> Response:
        """Have it sent now."""
        return desk.sent(request, user, desk.own(user, key), given, lambda: None)

    @routes.post("/tasks/{key}/compose/schedule")
    def schedule(
        request: Request,
        user: Viewer,
        key: str,
        given: Form_,
        date: Annotated[str, Form()] = "",
        clock: Annotated[str, Form()] = "",
        zone: Annotated[str, Form()] = "",
    ) -> Response:
        """Have it sent later."""
        return desk.sent(request, user, desk.own(user, key), given, lambda: _instant(date, clock, zone))

    @routes.post("/tasks/{key}/compose/call-off")
    def call_off(request: Request, user: Viewer, key: str, given: Form_) -> Response:
        """Have it not sent after all."""
        key = desk.own(user, key)
        by = desk.by(user)
        return desk.done(request, user, key, given, lambda: asking.call_off(site.office, key, by=by), deliver=True)

    @routes.post("/tasks/{key}/compose/complete")
    def complete(user: Viewer, key: str) -> Response:
        """Complete the task without sending anything."""
        key = desk.own(user, key)
        end_by_hand(site.office, key, IntentEvent.COMPLETE, by="by hand, without sending it here")
        return RedirectResponse("/tasks", status_code=303)


def _instant(date: str, clock: str, zone: str) -> datetime:
    """Return the instant that a form names; raise `BadInput` for what is none."""
    if zone.strip() not in time_zones():
        raise BadInput(_("There is no time zone '%(zone)s': write one such as Europe/Madrid.", zone=zone[:60]))
    try:
        # No date that can be reckoned with is written None, which is none either.
        local = datetime.fromisoformat(f"{read_day(date)}T{clock}").replace(tzinfo=None)
    except ValueError:
        raise BadInput(_("Give the day and the time at which it is to be sent.")) from None
    return local.replace(tzinfo=ZoneInfo(zone.strip()))


class Desk:
    """What the routes have in common."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._office = site.office

    def own(self, user: User, key: str) -> str:
        """Return the key of a task that is the user's; raise `UnknownTask` for any other."""
        return own_task(self._site, user, key).intent.key

    def by(self, user: User) -> str:
        """Return how others are told who did it."""
        return user.email or user.name or "this machine"

    def previewed(self, request: Request, key: str, *, marked: bool) -> Response:
        """Return the page of the preview's frame."""
        shown: dict[str, Any] = {"problem": "", "subject": (), "body": ""}
        try:
            if marked:
                mail = previewing.preview_marked(self._office, self._site.project.templates, key)
                rows = field_rows(mail.fields, self._office.crm_rules.name)
                shown |= {"subject": shown_pieces(mail.marked.subject, rows)}
                shown |= {"body": shown_pieces(mail.marked.page, rows)}
            else:
                shown |= {"body": previewing.preview(self._office, key)}
        except BadInput as error:
            shown |= {"problem": str(error)}
        template = "compose/marked.html" if marked else "compose/preview.html"
        answer = page(request, template, title=_("Preview"), **shown)
        answer.headers["Content-Security-Policy"] = PREVIEW_POLICY
        return answer

    def saved(self, request: Request, user: User, key: str, given: Given) -> Response:
        """Keep a text, and tell the window what it came to."""
        try:
            if not is_htmx(request):
                _check_attached(given)
            composing.save(self._office, key, given.text, version=given.version, by=self.by(user))
        except ConnectorError as error:
            if is_htmx(request) and isinstance(error, ChangedElsewhere):
                return fragment(request, "compose/conflict.html", conflict=error)
            if is_htmx(request):
                raise
            return self.shown(request, user, key, given=given, error=error)
        if not is_htmx(request):
            return _back_to(key)
        return fragment(request, "compose/side.html", swaps=True, **self.values(user, key))

    def sent(
        self, request: Request, user: User, key: str, given: Given, when: Callable[[], datetime | None]
    ) -> Response:
        """Have a mail sent at an instant, or now."""

        def ask() -> None:
            by, over_edits = self.by(user), given.over_edits
            asking.send(self._office, key, given.text, at=when(), version=given.version, by=by, over_edits=over_edits)

        return self.done(request, user, key, given, ask, deliver=True)

    def done(
        self,
        request: Request,
        user: User,
        key: str,
        given: Given,
        do: Callable[[], object],
        *,
        deliver: bool = False,
    ) -> Response:
        """Do something and show the window again: as it is then, or with what was given and why nothing was done."""
        try:
            _check_attached(given)
            do()
        except (UnknownTask, Busy):
            raise
        except ConnectorError as error:
            return self.shown(request, user, key, given=given, error=error)
        attention = asking.deliver(self._office, key) if deliver else ()
        return self.shown(request, user, key, notes=attention) if attention else _back_to(key)

    def shown(
        self,
        request: Request,
        user: User,
        key: str,
        *,
        given: Given | None = None,
        error: ConnectorError | None = None,
        notes: Sequence[str] = (),
    ) -> Response:
        """Return the window; with `error`, what was given stands in it still."""
        values = self.values(user, key)
        window: Window = values["window"]
        if given is not None and window.is_open:
            text = given.text
            written = replace(window.written, subject=text.subject, body=text.body, attachments=tuple(text.attachments))
            window = replace(
                window, written=written, version=window.version if given.version is None else given.version
            )
        person = window.person.person
        name = f"{person.first_name} {person.last_name}".strip() or person.email
        conflict = error if isinstance(error, ChangedElsewhere) else None
        told = list(notes) if error is None or conflict is not None else str(error).splitlines()
        return page(
            request,
            "compose/window.html",
            title=_("Email to %(name)s", name=name),
            status=200 if error is None else 409 if conflict is not None else status_of(error),
            **{**values, "window": window, "left": left_rows(window.written), "conflict": conflict, "told": told},
        )

    def values(self, user: User, key: str) -> dict[str, Any]:
        """Return what the window's templates are filled in with."""
        window = composing.look(self._office, self._site.project.templates, key)
        with self._office.database.read() as tx:
            applied = read_compositions(tx, [key]).get(key)
        waits = window.standing is Standing.TO_SEND and window.mail is not None
        send_at = window.mail.due if waits and window.mail is not None else applied.send_at if applied else None
        local = (send_at or self._office.now() + timedelta(days=1)).astimezone(window.rep.zone)
        zones = {window.rep.time_zone, window.person.person.time_zone, str(user.zone), "UTC"}
        return {
            "window": window,
            "standing": _standing(window),
            "fields": field_rows(window.fields, self._office.crm_rules.name, window.edited_fields),
            "left": left_rows(window.written),
            "send_at": send_at,
            "date": local.date().isoformat(),
            "clock": f"{local if send_at else _MORNING:%H:%M}",
            "zone": window.rep.time_zone,
            "zones": sorted(zones - {""}),
            "program": {"gmail": "Gmail", "outlook": "Outlook"}.get(window.rep.mailbox, _("the mail program")),
            "scheduled": send_at is not None and window.standing in (Standing.TO_SEND, Standing.CHANGING),
            "by_hand": window.stored.intent.mode.value == "task",
        }


def _check_attached(given: Given) -> None:
    if given.unattached:
        names = ", ".join(given.unattached)[:200]
        raise BadInput(_("Not attached yet: %(names)s. Choose the files again and press Attach first.", names=names))


def _back_to(key: str) -> Response:
    return RedirectResponse(f"/tasks/{key}/compose", status_code=303)


def _standing(window: Window) -> tuple[str, str]:
    """Return a short word for where an email stands, and the kind of its chip."""
    return {
        Standing.WAITS: (_("Waits for you"), "warn"),
        Standing.OUTSIDE: (_("Not in the mailbox"), ""),
        Standing.IN_DRAFTS: (_("In Drafts"), ""),
        Standing.CHANGING: (_("Being replaced"), ""),
        Standing.TO_SEND: (_("Scheduled"), "good"),
        Standing.ON_ITS_WAY: (_("On its way"), "good"),
        Standing.IN_PROGRAM: (_("Scheduled in the mail program"), "good"),
        Standing.UNKNOWN: (_("Not known"), "bad"),
        Standing.SENT: (_("Sent"), "good"),
        Standing.CLOSED: (_("Closed"), ""),
    }[window.standing]
