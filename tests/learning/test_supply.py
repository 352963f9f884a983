"""What is held out for several runs, and at which size films are packed."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from cxr.errors import TrainingDataError
from cxr.learning.datasets import packed_side
from cxr.learning.supply import Supply, uncertain_of
from cxr.tasks import TASKS, Recipe


@pytest.fixture
def source(nih_folder: Path, tmp_path: Path) -> Supply:
    return Supply(TASKS["chestxray8"], nih_folder, cache=tmp_path)


def test_validation_films_of_several_runs_are_those_that_none_learned_from(source: Supply) -> None:
    films = source.read()
    recipes = [Recipe(seed=seed, val_share=0.5) for seed in (0, 1)]
    shared = source.validation(films, recipes)
    assert 0 < len(shared) < len(source.validation(films, recipes[:1])) == 8
    for recipe in recipes:
        assert set(shared.patients).isdisjoint(source.training(films, recipe).patients)


def test_runs_that_hold_out_nothing_in_common_are_refused(source: Supply) -> None:
    recipes = [Recipe(seed=seed, val_share=0.125) for seed in range(4)]
    with pytest.raises(TrainingDataError, match="No film was held out by all runs; train them with one --seed"):
        source.validation(source.read(), recipes)


@pytest.mark.parametrize(("size", "side"), [(32, 256), (256, 256), (257, 288), (300, 320), (512, 512)])
def test_films_are_packed_no_smaller_than_the_input(size: int, side: int) -> None:
    assert packed_side(size) == side


def test_films_are_packed_at_the_side_that_the_recipe_needs(source: Supply) -> None:
    table = source.training(source.read(), Recipe()).take(np.arange(2))
    assert source.packed(table, 300)[1].squares.shape == (2, 320, 320)
    assert source.packed(table, 224)[1].squares.shape == (2, 256, 256)


def test_films_packed_at_256_keep_the_name_that_their_cache_had(source: Supply) -> None:
    table = source.training(source.read(), Recipe()).take(np.arange(1))
    source.packed(table, 224)
    film = table.paths[0].resolve()
    key = hashlib.sha256(f"pad 256\n{film} {film.stat().st_size}".encode()).hexdigest()[:16]
    assert (source.cache / f"films-{key}.npy").exists()


def test_uncertain_labels_are_what_the_flag_says_else_what_the_run_did() -> None:
    assert uncertain_of({"uncertain": "ones"}, None) == "ones"
    assert uncertain_of({"uncertain": "ones"}, "zeros") == "zeros"
    assert uncertain_of({}, None) == "ignore"
