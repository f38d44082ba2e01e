"""People: whom the reps write to, and one person with all that happened, why, and what comes.

Lives here: `/people`, `/people/<address>` and what may be done there. Does not live here: what is shown
(`sync.people_views`), what an action does (`sync.actions`).
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from connector.errors import BadInput
from connector.store.feed import read_campaign_names
from connector.store.people_pages import PeopleFilter, Standing
from connector.sync import actions
from connector.sync.enrollment_actions import EnrollmentAction, act
from connector.sync.feed import call_address, safe_address
from connector.sync.people_views import is_own, list_people, look_at_person, own_enrollment
from connector.web.access import NotAllowedError, Viewer, own_person
from connector.web.dates import read_day
from connector.web.feed import reps_of, topic_names
from connector.web.i18n import gettext as _
from connector.web.pages import page
from connector.web.site import Site
from connector.web.users import User
from connector.web.words import state_names, type_names


def _wanted(
    search: Annotated[str, Query(max_length=200)] = "",
    campaign: Annotated[str, Query(max_length=200)] = "",
    standing: Standing | Literal[""] = "",
) -> PeopleFilter:
    """Read whom somebody looks for; an empty field of a form is none."""
    return PeopleFilter(search=search.strip(), campaign=campaign, standing=standing or None)


def people_routes(site: Site) -> APIRouter:
    """Return `/people` and what lies below it."""
    routes = APIRouter()

    @routes.get("/people")
    def people(
        request: Request,
        user: Viewer,
        wanted: Annotated[PeopleFilter, Depends(_wanted)],
        after: Annotated[str, Query(max_length=254)] = "",
    ) -> Response:
        """List people by address."""
        shown = list_people(site.office, wanted, reps=user.reps, after=after)
        with site.office.database.read() as tx:
            campaigns = read_campaign_names(tx)
        return page(
            request,
            "people/index.html",
            title=_("People"),
            shown=shown,
            wanted=wanted,
            campaigns=campaigns,
            standings=_standings(),
            states=state_names(),
            first=_address(wanted) if after else "",
            next=_address(wanted, after=shown.next) if shown.next else "",
        )

    @routes.post("/people/{email:path}/campaign")
    def change(
        user: Viewer,
        email: str,
        enrollment: Annotated[str, Form(max_length=32)],
        action: Annotated[EnrollmentAction, Form()],
        until: Annotated[str, Form(max_length=10)] = "",
    ) -> Response:
        """Pause, resume or remove somebody in one campaign."""
        day = read_day(until) if until else None
        if until and day is None:
            raise BadInput(_("The date cannot be read: choose one."))
        stored = own_person(site, user, email)
        one = own_enrollment(site.office, stored.person.email, enrollment, reps=user.reps)
        act(site.office, action, [one.id], by=_named(user), until=day)
        return _back(stored.person.email, action)

    @routes.post("/people/{email:path}/opt-out")
    def opt_out(user: Viewer, email: str, reason: Annotated[str, Form(max_length=500)] = "") -> Response:
        """Let nobody write to somebody any more."""
        stored = own_person(site, user, email)
        why = " ".join(reason.split()) or "by hand"
        actions.opt_out(site.office, stored.person.email, reason=f"{why} ({_named(user)})")
        return _back(stored.person.email, "opt-out")

    @routes.post("/people/{email:path}/undo-opt-out")
    def undo_opt_out(user: Viewer, email: str, reason: Annotated[str, Form(min_length=1, max_length=500)]) -> Response:
        """Take an opt-out back: of one's own people, or as an administrator."""
        stored = own_person(site, user, email)
        if not is_own(site.office, stored.person.email, reps=user.reps):
            raise NotAllowedError
        actions.undo_opt_out(site.office, stored.person.email, reason=f"{' '.join(reason.split())} ({_named(user)})")
        return _back(stored.person.email, "undo-opt-out")

    @routes.get("/people/{email:path}")
    def person(request: Request, user: Viewer, email: str, done: str = "") -> Response:
        """Show one person."""
        stored = own_person(site, user, email)
        shown = look_at_person(site.office, stored.person.email, reps=user.reps)
        return page(
            request,
            "people/person.html",
            title=shown.name,
            shown=shown,
            person=stored.person,
            fields=_fields(),
            states=state_names(),
            topics=topic_names(),
            types=type_names(),
            several=user.reps is None or len(user.reps) > 1,
            reps=reps_of(site, user),
            done=_done().get(done),
            record=record_address(site, stored.person.salesforce_id),
            ambiguous=[(one, record_address(site, one)) for one in stored.crm_ambiguous],
            mail_address=f"mailto:{quote(stored.person.email, safe='@')}",
            call=call_address(stored.person.phone),
            profile=safe_address(stored.person.linkedin_url),
            may_undo=is_own(site.office, stored.person.email, reps=user.reps),
            today=site.now().astimezone(user.zone).date().isoformat(),
        )

    return routes


def record_address(site: Site, record: str) -> str | None:
    """Return where a record of the CRM is looked at; None unless its org's address is known and of TLS."""
    settings = site.project.settings
    account = settings.accounts.get(settings.crm or "")
    address = None if account is None else account.record_address(record)
    return None if address is None else safe_address(address)


def _standings() -> list[tuple[str, str]]:
    names = {
        "": _("Everybody"),
        Standing.ACTIVE: _("Active in a campaign"),
        Standing.PAUSED: _("Paused in a campaign"),
        Standing.ENDED: _("A campaign has ended"),
        Standing.IN_NONE: _("In no campaign now"),
        Standing.OPTED_OUT: _("Opted out"),
        Standing.BOUNCED: _("Mail bounced"),
    }
    return [(str(value), name) for value, name in names.items()]


def _fields() -> dict[str, str]:
    return {
        "first_name": _("First name"),
        "last_name": _("Last name"),
        "title": _("Title"),
        "company": _("Company"),
        "phone": _("Phone"),
        "time_zone": _("Time zone"),
        "salesforce_id": _("Salesforce record"),
        "linkedin_url": _("LinkedIn"),
    }


def _done() -> dict[str, str]:
    return {
        EnrollmentAction.PAUSE: _("The campaign is paused for this person."),
        EnrollmentAction.RESUME: _("The campaign goes on for this person."),
        EnrollmentAction.REMOVE: _("The person was taken out of the campaign."),
        "opt-out": _("Nobody writes to this person any more; their campaigns have ended."),
        "undo-opt-out": _("The opt-out was taken back; campaigns that ended stay ended."),
    }


def _named(user: User) -> str:
    return user.email or "the user of this machine"


def _address(wanted: PeopleFilter, **more: str) -> str:
    said = {"search": wanted.search, "campaign": wanted.campaign, "standing": wanted.standing or "", **more}
    query = urlencode({name: value for name, value in said.items() if value})
    return f"/people?{query}" if query else "/people"


def _back(email: str, done: str) -> Response:
    return RedirectResponse(f"/people/{quote(email, safe='@')}?{urlencode({'done': done})}", status_code=303)
