"""What is held out for several runs, and at which size films are packed."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cxr.errors import TrainingDataError
from cxr.learning.datasets import packed_side
from cxr.learning.supply import OtherFilms, Supply, uncertain_of, warn_of_labels
from cxr.learning.tables import FilmTable
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


def table_of(labels: NDArray[np.float32], names: tuple[str, ...] = ("Mass", "Hernia")) -> FilmTable:
    """Films that are nowhere, each of a patient of its own."""
    count = len(labels)
    return FilmTable(names, tuple(Path(f"{n}.png") for n in range(count)), labels, np.arange(count).astype(str))


def _record(source: Supply, recipe: Recipe) -> dict[str, object]:
    """What a run on these films notes."""
    validation = source.validation(source.read(), [recipe])
    return {"fingerprints": {"validation": validation.fingerprint()}, "films": {"validation": len(validation)}}


def test_the_films_that_a_run_held_out_are_known_by_its_record(source: Supply) -> None:
    recipe = Recipe(val_share=0.25)
    record = _record(source, recipe)
    assert len(source.held_out(source.read(), [recipe], [record])) == 4
    assert len(source.held_out(source.read(), [recipe], [{}])) == 4  # of a record without fingerprints


def test_films_of_which_some_may_have_taught_the_run_are_refused(source: Supply) -> None:
    record = _record(source, Recipe(val_share=0.25))
    other = Recipe(val_share=0.25, seed=1)  # trained on films that were packed with seed 0
    with pytest.raises(OtherFilms, match=r"The 4 validation films of .* \(--val-share 0.25, --seed 1\) are not the 4"):
        source.held_out(source.read(), [other], [record])


def test_a_part_of_the_films_is_not_the_data_set(nih_folder: Path, source: Supply, tmp_path: Path) -> None:
    record = _record(source, Recipe(val_share=0.25))
    part = Path(shutil.copytree(nih_folder, tmp_path / "part"))
    names = (part / "train_val_list.txt").read_text().split()
    (part / "train_val_list.txt").write_text("\n".join(names[4:]))
    here = replace(source, folder=part)
    with pytest.raises(OtherFilms, match="give the data set that the run was trained on, with all its films"):
        here.held_out(here.read(), [Recipe(val_share=0.25)], [record])


def test_films_that_training_could_not_read_are_no_difference(nih_folder: Path, source: Supply, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(nih_folder, tmp_path / "copy"))
    here, recipe = replace(source, folder=folder), Recipe(val_share=0.25)
    table = here.validation(here.read(), [recipe])
    table.paths[1].write_bytes(table.paths[1].read_bytes()[:300])
    record = {"fingerprints": {"validation": table.without([1]).fingerprint()}, "films": {"left_out": 1}}
    assert len(here.held_out(here.read(), [recipe], [record])) == 4


def test_a_label_that_all_validation_films_are_alike_in_is_named_before_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    warn_of_labels(table_of(np.array([[1, 0], [0, np.nan]], np.float32)))
    assert capsys.readouterr().err.startswith(
        "No validation film is positive in Hernia: no calibration and no operating"
    )
    warn_of_labels(table_of(np.eye(2, dtype=np.float32)))
    assert capsys.readouterr().err == ""


def test_uncertain_labels_are_what_the_flag_says_else_what_the_run_did() -> None:
    assert uncertain_of({"uncertain": "ones"}, None) == "ones"
    assert uncertain_of({"uncertain": "ones"}, "zeros") == "zeros"
    assert uncertain_of({}, None) == "ignore"
