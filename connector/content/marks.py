"""Merge fields marked where they stand: in a mail as it is now, after whatever a person changed in its text.

Lives here: `edited_fields`, which values a person wrote over; `mark`, which finds the others, and what was left in
braces, in the finished mail. Does not live here: what a template came to (`written`), how a mark looks (`web`).

The text is composed twice, once as it is and once with characters around each value that stand nowhere in it. A mark is
kept only if the mail says, without these characters, exactly what it says anyway: in the address of a link, or where
Markdown would read the text in another way, there is none. So a mark can change nothing, whatever a value holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import accumulate, chain, groupby, islice, takewhile
from operator import itemgetter

from connector.content.compose import one_line
from connector.content.fields import SIGNATURE, UNSUBSCRIBE
from connector.content.traced import Spot, Traced
from connector.content.written import Written, WrittenOut, left_in

#: Most values that are marked in one mail, and most times that it is composed to find out which marks it bears.
MOST_MARKS, _MOST_TRIES = 200, 40

#: Most pairs of lines, or of words, that are compared to find out what a person left as it was.
_MOST_PAIRS = 250_000
_LINES, _WORDS = re.compile(r".*\n|.+"), re.compile(r"\w+|\W")

#: A tag of clean HTML, where every attribute stands in double quotes and `<` in text is a character reference.
_TAG = re.compile(r'(<[^"<>]*(?:"[^"]*"[^"<>]*)*>)')

#: Where marks' characters come from: the private planes of Unicode.
_PLANES = (range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))


class MarkKind(StrEnum):
    """What is marked."""

    FIELD = "field"
    #: `{{field}}`: it has no value.
    MISSING = "missing"
    #: `{{! what to write }}`: nobody has written it.
    PROMPT = "prompt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A stretch of a mail that came from fields, or is still to be written."""

    kind: MarkKind
    #: Paths of fields; none for a prompt.
    fields: tuple[str, ...] = ()
    #: What a prompt asks for.
    asks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a mail, from one tag or mark to another."""

    #: HTML of the mail's page, clean; text of its subject.
    content: str = field(repr=False)
    mark: Mark | None = None
    #: The first piece of its mark: one that holds tags has several.
    begins: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A mail in pieces; together they are the mail."""

    subject: tuple[Piece, ...]
    page: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a mark belongs in the text to edit, and the characters that stand for it."""

    start: int
    end: int
    mark: Mark
    opens: str
    closes: str


def still_standing(out: Traced, now: str) -> tuple[Spot, ...]:
    """Return the spots of a text that stand in it now, where they stand now.

    A spot does if it, and what stood right before and behind it, was left as it was.
    """
    if out.text == now:
        return out.spots
    found: list[Spot] = []
    for was, at, length in _left_alone(out.text, now):
        end = was + length
        for spot in out.spots:
            after_it = was < spot.start or was == spot.start == 0
            before_end = spot.end < end or spot.end == end == len(out.text)
            if after_it and before_end:
                found.append(replace(spot, start=spot.start - was + at, end=spot.end - was + at))
    return tuple(found)


def edited_fields(written: Written, out: WrittenOut) -> frozenset[str]:
    """Return the paths of the fields whose values were put into the text, and stand there no more."""
    parts = ((out.subject, written.subject), (out.body, written.body))
    standing = {path for was, now in parts for spot in still_standing(was, now) for path in spot.fields}
    return frozenset(path for was, _ in parts for spot in was.spots for path in spot.fields) - standing


def mark(written: Written, out: WrittenOut, compose: Callable[[Written], tuple[str, str]]) -> Marked:
    """Return a mail in pieces that say where they come from.

    `compose` makes subject and page of a written text; what it raises is raised here.
    """
    plain = compose(written)
    free = _free_characters(chain(written.subject, written.body, *plain))
    subject, body = (
        tuple(islice(_places(text, still_standing(before, text), free), MOST_MARKS))
        for before, text in ((out.subject, written.subject), (out.body, written.body))
    )
    tries = 0

    def composed(places: Sequence[_Place]) -> tuple[str, str]:
        with_marks = replace(
            written,
            subject=_with(written.subject, [one for one in subject if one in places]),
            body=_with(written.body, [one for one in body if one in places]),
        )
        return compose(with_marks)

    def borne(places: tuple[_Place, ...], others: tuple[_Place, ...] = ()) -> tuple[_Place, ...]:
        """Return those of these places that the mail bears, the others being there too."""
        nonlocal tries
        tries += 1
        if not places or tries > _MOST_TRIES:
            return ()
        if tuple(_without(part, (*others, *places)) for part in composed((*others, *places))) == plain:
            return places
        if len(places) == 1:
            return ()
        first = borne(places[: len(places) // 2], others)
        return (*first, *borne(places[len(places) // 2 :], (*others, *first)))

    places = borne((*subject, *body))
    said, page = composed(places)
    return Marked(subject=_pieces([said], places), page=_pieces(_TAG.split(page), places))


def _places(text: str, spots: Iterable[Spot], free: Iterator[str]) -> Iterator[_Place]:
    """Return what is to be marked in a text, in order; no two overlap."""
    left = [(found.span(), _left(found["said"])) for found in left_in(text)]
    filled = (
        ((spot.start, spot.end), Mark(kind=MarkKind.FIELD, fields=spot.fields))
        for spot in spots
        if spot.fields
        and not {SIGNATURE, UNSUBSCRIBE} & set(spot.fields)
        # A field without a value was left in braces.
        and not any(start < spot.end and spot.start < end for (start, end), _ in left)
    )
    last = 0
    for (start, end), one in sorted(chain(left, filled), key=itemgetter(0)):
        if start >= last and (opens := next(free, "")) and (closes := next(free, "")):
            yield _Place(start=start, end=end, mark=one, opens=opens, closes=closes)
            last = end


def _left(said: str) -> Mark:
    name = one_line(said)
    if name.startswith("!"):
        return Mark(kind=MarkKind.PROMPT, asks=name.removeprefix("!").strip())
    return Mark(kind=MarkKind.MISSING, fields=(name,))


def _free_characters(taken: Iterable[str]) -> Iterator[str]:
    used = frozenset(one for one in taken if ord(one) >= _PLANES[0].start)
    return (one for one in map(chr, chain(*_PLANES)) if one not in used)


def _with(text: str, places: Sequence[_Place]) -> str:
    parts: list[str] = []
    last = 0
    for one in places:
        parts += [text[last : one.start], one.opens, text[one.start : one.end], one.closes]
        last = one.end
    return "".join([*parts, text[last:]])


def _without(text: str, places: Iterable[_Place]) -> str:
    return text.translate({ord(one): None for place in places for one in (place.opens, place.closes)})


def _pieces(parts: Sequence[str], places: Iterable[_Place]) -> tuple[Piece, ...]:
    """Return the pieces of a text: parts at even places are text, between tags, which are never marked."""
    text = "".join(parts[::2])
    # What was put into an attribute is not in the text.
    shown = {
        one.opens: one
        for one in places
        if text.count(one.opens) == text.count(one.closes) == 1 and text.index(one.opens) < text.index(one.closes)
    }
    closing = {one.closes for one in shown.values()}
    ends = re.compile(f"([{''.join([*shown, *closing])}])") if shown else None
    found: list[Piece] = []
    now: Mark | None = None
    begins = False
    for number, part in enumerate(parts):
        for one in [part] if ends is None or number % 2 else ends.split(part):
            if one in shown:
                now, begins = shown[one].mark, True
            elif one in closing:
                found += [Piece(content="", mark=now, begins=True)] if begins else []
                now = None
            elif number % 2 or now is None or not one.strip():
                found.append(Piece(content=_without(one, places)))
            else:
                found.append(Piece(content=one, mark=now, begins=begins))
                begins = False
    return tuple(_joined(found))


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Return pieces with those that bear no mark taken together."""
    for bare, group in groupby(pieces, key=lambda one: one.mark is None):
        if not bare:
            yield from group
        elif content := "".join(one.content for one in group):
            yield Piece(content=content)


