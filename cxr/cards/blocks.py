"""What a card is made of, and how its figures are written."""

import math
from dataclasses import dataclass

from markupsafe import Markup

from cxr.metrics import Interval
from cxr.tasks import TITLES

NOT_MEASURED = "Not measured."


@dataclass(frozen=True)
class Paragraph:
    text: str
    kind = "paragraph"


@dataclass(frozen=True)
class Command:
    """A command line, to be copied."""

    text: str
    kind = "command"


@dataclass(frozen=True)
class Table:
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    kind = "table"


@dataclass(frozen=True)
class Picture:
    """A chart, whose text alternative is in it."""

    title: str
    note: str
    svg: Markup


@dataclass(frozen=True)
class Pictures:
    """Charts side by side; `key` names their tones. What they show stands in tables too."""

    caption: str
    note: str
    pictures: tuple[Picture, ...]
    key: tuple[str, ...] = ()
    kind = "pictures"


Block = Paragraph | Table | Command | Pictures


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]


def readable(label: str) -> str:
    text = label.replace("_", " ")
    return TITLES.get(label) or text[:1].upper() + text[1:]


def films_of(films: int, patients: int) -> str:
    return f"{films} films of {patients} patients"


def share_of(count: int, films: int) -> str:
    return f"{count} ({100 * count / films:.1f} %)" if films else "0"


def number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"


def shown(figure: Interval, digits: int = 3) -> str:
    """0.812 (0.790 to 0.834)."""
    if math.isnan(figure.value):
        return "undefined"
    value, low, high = (f"{part:.{digits}f}" for part in (figure.value, figure.low, figure.high))
    return value if math.isnan(figure.low) else f"{value} ({low} to {high})"
