"""What Model_Training/train.py does; its flags are made from the fields of the recipe."""

import argparse
import dataclasses
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from cxr import __version__
from cxr.errors import TrainingError
from cxr.learning.batches import SAMPLINGS
from cxr.learning.datasets import FilmTable, PackedFilms, pack, read_data_set
from cxr.learning.devices import PRECISIONS, join
from cxr.learning.distillation import Teachers
from cxr.learning.losses import LOSSES
from cxr.learning.models import HEADS, POOLINGS
from cxr.learning.packing import CACHE_SIDE
from cxr.learning.schedule import OPTIMIZERS, SCHEDULES
from cxr.learning.training import Bench, train
from cxr.learning.trunks import ARCHITECTURES
from cxr.tasks import NO_AUGMENTATION, TASKS, Augmentation, Recipe, Task

CHOICES = {
    "precision": ("auto", *PRECISIONS),
    "arch": ARCHITECTURES,
    "pooling": POOLINGS,
    "head": HEADS,
    "sampling": SAMPLINGS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "loss": LOSSES,
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", choices=TASKS, default="chestxray14", help="what is predicted")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set, as it is downloaded")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an unfinished run there goes on")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--init", type=Path, help="safetensors file with trained weights for the trunk")
    start.add_argument("--pretrained", action="store_true", help="start from torchvision's weights, downloading them")
    about = "run folder or checkpoint whose answers are learned besides the labels; may be given several times"
    parser.add_argument("--teacher", type=Path, action="append", default=[], help=about)
    parser.add_argument("--limit", type=int, help="use only the first N training films")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder for packed films")
    parser.add_argument("--compile", action="store_true", help="compile the network by torch.compile")
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard files into the run folder")
    parser.add_argument("--save-every", type=float, default=600, metavar="S", help="seconds between checkpoints")
    _add_flags(parser.add_argument_group("recipe", "defaults are the task's"), Recipe)
    group = parser.add_argument_group("augmentation", "how far each change to a training film may go")
    group.add_argument("--no-augmentation", action="store_true", help="leave all changes out but those given here")
    _add_flags(group, Augmentation)


def _add_flags(group: "argparse._ArgumentGroup", fields_of: type) -> None:
    """A flag for each field that has a help text."""
    for setting in dataclasses.fields(fields_of):
        if "help" in setting.metadata:
            group.add_argument(
                f"--{setting.name.replace('_', '-')}",
                type=type(setting.default),
                choices=CHOICES.get(setting.name),
                help=setting.metadata["help"].replace("%", "%%"),
            )


def _recipe(task: Task, options: argparse.Namespace) -> Recipe:
    """The task's recipe with the flags that were given."""
    base = NO_AUGMENTATION if options.no_augmentation else task.recipe.augmentation
    augmentation = dataclasses.replace(base, **_given(Augmentation, options))
    return dataclasses.replace(task.recipe, augmentation=augmentation, **_given(Recipe, options))


def _given(fields_of: type, options: argparse.Namespace) -> dict[str, Any]:
    values = {f.name: getattr(options, f.name, None) for f in dataclasses.fields(fields_of)}
    return {name: value for name, value in values.items() if value is not None}


def run(options: argparse.Namespace) -> None:
    """Train, or go on with an unfinished run. Raises of the CxrError family."""
    task = TASKS[options.task]
    recipe = _recipe(task, options)
    _validate(recipe)
    table, validation = training_tables(task, recipe, options.data)
    if options.limit:
        table = table.take(np.arange(min(options.limit, len(table))))
    print(f"{len(table)} training and {len(validation)} validation films, {len(table.missing)} missing")
    table, films = packed(table, options.cache, task.preprocessing.fit)
    validation, held_out = packed(validation, options.cache, task.preprocessing.fit)
    with join() as place:
        train(
            Bench(
                task=task,
                recipe=recipe,
                films=films,
                validation=held_out,
                out=options.out,
                record=_record(table, validation, options.init, options.teacher),
                place=place,
                start=options.init,
                weights="DEFAULT" if options.pretrained else None,
                teachers=Teachers(options.teacher, task, place.device) if options.teacher else None,
                compiled=options.compile,
                tensorboard=options.tensorboard,
                save_every_s=options.save_every,
            )
        )


def _validate(recipe: Recipe) -> None:
    largest = max(recipe.size, recipe.small_size if recipe.small_epochs else 0)
    if largest > CACHE_SIDE:
        raise TrainingError(f"--size {largest} is more than the {CACHE_SIDE} px at which films are packed; lower it.")


def training_tables(task: Task, recipe: Recipe, folder: Path) -> tuple[FilmTable, FilmTable]:
    """(training, validation) films of the data set in `folder`, apart by patient and apart from its test part."""
    films = read_data_set(folder, task)
    training, validation = (films.part(part, recipe.val_share, recipe.seed) for part in ("train", "validation"))
    return training, validation


def packed(table: FilmTable, cache: Path, fit: str) -> tuple[FilmTable, PackedFilms]:
    """The films of `table` that can be read, decoded once, and the table without those that cannot."""
    films = pack(table, cache, fit)
    for row, why in films.left_out.items():
        print(f"left out: {table.paths[row].name}: {why}", file=sys.stderr)
    return table.without(films.left_out), films


def _record(table: FilmTable, validation: FilmTable, init: Path | None, teachers: list[Path]) -> dict[str, Any]:
    """What a training record must say for the run to be repeated."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "films": {"training": len(table), "validation": len(validation), "missing": len(table.missing)},
        "notes": list(table.notes),
        "fingerprints": {"training": table.fingerprint(), "validation": validation.fingerprint()},
        "init": init.name if init else None,
        "teachers": [path.name for path in teachers],
        "versions": {
            "cxr": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        },
    }
