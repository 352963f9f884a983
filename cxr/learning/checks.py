"""What is looked at before films are packed, which may take an hour: the recipe, files, and the folder of the run."""

import argparse
import dataclasses
import importlib.util
from typing import Any

import torchvision

from cxr.errors import TrainingError
from cxr.learning.batches import check_shares
from cxr.learning.devices import check_precision, default_device, world_size
from cxr.learning.distillation import read_teacher
from cxr.learning.runs import check_same, stored
from cxr.tasks import Augmentation, Recipe, Task


def check(task: Task, recipe: Recipe, options: argparse.Namespace, asked: dict[str, Any]) -> None:
    """Raises TrainingError or ModelFileError for what could not be trained. `asked` goes into the run's record."""
    if not options.out and not options.pack:
        raise TrainingError("There is no folder for the run; name one with --out.")
    check_recipe(recipe, task)
    check_shares(recipe, world_size())
    check_precision(default_device(), recipe.precision)
    last = None if options.pack else stored(options.out)
    if last:
        check_same(options.out, last, task, recipe, asked)
    else:
        _check_start(recipe, options)
    for teacher in options.teacher:
        read_teacher(teacher, task, recipe)
    if options.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise TrainingError("--tensorboard needs the package tensorboard; install it or leave the flag out.")


def check_recipe(recipe: Recipe, task: Task) -> None:
    """Raises TrainingError for a value that cannot be used, or for two that do not go together."""
    _check_ranges(recipe)
    _check_ranges(recipe.augmentation)
    if "cross_entropy" in recipe.loss and task.kind != "multiclass":
        raise TrainingError(
            f"--loss {recipe.loss} is for tasks with one class a film, and {task.name} has labels that go together; "
            "choose bce, weighted_bce, focal or asymmetric."
        )
    if recipe.small_epochs and recipe.pooling == "flatten":
        raise TrainingError(
            f"--small-epochs {recipe.small_epochs} needs a network for films of any size, and --pooling flatten ties "
            "it to one; leave --small-epochs out, or choose another --pooling."
        )


def _check_ranges(settings: Recipe | Augmentation) -> None:
    for setting in dataclasses.fields(settings):
        value, allowed = getattr(settings, setting.name), setting.metadata.get("allowed")
        if isinstance(value, int | float) and allowed is not None and value not in allowed:
            flag = f"--{setting.name.replace('_', '-')}"
            raise TrainingError(f"{flag} {value} cannot be used; it must be {allowed}.")


def _check_start(recipe: Recipe, options: argparse.Namespace) -> None:
    """Of a new run: one that goes on needs no starting weights."""
    if options.init and not options.init.is_file():
        raise TrainingError(f"There is no file {options.init} to start from; name another with --init.")
    if options.pretrained and recipe.arch not in torchvision.models.list_models():
        raise TrainingError(
            f"--pretrained takes torchvision's weights, which has none of --arch {recipe.arch}; "
            "give a file with --init, or leave it out."
        )
