"""Whether this machine's clock agrees with a service's.

Lives here: `clock_checks`, a line of `connector doctor`. Does not live here: what else an adapter looks at (`checkup`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from email.utils import parsedate_to_datetime

import requests

from adapters.http import ServiceSession
from connector.accounts import is_loopback
from connector.ports import Check, Clock, Verdict

#: How far two clocks may be apart before it matters: a mail program lets a rep undo a send for half a minute, Microsoft
#: takes tokens five minutes off.
_APART = timedelta(minutes=2)


def clock_checks(address: str, clock: Clock, owner: str, *, costs: str) -> Sequence[Check]:
    """Return a fault when this machine's clock is off, by the Date of whatever `address` answers; else nothing.

    `costs` says what that does. A service of this machine may have a time of its own.
    """
    if is_loopback(address):
        return ()
    try:
        with ServiceSession() as session:
            said = session.get(address).headers.get("Date", "")
        off = clock.now() - parsedate_to_datetime(said)
    except (requests.RequestException, ValueError, TypeError):
        return ()
    if abs(off) <= _APART:
        return ()
    minutes, way = abs(off).total_seconds() / 60, "ahead of" if off > timedelta() else "behind"
    return (
        Check(
            area="setup",
            verdict=Verdict.FAULT,
            sentence=f"the clock of this machine is {minutes:.0f} minutes {way} {owner}'s: {costs}",
            mend="set it by NTP",
        ),
    )
