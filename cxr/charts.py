"""Charts as small inline SVG: no script, no font, no colour of their own; the page's style sets light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from cxr.metrics import Interval

Range = tuple[float, float]
LETTER = 6.0  # pixels of a written one, about
ROW = 17  # pixels of one row
GAP = 0.25  # between two columns, as a share of a column's room


@dataclass(frozen=True)
class Series:
    """A line to be drawn; `tone` is the number of its colour in the page's style."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    tone: int = 0
    radii: tuple[float, ...] = ()  # pixels, of a dot at each point; none: no dots


@dataclass(frozen=True)
class Column:
    """What stands at one place of a column chart: a bar for each value, in tones 0, 1, ..."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Frame:
    """A rectangle of the picture (pixels) that stands for ranges of x and y."""

    width: float
    height: float
    x_range: Range = (0.0, 1.0)
    y_range: Range = (0.0, 1.0)
    left: float = 34.0
    bottom: float = 32.0
    margin: float = 8.0  # above and on the right

    def x(self, value: float) -> float:
        low, high = self.x_range
        return round(self.left + (value - low) / (high - low) * (self.width - self.left - self.margin), 1)

    def y(self, value: float) -> float:
        low, high = self.y_range
        floor = self.height - self.bottom
        return round(floor - (value - low) / (high - low) * (floor - self.margin), 1)


def line_chart(
    series: Sequence[Series], frame: Frame, title: str, x_label: str, y_label: str, reference: Series | None = None
) -> Markup:
    """Lines over labelled axes; `reference` is a thin line behind them, e.g. what chance would give."""
    parts = [_axes(frame, x_label, y_label)]
    if reference:
        parts.append(_polyline(reference, frame, "reference"))
    parts += [_polyline(one, frame, f"line tone{one.tone}") for one in series if len(one.x) > 1]
    parts += [_dots(one, frame) for one in series if one.radii]
    return _svg(frame.width, frame.height, title, parts)


def column_chart(
    columns: Sequence[Column], frame: Frame, title: str, x_label: str, y_label: str, *, stacked: bool = False
) -> Markup:
    """Bars over an axis of names, of which as many are written as have room; `frame.y_range` must hold all bars."""
    room = (frame.width - frame.left - frame.margin) / max(len(columns), 1)
    every = math.ceil(max((len(column.name) for column in columns), default=1) * LETTER / room)
    parts = [_axes(frame, x_label, y_label, ticks_of_x=False)]
    for place, column in enumerate(columns):
        left = frame.left + place * room
        parts.append(_bars(column, frame, left + room * GAP / 2, room * (1 - GAP), stacked=stacked))
        if place % every == 0:
            middle = round(left + room / 2, 1)
            parts.append(_text(middle, frame.height - frame.bottom + 12, column.name, "middle"))
    return _svg(frame.width, frame.height, title, parts)


def interval_strip(
    intervals: Sequence[Interval | None], x_range: Range, width: float = 220, tone: int = 0, says: str = ""
) -> Markup:
    """One row for each interval: a line from low to high with a dot at the value; None and undefined stay empty.

    `says`: the text alternative, instead of the figures.
    """
    height = 4 + 9 * len(intervals)
    frame = Frame(width, height, x_range, left=11, margin=11)
    parts = [_rule(frame.x(tick), height) for tick in ticks(x_range, 4)]
    for row, one in enumerate(intervals):
        if one is not None and not math.isnan(one.value):
            parts.append(_whisker(one, frame, 6.5 + 9 * row, tone + row))
    return _svg(width, height, says or ", ".join(map(_spoken, intervals)), parts)


def forest_chart(rows: Sequence[tuple[str, Interval]], x_range: Range, title: str, x_label: str) -> Markup:
    """A named line for each interval, one below the other, over one axis; undefined ones stay empty."""
    frame = Frame(440, 40 + ROW * len(rows), x_range, left=130, margin=12)
    floor = frame.height - frame.bottom
    parts = [_line(frame.x(tick), 0, frame.x(tick), floor, "grid") for tick in ticks(x_range)]
    parts += [_text(frame.x(tick), floor + 12, _number(tick), "middle") for tick in ticks(x_range)]
    parts.append(_text(frame.x(sum(x_range) / 2), frame.height - 4, x_label, "middle", "name"))
    for place, (name, figure) in enumerate(rows):
        y = 10 + ROW * place
        parts.append(_text(frame.left - 14, y + 3, name, "end"))
        if not math.isnan(figure.value):
            parts.append(_whisker(figure, frame, y, 0))
    return _svg(frame.width, frame.height, title, parts)


def interval_axis(x_range: Range, width: float = 220) -> Markup:
    """The numbers that stand above a column of strips."""
    frame = Frame(width, 14, x_range, left=11, margin=11)
    parts = [_text(frame.x(tick), 11, _number(tick), "middle") for tick in ticks(x_range, 4)]
    return _svg(width, 14, "scale", parts)


def bar_strip(value: float, largest: float, width: float = 220) -> Markup:
    """A bar as long as `value` is a share of `largest`."""
    length = round(width * value / largest, 1) if largest else 0
    bar = Markup('<rect class="bar" x="0" y="1" width="{}" height="10" rx="2"/>').format(length)
    return _svg(width, 12, f"{value:g}", [bar])


def common_range(intervals: Sequence[Interval]) -> Range:
    """From a tenth at or below the lowest bound to 1, and never from above 0.5: where chance lies stays in sight."""
    lows = [one.low for one in intervals if not math.isnan(one.low)]
    return math.floor(min([*lows, 0.5]) * 10 + 1e-9) / 10, 1.0


def value_range(values: Sequence[float]) -> Range:
    """Round numbers around all finite values."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if low == high:
        return low - 0.5, high + 0.5
    step = _step(high - low, 4)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def ticks(span: Range, count: int = 5) -> list[float]:
    """About `count` round numbers within the range, both ends among them where they are round."""
    low, high = span
    step = _step(high - low, count)
    first = math.ceil(low / step - 1e-9)
    return [float(n * step) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _step(length: float, count: int) -> float:
    """The least of 1, 2, 5 and 10 times a power of ten that cuts `length` into at most `count` parts."""
    rough = length / count
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * unit for unit in (1, 2, 5, 10) if power * unit >= rough * (1 - 1e-9))


