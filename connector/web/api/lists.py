"""Lists in parts: how many at a time, and the cursor that leads on.

Lives here: `Listed`, `Cursor`, `Most`. A cursor is opaque: it says where reading stands, and nothing that a reader of
the list could not see.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from connector.errors import BadInput

T = TypeVar("T")

Cursor = Annotated[str | None, Query(description="`next` of the part before; none for the beginning.", max_length=1000)]
Most = Annotated[int, Query(ge=1, le=200, description="How many at a time.")]


class Listed(BaseModel, Generic[T]):
    """A part of a list."""

    items: list[T]
    next: str | None = Field(default=None, description="Give it as `cursor` to read on; null at the end.")


def cursor_of(*place: Any) -> str:
    """Return the cursor of a place: numbers and texts."""
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def place_of(cursor: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """Return the place that a cursor of such values stands for; None without one. Raise `BadInput` for a stray one."""
    if cursor is None:
        return None
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        place = None
    if not isinstance(place, list) or [type(value) for value in place] != list(kinds) or not all(map(_fits, place)):
        raise BadInput("the cursor is none of this list: begin without one")
    return tuple(place)


def _fits(value: int | str) -> bool:
    """Tell whether both databases can look for it."""
    return abs(value) < 2**63 if isinstance(value, int) else value.isprintable()
