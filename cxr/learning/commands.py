"""What Model_Training/train.py and test.py do; their flags are made from the recipe's fields."""

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
from cxr.errors import CxrError
from cxr.learning.augment import AUGMENTATIONS
from cxr.learning.datasets import FilmTable, check_apart, pack, read_nih, split_by_patient
from cxr.learning.losses import LOSSES
from cxr.learning.models import POOLINGS
from cxr.learning.training import train
from cxr.learning.trunks import ARCHITECTURES
from cxr.tasks import TASKS, Recipe, Task

CHOICES = {"precision": ("auto", "bf16", "f32"), "arch": ARCHITECTURES, "pooling": POOLINGS, "loss": LOSSES, "augment": AUGMENTATIONS}


def run_train(arguments: list[str]) -> int:
    """Exit status of train.py: 0, or 1 after one sentence that says what is wrong."""
    options = _train_parser().parse_args(arguments)
    try:
        _train(options)
    except CxrError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command goes on after the last finished epoch.", file=sys.stderr)
        return 130
    return 0


def _train_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="train.py", description=__doc__)
    parser.add_argument("--task", choices=TASKS, default="chestxray14", help="what is predicted")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set, as it is downloaded")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an unfinished run there goes on")
    parser.add_argument("--init", type=Path, help="safetensors file with trained weights for the trunk")
    parser.add_argument("--limit", type=int, help="use only the first N training films")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder for packed films")
    for setting in dataclasses.fields(Recipe):
        parser.add_argument(
            f"--{setting.name.replace('_', '-')}",
            type=type(setting.default),
            choices=CHOICES.get(setting.name),
            help=f"{setting.metadata['help']} (default: the task's)",
        )
    return parser


def _train(options: argparse.Namespace) -> None:
    task = TASKS[options.task]
    given = {f.name: getattr(options, f.name) for f in dataclasses.fields(Recipe)}
    recipe = dataclasses.replace(task.recipe, **{name: v for name, v in given.items() if v is not None})
    table, validation = training_tables(task, recipe, options.data)
    if options.limit:
        table = table.take(np.arange(min(options.limit, len(table))))
    print(f"{len(table)} training and {len(validation)} validation films, {len(table.missing)} missing")
    record = _record(table, validation, options.init)
    packed = [pack(part, options.cache, task.preprocessing.fit) for part in (table, validation)]
    train(task, recipe, packed[0], packed[1], options.out, record, options.init)


def training_tables(task: Task, recipe: Recipe, folder: Path) -> tuple[FilmTable, FilmTable]:
    """(training, validation) films of the data set in `folder`, apart by patient and apart from its test list."""
    everyone = read_nih(folder, "train_val", task.labels)
    check_apart(everyone, read_nih(folder, "test", task.labels))
    return split_by_patient(everyone, recipe.val_share, recipe.seed)


def _record(table: FilmTable, validation: FilmTable, init: Path | None) -> dict[str, Any]:
    """What a training record must say for the run to be repeated."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "films": {"training": len(table), "validation": len(validation), "missing": len(table.missing)},
        "fingerprints": {"training": table.fingerprint(), "validation": validation.fingerprint()},
        "init": init.name if init else None,
        "versions": {
            "cxr": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        },
    }


def run_test(arguments: list[str]) -> int:
    raise NotImplementedError
