"""Logits become probabilities, and probabilities get operating points: both found on validation films."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.errors import TrainingDataError
from cxr.metrics import fit_platt, fit_temperature, operating_thresholds, sensitivity_specificity
from cxr.modelfile import OperatingPoint, Platt, apply_calibration

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Calibration:
    """Scaling of the logits, and sets of operating points by name."""

    platt: dict[str, Platt]
    operating_points: dict[str, dict[str, OperatingPoint]]  # set name -> label -> point
    kind: str = "multilabel"

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits (N, K) in the order of the labels -> calibrated probabilities (N, K)."""
        return apply_calibration(logits, self.platt.values(), self.kind)


def calibrate(
    logits: NDArray[np.float32], truth: NDArray[np.float32], labels: Labels, kind: str = "multilabel"
) -> Calibration:
    """Fit to validation logits (N, K) and labels (N, K) of a task of `kind`.

    The operating points of a class among several are those of the class against all others.

    Raises:
        TrainingDataError: a label without both classes, for which nothing can be found.
    """
    for k, label in enumerate(labels):
        if not {0.0, 1.0} <= set(truth[:, k]):
            raise TrainingDataError(
                f"The validation films are all alike in {label}, so it has no operating point; raise --val-share."
            )
    platt = dict(zip(labels, _FITS[kind](logits, truth), strict=True))
    probabilities = Calibration(platt, {}, kind).probabilities(logits)
    return Calibration(platt, _operating_points(probabilities, truth, labels), kind)


def _platt_of_each(logits: NDArray[np.float32], truth: NDArray[np.float32]) -> list[Platt]:
    return [Platt(*fit_platt(logits[:, k], truth[:, k])) for k in range(truth.shape[1])]


def _one_temperature(logits: NDArray[np.float32], truth: NDArray[np.float32]) -> list[Platt]:
    return [Platt(fit_temperature(logits, truth), 0.0)] * truth.shape[1]


_FITS: dict[str, Callable[[NDArray[np.float32], NDArray[np.float32]], list[Platt]]] = {
    "multilabel": _platt_of_each,
    "multiclass": _one_temperature,
}


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
