"""Do the scores of a site's films lie where those of the calibration sample lay? numpy only.

A model file holds no scores of its calibration sample, but exact counts of them: sensitivity and specificity at three
operating points. They cut the scores of each finding into up to four bins, by which two samples can be compared.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.cards.retraining import runs_of
from cxr.metrics import Array
from cxr.modelfile import ModelInfo, OperatingPoint

FEWEST_FILMS = 100  # read films below which nothing is said of drift
FEWEST_IN_BIN = 5  # films of the calibration sample; below that a bin is merged with the next (Cochran 1954)
# 99th percentile of chi-squared by degrees of freedom: with 14 findings one false alarm in 7 looks, not in 1.4.
CHI_SQUARED_99 = {1: 6.635, 2: 9.210, 3: 11.345}
SMALL, LARGE = 0.1, 0.25  # the usual rule of thumb (Siddiqi 2006, "Credit Risk Scorecards")


@dataclass(frozen=True)
class Reference:
    """One finding's scores in the calibration sample: of `films` so many at or above each threshold, lowest first."""

    films: int
    thresholds: tuple[float, ...]
    above: tuple[int, ...]

    def share_above(self, threshold: float) -> float:
        """Raises ValueError for a threshold that is none of its own."""
        return self.above[self.thresholds.index(threshold)] / self.films


@dataclass(frozen=True)
class Drift:
    """Population stability index of one finding's scores against the calibration sample."""

    films: int
    sample_films: int
    edges: tuple[float, ...]  # between the bins
    shares: tuple[float, ...]  # of the site's films in each bin, lowest first
    sample_shares: tuple[float, ...]
    index: float
    chance: float  # 99 of 100 pairs of samples of one population have less

    @property
    def sentence(self) -> str:
        """What it means, for people."""
        if self.index <= self.chance:
            return "As in the calibration sample, as far as so many films can tell."
        if self.index < SMALL:
            return "A little different from the calibration sample; more than chance explains."
        if self.index < LARGE:
            return "Different from the calibration sample: look at whom the films are of, and how they are made."
        return "Very different from the calibration sample: do not trust the probabilities before they are checked."


def reference(info: ModelInfo, label: str) -> Reference | None:
    """What the model file, or the site's calibration, counted of a finding; None where it does not say.

    A point tells sensitivity and specificity, hence counts, if the number of films is known. A finding that some
    films have no label for has fewer: then the counts come out broken, and nothing is said.
    """
    films = _sample_films(info, label)
    points = {p.threshold: p for points in info.operating_points.values() if (p := points.get(label))}
    ordered = [points[threshold] for threshold in sorted(points)]
    above = [_above(point, films) for point in ordered]
    if not films or not above or any(count is None for count in above):
        return None
    return Reference(films, tuple(p.threshold for p in ordered), tuple(count or 0 for count in above))


def drift(scores: Array, sample: Reference) -> Drift | None:
    """Scores (N,) of one finding against the calibration sample; None for too few films, or a sample without bins.

    The index is sum (a - e) ln(a / e) over bins, of shares of both samples with half a film added to each bin. If both
    are of one population it is distributed as (1/n + 1/m) times chi-squared of B - 1 degrees of freedom (Yurdakul and
    Naranjo, Journal of Risk Model Validation 14(4), 2020), films taken as independent.
    """
    edges, expected = _bins(sample)
    if len(scores) < FEWEST_FILMS or not edges:
        return None
    counts = np.bincount(np.searchsorted(edges, scores, "right"), minlength=len(edges) + 1)
    here, there = _smoothed(counts), _smoothed(np.array(expected))
    index = float(((here - there) * np.log(here / there)).sum())
    chance = (1 / len(scores) + 1 / sample.films) * CHI_SQUARED_99[len(edges)]
    shares, sample_shares = counts / len(scores), np.array(expected) / sample.films
    return Drift(
        len(scores), sample.films, tuple(edges), tuple(shares.tolist()), tuple(sample_shares.tolist()), index, chance
    )


def _sample_films(info: ModelInfo, label: str) -> int:
    """Films of the sample that calibrated the finding; 0: not recorded."""
    if info.site and label in info.site.labels:
        return info.site.films
    run = next(iter(runs_of(info.training)), {})
    return int(run.get("films", {}).get("validation", 0))


def _above(point: OperatingPoint, films: int) -> int | None:
    """Films at or above the point; None when the shares are none of so many films."""
    hits = point.sensitivity * point.positives
    alarms = (1 - point.specificity) * (films - point.positives)
    whole = all(math.isfinite(count) and abs(count - round(count)) < 1e-6 * max(films, 1) for count in (hits, alarms))
    return round(hits) + round(alarms) if whole and films > point.positives else None


def _bins(sample: Reference) -> tuple[list[float], list[int]]:
    """Edges, and the sample's films in each bin, none of which is nearly empty."""
    edges, counts, left = list[float](), list[int](), sample.films
    for threshold, above in zip(sample.thresholds, sample.above, strict=True):
        if left - above >= FEWEST_IN_BIN and above >= FEWEST_IN_BIN:
            edges.append(threshold)
            counts.append(left - above)
            left = above
    return edges, [*counts, left]


def _smoothed(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Shares, none of them 0: an empty bin would make the index infinite."""
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)))


def references(info: ModelInfo | None, labels: Sequence[str]) -> dict[str, Reference]:
    """Of the labels that have one."""
    found = {label: reference(info, label) for label in labels} if info else {}
    return {label: one for label, one in found.items() if one}
