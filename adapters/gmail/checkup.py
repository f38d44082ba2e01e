"""What `connector doctor` says of a Gmail mailbox: sign-in, scopes, reach.

Lives here: one line for each thing that must hold, and how to mend it. Does not live here: fetching tokens (`signin`),
the calls (`mailbox`), what a refused call means (`errors`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from adapters.gmail.account import COMPOSE_SCOPE, COSTS, READ_SCOPE, Grant, missing_scopes, short_name
from connector.capabilities import MailboxCapabilities
from connector.errors import AdapterError, BadInput, Reconnect
from connector.ports import Check, MailIdentity, Verdict

#: Code of a refused call -> area, and how to mend it.
_MENDS: Mapping[str, tuple[str, str]] = {
    "accessNotConfigured": (
        "setup",
        "enable the Gmail API in the Google Cloud project that the key or the client belongs to: "
        "console.cloud.google.com/apis/library/gmail.googleapis.com; it takes some minutes",
    ),
    "failedPrecondition": (
        "users",
        "give the user a licence with Gmail, and switch Gmail on for them in the Admin console (admin.google.com): "
        "Apps, Google Workspace, Gmail, Service status",
    ),
    "domainPolicy": (
        "setup",
        "have an administrator trust the app in the Admin console (admin.google.com): Security, Access and data "
        "control, API controls, App access control",
    ),
}


def look(
    grant: Grant, rep: MailIdentity, capabilities: MailboxCapabilities, profile: Callable[[], Mapping[str, Any]]
) -> Sequence[Check]:
    """Return the lines about one mailbox; `profile` asks Gmail for it (users.getProfile)."""
    try:
        grant.token()
    except AdapterError as error:
        return (_fault("sign-in", error),)
    except BadInput as error:  # the key to the secrets is missing, say
        return (Check(area="sign-in", verdict=Verdict.FAULT, sentence=str(error)),)
    found = list(_scopes(grant, rep, reads=capabilities.incoming))
    try:
        opened = str(profile().get("emailAddress") or "")
    except AdapterError as error:
        return (*found, _fault("sign-in", error))
    return (_owner(opened, rep), *found)


def _fault(area: str, error: AdapterError) -> Check:
    area, mend = _MENDS.get(error.code, (area, error.advice))
    return Check(
        area=area,
        verdict=Verdict.FAULT,
        sentence=error.sentence,
        mend=mend,
        reconnect=isinstance(error, Reconnect),
    )


def _owner(opened: str, rep: MailIdentity) -> Check:
    if opened.lower() in (rep.email.lower(), *rep.aliases):
        return Check(area="sign-in", verdict=Verdict.OK, sentence=f"the mailbox of {rep.email} can be reached")
    return Check(
        area="sign-in",
        verdict=Verdict.FAULT,
        sentence=f"the sign-in opens the mailbox of {opened or 'nobody'}, not that of {rep.email}",
        mend=f"sign in as {rep.email}; if both are one mailbox, list {opened} under the aliases of this rep",
    )


def _scopes(grant: Grant, rep: MailIdentity, *, reads: bool) -> Iterator[Check]:
    """Yield what the token may do; nothing about it when nobody can say."""
    granted = grant.scopes()
    wanted = (COMPOSE_SCOPE, READ_SCOPE) if reads else (COMPOSE_SCOPE,)
    lacking = missing_scopes(wanted, granted) if granted is not None else ()
    for scope in lacking:
        yield Check(
            area="setup",
            verdict=Verdict.FAULT,
            sentence=f"the token of {rep.email} lacks {short_name(scope)}: {COSTS[scope]}",
            mend=grant.widening,
            reconnect=True,
        )
    if granted is not None and not lacking:
        names = " and ".join(short_name(scope) for scope in wanted)
        yield Check(area="setup", verdict=Verdict.OK, sentence=f"the token holds what is needed: {names}")
    if not reads:
        yield Check(
            area="setup",
            verdict=Verdict.WARNING,
            sentence=f"{short_name(READ_SCOPE)} is not asked for: {COSTS[READ_SCOPE]}",
            mend="write read_mail: true under accounts.google, and grant the scope",
        )
