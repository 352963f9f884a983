"""How sure a calibrated probability is, and whether what is said about it holds. numpy only; shapes as in cxr.metrics.

The interval of a probability comes from refitting the calibration to resampled patients; the network runs once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.metrics import Array

DRAWS = 200  # resamples of the patients
LEVEL = (2.5, 97.5)  # percentiles of a 95 % interval
Z = 1.959964  # the normal distribution's 97.5th percentile


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
