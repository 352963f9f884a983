"""Logits become probabilities: Platt and temperature scaling, each fitted to many resamples of the films at once.

numpy only; `logits`, `labels` and `weights` have the shapes of cxr.metrics.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cxr.metrics import Array

# (logits (N, K), truth (N, K), weights (D, N)) -> (D, K, 2): slope and intercept of each label in each draw
Fit = Callable[[Array, Array, Array], NDArray[np.float64]]


def sigmoid(logits: Array) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) without overflow; NaN stays NaN."""
    with np.errstate(invalid="ignore"):
        return np.exp(-np.logaddexp(0.0, -np.asarray(logits, np.float64)))


def softmax(logits: Array) -> NDArray[np.float64]:
    """exp(x_k) / sum of exp(x) over the last axis, without overflow."""
    powers = np.exp(np.asarray(logits, np.float64) - np.max(logits, axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def fit_platt(logits: Array, labels: Array) -> tuple[float, float]:
    """(slope, intercept) of Platt scaling with Platt's smoothed targets (Platt 1999, sec. 2.2).

    The identity (1, 0) when a class is absent: there is nothing to fit.
    """
    if not (labels == 1).any() or not (labels == 0).any():
        return 1.0, 0.0
    slope, intercept = fit_platts(logits, labels, np.ones((1, len(labels))))[0]
    return float(slope), float(intercept)


def fit_platts(logits: Array, labels: Array, weights: Array) -> NDArray[np.float64]:
    """(D, 2): `fit_platt` by Newton's method where film i counts weights[d, i] times; both classes are among the films.

    A draw without a class has slope 0 and the intercept of Platt's target for the other one.
    """
    known = ~np.isnan(labels)
    x, y, times = np.asarray(logits[known], np.float64), labels[known] == 1, weights[:, known]
    n_pos, n_neg = times[:, y].sum(axis=1, keepdims=True), times[:, ~y].sum(axis=1, keepdims=True)
    target = np.where(y, (n_pos + 1) / (n_pos + 2), 1 / (n_neg + 2))  # (D, N)
    centre, spread = x.mean(), max(float(x.std()), 1e-12)  # so that the ridge below is small for logits of any size
    design = np.stack([(x - centre) / spread, np.ones_like(x)], axis=1)
    squares = (design[:, :, None] * design[:, None, :]).reshape(-1, 4)

    def loss(beta: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = beta @ design.T
        return np.asarray((times * (np.logaddexp(0.0, scores) - target * scores)).sum(axis=1))

    def step(beta: NDArray[np.float64]) -> NDArray[np.float64]:
        p = sigmoid(beta @ design.T)
        gradient = (times * (p - target)) @ design
        hessian = (times * p * (1 - p) @ squares).reshape(-1, 2, 2) + 1e-9 * np.eye(2)
        return np.asarray(np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0])

    beta = newton(np.tile([0.0, np.log(y.sum() / (~y).sum())], (len(weights), 1)), step, loss)
    slopes = beta[:, 0] / spread
    return np.stack([slopes, beta[:, 1] - slopes * centre], axis=1)


def newton(
    beta: NDArray[np.float64],
    step: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    loss: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    steps: int = 100,
) -> NDArray[np.float64]:
    """Minimise D convex losses at once, from `beta` (D, P) on: `step` gives (D, P) to be taken off, `loss` (D,).

    A step that raises a loss is halved until it does not: far from the optimum a whole one may overshoot for ever.
    """
    now = loss(beta)
    for _ in range(steps):
        move = step(beta)
        for _ in range(50):
            worse = loss(beta - move) > now
            if not worse.any():
                break
            move[worse] /= 2
        move[worse] = 0.0
        beta = beta - move
        now = loss(beta)
        if np.abs(move).max() < 1e-9:
            break
    return beta


def fit_temperature(logits: Array, truth: Array) -> float:
    """Slope 1 / T of temperature scaling by maximum likelihood (Guo et al. 2017, sec. 4.2), from 1/20 to 20.

    `logits` and `truth` are (N, K), one class of each film is 1; films of unknown class are left out. 1 without films.
    """
    if np.isnan(truth).any(axis=1).all():
        return 1.0
    return float(fit_temperatures(logits, truth, np.ones((1, len(truth))))[0])


def fit_temperatures(
    logits: Array, truth: Array, weights: Array, steepest: float = 20.0, steps: int = 60
) -> NDArray[np.float64]:
    """(D,): `fit_temperature` where film i counts weights[d, i] times.

    The likelihood is concave in the slope, so halving the range finds its only peak; the bounds are for films that the
    logits part without an error, whose likelihood rises for ever.
    """
    known = ~np.isnan(truth).any(axis=1)
    x, y, times = np.asarray(logits[known], np.float64), truth[known], weights[:, known]
    low, high = np.full(len(weights), -np.log(steepest)), np.full(len(weights), np.log(steepest))
    for _ in range(steps):
        middle = (low + high) / 2
        slopes = ((y - softmax(np.exp(middle)[:, None, None] * x)) * x).sum(axis=2)  # of each film's log likelihood
        rises = (times * slopes).sum(axis=1) > 0
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    return np.asarray(np.exp((low + high) / 2))


def platt_of_each(logits: Array, truth: Array, weights: Array) -> NDArray[np.float64]:
    """Platt scaling of each label by itself; a Fit. Every label has both classes."""
    fitted = [fit_platts(logits[:, k], truth[:, k], weights) for k in range(truth.shape[1])]
    return np.stack(fitted, axis=1)


def one_temperature(logits: Array, truth: Array, weights: Array) -> NDArray[np.float64]:
    """One slope for all classes and no intercept (Guo et al. 2017); a Fit."""
    slopes = fit_temperatures(logits, truth, weights)
    pairs = np.stack([slopes, np.zeros_like(slopes)], axis=1)
    return np.repeat(pairs[:, None], truth.shape[1], axis=1)


def temperature_and_shifts(logits: Array, truth: Array, weights: Array) -> NDArray[np.float64]:
    """One slope for all classes and an intercept of each, which moves with its prevalence; a Fit.

    Bias-corrected temperature scaling (Alexandari et al., ICML 2020, sec. 3), by Newton's method. The targets are
    smoothed as Platt's are, so that films parted without an error have a finite answer. The intercepts add up to 0.
    """
    known = ~np.isnan(truth).any(axis=1)
    x, times = np.asarray(logits[known], np.float64), weights[:, known]
    target = _smoothed(truth[known], times)  # (D, N, K)
    classes = truth.shape[1]
    size = max(float(x.std()), 1e-12)
    axes = np.concatenate([x[:, :, None] / size, np.broadcast_to(np.eye(classes), (len(x), classes, classes))], axis=2)

    def scores(beta: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.einsum("nkp,dp->dnk", axes, beta))

    def step(beta: NDArray[np.float64]) -> NDArray[np.float64]:
        return _newton_step(axes, softmax(scores(beta)), target, times)

    def loss(beta: NDArray[np.float64]) -> NDArray[np.float64]:
        z = scores(beta)
        return np.asarray((times * (np.logaddexp.reduce(z, axis=2) - (target * z).sum(axis=2))).sum(axis=1))

    beta = newton(np.zeros((len(weights), classes + 1)), step, loss)
    beta[:, 0] /= size
    shifts = beta[:, 1:] - beta[:, 1:].mean(axis=1, keepdims=True)
    return np.stack([np.repeat(beta[:, :1], classes, axis=1), shifts], axis=2)


def _smoothed(truth: Array, times: Array) -> NDArray[np.float64]:
    """(D, N, K): (n + 1) / (n + K) for the film's own class of n films, 1 / (n + K) for each other."""
    classes = truth.shape[1]
    films = times @ truth @ truth.T  # (D, N): how many are of the class of each
    return np.asarray((films[:, :, None] * truth + 1) / (films[:, :, None] + classes))


def _newton_step(axes: Array, p: Array, target: Array, times: Array) -> NDArray[np.float64]:
    """(D, P) from derivatives `axes` (N, K, P) of the logits, probabilities and targets (D, N, K), weights (D, N)."""
    gradient = np.einsum("dn,dnk,nkp->dp", times, p - target, axes, optimize=True)
    mean = np.einsum("dnk,nkp->dnp", p, axes)
    spread = np.einsum("dn,dnk,nkp,nkq->dpq", times, p, axes, axes, optimize=True)
    spread -= np.einsum("dn,dnp,dnq->dpq", times, mean, mean, optimize=True)
    # All intercepts moved alike change nothing; the small ridge keeps that direction still.
    return np.asarray(np.linalg.solve(spread + 1e-6 * np.eye(axes.shape[2]), gradient[:, :, None])[:, :, 0])
