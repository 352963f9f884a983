"""Figures against values worked out by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from sklearn.metrics import precision_recall_curve as sklearn_precision_recall_curve
from sklearn.metrics import roc_curve as sklearn_roc_curve

from cxr.metrics import (
    Array,
    Interval,
    auroc,
    average_precision,
    bootstrap,
    bootstrap_draws,
    brier,
    calibration_curve,
    confusion_counts,
    confusion_matrix,
    expected_calibration_error,
    inside,
    interval,
    mean_auroc,
    mean_defined,
    operating_thresholds,
    overlap,
    peak_boxes,
    peaks,
    precision_recall_curve,
    rank_correlation,
    rates,
    roc_curve,
    sensitivity_specificity,
    share,
    weighted_auroc,
    weighted_average_precision,
)
from cxr.scaling import fit_platt, fit_temperature, sigmoid, softmax

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


def test_softmax_of_large_numbers_does_not_overflow() -> None:
    np.testing.assert_allclose(softmax(np.array([[1e4, 1e4, -1e4], [0.0, 0.0, 0.0]])), [[0.5, 0.5, 0], [1 / 3] * 3])


def test_a_temperature_undoes_the_scale_of_logits_that_were_right() -> None:
    right = np.random.default_rng(1).normal(size=(20_000, 3)) * 2
    answers = np.random.default_rng(2).gumbel(size=right.shape) + right  # its arg max is drawn by the softmax
    truth = np.eye(3)[answers.argmax(axis=1)]
    assert fit_temperature(4 * right, truth) == pytest.approx(1 / 4, rel=0.03)
    assert fit_temperature(right / 3, truth) == pytest.approx(3, rel=0.03)


def test_the_temperature_is_the_likeliest_one() -> None:
    random = np.random.default_rng(3)
    logits, truth = random.normal(size=(200, 4)), np.eye(4)[random.integers(0, 4, 200)]
    logits += truth

    def likelihood(slope: float) -> float:
        return float(np.log((softmax(slope * logits) * truth).sum(axis=1)).sum())

    found = fit_temperature(logits, truth)
    assert likelihood(found) > max(likelihood(found * 1.01), likelihood(found / 1.01))


def test_the_temperature_of_films_without_an_error_is_bounded() -> None:
    assert fit_temperature(np.eye(3), np.eye(3)) == pytest.approx(20)
    assert fit_temperature(np.eye(3), np.eye(3)[[1, 2, 0]]) == pytest.approx(1 / 20)


def test_films_of_unknown_class_are_left_out_of_the_temperature() -> None:
    logits, truth = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 0], [0, 1], [0, 1]])
    unknown = np.vstack([truth, [[np.nan, np.nan]]])
    assert fit_temperature(np.vstack([logits, [[9.0, 0.0]]]), unknown) == fit_temperature(logits, truth)
    assert fit_temperature(logits[:0], truth[:0]) == 1


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


def drawn_films(seed: int = 4, films: int = 300) -> tuple[Array, Array, np.ndarray]:
    """Scores with many ties, labels with unknown ones, and about three films a patient."""
    random = np.random.default_rng(seed)
    labels = (random.random(films) < 0.2).astype(float)
    scores = np.round(np.clip(labels * 0.2 + random.normal(0.4, 0.2, films), 0, 1), 2)
    labels[random.random(films) < 0.1] = np.nan
    return scores, labels, random.integers(0, films // 3, films).astype(str)


@pytest.mark.parametrize(
    ("figure", "weighted"), [(auroc, weighted_auroc), (average_precision, weighted_average_precision)]
)
def test_the_fast_bootstrap_equals_the_plain_one(figure, weighted) -> None:
    scores, labels, patients = drawn_films()
    plain = bootstrap(figure, scores, labels, patients, draws=200, seed=5)
    fast = bootstrap_draws(lambda weights: weighted(scores, labels, weights), patients, draws=200, seed=5)
    assert interval(figure(scores, labels), fast).low == pytest.approx(plain.low, abs=1e-12)
    assert interval(figure(scores, labels), fast).high == pytest.approx(plain.high, abs=1e-12)


def test_blocks_of_draws_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    patients = np.array(["a", "a", "b", "c"])
    whole = bootstrap_draws(lambda weights: weights, patients, draws=7)
    monkeypatch.setattr("cxr.metrics.BLOCK", 12)  # three draws of four films
    assert (bootstrap_draws(lambda weights: weights, patients, draws=7) == whole).all()
    assert (whole[:, 0] == whole[:, 1]).all()
    assert (whole[:, 1:].sum(axis=1) == 3).all()


def test_a_weight_of_two_is_a_film_twice() -> None:
    weights = np.array([[1.0, 2.0, 0.0, 3.0]])
    rows = np.repeat(np.arange(4), [1, 2, 0, 3])
    assert weighted_auroc(SCORES, LABELS, weights) == pytest.approx([auroc(SCORES[rows], LABELS[rows])])
    expected = average_precision_score(LABELS[rows], SCORES[rows])
    assert weighted_average_precision(SCORES, LABELS, weights) == pytest.approx([expected])


def test_a_draw_without_a_class_is_undefined() -> None:
    weights = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    assert np.isnan(weighted_auroc(SCORES, LABELS, weights)).all()
    assert np.isnan(weighted_average_precision(SCORES, LABELS, weights)).all()


def test_average_precision_equals_scikit_learn_with_ties() -> None:
    scores, labels, _ = drawn_films()
    known = ~np.isnan(labels)
    expected = average_precision_score(labels[known], scores[known])
    assert average_precision(scores, labels) == pytest.approx(expected, abs=1e-12)
    assert math.isnan(average_precision(SCORES, np.zeros(4)))


def test_curves_equal_scikit_learns() -> None:
    scores, labels, _ = drawn_films()
    known = ~np.isnan(labels)
    alarms, hits, _ = sklearn_roc_curve(labels[known], scores[known], drop_intermediate=False)
    assert np.allclose(roc_curve(scores, labels), (alarms, hits))
    precision, recall, _ = sklearn_precision_recall_curve(labels[known], scores[known])
    assert np.allclose(precision_recall_curve(scores, labels), (recall[-2::-1], precision[-2::-1]))


def test_curves_of_one_class_are_undefined() -> None:
    assert np.isnan(roc_curve(SCORES, np.zeros(4))[1]).all()
    assert np.isnan(precision_recall_curve(SCORES, np.zeros(4))[1]).all()


def test_a_share_of_nothing_is_undefined() -> None:
    assert share(np.array([1.0, 0.0]), np.array([4.0, 0.0])).tolist() == pytest.approx([0.25, np.nan], nan_ok=True)
    assert mean_defined(np.array([[1.0, np.nan], [np.nan, np.nan]])).tolist() == pytest.approx([1, np.nan], nan_ok=True)


def test_rates_equal_scikit_learns_for_each_label_micro_and_macro() -> None:
    random = np.random.default_rng(6)
    labels = (random.random((200, 3)) < [0.1, 0.3, 0.5]).astype(float)
    above = (random.random((200, 3)) + labels) > 0.8
    counts = confusion_counts(above, labels, np.ones((1, 200)))[0]
    each, micro = rates(counts), rates(counts.sum(axis=0))
    for name, reference in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        assert each[name] == pytest.approx(reference(labels, above, average=None))
        assert micro[name] == pytest.approx(reference(labels, above, average="micro"))
        assert mean_defined(each[name]) == pytest.approx(reference(labels, above, average="macro"))
    assert each["accuracy"][0] == pytest.approx(accuracy_score(labels[:, 0], above[:, 0]))


def test_counts_leave_unknown_labels_out() -> None:
    above, labels = np.array([[True], [True], [False]]), np.array([[1.0], [np.nan], [0.0]])
    assert confusion_counts(above, labels, np.ones((1, 3))).tolist() == [[[1, 0, 0, 1]]]


def test_precision_without_an_alarm_is_undefined() -> None:
    found = rates(np.array([0.0, 0.0, 2.0, 3.0]))
    assert math.isnan(found["precision"])
    assert found["recall"] == 0
    assert found["accuracy"] == 0.6


def test_a_confusion_matrix_has_a_row_for_each_true_class() -> None:
    truth, answer = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 0])
    assert confusion_matrix(truth, answer, 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert (confusion_matrix(truth, answer, 3) == sklearn_confusion_matrix(truth, answer)).all()


def test_the_calibration_curve_is_what_the_calibration_error_measures() -> None:
    random = np.random.default_rng(7)
    p = random.random(500)
    y = (random.random(500) < p**2).astype(float)
    mean, positive, films = calibration_curve(p, y)
    assert films.sum() == 500
    assert (films * np.abs(mean - positive)).sum() / 500 == pytest.approx(expected_calibration_error(p, y))
    assert brier(p, y) == pytest.approx(brier_score_loss(y, p))


CORNER = np.array([[[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 8], [0, 0, 0, 0]]], float)  # right, below the middle


def test_a_peak_is_the_centre_of_the_strongest_cell() -> None:
    assert peaks(CORNER).tolist() == [[0.875, 0.625]]
    assert inside(peaks(CORNER), np.array([[0.8, 0.6, 0.1, 0.1]])).tolist() == [True]
    assert inside(peaks(CORNER), np.array([[0.8, 0.7, 0.1, 0.1]])).tolist() == [False]


def test_a_map_without_evidence_points_nowhere() -> None:
    whole_film = np.array([[0.0, 0.0, 1.0, 1.0]])
    assert inside(peaks(np.zeros((1, 4, 4))), whole_film).tolist() == [False]
    assert np.isnan(peak_boxes(np.zeros((1, 4, 4)))).all()
    assert np.isnan(overlap(peak_boxes(np.zeros((1, 4, 4))), whole_film)).all()


def test_a_peak_box_surrounds_what_hangs_together_with_the_peak() -> None:
    # In thirds of a cell the hill of 8 falls to 5.3 and then 2.7, below half; the other hill, 7, stands apart.
    two = CORNER.copy()
    two[0, 0, 0] = 7
    assert peak_boxes(two, times=3).tolist() == [[0.75, 0.5, 0.25, 0.25]]


def test_overlap_is_intersection_over_union() -> None:
    one = np.array([[0, 0, 0.5, 0.5], [0, 0, 0.2, 0.2], [0.1, 0.1, 0.4, 0.4]])
    other = np.array([[0.25, 0, 0.5, 0.5], [0.5, 0.5, 0.2, 0.2], [0.1, 0.1, 0.4, 0.4]])
    assert overlap(one, other) == pytest.approx([1 / 3, 0, 1])


def test_rank_correlation_is_of_the_order_alone() -> None:
    assert rank_correlation(np.array([[1, 2], [3, 4]]), np.array([[1, 10], [100, 101]])) == pytest.approx(1)
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    assert rank_correlation(np.array([1.0, 1, 2, 3]), np.array([1.0, 2, 3, 3])) == pytest.approx(8 / 9)
    assert np.isnan(rank_correlation(np.zeros(3), np.arange(3.0)))
