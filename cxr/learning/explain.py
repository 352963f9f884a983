"""Grad-CAM of every label in one forward pass.

Grad-CAM (Selvaraju et al. 2017) weighs channel k of the last feature map A (K, h, w) by the mean over positions of
d logit_c / d A_k, sums and cuts below zero. For the heads here that mean is a constant:

- average pooling, classifier W (C, K): d logit_c / d A_k,ij = W[c, k] / (h w) everywhere.
- LSE pooling, z = T A, p_m = (1/r) log mean_ij exp(r z_m,ij): d p_m / d z_m,ij is a softmax over positions and sums
  to one, so the mean over positions of d logit_c / d A_k is exactly (1 / (h w)) sum_m W[c, m] T[m, k].

So all maps are one 1x1 convolution of A. tests/learning holds both against autograd.
"""

import torch
from torch import Tensor, nn

from cxr.learning.models import FilmNet, LsePooling


def channel_weights(net: FilmNet) -> Tensor:
    """(C, K): the weight of channel k in the map of label c, before the division by h * w."""
    W = net.classifier.weight
    if isinstance(net.pooling, LsePooling):
        return W @ net.pooling.transfer.weight.flatten(1)
    return W


def gradcam(net: FilmNet, features: Tensor) -> Tensor:
    """A (N, K, h, w) -> Grad-CAM of every label (N, C, h, w), not scaled."""
    positions = features.shape[2] * features.shape[3]
    weights = channel_weights(net)[:, :, None, None] / positions
    return torch.relu(nn.functional.conv2d(features, weights.to(features.dtype)))


def gradcam_by_autograd(net: FilmNet, films: Tensor, label: int) -> Tensor:
    """(N, C, S, S) -> Grad-CAM of one label (N, h, w) by definition: the reference of the tests."""
    with torch.enable_grad():
        features = net.features(films).detach().requires_grad_()
        logits = net.head(features)
        (gradient,) = torch.autograd.grad(logits[:, label].sum(), features)
    weights = gradient.mean((2, 3), keepdim=True)
    return torch.relu((weights * features).sum(1)).detach()
