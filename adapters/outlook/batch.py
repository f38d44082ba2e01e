"""Several calls in one: what is put into a `$batch`, and its answer taken apart.

Lives here: `Step`, `Part`, writing and reading a batch. Does not live here: which calls go together and what is
repeated (`session`), what an error means (`errors`). Source: reference apis 3.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import requests

from adapters.http import retry_after
from adapters.outlook.transport import PREFER

#: Requests to one mailbox that run at once; a fifth in the same batch is answered 429.
BATCH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a batch; its URL begins after the version of Graph: `/me/messages`."""

    method: str
    url: str
    body: Mapping[str, Any] | None = None

    def written(self, name: str) -> dict[str, Any]:
        """Return it as it stands in a batch, under a name that is its own there."""
        whole: dict[str, Any] = {"id": name, "method": self.method, "url": self.url, "headers": {"Prefer": PREFER}}
        if self.body is not None:
            whole["headers"]["Content-Type"] = "application/json"
            whole["body"] = self.body
        return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The answer to one step."""

    status: int
    body: Any
    #: What its Retry-After said.
    after: timedelta | None


def write_batch(steps: Mapping[str, Step]) -> dict[str, Any]:
    """Return the body of a batch."""
    return {"requests": [step.written(name) for name, step in steps.items()]}


def read_batch(response: requests.Response) -> dict[str, Part]:
    """Return the parts of a batch's answer by name, those that can be read; raise `ValueError` when none can."""
    try:
        written = response.json()["responses"]
        return {str(one["id"]): _part(one) for one in written if isinstance(one.get("status"), int)}
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("this is no answer to a batch") from error


def _part(written: Mapping[str, Any]) -> Part:
    told = requests.Response()
    headers = written.get("headers") or {}
    told.headers.update({str(name): str(value) for name, value in headers.items()})
    return Part(status=written["status"], body=written.get("body"), after=retry_after(told))
