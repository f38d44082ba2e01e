"""One person in one campaign: its state, and the table of what moves it.

Lives here: `Enrollment`, its states and `ENROLLMENT_TRANSITIONS`. Does not live here: what an event does to the
position and the due time (`sequencer`). Source: spec sequencing 3 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import StrEnum

from connector.events import EventKind


class EnrollmentState(StrEnum):
    """Where an enrollment stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    FINISHED = "finished"
    REPLIED = "replied"
    SUCCEEDED = "succeeded"
    BOUNCED = "bounced"
    OPTED_OUT = "opted_out"
    REMOVED = "removed"
    FAILED = "failed"


_S, _K = EnrollmentState, EventKind

_ENDS: dict[EventKind, EnrollmentState] = {
    _K.FINISHED: _S.FINISHED,
    _K.REPLIED: _S.REPLIED,
    _K.BOUNCED: _S.BOUNCED,
    _K.OPTED_OUT: _S.OPTED_OUT,
    _K.REMOVED: _S.REMOVED,
    _K.FAILED: _S.FAILED,
}

#: state -> event -> next state; an event that is not listed leaves the state as it is.
#: `replied` becomes `succeeded` under `on_reply: end_as_success`: the one place where a setting chooses the state.
ENROLLMENT_TRANSITIONS: dict[EnrollmentState, dict[EventKind, EnrollmentState]] = {
    _S.ACTIVE: {**_ENDS, _K.PAUSED: _S.PAUSED},
    _S.PAUSED: {**_ENDS, _K.RESUMED: _S.ACTIVE},
    # The end of its last step was undone.
    _S.FINISHED: {_K.UNDONE: _S.ACTIVE},
    _S.REPLIED: {},
    _S.SUCCEEDED: {},
    _S.BOUNCED: {},
    _S.OPTED_OUT: {},
    _S.REMOVED: {},
    _S.FAILED: {},
}

#: States in which nothing more happens; only the end of the last step can be undone.
ENDED_STATES = frozenset(_S) - {_S.ACTIVE, _S.PAUSED}

#: End state -> cause, as "campaign has ended: <cause>" says it.
END_CAUSES: dict[EnrollmentState, str] = {
    _S.FINISHED: "all steps are done",
    _S.REPLIED: "the person replied",
    _S.SUCCEEDED: "the person replied",
    _S.BOUNCED: "a mail bounced",
    _S.OPTED_OUT: "the person opted out",
    _S.REMOVED: "the person was removed",
    _S.FAILED: "it cannot go on",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """One person in one campaign, pinned to the campaign version of its launch."""

    id: str
    campaign: str
    version: str
    person: str
    rep: str
    #: IANA name in which its dates and clock times are local.
    zone: str
    #: L and S of spec sequencing 3; aware, UTC.
    launched: datetime
    start: datetime
    #: `DAY.STEP` -> other clock time of a fixed-time step.
    overrides: Mapping[str, time] = field(default_factory=dict)
    state: EnrollmentState = EnrollmentState.ACTIVE
    #: Index of the current step in the campaign's steps; their number when all are done.
    position: int = 0
    #: When the current step is or was due, its local date and why; None while paused before planning, and at the end.
    due: datetime | None = None
    due_date: date | None = None
    reason: str = ""
    #: Key of the intent of the current step once it has become due.
    intent: str | None = None
    #: Campaign day `anchor_day` fell on the date `anchor_date`.
    anchor_day: int | None = None
    anchor_date: date | None = None
    #: Campaign day -> clock time of its last email; the two newest days are enough.
    email_clocks: tuple[tuple[int, time], ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED_STATES

    @property
    def next_due(self) -> datetime | None:
        """When the sequencer must look again; None while it waits for an intent, is paused or has ended."""
        return self.due if self.state is EnrollmentState.ACTIVE and self.intent is None else None

    def waiting_for(self, intent: str) -> Enrollment:
        """Return the enrollment once its current step has become this intent.

        Written out: a tick does this for every due step, and `dataclasses.replace` would take most of its time.
        """
        return Enrollment(
            id=self.id,
            campaign=self.campaign,
            version=self.version,
            person=self.person,
            rep=self.rep,
            zone=self.zone,
            launched=self.launched,
            start=self.start,
            overrides=self.overrides,
            state=self.state,
            position=self.position,
            due=self.due,
            due_date=self.due_date,
            reason=self.reason,
            intent=intent,
            anchor_day=self.anchor_day,
            anchor_date=self.anchor_date,
            email_clocks=self.email_clocks,
        )
