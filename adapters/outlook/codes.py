"""The one table of Graph's refusals: what each means, what is done about it, and what people are told.

Lives here: `CODES` and `rule_for`. Does not live here: reading an answer, broken lines, what a failure means for a call
that acts (`errors`), repeating anything (`session`).

Graph wraps the telling code in general ones, so an answer has several: the innermost that the table knows counts, then
the status. In sentences and advice `{mailbox}` is the rep's address, `{said}` Microsoft's own words on one line,
`{renewal}` how the mailbox is signed in anew and `{widening}` how its sign-in is given more permissions: by the rep
where he signs in himself, else by the administrator; `{stranger}` is whose token it is, when it is not the rep's.
Sources: reference apis 3.5; Microsoft's pages on errors of Graph and on the limits of Exchange Online.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from connector.errors import ErrorClass

#: `Unsupported.code` of a mail or a file that is too large.
TOO_LARGE = "attachments_too_large"

#: Codes of a call that the sign-in may not make.
DENIED = ("ErrorAccessDenied", "Authorization_RequestDenied")
#: Our own code of such a call by somebody else's token, for which Graph has none.
OTHER_MAILBOX = "otherMailbox"


class Treatment(StrEnum):
    """What must be done about a refusal."""

    #: Nothing was done; the same call is right, later.
    LATER = "later"
    #: The mailbox waits for a person.
    RECONNECT = "reconnect"
    #: The item is not there under this id.
    GONE = "gone"
    #: The delta link is too old.
    EXPIRED = "expired"
    #: This call will never be taken.
    REFUSED = "refused"
    #: Outlook cannot express it.
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table."""

    treatment: Treatment
    category: ErrorClass
    sentence: str
    #: For the administrator: the next move.
    advice: str = ""
    #: Graph's codes, whatever the status; "404" for an answer of that status that has none at all.
    codes: tuple[str, ...] = ()
    #: HTTP status of an answer whose codes are not in the table. With neither, the row fits all that is left.
    status: tuple[int, ...] = ()
    #: Regular expression, small letters: the row counts only when Microsoft's message has it.
    when: str = ""
    #: Our own code, where Graph's says less than the row does.
    code: str = ""
    #: How long to wait when Microsoft does not say.
    after: timedelta | None = None


_LATER, _RECONNECT = Treatment.LATER, Treatment.RECONNECT
_REFUSED, _UNSUPPORTED = Treatment.REFUSED, Treatment.UNSUPPORTED
_PASSING, _SIGN_IN = ErrorClass.INTERMITTENT, ErrorClass.AUTHENTICATION
_ACCESS, _OTHER = ErrorClass.ACCESS, ErrorClass.OTHER

#: How long a mailbox that is full, blocked or over its day's limit rests.
_REST = timedelta(hours=1)

_PERMISSIONS = (
    "Mail.ReadWrite and Mail.Send are needed; where the application is limited to some mailboxes (RBAC for "
    "Applications, an application access policy), the limit must hold this one"
)
_OURS = "this is a fault of the connector: report it with the request's id"

