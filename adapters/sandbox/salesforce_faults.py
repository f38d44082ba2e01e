"""Trouble a test asks for: items of collections and whole calls that fail as told.

Lives here: what was asked for, and how often it is still to come. Does not live here: what the org refuses by itself
(`org`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse, Response

from adapters.sandbox.org_values import Refusal
from adapters.sandbox.salesforce_wire import refused


@dataclass(slots=True, kw_only=True)
class _Item:
    refusal: Refusal
    left: int
    #: Begins the external id or is the id of the record it is for; "" for any.
    key: str


@dataclass(slots=True, kw_only=True)
class _Call:
    status: int
    code: str
    message: str
    left: int
    #: Part of the path it is for; "" for any call of the REST API.
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Faults:
    """What is to fail next, in the order it was asked for."""

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._calls: list[_Call] = []

    def fail_items(self, code: str, message: str, *, count: int, fields: Sequence[str], key: str) -> None:
        """Let the next `count` matching items of collection writes fail."""
        self._items.append(_Item(refusal=Refusal(code, message, *fields), left=count, key=key))

    def fail_calls(
        self, status: int, code: str, message: str, *, count: int, path: str, headers: Mapping[str, str]
    ) -> None:
        """Let the next `count` matching calls fail; without a code the message is the whole body, as HTML."""
        fault = _Call(status=status, code=code, message=message, left=count, path=path, headers=dict(headers))
        self._calls.append(fault)

    def forget(self) -> None:
        """Let nothing fail any more."""
        self._items.clear()
        self._calls.clear()

    @property
    def items_fail(self) -> bool:
        """Whether any item is still to fail."""
        return any(fault.left > 0 for fault in self._items)

    def check_item(self, named: Sequence[Any]) -> None:
        """Refuse an item that is to fail; `named` are the ids and unique values it is known by."""
        for fault in self._items:
            known = not fault.key or any(isinstance(name, str) and name.startswith(fault.key) for name in named)
            if fault.left > 0 and known:
                fault.left -= 1
                raise fault.refusal

    def check_call(self, path: str) -> Response | None:
        """Return the answer of a call that is to fail; sign-in only fails when its path is asked for."""
        for fault in self._calls:
            meant = fault.path in path if fault.path else path.startswith("/services/data")
            if fault.left > 0 and meant:
                fault.left -= 1
                return _failed(fault, sign_in=not path.startswith("/services/data"))
        return None


def _failed(fault: _Call, *, sign_in: bool) -> Response:
    if not fault.code:
        response = Response(fault.message, status_code=fault.status, media_type="text/html")
    elif sign_in:
        body = {"error": fault.code, "error_description": fault.message}
        response = JSONResponse(body, status_code=fault.status)
    else:
        response = refused(fault.status, fault.code, fault.message)
    response.headers.update(fault.headers)
    return response
