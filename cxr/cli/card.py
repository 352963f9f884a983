"""Measure a model file on films that it has not seen, and write its card from what was measured."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cxr.errors import BadRequest

if TYPE_CHECKING:
    from cxr.learning.appraisal import Watched
    from cxr.learning.calibration import Calibration
    from cxr.learning.datasets import DataSet
    from cxr.learning.evaluation_report import EvaluationReport
    from cxr.learning.figures import Evaluation
    from cxr.learning.supply import Supply
    from cxr.learning.tables import FilmTable
    from cxr.reading.engine import Engine

REPORT = "report.json"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="FILE.onnx", help="exported model file")
    parser.add_argument("--data", type=Path, help="the data set that it was trained on: its test part is measured")
    parser.add_argument("--external", type=Path, help="a second data set, whose figures stand beside the first's")
    parser.add_argument("--out", type=Path, help="folder for the report: report.html, report.json and more")
    about = "make the card from this report.json of the very file, instead of measuring it"
    parser.add_argument("--report", type=Path, metavar="REPORT.json", help=about)
    about = "report.json of test.py of the same recipe on films whose middle is black (benchmarks/blackout.py)"
    parser.add_argument("--control", type=Path, metavar="REPORT.json", help=about)


def run(options: argparse.Namespace) -> int:
    """0; the card stands beside the model file."""
    from dataclasses import replace

    from cxr.cards.card import card_file, make
    from cxr.cards.measured import Measured
    from cxr.reading.exported import Exported

    model = Exported.read(options.model)
    report = options.report or _measure(options)
    measured = Measured.read(report)
    if options.control:
        measured = replace(measured, controls=Measured.read(options.control).as_controls())
    card = make(model.info.name, model.sha256, measured)
    out = card_file(options.model)
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        part.write_text(card.to_json(), "utf-8")
        part.replace(out)
    except OSError as error:
        raise BadRequest(f"{out} cannot be written ({error.strerror}).") from error
    print(f"{out}\nThe desk shows it under /models, the terminal by `python -m cxr models {model.info.task}`.")
    return 0


def _measure(options: argparse.Namespace) -> Path:
    """The report of the file, through the pipeline that serves it."""
    from cxr.learning.evaluation_report import write_report

    if not options.data or not options.out:
        raise BadRequest("Give --data and --out to measure the model, or the --report of an earlier measurement.")
    report = _report(options)
    options.out.mkdir(parents=True, exist_ok=True)
    print("\n\n".join(each.to_text() for each in report.evaluations))
    print(f"\nReport: {write_report(report, options.out)}")
    return Path(options.out / REPORT)


def _report(options: argparse.Namespace) -> "EvaluationReport":
    from cxr.cards.measured import Subject
    from cxr.cards.retraining import runs_of
    from cxr.learning.appraisal import dark_maps, population, reliabilities
    from cxr.learning.calibration import Calibration
    from cxr.learning.evaluation_report import EvaluationReport
    from cxr.learning.supply import Supply, uncertain_of
    from cxr.reading.engine import Engine
    from cxr.settings import Settings
    from cxr.tasks import TASKS

    engine = Engine(options.model, Settings.from_environment())
    info, task = engine.info, TASKS[engine.info.task]
    record = next(iter(runs_of(info.training)), {})
    source = Supply(task, options.data, uncertain_of(record, None))
    films = source.read()
    training, held_out, test = _parts(engine, source, films)
    validation, tested = _watch(engine, "validation", held_out), [_watch(engine, "test", test)]
    if options.external:
        outside = Supply(task, options.external).read().external()
        tested.append(_watch(engine, "external", outside))
    calibration = Calibration(info.labels, info.platt, info.operating_points, info.kind, info.resampled)
    return EvaluationReport(
        title=f"{info.title}: {info.name}",
        evaluations=tuple(_evaluate(each, calibration, options.data) for each in tested),
        about={"Model file": options.model.name, "Data": options.data.name, "Engine": engine.version},
        reliability=reliabilities(task, calibration, validation, tested),
        task=info.task,
        subject=Subject(engine.sha256),
        layout=films.layout,
        populations=(
            population("training", training),
            *(population(each.part, each.table) for each in (validation, *tested)),
        ),
        dark_maps=dark_maps(tested[0], info.map_scale),
    )


def _parts(engine: "Engine", source: "Supply", films: "DataSet") -> tuple["FilmTable", "FilmTable", "FilmTable"]:
    """Training, validation and test films, as the runs behind the model had them.

    Raises:
        TrainingDataError: the data set is not the one that it was trained on, or its record does not say which that is.
    """
    from cxr.cards.retraining import runs_of
    from cxr.errors import TrainingDataError
    from cxr.tasks import Recipe

    runs = runs_of(engine.info.training)
    if not runs:
        raise TrainingDataError("The model file has no training record, so its held-out films are not known.")
    recipes = [Recipe.from_dict(dict(run["recipe"])) for run in runs]
    held_out = source.held_out(films, recipes, runs)
    return source.training(films, recipes[0]), held_out, films.part("test")


def _watch(engine: "Engine", part: str, table: "FilmTable") -> "Watched":
    """One film after another, as in serving. Raises TrainingDataError when too many cannot be read."""
    import numpy as np

    from cxr.learning.appraisal import Watched
    from cxr.learning.looking import read_batches
    from cxr.learning.packing import MOST_UNREADABLE

    unreadable: dict[int, str] = {}
    batches = read_batches(table, engine.info.preprocessing, f"{part} films", unreadable, MOST_UNREADABLE)
    outputs = [engine.run(np.ascontiguousarray(film[None])) for batch in batches for film in batch.numpy()]
    logits, maps = (np.concatenate([getattr(one, name) for one in outputs]) for name in ("logits", "maps"))
    return Watched(part, table.without(unreadable), logits, maps)


def _evaluate(watched: "Watched", calibration: "Calibration", folder: Path) -> "Evaluation":
    from dataclasses import replace

    from cxr.learning.boxes import read_nih_boxes
    from cxr.learning.evaluation import evaluate, localise

    table, labels = watched.table, calibration.labels
    probabilities = calibration.probabilities(watched.logits)
    points = calibration.operating_points
    found = evaluate(probabilities, table, name=watched.part, kind=calibration.kind, operating_points=points)
    boxes = read_nih_boxes(folder, table, labels) if watched.part == "test" else None
    if boxes is None:
        return found
    maps = watched.maps[boxes.rows, [labels.index(label) for label in boxes.labels]]
    return replace(found, localisation=localise(maps, boxes.boxes, boxes.labels, table.patients[boxes.rows]))
