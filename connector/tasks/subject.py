"""The subject of a task in the CRM, by the pattern of `salesforce.subject`.

Lives here: the fields of the pattern and how it is rendered. Does not live here: the rendering of emails and step
names (`content`); the pattern is no template: an unknown or empty field is nothing, never an error.
Source: spec delivery 3 and 6, reference marketo 4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from connector.intents import StepType

#: What the pattern is when none is given.
DEFAULT_PATTERN = "{{activity_type}}: {{activity_subject}}"

#: Characters a CRM subject holds.
LONGEST_SUBJECT = 255

_FIELD = re.compile(r"\{\{([^{}]*)\}\}")
_TYPE_NAMES = {StepType.EMAIL: "Email", StepType.CALL: "Call", StepType.INMAIL: "InMail", StepType.CUSTOM: "Custom"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityNames:
    """Values of the pattern's fields; those without a value render as nothing."""

    activity_type: StepType
    #: The email's subject, or the name of the call, InMail or custom task.
    activity_subject: str = ""
    sales_campaign_name: str = ""
    sales_campaign_day: int | None = None
    #: Counts within its day from 1.
    sales_campaign_step: int | None = None
    call_outcome: str = ""
    call_reason: str = ""


#: Fields a pattern may name.
FIELD_NAMES = tuple(field.name for field in fields(ActivityNames))


def task_subject(pattern: str, names: ActivityNames) -> str:
    """Return the subject: one line of at most 255 characters."""

    def value(found: re.Match[str]) -> str:
        name = _name(found[1])
        if name == "activity_type":
            return _TYPE_NAMES[names.activity_type]
        shown = getattr(names, name) if name in FIELD_NAMES else None
        return "" if shown is None else str(shown)

    return _one_line(_FIELD.sub(value, pattern))


def reply_subject(subject: str) -> str:
    """Return the subject of a logged reply; it does not follow the pattern."""
    return _one_line(f"Reply: {subject}")


def says_call_result(pattern: str) -> bool:
    """Tell whether a pattern names what came of a call, so that completing one changes its subject."""
    return any(_name(found[1]) in ("call_outcome", "call_reason") for found in _FIELD.finditer(pattern))


def unknown_fields(pattern: str) -> tuple[str, ...]:
    """Return the names in a pattern that are no fields, for the check of the configuration."""
    return tuple(found[1].strip() for found in _FIELD.finditer(pattern) if _name(found[1]) not in FIELD_NAMES)


def _name(text: str) -> str:
    return "_".join(text.strip().lower().split())


def _one_line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_SUBJECT].rstrip()
