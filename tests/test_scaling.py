"""Fits of a calibration: they reach the optimum wherever the logits lie."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cxr.scaling import fit_platt, sigmoid, temperature_and_shifts

ALIKE = np.ones((1, 100))


def _overconfident(size: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """100 films, half positive, one in ten on the wrong side: logits are +-size, and +-log 9 would be true."""
    labels = np.repeat([1.0, 0.0], 50)
    logits = np.where(np.arange(100) % 10 == 0, 1 - labels, labels) * 2 * size - size
    return logits, labels


@pytest.mark.parametrize("size", [0.1, 5.0, 40.0, 400.0])
def test_logits_of_any_size_are_scaled_to_what_they_are_worth(size: float) -> None:
    logits, labels = _overconfident(size)
    slope, intercept = fit_platt(logits, labels)
    observed = (0.9 * 50 * 51 / 52 + 0.1 * 50 / 52) / 50  # share of positives above 0, as Platt's targets have it
    assert sigmoid(np.array([slope * size + intercept]))[0] == pytest.approx(observed, abs=1e-6)
    assert intercept == pytest.approx(0, abs=1e-6)


def test_ten_times_the_logits_give_a_tenth_of_the_slope() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, 400)
    labels = (random.random(400) < sigmoid(0.5 * logits - 1)).astype(float)
    slope, intercept = fit_platt(logits, labels)
    assert fit_platt(10 * logits, labels) == pytest.approx((slope / 10, intercept), abs=1e-6)


@pytest.mark.parametrize("size", [5.0, 40.0])
def test_classes_of_overconfident_logits_too(size: float) -> None:
    logits, labels = _overconfident(size)
    both = np.stack([-logits / 2, logits / 2], axis=1)
    fitted = temperature_and_shifts(both, np.stack([1 - labels, labels], axis=1), ALIKE)[0]
    assert fitted[0, 0] * size == pytest.approx(fit_platt(logits, labels)[0] * size, abs=1e-4)
