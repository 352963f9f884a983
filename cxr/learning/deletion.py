"""Does a map show what the score rests on? Deletion and insertion (Petsiuk et al. 2018, "RISE", section 4.2).

Deletion takes from the film what the map shows strongest, blurred out beyond recognition, and asks how far the logit
falls; insertion puts that alone into the blurred film and asks how far it rises. Nothing of it needs boxes. A map is
taken as it is shown: where it is dark nothing is taken, so a map without light changes nothing and scores 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from cxr.learning.ensemble import Ensemble
from cxr.learning.tables import FilmTable
from cxr.metrics import Array, Interval, bootstrap_draws, interval

SHARES = (0.05, 0.1, 0.2, 0.4)  # of the film's area that are taken, one after the other
GRID = 56  # cells a side in which maps of any resolution are ranked
BLUR_CELLS = 8  # cells a side of what a blurred film still tells
BATCH = 16
CENTRE = "centre"  # a map that shows the middle of every film

Moves = tuple[NDArray[np.float64], NDArray[np.float64]]  # (N,) deletion, (N,) insertion


@dataclass(frozen=True)
class Pairs:
    """Films with a finding that they have."""

    table: FilmTable  # N films; one that has several findings may stand there several times
    labels: NDArray[np.intp]  # (N,) number of the finding


def positive_pairs(table: FilmTable, count: int, seed: int = 0) -> Pairs:
    """At most `count` films with a finding, the findings taking turns, drawn anew for each `seed`."""
    random = np.random.default_rng(seed)
    films_of = [random.permutation(np.flatnonzero(column == 1)) for column in table.labels.T]
    turns = [(turn, k) for turn in range(len(table)) for k, films in enumerate(films_of) if turn < len(films)][:count]
    rows = np.array([films_of[k][turn] for turn, k in turns], np.intp)
    return Pairs(table.take(rows), np.array([k for _, k in turns], np.intp))


def blurred(films: Tensor) -> Tensor:
    """(N, C, S, S) -> the same size, of which only means over a BLUR_CELLS x BLUR_CELLS grid are left."""
    cells = F.adaptive_avg_pool2d(films, BLUR_CELLS)
    return F.interpolate(cells, size=films.shape[2:], mode="bilinear", align_corners=False)


def strongest(maps: Tensor, share: float, side: int) -> Tensor:
    """Maps (N, h, w) -> (N, 1, side, side): 1 on the strongest `share` of the area as far as the map is above 0."""
    fine = F.interpolate(maps[:, None], size=(GRID, GRID), mode="bilinear", align_corners=False)
    place = (-fine).flatten(1).argsort(dim=1, stable=True).argsort(dim=1).view_as(fine)  # 0 for the strongest cell
    chosen = (place < share * GRID**2) & (fine > 0)
    return F.interpolate(chosen.to(maps.dtype), size=(side, side))


@dataclass(frozen=True)
class Changes:
    """How the logit of each film's finding moves, mean over SHARES."""

    deletion: NDArray[np.float64]  # (N,): by how much it falls below the whole film's
    insertion: NDArray[np.float64]  # (N,): by how much it rises above the blurred film's


def changes(net: Ensemble, films: Tensor, labels: NDArray[np.intp], methods: Sequence[str]) -> dict[str, Changes]:
    """Of each of the methods, and of CENTRE. Films (N, C, S, S) prepared, the number of each one's finding (N,)."""
    parts: dict[str, list[Moves]] = {name: [] for name in (CENTRE, *methods)}
    for begin in tqdm(range(0, len(films), BATCH), "deletion and insertion", unit="batch"):
        for name, moves in _changes(net, films[begin : begin + BATCH], labels[begin : begin + BATCH], methods).items():
            parts[name].append(moves)
    return {
        name: Changes(*(np.concatenate(each) for each in zip(*moves, strict=True))) for name, moves in parts.items()
    }


@torch.inference_mode()
def _changes(net: Ensemble, films: Tensor, labels: NDArray[np.intp], methods: Sequence[str]) -> dict[str, Moves]:
    place = next(net.parameters()).device
    films, rows = films.to(place), np.arange(len(films))

    def logits(seen: Tensor) -> NDArray[np.float64]:
        return net(seen).logits.cpu().double().numpy()[rows, labels]  # type: ignore[no-any-return]

    blur = blurred(films)
    nothing, whole = logits(blur), logits(films)
    found: dict[str, Moves] = {}
    for name, maps in _maps(net, films, labels, methods).items():
        masks = [strongest(maps, share, films.shape[-1]) for share in SHARES]
        deleted = np.mean([logits(films + (blur - films) * mask) for mask in masks], axis=0)
        inserted = np.mean([logits(blur + (films - blur) * mask) for mask in masks], axis=0)
        found[name] = whole - deleted, inserted - nothing
    return found


def _maps(net: Ensemble, films: Tensor, labels: NDArray[np.intp], methods: Sequence[str]) -> dict[str, Tensor]:
    """Each film's map of its finding (N, h, w), by each method; `net` is left as it was."""
    before, found = net.maps, {CENTRE: _centre(films)}
    for net.maps in methods:
        found[net.maps] = net(films).maps[np.arange(len(films)), labels]
    net.maps = before
    return found


def _centre(films: Tensor) -> Tensor:
    """Maps that fall from the middle of the film to its corners, (N, GRID, GRID): what knowing nothing shows."""
    along = torch.linspace(-1, 1, GRID, device=films.device) ** 2
    return (3 - along[:, None] - along).expand(len(films), -1, -1)


@dataclass(frozen=True)
class MethodFigures:
    """A method's deletion and insertion, and by how much it is ahead of another method on the same films."""

    name: str
    deletion: Interval
    insertion: Interval
    deletion_ahead: Interval
    insertion_ahead: Interval


def figures(
    found: dict[str, Changes], patients: NDArray[np.str_], ahead_of: str, draws: int = 1000
) -> list[MethodFigures]:
    """In logits, with intervals over patients."""
    base = found[ahead_of]
    return [
        MethodFigures(
            name,
            mean_interval(one.deletion, patients, draws),
            mean_interval(one.insertion, patients, draws),
            mean_interval(one.deletion - base.deletion, patients, draws),
            mean_interval(one.insertion - base.insertion, patients, draws),
        )
        for name, one in found.items()
    ]


def mean_interval(values: Array, patients: NDArray[np.str_], draws: int = 1000) -> Interval:
    """The mean of (N,) with its interval over patients."""

    def mean(weights: Array) -> NDArray[np.float64]:
        return np.asarray(weights @ values / weights.sum(axis=1))

    return interval(float(values.mean()), bootstrap_draws(mean, patients, draws))
