"""What the control API of the sandbox is made of: JSON objects in and out, a sentence for what is refused.

Lives here: making an endpoint of a function, and telling which arguments one takes. Does not live here: the endpoints
(`app`).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from connector.errors import BadInput


def _object(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise BadInput("the body must be a JSON object")
    return body


def only(body: Mapping[str, Any], *known: str) -> None:
    """Refuse a body with other keys than these; raises `BadInput`."""
    unknown = sorted(set(body) - set(known))
    if unknown:
        raise BadInput(f"unknown key '{unknown[0]}': this takes {', '.join(known)}")


def arguments_of(function: Callable[..., Any]) -> list[dict[str, Any]]:
    """Return the name of each argument of an action, and whether it must be given."""
    return [
        {
            "name": name,
            "required": parameter.default is inspect.Parameter.empty
            and parameter.kind is not inspect.Parameter.VAR_KEYWORD,
        }
        for name, parameter in inspect.signature(function).parameters.items()
    ]


def signature(function: Callable[..., Any]) -> str:
    """Return what an action takes, in words."""
    names = [("" if argument["required"] else "optional ") + argument["name"] for argument in arguments_of(function)]
    return ", ".join(names) or "no arguments"


def control(function: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Callable[[Request], Any]:
    """Make an endpoint: a JSON object in, a JSON object out, a sentence with 400 when it is refused."""

    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        try:
            body = json.loads(raw) if raw else {}
            return JSONResponse(await run_in_threadpool(function, _object(body)))
        except json.JSONDecodeError as wrong:
            return JSONResponse({"error": f"the body is not JSON: {wrong}"}, status_code=400)
        except (BadInput, ValueError, LookupError, TypeError) as wrong:
            return JSONResponse({"error": str(wrong)}, status_code=400)

    return endpoint
