"""What a card says of the figures: a section each. What was not measured is said to be so."""

import math
from collections.abc import Iterator

from cxr.cards import pictures
from cxr.cards.blocks import NOT_MEASURED, Block, Paragraph, Table, films_of, number, readable, shown
from cxr.cards.card import Described
from cxr.cards.measured import Measured, Reliability, Result
from cxr.modelfile import POINT_SETS, ModelInfo

CHANCE = 0.5  # AUROC of answers drawn by lot


def performance(measured: Measured | None) -> Iterator[Block]:
    if measured is None:
        yield Paragraph(NOT_MEASURED)
        return
    for result in measured.evaluations:
        rows = [
            (
                readable(f.label),
                str(f.positives),
                shown(f.auroc),
                shown(f.average_precision),
                _chance(f.positives, f.negatives),
            )
            for f in result.labels
        ]
        rows.append(("Mean", "", shown(result.mean_auroc), shown(result.mean_average_precision), ""))
        head = ("Finding", "Films with it", "AUROC", "Average precision", "of which by chance")
        yield Table(head, tuple(rows), f"{readable(result.name)} part, {films_of(result.films, result.patients)}")
        yield from pictures.curves(result)


def points(model: Described, measured: Measured | None) -> Iterator[Block]:
    yield Paragraph(
        "Thresholds were found on validation films and are in the model file. Validation: what they gave there."
    )
    for name, points in model.info.operating_points.items():
        rows = [
            (
                readable(label), f"{p.threshold:.4f}", f"{p.sensitivity:.2f}", f"{p.specificity:.2f}", str(p.positives),
                *_at_point(measured, name, label),
            )
            for label, p in points.items()
        ]  # fmt: skip
        head = ("Finding", "Threshold", "Validation sensitivity", "specificity", "films with it")
        yield Table((*head, "Test sensitivity", "specificity"), tuple(rows), POINT_SETS.get(name, name))
    if model.info.uncalibrated:
        yield Paragraph(f"Without operating points: {', '.join(map(readable, model.info.uncalibrated))}.")


def _at_point(measured: Measured | None, name: str, label: str) -> tuple[str, str]:
    for points in measured.evaluations[0].decisions if measured else ():
        for each in points.labels:
            if (points.name, each.label) == (name, label):
                return shown(each.rates.recall, 2), shown(each.rates.specificity, 2)
    return "not measured", "not measured"


def calibration(model: Described, measured: Measured | None) -> Iterator[Block]:
    method, draws = _method(model.info), _draws(model)
    yield Paragraph(f"By {method}, on validation films; intervals from {draws} refits to resampled patients.")
    if measured is None or not measured.reliability:
        yield Paragraph(f"ECE and Brier score, before and after: {NOT_MEASURED.lower()}")
        return
    for found in measured.reliability:
        yield _errors(found)
        yield Paragraph(_bins(found))
        yield from pictures.reliability(found)


def _method(info: ModelInfo) -> str:
    if info.kind == "multilabel":
        return "Platt scaling of each finding"
    shifted = any(platt.intercept for platt in info.platt.values())
    return "one temperature for all classes" + (" and an intercept of each" if shifted else "")


def _errors(found: Reliability) -> Table:
    rows = [
        (
            readable(f.label), *map(number, (f.before.ece, f.after.ece, f.before.brier, f.after.brier)),
            shown(f.brier_gain, 4), f"{sum(b.agrees for b in f.bins)} of {len(f.bins)}" if f.bins else "no intervals",
        )
        for f in found.labels
    ]  # fmt: skip
    before, after = found.mean_before, found.mean_after
    rows.append(("Mean", *map(number, (before.ece, after.ece, before.brier, after.brier)), "", ""))
    head = ("Finding", "ECE before", "after", "Brier before", "after", "gain", "bins that agree")
    return Table(head, tuple(rows), f"{readable(found.name)}: {films_of(found.films, found.patients)}")


def _bins(found: Reliability) -> str:
    bins = [b for f in found.labels for b in f.bins]
    if not bins:
        return "Whether the intervals hold the observed frequency: not measured."
    agree, hold = sum(b.agrees for b in bins), sum(b.holds for b in bins)
    return (
        f"Five bins of equally many films for each finding: in {agree} of {len(bins)} the observed frequency "
        "agrees with the interval, both being unsure (95 of 100 expected of a right calibration); the interval alone "
        f"holds it in {hold}."
    )


