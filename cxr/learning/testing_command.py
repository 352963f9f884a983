"""What Model_Training/test.py does: a model, films that it has not seen, and a report on both."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cxr.cards.measured import Subject
from cxr.errors import TrainingDataError
from cxr.films.prepare import fit_square, prepare
from cxr.films.read import read_film
from cxr.learning import checkpoints, supply
from cxr.learning.appraisal import Watched, population, reliabilities
from cxr.learning.boxes import read_nih_boxes
from cxr.learning.calibration import Calibration, calibrate
from cxr.learning.datasets import MOST_UNREADABLE, DataSet, FilmTable
from cxr.learning.ensemble import Ensemble
from cxr.learning.evaluation import UNDEFINED, evaluate, localise, most_confident, read_scores
from cxr.learning.evaluation_report import (
    EvaluationReport,
    GalleryFilm,
    TrainingCurve,
    read_training_curves,
    write_report,
)
from cxr.learning.figures import Evaluation, LocalisationFigures
from cxr.learning.looking import Seen, read_and_look
from cxr.learning.references import explain
from cxr.learning.reliability import to_text
from cxr.learning.supply import OtherFilms, Supply, uncertain_of
from cxr.metrics import rank_correlation
from cxr.modelfile import DEFAULT_MAPS, MAPS, Platt, apply_calibration
from cxr.tasks import TASKS, Task

GALLERY_SIDE = 224  # pixels
GALLERY_FILMS = 24
OPERATING_POINT = "youden"  # by which the gallery tells right from wrong, as the desk does by default
LACK = "for lack of validation films with it and without it"
HEADINGS = {"found": "Found, surest first", "false alarm": "False alarms, surest first", "missed": "Missed"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    about = (
        "run folder, checkpoint, or a csv of `python -m cxr predict`; several runs of one task answer together, by "
        "the mean of their logits"
    )
    parser.add_argument("models", type=Path, metavar="RUN_OR_CHECKPOINT", nargs="+", help=about)
    supply.add_flags(parser, uncertain="what the run did")
    parser.add_argument("--flip", action="store_true", help="answer by the mean of the film and its mirror image")
    about = "how the maps of where it looked are made"
    parser.add_argument("--maps", choices=MAPS, default=DEFAULT_MAPS, help=about)
    about = (
        "explain N films of the gallery by occlusion, LIME and GradientSHAP too: 300 passes through the network each"
    )
    parser.add_argument("--explain", type=int, default=0, metavar="N", help=about)
    parser.add_argument("--external", type=Path, help="a second data set, whose figures stand beside the first's")
    parser.add_argument("--task", choices=TASKS, default="chestxray14", help="of a csv; a checkpoint knows its own")
    parser.add_argument("--out", type=Path, help="folder for report.html, and the figures as txt, json and csv")
    parser.add_argument("--limit", type=int, help="use only the first N films of each part")


def run(options: argparse.Namespace) -> None:
    """Test checkpoints, or the answers in a csv. Raises of the CxrError family."""
    if options.limit is not None and options.limit < 1:
        raise TrainingDataError(f"--limit {options.limit} leaves no film to test on; give 1 or more.")
    if all(path.suffix != ".csv" for path in options.models):
        _test_checkpoints(options)
    elif len(options.models) == 1 and not options.flip:
        _test_answers(options)
    else:
        raise TrainingDataError("A csv of answers is tested by itself; leave --flip and the other models out.")


def _test_answers(options: argparse.Namespace) -> None:
    """Probabilities that the served pipeline gave, measured by the same code."""
    task, (file,) = TASKS[options.task], options.models
    source = Supply(task, options.data, options.uncertain or "ignore", options.most_unreadable)
    table = _limited(source.read().part("test", most_unreadable=source.most_unreadable), options.limit)
    evaluation = evaluate(read_scores(file, table), table, kind=task.kind)
    print(evaluation.to_text())
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        about = {"Answers": file.name, "Data": options.data.name}
        report = EvaluationReport(task.title, (evaluation,), about, task=task.name)
        print(f"\nReport: {write_report(report, options.out)}")


@dataclass(frozen=True)
class _Model:
    """Networks that are ready to answer."""

    net: Ensemble
    calibration: Calibration | None  # None where the validation films do not suffice

    @property
    def task(self) -> Task:
        return self.net.task

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N, K), calibrated where that could be done."""
        if self.calibration:
            return self.calibration.probabilities(logits)
        return apply_calibration(logits, [Platt()] * logits.shape[1], self.task.kind)

    def decided(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, K): 1 where a label is called, 0 where it is not, NaN where it has no threshold.

        By arg max where one class excludes the others, else at the operating point that answers are given at.
        """
        if self.task.kind == "multiclass":
            return np.asarray(np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)])
        if not self.calibration:
            return np.full(probabilities.shape, np.nan)
        points = self.calibration.operating_points[OPERATING_POINT]
        thresholds = np.array([points.get(label, UNDEFINED).threshold for label in self.task.labels])
        return np.where(np.isnan(thresholds), np.nan, probabilities >= thresholds)


def _test_checkpoints(options: argparse.Namespace) -> None:
    net = Ensemble.load(options.models, options.flip, options.maps).to("cuda" if torch.cuda.is_available() else "cpu")
    uncertain = uncertain_of(net.records[0].record, options.uncertain)
    source = Supply(net.task, options.data, uncertain, options.most_unreadable)
    films = source.read()
    validation = _look_at_validation(net, source, films, options.limit)
    model = _Model(net, _calibrate(validation, net.task))
    inside = _limited(films.part("test", most_unreadable=source.most_unreadable), options.limit)
    table, seen = read_and_look(net, inside, "test films", source.most_unreadable)
    watched = [Watched("test", table, seen.logits, seen.maps)]
    evaluation = _evaluate(model, table, seen, "test")
    evaluations = [replace(evaluation, localisation=_localise(options.data, net.task, table, seen))]
    if options.external:
        evaluation, outside = _evaluate_external(model, replace(source, folder=options.external), options.limit)
        evaluations.append(evaluation)
        watched.append(outside)
    found = reliabilities(net.task, model.calibration, validation, watched) if model.calibration and validation else ()
    print("\n\n".join([*(each.to_text() for each in evaluations), *map(to_text, found)]))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        report = EvaluationReport(
            title=f"{net.task.title}: {' + '.join(recipe.arch for recipe in net.recipes)}",
            evaluations=tuple(evaluations),
            about=_about(options, model),
            training=_training_curves(options.models),
            gallery=_gallery(model, table, seen, options.explain),
            reliability=found,
            task=net.task.name,
            subject=Subject(training=net.record),
            layout=films.layout,
            populations=tuple(population(each.part, each.table) for each in watched),
        )
        print(f"\nReport: {write_report(report, options.out)}")


def _limited(table: FilmTable, limit: int | None) -> FilmTable:
    return table.take(np.arange(min(limit or len(table), len(table))))


def _look_at_validation(net: Ensemble, source: Supply, films: DataSet, limit: int | None) -> Watched | None:
    """None, and a sentence, where a run may have learned from the validation films."""
    try:
        validation = _limited(_held_out(net, source, films), limit)
    except OtherFilms as error:
        print(f"Not calibrated, and without operating points: {error}")
        return None
    table, seen = read_and_look(net, validation, "validation films", source.most_unreadable)
    return Watched("validation", table, seen.logits, seen.maps)


def _calibrate(validation: Watched | None, task: Task) -> Calibration | None:
    """None where there are no validation films, and with a sentence where they do not suffice."""
    if validation is None:
        return None
    table = validation.table
    try:
        made = calibrate(validation.logits, table.labels, task.labels, task.kind, table.patients)
    except TrainingDataError as error:
        print(f"Not calibrated, and without operating points: {error}")
        return None
    if made.uncalibrated:
        print(f"Not calibrated, and without operating points, {LACK}: {', '.join(made.uncalibrated)}")
    return made


def _held_out(net: Ensemble, source: Supply, films: DataSet) -> FilmTable:
    """Validation films that no run has learned from.

    Raises:
        OtherFilms: they are not known to be that; the official test part still is one to test on.
        TrainingDataError: nor is then the test part, which is drawn too.
    """
    try:
        return source.held_out(films, net.recipes, [member.record for member in net.records])
    except OtherFilms as error:
        if films.draws_test:
            raise TrainingDataError(
                f"{error} Its test part is drawn as well, so the same holds there; films from elsewhere are given with "
                "--external."
            ) from error
        raise


def _evaluate_external(model: _Model, source: Supply, limit: int | None) -> tuple[Evaluation, Watched]:
    outside = _limited(source.read().external(source.most_unreadable), limit)
    table, seen = read_and_look(model.net, outside, "external films", source.most_unreadable)
    return _evaluate(model, table, seen, "external"), Watched("external", table, seen.logits, seen.maps)


def _evaluate(model: _Model, table: FilmTable, seen: Seen, name: str) -> Evaluation:
    probabilities = model.probabilities(seen.logits)
    points = model.calibration.operating_points if model.calibration else None
    return evaluate(probabilities, table, name=name, kind=model.task.kind, operating_points=points)


def _training_curves(models: list[Path]) -> tuple[TrainingCurve, ...]:
    """Of a single run; the curves of several would not be those of what is tested. None of a checkpoint alone."""
    file = checkpoints.find(models[0]).with_name("metrics.jsonl")
    return read_training_curves(file) if len(models) == 1 and file.exists() else ()


def _localise(folder: Path, task: Task, table: FilmTable, seen: Seen) -> tuple[LocalisationFigures, ...]:
    """Figures against the boxes that the data set has; none where it has none."""
    boxes = read_nih_boxes(folder, table, task.labels)
    if boxes is None:
        return ()
    maps = seen.maps[boxes.rows, [task.labels.index(label) for label in boxes.labels]]
    return localise(maps, boxes.boxes, boxes.labels, table.patients[boxes.rows])


def _about(options: argparse.Namespace, model: _Model) -> dict[str, str]:
    net = model.net
    sizes = " and ".join(dict.fromkeys(f"{recipe.size} px" for recipe in net.recipes))
    films = [str(member.record.get("films", {}).get("training", "unknown")) for member in net.records]
    runs = " ".join(map(str, options.models))
    return {
        "Task": net.task.title,
        "Network": f"{net.describe()}, {sizes}",
        "Trained on": f"{', '.join(films)} films, best epoch {', '.join(str(m.epoch) for m in net.records)}",
        "Heat maps": MAPS[net.maps],
        "Probabilities": _calibrated(model.calibration),
        "Command": f"python Model_Training/test.py {runs} {_flags(options)}",
    }


def _calibrated(made: Calibration | None) -> str:
    if made is None:
        return "not calibrated"
    but = f"; {LACK} not {', '.join(made.uncalibrated)}" if made.uncalibrated else ""
    return f"calibrated on the validation films{but}"


def _flags(options: argparse.Namespace) -> str:
    """Those that the figures depend on."""
    flags = ["--data", options.data.name, *["--flip"] * options.flip]
    flags += ["--maps", options.maps] if options.maps != DEFAULT_MAPS else []
    for name in ("external", "uncertain", "limit"):
        value = getattr(options, name)
        flags += [f"--{name}", getattr(value, "name", str(value))] if value is not None else []
    share = options.most_unreadable
    return " ".join([*flags, *(["--most-unreadable", f"{share:g}"] if share != MOST_UNREADABLE else [])])


def _gallery(model: _Model, table: FilmTable, seen: Seen, explained: int) -> tuple[GalleryFilm, ...]:
    """The most confident right and wrong films, each with the heat map of its label; none where nothing is decided.

    After them as many of them as are to be `explained`, with the slower references.
    """
    probabilities = model.probabilities(seen.logits)
    above = model.decided(probabilities)
    films: list[GalleryFilm] = []
    references: list[GalleryFilm] = []
    picks = most_confident(probabilities, table.labels, model.task.labels, above, GALLERY_FILMS)
    for number, pick in enumerate(picks):
        k = model.task.labels.index(pick.label)
        scale = max(float(np.percentile(seen.maps[:, k].max(axis=(1, 2)), 99)), 1e-6)
        path, map_, fit = table.paths[pick.row], seen.maps[pick.row, k], model.task.preprocessing.fit
        caption = f"{pick.label.replace('_', ' ')} {probabilities[pick.row, k]:.0%}, {path.stem}"
        films.append(GalleryFilm(_draw(path, map_ / scale, fit), caption, HEADINGS[pick.verdict]))
        if number < explained:
            references += _references(model.net, path, k, map_, caption)
    return tuple(films + references)


def _references(net: Ensemble, path: Path, k: int, map_: NDArray[np.float32], caption: str) -> Iterator[GalleryFilm]:
    """The map (h, w) of label k, and what slower methods say of the same logit, each as bright as its own peak."""
    film = torch.from_numpy(prepare(read_film(path).pixels, net.preprocessing)[0])
    film = film.to(next(net.parameters()).device)
    found = explain(lambda films: net(films).logits, film, k)
    heading = f"{caption}: held against slower explanations"
    for name, one in {MAPS[net.maps]: map_, **found}.items():
        here = np.asarray(cv2.resize(map_, one.shape[::-1], interpolation=cv2.INTER_AREA), np.float32)
        agreement = rank_correlation(here, one)
        about = f"{name}, rank correlation with the map {agreement:.2f}" if name in found else name
        yield GalleryFilm(_draw(path, one / max(float(one.max()), 1e-6), net.task.preprocessing.fit), about, heading)


def _draw(path: Path, heat: NDArray[np.float32], fit: str) -> bytes:
    """PNG of the film in the model's square with its map (h, w) over it, 1 is full strength."""
    square, _ = fit_square(read_film(path).pixels, GALLERY_SIDE, fit)
    strength = cv2.resize(np.clip(heat, 0, 1).astype(np.float32), (GALLERY_SIDE, GALLERY_SIDE))
    colours = cv2.applyColorMap(np.asarray(strength * 255, np.uint8), cv2.COLORMAP_INFERNO)
    opacity = 0.6 * strength[..., None]
    blended = square[..., None] * 255 * (1 - opacity) + colours * opacity
    return bytes(cv2.imencode(".png", np.asarray(blended.round(), np.uint8))[1])
