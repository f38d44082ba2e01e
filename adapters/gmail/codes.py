"""The one table of Gmail's refusals: what each means, what is done about it, and what people are told.

Lives here: `CODES` and `rule_for`. Does not live here: reading an answer, broken lines and failures of the server
(`errors`), repeating anything (`session`).

One reason stands for several things, so a reason may have several rows: the first whose `when` is found in Google's
message counts. In sentences `{mailbox}` is the rep's address, `{renewal}` how it is signed in anew, `{scope}` the scope
the call needed, `{said}` Google's own words on one line. Sources: reference apis 2.7; Google's guides to errors and to
usage limits of the Gmail API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from connector.errors import ErrorClass

#: `Refused.code` of anything Gmail says is not there.
NOT_FOUND = "notFound"
#: `Refused.code` of a thread that cannot be joined.
NO_SUCH_THREAD = "noSuchThread"
#: `Refused.code` of an address no mail can go to.
BAD_RECIPIENT = "badRecipient"
#: `Refused.code` of a mail that is too large.
TOO_LARGE = "attachments_too_large"
#: `Retry.code` of Gmail's limit on mails a day.
SENDING_LIMIT = "mailSendingLimit"


class Treatment(StrEnum):
    """What must be done about a refusal."""

    #: Nothing was done; the same call is right, later.
    LATER = "later"
    #: The mailbox waits for a person.
    RECONNECT = "reconnect"
    #: This call will never be taken.
    REFUSED = "refused"
    #: Gmail cannot express it.
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table."""

    #: HTTP status; empty for any.
    status: tuple[int, ...]
    treatment: Treatment
    category: ErrorClass
    sentence: str
    #: For the administrator: the next move.
    advice: str = ""
    #: Google's reasons; empty for any.
    reasons: tuple[str, ...] = ()
    #: Regular expression, small letters: the row counts only when Google's message has it.
    when: str = ""
    #: Our own code, where Google's reason says less than the row does.
    code: str = ""
    #: How long to wait when Google does not say.
    after: timedelta | None = None


_LATER, _RECONNECT = Treatment.LATER, Treatment.RECONNECT
_REFUSED, _UNSUPPORTED = Treatment.REFUSED, Treatment.UNSUPPORTED
_PASSING, _SIGN_IN = ErrorClass.INTERMITTENT, ErrorClass.AUTHENTICATION
_ACCESS, _OTHER = ErrorClass.ACCESS, ErrorClass.OTHER

