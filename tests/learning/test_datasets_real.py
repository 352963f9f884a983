"""The real folders hold what their README says."""

from pathlib import Path

import numpy as np

from cxr.learning.datasets import read_data_set, read_nih
from cxr.learning.folder_layouts import read_kermany
from cxr.tasks import TASKS, Task

THREE = ("bacterial", "viral", "normal")
COVID3 = Task("covid", "", "", ("COVID", "Normal", "Pneumonia"), "multiclass")


def test_nih_has_its_two_lists_apart_by_patient(test_data: Path) -> None:
    official = read_data_set(test_data / "nih", TASKS["chestxray14"]).official
    assert {part: len(table) for part, table in official.items()} == {"train": 13295, "test": 1578}
    assert all(table.missing == () for table in official.values())
    assert set(official["train"].view) == {"PA", "AP"}
    assert np.isfinite(official["train"].age_years).all()


def test_nih_is_the_table_that_trained_models_name_in_their_record(test_data: Path) -> None:
    table = read_nih(test_data / "nih", "train_val", TASKS["chestxray14"].labels)
    assert table.fingerprint() == "1da5063421409b32df37fe141843973dd98462c8522cee3412c86c0c511efe00"


def test_kermany_has_its_three_folders_and_classes(test_data: Path) -> None:
    tables = [read_kermany(test_data / "kermany", part, THREE) for part in ("train", "val", "test")]
    assert [len(table) for table in tables] == [5190, 16, 303]
    assert [table.labels.sum(axis=0).tolist() for table in tables] == [[2512, 1338, 1340], [8, 0, 8], [108, 76, 119]]


def test_kermanys_public_split_shares_79_person_numbers_each_of_another_kind(test_data: Path) -> None:
    task = Task("three", "", "", THREE, "multiclass")
    notes = read_data_set(test_data / "kermany", task).official["train"].notes
    assert notes[1].startswith(
        "79 of Kermany's person numbers stand in more than one of train/, val/, test/ (0 of them"
    )


def test_covid_has_its_internal_and_external_films(test_data: Path) -> None:
    official = read_data_set(test_data / "covid", COVID3).official
    assert official["all"].labels.sum(axis=0).tolist() == [620, 620, 372]
    assert official["external"].labels.sum(axis=0).tolist() == [144, 120, 91]
    assert len(set(official["external"].patients[:144])) < 144  # SOURCES.csv knows the patients of Hannover's films
