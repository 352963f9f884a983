"""How good a model is on films it has never seen: figures with 95 % intervals over patients."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cxr.errors import TrainingDataError
from cxr.learning.figures import (
    IOU_LEVELS,
    Calibration,
    Curve,
    Decisions,
    Evaluation,
    LabelDecisions,
    LabelFigures,
    LocalisationFigures,
    Rates,
    Subgroup,
)
from cxr.learning.tables import FilmTable, depth_apart
from cxr.metrics import (
    Array,
    Interval,
    bootstrap_draws,
    brier,
    calibration_curve,
    confusion_counts,
    confusion_matrix,
    expected_calibration_error,
    inside,
    interval,
    mean_defined,
    overlap,
    peak_boxes,
    peaks,
    precision_recall_curve,
    rates,
    roc_curve,
    share,
    weighted_auroc,
    weighted_average_precision,
)
from cxr.modelfile import OperatingPoint

POINTS = 100  # of a curve that is kept
UNDEFINED = OperatingPoint(float("nan"), float("nan"), float("nan"))
AGE_BANDS = (0, 18, 40, 60, 80)  # years; each band ends before the next begins

T = TypeVar("T")
Points = Mapping[str, OperatingPoint]  # label -> its threshold, with what it gave on the validation films
Figure = Callable[[Array, Array, Array], Array]  # scores (N,), labels (N,), weights (D, N) -> (D,)


@dataclass(frozen=True)
class Pick:
    """A film worth looking at."""

    row: int
    label: str
    verdict: str  # one of VERDICTS


class Verdict(NamedTuple):
    """A film's true label, and what was decided of it."""

    label: int
    above: int


VERDICTS = {"found": Verdict(1, 1), "false alarm": Verdict(0, 1), "missed": Verdict(1, 0)}


def evaluate(
    scores: Array,
    table: FilmTable,
    draws: int = 1000,
    *,
    name: str = "test",
    kind: str = "multilabel",
    operating_points: Mapping[str, Points] | None = None,
) -> Evaluation:
    """Figures of scores (N, K) against the table's labels. A label without both classes has NaN figures.

    Scores may be logits for all that depends on their order alone; calibration needs probabilities and is NaN for
    anything outside [0, 1]. `operating_points` (set name -> label -> point) were found on validation films; nothing is
    decided of a label that has none.

    Raises:
        TrainingDataError: a score is missing or not a number.
    """
    scores, labels = _validate(scores, table), np.asarray(table.labels, np.float64)
    aurocs, mean_auroc = _areas(weighted_auroc, scores, labels, table.patients, draws)
    precisions, mean_precision = _areas(weighted_average_precision, scores, labels, table.patients, draws)
    known, positive = ~np.isnan(labels), labels == 1
    return Evaluation(
        films=len(table),
        patients=len(np.unique(table.patients)),
        mean_auroc=mean_auroc,
        labels=tuple(
            _label_figures(label, scores[:, k], labels[:, k], aurocs[k], precisions[k])
            for k, label in enumerate(table.label_names)
        ),
        mean_average_precision=mean_precision,
        without_finding=int((known.any(axis=1) & ~positive.any(axis=1)).sum()),
        cooccurrence=tuple(map(tuple, (positive.T.astype(int) @ positive).tolist())),
        name=name,
        kind=kind,
        decisions=_all_decisions(scores, labels, table, kind, operating_points or {}, draws),
        confusion=_confusion(scores, labels) if kind == "multiclass" else (),
        subgroups=_subgroups(scores, labels, table, draws),
    )


def _validate(scores: Array, table: FilmTable) -> NDArray[np.float64]:
    if np.shape(scores) != table.labels.shape:
        raise TrainingDataError(f"Scores are {np.shape(scores)}, labels {table.labels.shape}; give one for each label.")
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores).all(axis=1))[0])
        raise TrainingDataError(f"{table.paths[row].name} has a score that is not a number; predict it again.")
    return np.asarray(scores, np.float64)


def _areas(
    figure: Figure, scores: Array, labels: Array, patients: NDArray[np.str_], draws: int
) -> tuple[tuple[Interval, ...], Interval]:
    """The area under a curve of each label, and the mean of the defined ones."""

    def each(weights: Array) -> NDArray[np.float64]:
        return np.stack([figure(scores[:, k], labels[:, k], weights) for k in range(labels.shape[1])], axis=1)

    values, drawn = each(_once(patients))[0], bootstrap_draws(each, patients, draws)
    return _intervals(values, drawn), interval(float(mean_defined(values)), mean_defined(drawn))


