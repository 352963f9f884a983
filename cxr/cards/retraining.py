"""The command lines that train a model again, from its training record."""

import dataclasses
import json
import shlex
from collections.abc import Mapping
from typing import Any

from cxr.tasks import TASKS, Recipe


def runs_of(training: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The records of the runs behind a model: its own, or those of all members; none where nothing is recorded."""
    runs = training.get("members") or (training,)
    return tuple(run for run in runs if "recipe" in run)


def retrain_commands(task: str, run: Mapping[str, Any]) -> tuple[str, ...]:
    """A command line for each run, in the order in which they are trained: first those that a later one builds on.

    RUN1 is the folder of the first. What was trained before weights were recorded is named by their file alone.
    """
    lines: dict[str, str] = {}  # by the record of a run, so that one which two runs build on is trained once

    def add(task: str, run: Mapping[str, Any]) -> str:
        """The folder of the run, its line added where it is not there yet."""
        key = json.dumps(run, sort_keys=True)
        if key not in lines:
            start = f"{add_before(run['start'])}/best.safetensors" if run.get("start") else run.get("init")
            taught = [add_before(before) if before else name for before, name in _teachers(run)]
            lines[key] = _command(task, run, f"RUN{len(lines) + 1}", start, taught)
        return f"RUN{list(lines).index(key) + 1}"

    def add_before(run: Mapping[str, Any]) -> str:
        return add(run["task"], run)

    add(task, run)
    return tuple(lines.values())


def first_starts(run: Mapping[str, Any]) -> tuple[str | None, ...]:
    """What the runs behind a model started from in the end: names of weight files, "torchvision", None for random."""
    own = first_starts(run["start"]) if run.get("start") else (run.get("init"),)
    taught = [start for before, _ in _teachers(run) if before for start in first_starts(before)]
    return tuple(dict.fromkeys((*own, *taught)))


def layouts(run: Mapping[str, Any]) -> tuple[str, ...]:
    """The data sets, by layout, that the runs before this one learned from, as far as it is recorded."""
    before = [each for each in (run.get("start"), *(taught for taught, _ in _teachers(run))) if each]
    found = [layout for each in before for layout in (*layouts(each), each.get("layout", ""))]
    return tuple(dict.fromkeys(filter(None, found)))


def _teachers(run: Mapping[str, Any]) -> list[tuple[Any, str]]:
    """Record, or None where there is none, and name of each teacher."""
    names = run.get("teachers", ())
    return list(zip(run.get("taught_by") or [None] * len(names), names, strict=True))


def _command(task: str, run: Mapping[str, Any], out: str, start: str | None, teachers: list[str]) -> str:
    """With a flag for every setting in which the run's recipe is not the task's own."""
    recipe = Recipe.from_dict(dict(run["recipe"]))
    preset = TASKS[task].recipe
    settings = _differing(recipe, preset) | _differing(recipe.augmentation, preset.augmentation)
    flags = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    if start:
        flags += ["--pretrained"] if start == "torchvision" else ["--init", start]
    flags += [part for teacher in teachers for part in ("--teacher", teacher)]
    if run.get("uncertain", "ignore") != "ignore":
        flags += ["--uncertain", run["uncertain"]]
    return shlex.join(["python", "Model_Training/train.py", "--task", task, "--data", "DATA", "--out", out, *flags])


def _differing(one: Any, other: Any) -> dict[str, Any]:
    named = {f.name: getattr(one, f.name) for f in dataclasses.fields(one) if "help" in f.metadata}
    return {name: value for name, value in named.items() if value != getattr(other, name)}
