"""The little of OData that Microsoft Graph understands for mail: $filter, as tests on a mail.

Lives here: reading a filter and what makes it wrong. Does not live here: which properties a mail has (`graph`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from adapters.sandbox.mailbox import StoredMail

Test = Callable[[StoredMail], bool]
Getter = Callable[[StoredMail], Any]

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<instant>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?)"
    r"|(?P<word>[A-Za-z_][\w/]*)|(?P<sign>[(),:]))"
)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "ge": lambda left, right: left >= right,
    "gt": lambda left, right: left > right,
    "le": lambda left, right: left <= right,
    "lt": lambda left, right: left < right,
}


class BadFilter(ValueError):  # noqa: N818 - it is the filter that is bad
    """The filter cannot be read, or is not one Graph takes; `code` is Graph's."""

    def __init__(self, sentence: str, code: str = "BadRequest") -> None:
        super().__init__(sentence)
        self.code = code


class Filter:
    """A filter that has been read: `test` tells whether a mail passes, `names` lists its properties in order."""

    def __init__(self, text: str, properties: Mapping[str, Getter]) -> None:
        self._text = text
        self._properties = properties
        self._tokens = self._read(text)
        self._at = 0
        self.names: list[str] = []
        self.test = self._either()
        if self._at < len(self._tokens):
            raise self._wrong()

    def _read(self, text: str) -> list[tuple[str, str]]:
        tokens, at = [], 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._wrong()
            tokens.append((str(match.lastgroup), match.group(str(match.lastgroup))))
            at = match.end()
        return tokens

    def _wrong(self) -> BadFilter:
        return BadFilter(f"Invalid filter clause: syntax error in '{self._text}'.")

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._wrong()
        self._at += 1
        return self._tokens[self._at - 1]

    def _peek(self, text: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at] == ("word" if text.isalpha() else "sign", text)

    def _expect(self, text: str) -> None:
        if self._next()[1] != text:
            raise self._wrong()

    def _either(self) -> Test:
        test = self._both()
        while self._peek("or"):
            self._next()
            test = _or(test, self._both())
        return test

    def _both(self) -> Test:
        test = self._one()
        while self._peek("and"):
            self._next()
            test = _and(test, self._one())
        return test

    def _one(self) -> Test:
        if self._peek("("):
            self._next()
            test = self._either()
            self._expect(")")
            return test
        if self._peek("not"):
            self._next()
            inner = self._one()
            return lambda mail: not inner(mail)
        kind, name = self._next()
        if kind != "word":
            raise self._wrong()
        if name.lower() == "singlevalueextendedproperties/any":
            return self._stamped()
        if name.lower().endswith(("/any", "/all")):
            # Recipients cannot be filtered on, only searched for.
            raise BadFilter("The query filter contains one or more invalid nodes.", "ErrorInvalidUrlQueryFilter")
        if name in ("startswith", "contains", "endswith"):
            return self._words(name)
        getter = self._getter(name)
        compare = _COMPARE.get(self._next()[1])
        if compare is None:
            raise self._wrong()
        value = self._value(name)
        return lambda mail: getter(mail) is not None and compare(getter(mail), value)

    def _words(self, function: str) -> Test:
        self._expect("(")
        getter = self._getter(self._next()[1])
        self._expect(",")
        value = str(self._value("")).lower()
        self._expect(")")
        if function == "startswith":
            return lambda mail: str(getter(mail)).lower().startswith(value)
        if function == "endswith":
            return lambda mail: str(getter(mail)).lower().endswith(value)
        return lambda mail: value in str(getter(mail)).lower()

    def _stamped(self) -> Test:
        self._expect("(")
        variable = self._next()[1]
        self._expect(":")
        wanted: dict[str, str] = {}
        while True:
            _, name = self._next()
            self._expect("eq")
            kind, value = self._next()
            if kind != "string" or name not in (f"{variable}/id", f"{variable}/value"):
                raise self._wrong()
            wanted[name.rpartition("/")[2]] = _unquoted(value)
            if not self._peek("and"):
                break
            self._next()
        self._expect(")")
        if set(wanted) != {"id", "value"}:
            raise BadFilter("The query filter contains one or more invalid nodes.", "ErrorInvalidUrlQueryFilter")
        self.names.append("singleValueExtendedProperties")
        key, value = property_key(wanted["id"]), wanted["value"].lower()
        return lambda mail: any(
            property_key(name) == key and held.lower() == value for name, held in mail.properties.items()
        )

    def _getter(self, name: str) -> Getter:
        getter = self._properties.get(name)
        if getter is None:
            raise BadFilter(
                f"Could not find a property named '{name.partition('/')[0]}' on type 'microsoft.graph.message'.",
                "RequestBroker--ParseUri",
            )
        self.names.append(name)
        return getter

    def _value(self, name: str) -> Any:
        kind, text = self._next()
        if kind == "string":
            if name.endswith("DateTime"):
                raise BadFilter(
                    "A binary operator with incompatible types was detected. Found operand types "
                    "'Edm.DateTimeOffset' and 'Edm.String'.",
                    "RequestBroker--ParseUri",
                )
            return _unquoted(text)
        if kind == "instant":
            instant = datetime.fromisoformat(text)
            if instant.tzinfo is None:
                raise BadFilter(f"The time zone is missing in '{text}'.", "RequestBroker--ParseUri")
            return instant.astimezone(UTC)
        if text in ("true", "false"):
            return text == "true"
        raise self._wrong()


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'")


def _and(left: Test, right: Test) -> Test:
    return lambda mail: left(mail) and right(mail)


def _or(left: Test, right: Test) -> Test:
    return lambda mail: left(mail) or right(mail)


def property_key(name: str) -> str:
    """Return an extended property's id as it is compared: the GUID in any case, the name as written."""
    kind, guid, rest = (*name.split(" ", 2), "", "")[:3]
    return f"{kind.lower()} {guid.lower()} {rest}".strip()
