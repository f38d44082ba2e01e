"""What states, steps and actions of campaigns are called on a page.

Lives here: these words, in the language of the one who looks. Does not live here: the pages (`campaigns`, `launching`).
"""

from __future__ import annotations

from collections.abc import Mapping

from connector.intents import IntentState, Mode, StepType
from connector.sequencing.enrollment import EnrollmentState
from connector.sync.enrollment_actions import EnrollmentAction
from connector.web.i18n import gettext as _
from connector.web.i18n import ngettext


def states_named() -> Mapping[EnrollmentState, str]:
    """Return state of a person in a campaign -> what it is called; those who have not ended first."""
    return {
        EnrollmentState.ACTIVE: _("Active"),
        EnrollmentState.PAUSED: _("Paused"),
        EnrollmentState.FINISHED: _("Finished"),
        EnrollmentState.REPLIED: _("Replied"),
        EnrollmentState.SUCCEEDED: _("Succeeded"),
        EnrollmentState.BOUNCED: _("Bounced"),
        EnrollmentState.OPTED_OUT: _("Opted out"),
        EnrollmentState.REMOVED: _("Removed"),
        EnrollmentState.FAILED: _("Failed"),
    }


def intents_named() -> Mapping[IntentState, str]:
    """Return state of a step that has come -> what it is called."""
    return {
        IntentState.PLANNED: _("Planned"),
        IntentState.DUE: _("Due"),
        IntentState.BLOCKED: _("Needs attention"),
        IntentState.HELD: _("Held"),
        IntentState.DELIVERING: _("On its way"),
        IntentState.OPEN: _("With the rep"),
        IntentState.SENT: _("Sent"),
        IntentState.COMPLETED: _("Completed"),
        IntentState.SKIPPED: _("Skipped"),
        IntentState.CANCELLED: _("Cancelled"),
        IntentState.FAILED: _("Failed"),
        IntentState.UNKNOWN: _("Not known"),
    }


def types_named() -> Mapping[StepType, str]:
    """Return type of step -> what it is called."""
    return {
        StepType.EMAIL: _("Email"),
        StepType.CALL: _("Call"),
        StepType.INMAIL: _("InMail"),
        StepType.CUSTOM: _("Task"),
    }


def modes_named() -> Mapping[Mode, str]:
    """Return mode -> who acts."""
    return {Mode.SEND: _("Sent by itself"), Mode.TASK: _("Task for the rep")}


def actions_named(num: int) -> Mapping[EnrollmentAction, str]:
    """Return action -> what it is called when it is done to so many people."""
    return {
        EnrollmentAction.PAUSE: ngettext("Pause %(num)s person", "Pause %(num)s people", num),
        EnrollmentAction.RESUME: ngettext("Resume %(num)s person", "Resume %(num)s people", num),
        EnrollmentAction.REMOVE: ngettext("Remove %(num)s person", "Remove %(num)s people", num),
    }


def actions_done(action: EnrollmentAction, num: int) -> str:
    """Return the sentence that says to how many people it was done."""
    return {
        EnrollmentAction.PAUSE: ngettext("%(num)s person was paused.", "%(num)s people were paused.", num),
        EnrollmentAction.RESUME: ngettext("%(num)s person was resumed.", "%(num)s people were resumed.", num),
        EnrollmentAction.REMOVE: ngettext("%(num)s person was removed.", "%(num)s people were removed.", num),
    }[action]
