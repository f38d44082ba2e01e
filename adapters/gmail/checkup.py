"""What `connector doctor` says of a Gmail mailbox: sign-in, scopes, reach.

Lives here: one line for each thing that must hold. Does not live here: fetching tokens (`account`), the calls
(`mailbox`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.gmail.account import Grant
from connector.errors import AdapterError, Reconnect
from connector.ports import Check, MailIdentity, Verdict


def look(grant: Grant, rep: MailIdentity, profile: Callable[[], Mapping[str, Any]]) -> Sequence[Check]:  # noqa: ARG001
    """Return the lines about one mailbox; `profile` asks Gmail for it (users.getProfile)."""
    try:
        profile()
    except AdapterError as error:
        fault = Check(
            area="sign-in",
            verdict=Verdict.FAULT,
            sentence=error.sentence,
            mend=error.advice,
            reconnect=isinstance(error, Reconnect),
        )
        return (fault,)
    return (Check(area="sign-in", verdict=Verdict.OK, sentence=f"the mailbox of {rep.email} can be read"),)
