"""Gmail's search: what the query `q` finds.

Lives here: reading a query (words, quotes, operators, `-`, OR, braces, brackets) and testing mails. Does not live
here: who may search (`gmail_request`).
An operator that is not known finds words, as in Gmail. OR joins its neighbours before everything else is joined by AND.
Dates are midnight in Pacific time, as Google documents for the API; seconds since 1970 are exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from adapters.sandbox.letter import enclosures, parse, plain_text
from adapters.sandbox.mailbox import Mailbox, Place, StoredMail

_PACIFIC = ZoneInfo("America/Los_Angeles")

_TOKEN = re.compile(r'\s*(?:(-)|(?:(\w+):)?"([^"]*)"?|(\w+):(?=[({])|([({])|([)}])|([^\s(){}"]+))')

#: Tells whether a mail is found.
_Test = Callable[[StoredMail], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asker:
    """Whose search it is, and when."""

    box: Mailbox
    now: datetime


def searched(
    mails: Sequence[StoredMail], query: str, *, box: Mailbox, now: datetime, binned: bool = False
) -> list[StoredMail]:
    """Return the mails that a query of Gmail's search box finds.

    Bin and spam are passed over unless `binned`, or the query asks for them by `in:trash`, `in:spam` or `in:anywhere`.
    """
    test = _Reader(query, _Asker(box=box, now=now)).read()
    binned = binned or re.search(r"\b(?:in|is|label):(?:trash|bin|spam|anywhere)\b", query, re.IGNORECASE) is not None
    return [mail for mail in mails if (binned or mail.place not in (Place.TRASH, Place.SPAM)) and test(mail)]


class _Reader:
    """Reads one query from left to right."""

    def __init__(self, query: str, asker: _Asker) -> None:
        self._tokens = [match.groups() for match in _TOKEN.finditer(query)]
        self._at = 0
        self._asker = asker

    def read(self) -> _Test:
        """Read all of it; a closing bracket too many changes nothing."""
        found = []
        while self._at < len(self._tokens):
            found.append(self._group("", any_of=False))
            self._at += 1
        return _all(found)

    def _group(self, operator: str, *, any_of: bool) -> _Test:
        """Read up to the closing bracket: OR binds first, then all must hold (in braces: any)."""
        found: list[list[_Test]] = []
        joined = False
        while self._at < len(self._tokens) and self._tokens[self._at][5] is None:
            word = self._tokens[self._at][6]
            if word in ("OR", "AND"):
                joined = word == "OR" and bool(found)
                self._at += 1
                continue
            test = self._term(operator)
            if joined:
                found[-1].append(test)
            else:
                found.append([test])
            joined = False
        tests = [_any(one) for one in found]
        return _any(tests) if any_of else _all(tests)

    def _term(self, operator: str) -> _Test:
        minus, quoted_by, quoted, grouped_by, opening, _closing, word = self._tokens[self._at]
        self._at += 1
        if minus:
            if self._at == len(self._tokens) or self._tokens[self._at][5] is not None:
                return _all([])
            inner = self._term(operator)
            return lambda mail: not inner(mail)
        if quoted is not None:
            return self._test(quoted_by or operator, quoted)
        if grouped_by:
            opening = self._tokens[self._at][4]
            self._at += 1
            return self._bracket(grouped_by, opening)
        if opening:
            return self._bracket(operator, opening)
        name, colon, value = word.partition(":")
        return self._test(name, value) if colon and not operator else self._test(operator, word)

    def _bracket(self, operator: str, opening: str) -> _Test:
        test = self._group(operator, any_of=opening == "{")
        self._at += 1
        return test

    def _test(self, operator: str, value: str) -> _Test:
        known = _OPERATORS.get(operator.lower())
        if known is not None:
            return known(value, self._asker)
        words = f"{operator} {value}"
        return lambda mail: _says(_everything(mail), words)


def _any(tests: Sequence[_Test]) -> _Test:
    return lambda mail: any(test(mail) for test in tests)


def _all(tests: Sequence[_Test]) -> _Test:
    return lambda mail: all(test(mail) for test in tests)


def _says(text: str, words: str) -> bool:
    """Tell whether the words stand in the text one after another, as Gmail searches: whole words, any case."""
    have, want = (re.findall(r"[^\W_]+", one.lower()) for one in (text, words))
    return any(have[at : at + len(want)] == want for at in range(len(have) - len(want) + 1)) if want else True


def _everything(mail: StoredMail) -> str:
    message = parse(mail.raw)
    body = message.get_body(("plain", "html"))
    text = str(body.get_content()) if body is not None else ""
    if body is not None and body.get_content_subtype() == "html":
        text = plain_text(text)
    people = (mail.head.sender, *mail.head.to, *mail.head.cc, *mail.head.bcc)
    who = " ".join(f"{name} {address}" for name, address in people)
    # A word between the parts, so that no phrase reaches from one into the next.
    return f"{mail.head.subject} \u2016a\u2016 {text} \u2016b\u2016 {who}"


def _label(value: str, asker: _Asker) -> _Test:
    wanted = {"drafts": "DRAFT", "draft": "DRAFT", "bin": "TRASH"}.get(value.lower(), value.upper())
    if wanted == "ANYWHERE":
        return lambda _mail: True
    if wanted == "READ":
        return lambda mail: not mail.unread
    made = {name.upper(): id_ for id_, name in asker.box.made_labels.items()}
    return lambda mail: made.get(wanted, wanted) in mail.labels


def _has(value: str, _asker: _Asker) -> _Test:
    if value.lower() != "attachment":
        return lambda mail: _says(_everything(mail), f"has {value}")
    return lambda mail: bool(enclosures(parse(mail.raw)))


def _people(which: Callable[[StoredMail], Sequence[tuple[str, str]]]) -> Callable[[str, _Asker], _Test]:
    def operator(value: str, asker: _Asker) -> _Test:
        if value.lower() == "me":
            return lambda mail: any(address.lower() in asker.box.addresses for _, address in which(mail))
        return lambda mail: any(_says(f"{name} {address}", value) for name, address in which(mail))

    return operator


def _instant(value: str) -> datetime | None:
    if re.fullmatch(r"\d{5,}", value):
        return datetime.fromtimestamp(int(value), UTC)
    for pattern in ("%Y/%m/%d", "%m/%d/%Y"):
        try:
            return datetime.strptime(value.replace("-", "/"), pattern).replace(tzinfo=_PACIFIC)
        except ValueError:
            continue
    return None


def _after(value: str, _asker: _Asker) -> _Test:
    instant = _instant(value)
    return lambda mail: instant is not None and mail.at >= instant


def _before(value: str, _asker: _Asker) -> _Test:
    instant = _instant(value)
    return lambda mail: instant is not None and mail.at < instant


def _span(value: str) -> timedelta:
    match = re.fullmatch(r"(\d+)([hdmy])", value.lower())
    if match is None:
        return timedelta()
    days = {"h": 1 / 24, "d": 1, "m": 30, "y": 365}[match[2]]
    return timedelta(days=int(match[1]) * days)


_OPERATORS: Mapping[str, Callable[[str, _Asker], _Test]] = {
    "in": _label,
    "is": _label,
    "label": _label,
    "has": _has,
    "filename": lambda value, _: lambda mail: any(_says(one.name, value) for one in enclosures(parse(mail.raw))),
    "to": _people(lambda mail: (*mail.head.to, *mail.head.cc, *mail.head.bcc)),
    "cc": _people(lambda mail: mail.head.cc),
    "bcc": _people(lambda mail: mail.head.bcc),
    "from": _people(lambda mail: (mail.head.sender,)),
    "subject": lambda value, _: lambda mail: _says(mail.head.subject, value),
    "rfc822msgid": lambda value, _: lambda mail: mail.head.message_id.strip("<>") == value.strip("<>"),
    "after": _after,
    "newer": _after,
    "before": _before,
    "older": _before,
    "newer_than": lambda value, asker: lambda mail: mail.at >= asker.now - _span(value),
    "older_than": lambda value, asker: lambda mail: mail.at < asker.now - _span(value),
}
