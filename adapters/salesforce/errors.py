"""Salesforce's errors become ours: the code is found in an answer, and the table says what it means.

Lives here: the functions that turn an item of a collection answer, an exception of simple-salesforce or requests
into `Retry`, `Reconnect`, `Refused` or `Stale`. Does not live here: the table (`codes`), repeating
anything (`session`, `tasks`).
A sentence never holds an address, a query or a record, except the org's own words about a rule it enforces.
Sources: reference apis 1.2, 1.5 to 1.7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import requests
from simple_salesforce.exceptions import SalesforceError

from adapters.salesforce.account import ACCOUNT
from adapters.salesforce.codes import UNKNOWN, Rule, Treatment, rule_for
from connector.errors import AdapterError, ErrorClass, Reconnect, Refused, Retry, Stale

#: Longest quotation of the org's own words.
_QUOTED = 500

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
            advice=rule_for("INVALID_FIELD").advice,
        )
        self.field = field


def from_code(code: str, message: str = "", *, fields: Sequence[str] = ()) -> AdapterError:
    """Return the error for a code and the org's message (an item of a collection answer, or of an error body)."""
    missing = _MISSING_FIELD.search(message)
    if missing:
        return MissingField(next(name for name in missing.groups() if name))
    return _from_rule(rule_for(code, message), code, message, fields)


def _from_rule(rule: Rule, code: str, message: str = "", fields: Sequence[str] = ()) -> AdapterError:
    sentence = rule.sentence
    if rule.quote and message:
        sentence = f"{sentence}: {' '.join(_QUERY.sub('', message).split())[:_QUOTED]}"
    if fields and not rule.quote:
        sentence = f"{sentence} ({', '.join(fields)})"
    told: dict[str, Any] = {"code": code, "advice": rule.advice, "category": rule.category}
    match rule.treatment:
        case Treatment.LATER | Treatment.FEW:
            return Retry(sentence, after=rule.after, **told)
        case Treatment.RECONNECT:
            return Reconnect(sentence, account=ACCOUNT, **told)
        case Treatment.RESOLVE:
            return Stale(sentence, **told)
        case _:
            return Refused(sentence, **told)


def is_gone(error: AdapterError) -> bool:
    """Tell whether an item's error says that its own record is no more.

    Only true of a write that names an existing record: elsewhere the same code speaks of what the record points at,
    or of the whole resource.
    """
    return rule_for(error.code).treatment is Treatment.GONE


def code_of(item: Mapping[str, Any]) -> str:
    """Return the code of one error: collections say `statusCode` where plain answers say `errorCode`."""
    return str(item.get("statusCode") or item.get("errorCode") or "")


def from_item(result: Mapping[str, Any]) -> AdapterError:
    """Return the error of one failed item of a collection answer."""
    first = _first_error(result)
    return from_code(code_of(first), message_of(first), fields=tuple(first.get("fields") or ()))


def rule_of_item(result: Mapping[str, Any]) -> Rule:
    """Return the row of the table for one failed item of a collection answer."""
    first = _first_error(result)
    return rule_for(code_of(first), message_of(first))


def fields_named(result: Mapping[str, Any]) -> set[str]:
    """Return the fields that a failed item's errors name."""
    return {str(name) for error in result.get("errors") or () for name in error.get("fields") or ()}


def given_up(error: AdapterError) -> Refused:
    """Return the refusal that trouble has become which did not pass."""
    return Refused(error.sentence, code=error.code, advice=error.advice, category=error.category)


def message_of(item: Mapping[str, Any]) -> str:
    """Return the org's words of one error; empty when it has none."""
    return str(item.get("message") or "")


def _first_error(result: Mapping[str, Any]) -> Mapping[str, Any]:
    first: Mapping[str, Any] = next(iter(result.get("errors") or ()), {})
    return first


def from_vendor(error: SalesforceError) -> AdapterError:
    """Return the error for a call that failed as a whole."""
    content = error.content
    first = content[0] if isinstance(content, list) and content else content
    code = code_of(first) if isinstance(first, Mapping) else ""
    message = message_of(first) if isinstance(first, Mapping) else ""
    if not code and error.status == 300:
        code = "MULTIPLE_CHOICES"
    if code and (error.status < 500 or rule_for(code) is not UNKNOWN):
        return from_code(code, message)
    if error.status == 401:
        return from_code("INVALID_SESSION_ID")
    if error.status == 429 or error.status >= 500:
        return from_status(error.status)
    if isinstance(content, str) and content.lstrip().startswith(("[", "{")):
        # JSON that ends before its end: why it was refused, the next answer says.
        return from_code("answer")
    return Refused(
        f"Salesforce answered {error.status} without saying why",
        code=str(error.status),
        advice="look for a proxy between this machine and Salesforce, and at instance_url",
        category=ErrorClass.OTHER,
    )


def from_status(status: int) -> AdapterError:
    """Return the error for an answer of 429 or 5xx that has no code of Salesforce's."""
    rule = rule_for(str(status))
    return _from_rule(rule if rule is not UNKNOWN else rule_for("500"), str(status))


def from_requests(error: requests.exceptions.RequestException) -> AdapterError:
    """Return the error for a call without a usable answer; every call of this adapter may be repeated."""
    for kind, code in _WITHOUT_ANSWER:
        if isinstance(error, kind):
            return from_code(code)
    return from_code("connection")


#: What happened to a call that has no answer -> the row of the table.
_WITHOUT_ANSWER: tuple[tuple[type[requests.exceptions.RequestException], str], ...] = (
    (requests.exceptions.InvalidURL, "address"),
    (requests.exceptions.SSLError, "tls"),
    (requests.exceptions.Timeout, "timeout"),
    (requests.exceptions.JSONDecodeError, "answer"),
)
