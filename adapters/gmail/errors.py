"""What a failed Gmail call means, by what the caller must do about it.

Lives here: the table of status and reason, and what a broken line means for a call with an effect and for one
without. Does not live here: repeating anything (`mailbox`), failed token calls (`account`).
Source: reference apis 2.7.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import requests
from googleapiclient.errors import HttpError
from urllib3.exceptions import NewConnectionError

from adapters.gmail.account import COMPOSE_SCOPE, READ_SCOPE
from adapters.http import retry_after
from connector.errors import AdapterError, OutcomeUnknown, Reconnect, Refused, Retry

#: Reasons of a 403 that are about speed, not about rights.
_RATE_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "dailyLimitExceeded", "quotaExceeded"})
#: "User-rate limit exceeded.  Retry after 2026-11-23T10:00:00.000Z"
_RETRY_AT = re.compile(r"Retry after (\d{4}-\d\d-\d\dT[\d:.]+Z)")

#: `Refused.code` of anything Gmail says is not there.
NOT_FOUND = "notFound"


def answered(error: HttpError, *, method: str, mailbox: str, key: str | None) -> AdapterError:
    """Return what an answer of 300 or more means.

    `key` is the intent whose effect was asked for; None for a call that may be repeated.
    """
    status = error.status_code
    reason, said = _reason(error)
    account = f"gmail:{mailbox}"
    if status == 401:
        return Reconnect(
            f"Gmail no longer accepts the sign-in of {mailbox}: sign in again", account=account, code=reason
        )
    if status == 403 and reason == "insufficientPermissions":
        scope = READ_SCOPE if method == "GET" else COMPOSE_SCOPE
        return Reconnect(f"the token of {mailbox} lacks the scope {scope}: grant it", account=account, code=reason)
    if status == 403 and reason == "domainPolicy":
        return Reconnect(
            f"an administrator has switched the Gmail API off for {mailbox}: have it allowed",
            account=account,
            code=reason,
        )
    if status == 429 or (status == 403 and reason in _RATE_REASONS):
        return Retry(f"Gmail asks {mailbox} to slow down: {said}", code=reason, after=_wait(error))
    if status == 404:
        return Refused(f"Gmail has no such item in the mailbox of {mailbox}", code=NOT_FOUND)
    if status >= 500 and key is not None:
        return OutcomeUnknown(
            f"Gmail failed for {mailbox} and may have acted all the same ({status})", key=key, code=reason
        )
    if status >= 500:
        return Retry(f"Gmail failed for {mailbox} ({status}); it is tried again", code=reason, after=_wait(error))
    return Refused(f"Gmail refused for {mailbox}: {said}", code=reason)


def unanswered(error: requests.RequestException, *, mailbox: str, key: str | None) -> AdapterError:
    """Return what a broken line means: nothing happened if it never stood, else it cannot be known."""
    if isinstance(error, ValueError):
        # `requests` derives its errors about the address itself (scheme, host) from ValueError as well.
        return Refused(f"Gmail cannot be called for {mailbox}: check accounts.google.endpoint", code="address")
    if key is None or _never_connected(error):
        return Retry(f"Gmail could not be reached for {mailbox}; it is tried again", code="connection")
    return OutcomeUnknown(f"the line to Gmail broke for {mailbox} before the answer came", key=key, code="connection")


def garbled(*, mailbox: str, key: str | None) -> AdapterError:
    """Return what a good status with an unreadable body means."""
    if key is None:
        return Retry(f"Gmail's answer for {mailbox} could not be read; it is tried again", code="garbled")
    return OutcomeUnknown(f"Gmail's answer for {mailbox} could not be read", key=key, code="garbled")


def _never_connected(error: requests.RequestException) -> bool:
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", cause), NewConnectionError)


def _wait(error: HttpError) -> timedelta | None:
    """Return how long Google asks to wait: in the header, or for the sending limit as an instant in its sentence."""
    response = requests.Response()
    response.headers.update(error.resp)
    at = _RETRY_AT.search(error.content.decode("utf-8", "replace"))
    if "Retry-After" in response.headers or at is None:
        return retry_after(response)
    try:
        wait = datetime.fromisoformat(at[1]) - parsedate_to_datetime(response.headers.get("Date", ""))
    except (ValueError, TypeError):
        return None
    return max(wait, timedelta())


def _reason(error: HttpError) -> tuple[str, str]:
    """Return the reason as a code, and Google's own sentence on one line."""
    try:
        body = json.loads(error.content)["error"]
        message = str(body.get("message", ""))
        causes = body.get("errors") or [{}]
        reason = str(causes[0].get("reason") or body.get("status") or error.status_code)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        message, reason = "", str(error.status_code)
    said = " ".join(message.split())[:200].rstrip(".") or f"HTTP {error.status_code}"
    return reason, said
