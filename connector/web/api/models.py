"""Models that several subjects answer with.

Lives here: `Task`, `Event`, `Enrollment`, `Changed`. Does not live here: models of one subject, which stand beside its
routes. Instants are in UTC, dates are local: of the zone that the campaign counts in.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from connector import events
from connector.events import EventKind, sentence
from connector.intents import IntentState, Mode, StepType
from connector.people import is_address
from connector.sequencing import enrollment
from connector.sequencing.enrollment import EnrollmentState
from connector.sync.views import TaskView
from connector.web.dates import FIRST_DAY, LAST_DAY
from connector.web.users import User


def _address(text: str) -> str:
    address = text.strip().lower()
    if not is_address(address):
        raise ValueError("that is not a mail address: write one such as ann@client.example")
    return address


def _in_reach(instant: datetime) -> datetime:
    if not FIRST_DAY.year <= instant.year <= LAST_DAY.year:
        raise ValueError(f"that is too far away: give an instant before the end of {LAST_DAY.year}")
    return instant.astimezone(UTC)


#: An instant with an offset or Z, brought to UTC.
Instant = Annotated[AwareDatetime, AfterValidator(_in_reach)]

#: A mail address, lower case whatever was given.
Email = Annotated[str, Field(max_length=254, examples=["ann@client.example"]), AfterValidator(_address)]

#: `DAY.STEP`.
PlaceName = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,3}\.[1-9][0-9]{0,3}$")]

#: A name or a line of text.
Line = Annotated[str, Field(max_length=500)]


class Given(BaseModel):
    """Base of what requests hold: what is not known is refused, and so is a NUL (`access.UnreadableError`)."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_texts(cls, said: Any) -> Any:
        if _holds_nul(said):
            raise ValueError("a text holds a NUL: leave it out")
        return said


def _holds_nul(said: Any) -> bool:
    match said:
        case str():
            return "\0" in said
        case dict():
            return any(_holds_nul(one) for field in said.items() for one in field)
        case list():
            return any(map(_holds_nul, said))
    return False


class Draft(BaseModel):
    """Where an email of a task stands."""

    state: str
    mailbox: str | None


class Task(BaseModel):
    """One task of a rep."""

    id: str = Field(description="Key of the intent: 32 hex digits.")
    rep: str
    person: str
    type: StepType
    mode: Mode
    campaign: str
    day: int
    step: int
    due: datetime
    due_date: date
    state: IntentState
    subject: str | None
    salesforce_id: str | None
    draft: Draft | None
    problem: str | None = Field(description="Why it does not go on by itself.")

    @classmethod
    def of(cls, view: TaskView) -> Task:
        """Return a task as it is shown."""
        intent, mail, task = view.stored.intent, view.mail, view.task
        return cls(
            id=intent.key,
            rep=intent.rep,
            person=intent.person,
            type=intent.type,
            mode=intent.mode,
            campaign=intent.campaign,
            day=intent.day,
            step=intent.step,
            due=intent.due,
            due_date=intent.due_date,
            state=view.stored.state,
            subject=view.stored.subject,
            salesforce_id=None if task is None else task.remote_id,
            draft=None if mail is None else Draft(state=mail.state.value, mailbox=view.mailbox),
            problem=view.stored.problem,
        )


class Event(BaseModel):
    """One line of the ledger."""

    position: int | None = Field(default=None, description="Its number; later lines have higher ones.")
    at: datetime = Field(description="When it happened; lines are in the order in which it was learned.")
    kind: EventKind
    person: str | None
    rep: str | None
    campaign: str | None
    intent: str | None
    text: str
    reason: str

    @classmethod
    def of(cls, event: events.Event, position: int | None = None) -> Event:
        """Return a fact as a line."""
        return cls(
            position=position,
            at=event.at,
            kind=event.kind,
            person=event.person,
            rep=event.rep,
            campaign=event.campaign,
            intent=event.intent,
            text=sentence(event),
            reason=event.reason,
        )


class Enrollment(BaseModel):
    """One person's position in one campaign."""

    id: str
    person: str
    campaign: str
    version: str
    rep: str
    state: EnrollmentState
    launched: datetime
    due: datetime | None
    due_date: date | None

    @classmethod
    def of(cls, one: enrollment.Enrollment) -> Enrollment:
        """Return an enrollment."""
        return cls(
            id=one.id,
            person=one.person,
            campaign=one.campaign,
            version=one.version,
            rep=one.rep,
            state=one.state,
            launched=one.launched,
            due=one.due,
            due_date=one.due_date,
        )


class Changed(BaseModel):
    """The enrollments that an action changed, as they were before it."""

    enrollments: list[Enrollment]

    @classmethod
    def of(cls, found: Sequence[enrollment.Enrollment]) -> Changed:
        """Return what was changed."""
        return cls(enrollments=[Enrollment.of(one) for one in found])


def by_of(user: User) -> str:
    """Return how something was done, as a clause."""
    return f"by {user.name}" if user.name else "by hand"