CODES: tuple[Rule, ...] = (
    # --------------------------------------------------------------------------------- sign-in and rights
    Rule(
        # Not quoted: what Microsoft says about a token may quote it.
        codes=("InvalidAuthenticationToken",), status=(401,), treatment=_RECONNECT, category=_SIGN_IN,
        sentence="Outlook no longer accepts the sign-in of {mailbox}: {renewal}",
        advice="a changed password, a revoked session or a policy ends it; a token of another cloud is never taken",
    ),
    Rule(
        codes=(OTHER_MAILBOX,), treatment=_RECONNECT, category=_ACCESS,
        sentence="the token given for {mailbox} belongs to another mailbox, {stranger}: {renewal}",
        advice="give each rep's own token under accounts.microsoft.tokens",
    ),
    Rule(
        codes=DENIED, treatment=_RECONNECT, category=_ACCESS,
        sentence="the sign-in of {mailbox} lacks a permission (Mail.ReadWrite or Mail.Send): {widening}",
        advice=_PERMISSIONS,
    ),
    Rule(
        codes=("MailboxNotEnabledForRESTAPI", "MailboxNotSupportedForRESTAPI"), treatment=_RECONNECT,
        category=_ACCESS,
        sentence="{mailbox} has no mailbox in Exchange Online: have an administrator give it a licence, or say "
        "'mailbox: links' for this rep",
        advice="assign a licence with Exchange Online to the user; a mailbox on premises or of a guest cannot be "
        "opened through Microsoft Graph",
    ),
    Rule(
        codes=("ErrorInvalidUser", "ErrorNonExistentMailbox", "ResourceNotFound", "Request_ResourceNotFound"),
        treatment=_RECONNECT, category=_ACCESS,
        sentence="Microsoft 365 knows no mailbox {mailbox}: check the rep's address",
        advice="the rep's email in connector.yaml must be the name the user signs in by (user principal name): Graph "
        "finds a mailbox by no other; further addresses of it go under aliases",
    ),
    Rule(
        status=(403,), treatment=_RECONNECT, category=_ACCESS,
        sentence="Outlook denies access to the mailbox of {mailbox} ({said}): {renewal}",
        advice=_PERMISSIONS,
    ),
    # -------------------------------------------------------------------------------------------- limits
    Rule(
        codes=("ApplicationThrottled",), when="concurrency", treatment=_LATER, category=_PASSING,
        sentence="too many requests open the mailbox of {mailbox} at the same time",
        advice="Microsoft takes four at a time from one application, of all its programs together",
    ),
    Rule(
        codes=("ApplicationThrottled", "TooManyRequests", "activityLimitReached", "ErrorExceededConnectionCount"),
        status=(429,), treatment=_LATER, category=_PASSING,
        sentence="Outlook asks {mailbox} to slow down: {said}",
        advice="10,000 requests in ten minutes for one application and mailbox, of all its programs together",
    ),
    Rule(
        codes=("ErrorServerBusy", "ErrorMailboxStoreUnavailable", "ServiceUnavailable", "ResourceUnhealthy"),
        treatment=_LATER, category=_PASSING,
        sentence="Outlook is busy and did not serve {mailbox}; it is tried again",
    ),
    Rule(
        codes=("ErrorExceededMessageLimit",), treatment=_LATER, category=_OTHER, after=_REST,
        sentence="{mailbox} has reached the limit on mails sent in a day",
        advice="Exchange Online sends to 10,000 recipients a day; lower pacing.outlook.per_day",
    ),
    Rule(
        codes=("ErrorQuotaExceeded",), treatment=_LATER, category=_OTHER, after=_REST,
        sentence="the mailbox of {mailbox} is full: its owner must make room",
        advice="empty it, or give the user a larger mailbox",
    ),
    Rule(
        codes=("ErrorMessageSubmissionBlocked",), treatment=_LATER, category=_OTHER, after=_REST,
        sentence="Microsoft has stopped {mailbox} from sending: its owner signs in to Outlook on the web and follows "
        "what is asked in the inbox",
        advice="an administrator finds blocked users in the Defender portal under Restricted entities",
    ),
    # -------------------------------------------------------------------------------------- not there any more
    Rule(
        # An id that is not one of this mailbox (any more) is said to be malformed.
        codes=("ErrorItemNotFound", "ErrorInvalidIdMalformed", "ErrorInvalidMailboxItemId", "ErrorFolderNotFound"),
        treatment=Treatment.GONE, category=_OTHER,
        sentence="Outlook has no such item in the mailbox of {mailbox}",
    ),
    Rule(
        codes=("syncStateNotFound", "SyncStateInvalid", "resyncRequired"), status=(410,),
        treatment=Treatment.EXPIRED, category=_PASSING,
        sentence="what was known of the changes in the mailbox of {mailbox} is too old: it is looked through anew",
    ),
    # ------------------------------------------------------------------------------------------- refusals
    Rule(
        codes=("ErrorInvalidRecipients",), treatment=_REFUSED, category=_ACCESS,
        sentence="Outlook takes no mail from {mailbox} to this address: {said}",
        advice="correct the person's address",
    ),
    Rule(
        codes=("ErrorSendAsDenied",), treatment=_REFUSED, category=_ACCESS,
        sentence="{mailbox} may not send under another address: leave that alias out of the rep's aliases",
        advice="or let the organisation send from aliases (Set-OrganizationConfig -SendFromAliasEnabled)",
    ),
    Rule(
        codes=("ErrorMessageSizeExceeded", "RequestEntityTooLarge"), status=(413,), treatment=_UNSUPPORTED,
        category=_ACCESS, code=TOO_LARGE,
        sentence="the mail is larger than the mailbox of {mailbox} takes: make its attachments smaller",
        advice="35 MB unless the Exchange admin centre says otherwise for this mailbox, at most 150 MB",
    ),
    Rule(
        codes=("ErrorIrresolvableConflict",), status=(409, 412), treatment=_REFUSED, category=_OTHER,
        sentence="somebody else changed the same item of {mailbox}: it is left as it is",
    ),
    Rule(
        codes=(
            "InefficientFilter", "InvalidInternetMessageHeader", "InvalidInternetMessageHeaderCollection",
            "ErrorMimeContentInvalidBase64String",
        ),
        treatment=_REFUSED, category=_ACCESS,
        sentence="Outlook did not understand what was asked for {mailbox}: {said}",
        advice=_OURS,
    ),
    Rule(
        # A page, not Graph's own answer: what is there cannot be told from it.
        codes=("404",), treatment=_REFUSED, category=_OTHER, code="address",
        sentence="Microsoft Graph does not answer for {mailbox} at this address",
        advice="check accounts.microsoft.endpoint, which ends in /v1.0, and accounts.microsoft.cloud",
    ),
    Rule(
        # Never followed: the token goes to Graph's own address alone.
        status=(300, 301, 302, 303, 304, 307, 308), treatment=_REFUSED, category=_OTHER, code="address",
        sentence="Microsoft Graph points {mailbox} to another address, which is not followed",
        advice="check accounts.microsoft.endpoint and accounts.microsoft.cloud",
    ),
    Rule(
        status=(500, 502, 503, 504), treatment=_LATER, category=_PASSING,
        sentence="Outlook failed for {mailbox}; it is tried again",
    ),
    Rule(
        treatment=_REFUSED, category=_ACCESS,
        sentence="Outlook refused for {mailbox}: {said}",
    ),
)  # fmt: skip


def rule_for(status: int, codes: Sequence[str], message: str) -> Rule:
    """Return the row of an answer: of its first code that the table knows, else of its status; the last fits all.

    `codes` are the answer's, the innermost first. Case does not matter: Graph writes some of them either way.
    """
    said = message.lower()
    for code in codes:
        for rule in CODES:
            if code.lower() in (one.lower() for one in rule.codes) and re.search(rule.when, said):
                return rule
    general = min(500, status)
    return next(rule for rule in CODES if general in rule.status or not (rule.codes or rule.status))
