"""Logits become probabilities, and probabilities get operating points and intervals: all found on labelled films."""

from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cxr.errors import TrainingDataError
from cxr.metrics import bootstrap_draws, operating_thresholds, sensitivity_specificity
from cxr.modelfile import KINDS, OperatingPoint, Platt, Resampled, apply_calibration, drawn_logits, draws_of, scaling_of
from cxr.scaling import Fit, one_temperature, platt_of_each, temperature_and_shifts
from cxr.uncertainty import DRAWS, intervals

T = TypeVar("T")
Labels = tuple[str, ...]
FILMS_AT_ONCE = 1000  # of which all draws are held in memory
BETTER = 0.02
DIGITS = 5  # significant ones of what is stored of each draw: a probability moves by less than 0.0001
Fits = dict[str, tuple[Fit, ...]]  # kind of task -> what may be fitted
# A temperature alone leaves the classes the shares that the model has learned, which are others than those of the films
# where its training weighed the classes alike.
MODEL_FITS: Fits = {"multilabel": (platt_of_each,), "multiclass": (one_temperature, temperature_and_shifts)}
# A site has other shares than the model has learned in any case.
SITE_FITS: Fits = {"multilabel": (platt_of_each,), "multiclass": (temperature_and_shifts,)}


@dataclass(frozen=True)
class Calibration:
    """Scaling of the logits, and sets of operating points by name; neither for a label that could not be calibrated."""

    labels: Labels
    platt: dict[str, Platt]
    operating_points: dict[str, dict[str, OperatingPoint]]  # set name -> label -> point
    kind: str = "multilabel"
    resampled: dict[str, Resampled] = field(default_factory=dict)  # empty: the patients were not told

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits (N, K) in the order of the labels -> probabilities (N, K), calibrated where that could be done."""
        return apply_calibration(logits, scaling_of(self.labels, self.platt), self.kind)

    def intervals(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits (N, K) -> low and high (N, K, 2) of the 95 % intervals; NaN where a label has no draws."""
        draws = draws_of(self)
        if draws is None:
            return np.full((*logits.shape, 2), np.nan)
        kind, parts = KINDS[self.kind], np.array_split(logits, max(1, len(logits) // FILMS_AT_ONCE))
        ends = [intervals(kind(drawn_logits(part, draws)), self.probabilities(part)) for part in parts]
        return np.concatenate(ends)

    @property
    def uncalibrated(self) -> Labels:
        return tuple(label for label in self.labels if label not in self.platt)

    @property
    def inverted(self) -> Labels:
        """Labels of which a higher logit would mean a lower probability, against what the heat maps say."""
        return tuple(label for label, platt in self.platt.items() if platt.slope <= 0)

    def without(self, labels: Labels) -> "Calibration":
        """The same with these labels uncalibrated; those of a multilabel model do not depend on one another."""

        def others(by_label: dict[str, T]) -> dict[str, T]:
            return {label: each for label, each in by_label.items() if label not in labels}

        return replace(
            self,
            platt=others(self.platt),
            operating_points={name: others(points) for name, points in self.operating_points.items()},
            resampled=others(self.resampled),
        )


def calibrate(
    logits: NDArray[np.float32],
    truth: NDArray[np.float32],
    labels: Labels,
    kind: str = "multilabel",
    patients: NDArray[np.str_] | None = None,
    fits: Fits = MODEL_FITS,
) -> Calibration:
    """Fit to logits (N, K) and labels (N, K) of films of a task of `kind`; with `patients` (N,) intervals too.

    Of several fits for its kind the one is taken that suits held-out patients best; without patients the first. The
    operating points of a class among several are those of the class against all others. For the intervals the
    scaling is fitted anew to DRAWS resamples of the patients, each with all its films. A label in which the films are
    all alike stays uncalibrated.

    Raises:
        TrainingDataError: the films are all alike in every label, or in one of several classes, which go together.
    """
    chosen = [k for k in range(len(labels)) if {0.0, 1.0} <= set(truth[:, k])]
    found, logits, truth = tuple(labels[k] for k in chosen), logits[:, chosen], truth[:, chosen]
    if not found or (kind == "multiclass" and found != labels):
        alike = ", ".join(label for label in labels if label not in found)
        raise TrainingDataError(
            f"The validation films are all alike in {alike}, so nothing can be calibrated; raise --val-share."
        )
    fit = _best(fits[kind], logits, truth, kind, patients)
    pairs = fit(logits, truth, np.ones((1, len(truth))))[0]  # (K, 2)
    platt = {label: Platt(float(slope), float(shift)) for label, (slope, shift) in zip(found, pairs, strict=True)}
    probabilities = apply_calibration(logits, platt.values(), kind)
    resampled = {} if patients is None else _resampled(fit, logits, truth, found, patients)
    return Calibration(labels, platt, _operating_points(probabilities, truth, found), kind, resampled)


def _best(
    fits: tuple[Fit, ...],
    logits: NDArray[np.float32],
    truth: NDArray[np.float32],
    kind: str,
    patients: NDArray[np.str_] | None,
) -> Fit:
    """The fit that, made on each half of the patients, has the least Brier score on the other half.

    The first, with the least freedom, unless another is better by the share BETTER.
    """
    if len(fits) == 1 or patients is None:
        return fits[0]
    squares = [(out_of_fold(logits, truth, kind, patients, fit) - truth) ** 2 for fit in fits]
    errors = [float(np.mean(found, where=~np.isnan(found))) if not np.isnan(found).all() else 0.0 for found in squares]
    best = int(np.argmin(errors))
    return fits[best] if errors[best] < (1 - BETTER) * errors[0] else fits[0]


def _resampled(
    fit: Fit, logits: NDArray[np.float32], truth: NDArray[np.float32], labels: Labels, patients: NDArray[np.str_]
) -> dict[str, Resampled]:
    drawn = bootstrap_draws(lambda weights: fit(logits, truth, weights), patients, DRAWS)  # (D, K, 2)
    rounded = [[(_rounded(slope), _rounded(shift)) for slope, shift in pairs] for pairs in drawn.transpose(1, 0, 2)]
    return {label: tuple(pairs) for label, pairs in zip(labels, rounded, strict=True)}


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def _operating_points(
    probabilities: NDArray[np.float64], truth: NDArray[np.float32], labels: Labels
) -> dict[str, dict[str, OperatingPoint]]:
    sets: dict[str, dict[str, OperatingPoint]] = {}
    for k, label in enumerate(labels):
        positives = int((truth[:, k] == 1).sum())
        for name, threshold in operating_thresholds(probabilities[:, k], truth[:, k]).items():
            reached = sensitivity_specificity(probabilities[:, k], truth[:, k], threshold)
            sets.setdefault(name, {})[label] = OperatingPoint(threshold, *reached, positives)
    return sets


def out_of_fold(
    logits: NDArray[np.float32],
    truth: NDArray[np.float32],
    kind: str,
    patients: NDArray[np.str_],
    fit: Fit = platt_of_each,
) -> NDArray[np.float64]:
    """Probabilities (N, K) of each half of the patients by a calibration of the other half; NaN where that has none.

    Logits and labels are (N, K). A half that lacks a class of one label cannot be calibrated.
    """
    half = halves(patients, truth)
    probabilities = np.full(truth.shape, np.nan)
    for held in (0, 1):
        x, y = logits[half != held], truth[half != held]
        if (y == 1).any(axis=0).all() and (y == 0).any(axis=0).all():
            pairs = fit(x, y, np.ones((1, len(y))))[0]
            rows = half == held
            probabilities[rows] = apply_calibration(logits[rows], [Platt(*pair) for pair in pairs.tolist()], kind)
    return probabilities


def halves(patients: NDArray[np.str_], truth: NDArray[np.float32], seed: int = 0) -> NDArray[np.intp]:
    """(N,): 0 or 1 for each film, alike for all films of a patient; each class is shared out between the halves."""
    _, patient = np.unique(patients, return_inverse=True)
    finding = np.where(np.nan_to_num(truth) == 1, np.arange(1, truth.shape[1] + 1), 0).max(axis=1)  # 0: none
    stratum = np.zeros(int(patient.max()) + 1, np.intp)
    np.maximum.at(stratum, patient, finding)
    order = np.lexsort((np.random.default_rng(seed).random(len(stratum)), stratum))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place[patient] % 2


def patients_of_each(truth: NDArray[np.float32], patients: NDArray[np.str_]) -> NDArray[np.intp]:
    """(K, 2): patients with a film that has the label, and with one that does not."""
    counts = [[len(np.unique(patients[truth[:, k] == value])) for value in (1, 0)] for k in range(truth.shape[1])]
    return np.array(counts)
