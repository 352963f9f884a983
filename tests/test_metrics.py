"""Figures against values worked out by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from cxr.metrics import (
    Interval,
    auroc,
    bootstrap,
    brier,
    expected_calibration_error,
    fit_platt,
    mean_auroc,
    operating_thresholds,
    sensitivity_specificity,
    sigmoid,
)

SCORES = np.array([0.1, 0.4, 0.35, 0.8])
LABELS = np.array([0.0, 0.0, 1.0, 1.0])


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    assert auroc(SCORES, LABELS) == 0.75


def test_auroc_counts_a_tie_as_half() -> None:
    assert auroc(np.array([0.5, 0.5]), np.array([0.0, 1.0])) == 0.5


def test_auroc_equals_scikit_learn_with_ties() -> None:
    random = np.random.default_rng(0)
    scores, labels = random.integers(0, 20, 500) / 20, random.integers(0, 2, 500).astype(float)
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_auroc_leaves_unknown_labels_out() -> None:
    assert auroc(np.append(SCORES, 0.99), np.append(LABELS, np.nan)) == 0.75


def test_auroc_of_one_class_is_not_a_number() -> None:
    assert math.isnan(auroc(SCORES, np.ones(4)))


def test_mean_auroc_leaves_undefined_labels_out() -> None:
    both = np.stack([SCORES, SCORES], axis=1)
    assert mean_auroc(both, np.stack([LABELS, np.zeros(4)], axis=1)) == 0.75
    assert math.isnan(mean_auroc(both, np.zeros((4, 2))))


def test_a_bootstrap_draws_patients_with_all_their_films() -> None:
    """Two patients, each with films of one label: a draw of one patient alone has no AUROC, any other has 1."""
    interval = bootstrap(auroc, np.array([0.1, 0.2, 0.8, 0.9]), LABELS, np.array(["a", "a", "b", "b"]), draws=50)
    assert interval == Interval(1.0, 1.0, 1.0)


def test_a_bootstrap_interval_holds_the_figure() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 400).astype(float)
    interval = bootstrap(auroc, labels + random.normal(0, 1.5, 400), labels, np.arange(400).astype(str), draws=200)
    assert interval.low < interval.value < interval.high
    assert 0.05 < interval.high - interval.low < 0.15


def test_sigmoid_of_large_numbers_does_not_overflow() -> None:
    assert sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist() == [0.0, 0.5, 1.0]


def test_platt_scaling_is_logistic_regression_on_smoothed_targets() -> None:
    random = np.random.default_rng(2)
    logits = random.normal(0, 2, 20_000)
    labels = (random.random(20_000) < sigmoid(0.5 * logits - 2)).astype(float)
    slope, intercept = fit_platt(logits, labels)
    reference = LogisticRegression(C=np.inf, tol=1e-8).fit(logits[:, None], labels)
    assert slope == pytest.approx(reference.coef_[0, 0], abs=0.005)
    assert intercept == pytest.approx(reference.intercept_[0], abs=0.005)


def test_platt_scaling_of_one_class_changes_nothing() -> None:
    assert fit_platt(SCORES, np.zeros(4)) == (1.0, 0.0)


def test_platt_scaling_of_separated_scores_stays_finite() -> None:
    slope, intercept = fit_platt(np.array([-5.0, -4.0, 4.0, 5.0]), LABELS)
    assert 0 < slope < 10
    assert abs(intercept) < 10


def test_calibration_error_is_the_gap_weighted_by_films() -> None:
    # Bin of 0.25: two films, mean label 0.5, gap 0.25. Bin of 0.75: two films, mean label 1.0, gap 0.25.
    p, y = np.array([0.25, 0.25, 0.75, 0.75]), np.array([0.0, 1.0, 1.0, 1.0])
    assert expected_calibration_error(p, y, bins=2) == 0.25
    assert brier(p, y) == pytest.approx((0.0625 + 0.5625 + 0.0625 + 0.0625) / 4)


def test_operating_points_reach_what_they_promise() -> None:
    random = np.random.default_rng(3)
    labels = np.repeat([0.0, 1.0], 500)
    scores = labels + random.normal(0, 1, 1000)
    thresholds = operating_thresholds(scores, labels)
    reached = {name: sensitivity_specificity(scores, labels, t) for name, t in thresholds.items()}
    assert reached["sensitivity90"][0] >= 0.90
    assert reached["specificity90"][1] >= 0.90
    others = [sum(sensitivity_specificity(scores, labels, t)) for t in np.linspace(-2, 3, 501)]
    assert sum(reached["youden"]) >= max(others)


def test_an_operating_point_lies_between_two_scores() -> None:
    assert operating_thresholds(SCORES, LABELS)["youden"] == pytest.approx((0.1 + 0.35) / 2)


def test_operating_points_of_one_class_are_undefined() -> None:
    assert all(math.isnan(t) for t in operating_thresholds(SCORES, np.zeros(4)).values())