_RATE = ("rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED")
_SCOPE = ("insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "insufficientScope")

CODES: tuple[Rule, ...] = (
    # --------------------------------------------------------------------------------- sign-in and rights
    Rule(
        status=(401,), treatment=_RECONNECT, category=_SIGN_IN,
        sentence="Gmail no longer accepts the sign-in of {mailbox}: {renewal}",
        advice="a changed password or a withdrawn consent ends it; a ready token ends after an hour",
    ),
    Rule(
        status=(403,), reasons=_SCOPE, treatment=_RECONNECT, category=_ACCESS,
        sentence="the token of {mailbox} lacks the scope {scope}: grant it",
        advice="sign in again with that scope, or add it to the service account's domain-wide delegation",
    ),
    Rule(
        status=(403,), reasons=("accessNotConfigured", "SERVICE_DISABLED"), treatment=_RECONNECT, category=_ACCESS,
        sentence="the Gmail API is not switched on in the Google Cloud project that {mailbox} is opened with",
        advice="an owner of the project switches it on under APIs & Services; it takes a few minutes to be seen",
    ),
    Rule(
        status=(403,), reasons=("domainPolicy",), treatment=_RECONNECT, category=_ACCESS,
        sentence="an administrator has switched the Gmail API off for {mailbox}: have it allowed",
        advice="Google Workspace admin console: Security, API controls; and Gmail must be on for the user",
    ),
    Rule(
        status=(403,), when="delegation denied", treatment=_RECONNECT, category=_ACCESS,
        sentence="the token given for {mailbox} belongs to another mailbox: {renewal}",
        advice="give each rep's own token under accounts.google.tokens",
    ),
    Rule(
        status=(400, 403), reasons=("failedPrecondition", "FAILED_PRECONDITION"), treatment=_RECONNECT,
        category=_ACCESS,
        sentence="{mailbox} has no Gmail that can be opened: {said}",
        advice="switch Gmail on for the user; a service account needs domain-wide delegation to open a mailbox",
    ),
    # -------------------------------------------------------------------------------------------- limits
    Rule(
        status=(403, 429), when=r"mail sending", treatment=_LATER, category=_OTHER,
        code=SENDING_LIMIT, after=timedelta(hours=1),
        sentence="{mailbox} has reached Gmail's limit on mails sent in a day",
        advice="2,000 a day for a paid Workspace user; lower pacing.gmail.per_day",
    ),
    Rule(
        # Google does not always say which: the limit on mails, or that on bytes read and written.
        status=(403, 429), when=r"user-rate limit exceeded", treatment=_LATER, category=_OTHER,
        code="userLimit",
        sentence="{mailbox} has reached a limit that Gmail sets for one user, on mails sent in a day or on bytes",
        advice="all programs of the user count together; 2,000 mails a day for a paid Workspace user",
    ),
    Rule(
        status=(403, 429), reasons=("dailyLimitExceeded",), treatment=_LATER, category=_OTHER,
        after=timedelta(hours=1),
        sentence="the Google Cloud project that {mailbox} is opened with has used up its day's quota",
        advice="look at the project's quotas for the Gmail API",
    ),
    Rule(
        status=(403, 429), when="concurrent", treatment=_LATER, category=_PASSING,
        sentence="too many programs read {mailbox} at the same time",
        advice="Gmail counts all programs that open the mailbox together",
    ),
    Rule(
        status=(403, 429), when="per minute per user", treatment=_LATER, category=_PASSING,
        sentence="{mailbox} has used up its minute's quota at Gmail",
        advice="another program uses the same Google project; lower accounts.google.units_per_minute",
    ),
    Rule(
        status=(403, 429), when="per minute", treatment=_LATER, category=_PASSING,
        sentence="the Google Cloud project that {mailbox} is opened with has used up its minute's quota",
        advice="look at the project's quotas for the Gmail API",
    ),
    Rule(
        status=(403, 429), reasons=_RATE, treatment=_LATER, category=_PASSING,
        sentence="Gmail asks {mailbox} to slow down: {said}",
    ),
    Rule(
        status=(429,), treatment=_LATER, category=_PASSING,
        sentence="Gmail asks {mailbox} to slow down: {said}",
    ),
    # ------------------------------------------------------------------------------------------- refusals
    Rule(
        status=(404,), reasons=(NOT_FOUND, "NOT_FOUND"), treatment=_REFUSED, category=_OTHER, code=NOT_FOUND,
        sentence="Gmail has no such item in the mailbox of {mailbox}",
    ),
    Rule(
        # A page, not Gmail's own answer: what is there cannot be told from it.
        status=(404,), treatment=_REFUSED, category=_OTHER, code="address",
        sentence="Gmail does not answer for {mailbox} at this address",
        advice="check accounts.google.endpoint",
    ),
    Rule(
        status=(400,), when=r"thread_?id", treatment=_REFUSED, category=_OTHER, code=NO_SUCH_THREAD,
        sentence="Gmail knows no such conversation in the mailbox of {mailbox}",
    ),
    Rule(
        status=(400,), when=r"invalid (?:to|cc|bcc) header|recipient address required", treatment=_REFUSED,
        category=_ACCESS, code=BAD_RECIPIENT,
        sentence="Gmail takes no mail from {mailbox} to this address: {said}",
        advice="correct the person's address",
    ),
    Rule(
        status=(413,), treatment=_UNSUPPORTED, category=_ACCESS, code=TOO_LARGE,
        sentence="the mail is larger than Gmail takes from {mailbox}: make its attachments smaller",
    ),
    Rule(
        status=(400,), when=r"too large|larger than|exceeds the (?:maximum )?size", treatment=_UNSUPPORTED,
        category=_ACCESS, code=TOO_LARGE,
        sentence="the mail is larger than Gmail takes from {mailbox}: make its attachments smaller",
    ),
    Rule(
        status=(409,), treatment=_LATER, category=_PASSING,
        sentence="Gmail was busy with the same item of {mailbox}; it is tried again",
    ),
    Rule(
        status=(), treatment=_REFUSED, category=_ACCESS,
        sentence="Gmail refused for {mailbox}: {said}",
    ),
)  # fmt: skip


def rule_for(status: int, reasons: tuple[str, ...], message: str) -> Rule:
    """Return the first row that fits an answer; the last fits all."""
    said = message.lower()
    return next(
        rule
        for rule in CODES
        if (not rule.status or status in rule.status)
        and (not rule.reasons or set(rule.reasons) & set(reasons))
        and re.search(rule.when, said)
    )
