"""Train the film check: may a film be read at all? See docs/film-check.md."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cxr.checkfile import CheckInfo
from cxr.errors import TrainingDataError
from cxr.learning.check_net import SIZE, export_check
from cxr.learning.check_pictures import Picture, pool, read_pictures, without
from cxr.learning.check_training import SOURCE_SIDE, Squares, find_thresholds, train
from cxr.learning.datasets import FilmTable, detect, pack, read_data_set
from cxr.learning.faults import end_of
from cxr.tasks import TASKS

# By which labels films are found; the film check does not look at them.
TASK_OF_LAYOUT = {
    "nih": "chestxray14", "chexpert": "chexpert14", "kermany": "pneumonia3", "class folders": "covid3",
    "csv": "chestxray14",
}  # fmt: skip
POOL = 12_000  # pictures that are no film, before they are spoiled
HELD_OUT_POOL = 1_000


def run(arguments: list[str]) -> int:
    """Exit status of film_check.py."""
    options = parser().parse_args(arguments)
    return end_of(lambda: train_and_export(options), "film_check.py")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="film_check.py", description=__doc__)
    made.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="data sets of chest films")
    made.add_argument(
        "--pictures", type=Path, nargs="+", required=True, metavar="DIR", help="folders of what is no chest film"
    )
    made.add_argument(
        "--held-out", type=Path, nargs="*", default=[], metavar="DIR", help="pictures to test with: never learned from"
    )
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write, .onnx")
    made.add_argument("--cache", type=Path, default=Path("cache"), help="folder of packed films")
    made.add_argument("--steps", type=int, default=4000, help="steps of training")
    made.add_argument("--lr", type=float, default=4e-3, help="peak learning rate")
    made.add_argument("--seed", type=int, default=0, help="seed of weights, order and changes")
    return made


def train_and_export(options: argparse.Namespace) -> None:
    train_films, validation_films = (_films(options.data, part, options.cache) for part in ("train", "validation"))
    held_out = [picture for folder in options.held_out for picture in read_pictures(folder).values()]
    pictures = without({k: v for folder in options.pictures for k, v in read_pictures(folder).items()}, held_out)
    if len(pictures) < 2:
        raise TrainingDataError("There are no pictures to learn from; name folders of them with --pictures.")
    learned, watched = _halves(pictures)
    strangers = pool(learned, train_films, POOL, SOURCE_SIDE, options.seed)
    net = train(Squares(train_films, strangers), options.steps, options.lr, options.seed)
    validation = pool(watched, validation_films, HELD_OUT_POOL, SOURCE_SIDE, options.seed + 1)
    thresholds, figures = find_thresholds(net, validation_films, validation, options.seed)
    record = {
        "films": len(train_films), "validation_films": len(validation_films), "pictures": len(learned),
        "validation_pictures": len(watched), "steps": options.steps, "lr": options.lr, "seed": options.seed,
        "torch": torch.__version__.split("+")[0], "validation": figures,
    }  # fmt: skip
    unfinished = options.out.with_suffix(".part")
    export_check(net, CheckInfo(SIZE, thresholds, record), unfinished)
    unfinished.replace(options.out)
    for sign, shares in figures.items():
        print(f"{sign:18} {thresholds[sign]:.4f}  good {shares['good_films']:.2%}  bad {shares['bad_films']:.2%}")


def _films(folders: list[Path], part: str, cache: Path) -> NDArray[np.uint8]:
    """(N, 128, 128) of one part of all data sets."""
    tables = [read_data_set(folder, TASKS[TASK_OF_LAYOUT[detect(folder)]]).part(part) for folder in folders]
    return np.concatenate([np.asarray(pack(_plain(t), cache, "squash", side=SOURCE_SIDE).squares) for t in tables])


def _plain(table: FilmTable) -> FilmTable:
    return replace(table, labels=np.zeros((len(table), 0), np.float32), label_names=())


def _halves(pictures: dict[str, Picture]) -> tuple[list[Picture], list[Picture]]:
    """Every sixth picture is for validation."""
    named = [pictures[name] for name in sorted(pictures)]
    watched = named[::6]
    return [picture for number, picture in enumerate(named) if number % 6], watched
