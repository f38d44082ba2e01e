"""Looking at every account: whether it can be used, and what it lacks.

Lives here: `look`. Does not live here: what an account needs (its adapter), printing (`cli`).
Nothing is written, anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from connector.ports import Check
from connector.sync.office import Office


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line about one account."""

    #: `database`, `campaigns`, the CRM's name, or a mailbox such as `gmail:ana@acme.example`.
    account: str
    check: Check


def look(office: Office) -> list[Finding]:
    """Look at the CRM and at each rep's mailbox; trouble is a line, never raised."""
    return [*look_at_crm(office), *look_at_mailboxes(office)]


def look_at_crm(office: Office) -> list[Finding]:
    """Look at everything the CRM must have; nothing without one."""
    if office.crm is None:
        return []
    owners = {rep.email: rep.salesforce_user for rep in office.reps.values()}
    name = office.crm.capabilities.name
    return [Finding(account=name, check=check) for check in office.crm.check(owners)]


def look_at_mailboxes(office: Office) -> list[Finding]:
    """Look at each rep's mailbox."""
    return [
        Finding(account=office.lane_of(rep), check=check)
        for rep in office.reps.values()
        if rep.email in office.mailboxes
        for check in office.mailboxes[rep.email].check()
    ]
