"""Maps in closed form are what their papers define."""

from collections.abc import Callable
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from cxr.learning.explain import METHODS, channel_weights, evidence_shares
from cxr.learning.models import HEADS, POOLINGS, FilmNet, build
from cxr.learning.trunks import ARCHITECTURES
from cxr.modelfile import MAPS
from tests.learning.nets import tiny_net


def _films(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 1, 8, 8, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def _features_and_gradient(net: FilmNet, films: Tensor, label: int) -> tuple[Tensor, Tensor]:
    """A (N, K, h, w) and d logit / d A by autograd."""
    features = net.features(films).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(net.head(features)[:, label].sum(), features)
    return features.detach(), gradient


def _gradcam_by_autograd(net: FilmNet, films: Tensor, label: int) -> Tensor:
    features, gradient = _features_and_gradient(net, films, label)
    return torch.relu((gradient.mean((2, 3), keepdim=True) * features).sum(1))


def _gradcam_plus_plus_by_autograd(net: FilmNet, films: Tensor, label: int) -> Tensor:
    """Y = exp(S) is differentiated three times, S being the logit's tangent at A; divided by Y in the end."""
    features, slope = _features_and_gradient(net, films, label)
    moved = features.clone().requires_grad_()
    score = torch.exp((slope * (moved - features)).sum((1, 2, 3)))  # Y over its value at A
    first = torch.autograd.grad(score.sum(), moved, create_graph=True)[0]
    # Each entry's own second and third derivative: Y is exponential in each, so they come from moving that one alone.
    second = torch.stack([_own(first, moved, place) for place in range(moved[0].numel())], 1).view_as(moved)
    third = torch.stack([_own(first, moved, place, again=True) for place in range(moved[0].numel())], 1).view_as(moved)
    alpha = second / (2 * second + third * features.sum((2, 3), keepdim=True))
    weights = torch.where(slope != 0, alpha * torch.relu(first), 0).sum((2, 3), keepdim=True)
    return torch.relu((weights * features).sum(1)).detach()


def _own(first: Tensor, moved: Tensor, place: int, again: bool = False) -> Tensor:
    """(N,): derivative of entry `place` of `first` by the same entry of `moved`, once or twice."""
    (second,) = torch.autograd.grad(first.flatten(1)[:, place].sum(), moved, create_graph=True)
    if not again:
        return second.flatten(1)[:, place].detach()
    (third,) = torch.autograd.grad(second.flatten(1)[:, place].sum(), moved, retain_graph=True)
    return third.flatten(1)[:, place]


def _hirescam_by_autograd(net: FilmNet, films: Tensor, label: int) -> Tensor:
    features, gradient = _features_and_gradient(net, films, label)
    return torch.relu((gradient * features).sum(1))


BY_AUTOGRAD: dict[str, Callable[[FilmNet, Tensor, int], Tensor]] = {
    "gradcam": _gradcam_by_autograd,
    "gradcam++": _gradcam_plus_plus_by_autograd,
    "hirescam": _hirescam_by_autograd,
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("method", BY_AUTOGRAD)
def test_all_maps_equal_autograd_in_float64(method: str, pooling: str, head: str) -> None:
    net, films = tiny_net(pooling, labels=3, seed=1, head=head), _films(1)
    maps = METHODS[method](net, net.features(films))
    for label in range(3):
        torch.testing.assert_close(maps[:, label], BY_AUTOGRAD[method](net, films, label), rtol=0, atol=1e-10)
    assert maps.max() > 0


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_explains_itself_as_autograd_does(arch: str) -> None:
    net = build(arch, "lse", labels=2, channels_in=1, seed=0).eval()
    film = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = METHODS["gradcam"](net, net.features(film))
    for label in range(2):
        reference = _gradcam_by_autograd(net, film, label)
        torch.testing.assert_close(maps[:, label], reference, rtol=1e-3, atol=1e-4 * float(reference.max()) + 1e-12)


PACKAGE = {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus, "hirescam": HiResCAM}


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("method", PACKAGE)
def test_a_map_equals_the_grad_cam_package_after_its_own_scaling(method: str, pooling: str) -> None:
    net = tiny_net(pooling, seed=3, dtype=torch.float32)
    net.classifier.weight.data *= (
        100  # the package adds 1e-6 to a denominator of Grad-CAM++; this leaves it without effect
    )
    film = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    map_ = METHODS[method](net, net.features(film)).detach().numpy()
    assert map_.max() > 0
    for label in range(3):
        with PACKAGE[method](net, [net.trunk]) as package:
            theirs = package(film, [ClassifierOutputTarget(label)])[0]  # (8, 8), enlarged and scaled to [0, 1]
        np.testing.assert_allclose(_scale_as_the_package_does(map_[0, label]), theirs, atol=1e-4)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_evidence_of_all_positions_is_the_logit_but_for_the_bias(pooling: str) -> None:
    net, films = tiny_net(pooling, seed=2), _films(2)
    shares = evidence_shares(net, net.features(films))
    torch.testing.assert_close(shares.sum((2, 3)), net(films) - net.classifier.bias, rtol=0, atol=1e-10)
    assert shares.min() < 0 < shares.max()


def test_with_dense_layers_the_evidence_is_the_logit_but_for_what_their_biases_give() -> None:
    net, films = tiny_net("lse", seed=2, head="dense256"), _films(2)
    for layer in (*net.dense, net.classifier):
        cast(nn.Linear, layer).bias.data.zero_()
    shares = evidence_shares(net, net.features(films))
    torch.testing.assert_close(shares.sum((2, 3)), net(films), rtol=0, atol=1e-10)


def test_with_average_pooling_hirescam_and_evidence_are_grad_cam() -> None:
    net = tiny_net("avg", seed=2)
    maps = {name: METHODS[name](net, net.features(_films(2))) for name in ("gradcam", "hirescam", "evidence")}
    torch.testing.assert_close(maps["hirescam"], maps["gradcam"], rtol=0, atol=1e-12)
    torch.testing.assert_close(maps["evidence"], maps["gradcam"], rtol=0, atol=1e-12)


def test_evidence_of_one_channel_goes_where_its_exponentials_are() -> None:
    net = tiny_net("lse", labels=1)
    net.pooling.transfer.weight.data.zero_()
    net.pooling.transfer.bias.data.zero_()
    net.pooling.transfer.weight.data[0, 0] = 1.0
    net.classifier.weight.data.zero_()
    net.classifier.weight.data[0, 0] = 2.0
    features = torch.zeros(1, 6, 1, 2, dtype=torch.float64)
    features[0, 0, 0, 1] = np.log(3) / 10  # exp(10 z) is 1 and 3: shares of 1/4 and 3/4 of p = log(2) / 10
    expected = torch.tensor([[[[0.25, 0.75]]]], dtype=torch.float64) * 2 * np.log(2) / 10
    torch.testing.assert_close(evidence_shares(net, features), expected)


@pytest.mark.parametrize("method", METHODS)
def test_a_film_without_evidence_stays_dark(method: str) -> None:
    net = tiny_net("avg")
    net.classifier.weight.data.fill_(-1.0)
    maps = METHODS[method](net, net.features(torch.rand(1, 1, 8, 8, dtype=torch.float64)))
    assert maps.shape == (1, 3, 4, 4)
    assert maps.eq(0).all()


def test_weights_of_an_average_head_are_its_classifier() -> None:
    net = tiny_net("avg")
    assert channel_weights(net, torch.zeros(1, 6, 4, 4)) is net.classifier.weight


def test_weights_of_an_lse_head_are_classifier_times_transfer() -> None:
    net = tiny_net("lse")
    net.pooling.transfer.weight.data.fill_(0.5)
    net.classifier.weight.data.fill_(1.0)
    assert channel_weights(net, torch.zeros(1, 6, 4, 4)).tolist() == [[512.0] * 6] * 3  # 1024 channels, each 1.0 * 0.5


def test_every_method_can_be_named_in_a_model_file() -> None:
    assert METHODS.keys() == MAPS.keys()


def _scale_as_the_package_does(map_: Any) -> Any:
    """To [0, 1], enlarged, and to [0, 1] again: once for the layer, once for the mean over layers."""
    return _to_unit(cv2.resize(_to_unit(map_), (8, 8)))


def _to_unit(map_: Any) -> Any:
    shifted = map_ - map_.min()
    return shifted / (1e-7 + shifted.max())
