"""Does a map show what a score rests on? Deletion and insertion (Petsiuk et al. 2018, "RISE"), without any boxes.

Deletion takes a share of the film out, blurred beyond recognition; insertion puts that share alone into the blurred
film. To blur anything moves a logit, so each is done to what the map shows strongest and to what it shows weakest, and
the difference counts (most and least relevant first, Samek et al. 2017): 0 is chance, and the score of a dark map.
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

SHARES = (0.1, 0.3)  # of the film's area
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


def ranks(maps: Tensor, random: torch.Generator) -> Tensor:
    """Maps (N, h, w) -> (N, GRID, GRID) in [0, 1): 0 is the strongest cell; cells that are alike come by lot."""
    fine = F.interpolate(maps[:, None], size=(GRID, GRID), mode="bilinear", align_corners=False).flatten(1).cpu()
    lot = torch.rand(fine.shape, generator=random).argsort(dim=1)
    order = lot.gather(1, (-fine.gather(1, lot)).argsort(dim=1, stable=True))  # cells, the strongest first
    return (order.argsort(dim=1) / GRID**2).view(-1, GRID, GRID).to(maps.device)


def mixed(films: Tensor, others: Tensor, chosen: Tensor) -> Tensor:
    """`films` (N, C, S, S), but `others` where `chosen` (N, GRID, GRID)."""
    mask = F.interpolate(chosen[:, None].to(films.dtype), size=films.shape[2:])
    return films + (others - films) * mask


@dataclass(frozen=True)
class Changes:
    """How the logit of each film's finding moves, mean over SHARES."""

    deletion: NDArray[np.float64]  # (N,): by how much lower it is without the strongest part than without the weakest
    insertion: NDArray[np.float64]  # (N,): by how much higher with the strongest part alone than with the weakest


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

    blur, found = blurred(films), {}
    for name, maps in _maps(net, films, labels, methods).items():
        rank = ranks(maps, torch.Generator().manual_seed(0))
        parts = [(rank < share, rank >= 1 - share) for share in SHARES]
        deletion = [logits(mixed(films, blur, weak)) - logits(mixed(films, blur, strong)) for strong, weak in parts]
        insertion = [logits(mixed(blur, films, strong)) - logits(mixed(blur, films, weak)) for strong, weak in parts]
        found[name] = np.mean(deletion, axis=0), np.mean(insertion, axis=0)
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
