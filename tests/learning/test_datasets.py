"""NIH ChestX-ray14 as a table of films, and splits by patient."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr.errors import TrainingDataError
from cxr.learning.datasets import check_apart, read_nih, split_by_patient
from cxr.learning.tables import FilmTable, ages_years, split_each_patient

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


def test_films_may_lie_in_the_folders_of_the_archives(copy: Path) -> None:
    (copy / "images_001").mkdir()
    (copy / "images").rename(copy / "images_001" / "images")
    assert len(read_nih(copy, "train_val", LABELS)) == 16


def test_the_labels_of_2020_are_preferred(copy: Path) -> None:
    table = (copy / "Data_Entry_2017.csv").read_text()
    (copy / "Data_Entry_2017_v2020.csv").write_text(table.replace("_000.png,No Finding", "_000.png,Mass"))
    assert read_nih(copy, "train_val", LABELS).labels[0].tolist() == [0, 1, 0]


def test_sex_age_and_view_are_kept_by_film(nih_folder: Path) -> None:
    table = read_nih(nih_folder, "train_val", LABELS).take(np.array([4, 1]))
    assert table.sex.tolist() == ["M", "M"]
    assert table.age_years.tolist() == [50, 50]
    assert table.view.tolist() == ["PA", "PA"]


def test_ages_of_the_first_edition_are_years_and_impossible_ones_are_not_known() -> None:
    rows = pd.DataFrame({"age": ["058Y", "006M", "411", "", "63.0", "1W"]})
    expected = [58, 0.5, np.nan, np.nan, 63, 1 / 52.18]
    np.testing.assert_allclose(ages_years(rows, "age"), expected)


def test_two_films_of_one_name_are_refused(copy: Path) -> None:
    shutil.copytree(copy / "images", copy / "images_small")
    with pytest.raises(TrainingDataError, match=r"are both film \d{8}_\d{3}; leave one of them"):
        read_nih(copy, "train_val", LABELS)


def test_a_label_that_nih_lacks_is_refused(nih_folder: Path) -> None:
    with pytest.raises(TrainingDataError, match="NIH ChestX-ray14 has no label COVID"):
        read_nih(nih_folder, "train_val", ("COVID", "Mass"))


def test_a_missing_film_is_counted_and_not_replaced(copy: Path) -> None:
    (copy / "images" / "00000001_000.png").unlink()
    table = read_nih(copy, "train_val", LABELS)
    assert table.missing == ("00000001_000.png",)
    assert len(table) == 15
    assert table.labels[2].tolist() == [0, 0, 0]


def test_lists_may_name_films_as_they_were_resized(copy: Path) -> None:
    for name in ("train_val_list.txt", "test_list.txt"):
        (copy / name).write_text((copy / name).read_text().replace(".png", ".jpg"))
    assert len(read_nih(copy, "train_val", LABELS)) == 16


def test_a_listed_film_without_a_row_is_missing(copy: Path) -> None:
    with (copy / "train_val_list.txt").open("a") as stream:
        stream.write("\n00000099_000.png")
    assert read_nih(copy, "train_val", LABELS).missing == ("00000099_000.png",)


def _table(*paths: str) -> FilmTable:
    return FilmTable(("Mass",), tuple(map(Path, paths)), np.ones((len(paths), 1), np.float32), np.array(paths, str))


def test_a_fingerprint_is_of_names_alone_where_these_tell_films_apart() -> None:
    assert _table("here/a.png", "here/b.png").fingerprint() == _table("there/x/a.png", "there/b.png").fingerprint()
    expected = hashlib.sha256(b"a.png\nb.png" + np.ones(2, np.float32).tobytes()).hexdigest()
    assert _table("here/a.png", "here/b.png").fingerprint() == expected  # that of checkpoints written until now


def test_a_fingerprint_tells_films_of_one_name_apart() -> None:
    films = [f"D/patient{n}/study1/view1_frontal.jpg" for n in (1, 2, 3)]
    assert _table(*films[:2]).fingerprint() != _table(*films[1:]).fingerprint()
    moved = [film.replace("D/", "elsewhere/train/") for film in films]
    assert _table(*films).fingerprint() == _table(*moved).fingerprint()


def test_other_patients_move_nobody_across_a_split_by_each_patient() -> None:
    films = [f"{number}.png" for number in range(200)]
    few, all_of_them = (split_each_patient(_table(*some), 0.2, 0)[1].patients for some in (films[::2], films))
    assert set(few) == set(all_of_them) & set(films[::2])
    assert 25 < len(all_of_them) < 55


def test_a_folder_without_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"There is no Data_Entry_2017\*\.csv in"):
        read_nih(tmp_path, "train_val", LABELS)


def test_an_empty_table_is_refused(copy: Path) -> None:
    (copy / "Data_Entry_2017.csv").write_text("")
    with pytest.raises(TrainingDataError, match=r"Data_Entry_2017.csv is not a csv table"):
        read_nih(copy, "train_val", LABELS)


def test_a_table_of_a_header_alone_is_refused(copy: Path) -> None:
    (copy / "Data_Entry_2017.csv").write_text("Image Index,Finding Labels,Patient ID\n")
    with pytest.raises(TrainingDataError, match=r"Data_Entry_2017.csv has no rows below its header"):
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
