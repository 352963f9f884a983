"""What Model_Training/test.py does: a model, films that it has not seen, and a report on both."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr.errors import TrainingDataError
from cxr.films.prepare import fit_square
from cxr.films.read import read_film
from cxr.learning import checkpoints
from cxr.learning.boxes import read_nih_boxes
from cxr.learning.calibration import Calibration, calibrate
from cxr.learning.checkpoints import Checkpoint
from cxr.learning.datasets import DataSet, FilmTable, read_data_set
from cxr.learning.evaluation import evaluate, localise, most_confident, read_scores
from cxr.learning.evaluation_report import EvaluationReport, GalleryFilm, read_training_curves, write_report
from cxr.learning.figures import Evaluation, LocalisationFigures
from cxr.learning.looking import Seen, read_and_look
from cxr.metrics import sigmoid
from cxr.tasks import TASKS, Task

GALLERY_SIDE = 224  # pixels
GALLERY_FILMS = 24
HEADINGS = {"found": "Found, surest first", "false alarm": "False alarms, surest first", "missed": "Missed"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    about = "run folder, checkpoint, or a csv of `python -m cxr predict`"
    parser.add_argument("model", type=Path, metavar="RUN_OR_CHECKPOINT", help=about)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set, as it is downloaded")
    parser.add_argument("--external", type=Path, help="a second data set, whose figures stand beside the first's")
    parser.add_argument("--task", choices=TASKS, default="chestxray14", help="of a csv; a checkpoint knows its own")
    parser.add_argument("--out", type=Path, help="folder for report.html, and the figures as txt, json and csv")
    parser.add_argument("--limit", type=int, help="use only the first N films of each part")


def run(options: argparse.Namespace) -> None:
    """Test a checkpoint, or the answers in a csv. Raises of the CxrError family."""
    if options.model.suffix == ".csv":
        _test_answers(options)
    else:
        _test_checkpoint(options)


def _test_answers(options: argparse.Namespace) -> None:
    """Probabilities that the served pipeline gave, measured by the same code."""
    table = _limited(read_data_set(options.data, TASKS[options.task]).part("test"), options.limit)
    evaluation = evaluate(read_scores(options.model, table), table)
    print(evaluation.to_text())
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        about = {"Answers": options.model.name, "Data": options.data.name}
        report = EvaluationReport(TASKS[options.task].title, (evaluation,), about)
        print(f"\nReport: {write_report(report, options.out)}")


@dataclass(frozen=True)
class _Model:
    """A checkpoint that is ready to answer."""

    checkpoint: Checkpoint
    task: Task
    calibration: Calibration | None  # None where the validation films do not suffice

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N, K), calibrated where that could be done."""
        return self.calibration.probabilities(logits) if self.calibration else sigmoid(logits)


def _test_checkpoint(options: argparse.Namespace) -> None:
    file = checkpoints.find(options.model)
    checkpoint = checkpoints.load(file)
    task = TASKS[checkpoint.task]
    films = read_data_set(options.data, task)
    model = _Model(checkpoint, task, _calibrate(checkpoint, task, films, options.limit))
    table, seen = _look(checkpoint, _limited(films.part("test"), options.limit), "test films")
    evaluation = _evaluate(model, table, seen, "test")
    evaluation = replace(evaluation, localisation=_localise(options.data, task, table, seen))
    evaluations = [evaluation]
    if options.external:
        outside = _limited(read_data_set(options.external, task).external(), options.limit)
        evaluations.append(_evaluate(model, *_look(checkpoint, outside, "external films"), "external"))
    print("\n\n".join(each.to_text() for each in evaluations))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        curves = read_training_curves(file.with_name("metrics.jsonl"))
        report = EvaluationReport(
            title=f"{task.title}: {checkpoint.recipe.arch}",
            evaluations=tuple(evaluations),
            about=_about(options, model),
            training=curves,
            gallery=_gallery(model, table, seen),
        )
        print(f"\nReport: {write_report(report, options.out)}")


