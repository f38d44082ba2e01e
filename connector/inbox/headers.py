"""Header fields of an incoming mail, as the rules of this package read them.

Lives here: one value, all values, the media type. Does not live here: what a value means (`automatic`, `reports`).
"""

from __future__ import annotations

import re

from connector.ports import MailReceived

_PARAMETER = re.compile(r";\s*([\w-]+)\s*=\s*\"?([^\";]*)\"?")
_TOKEN = re.compile(r"[\w.+-]+")


def values(mail: MailReceived, name: str) -> tuple[str, ...]:
    """Return all values of a field, unfolded; `name` in lower case."""
    return tuple(" ".join(value.split()) for value in mail.headers.get(name, ()))


def first(mail: MailReceived, name: str) -> str:
    """Return the first value of a field, unfolded; "" when absent."""
    return next(iter(values(mail, name)), "")


def keyword(value: str) -> str:
    """Return the first word of a value in lower case: what stands before parameters and comments."""
    found = _TOKEN.match(value)
    return found[0].lower() if found else ""


def media_type(mail: MailReceived) -> tuple[str, dict[str, str]]:
    """Return the type of the content and its parameters, all in lower case."""
    value = first(mail, "content-type")
    parameters = {name.lower(): text.strip().lower() for name, text in _PARAMETER.findall(value)}
    return value.partition(";")[0].strip().lower(), parameters
