"""The evaluation as one HTML file that needs nothing beside it: no script, no font, no picture from elsewhere."""

import base64
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cxr import charts
from cxr.cards.measured import SCHEMA, DarkMaps, Population, Subject, plain
from cxr.charts import Frame, Range, Series
from cxr.errors import TrainingDataError
from cxr.learning.evaluation import write
from cxr.learning.figures import Calibration, Curve, Evaluation, LabelFigures
from cxr.learning.reliability import LabelReliability, Reliability, bins_csv, calibration_csv, to_text
from cxr.metrics import Interval

TEMPLATES = Path(__file__).parents[2] / "templates"
SMALL = Frame(192, 172, left=44)
WIDE = Frame(380, 210, left=60)
NOT_TRAINING = {"epoch", "step", "films_s", "waiting"}  # of metrics.jsonl: what is no figure of the model
READABLE = {
    "youden": "Youden's J",
    "sensitivity90": "sensitivity of 0.90",
    "specificity90": "specificity of 0.90",
    "arg max": "the likeliest class",
    "val_auc": "validation AUROC",
    "lr": "learning rate",
}


@dataclass(frozen=True)
class GalleryFilm:
    """A film, with its heat map drawn over it."""

    png: bytes
    caption: str
    heading: str = ""  # films of one heading stand together, e.g. "False alarms"


@dataclass(frozen=True)
class TrainingCurve:
    """One figure of `metrics.jsonl`, epoch by epoch."""

    name: str
    epochs: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class EvaluationReport:
    """What goes into the report. The first evaluation is the internal one, others stand beside it."""

    title: str
    evaluations: tuple[Evaluation, ...]
    about: Mapping[str, str] = field(default_factory=dict)  # model, data, command ...: shown as they are
    training: tuple[TrainingCurve, ...] = ()
    gallery: tuple[GalleryFilm, ...] = ()
    reliability: tuple[Reliability, ...] = ()
    task: str = ""
    subject: Subject = field(default_factory=Subject)
    layout: str = ""  # of the data set
    populations: tuple[Population, ...] = ()
    dark_maps: tuple[DarkMaps, ...] = ()

    def to_json(self) -> str:
        """All that was measured, in one file: what a model card is made from."""
        parts = {name: plain(value) for name, value in vars(self).items() if name not in ("training", "gallery")}
        today = datetime.now(UTC).date().isoformat()
        return json.dumps({"schema": SCHEMA, "date": today, **parts}, indent=1, allow_nan=False)


@dataclass(frozen=True)
class LabelRow:
    """One label in all evaluations, with its charts."""

    label: str
    figures: tuple[LabelFigures | None, ...]  # None where an evaluation has no such label
    roc: Markup
    precision_recall: Markup
    calibration: Markup

    @property
    def areas(self) -> list[Interval | None]:
        return [f.auroc if f else None for f in self.figures]


def write_report(report: EvaluationReport, folder: Path) -> Path:
    """`report.html`, `report.json`, and text, JSON and CSV of each evaluation (`evaluation.*`, `evaluation-<name>.*`)
    and of the calibration.
    """
    for number, evaluation in enumerate(report.evaluations):
        write(evaluation, folder, f"evaluation-{file_name(evaluation.name)}" if number else "evaluation")
    if report.reliability:
        (folder / "calibration.txt").write_text("\n\n".join(map(to_text, report.reliability)) + "\n")
        (folder / "calibration.csv").write_text(calibration_csv(report.reliability))
        (folder / "interval-bins.csv").write_text(bins_csv(report.reliability))
    (folder / "report.json").write_text(report.to_json() + "\n")
    file = folder / "report.html"
    unfinished = file.with_suffix(f".{os.getpid()}.html")
    unfinished.write_text(render(report))
    unfinished.replace(file)
    return file


