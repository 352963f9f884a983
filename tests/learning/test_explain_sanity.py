"""Maps hang on what a network has learned (Adebayo et al. 2018, "Sanity Checks for Saliency Maps").

A tiny network learns to tell films with a bright spot from films without. Its weights are then made random, layer after
layer from the top: maps that only retraced the film's edges would stay as they were.
"""

import copy
from collections.abc import Iterator
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxr.learning.explain import METHODS
from cxr.learning.models import FilmNet, LsePooling
from cxr.learning.trunks import Trunk
from cxr.metrics import inside, peaks, rank_correlation

SIDE, SPOT, FILMS = 32, 8, 32


def _films(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noise with a spot on every second film: (N, 1, SIDE, SIDE), (N, 1) labels, (N, 4) boxes in shares of the film."""
    random = torch.Generator().manual_seed(seed)
    films = torch.randn(FILMS, 1, SIDE, SIDE, generator=random)
    corners = torch.randint(0, SIDE - SPOT, (FILMS, 2), generator=random)
    for film, (row, column) in zip(films[::2], corners[::2], strict=True):
        film[:, row : row + SPOT, column : column + SPOT] += 2
    labels = torch.tensor([1.0, 0.0]).repeat(FILMS // 2)[:, None]
    boxes = torch.cat([corners.flip(1), torch.full((FILMS, 2), SPOT)], 1) / SIDE
    return films, labels, boxes


@pytest.fixture(scope="module")
def net() -> FilmNet:
    """Three convolutions and LSE pooling."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for inner, outer, stride in ((1, 8, 2), (8, 16, 2), (16, 16, 1)):
            layers += [nn.Conv2d(inner, outer, 3, stride, 1), nn.BatchNorm2d(outer), nn.ReLU()]
        net = FilmNet("tiny", Trunk(nn.Sequential(*layers), 16, ()), "lse", labels=1)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for step in range(100):
        films, labels, _ = _films(step + 1)
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(net(films), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return net.eval()


def _maps(net: FilmNet, films: Tensor, method: str) -> np.ndarray:
    with torch.inference_mode():
        return METHODS[method](net, net.features(films))[:, 0].numpy()


def _cascade(net: FilmNet) -> Iterator[FilmNet]:
    """The network with its last layer at random, then with the last two, and so on down to the first."""
    randomised, random = copy.deepcopy(net), torch.Generator().manual_seed(5)
    convolutions = [layer for layer in randomised.trunk.modules() if isinstance(layer, nn.Conv2d)]
    for layer in (randomised.classifier, cast(LsePooling, randomised.pooling).transfer, *reversed(convolutions)):
        for parameter in layer.parameters():
            parameter.data = torch.randn(parameter.shape, generator=random) * parameter.data.std(correction=0)
        yield randomised


@pytest.mark.parametrize("method", METHODS)
def test_maps_point_at_what_was_learned_until_the_weights_are_random(net: FilmNet, method: str) -> None:
    films, _, boxes = (part[::2] for part in _films(0))  # those with a spot
    trained = _maps(net, films, method)
    assert inside(peaks(trained), boxes.numpy()).mean() > 0.8
    *_, randomised = _cascade(net)  # a random head alone still shows what the trunk has learned
    random = _maps(randomised, films, method)
    alike = [rank_correlation(*pair) for pair in zip(trained, random, strict=True)]
    assert abs(np.nanmean(alike)) < 0.5
    assert inside(peaks(random), boxes.numpy()).mean() < 0.4
