"""What pages of several areas call the same things, in the language of the one who looks.

Lives here: types of step, and states of somebody in a campaign. Does not live here: words of one area (`queue_words`,
`campaign_words`).
"""

from __future__ import annotations

from connector.intents import StepType
from connector.sequencing.enrollment import EnrollmentState
from connector.web.i18n import gettext as _


def type_names() -> dict[StepType, str]:
    """Return what each type of step is called."""
    return {
        StepType.EMAIL: _("Email"),
        StepType.CALL: _("Call"),
        StepType.INMAIL: _("InMail"),
        StepType.CUSTOM: _("Task"),
    }


def state_names() -> dict[EnrollmentState, tuple[str, str]]:
    """Return what each state of somebody in a campaign is called, and the kind of its chip."""
    return {
        EnrollmentState.ACTIVE: (_("Active"), "good"),
        EnrollmentState.PAUSED: (_("Paused"), "warn"),
        EnrollmentState.FINISHED: (_("Finished"), ""),
        EnrollmentState.REPLIED: (_("Replied"), "good"),
        EnrollmentState.SUCCEEDED: (_("Succeeded"), "good"),
        EnrollmentState.BOUNCED: (_("Bounced"), "bad"),
        EnrollmentState.OPTED_OUT: (_("Opted out"), "bad"),
        EnrollmentState.REMOVED: (_("Removed"), ""),
        EnrollmentState.FAILED: (_("Failed"), "bad"),
    }
