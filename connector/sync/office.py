"""Everything a turn of the wheel needs, gathered by `connector.app`: database, clock, reps, mailboxes, CRM, rules.

Lives here: `Office`, `PacingRule`, `CampaignBook`. Does not live here: how any of it is made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from connector.campaigns.model import Campaign
from connector.campaigns.versions import from_document
from connector.content.templates import Template, parse_text
from connector.people import Rep
from connector.ports import Clock, Crm, Mailbox
from connector.store.campaigns import read_version
from connector.store.database import Database, Transaction
from connector.tasks.merge import ConflictPolicy
from connector.unsubscribe import Unsubscribe


class TaskSync(StrEnum):
    """Which way tasks go between us and the CRM (`salesforce.tasks`)."""

    OFF = "off"
    PUSH = "push"
    BOTH = "both"


class OnEnd(StrEnum):
    """What becomes of an open CRM task when its campaign ends (`salesforce.on_end`)."""

    COMPLETE = "complete"
    DELETE = "delete"
    LEAVE = "leave"


#: The lane in which it is decided what is due, and prepared.
DECIDE = "decide"

#: Told of lanes that have something to do.
Wake = Callable[[Transaction, Collection[str]], None]


def no_wake(_tx: Transaction, _lanes: Collection[str]) -> None:
    """Tell nobody: whoever turns the wheel finds what is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacingRule:
    """How fast one mailbox may send; None means no limit."""

    per_second: float | None = None
    per_minute: float | None = None
    per_day: int | None = None

    @property
    def spacing(self) -> float:
        """Seconds between two sends; a tenth more than the bare quotient, which was measured to overshoot."""
        gaps = [1.1 / self.per_second if self.per_second else 0.0, 66.0 / self.per_minute if self.per_minute else 0.0]
        return max(gaps)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmRules:
    """How the CRM is used: `salesforce:` of connector.yaml in the core's words."""

    #: Name of the CRM and of its lane; empty when there is none.
    name: str = ""
    tasks: TaskSync = TaskSync.OFF
    log_email: bool = True
    subject: str = "{{activity_type}}: {{activity_subject}}"
    #: Names of `ports.ActivityFact` and `ports.RollupFact` that have a field of their own in the CRM.
    activity_facts: frozenset[str] = frozenset()
    rollup_facts: frozenset[str] = frozenset()
    on_end: OnEnd = OnEnd.COMPLETE
    conflict: ConflictPolicy = field(default_factory=ConflictPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedCampaign:
    """A campaign version with the templates it was launched with."""

    campaign: Campaign
    templates: Mapping[str, Template]
    #: Paths of all fields that its templates, names and notes use.
    fields: frozenset[str]


class CampaignBook:
    """Campaign versions by name and version, read once a process; versions never change."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._pinned: dict[tuple[str, str], PinnedCampaign] = {}

    def pinned(self, tx: Transaction, name: str, version: str) -> PinnedCampaign:
        """Return a version; raise `LookupError` for one that was never launched, or is not kept any more."""
        with self._lock:
            known = self._pinned.get((name, version))
            if known is None:
                document = read_version(tx, name, version)
                if document is None:
                    raise LookupError(f"version {version} of campaign '{name}' is not in the database")
                campaign, templates = from_document(document)
                fields = _fields_used(campaign, templates)
                known = PinnedCampaign(campaign=campaign, templates=templates, fields=fields)
                self._pinned[name, version] = known
            return known


def _fields_used(campaign: Campaign, templates: Mapping[str, Template]) -> frozenset[str]:
    texts = [parse_text(text) for step in campaign.steps for text in (step.name, step.notes)]
    return frozenset().union(*(template.fields for template in templates.values()), *(text.fields for text in texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What the wheel turns on."""

    database: Database
    clock: Clock
    reps: Mapping[str, Rep]
    #: Rep address -> open mailbox. A rep without an entry has none that can be reached.
    mailboxes: Mapping[str, Mailbox]
    crm: Crm | None
    crm_rules: CrmRules
    #: Kind of mailbox -> pacing.
    pacing: Mapping[str, PacingRule]
    blocked_domains: frozenset[str]
    #: Folder of connector.yaml; attachments are read below it.
    folder: Path
    #: How mails say where to unsubscribe; None when they do not.
    unsubscribe: Unsubscribe | None = None
    #: Longest time one pass spends on sending from one mailbox, in seconds.
    pass_seconds: float = 60.0
    #: A send that is later than this, other than by pacing, is held until somebody decides; None holds none.
    hold_after: timedelta | None = None
    #: How long what ended is kept; None keeps it for ever.
    keep_ended: timedelta | None = None
    #: Each is one lane, so no mailbox ever has more than one worker.
    mailboxes_at_a_time: int
    #: Told of lanes that have something to do once the transaction is committed; a hint, which nobody need hear.
    wake: Wake = no_wake
    #: Address of a user -> the reps whose work they see; None for everybody's.
    sees: Callable[[str], frozenset[str] | None] = field(default=lambda _email: frozenset())
    book: CampaignBook = field(default_factory=CampaignBook)

    @property
    def mirrors_tasks(self) -> bool:
        """Whether tasks go to the CRM."""
        return self.crm is not None and self.crm_rules.tasks is not TaskSync.OFF

    def lane_of(self, rep: Rep) -> str:
        """Return the name of a rep's mailbox lane: `gmail:ana@acme.example`."""
        return f"{rep.mailbox}:{rep.email}"

    def now(self) -> datetime:
        """Return the present instant, aware, UTC."""
        return self.clock.now()


#: Told after each piece of work: (what, done so far, total or None).
Progress = Callable[[str, int, int | None], None]


def no_progress(_what: str, _done: int, _total: int | None) -> None:
    """Tell nobody."""
