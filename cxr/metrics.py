"""How good answers are. numpy only; a figure that is undefined (one class absent) is NaN.

`scores` and `labels` are (N,) unless said; labels are 1, 0, or NaN where not known.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def auroc(scores: Array, labels: Array) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney U); ties count half. NaN when a class is absent."""
    known = ~np.isnan(labels)
    scores, positive = scores[known], labels[known] == 1
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    if not n_pos or not n_neg:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # mean rank of tied scores, from 1
    return float((ranks[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def aurocs(scores: Array, labels: Array) -> NDArray[np.float64]:
    """(N, K), (N, K) -> (K,)."""
    return np.array([auroc(scores[:, k], labels[:, k]) for k in range(labels.shape[1])])


def mean_auroc(scores: Array, labels: Array) -> float:
    """Mean over the labels whose AUROC is defined; NaN when none is."""
    each = aurocs(scores, labels)
    return float(np.nanmean(each)) if not np.isnan(each).all() else float("nan")


def bootstrap(
    figure: Callable[[Array, Array], float],
    scores: Array,
    labels: Array,
    patients: NDArray[np.str_],
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """95 % percentile interval of `figure(scores, labels)`, patients drawn with replacement with all their films."""
    _, patient = np.unique(patients, return_inverse=True)
    films = _rows_of(patient)
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        chosen = random.integers(0, len(films), len(films))
        rows = np.concatenate([films[p] for p in chosen])
        drawn.append(figure(scores[rows], labels[rows]))
    low, high = np.nanpercentile(drawn, [2.5, 97.5]) if not np.isnan(drawn).all() else (np.nan, np.nan)
    return Interval(figure(scores, labels), float(low), float(high))


def _rows_of(group: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Row numbers of each group 0..G-1."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.cumsum(np.bincount(group))[:-1])


def sigmoid(logits: Array) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) without overflow."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(logits, np.float64)))


def fit_platt(logits: Array, labels: Array, steps: int = 100) -> tuple[float, float]:
    """(slope, intercept) of Platt scaling by Newton's method, with Platt's smoothed targets (Platt 1999, sec. 2.2).

    The identity (1, 0) when a class is absent: there is nothing to fit.
    """
    known = ~np.isnan(labels)
    x, y = np.asarray(logits[known], np.float64), labels[known] == 1
    n_pos, n_neg = int(y.sum()), int((~y).sum())
    if not n_pos or not n_neg:
        return 1.0, 0.0
    target = np.where(y, (n_pos + 1) / (n_pos + 2), 1 / (n_neg + 2))
    design = np.stack([x, np.ones_like(x)], axis=1)
    beta = np.array([1.0, np.log(n_pos / n_neg) - x.mean()])
    for _ in range(steps):
        p = sigmoid(design @ beta)
        gradient = design.T @ (p - target)
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        # A Newton step far from the optimum can overshoot; a bounded one cannot run away.
        step *= min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))
        beta -= step
        if np.abs(step).max() < 1e-9:
            break
    return float(beta[0]), float(beta[1])


def expected_calibration_error(probabilities: Array, labels: Array, bins: int = 15) -> float:
    """ECE over equal-width bins (Guo et al. 2017, eq. 3). NaN without labels."""
    known = ~np.isnan(labels)
    p, y = probabilities[known], labels[known]
    if not len(p):
        return float("nan")
    bin_of = np.minimum((p * bins).astype(int), bins - 1)
    gaps = np.abs(np.bincount(bin_of, p, bins) - np.bincount(bin_of, y, bins))
    return float(gaps.sum() / len(p))


def brier(probabilities: Array, labels: Array) -> float:
    """Mean squared difference of probability and label. NaN without labels."""
    known = ~np.isnan(labels)
    return float(np.mean((probabilities[known] - labels[known]) ** 2)) if known.any() else float("nan")


def sensitivity_specificity(probabilities: Array, labels: Array, threshold: float) -> tuple[float, float]:
    """Shares of positive films at or above, and of negative films below the threshold. NaN for an absent class."""
    positive, negative = labels == 1, labels == 0
    above = probabilities >= threshold
    sensitivity = above[positive].mean() if positive.any() else np.nan
    specificity = (~above)[negative].mean() if negative.any() else np.nan
    return float(sensitivity), float(specificity)


def operating_thresholds(probabilities: Array, labels: Array) -> dict[str, float]:
    """Thresholds of three operating points: Youden's J, sensitivity 0.90 and specificity 0.90 at least.

    All NaN when a class is absent.
    """
    positive, negative = np.sort(probabilities[labels == 1]), np.sort(probabilities[labels == 0])
    if not len(positive) or not len(negative):
        return dict.fromkeys(("youden", "sensitivity90", "specificity90"), float("nan"))
    # Midway between neighbouring scores, so that rounding in another runtime does not move a film across.
    steps = np.unique(np.concatenate([positive, negative]))
    candidates = np.concatenate([steps[:1], (steps[1:] + steps[:-1]) / 2])
    sensitivity = 1 - np.searchsorted(positive, candidates, "left") / len(positive)
    specificity = np.searchsorted(negative, candidates, "left") / len(negative)
    specific = np.flatnonzero(specificity >= 0.9)
    return {
        "youden": float(candidates[np.argmax(sensitivity + specificity)]),
        "sensitivity90": float(candidates[np.flatnonzero(sensitivity >= 0.9)[-1]]),
        "specificity90": float(candidates[specific[0]]) if len(specific) else float(candidates[-1]),
    }
