"""How the weights move: which of them, by which optimizer, how fast."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from cxr.learning.models import FilmNet
from cxr.tasks import Recipe

OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]]], torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True),
}


def in_first_phase(recipe: Recipe, epoch: int) -> bool:
    """Whether the whole trunk still stays as it started in epoch 0, 1, ..."""
    return epoch < recipe.head_epochs


def begins_phase(recipe: Recipe, epoch: int, step: int) -> bool:
    """Whether a second phase begins at this step of epoch 0, 1, ..."""
    return step == 0 and epoch == recipe.head_epochs > 0


def begin_phase(net: FilmNet, recipe: Recipe, epoch: int) -> torch.optim.Optimizer:
    """Freeze what stays in the phase of `epoch`, and make the optimizer of the rest."""
    first = in_first_phase(recipe, epoch)
    net.freeze(len(net.blocks) if first else recipe.frozen)
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((net.is_new(name), parameter.ndim > 1), []).append(parameter)
    return OPTIMIZERS[recipe.optimizer](
        [
            {
                "params": parameters,
                "peak_lr": recipe.head_lr if first else recipe.lr * (recipe.new_layer_lr if new else 1.0),
                "weight_decay": recipe.weight_decay if decays else 0.0,  # not for norms and biases
            }
            for (new, decays), parameters in groups.items()
        ]
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Each group's rate is its peak times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


def rate_factor(recipe: Recipe, epoch: int, share: float, reductions: int) -> float:
    """What the peak rates are multiplied by, `share` of the way through `epoch`, in the phase that epoch is of."""
    begin, end = (0, recipe.head_epochs) if in_first_phase(recipe, epoch) else (recipe.head_epochs, recipe.epochs)
    done = (epoch - begin + share) / (end - begin)
    rising = done / recipe.warmup if recipe.warmup else 1.0
    return min(1.0, rising) * SCHEDULES[recipe.schedule](recipe, done, reductions)


def _cosine(recipe: Recipe, done: float, reductions: int) -> float:
    """After the warm-up a half cosine, down to one hundredth."""
    del reductions
    falling = max(0.0, (done - recipe.warmup) / (1 - recipe.warmup))
    return 0.01 + 0.99 * (1 + math.cos(math.pi * falling)) / 2


def _plateau(recipe: Recipe, done: float, reductions: int) -> float:
    """Lowered each time the validation AUROC has not risen for `plateau_patience` epochs."""
    del done
    return recipe.plateau_factor**reductions


def _constant(recipe: Recipe, done: float, reductions: int) -> float:
    del recipe, done, reductions
    return 1.0


SCHEDULES: dict[str, Callable[[Recipe, float, int], float]] = {
    "cosine": _cosine,
    "plateau": _plateau,
    "constant": _constant,
}