def subgroups(measured: Measured | None) -> Iterator[Block]:
    found = [result for result in measured.evaluations if result.subgroups] if measured else []
    if not found:
        yield Paragraph("Not measured: sex, age and view of the films are not known." if measured else NOT_MEASURED)
    for result in found:
        rows = [
            (f"{readable(g.attribute)}: {g.value}", str(g.films), str(g.patients), shown(g.mean_auroc), str(g.defined))
            for g in result.subgroups
        ]
        head = ("Group", "Films", "Patients", "Mean AUROC", "over findings")
        yield Table(head, tuple(rows), f"{readable(result.name)} part")
        yield pictures.subgroups(result)


def localisation(measured: Measured | None) -> Iterator[Block]:
    found = [result for result in measured.evaluations if result.localisation] if measured else []
    if not found:
        yield Paragraph("Heat maps against boxes that people drew: not measured.")
    for result in found:
        rows = [
            (readable(b.label), str(b.boxes), shown(b.pointing), shown(b.centre), shown(b.gain))
            for b in result.localisation
        ]
        held = ("Peak of the map in the box", "Centre of the film in the box")
        head = ("Finding", "Boxes", *held, "Ahead of the centre")
        yield Table(head, tuple(rows), f"{readable(result.name)} part")


def failures(measured: Measured | None) -> Iterator[Block]:
    """All of them follow from the figures."""
    if measured is None:
        yield Paragraph(NOT_MEASURED)
        return
    for result in measured.evaluations:
        yield from map(Paragraph, _weak(result))
    if measured.controls:
        yield _controls(measured)
    dark = [d for d in measured.dark_maps if d.films and 2 * d.dark > d.films]
    if dark:
        named = ", ".join(f"{readable(d.label)} ({d.dark} of {d.films} films)" for d in dark)
        yield Paragraph(f"The heat map is dark in more than half of the test films that have the finding: {named}.")
    for result in measured.evaluations:
        for box in result.localisation:
            if box.label == "all" and box.gain.low <= 0:
                yield Paragraph(
                    f"The heat maps do not point better than the centre of the film: {shown(box.pointing)} of the "
                    f"boxes hold the map's peak, {shown(box.centre)} the centre, a difference of {shown(box.gain)}."
                )


def _controls(measured: Measured) -> Table:
    """What the same recipe reaches without seeing a lung, beside what the model reaches."""
    own = {control.part: control for control in measured.as_controls()}
    rows = [
        (readable(black.part), films_of(black.films, black.patients), shown(black.mean_auroc), shown(black.all_right))
        + ((shown(own[black.part].mean_auroc), shown(own[black.part].all_right)) if black.part in own else ("", ""))
        for black in measured.controls
    ]
    head = ("Part", "Films", "AUROC, middle black", "accuracy", "AUROC of this model", "accuracy")
    about = "A network of the same recipe, on films whose middle is black: it tells the classes by their sources"
    return Table(head, tuple(rows), about)


def _weak(result: Result) -> Iterator[str]:
    known = [f for f in result.labels if not math.isnan(f.auroc.value)]
    chance = [f for f in known if f.auroc.low <= CHANCE]
    if chance:
        named = ", ".join(f"{readable(f.label)} {shown(f.auroc)}" for f in chance)
        yield f"On the {result.name} part not shown to be better than chance: {named}."
    worst = sorted(known, key=lambda f: f.auroc.value)[:3]
    yield f"Weakest there: {', '.join(f'{readable(f.label)} {shown(f.auroc)}' for f in worst)}."
    undefined = [f.label for f in result.labels if math.isnan(f.auroc.value)]
    if undefined:
        yield f"Not measurable there, for lack of films of both kinds: {', '.join(map(readable, undefined))}."


def _chance(positives: int, negatives: int) -> str:
    return number(positives / (positives + negatives) if positives + negatives else math.nan)


def _draws(model: Described) -> int:
    return max(map(len, model.info.resampled.values()), default=0)
