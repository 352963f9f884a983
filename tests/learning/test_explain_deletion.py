"""Deletion and insertion tell a map that shows what a score rests on from one that does not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxr.learning.deletion import CENTRE, GRID, blurred, changes, figures, mixed, positive_pairs, ranks
from cxr.learning.ensemble import Answers
from cxr.learning.tables import FilmTable

SIDE = 64


class Corner(nn.Module):
    """Its logit is what is rough in the upper left corner; its maps are of that corner, or of the opposite one."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = "right"
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, films: Tensor) -> Answers:
        maps = torch.zeros(len(films), 1, 8, 8)
        if self.maps != "dark":
            where = 0 if self.maps == "right" else 7
            maps[:, 0, where, where] = 1
        logits = self.scale * films[:, :, :8, :8].var((1, 2, 3))[:, None]
        return Answers(logits, maps, torch.zeros(len(films), 1))


@pytest.fixture
def films() -> Tensor:
    """Rough where `Corner` looks."""
    films = torch.randn(3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) / 10
    films[:, :, :8, :8] += torch.tensor([4.0, 0.0]).repeat(4)
    return films


def test_a_map_of_what_counts_changes_the_logit_and_one_of_elsewhere_does_not(films: Tensor) -> None:
    net = Corner()
    found = changes(net, films, np.zeros(3, int), ["right", "wrong", "dark"])  # type: ignore[arg-type]
    assert found.keys() == {CENTRE, "right", "wrong", "dark"}
    assert found["right"].deletion.min() > 1 > abs(found["wrong"].deletion).max()
    assert found["right"].insertion.min() > 1 > abs(found["wrong"].insertion).max()
    assert abs(found["dark"].deletion).max() < 1
    assert net.maps == "right"  # as it was


def test_a_method_is_compared_film_by_film(films: Tensor) -> None:
    found = changes(Corner(), films, np.zeros(3, int), ["right", "wrong"])  # type: ignore[arg-type]
    compared = {one.name: one for one in figures(found, np.array(["a", "a", "b"]), "wrong", draws=50)}
    assert compared["right"].deletion_ahead.low > 0
    assert compared["wrong"].deletion_ahead.value == compared["wrong"].deletion_ahead.high == 0


def test_cells_are_ranked_from_the_strongest_and_by_lot_where_they_are_alike() -> None:
    maps = torch.zeros(2, 8, 8)
    maps[0, :, :4] = 1.0  # light on one half; the second map is dark
    first, dark = ranks(maps, torch.Generator().manual_seed(0))
    assert first[:, : GRID // 2].max() < first[:, GRID // 2 + GRID // 8 :].min()
    assert (dark < 0.1).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert abs((dark < 0.1)[: GRID // 2].float().mean().item() - 0.1) < 0.03  # not the upper rows first


def test_another_film_is_mixed_in_where_that_is_chosen() -> None:
    chosen = torch.zeros(1, GRID, GRID, dtype=torch.bool)
    chosen[:, :, : GRID // 2] = True
    film = mixed(torch.zeros(1, 1, SIDE, SIDE), torch.ones(1, 1, SIDE, SIDE), chosen)
    assert film[..., : SIDE // 2].eq(1).all() and film[..., SIDE // 2 :].eq(0).all()


def test_blurring_keeps_means_alone() -> None:
    films = torch.tensor([1.0, -1.0]).repeat(SIDE // 2).expand(1, 1, SIDE, SIDE)
    assert blurred(films).abs().max() == 0
    assert blurred(torch.full((1, 1, SIDE, SIDE), 3.0)).eq(3).all()


def test_findings_take_turns_so_that_rare_ones_are_among_the_films() -> None:
    labels = np.array([[1, 0]] * 9 + [[1, 1]], np.float32)
    table = FilmTable(("Mass", "Hernia"), tuple(Path(f"{n}.png") for n in range(10)), labels, np.arange(10).astype(str))
    pairs = positive_pairs(table, 4)
    assert pairs.labels.tolist() == [0, 1, 0, 0]
    assert pairs.table.paths[1] == Path("9.png")
    assert len(positive_pairs(table, 100).labels) == 11
