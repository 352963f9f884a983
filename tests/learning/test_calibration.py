"""Calibration of the classes of a multiclass model, and the operating points of each class against all others."""

import numpy as np
import pytest

from cxr.learning.calibration import calibrate
from cxr.metrics import fit_temperature, softmax
from cxr.modelfile import Platt, apply_calibration

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


def test_a_model_of_unknown_kind_has_no_probabilities() -> None:
    with pytest.raises(KeyError, match="ordinal"):
        apply_calibration(np.zeros((1, 1)), [Platt()], "ordinal")
