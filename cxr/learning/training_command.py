"""What Model_Training/train.py does; its flags are made from the fields of the recipe."""

import argparse
import dataclasses
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from cxr import __version__
from cxr.learning import checkpoints, supply
from cxr.learning.batches import SAMPLINGS
from cxr.learning.budget import Budget
from cxr.learning.checks import check
from cxr.learning.datasets import FilmTable, PackedFilms
from cxr.learning.devices import PRECISIONS, is_first, join
from cxr.learning.distillation import Teachers
from cxr.learning.losses import LOSSES
from cxr.learning.models import HEADS, POOLINGS
from cxr.learning.runs import Bench
from cxr.learning.schedule import OPTIMIZERS, SCHEDULES
from cxr.learning.supply import NAMED, Supply, warn_of_labels
from cxr.learning.training import train
from cxr.learning.trunks import ARCHITECTURES
from cxr.tasks import CHANNELS, NO_AUGMENTATION, TASKS, Augmentation, Recipe, Task

CHOICES = {
    "precision": ("auto", *PRECISIONS),
    "arch": ARCHITECTURES,
    "pooling": POOLINGS,
    "head": HEADS,
    "sampling": SAMPLINGS,
    "channels": (0, *CHANNELS),
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "loss": LOSSES,
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", choices=TASKS, default="chestxray14", help="what is predicted")
    supply.add_flags(parser, uncertain="ignore")
    parser.add_argument("--out", type=Path, help="folder of the run; an unfinished run there goes on")
    parser.add_argument("--pack", action="store_true", help="decode the films into the cache, and stop")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--init", type=Path, help="file with trained weights: safetensors, or a .pth of torchvision")
    start.add_argument("--pretrained", action="store_true", help="start from torchvision's weights, downloading them")
    about = "run folder or checkpoint whose answers are learned besides the labels; may be given several times"
    parser.add_argument("--teacher", type=Path, action="append", default=[], help=about)
    parser.add_argument("--limit", type=int, help="use only the first N training films")
    parser.add_argument("--cache", type=Path, default=supply.CACHE, help="folder for packed films")
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
    recipe = dataclasses.replace(task.recipe, augmentation=augmentation, **_given(Recipe, options))
    if options.init or options.pretrained:
        return recipe
    return _from_scratch(recipe, options)


def _from_scratch(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """The recipe without what only helps trained weights: layers kept as they start, and a second, slower phase.

    What was asked for by a flag stays.
    """
    if not recipe.head_epochs and not recipe.frozen:
        return recipe
    lr = recipe.head_lr if recipe.head_epochs else recipe.lr
    one_phase: dict[str, Any] = {"head_epochs": 0, "frozen": 0, "lr": lr}
    changes = {name: value for name, value in one_phase.items() if getattr(options, name) is None}
    if changes and is_first():
        said = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in changes.items())
        print(f"The trunk starts at random, so none of it is kept: {said}. Or give --pretrained or --init.")
    return dataclasses.replace(recipe, **changes)


def _given(fields_of: type, options: argparse.Namespace) -> dict[str, Any]:
    values = {f.name: getattr(options, f.name, None) for f in dataclasses.fields(fields_of)}
    return {name: value for name, value in values.items() if value is not None}


def run(options: argparse.Namespace, budget: Budget | None = None, notes: tuple[str, ...] = ()) -> None:
    """Pack, train, or go on with an unfinished run. Raises of the CxrError family.

    A `budget` of time may end the run before its epochs are done. `notes` on the films go into its record.
    """
    task = TASKS[options.task]
    recipe = _recipe(task, options)
    check(task, recipe, options, _asked(options))
    parts = _parts(task, recipe, options)
    parts = dataclasses.replace(parts, said_before=notes)
    if is_first():
        print(parts.to_text())
        warn_of_labels(parts.validation)
    if not options.pack:
        _train(task, recipe, parts, options, budget)


@dataclasses.dataclass(frozen=True)
class _Parts:
    """What a run learns from and chooses its best epoch by."""

    training: FilmTable
    validation: FilmTable
    films: PackedFilms
    held_out: PackedFilms
    layout: str  # of the data set: a key of LAYOUTS
    said_before: tuple[str, ...] = ()  # notes on these films, from where they were packed

    @property
    def left_out(self) -> list[str]:
        return [*self.films.left_out.values(), *self.held_out.left_out.values()]

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.training.missing + self.validation.missing))  # often of one table

    @property
    def notes(self) -> list[str]:
        return list(dict.fromkeys(self.said_before + self.training.notes + self.validation.notes))

    def counts(self) -> dict[str, int]:
        return {
            "training": len(self.training),
            "validation": len(self.validation),
            "missing": len(self.missing),
            "left_out": len(self.left_out),
        }

    def to_text(self) -> str:
        counts = self.counts()
        said = "{training} training and {validation} validation films, {missing} missing, {left_out} unreadable"
        lines = [said.format(**counts), *self.notes]
        return "\n".join([*lines, *(f"missing: {name}" for name in self.missing[:NAMED])])


def _parts(task: Task, recipe: Recipe, options: argparse.Namespace) -> _Parts:
    """Both parts of the data set, packed."""
    source = Supply(task, options.data, options.uncertain or "ignore", options.most_unreadable, options.cache)
    films = source.read()
    training, validation = source.training(films, recipe), source.validation(films, [recipe])
    if options.limit:
        training = training.take(np.arange(min(options.limit, len(training))))
    largest = max(recipe.size, recipe.small_size if recipe.small_epochs else 0)
    training, packed = source.packed(training, largest)
    validation, held_out = source.packed(validation, largest)
    return _Parts(training, validation, packed, held_out, films.layout)


def _train(
    task: Task, recipe: Recipe, parts: _Parts, options: argparse.Namespace, budget: Budget | None = None
) -> None:
    with join() as place:
        train(
            Bench(
                task=task,
                recipe=recipe,
                films=parts.films,
                validation=parts.held_out,
                out=options.out,
                record=_record(parts, options),
                place=place,
                start=options.init,
                weights="DEFAULT" if options.pretrained else None,
                teachers=Teachers(options.teacher, task, recipe, place.device) if options.teacher else None,
                compiled=options.compile,
                tensorboard=options.tensorboard,
                save_every_s=options.save_every,
                budget=budget,
            )
        )


def _record(parts: _Parts, options: argparse.Namespace) -> dict[str, Any]:
    """What a training record must say for the run to be repeated, with the records of the runs that it builds on."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "layout": parts.layout,
        "films": parts.counts(),
        "missing": list(parts.missing[:NAMED]),
        "left_out": parts.left_out[:NAMED],
        "notes": parts.notes,
        "fingerprints": {"training": parts.training.fingerprint(), "validation": parts.validation.fingerprint()},
        **_asked(options),
        "start": checkpoints.history(options.init) if options.init else None,
        "taught_by": [checkpoints.history(teacher) for teacher in options.teacher],
        "versions": {
            "cxr": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        },
    }


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """What of the record is known before any film is read."""
    return {
        "uncertain": options.uncertain or "ignore",
        "init": options.init.name if options.init else "torchvision" if options.pretrained else None,
        "teachers": [path.name for path in options.teacher],
    }
