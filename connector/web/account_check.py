"""Asking every account whether all is as it should be, beside those who work in them.

Lives here: `findings_of`. Does not live here: what an account needs (`sync.doctor`), who may ask (its routes).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from connector.app import open_office, unset_secrets
from connector.ports import Check, Verdict
from connector.sync.doctor import Finding, look
from connector.sync.office import Office
from connector.web.site import Site


def findings_of(site: Site) -> list[Finding]:
    """Return a line about each thing that was looked at; trouble is a line, never raised."""
    with _own_services(site) as (office, unset):
        return [*unset, *look(office)]


@contextmanager
def _own_services(site: Site) -> Iterator[tuple[Office, list[Finding]]]:
    """Open the accounts anew, so that nobody who works in them is disturbed; also say which lack a secret."""
    project = site.project
    unset = unset_secrets(project.settings)
    findings = [
        Finding(account=account, check=Check(area="sign-in", verdict=Verdict.FAULT, sentence=str(fault)))
        for account, faults in unset.items()
        for fault in dict.fromkeys(faults)
    ]
    office = open_office(project, site.office.database, site.office.clock, without=unset)
    try:
        yield office, findings
    finally:
        for mailbox in office.mailboxes.values():
            mailbox.close()
        if office.crm is not None:
            office.crm.close()
