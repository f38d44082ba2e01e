"""What `connector doctor` says of an Outlook mailbox: sign-in, permissions, reach, clocks.

Lives here: one line for each thing that must hold, and how to mend it. Does not live here: fetching tokens (`signin`),
the calls (`mailbox`), what a refused call means (`codes`), how two clocks are compared (`adapters.clocks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from adapters.clocks import clock_checks
from adapters.outlook.account import COSTS, MicrosoftAccount, SignIn, missing_permissions, read_certificate
from adapters.outlook.claims import claims_of
from adapters.outlook.codes import OTHER_MAILBOX
from connector.errors import AdapterError, BadInput, Reconnect
from connector.ports import Check, Clock, MailIdentity, Verdict

#: How long before its end a certificate is spoken of.
_NOTICE = timedelta(days=30)

#: Codes of refused calls that are about the user, not about the sign-in.
_OF_THE_USER = frozenset(
    {
        "MailboxNotEnabledForRESTAPI",
        "MailboxNotSupportedForRESTAPI",
        "ErrorInvalidUser",
        "ErrorNonExistentMailbox",
        "ResourceNotFound",
        "Request_ResourceNotFound",
    }
)

_TENANT_WIDE = (
    "the token holds a tenant-wide permission: unless an application access policy limits it, the application may open "
    "every mailbox of the organisation"
)
_LIMITING = (
    "have an Exchange administrator limit it to the reps by RBAC for Applications (New-ManagementRoleAssignment with a "
    "scope), and remove the tenant-wide permission: then no token holds it"
)


def look(
    account: MicrosoftAccount, sign_in: SignIn, rep: MailIdentity, clock: Clock, reach: Callable[[], object]
) -> Sequence[Check]:
    """Return the lines about one mailbox; `reach` reads something of it."""
    try:
        token = sign_in.token(f"outlook:{rep.email}")
    except AdapterError as error:
        return (_fault(error), *_certificate(account, clock), *_clocks(account, clock))
    except BadInput as error:  # the key to the secrets is missing, say
        return (Check(area="sign-in", verdict=Verdict.FAULT, sentence=str(error)),)
    held = tuple(_permissions(claims_of(token), sign_in, rep))
    rest = (*_certificate(account, clock), *_clocks(account, clock))
    try:
        reach()
    except AdapterError as error:
        # What somebody else's token holds is of no use to the rep.
        return (_fault(error), *(() if error.code == OTHER_MAILBOX else held), *rest)
    return (Check(area="sign-in", verdict=Verdict.OK, sentence=f"the mailbox of {rep.email} can be read"), *held, *rest)


def _fault(error: AdapterError) -> Check:
    return Check(
        area="users" if error.code in _OF_THE_USER else "sign-in",
        verdict=Verdict.FAULT,
        sentence=error.sentence,
        mend=error.advice,
        reconnect=isinstance(error, Reconnect),
    )


def _permissions(claims: Mapping[str, Any], sign_in: SignIn, rep: MailIdentity) -> Iterator[Check]:
    """Yield what the token may do; nothing when it does not say."""
    roles, scopes = claims.get("roles"), claims.get("scp")
    if isinstance(roles, list):
        granted = [str(role) for role in roles]
    elif isinstance(scopes, str):
        granted = scopes.split()
    else:
        return
    lacking = missing_permissions(granted)
    if isinstance(roles, list) and len(lacking) == len(COSTS):
        return  # Exchange may have granted them to this application (RBAC for Applications), which no token says
    for name in lacking:
        yield Check(
            area="setup",
            verdict=Verdict.FAULT,
            sentence=f"the token of {rep.email} lacks {name}: {COSTS[name]}",
            mend=sign_in.widening,
            reconnect=True,
        )
    if not lacking:
        yield Check(area="setup", verdict=Verdict.OK, sentence=f"the token holds what is needed: {' and '.join(COSTS)}")
    if isinstance(roles, list):
        yield Check(area="setup", verdict=Verdict.WARNING, sentence=_TENANT_WIDE, mend=_LIMITING)


def _certificate(account: MicrosoftAccount, clock: Clock) -> Iterator[Check]:
    if account.certificate_file is None:
        return
    try:
        ends = read_certificate(account.certificate_file).ends
    except BadInput:
        return  # the sign-in has failed by it, and says so
    if ends - clock.now() < _NOTICE:
        over = ends <= clock.now()
        yield Check(
            area="sign-in",
            verdict=Verdict.FAULT if over else Verdict.WARNING,
            sentence=f"the certificate of certificate_file {'ended' if over else 'ends'} on {ends:%Y-%m-%d}",
            mend="make a new one, upload it to the app, and put it in the place of the old one",
        )


def _clocks(account: MicrosoftAccount, clock: Clock) -> Sequence[Check]:
    # Ready tokens come without a tenant; any will do.
    address = f"{account.login_address}/{account.tenant or 'common'}/v2.0/.well-known/openid-configuration"
    return clock_checks(address, clock, "Microsoft", costs="sign-ins fail, and mail goes out at the wrong time")