def _once(patients: NDArray[np.str_]) -> NDArray[np.float64]:
    """(1, N): every film counts once."""
    return np.ones((1, len(patients)))


def _intervals(values: Array, drawn: Array) -> tuple[Interval, ...]:
    """(K,), (D, K) -> K intervals."""
    return tuple(interval(value, column) for value, column in zip(values, drawn.T, strict=True))


def _label_figures(label: str, scores: Array, labels: Array, area: Interval, precision: Interval) -> LabelFigures:
    return LabelFigures(
        label=label,
        positives=int((labels == 1).sum()),
        auroc=area,
        negatives=int((labels == 0).sum()),
        average_precision=precision,
        calibration=calibration_figures(scores, labels),
        roc=_curve(*roc_curve(scores, labels)),
        precision_recall=_precision_recall(scores, labels),
    )


def calibration_figures(scores: Array, labels: Array) -> Calibration:
    """Of scores (N,) and labels (N,); undefined for scores that are no probabilities."""
    if scores.min(initial=0) < 0 or scores.max(initial=0) > 1:
        return Calibration.undefined()
    mean, positive, films = calibration_curve(scores, labels)
    error = expected_calibration_error(scores, labels)
    return Calibration(brier(scores, labels), error, _curve(mean, positive), tuple(films.tolist()))


def _precision_recall(scores: Array, labels: Array) -> Curve:
    recall, precision = precision_recall_curve(scores, labels)
    rises = np.diff(recall, prepend=0) > 0  # between two films with the finding the curve only falls
    return _curve(recall[rises], precision[rises])


def _curve(x: Array, y: Array) -> Curve:
    """At most POINTS of a curve, both ends among them; none of an undefined one."""
    if np.isnan(x).any() or np.isnan(y).any():
        return Curve((), ())
    kept = np.unique(np.linspace(0, len(x) - 1, min(POINTS, len(x))).round().astype(int))
    return Curve(tuple(x[kept].round(5).tolist()), tuple(y[kept].round(5).tolist()))


def _all_decisions(
    scores: Array, labels: Array, table: FilmTable, kind: str, sets: Mapping[str, Points], draws: int
) -> tuple[Decisions, ...]:
    """By arg max where one class excludes the others, then at each set of operating points."""
    found = []
    if kind == "multiclass":
        above = scores.argmax(axis=1)[:, None] == np.arange(labels.shape[1])
        found.append(_decisions("arg max", above, labels, table, {}, draws))
    for name, points in sets.items():
        thresholds = np.array([points.get(label, UNDEFINED).threshold for label in table.label_names])
        decided = np.where(np.isnan(thresholds), np.nan, labels)  # without a threshold nothing is decided
        found.append(_decisions(name, scores >= thresholds, decided, table, points, draws))
    return tuple(found)


def _decisions(
    name: str, above: NDArray[np.bool_], labels: Array, table: FilmTable, points: Points, draws: int
) -> Decisions:
    """above (N, K), labels (N, K)."""
    known = ~np.isnan(labels)
    right = ((above == (labels == 1)) | ~known).all(axis=1) & known.any(axis=1)

    def counts(weights: Array) -> NDArray[np.float64]:
        return confusion_counts(above, labels, weights)

    def all_right(weights: Array) -> NDArray[np.float64]:
        return share(weights @ right, weights @ known.any(axis=1))

    here, drawn = counts(_once(table.patients))[0], bootstrap_draws(counts, table.patients, draws)  # (K, 4), (D, K, 4)
    each, each_drawn = rates(here), rates(drawn)
    return Decisions(
        name=name,
        labels=tuple(
            _label_decisions(label, points.get(label, UNDEFINED), here[k], _rates(rates(here[k]), rates(drawn[:, k])))
            for k, label in enumerate(table.label_names)
        ),
        micro=_rates(rates(here.sum(axis=0)), rates(drawn.sum(axis=1))),
        macro=_rates(*({rate: mean_defined(v) for rate, v in found.items()} for found in (each, each_drawn))),
        all_right=interval(all_right(_once(table.patients))[0], bootstrap_draws(all_right, table.patients, draws)),
    )


