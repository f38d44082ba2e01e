"""What the form of a launch says: by whom, when, at which clock times, and who.

Lives here: `plan_of_form`, from a form to a plan. Does not live here: the pages (`launching`), reading people
(`sync.launch_people`), the plan (`sync.launch_plans`).
"""

from __future__ import annotations

from datetime import datetime, time
from zoneinfo import ZoneInfo

from starlette.datastructures import FormData, UploadFile

from connector.campaigns.model import Campaign, SendOption
from connector.errors import BadInput
from connector.people import time_zones
from connector.ports import PeopleSource
from connector.sequencing.calendar import instant_of
from connector.sync.launch import LeftOut
from connector.sync.launch_people import Candidate, gather
from connector.sync.launch_plans import LaunchPlan, new_id
from connector.web.dates import read_day
from connector.web.site import Site
from connector.web.users import Role, User


def plan_of_form(site: Site, user: User, campaign: Campaign, form: FormData, begun: LaunchPlan | None) -> LaunchPlan:
    """Return the plan that a form makes of the one that was begun; raise `BadInput` for what is wrong in it."""
    rep = str(form.get("rep", ""))
    if rep not in site.office.reps or not user.may_see(rep):
        raise BadInput("choose the rep in whose name it is launched")
    start, zone = _start(form)
    people, left_out = _people(site, user, form, begun if begun is not None and not form.get("anew") else None)
    return LaunchPlan(
        id=new_id(),
        user=user.email,
        campaign=campaign.name,
        rep=rep,
        start=start,
        zone=zone,
        overrides=_overrides(campaign, form),
        people=people,
        left_out=left_out,
        written={} if begun is None else begun.written,
    )


def _people(site: Site, user: User, form: FormData, begun: LaunchPlan | None) -> tuple[list[Candidate], list[LeftOut]]:
    """Return whom the form names, beside those of the plan that was begun."""
    table, source = form.get("table"), _source(user, form)
    pasted, picked = str(form.get("pasted", "")), [str(one) for one in form.getlist("person")]
    raw, name = (table.file.read(), table.filename or "") if isinstance(table, UploadFile) else (b"", "")
    kept = [] if begun is None else list(begun.people)
    if kept and not (pasted.strip() or picked or raw or source):
        return kept, list(begun.left_out if begun is not None else ())
    known = [*(one.email for one in kept), *picked]
    more = gather(site.office, known=known, pasted=pasted, table=raw, table_name=name, source=source)
    earlier = {one.email: one for one in kept}
    people = [one if one.given is not None else earlier.get(one.email, one) for one in more.candidates.values()]
    return people, [*(begun.left_out if begun is not None else ()), *more.left_out]


def _start(form: FormData) -> tuple[datetime | None, str]:
    zone = str(form.get("zone", "UTC"))
    if zone not in time_zones():
        raise BadInput(f"there is no time zone '{zone[:50]}': choose one of the list")
    if form.get("when") != "at":
        return None, zone
    on, at = read_day(str(form.get("date", ""))), _clock(str(form.get("time", "")))
    if on is None or at is None:
        raise BadInput("say on which date and at what time it starts, or let it start at once")
    return instant_of(ZoneInfo(zone), on, at), zone


def _overrides(campaign: Campaign, form: FormData) -> dict[str, time]:
    overrides: dict[str, time] = {}
    for step in campaign.steps:
        said = str(form.get(f"at_{step.place}", ""))
        if step.send is not SendOption.FIXED_TIME or not said:
            continue
        at = _clock(said)
        if at is None:
            raise BadInput(f"'{said[:20]}' is not a clock time: write it as 09:30")
        if at != step.at:
            overrides[step.place] = at
    return overrides


def _clock(said: str) -> time | None:
    try:
        at = time.fromisoformat(said)
    except ValueError:
        return None
    return at if at.tzinfo is None else None  # the zone is asked for beside it


def _source(user: User, form: FormData) -> PeopleSource | None:
    kind, said = str(form.get("source", "")), str(form.get("source_value", "")).strip()
    if not said:
        return None
    match kind:
        case "list_view":
            return PeopleSource(list_view=said)
        case "report":
            return PeopleSource(report=said)
        case "campaign":
            return PeopleSource(campaign=said)
        case "ids":
            return PeopleSource(ids=tuple(said.replace(",", " ").split()))
        case "soql" if user.role is not Role.REP:
            return PeopleSource(soql=said)
    raise BadInput("choose what the people in the CRM are taken from: a list view, a report, a campaign or their ids")
