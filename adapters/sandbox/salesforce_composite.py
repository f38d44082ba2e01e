"""`POST /composite`: up to 25 subrequests in one call, one after the other, all of them or each by itself.

Lives here: its shape, its limits, references between subrequests, rolling back. Does not live here: what answers a
subrequest (`salesforce` finds it as it does for a call of its own).
Source: reference apis 1.5; Salesforce REST API guide, resources_composite_composite and resources_composite_allornone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote

from adapters.sandbox.org import Org
from adapters.sandbox.org_values import Refusal
from adapters.sandbox.salesforce_wire import NOT_THERE, Answer, Call, errors
from adapters.sandbox.soql import SoqlError

#: Most subrequests of one call, and most of those that are queries or collections.
SUBREQUESTS, HEAVY_SUBREQUESTS = 25, 5

_ADDRESS = re.compile(r"^(/services/data/v\d\d\.0)/([^?]*)(?:\?(.*))?$", re.DOTALL)
_NAME = re.compile(r"^[A-Za-z0-9_]+$")
_REFERENCE = re.compile(r"@\{([A-Za-z0-9_]+)((?:\.\w+|\[\d+\])*)\}")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
#: What a subrequest may set; `Authorization` and the like are the outer call's.
_FORBIDDEN_HEADERS = frozenset({"accept", "authorization", "content-type"})

_HALTED = "The transaction was rolled back since another operation in the same transaction failed."


class _RolledBack(Exception):  # noqa: N818 - it takes work back, it is no fault
    pass


class Composite:
    """The resource; `find` answers one subrequest or refuses it."""

    def __init__(self, org: Org, find: Callable[[Call], Answer]) -> None:
        self._org = org
        self._find = find

    def serve(self, call: Call) -> Answer:
        """Do all subrequests; HTTP 200 whatever becomes of them."""
        body = call.json()
        wanted = body.get("compositeRequest")
        if not isinstance(wanted, list) or not wanted or not all(isinstance(each, dict) for each in wanted):
            raise Refusal("JSON_PARSER_ERROR", "Required field compositeRequest is missing or is no list of objects")
        if len(wanted) > SUBREQUESTS:
            return _whole("LIMIT_EXCEEDED", f"The request can’t contain more than {SUBREQUESTS} operations.")  # noqa: RUF001
        if sum(_heavy(str(each.get("url", ""))) for each in wanted) > HEAVY_SUBREQUESTS:
            message = f"The request can’t contain more than {HEAVY_SUBREQUESTS} queries and collections."  # noqa: RUF001
            return _whole("LIMIT_EXCEEDED", message)
        names = [each.get("referenceId") for each in wanted]
        for name in names:
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise Refusal(
                    "INVALID_INPUT", f"Provided referenceId ('{name}') may hold letters, digits and underscores only"
                )
            if names.count(name) > 1:
                raise Refusal("INVALID_INPUT", f"Provided referenceId ('{name}') is not unique")
        return Answer(status=200, body={"compositeResponse": self._all(call, wanted, body.get("allOrNone") is True)})

    def _all(self, call: Call, wanted: list[dict[str, Any]], all_or_none: bool) -> list[dict[str, Any]]:  # noqa: FBT001
        done: dict[str, Answer] = {}
        refused: set[str] = set()
        try:
            with self._org.writing():
                for one in wanted:
                    name = one["referenceId"]
                    done[name] = self._one(call, one, done, all_or_none=all_or_none)
                    if _failed(done[name]):
                        refused.add(name)
                    if refused and all_or_none:
                        raise _RolledBack  # noqa: TRY301 - leaving `writing` by an exception is what takes it back
        except _RolledBack:
            halted = Answer(status=400, body=errors("PROCESSING_HALTED", _HALTED))
            done = {one["referenceId"]: done[n] if (n := one["referenceId"]) in refused else halted for one in wanted}
        return [
            {
                "body": answer.body,
                "httpHeaders": dict(answer.headers),
                "httpStatusCode": answer.status,
                "referenceId": name,
            }
            for name, answer in done.items()
        ]

    def _one(self, call: Call, one: Mapping[str, Any], done: Mapping[str, Answer], *, all_or_none: bool) -> Answer:
        try:
            return self._find(_subcall(call, one, done, all_or_none=all_or_none))
        except Refusal as refusal:
            return Answer(status=refusal.status, body=errors(refusal.code, refusal.message, refusal.fields))
        except SoqlError as wrong:
            return Answer(status=400, body=errors(wrong.code, wrong.message))


def _subcall(call: Call, one: Mapping[str, Any], done: Mapping[str, Answer], *, all_or_none: bool) -> Call:
    method = one.get("method")
    if method not in _METHODS:
        raise Refusal("METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed", status=405)
    address = _ADDRESS.match(_filled(str(one.get("url", "")), done))
    if address is None:
        raise Refusal("NOT_FOUND", NOT_THERE, status=404)
    base, path, query = address.groups()
    headers = one.get("httpHeaders") or {}
    if not isinstance(headers, dict) or any(str(name).lower() in _FORBIDDEN_HEADERS for name in headers):
        raise Refusal("INVALID_INPUT", "httpHeaders may not hold Accept, Authorization or Content-Type")
    parts = tuple(unquote(part) for part in path.split("/"))
    parts = parts[:-1] if parts[-1] == "" else parts
    if parts == ("composite",):
        raise Refusal("PROCESSING_HALTED", "Composite requests cannot be nested")
    body = _filled_all(one.get("body"), done)
    if all_or_none and parts[:2] == ("composite", "sobjects") and isinstance(body, dict):
        body = {**body, "allOrNone": True}
    found = parse_qs(query or "", keep_blank_values=True)
    parameters = {name: values[-1] for name, values in found.items()}
    if all_or_none and parts[:2] == ("composite", "sobjects"):
        parameters |= {"allOrNone": "true"}
    return replace(
        call,
        method=method,
        base=base,
        path=parts,
        query=parameters,
        headers={str(name).lower(): str(value) for name, value in headers.items()},
        body=b"" if body is None else json.dumps(body).encode(),
    )


def _heavy(url: str) -> bool:
    """Whether a subrequest is a query or a collection."""
    address = _ADDRESS.match(url)
    path = address[2].split("/") if address else [""]
    return path[0] in ("query", "queryAll") or path[:2] == ["composite", "sobjects"]


def _failed(answer: Answer) -> bool:
    if answer.status >= 400:
        return True
    items = answer.body if isinstance(answer.body, list) else []
    return any(isinstance(item, dict) and item.get("success") is False for item in items)


def _filled_all(value: Any, done: Mapping[str, Answer]) -> Any:
    if isinstance(value, str):
        return _filled(value, done)
    if isinstance(value, dict):
        return {name: _filled_all(each, done) for name, each in value.items()}
    return [_filled_all(each, done) for each in value] if isinstance(value, list) else value


def _filled(text: str, done: Mapping[str, Answer]) -> str:
    """Put in what earlier subrequests answered: `@{one.id}`, `@{one.records[0].Id}`, `@{many[0].id}`."""

    def put(match: re.Match[str]) -> str:
        at: Any = done[match[1]].body if match[1] in done and done[match[1]].status < 400 else None
        for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", match[2]):
            if name:
                at = at.get(name) if isinstance(at, dict) else None
            else:
                at = at[int(index)] if isinstance(at, list) and int(index) < len(at) else None
        if at is None or isinstance(at, (dict, list)):
            place = match[0][2:-1]
            message = f"Invalid reference specified. No value for {place} found in {match[1]}"
            raise Refusal("PROCESSING_HALTED", message)
        return str(at)

    return _REFERENCE.sub(put, text)


def _whole(code: str, message: str) -> Answer:
    """Refuse the whole call the way it does: as the only answer, of no subrequest."""
    only = {"body": errors(code, message), "httpHeaders": {}, "httpStatusCode": 400, "referenceId": None}
    return Answer(status=200, body={"compositeResponse": [only]})
