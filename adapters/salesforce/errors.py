"""What each Salesforce error code means for us: one literal table, and the translation at the edge.

Lives here: `CODES` (code -> what to do and what to tell people), and the functions that turn an item of a collection
answer or an exception of simple-salesforce or requests into `Retry`, `Reconnect` or `Refused`.
Does not live here: repeating anything (`session`, `tasks`).
A sentence never holds an address, a query or a record, except the org's own words about a rule it enforces.
Sources: reference apis 1.6 and 1.7, marketo 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import requests
from simple_salesforce.exceptions import SalesforceError

from adapters.http import retry_after
from adapters.salesforce.account import ACCOUNT
from connector.errors import AdapterError, Reconnect, Refused, Retry, Stale


class Treatment(StrEnum):
    """What must be done about a code."""

    #: Passing trouble: the same call is right, later.
    RETRY = "retry"
    #: Nothing works until a person signs in again or an administrator opens the API.
    RECONNECT = "reconnect"
    #: The record is not there any more; for a task of ours: a user deleted it.
    GONE = "gone"
    #: What the record points at must be looked up first; then the write is right.
    RESOLVE = "resolve"
    #: The org will not take it as it is.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table."""

    treatment: Treatment
    #: What it means and the next move.
    sentence: str
    #: The org's own words say more than ours can: a rule its administrator wrote, a field it names.
    quote: bool = False
    after: timedelta | None = None


def _rule(treatment: Treatment, sentence: str, *, quote: bool = False, after: timedelta | None = None) -> Rule:
    return Rule(treatment=treatment, sentence=sentence, quote=quote, after=after)


_T = Treatment

CODES: Mapping[str, Rule] = {
    # Passing trouble.
    "UNABLE_TO_LOCK_ROW": _rule(_T.RETRY, "Salesforce was changing the same records; it will be tried again"),
    "DUPLICATE_VALUE": _rule(_T.RETRY, "Salesforce was writing the same task at that moment; it will be tried again"),
    "SERVER_UNAVAILABLE": _rule(_T.RETRY, "Salesforce is not available; it will be tried again"),
    "FAILED_WRITE": _rule(_T.RETRY, "Salesforce could not write; it will be tried again"),
    "QUERY_TIMEOUT": _rule(_T.RETRY, "Salesforce took too long over a query; it will be tried again"),
    "INVALID_QUERY_LOCATOR": _rule(_T.RETRY, "the pages of a Salesforce query expired; it will be tried again"),
    "REQUEST_RUNNING_TOO_LONG": _rule(_T.RETRY, "Salesforce took too long; it will be tried again"),
    "UNKNOWN_EXCEPTION": _rule(_T.RETRY, "Salesforce had an error of its own; it will be tried again"),
    "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE": _rule(
        _T.RETRY, "Salesforce is under maintenance; it will be tried again", after=timedelta(minutes=15)
    ),
    # Sign-in, or the org's door is shut.
    "INVALID_SESSION_ID": _rule(_T.RECONNECT, "Salesforce does not accept the session; sign in again"),
    "INVALID_AUTH_HEADER": _rule(_T.RECONNECT, "Salesforce does not accept the token; sign in again"),
    "AUTHENTICATION_FAILURE": _rule(_T.RECONNECT, "Salesforce does not accept the sign-in; sign in again"),
    "INVALID_LOGIN": _rule(
        _T.RECONNECT, "Salesforce does not accept the sign-in; check user, secret and network rules"
    ),
    "LOGIN_MUST_USE_SECURITY_TOKEN": _rule(_T.RECONNECT, "Salesforce asks for the security token; sign in again"),
    "EXPIRED_ACCESS": _rule(_T.RECONNECT, "access to Salesforce has expired; sign in again"),
    "INACTIVE_USER": _rule(_T.RECONNECT, "the Salesforce user is not active; ask the administrator"),
    "INACTIVE_ORGANIZATION": _rule(_T.RECONNECT, "the Salesforce org is not active; ask the administrator"),
    "API_DISABLED_FOR_ORG": _rule(
        _T.RECONNECT, "the API is off for this Salesforce org or user; ask the administrator"
    ),
    "API_CURRENTLY_DISABLED": _rule(
        _T.RECONNECT, "the API is off for this Salesforce org or user; ask the administrator"
    ),
    # The task itself is no more.
    "ENTITY_IS_DELETED": _rule(_T.GONE, "the record was deleted in Salesforce"),
    "NOT_FOUND": _rule(_T.GONE, "the record is not in Salesforce any more"),
    # What it points at must be looked up.
    "CANNOT_UPDATE_CONVERTED_LEAD": _rule(
        _T.RESOLVE, "the lead was converted in Salesforce; the task must point at its contact"
    ),
    "INVALID_CROSS_REFERENCE_KEY": _rule(
        _T.RESOLVE, "the person, record or owner it points at is not in Salesforce any more, or cannot be seen"
    ),
    "MULTIPLE_CHOICES": _rule(
        _T.RESOLVE, "several Salesforce records carry the same key; make the intent field unique and delete the others"
    ),
    # The org says no.
    # Not quoted: its message repeats the text.
    "STRING_TOO_LONG": _rule(_T.REFUSED, "a text is too long for its Salesforce field"),
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": _rule(
        _T.REFUSED, "a validation rule of the Salesforce org refuses it", quote=True
    ),
    "FIELD_FILTER_VALIDATION_EXCEPTION": _rule(
        _T.REFUSED, "a lookup filter of the Salesforce org refuses it", quote=True
    ),
    "REQUIRED_FIELD_MISSING": _rule(_T.REFUSED, "the Salesforce org requires a field that is not filled", quote=True),
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": _rule(
        _T.REFUSED, "the Salesforce org does not know a picklist value", quote=True
    ),
    "FIELD_INTEGRITY_EXCEPTION": _rule(_T.REFUSED, "the Salesforce org refuses a combination of fields", quote=True),
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": _rule(
        _T.REFUSED, "a trigger or flow of the Salesforce org failed; ask the administrator", quote=True
    ),
    "DUPLICATES_DETECTED": _rule(_T.REFUSED, "a duplicate rule of the Salesforce org refuses it", quote=True),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": _rule(
        _T.REFUSED, "the Salesforce user may not use the person, record or owner it points at; ask the administrator"
    ),
    "INSUFFICIENT_ACCESS_OR_READONLY": _rule(
        _T.REFUSED, "the Salesforce user may not write this record; ask the administrator"
    ),
    "TXN_SECURITY_NO_ACCESS": _rule(
        _T.REFUSED, "a transaction security policy of the Salesforce org stops it; ask the administrator"
    ),
    "INSUFFICIENT_ACCESS": _rule(_T.REFUSED, "the Salesforce user may not do this; ask the administrator"),
    "INACTIVE_OWNER_OR_USER": _rule(_T.REFUSED, "the owner is not an active Salesforce user; check salesforce_user"),
    "ENTITY_IS_LOCKED": _rule(_T.REFUSED, "the record is locked in Salesforce, by an approval for instance"),
    "INVALID_FIELD": _rule(
        _T.REFUSED, "a field is missing in the Salesforce org, or hidden from its user; ask the administrator"
    ),
    "INVALID_FIELD_FOR_INSERT_UPDATE": _rule(
        _T.REFUSED, "the Salesforce user may not write a field; ask the administrator", quote=True
    ),
    "INVALID_TYPE": _rule(
        _T.REFUSED, "the Salesforce org has no such kind of record, or hides it from its user", quote=True
    ),
    "INVALID_QUERY_FILTER_OPERATOR": _rule(_T.REFUSED, "the query is not one Salesforce can answer", quote=True),
    "MALFORMED_QUERY": _rule(_T.REFUSED, "the query is not one Salesforce understands", quote=True),
    "MALFORMED_ID": _rule(_T.REFUSED, "an id is not a Salesforce id: 15 or 18 letters and digits"),
}

