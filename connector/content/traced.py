"""Text that knows which stretches of it came from fields, and keeps knowing it while it is changed.

Lives here: `Spot`, `Traced`, and `Trace`, in which a template's outputs are noted. Does not live here: the template
language (`language`), what is shown of the stretches (`marks`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TextIO

from liquid import RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import Path
from liquid.expression import Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One output `{{ ... }}` of a template, as it stands in a text."""

    #: In characters, counted from 0; the end is the first character behind it.
    start: int
    end: int
    #: Paths of the fields that it was made of, in the order in which the template names them.
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A text and its spots, in order."""

    text: str = field(repr=False)
    spots: tuple[Spot, ...] = ()

    def sub(self, pattern: re.Pattern[str], put: str | Callable[[re.Match[str]], str], count: int = 0) -> Traced:
        """Return it with what matches replaced; a `put` that is text stands there as it is.

        A spot that a match reaches into takes in all that stands there then. The pattern may not match nothing.
        """
        edits: list[tuple[int, int, int]] = []

        def note(found: re.Match[str]) -> str:
            new = put if isinstance(put, str) else put(found)
            edits.append((found.start(), found.end(), len(new)))
            return new

        text = pattern.sub(note, self.text, count=count)
        return Traced(text=text, spots=tuple(_moved(spot, edits) for spot in self.spots))


def _moved(spot: Spot, edits: Sequence[tuple[int, int, int]]) -> Spot:
    start = _place(spot.start, edits, closes=False)
    end = start if spot.start == spot.end else _place(spot.end, edits, closes=True)
    return replace(spot, start=start, end=end)


def _place(position: int, edits: Sequence[tuple[int, int, int]], *, closes: bool) -> int:
    """Return where a position is after edits, in order: (start, end, how long it is now)."""
    shift = 0
    for start, end, length in edits:
        if start >= position:
            break
        if end > position:
            return start + shift + (length if closes else 0)
        shift += length - (end - start)
    return position + shift


class Trace:
    """Notes what each output of a template wrote into one buffer, and of which fields it was made."""

    def __init__(self, nodes: Iterable[Node], buffer: TextIO, context: RenderContext) -> None:
        """Take the template, what it is rendered into, and with what."""
        self._buffer = buffer
        #: Names that the template makes itself -> the fields behind them.
        self._made: dict[str, tuple[str, ...]] = {}
        for node in nodes:
            self._read(node, context)
        self.spots: list[Spot] = []

    def note(self, expression: Expression, buffer: TextIO, start: int) -> None:
        """Note an output that was just written; what a `capture` collects is shown elsewhere, if at all."""
        if buffer is self._buffer:
            self.spots.append(Spot(start=start, end=buffer.tell(), fields=self._fields((expression,))))

    def _read(self, node: Node, context: RenderContext) -> None:
        inner = tuple(_nodes(node, context))
        for name in node.block_scope():
            self._made[str(name)] = self._fields(node.expressions())
        for child in node.children(context):
            self._read(child, context)
        for name in node.template_scope():
            made = self._fields(expression for one in inner for expression in one.expressions())
            # Branches of an `if` may each assign it.
            self._made[str(name)] = tuple(dict.fromkeys((*self._made.get(str(name), ()), *made)))

    def _fields(self, expressions: Iterable[Expression]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for expression in expressions:
            if isinstance(expression, Path):
                head = str(expression.head())
                made = self._made.get(head)
                found |= dict.fromkeys((".".join(map(str, expression.path)),) if made is None else made)
            found |= dict.fromkeys(self._fields(expression.children()))
        return tuple(found)


def _nodes(node: Node, context: RenderContext) -> Iterator[Node]:
    yield node
    for child in node.children(context):
        yield from _nodes(child, context)
