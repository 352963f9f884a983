"""Losses: logits (N, K) and labels (N, K) of 1, 0 or NaN -> one number. NaN labels (not known) are left out."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy over the known labels."""
    known = ~labels.isnan()
    return F.binary_cross_entropy_with_logits(logits[known], labels[known])


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"bce": bce}


def probabilities(logits: Tensor) -> Tensor:
    """Uncalibrated probabilities of the labels."""
    return torch.sigmoid(logits)
