"""Looking at every account: whether it can be used, and what it lacks.

Lives here: `look`. Does not live here: what an account needs (its adapter), printing (`cli`).
Nothing is written, anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from connector.errors import AdapterError, Reconnect
from connector.people import Rep
from connector.ports import Check, Mailbox, Verdict
from connector.sync.office import Office


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line about one account."""

    #: `database`, `campaigns`, the CRM's name, or a mailbox such as `gmail:ana@acme.example`.
    account: str
    check: Check


@runtime_checkable
class _Checked(Protocol):
    """A mailbox that can say more of itself than that it answers."""

    def check(self) -> Sequence[Check]: ...


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
    """Look whether each rep's mailbox can be read."""
    return [
        Finding(account=office.lane_of(rep), check=check)
        for rep in office.reps.values()
        if rep.email in office.mailboxes
        for check in _mailbox_checks(rep, office.mailboxes[rep.email])
    ]


def _mailbox_checks(rep: Rep, mailbox: Mailbox) -> Iterable[Check]:
    if not mailbox.capabilities.incoming:
        sentence = f"{rep.email} has no connected mailbox: tasks carry an address that opens the mail client"
        return [Check(area="sign-in", verdict=Verdict.OK, sentence=sentence)]
    try:
        if isinstance(mailbox, _Checked):
            return mailbox.check()
        mailbox.pull_mail(None)  # from now on: one look, nothing is taken
    except AdapterError as error:
        return [
            Check(
                area="sign-in",
                verdict=Verdict.FAULT,
                sentence=str(error),
                mend=error.advice,
                reconnect=isinstance(error, Reconnect),
            )
        ]
    return [Check(area="sign-in", verdict=Verdict.OK, sentence=f"the mailbox of {rep.email} can be read")]
