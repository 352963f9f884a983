"""The usual way to a heat map of each finding, as many systems have it: hooks, and a backward pass for each."""

from typing import Any

import torch
from torch import Tensor, nn


class HookedGradCam:
    """Grad-CAM (Selvaraju et al. 2017) of every label by one forward and as many backward passes."""

    def __init__(self, net: nn.Module, layer: nn.Module):
        self._net = net
        self._kept: dict[str, Tensor] = {}
        layer.register_forward_hook(self._keep_features)

    def _keep_features(self, layer: nn.Module, inputs: Any, features: Tensor) -> None:
        self._kept["features"] = features
        features.register_hook(lambda gradient: self._kept.update(gradient=gradient))

    def __call__(self, films: Tensor) -> tuple[Tensor, Tensor]:
        """Films (N, C, S, S) -> logits (N, K), maps (N, K, h, w)."""
        logits = self._net(films)
        maps = [self._map(logits, label) for label in range(logits.shape[1])]
        return logits.detach(), torch.stack(maps, dim=1)

    def _map(self, logits: Tensor, label: int) -> Tensor:
        self._net.zero_grad()
        logits[:, label].sum().backward(retain_graph=True)
        weights = self._kept["gradient"].mean((2, 3), keepdim=True)
        return torch.relu((weights * self._kept["features"]).sum(1)).detach()
