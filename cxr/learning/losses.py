"""Losses: logits (N, K) and labels (N, K) -> one number.

Labels are 1, 0 or NaN (not known, left out); after mixup and label smoothing they lie between. A multiclass film has
one row of shares that sum to one, or is unknown as a whole.

Each loss is a sum over what is known, divided by the number of all labels (N K), or of all films (N) for cross-entropy:
known or not. So a batch in which nothing is known has loss 0, and the mean over equal parts of a batch, on one device
or on several, is the loss of the whole, and its gradient too, wherever the unknown labels lie.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]


def make_loss(name: str, labels: NDArray[np.float32], kind: str, smoothing: float = 0.0) -> Loss:
    """The loss `name` for training labels (N, K), from whose frequencies the weighted losses take their weights."""
    loss = LOSSES[name](labels)

    def smoothed(logits: Tensor, truth: Tensor) -> Tensor:
        share = 1 / truth.shape[1] if kind == "multiclass" else 0.5
        return loss(logits, truth * (1 - smoothing) + smoothing * share)

    return smoothed


def _bce(labels: NDArray[np.float32]) -> Loss:
    """Binary cross-entropy."""
    del labels

    def bce(logits: Tensor, truth: Tensor) -> Tensor:
        known = ~truth.isnan()
        return F.binary_cross_entropy_with_logits(logits[known], truth[known], reduction="sum") / truth.numel()

    return bce


def _weighted_bce(labels: NDArray[np.float32]) -> Loss:
    """Binary cross-entropy in which both sides of each label weigh the same in sum.

    Positive films weigh (P + N) / 2P and negative ones (P + N) / 2N (after Wang et al. 2017, eq. 1).
    """
    positive, negative = np.nansum(labels == 1, axis=0), np.nansum(labels == 0, axis=0)
    total = positive + negative
    of_positive = torch.from_numpy((total / (2 * np.maximum(positive, 1))).astype(np.float32))
    of_negative = torch.from_numpy((total / (2 * np.maximum(negative, 1))).astype(np.float32))

    def weighted_bce(logits: Tensor, truth: Tensor) -> Tensor:
        known = ~truth.isnan()
        y = truth.nan_to_num()
        weight = (y * of_positive.to(y.device) + (1 - y) * of_negative.to(y.device))[known]
        return F.binary_cross_entropy_with_logits(logits[known], truth[known], weight, reduction="sum") / truth.numel()

    return weighted_bce


def _focal(labels: NDArray[np.float32], gamma: float = 2.0) -> Loss:
    """(1 - p_t)^gamma times the cross-entropy: easy films count less (Lin et al. 2017, eq. 4)."""
    del labels

    def focal(logits: Tensor, truth: Tensor) -> Tensor:
        known = ~truth.isnan()
        x, y = logits[known], truth[known]
        miss = torch.sigmoid(x) * (1 - y) + torch.sigmoid(-x) * y
        return (miss**gamma * F.binary_cross_entropy_with_logits(x, y, reduction="none")).sum() / truth.numel()

    return focal


def _asymmetric(labels: NDArray[np.float32], gamma_negative: float = 4.0, gamma_positive: float = 1.0) -> Loss:
    """Focal with a harder focus on negatives, whose probability is shifted by 0.05 (Ridnik et al. 2021, eq. 7)."""
    del labels

    def asymmetric(logits: Tensor, truth: Tensor) -> Tensor:
        known = ~truth.isnan()
        x, y = logits[known], truth[known]
        p = torch.sigmoid(x)
        shifted = (p - 0.05).clamp(min=0)
        positive = y * (1 - p) ** gamma_positive * F.logsigmoid(x)
        negative = (1 - y) * shifted**gamma_negative * torch.log1p(-shifted.clamp(max=1 - 1e-7))
        return -(positive + negative).sum() / truth.numel()

    return asymmetric


def _cross_entropy(labels: NDArray[np.float32]) -> Loss:
    """Cross-entropy over classes."""
    del labels

    def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
        known = ~truth.isnan().any(1)
        return F.cross_entropy(logits[known], truth[known], reduction="sum") / len(truth)

    return cross_entropy


def _weighted_cross_entropy(labels: NDArray[np.float32]) -> Loss:
    """Cross-entropy in which every class weighs the same in sum: its films weigh N / (K count)."""
    count = np.nansum(labels, axis=0)
    weights = torch.from_numpy((count.sum() / (len(count) * np.maximum(count, 1))).astype(np.float32))

    def weighted_cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
        known = ~truth.isnan().any(1)
        return F.cross_entropy(logits[known], truth[known], weights.to(logits), reduction="sum") / len(truth)

    return weighted_cross_entropy


# name -> training labels (N, K) -> loss
LOSSES: dict[str, Callable[[NDArray[np.float32]], Loss]] = {
    "bce": _bce,
    "weighted_bce": _weighted_bce,
    "focal": _focal,
    "asymmetric": _asymmetric,
    "cross_entropy": _cross_entropy,
    "weighted_cross_entropy": _weighted_cross_entropy,
}
