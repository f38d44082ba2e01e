"""A small SOQL: read a query, refuse what Salesforce refuses, and run it over the org's records.

Lives here: the grammar (SELECT fields and parent fields or COUNT(), one FROM, WHERE, ORDER BY, LIMIT, OFFSET, and
IN with a sub-query), checks of names and types, filtering and sorting. Does not live here: records (`org`), how a
record is written as JSON and paged (`salesforce`).
Days are those of GMT, the user's time zone in a new org.
Not there: child sub-queries, aggregates other than COUNT(), GROUP BY, TYPEOF, date literals of weeks and longer; each
is refused, never misread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, NoReturn, Protocol

from adapters.sandbox.sobjects import ID_TYPES, NAME, TEXT_TYPES, Field, Record, SObject, full_id

#: Longest statement, in characters.
LONGEST = 100_000

#: Largest OFFSET.
LAST_OFFSET = 2000

#: Date literals -> first and last day, counted from today; n is the number behind the colon.
_DAYS: Mapping[str, Callable[[int], tuple[int, int]]] = {
    "TODAY": lambda _: (0, 0),
    "YESTERDAY": lambda _: (-1, -1),
    "TOMORROW": lambda _: (1, 1),
    "LAST_N_DAYS": lambda n: (-n, 0),
    "NEXT_N_DAYS": lambda n: (1, n),
    "N_DAYS_AGO": lambda n: (-n, -n),
}

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<string>'(?:[^'\\]|\\.)*')"
    r"|(?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))"
    r"|(?P<date>\d{4}-\d\d-\d\d)"
    r"|(?P<number>[+-]?\d+(?:\.\d+)?)"
    r"|(?P<days>[A-Za-z_]+:\d+)"
    r"|(?P<word>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)"
    r"|(?P<mark><=|>=|!=|<>|[=<>(),])",
    re.ASCII | re.DOTALL,
)

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}

_CUSTOM_OBJECT_HINT = (
    "If you are attempting to use a custom object, be sure to append the '__c' after the entity name. "
    "Please reference your WSDL or the describe call for the appropriate names."
)
_CUSTOM_FIELD_HINT = (
    "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. "
    "Please reference your WSDL or the describe call for the appropriate names."
)


class SoqlError(Exception):
    """A query that is refused, with Salesforce's code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class World(Protocol):
    """What a query runs over."""

    @property
    def sobjects(self) -> Mapping[str, SObject]:
        """The objects of the org by name."""
        ...

    def rows(self, name: str) -> Iterable[Record]:
        """Return every record of an object that is not purged, deleted and archived ones too."""
        ...

    def record(self, record_id: str | None) -> Record | None:
        """Find a record by its 18 character id."""
        ...

    def value(self, record: Record, field: str) -> Any:
        """Read a field, computed ones too; null for one the object does not have."""
        ...

    def now(self) -> datetime:
        """Return the present instant."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Days:
    """The days a date literal means: from `first` to before `end`, in the type of the field it is compared with."""

    first: Any
    end: Any

    def holds(self, operator: str, have: Any) -> bool:
        """Whether a value stands in a relation to these days."""
        if have is None:
            return operator == "!="
        inside: bool = self.first <= have < self.end
        answers: Mapping[str, bool] = {
            "=": inside,
            "!=": not inside,
            "<": have < self.first,
            "<=": have < self.end,
            ">": have >= self.end,
            ">=": have >= self.first,
        }
        return answers[operator]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A selected field: the references that lead to it and itself."""

    parents: tuple[Field, ...]
    field: Field

    def read(self, world: World, record: Record) -> Any:
        """Read it from a record; null when a reference on the way is."""
        at: Record | None = record
        for parent in self.parents:
            at = world.record(world.value(at, parent.name)) if at is not None else None
        return None if at is None else world.value(at, self.field.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a query found."""

    sobject: SObject
    #: Empty for COUNT().
    columns: tuple[Column, ...]
    records: Sequence[Record]


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


Test = Callable[[Record], bool]


def run(text: str, world: World, *, everything: bool = False) -> Result:
    """Run a query; `everything` also finds deleted and archived records, as queryAll does. Raises `SoqlError`."""
    if len(text) > LONGEST:
        raise SoqlError("MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters.")
    reader = _Reader(text, world, everything=everything)
    result = reader.query()
    reader.end()
    return result


class _Reader:
    def __init__(self, text: str, world: World, *, everything: bool) -> None:
        self.text = text
        self.world = world
        self.everything = everything
        self.position = 0
        self.tokens = list(self._tokens())

    # ---------------------------------------------------------------------------------------- tokens

    def _tokens(self) -> Iterable[_Token]:
        at = 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                self.refuse(f"line 1:{at} no viable alternative at character '{self.text[at]}'", at)
            if match.lastgroup != "space":
                yield _Token(match.lastgroup or "", match.group(), at)
            at = match.end()
        yield _Token("end", "<EOF>", at)

    def refuse(self, message: str, at: int, code: str = "MALFORMED_QUERY") -> NoReturn:
        """Refuse in Salesforce's words: the query, a caret, the place, the sentence."""
        line = self.text.replace("\n", " ")
        raise SoqlError(code, f"\n{line}\n{' ' * at}^\nERROR at Row:1:Column:{at + 1}\n{message}")

    def unexpected(self) -> NoReturn:
        token = self.tokens[self.position]
        self.refuse(f"unexpected token: '{token.text}'", token.at)

    @property
    def next(self) -> _Token:
        return self.tokens[self.position]

    def take(self) -> _Token:
        token = self.next
        self.position += 1
        return token

    def is_word(self, *words: str) -> bool:
        """Whether the next words are these."""
        ahead = self.tokens[self.position : self.position + len(words)]
        return [t.text.upper() for t in ahead if t.kind == "word"] == list(words)

    def accept(self, *words: str) -> bool:
        if not self.is_word(*words):
            return False
        self.position += len(words)
        return True

    def expect_word(self, *words: str) -> None:
        if not self.accept(*words):
            self.unexpected()

    def mark(self, mark: str) -> bool:
        if (self.next.kind, self.next.text) != ("mark", mark):
            return False
        self.position += 1
        return True

    def expect_mark(self, mark: str) -> None:
        if not self.mark(mark):
            self.unexpected()

    def name(self) -> _Token:
        if self.next.kind != "word":
            self.unexpected()
        return self.take()

    def number(self) -> int:
        token = self.next
        if token.kind != "number" or not token.text.isdigit():
            self.unexpected()
        return int(self.take().text)

    def end(self) -> None:
        if self.next.kind != "end":
            self.unexpected()

    # --------------------------------------------------------------------------------------- grammar

    def query(self) -> Result:
        self.expect_word("SELECT")
        names = self._select()
        self.expect_word("FROM")
        token = self.name()
        sobject = next((s for n, s in self.world.sobjects.items() if n.lower() == token.text.lower()), None)
        if sobject is None:
            hint = f"sObject type '{token.text}' is not supported. {_CUSTOM_OBJECT_HINT}"
            self.refuse(hint, token.at, "INVALID_TYPE")
        test = self.condition(sobject) if self.accept("WHERE") else _anything
        order = self._order(sobject)
        limit = self.number() if self.accept("LIMIT") else None
        place = self.next.at
        offset = self.number() if self.accept("OFFSET") else 0
        if offset > LAST_OFFSET:
            message = f"Maximum SOQL offset allowed is {LAST_OFFSET}"
            self.refuse(message, place, "NUMBER_OUTSIDE_VALID_RANGE")
        columns = tuple(self.column(sobject, name) for name in names)
        rows = [row for row in self.world.rows(sobject.name) if self._visible(row) and test(row)]
        for column, descending, nulls_last in reversed(order):
            rows = self._sorted(rows, column, descending=descending, nulls_last=nulls_last)
        end = None if limit is None else offset + limit
        return Result(sobject=sobject, columns=columns, records=rows[offset:end])

    def _select(self) -> list[_Token]:
        if self.is_word("COUNT") and self.tokens[self.position + 1].text == "(":
            self.take()
            self.expect_mark("(")
            self.expect_mark(")")
            return []
        names = [self.name()]
        while self.mark(","):
            names.append(self.name())
        seen: set[str] = set()
        for name in names:
            if name.text.lower() in seen:
                self.refuse(f"duplicate field selected: {name.text}", name.at, "INVALID_FIELD")
            seen.add(name.text.lower())
        return names

    def _visible(self, row: Record) -> bool:
        return self.everything or not (self.world.value(row, "IsDeleted") or self.world.value(row, "IsArchived"))

    def _order(self, sobject: SObject) -> list[tuple[Column, bool, bool]]:
        order: list[tuple[Column, bool, bool]] = []
        if not self.accept("ORDER", "BY"):
            return order
        while True:
            token = self.name()
            column = self.column(sobject, token)
            if not column.field.filterable:
                self.refuse(f"field '{column.field.name}' can not be sorted in a query call", token.at, "INVALID_FIELD")
            descending = self.accept("DESC") or (self.accept("ASC") and False)
            nulls_last = self.accept("NULLS", "LAST") or (self.accept("NULLS", "FIRST") and False)
            order.append((column, descending, nulls_last))
            if not self.mark(","):
                return order

    def _sorted(self, rows: list[Record], column: Column, *, descending: bool, nulls_last: bool) -> list[Record]:
        pairs = [(column.read(self.world, row), row) for row in rows]
        nulls = [row for value, row in pairs if value is None]
        rest = [pair for pair in pairs if pair[0] is not None]
        fold = _folding(column.field)
        rest.sort(key=lambda pair: fold(pair[0]), reverse=descending)
        found = [row for _, row in rest]
        return found + nulls if nulls_last else nulls + found

    def column(self, sobject: SObject, token: _Token) -> Column:
        """Resolve `Field` or `Parent.Field`."""
        *parents, last = token.text.split(".")
        if parents and parents[0].lower() == sobject.name.lower():
            parents = parents[1:]
        at, found = sobject, []
        for parent in parents:
            reference = at.relationship(parent)
            if reference is None:
                self.refuse(
                    f"Didn't understand relationship '{parent}' in field path. If you are attempting to use a custom "
                    "relationship, be sure to append the '__r' after the custom relationship name. Please reference "
                    "your WSDL or the describe call for the appropriate names.",
                    token.at,
                    "INVALID_FIELD",
                )
            found.append(reference)
            at = NAME if len(reference.refers_to) > 1 else self.world.sobjects[reference.refers_to[0]]
        field = at.field(last)
        if field is None:
            self.refuse(
                f"No such column '{last}' on entity '{at.name}'. {_CUSTOM_FIELD_HINT}", token.at, "INVALID_FIELD"
            )
        return Column(parents=tuple(found), field=field)

    # ------------------------------------------------------------------------------------- conditions

    def condition(self, sobject: SObject) -> Test:
        """Read terms joined by AND, or terms joined by OR; Salesforce refuses a mixture without parentheses."""
        tests = [self.term(sobject)]
        joiner = ""
        while self.is_word("AND") or self.is_word("OR"):
            if joiner and self.next.text.upper() != joiner:
                self.unexpected()
            joiner = self.take().text.upper()
            tests.append(self.term(sobject))
        if len(tests) == 1:
            return tests[0]
        combine = all if joiner == "AND" else any
        return lambda row: combine(test(row) for test in tests)

    def term(self, sobject: SObject) -> Test:
        if self.accept("NOT"):
            test = self.term(sobject)
            return lambda row: not test(row)
        if self.mark("("):
            test = self.condition(sobject)
            self.expect_mark(")")
            return test
        return self.comparison(sobject)

    def comparison(self, sobject: SObject) -> Test:
        token = self.name()
        column = self.column(sobject, token)
        if not column.field.filterable:
            self.refuse(f"field '{column.field.name}' can not be filtered in a query call", token.at, "INVALID_FIELD")
        operator = self._operator()
        if operator == "LIKE":
            return self._like(column)
        if operator in ("IN", "NOT IN"):
            return self._among(column, inside=operator == "IN")
        value = self._days(column.field) or self.literal(column.field)
        return self._compare(column, operator, value)

    def _operator(self) -> str:
        for words in (("LIKE",), ("IN",), ("NOT", "IN")):
            if self.accept(*words):
                return " ".join(words)
        if self.next.kind != "mark" or self.next.text in "(),":
            self.unexpected()
        operator = self.take().text
        return "!=" if operator == "<>" else operator

    def _compare(self, column: Column, operator: str, value: Any) -> Test:
        world, fold = self.world, _folding(column.field)
        if isinstance(value, _Days):
            return lambda row: value.holds(operator, column.read(world, row))
        wanted = fold(value)
        if operator == "=":
            return lambda row: bool(fold(column.read(world, row)) == wanted)
        if operator == "!=":
            return lambda row: bool(fold(column.read(world, row)) != wanted)
        if value is None or column.field.type == "boolean":
            self.refuse(f"'{operator}' operator on this value", self.next.at, "INVALID_QUERY_FILTER_OPERATOR")
        orders: dict[str, Callable[[Any], bool]] = {
            "<": lambda have: bool(have < wanted),
            "<=": lambda have: bool(have <= wanted),
            ">": lambda have: bool(have > wanted),
            ">=": lambda have: bool(have >= wanted),
        }
        holds = orders[operator]

        def test(row: Record) -> bool:
            have = column.read(world, row)
            return have is not None and holds(fold(have))

        return test

    def _like(self, column: Column) -> Test:
        token = self.next
        if column.field.type not in TEXT_TYPES:
            self.refuse(f"invalid operator on {column.field.type} field", token.at, "INVALID_QUERY_FILTER_OPERATOR")
        if token.kind != "string":
            self.unexpected()
        self.take()
        pattern = re.compile(self._pattern(token), re.IGNORECASE | re.DOTALL)
        world = self.world

        def test(row: Record) -> bool:
            have = column.read(world, row)
            return have is not None and pattern.fullmatch(str(have)) is not None

        return test

    def _among(self, column: Column, *, inside: bool) -> Test:
        self.expect_mark("(")
        world, fold = self.world, _folding(column.field)
        values = self._subquery(column) if self.is_word("SELECT") else self._list(column)
        self.expect_mark(")")
        wanted = {fold(value) for value in values}
        return lambda row: (fold(column.read(world, row)) in wanted) is inside

    def _list(self, column: Column) -> list[Any]:
        values = [self.literal(column.field)]
        while self.mark(","):
            values.append(self.literal(column.field))
        return values

    def _subquery(self, column: Column) -> list[Any]:
        start = self.next
        if column.field.type not in ID_TYPES:
            self.refuse(
                f"The left operand cannot have more than one level of relationships: {column.field.name}", start.at
            )
        result = self.query()
        if len(result.columns) != 1 or result.columns[0].field.type not in ID_TYPES:
            self.refuse("Semi join sub-selects should select exactly one reference field", start.at)
        return [result.columns[0].read(self.world, row) for row in result.records]

    # --------------------------------------------------------------------------------------- literals

    def _days(self, field: Field) -> _Days | None:
        """Read a date literal; None when there is none."""
        token = self.next
        name, _, number = token.text.upper().partition(":")
        known = _DAYS.get(name) if token.kind in ("days", "word") else None
        if known is None or field.type not in ("date", "datetime") or bool(number) != (name.find("N_DAYS") >= 0):
            return None
        self.take()
        today = self.world.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        first, last = known(int(number or 0))
        start, end = today + timedelta(days=first), today + timedelta(days=last + 1)
        return _Days(first=start, end=end) if field.type == "datetime" else _Days(first=start.date(), end=end.date())

    def literal(self, field: Field) -> Any:
        """Read a value of the field's type; a quoted datetime or an unquoted text is refused as the real one does."""
        token = self.take()
        word = token.text.upper() if token.kind == "word" else ""
        if word == "NULL":
            return None
        if field.type == "boolean":
            if word not in ("TRUE", "FALSE"):
                self._mistyped(field, token)
            return word == "TRUE"
        if field.type in TEXT_TYPES or field.type in ID_TYPES:
            if token.kind != "string":
                if token.kind in ("mark", "end"):
                    self.position -= 1
                    self.unexpected()
                self._mistyped(field, token)
            text = self._unescaped(token)
            return self._id(text, token) if field.type in ID_TYPES else text or None
        wanted = {"datetime": "datetime", "date": "date", "int": "number", "double": "number"}[field.type]
        if token.kind in ("mark", "end"):
            self.position -= 1
            self.unexpected()
        if token.kind != wanted:
            self._mistyped(field, token)
        return self._typed(field, token)

    def _typed(self, field: Field, token: _Token) -> Any:
        try:
            if field.type == "datetime":
                return datetime.fromisoformat(token.text).astimezone(UTC)
            if field.type == "date":
                return date.fromisoformat(token.text)
            return float(token.text)
        except (ValueError, OverflowError):
            self.refuse(f"Invalid {field.type}: {token.text}", token.at)

    def _mistyped(self, field: Field, token: _Token) -> NoReturn:
        quoted = field.type in TEXT_TYPES or field.type in ID_TYPES
        kind = {"datetime": "dateTime"}.get(field.type, "string" if quoted else field.type)
        self.refuse(
            f"value of filter criterion for field '{field.name}' must be of type {kind} and should "
            f"{'' if quoted else 'not '}be enclosed in quotes",
            token.at,
            "INVALID_FIELD",
        )

    def _id(self, text: str, token: _Token) -> str | None:
        if not text:
            return None
        found = full_id(text)
        if found is None:
            self.refuse(f"invalid ID field: {text}", token.at, "INVALID_QUERY_FILTER_OPERATOR")
        return found

    def _characters(self, token: _Token) -> Iterable[tuple[str, bool]]:
        """Yield the characters of a string literal, each with whether it was escaped."""
        body, at = token.text[1:-1], 0
        while at < len(body):
            if body[at] != "\\":
                yield body[at], False
                at += 1
                continue
            char = body[at + 1]
            if char in ("u", "U") and re.fullmatch(r"[0-9a-fA-F]{4}", body[at + 2 : at + 6]):
                yield chr(int(body[at + 2 : at + 6], 16)), True
                at += 6
                continue
            if char.lower() not in _ESCAPES and char not in "_%":
                self.refuse(
                    f"Invalid string literal {token.text}. Illegal character sequence '\\{char}' in string literal.",
                    token.at,
                )
            yield _ESCAPES.get(char.lower(), char), True
            at += 2

    def _unescaped(self, token: _Token) -> str:
        return "".join(char for char, _ in self._characters(token))

    def _pattern(self, token: _Token) -> str:
        wild = {"%": ".*", "_": "."}
        return "".join(
            wild[char] if char in wild and not escaped else re.escape(char) for char, escaped in self._characters(token)
        )


def _anything(_: Record) -> bool:
    return True


def _folding(field: Field) -> Callable[[Any], Any]:
    """How two values are compared: text without case, ids and case-sensitive fields exactly."""
    return _exact if field.case_sensitive or field.type in ID_TYPES else _folded


def _exact(value: Any) -> Any:
    return value


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
