"""The figures of a card as charts, for the page; a card without curves has none."""

import math
from collections.abc import Iterator
from dataclasses import replace

from markupsafe import Markup

from cxr.cards.blocks import Picture, Pictures, number, readable, shown
from cxr.cards.measured import Errors, LabelReliability, LabelResult, Reliability, Result
from cxr.charts import Frame, Series, common_range, forest_chart, line_chart, value_range
from cxr.modelfile import POINT_SETS

SMALL = Frame(192, 172, left=44, margin=12)
CHANCE = "The dashed line is chance."
HOLDS = (
    "On the dashed line probabilities hold. A larger dot is a bin of more films; of few films a bin is largely noise."
)
DIAGONAL = Series("chance", (0.0, 1.0), (0.0, 1.0))
POINT_RADIUS = 3.2


def curves(result: Result) -> Iterator[Pictures]:
    """ROC and precision-recall curves of each label that has them."""
    drawn = [label for label in result.labels if label.roc.x]
    if not drawn:
        return
    key = ("curve", f"operating points: {', '.join(POINT_SETS.values())}")
    roc = tuple(Picture(readable(f.label), f"AUROC {number(f.auroc.value)}", _roc(result, f)) for f in drawn)
    yield Pictures(f"ROC curves, {result.name} part", CHANCE, roc, key)
    precision = tuple(
        Picture(readable(f.label), f"average precision {number(f.average_precision.value)}", _precision(f))
        for f in drawn
    )
    yield Pictures(f"Precision and recall, {result.name} part", CHANCE, precision)


def reliability(found: Reliability) -> Iterator[Pictures]:
    """Reliability diagrams: the share of positive films over the mean probability, in bins of 1/15."""
    drawn = [label for label in found.labels if label.after.curve.x]
    if drawn:
        pictures = tuple(
            Picture(readable(f.label), f"ECE {number(f.after.ece)}, before {number(f.before.ece)}", _reliability(f))
            for f in drawn
        )
        yield Pictures(f"Reliability, {found.name}", HOLDS, pictures, ("after calibration", "before"))


def subgroups(result: Result) -> Pictures:
    """One line for each group."""
    groups = [(f"{readable(g.attribute)}: {g.value}", g.mean_auroc) for g in result.subgroups]
    told = "; ".join(f"{name} {shown(figure)}" for name, figure in groups)
    chart = forest_chart(groups, common_range([figure for _, figure in groups]), f"Mean AUROC: {told}", "mean AUROC")
    return Pictures(f"Subgroups, {result.name} part", "", (Picture("Mean AUROC", "with 95 % intervals", chart),))


def _roc(result: Result, f: LabelResult) -> Markup:
    lines = [Series("ROC curve", f.roc.x, f.roc.y), *_points(result, f.label)]
    title = f"{readable(f.label)}, ROC curve: AUROC {shown(f.auroc)}"
    return line_chart(lines, SMALL, title, "false alarms", "sensitivity", DIAGONAL)


def _points(result: Result, label: str) -> Iterator[Series]:
    """Where the operating points lie on these films."""
    for points in result.decisions:
        for each in points.labels:
            x, y = 1 - each.rates.specificity.value, each.rates.recall.value
            if points.name in POINT_SETS and each.label == label and not math.isnan(x + y):
                yield Series(POINT_SETS[points.name], (x,), (y,), 1, (POINT_RADIUS,))


def _precision(f: LabelResult) -> Markup:
    chance = f.positives / (f.positives + f.negatives)
    line = Series("precision and recall", f.precision_recall.x, f.precision_recall.y)
    title = f"{readable(f.label)}, precision by recall: average precision {shown(f.average_precision)}"
    return line_chart([line], SMALL, title, "recall", "precision", Series("chance", (0.0, 1.0), (chance, chance)))


def _reliability(f: LabelReliability) -> Markup:
    after, before = _bins("after", f.after, 0), _bins("before", f.before, 1)
    end = value_range([0.0, *after.x, *after.y, *before.x, *before.y])[1]
    frame = replace(SMALL, x_range=(0.0, end), y_range=(0.0, end))
    title = f"{readable(f.label)}, reliability: ECE {number(f.after.ece)}, before calibration {number(f.before.ece)}"
    holds = Series("as promised", (0.0, end), (0.0, end))
    return line_chart([before, after], frame, title, "probability", "observed", holds)


def _bins(name: str, errors: Errors, tone: int) -> Series:
    """Ten times the films make the radius of a bin's dot one pixel larger."""
    return Series(name, errors.curve.x, errors.curve.y, tone, tuple(1 + math.log10(films) for films in errors.films))