def _limited(table: FilmTable, limit: int | None) -> FilmTable:
    return table.take(np.arange(min(limit or len(table), len(table))))


def _look(checkpoint: Checkpoint, table: FilmTable, title: str) -> tuple[FilmTable, Seen]:
    return read_and_look(checkpoint.network(), table, checkpoint.preprocessing(), title)


def _calibrate(checkpoint: Checkpoint, task: Task, films: DataSet, limit: int | None) -> Calibration | None:
    recipe = checkpoint.recipe
    validation = _limited(films.part("validation", recipe.val_share, recipe.seed), limit)
    table, seen = _look(checkpoint, validation, "validation films")
    try:
        return calibrate(seen.logits, table.labels, task.labels)
    except TrainingDataError as error:
        print(f"Not calibrated, and without operating points: {error}")
        return None


def _evaluate(model: _Model, table: FilmTable, seen: Seen, name: str) -> Evaluation:
    probabilities = model.probabilities(seen.logits)
    points = model.calibration.operating_points if model.calibration else None
    return evaluate(probabilities, table, name=name, kind=model.task.kind, operating_points=points)


def _localise(folder: Path, task: Task, table: FilmTable, seen: Seen) -> tuple[LocalisationFigures, ...]:
    """Figures against the boxes that the data set has; none where it has none."""
    boxes = read_nih_boxes(folder, table, task.labels)
    if boxes is None:
        return ()
    maps = seen.maps[boxes.rows, [task.labels.index(label) for label in boxes.labels]]
    return localise(maps, boxes.boxes, boxes.labels, table.patients[boxes.rows])


def _about(options: argparse.Namespace, model: _Model) -> dict[str, str]:
    checkpoint = model.checkpoint
    films = checkpoint.record.get("films", {})
    command = f"python Model_Training/test.py {options.model} --data {options.data.name}"
    return {
        "Task": TASKS[checkpoint.task].title,
        "Network": f"{checkpoint.recipe.arch}, {checkpoint.recipe.pooling} pooling, {checkpoint.recipe.size} px",
        "Trained on": f"{films.get('training', 'unknown')} films, best epoch {checkpoint.epoch}",
        "Probabilities": "calibrated on the validation films" if model.calibration else "not calibrated",
        "Command": command,
    }


def _gallery(model: _Model, table: FilmTable, seen: Seen) -> tuple[GalleryFilm, ...]:
    """The most confident right and wrong films, each with the heat map of its label."""
    probabilities = model.probabilities(seen.logits)
    picks = most_confident(probabilities, table.labels, model.task.labels)[:GALLERY_FILMS]
    films = []
    for pick in picks:
        k = model.task.labels.index(pick.label)
        scale = max(float(np.percentile(seen.maps[:, k].max(axis=(1, 2)), 99)), 1e-6)
        picture = _draw(table.paths[pick.row], seen.maps[pick.row, k] / scale, model.task.preprocessing.fit)
        caption = f"{pick.label.replace('_', ' ')} {probabilities[pick.row, k]:.0%}, {table.paths[pick.row].stem}"
        films.append(GalleryFilm(picture, caption, HEADINGS[pick.verdict]))
    return tuple(films)


def _draw(path: Path, heat: NDArray[np.float32], fit: str) -> bytes:
    """PNG of the film in the model's square with its map (h, w) over it, 1 is full strength."""
    square, _ = fit_square(read_film(path).pixels, GALLERY_SIDE, fit)
    strength = cv2.resize(np.clip(heat, 0, 1).astype(np.float32), (GALLERY_SIDE, GALLERY_SIDE))
    colours = cv2.applyColorMap(np.asarray(strength * 255, np.uint8), cv2.COLORMAP_INFERNO)
    opacity = 0.6 * strength[..., None]
    blended = square[..., None] * 255 * (1 - opacity) + colours * opacity
    return bytes(cv2.imencode(".png", np.asarray(blended.round(), np.uint8))[1])
