"""What a page does to many people in a campaign at once: pause, resume, remove.

Lives here: choosing whom, within what somebody may see, and doing it in batches. Does not live here: what each does
(`actions`), pages (`web`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from enum import StrEnum

from connector.sequencing.enrollment import EnrollmentState
from connector.store.campaign_numbers import Members, find_member_ids
from connector.store.enrollments import read_enrollments
from connector.sync.actions import pause_these, remove_these, resume_these
from connector.sync.office import Office

#: Enrollments a transaction: short enough that nobody else waits long.
BATCH = 500


class EnrollmentAction(StrEnum):
    """What may be done to people in a campaign."""

    PAUSE = "pause"
    RESUME = "resume"
    REMOVE = "remove"


#: Action -> whom it can concern.
CONCERNS: dict[EnrollmentAction, Sequence[EnrollmentState]] = {
    EnrollmentAction.PAUSE: (EnrollmentState.ACTIVE,),
    EnrollmentAction.RESUME: (EnrollmentState.PAUSED,),
    EnrollmentAction.REMOVE: (EnrollmentState.ACTIVE, EnrollmentState.PAUSED),
}


def choose(office: Office, members: Members, *, ids: Collection[str] | None = None) -> list[str]:
    """Return the ids of those who are meant, or of those among `ids`."""
    with office.database.read() as tx:
        return find_member_ids(tx, members, ids=ids)


def act(office: Office, action: EnrollmentAction, ids: Sequence[str], *, by: str, until: date | None = None) -> int:
    """Do it to these enrollments, in batches; return to how many it was done. Who has ended since is passed over.

    Raises `BadInput` for a date that has come. What was done before an error stays done; doing it again does the rest.
    """
    reason = f"by hand, by {by}"
    done = 0
    for start in range(0, len(ids), BATCH):
        with office.database.write() as tx:
            found = read_enrollments(tx, ids[start : start + BATCH])
            live = [one for one in found.values() if not one.has_ended]
            match action:
                case EnrollmentAction.PAUSE:
                    changed = pause_these(tx, office, live, until=until, reason=reason)
                case EnrollmentAction.REMOVE:
                    changed = remove_these(tx, office, live, reason=reason)
                case EnrollmentAction.RESUME:
                    changed = resume_these(tx, office, live, office.now(), reason=reason)
        done += len(changed)
    return done
