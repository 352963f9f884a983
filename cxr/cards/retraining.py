"""The command line that trains a model again, from its training record."""

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from cxr.tasks import TASKS, Recipe


def runs_of(training: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The records of the runs behind a model: its own, or those of all members; none where nothing is recorded."""
    runs = training.get("members") or (training,)
    return tuple(run for run in runs if "recipe" in run)


def retrain_command(task: str, run: Mapping[str, Any]) -> str:
    """With a flag for every setting in which the run's recipe is not the task's own."""
    recipe = Recipe.from_dict(dict(run["recipe"]))
    preset = TASKS[task].recipe
    settings = _differing(recipe, preset) | _differing(recipe.augmentation, preset.augmentation)
    flags = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    start = run.get("init")
    if start:
        flags += ["--pretrained"] if start == "torchvision" else ["--init", start]
    flags += [part for teacher in run.get("teachers", ()) for part in ("--teacher", teacher)]
    if run.get("uncertain", "ignore") != "ignore":
        flags += ["--uncertain", run["uncertain"]]
    return shlex.join(["python", "Model_Training/train.py", "--task", task, "--data", "DATA", "--out", "RUN", *flags])


def _differing(one: Any, other: Any) -> dict[str, Any]:
    named = {f.name: getattr(one, f.name) for f in dataclasses.fields(one) if "help" in f.metadata}
    return {name: value for name, value in named.items() if value != getattr(other, name)}
