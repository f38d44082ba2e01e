"""What a failed call of Graph means, by what the caller must do about it.

Lives here: reading Graph's error, and what a failing server or a broken line means for a call that acts and for one
that may be repeated. Does not live here: the table of refusals (`codes`), repeating anything (`session`), failed token
calls (`aadsts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import requests

from adapters.http import TooSlow, cut_short, never_connected, retry_after
from adapters.outlook.account import SignIn
from adapters.outlook.codes import DENIED, OTHER_MAILBOX, Rule, Treatment, rule_for
from connector.errors import AdapterError, OutcomeUnknown, Reconnect, Refused, Retry, Unsupported
from connector.ports import Clock

#: Longest quotation of Microsoft's words.
_QUOTED = 200
#: The server gave up while it may have been acting.
_TIMED_OUT = 408


class ItemGone(Refused):
    """The item is not in the mailbox under this id."""


class CursorExpired(Refused):
    """The delta link is too old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose mailbox a call is about."""

    #: The rep's address.
    rep: str
    sign_in: SignIn
    clock: Clock

    @property
    def account(self) -> str:
        """Its name in `Reconnect`."""
        return f"outlook:{self.rep}"


def answered(response: requests.Response, owner: Owner, *, key: str | None) -> AdapterError:
    """Return what an answer of 300 or more means; `key` is the intent whose effect was asked for, None for a read."""
    if cut_short(response.status_code, response.headers.get("Content-Type", ""), response.content):
        return garbled(owner, key=None)
    try:
        body = response.json()
    except ValueError:
        body = None
    return translated(response.status_code, body, owner, after=retry_after(response), key=key)


def translated(
    status: int, body: Any, owner: Owner, *, after: timedelta | None = None, key: str | None = None
) -> AdapterError:
    """Return what an error means, of an answer or of a part of a batch; `after` is what Retry-After said."""
    error = body.get("error") if isinstance(body, Mapping) else None
    error = error if isinstance(error, Mapping) else {}
    codes = codes_of(error) or (str(status),)
    stranger = owner.sign_in.stranger if not set(codes).isdisjoint(DENIED) else ""
    if stranger:
        codes = (OTHER_MAILBOX,)
    if key is not None and (status >= 500 or status == _TIMED_OUT):
        # 504 has been seen after a mail went out (reference apis 3.5).
        return OutcomeUnknown(
            f"Outlook failed for {owner.rep} and may have acted all the same ({status})", key=key, code=codes[0]
        )
    message = " ".join(str(error.get("message") or "").split())
    rule = rule_for(status, codes, message)
    said = (message[:_QUOTED].rstrip(".") or f"HTTP {status}") + _request_id(error)
    told = {
        "mailbox": owner.rep,
        "said": said,
        "renewal": owner.sign_in.renewal,
        "widening": owner.sign_in.widening,
        "stranger": stranger,
    }
    return _by_rule(rule, rule.sentence.format(**told), rule.code or codes[0], owner, after)


def codes_of(error: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the codes of an error, the innermost first."""
    codes: list[str] = []
    level: Any = error
    while isinstance(level, Mapping):
        if level.get("code"):
            codes.insert(0, str(level["code"]))
        level = level.get("innererror") or level.get("innerError")
    return tuple(codes)


def _request_id(error: Mapping[str, Any]) -> str:
    inner = error.get("innerError") or error.get("innererror")
    request = inner.get("request-id") if isinstance(inner, Mapping) else None
    return f" (request {request})" if request else ""


def _by_rule(rule: Rule, sentence: str, code: str, owner: Owner, after: timedelta | None) -> AdapterError:
    told: dict[str, Any] = {"code": code, "advice": rule.advice, "category": rule.category}
    match rule.treatment:
        case Treatment.LATER:
            wait = rule.after if after is None else after
            if wait is not None:
                sentence = f"{sentence}; it goes on after {owner.clock.now() + wait:%Y-%m-%d %H:%M:%S} UTC"
            return Retry(sentence, after=wait, **told)
        case Treatment.RECONNECT:
            return Reconnect(sentence, account=owner.account, **told)
        case Treatment.GONE:
            return ItemGone(sentence, **told)
        case Treatment.EXPIRED:
            return CursorExpired(sentence, **told)
        case Treatment.UNSUPPORTED:
            return Unsupported(sentence, **told)
        case _:
            return Refused(sentence, **told)


def unanswered(error: requests.RequestException | TooSlow, owner: Owner, *, key: str | None) -> AdapterError:
    """Return what a broken line means: nothing happened if it never stood, else it cannot be known."""
    if isinstance(error, TooSlow):
        # Put off, it would be the first to be tried each time, and no other mail of the rep would ever go out.
        return Refused(
            f"the line to Outlook is too slow for the mail of this size from {owner.rep}: make its attachments smaller",
            code="slow_line",
            advice="try it again when the line is faster; each file must leave within 40 seconds",
        )
    if isinstance(error, ValueError):
        # `requests` derives its errors about the address itself (scheme, host) from ValueError as well.
        return Refused(f"Outlook cannot be called for {owner.rep}: check accounts.microsoft.endpoint", code="address")
    if key is None or never_connected(error):
        return Retry(f"Outlook could not be reached for {owner.rep}; it is tried again", code="connection")
    return OutcomeUnknown(
        f"the line to Outlook broke for {owner.rep} before the answer came", key=key, code="connection"
    )


def garbled(owner: Owner, *, key: str | None) -> AdapterError:
    """Return what a good status with an unreadable body means, or without a `key` a refusal with one."""
    if key is None:
        return Retry(f"Outlook's answer for {owner.rep} could not be read; it is tried again", code="garbled")
    return OutcomeUnknown(f"Outlook's answer for {owner.rep} could not be read", key=key, code="garbled")
