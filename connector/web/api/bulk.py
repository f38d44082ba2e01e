"""Tasks by the dozen: doing something with several, or all that a filter lets through, and undoing it.

Lives here: these routes. Does not live here: what is done with each (`sync.bulk`), what can be undone (`sync.undoing`),
one task alone (`tasks`).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints, model_validator

from connector.errors import BadInput
from connector.intents import StepType
from connector.sync.actions import UnknownTask
from connector.sync.bulk import MOST, Action, Deed, act, act_on_all
from connector.sync.queue import QueueFilter, Range, count_exactly, wanted
from connector.sync.undoing import undo
from connector.web.api.callers import Working
from connector.web.api.models import Email, Given, by_of
from connector.web.dates import LAST_DAY
from connector.web.site import Site

_Key = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Matching(Given):
    """Which tasks are meant: as the list of tasks is asked for."""

    due: Range = Range.ALL
    type: StepType | None = None
    campaign: str | None = Field(default=None, max_length=200)
    rep: Email | None = None
    search: str = Field(default="", max_length=200)


class Work(Given):
    """What is done with which tasks: those of `ids`, or all that are `matching`."""

    action: Action
    ids: list[_Key] | None = Field(default=None, min_length=1, max_length=MOST, description="Whole ids.")
    matching: Matching | None = Field(default=None, description=f"{MOST} at a time; ask again for the rest.")
    count: int | None = Field(
        default=None, ge=0, description="How many you expect to match; with another number nothing is done."
    )
    outcome: str = Field(default="", max_length=200, description="Of calls that are completed.")
    reason: str = Field(default="", max_length=200)
    until: date | None = Field(default=None, le=LAST_DAY, description="Of a snooze.")
    rep: Email | None = Field(default=None, description="Who is given the tasks.")

    @model_validator(mode="after")
    def _check_which(self) -> Self:
        if (self.ids is None) == (self.matching is None):
            raise ValueError("give either 'ids' or 'matching'")
        return self


class Worked(BaseModel):
    """What became of it."""

    undo: str | None = Field(description="Give it to `/undo` within the hour; null when there is nothing to undo.")
    done: int
    ids: list[str]
    refused: int
    why: list[str] = Field(description="Why some were refused: the first few reasons.")


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""
    office = site.office

    @routes.post("/tasks/bulk")
    def act_on_tasks(user: Working, work: Work) -> Worked:
        """Complete, skip, snooze or assign many tasks; what cannot be done of one is told, and stops no other."""
        deed = Deed(
            action=work.action,
            by=by_of(user),
            outcome=work.outcome,
            call_reason=work.reason,
            until=work.until,
            rep=work.rep or "",
        )
        if work.matching is None:
            done = act(office, user.email, deed, work.ids or [], reps=user.reps)
        else:
            asked = _filter(work.matching)
            if work.count is not None and (found := count_exactly(office, asked, reps=user.reps)) != work.count:
                raise BadInput(f"the tasks that match are {found}, not {work.count}: look at them again")
            done = act_on_all(office, user.email, deed, wanted(office, asked, user.reps))
        undoable = done.batch if done.keys else None
        return Worked(undo=undoable, done=len(done.keys), ids=done.keys, refused=done.refused, why=done.why)

    @routes.post("/undo/{id}")
    def undo_tasks(user: Working, id: str) -> Worked:  # noqa: A002 - the path's own word
        """Undo what you did with many tasks, as far as their campaigns have not gone on; the rest is told."""
        done = undo(office, user.email, id, reps=user.reps)
        if not done.keys and not done.refused:
            raise UnknownTask(
                "nothing is left to undo of this: it was undone, an hour has passed, or somebody else did it"
            )
        return Worked(undo=None, done=len(done.keys), ids=done.keys, refused=done.refused, why=done.why)


def _filter(said: Matching) -> QueueFilter:
    return QueueFilter(range=said.due, type=said.type, campaign=said.campaign, rep=said.rep, search=said.search.strip())
