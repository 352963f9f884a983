"""The one renderer of a model card: a model and what was measured of it become sections, in the order of CLAIM.

Headings: Checklist for Artificial Intelligence in Medical Imaging (Mongan, Moy, Kahn, Radiology: AI 2020; update
Tejani et al. 2024). What was not measured, or is not recorded, is said to be so.
"""

from collections.abc import Iterator, Sequence

from cxr.cards import results
from cxr.cards.blocks import (
    NOT_MEASURED,
    Block,
    Command,
    Paragraph,
    Section,
    Table,
    films_of,
    readable,
    share_of,
    shown,
)
from cxr.cards.card import Described
from cxr.cards.measured import Measured, Population, Result
from cxr.cards.retraining import first_starts, layouts, retrain_commands, runs_of
from cxr.cards.sources import DATA, START_WEIGHTS, Source


def title_of(model: Described) -> str:
    return f"Model card: {model.info.name}"


def sections(model: Described) -> tuple[Section, ...]:
    """All sections; those that need a measurement say so where there is none."""
    measured = model.card.measured if model.card else None
    made: tuple[tuple[str, Iterator[Block]], ...] = (
        ("Summary", _summary(model, measured)),
        ("Introduction: purpose", _purpose(model)),
        ("Methods: data", _data(measured)),
        ("Methods: reference standard", _reference(measured)),
        ("Methods: data partitions", _partitions(model, measured)),
        ("Methods: model", _model(model)),
        ("Methods: training", _training(model)),
        ("Methods: evaluation", _evaluation(measured)),
        ("Results: model performance", results.performance(measured)),
        ("Results: operating points", results.points(model, measured)),
        ("Results: calibration", results.calibration(model, measured)),
        ("Results: subgroups", results.subgroups(measured)),
        ("Results: where it looks", results.localisation(measured)),
        ("Results: known failures", results.failures(measured)),
        ("Discussion: limitations", _limitations(model, measured)),
        ("Other information", _other(model, measured)),
    )
    return tuple(Section(title, tuple(blocks)) for title, blocks in made)


def _summary(model: Described, measured: Measured | None) -> Iterator[Block]:
    info = model.info
    yield Paragraph(f"{info.title}; for {info.audience}. File SHA-256 {model.sha256}.")
    if model.trouble:
        yield Paragraph(model.trouble)
    for result in measured.evaluations if measured else ():
        yield Paragraph(
            f"On the {result.name} part ({films_of(result.films, result.patients)}): mean AUROC "
            f"{shown(result.mean_auroc)}{_arg_max(result)}."
        )


def _arg_max(result: Result) -> str:
    """Accuracy and F1 of the most probable class, where classes exclude one another."""
    if result.kind != "multiclass" or not result.decisions:
        return ""
    points = result.decisions[0]
    return f", accuracy {shown(points.all_right)}, macro F1 {shown(points.macro.f1)}"


def _purpose(model: Described) -> Iterator[Block]:
    info = model.info
    yield Paragraph(
        f"Made to study how well a network tells {', '.join(map(readable, info.labels))} in "
        f"films ({info.audience}), and to teach what such a network can and cannot do. For researchers, teachers and "
        "students."
    )
    yield Paragraph(
        "For research and education. Not a medical device: no decision about a patient may rest on it. It is not for "
        "films of other patients or body parts, not for lateral views, and not for triage or screening."
    )


def _data(measured: Measured | None) -> Iterator[Block]:
    source = _source(measured)
    if source:
        yield Paragraph(f"{source.title}. Licence: {source.licence}. Attribution: {source.attribution}.")
        yield from map(Paragraph, source.cautions)
    else:
        yield Paragraph("Of the data it is not recorded where they come from, nor under which licence.")
    people = measured.populations if measured else ()
    if not people:
        yield Paragraph(f"Who is in the data: {NOT_MEASURED.lower()}")
        return
    yield Table(("", *(f"{p.part}" for p in people)), tuple(_who(people)), "Who is in it (films)")
    rows = [
        (readable(label), *(share_of(p.positives.get(label, 0), p.films) for p in people))
        for label in people[0].positives
    ]
    yield Table(("Finding", *(p.part for p in people)), tuple(rows), "Films with each finding")


def _who(people: Sequence[Population]) -> Iterator[tuple[str, ...]]:
    yield "Films", *(str(p.films) for p in people)
    yield "Patients", *(str(p.patients) for p in people)
    for attribute in people[0].groups:
        values = dict.fromkeys(value for p in people for value in p.groups.get(attribute, {}))
        if set(values) - {"not known"}:
            for value in sorted(values, key=lambda value: (value == "not known", value)):
                counts = (p.groups.get(attribute, {}).get(value, 0) for p in people)
                shares = (share_of(count, p.films) for count, p in zip(counts, people, strict=True))
                yield f"{readable(attribute)}: {value}", *shares
        else:
            yield f"{readable(attribute)}", *("not known" for _ in people)


