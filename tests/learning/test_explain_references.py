"""Occlusion, LIME and GradientSHAP find what a logit rests on."""

import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from cxr.errors import TrainingError
from cxr.learning.references import CELLS, REFERENCES, explain

FILM = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
ROW, COLUMN = 2, 5  # of the cell that `_logits` looks at


def _logits(films: Tensor) -> Tensor:
    """(n, 3, 64, 64) -> (n, 2): nothing, and how rough the film is in one cell."""
    cell = films[:, :, ROW * 8 : ROW * 8 + 8, COLUMN * 8 : COLUMN * 8 + 8]
    return torch.stack([torch.zeros(len(films)), (cell**2).mean((1, 2, 3))], 1)


@pytest.mark.parametrize("name", REFERENCES)
def test_the_cell_that_counts_is_the_strongest(name: str) -> None:
    found = explain(_logits, FILM, label=1)[name]
    assert found.shape == (CELLS, CELLS)
    assert np.unravel_index(found.argmax(), found.shape) == (ROW, COLUMN)


def test_the_same_seed_explains_alike_and_other_randomness_is_left_alone() -> None:
    before, next_number = torch.random.get_rng_state(), np.random.RandomState(7).rand()
    np.random.seed(7)
    one, other = (explain(_logits, FILM, label=1, seed=3) for _ in range(2))
    assert all((one[name] == other[name]).all() for name in REFERENCES)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.random.rand() == next_number


def test_without_captum_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    monkeypatch.setitem(sys.modules, "captum._utils.models.linear_model", None)
    with pytest.raises(TrainingError, match=r"--explain needs the package captum"):
        explain(_logits, FILM, label=1)