def _label_decisions(label: str, point: OperatingPoint, counts: Array, figures: Rates) -> LabelDecisions:
    tp, fp, fn, tn = (int(count) for count in counts)
    return LabelDecisions(label, point.threshold, point.sensitivity, point.specificity, tp, fp, fn, tn, figures)


def _rates(values: Mapping[str, Array], drawn: Mapping[str, Array]) -> Rates:
    return Rates(**{rate: interval(float(value), drawn[rate]) for rate, value in values.items()})


def _confusion(scores: Array, labels: Array) -> tuple[tuple[int, ...], ...]:
    """Rows of true classes, columns of answers; a film without a known class is left out."""
    known = (labels == 1).any(axis=1)
    matrix = confusion_matrix(np.nanargmax(labels[known], axis=1), scores[known].argmax(axis=1), labels.shape[1])
    return tuple(map(tuple, matrix.tolist()))


def _subgroups(scores: Array, labels: Array, table: FilmTable, draws: int) -> tuple[Subgroup, ...]:
    found = []
    for attribute, values in attributes(table).items():
        for value in np.unique(values[values != ""]):
            rows = np.flatnonzero(values == value)
            patients = table.patients[rows]
            each, mean = _areas(weighted_auroc, scores[rows], labels[rows], patients, draws)
            aurocs = dict(zip(table.label_names, each, strict=True))
            defined = sum(not np.isnan(area.value) for area in each)
            found.append(Subgroup(attribute, str(value), len(rows), len(np.unique(patients)), mean, defined, aurocs))
    return tuple(found)


def attributes(table: FilmTable) -> dict[str, NDArray[np.str_]]:
    """Attribute -> (N,) its value for each film, "" where not known."""
    return {"sex": table.sex, "age": age_bands(table.age_years), "view": table.view}


def age_bands(age_years: Array) -> NDArray[np.str_]:
    """(N,) years -> (N,) "0 to 17", "18 to 39", ... "80 and over"; "" where not known."""
    ends = [f"{low} to {high - 1}" for low, high in pairwise(AGE_BANDS)]
    names = np.array(["", *ends, f"{AGE_BANDS[-1]} and over"])
    return names[np.where(np.isnan(age_years), 0, np.digitize(age_years, AGE_BANDS))]


def localise(
    maps: Array, boxes: Array, labels: NDArray[np.str_], patients: NDArray[np.str_], draws: int = 1000
) -> tuple[LocalisationFigures, ...]:
    """Each label, then "all": one map (N, h, w) of the box's own label for each box (N, 4).

    Maps cover the film and nothing else; boxes are (left, top, width, height) in shares of the film. The pointing
    game is of Zhang et al. 2018; IoU is of the box around the map's peak at half its height.
    """
    found = overlap(peak_boxes(maps), boxes)
    peak, centre = (inside(points, boxes).astype(int) for points in (peaks(maps), np.full((len(boxes), 2), 0.5)))
    hits = [peak, centre, peak - centre, *(found >= float(level) for level in IOU_LEVELS)]
    table = np.stack(hits, axis=1).astype(np.float64)  # (N, 6)
    groups = {label: labels == label for label in np.unique(labels)} | {"all": np.ones(len(labels), bool)}
    return tuple(_localised(str(label), table[rows], patients[rows], draws) for label, rows in groups.items())


def _localised(label: str, hits: Array, patients: NDArray[np.str_], draws: int) -> LocalisationFigures:
    def shares(weights: Array) -> NDArray[np.float64]:
        return np.asarray(weights @ hits / weights.sum(axis=1, keepdims=True))

    pointing, centre, gain, *levels = _intervals(hits.mean(axis=0), bootstrap_draws(shares, patients, draws))
    return LocalisationFigures(label, len(hits), pointing, centre, gain, dict(zip(IOU_LEVELS, levels, strict=True)))


def most_confident(
    scores: Array, labels: Array, label_names: tuple[str, ...], above: Array, count: int | None = None
) -> tuple[Pick, ...]:
    """Of each label the surest film that was found, the surest false alarm, and the surest one that was missed.

    `above` (N, K) is what was decided: 1 where a label was called, 0 where it was not, NaN where nothing was. `count`
    picks are spread over the labels: none gets a second one before each has one.
    """
    by_label = [_picks(label, scores[:, k], labels[:, k], above[:, k], first=k) for k, label in enumerate(label_names)]
    spread = [pick for of_rank in zip_longest(*by_label) for pick in of_rank if pick is not None]
    order = {verdict: place for place, verdict in enumerate(VERDICTS)}
    return tuple(sorted(spread[:count], key=lambda pick: order[pick.verdict]))