def _reference(measured: Measured | None) -> Iterator[Block]:
    source = _source(measured)
    yield Paragraph(source.labels if source else "Who labelled the films is not recorded.")


def _partitions(model: Described, measured: Measured | None) -> Iterator[Block]:
    yield Paragraph("Apart by patient: no patient has films in two parts. The test part chose nothing.")
    for run in runs_of(model.info.training):
        films, prints = run.get("films", {}), run.get("fingerprints", {})
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in films.items()) or "not recorded"
        yield Paragraph(f"Films of the run: {counts}.")
        rows = [(part, sha) for part, sha in prints.items()]
        rows += [(p.part, p.fingerprint) for p in (measured.populations if measured else ()) if p.part not in prints]
        yield Table(("Part", "SHA-256 of names and labels"), tuple(rows))


def _model(model: Described) -> Iterator[Block]:
    info, how = model.info, model.info.preprocessing
    yield Paragraph(
        f"{info.architecture}; {info.kind}, {len(info.labels)} outputs. Input {how.size} x {how.size} px, "
        f"{how.channels} channels, the film {'padded to' if how.fit == 'pad' else 'squashed into'} a square. "
        "Weights in 8 bits, arithmetic in floating point."
    )


def _training(model: Described) -> Iterator[Block]:
    runs = runs_of(model.info.training)
    if not runs:
        yield Paragraph("How it was trained is not recorded.")
    for run in runs:
        yield Paragraph(
            f"Run of {run.get('date', 'a day not recorded')}, epoch {run.get('epoch', '?')}, seed "
            f"{run['recipe']['seed']}. To train it again, with DATA the folder of each task's films:"
        )
        yield from map(Command, retrain_commands(model.info.task, run))
        yield from (Paragraph(_start(start)) for start in first_starts(run))
        yield from (Paragraph(_earlier(DATA[layout])) for layout in layouts(run) if layout in DATA)
        versions = ", ".join(f"{name} {version}" for name, version in run.get("versions", {}).items())
        yield Paragraph(f"Versions: {versions or 'not recorded'}.")


def _earlier(source: Source) -> str:
    return f"Earlier runs learned from {source.title}. Licence: {source.licence}. Attribution: {source.attribution}."


def _start(name: str | None) -> str:
    if name is None:
        return "Start weights: random."
    known = START_WEIGHTS.get(name)
    if known:
        return f"Start weights: {name}: {known.title}. Licence: {known.licence}. Attribution: {known.attribution}."
    return f"Start weights: {name}, weights of an earlier run; what that one started from docs/experiments.md tells."


def _evaluation(measured: Measured | None) -> Iterator[Block]:
    if measured is None:
        yield Paragraph(NOT_MEASURED)
        return
    yield Paragraph(
        "The model file itself, through the pipeline that serves it. Intervals are 95 %: 2.5th to 97.5th percentile "
        "over 1000 draws of the patients with replacement, all films of a patient together."
    )
    yield Table(("", ""), (*measured.about.items(), ("Measured", measured.date)))


def _limitations(model: Described, measured: Measured | None) -> Iterator[Block]:
    few = [label for label, p in model.info.operating_points.get("youden", {}).items() if p.positives < 10]
    if few:
        yield Paragraph(f"Calibrated on fewer than ten validation films with it: {', '.join(map(readable, few))}.")
    if measured and len(measured.evaluations) > 1:
        yield Paragraph("Internal and external figures stand side by side above.")
    yield Paragraph(
        "Elsewhere films, prevalences and labels differ from those above, and probabilities and thresholds are off: "
        "docs/calibration.md says how a site calibrates the model for itself."
    )
    yield Paragraph(
        "An interval says how unsure the calibration is, not what the network overlooks. A heat map says what moved "
        "the score, not where a finding is."
    )


def _other(model: Described, measured: Measured | None) -> Iterator[Block]:
    task = model.info.task
    yield Paragraph("Software: Apache-2.0. No registered protocol.")
    yield Paragraph(f"`python -m cxr models {task}` shows this card, `python -m cxr card` makes it from a measurement.")
    if measured is None:
        yield Paragraph("To measure the model and make its card:")
        yield Command("python -m cxr card FILE.onnx --data DIR --out REPORT")


def _source(measured: Measured | None) -> Source | None:
    return DATA.get(measured.layout) if measured else None
