"""A campaign as a value: days with ordered steps and the settings they run under.

Lives here: the model and its vocabulary (spec sequencing 1). Does not live here: reading YAML (`reading`),
when a step is due (`sequencing`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum

from connector.intents import Mode, Priority, StepType


class SendOption(StrEnum):
    """How an email step goes out (spec sequencing 1, table of `send`)."""

    CHOOSE_AT_LAUNCH = "choose_at_launch"
    FIXED_TIME = "fixed_time"
    TASK = "task"
    SAME_TIME_AS_PREVIOUS = "same_time_as_previous"


class OnReply(StrEnum):
    """What a reply does to the enrollment."""

    END = "end"
    END_AS_SUCCESS = "end_as_success"
    CONTINUE = "continue"


class SameAccount(StrEnum):
    """What a reply does to the enrollments of the other people of the same account."""

    CONTINUE = "continue"
    END = "end"


#: Words of `settings.time_zone` that are not IANA names.
SENDER_ZONE = "sender"
RECIPIENT_ZONE = "recipient"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendWindow:
    """Local clock times between which automatic sends go out: from `opens` until before `closes`."""

    opens: time
    closes: time


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignSettings:
    """Settings of a campaign file; the defaults are the spec's."""

    time_zone: str = SENDER_ZONE
    skip_weekends: bool = False
    #: ISO dates and/or codes of the `holidays` package ("US", "DE-BY").
    holidays: tuple[str, ...] = ()
    send_window: SendWindow | None = None
    on_reply: OnReply = OnReply.END
    ignore_out_of_office: bool = True
    remove_on_bounce: bool = True
    same_account: SameAccount = SameAccount.CONTINUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: what is done on a day of the campaign."""

    day: int
    #: Counts within its day from 1.
    step: int
    type: StepType
    #: Email only.
    template: str | None = None
    send: SendOption | None = None
    #: Clock time of `SendOption.FIXED_TIME`.
    at: time | None = None
    follow_up: bool = False
    #: Call, InMail and custom only; Liquid.
    name: str = ""
    notes: str = ""
    priority: Priority = Priority.NORMAL

    @property
    def mode(self) -> Mode:
        """Whether the connector sends it or the rep does it."""
        automatic = self.type is StepType.EMAIL and self.send is not SendOption.TASK
        return Mode.SEND if automatic else Mode.TASK

    @property
    def place(self) -> str:
        """`DAY.STEP`, as `--send-at` names it."""
        return f"{self.day}.{self.step}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A checked campaign. `steps` is in campaign order: by day, then by position in the day."""

    name: str
    steps: tuple[Step, ...]
    category: str = ""
    settings: CampaignSettings = field(default_factory=CampaignSettings)

    @property
    def needs_start(self) -> bool:
        """Whether a start must be given at every launch (spec sequencing 3)."""
        return self.steps[0].send is SendOption.CHOOSE_AT_LAUNCH

    def index_of(self, day: int, step: int) -> int | None:
        """Return the position in `steps` of a day and step, or None."""
        return next((i for i, s in enumerate(self.steps) if (s.day, s.step) == (day, step)), None)
