"""How sure a calibrated probability is, and whether what is said about it holds. numpy only; shapes as in cxr.metrics.

The interval of a probability comes from refitting the calibration to resampled patients; the network runs once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.metrics import Array, fit_platts, fit_temperatures, softmax

DRAWS = 200  # resamples of the patients
LEVEL = (2.5, 97.5)  # percentiles of a 95 % interval
Z = 1.959964  # the normal distribution's 97.5th percentile

# (logits (N, K), truth (N, K), weights (D, N)) -> (D, K, 2): slope and intercept of each label in each draw
Fit = Callable[[Array, Array, Array], NDArray[np.float64]]


def platt_of_each(logits: Array, truth: Array, weights: Array) -> NDArray[np.float64]:
    """Platt scaling of each label by itself; a Fit. Every label has both classes."""
    fitted = [fit_platts(logits[:, k], truth[:, k], weights) for k in range(truth.shape[1])]
    return np.stack(fitted, axis=1)


def one_temperature(logits: Array, truth: Array, weights: Array) -> NDArray[np.float64]:
    """One slope for all classes and no intercept (Guo et al. 2017); a Fit."""
    slopes = fit_temperatures(logits, truth, weights)
    pairs = np.stack([slopes, np.zeros_like(slopes)], axis=1)
    return np.repeat(pairs[:, None], truth.shape[1], axis=1)


def temperature_and_shifts(logits: Array, truth: Array, weights: Array, steps: int = 100) -> NDArray[np.float64]:
    """One slope for all classes and an intercept of each, which moves with its prevalence; a Fit.

    Bias-corrected temperature scaling (Alexandari et al., ICML 2020, sec. 3), by Newton's method. The targets are
    smoothed as Platt's are, so that films parted without an error have a finite answer. The intercepts add up to 0.
    """
    known = ~np.isnan(truth).any(axis=1)
    x, times = np.asarray(logits[known], np.float64), weights[:, known]
    target = _smoothed(truth[known], times)  # (D, N, K)
    classes = truth.shape[1]
    axes = np.concatenate([x[:, :, None], np.broadcast_to(np.eye(classes), (len(x), classes, classes))], axis=2)
    beta = np.tile(np.eye(classes + 1)[0], (len(weights), 1))  # slope 1, no shift
    for _ in range(steps):
        step = _newton_step(axes, softmax(np.einsum("nkp,dp->dnk", axes, beta)), target, times)
        largest = np.abs(step).max(axis=1, keepdims=True)
        beta -= step * np.minimum(1.0, 2.0 / np.maximum(largest, 1e-12))
        if largest.max() < 1e-9:
            break
    shifts = beta[:, 1:] - beta[:, 1:].mean(axis=1, keepdims=True)
    return np.stack([np.repeat(beta[:, :1], classes, axis=1), shifts], axis=2)


def _smoothed(truth: Array, times: Array) -> NDArray[np.float64]:
    """(D, N, K): (n + 1) / (n + K) for the film's own class of n films, 1 / (n + K) for each other."""
    classes = truth.shape[1]
    films = times @ truth @ truth.T  # (D, N): how many are of the class of each
    return np.asarray((films[:, :, None] * truth + 1) / (films[:, :, None] + classes))


def _newton_step(axes: Array, p: Array, target: Array, times: Array) -> NDArray[np.float64]:
    """(D, P) from derivatives `axes` (N, K, P) of the logits, probabilities and targets (D, N, K), weights (D, N)."""
    gradient = np.einsum("dn,dnk,nkp->dp", times, p - target, axes, optimize=True)
    mean = np.einsum("dnk,nkp->dnp", p, axes)
    spread = np.einsum("dn,dnk,nkp,nkq->dpq", times, p, axes, axes, optimize=True)
    spread -= np.einsum("dn,dnp,dnq->dpq", times, mean, mean, optimize=True)
    # All intercepts moved alike change nothing; the small ridge keeps that direction still.
    return np.asarray(np.linalg.solve(spread + 1e-6 * np.eye(axes.shape[2]), gradient[:, :, None])[:, :, 0])


def intervals(drawn: Array, probabilities: Array) -> NDArray[np.float64]:
    """Probabilities drawn (D, ..., K) and as told (..., K) -> low and high (..., K, 2); NaN where all draws are.

    The percentiles of LEVEL, and never without the probability that is told.
    """
    undefined = np.isnan(drawn).all(axis=0)
    filled = np.where(undefined, 0.0, drawn)
    percentile = np.nanpercentile if np.isnan(filled).any() else np.percentile  # the first one is slow
    low, high = np.where(undefined, np.nan, percentile(filled, LEVEL, axis=0))
    return np.stack([np.minimum(low, probabilities), np.maximum(high, probabilities)], axis=-1)


@dataclass(frozen=True)
class IntervalBin:
    """Films of like probability of one finding, and what became of the promise made for them."""

    films: int
    probability: float  # mean
    low: float  # mean of the intervals' lower ends
    high: float
    observed: float  # share of the films that have the finding
    observed_low: float  # 95 % of that share (Wilson 1927), films taken as independent
    observed_high: float
    holds: bool  # the mean interval holds the observed share
    agrees: bool  # the two differ by no more than both are unsure


def interval_bins(probabilities: Array, interval_ends: Array, labels: Array, bins: int = 5) -> tuple[IntervalBin, ...]:
    """Does the interval hold the observed frequency? Of one finding, in bins of equally many films, lowest first.

    `probabilities` (N,), `interval_ends` (N, 2), `labels` (N,). `holds` asks it of the interval alone, although the
    observed share is unsure too: of few films it often fails by chance. `agrees` counts both: the 95 % interval of the
    difference holds 0 (MOVER, Zou and Donner, Statistics in Medicine 2008, eq. 3). Bins without a film are left out.
    """
    known = np.flatnonzero(~np.isnan(labels))
    order = known[np.argsort(probabilities[known], kind="stable")]
    parts = [rows for rows in np.array_split(order, bins) if len(rows)]
    return tuple(_bin(probabilities[rows], interval_ends[rows], labels[rows]) for rows in parts)


def _bin(probabilities: Array, interval_ends: Array, labels: Array) -> IntervalBin:
    mean, observed = float(probabilities.mean()), float(labels.mean())
    low, high = (float(end) for end in interval_ends.mean(axis=0))
    observed_low, observed_high = wilson(observed, len(labels))
    below = np.hypot(observed - observed_low, high - mean)
    above = np.hypot(observed_high - observed, mean - low)
    agrees = bool(-above <= observed - mean <= below)
    holds = low <= observed <= high
    return IntervalBin(len(labels), mean, low, high, observed, observed_low, observed_high, holds, agrees)


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a binomial share (Wilson 1927); it does not shrink to nothing at 0 and 1."""
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))
