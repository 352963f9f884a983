"""What an evaluation found: frozen, and written as text for people, JSON and CSV for programs."""

import csv
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

import numpy as np

from cxr.metrics import RATES, Interval

UNDEFINED = Interval(float("nan"), float("nan"), float("nan"))
IOU_LEVELS = ("0.1", "0.3", "0.5")


@dataclass(frozen=True)
class Curve:
    """Points of a line, in the order in which it is drawn."""

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Calibration:
    """How far probabilities can be taken at their word. All NaN and empty where scores are not probabilities."""

    brier: float
    ece: float
    curve: Curve  # mean probability and share of positive films of each bin
    films: tuple[int, ...]  # of each bin

    @classmethod
    def undefined(cls) -> "Calibration":
        return cls(float("nan"), float("nan"), Curve((), ()), ())


@dataclass(frozen=True)
class LabelFigures:
    """One label's figures."""

    label: str
    positives: int
    auroc: Interval
    negatives: int
    average_precision: Interval
    calibration: Calibration
    roc: Curve  # false positive rate, true positive rate
    precision_recall: Curve  # recall, precision

    @property
    def prevalence(self) -> float:
        """Share of positive films: the average precision of scores drawn by lot."""
        known = self.positives + self.negatives
        return self.positives / known if known else float("nan")


@dataclass(frozen=True)
class Rates:
    """What films above and below a threshold are worth."""

    accuracy: Interval
    precision: Interval
    recall: Interval  # sensitivity
    specificity: Interval
    f1: Interval


@dataclass(frozen=True)
class LabelDecisions:
    """One label at its threshold, here and on the validation films where the threshold was found."""

    label: str
    threshold: float  # NaN for the arg max, and where validation films had only one class
    validation_sensitivity: float
    validation_specificity: float
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    rates: Rates

    @property
    def positives(self) -> int:
        return self.true_positives + self.false_negatives


@dataclass(frozen=True)
class Decisions:
    """All labels at one set of operating points, or by arg max."""

    name: str
    labels: tuple[LabelDecisions, ...]
    micro: Rates  # all decisions in one pot
    macro: Rates  # mean over the labels where a rate is defined
    all_right: Interval  # share of films with every known label right; the accuracy of a multiclass task


@dataclass(frozen=True)
class Subgroup:
    """AUROC among the films of one sex, age band or view position."""

    attribute: str
    value: str
    films: int
    patients: int
    mean_auroc: Interval  # over `defined` labels: two subgroups may differ in which
    defined: int
    aurocs: dict[str, Interval]


@dataclass(frozen=True)
class LocalisationFigures:
    """How well the maps of one label, or of all, find the boxes that people drew."""

    label: str
    boxes: int
    pointing: Interval  # share of boxes that hold the map's peak
    centre: Interval  # share of boxes that hold the film's centre: what knowing nothing would score
    gain: Interval  # pointing less centre, box by box
    iou: dict[str, Interval]  # share of boxes met with an overlap of at least 0.1, 0.3, 0.5


