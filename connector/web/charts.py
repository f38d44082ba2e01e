"""Pictures as numbers: where the bars, lines and marks of a picture stand. A template draws them as SVG.

Lives here: the geometry, from values to coordinates. Does not live here: words, colours (`static/numbers.css`) and what
is counted (`sync.numbers`). All is in units of a picture's own box, from its upper left corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Steps between the lines of a scale, in tens.
_STEPS = (1, 2, 5, 10)

#: Parts of a bar's place that stay empty beside it.
_GAP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A line of the scale, or the name of a place along it."""

    at: float
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePicture:
    """Bars side by side, and lines over them."""

    width: float
    height: float
    #: Where the picture begins and where its ground is.
    left: float
    ground: float
    bars: Sequence[Bar]
    #: The points of each line, as SVG's `points` takes them.
    lines: Sequence[str]
    #: Lines of the scale, by their height.
    scale: Sequence[Tick]
    #: Places that are named below it: where, and which of the bars.
    named: Sequence[Tick]


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelPicture:
    """Bars below each other, each with a smaller one upon it."""

    width: float
    height: float
    left: float
    bars: Sequence[Bar]
    inner: Sequence[Bar]


def ceiling(largest: int, lines: int = 4) -> tuple[int, int]:
    """Return the top of a scale and the distance of its lines, both round, for at most so many lines."""
    least = max(1, -(-largest // lines))
    power = 10 ** (len(str(least)) - 1)
    step = next(power * one for one in _STEPS if power * one >= least)
    return step * max(1, -(-largest // step)), step


def draw_time(
    bars: Sequence[int],
    lines: Sequence[Sequence[int]] = (),
    *,
    width: float,
    height: float,
    left: float = 0,
    below: float = 0,
    top: int | None = None,
    most_names: int = 8,
) -> TimePicture:
    """Place bars and lines of equally many values; `top` is that of the scale when several pictures share one.

    `left` and `below` are kept free for what is written there.
    """
    highest, step = ceiling(max([0, *bars, *(value for line in lines for value in line)]))
    highest = max(highest, top or 0)
    margin = 8 if below else 1
    ground = height - below
    each = (width - left) / max(1, len(bars))

    def up(value: int) -> float:
        return round(ground - (ground - margin) * value / highest, 2)

    def middle(index: int) -> float:
        return round(left + each * (index + 0.5), 2)

    apart = max(1, -(-len(bars) // most_names))
    return TimePicture(
        width=width,
        height=height,
        left=left,
        ground=ground,
        bars=[
            Bar(
                x=round(left + each * (index + _GAP / 2), 2),
                y=up(value),
                width=round(each * (1 - _GAP), 2),
                height=round(ground - up(value), 2),
            )
            for index, value in enumerate(bars)
        ],
        lines=[" ".join(f"{middle(index)},{up(value)}" for index, value in enumerate(line)) for line in lines],
        scale=[Tick(at=up(value), value=value) for value in range(0, highest + 1, step)],
        named=[Tick(at=middle(index), value=index) for index in range(0, len(bars), apart)],
    )


def draw_funnel(
    outer: Sequence[int], inner: Sequence[int], *, width: float, left: float, right: float, row: float = 34
) -> FunnelPicture:
    """Place a bar for each of `outer` and one of `inner` upon it; `left` and `right` are kept free for words."""
    highest = max([1, *outer, *inner])
    length = (width - left - right) / highest

    def bar(index: int, value: int, part: float) -> Bar:
        return Bar(
            x=left,
            y=round(row * (index + (1 - part) / 2), 2),
            width=round(length * value, 2),
            height=round(row * part, 2),
        )

    return FunnelPicture(
        width=width,
        height=row * len(outer),
        left=left,
        bars=[bar(index, value, 0.64) for index, value in enumerate(outer)],
        inner=[bar(index, value, 0.28) for index, value in enumerate(inner)],
    )
