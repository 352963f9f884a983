"""Refits of the calibration to resampled patients, and whether the intervals that come of them hold."""

import numpy as np
import pytest

from cxr.metrics import bootstrap_draws
from cxr.scaling import (
    fit_platt,
    fit_temperature,
    one_temperature,
    platt_of_each,
    sigmoid,
    softmax,
    temperature_and_shifts,
)
from cxr.uncertainty import interval_bins, intervals, wilson

ALIKE = np.ones((1, 300))


def _films(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (N, 1), labels (N, 1) and true probabilities (N, 1): Platt scaling by 0.7 and -1 is the truth."""
    logits = random.normal(0, 2, (count, 1))
    truth = sigmoid(0.7 * logits - 1)
    return logits, (random.random((count, 1)) < truth).astype(float), truth


def _classes() -> tuple[np.ndarray, np.ndarray]:
    """Logits and truth (300, 3), the first class rarer than the logits say."""
    random = np.random.default_rng(0)
    truth = np.eye(3)[random.choice(3, 300, p=[0.1, 0.5, 0.4])]
    return 2 * truth + random.normal(size=truth.shape) + [1.0, 0, 0], truth


def test_a_film_of_weight_two_counts_like_two_films() -> None:
    logits, labels, _ = _films(50, np.random.default_rng(0))
    weights = np.arange(50) % 3
    (weighted,) = platt_of_each(logits, labels, weights[None].astype(float))
    rows = np.repeat(np.arange(50), weights)
    assert weighted[0] == pytest.approx(fit_platt(logits[rows, 0], labels[rows, 0]), abs=1e-6)


def test_a_draw_without_a_positive_film_gives_all_films_one_small_probability() -> None:
    logits, labels = np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [0.0], [1.0]])
    ((slope, intercept),) = platt_of_each(logits, labels, np.array([[2.0, 1.0, 0.0]]))[0]
    assert slope == pytest.approx(0, abs=1e-5)
    assert sigmoid(np.array(intercept)) == pytest.approx(1 / 5)  # Platt's target of three negative films


def test_weighted_temperatures_are_those_of_the_repeated_films() -> None:
    logits, truth = _classes()
    weights = (np.arange(300) % 3).astype(float)
    drawn = one_temperature(logits, truth, weights[None])[0]
    rows = np.repeat(np.arange(300), weights.astype(int))
    assert drawn.tolist() == [[pytest.approx(fit_temperature(logits[rows], truth[rows])), 0.0]] * 3


def test_shifts_make_the_mean_probability_of_each_class_its_share() -> None:
    logits, truth = _classes()
    slope, shift = temperature_and_shifts(logits, truth, ALIKE)[0].T
    np.testing.assert_allclose(softmax(slope * logits + shift).mean(axis=0), truth.mean(axis=0), atol=0.01)
    assert abs(softmax(fit_temperature(logits, truth) * logits).mean(axis=0) - truth.mean(axis=0)).max() > 0.03
    assert len(set(slope)) == 1
    assert shift.sum() == pytest.approx(0)


def test_of_two_classes_the_shifted_temperature_is_platt_scaling() -> None:
    logits, labels, _ = _films(300, np.random.default_rng(1))
    both = np.concatenate([np.zeros_like(logits), logits], axis=1)
    fitted = temperature_and_shifts(both, np.concatenate([1 - labels, labels], axis=1), ALIKE)[0]
    slope, intercept = fit_platt(logits[:, 0], labels[:, 0])
    assert fitted[0, 0] == pytest.approx(slope, abs=1e-4)
    assert fitted[1, 1] - fitted[0, 1] == pytest.approx(intercept, abs=1e-4)


def test_classes_that_are_parted_without_an_error_have_a_finite_calibration() -> None:
    truth = np.eye(3)[np.arange(300) % 3]
    assert np.abs(temperature_and_shifts(truth, truth, ALIKE)).max() < 50


def test_films_of_unknown_class_do_not_move_the_shifts() -> None:
    logits, truth = _classes()
    more = np.vstack([logits, [[9.0, 0, 0]]]), np.vstack([truth, [[np.nan] * 3]])
    np.testing.assert_allclose(
        temperature_and_shifts(*more, np.ones((1, 301))), temperature_and_shifts(logits, truth, ALIKE), atol=1e-9
    )


def test_an_interval_has_95_of_100_draws_and_always_the_probability() -> None:
    drawn = np.linspace(0, 1, 201)[:, None]
    np.testing.assert_allclose(intervals(drawn, np.array([0.5])), [[0.025, 0.975]])
    np.testing.assert_allclose(intervals(drawn, np.array([0.99])), [[0.025, 0.99]])
    assert np.isnan(intervals(np.full((5, 1), np.nan), np.array([0.5]))).all()
    some = np.concatenate([drawn, np.full_like(drawn, np.nan)])  # fewer draws than of another label
    np.testing.assert_allclose(intervals(some, np.array([0.5])), [[0.025, 0.975]])


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert wilson(0.1, 50) == pytest.approx((0.0435, 0.2136), abs=1e-4)
    assert wilson(0.0, 10) == pytest.approx((0, 0.2775), abs=1e-4)


def test_bins_hold_equally_many_films_of_known_label_lowest_first() -> None:
    probabilities = np.array([0.9, 0.1, 0.8, 0.2, 0.5])
    ends = np.stack([probabilities - 0.05, probabilities + 0.1], axis=1)
    low, high = interval_bins(probabilities, ends, np.array([1.0, 0.0, 0.0, 1.0, np.nan]), bins=2)
    assert (low.films, high.films) == (2, 2)
    assert (low.probability, low.low, low.high, low.observed) == pytest.approx((0.15, 0.10, 0.25, 0.5))
    assert (low.observed_low, low.observed_high) == pytest.approx(wilson(0.5, 2))
    assert (high.probability, high.observed) == pytest.approx((0.85, 0.5))
    assert not low.holds  # of two films a share of 0.5 says little about 0.15
    assert low.agrees


def test_many_films_that_are_wrong_do_not_agree() -> None:
    probabilities = np.full(1000, 0.2)
    ends = np.tile([0.15, 0.25], (1000, 1))
    for truth, agrees in ((0.2, True), (0.3, False), (0.1, False)):
        (only,) = interval_bins(probabilities, ends, (np.arange(1000) < 1000 * truth).astype(float), bins=1)
        assert (only.agrees, only.holds) == (agrees, agrees)


def test_intervals_of_a_calibration_of_the_true_family_hold_in_95_of_100_bins() -> None:
    """Each round: 400 films to calibrate on; 1000 to test on, and as many whose true frequency is known."""
    random = np.random.default_rng(5)
    agree, hold, hold_truth = [], [], []
    for _ in range(80):
        logits, labels, _ = _films(400, random)
        names = np.arange(400).astype(str)
        drawn = bootstrap_draws(lambda w, z=logits, y=labels: platt_of_each(z, y, w), names, 200)[:, 0]  # (200, 2)
        slope, intercept = fit_platt(logits[:, 0], labels[:, 0])
        seen, found, truth = (part[:, 0] for part in _films(1000, random))
        told = sigmoid(slope * seen + intercept)
        ends = intervals(sigmoid(drawn[:, :1] * seen + drawn[:, 1:]), told)
        bins = interval_bins(told, ends, found)
        agree += [each.agrees for each in bins]
        hold += [each.holds for each in bins]
        hold_truth += ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).tolist()
    assert np.mean(hold_truth) == pytest.approx(0.95, abs=0.03)
    assert np.mean(agree) == pytest.approx(0.95, abs=0.03)
    assert np.mean(hold) < 0.9  # the interval of the calibration alone does not know that 200 films vary


def test_patients_with_many_films_make_the_interval_wider() -> None:
    logits, labels, _ = _films(100, np.random.default_rng(7))
    logits, labels = np.repeat(logits, 8, axis=0), np.repeat(labels, 8, axis=0)

    def width(patients: np.ndarray) -> float:
        drawn = bootstrap_draws(lambda w: platt_of_each(logits, labels, w), patients.astype(str), 200)[:, 0]
        low, high = intervals(sigmoid(drawn[:, 1:]), np.array([0.3]))[0]
        return float(high - low)

    assert width(np.arange(800) // 8) > 2 * width(np.arange(800))
