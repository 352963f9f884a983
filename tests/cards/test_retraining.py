"""The command line of a card gives the recipe back."""

import argparse
import dataclasses
import shlex

import pytest

from cxr.cards.retraining import first_starts, layouts, retrain_commands, runs_of
from cxr.learning import training_command
from cxr.tasks import TASKS, Recipe


@pytest.mark.parametrize("task", TASKS)
def test_the_command_line_of_a_run_is_its_recipe(task: str) -> None:
    preset = TASKS[task].recipe
    changed = dataclasses.replace(
        preset, seed=5, lr=3e-4, loss="focal", augmentation=dataclasses.replace(preset.augmentation, flip=0.25)
    )
    run = {"recipe": dataclasses.asdict(changed), "init": "start.safetensors", "teachers": ["a b"]}
    words = shlex.split(*retrain_commands(task, run))
    parser = argparse.ArgumentParser()
    training_command.add_flags(parser)
    options = parser.parse_args(words[2:])
    assert training_command._recipe(TASKS[task], options) == changed
    assert (options.init.name, [path.name for path in options.teacher]) == ("start.safetensors", ["a b"])


def test_a_recipe_of_the_task_needs_no_flag() -> None:
    run = {"recipe": dataclasses.asdict(Recipe()), "init": "torchvision"}
    command = "python Model_Training/train.py --task chestxray14 --data DATA --out RUN1 --pretrained"
    assert retrain_commands("chestxray14", run) == (command,)


def test_a_model_of_several_runs_has_several_records() -> None:
    assert runs_of({"members": [{"recipe": 1}, {"recipe": 2}]}) == ({"recipe": 1}, {"recipe": 2})
    assert runs_of({}) == ()


def test_runs_that_a_model_builds_on_are_trained_before_it_and_once() -> None:
    plain = dataclasses.asdict(Recipe())
    first = {"task": "chestxray14", "recipe": plain, "init": "trunk.safetensors", "layout": "nih"}
    run = {
        "recipe": plain,
        "init": "best.safetensors",
        "start": first,
        "teachers": ["a", "b"],
        "taught_by": [first, None],
    }
    train = "python Model_Training/train.py --task chestxray14 --data DATA --out"
    assert retrain_commands("chestxray14", run) == (
        f"{train} RUN1 --init trunk.safetensors",
        f"{train} RUN2 --init RUN1/best.safetensors --teacher RUN1 --teacher b",
    )
    assert first_starts(run) == ("trunk.safetensors",)
    assert layouts(run) == ("nih",)
    assert layouts(first) == ()


def test_an_older_record_had_no_augmentation_of_later_days() -> None:
    recipe = dataclasses.asdict(Recipe())
    del recipe["augmentation"]["jpeg"]
    assert Recipe.from_dict(recipe).augmentation.jpeg == 0
