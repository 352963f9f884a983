"""How good answers are. numpy only; a figure that is undefined (one class absent) is NaN.

`scores` and `labels` are (N,) unless said; labels are 1, 0, or NaN where not known. `weights` (D, N) say how often
each film counts in each of D draws. A box is (left, top, width, height) in shares of the film, in [0, 1].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
BLOCK = 4_000_000  # weights held at once, so that the bootstrap of a large test set stays within memory


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
    return float((_mean_ranks(scores)[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


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
    return interval(figure(scores, labels), np.array(drawn))


def interval(value: float, drawn: Array) -> Interval:
    """`value` with the 2.5th and 97.5th percentiles of `drawn` (D,); undefined draws are left out."""
    low, high = np.nanpercentile(drawn, [2.5, 97.5]) if not np.isnan(drawn).all() else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high))


def _rows_of(group: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Row numbers of each group 0..G-1."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.cumsum(np.bincount(group))[:-1])


def bootstrap_draws(
    figures: Callable[[Array], Array], patients: NDArray[np.str_], draws: int = 1000, seed: int = 0
) -> NDArray[np.float64]:
    """`figures(weights (d, N)) -> (d, ...)` over all draws: (draws, ...). The very draws of `bootstrap`, in blocks."""
    _, patient = np.unique(patients, return_inverse=True)
    total = int(patient.max()) + 1
    random = np.random.default_rng(seed)
    at_once = max(1, BLOCK // len(patient))
    done = []
    for begin in range(0, draws, at_once):
        chosen = random.integers(0, total, (min(at_once, draws - begin), total))
        times = np.stack([np.bincount(row, minlength=total) for row in chosen])
        done.append(figures(times[:, patient].astype(np.float64)))
    return np.concatenate(done)


def weighted_auroc(scores: Array, labels: Array, weights: Array) -> NDArray[np.float64]:
    """(D,): `auroc` where film i counts weights[d, i] times, without sorting anew for each draw."""
    positive, negative = _ranked(scores, labels == 1), _ranked(scores, labels == 0)
    below = _running(weights[:, negative])  # (D, n_neg + 1)
    lower, upper = (np.searchsorted(scores[negative], scores[positive], side) for side in ("left", "right"))
    times = weights[:, positive]
    pairs = (times * (below[:, lower] + below[:, upper]) / 2).sum(axis=1)
    return share(pairs, times.sum(axis=1) * below[:, -1])


def weighted_average_precision(scores: Array, labels: Array, weights: Array) -> NDArray[np.float64]:
    """(D,): `average_precision` where film i counts weights[d, i] times."""
    positive, negative = _ranked(scores, labels == 1), _ranked(scores, labels == 0)
    hits, alarms = _running(weights[:, positive]), _running(weights[:, negative])
    hits_above = hits[:, -1:] - hits[:, np.searchsorted(scores[positive], scores[positive])]
    alarms_above = alarms[:, -1:] - alarms[:, np.searchsorted(scores[negative], scores[positive])]
    times = weights[:, positive]
    precision = times * hits_above / np.maximum(hits_above + alarms_above, 1)  # 0 / 1 for a film not drawn
    return share(precision.sum(axis=1), np.where(alarms[:, -1] > 0, times.sum(axis=1), 0))


def average_precision(scores: Array, labels: Array) -> float:
    """Area under the precision-recall curve as the sum of its steps, never interpolated. NaN when a class is absent."""
    return float(weighted_average_precision(scores, labels, np.ones((1, len(scores))))[0])


def share(part: Array, whole: Array) -> NDArray[np.float64]:
    """part / whole; NaN where the whole is 0."""
    undefined = np.full(np.shape(whole), np.nan)
    return np.asarray(np.divide(part, whole, out=undefined, where=np.asarray(whole) > 0))


def mean_defined(figures: Array) -> NDArray[np.float64]:
    """Mean over the last axis, undefined figures left out; NaN where none is defined."""
    return share(np.nansum(figures, axis=-1), (~np.isnan(figures)).sum(axis=-1))


def _ranked(scores: Array, chosen: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Row numbers of the chosen films, lowest score first."""
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(scores[rows], kind="stable")]


