"""What a failed Gmail call means, by what the caller must do about it.

Lives here: reading Google's answer, and what a failing server or a broken line means for a call with an effect and for
one without. Does not live here: the table of refusals (`codes`), repeating anything (`session`), failed token calls
(`account`).
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

import requests
from googleapiclient.errors import HttpError

from adapters.gmail.account import COMPOSE_SCOPE, READ_SCOPE
from adapters.gmail.codes import Rule, Treatment, rule_for
from adapters.http import cut_short, never_connected, retry_after
from connector.errors import AdapterError, OutcomeUnknown, Reconnect, Refused, Retry, Unsupported

#: "User-rate limit exceeded.  Retry after 2026-11-23T10:00:00.000Z (Mail sending)"
_RETRY_AT = re.compile(r"Retry after (\d{4}-\d\d-\d\dT[\d:.]+Z)")
#: Longest quotation of Google's words.
_QUOTED = 200
#: The server gave up while it may have been acting.
_TIMED_OUT = 408


def answered(
    error: HttpError, *, method: str, mailbox: str, renewal: str, key: str | None, now: datetime
) -> AdapterError:
    """Return what an answer of 300 or more means.

    `renewal` is how the mailbox is signed in anew; `key` is the intent whose effect was asked for, None for a call
    that may be repeated.
    """
    status = error.status_code
    reasons, said = _said(error)
    code = reasons[0]
    if status >= 500 or status == _TIMED_OUT:
        if key is not None:
            return OutcomeUnknown(
                f"Gmail failed for {mailbox} and may have acted all the same ({status})", key=key, code=code
            )
        after = _wait(error, now)
        return Retry(f"Gmail failed for {mailbox} ({status}); it is tried again", code=code, after=after)
    if cut_short(status, str(error.resp.get("content-type", "")), error.content):
        return garbled(mailbox=mailbox, key=None)
    rule = rule_for(status, reasons, said)
    scope = READ_SCOPE if method == "GET" else COMPOSE_SCOPE
    quoted = said[:_QUOTED].rstrip(".") or f"HTTP {status}"
    sentence = rule.sentence.format(mailbox=mailbox, scope=scope, said=quoted, renewal=renewal)
    asked = _wait(error, now)
    return _from_rule(rule, sentence, rule.code or code, mailbox, rule.after if asked is None else asked, now)


def _from_rule(
    rule: Rule, sentence: str, code: str, mailbox: str, after: timedelta | None, now: datetime
) -> AdapterError:
    told: dict[str, Any] = {"code": code, "advice": rule.advice, "category": rule.category}
    match rule.treatment:
        case Treatment.RECONNECT:
            return Reconnect(sentence, account=f"gmail:{mailbox}", **told)
        case Treatment.LATER:
            if after is not None:
                sentence = f"{sentence}; it goes on after {now + after:%Y-%m-%d %H:%M:%S} UTC"
            return Retry(sentence, after=after, **told)
        case Treatment.UNSUPPORTED:
            return Unsupported(sentence, **told)
        case _:
            return Refused(sentence, **told)


def unanswered(error: requests.RequestException, *, mailbox: str, key: str | None) -> AdapterError:
    """Return what a broken line means: nothing happened if it never stood, else it cannot be known."""
    if isinstance(error, ValueError):
        # `requests` derives its errors about the address itself (scheme, host) from ValueError as well.
        return Refused(f"Gmail cannot be called for {mailbox}: check accounts.google.endpoint", code="address")
    if key is None or never_connected(error):
        return Retry(f"Gmail could not be reached for {mailbox}; it is tried again", code="connection")
    return OutcomeUnknown(f"the line to Gmail broke for {mailbox} before the answer came", key=key, code="connection")


def too_slow(*, mailbox: str) -> Refused:
    """Return what it means that a large mail did not leave in time: nothing happened, and it fails alone.

    Put off, it would be the first to be tried each time, and no other mail of the rep would ever go out.
    """
    return Refused(
        f"the line to Gmail is too slow for the mail of this size from {mailbox}: make its attachments smaller",
        code="slow_line",
        advice="try it again when the line is faster; the whole mail must leave within 40 seconds",
    )


def garbled(*, mailbox: str, key: str | None) -> AdapterError:
    """Return what a good status with an unreadable body means, or without a `key` a refusal with one."""
    if key is None:
        return Retry(f"Gmail's answer for {mailbox} could not be read; it is tried again", code="garbled")
    return OutcomeUnknown(f"Gmail's answer for {mailbox} could not be read", key=key, code="garbled")


def _wait(error: HttpError, now: datetime) -> timedelta | None:
    """Return how long Google asks to wait: in the header, or as an instant in its sentence."""
    response = requests.Response()
    response.headers.update(error.resp)
    at = _RETRY_AT.search(error.content.decode("utf-8", "replace"))
    if "Retry-After" in response.headers or at is None:
        return retry_after(response)
    try:
        return max(datetime.fromisoformat(at[1]) - now, timedelta())
    except ValueError:
        return None


def _said(error: HttpError) -> tuple[tuple[str, ...], str]:
    """Return every reason an answer gives, the most telling first, and Google's own sentence on one line."""
    try:
        body = json.loads(error.content)["error"]
        message = str(body.get("message", ""))
        parts = [*(body.get("errors") or ()), *(body.get("details") or ())]
        reasons = [str(part["reason"]) for part in parts if part.get("reason")] + [str(body.get("status") or "")]
    except (ValueError, KeyError, TypeError, AttributeError):
        message, reasons = "", []
    found = tuple(reason for reason in reasons if reason) or (str(error.status_code),)
    return found, " ".join(message.split())
