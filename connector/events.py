"""Facts: what happened, as the ledger keeps it and the sequencer reads it.

A fact is never changed. Its `text` is made for people when it is read; `data` is what programs need.
Source: spec sequencing 4 and 5, delivery 3 to 5, interfaces 2 (feed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class EventKind(StrEnum):
    """Names of facts. The first group moves an enrollment; the others are told in the feed."""

    # What moves an enrollment (see sequencing.sequencer).
    LAUNCHED = "launched"
    STEP_DUE = "step_due"
    SENT = "sent"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    REPLIED = "replied"
    BOUNCED = "bounced"
    OPTED_OUT = "opted_out"
    REMOVED = "removed"
    PAUSED = "paused"
    RESUMED = "resumed"
    FAILED = "failed"
    FINISHED = "finished"
    MIGRATED = "migrated"
    UNDONE = "undone"
    RESCHEDULED = "rescheduled"

    # What became of an intent.
    TASK_OPENED = "task_opened"
    DRAFT_CREATED = "draft_created"
    BLOCKED = "blocked"
    RELEASED = "released"
    HELD = "held"
    CANCELLED = "cancelled"
    OUTCOME_UNKNOWN = "outcome_unknown"
    SNOOZED = "snoozed"

    # What people and services did.
    DRAFT_EDITED = "draft_edited"
    DRAFT_DISCARDED = "draft_discarded"
    DRAFT_DELETED = "draft_deleted"
    DRAFT_LEFT = "draft_left"
    DRAFT_SCHEDULED = "draft_scheduled"
    DRAFT_BACK = "draft_back"
    WRITTEN_BY_HAND = "written_by_hand"
    SEND_ASKED = "send_asked"
    SEND_CALLED_OFF = "send_called_off"
    TASK_DELETED = "task_deleted"
    TASK_REOPENED = "task_reopened"
    TASK_REASSIGNED = "task_reassigned"
    TASK_CHANGED = "task_changed"
    TASK_RESTORED = "task_restored"
    TASK_EDITED = "task_edited"
    CONFLICT = "conflict"
    OUT_OF_OFFICE = "out_of_office"
    DELAYED = "delayed"
    UNCLASSIFIED = "unclassified"
    OPT_OUT_UNDONE = "opt_out_undone"
    PERSON_REPOINTED = "person_repointed"
    PERSON_AMBIGUOUS = "person_ambiguous"
    LEFT_OUT = "left_out"
    CRM_REFUSED = "crm_refused"
    PERSON_REFUSED = "person_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the ledger."""

    #: When it happened; aware, UTC.
    at: datetime
    kind: EventKind
    enrollment: str | None = None
    person: str | None = None
    rep: str | None = None
    campaign: str | None = None
    #: Intent key, when it concerns one.
    intent: str | None = None
    #: Why, as a clause for people: "the prospect replied".
    reason: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


#: kind -> sentence; `{name}` is taken from the event's own fields and its data.
_SENTENCES: dict[EventKind, str] = {
    EventKind.LAUNCHED: "{rep} put {person} into '{campaign}', starting {start}",
    EventKind.STEP_DUE: "day {day}, step {step} ({type}) became due for {person}",
    EventKind.SENT: "the email of day {day}, step {step} was sent to {person}",
    EventKind.COMPLETED: "the {type} of day {day}, step {step} for {person} was completed {by}",
    EventKind.SKIPPED: "the {type} of day {day}, step {step} for {person} was skipped {by}",
    EventKind.REPLIED: "{person} replied: {subject}",
    EventKind.BOUNCED: "a mail to {person} bounced ({status})",
    EventKind.OPTED_OUT: "{person} opted out",
    EventKind.REMOVED: "{person} was removed from '{campaign}'",
    EventKind.PAUSED: "'{campaign}' was paused for {person}",
    EventKind.RESUMED: "'{campaign}' was resumed for {person}",
    EventKind.FAILED: "'{campaign}' failed for {person}",
    EventKind.FINISHED: "{person} finished '{campaign}'",
    EventKind.MIGRATED: "{person} moved to the new version of '{campaign}'",
    EventKind.UNDONE: "the {type} of day {day}, step {step} for {person} is not {what} any more: {by} undid it",
    EventKind.RESCHEDULED: "day {day}, step {step} for {person} was moved to {until} by {by}",
    EventKind.TASK_OPENED: "the {type} task for {person} was given to {rep}: {subject}",
    EventKind.DRAFT_CREATED: "a draft to {person} was placed in the mailbox of {rep}: {subject}",
    EventKind.BLOCKED: "day {day}, step {step} for {person} needs attention",
    EventKind.RELEASED: "day {day}, step {step} for {person} may go on",
    EventKind.HELD: "day {day}, step {step} for {person} is held",
    EventKind.CANCELLED: "day {day}, step {step} for {person} was cancelled",
    EventKind.OUTCOME_UNKNOWN: "nobody can tell what became of the mail of day {day}, step {step} to {person}",
    EventKind.SNOOZED: "the task of day {day}, step {step} for {person} was moved to {until}",
    EventKind.DRAFT_EDITED: "{rep} edited the draft to {person}",
    EventKind.DRAFT_DISCARDED: "{rep} discarded the draft to {person}; the task stays open",
    EventKind.DRAFT_DELETED: "the untouched draft to {person} was deleted",
    EventKind.DRAFT_LEFT: "the draft to {person} is left to {rep}",
    EventKind.DRAFT_SCHEDULED: "{rep} scheduled the draft to {person} in the mail program: it goes out by itself",
    EventKind.DRAFT_BACK: "the draft to {person} is back in Drafts",
    EventKind.SEND_ASKED: "{by} lets the mail to {person} be sent on {when}: {subject}",
    EventKind.SEND_CALLED_OFF: "the mail to {person} is not sent by the connector",
    EventKind.WRITTEN_BY_HAND: "{rep} wrote to {person} by hand: {subject}",
    EventKind.TASK_DELETED: "the task for {person} was deleted in the CRM; {person} waits for a decision",
    EventKind.TASK_REOPENED: "the task for {person} was reopened in the CRM",
    EventKind.TASK_REASSIGNED: "the task for {person} now belongs to {owner}",
    EventKind.TASK_CHANGED: "the task for {person} was changed in the CRM: {field} is now {value}",
    EventKind.TASK_RESTORED: "the task for {person} was taken back out of the CRM's recycle bin",
    EventKind.TASK_EDITED: "{rep} changed the task for {person}: {field} is now {value}",
    EventKind.CONFLICT: "both sides changed {field} of the task for {person}; {winner} won",
    EventKind.OUT_OF_OFFICE: "{person} is out of office: {subject}",
    EventKind.DELAYED: "delivery to {person} is delayed",
    EventKind.UNCLASSIFIED: "a mail about {person} could not be classified: {subject}",
    EventKind.OPT_OUT_UNDONE: "the opt-out of {person} was undone",
    EventKind.PERSON_REPOINTED: "{person} is now {record} in the CRM",
    EventKind.PERSON_AMBIGUOUS: "several CRM records match {person}: {records}",
    EventKind.LEFT_OUT: "{person} was left out of '{campaign}'",
    EventKind.CRM_REFUSED: "the CRM refused the task for {person}: {message}",
    EventKind.PERSON_REFUSED: "the CRM was not told what happened with {person}: {message}",
}


class _Blank(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def sentence(event: Event) -> str:
    """Return the event as a sentence for people, without its reason."""
    names = _Blank(event.data)
    names.update(person=event.person or "?", rep=event.rep or "?", campaign=event.campaign or "?")
    return _SENTENCES[event.kind].format_map(names).rstrip()
