"""What Microsoft's sign-in refuses, in words: the AADSTS numbers people meet, and what to do about each.

Lives here: the table, and the errors made of an answer. Does not live here: asking (`entra`), what Graph refuses
(`session`).
Source: Microsoft's page on Entra authentication error codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapters.outlook.account import sign_in_command
from connector.errors import AdapterError, Reconnect, Retry

_APPLICATIONS = "the Entra admin centre (entra.microsoft.com), App registrations"

_AGAIN = "sign in again"

#: AADSTS number -> what to do.
ADVICE: Mapping[int, str] = {
    50011: f"add the redirect URI http://localhost/callback to the app in {_APPLICATIONS}, Authentication, as a Mobile "
    "and desktop application",
    50020: "the person is of another organisation: choose the account of the rep's own",
    50034: "there is no such user in this tenant: check the rep's address and tenant",
    50053: "the account is locked after too many attempts: have an administrator look at it",
    50057: "the user is switched off: have an administrator switch them on",
    50076: f"multi-factor authentication is asked for: {_AGAIN} and answer it",
    50078: f"the multi-factor authentication has run out: {_AGAIN} and answer it",
    50079: f"the person has to enrol for multi-factor authentication: {_AGAIN} and follow it",
    50105: "have an administrator assign the person to the app, under Enterprise applications, Users and groups",
    50173: f"the password was changed, or an administrator ended the sign-ins: {_AGAIN}",
    53000: "Conditional Access lets in devices only that your organisation manages: sign in on one of them",
    53003: "Conditional Access forbids this sign-in: ask an administrator; where it blocks device codes, use "
    "auth: auth_code",
    54005: f"the answer of the browser was used already: {_AGAIN}",
    65001: f"nobody has consented: have an administrator grant the app's permissions in {_APPLICATIONS}, "
    "API permissions",
    65004: f"it was declined in the browser: {_AGAIN} and accept",
    70000: f"the sign-in is not good any more: {_AGAIN}",
    70008: f"the sign-in has run out: {_AGAIN}",
    70020: f"the code was not entered in time: {_AGAIN}",
    70043: f"Conditional Access asks for a new sign-in after a while: {_AGAIN}",
    90002: "there is no such organisation: check tenant, and cloud for a national cloud",
    90094: "only an administrator may consent: have one grant the app's permissions",
    700016: "there is no such app in this organisation: check client_id and tenant",
    700027: f"upload the certificate of certificate_file to the app in {_APPLICATIONS}, Certificates & secrets; check "
    "that it has not ended and that this machine's clock is right",
    700082: f"the sign-in was not used for 90 days: {_AGAIN}",
    7000215: "the secret is not one of this app: set client_secret to the secret's value, not to its id",
    7000218: f"allow public client flows for the app in {_APPLICATIONS}, Authentication",
    7000222: f"the secret has ended: make a new one in {_APPLICATIONS}, Certificates & secrets",
}

#: OAuth errors and AADSTS numbers that pass by themselves; every other one needs a person.
_PASSING = frozenset({"temporarily_unavailable", "server_error", "service_unavailable", "request_timeout"})
_PASSING_NUMBERS = frozenset({90024, 90033, 90055})

_NUMBER = re.compile(r"AADSTS(\d+)")

#: What only Microsoft's support can use, at the end of each description.
_TRACE = re.compile(r"\s*(?:Trace ID|Correlation ID|Timestamp):.*", re.DOTALL)

#: Longest part of a description that is shown.
_LONGEST = 240


def number_of(answer: Mapping[str, Any]) -> int | None:
    """Return the AADSTS number of a refusal, when it has one."""
    codes = answer.get("error_codes")
    if isinstance(codes, list) and codes and isinstance(codes[0], int):
        return codes[0]
    found = _NUMBER.search(str(answer.get("error_description") or ""))
    return int(found.group(1)) if found else None


def described(answer: Mapping[str, Any]) -> str:
    """Return a refusal in Microsoft's words on one line, without the ids of the request."""
    words = " ".join(_TRACE.sub("", str(answer.get("error_description") or "")).split())
    return (words or str(answer.get("error") or "no reason was given"))[:_LONGEST].rstrip(" .")


def refused(answer: Mapping[str, Any], *, account: str, what: str, then: str = "", otherwise: str = "") -> AdapterError:
    """Return the error of an answer without a token.

    `what` was asked for, such as `the sign-in of ana@acme.example to Outlook`; `then` ends the advice with the command
    of a person; `otherwise` is the advice where the number has none.
    """
    number = number_of(answer)
    error = str(answer.get("error") or "refused")
    code = f"AADSTS{number}" if number else error
    advice = ADVICE.get(number or 0, "")
    said = described(answer)
    if advice:
        said = said.partition(". ")[0]  # Microsoft's own advice follows; one is enough
    sentence = f"Microsoft refused {what}: {said}"
    if error in _PASSING or number in _PASSING_NUMBERS:
        return Retry(f"{sentence}; it is tried again", code=code)
    told = [sentence, *(_capital(one) for one in (advice or otherwise, then) if one)]
    return Reconnect(". ".join(told), account=account, code=code)


def refused_person(answer: Mapping[str, Any], rep: str) -> AdapterError:
    """Return the error of a rep's own sign-in that gives no token."""
    return refused(
        answer,
        account=f"outlook:{rep}",
        what=f"the sign-in of {rep} to Outlook",
        then=f"Then run '{sign_in_command(rep)}'",
    )


def not_signed_in(rep: str) -> Reconnect:
    """Return the error of a rep who has not signed in, or did with another application."""
    return Reconnect(
        f"{rep} is not signed in to Outlook: run '{sign_in_command(rep)}'",
        account=f"outlook:{rep}",
        code="not_signed_in",
    )


def _capital(advice: str) -> str:
    return f"{advice[0].upper()}{advice[1:]}"
