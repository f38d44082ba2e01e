"""Values in the forms Salesforce gives and takes: ids, instants, texts of a limited length.

Does not live here: which field a value belongs to (`tasks`, `people`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_ID = re.compile(r"^[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?$")


def is_id(text: str) -> bool:
    """Tell whether a text has the form of a Salesforce id."""
    return _ID.fullmatch(text) is not None


def long_id(text: str) -> str:
    """Return the 18-character form of an id; the last three spell the case of the first fifteen."""
    if len(text) != 15:
        return text
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    parts = (text[0:5], text[5:10], text[10:15])
    return text + "".join(letters[sum(1 << i for i, char in enumerate(part) if char.isupper())] for part in parts)


def cut(text: str, length: int, mark: str = "") -> str:
    """Return the text, shortened to `length` UTF-16 units (as Salesforce counts) with a mark at its end."""
    units = text.encode("utf-16-le")
    if len(units) <= 2 * length:
        return text
    return units[: 2 * (length - len(mark))].decode("utf-16-le", errors="ignore") + mark


def stamp(instant: datetime) -> str:
    """Return an instant as Salesforce writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def read_instant(text: str) -> datetime:
    """Return the aware instant of `2026-11-24T14:30:00.000+0000`."""
    return datetime.fromisoformat(text).astimezone(UTC)
