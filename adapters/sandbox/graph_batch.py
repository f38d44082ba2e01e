"""`$batch`: up to twenty requests in one.

Lives here: reading a batch, the order its steps run in, writing their answers. Does not live here: one request
(`graph`). Source: reference apis 3.5.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from adapters.sandbox.graph_errors import Answer, GraphError, bad, throttled
from adapters.sandbox.graph_limits import CONCURRENCY, owner_of

_MOST_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request of a batch."""

    id: str
    http: str
    #: After /v1.0, without the query.
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    waits_for: Sequence[str]
    #: Whose mailbox it goes to.
    owner: str


def read_batch(body: bytes, authorization: str) -> list[Step]:
    """Read a batch sent with an Authorization header; raise `GraphError` for one that is refused as a whole."""
    try:
        steps = json.loads(body)["requests"]
    except (ValueError, KeyError, TypeError):
        raise bad("Invalid batch payload format.") from None
    if not isinstance(steps, list) or not steps:
        raise bad("Invalid batch payload format.")
    if len(steps) > _MOST_STEPS:
        raise bad(f"Number of batch request steps exceeds the maximum value of {_MOST_STEPS}.", "MaximumValueExceeded")
    ids: set[str] = set()
    for step in steps:
        _check_step(step, ids)
        ids.add(step["id"])
    return [_step(step, authorization) for step in steps]


def _check_step(step: Any, before: set[str]) -> None:
    if not isinstance(step, dict) or not all(isinstance(step.get(name), str) for name in ("id", "method", "url")):
        raise bad("Invalid batch payload format.")
    if step["id"] in before:
        raise bad(f"Request Id : {step['id']} is not unique.")
    if not step["url"].startswith("/"):
        raise bad(f"Request url of request id : {step['id']} must be relative.")
    names = {name.lower() for name in step.get("headers") or {}}
    if step.get("body") is not None and "content-type" not in names:
        raise bad(f"Write request id : {step['id']} does not contain Content-Type header or body.")
    if any(one not in before for one in step.get("dependsOn") or []):
        raise bad(f"Request id : {step['id']} depends on a request that does not come before it.")


def _step(step: Mapping[str, Any], authorization: str) -> Step:
    path, _, query = step["url"].partition("?")
    content = step.get("body")
    return Step(
        id=step["id"],
        http=step["method"].upper(),
        path=unquote(path),
        query=query,
        headers={name.lower(): str(value) for name, value in (step.get("headers") or {}).items()},
        body=content.encode() if isinstance(content, str) else json.dumps(content).encode() if content else b"",
        waits_for=step.get("dependsOn") or (),
        owner=owner_of(unquote(path), authorization),
    )


def answer_batch(
    steps: Sequence[Step],
    answer: Callable[[Step], Answer],
    refuse: Callable[[GraphError], Answer],
    before: Mapping[str, int],
) -> Answer:
    """Answer step by step: those that wait for no other run at once, four for a mailbox (apis 3.5).

    `before` are the requests that run already, for each owner.
    """
    statuses: dict[str, int] = {}
    running = Counter(before)
    responses = []
    for step in steps:
        if not step.waits_for:
            running[step.owner] += 1
        if any(statuses[one] >= 400 for one in step.waits_for):
            given = refuse(GraphError(424, "FailedDependency", "A request this one depends on has failed."))
        elif not step.waits_for and running[step.owner] > CONCURRENCY:
            given = refuse(throttled("Application is over its MailboxConcurrency limit.", 1))
        else:
            given = answer(step)
        statuses[step.id] = given.status
        responses.append(_response(step.id, given))
    return Answer(body={"responses": responses})


def _response(step_id: str, answer: Answer) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": step_id, "status": answer.status, "headers": dict(answer.headers)}
    if isinstance(answer.body, dict):
        shown["headers"] |= {"Content-Type": "application/json"}
        shown["body"] = answer.body
    elif answer.body is not None:
        shown["body"] = base64.b64encode(answer.body).decode()
    return shown
