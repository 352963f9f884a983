"""What `Model_Training/test.py` measured of a model, as far as a card tells it: no film.

The test report's own dataclasses (cxr.learning.figures, cxr.learning.reliability) have these fields and more; what is
more is left behind when a report is read.
"""

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cxr.errors import TrainingDataError
from cxr.metrics import Interval
from cxr.uncertainty import IntervalBin

SCHEMA = 1
UNDEFINED = Interval(math.nan, math.nan, math.nan)
T = TypeVar("T")


@dataclass(frozen=True)
class Population:
    """Who is in one part of the data."""

    part: str  # "training", "validation", "test" or "external"
    films: int
    patients: int
    positives: dict[str, int]  # label -> films that have it
    groups: dict[str, dict[str, int]]  # "sex", "age", "view" -> value -> films
    fingerprint: str  # sha256 of names and labels


@dataclass(frozen=True)
class Curve:
    """Points of a line, in the order in which it is drawn; none of an undefined one."""

    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()


@dataclass(frozen=True)
class LabelResult:
    """How well one label is told from the others."""

    label: str
    positives: int
    negatives: int
    auroc: Interval
    average_precision: Interval
    roc: Curve = Curve()  # false positive rate, true positive rate
    precision_recall: Curve = Curve()  # recall, precision


@dataclass(frozen=True)
class RatesAtPoint:
    """Shares of the films on either side of a threshold."""

    recall: Interval  # sensitivity
    specificity: Interval
    precision: Interval
    f1: Interval = UNDEFINED


@dataclass(frozen=True)
class LabelAtPoint:
    """One label at its threshold."""

    label: str
    threshold: float
    rates: RatesAtPoint


@dataclass(frozen=True)
class PointSet:
    """All labels at one set of operating points, or by arg max."""

    name: str
    labels: tuple[LabelAtPoint, ...]
    all_right: Interval  # share of films with every known label right; the accuracy of a multiclass task
    macro: RatesAtPoint = RatesAtPoint(UNDEFINED, UNDEFINED, UNDEFINED)


@dataclass(frozen=True)
class GroupResult:
    """Mean AUROC among the films of one sex, age band or view position."""

    attribute: str
    value: str
    films: int
    patients: int
    mean_auroc: Interval
    defined: int


@dataclass(frozen=True)
class BoxResult:
    """Maps against the boxes that people drew."""

    label: str
    boxes: int
    pointing: Interval  # share of boxes that hold the map's peak
    centre: Interval  # share that hold the film's centre
    gain: Interval = UNDEFINED  # pointing less centre, box by box; cards of 0.2.0 and before lack it


@dataclass(frozen=True)
class Result:
    """All figures on one set of films."""

    name: str
    kind: str
    films: int
    patients: int
    mean_auroc: Interval
    mean_average_precision: Interval
    labels: tuple[LabelResult, ...]
    decisions: tuple[PointSet, ...] = ()
    subgroups: tuple[GroupResult, ...] = ()
    localisation: tuple[BoxResult, ...] = ()


@dataclass(frozen=True)
class Errors:
    """How far probabilities are from what was the case."""

    ece: float
    brier: float
    curve: Curve = Curve()  # mean probability and share of positive films of each bin
    films: tuple[int, ...] = ()  # of each bin


@dataclass(frozen=True)
class LabelReliability:
    """One label's probabilities before and after calibration, and whether their intervals hold."""

    label: str
    films: int
    positives: int
    before: Errors
    after: Errors
    brier_gain: Interval
    bins: tuple[IntervalBin, ...]


@dataclass(frozen=True)
class Reliability:
    """All labels on one set of films."""

    name: str
    films: int
    patients: int
    labels: tuple[LabelReliability, ...]
    mean_before: Errors
    mean_after: Errors


@dataclass(frozen=True)
class DarkMaps:
    """How many films with a label have a heat map of it that shows nothing."""

    label: str
    films: int  # test films that have the label
    dark: int


@dataclass(frozen=True)
class Control:
    """The same recipe on films whose middle is black (benchmarks/blackout.py), tested on such films."""

    part: str
    films: int
    patients: int
    mean_auroc: Interval
    all_right: Interval  # accuracy by arg max; undefined where labels do not exclude one another


@dataclass(frozen=True)
class Subject:
    """What was measured: a model file by its sha256, or checkpoints by their training record."""

    sha256: str = ""
    training: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """One report of `test.py`."""

    date: str
    task: str
    subject: Subject
    about: dict[str, str]
    layout: str = ""  # of the data set: a key of cxr.learning.datasets.LAYOUTS
    evaluations: tuple[Result, ...] = ()
    reliability: tuple[Reliability, ...] = ()
    populations: tuple[Population, ...] = ()
    dark_maps: tuple[DarkMaps, ...] = ()
    controls: tuple[Control, ...] = ()

    def as_controls(self) -> tuple[Control, ...]:
        """This report as that of a control, for the card of the model that it is a control of."""
        return tuple(
            Control(result.name, result.films, result.patients, result.mean_auroc, _accuracy(result))
            for result in self.evaluations
        )

    @classmethod
    def read(cls, file: Path) -> "Measured":
        """Of `report.json`. Raises TrainingDataError when it is none, or of another schema."""
        try:
            raw = json.loads(file.read_text("utf-8"))
            if raw["schema"] != SCHEMA:
                raise TrainingDataError(f"{file} has schema {raw['schema']}, this version reads {SCHEMA}; test again.")
            found: Measured = typed(cls, raw)
            return found
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingDataError(
                f"{file} is no report.json of Model_Training/test.py --out ({type(error).__name__}: {error})."
            ) from error


def _accuracy(result: Result) -> Interval:
    found = [points.all_right for points in result.decisions if result.kind == "multiclass"]
    return found[0] if found else UNDEFINED


def typed(wanted: Any, raw: Any) -> Any:
    """JSON as a value of the type `wanted`: dataclasses (unknown keys are left out), tuples, dicts, null as NaN.

    Raises KeyError, TypeError or AttributeError when the JSON has another shape.
    """
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if dataclasses.is_dataclass(wanted):
        hints = typing.get_type_hints(wanted)
        return wanted(**{name: typed(hint, raw[name]) for name, hint in hints.items() if name in raw})  # type: ignore[operator]
    if origin is tuple:
        return tuple(typed(inner[0], each) for each in raw)
    if origin is dict:
        return {key: typed(inner[1], value) for key, value in raw.items()}
    if origin is types.UnionType:  # T | None
        return None if raw is None else typed(inner[0], raw)
    if wanted is float:
        return math.nan if raw is None else float(raw)
    if wanted is Any or isinstance(raw, wanted):
        return raw
    raise TypeError(f"{raw!r} is no {wanted.__name__}")


def plain(value: Any, digits: int | None = None) -> Any:
    """Dataclasses as JSON holds them: NaN becomes null; with `digits` floats are rounded to so many decimals."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name), digits) for each in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(inner, digits) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, digits) for inner in value]
    if isinstance(value, float):
        return None if math.isnan(value) else value if digits is None else round(value, digits)
    return value
