"""Reading what a write says into what the simulated org stores: types, lengths, formats, and the refusals of them.

Lives here: `Refusal` and rules that need one field only. Does not live here: records (`org`), rules over a record
(`org_rules`).
Source: reference apis 1.3 and 1.7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from adapters.sandbox.sobjects import TEXT_TYPES, Field
from connector.people import is_address


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault of this program
    """A request the org refuses, with Salesforce's code, message and fields."""

    def __init__(self, code: str, message: str, *fields: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = fields
        #: HTTP status when it is the whole answer.
        self.status = status


def read_value(field: Field, value: Any) -> Any:
    """Return a value of a field that refers to nothing as it is stored; empty text is null."""
    if value is None or value == "":
        return None
    if field.type in TEXT_TYPES:
        return _text(field, value)
    try:
        return _READERS[field.type](value)
    except (ValueError, TypeError, OverflowError):
        raise cannot_read(field.type, value) from None


def cannot_read(kind: str, value: Any) -> Refusal:
    """Return the refusal of a value of the wrong JSON type; it refuses the whole request, as the real one does."""
    names = {bool: "VALUE_TRUE" if value is True else "VALUE_FALSE", int: "VALUE_NUMBER_INT"}
    token = names.get(type(value), "VALUE_STRING")
    return Refusal(
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {kind} from {token} value {value} or request may be missing a required field "
        "at [line:1, column:1]",
    )


def _text(field: Field, value: Any) -> str | None:
    if not isinstance(value, str):
        raise cannot_read("string", value)
    text = value.strip()
    if len(text) > field.length:
        shown = text if len(text) <= 255 else f"{text[:255]}..."
        message = f"{field.label}: data value too large: {shown} (max length={field.length})"
        raise Refusal("STRING_TOO_LONG", message, field.name)
    if field.type == "email" and text and not is_address(text):
        raise Refusal("INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {text}", field.name)
    return text or None


def _boolean(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise TypeError
    return value


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        raise TypeError
    return value if isinstance(value, date) else date.fromisoformat(value)


def _datetime(value: Any) -> datetime:
    instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if instant.tzinfo is None or (isinstance(value, str) and "T" not in value):
        raise ValueError
    return instant.astimezone(UTC)


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
    "int": _integer,
    "double": _number,
    "currency": _number,
    "percent": _number,
}
