"""What a task says of its campaign, for a CRM that gives these facts fields of their own.

Lives here: which facts hold when a task opens, ends, is sent, bounces or is answered. Does not live here: the task
itself (`mirror`), which of the CRM's fields takes a fact (adapters). Source: reference marketo 4.

Only facts that `salesforce.activity_fields` names are wanted at all. The kind of an activity is told of completed and
logged ones, never of an open task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connector.intents import Intent, IntentEvent, StepType
from connector.ports import ActivityFact, ActivityKind
from connector.sync.office import Office


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """What came of a call, in the rep's words; either may be empty."""

    outcome: str = ""
    reason: str = ""

    def __str__(self) -> str:
        """Return it as a clause for people."""
        said = (("outcome", self.outcome), ("reason", self.reason))
        return ", ".join(f"{name}: {text}" for name, text in said if text)


_IN_PROGRESS, _SENT, _BOUNCED = "In progress", "Sent", "Bounced"


def opened(office: Office, intent: Intent, *, subject: str, template: str | None) -> dict[str, Any]:
    """Return the facts of a task the rep has before them; `subject` is its name, or its email's subject."""
    facts: dict[ActivityFact, Any] = {**_place(intent), ActivityFact.STEP_NAME: subject}
    if intent.type is StepType.EMAIL:
        facts[ActivityFact.TEMPLATE] = template
        facts |= {ActivityFact.EMAIL_STATUS: _IN_PROGRESS, ActivityFact.REPLIED: False}
    return _wanted(office, facts)


def sent(office: Office) -> dict[str, Any]:
    """Return what changes once an email was seen in Sent."""
    return {"kind": ActivityKind.EMAIL.value, **_wanted(office, {ActivityFact.EMAIL_STATUS: _SENT})}


def bounced(office: Office) -> dict[str, Any]:
    """Return what changes when a mail comes back."""
    return _wanted(office, {ActivityFact.EMAIL_STATUS: _BOUNCED})


def replied(office: Office) -> dict[str, Any]:
    """Return what changes when a mail is answered."""
    return _wanted(office, {ActivityFact.REPLIED: True})


def reply(office: Office, intent: Intent) -> dict[str, Any]:
    """Return the facts of a logged reply to the mail of `intent`."""
    return {"kind": ActivityKind.REPLY.value, **_wanted(office, {**_place(intent), ActivityFact.REPLIED: True})}


def ended(office: Office, intent: Intent, event: IntentEvent, call: CallResult | None = None) -> dict[str, Any]:
    """Return what changes when a task is completed, skipped or cancelled.

    An email that nobody saw in Sent is neither in progress any more nor known to be sent.
    """
    if intent.type is StepType.EMAIL:
        return _wanted(office, {ActivityFact.EMAIL_STATUS: None})
    if intent.type is not StepType.CALL or event is not IntentEvent.COMPLETE:
        return {}
    said = {} if call is None else {ActivityFact.CALL_OUTCOME: call.outcome, ActivityFact.CALL_REASON: call.reason}
    known = {fact: text for fact, text in said.items() if text}
    return {"kind": ActivityKind.CALL.value, **_wanted(office, known)}


def _place(intent: Intent) -> dict[ActivityFact, Any]:
    return {
        ActivityFact.CAMPAIGN: intent.campaign,
        ActivityFact.DAY: intent.day,
        ActivityFact.STEP: intent.step,
    }


def _wanted(office: Office, facts: Mapping[ActivityFact, Any]) -> dict[str, Any]:
    return {fact.value: value for fact, value in facts.items() if fact.value in office.crm_rules.activity_facts}
