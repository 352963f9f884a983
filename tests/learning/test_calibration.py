"""Calibration of labels and of classes, their operating points, and the draws of their intervals."""

import numpy as np
import pytest

from cxr.errors import TrainingDataError
from cxr.learning.calibration import (
    calibrate,
    halves,
    out_of_fold,
    patients_of_each,
)
from cxr.modelfile import Platt, apply_calibration
from cxr.scaling import fit_platt, fit_temperature, one_temperature, sigmoid, softmax
from cxr.uncertainty import DRAWS

LABELS = ("covid", "pneumonia", "normal")


def _validation() -> tuple[np.ndarray, np.ndarray]:
    """Logits (300, 3) and truth (300, 3) of films of which most are told apart."""
    random = np.random.default_rng(0)
    truth = np.eye(3, dtype=np.float32)[random.choice(3, 300, p=[0.2, 0.5, 0.3])]
    return (4 * truth + 3 * random.normal(size=truth.shape)).astype(np.float32), truth


def test_classes_share_one_temperature_and_their_probabilities_add_up_to_one() -> None:
    logits, truth = _validation()
    fitted = calibrate(logits, truth, LABELS, "multiclass")
    slope = fit_temperature(logits, truth)
    assert fitted.platt == dict.fromkeys(LABELS, Platt(slope, 0.0))
    assert slope < 0.8  # such logits promise more than they keep
    np.testing.assert_allclose(fitted.probabilities(logits), softmax(slope * logits.astype(float)), atol=1e-12)
    np.testing.assert_allclose(fitted.probabilities(logits).sum(axis=1), 1)


def test_a_class_has_operating_points_against_all_others() -> None:
    logits, truth = _validation()
    fitted = calibrate(logits, truth, LABELS, "multiclass")
    probabilities = fitted.probabilities(logits)
    assert set(fitted.operating_points) == {"youden", "sensitivity90", "specificity90"}
    point = fitted.operating_points["sensitivity90"]["covid"]
    covid = truth[:, 0] == 1
    assert point.positives == covid.sum()
    assert point.sensitivity == (probabilities[covid, 0] >= point.threshold).mean() >= 0.9
    assert point.specificity == (probabilities[~covid, 0] < point.threshold).mean()


def test_labels_of_a_multilabel_model_are_calibrated_each_by_itself() -> None:
    logits, truth = _validation()
    fitted = calibrate(logits, truth, LABELS)
    assert len({p.slope for p in fitted.platt.values()}) == 3
    alone = calibrate(logits[:, :1], truth[:, :1], LABELS[:1])
    np.testing.assert_allclose(fitted.probabilities(logits)[:, 0], alone.probabilities(logits[:, :1])[:, 0])


@pytest.mark.parametrize("share", [0.0, 1.0, np.nan])
def test_a_label_in_which_the_films_are_all_alike_stays_uncalibrated_and_the_others_are_not_touched(
    share: float,
) -> None:
    logits, truth = _validation()
    truth[:, 1] = share
    fitted = calibrate(logits, truth, LABELS, patients=np.arange(300).astype(str))
    rest = calibrate(logits[:, [0, 2]], truth[:, [0, 2]], ("covid", "normal"), patients=np.arange(300).astype(str))
    assert fitted.uncalibrated == ("pneumonia",)
    assert (fitted.platt, fitted.operating_points, fitted.resampled) == (
        rest.platt, rest.operating_points, rest.resampled,
    )  # fmt: skip
    np.testing.assert_allclose(fitted.probabilities(logits)[:, 1], sigmoid(logits[:, 1]))


def test_nothing_is_calibrated_where_no_label_or_one_class_of_several_has_both_kinds_of_films() -> None:
    logits, truth = _validation()
    with pytest.raises(TrainingDataError, match="all alike in covid, so nothing can be calibrated"):
        calibrate(logits[:, :1], truth[:, :1] * 0, LABELS[:1])
    truth[:, 0] = 0
    with pytest.raises(TrainingDataError, match="all alike in covid, so nothing can be calibrated"):
        calibrate(logits, truth, LABELS, "multiclass")


def test_a_model_of_unknown_kind_has_no_probabilities() -> None:
    with pytest.raises(KeyError, match="ordinal"):
        apply_calibration(np.zeros((1, 1)), [Platt()], "ordinal")


def test_each_draw_is_a_refit_to_whole_patients() -> None:
    logits, truth = _validation()
    patients = (np.arange(300) // 3).astype(str)
    fitted = calibrate(logits, truth, LABELS, "multiclass", patients, {"multiclass": (one_temperature,)})
    assert {len(draws) for draws in fitted.resampled.values()} == {DRAWS}
    slopes = np.array(fitted.resampled["covid"])[:, 0]
    assert slopes.mean() == pytest.approx(fitted.platt["covid"].slope, rel=0.1)
    chosen = np.bincount(np.random.default_rng(0).integers(0, 100, (DRAWS, 100))[0], minlength=100)
    by_name = np.unique(patients, return_inverse=True)[1]
    rows = np.repeat(np.arange(300), chosen[by_name])
    assert slopes[0] == pytest.approx(fit_temperature(logits[rows], truth[rows]), rel=1e-4)


def test_without_patients_there_are_no_draws() -> None:
    logits, truth = _validation()
    assert calibrate(logits, truth, LABELS).resampled == {}


def test_a_half_is_measured_by_the_other_half_and_no_patient_is_in_both() -> None:
    random = np.random.default_rng(4)
    patients = np.repeat(np.arange(60), 4).astype(str)
    truth = np.repeat((np.arange(60) < 20).astype(np.float32), 4)[:, None]
    logits = (2 * truth + random.normal(size=truth.shape)).astype(np.float32)
    half = halves(patients, truth)
    assert all(len(set(half[patients == name])) == 1 for name in set(patients))
    assert [int(truth[half == each].sum()) for each in (0, 1)] == [40, 40]
    told = out_of_fold(logits, truth, "multilabel", patients)
    slope, intercept = fit_platt(logits[half == 0, 0], truth[half == 0, 0])
    np.testing.assert_allclose(told[half == 1, 0], sigmoid(slope * logits[half == 1, 0].astype(float) + intercept))


def test_what_a_half_lacks_cannot_be_measured() -> None:
    truth = np.array([[1.0], [0.0], [0.0], [0.0]], np.float32)
    told = out_of_fold(truth, truth, "multilabel", np.array(list("abcd")))
    assert np.isnan(told).sum() == 2  # the half whose other half has no positive film


def test_patients_are_counted_once_on_each_side() -> None:
    truth = np.array([[1], [1], [0], [np.nan]], np.float32)
    assert patients_of_each(truth, np.array(["a", "a", "a", "b"])).tolist() == [[1, 1]]


@pytest.mark.parametrize("leaning", [0.0, 2.0])
def test_classes_get_an_intercept_each_where_the_model_has_learned_other_shares(leaning: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(400, 3)) * 2
    truth = np.eye(3, dtype=np.float32)[(logits + random.gumbel(size=logits.shape)).argmax(axis=1)]
    seen = (logits + np.array([0, 0, leaning])).astype(np.float32)
    fitted = calibrate(seen, truth, LABELS, "multiclass", np.arange(400).astype(str))
    assert fitted.probabilities(seen).mean(axis=0) == pytest.approx(truth.mean(axis=0), abs=0.03)
    assert any(platt.intercept for platt in fitted.platt.values()) == bool(leaning)