def _running(weights: Array) -> NDArray[np.float64]:
    """(D, n) -> (D, n + 1): the weight of the first 0, 1, ... n films."""
    return np.cumsum(np.pad(weights, ((0, 0), (1, 0))), axis=1)


def roc_curve(scores: Array, labels: Array) -> tuple[Array, Array]:
    """(false positive rate, true positive rate), each (T + 1,) from (0, 0) to (1, 1). NaN when a class is absent."""
    alarms, hits = _above_each_threshold(scores, labels)
    return share(alarms, np.full(len(alarms), alarms[-1])), share(hits, np.full(len(hits), hits[-1]))


def precision_recall_curve(scores: Array, labels: Array) -> tuple[Array, Array]:
    """(recall, precision), each (T,), from the highest threshold to the lowest. NaN when a class is absent."""
    alarms, hits = (counts[1:] for counts in _above_each_threshold(scores, labels))
    if not len(hits) or not hits[-1] or not alarms[-1]:
        return np.full(len(hits), np.nan), np.full(len(hits), np.nan)
    return hits / hits[-1], hits / (hits + alarms)


def _above_each_threshold(scores: Array, labels: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(negatives, positives) at or above infinity and then each of the T scores that occur, highest first."""
    positive, negative = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    thresholds = np.append(np.inf, np.unique(np.concatenate([positive, negative]))[::-1])
    alarms, hits = (len(group) - np.searchsorted(group, thresholds) for group in (negative, positive))
    return alarms.astype(np.float64), hits.astype(np.float64)


# Each rate as (part, whole) of the true positives, false positives, false negatives and true negatives.
RATES: dict[str, Callable[[Array, Array, Array, Array], tuple[Array, Array]]] = {
    "accuracy": lambda tp, fp, fn, tn: (tp + tn, tp + fp + fn + tn),
    "precision": lambda tp, fp, fn, tn: (tp, tp + fp),
    "recall": lambda tp, fp, fn, tn: (tp, tp + fn),  # the same as sensitivity
    "specificity": lambda tp, fp, fn, tn: (tn, tn + fp),
    "f1": lambda tp, fp, fn, tn: (2 * tp, 2 * tp + fp + fn),
}


def confusion_counts(above: NDArray[np.bool_], labels: Array, weights: Array) -> NDArray[np.float64]:
    """above (N, K), labels (N, K) -> (D, K, 4): true positives, false positives, false negatives, true negatives."""
    positive, negative = labels == 1, labels == 0
    cells = [above & positive, above & negative, ~above & positive, ~above & negative]
    return np.stack([weights @ cell.astype(np.float64) for cell in cells], axis=-1)


def rates(counts: Array) -> dict[str, NDArray[np.float64]]:
    """(..., 4) counts -> each of RATES as (...); NaN where it is undefined (precision without an alarm)."""
    return {name: share(*parts(*np.moveaxis(counts, -1, 0))) for name, parts in RATES.items()}


def confusion_matrix(truth: NDArray[np.intp], answer: NDArray[np.intp], classes: int) -> NDArray[np.intp]:
    """(N,), (N,) class numbers -> (K, K) films; a row for each true class, a column for each answer."""
    return np.bincount(truth * classes + answer, minlength=classes**2).reshape(classes, classes)


def expected_calibration_error(probabilities: Array, labels: Array, bins: int = 15) -> float:
    """ECE over equal-width bins (Guo et al. 2017, eq. 3). NaN without labels."""
    known = ~np.isnan(labels)
    p, y = probabilities[known], labels[known]
    if not len(p):
        return float("nan")
    bin_of = np.minimum((p * bins).astype(int), bins - 1)
    gaps = np.abs(np.bincount(bin_of, p, bins) - np.bincount(bin_of, y, bins))
    return float(gaps.sum() / len(p))


def calibration_curve(probabilities: Array, labels: Array, bins: int = 15) -> tuple[Array, Array, NDArray[np.intp]]:
    """(mean probability, share of positive films, films) of each bin of the ECE that holds a film."""
    known = ~np.isnan(labels)
    p, y = probabilities[known], labels[known]
    bin_of = np.minimum((p * bins).astype(int), bins - 1)
    films = np.bincount(bin_of, minlength=bins)
    held = films > 0
    sums = (np.bincount(bin_of, weights, bins)[held] for weights in (p, y))
    mean, positive = (total / films[held] for total in sums)
    return mean, positive, films[held]


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


def peaks(maps: Array) -> NDArray[np.float64]:
    """(N, h, w) -> (N, 2): x and y of the strongest cell's centre. NaN without evidence: such a map points nowhere."""
    count, height, width = maps.shape
    flat = maps.reshape(count, -1)
    row, column = np.divmod(flat.argmax(axis=1), width)
    points = np.stack([(column + 0.5) / width, (row + 0.5) / height], axis=1)
    return np.where(flat.max(axis=1, keepdims=True) > 0, points, np.nan)


def inside(points: Array, boxes: Array) -> NDArray[np.bool_]:
    """Does each point (N, 2) lie in its box (N, 4)? The pointing game (Zhang et al. 2018); NaN lies in none."""
    corner, size = boxes[:, :2], boxes[:, 2:]
    return np.asarray(((points >= corner) & (points <= corner + size)).all(axis=1))


def peak_boxes(maps: Array, level: float = 0.5, times: int = 9) -> NDArray[np.float64]:
    """(N, h, w) -> (N, 4): the box around what surrounds the peak at `level` of it or more. NaN without evidence.

    The map is enlarged first, so that a box is not bound to cells of 1/7 of the film.
    """
    boxes = np.full((len(maps), 4), np.nan)
    for number, one in enumerate(_enlarge(maps, times)):
        if one.max() > 0:
            rows, columns = np.nonzero(_around_peak(one, level))
            low = np.array([columns.min(), rows.min()])
            high = np.array([columns.max(), rows.max()]) + 1
            boxes[number] = np.concatenate([low, high - low]) / np.tile(one.shape[::-1], 2)
    return boxes


def _enlarge(maps: Array, times: int) -> NDArray[np.float64]:
    """(N, h, w) -> (N, h * times, w * times), linear between the centres of cells; an odd `times` keeps the peaks."""
    down, across = (_interpolation(cells, times) for cells in maps.shape[1:])
    return np.asarray(down @ maps @ across.T, np.float64)


def _interpolation(cells: int, times: int) -> NDArray[np.float64]:
    """(cells * times, cells): what each cell gives to each finer one."""
    places = (np.arange(cells * times) + 0.5) / times - 0.5
    return np.stack([np.interp(places, np.arange(cells), unit) for unit in np.eye(cells)], axis=1)


def _around_peak(one: Array, level: float) -> NDArray[np.bool_]:
    """(h, w): cells at `level` of the peak or more that hang together with it (4 neighbours)."""
    strong: NDArray[np.bool_] = one >= level * one.max()
    region, grown = np.zeros_like(strong), np.asarray(one == one.max())
    while (grown != region).any():
        region = grown.copy()
        grown[1:] |= region[:-1]
        grown[:-1] |= region[1:]
        grown[:, 1:] |= region[:, :-1]
        grown[:, :-1] |= region[:, 1:]
        grown &= strong
    return region


def overlap(one: Array, other: Array) -> NDArray[np.float64]:
    """Intersection over union of boxes (N, 4) and (N, 4) -> (N,)."""
    low = np.maximum(one[:, :2], other[:, :2])
    high = np.minimum(one[:, :2] + one[:, 2:], other[:, :2] + other[:, 2:])
    both = np.clip(high - low, 0, None).prod(axis=1)
    return share(both, one[:, 2:].prod(axis=1) + other[:, 2:].prod(axis=1) - both)


def rank_correlation(one: Array, other: Array) -> float:
    """Spearman's, over all values of two arrays of one shape; ties have their mean rank. NaN when all are alike."""
    first, second = (_mean_ranks(np.ravel(values)) for values in (one, other))
    if not first.std() or not second.std():
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _mean_ranks(values: Array) -> NDArray[np.float64]:
    """(N,): from 1, ties having the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])