def render(report: EvaluationReport) -> str:
    """The HTML text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"title": readable, "figure": _figure, "number": _number, "data_uri": _data_uri}
    span = _common_range(report.evaluations)
    return environment.get_template("evaluation.html").render(
        report=report,
        rows=label_rows(report.evaluations),
        span=span,
        reliability_chart=reliability_chart,
        charts=charts,
        training=[training_chart(curve) for curve in report.training],
        gallery=_by_heading(report.gallery),
    )


def _common_range(evaluations: Sequence[Evaluation]) -> Range:
    """One scale for all AUROCs of the report."""
    areas = [f.auroc for e in evaluations for f in e.labels]
    return charts.common_range(areas + [group.mean_auroc for e in evaluations for group in e.subgroups])


def label_rows(evaluations: Sequence[Evaluation]) -> list[LabelRow]:
    """Each label of any evaluation, in the order of their first appearance."""
    by_label = [{f.label: f for f in evaluation.labels} for evaluation in evaluations]
    names = [evaluation.name for evaluation in evaluations]
    return [
        _label_row(label, tuple(known.get(label) for known in by_label), names)
        for label in dict.fromkeys(label for known in by_label for label in known)
    ]


def _label_row(label: str, figures: tuple[LabelFigures | None, ...], names: Sequence[str]) -> LabelRow:
    known = [(tone, f) for tone, f in enumerate(figures) if f is not None]

    def series(of: Callable[[LabelFigures], Curve]) -> list[Series]:
        return [Series(names[tone], of(f).x, of(f).y, tone) for tone, f in known if of(f).x]

    return LabelRow(
        label=label,
        figures=figures,
        roc=_small(f"ROC curve of {label}", series(lambda f: f.roc), "1 - specificity", "sensitivity", _DIAGONAL),
        precision_recall=_small(
            f"Precision of {label}", series(lambda f: f.precision_recall), "recall", "precision", _chance(figures)
        ),
        calibration=_calibration_chart(label, [_calibration(names[tone], f.calibration, tone) for tone, f in known]),
    )


_DIAGONAL = Series("chance", (0.0, 1.0), (0.0, 1.0))


def _chance(figures: Sequence[LabelFigures | None]) -> Series | None:
    """The precision of scores drawn by lot: the share of positive films in the first set."""
    first = figures[0]
    return Series("chance", (0.0, 1.0), (first.prevalence,) * 2) if first and first.positives else None


def _small(title: str, series: Sequence[Series], x_label: str, y_label: str, reference: Series | None) -> Markup:
    if not series:
        return Markup('<p class="undefined">undefined: one class is absent</p>')
    return charts.line_chart(series, SMALL, title, x_label, y_label, reference)


def _calibration(name: str, found: Calibration, tone: int) -> Series:
    """A dot for each bin; ten times the films make its radius one pixel larger."""
    return Series(name, found.curve.x, found.curve.y, tone, tuple(1 + math.log10(count) for count in found.films))


def _calibration_chart(label: str, series: Sequence[Series]) -> Markup:
    """Both axes end where the highest bin of any set ends, so that rare findings are not a heap in one corner."""
    if not any(one.x for one in series):
        return Markup('<p class="undefined">undefined: the scores are no probabilities</p>')
    top = charts.value_range([0.0, *(value for one in series for value in (*one.x, *one.y))])[1]
    frame = replace(SMALL, x_range=(0.0, top), y_range=(0.0, top))
    reference = Series("perfect", (0.0, top), (0.0, top))
    return charts.line_chart(series, frame, f"Calibration of {label}", "probability", "share positive", reference)


def reliability_chart(figures: LabelReliability) -> Markup:
    """Reliability diagram of one label: after calibration in the first tone, before it in the second."""
    after, before = _calibration("after", figures.after, 0), _calibration("before", figures.before, 1)
    return _calibration_chart(figures.label, [after, before])


def training_chart(curve: TrainingCurve) -> Markup:
    """One figure over the epochs."""
    kept = [(e, v) for e, v in zip(curve.epochs, curve.values, strict=True) if math.isfinite(v)]
    epochs, values = tuple(e for e, _ in kept), tuple(v for _, v in kept)
    first, last = min(curve.epochs), max(curve.epochs)
    x_range = (first, max(last, first + 5))  # so that ticks are whole epochs
    frame = replace(WIDE, x_range=x_range, y_range=charts.value_range(values))
    series = Series(curve.name, epochs, values, radii=(2.2,) * len(values))
    return charts.line_chart([series], frame, f"{curve.name} by epoch", "epoch", readable(curve.name))


def read_training_curves(file: Path) -> tuple[TrainingCurve, ...]:
    """Each numeric figure of a run's `metrics.jsonl`. An epoch that a resumed run wrote again counts once, the last.

    Raises:
        TrainingDataError: a line is not JSON, or has no epoch.
    """
    try:
        epochs = {line["epoch"]: line for line in map(json.loads, file.read_text().splitlines())}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingDataError(f"{file.name} has no training curves ({error}); give the one of a run.") from error
    lines = [epochs[epoch] for epoch in sorted(epochs)]
    names = dict.fromkeys(name for line in lines for name, v in line.items() if isinstance(v, int | float))
    return tuple(_training_curve(name, lines) for name in names if name not in NOT_TRAINING)


def _training_curve(name: str, lines: Sequence[Mapping[str, float]]) -> TrainingCurve:
    there = [line for line in lines if isinstance(line.get(name), int | float)]
    return TrainingCurve(name, tuple(line["epoch"] for line in there), tuple(line[name] for line in there))


def readable(name: str) -> str:
    """`Pleural_Thickening` -> `Pleural Thickening`; `sensitivity90` -> `Sensitivity of 0.90`."""
    text = READABLE.get(name, name.replace("_", " "))
    return text[:1].upper() + text[1:]


def file_name(name: str) -> str:
    """Only letters, digits and dashes: the name of an evaluation may be anything."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in name.lower()).split()) or "other"


def _by_heading(gallery: Sequence[GalleryFilm]) -> dict[str, list[GalleryFilm]]:
    headings = dict.fromkeys(film.heading for film in gallery)
    return {heading: [film for film in gallery if film.heading == heading] for heading in headings}


def _figure(interval: Interval, why: str = "one class is absent") -> Markup:
    """0.812 with 0.790 to 0.834 set small beside it."""
    if math.isnan(interval.value):
        return Markup('<span class="undefined" title="undefined: {}">undefined</span>').format(why)
    bounds = "no interval" if math.isnan(interval.low) else f"{interval.low:.3f} to {interval.high:.3f}"
    return Markup("{:.3f} <small>{}</small>").format(interval.value, bounds)


def _number(value: float, digits: int = 3) -> Markup:
    if math.isnan(value):
        return Markup('<span class="undefined">undefined</span>')
    return Markup("{}").format(f"{value:.{digits}f}")


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
