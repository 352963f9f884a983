"""Where a network looks: maps of every label in one forward pass, without a backward pass.

A (K, h, w) is the last feature map, x its pooled vector, and logit_c = W_c x + b_c. With dense layers between pooling
and classifier W is W diag(on_L) W_L ... diag(on_1) W_1, on_l being what the ReLUs of layer l let through: another
matrix for each film, still in closed form. g_c,k,ij = d logit_c / d A_k,ij is then known without differentiating:

- average pooling: g = W[c, k] / (h w), the same everywhere.
- LSE pooling, z = T A + t, p_m = (1/r) log mean_ij exp(r z_m,ij): with s_m = softmax_ij(r z_m), which is d p_m / d z_m,
  g = sum_m W[c, m] s_m,ij T[m, k].

The methods, each cut below zero as it is shown:

Grad-CAM (Selvaraju et al. 2017): sum_k (mean_ij g_c,k) A_k. s_m sums to one over positions, so that the mean is the
    constant (1 / (h w)) sum_m W[c, m] T[m, k] and all maps are one 1x1 convolution.
Grad-CAM++ (Chattopadhyay et al. 2018): the weight of channel k is sum_ij alpha_k,ij relu(dY/dA_k,ij). Their form is
    Y = exp(S) with S the logit taken as linear in A (its own second derivatives are left out, which is exact for
    average pooling and not for LSE): d2Y/dA2 = Y g^2, d3Y/dA3 = Y g^3, so that Y falls out of
    alpha = g^2 / (2 g^2 + g^3 sum_ab A_k,ab) = 1 / (2 + g sum_ab A_k,ab). The factor Y that stays in dY/dA = Y g, one
    number for each film and label, is left out: with it the maps would be on a scale of exp(logit).
HiResCAM (Draelos & Carin 2020): sum_k g_c,k,ij A_k,ij. With LSE that is sum_m W[c, m] s_m,ij (z_m,ij - t_m): the
    softmax over positions times the weights. With average pooling it is Grad-CAM.
Evidence: the logit itself, shared out. exp(r p_m) is the mean of exp(r z_m,ij), of which position ij gave the share
    s_m,ij, so that share of p_m is its own: e_c,ij = sum_m W[c, m] s_m,ij p_m. Before the cut it sums over positions to
    W_c x, which is logit_c - b_c (with dense layers: less what their biases give). Nothing is approximated.

tests/learning holds every pooling and head against autograd, and against the grad-cam package.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from cxr.learning.models import FilmNet

Method = Callable[
    [FilmNet, Tensor], Tensor
]  # network in evaluation mode, A (N, K, h, w) -> maps (N, C, h, w), not scaled


def pooled_weights(net: FilmNet, features: Tensor) -> Tensor:
    """Derivative of each logit by the pooled vector x: (C, M), or (N, C, M) with dense layers."""
    weights: Tensor = net.classifier.weight
    matrices = [cast(nn.Linear, layer).weight for layer in net.dense]
    for matrix, on in zip(reversed(matrices), reversed(_active(net, features)), strict=True):
        weights = (weights * on[:, None]) @ matrix  # (N, C, width) @ (width, width before)
    return weights if net.norm is None else weights * _slope(net.norm)


def channel_weights(net: FilmNet, features: Tensor) -> Tensor:
    """Weight of channel k in the Grad-CAM of label c, before the division by h w: (C, K), or (N, C, K)."""
    return net.pooling.pull_back(pooled_weights(net, features))


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


def _weights_of_films(net: FilmNet, features: Tensor) -> Tensor:
    """`pooled_weights`, (N, C, M) with any head."""
    weights = pooled_weights(net, features)
    films = features.shape[0]  # len() would fix the batch of an exported file
    return weights if weights.ndim == 3 else weights.expand(films, -1, -1)


def gradcam(net: FilmNet, features: Tensor) -> Tensor:
    """Grad-CAM."""
    weights = channel_weights(net, features) / (features.shape[2] * features.shape[3])
    if weights.ndim == 2:
        return torch.relu(nn.functional.conv2d(features, weights[:, :, None, None]))
    return torch.relu(torch.einsum("nck,nkhw->nchw", weights, features))


def gradcam_plus_plus(net: FilmNet, features: Tensor) -> Tensor:
    """Grad-CAM++. The one method here that needs g in full: C K h w numbers for each film."""
    gradient = net.pooling.derivative(_weights_of_films(net, features), features)  # (N, C, K, h, w)
    total = features.sum((2, 3))[:, None, :, None, None]
    weights = (torch.relu(gradient) / (2 + gradient * total)).sum((3, 4))  # (N, C, K)
    return torch.relu(torch.einsum("nck,nkhw->nchw", weights, features))


def hirescam(net: FilmNet, features: Tensor) -> Tensor:
    """HiResCAM."""
    return torch.relu(net.pooling.times_features(_weights_of_films(net, features), features))


def evidence(net: FilmNet, features: Tensor) -> Tensor:
    """The part of `evidence_shares` above zero."""
    return torch.relu(evidence_shares(net, features))


def evidence_shares(net: FilmNet, features: Tensor) -> Tensor:
    """What each position adds to each logit, (N, C, h, w): the sum over positions is W_c x."""
    return net.pooling.shares(_weights_of_films(net, features), features)


# The names are those of `cxr.modelfile.MAPS`.
METHODS: dict[str, Method] = {
    "gradcam": gradcam,
    "gradcam++": gradcam_plus_plus,
    "hirescam": hirescam,
    "evidence": evidence,
}