def _svg(width: float, height: float, title: str, parts: Sequence[Markup]) -> Markup:
    head = Markup('<svg viewBox="0 0 {0:g} {1:g}" width="{0:g}" height="{1:g}" role="img" aria-label="{2}">')
    return head.format(width, height, title) + Markup("").join(parts) + Markup("</svg>")


def _axes(frame: Frame, x_label: str, y_label: str, *, ticks_of_x: bool = True) -> Markup:
    left, right = frame.left, frame.width - frame.margin
    floor = frame.height - frame.bottom
    parts = []
    for tick in ticks(frame.y_range):
        parts += [_line(left, frame.y(tick), right, frame.y(tick), "grid")]
        parts += [_text(left - 4, frame.y(tick) + 3, _number(tick), "end")]
    if ticks_of_x:
        parts += [_text(frame.x(tick), floor + 12, _number(tick), "middle") for tick in ticks(frame.x_range)]
    parts.append(_line(left, floor, right, floor, "axis"))
    parts.append(_text((left + right) / 2, frame.height - 4, x_label, "middle", "name"))
    turned = Markup('<text class="name" text-anchor="middle" transform="translate(9 {}) rotate(-90)">{}</text>')
    parts.append(turned.format((floor + frame.margin) / 2, y_label))
    return Markup("").join(parts)


def _polyline(one: Series, frame: Frame, style: str) -> Markup:
    points = " ".join(f"{frame.x(x):g},{frame.y(y):g}" for x, y in zip(one.x, one.y, strict=True))
    return Markup('<polyline class="{}" points="{}"><title>{}</title></polyline>').format(style, points, one.name)


def _bars(column: Column, frame: Frame, left: float, width: float, *, stacked: bool) -> Markup:
    box = 'x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"'
    bar = Markup(f'<rect class="bar tone{{}}" {box}><title>{{}}</title></rect>')
    beside = 1 if stacked else len(column.values)
    floor, parts = 0.0, []
    for tone, value in enumerate(column.values):
        x = left if stacked else left + tone * width / beside
        height = frame.y(floor) - frame.y(floor + value)
        told = f"{column.name}: {_number(value)}"
        parts.append(bar.format(tone, x, frame.y(floor + value), width / beside, height, told))
        floor += value if stacked else 0
    return Markup("").join(parts)


def _dots(one: Series, frame: Frame) -> Markup:
    dot = Markup('<circle class="dot tone{}" cx="{}" cy="{}" r="{:.2g}"><title>{}: {}, {}</title></circle>')
    points = zip(one.x, one.y, one.radii, strict=True)
    return Markup("").join(
        dot.format(one.tone, frame.x(x), frame.y(y), r, one.name, _number(x), _number(y)) for x, y, r in points
    )


def _whisker(one: Interval, frame: Frame, y: float, tone: int) -> Markup:
    dot = Markup('<circle class="dot tone{}" cx="{}" cy="{}" r="3"/>').format(tone, frame.x(one.value), y)
    if math.isnan(one.low):
        return dot
    return _line(frame.x(one.low), y, frame.x(one.high), y, f"line tone{tone}") + dot


def _spoken(one: Interval | None) -> str:
    return "undefined" if one is None or math.isnan(one.value) else str(one)


def _rule(x: float, height: float) -> Markup:
    return _line(x, 0, x, height, "grid")


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(style, x1, y1, x2, y2)


def _text(x: float, y: float, text: str, anchor: str, style: str = "tick") -> Markup:
    return Markup('<text class="{}" x="{:g}" y="{:g}" text-anchor="{}">{}</text>').format(style, x, y, anchor, text)


def _number(value: float) -> str:
    """0.25, 3, 1e-05: short, without a minus before zero."""
    return f"{np.round(value, 6) + 0.0:.4g}"
