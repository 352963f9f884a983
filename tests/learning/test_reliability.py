"""Calibration before and after, on films that it was not found on."""

import csv
from io import StringIO

import numpy as np
import pytest

from cxr.learning.appraisal import BY_HALVES, HELD_OUT, Watched, dark_maps, population, reliabilities
from cxr.learning.calibration import Calibration, calibrate
from cxr.learning.reliability import Answers, bins_csv, calibration_csv, held_out, reliability, to_text
from cxr.learning.tables import FilmTable
from cxr.metrics import brier, expected_calibration_error
from cxr.modelfile import Platt
from cxr.scaling import sigmoid
from cxr.tasks import TASKS
from tests.learning.test_evaluation import films

TASK = TASKS["chestxray8"]


def overconfident(films_wanted: int, seed: int, labels: int = 2) -> tuple[np.ndarray, FilmTable]:
    """Logits three times what they should be, and a table of true labels, two films a patient."""
    random = np.random.default_rng(seed)
    logits = random.normal(-1, 1, (films_wanted, labels))
    truth = (random.random(logits.shape) < sigmoid(logits)).astype(np.float32)
    table = films(truth, TASK.labels[:labels])
    patients = (np.arange(films_wanted) // 2).astype(str)
    return (3 * logits).astype(np.float32), FilmTable(table.label_names, table.paths, truth, patients)


def test_calibration_mends_overconfident_answers_on_patients_it_has_not_seen() -> None:
    logits, table = overconfident(800, 0)
    found = reliability("x", logits, held_out(logits, table, "multilabel"), table, "multilabel", draws=50)
    assert found.mean_after.ece < 0.05 < found.mean_before.ece
    assert all(each.brier_gain.low > 0 for each in found.labels)
    assert [len(each.bins) for each in found.labels] == [5, 5]
    assert np.mean([one.agrees for each in found.labels for one in each.bins]) >= 0.8


def test_figures_are_those_of_the_probabilities() -> None:
    logits, table = overconfident(200, 1)
    made = calibrate(logits, table.labels, table.label_names, patients=table.patients)
    answers = Answers.of(made, logits)
    first = reliability("x", logits, answers, table, "multilabel", draws=20).labels[0]
    y = table.labels[:, 0]
    assert first.before.ece == pytest.approx(expected_calibration_error(sigmoid(logits[:, 0]), y))
    assert first.after.brier == pytest.approx(brier(answers.probabilities[:, 0], y))
    assert first.brier_gain.value == pytest.approx(first.before.brier - first.after.brier)
    assert (answers.ends[..., 0] <= answers.probabilities).all()


def test_a_label_that_is_not_calibrated_has_a_before_and_no_after() -> None:
    logits, table = overconfident(100, 2)
    made = Calibration(table.label_names, {table.label_names[0]: Platt()}, {})
    found = reliability("x", logits, Answers.of(made, logits), table, "multilabel", draws=20)
    assert np.isnan(found.labels[1].after.ece)
    assert found.labels[1].before.ece > 0
    assert found.mean_before.ece == pytest.approx(found.labels[0].before.ece)  # of those calibrated alone
    assert found.labels[0].bins == ()  # no draws, so no interval


def test_a_half_that_lacks_a_class_calibrates_nothing() -> None:
    logits, table = overconfident(40, 3)
    table.labels[:, 1] = 0
    table.labels[0, 1] = 1
    answers = held_out(logits, table, "multilabel")
    assert not np.isnan(answers.probabilities[:, 0]).any()
    assert 0 < np.isnan(answers.probabilities[:, 1]).sum() < 40


def test_classes_are_calibrated_together() -> None:
    random = np.random.default_rng(4)
    truth = np.eye(3, dtype=np.float32)[np.arange(90) % 3]
    logits = (truth + random.normal(size=truth.shape)).astype(np.float32)
    answers = held_out(logits, films(truth, ("covid", "pneumonia", "normal")), "multiclass")
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1)


def test_tables_have_a_line_for_each_label_and_bin() -> None:
    logits, table = overconfident(200, 5)
    found = reliability("x", logits, held_out(logits, table, "multilabel"), table, "multilabel", draws=20)
    assert len(to_text(found).splitlines()) == 7
    rows = list(csv.DictReader(StringIO(calibration_csv([found]))))
    assert float(rows[0]["ece_after"]) == found.labels[0].after.ece
    bins = list(csv.DictReader(StringIO(bins_csv([found]))))
    assert [row["bin"] for row in bins] == ["1", "2", "3", "4", "5"] * 2
    assert float(bins[0]["observed"]) == found.labels[0].bins[0].observed


def test_validation_halves_come_first_then_each_test_set() -> None:
    logits, table = overconfident(200, 6)
    parts = [Watched(part, table, logits, np.zeros((200, 2, 2, 2), np.float32)) for part in ("validation", "test")]
    made = calibrate(logits, table.labels, table.label_names, patients=table.patients)
    names = [each.name for each in reliabilities(TASK, made, parts[0], parts[1:])]
    assert names == [HELD_OUT, "test", f"test, {BY_HALVES}"]


def test_who_is_in_a_table_is_counted() -> None:
    found = population("test", films())
    assert (found.films, found.patients, found.positives) == (6, 5, {"Effusion": 2, "Mass": 2, "Hernia": 0})
    assert found.groups["sex"] == {"F": 2, "M": 3, "not known": 1}
    assert found.groups["age"] == {"18 to 39": 2, "80 and over": 3, "not known": 1}


def test_maps_that_show_nothing_are_counted_among_films_with_the_finding() -> None:
    maps = np.zeros((6, 3, 2, 2), np.float32)
    maps[0, 0, 1, 1] = 0.5  # one of two films with effusion; its scale is 2
    watched = Watched("test", films(), np.zeros((6, 3), np.float32), maps)
    scale = {"Effusion": 2.0, "Mass": 1.0, "Hernia": 1.0}
    assert [(d.films, d.dark) for d in dark_maps(watched, scale)] == [(2, 1), (2, 2), (0, 0)]
