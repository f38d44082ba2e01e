"""Gmail's search: the operators of `q`.

Lives here: reading a query and testing mails. An operator that is not known finds words, as in Gmail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from adapters.sandbox.gmail_message import labels_of, snippet
from adapters.sandbox.letter import parse
from adapters.sandbox.mailworld import StoredMail


def searched(mails: Sequence[StoredMail], query: str, now: datetime) -> list[StoredMail]:
    """Return the mails that a query of Gmail's search box finds; `now` is for newer_than and older_than."""
    tests = [_test(term, now) for term in _terms(query)]
    return [mail for mail in mails if all(test(mail) for test in tests)]


def _terms(query: str) -> list[str]:
    return re.findall(r'-?(?:\w+:)?(?:"[^"]*"|\([^)]*\)|[^\s"()]+)', query)


def _test(term: str, now: datetime) -> Callable[[StoredMail], bool]:
    if term.startswith("-"):
        inner = _test(term[1:], now)
        return lambda mail: not inner(mail)
    name, colon, value = term.partition(":")
    value = value.strip('"()')
    if colon and name.lower() in _OPERATORS:
        return _OPERATORS[name.lower()](value, now)
    text = term.strip('"()')
    return lambda mail: _says(f"{mail.head.subject} {snippet(parse(mail.raw))}", text)


def _says(text: str, words: str) -> bool:
    """Tell whether the words stand in the text one after another, as Gmail searches: whole words, any case."""
    have, want = (re.findall(r"[^\W_]+", one.lower()) for one in (text, words))
    return any(have[at : at + len(want)] == want for at in range(len(have) - len(want) + 1)) if want else True


def _in(value: str, _now: datetime) -> Callable[[StoredMail], bool]:
    label = {"drafts": "DRAFT", "draft": "DRAFT"}.get(value.lower(), value.upper())
    if label == "ANYWHERE":
        return lambda _mail: True
    return lambda mail: label in labels_of(mail)


def _people(which: Callable[[StoredMail], Sequence[tuple[str, str]]]) -> Callable[..., Callable[[StoredMail], bool]]:
    def operator(value: str, _now: datetime) -> Callable[[StoredMail], bool]:
        return lambda mail: any(_says(f"{name} {address}", value) for name, address in which(mail))

    return operator


def _subject(value: str, _now: datetime) -> Callable[[StoredMail], bool]:
    return lambda mail: _says(mail.head.subject, value)


def _message_id(value: str, _now: datetime) -> Callable[[StoredMail], bool]:
    return lambda mail: mail.head.message_id.strip("<>") == value.strip("<>")


def _instant(value: str) -> datetime:
    if value.isdigit():
        return datetime.fromtimestamp(int(value), UTC)
    try:
        return datetime.strptime(value.replace("-", "/"), "%Y/%m/%d").replace(tzinfo=UTC)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)


def _after(value: str, _now: datetime) -> Callable[[StoredMail], bool]:
    return lambda mail: mail.at >= _instant(value)


def _before(value: str, _now: datetime) -> Callable[[StoredMail], bool]:
    return lambda mail: mail.at < _instant(value)


def _span(value: str) -> timedelta:
    match = re.fullmatch(r"(\d+)([hdmy])", value)
    if match is None:
        return timedelta()
    days = {"h": 1 / 24, "d": 1, "m": 30, "y": 365}[match[2]]
    return timedelta(days=int(match[1]) * days)


def _newer(value: str, now: datetime) -> Callable[[StoredMail], bool]:
    return lambda mail: mail.at >= now - _span(value)


def _older(value: str, now: datetime) -> Callable[[StoredMail], bool]:
    return lambda mail: mail.at < now - _span(value)


_OPERATORS: Mapping[str, Callable[[str, datetime], Callable[[StoredMail], bool]]] = {
    "in": _in,
    "is": _in,
    "label": _in,
    "to": _people(lambda mail: (*mail.head.to, *mail.head.cc, *mail.head.bcc)),
    "cc": _people(lambda mail: mail.head.cc),
    "from": _people(lambda mail: (mail.head.sender,)),
    "subject": _subject,
    "rfc822msgid": _message_id,
    "after": _after,
    "newer": _after,
    "before": _before,
    "older": _before,
    "newer_than": _newer,
    "older_than": _older,
}
