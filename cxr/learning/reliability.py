"""What calibration did: probabilities held against what was the case, before it and after, with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.errors import TrainingDataError
from cxr.learning.calibration import MODEL_FITS, Calibration, Fits, calibrate, halves
from cxr.learning.evaluation import calibration_figures
from cxr.learning.figures import Calibration as CalibrationFigures
from cxr.learning.figures import csv_text, numbers
from cxr.learning.tables import FilmTable
from cxr.metrics import Array, Interval, bootstrap_draws, interval, mean_defined, share
from cxr.modelfile import KINDS
from cxr.uncertainty import IntervalBin, interval_bins

UNDEFINED = CalibrationFigures.undefined()


@dataclass(frozen=True)
class Answers:
    """Calibrated probabilities of N films, and their 95 % intervals; NaN where there are none."""

    probabilities: NDArray[np.float64]  # (N, K)
    ends: NDArray[np.float64]  # (N, K, 2)

    @classmethod
    def of(cls, calibration: Calibration, logits: NDArray[np.float32]) -> "Answers":
        """Logits (N, K); the columns of labels that are not calibrated are NaN."""
        probabilities, ends = calibration.probabilities(logits), calibration.intervals(logits)
        probabilities[:, [label in calibration.uncalibrated for label in calibration.labels]] = np.nan
        return cls(probabilities, ends)


@dataclass(frozen=True)
class LabelReliability:
    """One label, on the films that have a calibrated probability (on all, where none has)."""

    label: str
    films: int
    positives: int
    before: CalibrationFigures  # of the network's own sigmoid or softmax
    after: CalibrationFigures
    brier_gain: Interval  # Brier score before less after, over patients: above 0 calibration has made it better
    bins: tuple[IntervalBin, ...]  # five of equally many films, least probable first; none without intervals


@dataclass(frozen=True)
class MeanErrors:
    """Means over the labels that are calibrated."""

    ece: float
    brier: float


@dataclass(frozen=True)
class Reliability:
    """All labels on one set of films."""

    name: str
    films: int
    patients: int
    labels: tuple[LabelReliability, ...]
    mean_before: MeanErrors
    mean_after: MeanErrors


def held_out(logits: NDArray[np.float32], table: FilmTable, kind: str, fits: Fits = MODEL_FITS) -> Answers:
    """Each half of the patients by a calibration of the other half, intervals too.

    Labels that do not depend on one another are halved one by one, so that each is shared out evenly. A half that lacks
    a class of a label calibrates nothing of it.
    """
    count = logits.shape[1]
    found = Answers(np.full((len(table), count), np.nan), np.full((len(table), count, 2), np.nan))
    for labels in [list(range(count))] if kind == "multiclass" else [[k] for k in range(count)]:
        names, truth = tuple(table.label_names[k] for k in labels), table.labels[:, labels]
        half = halves(table.patients, truth)
        for held in (half == 0, half == 1):
            try:
                made = calibrate(logits[~held][:, labels], truth[~held], names, kind, table.patients[~held], fits)
            except TrainingDataError:
                continue
            told = Answers.of(made, logits[held][:, labels])
            found.probabilities[np.ix_(held, labels)] = told.probabilities
            found.ends[np.ix_(held, labels)] = told.ends
    return found


def reliability(
    name: str, logits: NDArray[np.float32], answers: Answers, table: FilmTable, kind: str, draws: int = 1000
) -> Reliability:
    """Logits (N, K) and calibrated answers against the table's labels."""
    before = KINDS[kind](logits)
    labels = tuple(
        _of_label(label, before[:, k], answers.probabilities[:, k], answers.ends[:, k], table, k, draws)
        for k, label in enumerate(table.label_names)
    )
    calibrated = [each for each in labels if not np.isnan(each.after.ece)]
    return Reliability(
        name,
        len(table),
        len(np.unique(table.patients)),
        labels,
        _mean([each.before for each in calibrated]),
        _mean([each.after for each in calibrated]),
    )


def _of_label(
    label: str, before: Array, after: Array, ends: Array, table: FilmTable, k: int, draws: int
) -> LabelReliability:
    truth = np.asarray(table.labels[:, k], np.float64)
    known = ~np.isnan(truth)
    rows = np.flatnonzero(known & ~np.isnan(after))
    if not len(rows):
        there = np.flatnonzero(known)
        figures = calibration_figures(before[there], truth[there]) if len(there) else UNDEFINED
        nothing = Interval(float("nan"), float("nan"), float("nan"))
        return LabelReliability(label, len(there), int(truth[there].sum()), figures, UNDEFINED, nothing, ())
    p, q, y = before[rows], after[rows], truth[rows]
    return LabelReliability(
        label,
        len(rows),
        int(y.sum()),
        calibration_figures(p, y),
        calibration_figures(q, y),
        _gain((p - y) ** 2 - (q - y) ** 2, table.patients[rows], draws),
        () if np.isnan(ends[rows]).any() else interval_bins(q, ends[rows], y),
    )


def _gain(differences: Array, patients: NDArray[np.str_], draws: int) -> Interval:
    """Mean of (N,) differences, with its interval over patients."""
    drawn = bootstrap_draws(lambda weights: share(weights @ differences, weights.sum(axis=1)), patients, draws)
    return interval(float(differences.mean()), drawn)


def _mean(figures: Sequence[CalibrationFigures]) -> MeanErrors:
    table = np.array([[one.ece, one.brier] for one in figures]).reshape(-1, 2)
    ece, squared = mean_defined(table.T)
    return MeanErrors(float(ece), float(squared))


def to_text(found: Reliability) -> str:
    """A table for people."""
    head = f"{'ECE before':>36}{'after':>11}{'Brier before':>14}{'after':>8}{'gain':>11}  bins of five: agree, hold"
    lines = [f"calibration, {found.name}: {found.films} films of {found.patients} patients", "", head]
    for each in found.labels:
        errors = numbers((each.before.ece, each.after.ece, each.before.brier, each.after.brier, each.brier_gain.value))
        agree, hold = (sum(getattr(one, what) for one in each.bins) for what in ("agrees", "holds"))
        bins = f"{agree} {hold}" if each.bins else "no intervals"
        lines.append(f"{each.label:20} {each.positives:4d}{errors}  {bins}")
    before, after = found.mean_before, found.mean_after
    return "\n".join([*lines, "", f"{'mean':25}{numbers((before.ece, after.ece, before.brier, after.brier))}"])


def calibration_csv(found: Sequence[Reliability]) -> str:
    """One row a set of films and label."""
    head = ["set", "label", "films", "positives", "ece_before", "ece_after", "brier_before", "brier_after"]
    rows: list[Sequence[object]] = [[*head, "brier_gain", "brier_gain_low", "brier_gain_high"]]
    for one in found:
        for f in one.labels:
            errors = (f.before.ece, f.after.ece, f.before.brier, f.after.brier)
            gain = (f.brier_gain.value, f.brier_gain.low, f.brier_gain.high)
            rows.append([one.name, f.label, f.films, f.positives, *errors, *gain])
    return csv_text(rows)


def bins_csv(found: Sequence[Reliability]) -> str:
    """One row a bin."""
    names = list(IntervalBin.__annotations__)
    rows: list[Sequence[object]] = [["set", "label", "bin", *names]]
    for one in found:
        for f in one.labels:
            rows += [[one.name, f.label, n, *(getattr(b, name) for name in names)] for n, b in enumerate(f.bins, 1)]
    return csv_text(rows)
