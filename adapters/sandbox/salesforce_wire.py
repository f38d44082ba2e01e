"""What a Salesforce REST call and its answer are made of.

Lives here: `Call`, `Answer`, error bodies, how values stand in JSON. Does not live here: what answers a path
(`salesforce`, `salesforce_records`, `salesforce_queries`, `salesforce_composite`), what is accepted (`org`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from adapters.sandbox.org_values import Refusal
from adapters.sandbox.sobjects import Record

#: Most records in one collection call.
COLLECTION = 200

NOT_THERE = "The requested resource does not exist"

_JSON = "application/json;charset=UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, after its token was checked."""

    method: str
    #: `/services/data/vXX.0`
    base: str
    #: What follows the version, decoded.
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    #: Id of the user who calls.
    user: str

    def json(self) -> dict[str, Any]:
        """Read the body; refuse what is not a JSON object."""
        try:
            found = json.loads(self.body)
        except ValueError:
            raise Refusal("JSON_PARSER_ERROR", "Unexpected character or end of input at [line:1, column:1]") from None
        if not isinstance(found, dict):
            raise Refusal("JSON_PARSER_ERROR", "The HTTP entity body is required to be a JSON object")
        return found

    def flag(self, name: str) -> bool:
        """Read a parameter of the address that is true or false."""
        return self.query.get(name, "").lower() == "true"

    def number(self, name: str, default: int) -> int:
        """Read a parameter of the address that is a number."""
        text = self.query.get(name, str(default))
        if not (text.isascii() and text.isdigit()):
            raise Refusal("INVALID_PARAMETER_VALUE", f"The {name} parameter must be a number")
        return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back, before it is written as HTTP."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


#: Answers one resource: the call, then the variable parts of its path.
Handler = Callable[..., Answer]

#: Pattern of a path (`*` stands for one part) -> method -> what answers.
Resources = Mapping[str, Mapping[str, Handler]]


def errors(code: str, message: str, fields: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the body of a refused request."""
    error: dict[str, Any] = {"message": message, "errorCode": code}
    if fields:
        error["fields"] = list(fields)
    return [error]


def refused(status: int, code: str, message: str, fields: Sequence[str] = ()) -> Response:
    """Write a refusal as HTTP."""
    return JSONResponse(errors(code, message, fields), status_code=status, media_type=_JSON)


def written(answer: Answer) -> Response:
    """Write an answer as HTTP."""
    headers = dict(answer.headers)
    if answer.status == 204:
        return Response(status_code=204, headers=headers)
    return JSONResponse(answer.body, status_code=answer.status, headers=headers, media_type=_JSON)


def attributes(call: Call, row: Record) -> dict[str, str]:
    """Return what stands first in every record."""
    return {"type": row.object, "url": f"{call.base}/sobjects/{row.object}/{row.id}"}


def as_json(value: Any) -> Any:
    """Return a stored value as REST shows it."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return value.isoformat() if isinstance(value, date) else value


def as_text(value: Any) -> str | None:
    """Return a stored value as a list view or report shows it."""
    plain = as_json(value)
    if isinstance(plain, bool):
        return str(plain).lower()
    return None if plain is None else str(plain)
