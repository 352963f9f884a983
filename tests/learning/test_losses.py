"""Losses: what they make of answers, of weights, and of what is not known."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cxr.learning.losses import LOSSES, make_loss
from cxr.learning.runs import Run
from cxr.learning.training import _step
from cxr.tasks import Recipe
from tests.learning.nets import tiny_net

RECIPE = Recipe(clip=0.0, ema=0.0, precision="f32")
LABELS = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]], np.float32)


def _kind(name: str) -> str:
    return "multiclass" if "cross_entropy" in name else "multilabel"


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_falls_as_the_answer_gets_better(name: str) -> None:
    labels = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    kind = _kind(name)
    loss = make_loss(name, labels, kind)
    truth = torch.from_numpy(labels)
    right, wrong = (loss((truth * 2 - 1) * sign, truth).item() for sign in (3.0, -3.0))
    assert 0 <= right < 0.1 < wrong


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_not_known_does_not_count_in_any_loss(name: str) -> None:
    labels = np.array([[1, 0], [0, 1]], np.float32)
    loss = make_loss(name, labels, _kind(name))
    logits, truth = torch.tensor([[0.5, 1.0], [9.0, 9.0]]), torch.tensor([[1.0, 0.0], [torch.nan, torch.nan]])
    torch.testing.assert_close(loss(logits, truth), loss(logits[:1], truth[:1]) / 2)


def test_weighted_bce_gives_both_sides_of_a_label_the_same_weight() -> None:
    labels = np.array([[1], [0], [0], [0]], np.float32)
    loss = make_loss("weighted_bce", labels, "multilabel")
    # weights 4/2 and 4/6 on -log(0.5): (2 + 3 * 2/3) / 4 = 1
    assert loss(torch.zeros(4, 1), torch.from_numpy(labels)).item() == pytest.approx(math.log(2))


def test_focal_loss_at_even_odds_is_a_quarter_of_cross_entropy() -> None:
    assert make_loss("focal", np.ones((1, 1)), "multilabel")(
        torch.zeros(1, 1), torch.ones(1, 1)
    ).item() == pytest.approx(0.25 * math.log(2))


def test_label_smoothing_moves_labels_towards_the_middle() -> None:
    loss = make_loss("bce", np.ones((1, 1)), "multilabel", smoothing=0.2)
    expected = -(0.9 * math.log(1 / (1 + math.exp(-2))) + 0.1 * math.log(1 / (1 + math.exp(2))))
    assert loss(torch.tensor([[2.0]]), torch.ones(1, 1)).item() == pytest.approx(expected)


def _weight_after_a_step(name: str, truth: Tensor, accumulate: int) -> Tensor:
    """Of a network in float64, by plain gradient descent."""
    net = tiny_net("avg")
    run = Run(net, net, torch.optim.SGD(net.parameters(), lr=1.0), torch.amp.GradScaler("cpu", enabled=False))
    x = torch.rand(4, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    recipe = dataclasses.replace(RECIPE, accumulate=accumulate)
    _step(net, run, recipe, make_loss(name, LABELS, _kind(name)), x, truth)
    return net.classifier.weight.detach()


@pytest.mark.parametrize("unknown", [[], [0], [0, 1]])
@pytest.mark.parametrize("name", LOSSES)
def test_parts_of_a_step_give_the_gradient_of_the_whole_whatever_is_unknown(name: str, unknown: list[int]) -> None:
    truth = torch.from_numpy(LABELS).double()
    truth[unknown] = torch.nan
    if _kind(name) == "multilabel":
        truth[3, 1] = torch.nan
    whole = _weight_after_a_step(name, truth, 1)
    assert not torch.equal(whole, tiny_net("avg").classifier.weight)
    for accumulate in (2, 4):
        torch.testing.assert_close(_weight_after_a_step(name, truth, accumulate), whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_of_which_nothing_is_known_moves_nothing(name: str) -> None:
    moved = _weight_after_a_step(name, torch.full((4, 3), torch.nan, dtype=torch.float64), 1)
    assert torch.equal(moved, tiny_net("avg").classifier.weight)
