"""Several queries in one call: up to five go together, each with its own rows or its own refusal.

Lives here: `run_together`, and cutting values into IN lists. Does not live here: what is asked (`people`, `pull`,
`sources`), the session (`session`).

`POST /composite` counts as one call of the day's allowance whatever it carries, and a query in its body is not bound by
the length of an address, so lists may be thousands long. Its own answer is 200 even when every query failed.
Source: reference apis 1.5, Salesforce REST API guide (Composite: query and queryAll resources, five queries a call).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from simple_salesforce.exceptions import SalesforceError, SalesforceExpiredSession, SalesforceGeneralError
from simple_salesforce.format import format_soql

from adapters.salesforce.errors import from_vendor
from adapters.salesforce.session import Org, chunks
from connector.errors import Refused, Retry

#: One row as Salesforce gives it.
Row = Mapping[str, Any]

QUERIES_PER_CALL = 5

#: Characters of one IN list. A statement may have 100,000; the rest is for columns and conditions.
LIST_CHARACTERS = 80_000
#: Values of one IN list: as many as a page of an answer has rows, so that pages seldom follow.
LIST_VALUES = 2_000

#: A single query shorter than this goes in the address; address and headers together may have 16,384 bytes.
_ADDRESS_CHARACTERS = 6_000


@dataclass(frozen=True, slots=True)
class Query:
    """One SOQL statement; with `deleted_too` the deleted and archived records are found as well."""

    soql: str
    deleted_too: bool = False


def run_together(org: Org, queries: Sequence[Query]) -> list[list[Row] | Refused]:
    """Return the rows of each query, or why it was refused, in order; every page is read.

    What befalls the org as a whole (limits, sessions, passing trouble) is raised, in whichever query it shows.
    """
    if len(queries) == 1 and len(quote(queries[0].soql)) <= _ADDRESS_CHARACTERS:
        return [_run_alone(org, queries[0])]
    done: list[list[Row] | Refused] = [[] for _ in queries]
    asked = [(place, _address(org, query)) for place, query in enumerate(queries)]
    while asked:
        more: list[tuple[int, str]] = []
        for some in chunks(asked, QUERIES_PER_CALL):
            for (place, _), answer in zip(some, _ask(org, [address for _, address in some]), strict=True):
                rows = done[place]
                if isinstance(answer, Refused) or isinstance(rows, Refused):
                    done[place] = answer if isinstance(answer, Refused) else rows
                    continue
                rows += answer["records"]
                if not answer["done"]:
                    more.append((place, str(answer["nextRecordsUrl"])))
        asked = more
    return done


def rows_of(answer: list[Row] | Refused) -> list[Row]:
    """Return the rows of one answer; raise its refusal."""
    if isinstance(answer, Refused):
        raise answer
    return answer


def in_lists(condition: str, values: Sequence[str]) -> Iterator[str]:
    """Yield `condition` with its `{values}` filled from runs of values that fit a statement; none for no values.

    Salesforce refuses an empty list.
    """
    some: list[str] = []
    length = 0
    for value in values:
        size = len(format_soql("{}", value)) + 1
        if some and (length + size > LIST_CHARACTERS or len(some) == LIST_VALUES):
            yield format_soql(condition, values=some)
            some, length = [], 0
        some.append(value)
        length += size
    if some:
        yield format_soql(condition, values=some)


def _run_alone(org: Org, query: Query) -> list[Row] | Refused:
    try:
        return list(org.query(query.soql, deleted_too=query.deleted_too))
    except Refused as refusal:
        return refusal


def _address(org: Org, query: Query) -> str:
    # Wholly encoded: a bare `@{` would be read as a reference to another query's answer.
    resource = "queryAll" if query.deleted_too else "query"
    return f"{org.data_path}{resource}/?q={quote(query.soql, safe='')}"


def _ask(org: Org, addresses: Sequence[str]) -> list[Mapping[str, Any] | Refused]:
    requests = [
        {"method": "GET", "url": address, "referenceId": f"q{place}"} for place, address in enumerate(addresses)
    ]
    body = {"allOrNone": False, "compositeRequest": requests}
    answer = org.call("POST", "composite", json=body, check=_check)
    told = {str(one.get("referenceId")): one for one in _parts(answer)}
    try:
        parts = [told[request["referenceId"]] for request in requests]
    except KeyError as error:
        raise Retry("Salesforce did not answer every query; it will be tried again", code="answer") from error
    return [_result(part) for part in parts]


def _parts(answer: Any) -> Sequence[Mapping[str, Any]]:
    parts = answer.get("compositeResponse") if isinstance(answer, Mapping) else None
    return parts if isinstance(parts, list) else []


def _check(answer: Any) -> None:
    """Raise what tells of the org rather than of one query, as a call of its own would."""
    for part in _parts(answer):
        error = _error(part)
        if error is not None and not isinstance(from_vendor(error), Refused):
            raise error


def _error(part: Mapping[str, Any]) -> SalesforceError | None:
    status = int(part["httpStatusCode"])
    if status < 300:
        return None
    kind = SalesforceExpiredSession if status == 401 else SalesforceGeneralError
    content: Any = part.get("body")
    return kind("composite", status, "composite", content)


def _result(part: Mapping[str, Any]) -> Mapping[str, Any] | Refused:
    error = _error(part)
    if error is not None:
        refusal = from_vendor(error)
        if not isinstance(refusal, Refused):
            raise refusal from error
        return refusal
    page: Mapping[str, Any] = part["body"]
    return page