#: A day's calls are used up: they come back as the 24 hours roll on.
_LONG_WAIT = timedelta(hours=1)
#: Too many slow calls at once: over in seconds.
_SHORT_WAIT = timedelta(seconds=5)
#: A lost answer is not asked for again within the same call: it has cost its full timeout already.
_LOST_ANSWER = timedelta(seconds=10)

_MISSING_FIELD = re.compile(
    r"No such column '([^']+)'|Didn't understand relationship '([^']+)'|external ID field does not exist.*?: (\w+)"
)


#: Before the sentence of a refused query stands the query itself, with the addresses in it.
_QUERY = re.compile(r"^.*ERROR at Row:\d+:Column:\d+\s*", re.DOTALL)


class MissingField(Refused):
    """A query or write names a field that the org has not, or hides from its user; `field` is that name."""

    def __init__(self, field: str) -> None:
        """Take the name as the org gave it."""
        super().__init__(
            f"the field {field} is missing in the Salesforce org, or hidden from its user: deploy it or grant access "
            "to it",
            code="INVALID_FIELD",
        )
        self.field = field


def from_code(code: str, message: str = "", *, fields: Sequence[str] = ()) -> AdapterError:
    """Return the error for a code and the org's message (an item of a collection answer, or of an error body)."""
    if code == "REQUEST_LIMIT_EXCEEDED":
        return _limit(message)
    if code == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY":
        # A trigger may wrap another trouble; the code alone does not tell.
        inner = next((known for known in ("UNABLE_TO_LOCK_ROW", "INVALID_SESSION_ID") if known in message), None)
        if inner is not None:
            return Retry("a trigger of the Salesforce org failed in passing; it will be tried again", code=code)
    missing = _MISSING_FIELD.search(message)
    if missing:
        return MissingField(next(name for name in missing.groups() if name))
    rule = CODES.get(code, _rule(_T.REFUSED, "Salesforce refused it", quote=True))
    sentence = rule.sentence
    if rule.quote and message:
        sentence = f"{sentence}: {' '.join(_QUERY.sub('', message).split())[:500]}"
    if fields and not rule.quote:
        sentence = f"{sentence} ({', '.join(fields)})"
    match rule.treatment:
        case Treatment.RETRY:
            return Retry(sentence, code=code, after=rule.after)
        case Treatment.RECONNECT:
            return Reconnect(sentence, code=code, account=ACCOUNT)
        case Treatment.RESOLVE:
            return Stale(sentence, code=code)
        case _:
            return Refused(sentence, code=code)


