"""A launch being put together on a page: who, by whom, when, and what their first emails say in other words.

Lives here: `LaunchPlan`, making and changing one. Does not live here: what it would come to (`launch_preview`), the
launch itself (`launch`). A plan lies in the database, so that any process can go on with it and only one launch comes
of it, and is forgotten after a week.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from typing import Any

from connector.content.written import Written
from connector.errors import BadInput
from connector.store import launch_plans as store
from connector.store.database import Transaction
from connector.store.launch_plans import StoredPlan
from connector.sync.launch import LeftOut
from connector.sync.launch_people import Candidate, from_json, to_json
from connector.sync.office import Office

#: How long a plan may be gone on with.
KEPT = timedelta(days=7)


class UnknownPlan(BadInput):
    """An address names no launch that somebody is putting together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a plan."""

    enrolled: int
    left_out: tuple[LeftOut, ...]
    #: Aware, UTC.
    start: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPlan:
    """What somebody has chosen so far."""

    id: str
    #: Whose plan it is: nobody else sees it.
    user: str
    campaign: str
    rep: str
    #: Aware, UTC; None for at once.
    start: datetime | None
    #: IANA name in which the start was given, and is shown.
    zone: str
    overrides: Mapping[str, time]
    people: Sequence[Candidate]
    left_out: Sequence[LeftOut]
    #: Person -> their first email in other words.
    written: Mapping[str, Written] = field(default_factory=dict)
    outcome: Outcome | None = None

    def without(self, email: str) -> LaunchPlan:
        """Return the plan without a person."""
        kept = [one for one in self.people if one.email != email]
        gone = [LeftOut(person=one.email, reason="taken out by hand") for one in self.people if one.email == email]
        return replace(self, people=kept, left_out=[*self.left_out, *gone])

    def saying(self, email: str, written: Written | None) -> LaunchPlan:
        """Return the plan with a person's first email in other words; None for those of its template."""
        others = {person: said for person, said in self.written.items() if person != email}
        return replace(self, written=others if written is None else {**others, email: written})


def new_id() -> str:
    """Return the id of a new plan: nobody can guess it."""
    return secrets.token_hex(16)


def keep(office: Office, plan: LaunchPlan) -> None:
    """Keep a new plan, and forget old ones."""
    now = office.now()
    with office.database.write() as tx:
        store.forget_plans(tx, now - KEPT)
        stored = StoredPlan(id=plan.id, user=plan.user, campaign=plan.campaign, content=_content(plan))
        store.insert_plan(tx, stored, now)


def find_plan(office: Office, id: str, user: str) -> LaunchPlan:  # noqa: A002 - the field's name
    """Return somebody's own plan; raise `UnknownPlan` for any other."""
    with office.database.read() as tx:
        return _own(store.read_plan(tx, id), user)


def change(office: Office, id: str, user: str, to: Callable[[LaunchPlan], LaunchPlan]) -> LaunchPlan:  # noqa: A002
    """Change somebody's own plan; raise `BadInput` when it was launched already."""
    with office.database.write() as tx:
        plan = _own(store.read_plan(tx, id), user)
        if plan.outcome is not None:
            raise BadInput("this launch was carried out already: it can be changed no more")
        changed = to(plan)
        store.change_plan(tx, id, _content(changed))
    return changed


def is_as_kept(tx: Transaction, plan: LaunchPlan) -> bool:
    """Tell whether a plan says still what it said when it was read."""
    kept = store.read_plan(tx, plan.id)
    return kept is not None and kept.content == _content(plan)


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return what became of a plan as JSON keeps it."""
    return {
        "enrolled": outcome.enrolled,
        "start": outcome.start.isoformat(),
        "left_out": [[one.person, one.reason] for one in outcome.left_out],
    }


def _own(stored: StoredPlan | None, user: str) -> LaunchPlan:
    if stored is None or stored.user != user:
        raise UnknownPlan("there is no such launch any more: begin it anew from the page of its campaign")
    content = stored.content
    return LaunchPlan(
        id=stored.id,
        user=stored.user,
        campaign=stored.campaign,
        rep=content["rep"],
        start=None if content["start"] is None else datetime.fromisoformat(content["start"]),
        zone=content["zone"],
        overrides={place: time.fromisoformat(clock) for place, clock in content["overrides"].items()},
        people=from_json(content["people"]),
        left_out=_left_out(content["left_out"]),
        written={
            person: Written(**{**said, "attachments": tuple(said["attachments"])})
            for person, said in content["written"].items()
        },
        outcome=None if stored.launched is None else _outcome(stored.launched),
    )


def _outcome(said: Mapping[str, Any]) -> Outcome:
    return Outcome(
        enrolled=said["enrolled"],
        left_out=tuple(_left_out(said["left_out"])),
        start=datetime.fromisoformat(said["start"]),
    )


def _left_out(rows: Sequence[Sequence[str]]) -> list[LeftOut]:
    return [LeftOut(person=person, reason=reason) for person, reason in rows]


def _content(plan: LaunchPlan) -> dict[str, Any]:
    return {
        "rep": plan.rep,
        "start": None if plan.start is None else plan.start.isoformat(),
        "zone": plan.zone,
        "overrides": {place: f"{clock:%H:%M}" for place, clock in plan.overrides.items()},
        "people": to_json(plan.people),
        "left_out": [[one.person, one.reason] for one in plan.left_out],
        "written": {person: _written(said) for person, said in plan.written.items()},
    }


def _written(said: Written) -> dict[str, Any]:
    return {
        "format": said.format,
        "subject": said.subject,
        "body": said.body,
        "attachments": list(said.attachments),
    }
