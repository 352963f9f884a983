"""Tables of films: labels, patients, splits, and the packed cache."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cxr.errors import TrainingDataError
from cxr.films.prepare import fit_square
from cxr.films.read import read_film
from cxr.learning.datasets import FilmTable, check_apart, pack, read_nih, split_by_patient
from tests.phantom import phantom_png

LABELS = ("Effusion", "Mass", "Nodule")


@pytest.fixture
def copy(nih_folder: Path, tmp_path: Path) -> Path:
    """The drawn data set, to be damaged."""
    return Path(shutil.copytree(nih_folder, tmp_path / "nih"))


def test_nih_labels_are_one_where_named_and_zero_elsewhere(nih_folder: Path) -> None:
    table = read_nih(nih_folder, "train_val", LABELS)
    assert table.labels[:4].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert table.patients[:4].tolist() == ["0", "0", "1", "1"]
    assert len(table) == 16


def test_films_are_matched_by_stem(copy: Path) -> None:
    (copy / "images" / "00000000_000.png").rename(copy / "images" / "00000000_000.jpg")
    assert read_nih(copy, "train_val", LABELS).paths[0].name == "00000000_000.jpg"


def test_a_missing_film_is_counted_and_not_replaced(copy: Path) -> None:
    (copy / "images" / "00000001_000.png").unlink()
    table = read_nih(copy, "train_val", LABELS)
    assert table.missing == ("00000001_000.png",)
    assert len(table) == 15
    assert table.labels[2].tolist() == [0, 0, 0]


def test_a_folder_without_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"There is no Data_Entry_2017\*\.csv in"):
        read_nih(tmp_path, "train_val", LABELS)


def test_an_empty_table_is_refused(copy: Path) -> None:
    (copy / "Data_Entry_2017.csv").write_text("")
    with pytest.raises(TrainingDataError, match=r"Data_Entry_2017.csv is not a csv table"):
        read_nih(copy, "train_val", LABELS)


def test_a_table_without_its_columns_is_refused(copy: Path) -> None:
    (copy / "Data_Entry_2017.csv").write_text("Image Index,Patient ID\na.png,1\n")
    with pytest.raises(TrainingDataError, match="Finding Labels"):
        read_nih(copy, "train_val", LABELS)


def test_an_unknown_finding_is_refused(copy: Path) -> None:
    table = copy / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace("Effusion", "Efusion"))
    with pytest.raises(TrainingDataError, match="'Efusion' is none of NIH's"):
        read_nih(copy, "train_val", LABELS)


def test_a_folder_without_films_is_refused(copy: Path) -> None:
    shutil.rmtree(copy / "images")
    with pytest.raises(TrainingDataError, match=r"None of the 16 films of train_val_list.txt"):
        read_nih(copy, "train_val", LABELS)


@pytest.mark.parametrize("seed", range(3))
def test_a_split_keeps_each_patient_on_one_side(nih_folder: Path, seed: int) -> None:
    table = read_nih(nih_folder, "train_val", LABELS)
    rest, held_out = split_by_patient(table, 0.25, seed)
    assert set(rest.patients).isdisjoint(held_out.patients)
    assert (len(rest), len(held_out)) == (12, 4)
    check_apart(rest, held_out)


def test_a_split_depends_on_the_seed_alone(nih_folder: Path) -> None:
    table = read_nih(nih_folder, "train_val", LABELS)
    one, same, other = (split_by_patient(table, 0.5, seed)[0].paths for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_a_patient_in_both_lists_is_an_error(nih_folder: Path) -> None:
    table = read_nih(nih_folder, "train_val", LABELS)
    with pytest.raises(TrainingDataError, match="1 patients are in both lists, patient 0 among them"):
        check_apart(table.take(np.array([0])), table.take(np.array([1])))


def test_packed_films_are_the_films_that_serving_sees(nih_folder: Path, tmp_path: Path) -> None:
    table = read_nih(nih_folder, "test", LABELS)
    packed = pack(table, tmp_path, "pad")
    expected, _ = fit_square(read_film(table.paths[3]).pixels, 256, "pad")
    assert packed.squares.shape == (8, 256, 256)
    np.testing.assert_allclose(packed.squares[3] / 255, expected, atol=0.5 / 255)


def test_films_are_decoded_once(nih_folder: Path, tmp_path: Path) -> None:
    table = read_nih(nih_folder, "test", LABELS)
    pack(table, tmp_path, "pad")
    (file,) = tmp_path.glob("*.npy")
    before = file.stat().st_mtime_ns
    pack(table, tmp_path, "pad")
    assert [file.stat().st_mtime_ns for file in tmp_path.iterdir()] == [before]


def test_an_unreadable_film_stops_packing_and_leaves_nothing(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.png", tmp_path / "broken.png"
    whole.write_bytes(phantom_png(side=96))
    broken.write_bytes(phantom_png(side=96)[:500])
    table = FilmTable(("Mass",), (whole, broken), np.zeros((2, 1), np.float32), np.array(["1", "2"]))
    with pytest.raises(TrainingDataError, match=r"1 of 2 films cannot be read, first broken\.png"):
        pack(table, tmp_path / "cache", "pad")
    assert not list((tmp_path / "cache").iterdir())
