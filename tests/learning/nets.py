"""Tiny networks for tests: seven layers, 8 x 8 films."""

from typing import Any

import torch
from torch import nn

from cxr.learning import checkpoints
from cxr.learning.checkpoints import Checkpoint
from cxr.learning.models import FilmNet
from cxr.learning.trunks import Trunk
from cxr.tasks import TASKS, Recipe


def tiny_net(
    pooling: str, labels: int = 3, seed: int = 0, dtype: torch.dtype = torch.float64, head: str = "linear"
) -> FilmNet:
    """Films (N, 1, 8, 8) -> A (N, 6, 4, 4) -> logits (N, labels)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, 1, 1))
        trunk = Trunk(nn.Sequential(*layers, nn.ReLU()), 6, (("0.", "1."), ("3.",)), new_layers=("3.",))
        return FilmNet("tiny", trunk, pooling, labels, head, positions=16).to(dtype).eval()


def tiny_checkpoint(
    task: str = "chestxray8", *, size: int = 32, seed: int = 0, channels: int = 0, record: Any = None,
    pooling: str = "avg",
) -> Checkpoint:  # fmt: skip
    """Of a network with random weights, four convolutions deep."""
    recipe = Recipe(arch="binarycnn", pooling=pooling, size=size, seed=seed, channels=channels)
    net = checkpoints.network(TASKS[task], recipe)
    return Checkpoint({f"model.{name}": t for name, t in net.state_dict().items()}, task, recipe, 1, record or {})
