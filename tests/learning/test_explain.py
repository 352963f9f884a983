"""Grad-CAM in closed form is Grad-CAM by definition."""

import cv2
import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from cxr.learning.explain import channel_weights, gradcam, gradcam_by_autograd
from cxr.learning.models import HEADS, POOLINGS, build
from cxr.learning.trunks import ARCHITECTURES
from tests.learning.nets import tiny_net


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("seed", range(3))
def test_all_maps_equal_autograd_in_float64(pooling: str, head: str, seed: int) -> None:
    net = tiny_net(pooling, labels=3, seed=seed, head=head)
    films = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    maps = gradcam(net, net.features(films))
    for label in range(3):
        torch.testing.assert_close(maps[:, label], gradcam_by_autograd(net, films, label), rtol=0, atol=1e-10)
    assert maps.max() > 0


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_explains_itself_as_autograd_does(arch: str) -> None:
    net = build(arch, "lse", labels=2, channels_in=1, seed=0).eval()
    film = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = gradcam(net, net.features(film))
    for label in range(2):
        reference = gradcam_by_autograd(net, film, label)
        torch.testing.assert_close(maps[:, label], reference, rtol=1e-3, atol=1e-4 * float(reference.max()) + 1e-12)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_map_equals_the_grad_cam_package_after_its_own_scaling(pooling: str) -> None:
    net = tiny_net(pooling, seed=3, dtype=torch.float32)
    film = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    map_ = gradcam(net, net.features(film)).detach().numpy()
    assert map_.max() > 0
    for label in range(3):
        with GradCAM(net, [net.trunk]) as package:
            theirs = package(film, [ClassifierOutputTarget(label)])[0]  # (8, 8), enlarged and scaled to [0, 1]
        ours = _scale_as_the_package_does(map_[0, label])
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_film_without_evidence_stays_dark() -> None:
    net = tiny_net("avg")
    net.classifier.weight.data.fill_(-1.0)
    maps = gradcam(net, net.features(torch.rand(1, 1, 8, 8, dtype=torch.float64)))
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


def _scale_as_the_package_does(map_: np.ndarray) -> np.ndarray:
    """To [0, 1], enlarged, and to [0, 1] again: once for the layer, once for the mean over layers."""
    return _to_unit(cv2.resize(_to_unit(map_), (8, 8)))


def _to_unit(map_: np.ndarray) -> np.ndarray:
    shifted = map_ - map_.min()
    return shifted / (1e-7 + shifted.max())
