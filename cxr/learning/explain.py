"""Grad-CAM of every label in one forward pass.

Grad-CAM (Selvaraju et al. 2017) weighs channel k of the last feature map A (K, h, w) by the mean over positions of
d logit_c / d A_k, sums and cuts below zero. For the heads here that mean is a constant:

- average pooling, classifier W (C, K): d logit_c / d A_k,ij = W[c, k] / (h w) everywhere.
- LSE pooling, z = T A, p_m = (1/r) log mean_ij exp(r z_m,ij): d p_m / d z_m,ij is a softmax over positions and sums
  to one, so the mean over positions of d logit_c / d A_k is exactly (1 / (h w)) sum_m W[c, m] T[m, k].

So all maps are one 1x1 convolution of A. Dense layers between pooling and classifier let through what their ReLUs do:
the weights are then W diag(on_L) W_L ... diag(on_1) W_1, another matrix for each film, still without a backward pass.
tests/learning holds every architecture, pooling and head against autograd.
"""

from typing import cast

import torch
from torch import Tensor, nn

from cxr.learning.models import FilmNet


def channel_weights(net: FilmNet, features: Tensor) -> Tensor:
    """Weight of channel k in the map of label c, before the division by h w: (C, K), or (N, C, K) with dense layers."""
    weights: Tensor = net.classifier.weight
    matrices = [cast(nn.Linear, layer).weight for layer in net.dense]
    for matrix, on in zip(reversed(matrices), reversed(_active(net, features)), strict=True):
        weights = (weights * on[:, None]) @ matrix  # (N, C, width) @ (width, width before)
    if net.norm is not None:
        weights = weights * _slope(net.norm)
    return net.pooling.pull_back(weights)


def _slope(norm: nn.BatchNorm1d) -> Tensor:
    """What a BatchNorm in evaluation mode multiplies each channel by."""
    assert norm.running_var is not None
    return norm.weight / torch.sqrt(norm.running_var + norm.eps)


def _active(net: FilmNet, features: Tensor) -> list[Tensor]:
    """For each dense layer (N, width): 1 where its ReLU lets through, else 0."""
    if not net.dense:
        return []
    x, active = net.pooled(features), []
    for layer in net.dense:
        x = torch.relu(layer(x))
        active.append((x > 0).to(x.dtype))
    return active


def gradcam(net: FilmNet, features: Tensor) -> Tensor:
    """A (N, K, h, w) of a network in evaluation mode -> Grad-CAM of every label (N, C, h, w), not scaled."""
    weights = channel_weights(net, features) / (features.shape[2] * features.shape[3])
    if weights.ndim == 2:
        return torch.relu(nn.functional.conv2d(features, weights[:, :, None, None]))
    return torch.relu(torch.einsum("nck,nkhw->nchw", weights, features))


def gradcam_by_autograd(net: FilmNet, films: Tensor, label: int) -> Tensor:
    """(N, C, S, S) -> Grad-CAM of one label (N, h, w) by definition: the reference of the tests."""
    with torch.enable_grad():
        features = net.features(films).detach().requires_grad_()
        logits = net.head(features)
        (gradient,) = torch.autograd.grad(logits[:, label].sum(), features)
    weights = gradient.mean((2, 3), keepdim=True)
    return torch.relu((weights * features).sum(1)).detach()