def _picks(label: str, scores: Array, labels: Array, above: Array, first: int) -> list[Pick]:
    """One film for each verdict that there is, beginning with verdict number `first`, so that labels take turns."""
    names, found = list(VERDICTS), []
    for number in range(first, first + len(names)):
        verdict = names[number % len(names)]
        wanted = VERDICTS[verdict]
        rows = np.flatnonzero((labels == wanted.label) & (above == wanted.above))
        if len(rows):
            sureness = scores[rows] if wanted.above else -scores[rows]
            found.append(Pick(int(rows[sureness.argmax()]), label, verdict))
    return found


def read_scores(file: Path, table: FilmTable) -> NDArray[np.float64]:
    """(N, K) probabilities of the table's films from a csv of `python -m cxr predict --csv`.

    A film is known by its name without the ending, and where several have that name by as much of the path above it as
    tells these apart.

    Raises:
        TrainingDataError: a film of the table has no probabilities there or more than one row, or a label has no
            column.
    """
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = [(Path(row["film"]), row) for row in csv.DictReader(stream)]
    except (OSError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise TrainingDataError(f"{file.name} is not a csv of `python -m cxr predict --csv` ({error}).") from error
    found = _rows_of_films(file, rows, table.paths)
    absent = [path.name for path in table.paths if path not in found]
    if absent:
        raise TrainingDataError(f"{file.name} lacks {len(absent)} films of the test list, {absent[0]} among them.")
    try:
        return np.array([[float(found[path][label]) for label in table.label_names] for path in table.paths])
    except (KeyError, ValueError, TypeError) as error:
        raise TrainingDataError(
            f"{file.name} lacks a probability of this task ({error}); films that the film check refuses have one "
            "where `predict --anyway` read them."
        ) from error


def _rows_of_films(
    file: Path, rows: Sequence[tuple[Path, dict[str, str]]], paths: Sequence[Path]
) -> dict[Path, dict[str, str]]:
    """Film -> its row, for every film that has one."""
    films_of, rows_of = _by_stem((path, path) for path in paths), _by_stem(rows)
    found: dict[Path, dict[str, str]] = {}
    for stem, films in films_of.items():
        named = rows_of.get(stem, [])
        depths = [depth_apart([path.with_suffix("") for path, _ in group]) for group in (films, named)]
        if None in depths:
            whose = str(films[0][0]) if depths[0] is None else str(named[0][0])
            raise TrainingDataError(f"{whose} stands more than once in {file.name} or in the test list; leave one row.")
        depth = max(each or 1 for each in depths)
        row_at = {path.with_suffix("").parts[-depth:]: row for path, row in named}
        there = {path: path.with_suffix("").parts[-depth:] for path, _ in films}
        if not row_at.keys() & set(there.values()) and len(named) > 1:
            raise TrainingDataError(
                f"{file.name} has {len(named)} rows for {films[0][0]}, {named[0][0]} among them, and their folders do "
                "not say which; leave the film's own row."
            )
        found |= {path: row_at[place] for path, place in there.items() if place in row_at}
    return found


def _by_stem(pairs: Iterable[tuple[Path, T]]) -> dict[str, list[tuple[Path, T]]]:
    groups: dict[str, list[tuple[Path, T]]] = {}
    for path, what in pairs:
        groups.setdefault(path.stem, []).append((path, what))
    return groups


def write(evaluation: Evaluation, folder: Path, stem: str = "evaluation") -> None:
    """`evaluation.txt`, `.json` and `.csv`, and a csv of the decisions and of the subgroups, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.txt").write_text(evaluation.to_text() + "\n")
    (folder / f"{stem}.json").write_text(evaluation.to_json() + "\n")
    (folder / f"{stem}.csv").write_text(evaluation.labels_csv())
    if evaluation.decisions:
        (folder / f"{stem}-operating-points.csv").write_text(evaluation.decisions_csv())
    if evaluation.subgroups:
        (folder / f"{stem}-subgroups.csv").write_text(evaluation.subgroups_csv())
