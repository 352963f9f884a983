"""Compare the ways in which maps of where a model looked are made: deletion on validation films, then boxes."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cxr.errors import TrainingDataError
from cxr.modelfile import MAPS

if TYPE_CHECKING:
    from cxr.learning.datasets import DataSet
    from cxr.learning.deletion import MethodFigures, Pairs
    from cxr.learning.ensemble import Ensemble
    from cxr.learning.figures import LocalisationFigures
    from cxr.learning.supply import Supply

AHEAD_OF = "gradcam"
FILMS = 200


def add_flags(parser: argparse.ArgumentParser) -> None:
    about = "run folder or checkpoint of train.py; several of one task answer together, by the mean of their logits"
    parser.add_argument("runs", type=Path, metavar="RUN", nargs="+", help=about)
    parser.add_argument("--data", type=Path, required=True, help="the data set that the runs were trained on")
    parser.add_argument("--flip", action="store_true", help="answer by the mean of the film and its mirror image")
    about = "validation films for deletion, each with a finding that it has; 0 leaves deletion out"
    parser.add_argument("--films", type=int, default=FILMS, help=about)


def run(options: argparse.Namespace) -> int:
    """Print the figures of each method; exit status 0. Raises of the CxrError family."""
    import torch

    from cxr.learning.ensemble import Ensemble
    from cxr.learning.supply import Supply

    if options.films < 0:
        raise TrainingDataError(f"--films {options.films} is no number of films; give 0 or more.")
    net = Ensemble.load(options.runs, options.flip).to("cuda" if torch.cuda.is_available() else "cpu")
    source = Supply(net.task, options.data)
    films = source.read()
    if options.films:
        print("\n".join(_deletion(net, source, films, options.films)), flush=True)
    print("\n".join(_boxes(net, options.data, films)))
    return 0


def _deletion(net: "Ensemble", source: "Supply", films: "DataSet", count: int) -> Iterator[str]:
    """By which a method is chosen: on validation films alone, without boxes."""
    from cxr.learning.deletion import changes, figures, positive_pairs
    from cxr.learning.looking import read_prepared

    held_out = source.held_out(films, net.recipes, [member.record for member in net.records])
    pairs = positive_pairs(held_out, count)
    found = changes(net, read_prepared(pairs.table, net.preprocessing), pairs.labels, list(MAPS))
    yield _about(pairs)
    yield from map(_deletion_line, figures(found, pairs.table.patients, AHEAD_OF))


def _about(pairs: "Pairs") -> str:
    patients = len(set(pairs.table.patients.tolist()))
    return (
        f"{len(pairs.labels)} validation films of {patients} patients, each with a finding that it has; logits, 95 % "
        f"intervals over patients\n{'':14}{'deletion':26}{f'ahead of {AHEAD_OF}':28}{'insertion':26}ahead of {AHEAD_OF}"
    )


def _deletion_line(one: "MethodFigures") -> str:
    shown = f"{one.deletion!s:26}{one.deletion_ahead!s:28}{one.insertion!s:26}{one.insertion_ahead}"
    return f"{one.name:14}{shown}"


def _boxes(net: "Ensemble", folder: Path, films: "DataSet") -> Iterator[str]:
    """What the choice is worth: on the boxes of the test part, by which nothing is chosen."""
    import numpy as np

    from cxr.learning.boxes import read_nih_boxes
    from cxr.learning.evaluation import localise
    from cxr.learning.looking import read_and_look

    test = films.part("test")
    boxes = read_nih_boxes(folder, test, net.task.labels)
    if boxes is None:
        return
    rows, row_of_box = np.unique(boxes.rows, return_inverse=True)
    labels = [net.task.labels.index(label) for label in boxes.labels]
    yield f"\n{'boxes':14}{'pointing game':26}{'ahead of centre':28}{'dark':8}{'IoU >= 0.1':26}IoU >= 0.3"
    for net.maps in MAPS:
        _, seen = read_and_look(net, test.take(rows), f"films with boxes, {net.maps}", 0)
        maps = seen.maps[row_of_box, labels]
        dark = float((maps.max(axis=(1, 2)) <= 0).mean())
        every = localise(maps, boxes.boxes, boxes.labels, test.patients[boxes.rows])[-1]
        yield _box_line(net.maps, every, dark)


def _box_line(name: str, every: "LocalisationFigures", dark: float) -> str:
    shares = f"{every.pointing!s:26}{every.gain!s:28}{dark:<8.2f}{every.iou['0.1']!s:26}{every.iou['0.3']}"
    return f"{name:14}{shares}"
