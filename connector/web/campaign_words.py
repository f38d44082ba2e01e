"""What modes and actions of campaigns are called on a page.

Lives here: these words, in the language of the one who looks. Does not live here: the pages (`campaigns`, `launching`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from connector.intents import Mode
from connector.sync.enrollment_actions import EnrollmentAction
from connector.web.i18n import day, ngettext
from connector.web.i18n import gettext as _


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


def held_until(num: int, until: date) -> str:
    """Return the sentence that says what a pause with an end comes to."""
    return ngettext(
        "%(num)s person is held where they are until %(day)s, and goes on then.",
        "%(num)s people are held where they are until %(day)s, and go on then.",
        num,
        day=day(until),
    )


def actions_done(action: EnrollmentAction, num: int) -> str:
    """Return the sentence that says to how many people it was done."""
    return {
        EnrollmentAction.PAUSE: ngettext("%(num)s person was paused.", "%(num)s people were paused.", num),
        EnrollmentAction.RESUME: ngettext("%(num)s person was resumed.", "%(num)s people were resumed.", num),
        EnrollmentAction.REMOVE: ngettext("%(num)s person was removed.", "%(num)s people were removed.", num),
    }[action]