def _limit(message: str) -> Retry:
    code = "REQUEST_LIMIT_EXCEEDED"
    if "concurrent" in message.lower():
        return Retry(
            "too many slow calls to Salesforce run at once; it will be tried again", code=code, after=_SHORT_WAIT
        )
    return Retry(
        "the Salesforce org has used all its API calls of the last 24 hours; it will be tried again in an hour",
        code=code,
        after=_LONG_WAIT,
    )


def is_gone(error: AdapterError) -> bool:
    """Tell whether an item's error says that its own record is no more.

    Only true of a write that names an existing record: elsewhere the same code speaks of what the record points at,
    or of the whole resource.
    """
    rule = CODES.get(error.code)
    return rule is not None and rule.treatment is Treatment.GONE


def code_of(item: Mapping[str, Any]) -> str:
    """Return the code of one error: collections say `statusCode` where plain answers say `errorCode`."""
    return str(item.get("statusCode") or item.get("errorCode") or "")


def from_item(result: Mapping[str, Any]) -> AdapterError:
    """Return the error of one failed item of a collection answer."""
    first: Mapping[str, Any] = next(iter(result.get("errors") or ()), {})
    return from_code(code_of(first), str(first.get("message") or ""), fields=tuple(first.get("fields") or ()))


def from_vendor(error: SalesforceError) -> AdapterError:
    """Return the error for a call that failed as a whole."""
    content = error.content
    first = content[0] if isinstance(content, list) and content else content
    code = code_of(first) if isinstance(first, Mapping) else ""
    message = str(first.get("message") or "") if isinstance(first, Mapping) else ""
    if not code and error.status == 300:
        code = "MULTIPLE_CHOICES"
    if code and (error.status < 500 or code in CODES):
        return from_code(code, message)
    if error.status == 401:
        return from_code("INVALID_SESSION_ID")
    if error.status == 429 or error.status >= 500:
        return Retry(f"Salesforce answered {error.status}; it will be tried again", code=str(error.status))
    return Refused(f"Salesforce answered {error.status} without saying why", code=str(error.status))


def from_requests(error: requests.exceptions.RequestException) -> AdapterError:
    """Return the error for a call without a usable answer; every call of this adapter may be repeated."""
    if isinstance(error, requests.exceptions.InvalidURL):
        return Refused("the address of Salesforce is not one that may be called; check instance_url", code="address")
    if isinstance(error, requests.exceptions.SSLError):
        return Refused(
            "the certificate of Salesforce could not be checked; check the network and instance_url", code="tls"
        )
    if isinstance(error, requests.exceptions.Timeout):
        return Retry("Salesforce did not answer in time; it will be tried again", code="timeout", after=_LOST_ANSWER)
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return Retry("Salesforce answered something that is not JSON; it will be tried again", code="answer")
    return Retry("Salesforce could not be reached; it will be tried again", code="connection")


#: Error of the sign-in -> what to do about it; any other is told by its code alone.
_SIGN_IN: Mapping[str, str] = {
    "invalid_client_id": "client_id is not known to the org",
    "invalid_client": "client_id and client_secret do not belong together: check accounts.salesforce in connector.yaml",
    "invalid_grant": "the app may not sign in: check its run-as user, its policies and network rules",
    "unsupported_grant_type": "the client credentials flow is not on for the app",
    "unauthorized_client": "the app may not use this way to sign in",
    "inactive_user": "the user of the app is not active",
    "inactive_org": "the org is not active",
}


def from_sign_in(response: requests.Response) -> AdapterError:
    """Return the error for a refused sign-in."""
    if response.status_code == 429 or response.status_code >= 500:
        return Retry(
            f"the Salesforce sign-in answered {response.status_code}; it will be tried again",
            code=str(response.status_code),
            after=retry_after(response),
        )
    try:
        body = response.json()
    except requests.exceptions.JSONDecodeError:
        body = {}
    code = str(body.get("error") or response.status_code) if isinstance(body, dict) else str(response.status_code)
    advice = _SIGN_IN.get(code, f"it answered {code}; check domain, login_url and the app")
    return Reconnect(f"signing in to Salesforce failed: {advice}", account=ACCOUNT, code=code)