def _left_alone(was: str, now: str) -> list[tuple[int, int, int]]:
    """Return what a person left as it was: where it stood, where it stands, how long it is."""
    found: list[tuple[int, int, int]] = []
    for at, to, length in _agreed(was, now, (_LINES, _WORDS)):
        if found and found[-1][0] + found[-1][2] == at and found[-1][1] + found[-1][2] == to:
            found[-1] = (*found[-1][:2], found[-1][2] + length)
        elif length:
            found.append((at, to, length))
    return found


def _agreed(was: str, now: str, cuts: Sequence[re.Pattern[str]]) -> Iterator[tuple[int, int, int]]:
    """Compare two texts cut up in the first way, and what differs then in the next."""
    cut, *finer = cuts
    old, new = cut.findall(was), cut.findall(now)
    at, to = ([0, *accumulate(map(len, parts))] for parts in (old, new))
    for same, i, i_end, j, j_end in _aligned(old, new):
        if same:
            yield at[i], to[j], at[i_end] - at[i]
        elif finer:
            for inner_at, inner_to, length in _agreed(was[at[i] : at[i_end]], now[to[j] : to[j_end]], finer):
                yield at[i] + inner_at, to[j] + inner_to, length


def _aligned(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[bool, int, int, int, int]]:
    """Return whether they are the same, from where to where in the old, from where to where in the new."""
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    last, end = len(old) - tail, len(new) - tail
    yield True, 0, head, 0, head
    if (last - head) * (end - head) > _MOST_PAIRS:
        yield False, head, last, head, end
    else:
        for same, i, i_end, j, j_end in SequenceMatcher(
            None, old[head:last], new[head:end], autojunk=False
        ).get_opcodes():
            yield same == "equal", head + i, head + i_end, head + j, head + j_end
    yield True, last, len(old), end, len(new)


def _shared(old: Iterable[str], new: Iterable[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
