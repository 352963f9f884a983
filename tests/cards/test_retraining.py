"""The command line of a card gives the recipe back."""

import argparse
import dataclasses
import shlex

import pytest

from cxr.cards.retraining import retrain_command, runs_of
from cxr.learning import training_command
from cxr.tasks import TASKS, Recipe


@pytest.mark.parametrize("task", TASKS)
def test_the_command_line_of_a_run_is_its_recipe(task: str) -> None:
    preset = TASKS[task].recipe
    changed = dataclasses.replace(
        preset, seed=5, lr=3e-4, loss="focal", augmentation=dataclasses.replace(preset.augmentation, flip=0.25)
    )
    run = {"recipe": dataclasses.asdict(changed), "init": "start.safetensors", "teachers": ["a b"]}
    words = shlex.split(retrain_command(task, run))
    parser = argparse.ArgumentParser()
    training_command.add_flags(parser)
    options = parser.parse_args(words[2:])
    assert training_command._recipe(TASKS[task], options) == changed
    assert (options.init.name, [path.name for path in options.teacher]) == ("start.safetensors", ["a b"])


def test_a_recipe_of_the_task_needs_no_flag() -> None:
    run = {"recipe": dataclasses.asdict(Recipe()), "init": "torchvision"}
    command = "python Model_Training/train.py --task chestxray14 --data DATA --out RUN --pretrained"
    assert retrain_command("chestxray14", run) == command


def test_a_model_of_several_runs_has_several_records() -> None:
    assert runs_of({"members": [{"recipe": 1}, {"recipe": 2}]}) == ({"recipe": 1}, {"recipe": 2})
    assert runs_of({}) == ()