@dataclass(frozen=True)
class Evaluation:
    """All figures of one model on one set of films. Intervals are 95 %, by bootstrap over patients."""

    films: int
    patients: int
    mean_auroc: Interval  # mean over the labels whose AUROC is defined
    labels: tuple[LabelFigures, ...]
    mean_average_precision: Interval
    without_finding: int  # films whose known labels are all negative
    cooccurrence: tuple[tuple[int, ...], ...]  # (K, K) films with both labels; the diagonal is the histogram
    name: str = "test"
    kind: str = "multilabel"
    decisions: tuple[Decisions, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()  # (K, K) true class by answer, of a multiclass task
    subgroups: tuple[Subgroup, ...] = ()
    localisation: tuple[LocalisationFigures, ...] = ()

    def to_text(self) -> str:
        """Tables for people."""
        about = f"{self.name}: {self.films} films of {self.patients} patients; 95 % intervals over patients"
        head = f"{'':20} {'':14}  {'AUROC':32}{'average precision':24}{'Brier':>11}{'ECE':>11}"
        means = f"{show(self.mean_auroc):32}{_short(self.mean_average_precision)}"
        rows = [about, "", head, *(_label_line(f) for f in self.labels), "", f"{'mean':20} {'':14}  {means}"]
        parts = ["\n".join(rows), *(classification_report(d, self.kind) for d in self.decisions)]
        return "\n\n".join([*parts, *([_localisation(self.localisation)] if self.localisation else [])])

    def to_json(self) -> str:
        """JSON; an undefined figure is null."""
        return json.dumps(_null_for_nan(dataclasses.asdict(self)), indent=1, allow_nan=False)

    def labels_csv(self) -> str:
        """One row a label."""
        head = ["label", "positives", "auroc", "low", "high"]
        more = ["negatives", "average_precision", "average_precision_low", "average_precision_high", "brier", "ece"]
        rows: list[Sequence[object]] = [[*head, *more]]
        for f in self.labels:
            areas = [*_three(f.auroc), f.negatives, *_three(f.average_precision)]
            rows.append([f.label, f.positives, *areas, f.calibration.brier, f.calibration.ece])
        rows.append(["mean", "", *_three(self.mean_auroc), "", *_three(self.mean_average_precision), "", ""])
        return csv_text(rows)

    def decisions_csv(self) -> str:
        """One row a label and set of operating points, and the micro and macro rows."""
        head = ["operating_points", "label", "threshold", "tp", "fp", "fn", "tn"]
        rates_head = [f"{rate}{end}" for rate in RATES for end in ("", "_low", "_high")]
        rows: list[Sequence[object]] = [[*head, *rates_head]]
        for one in self.decisions:
            for f in one.labels:
                counts = (f.true_positives, f.false_positives, f.false_negatives, f.true_negatives)
                rows.append([one.name, f.label, f.threshold, *counts, *_flat(f.rates)])
            for name, rates in (("micro", one.micro), ("macro", one.macro)):
                rows.append([one.name, name, *[""] * 5, *_flat(rates)])
        return csv_text(rows)

    def subgroups_csv(self) -> str:
        """One row a subgroup and label, and one for the mean."""
        rows: list[Sequence[object]] = [["attribute", "value", "films", "patients", "label", "auroc", "low", "high"]]
        for group in self.subgroups:
            for label, figure in {"mean": group.mean_auroc, **group.aurocs}.items():
                rows.append([group.attribute, group.value, group.films, group.patients, label, *_three(figure)])
        return csv_text(rows)


def _label_line(f: LabelFigures) -> str:
    errors = numbers((f.calibration.brier, f.calibration.ece))
    return f"{f.label:20} {f.positives:5d} positive  {show(f.auroc):32}{_short(f.average_precision):24}{errors}"


def _localisation(figures: Sequence[LocalisationFigures]) -> str:
    """Shares of the boxes that the maps find, as text."""
    levels = [f"IoU {level}" for level in IOU_LEVELS]
    head = f"{'boxes found by maps':24}{'boxes':>6}  {'peak in the box':24}{'centre in the box':24}{'difference':24}"
    lines = [head + "".join(f"{level:24}" for level in levels)]
    for f in figures:
        shares = (f.pointing, f.centre, f.gain, *(f.iou[level] for level in IOU_LEVELS))
        lines.append(f"{f.label:24}{f.boxes:6d}  " + "".join(f"{_short(share):24}" for share in shares))
    return "\n".join(line.rstrip() for line in lines)


def classification_report(decisions: Decisions, kind: str) -> str:
    """Precision, recall and F1 of each class with micro and macro rows, as text."""
    columns = ("precision", "recall", "f1", "accuracy")
    whole = "accuracy" if kind == "multiclass" else "every label right"
    lines = [f"{decisions.name:24}" + "".join(f"{c:>11}" for c in columns) + f"{'positive':>11}", ""]
    lines += [f"{f.label:24}" + _cells(f.rates, columns) + f"{f.positives:11d}" for f in decisions.labels]
    lines += [
        "",
        f"{'micro':24}" + _cells(decisions.micro, columns),
        f"{'macro':24}" + _cells(decisions.macro, columns),
    ]
    return "\n".join([*lines, f"{whole:24}{show(decisions.all_right, 'no film has a known label')}"])


def show(interval: Interval, why: str = "one class is absent") -> str:
    """0.812 (0.790 to 0.834), or that and why it is undefined."""
    return f"undefined: {why}" if np.isnan(interval.value) else str(interval)


def _short(interval: Interval) -> str:
    return "undefined" if np.isnan(interval.value) else str(interval)


def _cells(rates: Rates, columns: Sequence[str]) -> str:
    return numbers([getattr(rates, column).value for column in columns])


def numbers(values: Sequence[float]) -> str:
    return "".join("  undefined" if np.isnan(value) else f"{value:11.3f}" for value in values)


def _three(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _flat(rates: Rates) -> list[float]:
    return [figure for name in RATES for figure in _three(getattr(rates, name))]


def csv_text(rows: Sequence[Sequence[object]]) -> str:
    """An undefined figure is `nan`."""
    stream = StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def _null_for_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _null_for_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_null_for_nan(inner) for inner in value]
    return None if isinstance(value, float) and np.isnan(value) else value
