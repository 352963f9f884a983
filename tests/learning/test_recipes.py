"""Each task has the recipe of the system that it takes over."""

import argparse

import pytest

from cxr.cli import export
from cxr.learning import training_command
from cxr.learning.datasets import MOST_UNREADABLE, UNCERTAIN
from cxr.tasks import TASKS, Recipe

# task -> arch, pooling, head, loss, size, channels, fit
SYSTEMS = {
    "chestxray14": ("resnet50v2", "lse", "linear", "bce", 224, 3, "pad"),
    "chestxray8": ("resnet50", "lse", "linear", "weighted_bce", 224, 3, "pad"),
    "chexpert14": ("densenet121", "avg", "linear", "bce", 224, 3, "pad"),
    "pneumonia3": ("densenet201", "avg", "dense512", "weighted_cross_entropy", 300, 3, "squash"),
    "pneumonia": ("binarycnn", "flatten", "dense512", "bce", 224, 3, "squash"),
    "covid3": ("simplecnn", "flatten", "dense256", "weighted_cross_entropy", 224, 1, "squash"),
    "covid4": ("densenet121", "avg", "linear", "cross_entropy", 224, 3, "squash"),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_tasks_recipe_is_that_of_its_system(name: str) -> None:
    how, recipe = TASKS[name].preprocessing, TASKS[name].recipe
    assert how.size == recipe.size
    assert SYSTEMS[name] == (
        recipe.arch, recipe.pooling, recipe.head, recipe.loss, recipe.size, how.channels, how.fit
    )  # fmt: skip
    assert ("cross_entropy" in recipe.loss) == (TASKS[name].kind == "multiclass")


@pytest.mark.parametrize("name", TASKS)
def test_no_recipe_stops_in_its_first_phase(name: str) -> None:
    recipe = TASKS[name].recipe
    assert not recipe.patience or recipe.head_epochs <= recipe.patience


def _chosen(*flags: str) -> Recipe:
    parser = argparse.ArgumentParser()
    training_command.add_flags(parser)
    options = parser.parse_args(["--data", "D", "--out", "RUN", *flags])
    return training_command._recipe(TASKS[options.task], options)


def test_a_trunk_that_starts_trained_learns_in_two_phases() -> None:
    recipe = _chosen("--task", "pneumonia3", "--pretrained")
    assert (recipe.head_epochs, recipe.head_lr, recipe.frozen, recipe.lr) == (5, 1e-4, 4, 1e-5)


def test_a_trunk_that_starts_at_random_is_not_kept(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = _chosen("--task", "pneumonia3")
    assert (recipe.head_epochs, recipe.frozen, recipe.lr) == (0, 0, 1e-4)
    assert "The trunk starts at random, so none of it is kept: --head-epochs 0" in capsys.readouterr().out


def test_a_flag_goes_before_what_suits_a_trunk_that_starts_at_random() -> None:
    recipe = _chosen("--task", "pneumonia3", "--head-epochs", "2", "--lr", "0.5")
    assert (recipe.head_epochs, recipe.frozen, recipe.lr) == (2, 0, 0.5)


def test_a_recipe_of_one_phase_is_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert _chosen("--task", "covid3") == TASKS["covid3"].recipe
    assert capsys.readouterr().out == ""


def test_export_offers_what_training_offers() -> None:
    assert (*UNCERTAIN,) == export.UNCERTAIN
    assert export.MOST_UNREADABLE == MOST_UNREADABLE
