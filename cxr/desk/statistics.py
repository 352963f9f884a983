"""What a desk's films amount to: how many, above, refused, how fast, what clinicians said, whether scores drift.

numpy only. Every figure is of the films that are kept; a deleted film counts no more.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.desk.answers import VERDICTS
from cxr.desk.statistics_drift import Drift, Reference, drift
from cxr.metrics import Array, Interval
from cxr.modelfile import OperatingPoint
from cxr.uncertainty import wilson

DAY_S = 86_400
PERIODS = {"7": 7, "30": 30, "90": 90, "all": 0}  # as addresses say it -> days; 0: all time
MOST_BARS = 92  # of films a day; a longer time is told by weeks, then by spans of 30 days
SPANS = {1: "day", 7: "week", 30: "30 days"}
Points = Mapping[str, Mapping[str, OperatingPoint]]  # name of the set -> finding -> point


@dataclass(frozen=True)
class LookedAt:
    """The films of one model that the film check has seen."""

    taken_at: NDArray[np.float64]  # (N,) seconds since 1970
    milliseconds: NDArray[np.float64]  # (N,); NaN where the report does not say it
    refused_for: tuple[str, ...]  # (N,) codes separated by spaces; empty: accepted
    is_read: NDArray[np.bool_]  # (N,)
    scores: NDArray[np.float32]  # (R, K) of the films that were read
    labels: tuple[str, ...]  # (K,)

    @property
    def is_refused(self) -> NDArray[np.bool_]:
        """(N,), also where the film was read anyway."""
        return np.array([bool(codes) for codes in self.refused_for], bool)

    @property
    def accepted_scores(self) -> NDArray[np.float32]:
        """(A, K): of films that were read against the film check nothing is concluded."""
        return np.asarray(self.scores[~self.is_refused[self.is_read]])


@dataclass(frozen=True)
class Opinion:
    """What one person says of one finding of a film, who knows whether the model had it above."""

    label: str
    verdict: str  # one of VERDICTS
    above: bool


@dataclass(frozen=True)
class Span:
    """The films that were taken in from `start` (seconds since 1970, midnight UTC) on."""

    start: float
    read: int
    refused: int


@dataclass(frozen=True)
class Volume:
    """Films over time; each span has `days` days. A film that was refused and read anyway counts as refused."""

    days: int
    spans: tuple[Span, ...]
    read: int
    refused: int
    waiting: int
    failed: int


@dataclass(frozen=True)
class ShareAbove:
    """Films at or above one operating point, here and in the calibration sample."""

    operating_points: str  # name of the set
    threshold: float
    above: int
    films: int
    share: Interval  # 95 % (Wilson 1927)
    sample_share: float | None
    sample_films: int | None


@dataclass(frozen=True)
class Agreement:
    """Answers to one finding, where the model had it above and where below."""

    above: dict[str, int]  # verdict -> answers
    below: dict[str, int]
    agree: Interval | None  # share of agree among agree and disagree; None without any

    @property
    def count(self) -> int:
        return sum(self.above.values()) + sum(self.below.values())


@dataclass(frozen=True)
class FindingFigures:
    """All about one finding."""

    label: str
    shares: tuple[ShareAbove, ...]
    agreement: Agreement
    drift: Drift | None


@dataclass(frozen=True)
class Refusals:
    """Films that the film check refused, those read anyway among them. A film may have several reasons."""

    films: int
    share: Interval | None  # of all that it looked at
    read_anyway: int
    reasons: dict[str, int]  # code -> films, the most frequent first


@dataclass(frozen=True)
class ReadingTime:
    """From the decoded film to its findings, or to its refusal, in milliseconds."""

    films: int
    median: float
    p95: float


@dataclass(frozen=True)
class Figures:
    """All figures of one model and period."""

    volume: Volume
    refusals: Refusals
    reading_time: ReadingTime | None
    findings: tuple[FindingFigures, ...]


def volume(seen: LookedAt, since: float, now: float, unread: Mapping[str, int]) -> Volume:
    """`since` 0: from the first film on. `unread`: state -> films that have no report."""
    first = max(since, float(seen.taken_at.min(initial=now)))
    first_day, last_day = int(first // DAY_S), int(now // DAY_S)
    days = next((n for n in SPANS if (last_day - first_day) < n * MOST_BARS), max(SPANS))
    count = (last_day - first_day) // days + 1
    place = np.clip((seen.taken_at // DAY_S - first_day) // days, 0, count - 1).astype(int)
    is_refused = seen.is_refused
    read, refused = (np.bincount(place[which], minlength=count) for which in (~is_refused, is_refused))
    starts = [float((first_day + days * n) * DAY_S) for n in range(count)]
    spans = tuple(Span(*each) for each in zip(starts, read.tolist(), refused.tolist(), strict=True))
    waiting = unread.get("waiting", 0) + unread.get("reading", 0)
    return Volume(days, spans, int(read.sum()), int(refused.sum()), waiting, unread.get("failed", 0))


def refusals(seen: LookedAt) -> Refusals:
    read = seen.is_read.tolist()
    refused = [(codes, was_read) for codes, was_read in zip(seen.refused_for, read, strict=True) if codes]
    reasons = Counter(code for codes, _ in refused for code in codes.split())
    anyway = sum(was_read for _, was_read in refused)
    return Refusals(len(refused), share_of(len(refused), len(read)), anyway, dict(reasons.most_common()))


def reading_time(seen: LookedAt) -> ReadingTime | None:
    known = seen.milliseconds[~np.isnan(seen.milliseconds)]
    if not len(known):
        return None
    median, p95 = np.percentile(known, (50, 95))
    return ReadingTime(len(known), round(float(median), 1), round(float(p95), 1))


def shares_above(scores: Array, label: str, points: Points, sample: Reference | None) -> tuple[ShareAbove, ...]:
    """Of scores (N,) of one finding, at each set of operating points that has it."""
    found = []
    for name, by_label in points.items():
        if point := by_label.get(label):
            above = int((scores >= point.threshold).sum())
            share = share_of(above, len(scores)) or Interval(np.nan, np.nan, np.nan)
            there = (sample.share_above(point.threshold), sample.films) if sample else (None, None)
            found.append(ShareAbove(name, point.threshold, above, len(scores), share, *there))
    return tuple(found)


def agreement(opinions: Sequence[Opinion]) -> Agreement:
    """Answers are given with the model's in sight, and to findings that people choose.

    So there is no kappa: Cohen (1960) takes two raters who do not know of each other.
    """
    counted = Counter((opinion.above, opinion.verdict) for opinion in opinions)
    above, below = ({verdict: counted[side, verdict] for verdict in VERDICTS} for side in (True, False))
    agree, disagree = (above[verdict] + below[verdict] for verdict in ("agree", "disagree"))
    return Agreement(above, below, share_of(agree, agree + disagree))


def findings(
    seen: LookedAt, points: Points, samples: Mapping[str, Reference], opinions: Sequence[Opinion]
) -> tuple[FindingFigures, ...]:
    """In the order of the model's labels."""
    scores, by_label = seen.accepted_scores, dict[str, list[Opinion]]()
    for opinion in opinions:
        by_label.setdefault(opinion.label, []).append(opinion)
    found = []
    for k, label in enumerate(seen.labels):
        own, sample = np.ascontiguousarray(scores[:, k]), samples.get(label)
        shares = shares_above(own, label, points, sample)
        drifted = drift(own, sample) if sample else None
        found.append(FindingFigures(label, shares, agreement(by_label.get(label, [])), drifted))
    return tuple(found)


def share_of(part: int, whole: int) -> Interval | None:
    """With its 95 % interval (Wilson 1927); None of nothing."""
    return Interval(part / whole, *wilson(part / whole, whole)) if whole else None
